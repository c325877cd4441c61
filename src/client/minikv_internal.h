/* What the files of the public door share. */
#ifndef MINIKV_CLIENT_MINIKV_INTERNAL_H
#define MINIKV_CLIENT_MINIKV_INTERNAL_H

#include <pthread.h>

#include "client/answer.h"
#include "client/driver.h"
#include "client/engine.h"

enum { TIMEOUT_MS = 5000, UNKNOWN_LEADER_WAIT_MS = 200, CONNECT_TIMEOUT_MS = 1000, CLOSE_MS = 200 };

/* What a poll() was prepared with: whoever leaves more to wait for than that ends it. */
struct plan {
    unsigned version;
    time_us until;
};

/* Two may be in poll() at the same time: one of those in minikv_perform, for all of them, and a
 * loop of the caller's. Each has a descriptor of its own that ends it, which nobody else reads. */
struct minikv {
    pthread_mutex_t mutex; /* held but while somebody polls or a callback runs */
    struct engine *engine;
    struct driver driver;

    struct list sleepers;   /* in minikv_perform, while another one polls */
    struct waiter *driving; /* the one who polls; NULL: nobody does */
    struct plan driving_plan;

    struct list holds; /* struct minikv_hold */
    size_t holds_count;
    time_us holds_tick; /* when one of them has something to do */
    time_us timeout;    /* of a request, as it was opened with */

    bool is_loop_polling; /* between minikv_pollfds and minikv_process */
    struct plan loop_plan;
    unsigned callbacks_count;      /* that have returned, in any thread */
    unsigned loop_callbacks_count; /* as many as the loop knows of */
};

/* ---- minikv.c, for those who wait for something else than one result ---- */

struct waiter {
    struct list link; /* among the sleepers, while it is one */
    pthread_cond_t has_news;
    bool is_done;
    struct minikv_result *out_result;
    struct redirect_msg *out_message; /* may be NULL */
};

/* False without memory. */
bool waiter_init(struct waiter *waiter, struct minikv_result *out_result,
                 struct redirect_msg *out_message);
void waiter_release(struct waiter *waiter);

void door_lock(struct minikv *kv);
void door_unlock(struct minikv *kv);
/* With the lock held, which is given away meanwhile: until something has happened, or that time. */
void door_wait(struct minikv *kv, struct waiter *waiter, time_us until);
/* Hands over what is done, and sends what can be sent; callbacks run without the lock. */
void door_advance(struct minikv *kv);
/* All who wait look again. */
void door_wake_all(struct minikv *kv);

/* ---- claim_door.c ---- */

/* Marks the calls of holds; never called. */
void claims_on_done(void *ctx, struct minikv_result *result);
/* One of them has ended. */
void claims_take(struct minikv *kv, const struct call *call);
/* Sends what is due; true when something was. */
bool claims_run(struct minikv *kv, time_us now);
/* The last that is done with them. */
void claims_close(struct minikv *kv);

/* minikv_perform in a way of its own; `way` and `out_message` may be NULL. */
enum minikv_code perform(struct minikv *kv, const struct minikv_request *request,
                         const struct engine_way *way, struct minikv_result *out_result,
                         struct redirect_msg *out_message);

#endif
