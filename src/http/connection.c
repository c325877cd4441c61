/* Reading, ordering and sending of one connection.
 *
 * Replies go out in the order of the requests. What came to an end early waits as an exchange that
 * is ready, not as bytes: a read is carried out when its turn comes, which is later than the moment
 * at which it was allowed and so just as linearizable, and no reply is buffered behind a slow one.
 */
#include "http/connection.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "http/api.h"
#include "http/reply.h"
#include "http/server.h"

enum { WATCH_BYTES = 64 * 1024 }; /* what a reader must take in options.send_timeout */

/* Where each state may lead: a bit per state. */
static const unsigned next_states[] = {
    [CONNECTION_FRESH] = 1u << CONNECTION_HEAD | 1u << CONNECTION_BODY | 1u << CONNECTION_LAST,
    [CONNECTION_IDLE] = 1u << CONNECTION_HEAD | 1u << CONNECTION_BODY | 1u << CONNECTION_LAST,
    [CONNECTION_HEAD] = 1u << CONNECTION_BODY | 1u << CONNECTION_LAST,
    [CONNECTION_BODY] = 1u << CONNECTION_IDLE | 1u << CONNECTION_LAST,
    [CONNECTION_LAST] = 0,
};

static void move(struct connection *connection, enum connection_state to)
{
    INVARIANT((next_states[connection->state] & 1u << to) != 0);
    connection->state = to;
    connection->since = env_now(connection->http->env);
}

/* Nothing more is read; what still comes is thrown away until the other side closes. */
static void move_to_last(struct connection *connection)
{
    if (connection->state == CONNECTION_LAST)
        return;
    move(connection, CONNECTION_LAST);
    buf_release(&connection->pending);
    connection->pending_at = 0;
    if (connection->is_paused)
        env_stream_pause(connection->stream, false);
    connection->is_paused = false;
    http_mark_dirty(connection->http, connection);
}

/* ---- replies ---- */

static struct exchange *oldest(const struct connection *connection)
{
    if (list_is_empty(&connection->exchanges))
        return NULL;
    return CONTAINER_OF(connection->exchanges.next, struct exchange, link);
}

static size_t reply_bytes(const struct connection *connection)
{
    return connection->out.count + env_stream_queued(connection->stream);
}

/* Keeps the server's sum of replies that nobody has taken yet up to date. */
static void account_replies(struct connection *connection)
{
    size_t now = reply_bytes(connection);
    connection->http->replies_bytes += now;
    connection->http->replies_bytes -= connection->reply_bytes;
    connection->reply_bytes = now;
}

/* The other side sees the connection end without the replies that it waits for. */
static void break_off(struct connection *connection)
{
    while (!list_is_empty(&connection->exchanges))
        exchange_free(oldest(connection));
    connection->reading = NULL;
    move_to_last(connection);
    http_mark_dirty(connection->http, connection); /* also if it was on its last already */
}

/* 100 Continue, once it cannot be taken for the reply to an earlier request. */
static void offer_continue(struct connection *connection)
{
    struct exchange *exchange = oldest(connection);
    if (exchange == NULL || exchange != connection->reading || !exchange->wants_continue)
        return;
    exchange->wants_continue = false;
    buf_put_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
    http_mark_dirty(connection->http, connection);
}

static enum source_step send_piece(struct connection *connection, struct exchange *exchange)
{
    size_t before = connection->out.count;
    bool counts = exchange->source->ops->is_made_as_taken;
    enum source_step step = source_send(exchange->source, exchange->is_chunked, &connection->out);
    if (counts)
        turn_spend(&connection->turn, connection->out.count - before);
    return step;
}

