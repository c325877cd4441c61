/* What the tests of the audit share: a log written by the real wal on a disk in memory. */
#ifndef MINIKV_TESTS_UNIT_AUDIT_AUDIT_FIXTURE_H
#define MINIKV_TESTS_UNIT_AUDIT_AUDIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/audit_replay.h"
#include "storage/wal.h"
#include "storage/wal_format.h"
#include "support/disk_env.h"

enum { FIXTURE_SECOND = 1000000 };

struct fixture {
    struct env *env;
    struct wal *wal;
    struct meta meta;
    struct entry_id next; /* where the next entry goes */
    raft_index commit;
    uint64_t stamp_us;
    uint64_t sequence_durable;

    struct audit_report report;
    struct audit_replay replay;
    struct errtext error;
    enum status status;
};

static inline void fixture_on_durable(void *ctx, uint64_t sequence)
{
    struct fixture *fixture = ctx;
    fixture->sequence_durable = sequence;
}

static inline void fixture_on_failed(void *ctx, enum status status)
{
    (void)ctx;
    fail_msg("the log failed: %s", status_info(status)->title);
}

static inline struct meta fixture_meta(node_id node)
{
    struct meta meta = {.identity = 100 + node, .node = node, .has_log = true};
    for (node_id id = 1; id <= 3; id++) {
        struct member member = {
            .id = id, .is_voter = true, .peer = {"127.0.0.1", (uint16_t)(7000 + id)}};
        assert_int_equal(config_add(&meta.initial, &member), ST_OK);
    }
    meta.cluster_id = config_cluster_id(&meta.initial);
    return meta;
}

static inline struct fixture *fixture_open(struct fixture *fixture)
{
    *fixture = (struct fixture){.env = disk_env_new(1),
                                .meta = fixture_meta(1),
                                .next = {.term = 1, .index = 2},
                                .commit = 1};
    struct wal_options options = {.directory = "wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                  .owner = {fixture->meta.cluster_id, fixture->meta.identity}};
    struct wal_callbacks callbacks = {
        .on_durable = fixture_on_durable, .on_failed = fixture_on_failed, .ctx = fixture};
    struct wal_recovered recovered;
    assert_int_equal(wal_open(fixture->env, &options, &callbacks, NULL, NULL, &fixture->wal,
                              &recovered, &fixture->error),
                     ST_OK);
    audit_report_init(&fixture->report);
    return fixture;
}

/* The process is killed; what it wrote stays. */
static inline void fixture_kill(struct fixture *fixture)
{
    wal_close(fixture->wal);
    fixture->wal = NULL;
    disk_env_kill(fixture->env);
}

static inline void fixture_close(struct fixture *fixture)
{
    wal_close(fixture->wal);
    disk_env_free(fixture->env);
    audit_replay_release(&fixture->replay);
    audit_report_release(&fixture->report);
}

/* An entry at `next`, made durable. Returns its index. */
static inline raft_index fixture_append(struct fixture *fixture, enum entry_type type,
                                        struct bytes data)
{
    uint64_t sequence;
    struct entry *entry = entry_new(type, data.count);
    if (data.count > 0)
        memcpy(entry->data, data.data, data.count);
    entry_seal(entry, fixture->next);
    assert_int_equal(wal_append(fixture->wal, NULL, &entry, 1, fixture->commit, &sequence), ST_OK);
    entry_unref(entry);
    while (fixture->sequence_durable < sequence)
        assert_true(disk_env_step(fixture->env));
    return fixture->next.index++;
}

static inline raft_index fixture_command(struct fixture *fixture, const struct command *command)
{
    struct buf encoded;
    uint8_t header[PROPOSAL_HEADER_BYTES];
    struct proposal proposal = {.stamp_us = fixture->stamp_us};
    proposal_encode_header(&proposal, header);
    buf_init(&encoded, LIMIT_ENTRY_BYTES);
    buf_put(&encoded, bytes_of(header, sizeof header));
    command_encode(command, &encoded);
    raft_index index = fixture_append(fixture, ENTRY_COMMAND, buf_bytes(&encoded));
    buf_release(&encoded);
    return index;
}

static inline raft_index fixture_incr(struct fixture *fixture, const char *client,
                                      uint64_t sequence)
{
    return fixture_command(
        fixture, &(struct command){.op = COMMAND_INCR,
                                   .identity = {.client = bytes_of_text(client),
                                                .sequence = client != NULL ? sequence : 0},
                                   .key = BYTES_LITERAL("n"),
                                   .by = 1});
}

static inline raft_index fixture_op(struct fixture *fixture, enum command_op op, const char *client,
                                    uint64_t sequence)
{
    return fixture_command(
        fixture,
        &(struct command){.op = op,
                          .identity = {.client = bytes_of_text(client), .sequence = sequence},
                          .key = op == COMMAND_DELETE ? BYTES_LITERAL("n") : bytes_of(NULL, 0)});
}

/* Audits the log, which is still there but not in use any more. */
static inline enum status fixture_audit(struct fixture *fixture)
{
    if (fixture->wal != NULL)
        fixture_kill(fixture);
    uint32_t digest = disk_env_digest(fixture->env);
    fixture->status = audit_replay_run(&fixture->replay, fixture->env, &fixture->meta,
                                       &fixture->report, &fixture->error);
    assert_int_equal(disk_env_digest(fixture->env), digest); /* it only reads */
    return fixture->status;
}

static inline void fixture_assert_proven(const struct fixture *fixture)
{
    if (fixture->status != ST_OK)
        fail_msg("not read: %s", fixture->error.text);
    if (fixture->report.violations_count > 0)
        fail_msg("index %llu: %s", (unsigned long long)fixture->report.findings[0].index,
                 fixture->report.findings[0].text);
}

/* The only finding there is. */
static inline void fixture_assert_found(const struct audit_report *report, enum audit_kind kind,
                                        raft_index index, const char *client, uint64_t sequence)
{
    assert_int_equal(report->violations_count + report->notes_count, 1);
    assert_string_equal(audit_kind_name(report->findings[0].kind), audit_kind_name(kind));
    assert_int_equal(report->findings[0].index, index);
    assert_string_equal(report->findings[0].client, client);
    assert_int_equal(report->findings[0].sequence, sequence);
}

#endif
