/* What a transaction means: compares, the order of its operations, its one revision, what it is
 * refused for. */
#include "txn_fixture.h"

/* ---- compares ---- */

static bool holds(struct kv *kv, const struct txn_compare *compare)
{
    struct buf txn, text;
    buf_init(&text, KIB);
    txn_begin(&txn, 1, 0, 0);
    txn_put_compare(&txn, compare);
    struct kv_result result = txn_run(kv, buf_bytes(&txn));
    assert_int_equal(result.status, ST_OK);
    assert_false(result.changed);
    results_text(&text, result.results);
    bool is_held = strncmp(buf_text(&text), "yes", 3) == 0;
    buf_release(&txn);
    buf_release(&text);
    return is_held;
}

/* One letter for each relation that holds: = ! < > */
static const char *relations(struct kv *kv, struct txn_compare compare)
{
    static char text[5];
    static const char letters[] = "=!<>";
    size_t count = 0;
    for (int i = 0; i < 4; i++) {
        compare.relation = (enum txn_relation)(TXN_EQUAL + i);
        if (holds(kv, &compare))
            text[count++] = letters[i];
    }
    text[count] = '\0';
    return text;
}

static const char *number_relations(struct kv *kv, const char *key, enum txn_target target,
                                    uint64_t number)
{
    return relations(
        kv, (struct txn_compare){.target = target, .key = bytes_of_text(key), .number = number});
}

static const char *value_relations(struct kv *kv, const char *key, const char *value)
{
    return relations(kv, (struct txn_compare){.target = TXN_VALUE,
                                              .key = bytes_of_text(key),
                                              .value = bytes_of_text(value)});
}

