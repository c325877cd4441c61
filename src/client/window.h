/* Window: which sequences of a session are under way, which are settled. Pure.
 *
 *      acked      lowest under way        highest given
 *        │…settled…│·│?│·│·│?│·│·····│          · under way   ? kept: its fate is unknown, and
 *      ──┴─────────┴─────────────────┴──▶             somebody may ask for it
 *
 * The server remembers the WINDOW_SEQUENCES up to the highest it has seen, and nothing at or below
 * what is acknowledged (src/kv/session.h). So a sequence is given only while every one under way
 * stays within that, and `acked` stops below what is under way or kept; what is kept holds up
 * nothing else, and is let go when the window has left it behind. */
#ifndef MINIKV_CLIENT_WINDOW_H
#define MINIKV_CLIENT_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum { WINDOW_SEQUENCES = LIMIT_SESSION_WINDOW };

enum window_mark { WINDOW_SETTLED, WINDOW_UNDER_WAY, WINDOW_KEPT };

struct window {
    uint64_t highest; /* given */
    uint64_t acked;   /* every sequence up to here is settled or out of the server's window */
    uint64_t lowest;  /* under way; highest + 1 when none is */
    uint8_t
        marks[WINDOW_SEQUENCES]; /* enum window_mark, by sequence modulo; of acked+1 … highest */
};

void window_init(struct window *window);
/* The next sequence; 0 while the window is full. */
uint64_t window_take(struct window *window);
/* Takes up again one that was kept; false when it is not within the window. */
bool window_retake(struct window *window, uint64_t sequence);
/* The write has ended. `keeps`: it may be asked about, or sent again. */
void window_end(struct window *window, uint64_t sequence, bool keeps);

#endif
