/* Any bytes as what a server answers libminikv: whole and in pieces they come to the same reply, or
 * to the same complaint; its body is read as JSON, or found not to be any.
 *
 * The first byte of an input is the size of the pieces; its highest bit: a reply to HEAD. */
#include <stdint.h>

#include "base/check.h"
#include "base/limits.h"
#include "client/json_reader.h"
#include "client/reply_parser.h"

enum { HEAD_ONLY = 0x80 };

struct played {
    struct http_reply reply;
    struct reply_parser parser;
    enum reply_progress progress;
    size_t used;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void play(struct played *played, struct bytes bytes, size_t piece_bytes, bool is_head_only)
{
    *played = (struct played){.progress = REPLY_MORE};
    http_reply_init(&played->reply);
    reply_parser_init(&played->parser, &played->reply, is_head_only);
    while (played->progress == REPLY_MORE && played->used < bytes.count) {
        size_t used, count = MIN(piece_bytes, bytes.count - played->used);
        played->progress =
            reply_parser_feed(&played->parser, bytes_of(bytes.data + played->used, count), &used);
        INVARIANT(used <= count);
        INVARIANT(IMPLIES(played->progress == REPLY_MORE, used == count));
        played->used += used;
    }
    if (played->progress == REPLY_MORE)
        played->progress = reply_parser_end(&played->parser, true);
}

static void read_body(const struct http_reply *reply)
{
    struct reader reader;
    reader_init(&reader, http_reply_body(reply));
    reader_skip(&reader);
    (void)reader_end(&reader); /* either */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct played whole, pieces;
    if (count < 1)
        return 0;
    struct bytes bytes = bytes_of(data + 1, count - 1);
    bool is_head_only = (data[0] & HEAD_ONLY) != 0;
    play(&whole, bytes, SIZE_MAX, is_head_only);
    play(&pieces, bytes, (data[0] & (HEAD_ONLY - 1)) + 1, is_head_only);
    INVARIANT(whole.progress == pieces.progress);
    if (whole.progress == REPLY_DONE) {
        INVARIANT(whole.used == pieces.used);
        INVARIANT(whole.reply.code == pieces.reply.code);
        INVARIANT(bytes_equal(http_reply_body(&whole.reply), http_reply_body(&pieces.reply)));
        read_body(&whole.reply);
    }
    http_reply_release(&whole.reply);
    http_reply_release(&pieces.reply);
    return 0;
}
