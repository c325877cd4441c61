/* Client: endpoints, redirects and pauses, against servers that follow a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/client.h"
#include "unit/client/fake_server.h"

#define SECOND 1000000u
#define OK_REPLY                                                                                   \
    "HTTP/1.1 204 No Content\r\nX-MiniKV-Node: 1\r\nX-MiniKV-Term: 5\r\n"                          \
    "X-MiniKV-Effect: applied\r\n\r\n"
#define NO_LEADER_REPLY                                                                            \
    "HTTP/1.1 503 Service Unavailable\r\nX-MiniKV-Effect: none\r\nContent-Length: 29\r\n\r\n"      \
    "{\"type\":\"urn:minikv:no-leader\"}"

struct log {
    unsigned hops_count;
    enum attempt_next nexts[64];
    uint32_t pauses_ms[64];
};

static void log_hop(void *ctx, const struct client_hop *hop)
{
    struct log *log = ctx;
    assert_int_equal(hop->number, log->hops_count + 1);
    log->nexts[log->hops_count] = hop->next;
    log->pauses_ms[log->hops_count] = hop->pause_ms;
    log->hops_count++;
}

struct call {
    struct client client;
    struct http_reply reply;
    struct client_outcome outcome;
    struct log log;
};

static void begin(struct call *call, time_us timeout, const struct address *a,
                  const struct address *b)
{
    *call = (struct call){0};
    struct client_options options = {
        .endpoints_count = 1, .timeout = timeout, .seed = 1, .on_hop = log_hop, .ctx = &call->log};
    options.endpoints[0] = *a;
    if (b != NULL)
        options.endpoints[options.endpoints_count++] = *b;
    client_init(&call->client, &options);
    http_reply_init(&call->reply);
}

static enum status put(struct call *call)
{
    struct http_request request = {
        .method = "PUT", .target = "/v1/kv/a?x=1", .body = BYTES_LITERAL("v"), .has_body = true};
    http_reply_release(&call->reply);
    return client_call(&call->client, &request, false, &call->reply, &call->outcome);
}

static enum status get(struct call *call)
{
    struct http_request request = {.method = "GET", .target = "/v1/kv/a"};
    http_reply_release(&call->reply);
    return client_call(&call->client, &request, true, &call->reply, &call->outcome);
}

static void end(struct call *call)
{
    http_reply_release(&call->reply);
    client_release(&call->client);
}

static void drop(struct fake_server *server)
{
    fake_stop(server);
    free(server);
}

static void a_refused_endpoint_is_passed_by_and_remembered(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.reply = OK_REPLY}, {.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 2);
    struct address dead = fake_closed_address();
    struct call call;
    begin(&call, SECOND, &dead, &server->address);

    assert_int_equal(put(&call), ST_OK);
    assert_int_equal(call.log.hops_count, 2);
    assert_int_equal(call.log.nexts[0], ATTEMPT_NEXT_ELSEWHERE);
    assert_int_equal(call.log.pauses_ms[0], 0); /* the second was not asked yet */
    call.log.hops_count = 0;
    assert_int_equal(put(&call), ST_OK);

    assert_int_equal(call.log.hops_count, 1); /* begins with the one that answered */
    assert_int_equal(call.outcome.effect, EFFECT_APPLIED);
    end(&call);
    drop(server);
}

static void a_503_without_effect_is_tried_again_after_a_pause(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = NO_LEADER_REPLY}, {.reply = NO_LEADER_REPLY}, {.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 3);
    struct call call;
    begin(&call, 2 * SECOND, &server->address, NULL);

    assert_int_equal(put(&call), ST_OK);

    assert_int_equal(call.log.hops_count, 3);
    assert_in_range(call.log.pauses_ms[0], 10, 20);
    assert_in_range(call.log.pauses_ms[1], 20, 40);
    end(&call);
    fake_stop(server);
    assert_non_null(strstr(server->requests[2], "\r\n\r\nv")); /* the body each time */
    free(server);
}

