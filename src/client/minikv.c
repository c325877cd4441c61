/* The public door: locks, waiting, and handing over results. Nothing here knows of the protocol. */
#include "minikv/minikv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/minikv_internal.h"

/* ---- small things ---- */

const char *minikv_version(void)
{
    return MINIKV_VERSION;
}

const char *minikv_code_name(enum minikv_code code)
{
    switch (code) {
    case MINIKV_OK:
        return "ok";
    case MINIKV_NOT_FOUND:
        return "not-found";
    case MINIKV_CONDITION_FAILED:
        return "condition-failed";
    case MINIKV_NOT_INTEGER:
        return "not-integer";
    case MINIKV_OVERFLOW:
        return "overflow";
    case MINIKV_REFUSED:
        return "refused";
    case MINIKV_FULL:
        return "full";
    case MINIKV_UNAVAILABLE:
        return "unavailable";
    case MINIKV_UNKNOWN:
        return "unknown";
    case MINIKV_NO_MEMORY:
        return "no-memory";
    case MINIKV_INVALID:
        return "invalid";
    case MINIKV_CANCELLED:
        return "cancelled";
    case MINIKV_LOST:
        return "lost";
    case MINIKV_HELD:
        return "held";
    }
    return "?";
}

struct minikv_bytes minikv_text(const char *text)
{
    return (struct minikv_bytes){text, strlen(text)};
}

void minikv_result_release(struct minikv_result *result)
{
    if (result == NULL)
        return;
    free(result->memory);
    *result = (struct minikv_result){0};
}

/* ---- opening ---- */

/* Each endpoint once; false when one is malformed, has no host, or there are too many. */
static bool parse_endpoints(const char *text, struct engine_options *options)
{
    while (*text != '\0') {
        struct address address;
        text += strspn(text, " ");
        size_t count = strcspn(text, ","), used = count;
        while (used != 0 && text[used - 1] == ' ')
            used--;
        if (address_parse(bytes_of(text, used), &address) != ST_OK || address.host[0] == '\0')
            return false;
        size_t at = 0;
        while (at < options->endpoints_count && !address_equal(&options->endpoints[at], &address))
            at++;
        if (at == MINIKV_ENDPOINTS_MAX)
            return false;
        options->endpoints[at] = address;
        options->endpoints_count = MAX(options->endpoints_count, at + 1);
        text += count;
        if (*text == ',' && *++text == '\0')
            return false;
    }
    return options->endpoints_count != 0;
}

static time_us or_default(unsigned ms, unsigned default_ms)
{
    return (time_us)(ms != 0 ? ms : default_ms) * TIME_US_PER_MS;
}

