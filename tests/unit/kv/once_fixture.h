/* What the tests of exactly-once share: commands with an identity, applied as a log would. */
#ifndef MINIKV_TESTS_UNIT_KV_ONCE_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_ONCE_FIXTURE_H

#include "kv_fixture.h"

static inline struct kv_result once_apply(struct kv *kv, const struct command *command,
                                          uint64_t stamp_us)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    struct kv_result result = fixture_apply_bytes(kv, buf_bytes(&buf), stamp_us);
    buf_release(&buf);
    return result;
}

static inline struct command once_incr_of(const char *client, uint64_t sequence, int64_t by)
{
    return (struct command){.op = COMMAND_INCR,
                            .identity = {.client = bytes_of_text(client), .sequence = sequence},
                            .key = BYTES_LITERAL("n"),
                            .by = by};
}

static inline struct kv_result once_incr(struct kv *kv, const char *client, uint64_t sequence,
                                         int64_t by)
{
    struct command command = once_incr_of(client, sequence, by);
    return once_apply(kv, &command, 0);
}

static inline struct kv_result once_open(struct kv *kv, char out_id[LIMIT_CLIENT_ID_BYTES + 1])
{
    struct command command = {.op = COMMAND_OPEN_SESSION, .nonce = 0xfeed};
    struct kv_result result = once_apply(kv, &command, 0);
    if (result.status == ST_OK)
        (void)session_format_id((raft_index)result.number, 0xfeed, out_id);
    return result;
}

static inline struct kv_result once_close(struct kv *kv, const char *client)
{
    struct command command = {.op = COMMAND_CLOSE_SESSION,
                              .identity.client = bytes_of_text(client)};
    return once_apply(kv, &command, 0);
}

static inline struct kv_result once_expire(struct kv *kv, uint64_t cutoff_us)
{
    struct command command = {.op = COMMAND_EXPIRE_SESSIONS, .cutoff_us = cutoff_us};
    return once_apply(kv, &command, 0);
}

static inline struct kv_result once_seal(struct kv *kv, const char *client, uint64_t sequence)
{
    struct command command = {.op = COMMAND_SEAL,
                              .identity = {.client = bytes_of_text(client), .sequence = sequence}};
    return once_apply(kv, &command, 0);
}

static inline struct kv_result once_outcome(const struct kv *kv, const char *client,
                                            uint64_t sequence)
{
    struct kv_result result;
    struct client_identity identity = {.client = bytes_of_text(client), .sequence = sequence};
    kv_outcome(kv, &identity, &result);
    return result;
}

/* What the state alone answers to this command; false: it has to be ordered. */
static inline bool once_recall(const struct kv *kv, const struct command *command,
                               struct kv_result *out_result)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    bool is_known = kv_recall(kv, buf_bytes(&buf), 0, out_result);
    buf_release(&buf);
    return is_known;
}

/* The answer to a duplicate: what the first was told, and that it is not the first. */
static inline void assert_replays(const struct kv_result *got, const struct kv_result *first)
{
    assert_string_equal(status_info(got->status)->name, status_info(first->status)->name);
    assert_true(got->is_replayed);
    assert_false(got->changed);
    assert_int_equal(got->revision, first->revision);
    assert_int_equal(got->mod_revision, first->mod_revision);
    assert_int_equal(got->number, first->number);
}

static inline int64_t once_value(const struct kv *kv)
{
    struct kv_item item;
    int64_t number = 0;
    if (!kv_get(kv, BYTES_LITERAL("n"), &item))
        return 0;
    for (size_t i = 0; i < item.value.count; i++)
        number = number * 10 + (item.value.data[i] - '0');
    return number;
}

#endif
