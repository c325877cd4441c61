#include "client/client.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
    CONNECT_US_MAX = 1000 * TIME_US_PER_MS, /* a node that does not answer the dial is passed by */
    PAUSE_MS_MIN = 20,                      /* doubles with each round of all endpoints */
    PAUSE_MS_MAX = 320,
    ANSWER_MS_MIN = 20, /* for a node's answer to come back, after the deadline it was told */
    ANSWER_MS_MAX = 100,
    RETRY_MS_MIN = 100, /* with less time left, what is known is worth more than another try */
};

void client_init(struct client *client, const struct client_options *options)
{
    *client = (struct client){.options = *options};
    for (size_t i = 0; i < options->endpoints_count; i++)
        http_client_init(&client->links[i], &options->endpoints[i]);
    http_client_init(&client->leader, &(struct address){0});
    prng_init(&client->prng, options->seed);
}

void client_release(struct client *client)
{
    for (size_t i = 0; i < client->options.endpoints_count; i++)
        http_client_release(&client->links[i]);
    http_client_release(&client->leader);
}

/* ---- what a reply says ---- */

static enum status status_by_code(int code)
{
    switch (code) {
    case 404:
        return ST_NOT_FOUND;
    case 412:
        return ST_CONDITION_FAILED;
    case 307:
        return ST_NOT_LEADER;
    case 502:
        return ST_LINK_LOST;
    case 503:
        return ST_NO_LEADER;
    case 504:
        return ST_TIMEOUT;
    default:
        return code >= 400 && code < 500 ? ST_BAD_REQUEST : ST_IO;
    }
}

enum status client_reply_status(const struct http_reply *reply)
{
    static const char prefix[] = "\"urn:minikv:";
    if (reply->code >= 200 && reply->code < 300)
        return ST_OK;
    struct bytes body = http_reply_body(reply);
    const uint8_t *found =
        body.count != 0 ? memmem(body.data, body.count, prefix, sizeof prefix - 1) : NULL;
    if (found == NULL)
        return status_by_code(reply->code);
    const uint8_t *word = found + sizeof prefix - 1;
    size_t rest = body.count - (size_t)(word - body.data);
    const uint8_t *quote = memchr(word, '"', rest);
    size_t word_bytes = quote != NULL ? (size_t)(quote - word) : rest;
    for (int status = 0; status < STATUS_COUNT; status++)
        if (bytes_equal_text(bytes_of(word, word_bytes), status_info((enum status)status)->code))
            return (enum status)status;
    return status_by_code(reply->code);
}

/* A reply that does not say comes from something else than a node: of a failure that may have
 * happened behind it, nothing is known. */
enum effect client_reply_effect(const struct http_reply *reply)
{
    static const enum effect effects[] = {EFFECT_NONE, EFFECT_MAYBE, EFFECT_APPLIED};
    const char *text = http_reply_header(reply, "X-MiniKV-Effect");
    for (size_t i = 0; text != NULL && i < ARRAY_COUNT(effects); i++)
        if (strcmp(text, effect_name(effects[i])) == 0)
            return effects[i];
    if (reply->code < 300)
        return EFFECT_APPLIED;
    return reply->code < 500 ? EFFECT_NONE : EFFECT_MAYBE;
}

/* ---- one attempt ---- */

enum status client_follow_redirect(struct client *client, const struct redirect_msg *message,
                                   const struct http_request *request, time_us connect_deadline,
                                   time_us deadline, struct http_reply *reply,
                                   struct errtext *error)
{
    struct address leader = {.port = message->leader_port};
    (void)snprintf(leader.host, sizeof leader.host, "%s", message->leader_host);
    if (!address_equal(&leader, &client->leader.address)) {
        http_client_release(&client->leader);
        http_client_init(&client->leader, &leader);
    }
    return http_client_call(&client->leader, request, connect_deadline, deadline, reply, error);
}

