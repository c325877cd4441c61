/* What the files of the hub share. Nobody else includes this.
 *
 *      watch_hub.c      watchers come and go; runs; beats
 *      watch_level.c    the row of events for all that are level, a slice at a time
 *      watch_behind.c   the row for one that is behind */
#ifndef MINIKV_HTTP_WATCH_HUB_INTERNAL_H
#define MINIKV_HTTP_WATCH_HUB_INTERNAL_H

#include "base/buf.h"
#include "http/watch_hub.h"
#include "http/watch_index.h"

/* Looked at in one run for all that are behind. A run is one of several in a turn of the loop, and
 * requests come between. */
enum { WATCH_RUN_EVENTS = 4096 };

struct watch_hub {
    struct env *env;   /* borrowed */
    struct node *node; /* borrowed */
    struct watch_index index;
    struct env_task task;
    struct env_timer beat_timer;
    struct list catching; /* behind, and with room for more, as far as is known */
    struct list beats;    /* the one that is due first, first */

    /* what level watchers have been sent */
    struct watch_place place;
    uint64_t number;
    uint64_t epoch;

    /* the slice */
    struct watch_place slice_place; /* where it begins */
    uint64_t slice_number;
    uint64_t slices_count;
    size_t matches_count; /* of its events and groups */
    struct list touched;  /* groups with pieces of it */
    struct buf texts[WATCH_FORMATS][2];
    struct watch_piece encoded[WATCH_FORMATS][2]; /* of the event being looked at; 0: not yet */
    const struct kv_event *event;                 /* borrowed; that one */
    bool is_offering;

    struct watcher *led; /* the one behind whose turn it is; NULL */
    uint64_t runs_count;
    size_t looked_count; /* at events, for those behind, in this run */

    struct watch_stats stats;
};

static inline const struct kv *hub_kv(const struct watch_hub *hub)
{
    return node_kv(hub->node);
}

/* watch_hub.c */
void watcher_fall_behind(struct watcher *watcher, struct watch_place place, uint64_t number);
void watcher_become_level(struct watcher *watcher);
void watcher_line_up(struct watcher *watcher); /* it is behind, and may have room */

/* watch_level.c */
void level_go_to_end(struct watch_hub *hub); /* as if all before now had been sent */
void level_follow_state(struct watch_hub *hub);
void level_run(struct watch_hub *hub); /* the next slice, if there is one */
bool level_has_more(const struct watch_hub *hub);
/* Its copy of the slice, if it is being offered one. */
bool level_take_offer(struct watcher *watcher, struct buf *out);

/* watch_behind.c */
/* A slice for one that is behind, into `out`; NULL: of a long poll, which only looks. */
void behind_lead(struct watcher *watcher, struct buf *out);

#endif
