/* The table of sessions by itself: what is remembered, for how long, and what is refused. */
#include "session_fixture.h"

#include <inttypes.h>
#include <malloc.h>

enum { WINDOW = LIMIT_SESSION_WINDOW };

/* ---- ids ---- */

static void an_allotted_id_is_this_text_and_no_other(void **state)
{
    (void)state;
    static const char *const own[] = {"",
                                      "session-",
                                      "session-12",
                                      "session-12-",
                                      "session--00c0ffee00c0ffee",
                                      "session-0-00c0ffee00c0ffee",
                                      "session-012-00c0ffee00c0ffee",
                                      "session-+2-00c0ffee00c0ffee",
                                      "session-12-00C0ffee00c0ffee",
                                      "session-12-00c0ffee00c0ffe",
                                      "session-12-00c0ffee00c0ffee0",
                                      "session-12-00c0ffee00c0ffeg",
                                      "session-18446744073709551616-00c0ffee00c0ffee",
                                      "Session-12-00c0ffee00c0ffee",
                                      " session-12-00c0ffee00c0ffee"};
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    raft_index index;
    uint64_t nonce;

    assert_string_equal(session_format_id(12, 0x00c0ffee00c0ffee, id),
                        "session-12-00c0ffee00c0ffee");
    assert_true(session_parse_id(bytes_of_text(id), &index, &nonce));
    assert_int_equal(index, 12);
    assert_int_equal(nonce, 0x00c0ffee00c0ffee);
    (void)session_format_id(UINT64_MAX, UINT64_MAX, id);
    assert_true(session_parse_id(bytes_of_text(id), &index, &nonce));
    assert_true(index == UINT64_MAX && nonce == UINT64_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(own); i++)
        assert_false(session_parse_id(bytes_of_text(own[i]), &index, &nonce));
}

/* ---- once ---- */

static void a_write_is_fresh_once_and_done_ever_after(void **state)
{
    (void)state;
    struct table table = table_new();

    assert_int_equal(judge(&table, "a", 1), SESSION_FRESH);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_FRESH);

    assert_int_equal(judge(&table, "a", 1), SESSION_DONE);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_DONE);
    assert_int_equal(write_of(&table, "b", 1, 0), SESSION_FRESH);
    assert_int_equal(write_body(&table, key_of("a"), 7), SESSION_FRESH);
    assert_int_equal(write_body(&table, key_of("a"), 7), SESSION_DONE);
    assert_int_equal(stats_of(&table).sessions_count, 3);
    assert_int_equal(stats_of(&table).results_count, 3);
    assert_int_equal(stats_of(&table).replayed_count, 2);
    table_free(&table);
}

static void another_body_is_refused_and_changes_nothing_of_the_first(void **state)
{
    (void)state;
    struct table table = table_new();

    assert_int_equal(write_body(&table, identity_of("a", 1, 0), 100), SESSION_FRESH);

    assert_int_equal(write_body(&table, identity_of("a", 1, 0), 101), SESSION_REUSED);
    assert_int_equal(write_body(&table, identity_of("a", 1, 0), 100), SESSION_DONE);
    assert_int_equal(stats_of(&table).refused_count, 1);
    table_free(&table);
}

static void sequences_may_come_in_any_order_and_each_is_answered_with_its_own_result(void **state)
{
    (void)state;
    struct table table = table_new();
    struct prng prng;
    uint64_t order[WINDOW];
    prng_init(&prng, 5);
    for (uint64_t i = 0; i < WINDOW; i++)
        order[i] = i + 1;
    for (uint64_t i = WINDOW; i > 1; i--) {
        uint64_t j = prng_below(&prng, i);
        uint64_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }

    for (uint64_t i = 0; i < WINDOW; i++)
        assert_int_equal(write_of(&table, "a", order[i], 0), SESSION_FRESH);

    sessions_check(table.sessions);
    for (uint64_t i = 1; i <= WINDOW; i++)
        assert_int_equal(write_of(&table, "a", i, 0), SESSION_DONE); /* which looks at the result */
    table_free(&table);
}

/* ---- the window ---- */