static void take_options(const struct minikv_options *from, const void *salt,
                         struct engine_options *to)
{
    to->timeout = or_default(from->timeout_ms, TIMEOUT_MS);
    to->unknown_leader_wait = or_default(from->unknown_leader_wait_ms, UNKNOWN_LEADER_WAIT_MS);
    to->connect_timeout = or_default(from->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    to->redirect = from->redirect;
    to->without_session = from->without_session;
    to->on_hop = from->on_hop;
    to->ctx = from->ctx;
    /* Clock and address: enough for clients not to come back together. */
    to->seed = from->seed != 0 ? from->seed : driver_now() * 0x9e3779b97f4a7c15u + (uintptr_t)salt;
}

enum minikv_code minikv_open(const char *endpoints, const struct minikv_options *options,
                             struct minikv **out_kv)
{
    static const struct minikv_options defaults;
    struct engine_options engine_options = {0};
    if (endpoints == NULL || !parse_endpoints(endpoints, &engine_options))
        return MINIKV_INVALID;
    struct minikv *kv = calloc(1, sizeof *kv);
    if (kv == NULL)
        return MINIKV_NO_MEMORY;
    take_options(options != NULL ? options : &defaults, kv, &engine_options);
    list_init(&kv->sleepers);
    list_init(&kv->holds);
    kv->holds_tick = TIME_NEVER;
    kv->timeout = engine_options.timeout;
    kv->engine = engine_new(&engine_options);
    if (kv->engine == NULL)
        goto no_engine;
    if (pthread_mutex_init(&kv->mutex, NULL) != 0)
        goto no_mutex;
    if (!driver_init(&kv->driver, kv->engine))
        goto no_driver;
    *out_kv = kv;
    return MINIKV_OK;

no_driver:
    (void)pthread_mutex_destroy(&kv->mutex);
no_mutex:
    engine_free(kv->engine);
no_engine:
    free(kv);
    return MINIKV_NO_MEMORY;
}

/* ---- who waits ---- */

bool waiter_init(struct waiter *waiter, struct minikv_result *out_result,
                 struct redirect_msg *out_message)
{
    pthread_condattr_t attributes;
    *waiter = (struct waiter){.out_result = out_result, .out_message = out_message};
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    bool is_well = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                   pthread_cond_init(&waiter->has_news, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return is_well;
}

void waiter_release(struct waiter *waiter)
{
    (void)pthread_cond_destroy(&waiter->has_news);
}

static time_us next_tick(const struct minikv *kv)
{
    return MIN(engine_next_tick(kv->engine), kv->holds_tick);
}

static struct plan make_plan(const struct minikv *kv)
{
    return (struct plan){kv->driver.version, next_tick(kv)};
}

/* There is more to wait for, or less time, than when it was made. */
static bool is_outdated(const struct minikv *kv, const struct plan *plan)
{
    return kv->driver.version != plan->version || next_tick(kv) < plan->until;
}

/* Before anybody gives the lock away: those who wait learn what has changed meanwhile, and if
 * nobody polls for those in minikv_perform, one of them does from now on. */
static void tell_others(struct minikv *kv)
{
    if (kv->is_loop_polling &&
        (kv->callbacks_count != kv->loop_callbacks_count || is_outdated(kv, &kv->loop_plan))) {
        driver_wake(&kv->driver, DRIVER_LOOP);
        kv->loop_plan = make_plan(kv); /* once is enough: it comes back before it polls again */
        kv->loop_callbacks_count = kv->callbacks_count;
    }
    if (kv->driving != NULL && is_outdated(kv, &kv->driving_plan)) {
        driver_wake(&kv->driver, DRIVER_PERFORMER);
        kv->driving_plan = make_plan(kv);
    }
    if (kv->driving == NULL && !list_is_empty(&kv->sleepers))
        (void)pthread_cond_signal(&CONTAINER_OF(kv->sleepers.next, struct waiter, link)->has_news);
}

void door_lock(struct minikv *kv)
{
    (void)pthread_mutex_lock(&kv->mutex);
}

void door_unlock(struct minikv *kv)
{
    tell_others(kv);
    (void)pthread_mutex_unlock(&kv->mutex);
}

/* ---- handing over ---- */

/* Marks the calls of those who wait in minikv_perform; never called. */
static void on_performed(void *ctx, struct minikv_result *result)
{
    (void)ctx;
    (void)result;
}

static void give(struct minikv *kv, struct waiter *waiter, struct call *call)
{
    *waiter->out_result = call->result;
    call->result = (struct minikv_result){0};
    if (waiter->out_message != NULL)
        *waiter->out_message = call->redirect;
    waiter->is_done = true;
    (void)pthread_cond_signal(&waiter->has_news);
    if (waiter == kv->driving)
        driver_wake(&kv->driver, DRIVER_PERFORMER);
}

static void call_back(struct minikv *kv, const struct call *call, struct minikv_result *result)
{
    door_unlock(kv);
    if (call->on_done != NULL)
        call->on_done(call->ctx, result);
    else
        minikv_result_release(result);
    door_lock(kv);
    kv->callbacks_count++; /* not before it returns: what it did is to be seen by the loop */
}

static void hand_over(struct minikv *kv, struct call *call)
{
    if (call->on_done == on_performed) {
        give(kv, call->ctx, call);
    } else if (call->on_done == claims_on_done) {
        claims_take(kv, call);
    } else {
        struct minikv_result result = call->result;
        call->result = (struct minikv_result){0};
        call_back(kv, call, &result);
    }
    call_free(call);
}

static void hand_over_all(struct minikv *kv)
{
    struct call *call;
    while ((call = engine_take_done(kv->engine)) != NULL)
        hand_over(kv, call);
}

void door_advance(struct minikv *kv)
{
    hand_over_all(kv);
    if (claims_run(kv, driver_now()))
        driver_pump(&kv->driver);
}

void door_wake_all(struct minikv *kv)
{
    kv->callbacks_count++; /* for a loop it is as if one had run */
    for (struct list *at = kv->sleepers.next; at != &kv->sleepers; at = at->next)
        (void)pthread_cond_signal(&CONTAINER_OF(at, struct waiter, link)->has_news);
    if (kv->driving != NULL)
        driver_wake(&kv->driver, DRIVER_PERFORMER);
}

/* ---- waiting ---- */

/* At most until then. */
static int timeout_ms(const struct minikv *kv, time_us until)
{
    time_us next = MIN(next_tick(kv), until), now = driver_now();
    if (next == TIME_NEVER)
        return -1;
    time_us left_ms = next > now ? (next - now + TIME_US_PER_MS - 1) / TIME_US_PER_MS : 0;
    return (int)MIN(left_ms, 3600000u);
}

/* One turn of the loop: of whoever finds nobody doing it. */
static void drive(struct minikv *kv, struct waiter *waiter, time_us until)
{
    struct pollfd fds[DRIVER_POLLFDS];
    size_t count = driver_pollfds(&kv->driver, DRIVER_PERFORMER, fds, DRIVER_POLLFDS);
    int wait_ms = timeout_ms(kv, until);
    kv->driving_plan = make_plan(kv);
    kv->driving = waiter;
    door_unlock(kv);
    if (poll(fds, count, wait_ms) <= 0) /* a signal is no event; time is looked at anyway */
        count = 0;
    door_lock(kv);
    kv->driving = NULL;
    driver_process(&kv->driver, fds, count);
    door_advance(kv);
}

/* A moment of driver_now as pthread_cond_timedwait counts: not while the machine sleeps. */
static struct timespec deadline_at(time_us until)
{
    struct timespec at;
    time_us now = driver_now(), left = until > now ? until - now : 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &at); /* cannot fail with this clock */
    at.tv_sec += (time_t)(left / 1000000u);
    at.tv_nsec += (long)(left % 1000000u) * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

static void sleep_while_driven(struct minikv *kv, struct waiter *waiter, time_us until)
{
    list_push_back(&kv->sleepers, &waiter->link);
    tell_others(kv);
    if (until == TIME_NEVER) {
        (void)pthread_cond_wait(&waiter->has_news, &kv->mutex);
    } else {
        struct timespec at = deadline_at(until);
        (void)pthread_cond_timedwait(&waiter->has_news, &kv->mutex, &at);
    }
    list_remove(&waiter->link);
}

void door_wait(struct minikv *kv, struct waiter *waiter, time_us until)
{
    if (kv->driving != NULL)
        sleep_while_driven(kv, waiter, until);
    else
        drive(kv, waiter, until);
}

static void say(struct minikv_result *result, enum status status, const char *detail)
{
    (void)snprintf(result->word, sizeof result->word, "%s", status_word(status));
    (void)snprintf(result->detail, sizeof result->detail, "%s", detail);
}

/* Why engine_start did not take it. */
static void explain(const struct minikv *kv, const struct minikv_request *request,
                    enum minikv_code code, struct minikv_result *out_result)
{
    *out_result = (struct minikv_result){.code = code};
    enum status status = call_check(request);
    if (code == MINIKV_NO_MEMORY)
        (void)snprintf(out_result->detail, sizeof out_result->detail, "out of memory");
    else if (status != ST_OK)
        say(out_result, status, status_title(status));
    else if (engine_is_closing(kv->engine))
        say(out_result, ST_SHUTTING_DOWN, "the client is being closed");
    else
        say(out_result, ST_BUSY, "as many requests are under way as there may be");
}

enum minikv_code perform(struct minikv *kv, const struct minikv_request *request,
                         const struct engine_way *way, struct minikv_result *out_result,
                         struct redirect_msg *out_message)
{
    uint64_t id;
    struct waiter waiter;
    if (!waiter_init(&waiter, out_result, out_message)) {
        explain(kv, request, MINIKV_NO_MEMORY, out_result);
        return MINIKV_NO_MEMORY;
    }
    door_lock(kv);
    driver_refresh(&kv->driver);
    enum minikv_code code =
        engine_start(kv->engine, driver_now(), request, way, on_performed, &waiter, &id);
    if (code == MINIKV_OK) {
        driver_pump(&kv->driver);
        hand_over_all(kv);
        while (!waiter.is_done)
            door_wait(kv, &waiter, TIME_NEVER);
        code = out_result->code;
    } else {
        explain(kv, request, code, out_result);
    }
    door_unlock(kv);
    waiter_release(&waiter);
    return code;
}

/* ---- one request ---- */

enum minikv_code minikv_perform(struct minikv *kv, const struct minikv_request *request,
                                struct minikv_result *out_result)
{
    return perform(kv, request, NULL, out_result, NULL);
}

enum minikv_code minikv_put(struct minikv *kv, struct minikv_bytes key, struct minikv_bytes value,
                            struct minikv_result *out_result)
{
    struct minikv_request request = {.op = MINIKV_PUT, .key = key, .value = value};
    return minikv_perform(kv, &request, out_result);
}

enum minikv_code minikv_get(struct minikv *kv, struct minikv_bytes key,
                            struct minikv_result *out_result)
{
    struct minikv_request request = {.op = MINIKV_GET, .key = key};
    return minikv_perform(kv, &request, out_result);
}

enum minikv_code minikv_delete(struct minikv *kv, struct minikv_bytes key,
                               struct minikv_result *out_result)
{
    struct minikv_request request = {.op = MINIKV_DELETE, .key = key};
    return minikv_perform(kv, &request, out_result);
}

enum minikv_code minikv_incr(struct minikv *kv, struct minikv_bytes key, int64_t by,
                             struct minikv_result *out_result)
{
    struct minikv_request request = {.op = MINIKV_INCR, .key = key, .by = by};
    return minikv_perform(kv, &request, out_result);
}

enum minikv_code minikv_cas(struct minikv *kv, struct minikv_bytes key, uint64_t revision,
                            struct minikv_bytes value, struct minikv_result *out_result)
{
    struct minikv_request request = {.op = MINIKV_PUT,
                                     .key = key,
                                     .value = value,
                                     .revision = revision,
                                     .condition =
                                         revision != 0 ? MINIKV_IF_REVISION : MINIKV_IF_ABSENT};
    return minikv_perform(kv, &request, out_result);
}

enum minikv_code minikv_list(struct minikv *kv, const struct minikv_range *range,
                             struct minikv_result *out_result)
{
    struct minikv_request request = {.op = MINIKV_LIST, .range = *range};
    return minikv_perform(kv, &request, out_result);
}

/* ---- many at once ---- */

enum minikv_code minikv_start(struct minikv *kv, const struct minikv_request *request,
                              minikv_done_fn on_done, void *ctx, uint64_t *out_id)
{
    uint64_t id;
    door_lock(kv);
    driver_refresh(&kv->driver);
    enum minikv_code code =
        engine_start(kv->engine, driver_now(), request, NULL, on_done, ctx, &id);
    if (code == MINIKV_OK) {
        driver_pump(&kv->driver);
        if (out_id != NULL)
            *out_id = id;
    }
    door_unlock(kv);
    return code;
}

bool minikv_cancel(struct minikv *kv, uint64_t id)
{
    door_lock(kv);
    bool has_ended = engine_cancel(kv->engine, driver_now(), id);
    hand_over_all(kv);
    door_unlock(kv);
    return has_ended;
}

size_t minikv_pollfds(struct minikv *kv, struct pollfd *out_fds, size_t fds_max)
{
    door_lock(kv);
    driver_pump(&kv->driver);
    kv->is_loop_polling = true;
    kv->loop_plan = make_plan(kv);
    size_t count = driver_pollfds(&kv->driver, DRIVER_LOOP, out_fds, fds_max);
    door_unlock(kv); /* at once awake again if callbacks have run since the loop was here last */
    return count;
}

int minikv_timeout(struct minikv *kv)
{
    door_lock(kv);
    int wait_ms = timeout_ms(kv, TIME_NEVER);
    kv->loop_plan.until = next_tick(kv);
    door_unlock(kv);
    return wait_ms;
}

void minikv_process(struct minikv *kv, const struct pollfd *fds, size_t fds_count)
{
    door_lock(kv);
    if (fds_count != 0) /* it is the loop; else it could be anybody */
        kv->is_loop_polling = false;
    driver_process(&kv->driver, fds, fds_count);
    door_advance(kv);
    if (fds_count != 0)
        kv->loop_callbacks_count = kv->callbacks_count;
    door_unlock(kv);
}

/* ---- closing ---- */

void minikv_close(struct minikv *kv)
{
    if (kv == NULL)
        return;
    door_lock(kv);
    time_us now = driver_now(), deadline = now + CLOSE_MS * TIME_US_PER_MS;
    driver_refresh(&kv->driver);
    engine_close(kv->engine, now, deadline);
    driver_pump(&kv->driver);
    hand_over_all(kv);
    while (!engine_is_closed(kv->engine) && driver_now() < deadline)
        drive(kv, NULL, deadline);
    claims_close(kv);
    door_unlock(kv);
    driver_release(&kv->driver);
    engine_free(kv->engine);
    (void)pthread_mutex_destroy(&kv->mutex);
    free(kv);
}
