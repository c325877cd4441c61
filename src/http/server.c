#include "http/server.h"

#include "base/mem.h"
#include "http/reply.h"

enum {
    REFUSED_MAX = 256,          /* connections told BUSY per sweep; the rest are just closed */
    SWEEP_MAX_US = 1000 * 1000, /* how late a timeout may be noticed */
    STOP_GRACE_US = 100 * 1000, /* how long connections between requests outlive http_stop */
    SWEEP_MIN_US = 10 * 1000
};

/* ---- accepting ---- */

static void ignore_data(void *ctx, struct bytes bytes)
{
}

static void ignore_end(void *ctx, enum env_end end)
{
}

/* Says why before closing, to so many that those told cost nothing worth mentioning. */
static void turn_away(struct http *http, struct env_stream *stream)
{
    static const struct env_stream_handler handler = {.on_data = ignore_data, .on_end = ignore_end};
    static const char body[] =
        "{\"type\":\"urn:minikv:busy\",\"title\":\"a bounded queue is full\",\"status\":503,"
        "\"detail\":\"the node has as many connections as it can hold; use one that is open, or "
        "another node\",\"effect\":\"none\",\"retry_after_ms\":1000}\n";
    http->metrics.connections_refused++;
    if (++http->refused_in_window > REFUSED_MAX) {
        env_stream_close(stream);
        return;
    }
    struct buf *out = &http->scratch;
    buf_reset(out);
    buf_put_text(out, "HTTP/1.1 503 Service Unavailable\r\n");
    buf_put(out, buf_bytes(&http->block));
    buf_printf(out,
               "X-MiniKV-Hops: 0\r\nConnection: close\r\nX-MiniKV-Effect: none\r\n"
               "Retry-After: 1\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
               CONTENT_PROBLEM, sizeof body - 1, body);
    env_stream_start(stream, &handler, NULL);
    env_stream_send(stream, buf_bytes(out));
    env_stream_finish(stream, http->options.linger);
}

static void http_on_accept(void *ctx, struct env_stream *stream)
{
    struct http *http = ctx;
    if (http->is_stopping)
        env_stream_close(stream);
    else if (http->connections_count >= http->options.connections_max)
        turn_away(http, stream);
    else
        connection_open(http, stream);
}

/* ---- turns and time ---- */

void http_mark_dirty(struct http *http, struct connection *connection)
{
    if (!list_is_empty(&connection->dirty_link))
        return;
    list_push_back(&http->dirty, &connection->dirty_link);
    env_task_post(http->env, &http->flush_task);
}

/* One send per connection and turn, whatever it answered. */
static void http_on_flush(void *ctx)
{
    struct http *http = ctx;
    struct list dirty;
    turns_end(&http->turns);
    list_init(&dirty);
    list_splice(&dirty, &http->dirty); /* those that become dirty again wait for the next round */
    while (!list_is_empty(&dirty)) {
        struct connection *connection = CONTAINER_OF(dirty.next, struct connection, dirty_link);
        list_remove(&connection->dirty_link);
        connection_flush(connection);
    }
}

static void http_on_turn(struct turn *turn)
{
    connection_answer(CONTAINER_OF(turn, struct connection, turn));
}

/* Calls `visit` for each connection; it may free the one it is given. */
static void each_connection(struct http *http, void (*visit)(struct connection *, time_us),
                            time_us now)
{
    struct list *item = http->connections.next;
    while (item != &http->connections) {
        struct list *next = item->next;
        visit(CONTAINER_OF(item, struct connection, link), now);
        item = next;
    }
}

static time_us sweep_interval(const struct http_options *options)
{
    time_us shortest = MIN(options->head_timeout, options->body_timeout);
    shortest = MIN(shortest, MIN(options->idle_timeout, options->send_timeout));
    return MAX((time_us)SWEEP_MIN_US, MIN((time_us)SWEEP_MAX_US, shortest / 4));
}

/* One timer for all timeouts: they are coarse, and nothing is done per request for them. */
static void http_on_sweep(void *ctx)
{
    struct http *http = ctx;
    time_us now = env_now(http->env);
    http->refused_in_window = 0;
    exchange_refuse_queued(http, now);
    each_connection(http, connection_sweep, now);
    env_timer_set(http->env, &http->sweep_timer, now + sweep_interval(&http->options));
}

/* ---- life ---- */

static void set_default(time_us *option, time_us milliseconds)
{
    if (*option == 0)
        *option = milliseconds * TIME_US_PER_MS;
}

static void set_defaults(struct http_options *options)
{
    set_default(&options->request_timeout, 5000);
    set_default(&options->head_timeout, 10000);
    set_default(&options->body_timeout, 60000);
    set_default(&options->idle_timeout, 75000);
    set_default(&options->send_timeout, 30000);
    set_default(&options->linger, 2000);
    if (options->backup_rate == 0)
        options->backup_rate = SNAPSHOT_RATE_DEFAULT;
    if (options->connections_max == 0 || options->connections_max > LIMIT_CONNECTIONS)
        options->connections_max = LIMIT_CONNECTIONS;
}