static void the_window_holds_exactly_as_many_sequences_as_its_limit_says(void **state)
{
    (void)state;
    struct table table = table_new();

    assert_int_equal(write_of(&table, "a", 5, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, "a", WINDOW + 4, 0), SESSION_FRESH); /* 5 … W + 4 */

    assert_int_equal(judge(&table, "a", 5), SESSION_DONE);
    assert_int_equal(judge(&table, "a", 4), SESSION_TOO_OLD);
    assert_int_equal(judge(&table, "a", 6), SESSION_FRESH);

    assert_int_equal(write_of(&table, "a", WINDOW + 5, 0), SESSION_FRESH); /* 6 … W + 5 */

    assert_int_equal(judge(&table, "a", 5), SESSION_TOO_OLD);
    assert_int_equal(write_of(&table, "a", 5, 0), SESSION_TOO_OLD);
    assert_int_equal(write_of(&table, "a", 6, 0), SESSION_FRESH);
    assert_int_equal(stats_of(&table).results_count, 3);
    table_free(&table);
}

static void before_the_window_is_full_nothing_is_too_old(void **state)
{
    (void)state;
    struct table table = table_new();

    assert_int_equal(write_of(&table, "a", WINDOW, 0), SESSION_FRESH);

    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_DONE);
    table_free(&table);
}

static void all_answers_of_a_window_that_has_moved_are_those_of_their_own_requests(void **state)
{
    (void)state;
    struct table table = table_new();

    for (uint64_t i = 1; i <= 3 * WINDOW + 17; i++)
        assert_int_equal(write_of(&table, "a", i, 0), SESSION_FRESH);

    assert_int_equal(stats_of(&table).results_count, WINDOW);
    sessions_check(table.sessions);
    for (uint64_t i = 1; i <= 2 * WINDOW + 17; i++)
        assert_int_equal(judge(&table, "a", i), SESSION_TOO_OLD);
    for (uint64_t i = 2 * WINDOW + 18; i <= 3 * WINDOW + 17; i++)
        assert_int_equal(write_of(&table, "a", i, 0), SESSION_DONE);
    table_free(&table);
}

static void a_refused_write_moves_no_window(void **state)
{
    (void)state;
    struct table table = table_new();
    struct session_result result;
    struct client_identity far = identity_of("a", 10 * WINDOW, 0);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_FRESH);

    table.at.index++;
    assert_int_equal(sessions_begin(table.sessions, &far, 1, table.at, 0, &result), SESSION_FRESH);
    result = (struct session_result){.op = COMMAND_PUT, .status = ST_STATE_FULL}; /* may pass */
    sessions_record(table.sessions, &far, 1, &result);

    sessions_check(table.sessions);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_DONE);
    assert_int_equal(write_of(&table, "a", 2, 0), SESSION_FRESH);
    assert_int_equal(write_body(&table, far, 2), SESSION_FRESH);
    table_free(&table);
}

/* ---- acknowledgements ---- */

static void what_is_acknowledged_is_forgotten_and_nothing_else(void **state)
{
    (void)state;
    struct table table = table_new();
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(write_of(&table, "a", i, 0), SESSION_FRESH);
    uint64_t bytes = stats_of(&table).bytes;

    assert_int_equal(write_of(&table, "a", 11, 4), SESSION_FRESH);

    assert_int_equal(stats_of(&table).results_count, 7);
    assert_int_equal(stats_of(&table).bytes, bytes - 3 * SESSION_RESULT_BYTES);
    assert_int_equal(judge(&table, "a", 4), SESSION_TOO_OLD);
    for (uint64_t i = 5; i <= 11; i++)
        assert_int_equal(judge(&table, "a", i), SESSION_DONE);
    table_free(&table);
}

static void an_old_acknowledgement_takes_nothing_back(void **state)
{
    (void)state;
    struct table table = table_new();
    assert_int_equal(write_of(&table, "a", 5, 4), SESSION_FRESH);

    assert_int_equal(write_of(&table, "a", 6, 0), SESSION_FRESH); /* sent before the one above */

    assert_int_equal(judge(&table, "a", 4), SESSION_TOO_OLD);
    assert_int_equal(judge(&table, "a", 5), SESSION_DONE);
    table_free(&table);
}

static void a_duplicate_acknowledges_as_the_first_did(void **state)
{
    (void)state;
    struct table table = table_new();
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(write_of(&table, "a", i, 0), SESSION_FRESH);

    assert_int_equal(write_of(&table, "a", 3, 2), SESSION_DONE);

    assert_int_equal(stats_of(&table).results_count, 1);
    assert_int_equal(judge(&table, "a", 2), SESSION_TOO_OLD);
    table_free(&table);
}

/* ---- allotted sessions ---- */