static void a_503_that_stays_is_reported_when_the_time_is_up(void **state)
{
    (void)state;
    struct fake_act acts[FAKE_ACTS_MAX];
    for (size_t i = 0; i < FAKE_ACTS_MAX; i++)
        acts[i] = (struct fake_act){.reply = NO_LEADER_REPLY};
    struct fake_server *server = fake_start(acts, FAKE_ACTS_MAX);
    struct call call;
    begin(&call, SECOND / 4, &server->address, NULL);
    time_us started = connection_now();

    assert_int_equal(put(&call), ST_NO_LEADER);

    assert_true(connection_now() - started < SECOND);
    assert_int_equal(call.reply.code, 503);
    assert_int_equal(call.outcome.effect, EFFECT_NONE);
    assert_in_range(call.log.hops_count, 2, 20);
    end(&call);
    drop(server);
}

static void a_write_that_got_lost_is_not_sent_again(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.closes = true}, {.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 2), *other = fake_start(acts + 1, 1);
    struct call call;
    begin(&call, SECOND, &server->address, &other->address);

    assert_int_equal(put(&call), ST_LINK_LOST);

    assert_int_equal(call.outcome.effect, EFFECT_MAYBE);
    assert_int_equal(call.log.hops_count, 1);
    end(&call);
    fake_stop(server);
    fake_stop(other);
    assert_int_equal(server->requests_count, 1);
    assert_int_equal(other->requests_count, 0);
    free(server);
    free(other);
}

static void a_write_answered_with_maybe_is_not_sent_again(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 504 Gateway Timeout\r\nX-MiniKV-Effect: maybe\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" /* some proxy's */};
    for (size_t i = 0; i < ARRAY_COUNT(replies); i++) {
        struct fake_act acts[] = {{.reply = replies[i]}, {.reply = OK_REPLY}};
        struct fake_server *server = fake_start(acts, 2);
        struct call call;
        begin(&call, SECOND, &server->address, NULL);

        assert_int_not_equal(put(&call), ST_OK);

        assert_int_equal(call.outcome.effect, EFFECT_MAYBE);
        assert_int_equal(call.log.hops_count, 1);
        end(&call);
        drop(server);
    }
}

static void a_read_that_got_lost_is_sent_again(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.closes = true}, {.stalls = true}, {.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 2), *other = fake_start(acts + 2, 1);
    struct call call;
    begin(&call, SECOND / 2, &server->address, &other->address);
    call.client.current = 0;

    assert_int_equal(get(&call), ST_OK);

    assert_int_equal(call.log.hops_count, 2);
    end(&call);
    drop(server);
    drop(other);
}

static void when_the_time_is_up_an_answer_says_more_than_silence_or_a_refusal(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.reply = NO_LEADER_REPLY}}; /* then silence */
    struct fake_server *server = fake_start(acts, 1);
    struct address dead = fake_closed_address();
    struct call call;
    begin(&call, SECOND / 2, &server->address, &dead);

    assert_int_equal(get(&call), ST_NO_LEADER);

    assert_in_range(call.log.hops_count, 3, 64);
    assert_int_equal(call.reply.code, 503);
    assert_string_equal(call.outcome.error.text, "");
    end(&call);
    drop(server);
}

static void without_any_answer_silence_says_more_than_a_refusal(void **state)
{
    (void)state;
    struct fake_server *silent = fake_start(NULL, 0);
    struct address dead = fake_closed_address();
    struct call call;
    begin(&call, SECOND / 2, &silent->address, &dead);

    assert_int_equal(get(&call), ST_TIMEOUT);

    assert_int_equal(call.reply.code, 0);
    assert_non_null(strstr(call.outcome.error.text, "no reply in time"));
    end(&call);
    drop(silent);
}

/* A 307 to `to`, in a buffer that lives until the next call. */
static const char *redirect_to(const struct address *to, unsigned term)
{
    static char replies[4][256];
    static unsigned used;
    char *reply = replies[used++ % 4];
    char address[LIMIT_ADDRESS_BYTES];
    (void)snprintf(reply, 256,
                   "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://%s/v1/kv/a?x=1\r\n"
                   "X-MiniKV-Term: %u\r\nX-MiniKV-Effect: none\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n",
                   address_format(to, address), term);
    return reply;
}