/* The reply, or the next piece of it. False: nothing more for now. */
static bool send_some(struct connection *connection, struct exchange *exchange)
{
    size_t before = connection->out.count;
    enum source_step step = SOURCE_DONE;
    if (exchange->state == EXCHANGE_READY) {
        exchange->is_unfinished = false;
        reply_write(exchange);
        turn_spend(&connection->turn, TURN_REQUEST_BYTES + connection->out.count - before);
        if (exchange->is_unfinished) {
            turn_yield(&connection->turn);
            return false;
        }
    }
    if (exchange->state == EXCHANGE_SENDING)
        step = send_piece(connection, exchange);
    INVARIANT(!connection->out.is_full);
    bool is_new = connection->out.count != before;
    bool ends = exchange->is_close_delimited;
    if (step == SOURCE_DONE)
        exchange_free(exchange);
    if (step == SOURCE_BROKEN || (step == SOURCE_DONE && ends))
        break_off(connection);
    account_replies(connection);
    if (is_new || step == SOURCE_DONE) {
        connection->since = env_now(connection->http->env);
        http_mark_dirty(connection->http, connection);
    }
    return step == SOURCE_MORE || (step == SOURCE_DONE && !ends);
}

/* The socket has taken all that there was; replies and pieces of this moment go together. */
static bool has_taken_all(const struct connection *connection)
{
    return env_stream_queued(connection->stream) == 0 &&
           connection->out.count < LIMIT_VALUE_PIECE_BYTES;
}

/* Of a long body only a piece is queued: it goes on when that has left, and waits, also for other
 * connections, where replies take more memory than their share. */
static bool has_room(struct connection *connection, const struct exchange *exchange)
{
    size_t queued = reply_bytes(connection);
    connection->is_starved = false;
    if (exchange->state != EXCHANGE_SENDING)
        return queued <= LIMIT_REPLY_QUEUE_BYTES;
    if (exchange->source->ops->is_made_as_taken) {
        connection->is_starved = connection->http->replies_bytes > LIMIT_REPLIES_BYTES;
        return has_taken_all(connection) && !connection->is_starved &&
               turn_may_go_on(&connection->turn);
    }
    connection->is_starved = connection->http->replies_bytes > LIMIT_SOURCES_BYTES;
    return queued < LIMIT_SOURCE_QUEUE_BYTES && !connection->is_starved;
}

void connection_answer(struct connection *connection)
{
    struct exchange *exchange;
    while ((exchange = oldest(connection)) != NULL &&
           (exchange->state == EXCHANGE_READY || exchange->state == EXCHANGE_SENDING)) {
        if (!has_room(connection, exchange))
            return; /* goes on when the queue has drained */
        if (exchange->state == EXCHANGE_READY && !turn_may_reply(&connection->turn))
            return; /* goes on in a later turn of the loop; bodies have bounds of their own */
        if (exchange->state == EXCHANGE_READY &&
            FAILPOINT("http.replying", buf_bytes(&exchange->target))) {
            break_off(connection);
            return;
        }
        if (!send_some(connection, exchange))
            return;
    }
    offer_continue(connection);
}

/* ---- reading ---- */

/* Keeps the server's sum of held bytes up to date. */
static void account(struct connection *connection)
{
    size_t held = parse_held_bytes(&connection->parse) + connection->pending.capacity;
    connection->http->bodies_bytes += held;
    connection->http->bodies_bytes -= connection->held_bytes;
    connection->held_bytes = held;
}

static bool bodies_are_full(const struct http *http, uint64_t more_bytes)
{
    return http->bodies_bytes > LIMIT_BODIES_BYTES ||
           more_bytes > LIMIT_BODIES_BYTES - http->bodies_bytes;
}

/* The reply goes out before the body has come, so the rest of it cannot be told from a request. */
static void answer_early(struct connection *connection, struct exchange *exchange)
{
    connection->reading = NULL;
    exchange->closes = true;
    exchange->wants_continue = false;
    exchange->state = EXCHANGE_READY;
    move_to_last(connection);
    connection_answer(connection);
}

static void on_head(struct connection *connection)
{
    struct parse *parse = &connection->parse;
    struct http *http = connection->http;
    struct exchange *exchange = exchange_new(connection);
    bool has_body = parse_has_body(parse);
    connection->reading = exchange;
    move(connection, CONNECTION_BODY);
    exchange_take_head(exchange, parse);
    api_match(exchange);
    if (has_body && bodies_are_full(http, parse->llhttp.content_length))
        exchange_refuse(exchange, ST_BUSY, "the bodies of other requests fill the node's memory");
    /* Lines for HTTP/1.0 end with the connection: what came behind them would be carried out, and
     * never answered. */
    exchange->closes = !parse->keeps_alive || (exchange->is_http_1_0 && exchange->accepts_lines);
    if (exchange_is_refused(exchange) && parse->headers.expects_continue && has_body) {
        answer_early(connection, exchange);
        return;
    }
    if (exchange_is_refused(exchange) || !exchange->route->takes_body)
        parse_discard_body(parse);
    exchange->wants_continue =
        parse->headers.expects_continue && has_body && !exchange->is_http_1_0;
    offer_continue(connection);
}

