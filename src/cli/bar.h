/* Bar: how far something large has come, on one line of a terminal, redrawn as it goes. */
#ifndef MINIKV_CLI_BAR_H
#define MINIKV_CLI_BAR_H

#include "base/buf.h"
#include "types/ids.h"

enum { BAR_WIDTH = 24 };

struct bar {
    bool is_on; /* standard error is a terminal */
    bool is_shown;
    uint64_t of;         /* bytes of all */
    const char *unit;    /* of what is counted; NULL: bytes */
    uint64_t started_ms; /* when the first of them came */
    uint64_t next_ms;    /* not drawn anew before */
    struct buf line;     /* owned */
};

/* `of` 0: not known. */
void bar_init(struct bar *bar, uint64_t of);
/* So many of them are done; `now_ms` of a monotonic clock. Draws some times a second, at most. */
void bar_show(struct bar *bar, uint64_t count, uint64_t now_ms);
/* Says something in its place, until there are bytes. */
void bar_say(struct bar *bar, const char *text);
/* Takes it away. */
void bar_release(struct bar *bar);

/* "12.3 MB", decimal units. */
void bar_put_bytes(struct buf *out, uint64_t bytes);
/* "[######------------------]  25%  12.3 MB of 49.2 MB  10.0 MB/s  0:04 left"; without the last two
 * when the rate, in bytes per second, is 0. */
void bar_put_progress(struct buf *out, uint64_t bytes, uint64_t of, uint64_t rate);
/* The same of something else that is counted: "[…]  25%  10 of 40 keys  4 keys/s  0:08 left". */
void bar_put_count(struct buf *out, uint64_t count, uint64_t of, uint64_t rate, const char *unit);
/* "####" for so many of `of`, and blanks up to `width`. */
void bar_put_blocks(struct buf *out, uint64_t count, uint64_t of, size_t width, char empty);

#endif
