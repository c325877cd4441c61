/* Net: what the files of the network share. */
#ifndef MINIKV_SIM_NET_H
#define MINIKV_SIM_NET_H

#include "base/limits.h"
#include "sim/world_internal.h"

enum { NET_SEGMENT_BYTES_MAX = LIMIT_READ_BYTES, NET_WINDOW_BYTES = 1 * MIB };

struct env_listener {
    struct list link; /* in world->listeners */
    struct env *env;
    struct address address;
    void (*on_accept)(void *ctx, struct env_stream *stream);
    void *ctx;
    bool is_paused;
};

enum segment_kind { SEGMENT_OPEN, SEGMENT_DATA, SEGMENT_END };

/* What travels one way on a stream, in order. Owned by the stream it arrives at. */
struct segment {
    struct list link;
    time_us at; /* arrives then, unless the direction is cut */
    enum segment_kind kind;
    enum env_end end;
    size_t count;
    uint8_t data[];
};

/* One side of a connection. */
struct env_stream {
    struct list link; /* in world->streams */
    struct world *world;
    struct env *env;
    uint64_t number;
    unsigned machine, other_machine;
    struct env_stream *other;                 /* NULL: gone */
    const struct env_stream_handler *handler; /* borrowed */
    void *ctx;
    struct address dialled; /* by env_connect, or the listener of an accepted stream */

    struct event dial; /* under way to the other machine, or about to be accepted */
    bool is_held;      /* the dial cannot get through now */
    bool is_accepting; /* the dial is: about to be accepted */
    bool is_paused;
    bool is_finishing;   /* its owner has left; what is queued still goes out */
    bool is_half_open;   /* the other side is gone, and this one was not told */
    bool has_unanswered; /* half open: it has sent something that gets a reset for answer */
    struct event linger, drained;

    struct list inbox;    /* struct segment, arriving here */
    struct event arrival; /* of the first of them */
    time_us last_arrival;
    uint64_t sent_bytes, arrived_bytes;
    size_t in_flight; /* sent from here and not acknowledged */
    size_t unheard;   /* of these: read, but the other direction was cut */
    struct buf queue; /* beyond the window; from queue_begin on */
    size_t queue_begin;
};

static inline struct link_state *link_between(struct world *world, unsigned from, unsigned to)
{
    return &world->links[from][to];
}

/* ---- net_link.c ---- */

/* When what leaves now arrives at `to`; later segments arrive no earlier. */
time_us net_arrival(struct env_stream *to, size_t bytes_count);
time_us net_dial_arrival(const struct env_stream *from);
size_t net_window(const struct env_stream *from);
/* Whether this segment makes the network reset the connection instead. */
bool net_draws_reset(const struct env_stream *from);
/* Where a segment is cut in two; 0: it is not. */
size_t net_draw_split(const struct env_stream *from, size_t bytes_count);
/* How long a retransmission takes to get through after the way has become free. */
time_us net_draw_retry(struct world *world, unsigned from, unsigned to);

/* ---- net.c ---- */

void net_set_arrival(struct env_stream *stream);
void net_send_end(struct env_stream *to, enum env_end end);
void net_clear_inbox(struct env_stream *stream);
void net_free_stream(struct env_stream *stream);
/* The other side has read so much of what was sent from here, and this side knows. */
void net_acknowledge(struct env_stream *stream, size_t bytes_count);
void net_resume_dial(struct env_stream *stream);

/* ---- net_fault.c ---- */

/* Both sides are told; what is on the way is lost. */
void net_reset(struct env_stream *stream);
/* The other side answers with a reset, if it has reason to and can. */
void net_answer_half_open(struct env_stream *stream);

#endif
