/* Walk: a look at more keys than one turn of the loop may take, done slice by slice. All walks of a
 * node come round in turn, and a turn of the loop has no more than LIMIT_WALK_SLICES of them,
 * however many there are: requests that want little do not wait for those that want much.
 *
 * Ownership    embedded in what it is of; cancelled before that is freed
 * Limits       LIMIT_WALKS, LIMIT_WALK_SLICES */
#ifndef MINIKV_HTTP_WALK_H
#define MINIKV_HTTP_WALK_H

#include "env/env.h"

struct walk;

/* All walks of a front door. */
struct walks {
    struct env *env;    /* borrowed */
    struct list asking; /* in the order in which they asked */
    struct walk *going; /* whose on_slice runs, and has not been done; NULL */
    struct env_timer timer;
    size_t count;
    uint64_t slices_count; /* since the start: for metrics, and tests */
};

struct walk {
    struct walks *walks; /* borrowed */
    struct list link;
    void (*on_slice)(void *ctx);
    void *ctx;
};

void walks_init(struct walks *walks, struct env *env);
/* Requires that there are no walks any more. */
void walks_close(struct walks *walks);

/* False: there are LIMIT_WALKS already. */
bool walk_open(struct walk *walk, struct walks *walks, void (*on_slice)(void *ctx), void *ctx);
void walk_close(struct walk *walk);
/* on_slice will be called, in a later turn of the loop; in it walk_take is true once. */
void walk_ask(struct walk *walk);
/* May a slice be done now? */
bool walk_take(struct walk *walk);

#endif