/* Whoever sent several requests at once is answered all of them that have been read when the server
 * is told to stop. Whoever goes on sending is not waited for for ever. */
static bool is_last_of_all(const struct connection *connection, struct bytes behind)
{
    const struct http *http = connection->http;
    bool is_put_aside = connection->pending.count != 0;
    return http->is_stopping && (behind.count == 0 || (http->grace_is_over && !is_put_aside));
}

/* `behind` has been read with the request, or before it. */
static void on_message(struct connection *connection, struct bytes behind)
{
    struct exchange *exchange = connection->reading;
    connection->reading = NULL;
    exchange->closes = exchange->closes || is_last_of_all(connection, behind);
    exchange->wants_continue = false;
    move(connection, CONNECTION_IDLE);
    (void)FAILPOINT("http.parsed", buf_bytes(&exchange->target));
    if (!exchange_is_refused(exchange) && exchange->route->start != NULL)
        exchange->route->start(exchange, parse_body(&connection->parse));
    if (exchange->state == EXCHANGE_READING)
        exchange->state = EXCHANGE_READY;
    parse_trim(&connection->parse);
    if (exchange->closes)
        move_to_last(connection);
    connection_answer(connection);
}

/* Framing is lost: the requests before this one are answered, then this refusal, then it ends. */
static void refuse(struct connection *connection, const struct problem *problem)
{
    struct exchange *exchange = connection->reading;
    if (exchange == NULL) {
        exchange = exchange_new(connection);
        exchange->is_head_only = parse_is_head_only(&connection->parse);
    }
    exchange->problem = *problem;
    answer_early(connection, exchange);
}

/* The newest request is one that only its client ends, or waits to be submitted; or as many
 * transactions as may be there have not been answered: each of these keeps what it came to until
 * its turn. */
static bool is_held_up(const struct connection *connection)
{
    if (list_is_empty(&connection->exchanges) || connection->parse.phase != PARSE_PHASE_BETWEEN)
        return false;
    const struct exchange *newest = CONTAINER_OF(connection->exchanges.prev, struct exchange, link);
    bool is_endless = newest->source != NULL && newest->source->ops->is_endless;
    return is_endless || newest->state == EXCHANGE_QUEUED ||
           connection->txns_count >= LIMIT_PIPELINE_TXNS;
}

/* Full: nothing more is read before some of it has been answered and sent. */
static bool is_full(const struct connection *connection, size_t exchanges_max)
{
    bool is_one_too_many = connection->http->exchanges_count >= LIMIT_EXCHANGES &&
                           connection->exchanges_count != 0; /* one each, always */
    return connection->parse.phase == PARSE_PHASE_BETWEEN &&
           (connection->exchanges_count >= exchanges_max || is_one_too_many ||
            reply_bytes(connection) > LIMIT_REPLY_QUEUE_BYTES);
}

/* Returns what was not looked at because the pipeline is full, or held up. */
static struct bytes consume(struct connection *connection, struct bytes bytes)
{
    while (connection->state != CONNECTION_LAST && !is_full(connection, LIMIT_PIPELINE) &&
           !is_held_up(connection)) {
        switch (parse_step(&connection->parse, &bytes)) {
        case PARSE_MORE:
            if (connection->parse.phase == PARSE_PHASE_HEAD && connection->state != CONNECTION_HEAD)
                move(connection, CONNECTION_HEAD);
            return bytes_of(NULL, 0);
        case PARSE_HEAD:
            on_head(connection);
            break;
        case PARSE_MESSAGE:
            on_message(connection, bytes);
            break;
        case PARSE_REFUSED:
            refuse(connection, &connection->parse.problem);
            break;
        }
    }
    return connection->state == CONNECTION_LAST ? bytes_of(NULL, 0) : bytes;
}

/* What has been copied because it is not complete counts against all bodies together: a body is
 * thrown away and its request refused; half a head, or requests put aside, end the connection. */
