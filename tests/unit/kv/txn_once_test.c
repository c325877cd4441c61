/* Transactions with an identity: carried out once, and every repetition is told the same bytes. */
#include "once_fixture.h"
#include "txn_fixture.h"

#include "kv/kv_internal.h"
#include "kv/session_internal.h"

static struct kv_result run_as(struct kv *kv, const char *client, uint64_t sequence,
                               const struct buf *txn)
{
    struct command command = {.op = COMMAND_TXN,
                              .identity = {.client = bytes_of_text(client), .sequence = sequence},
                              .value = buf_bytes(txn)};
    return once_apply(kv, &command, 0);
}

static struct kv *reload(struct kv *kv)
{
    struct kv *again = NULL;
    struct buf bytes;
    buf_init(&bytes, 16 * MIB);
    kv_encode(kv, &bytes);
    assert_int_equal(kv_decode(buf_bytes(&bytes), &(struct kv_options){0}, &again), ST_OK);
    assert_true(kv_digest(again) == kv_digest(kv));
    buf_release(&bytes);
    fixture_free(kv);
    return again;
}

/* a := 1, and what all of it is then. */
static void put_and_get(struct buf *txn)
{
    txn_begin(txn, 0, 2, 0);
    add_put(txn, "a", "1");
    add_get_prefix(txn, "", 10);
}

static void a_repetition_changes_nothing_and_is_told_the_same_bytes(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn, first;
    buf_init(&first, KIB);
    put_and_get(&txn);
    struct kv_result result = run_as(kv, "me", 1, &txn);
    assert_outcome(result, ST_OK, true, 2, 0);
    assert_false(result.is_replayed);
    buf_put(&first, result.results);
    fixture_put(kv, "a", "another");

    for (int reloaded = 0; reloaded < 2; reloaded++) {
        result = run_as(kv, "me", 1, &txn);
        assert_outcome(result, ST_OK, false, 2, 0);
        assert_true(result.is_replayed);
        assert_true(bytes_equal(result.results, buf_bytes(&first)));

        struct command command = {.op = COMMAND_TXN,
                                  .identity = {.client = BYTES_LITERAL("me"), .sequence = 1},
                                  .value = buf_bytes(&txn)};
        assert_true(once_recall(kv, &command, &result));
        assert_true(result.is_replayed);
        assert_true(bytes_equal(result.results, buf_bytes(&first)));

        result = once_outcome(kv, "me", 1);
        assert_int_equal(result.outcome, KV_OUTCOME_APPLIED);
        assert_int_equal(result.applied_op, COMMAND_TXN);
        assert_true(bytes_equal(result.results, buf_bytes(&first)));
        result = once_seal(kv, "me", 1);
        assert_int_equal(result.outcome, KV_OUTCOME_APPLIED);
        assert_true(bytes_equal(result.results, buf_bytes(&first)));
        kv = reload(kv);
    }
    struct kv_item item;
    assert_true(kv_get(kv, BYTES_LITERAL("a"), &item));
    assert_true(bytes_equal_text(item.value, "another"));
    add_put(&txn, "x", ""); /* another body */
    txn.data[1]++;
    assert_int_equal(run_as(kv, "me", 1, &txn).status, ST_IDENTITY_REUSED);
    buf_release(&txn);
    buf_release(&first);
    fixture_free(kv);
}

/* Head, one get with one item, and its end. */
static void what_is_remembered_has_a_limit(void **state)
{
    enum { VALUE = LIMIT_REMEMBERED_RESULT_BYTES - 10 - 14 - 40 - 1 - 14 };
    static uint8_t value[VALUE + 1];
    for (size_t extra = 0; extra <= 1; extra++) {
        struct kv *kv = fixture_new();
        struct buf txn;
        struct command put = {
            .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = bytes_of(value, VALUE + extra)};
        (void)fixture_apply(kv, &put);
        txn_begin(&txn, 0, 1, 0);
        add_get(&txn, "k");

        assert_int_equal(run_as(kv, "me", 1, &txn).status, extra == 0 ? ST_OK : ST_TXN_TOO_LARGE);
        (void)fixture_delete(kv, "k");
        struct kv_result result = run_as(kv, "me", 1, &txn); /* the answer stays the same */
        assert_int_equal(result.status, extra == 0 ? ST_OK : ST_TXN_TOO_LARGE);
        assert_true(result.is_replayed);
        assert_int_equal(txn_run(kv, buf_bytes(&txn)).status, ST_OK);
        buf_release(&txn);
        fixture_free(kv);
    }
}

