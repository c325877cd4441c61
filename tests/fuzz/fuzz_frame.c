/* What another node may send: frames, and in them messages, envelopes, refusals, greetings and
 * pieces of snapshots.
 * Each that decodes must encode to the same bytes. Corpus: tests/fuzz/corpus/frame. */
#include "base/check.h"
#include "base/mem.h"
#include "wire/codec.h"
#include "wire/fetch.h"
#include "wire/frame.h"
#include "wire/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void expect_same(struct buf *again, struct bytes bytes)
{
    REQUIRE(bytes_equal(buf_bytes(again), bytes));
    buf_release(again);
}

static void try_message(struct bytes body)
{
    static struct message_in in;
    struct buf again;
    if (message_decode(body, &in) != ST_OK)
        return;
    buf_init(&again, LIMIT_FRAME_BYTES);
    message_encode(&in.message, &in.leader_http, &again);
    message_in_release(&in);
    expect_same(&again, body);
}

static void try_envelopes(struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    struct envelope envelope;
    for (;;) {
        struct bytes before = cursor.rest;
        struct buf again;
        if (cursor_is_done(&cursor) || envelope_decode(&cursor, &envelope) != ST_OK)
            return;
        buf_init(&again, LIMIT_FRAME_BYTES);
        envelope_encode(&envelope, &again);
        expect_same(&again, bytes_of(before.data, before.count - cursor.rest.count));
    }
}

static void try_refusals(struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    struct envelope_refusal refusal;
    for (;;) {
        struct bytes before = cursor.rest;
        struct buf again;
        if (cursor_is_done(&cursor) || envelope_refusal_decode(&cursor, &refusal) != ST_OK)
            return;
        buf_init(&again, LIMIT_FRAME_BYTES);
        envelope_refusal_encode(&refusal, &again);
        expect_same(&again, bytes_of(before.data, before.count - cursor.rest.count));
    }
}

static void try_fetch(struct bytes body)
{
    struct snapshot_fetch fetch;
    struct buf again;
    if (snapshot_fetch_decode(body, &fetch) != ST_OK)
        return;
    buf_init(&again, LIMIT_FRAME_BYTES);
    snapshot_fetch_encode(&fetch, &again);
    expect_same(&again, body);
}

static void try_chunk(struct bytes body)
{
    struct snapshot_chunk chunk;
    struct buf again;
    if (snapshot_chunk_decode(body, &chunk) != ST_OK)
        return;
    buf_init(&again, LIMIT_FRAME_BYTES);
    snapshot_chunk_encode(&chunk, &again);
    expect_same(&again, body);
}

static void try_greetings(struct bytes body)
{
    struct hello hello;
    struct welcome welcome;
    enum refusal refusal;
    struct buf again;
    if (hello_decode(body, &hello) == ST_OK && hello.version == WIRE_VERSION) {
        buf_init(&again, LIMIT_FRAME_BYTES);
        hello_encode(&hello, &again);
        expect_same(&again, body);
    }
    if (welcome_decode(body, &welcome) == ST_OK) {
        buf_init(&again, LIMIT_FRAME_BYTES);
        welcome_encode(&welcome, &again);
        expect_same(&again, body);
    }
    if (refusal_decode(body, &refusal) == ST_OK) {
        buf_init(&again, LIMIT_FRAME_BYTES);
        refusal_encode(refusal, &again);
        expect_same(&again, body);
    }
}

static void try_body(enum frame_type type, struct bytes body)
{
    switch (type) {
    case FRAME_MESSAGE:
        try_message(body);
        break;
    case FRAME_FORWARD:
        try_envelopes(body);
        break;
    case FRAME_REFUSED:
        try_refusals(body);
        break;
    case FRAME_FETCH:
        try_fetch(body);
        break;
    case FRAME_CHUNK:
        try_chunk(body);
        break;
    case FRAME_HELLO:
    case FRAME_WELCOME:
    case FRAME_REFUSE:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_BYE:
        try_greetings(body);
        break;
    }
}

/* The body of the first frame for each decoder, without the checksum in the way; then, as a link
 * does it, frame after frame. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct bytes rest = bytes_of(data, count), body;
    enum frame_type type;
    size_t frame_bytes;
    if (count > FRAME_HEADER_BYTES && data[8] >= FRAME_HELLO && data[8] <= FRAME_TYPE_LAST)
        try_body((enum frame_type)data[8],
                 bytes_of(data + FRAME_HEADER_BYTES, count - FRAME_HEADER_BYTES));
    while (frame_next(rest, LIMIT_FRAME_BYTES, &type, &body, &frame_bytes) == ST_OK) {
        INVARIANT(frame_bytes <= rest.count && frame_bytes == frame_bytes_wanted(rest));
        try_body(type, body);
        rest = bytes_of(rest.data + frame_bytes, rest.count - frame_bytes);
    }
    return 0;
}