static void an_allotted_session_that_is_not_there_has_expired_for_ever(void **state)
{
    (void)state;
    struct table table = table_new();
    char id[LIMIT_CLIENT_ID_BYTES + 1];

    assert_int_equal(write_of(&table, "session-1-0000000000c0ffee", 1, 0), SESSION_EXPIRED);
    open_session(&table, id);
    assert_int_equal(write_of(&table, id, 1, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, id, 1, 0), SESSION_DONE);
    assert_int_equal(sessions_close(table.sessions, bytes_of_text(id)), ST_OK);

    assert_int_equal(write_of(&table, id, 1, 0), SESSION_EXPIRED);
    assert_int_equal(write_of(&table, id, 2, 0), SESSION_EXPIRED);
    assert_int_equal(seal(&table, identity_of(id, 2, 0)), SESSION_EXPIRED);
    assert_int_equal(stats_of(&table).sessions_count, 0);
    assert_int_equal(stats_of(&table).bytes, 0);
    assert_true(sessions_hash(table.sessions) == 0);
    assert_int_equal(sessions_close(table.sessions, bytes_of_text(id)), ST_OK);
    table_free(&table);
}

/* Its late duplicates would open it anew, and be carried out. */
static void a_session_of_the_clients_own_is_not_closed(void **state)
{
    (void)state;
    struct table table = table_new();
    assert_int_equal(write_of(&table, "mine", 1, 0), SESSION_FRESH);

    assert_int_equal(sessions_close(table.sessions, BYTES_LITERAL("mine")), ST_BAD_REQUEST);

    assert_int_equal(write_of(&table, "mine", 1, 0), SESSION_DONE);
    table_free(&table);
}

static void an_idempotency_key_in_the_form_of_an_allotted_id_is_a_key_all_the_same(void **state)
{
    (void)state;
    struct table table = table_new();
    const char *text = "session-1-0000000000c0ffee";

    assert_int_equal(write_body(&table, key_of(text), 7), SESSION_FRESH);

    assert_int_equal(write_body(&table, key_of(text), 7), SESSION_DONE);
    assert_int_equal(write_of(&table, text, 1, 0), SESSION_EXPIRED);
    table_free(&table);
}

/* ---- seals ---- */

static void what_was_sealed_before_it_came_is_never_carried_out(void **state)
{
    (void)state;
    struct table table = table_new();

    assert_int_equal(seal(&table, identity_of("a", 2, 0)), SESSION_SEALED);

    assert_int_equal(write_of(&table, "a", 2, 0), SESSION_SEALED);
    assert_int_equal(seal(&table, identity_of("a", 2, 0)), SESSION_SEALED);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, "a", 3, 0), SESSION_FRESH);
    assert_int_equal(seal(&table, key_of("k")), SESSION_SEALED);
    assert_int_equal(write_body(&table, key_of("k"), 7), SESSION_SEALED);
    table_free(&table);
}

static void a_seal_that_comes_late_tells_what_became_of_the_write(void **state)
{
    (void)state;
    struct table table = table_new();
    struct session_result result, want = result_of_write(3);
    struct client_identity identity = identity_of("a", 3, 0);
    assert_int_equal(write_of(&table, "a", 3, 1), SESSION_FRESH);

    table.at.index++;
    assert_int_equal(sessions_seal(table.sessions, &identity, table.at, 0, &result), SESSION_DONE);

    assert_result_is(&result, &want);
    assert_int_equal(write_of(&table, "a", 3, 0), SESSION_DONE);
    assert_int_equal(seal(&table, identity_of("a", 1, 0)), SESSION_TOO_OLD);
    table_free(&table);
}

/* ---- expiry ---- */

static void what_expires_is_decided_by_stamps_of_the_log_alone(void **state)
{
    (void)state;
    struct table table = table_new();
    static const char *const names[] = {"z", "m", "a", "q"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        table.stamp_us = 100 * (i + 1);
        assert_int_equal(write_of(&table, names[i], 1, 0), SESSION_FRESH);
    }
    table.stamp_us = UINT64_C(1) << 60; /* the log's time passes: by itself that does nothing */
    assert_int_equal(write_of(&table, "late", 1, 0), SESSION_FRESH);
    assert_int_equal(stats_of(&table).sessions_count, 5);

    assert_int_equal(sessions_expire(table.sessions, 100), 0); /* used at, not before */
    assert_int_equal(sessions_expire(table.sessions, 101), 1);
    assert_int_equal(judge(&table, "z", 1), SESSION_FRESH);
    assert_int_equal(judge(&table, "m", 1), SESSION_DONE);
    assert_int_equal(sessions_expire(table.sessions, 400), 2);

    assert_int_equal(judge(&table, "a", 1), SESSION_FRESH);
    assert_int_equal(judge(&table, "q", 1), SESSION_DONE);
    assert_int_equal(judge(&table, "late", 1), SESSION_DONE);
    assert_int_equal(stats_of(&table).expired_count, 3);
    assert_int_equal(stats_of(&table).oldest_use_us, 400);
    table_free(&table);
}

