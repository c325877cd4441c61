/* The life of an exchange: head taken, refused or submitted, answered, used again. */
#include "http/exchange.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/server.h"
#include "kv/txn.h"

/* ---- life ---- */

static struct exchange *take_spare(struct http *http)
{
    if (list_is_empty(&http->spare_exchanges))
        return NULL;
    /* the one used last: it is still in the cache */
    struct exchange *exchange = CONTAINER_OF(http->spare_exchanges.prev, struct exchange, link);
    list_remove(&exchange->link);
    http->spare_count--;
    return exchange;
}

static struct exchange *make(void)
{
    struct exchange *exchange = mem_alloc(sizeof *exchange);
    buf_init(&exchange->target, LIMIT_TARGET_BYTES);
    buf_init(&exchange->decoded, LIMIT_TARGET_BYTES);
    buf_init(&exchange->command, MAX((size_t)LIMIT_COMMAND_BYTES, (size_t)LIMIT_TXN_RESULTS_BYTES));
    buf_init(&exchange->client, LIMIT_IDEMPOTENCY_KEY_BYTES);
    list_init(&exchange->link);
    list_init(&exchange->room.link);
    return exchange;
}

struct exchange *exchange_new(struct connection *connection)
{
    struct http *http = connection->http;
    struct exchange *exchange = take_spare(http);
    if (exchange == NULL)
        exchange = make();
    exchange->connection = connection;
    exchange->route = NULL;
    exchange->state = EXCHANGE_READING;
    exchange->started = env_now(http->env);
    problem_clear(&exchange->problem);
    exchange->answer = (struct node_answer){0};
    exchange->query.present = 0;
    exchange->is_head_only = exchange->is_http_1_0 = exchange->closes = false;
    exchange->wants_continue = exchange->is_stale = exchange->is_renewal = false;
    exchange->is_txn = exchange->is_unfinished = false;
    exchange->revision = 0;
    exchange->source = NULL;
    exchange->is_chunked = exchange->is_close_delimited = false;
    exchange->parts = (struct target){.path = {NULL, 0}};
    exchange->key = bytes_of(NULL, 0);
    list_push_back(&connection->exchanges, &exchange->link);
    connection->exchanges_count++;
    http->exchanges_count++;
    return exchange;
}

static void destroy(struct exchange *exchange)
{
    buf_release(&exchange->target);
    buf_release(&exchange->decoded);
    buf_release(&exchange->command);
    buf_release(&exchange->client);
    mem_free(exchange);
}

/* Large buffers go back to the heap, so that one burst of large values does not stay for ever. */
static void trim(struct buf *buf)
{
    if (buf->capacity > LIMIT_SPARE_BYTES)
        buf_release(buf);
}

void exchange_free(struct exchange *exchange)
{
    struct connection *connection = exchange->connection;
    struct http *http = connection->http;
    if (exchange->state == EXCHANGE_WAITING && exchange->is_renewal)
        renewals_cancel(&http->renewals, &exchange->renewal);
    else if (exchange->state == EXCHANGE_WAITING)
        node_cancel(http->node, &exchange->submitted);
    if (exchange->source != NULL)
        exchange->source->ops->free(exchange->source);
    exchange->source = NULL;
    if (exchange->is_txn)
        results_release(&http->results, &exchange->room);
    list_remove(&exchange->link);
    connection->exchanges_count--;
    connection->txns_count -= exchange->is_txn;
    http->exchanges_count--;
    http->bodies_bytes -= exchange->command.count;
    buf_reset(&exchange->command);
    if (http->spare_count >= LIMIT_SPARE_EXCHANGES) {
        destroy(exchange);
        return;
    }
    trim(&exchange->command);
    list_push_back(&http->spare_exchanges, &exchange->link);
    http->spare_count++;
}

void exchange_free_spare(struct http *http)
{
    struct exchange *exchange;
    while ((exchange = take_spare(http)) != NULL)
        destroy(exchange);
}

/* ---- head ---- */

static time_us timeout_of(const struct http *http, const struct headers *headers)
{
    time_us timeout = http->options.request_timeout;
    if (headers->timeout_ms == 0 || headers->timeout_ms > timeout / TIME_US_PER_MS)
        return timeout;
    return headers->timeout_ms * TIME_US_PER_MS;
}

static bool authority_is_host(struct bytes authority, const struct headers *headers)
{
    if (authority.count != headers->host_count)
        return false;
    for (size_t i = 0; i < authority.count; i++) {
        uint8_t a = authority.data[i];
        uint8_t b = headers->host[i];
        bool is_letter = (a >= 'a' && a <= 'z') || (a >= 'A' && a <= 'Z');
        if (a != b && !(is_letter && (a ^ b) == 0x20))
            return false;
    }
    return true;
}

