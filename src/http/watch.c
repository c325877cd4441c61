/* Handler of /v1/watch: who asks for events, how they get them, and how it ends.
 *
 *      read permission ─▶ place in the row of events ─▶ hub ─▶ pieces of the body
 *                                                        └──▶ the reply of a long poll
 *
 * With the permission this node has applied all that was acknowledged before the request: what it
 * sends from here on has no gap towards what its client has seen, here or at another node. */
#include "base/mem.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/reply.h"
#include "http/server.h"
#include "http/watch_text.h"

#define CONTENT_EVENTS "text/event-stream"
#define CONTENT_LINES  "application/x-ndjson"

enum {
    POLL_MS_MAX = 60000,
    POLL_EVENTS = 100,
    POLL_EVENTS_MAX = 1000,
    POLL_BYTES = 2 * MIB,     /* of a reply, and one event more … */
    POLL_BYTES_MAX = 16 * MIB /* … with two of the largest values, all of them escaped */
};

struct watch {
    struct source source;
    struct exchange *exchange;  /* borrowed */
    struct watch_filter filter; /* slices of the exchange's buffers */
    struct watch_place from;
    bool has_from; /* else from now on */
    bool is_greeted;
    uint64_t started_revision; /* the present one when it began */
    uint64_t poll_ms;          /* 0: a stream */
    uint64_t events_max;       /* of a long poll */
    struct env_timer timer;    /* of a long poll */
    struct watcher watcher;
};

static struct http *http_of(const struct watch *watch)
{
    return watch->exchange->connection->http;
}

static struct watch *watch_of(struct source *source)
{
    return CONTAINER_OF(source, struct watch, source);
}

/* ---- the body of a stream ---- */

static void put_error(struct watch *watch, enum status status, struct buf *out)
{
    struct buf problem;
    buf_init(&problem, 4 * KIB);
    problem_put(&problem, status, EFFECT_NONE,
                status == ST_COMPACTED
                    ? "the events that come next are not kept any more; read the "
                      "state anew, and watch from its revision on"
                    : "go on at another node, behind the id received last");
    buf_put(&problem, BYTES_LITERAL("}"));
    INVARIANT(!problem.is_full);
    watch_put_error(out, watch->filter.format, buf_bytes(&problem));
    buf_release(&problem);
}

static enum source_step watch_send(struct source *source, struct buf *out)
{
    struct watch *watch = watch_of(source);
    if (!watch->is_greeted)
        watch_put_greeting(out, watch->filter.format, watch->started_revision, watch->from);
    watch->is_greeted = true;
    watcher_send(&watch->watcher, out);
    if (watch->watcher.ended == ST_OK)
        return SOURCE_LATER;
    put_error(watch, watch->watcher.ended, out);
    return SOURCE_DONE;
}

static void watch_free(struct source *source)
{
    struct watch *watch = watch_of(source);
    watcher_remove(&watch->watcher);
    env_timer_set(http_of(watch)->env, &watch->timer, TIME_NEVER);
    mem_free(watch);
}

/* ---- beginning ---- */

/* Where it goes on, once this node's state may be read. False: `out_problem` says why not. */
static bool begin(struct watch *watch, uint64_t *out_number, struct problem *out_problem)
{
    struct http *http = http_of(watch);
    const struct kv *kv = node_kv(http->node);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    watch->started_revision = stats.revision;
    if (http->is_stopping) {
        problem_set(out_problem, ST_SHUTTING_DOWN, "%s", "");
        return false;
    }
    if (watch_hub_is_full(http->watches)) {
        problem_set(out_problem, ST_BUSY, "the node has %d watches, which is all it takes",
                    LIMIT_WATCHERS);
        return false;
    }
    if (!watch->has_from)
        watch->from = watch_place_of(stats.revision + 1);
    if (watch->from.revision < 2)
        watch->from = watch_place_of(2); /* revision 1 is the empty state */
    enum status status = watch_place_find(kv, watch->from, out_number);
    if (status == ST_COMPACTED)
        problem_set(out_problem, status,
                    "the changes up to revision %llu are not kept any more; read the state anew, "
                    "and watch from behind its revision",
                    (unsigned long long)stats.compacted);
    else if (status == ST_REVISION_FUTURE)
        problem_set(out_problem, status, "the revision is %llu; watch from at most the next one",
                    (unsigned long long)stats.revision);
    else if (status != ST_OK)
        problem_set(out_problem, ST_BAD_QUERY, "no event has the id that is given");
    return status == ST_OK;
}

static void put_revision(struct buf *out, uint64_t revision)
{
    reply_header_number(out, "X-MiniKV-Revision", revision);
    buf_put(out, BYTES_LITERAL("Cache-Control: no-store\r\n"));
}

