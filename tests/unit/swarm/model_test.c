/* The model that whole runs are held against: transactions over ranges and in each other, what they
 * come to as bytes, and what each revision brought. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "kv/txn.h"
#include "sim/swarm/data.h"
#include "sim/swarm/listing.h"
#include "sim/swarm/model.h"

struct log {
    struct model model;
    raft_index last;
    struct buf txn;
};

static struct log new_log(void)
{
    struct log log = {.last = 10};
    model_init(&log.model);
    buf_init(&log.txn, LIMIT_TXN_BYTES);
    return log;
}

static void free_log(struct log *log)
{
    buf_release(&log->txn);
    model_release(&log->model);
}

static raft_index apply(struct log *log, const struct command *command)
{
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    struct entry *entry = entry_new(ENTRY_COMMAND, PROPOSAL_HEADER_BYTES + encoded.count);
    struct proposal proposal = {.stamp_us = 1};
    proposal_encode_header(&proposal, entry->data);
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, encoded.data, encoded.count);
    entry_seal(entry, (struct entry_id){.term = 1, .index = ++log->last});
    model_apply(&log->model, entry);
    entry_unref(entry);
    buf_release(&encoded);
    return log->last;
}

static void put(struct log *log, const char *key, const char *value)
{
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = bytes_of_text(value)};
    (void)apply(log, &command);
}

static void commit(struct log *log)
{
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&log->txn)};
    assert_int_equal(txn_check(buf_bytes(&log->txn)), ST_OK);
    (void)apply(log, &command);
    buf_reset(&log->txn);
}

static void add(struct log *log, const struct txn_operation *operation)
{
    txn_put_operation(&log->txn, operation);
}

static void add_put(struct log *log, const char *key, const char *value)
{
    add(log, &(struct txn_operation){
                 .op = TXN_PUT, .key = bytes_of_text(key), .value = bytes_of_text(value)});
}

static void add_version_compare(struct log *log, const char *key, uint64_t version)
{
    txn_put_compare(&log->txn, &(struct txn_compare){.target = TXN_VERSION,
                                                     .relation = TXN_EQUAL,
                                                     .key = bytes_of_text(key),
                                                     .number = version});
}

static bool has(const struct log *log, const char *key)
{
    return model_find_key(&log->model, bytes_of_text(key)) != NULL;
}

static struct bytes results_at(const struct log *log, uint64_t revision)
{
    const struct model_revision *found = model_find_revision(&log->model, revision);
    assert_non_null(found);
    return found->results;
}

/* Of the only result, which is a get, its items' keys in order: "a b …". */
static void format_keys(struct bytes results, char *out)
{
    struct cursor in = cursor_of(results);
    struct txn_result result;
    bool succeeded;
    uint64_t revision;
    size_t count;
    out[0] = '\0';
    assert_true(txn_results_head(&in, &succeeded, &revision, &count));
    assert_true(txn_results_next(&in, &result));
    while (result.op != TXN_GET) /* the put of its own key is before it */
        assert_true(txn_results_next(&in, &result));
    for (uint64_t i = 0; i < result.items_count; i++) {
        struct kv_item item;
        assert_true(txn_results_item(&in, &item));
        (void)strncat(out, (const char *)item.key.data, item.key.count);
        (void)strcat(out, " ");
    }
}

/* ---- transactions ---- */

