#include "client/window.h"

#include <string.h>

void window_init(struct window *window)
{
    memset(window, 0, sizeof *window);
    window->lowest = 1;
}

static uint8_t *mark_of(struct window *window, uint64_t sequence)
{
    return &window->marks[sequence % WINDOW_SEQUENCES];
}

/* Moves `lowest` and `acked` up over what no longer holds them. */
static void advance(struct window *window)
{
    while (window->lowest <= window->highest &&
           *mark_of(window, window->lowest) != WINDOW_UNDER_WAY)
        window->lowest++;
    for (uint64_t next = window->acked + 1; next <= window->highest; next++) {
        bool is_outside = next + WINDOW_SEQUENCES <= window->highest;
        if (!is_outside && *mark_of(window, next) != WINDOW_SETTLED)
            break;
        window->acked = next;
    }
}

uint64_t window_take(struct window *window)
{
    uint64_t next = window->highest + 1;
    /* At `next`, the server's window begins behind next - WINDOW_SEQUENCES. */
    if (window->lowest + WINDOW_SEQUENCES <= next)
        return 0;
    window->highest = next;
    *mark_of(window, next) = WINDOW_UNDER_WAY;
    advance(window);
    return next;
}

bool window_retake(struct window *window, uint64_t sequence)
{
    if (sequence <= window->acked || sequence > window->highest ||
        *mark_of(window, sequence) != WINDOW_KEPT)
        return false;
    *mark_of(window, sequence) = WINDOW_UNDER_WAY;
    if (sequence < window->lowest)
        window->lowest = sequence;
    return true;
}

void window_end(struct window *window, uint64_t sequence, bool keeps)
{
    *mark_of(window, sequence) = keeps ? WINDOW_KEPT : WINDOW_SETTLED;
    advance(window);
}