static void each_target_is_compared_with_each_relation(void **state)
{
    struct kv *kv = fixture_new();
    fixture_put(kv, "x", "other");
    fixture_put(kv, "k", "b"); /* created at 3 */
    fixture_put(kv, "y", "other");
    fixture_put(kv, "k", "bb"); /* changed at 5, version 2 */

    static const struct {
        enum txn_target target;
        uint64_t is;
    } cases[] = {{TXN_VERSION, 2}, {TXN_CREATE_REVISION, 3}, {TXN_MOD_REVISION, 5}, {TXN_LEASE, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_string_equal(number_relations(kv, "k", cases[i].target, cases[i].is), "=");
        assert_string_equal(number_relations(kv, "k", cases[i].target, cases[i].is + 1), "!<");
        if (cases[i].is != 0)
            assert_string_equal(number_relations(kv, "k", cases[i].target, cases[i].is - 1), "!>");
    }
    assert_string_equal(value_relations(kv, "k", "bb"), "=");
    assert_string_equal(value_relations(kv, "k", "b"), "!>");
    assert_string_equal(value_relations(kv, "k", "bbb"), "!<");
    assert_string_equal(value_relations(kv, "k", "\xff"), "!<"); /* bytes without a sign */
    fixture_free(kv);
}

static void of_a_key_that_does_not_exist_numbers_are_0_and_no_value_compares(void **state)
{
    struct kv *kv = fixture_new();
    fixture_put(kv, "gone", "v");
    fixture_delete(kv, "gone");
    static const char *const keys[] = {"never", "gone"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        for (int target = TXN_VERSION; target <= TXN_LEASE; target++) {
            enum txn_target of = (enum txn_target)target;
            assert_string_equal(number_relations(kv, keys[i], of, 0), "=");
            assert_string_equal(number_relations(kv, keys[i], of, 1), "!<");
        }
        assert_string_equal(value_relations(kv, keys[i], ""), "");
        assert_string_equal(value_relations(kv, keys[i], "v"), "");
    }
    fixture_free(kv);
}

static void of_a_range_it_must_hold_for_every_key(void **state)
{
    struct kv *kv = fixture_new();
    fixture_put(kv, "a/1", "x");
    fixture_put(kv, "a/2", "x");
    fixture_put(kv, "a/2", "x");
    fixture_put(kv, "b", "other");
    struct txn_compare compare = {
        .target = TXN_VALUE, .value = BYTES_LITERAL("x"), .range.prefix = BYTES_LITERAL("a/")};

    assert_string_equal(relations(kv, compare), "=");
    compare.target = TXN_VERSION;
    compare.number = 1;
    assert_string_equal(relations(kv, compare), ""); /* one is 1, one is 2 */
    compare.number = 3;
    assert_string_equal(relations(kv, compare), "!<");
    compare.range = (struct kv_range){.start = BYTES_LITERAL("a/2"), .end = BYTES_LITERAL("a/3")};
    compare.number = 2;
    assert_string_equal(relations(kv, compare), "=");

    compare.range = (struct kv_range){.prefix = BYTES_LITERAL("c")}; /* no key: like one absent */
    compare.number = 0;
    assert_string_equal(relations(kv, compare), "=");
    compare.target = TXN_VALUE;
    compare.value = BYTES_LITERAL("");
    assert_string_equal(relations(kv, compare), "");
    fixture_free(kv);
}

/* ---- what is done ---- */

static void all_compares_decide_which_list_is_carried_out(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    for (int wrong = 0; wrong < 3; wrong++) {
        txn_begin(&txn, 2, 1, 1);
        compare_number(&txn, "a", TXN_VERSION, wrong == 1 ? TXN_GREATER : TXN_EQUAL, 0);
        compare_number(&txn, "b", TXN_VERSION, wrong == 2 ? TXN_GREATER : TXN_EQUAL, 0);
        add_get(&txn, "yes");
        add_delete(&txn, "no");
        assert_txn(kv, &txn, wrong == 0 ? "yes 1: get[]/0" : "no 1: delete 0");
    }
    txn_begin(&txn, 0, 0, 0); /* nothing to compare holds, and nothing is done */
    assert_txn(kv, &txn, "yes 1:");
    fixture_free(kv);
}

static void all_changes_have_one_revision_and_a_get_sees_what_was_done_before_it(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    fixture_put(kv, "a", "0");
    fixture_put(kv, "d", "0");
    txn_begin(&txn, 0, 7, 0);
    add_get_prefix(&txn, "", 10);
    add_put(&txn, "a", "1");
    add_put(&txn, "b", "1");
    add_delete(&txn, "d");
    add_get_prefix(&txn, "", 10);
    add_put(&txn, "c", "1");
    add_get(&txn, "c");

    assert_txn(kv, &txn,
               "yes 4: get[a=0@2.2.1 d=0@3.3.1]/2 put put delete 1 "
               "get[a=1@2.4.2 b=1@4.4.1]/2 put get[c=1@4.4.1]/1");
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.revision, 4);
    assert_int_equal(stats.keys_count, 3);
    fixture_free(kv);
}

static void what_changes_nothing_makes_no_revision(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    fixture_put(kv, "a", "1");
    txn_begin(&txn, 0, 2, 0);
    add_delete_prefix(&txn, "b");
    add_get(&txn, "a");
    assert_txn(kv, &txn, "yes 2: delete 0 get[a=1@2.2.1]/1");
    fixture_free(kv);
}

static void previous_items_are_told_on_request(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    fixture_put(kv, "a", "1");
    fixture_put(kv, "b/1", "2");
    fixture_put(kv, "b/2", "3");
    txn_begin(&txn, 0, 4, 0);
    struct txn_operation put = {.op = TXN_PUT,
                                .key = BYTES_LITERAL("a"),
                                .value = BYTES_LITERAL("9"),
                                .wants_previous = true};
    txn_put_operation(&txn, &put);
    put.key = BYTES_LITERAL("new");
    txn_put_operation(&txn, &put);
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_DELETE,
                                                    .range.prefix = BYTES_LITERAL("b/"),
                                                    .wants_previous = true});
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_DELETE,
                                                    .key = BYTES_LITERAL("none"),
                                                    .wants_previous = true});
    assert_txn(kv, &txn,
               "yes 5: put[a=1@2.2.1] put[] delete 2[b/1=2@3.3.1 b/2=3@4.4.1] delete 0[]");
    fixture_free(kv);
}