static void what_one_comes_to_is_as_documented(void **state)
{
    static const uint8_t wanted[] = {
        1, 3, 0, 0, 0,   0, 0, 0, 0, 3, /* succeeded, revision 3, three results */
        1, 1, 1, 0, 0,   0,             /* put: one item */
        2, 0, 0, 0, 0,   0, 0, 0, 2, 0,   0, 0, 0, 0, 0, 0, /* create_revision, mod_revision */
        1, 0, 0, 0, 0,   0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, /* version, lease */
        1, 0, 0, 0, 'a', 1, 0, 0, 0, '1',                   /* key, value */
        2, 0, 0, 0, 0,   0, 0, 0, 0, 0,   0, 0, 0, 0,       /* get: none of 0 */
        4, 0, 1,                                            /* nested: not succeeded, one result */
        3, 0, 0, 0, 0,   0, 0, 0, 0, 0,   0, 0, 0, 0,       /* delete: 0 keys */
        0, 0};
    struct log log = new_log();
    put(&log, "a", "1");

    txn_put_head(&log.txn, 0, 3, 0);
    add(&log, &(struct txn_operation){.op = TXN_PUT,
                                      .key = BYTES_LITERAL("a"),
                                      .value = BYTES_LITERAL("2"),
                                      .wants_previous = true});
    add(&log, &(struct txn_operation){.op = TXN_GET, .key = BYTES_LITERAL("none"), .items_max = 1});
    add(&log, &(struct txn_operation){.op = TXN_NESTED});
    txn_put_head(&log.txn, 1, 0, 1);
    add_version_compare(&log, "a", 2); /* as it will be, and is not yet */
    add(&log, &(struct txn_operation){.op = TXN_DELETE, .range.prefix = BYTES_LITERAL("n")});
    commit(&log);

    struct bytes results = results_at(&log, 3);
    assert_int_equal(results.count, sizeof wanted);
    assert_memory_equal(results.data, wanted, sizeof wanted);
    free_log(&log);
}

static void a_nested_one_is_decided_by_the_state_before(void **state)
{
    struct log log = new_log();
    put(&log, "a", "1");

    txn_put_head(&log.txn, 0, 2, 0);
    add_put(&log, "a", "2");
    add(&log, &(struct txn_operation){.op = TXN_NESTED});
    txn_put_head(&log.txn, 1, 1, 1);
    add_version_compare(&log, "a", 1);
    add_put(&log, "then", "");
    add_put(&log, "else", "");
    commit(&log);

    assert_true(has(&log, "then") && !has(&log, "else"));
    free_log(&log);
}

