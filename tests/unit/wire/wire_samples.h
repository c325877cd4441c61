/* Wire samples: one of every message, with its name, for goldens, round trips and fuzzing. */
#ifndef MINIKV_TESTS_UNIT_WIRE_WIRE_SAMPLES_H
#define MINIKV_TESTS_UNIT_WIRE_WIRE_SAMPLES_H

#include "wire/codec.h"
#include "wire/fetch.h"
#include "wire/frame.h"
#include "wire/hello.h"

struct sample {
    const char *name;
    void (*encode)(struct buf *out); /* a whole frame */
};

static inline struct entry *sample_entry(enum entry_type type, raft_term term, raft_index index,
                                         const char *data)
{
    struct entry *entry = entry_new(type, strlen(data));
    if (entry->data_bytes != 0)
        memcpy(entry->data, data, entry->data_bytes);
    entry_seal(entry, (struct entry_id){.term = term, .index = index});
    return entry;
}

static inline void sample_message(const struct message *message, const struct address *http,
                                  struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_MESSAGE);
    message_encode(message, http, out);
    frame_end(out, begin);
}

static inline void sample_hello(struct buf *out)
{
    struct hello hello = {.version = WIRE_VERSION,
                          .cluster_id = 0x1122334455667788u,
                          .from = 1,
                          .to = 2,
                          .identity = 0xaabbccddeeff0011u,
                          .incarnation = 0x0102030405060708u,
                          .peer = {.host = "10.0.0.1", .port = 7001}};
    size_t begin = frame_begin(out, FRAME_HELLO);
    hello_encode(&hello, out);
    frame_end(out, begin);
}

static inline void sample_welcome(struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_WELCOME);
    welcome_encode(&(struct welcome){.incarnation = 9, .term = 7, .taken = 4711}, out);
    frame_end(out, begin);
}

static inline void sample_refuse(struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_REFUSE);
    refusal_encode(REFUSAL_CLUSTER, out);
    frame_end(out, begin);
}

static inline void sample_pre_vote(struct buf *out)
{
    struct message message = {.type = MESSAGE_PRE_VOTE, .from = 1, .to = 2, .term = 8};
    message.vote.last = (struct entry_id){.term = 7, .index = 1000};
    sample_message(&message, NULL, out);
}

static inline void sample_pre_vote_reply(struct buf *out)
{
    struct message message = {.type = MESSAGE_PRE_VOTE_REPLY, .from = 2, .to = 1, .term = 8};
    message.vote_reply.is_granted = true;
    sample_message(&message, NULL, out);
}

static inline void sample_vote(struct buf *out)
{
    struct message message = {.type = MESSAGE_VOTE, .from = 1, .to = 2, .term = 8};
    message.vote.last = (struct entry_id){.term = 7, .index = 1000};
    message.vote.is_transfer = true;
    sample_message(&message, NULL, out);
}

static inline void sample_vote_reply(struct buf *out)
{
    struct message message = {.type = MESSAGE_VOTE_REPLY, .from = 2, .to = 1, .term = 8};
    sample_message(&message, NULL, out);
}

static inline void sample_heartbeat(struct buf *out)
{
    struct message message = {.type = MESSAGE_APPEND, .from = 1, .to = 3, .term = 8};
    message.append.prev = (struct entry_id){.term = 7, .index = 1000};
    message.append.commit = 999;
    message.append.read_round = 5;
    sample_message(&message, NULL, out);
}

static inline void sample_append(struct buf *out)
{
    struct address http = {.host = "127.0.0.1", .port = 8081};
    struct entry *entries[3] = {sample_entry(ENTRY_NOOP, 8, 1001, ""),
                                sample_entry(ENTRY_COMMAND, 8, 1002, "put k v"),
                                sample_entry(ENTRY_CONFIG, 8, 1003, "members")};
    struct message message = {.type = MESSAGE_APPEND, .from = 1, .to = 3, .term = 8};
    message.append.prev = (struct entry_id){.term = 7, .index = 1000};
    message.append.commit = 1002;
    message.append.read_round = 6;
    message.append.entries_count = 3;
    message.append.entries = entries;
    sample_message(&message, &http, out);
    for (int i = 0; i < 3; i++)
        entry_unref(entries[i]);
}

static inline void sample_append_reply(struct buf *out)
{
    struct message message = {.type = MESSAGE_APPEND_REPLY, .from = 3, .to = 1, .term = 8};
    message.append_reply.match = 1003;
    message.append_reply.read_round = 6;
    sample_message(&message, NULL, out);
}

static inline void sample_append_reject(struct buf *out)
{
    struct message message = {.type = MESSAGE_APPEND_REPLY, .from = 3, .to = 1, .term = 8};
    message.append_reply.is_rejected = true;
    message.append_reply.prev = 1000;
    message.append_reply.conflict = (struct entry_id){.term = 6, .index = 900};
    message.append_reply.read_round = 6;
    sample_message(&message, NULL, out);
}

static inline void sample_read_index(struct buf *out)
{
    struct message message = {.type = MESSAGE_READ_INDEX, .from = 2, .to = 1, .term = 8};
    message.read_index.id = (struct read_id){.incarnation = 0x0102030405060708u, .number = 12};
    sample_message(&message, NULL, out);
}

static inline void sample_read_index_reply(struct buf *out)
{
    struct message message = {.type = MESSAGE_READ_INDEX_REPLY, .from = 1, .to = 2, .term = 8};
    message.read_index_reply.id =
        (struct read_id){.incarnation = 0x0102030405060708u, .number = 12};
    message.read_index_reply.index = 1002;
    sample_message(&message, NULL, out);
}

