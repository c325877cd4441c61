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

    bool is_loop_polling; /* between minikv_pollfds and minikv_process */
    struct plan loop_plan;
    unsigned callbacks_count;      /* that have returned, in any thread */
    unsigned loop_callbacks_count; /* as many as the loop knows of */
};

/* minikv_perform in a way of its own; `way` and `out_message` may be NULL. */
enum minikv_code perform(struct minikv *kv, const struct minikv_request *request,
                         const struct engine_way *way, struct minikv_result *out_result,
                         struct redirect_msg *out_message);

#endif
