/* HTTP client: whole replies, and how far a request got when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/http_client.h"
#include "unit/client/fake_server.h"

#define SECOND 1000000u

struct call {
    struct fake_server *server;
    struct http_client client;
    struct http_reply reply;
    struct errtext error;
    enum status status;
};

static void begin(struct call *call, const struct fake_act *acts, size_t acts_count)
{
    *call = (struct call){.server = fake_start(acts, acts_count)};
    http_client_init(&call->client, &call->server->address);
    http_reply_init(&call->reply);
}

static void get(struct call *call, time_us timeout)
{
    struct http_request request = {.method = "GET", .target = "/v1/kv/a"};
    time_us deadline = connection_now() + timeout;
    http_reply_release(&call->reply);
    call->status =
        http_client_call(&call->client, &request, deadline, deadline, &call->reply, &call->error);
}

/* The server's record may be read after this. */
static void end_server(struct call *call)
{
    http_client_release(&call->client);
    fake_stop(call->server);
}

static void end(struct call *call)
{
    http_reply_release(&call->reply);
    free(call->server);
}

static void a_reply_has_code_headers_and_body(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 200 OK\r\nETag: \"7\"\r\nX-Empty:\r\nContent-Length: 5\r\n\r\nhello"}};
    struct call call;
    begin(&call, acts, 1);

    get(&call, SECOND);

    assert_int_equal(call.status, ST_OK);
    assert_int_equal(call.reply.code, 200);
    assert_string_equal(http_reply_header(&call.reply, "etag"), "\"7\"");
    assert_string_equal(http_reply_header(&call.reply, "X-EMPTY"), "");
    assert_null(http_reply_header(&call.reply, "X-Other"));
    assert_true(bytes_equal_text(http_reply_body(&call.reply), "hello"));
    end_server(&call);
    end(&call);
}

static void a_request_has_host_headers_length_and_body(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.reply = "HTTP/1.1 204 No Content\r\n\r\n"}};
    struct call call;
    begin(&call, acts, 1);
    struct http_request request = {.method = "PUT",
                                   .target = "/v1/kv/a%20b",
                                   .body = BYTES_LITERAL("hello"),
                                   .has_body = true};
    assert_true(http_request_add_header(&request, "If-Match", "\"3\""));

    call.status = http_client_call(&call.client, &request, connection_now() + SECOND,
                                   connection_now() + SECOND, &call.reply, &call.error);
    end_server(&call);

    assert_int_equal(call.status, ST_OK);
    assert_int_equal(call.reply.code, 204);
    char want[256];
    (void)snprintf(want, sizeof want,
                   "PUT /v1/kv/a%%20b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                   "User-Agent: minikv/" MINIKV_VERSION "\r\nIf-Match: \"3\"\r\n"
                   "Content-Length: 5\r\n\r\nhello",
                   call.server->address.port);
    assert_string_equal(call.server->requests[0], want);
    end(&call);
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"},
        {.reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"},
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc"}};
    struct call call;
    begin(&call, acts, 3);

    for (const char *want = "abc"; *want != '\0'; want++) {
        get(&call, SECOND);
        assert_int_equal(call.status, ST_OK);
        assert_int_equal(call.reply.body_bytes, 1);
        assert_int_equal(call.reply.body[0], *want);
    }
    end_server(&call);

    assert_int_equal(call.server->connections_count, 1);
    end(&call);
}

static void a_connection_that_the_server_closed_is_dialled_anew(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .closes = true},
        {.reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
         .closes = true},
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
    struct call call;
    begin(&call, acts, 3);

    for (unsigned i = 0; i < 3; i++) {
        get(&call, SECOND);
        assert_int_equal(call.status, ST_OK);
        while (connection_is_open(&call.client.connection) && i == 0 &&
               connection_is_idle(&call.client.connection))
            continue; /* until the end of the stream has arrived */
    }
    end_server(&call);

    assert_int_equal(call.server->connections_count, 3);
    end(&call);
}

static void a_reply_may_come_in_pieces_and_after_a_1xx(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nX-Late: 2\r\nContent-Length: 3\r\n\r\nxyz",
         .in_pieces = true}};
    struct call call;
    begin(&call, acts, 1);

    get(&call, SECOND);

    assert_int_equal(call.status, ST_OK);
    assert_int_equal(call.reply.code, 200);
    assert_null(http_reply_header(&call.reply, "X-Early"));
    assert_string_equal(http_reply_header(&call.reply, "X-Late"), "2");
    assert_true(bytes_equal_text(http_reply_body(&call.reply), "xyz"));
    end_server(&call);
    end(&call);
}

static void a_body_without_length_ends_with_the_stream(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest", .closes = true}};
    struct call call;
    begin(&call, acts, 1);

    get(&call, SECOND);

    assert_int_equal(call.status, ST_OK);
    assert_true(bytes_equal_text(http_reply_body(&call.reply), "rest"));
    assert_false(connection_is_open(&call.client.connection));
    end_server(&call);
    end(&call);
}