/* Each kind of use, be it the refusal of a duplicate. */
static void a_session_that_was_used_since_does_not_expire(void **state)
{
    (void)state;
    struct table table = table_new();
    static const char *const names[] = {"again", "replayed", "refused", "sealed", "unused"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        assert_int_equal(write_of(&table, names[i], 9, 4), SESSION_FRESH);

    table.stamp_us = 1000;
    assert_int_equal(write_of(&table, "again", 10, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, "replayed", 9, 0), SESSION_DONE);
    assert_int_equal(write_of(&table, "refused", 4, 0), SESSION_TOO_OLD);
    assert_int_equal(seal(&table, identity_of("sealed", 9, 0)), SESSION_DONE);
    assert_int_equal(sessions_expire(table.sessions, 1000), 1);

    assert_int_equal(judge(&table, "unused", 9), SESSION_FRESH);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(judge(&table, names[i], 9), SESSION_DONE);
    table_free(&table);
}

static void one_command_forgets_no_more_than_its_limit(void **state)
{
    (void)state;
    struct table table = table_new();
    for (uint64_t i = 1; i <= LIMIT_SESSIONS_EXPIRED + 3; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%" PRIu64, i);
        assert_int_equal(write_of(&table, name, 1, 0), SESSION_FRESH);
    }

    assert_int_equal(sessions_expire(table.sessions, 1), LIMIT_SESSIONS_EXPIRED);

    assert_int_equal(judge(&table, "1024", 1), SESSION_FRESH); /* the oldest are gone */
    assert_int_equal(judge(&table, "1025", 1), SESSION_DONE);
    assert_int_equal(sessions_expire(table.sessions, 1), 3);
    assert_int_equal(stats_of(&table).oldest_use_us, 0);
    table_free(&table);
}

/* ---- full ---- */

static void a_full_table_refuses_new_sessions_and_evicts_none(void **state)
{
    (void)state;
    struct table table = {.sessions = sessions_new_limited(2, MIB), .at = {1, 0}};
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, "b", 1, 0), SESSION_FRESH);
    uint64_t hash = sessions_hash(table.sessions);

    assert_int_equal(write_of(&table, "c", 1, 0), SESSION_FULL);
    assert_int_equal(write_body(&table, key_of("c"), 1), SESSION_FULL);
    assert_int_equal(seal(&table, identity_of("c", 1, 0)), SESSION_FULL);
    table.at.index++;
    assert_int_equal(sessions_open(table.sessions, 1, table.at, 0), ST_SESSIONS_FULL);

    assert_true(sessions_hash(table.sessions) == hash);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_DONE);
    assert_int_equal(write_of(&table, "a", 2, 0), SESSION_FRESH);
    assert_int_equal(write_of(&table, "b", 1, 0), SESSION_DONE);
    table_free(&table);
}

static void without_room_for_a_result_nothing_is_carried_out(void **state)
{
    (void)state;
    enum { RESULTS = 4 };
    uint64_t bytes_max = SESSION_BYTES + 1 + RESULTS * SESSION_RESULT_BYTES;
    struct table table = {.sessions = sessions_new_limited(10, bytes_max), .at = {1, 0}};
    for (uint64_t i = 1; i <= RESULTS; i++)
        assert_int_equal(write_of(&table, "a", i, 0), SESSION_FRESH);

    assert_int_equal(write_of(&table, "a", RESULTS + 1, 0), SESSION_FULL);
    assert_int_equal(seal(&table, identity_of("a", RESULTS + 1, 0)), SESSION_FULL);
    assert_int_equal(write_of(&table, "b", 1, 0), SESSION_FULL);
    assert_int_equal(write_of(&table, "a", 1, 0), SESSION_DONE);

    /* What makes room for itself is taken: by an acknowledgement, or by moving the window. */
    assert_int_equal(write_of(&table, "a", RESULTS + 1, 1), SESSION_FRESH);
    assert_int_equal(write_of(&table, "a", WINDOW + 2, 0), SESSION_FRESH);
    assert_int_equal(stats_of(&table).results_count, RESULTS);
    assert_int_equal(stats_of(&table).bytes, bytes_max);
    table_free(&table);
}