static void a_redirect_is_followed_with_the_whole_request(void **state)
{
    (void)state;
    static const struct fake_act ok[] = {{.reply = OK_REPLY}};
    struct fake_server *leader = fake_start(ok, 1);
    struct fake_act act = {.reply = redirect_to(&leader->address, 5)};
    struct fake_server *follower = fake_start(&act, 1);
    struct call call;
    begin(&call, SECOND, &follower->address, NULL);

    assert_int_equal(put(&call), ST_OK);

    assert_int_equal(call.log.hops_count, 2);
    assert_int_equal(call.log.nexts[0], ATTEMPT_NEXT_FOLLOW);
    end(&call);
    fake_stop(follower);
    fake_stop(leader);
    assert_non_null(strstr(leader->requests[0], "PUT /v1/kv/a?x=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(leader->requests[0], "\r\n\r\nv"));
    free(follower);
    free(leader);
}

static void a_redirect_of_an_older_term_is_not_followed(void **state)
{
    (void)state;
    static const struct fake_act trap[] = {{.reply = OK_REPLY}};
    struct fake_server *old_leader = fake_start(trap, 1);
    struct fake_act acts[] = {{.reply = OK_REPLY}, /* of term 5 */
                              {.reply = redirect_to(&old_leader->address, 4)},
                              {.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 3);
    struct call call;
    begin(&call, SECOND, &server->address, NULL);

    assert_int_equal(put(&call), ST_OK);
    call.log.hops_count = 0;
    assert_int_equal(put(&call), ST_OK);

    assert_int_equal(call.log.hops_count, 2);
    assert_int_equal(call.log.nexts[0], ATTEMPT_NEXT_ELSEWHERE);
    end(&call);
    fake_stop(old_leader);
    assert_int_equal(old_leader->requests_count, 0);
    free(old_leader);
    drop(server);
}

static void a_circle_of_redirects_ends(void **state)
{
    (void)state;
    struct fake_act acts[FAKE_ACTS_MAX] = {{.reply = NULL}};
    struct fake_server *server = fake_start(acts, FAKE_ACTS_MAX);
    const char *to_itself = redirect_to(&server->address, 5);
    for (size_t i = 0; i < FAKE_ACTS_MAX; i++)
        server->acts[i] = (struct fake_act){.reply = to_itself, .closes = true};
    struct call call;
    begin(&call, SECOND / 5, &server->address, NULL);

    assert_int_equal(put(&call), ST_NOT_LEADER);

    assert_int_equal(call.outcome.effect, EFFECT_NONE);
    for (unsigned i = 0; i < CLIENT_FOLLOWS_MAX; i++)
        assert_int_equal(call.log.nexts[i], ATTEMPT_NEXT_FOLLOW);
    assert_int_equal(call.log.nexts[CLIENT_FOLLOWS_MAX], ATTEMPT_NEXT_ELSEWHERE);
    end(&call);
    drop(server);
}

static void a_followed_leader_that_is_gone_sends_back_to_the_endpoints(void **state)
{
    (void)state;
    struct address dead = fake_closed_address();
    struct fake_act acts[] = {{.reply = redirect_to(&dead, 5)}, {.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 2);
    struct call call;
    begin(&call, SECOND, &server->address, NULL);

    assert_int_equal(put(&call), ST_OK);

    assert_int_equal(call.log.hops_count, 3);
    end(&call);
    drop(server);
}

static void each_request_says_how_long_it_may_take(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 1);
    struct call call;
    begin(&call, SECOND, &server->address, NULL);

    assert_int_equal(put(&call), ST_OK);
    end(&call);
    fake_stop(server);

    const char *header = strstr(server->requests[0], "X-MiniKV-Timeout-Ms: ");
    assert_non_null(header);
    assert_in_range(strtoul(header + 21, NULL, 10), 500, 901);
    free(server);
}

static void a_read_that_leaves_time_for_another_endpoint_says_so(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.reply = OK_REPLY}};
    struct fake_server *server = fake_start(acts, 1);
    struct address dead = fake_closed_address();
    struct call call;
    begin(&call, SECOND, &server->address, &dead);

    assert_int_equal(get(&call), ST_OK);
    end(&call);
    fake_stop(server);

    const char *header = strstr(server->requests[0], "X-MiniKV-Timeout-Ms: ");
    assert_non_null(header);
    assert_in_range(strtoul(header + 21, NULL, 10), 200, 480); /* waits for 500, or a bit less */
    free(server);
}

static void a_reply_is_taken_by_its_problem_or_its_code(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *body;
        enum status status;
    } rows[] = {
        {204, "", ST_OK},
        {404, "{\"type\":\"urn:minikv:unknown-member\"}", ST_UNKNOWN_MEMBER},
        {404, "{\"type\": \"urn:minikv:not-found\"}", ST_NOT_FOUND},
        {404, "gone", ST_NOT_FOUND},
        {503, "{\"type\":\"urn:minikv:busy\"}", ST_BUSY},
        {503, "{\"type\":\"urn:minikv:bus", ST_NO_LEADER},
        {503, "{\"type\":\"urn:minikv:news-to-me\"}", ST_NO_LEADER},
        {412, "", ST_CONDITION_FAILED},
        {418, "", ST_BAD_REQUEST},
        {502, "", ST_LINK_LOST},
        {500, "", ST_IO},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_reply reply = {.code = rows[i].code,
                                   .body = (uint8_t *)(uintptr_t)rows[i].body,
                                   .body_bytes = strlen(rows[i].body)};
        assert_int_equal(client_reply_status(&reply), rows[i].status);
    }
}

