/* Results: memory for what transactions come to. As much as one may come to is set aside before it
 * is proposed, since once carried out it has to be answered; what it then needs less is given back
 * at once, the rest when it has been answered. Who finds too little waits, in the order of arrival,
 * and is refused when its time is over before there was room.
 *
 * Ownership    exchanges are borrowed; they leave before they are freed
 * Limits       LIMIT_RESULTS_BYTES */
#ifndef MINIKV_HTTP_RESULTS_H
#define MINIKV_HTTP_RESULTS_H

#include "env/env.h"

/* Of a front door. */
struct results {
    struct env *env;     /* borrowed */
    size_t held_bytes;   /* set aside, or taken */
    struct list waiting; /* for room; the first one keeps the others waiting */
    struct env_task task;
};

/* Of a transaction. */
struct results_room {
    size_t bytes;     /* set aside for it; of one that waits, what it needs */
    bool is_held;     /* it does not wait */
    struct list link; /* among those that wait */
    void (*on_room)(struct results_room *room);
};

void results_init(struct results *results, struct env *env);
/* Requires that nothing is set aside any more. */
void results_close(struct results *results);

/* False: it waits, and on_room will be called. Requires bytes_max <= LIMIT_RESULTS_BYTES. */
bool results_reserve(struct results *results, struct results_room *room, size_t bytes_max);
/* It came to no more than that. */
void results_shrink(struct results *results, struct results_room *room, size_t bytes);
/* Gives back all of it; it waits no more. Harmless where nothing was asked for. */
void results_release(struct results *results, struct results_room *room);

#endif