static void limit_held(struct connection *connection)
{
    struct problem problem = {.status = ST_OK};
    account(connection);
    if (connection->state == CONNECTION_LAST || !bodies_are_full(connection->http, 0))
        return;
    problem_set(&problem, ST_BUSY, "the bodies of other requests fill the node's memory");
    if (connection->parse.phase == PARSE_PHASE_HEAD || connection->pending.count != 0) {
        refuse(connection, &problem);
    } else if (connection->parse.phase == PARSE_PHASE_BODY && connection->parse.body.count != 0) {
        exchange_refuse(connection->reading, problem.status, "%s", problem.detail.text);
        parse_discard_body(&connection->parse);
    }
    account(connection);
}

static void pause_if_full(struct connection *connection)
{
    bool is_paused = connection->state != CONNECTION_LAST &&
                     (connection->pending.count != 0 || is_full(connection, LIMIT_PIPELINE));
    if (is_paused == connection->is_paused)
        return;
    connection->is_paused = is_paused;
    env_stream_pause(connection->stream, is_paused);
}

static void connection_on_data(void *ctx, struct bytes bytes)
{
    struct connection *connection = ctx;
    connection->http->metrics.received_bytes += bytes.count;
    if (connection->state == CONNECTION_LAST)
        return;
    if (connection->pending.count == 0)
        bytes = consume(connection, bytes);
    if (connection->state != CONNECTION_LAST)
        buf_put(&connection->pending, bytes);
    INVARIANT(!connection->pending.is_full);
    limit_held(connection);
    pause_if_full(connection);
}

/* Half of the pipeline is free again: what was put aside comes next. */
static void resume(struct connection *connection)
{
    if (!connection->is_paused || is_full(connection, LIMIT_PIPELINE / 2))
        return;
    struct buf *pending = &connection->pending;
    struct bytes rest = bytes_of(NULL, 0);
    if (pending->count != 0)
        rest = consume(connection, bytes_of(pending->data + connection->pending_at,
                                            pending->count - connection->pending_at));
    if (connection->state == CONNECTION_LAST)
        return;
    connection->pending_at = pending->count - rest.count;
    if (rest.count == 0) {
        buf_release(pending);
        connection->pending_at = 0;
    }
    limit_held(connection);
    pause_if_full(connection);
}

/* ---- the stream ---- */

static void connection_on_drained(void *ctx)
{
    struct connection *connection = ctx;
    account_replies(connection);
    connection_answer(connection);
    http_mark_dirty(connection->http, connection);
}

static void connection_on_end(void *ctx, enum env_end end)
{
    struct connection *connection = ctx;
    connection->stream = NULL;
    connection_free(connection);
}

static const struct env_stream_handler handler = {
    .on_data = connection_on_data,
    .on_drained = connection_on_drained,
    .on_end = connection_on_end,
};

void connection_flush(struct connection *connection)
{
    struct buf *out = &connection->out;
    if (out->count != 0) {
        connection->sent_bytes += out->count;
        connection->http->metrics.sent_bytes += out->count;
        env_stream_send(connection->stream, buf_bytes(out));
        (void)FAILPOINT("http.replied", buf_bytes(out));
        buf_reset(out);
        if (out->capacity > LIMIT_SPARE_BYTES)
            buf_release(out);
        account_replies(connection);
        connection_answer(connection);
    }
    if (connection->state != CONNECTION_LAST) {
        resume(connection);
    } else if (connection->exchanges_count == 0 && out->count == 0 &&
               env_stream_queued(connection->stream) == 0) { /* else on_drained comes back */
        env_stream_finish(connection->stream, connection->http->options.linger);
        connection->stream = NULL;
        connection_free(connection);
    }
}

/* ---- life ---- */

void connection_open(struct http *http, struct env_stream *stream)
{
    struct connection *connection = mem_alloc(sizeof *connection);
    connection->stream = stream;
    connection->http = http;
    parse_init(&connection->parse);
    buf_init(&connection->out, LIMIT_REPLY_QUEUE_BYTES + 2 * LIMIT_REPLY_BYTES);
    buf_init(&connection->pending, 2 * LIMIT_READ_BYTES);
    list_init(&connection->exchanges);
    list_init(&connection->dirty_link);
    turn_init(&connection->turn, &http->turns);
    list_push_back(&http->connections, &connection->link);
    http->connections_count++;
    http->metrics.connections_accepted++;
    connection->state = CONNECTION_FRESH;
    connection->since = env_now(http->env);
    env_stream_start(stream, &handler, connection);
}