static inline void sample_read_index_refusal(struct buf *out)
{
    struct message message = {.type = MESSAGE_READ_INDEX_REPLY, .from = 1, .to = 2, .term = 8};
    message.read_index_reply.id =
        (struct read_id){.incarnation = 0x0102030405060708u, .number = 13};
    message.read_index_reply.is_refused = true;
    sample_message(&message, NULL, out);
}

static inline void sample_timeout_now(struct buf *out)
{
    struct message message = {.type = MESSAGE_TIMEOUT_NOW, .from = 1, .to = 2, .term = 8};
    sample_message(&message, NULL, out);
}

static inline void sample_snapshot(struct buf *out)
{
    struct message message = {.type = MESSAGE_SNAPSHOT, .from = 1, .to = 2, .term = 8};
    message.snapshot.last = (struct entry_id){.term = 7, .index = 1000};
    message.snapshot.bytes = 1234567;
    message.snapshot.commit = 1002;
    message.snapshot.read_round = 6;
    sample_message(&message, NULL, out);
}

static inline void sample_forward(struct buf *out)
{
    struct envelope envelope = {.cluster_id = 0x1122334455667788u,
                                .to = 1,
                                .term = 8,
                                .number = 41,
                                .deadline_ms = 5000,
                                .hops = 1,
                                .command = BYTES_LITERAL("put k v")};
    size_t begin = frame_begin(out, FRAME_FORWARD);
    envelope_encode(&envelope, out);
    envelope.number++;
    envelope.command = BYTES_LITERAL("x");
    envelope_encode(&envelope, out);
    frame_end(out, begin);
}

static inline void sample_refused(struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_REFUSED);
    envelope_refusal_encode(
        &(struct envelope_refusal){.term = 8, .number = 41, .status = ST_FENCED}, out);
    envelope_refusal_encode(
        &(struct envelope_refusal){.term = 8, .number = 42, .status = ST_ALREADY_FORWARDED}, out);
    frame_end(out, begin);
}

static inline void sample_ping(struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_PING);
    buf_put_u64(out, 123456789);
    frame_end(out, begin);
}

static inline void sample_pong(struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_PONG);
    buf_put_u64(out, 123456789);
    frame_end(out, begin);
}

static inline void sample_bye(struct buf *out)
{
    frame_end(out, frame_begin(out, FRAME_BYE));
}

static inline void sample_fetch(struct buf *out)
{
    size_t begin = frame_begin(out, FRAME_FETCH);
    snapshot_fetch_encode(&(struct snapshot_fetch){.number = 7,
                                                   .snapshot = {.term = 7, .index = 1000},
                                                   .offset = 131072,
                                                   .bytes_max = LIMIT_SNAPSHOT_CHUNK_BYTES},
                          out);
    frame_end(out, begin);
}

/* "here" with these bytes; without any, `state`. */
static inline void sample_any_chunk(enum chunk_state state, uint32_t unpacked_bytes,
                                    struct bytes bytes, struct buf *out)
{
    struct snapshot_chunk chunk = {.number = 7,
                                   .snapshot = {.term = 7, .index = 1000},
                                   .offset = 131072,
                                   .state = state,
                                   .total = state == CHUNK_HERE ? 1234567 : 0,
                                   .unpacked_bytes = unpacked_bytes,
                                   .bytes = bytes};
    size_t begin = frame_begin(out, FRAME_CHUNK);
    snapshot_chunk_encode(&chunk, out);
    frame_end(out, begin);
}

static inline void sample_chunk(struct buf *out)
{
    sample_any_chunk(CHUNK_HERE, 0, BYTES_LITERAL("as it is"), out);
}

/* Of the text "key value " over and over, as zstd packs it. */
static inline void sample_chunk_packed(struct buf *out)
{
    sample_any_chunk(CHUNK_HERE, 48,
                     BYTES_LITERAL("\x28\xb5\x2f\xfd\x20\x30\x85\x00\x00\x50\x6b\x65\x79\x20\x76"
                                   "\x61\x6c\x75\x65\x20\x01\x00\xfb\x14\x24"),
                     out);
}

static inline void sample_chunk_gone(struct buf *out)
{
    sample_any_chunk(CHUNK_GONE, 0, BYTES_LITERAL(""), out);
}

static inline void sample_chunk_busy(struct buf *out)
{
    sample_any_chunk(CHUNK_BUSY, 0, BYTES_LITERAL(""), out);
}

static const struct sample samples[] = {
    {"hello", sample_hello},
    {"welcome", sample_welcome},
    {"refuse", sample_refuse},
    {"pre_vote", sample_pre_vote},
    {"pre_vote_reply", sample_pre_vote_reply},
    {"vote", sample_vote},
    {"vote_reply", sample_vote_reply},
    {"heartbeat", sample_heartbeat},
    {"append", sample_append},
    {"append_reply", sample_append_reply},
    {"append_reject", sample_append_reject},
    {"read_index", sample_read_index},
    {"read_index_reply", sample_read_index_reply},
    {"read_index_refusal", sample_read_index_refusal},
    {"timeout_now", sample_timeout_now},
    {"snapshot", sample_snapshot},
    {"forward", sample_forward},
    {"refused", sample_refused},
    {"ping", sample_ping},
    {"pong", sample_pong},
    {"bye", sample_bye},
    {"fetch", sample_fetch},
    {"chunk", sample_chunk},
    {"chunk_packed", sample_chunk_packed},
    {"chunk_gone", sample_chunk_gone},
    {"chunk_busy", sample_chunk_busy},
};

#endif
