/* What the tests of sessions share: a table with a log index and a log time of its own. */
#ifndef MINIKV_TESTS_UNIT_KV_SESSION_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_SESSION_FIXTURE_H

#include "kv/session_internal.h"
#include "kv_fixture.h"

struct table {
    struct sessions *sessions;
    struct entry_id at; /* of the last entry */
    uint64_t stamp_us;
};

static inline struct table table_new(void)
{
    return (struct table){.sessions = sessions_new(), .at = {1, 0}};
}

static inline void table_free(struct table *table)
{
    sessions_check(table->sessions);
    sessions_free(table->sessions);
}

static inline struct client_identity identity_of(const char *client, uint64_t sequence,
                                                 uint64_t acked)
{
    return (struct client_identity){
        .client = bytes_of_text(client), .sequence = sequence, .acked = acked};
}

static inline struct client_identity key_of(const char *key)
{
    return (struct client_identity){
        .kind = CLIENT_KEY, .client = bytes_of_text(key), .sequence = 1};
}

/* A result that only the write with this sequence has. */
static inline struct session_result result_of_write(uint64_t sequence)
{
    return (struct session_result){.op = COMMAND_INCR,
                                   .status = sequence % 5 == 0 ? ST_OVERFLOW : ST_OK,
                                   .changed = sequence % 5 != 0,
                                   .revision = 1000 + sequence,
                                   .mod_revision = sequence ^ 0x55,
                                   .number = -(int64_t)sequence};
}

static inline void assert_result_is(const struct session_result *got,
                                    const struct session_result *want)
{
    assert_int_equal(got->op, want->op);
    assert_int_equal(got->status, want->status);
    assert_int_equal(got->changed, want->changed);
    assert_int_equal(got->revision, want->revision);
    assert_int_equal(got->mod_revision, want->mod_revision);
    assert_int_equal(got->number, want->number);
}

/* One entry with a write whose body is `fingerprint`; FRESH is carried out and recorded. */
static inline enum session_verdict write_body(struct table *table, struct client_identity identity,
                                              uint64_t fingerprint)
{
    struct session_result result;
    table->at.index++;
    enum session_verdict verdict = sessions_begin(table->sessions, &identity, fingerprint,
                                                  table->at, table->stamp_us, &result);
    if (verdict == SESSION_DONE)
        assert_result_is(&result,
                         &(struct session_result[]){result_of_write(identity.sequence)}[0]);
    if (verdict == SESSION_FRESH) {
        result = result_of_write(identity.sequence);
        sessions_record(table->sessions, &identity, fingerprint, &result);
    }
    return verdict;
}

/* The same with the one body that writes of this sequence have. */
static inline enum session_verdict write_of(struct table *table, const char *client,
                                            uint64_t sequence, uint64_t acked)
{
    return write_body(table, identity_of(client, sequence, acked), sequence * 7);
}

static inline enum session_verdict judge(const struct table *table, const char *client,
                                         uint64_t sequence)
{
    struct session_result result;
    struct client_identity identity = identity_of(client, sequence, 0);
    return sessions_judge(table->sessions, &identity, sequence * 7, &result);
}

static inline enum session_verdict seal(struct table *table, struct client_identity identity)
{
    struct session_result result;
    table->at.index++;
    return sessions_seal(table->sessions, &identity, table->at, table->stamp_us, &result);
}

/* An allotted session; its id in `out`. */
static inline void open_session(struct table *table, char out[LIMIT_CLIENT_ID_BYTES + 1])
{
    table->at.index++;
    assert_int_equal(sessions_open(table->sessions, 0xc0ffee, table->at, table->stamp_us), ST_OK);
    (void)session_format_id(table->at.index, 0xc0ffee, out);
}

static inline struct sessions_stats stats_of(const struct table *table)
{
    struct sessions_stats stats;
    sessions_stats(table->sessions, &stats);
    return stats;
}

#endif
