/* The public door: locks, waiting, and handing over results. Nothing here knows of the protocol. */
#include "minikv/minikv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    }
    return "?";
}

struct minikv_bytes minikv_text(const char *text)
{
    return (struct minikv_bytes){text, strlen(text)};
}

void minikv_result_release(struct minikv_result *result)
{
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
    list_init(&kv->waiters);
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

/* ---- handing over ---- */

struct waiter {
    struct list link;
    pthread_cond_t has_news;
    bool is_done;
    struct minikv_result *out_result;
    struct redirect_msg *out_message; /* may be NULL */
};

/* Marks the calls of those who wait in minikv_perform; never called. */
static void on_performed(void *ctx, struct minikv_result *result)
{
    (void)ctx;
    (void)result;
}

static void hand_over(struct minikv *kv, struct call *call)
{
    struct minikv_result result = call->result;
    call->result = (struct minikv_result){0};
    if (call->on_done == on_performed) {
        struct waiter *waiter = call->ctx;
        *waiter->out_result = result;
        if (waiter->out_message != NULL)
            *waiter->out_message = call->redirect;
        waiter->is_done = true;
        list_remove(&waiter->link);
        (void)pthread_cond_signal(&waiter->has_news);
        call_free(call);
        return;
    }
    minikv_done_fn on_done = call->on_done;
    void *ctx = call->ctx;
    call_free(call);
    (void)pthread_mutex_unlock(&kv->mutex);
    if (on_done != NULL)
        on_done(ctx, &result);
    else
        minikv_result_release(&result);
    (void)pthread_mutex_lock(&kv->mutex);
}

static void hand_over_all(struct minikv *kv)
{
    struct call *call;
    while ((call = engine_take_done(kv->engine)) != NULL)
        hand_over(kv, call);
}

/* ---- waiting ---- */

static int timeout_ms(const struct minikv *kv)
{
    time_us next = engine_next_tick(kv->engine), now = driver_now();
    if (next == TIME_NEVER)
        return -1;
    time_us left_ms = next > now ? (next - now + TIME_US_PER_MS - 1) / TIME_US_PER_MS : 0;
    return (int)MIN(left_ms, 3600000u);
}

static size_t prepare_poll(struct minikv *kv, struct pollfd *out_fds, size_t fds_max)
{
    kv->polled_version = kv->driver.version;
    kv->polled_until = engine_next_tick(kv->engine);
    return driver_pollfds(&kv->driver, out_fds, fds_max);
}

/* Somebody may be in poll() with less to wait for than there is now. */
static void wake_if_needed(struct minikv *kv)
{
    if (kv->driver.version != kv->polled_version || engine_next_tick(kv->engine) < kv->polled_until)
        driver_wake(&kv->driver);
}

/* One turn of the loop: of whoever finds nobody doing it. */
static void drive(struct minikv *kv)
{
    struct pollfd fds[DRIVER_POLLFDS];
    size_t count = prepare_poll(kv, fds, DRIVER_POLLFDS);
    int wait_ms = timeout_ms(kv);
    kv->is_driven = true;
    (void)pthread_mutex_unlock(&kv->mutex);
    if (poll(fds, count, wait_ms) <= 0) /* a signal is no event; time is looked at anyway */
        count = 0;
    (void)pthread_mutex_lock(&kv->mutex);
    kv->is_driven = false;
    driver_process(&kv->driver, fds, count);
    hand_over_all(kv);
}

/* The next one to wait takes over the driving. */
static void wake_driver(struct minikv *kv)
{
    if (!list_is_empty(&kv->waiters) && !kv->is_driven)
        (void)pthread_cond_signal(&CONTAINER_OF(kv->waiters.next, struct waiter, link)->has_news);
}

static void start_refused(const struct minikv_request *request, enum minikv_code code,
                          struct minikv_result *out_result)
{
    enum status status = code == MINIKV_INVALID ? call_check(request) : ST_OK;
    *out_result = (struct minikv_result){.code = code};
    if (status != ST_OK) {
        (void)snprintf(out_result->word, sizeof out_result->word, "%s", status_word(status));
        (void)snprintf(out_result->detail, sizeof out_result->detail, "%s", status_title(status));
    }
}

enum minikv_code perform(struct minikv *kv, const struct minikv_request *request,
                         const struct engine_way *way, struct minikv_result *out_result,
                         struct redirect_msg *out_message)
{
    uint64_t id;
    struct waiter waiter = {.out_result = out_result, .out_message = out_message};
    if (pthread_cond_init(&waiter.has_news, NULL) != 0) {
        start_refused(request, MINIKV_NO_MEMORY, out_result);
        return MINIKV_NO_MEMORY;
    }
    (void)pthread_mutex_lock(&kv->mutex);
    driver_refresh(&kv->driver);
    enum minikv_code code =
        engine_start(kv->engine, driver_now(), request, way, on_performed, &waiter, &id);
    if (code == MINIKV_OK) {
        list_push_back(&kv->waiters, &waiter.link);
        driver_pump(&kv->driver);
        hand_over_all(kv);
        if (kv->is_driven)
            wake_if_needed(kv);
        while (!waiter.is_done) {
            if (kv->is_driven)
                (void)pthread_cond_wait(&waiter.has_news, &kv->mutex);
            else
                drive(kv);
        }
        code = out_result->code;
    } else {
        start_refused(request, code, out_result);
    }
    wake_driver(kv);
    (void)pthread_mutex_unlock(&kv->mutex);
    (void)pthread_cond_destroy(&waiter.has_news);
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
    (void)pthread_mutex_lock(&kv->mutex);
    driver_refresh(&kv->driver);
    enum minikv_code code =
        engine_start(kv->engine, driver_now(), request, NULL, on_done, ctx, &id);
    if (code == MINIKV_OK) {
        driver_pump(&kv->driver);
        wake_if_needed(kv);
        if (out_id != NULL)
            *out_id = id;
    }
    (void)pthread_mutex_unlock(&kv->mutex);
    return code;
}

bool minikv_cancel(struct minikv *kv, uint64_t id)
{
    (void)pthread_mutex_lock(&kv->mutex);
    bool has_ended = engine_cancel(kv->engine, driver_now(), id);
    hand_over_all(kv);
    wake_driver(kv);
    (void)pthread_mutex_unlock(&kv->mutex);
    return has_ended;
}

size_t minikv_pollfds(struct minikv *kv, struct pollfd *out_fds, size_t fds_max)
{
    (void)pthread_mutex_lock(&kv->mutex);
    driver_pump(&kv->driver);
    size_t count = prepare_poll(kv, out_fds, fds_max);
    (void)pthread_mutex_unlock(&kv->mutex);
    return count;
}

int minikv_timeout(struct minikv *kv)
{
    (void)pthread_mutex_lock(&kv->mutex);
    int wait_ms = timeout_ms(kv);
    (void)pthread_mutex_unlock(&kv->mutex);
    return wait_ms;
}

void minikv_process(struct minikv *kv, const struct pollfd *fds, size_t fds_count)
{
    (void)pthread_mutex_lock(&kv->mutex);
    driver_process(&kv->driver, fds, fds_count);
    hand_over_all(kv);
    wake_driver(kv);
    (void)pthread_mutex_unlock(&kv->mutex);
}

/* ---- closing ---- */

void minikv_close(struct minikv *kv)
{
    if (kv == NULL)
        return;
    (void)pthread_mutex_lock(&kv->mutex);
    time_us now = driver_now(), deadline = now + CLOSE_MS * TIME_US_PER_MS;
    driver_refresh(&kv->driver);
    engine_close(kv->engine, now, deadline);
    driver_pump(&kv->driver);
    hand_over_all(kv);
    while (!engine_is_closed(kv->engine) && driver_now() < deadline)
        drive(kv);
    (void)pthread_mutex_unlock(&kv->mutex);
    driver_release(&kv->driver);
    engine_free(kv->engine);
    (void)pthread_mutex_destroy(&kv->mutex);
    free(kv);
}