static void watch_on_due(void *ctx)
{
    struct watch *watch = ctx;
    connection_answer(watch->exchange->connection);
}

static void answer_stream(struct watch *watch)
{
    struct exchange *exchange = watch->exchange;
    struct problem problem = {.status = ST_OK};
    bool is_sse = watch->filter.format == WATCH_SSE;
    uint64_t number;
    if (!begin(watch, &number, &problem)) {
        reply_problem(exchange, problem.status, problem.detail.text);
        return;
    }
    watch->watcher.on_due = watch_on_due;
    watch->watcher.ctx = watch;
    if (!exchange->is_head_only)
        watch_hub_add(http_of(watch)->watches, &watch->watcher, &watch->filter, watch->from,
                      number);
    put_revision(reply_begin(exchange, 200), watch->started_revision);
    reply_end_chunked(exchange, is_sse ? CONTENT_EVENTS : CONTENT_LINES);
}

/* ---- long polls ---- */

static void poll_done(struct watch *watch)
{
    env_timer_set(http_of(watch)->env, &watch->timer, TIME_NEVER);
    if (watch->exchange->state == EXCHANGE_PREPARING)
        watch->exchange->state = EXCHANGE_READY;
}

static void poll_refuse(struct watch *watch, const struct problem *problem)
{
    exchange_refuse(watch->exchange, problem->status, "%s", problem->detail.text);
    poll_done(watch);
}

/* There is an event, or never will be. */
static void watch_on_found(void *ctx)
{
    struct watch *watch = ctx;
    poll_done(watch);
    connection_answer(watch->exchange->connection);
}

void watch_prepare(struct exchange *exchange)
{
    struct watch *watch = watch_of(exchange->source);
    struct problem problem = {.status = ST_OK};
    uint64_t number;
    if (watch->poll_ms == 0)
        return;
    exchange->state = EXCHANGE_PREPARING;
    if (!begin(watch, &number, &problem)) {
        poll_refuse(watch, &problem);
        return;
    }
    struct http *http = http_of(watch);
    watch->watcher.on_due = watch_on_found;
    watch->watcher.ctx = watch;
    watch_hub_add(http->watches, &watch->watcher, &watch->filter, watch->from, number);
    env_timer_set(http->env, &watch->timer, env_now(http->env) + watch->poll_ms * TIME_US_PER_MS);
}

static void answer_poll(struct watch *watch)
{
    struct exchange *exchange = watch->exchange;
    struct kv_stats stats;
    struct buf body;
    buf_init(&body, POLL_BYTES_MAX);
    kv_stats(node_kv(http_of(watch)->node), &stats);
    buf_put(&body, BYTES_LITERAL("{\"events\":["));
    enum status status = watcher_collect(&watch->watcher, watch->events_max, POLL_BYTES, &body);
    if (status == ST_OK) {
        buf_put(&body, BYTES_LITERAL("],\"next\":\""));
        watch_id_put_place(&body, watch->watcher.place);
        buf_put(&body, BYTES_LITERAL("\",\"revision\":"));
        buf_put_decimal(&body, stats.revision);
        buf_put(&body, BYTES_LITERAL("}\n"));
        INVARIANT(!body.is_full);
        put_revision(reply_begin(exchange, 200), stats.revision);
        reply_end(exchange, CONTENT_JSON, buf_bytes(&body));
    } else {
        reply_problem(exchange, status, NULL);
    }
    buf_release(&body);
}

static void watch_stop(struct source *source)
{
    struct watch *watch = watch_of(source);
    struct problem problem = {.status = ST_OK};
    if (watch->exchange->state == EXCHANGE_PREPARING) {
        problem_set(&problem, ST_SHUTTING_DOWN, "%s", "");
        poll_refuse(watch, &problem);
    } else if (watch->watcher.ended == ST_OK) {
        watch->watcher.ended = ST_SHUTTING_DOWN;
    }
}

void watch_answer(struct exchange *exchange)
{
    struct watch *watch = watch_of(exchange->source);
    if (watch->poll_ms == 0)
        answer_stream(watch);
    else
        answer_poll(watch);
}

/* ---- what is asked for ---- */

static bool take_keys(struct exchange *exchange, struct watch_filter *filter)
{
    const struct query *query = &exchange->query;
    bool is_range = query_has(query, QUERY_START) || query_has(query, QUERY_END);
    bool is_key = query_has(query, QUERY_KEY), is_prefix = query_has(query, QUERY_PREFIX);
    if (is_key + is_prefix + is_range != 1) {
        exchange_refuse(exchange, ST_BAD_QUERY,
                        "send one of key, prefix (empty: all keys), and start or end or both");
        return false;
    }
    filter->kind = is_key ? WATCH_KEY : is_prefix ? WATCH_PREFIX : WATCH_RANGE;
    enum query_parameter first = is_key ? QUERY_KEY : is_prefix ? QUERY_PREFIX : QUERY_START;
    if (!exchange_take_key(exchange, first, &filter->key) ||
        !exchange_take_key(exchange, QUERY_END, &filter->end))
        return false;
    if (is_key && filter->key.count == 0)
        exchange_refuse(exchange, ST_KEY_EMPTY, "%s", "key is empty; prefix= watches all keys");
    return !exchange_is_refused(exchange);
}