static void a_range_is_deleted_within_its_bounds(void **state)
{
    struct log log = new_log();
    static const char *const keys[] = {"p", "p/a", "p/b", "p/c", "q"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        put(&log, keys[i], "1");

    txn_put_head(&log.txn, 0, 1, 0);
    add(&log, &(struct txn_operation){.op = TXN_DELETE,
                                      .range = {.prefix = BYTES_LITERAL("p/"),
                                                .start = BYTES_LITERAL("p/b"),
                                                .end = BYTES_LITERAL("p/c")}});
    commit(&log);

    assert_true(has(&log, "p") && has(&log, "p/a") && has(&log, "p/c") && has(&log, "q"));
    assert_false(has(&log, "p/b"));
    free_log(&log);
}

static void a_get_sees_what_was_done_before_it_from_either_side(void **state)
{
    struct log log = new_log();
    char shown[64];
    put(&log, "p/b", "1");
    put(&log, "p/c", "1");

    txn_put_head(&log.txn, 0, 3, 0);
    add_put(&log, "p/a", "2");
    add(&log, &(struct txn_operation){.op = TXN_DELETE, .key = BYTES_LITERAL("p/b")});
    add(&log, &(struct txn_operation){
                  .op = TXN_GET, .range = {.prefix = BYTES_LITERAL("p/")}, .items_max = 9});
    commit(&log);

    format_keys(results_at(&log, 4), shown);
    assert_string_equal(shown, "p/a p/c ");

    put(&log, "p/b", "3");
    txn_put_head(&log.txn, 0, 2, 0);
    add_put(&log, "own", "");
    add(&log, &(struct txn_operation){.op = TXN_GET,
                                      .range = {.prefix = BYTES_LITERAL("p/"),
                                                .after = BYTES_LITERAL("p/c"),
                                                .is_descending = true},
                                      .items_max = 9});
    commit(&log);

    format_keys(results_at(&log, 6), shown);
    assert_string_equal(shown, "p/b p/a ");
    free_log(&log);
}

static void one_that_names_a_lease_that_is_gone_does_nothing(void **state)
{
    struct log log = new_log();

    txn_put_head(&log.txn, 0, 2, 0);
    add_put(&log, "a", "1");
    add(&log, &(struct txn_operation){.op = TXN_PUT, .key = BYTES_LITERAL("b"), .lease = 77});
    commit(&log);

    assert_false(has(&log, "a"));
    assert_int_equal(log.model.revision, 1);
    free_log(&log);
}

/* ---- what a revision brought ---- */

static uint64_t listing_of(const struct kv_item *items, size_t count)
{
    uint64_t listing = listing_basis();
    for (size_t i = 0; i < count; i++)
        listing = listing_add(listing, &items[i]);
    return listing;
}

static void events_are_in_the_order_of_keys_and_listings_of_what_is_left(void **state)
{
    struct log log = new_log();
    put(&log, "plot/b", "1");
    put(&log, "unlisted", "1");

    txn_put_head(&log.txn, 0, 2, 0);
    add(&log, &(struct txn_operation){.op = TXN_DELETE, .key = BYTES_LITERAL("plot/b")});
    add_put(&log, "plot/a", "2");
    commit(&log);

    struct kv_item a = {.key = BYTES_LITERAL("plot/a"),
                        .value = BYTES_LITERAL("2"),
                        .create_revision = 4,
                        .mod_revision = 4,
                        .version = 1};
    struct kv_item b = {.key = BYTES_LITERAL("plot/b"),
                        .value = BYTES_LITERAL("1"),
                        .create_revision = 2,
                        .mod_revision = 2,
                        .version = 1};
    struct kv_item b_deleted = {.key = b.key, .mod_revision = 4};
    uint64_t events = listing_add_event(listing_basis(), &a, 1);
    events = listing_add_event(events, &b_deleted, 2);
    assert_int_equal(model_find_revision(&log.model, 4)->events, events);
    assert_int_equal(model_find_revision(&log.model, 4)->listing, listing_of(&a, 1));
    assert_int_equal(model_find_revision(&log.model, 3)->listing, listing_of(&b, 1));
    assert_null(model_find_revision(&log.model, 5));
    free_log(&log);
}

/* ---- the oracles that hold nodes against it ---- */

static struct swarm *new_swarm(void)
{
    struct plan plan;
    struct plan_pins pins = {.nodes_count = 1, .has_faults = true};
    plan_draw(&plan, 1, &pins);
    return swarm_new(&plan, NULL);
}

static void another_listing_of_the_past_is_found(void **state)
{
    struct log log = new_log();
    struct swarm *swarm = new_swarm();
    uint64_t listings[] = {0, 0, 0, 4711};
    struct data data = {
        .swarm = swarm, .listings = listings, .listings_capacity = ARRAY_COUNT(listings)};
    put(&log, "plot/b", "1");
    put(&log, "plot/b", "2");

    listings[2] = model_find_revision(&log.model, 2)->listing;
    data_judge_past(&data, &log.model);

    assert_int_equal(swarm->violation.verdict, VERDICT_SAFETY);
    assert_string_equal(swarm->violation.oracle, "past");
    swarm_free(swarm);
    free_log(&log);
}

static void results_that_differ_from_the_logs_are_found(void **state)
{
    struct log log = new_log();
    struct swarm *swarm = new_swarm();
    struct txn_sent sent = {.is_applied = true};
    struct data data = {.swarm = swarm, .txns = &sent, .txns_count = 1};
    buf_init(&sent.results, LIMIT_TXN_RESULTS_BYTES);
    txn_put_head(&log.txn, 0, 1, 0);
    add_put(&log, "any", "");
    commit(&log);

    buf_put(&sent.results, results_at(&log, 2));
    data_judge(&data, &log.model);

    assert_int_equal(swarm->violation.verdict, VERDICT_PASS);

    sent.results.data[0] = 0; /* as if its compares had failed */
    data_judge(&data, &log.model);

    assert_string_equal(swarm->violation.oracle, "transactions");
    buf_release(&sent.results);
    swarm_free(swarm);
    free_log(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_comes_to_is_as_documented),
        cmocka_unit_test(a_nested_one_is_decided_by_the_state_before),
        cmocka_unit_test(a_range_is_deleted_within_its_bounds),
        cmocka_unit_test(a_get_sees_what_was_done_before_it_from_either_side),
        cmocka_unit_test(one_that_names_a_lease_that_is_gone_does_nothing),
        cmocka_unit_test(events_are_in_the_order_of_keys_and_listings_of_what_is_left),
        cmocka_unit_test(another_listing_of_the_past_is_found),
        cmocka_unit_test(results_that_differ_from_the_logs_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
