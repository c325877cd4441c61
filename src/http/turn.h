/* Turn: how much replying one turn of the loop may do, over all connections. What is beyond it goes
 * on in the next turn, the connections one after the other, each with its share: so the node's own
 * timers and links, and whoever wants little, wait for no more than one turn.
 *
 * What a reply costs is counted in bytes: its own, and for what had to be looked at as many as that
 * takes the time of. What a reply cannot be stopped in, its bytes, may go beyond the bound once.
 *
 * Ownership    connections are borrowed, and leave before they are freed
 * Limits       LIMIT_TURN_BYTES, LIMIT_CONNECTION_TURN_BYTES */
#ifndef MINIKV_HTTP_TURN_H
#define MINIKV_HTTP_TURN_H

#include "base/limits.h"
#include "env/env.h"

enum {
    TURN_REQUEST_BYTES = 512, /* what a request costs beside its reply */
    TURN_LOOK_BYTES = 32      /* … and a look at a key, or a version of it */
};

struct turn;

/* Of a front door. */
struct turns {
    struct env *env;     /* borrowed */
    struct list waiting; /* connections with replies to be made, in the order of their turns */
    struct env_timer timer;
    size_t left_bytes; /* of this turn */
    uint64_t number;   /* of this turn */
    time_us ended_at;  /* when the clock was last looked at in one that had an end */
    bool is_serving;   /* those that wait */
    /* The connection's turn: it asks turn_may_reply before each reply. */
    void (*on_turn)(struct turn *turn);
};

/* Of a connection. */
struct turn {
    struct turns *turns; /* borrowed */
    struct list link;    /* in `waiting`, or alone */
    uint64_t number;     /* when it spent … */
    size_t spent_bytes;  /* … so much */
};

void turns_init(struct turns *turns, struct env *env, void (*on_turn)(struct turn *turn));
void turns_close(struct turns *turns);

void turn_init(struct turn *turn, struct turns *turns);
void turn_leave(struct turn *turn);
/* May it make a reply now? If not, on_turn will be called in a later turn of the loop. */
bool turn_may_reply(struct turn *turn);
/* May what it has begun go on? If not, the same. There is no share of its own here: it goes on with
 * what its socket takes. */
bool turn_may_go_on(struct turn *turn);
/* It has more to do than it may in one go: on_turn comes behind those of others. */
void turn_yield(struct turn *turn);

static inline void turns_begin(struct turns *turns)
{
    turns->left_bytes = LIMIT_TURN_BYTES;
    turns->number++;
}

/* What this turn of the loop had to do is done. What follows from it before the clock is looked at
 * again is of the next one, all of it. */
static inline void turns_end(struct turns *turns)
{
    time_us now = env_now(turns->env);
    if (!list_is_empty(&turns->waiting) || now == turns->ended_at)
        return;
    turns->ended_at = now;
    turns_begin(turns);
}

static inline void turn_spend(struct turn *turn, size_t bytes)
{
    turn->turns->left_bytes -= MIN(bytes, turn->turns->left_bytes);
    turn->spent_bytes += bytes;
}

#endif