static void a_get_of_a_range_is_a_page_and_counts_all(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    for (char key[] = "a"; key[0] <= 'e'; key[0]++)
        fixture_put(kv, key, "v");
    struct txn_operation get = {.op = TXN_GET, .items_max = 2};
    txn_begin(&txn, 0, 7, 0);
    txn_put_operation(&txn, &get);
    get.range.after = BYTES_LITERAL("b");
    txn_put_operation(&txn, &get);
    get.range.is_descending = true;
    get.range.after = BYTES_LITERAL("d");
    txn_put_operation(&txn, &get);
    get = (struct txn_operation){.op = TXN_GET, .items_max = 5, .keys_only = true};
    txn_put_operation(&txn, &get);
    get.count_only = true;
    get.range.start = BYTES_LITERAL("b");
    get.range.end = BYTES_LITERAL("e");
    txn_put_operation(&txn, &get);
    get = (struct txn_operation){.op = TXN_GET, .key = BYTES_LITERAL("c"), .keys_only = true};
    txn_put_operation(&txn, &get);
    get.count_only = true;
    txn_put_operation(&txn, &get);
    assert_txn(kv, &txn,
               "yes 6: get[a=v@2.2.1 b=v@3.3.1]/5+ get[c=v@4.4.1 d=v@5.5.1]/3+ "
               "get[c=v@4.4.1 b=v@3.3.1]/3+ get[a@2.2.1 b@3.3.1 c@4.4.1 d@5.5.1 e@6.6.1]/5 "
               "get[]/3 get[c@4.4.1]/1 get[]/1");
    fixture_free(kv);
}

static void compares_of_nested_ones_look_at_the_state_before(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    fixture_put(kv, "a", "1");
    txn_begin(&txn, 1, 3, 1);
    compare_value(&txn, "a", TXN_EQUAL, "1");
    add_put(&txn, "a", "2");
    add_nested(&txn, 1, 2, 1);
    {
        compare_value(&txn, "a", TXN_EQUAL, "1");
        add_get(&txn, "a");
        add_nested(&txn, 1, 1, 1);
        {
            compare_number(&txn, "b", TXN_VERSION, TXN_GREATER, 0);
            add_put(&txn, "wrong", "");
            add_put(&txn, "b", "3");
        }
        add_put(&txn, "wrong", "");
    }
    add_get_prefix(&txn, "", 10);
    add_nested(&txn, 0, 1, 0); /* in a list that is not carried out */
    add_put(&txn, "a", "wrong");
    assert_txn(kv, &txn, "yes 3: put yes( get[a=2@2.3.2]/1 no( put ) ) get[a=2@2.3.2 b=3@3.3.1]/2");
    fixture_free(kv);
}

static void a_range_of_more_keys_than_a_slice_is_deleted_whole(void **state)
{
    enum { KEYS = 300 };
    struct kv *kv = fixture_new();
    struct kv_stats stats;
    struct buf txn;
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%03d", i);
        fixture_put(kv, key, "v");
    }
    fixture_put(kv, "l", "stays");
    txn_begin(&txn, 0, 2, 0);
    add_delete_prefix(&txn,
                      "k1"); /* overlapping ranges are fine: there is nothing left to change */
    add_delete_prefix(&txn, "k");
    assert_txn(kv, &txn, "yes 303: delete 100 delete 200");
    kv_stats(kv, &stats);
    assert_int_equal(stats.keys_count, 1);
    fixture_free(kv);
}

/* ---- what it is refused for, with nothing changed ---- */

static void assert_refused(struct kv *kv, struct buf *txn, enum status status)
{
    uint64_t revision = fixture_put(kv, "probe", "v").revision;
    assert_txn(kv, txn, status_info(status)->code);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.revision, revision);
}