/* How much an attempt that did not end the call says about why. */
enum telling { TELLING_NOTHING, TELLING_UNSENT, TELLING_LOST, TELLING_REDIRECT, TELLING_ANSWER };

/* The call as it goes on: what the attempts so far have come to. */
struct call {
    struct client *client;
    struct http_request request; /* with its deadline header */
    bool is_repeatable;
    time_us deadline;
    unsigned attempts_count;
    unsigned follows_count;     /* in a row */
    unsigned failures_count;    /* endpoints that could not take it, in a row */
    struct redirect_msg leader; /* to follow, when follows_count is not 0 */

    /* The most telling attempt so far, for when the time runs out. */
    enum telling telling;
    struct client_outcome outcome;
    struct http_reply reply; /* owned; empty without one */
};

static time_us time_left(const struct call *call, time_us now)
{
    return call->deadline > now ? call->deadline - now : 0;
}

/* The node is told a little less than this attempt will wait, so that its truthful answer comes in
 * time. */
static void tell_deadline(struct call *call, time_us left, char text[24])
{
    time_us left_ms = left / TIME_US_PER_MS;
    time_us answer_ms = MIN(MAX(left_ms / 10, ANSWER_MS_MIN), ANSWER_MS_MAX);
    left_ms -= MIN(answer_ms, left_ms / 2);
    (void)snprintf(text, 24, "%llu", (unsigned long long)MAX(left_ms, 1));
    call->request.headers[call->request.headers_count - 1].value = text;
}

/* Reads leave time for another endpoint; a write is worth waiting for, as it is not sent twice. */
static time_us attempt_deadline(const struct call *call, time_us now)
{
    time_us left = time_left(call, now);
    bool has_others = call->client->options.endpoints_count > 1;
    return now + (call->is_repeatable && has_others ? left / 2 : left);
}

static enum status try_once(struct call *call, struct http_reply *reply, struct attempt *attempt,
                            struct errtext *error)
{
    struct client *client = call->client;
    char deadline_text[24];
    time_us now = connection_now();
    time_us deadline = attempt_deadline(call, now);
    tell_deadline(call, deadline - now, deadline_text);
    enum status status;
    if (call->follows_count != 0)
        status = client_follow_redirect(client, &call->leader, &call->request, now + CONNECT_US_MAX,
                                        deadline, reply, error);
    else
        status = http_client_call(&client->links[client->current], &call->request,
                                  now + CONNECT_US_MAX, deadline, reply, error);
    call->request.headers[call->request.headers_count - 1].value = "";

    *attempt = (struct attempt){.is_repeatable = call->is_repeatable,
                                .follows_count = call->follows_count};
    if (status == ST_OK) {
        attempt->end = ATTEMPT_REPLIED;
        attempt->code = reply->code;
        attempt->effect = call->is_repeatable ? EFFECT_NONE : client_reply_effect(reply);
        struct redirect_msg message;
        redirect_read(reply, &message);
        attempt->points = message.leader_known && message.term >= client->term_max;
        client->term_max = MAX(client->term_max, message.term);
        if (attempt->points)
            call->leader = message;
        return client_reply_status(reply);
    }
    bool is_lost = status == ST_LINK_LOST || status == ST_TIMEOUT;
    attempt->end = is_lost ? ATTEMPT_LOST : ATTEMPT_UNSENT;
    attempt->effect = is_lost && !call->is_repeatable ? EFFECT_MAYBE : EFFECT_NONE;
    return status;
}

/* ---- what follows ---- */

/* After each round of all endpoints, with jitter so that clients do not come back together. */
static uint32_t pause_ms(struct call *call)
{
    size_t endpoints_count = call->client->options.endpoints_count;
    if (call->failures_count % endpoints_count != 0)
        return 0;
    unsigned rounds = (unsigned)(call->failures_count / endpoints_count);
    uint32_t full = MIN((uint32_t)PAUSE_MS_MAX, (uint32_t)PAUSE_MS_MIN << MIN(rounds - 1, 8));
    return full / 2 + (uint32_t)prng_below(&call->client->prng, full / 2 + 1);
}

