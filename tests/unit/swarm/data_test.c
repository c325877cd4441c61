/* What the data model adds: the model of a log with transactions and leases, and oracles that speak
 * up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kv/txn.h"
#include "sim/swarm/data.h"
#include "sim/swarm/model.h"

enum { SECOND_US = 1000000 };

struct log {
    struct model model;
    raft_index last;
};

static struct log new_log(void)
{
    struct log log = {.last = 10};
    model_init(&log.model);
    return log;
}

/* Return the index of its entry. */
static raft_index apply(struct log *log, uint64_t stamp_us, const struct command *command)
{
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    struct entry *entry = entry_new(ENTRY_COMMAND, PROPOSAL_HEADER_BYTES + encoded.count);
    struct proposal proposal = {.stamp_us = stamp_us};
    proposal_encode_header(&proposal, entry->data);
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, encoded.data, encoded.count);
    entry_seal(entry, (struct entry_id){.term = 1, .index = ++log->last});
    model_apply(&log->model, entry);
    entry_unref(entry);
    buf_release(&encoded);
    return log->last;
}

static uint64_t grant(struct log *log, uint64_t stamp_us, uint64_t ttl_ms)
{
    struct command command = {.op = COMMAND_GRANT_LEASE, .ttl_ms = ttl_ms};
    return apply(log, stamp_us, &command);
}

static void put(struct log *log, const char *key, uint64_t lease)
{
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = BYTES_LITERAL("1"), .lease = lease};
    (void)apply(log, 0, &command);
}

static void expire(struct log *log, uint64_t stamp_us)
{
    struct command command = {.op = COMMAND_EXPIRE_LEASES, .cutoff_us = UINT64_MAX};
    (void)apply(log, stamp_us, &command);
}

static bool has(const struct log *log, const char *key)
{
    return model_find_key(&log->model, bytes_of_text(key)) != NULL;
}

/* Two keys, if `key` has that revision. */
static void swap(struct log *log, const char *key, uint64_t revision, const char *other)
{
    struct buf txn;
    buf_init(&txn, LIMIT_COMMAND_BYTES);
    struct txn_compare compare = {.target = TXN_MOD_REVISION,
                                  .relation = TXN_EQUAL,
                                  .key = bytes_of_text(key),
                                  .number = revision};
    struct txn_operation first = {
        .op = TXN_PUT, .key = bytes_of_text(key), .value = BYTES_LITERAL("2")};
    struct txn_operation second = {
        .op = TXN_PUT, .key = bytes_of_text(other), .value = BYTES_LITERAL("2")};
    txn_put_head(&txn, 1, 2, 0);
    txn_put_compare(&txn, &compare);
    txn_put_operation(&txn, &first);
    txn_put_operation(&txn, &second);
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&txn)};
    (void)apply(log, 0, &command);
    buf_release(&txn);
}

static void a_transaction_changes_all_its_keys_at_one_revision_or_none(void **state)
{
    struct log log = new_log();
    put(&log, "a", 0);

    swap(&log, "a", 7, "b");

    assert_false(has(&log, "b"));
    assert_int_equal(log.model.revision, 2);

    swap(&log, "a", 2, "b");

    assert_int_equal(log.model.revision, 3);
    assert_int_equal(model_find_key(&log.model, BYTES_LITERAL("a"))->mod_revision, 3);
    assert_int_equal(model_find_key(&log.model, BYTES_LITERAL("b"))->mod_revision, 3);
    model_release(&log.model);
}

static void a_lease_goes_with_its_keys_at_one_revision(void **state)
{
    struct log log = new_log();
    uint64_t lease = grant(&log, SECOND_US, 2000);
    put(&log, "a", lease);
    put(&log, "b", lease);
    put(&log, "c", 0);
    put(&log, "d", lease + 1); /* there is none */

    expire(&log, 3 * SECOND_US - 1);

    assert_true(has(&log, "a") && has(&log, "b") && has(&log, "c") && !has(&log, "d"));
    assert_int_equal(log.model.revision, 4);

    expire(&log, 3 * SECOND_US);

    assert_true(!has(&log, "a") && !has(&log, "b") && has(&log, "c"));
    assert_int_equal(log.model.revision, 5);
    model_release(&log.model);
}