void connection_free(struct connection *connection)
{
    struct http *http = connection->http;
    while (!list_is_empty(&connection->exchanges))
        exchange_free(oldest(connection));
    env_stream_close(connection->stream);
    list_remove(&connection->link);
    list_remove(&connection->dirty_link);
    turn_leave(&connection->turn);
    http->bodies_bytes -= connection->held_bytes;
    http->replies_bytes -= connection->reply_bytes;
    parse_release(&connection->parse);
    buf_release(&connection->out);
    buf_release(&connection->pending);
    mem_free(connection);
    http_connection_gone(http);
}

/* ---- the clock ---- */

static void time_out(struct connection *connection, const char *what)
{
    struct problem problem = {.status = ST_OK};
    problem_set(&problem, ST_REQUEST_TIMEOUT,
                "%s did not arrive in time; send it again on a new "
                "connection",
                what);
    refuse(connection, &problem);
}

/* A reader that takes nothing, or next to nothing, holds memory that others need. */
static bool is_stuck(struct connection *connection, time_us now)
{
    size_t queued = env_stream_queued(connection->stream);
    uint64_t taken = connection->sent_bytes - queued;
    bool is_watched = connection->watch_goal != 0;
    if (is_watched && queued != 0 && taken < connection->watch_goal)
        return now - connection->watch_since > connection->http->options.send_timeout;
    connection->watch_since = now;
    connection->watch_goal = queued == 0 ? 0 : taken + MIN(queued, (size_t)WATCH_BYTES);
    return false;
}

void connection_sweep(struct connection *connection, time_us now)
{
    const struct http_options *options = &connection->http->options;
    time_us age = now - connection->since;
    account_replies(connection);
    if (is_stuck(connection, now)) {
        connection_free(connection);
        return;
    }
    if (connection->is_starved)
        connection_answer(connection);
    switch (connection->state) {
    case CONNECTION_FRESH:
        if (age > options->head_timeout)
            move_to_last(connection);
        break;
    case CONNECTION_IDLE:
        if (age > options->idle_timeout && connection->exchanges_count == 0 &&
            reply_bytes(connection) == 0)
            move_to_last(connection);
        break;
    case CONNECTION_HEAD:
        if (age > options->head_timeout)
            time_out(connection, "the head of the request");
        break;
    case CONNECTION_BODY:
        if (age > options->body_timeout)
            time_out(connection, "the body of the request");
        break;
    case CONNECTION_LAST:
        break;
    }
}

/* Told also where there is no room: what they have to say is short. */
static void stop_sources(struct connection *connection)
{
    for (struct list *at = connection->exchanges.next; at != &connection->exchanges;
         at = at->next) {
        struct exchange *exchange = CONTAINER_OF(at, struct exchange, link);
        if (exchange->source != NULL && exchange->source->ops->stop != NULL)
            exchange->source->ops->stop(exchange->source);
    }
    struct exchange *first = oldest(connection);
    if (first != NULL && first->state == EXCHANGE_SENDING && first->source->ops->stop != NULL)
        (void)send_some(connection, first); /* connection_answer goes on */
}

/* Unless there is more that has been read: then that comes first. */
static void end_behind_newest(struct connection *connection)
{
    if (connection->state != CONNECTION_IDLE || connection->pending.count != 0)
        return;
    if (connection->exchanges_count != 0)
        CONTAINER_OF(connection->exchanges.prev, struct exchange, link)->closes = true;
    move_to_last(connection);
}

void connection_stop(struct connection *connection)
{
    stop_sources(connection);
    /* Between requests: a moment's grace; within one: its reply says that it is the last. */
    if (connection->exchanges_count != 0)
        end_behind_newest(connection);
    connection_answer(connection);
}

void connection_stop_idle(struct connection *connection)
{
    if (connection->state == CONNECTION_FRESH)
        move_to_last(connection);
    else
        end_behind_newest(connection);
}