static void wait_ms(uint32_t ms)
{
    time_us until = connection_now() + (time_us)ms * TIME_US_PER_MS;
    for (time_us now = connection_now(); now < until; now = connection_now())
        (void)poll(NULL, 0, (int)((until - now) / TIME_US_PER_MS + 1)); /* a signal: wait on */
}

static void go_elsewhere(struct call *call)
{
    struct client *client = call->client;
    client->current = (client->current + 1) % client->options.endpoints_count;
    call->follows_count = 0;
    call->failures_count++;
}

static void show_hop(const struct call *call, const struct http_reply *reply,
                     const struct errtext *error, struct client_hop *hop)
{
    const struct client *client = call->client;
    if (client->options.on_hop == NULL)
        return;
    hop->number = call->attempts_count;
    hop->request = &call->request;
    hop->reply = reply->code != 0 ? reply : NULL;
    hop->error = error->text;
    client->options.on_hop(client->options.ctx, hop);
}

static enum telling telling_of(const struct attempt *attempt)
{
    switch (attempt->end) {
    case ATTEMPT_REPLIED:
        return attempt->code == 307 ? TELLING_REDIRECT : TELLING_ANSWER;
    case ATTEMPT_UNSENT:
        return TELLING_UNSENT;
    case ATTEMPT_LOST:
        return TELLING_LOST;
    }
    return TELLING_NOTHING;
}

/* Takes the attempt's outcome and reply into the call if they say no less than what is there; of
 * equals the later one is newer. */
static void keep_if_telling(struct call *call, enum telling telling,
                            const struct client_outcome *outcome, struct http_reply *reply)
{
    if (telling >= call->telling) {
        http_reply_release(&call->reply);
        call->telling = telling;
        call->outcome = *outcome;
        call->reply = *reply;
        http_reply_init(reply);
    }
    http_reply_release(reply);
}

enum status client_call(struct client *client, const struct http_request *request,
                        bool is_repeatable, struct http_reply *reply,
                        struct client_outcome *out_outcome)
{
    struct call call = {.client = client,
                        .request = *request,
                        .is_repeatable = is_repeatable,
                        .deadline = connection_now() + client->options.timeout};
    if (!http_request_add_header(&call.request, "X-MiniKV-Timeout-Ms", "")) {
        *out_outcome = (struct client_outcome){ST_LIMIT, EFFECT_NONE, {"too many headers"}};
        return ST_LIMIT;
    }
    for (;;) {
        struct attempt attempt;
        struct errtext error = {""};
        struct address address = call.follows_count != 0
                                     ? client->leader.address
                                     : client->options.endpoints[client->current];
        call.attempts_count++;
        enum status status = try_once(&call, reply, &attempt, &error);
        if (call.follows_count != 0)
            address = client->leader.address;
        struct client_hop hop = {.address = &address, .next = attempt_decide(&attempt)};
        if (hop.next == ATTEMPT_NEXT_ELSEWHERE) {
            go_elsewhere(&call);
            hop.pause_ms = pause_ms(&call);
        }
        time_us resume = connection_now() + (time_us)(hop.pause_ms + RETRY_MS_MIN) * TIME_US_PER_MS;
        hop.out_of_time = hop.next != ATTEMPT_NEXT_FINISH && resume >= call.deadline;
        show_hop(&call, reply, &error, &hop);

        *out_outcome = (struct client_outcome){status, attempt.effect, error};
        if (hop.next == ATTEMPT_NEXT_FINISH) {
            http_reply_release(&call.reply);
            return status;
        }
        keep_if_telling(&call, telling_of(&attempt), out_outcome, reply);
        if (hop.out_of_time) {
            *out_outcome = call.outcome;
            *reply = call.reply;
            return out_outcome->status;
        }
        if (hop.next == ATTEMPT_NEXT_FOLLOW)
            call.follows_count++;
        wait_ms(hop.pause_ms);
    }
}