/* Copies and splits the target. */
static void take_target(struct exchange *exchange, const struct parse *parse)
{
    struct errtext error;
    buf_reset(&exchange->target);
    buf_put(&exchange->target, parse_target(parse));
    buf_reset(&exchange->decoded);
    exchange->parts = (struct target){0};
    enum status status = target_split(buf_bytes(&exchange->target), &exchange->parts, &error);
    if (status != ST_OK)
        exchange_refuse(exchange, status, "%s", error.text);
    else if (exchange->parts.authority.count != 0 && parse->headers.has_host &&
             !authority_is_host(exchange->parts.authority, &parse->headers))
        exchange_refuse(exchange, ST_BAD_HOST, "the target names another host than Host");
}

void exchange_take_head(struct exchange *exchange, const struct parse *parse)
{
    const struct headers *headers = &parse->headers;
    node_note_arrival(exchange->connection->http->node);
    exchange->method = parse->llhttp.method;
    exchange->is_head_only = exchange->method == HTTP_HEAD;
    exchange->is_http_1_0 = parse->llhttp.http_minor == 0;
    exchange->is_forwarded = headers->is_forwarded;
    exchange->is_raw_body = headers->is_raw_body;
    exchange->has_policy = headers->has_policy;
    exchange->policy = headers->policy;
    exchange->accept = headers->accept;
    exchange->accepts_lines = headers->accepts_lines;
    exchange->accepts_events = headers->accepts_events;
    exchange->condition = headers->condition;
    exchange->condition_revision = headers->condition_revision;
    exchange->identity = (struct client_identity){0};
    exchange->timeout = timeout_of(exchange->connection->http, headers);
    take_target(exchange, parse);
    if (headers->soft.status != ST_OK)
        exchange_refuse(exchange, headers->soft.status, "%s", headers->soft.detail.text);
}

/* ---- ways it can go ---- */

void exchange_refuse(struct exchange *exchange, enum status status, const char *format, ...)
{
    char text[sizeof exchange->problem.detail.text];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem_set(&exchange->problem, status, "%s", text);
}

bool exchange_is_refused(const struct exchange *exchange)
{
    return exchange->problem.status != ST_OK;
}

bool exchange_take_parameter(struct exchange *exchange, enum query_parameter parameter,
                             struct bytes *out_value)
{
    struct buf *decoded = &exchange->decoded;
    size_t start = decoded->count;
    *out_value = bytes_of(NULL, 0);
    if (!query_has(&exchange->query, parameter))
        return true;
    if (percent_decode(exchange->query.values[parameter], true, decoded) != ST_OK) {
        exchange_refuse(exchange, ST_BAD_ENCODING, "%s holds a %% without two hexadecimal digits",
                        query_name(parameter));
        return false;
    }
    *out_value = bytes_of(decoded->data + start, decoded->count - start);
    return true;
}

bool exchange_take_key(struct exchange *exchange, enum query_parameter parameter,
                       struct bytes *out_key)
{
    if (!exchange_take_parameter(exchange, parameter, out_key))
        return false;
    if (out_key->count > LIMIT_KEY_BYTES) {
        exchange_refuse(exchange, ST_KEY_TOO_LONG, "%s has %zu bytes; keys have at most %d",
                        query_name(parameter), out_key->count, LIMIT_KEY_BYTES);
        return false;
    }
    return true;
}

void exchange_take_identity(struct exchange *exchange, const struct client_identity *identity)
{
    exchange->identity = *identity;
    buf_reset(&exchange->client);
    buf_put(&exchange->client, identity->client);
    exchange->identity.client = buf_bytes(&exchange->client);
    ENSURE(exchange->identity.client.count == identity->client.count);
}

/* What a transaction came to is the node's until now; it takes the place of the command. */
static void keep_results(struct exchange *exchange)
{
    struct bytes *results = &exchange->answer.result.results;
    if (exchange->is_txn) /* of a leader of another version they may be longer than foreseen here */
        results_shrink(&exchange->connection->http->results, &exchange->room,
                       MIN(results->count, exchange->room.bytes));
    if (results->count == 0)
        return;
    exchange->connection->http->bodies_bytes -= exchange->command.count;
    buf_reset(&exchange->command);
    buf_put(&exchange->command, *results);
    INVARIANT(!exchange->command.is_full);
    *results = buf_bytes(&exchange->command);
    exchange->connection->http->bodies_bytes += results->count;
}

static void exchange_on_done(void *ctx, const struct node_answer *answer)
{
    struct exchange *exchange = ctx;
    REQUIRE(exchange->state == EXCHANGE_WAITING);
    exchange->answer = *answer;
    keep_results(exchange);
    exchange->state = EXCHANGE_READY;
    if (answer->status == ST_OK && exchange->route->prepare != NULL)
        exchange->route->prepare(exchange);
    connection_answer(exchange->connection);
}

