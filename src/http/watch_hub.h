/* Watch hub: everybody at this node who waits for events, and what they are sent.
 *
 * A watcher is a place in the row of events (kv_event_at) and has no buffer. It is *level* when it
 * has been sent all that the hub has looked at: then it gets each event as it was encoded once, for
 * all with the same filter, format and wish for the previous value. It is *behind* otherwise:
 * because it began in the past, or had no room for more. Then it is led through the row at its own
 * speed, in slices, all of them in turn. A reader that is too slow for ever is overtaken by
 * compaction at last, told so and ended.
 *
 *      applied ─▶ slice of the row ─▶ groups that match ─▶ level watchers
 *                 the row at its place ──────────────────▶ watchers behind
 *
 * When the node gets another state altogether (node_kv_epoch), all go on at the same place in it.
 *
 * Ownership    watchers are embedded in their owner; env and node are borrowed
 * Limits       LIMIT_WATCHERS; what each turn does, in watch_hub.c
 * Calling      the loop's thread; on_due may remove its watcher, and add others */
#ifndef MINIKV_HTTP_WATCH_HUB_H
#define MINIKV_HTTP_WATCH_HUB_H

#include "env/env.h"
#include "http/watch_filter.h"
#include "http/watch_place.h"
#include "node/node.h"

struct watch_hub;
struct watch_group;

enum {
    WATCH_BEAT_US = 15 * 1000 * 1000, /* how often a watcher hears how far it is */
    WATCH_LOST_US = 5 * 1000 * 1000   /* without a leader for so long, a node sends nobody beats */
};

enum watcher_state {
    WATCHER_BEHIND,
    WATCHER_LEVEL,
    WATCHER_FOUND /* of a long poll: there is an event for it at or behind its place */
};

struct watcher {
    /* filled in by the caller */
    bool takes_stale; /* it stays where no leader is known, too */
    /* There is something for it, or it has ended. Its owner calls watcher_send when there is room:
     * now, or later; not at all for a long poll. */
    void (*on_due)(void *ctx);
    void *ctx;

    /* to be looked at */
    enum watcher_state state;
    enum status ended;        /* ST_OK: it goes on; ST_COMPACTED: its place is gone; ST_NO_LEADER:
                                 what is new may never come here */
    struct watch_place place; /* in front of what it has not been sent; not while it is level */

    /* private to the hub */
    struct watch_hub *hub; /* NULL: in none */
    struct watch_group *group;
    struct list link;      /* in the level ones of its group; or in hub->catching; or alone */
    struct list beat_link; /* in hub->beats */
    uint64_t number;       /* of `place`, in this epoch of the state */
    uint64_t epoch;
    uint64_t offer; /* the slice that it is being offered */
    uint64_t run;   /* in which it was led last */
    time_us beat_at;
    bool wants_beat;
};

struct watch_hub *watch_hub_new(struct env *env, struct node *node);
void watch_hub_free(struct watch_hub *hub); /* requires that there are no watchers; NULL: no-op */
/* The node has applied something. */
void watch_hub_on_applied(struct watch_hub *hub);
bool watch_hub_is_full(const struct watch_hub *hub);

/* From this place on, which has this number in the state as it is. on_due follows, never in here.
 * Requires room. */
void watch_hub_add(struct watch_hub *hub, struct watcher *watcher,
                   const struct watch_filter *filter, struct watch_place place, uint64_t number);
void watcher_remove(struct watcher *watcher); /* harmless where it is in none */
/* Appends what is due: a bounded piece, or nothing. Look at `ended` behind it. */
void watcher_send(struct watcher *watcher, struct buf *out);
/* Of a long poll that has been found, or whose time is over: appends events, with commas between
 * them, and moves its place behind them. return ST_OK; ST_COMPACTED */
MUST_CHECK enum status watcher_collect(struct watcher *watcher, size_t events_max, size_t bytes_max,
                                       struct buf *out);

struct watch_stats {
    uint64_t watchers_count, behind_count, groups_count;
    uint64_t events_sent;     /* to all watchers together */
    uint64_t encoded_count;   /* events encoded for level watchers */
    uint64_t compacted_count; /* watchers that compaction has overtaken */
};
void watch_hub_stats(const struct watch_hub *hub, struct watch_stats *out_stats);

#endif