static void grant(struct kv *kv, uint64_t lease)
{
    struct kv_result result = fixture_apply(
        kv, &(struct command){.op = COMMAND_GRANT_LEASE, .lease = lease, .ttl_ms = 60000});
    assert_int_equal(result.status, ST_OK);
}

static void a_put_hangs_on_a_lease_that_must_exist(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    struct kv_lease lease;
    struct txn_operation put = {.op = TXN_PUT, .key = BYTES_LITERAL("k"), .lease = 7};
    txn_begin(&txn, 0, 2, 0);
    add_put(&txn, "a", "never");
    txn_put_operation(&txn, &put);
    assert_refused(kv, &txn, ST_LEASE_NOT_FOUND);
    assert_false(kv_get(kv, BYTES_LITERAL("a"), &(struct kv_item){0}));

    grant(kv, 7);
    txn_begin(&txn, 0, 2, 0);
    txn_put_operation(&txn, &put);
    add_get(&txn, "k");
    assert_txn(kv, &txn, "yes 3: put get[k=@3.3.1*7]/1");
    assert_true(kv_lease(kv, 7, &lease));
    assert_int_equal(lease.keys_count, 1);

    txn_begin(&txn, 1, 1, 0);
    compare_number(&txn, "k", TXN_LEASE, TXN_EQUAL, 7);
    add_put(&txn, "k", "off");
    assert_txn(kv, &txn, "yes 4: put");
    assert_true(kv_lease(kv, 7, &lease));
    assert_int_equal(lease.keys_count, 0);
    fixture_free(kv);
}

static void room_is_reckoned_for_all_of_it_together(void **state)
{
    enum { VALUE = 100, ITEM = ITEM_OVERHEAD_BYTES + 1 + VALUE };
    char value[VALUE + 1];
    memset(value, 'v', VALUE);
    value[VALUE] = '\0';
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = 3 * ITEM});
    struct buf txn;
    fixture_put(kv, "a", value);
    fixture_put(kv, "b", value);

    txn_begin(&txn, 0, 2, 0); /* one fits */
    add_put(&txn, "c", value);
    add_put(&txn, "d", value);
    struct kv_result result = txn_run(kv, buf_bytes(&txn));
    buf_release(&txn);
    assert_outcome(result, ST_STATE_FULL, false, 3, 0);

    txn_begin(&txn, 0, 4, 0); /* what is deleted makes room, once */
    add_put(&txn, "c", value);
    add_put(&txn, "d", value);
    add_delete(&txn, "a");
    add_delete_prefix(&txn, "a");
    assert_txn(kv, &txn, "yes 4: put put delete 1 delete 0");

    txn_begin(&txn, 0, 3, 0); /* full: no more than before is fine */
    add_put(&txn, "b", "less");
    add_delete(&txn, "c");
    add_put(&txn, "e", value);
    assert_txn(kv, &txn, "yes 5: put delete 1 put");

    txn_begin(&txn, 0, 4, 0);
    add_delete(&txn, "e");
    add_delete(&txn, "e");
    add_put(&txn, "f", value);
    add_put(&txn, "g", value);
    assert_txn(kv, &txn, "state-full"); /* deleted twice makes room once */
    fixture_free(kv);
}

static void fill(struct kv *kv, const char *prefix, unsigned count, size_t value_bytes)
{
    uint8_t *value = mem_alloc(value_bytes + 1);
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s%06u", prefix, i);
        struct command command = {
            .op = COMMAND_PUT, .key = bytes_of_text(key), .value = bytes_of(value, value_bytes)};
        assert_int_equal(fixture_apply(kv, &command).status, ST_OK);
    }
    mem_free(value);
}

static enum status run_status(struct kv *kv, struct buf *txn)
{
    assert_int_equal(txn_check(buf_bytes(txn)), ST_OK);
    enum status status = txn_run(kv, buf_bytes(txn)).status;
    buf_release(txn);
    return status;
}