static void a_redirect_msg_says_what_the_reply_says(void **state)
{
    (void)state;
    static char known[] = "Location\0http://[::1]:8082/v1/kv/a\0X-MiniKV-Term\0"
                          "7";
    static char user[] = "Location\0http://u@h:1/\0X-MiniKV-Term\0"
                         "7x";
    struct http_reply reply = {.code = 307, .head = known, .head_bytes = sizeof known};
    struct redirect_msg message;

    redirect_read(&reply, &message);
    assert_int_equal(message.redirect, 1);
    assert_int_equal(message.leader_known, 1);
    assert_string_equal(message.leader_host, "::1");
    assert_int_equal(message.leader_port, 8082);
    assert_int_equal(message.term, 7);

    reply.code = 503;
    redirect_read(&reply, &message);
    assert_int_equal(message.redirect, 1);
    assert_int_equal(message.leader_known, 0);

    reply.code = 204;
    redirect_read(&reply, &message);
    assert_int_equal(message.redirect, 0);

    reply = (struct http_reply){.code = 307, .head = user, .head_bytes = sizeof user};
    redirect_read(&reply, &message);
    assert_int_equal(message.leader_known, 0);
    assert_int_equal(message.term, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_endpoint_is_passed_by_and_remembered),
        cmocka_unit_test(a_503_without_effect_is_tried_again_after_a_pause),
        cmocka_unit_test(a_503_that_stays_is_reported_when_the_time_is_up),
        cmocka_unit_test(a_write_that_got_lost_is_not_sent_again),
        cmocka_unit_test(a_write_answered_with_maybe_is_not_sent_again),
        cmocka_unit_test(a_read_that_got_lost_is_sent_again),
        cmocka_unit_test(when_the_time_is_up_an_answer_says_more_than_silence_or_a_refusal),
        cmocka_unit_test(without_any_answer_silence_says_more_than_a_refusal),
        cmocka_unit_test(a_redirect_is_followed_with_the_whole_request),
        cmocka_unit_test(a_redirect_of_an_older_term_is_not_followed),
        cmocka_unit_test(a_circle_of_redirects_ends),
        cmocka_unit_test(a_followed_leader_that_is_gone_sends_back_to_the_endpoints),
        cmocka_unit_test(each_request_says_how_long_it_may_take),
        cmocka_unit_test(a_read_that_leaves_time_for_another_endpoint_says_so),
        cmocka_unit_test(a_reply_is_taken_by_its_problem_or_its_code),
        cmocka_unit_test(a_redirect_msg_says_what_the_reply_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
