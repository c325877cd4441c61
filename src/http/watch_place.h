/* Watch place: where in the row of events a watcher is, and the ids by which clients name it. Pure.
 *
 * An event's id is its revision; where a revision has several events, those before the last one are
 * revision.n, n counting all of them from 1 in the order of keys. So whoever has seen the id of a
 * revision has seen all of it, and who comes back in the middle of one gets the rest. Both parts
 * are the same on all nodes; the numbers of kv_event_at are not.
 *
 * Format       docs/http-api.md, "Watches" */
#ifndef MINIKV_HTTP_WATCH_PLACE_H
#define MINIKV_HTTP_WATCH_PLACE_H

#include "base/buf.h"
#include "kv/kv.h"

/* In front of the nth event of the revision; of the first event behind it, if it has not so many.
 */
struct watch_place {
    uint64_t revision;
    uint64_t nth; /* from 1 */
};

struct watch_place watch_place_of(uint64_t revision); /* in front of all of it */
struct watch_place watch_place_behind(const struct kv_event *event);

void watch_id_put(struct buf *out, const struct kv_event *event);
/* The id that leads to this place: of the event in front of it, or of one that would be. Requires a
 * place behind revision 1, which has no events. */
void watch_id_put_place(struct buf *out, struct watch_place place);
/* The place behind the event with this id. False: it is none. */
bool watch_id_parse(struct bytes text, struct watch_place *out_place);

/* The number of the first event at or behind the place.
 * return   ST_OK; ST_COMPACTED: an event there may be gone; ST_REVISION_FUTURE: the place is behind
 *          the present; ST_NOT_FOUND: it is in the middle of a revision that has no such event */
MUST_CHECK enum status watch_place_find(const struct kv *kv, struct watch_place place,
                                        uint64_t *out_number);

#endif
