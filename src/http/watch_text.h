/* Watch text: events as server-sent events, as lines of JSON, and as what a long poll gives. Pure.
 *
 * Format       docs/http-api.md, "Watches" */
#ifndef MINIKV_HTTP_WATCH_TEXT_H
#define MINIKV_HTTP_WATCH_TEXT_H

#include "base/buf.h"
#include "http/watch_filter.h"
#include "http/watch_place.h"

/* How an event is written; the same for all watchers for whom these two are the same. */
void watch_put_event(struct buf *out, const struct kv_event *event, enum watch_format format,
                     bool has_previous);
/* What comes before all events: the present revision, and the id of where it begins, so that a
 * client that loses the connection before the first event misses nothing. */
void watch_put_greeting(struct buf *out, enum watch_format format, uint64_t revision,
                        struct watch_place place);
/* All events in front of the place have been sent. Its id is told as that of an event, so that who
 * resumes does so from here, also when its last event was long ago. */
void watch_put_beat(struct buf *out, enum watch_format format, struct watch_place place);
/* The last thing that is said. problem: an object of JSON, without a line's end. */
void watch_put_error(struct buf *out, enum watch_format format, struct bytes problem);

#endif
