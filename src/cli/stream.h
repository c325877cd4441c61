/* Stream: the lines of a reply that goes on and on, from whichever endpoint gives them.
 *
 *      stream_init
 *      stream_open       one of the endpoints answers
 *      stream_next …     STREAM_LINE: another line; STREAM_END: in order, that was all;
 *                        STREAM_LOST: stream_open again, for what is behind those that have come
 *      stream_release
 *
 * Ownership    owns its connection and what has come of the next lines
 * Limits       a line of 32 MiB
 * Calling      blocks */
#ifndef MINIKV_CLI_STREAM_H
#define MINIKV_CLI_STREAM_H

#include "cli/cli.h"
#include "cli/download.h"

enum stream_result {
    STREAM_LINE,
    STREAM_END,
    STREAM_LOST,   /* the connection, or the node; another one may go on */
    STREAM_REFUSED /* no node will: stream->download.word says why */
};

struct stream {
    struct cli *cli;
    struct download download;
    bool is_open;
    size_t endpoint;      /* that is asked next */
    uint64_t silent_ms;   /* since when none has answered; 0: one does */
    struct buf bytes;     /* owned: what has come and is not taken */
    size_t taken;         /* of these */
    struct errtext error; /* why it was lost or refused */
};

void stream_init(struct stream *stream, struct cli *cli);
void stream_release(struct stream *stream);
/* Asks one endpoint after the other, for at most --timeout since one has answered: STREAM_LINE when
 * there is one, to be read from; STREAM_LOST or STREAM_REFUSED, with stream->error. */
enum stream_result stream_open(struct stream *stream, const char *target, const char *headers);
/* The next line, without its end, borrowed until the next call. One that is not there within
 * `wait_ms` is STREAM_LOST. */
enum stream_result stream_next(struct stream *stream, uint64_t wait_ms, struct bytes *out_line);
/* There is a line that does not have to be waited for. */
bool stream_has_line(const struct stream *stream);
/* This endpoint is given up for the next one. */
void stream_leave(struct stream *stream);

#endif