static void what_may_pass_is_not_remembered_and_what_may_not_is(void **state)
{
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = 200});
    struct buf txn;
    fixture_put(kv, "full", "");
    put_and_get(&txn);
    assert_int_equal(run_as(kv, "me", 1, &txn).status, ST_STATE_FULL);
    (void)fixture_delete(kv, "full");
    struct kv_result result = run_as(kv, "me", 1, &txn);
    assert_int_equal(result.status, ST_OK);
    assert_false(result.is_replayed);
    buf_release(&txn);

    txn_begin(&txn, 0, 1, 0);
    txn_put_operation(
        &txn, &(struct txn_operation){.op = TXN_PUT, .key = BYTES_LITERAL("a"), .lease = 7});
    assert_int_equal(run_as(kv, "me", 2, &txn).status, ST_LEASE_NOT_FOUND);
    struct command grant = {.op = COMMAND_GRANT_LEASE, .lease = 7, .ttl_ms = 60000};
    assert_int_equal(fixture_apply(kv, &grant).status, ST_OK);
    result = run_as(kv, "me", 2, &txn);
    assert_int_equal(result.status, ST_LEASE_NOT_FOUND);
    assert_true(result.is_replayed);
    assert_int_equal(result.results.count, 0);
    buf_release(&txn);
    kv_check(kv);
    kv_free(kv);
}

/* Results of about 64 KiB each: eight are remembered. */
static void the_oldest_results_of_a_client_are_given_up_and_never_carried_out_again(void **state)
{
    enum { VALUE = LIMIT_REMEMBERED_RESULT_BYTES - 200 };
    static uint8_t value[VALUE];
    struct kv *kv = fixture_new();
    struct sessions_stats stats;
    struct buf txn;
    struct command put = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = bytes_of(value, VALUE)};
    (void)fixture_apply(kv, &put);
    txn_begin(&txn, 0, 2, 0);
    add_put(&txn, "a", "1");
    add_get(&txn, "k");
    for (uint64_t sequence = 1; sequence <= 20; sequence++)
        assert_int_equal(run_as(kv, "me", sequence, &txn).status, ST_OK);

    kv_sessions_stats(kv, &stats);
    assert_int_equal(stats.results_count, 8);
    for (uint64_t sequence = 1; sequence <= 12; sequence++)
        assert_int_equal(run_as(kv, "me", sequence, &txn).status, ST_SEQUENCE_TOO_OLD);
    for (uint64_t sequence = 13; sequence <= 20; sequence++)
        assert_true(run_as(kv, "me", sequence, &txn).is_replayed);
    kv_check(kv);
    buf_release(&txn);
    fixture_free(kv);
}

static void without_room_to_remember_it_nothing_is_carried_out(void **state)
{
    enum {
        NEEDED = SESSION_BYTES + 2 + SESSION_RESULT_BYTES + SESSION_HELD_BYTES +
                 LIMIT_REMEMBERED_RESULT_BYTES
    };
    for (size_t lack = 0; lack <= 1; lack++) {
        struct kv *kv = fixture_new();
        struct buf txn;
        sessions_free(kv->sessions);
        kv->sessions = sessions_new_limited(10, NEEDED - lack);
        put_and_get(&txn);
        assert_int_equal(run_as(kv, "me", 1, &txn).status, lack == 0 ? ST_OK : ST_SESSIONS_FULL);
        assert_int_equal(kv_get(kv, BYTES_LITERAL("a"), &(struct kv_item){0}), lack == 0);
        if (lack != 0) /* other writes need less */
            assert_int_equal(once_incr(kv, "me", 2, 1).status, ST_OK);
        buf_release(&txn);
        fixture_free(kv);
    }
}

static uint64_t digest_with(int variant)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    fixture_put(kv, "k", variant == 1 ? "x" : "y"); /* read, and then deleted */
    txn_begin(&txn, 0, 1, 0);
    add_get(&txn, "k");
    (void)run_as(kv, "me", 1, &txn);
    fixture_put(kv, "k", "same");
    buf_release(&txn);
    uint64_t digest = sessions_hash(kv->sessions);
    fixture_free(kv);
    return digest;
}

static void what_a_transaction_came_to_is_part_of_the_digest(void **state)
{
    fixture_assert_digests_differ(digest_with, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repetition_changes_nothing_and_is_told_the_same_bytes),
        cmocka_unit_test(what_is_remembered_has_a_limit),
        cmocka_unit_test(what_may_pass_is_not_remembered_and_what_may_not_is),
        cmocka_unit_test(the_oldest_results_of_a_client_are_given_up_and_never_carried_out_again),
        cmocka_unit_test(without_room_to_remember_it_nothing_is_carried_out),
        cmocka_unit_test(what_a_transaction_came_to_is_part_of_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
