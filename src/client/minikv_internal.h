/* What the files of the public door share. */
#ifndef MINIKV_CLIENT_MINIKV_INTERNAL_H
#define MINIKV_CLIENT_MINIKV_INTERNAL_H

#include <pthread.h>

#include "client/answer.h"
#include "client/driver.h"
#include "client/engine.h"

enum { TIMEOUT_MS = 5000, UNKNOWN_LEADER_WAIT_MS = 200, CONNECT_TIMEOUT_MS = 1000, CLOSE_MS = 200 };

struct minikv {
    pthread_mutex_t mutex; /* held but while somebody polls or a callback runs */
    struct engine *engine;
    struct driver driver;
    struct list waiters; /* in minikv_perform */
    bool is_driven;      /* by one of them, who is in poll() */
    /* What the last poll was prepared with: whoever adds to it wakes the poller. */
    unsigned polled_version;
    time_us polled_until;
};

/* minikv_perform in a way of its own; `way` and `out_message` may be NULL. */
enum minikv_code perform(struct minikv *kv, const struct minikv_request *request,
                         const struct engine_way *way, struct minikv_result *out_result,
                         struct redirect_msg *out_message);

#endif
