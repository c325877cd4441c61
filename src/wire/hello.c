/* Hello, welcome and refusal as bytes. */
#include "wire/hello.h"

#include "wire/shape.h"

const char *refusal_text(enum refusal refusal)
{
    switch (refusal) {
    case REFUSAL_VERSION:
        return "another protocol version";
    case REFUSAL_CLUSTER:
        return "another cluster";
    case REFUSAL_ADDRESSEE:
        return "meant for another node";
    case REFUSAL_SELF:
        return "two nodes with the same id";
    case REFUSAL_MEMBER:
        return "not a member";
    case REFUSAL_IDENTITY:
        return "not the data directory recorded for this id: a wiped or copied disk";
    case REFUSAL_HISTORY:
        return "another cluster of the same founders: they have started with empty disks";
    }
    return "unknown reason";
}

void hello_encode(const struct hello *hello, struct buf *out)
{
    buf_put_u32(out, hello->version);
    buf_put_u32(out, hello->from);
    buf_put_u32(out, hello->to);
    buf_put_u64(out, hello->cluster_id);
    buf_put_u64(out, hello->identity);
    buf_put_u64(out, hello->incarnation);
    buf_put_u64(out, hello->history);
    shape_put_address(&hello->peer, out);
}

enum status hello_decode(struct bytes in, struct hello *out_hello)
{
    struct cursor cursor = cursor_of(in);
    struct hello hello = {.version = cursor_u32(&cursor)};
    if (cursor.is_short)
        return ST_SHORT;
    if (hello.version != WIRE_VERSION) {
        *out_hello = hello;
        return ST_OK;
    }
    hello.from = cursor_u32(&cursor);
    hello.to = cursor_u32(&cursor);
    hello.cluster_id = cursor_u64(&cursor);
    hello.identity = cursor_u64(&cursor);
    hello.incarnation = cursor_u64(&cursor);
    hello.history = cursor_u64(&cursor);
    enum status status = shape_take_address(&cursor, &hello.peer);
    if (status != ST_OK)
        return status;
    if (!cursor_is_done(&cursor) || !shape_is_node(hello.from) || !shape_is_node(hello.to) ||
        hello.cluster_id == 0 || hello.identity == 0)
        return ST_FORMAT;
    *out_hello = hello;
    return ST_OK;
}

void welcome_encode(const struct welcome *welcome, struct buf *out)
{
    buf_put_u64(out, welcome->incarnation);
    buf_put_u64(out, welcome->term);
    buf_put_u64(out, welcome->taken);
}

enum status welcome_decode(struct bytes in, struct welcome *out_welcome)
{
    struct cursor cursor = cursor_of(in);
    struct welcome welcome = {.incarnation = cursor_u64(&cursor)};
    welcome.term = cursor_u64(&cursor);
    welcome.taken = cursor_u64(&cursor);
    if (cursor.is_short)
        return ST_SHORT;
    if (!cursor_is_done(&cursor) || !shape_is_number(welcome.term) ||
        !shape_is_number(welcome.taken))
        return ST_FORMAT;
    *out_welcome = welcome;
    return ST_OK;
}

void refusal_encode(enum refusal refusal, struct buf *out)
{
    REQUIRE(refusal >= REFUSAL_VERSION && refusal <= REFUSAL_HISTORY);
    buf_put_u8(out, (uint8_t)refusal);
}

enum status refusal_decode(struct bytes in, enum refusal *out_refusal)
{
    struct cursor cursor = cursor_of(in);
    uint8_t reason = cursor_u8(&cursor);
    if (cursor.is_short)
        return ST_SHORT;
    if (!cursor_is_done(&cursor) || reason < REFUSAL_VERSION || reason > REFUSAL_HISTORY)
        return ST_FORMAT;
    *out_refusal = (enum refusal)reason;
    return ST_OK;
}
