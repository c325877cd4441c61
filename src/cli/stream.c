#include "cli/stream.h"

#include <string.h>
#include <time.h>

enum {
    PIECE_BYTES = 64 * KIB,
    LINE_BYTES_MAX = 32 * MIB, /* two values of a key, each byte escaped, fit */
    HEAD_MS = 5 * 1000,
    AGAIN_MS = 100 /* between rounds of all endpoints */
};

void stream_init(struct stream *stream, struct cli *cli)
{
    *stream = (struct stream){.cli = cli, .silent_ms = download_now_ms()};
    buf_init(&stream->bytes, LINE_BYTES_MAX + PIECE_BYTES);
}

void stream_leave(struct stream *stream)
{
    if (!stream->is_open)
        return;
    download_close(&stream->download);
    stream->is_open = false;
    stream->endpoint = (stream->endpoint + 1) % stream->cli->connect.endpoints_count;
    buf_reset(&stream->bytes);
    stream->taken = 0;
}

void stream_release(struct stream *stream)
{
    stream_leave(stream);
    buf_release(&stream->bytes);
}

/* ---- finding a node ---- */

static void show(const struct stream *stream, const char *target, const char *address,
                 enum download_result result)
{
    if (!stream->cli->is_verbose)
        return;
    fprintf(stderr, "> GET %s to %s\n", target, address);
    if (result == DOWNLOAD_OK)
        fputs("< 200\n", stderr);
    else
        fprintf(stderr, "! %s\n", stream->error.text);
}

static enum stream_result try_one(struct stream *stream, const char *target, const char *headers)
{
    char address[LIMIT_ADDRESS_BYTES];
    const struct cli_connect *connect = &stream->cli->connect;
    const struct address *endpoint = &connect->endpoints[stream->endpoint];
    enum download_result result =
        download_open(endpoint, target, headers, MIN(connect->timeout / TIME_US_PER_MS, 1000u),
                      HEAD_MS, &stream->download, &stream->error);
    show(stream, target, address_format(endpoint, address), result);
    if (result == DOWNLOAD_REFUSED)
        return STREAM_REFUSED;
    if (result == DOWNLOAD_OK) {
        stream->is_open = true;
        stream->silent_ms = 0;
        return STREAM_LINE;
    }
    errtext_wrap(&stream->error, "%s", address);
    stream->endpoint = (stream->endpoint + 1) % connect->endpoints_count;
    return STREAM_LOST;
}

enum stream_result stream_open(struct stream *stream, const char *target, const char *headers)
{
    uint64_t timeout_ms = stream->cli->connect.timeout / TIME_US_PER_MS;
    stream_leave(stream);
    if (stream->silent_ms == 0)
        stream->silent_ms = download_now_ms();
    for (size_t tries = 1;; tries++) {
        enum stream_result result = try_one(stream, target, headers);
        if (result != STREAM_LOST || download_now_ms() - stream->silent_ms >= timeout_ms)
            return result;
        struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000};
        if (tries % stream->cli->connect.endpoints_count == 0)
            (void)nanosleep(&pause, NULL); /* a signal ends it early */
    }
}

/* ---- lines ---- */

static const uint8_t *find_end(const struct stream *stream)
{
    size_t count = stream->bytes.count - stream->taken;
    return count != 0 ? memchr(stream->bytes.data + stream->taken, '\n', count) : NULL;
}

bool stream_has_line(const struct stream *stream)
{
    return find_end(stream) != NULL;
}

/* More bytes of the line begun. */
static enum stream_result read_more(struct stream *stream, uint64_t deadline_ms)
{
    struct buf *bytes = &stream->bytes;
    uint64_t now_ms = download_now_ms();
    size_t count;
    buf_consume(bytes, stream->taken);
    stream->taken = 0;
    if (!buf_reserve(bytes, PIECE_BYTES)) {
        errtext_set(&stream->error, "a line is too long");
        return STREAM_LOST;
    }
    if (!download_read(&stream->download, deadline_ms > now_ms ? deadline_ms - now_ms : 0,
                       bytes->data + bytes->count, PIECE_BYTES, &count, &stream->error))
        return STREAM_LOST;
    bytes->count += count;
    return count == 0 ? STREAM_END : STREAM_LINE;
}

enum stream_result stream_next(struct stream *stream, uint64_t wait_ms, struct bytes *out_line)
{
    uint64_t deadline_ms = download_now_ms() + wait_ms;
    const uint8_t *end;
    while ((end = find_end(stream)) == NULL) {
        enum stream_result result = read_more(stream, deadline_ms);
        if (result != STREAM_LINE)
            return result;
    }
    const uint8_t *line = stream->bytes.data + stream->taken;
    *out_line = bytes_of(line, (size_t)(end - line));
    stream->taken += out_line->count + 1;
    return STREAM_LINE;
}