static enum route_policy policy_of(const struct exchange *exchange, bool is_internal)
{
    if (exchange->has_policy)
        return exchange->policy;
    return is_internal ? ROUTE_FORWARD : node_policy(exchange->connection->http->node);
}

/* What operators ask of the cluster, wherever they ask it (src/route/route.h). */
static bool is_internal_op(enum command_op op)
{
    return op == COMMAND_ANNOUNCE || op == COMMAND_TRANSFER || op == COMMAND_JOIN ||
           op == COMMAND_REMOVE || op == COMMAND_PROMOTE;
}

static void set_deadline(struct exchange *exchange)
{
    exchange->deadline = env_now(exchange->connection->http->env) + exchange->timeout;
}

static void submit(struct exchange *exchange, enum node_request_kind kind, bool is_internal)
{
    struct http *http = exchange->connection->http;
    struct node_request *submitted = &exchange->submitted;
    *submitted = (struct node_request){
        .kind = kind,
        .policy = policy_of(exchange, is_internal),
        .is_forwarded = exchange->is_forwarded,
        .is_internal = is_internal,
        .deadline = exchange->deadline,
        .command = buf_bytes(&exchange->command),
        .key = exchange->key,
        .on_done = exchange_on_done,
        .ctx = exchange,
    };
    exchange->state = EXCHANGE_WAITING;
    handle_client_request(http->node, submitted);
    (void)FAILPOINT("http.submitted", buf_bytes(&exchange->target));
}

/* What has been read behind it waits as well, so that the order of requests is kept. */
static void exchange_on_room(struct results_room *room)
{
    struct exchange *exchange = CONTAINER_OF(room, struct exchange, room);
    submit(exchange, NODE_WRITE, false);
    http_mark_dirty(exchange->connection->http, exchange->connection);
}

/* False: it waits for room. */
static bool reserve_results(struct exchange *exchange, const struct command *txn)
{
    size_t bytes_max = txn_results_bytes_max(txn->value);
    if (exchange->identity.client.count != 0)
        bytes_max = MIN(bytes_max, (size_t)LIMIT_REMEMBERED_RESULT_BYTES);
    exchange->room.on_room = exchange_on_room;
    return results_reserve(&exchange->connection->http->results, &exchange->room, bytes_max);
}

void exchange_refuse_queued(struct http *http, time_us now)
{
    struct list *waiting = &http->results.waiting;
    for (struct list *at = waiting->next, *next; at != waiting; at = next) {
        struct exchange *exchange = CONTAINER_OF(at, struct exchange, room.link);
        next = at->next;
        if (exchange->deadline > now)
            continue;
        results_release(&http->results, &exchange->room);
        exchange_refuse(exchange, ST_BUSY,
                        "what other transactions have read, and clients do not take, fills the "
                        "node's memory");
        exchange->state = EXCHANGE_READY;
        http_mark_dirty(http, exchange->connection);
        connection_answer(exchange->connection);
    }
}

void exchange_write(struct exchange *exchange, const struct command *command)
{
    REQUIRE(exchange->state == EXCHANGE_READING);

    struct http *http = exchange->connection->http;
    buf_reset(&exchange->command);
    command_encode(command, &exchange->command);
    INVARIANT(!exchange->command.is_full);
    http->bodies_bytes += exchange->command.count;
    set_deadline(exchange);
    if (exchange->is_txn && !reserve_results(exchange, command))
        exchange->state = EXCHANGE_QUEUED;
    else
        submit(exchange, NODE_WRITE, is_internal_op(command->op));
}

void exchange_renew(struct exchange *exchange, uint64_t lease)
{
    REQUIRE(exchange->state == EXCHANGE_READING);

    struct http *http = exchange->connection->http;
    set_deadline(exchange);
    exchange->renewal = (struct renewal){.lease = lease,
                                         .policy = policy_of(exchange, false),
                                         .is_forwarded = exchange->is_forwarded,
                                         .deadline = exchange->deadline,
                                         .on_done = exchange_on_done,
                                         .ctx = exchange};
    enum status status = renewals_add(&http->renewals, &exchange->renewal);
    if (status != ST_OK) {
        exchange_refuse(exchange, status, "%s", "");
        return;
    }
    exchange->is_renewal = true;
    exchange->state = EXCHANGE_WAITING;
}

void exchange_read(struct exchange *exchange)
{
    REQUIRE(exchange->state == EXCHANGE_READING);
    set_deadline(exchange);
    submit(exchange, NODE_READ, false);
}
