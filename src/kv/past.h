/* Past: how much of it the state keeps, and what is given up.
 *
 * Revisions from `compacted` on can be read. Of each key are kept all versions above it, and the
 * one before the first of these; if none is above, the newest. The versions above it are the
 * events, and giving up the oldest event gives up with it the version that it replaced. A deletion
 * that is then the last word on its key goes as well; else it goes with the change behind it.
 *
 * What is given up is retired like all that a pin may see: an image goes on to see its own past. */
#ifndef MINIKV_KV_PAST_H
#define MINIKV_KV_PAST_H

#include "base/limits.h"
#include "kv/events.h"

/* One a minute, and the one that is about to go. */
enum { PAST_MARKS_MAX = LIMIT_PAST_MINUTES + 1 };

/* At this log time the revision was that. */
struct past_mark {
    uint64_t stamp_us;
    uint64_t revision;
};

struct past {
    struct events events;
    uint64_t events_max;
    uint64_t bytes_max;
    uint64_t compacted;      /* the oldest revision that can be read */
    uint64_t versions_count; /* of all keys: in the tree, and behind those */
    uint64_t deleted_count;  /* of the newest versions: deleted keys */
    uint64_t bytes;          /* of replaced versions and deleted keys */
    size_t marks_count;
    struct past_mark marks[PAST_MARKS_MAX]; /* oldest first */
};

/* May this be the next mark? */
bool past_mark_fits(const struct past *past, const struct past_mark *mark);
/* May this be a version that is kept, behind `older` (NULL: the first one that is kept of its
 * key)? */
bool past_is_version(const struct kv *kv, const struct item *older, const struct kv_item *version);

void past_init(struct past *past, const struct kv_options *options);
void past_release(struct past *past);
/* Gives up all below `revision`. Requires compacted <= revision <= the present one. */
void past_compact(struct kv *kv, uint64_t revision);
/* Gives up the oldest revisions while there are more events or bytes than there may be. */
void past_keep_bounds(struct kv *kv);
/* Notes the time, and gives up what was replaced too long ago. To be called once for each command,
 * behind it. */
void past_keep_time(struct kv *kv);
/* XXH3-64 over compacted and marks: its part of the digest. The versions count with the items. */
uint64_t past_hash(const struct past *past);
/* Of a state that nobody needs, whose tree is still whole: retires what only the past has, of at
 * most `events_max` events. False: nothing is left. */
bool past_drain(struct kv *kv, size_t events_max);

#endif