static void http_on_all_gone(void *ctx)
{
    struct http *http = ctx;
    void (*on_stopped)(void *) = http->on_stopped;
    http->on_stopped = NULL;
    if (on_stopped != NULL)
        on_stopped(http->on_stopped_ctx); /* may close the server */
}

void http_connection_gone(struct http *http)
{
    REQUIRE(http->connections_count > 0);
    http->connections_count--;
    if (http->is_stopping && http->connections_count == 0)
        env_task_post(http->env, &http->stopped_task);
}

static void stop_connection(struct connection *connection, time_us now)
{
    connection_stop(connection);
}

static void stop_idle_connection(struct connection *connection, time_us now)
{
    connection_stop_idle(connection);
}

/* A client that was about to send its next request has sent it by now, and has been told that the
 * reply is the last; closing under its hands would leave it without a true answer. */
static void http_on_grace_over(void *ctx)
{
    struct http *http = ctx;
    http->grace_is_over = true;
    each_connection(http, stop_idle_connection, 0);
}

/* A process that stood still meanwhile has not looked at its sockets: once more, before the end. */
static void http_on_grace_due(void *ctx)
{
    struct http *http = ctx;
    env_task_post(http->env, &http->grace_task);
}

enum status http_open(struct env *env, struct node *node, const struct http_options *options,
                      struct http **out_http, struct errtext *error)
{
    struct http *http = mem_alloc(sizeof *http);
    http->options = *options;
    set_defaults(&http->options);
    http->env = env;
    http->node = node;
    list_init(&http->connections);
    list_init(&http->dirty);
    list_init(&http->spare_exchanges);
    list_init(&http->verifications);
    renewals_init(&http->renewals, env, node);
    walks_init(&http->walks, env);
    turns_init(&http->turns, env, http_on_turn);
    results_init(&http->results, env);
    http->watches = watch_hub_new(env, node);
    buf_init(&http->block, 4 * KIB);
    buf_init(&http->scratch, LIMIT_REPLY_BYTES);
    env_task_init(&http->flush_task, http_on_flush, http);
    env_task_init(&http->stopped_task, http_on_all_gone, http);
    env_timer_init(&http->sweep_timer, http_on_sweep, http);
    env_timer_init(&http->grace_timer, http_on_grace_due, http);
    env_task_init(&http->grace_task, http_on_grace_over, http);
    reply_block_update(http);
    enum status status =
        env_listen(env, &options->listen, http_on_accept, http, &http->listener, error);
    if (status != ST_OK) {
        errtext_wrap(error, "http");
        http_close(http);
        return status;
    }
    env_timer_set(env, &http->sweep_timer, env_now(env) + sweep_interval(&http->options));
    *out_http = http;
    return ST_OK;
}

void http_stop(struct http *http, void (*on_stopped)(void *ctx), void *ctx)
{
    REQUIRE(!http->is_stopping);
    http->is_stopping = true;
    http->on_stopped = on_stopped;
    http->on_stopped_ctx = ctx;
    env_listener_close(http->listener);
    http->listener = NULL;
    each_connection(http, stop_connection, 0);
    env_timer_set(http->env, &http->grace_timer, env_now(http->env) + STOP_GRACE_US);
    if (http->connections_count == 0)
        env_task_post(http->env, &http->stopped_task);
}

/* What has been answered still leaves: the socket takes it, or nobody is reading. */
static void close_connection(struct connection *connection, time_us now)
{
    if (connection->out.count != 0)
        env_stream_send(connection->stream, buf_bytes(&connection->out));
    connection_free(connection);
}

void http_close(struct http *http)
{
    if (http == NULL)
        return;
    env_listener_close(http->listener);
    each_connection(http, close_connection, 0);
    http_verify_close(http);
    renewals_release(&http->renewals);
    walks_close(&http->walks);
    turns_close(&http->turns);
    results_close(&http->results);
    watch_hub_free(http->watches);
    env_timer_set(http->env, &http->sweep_timer, TIME_NEVER);
    env_timer_set(http->env, &http->grace_timer, TIME_NEVER);
    env_task_cancel(http->env, &http->grace_task);
    env_task_cancel(http->env, &http->flush_task);
    env_task_cancel(http->env, &http->stopped_task);
    exchange_free_spare(http);
    buf_release(&http->block);
    buf_release(&http->scratch);
    mem_free(http);
}

void http_on_view(struct http *http)
{
    reply_block_update(http);
}

void http_on_applied(struct http *http)
{
    watch_hub_on_applied(http->watches);
}