/* Head, one get and the end; then each item with its key of 7 bytes. */
static void results_have_a_limit_and_that_much_is_fine(void **state)
{
    enum {
        ITEMS = 5,
        VALUE = (LIMIT_TXN_RESULTS_BYTES - 10 - 14 - 14) / ITEMS - 40 - 7,
        REST = (LIMIT_TXN_RESULTS_BYTES - 10 - 14 - 14) % ITEMS
    };
    struct kv *kv = fixture_new();
    struct buf txn;
    fill(kv, "k", ITEMS - 1, VALUE);
    fill(kv, "z", 1, VALUE + REST);
    txn_begin(&txn, 0, 1, 0);
    add_get_prefix(&txn, "", 10);
    assert_int_equal(run_status(kv, &txn), ST_OK);

    fill(kv, "z", 1, VALUE + REST + 1);
    txn_begin(&txn, 0, 1, 0);
    add_get_prefix(&txn, "", 10);
    assert_int_equal(run_status(kv, &txn), ST_TXN_TOO_LARGE);

    txn_begin(&txn, 0, 1, 0); /* one page of it */
    add_get_prefix(&txn, "", 4);
    assert_int_equal(run_status(kv, &txn), ST_OK);
    txn_begin(&txn, 0, 1, 0);
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_DELETE, .wants_previous = true});
    assert_int_equal(run_status(kv, &txn), ST_TXN_TOO_LARGE);

    txn_begin(&txn, 0, 2, 0); /* what is put may be read, too */
    add_put(&txn, "k000000", "small");
    add_get_prefix(&txn, "", 5);
    assert_int_equal(run_status(kv, &txn), ST_TXN_TOO_LARGE);

    txn_begin(&txn, 0, 2, 0); /* what is deleted is not */
    add_delete(&txn, "z000000");
    add_get_prefix(&txn, "", 5);
    assert_int_equal(run_status(kv, &txn), ST_OK);
    fixture_free(kv);
}

static void as_many_keys_as_the_limit_are_deleted_by_one(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    fill(kv, "k", LIMIT_TXN_DELETES + 1, 0);
    txn_begin(&txn, 0, 1, 0);
    add_delete_prefix(&txn, "k");
    assert_int_equal(run_status(kv, &txn), ST_TXN_TOO_LARGE);

    txn_begin(&txn, 0, 2, 0);
    add_delete_prefix(&txn, "k00000");
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_DELETE,
                                                    .range.prefix = BYTES_LITERAL("k"),
                                                    .range.start = BYTES_LITERAL("k000001")});
    struct kv_result result = txn_run(kv, buf_bytes(&txn));
    buf_release(&txn);
    assert_int_equal(result.status, ST_TXN_TOO_LARGE); /* all of them after all */

    txn_begin(&txn, 0, 1, 0);
    txn_put_operation(
        &txn, &(struct txn_operation){.op = TXN_DELETE, .range.start = BYTES_LITERAL("k000001")});
    assert_int_equal(run_status(kv, &txn), ST_OK);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.keys_count, 1);
    fixture_free(kv);
}

/* Many ranges, each of many keys: whoever looks at all of them takes long. */
static void only_so_many_keys_are_looked_at(void **state)
{
    enum { KEYS = LIMIT_TXN_STEPS / 32 };
    struct kv *kv = fixture_new();
    struct buf txn;
    fill(kv, "k", KEYS, 0);
    for (size_t gets = 32; gets <= 33; gets++) {
        txn_begin(&txn, 0, gets, 0);
        for (size_t i = 0; i < gets; i++)
            txn_put_operation(
                &txn, &(struct txn_operation){.op = TXN_GET, .items_max = 1, .count_only = true});
        assert_int_equal(run_status(kv, &txn), gets == 32 ? ST_OK : ST_TXN_TOO_LARGE);
    }
    for (unsigned i = 0; i < KEYS; i++) { /* deleted, they are still to be passed over */
        char key[32];
        (void)snprintf(key, sizeof key, "gone%06u", i);
        fixture_put(kv, key, "");
        fixture_delete(kv, key);
    }
    for (size_t gets = 32; gets <= 33; gets++) {
        txn_begin(&txn, 0, gets, 0);
        for (size_t i = 0; i < gets; i++)
            add_get_prefix(&txn, "gone", 1);
        assert_int_equal(run_status(kv, &txn), gets == 32 ? ST_OK : ST_TXN_TOO_LARGE);
    }
    txn_begin(&txn, 33, 0, 0);
    for (size_t i = 0; i < 33; i++)
        txn_put_compare(&txn, &(struct txn_compare){.target = TXN_VERSION,
                                                    .relation = TXN_EQUAL,
                                                    .range.prefix = BYTES_LITERAL("k"),
                                                    .number = 1});
    assert_int_equal(run_status(kv, &txn), ST_TXN_TOO_LARGE);
    fixture_free(kv);
}

