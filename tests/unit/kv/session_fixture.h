/* What the tests of sessions share: a table with a log index and a log time of its own. */
#ifndef MINIKV_TESTS_UNIT_KV_SESSION_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_SESSION_FIXTURE_H

#include "kv/session_internal.h"
#include "kv/txn_internal.h"
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

/* All that a moment of a table has: their count, then one by one, as the state has it. */
static inline void sessions_encode_all(struct tree_view view, struct buf *out)
{
    struct tree_cursor cursor;
    const struct tree_item *session;
    buf_put_u64(out, view.items_count);
    (void)tree_find(view, bytes_of(NULL, 0), &cursor);
    while ((session = tree_next(&cursor)) != NULL)
        session_encode(session, out);
}

static inline enum status sessions_load_all(struct sessions *sessions, struct bytes in)
{
    struct cursor cursor = cursor_of(in);
    uint64_t count = cursor_u64(&cursor);
    enum status status = sessions_load_begin(sessions, count);
    for (uint64_t i = 0; i < count && status == ST_OK; i++) {
        size_t bytes = session_encoded_bytes(cursor.rest);
        if (bytes > cursor.rest.count)
            return ST_SHORT;
        status = sessions_load(sessions, cursor_take(&cursor, bytes));
    }
    if (status == ST_OK && !cursor_is_done(&cursor))
        status = ST_FORMAT;
    return status == ST_OK ? sessions_load_end(sessions) : status;
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

/* The same of a transaction, which read a value of so many bytes. Borrowed until the next call. */
static inline struct session_result txn_result_of_write(uint64_t sequence, size_t value_bytes)
{
    static uint8_t results[LIMIT_REMEMBERED_RESULT_BYTES];
    static uint8_t value[LIMIT_REMEMBERED_RESULT_BYTES];
    struct buf buf;
    buf_init(&buf, LIMIT_REMEMBERED_RESULT_BYTES);
    memset(value, (int)(sequence & 0xff), value_bytes);
    struct kv_item item = {.key = BYTES_LITERAL("k"), .value = bytes_of(value, value_bytes)};
    txn_results_put_head(&buf, true, 1);
    (void)txn_results_put(&buf, &(struct txn_result){.op = TXN_GET, .count = 1, .items_count = 1});
    txn_results_put_item(&buf, &item);
    (void)txn_results_put(&buf, &(struct txn_result){0});
    assert_false(buf.is_full);
    memcpy(results, buf.data, buf.count);
    struct session_result result = {.op = COMMAND_TXN,
                                    .status = ST_OK,
                                    .changed = sequence % 2 == 0,
                                    .revision = 1000 + sequence,
                                    .results = bytes_of(results, buf.count)};
    buf_release(&buf);
    return result;
}

/* What results of a value of so many bytes have more. */
enum {
    TXN_RESULTS_BYTES =
        TXN_RESULTS_HEAD_BYTES + TXN_RESULT_BYTES_MAX + TXN_ITEM_BYTES + 1 + TXN_END_BYTES,
    TXN_VALUE_BYTES_MAX = LIMIT_REMEMBERED_RESULT_BYTES - TXN_RESULTS_BYTES
};

static inline void assert_result_is(const struct session_result *got,
                                    const struct session_result *want)
{
    assert_int_equal(got->op, want->op);
    assert_int_equal(got->status, want->status);
    assert_int_equal(got->changed, want->changed);
    assert_int_equal(got->revision, want->revision);
    assert_int_equal(got->mod_revision, want->mod_revision);
    assert_int_equal(got->number, want->number);
    assert_true(bytes_equal(got->results, want->results));
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