static void a_renewed_lease_lasts_from_then_on(void **state)
{
    struct log log = new_log();
    uint8_t row[8];
    uint64_t lease = grant(&log, SECOND_US, 2000);
    put(&log, "a", lease);
    store_u64(row, lease);
    struct command renewal = {.op = COMMAND_RENEW_LEASES, .value = bytes_of(row, sizeof row)};

    (void)apply(&log, 2 * SECOND_US, &renewal);
    expire(&log, 3 * SECOND_US);

    assert_true(has(&log, "a"));

    expire(&log, 4 * SECOND_US);

    assert_false(has(&log, "a"));
    model_release(&log.model);
}

static void a_revoked_lease_takes_only_the_keys_that_still_hang_on_it(void **state)
{
    struct log log = new_log();
    uint64_t lease = grant(&log, SECOND_US, 2000), other = grant(&log, SECOND_US, 2000);
    put(&log, "a", lease);
    put(&log, "a", other);
    put(&log, "b", lease);
    struct command command = {.op = COMMAND_REVOKE_LEASE, .lease = lease};

    (void)apply(&log, 0, &command);

    assert_true(has(&log, "a") && !has(&log, "b"));
    model_release(&log.model);
}

static void a_fast_clock_shortens_what_a_lease_is_owed(void **state)
{
    assert_int_equal(data_lease_until(5 * SECOND_US, 10 * SECOND_US, 100), 15 * SECOND_US);
    assert_int_equal(data_lease_until(5 * SECOND_US, 10 * SECOND_US, 125), 13 * SECOND_US);
}

static struct swarm *new_swarm(uint32_t faults)
{
    struct plan plan;
    struct plan_pins pins = {
        .nodes_count = 3, .duration = 5 * SECOND_US, .has_faults = true, .faults = faults};
    plan_draw(&plan, 1, &pins);
    return swarm_new(&plan, NULL);
}

static void expect_violation(struct swarm *swarm, const char *oracle)
{
    enum verdict verdict = swarm_play(swarm);

    assert_int_equal(verdict, VERDICT_SAFETY);
    assert_string_equal(swarm->violation.oracle, oracle);
    swarm_free(swarm);
}

static void other_events_of_a_revision_are_found(void **state)
{
    struct swarm *swarm = new_swarm(0);
    swarm->changes_capacity = 8;
    swarm->changes = mem_alloc_array(swarm->changes_capacity, sizeof swarm->changes[0]);
    swarm->changes[5] = 4711;

    expect_violation(swarm, "events");
}

/* Of as many as were asked for; a command has at least one. */
static void keep_alives_share_commands(void **state)
{
    struct swarm *swarm = new_swarm(1u << FAULT_DATA);
    uint64_t taken_count = 0, batches_count = 0;

    (void)swarm_play(swarm);

    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        taken_count += swarm->sites[i].renewals->taken_count;
        batches_count += swarm->sites[i].renewals->batches_count;
    }
    assert_true(batches_count > 0);
    assert_true(taken_count > 2 * batches_count);
    swarm_free(swarm);
}

static void a_load_with_leases_and_transactions_passes(void **state)
{
    struct swarm *swarm = new_swarm(1u << FAULT_DATA);

    enum verdict verdict = swarm_play(swarm);

    assert_int_equal(verdict, VERDICT_PASS);
    assert_true(swarm->data->txns_count > 0 && swarm->data->applied_count > 0);
    assert_true(swarm->data->pairs_count < swarm->data->txns_count);
    assert_true(swarm->data->leases_count > 0 && !data_has_leases(swarm));
    swarm_free(swarm);
}

int main(void)
{
    diag_set_level(DIAG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transaction_changes_all_its_keys_at_one_revision_or_none),
        cmocka_unit_test(a_lease_goes_with_its_keys_at_one_revision),
        cmocka_unit_test(a_renewed_lease_lasts_from_then_on),
        cmocka_unit_test(a_revoked_lease_takes_only_the_keys_that_still_hang_on_it),
        cmocka_unit_test(a_fast_clock_shortens_what_a_lease_is_owed),
        cmocka_unit_test(other_events_of_a_revision_are_found),
        cmocka_unit_test(keep_alives_share_commands),
        cmocka_unit_test(a_load_with_leases_and_transactions_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