static void a_refused_connection_means_that_nothing_was_sent(void **state)
{
    (void)state;
    struct call call = {.server = NULL};
    struct address address = fake_closed_address();
    http_client_init(&call.client, &address);

    get(&call, SECOND);

    assert_int_equal(call.status, ST_CLOSED);
    assert_non_null(strstr(call.error.text, "Connection refused"));
    assert_int_equal(call.reply.code, 0);
    http_client_release(&call.client);
    end(&call);
}

static void a_reply_cut_off_is_a_link_lost(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *words;
    } rows[] = {
        {NULL, "before the reply"},
        {"HTTP/1.1 200 OK\r\nContent-Le", "in the middle"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "in the middle"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "in the middle"},
        {"SSH-2.0-OpenSSH\r\n", "not HTTP/1.1"},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not HTTP/1.1"},
        {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "not HTTP/1.1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fake_act act = {.reply = rows[i].reply, .closes = true};
        struct call call;
        begin(&call, &act, 1);

        get(&call, SECOND);

        assert_int_equal(call.status, ST_LINK_LOST);
        if (strstr(call.error.text, rows[i].words) == NULL)
            fail_msg("row %zu: got \"%s\"", i, call.error.text);
        assert_int_equal(call.reply.body_bytes, 0);
        assert_false(connection_is_open(&call.client.connection));
        end_server(&call);
        end(&call);
    }
}

static void a_stalled_reply_times_out(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {{.reply = "HTTP/1.1 200 OK\r\n", .stalls = true}};
    struct call call;
    begin(&call, acts, 1);
    time_us started = connection_now();

    get(&call, SECOND / 20);

    assert_int_equal(call.status, ST_TIMEOUT);
    assert_true(connection_now() - started >= SECOND / 20);
    end_server(&call);
    end(&call);
}

static void without_time_left_nothing_is_sent_on_a_kept_connection(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
    struct call call;
    begin(&call, acts, 2);

    get(&call, SECOND);
    assert_int_equal(call.status, ST_OK);
    get(&call, 0);
    assert_int_equal(call.status, ST_REQUEST_TIMEOUT);
    end_server(&call);

    assert_int_equal(call.server->requests_count, 1);
    end(&call);
}

static void too_many_headers_or_bytes_are_refused(void **state)
{
    (void)state;
    static char many[8192] = "HTTP/1.1 200 OK\r\n", wide[40 * KIB] = "HTTP/1.1 200 OK\r\nX: ";
    for (size_t i = 0; i < LIMIT_HEADERS + 1; i++)
        (void)snprintf(many + strlen(many), 32, "X-%zu: y\r\n", i);
    (void)snprintf(many + strlen(many), 32, "Content-Length: 0\r\n\r\n");
    size_t at = strlen(wide);
    memset(wide + at, 'y', LIMIT_HEADERS_BYTES);
    (void)snprintf(wide + at + LIMIT_HEADERS_BYTES, 32, "\r\nContent-Length: 0\r\n\r\n");
    const char *replies[] = {many, wide};

    for (size_t i = 0; i < 2; i++) {
        struct fake_act act = {.reply = replies[i], .closes = true};
        struct call call;
        begin(&call, &act, 1);
        get(&call, SECOND);
        assert_int_equal(call.status, ST_LINK_LOST);
        assert_non_null(strstr(call.error.text, i == 0 ? "too many headers" : "too long"));
        end_server(&call);
        end(&call);
    }
}

static void surplus_bytes_end_the_connection(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n"},
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"}};
    struct call call;
    begin(&call, acts, 2);

    get(&call, SECOND);
    assert_int_equal(call.reply.body[0], 'a');
    get(&call, SECOND);

    assert_int_equal(call.status, ST_OK);
    assert_int_equal(call.reply.body[0], 'b');
    end_server(&call);
    assert_int_equal(call.server->connections_count, 2);
    end(&call);
}

static void an_early_refusal_of_a_large_body_is_still_read(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 413 Too Long\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"}};
    struct call call;
    begin(&call, acts, 1);
    static uint8_t body[FAKE_REQUEST_BYTES]; /* head and body are more than the server reads */
    struct http_request request = {
        .method = "PUT", .target = "/", .body = bytes_of(body, sizeof body), .has_body = true};

    call.status = http_client_call(&call.client, &request, connection_now() + SECOND,
                                   connection_now() + SECOND, &call.reply, &call.error);

    assert_int_equal(call.status, ST_OK);
    assert_int_equal(call.reply.code, 413);
    end_server(&call);
    end(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_has_code_headers_and_body),
        cmocka_unit_test(a_request_has_host_headers_length_and_body),
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(a_connection_that_the_server_closed_is_dialled_anew),
        cmocka_unit_test(a_reply_may_come_in_pieces_and_after_a_1xx),
        cmocka_unit_test(a_body_without_length_ends_with_the_stream),
        cmocka_unit_test(a_refused_connection_means_that_nothing_was_sent),
        cmocka_unit_test(a_reply_cut_off_is_a_link_lost),
        cmocka_unit_test(a_stalled_reply_times_out),
        cmocka_unit_test(without_time_left_nothing_is_sent_on_a_kept_connection),
        cmocka_unit_test(too_many_headers_or_bytes_are_refused),
        cmocka_unit_test(surplus_bytes_end_the_connection),
        cmocka_unit_test(an_early_refusal_of_a_large_body_is_still_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