static bool take_options(struct exchange *exchange, struct watch *watch)
{
    const struct query *query = &exchange->query;
    struct bytes filter = query->values[QUERY_FILTER];
    struct errtext error;
    uint64_t from = 0;
    if (query_flag(query, QUERY_PREV, &watch->filter.has_previous, &error) != ST_OK ||
        query_number(query, QUERY_FROM, INT64_MAX, &from, &error) != ST_OK ||
        query_number(query, QUERY_POLL_MS, POLL_MS_MAX, &watch->poll_ms, &error) != ST_OK ||
        query_number(query, QUERY_LIMIT, POLL_EVENTS_MAX, &watch->events_max, &error) != ST_OK) {
        exchange_refuse(exchange, ST_BAD_QUERY, "%s", error.text);
        return false;
    }
    if (query_has(query, QUERY_LIMIT) && watch->poll_ms == 0)
        exchange_refuse(exchange, ST_BAD_QUERY, "limit is of long polls: send poll_ms as well");
    if (query_has(query, QUERY_FILTER)) {
        watch->filter.lacks_deletes = bytes_equal_text(filter, "put");
        watch->filter.lacks_puts = bytes_equal_text(filter, "delete");
        if (!watch->filter.lacks_deletes && !watch->filter.lacks_puts)
            exchange_refuse(exchange, ST_BAD_QUERY, "filter is put or delete");
    }
    watch->has_from = from != 0;
    watch->from = watch_place_of(from);
    return !exchange_is_refused(exchange);
}

/* The header, which a browser sends by itself when it comes back, wins over the parameters. */
static bool take_id(struct exchange *exchange, struct watch *watch)
{
    const struct headers *headers = &exchange->connection->parse.headers;
    struct bytes header = bytes_of(headers->last_event, headers->last_event_count);
    bool is_header = header.count != 0;
    bool is_query = query_has(&exchange->query, QUERY_FROM_ID);
    if (!is_header && !is_query)
        return true;
    watch->has_from = true;
    if (watch_id_parse(is_header ? header : exchange->query.values[QUERY_FROM_ID], &watch->from))
        return true;
    exchange_refuse(exchange, is_header ? ST_BAD_HEADER : ST_BAD_QUERY,
                    "%s is the id of an event: its revision, or revision.n",
                    is_header ? "Last-Event-ID" : "from_id");
    return false;
}

static bool take_format(struct exchange *exchange, struct watch *watch)
{
    bool is_named = exchange->accepts_events || exchange->accepts_lines;
    bool is_json = exchange->accept == ACCEPT_ANY || exchange->accept == ACCEPT_JSON;
    if (watch->poll_ms != 0)
        watch->filter.format = WATCH_POLL;
    else if (exchange->accepts_lines && !exchange->accepts_events)
        watch->filter.format = WATCH_NDJSON;
    if (is_json || (is_named && watch->poll_ms == 0))
        return true;
    exchange_refuse(exchange, ST_NOT_ACCEPTABLE, "accept %s",
                    watch->poll_ms != 0 ? CONTENT_JSON : CONTENT_EVENTS " or " CONTENT_LINES);
    return false;
}

static const struct source_ops poll_ops = {
    .send = watch_send, .free = watch_free, .stop = watch_stop};
static const struct source_ops stream_ops = {
    .send = watch_send, .free = watch_free, .stop = watch_stop, .is_endless = true};

void watch_start(struct exchange *exchange, struct bytes body)
{
    (void)body; /* the route takes none */
    struct watch *watch = mem_alloc(sizeof *watch);
    watch->source.ops = &poll_ops; /* until it is known to be none */
    watch->exchange = exchange;
    watch->events_max = POLL_EVENTS;
    exchange->source = &watch->source;
    env_timer_init(&watch->timer, watch_on_found, watch);
    if (!take_keys(exchange, &watch->filter) || !take_options(exchange, watch) ||
        !take_id(exchange, watch) || !take_format(exchange, watch))
        return;
    if (watch->poll_ms == 0)
        watch->source.ops = &stream_ops;
    kv_read_start(exchange);
    watch->watcher.takes_stale = exchange->is_stale;
    if (exchange->is_stale && !exchange_is_refused(exchange))
        watch_prepare(exchange);
}