/* ---- memory ---- */

/* By what the allocator says: tree, slots and its own overhead included. */
static void what_a_hundred_thousand_sessions_take_is_what_they_are_counted_for(void **state)
{
    (void)state;
    enum { SESSIONS = 100000, ID_BYTES = 26 };
    struct table table = table_new();
    size_t before = mallinfo2().uordblks;
    for (uint64_t i = 0; i < SESSIONS; i++) {
        char name[ID_BYTES + 1];
        (void)snprintf(name, sizeof name, "client-%019" PRIu64, i * 7919 % SESSIONS);
        assert_int_equal(write_of(&table, name, 1, 0), SESSION_FRESH);
    }

    uint64_t bytes = stats_of(&table).bytes;
    size_t taken = mallinfo2().uordblks - before;
    print_message("100,000 sessions with a result each: %" PRIu64 " bytes counted, %zu taken\n",
                  bytes, taken);
    assert_int_equal(bytes, (SESSION_BYTES + ID_BYTES + SESSION_RESULT_BYTES) * UINT64_C(100000));
    assert_true(taken <= bytes);
    table_free(&table);
}

/* Slots are given back as the client acknowledges, and are at most twice those in use. */
static void slots_follow_what_is_remembered_up_and_down(void **state)
{
    (void)state;
    struct table table = table_new();
    uint64_t sequence = 0, acked = 0;
    struct prng prng;
    prng_init(&prng, 6);
    for (int i = 0; i < 3000; i++) {
        uint64_t burst = prng_below(&prng, 100) == 0 ? 500 : prng_below(&prng, 4);
        for (uint64_t j = 0; j < burst; j++) {
            sequence++;
            assert_int_equal(write_of(&table, "a", sequence, acked), SESSION_FRESH);
        }
        if (sequence > 0 && prng_below(&prng, 3) == 0)
            acked += prng_below(&prng, sequence - acked);
        sessions_check(table.sessions); /* K23 */
    }
    table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allotted_id_is_this_text_and_no_other),
        cmocka_unit_test(a_write_is_fresh_once_and_done_ever_after),
        cmocka_unit_test(another_body_is_refused_and_changes_nothing_of_the_first),
        cmocka_unit_test(sequences_may_come_in_any_order_and_each_is_answered_with_its_own_result),
        cmocka_unit_test(the_window_holds_exactly_as_many_sequences_as_its_limit_says),
        cmocka_unit_test(before_the_window_is_full_nothing_is_too_old),
        cmocka_unit_test(all_answers_of_a_window_that_has_moved_are_those_of_their_own_requests),
        cmocka_unit_test(a_refused_write_moves_no_window),
        cmocka_unit_test(what_is_acknowledged_is_forgotten_and_nothing_else),
        cmocka_unit_test(an_old_acknowledgement_takes_nothing_back),
        cmocka_unit_test(a_duplicate_acknowledges_as_the_first_did),
        cmocka_unit_test(an_allotted_session_that_is_not_there_has_expired_for_ever),
        cmocka_unit_test(a_session_of_the_clients_own_is_not_closed),
        cmocka_unit_test(an_idempotency_key_in_the_form_of_an_allotted_id_is_a_key_all_the_same),
        cmocka_unit_test(what_was_sealed_before_it_came_is_never_carried_out),
        cmocka_unit_test(a_seal_that_comes_late_tells_what_became_of_the_write),
        cmocka_unit_test(what_expires_is_decided_by_stamps_of_the_log_alone),
        cmocka_unit_test(a_session_that_was_used_since_does_not_expire),
        cmocka_unit_test(one_command_forgets_no_more_than_its_limit),
        cmocka_unit_test(a_full_table_refuses_new_sessions_and_evicts_none),
        cmocka_unit_test(without_room_for_a_result_nothing_is_carried_out),
        cmocka_unit_test(what_a_hundred_thousand_sessions_take_is_what_they_are_counted_for),
        cmocka_unit_test(slots_follow_what_is_remembered_up_and_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