/* Values that differ late, or not at all, are read to their end, by each compare again. */
static void only_so_many_bytes_of_values_are_compared(void **state)
{
    enum { VALUE_BYTES = 16 * KIB, KEYS = 256, FEW = 16, MANY = 60 };
    struct kv *kv = fixture_new();
    struct buf txn;
    uint8_t *value = mem_alloc(VALUE_BYTES); /* what fill puts */
    fill(kv, "k", KEYS, VALUE_BYTES);
    for (size_t compares = FEW; compares <= MANY; compares += MANY - FEW) {
        txn_begin(&txn, compares, 0, 0);
        for (size_t i = 0; i < compares; i++)
            txn_put_compare(&txn, &(struct txn_compare){.target = TXN_VALUE,
                                                        .relation = TXN_EQUAL,
                                                        .range.prefix = BYTES_LITERAL("k"),
                                                        .value = bytes_of(value, VALUE_BYTES)});
        assert_int_equal(run_status(kv, &txn), compares == FEW ? ST_OK : ST_TXN_TOO_LARGE);
    }
    mem_free(value);
    fixture_free(kv);
}

static void bytes_that_are_no_transaction_change_nothing(void **state)
{
    struct kv *kv = fixture_new();
    struct buf txn;
    txn_begin(&txn, 0, 2, 0);
    add_put(&txn, "a", "1");
    add_put(&txn, "a", "2");
    assert_int_equal(txn_check(buf_bytes(&txn)), ST_DUPLICATE_KEY);
    struct kv_result result = txn_run(kv, buf_bytes(&txn));
    buf_release(&txn);
    assert_outcome(result, ST_BAD_REQUEST, false, 1, 0);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_target_is_compared_with_each_relation),
        cmocka_unit_test(of_a_key_that_does_not_exist_numbers_are_0_and_no_value_compares),
        cmocka_unit_test(of_a_range_it_must_hold_for_every_key),
        cmocka_unit_test(all_compares_decide_which_list_is_carried_out),
        cmocka_unit_test(all_changes_have_one_revision_and_a_get_sees_what_was_done_before_it),
        cmocka_unit_test(what_changes_nothing_makes_no_revision),
        cmocka_unit_test(previous_items_are_told_on_request),
        cmocka_unit_test(a_get_of_a_range_is_a_page_and_counts_all),
        cmocka_unit_test(compares_of_nested_ones_look_at_the_state_before),
        cmocka_unit_test(a_range_of_more_keys_than_a_slice_is_deleted_whole),
        cmocka_unit_test(a_put_hangs_on_a_lease_that_must_exist),
        cmocka_unit_test(room_is_reckoned_for_all_of_it_together),
        cmocka_unit_test(results_have_a_limit_and_that_much_is_fine),
        cmocka_unit_test(as_many_keys_as_the_limit_are_deleted_by_one),
        cmocka_unit_test(only_so_many_keys_are_looked_at),
        cmocka_unit_test(only_so_many_bytes_of_values_are_compared),
        cmocka_unit_test(bytes_that_are_no_transaction_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
