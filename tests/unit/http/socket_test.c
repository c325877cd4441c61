/* The same server on real sockets: what the memory env cannot show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "http/server.h"
#include "support/node_double.h"
#include "uv/uv_env.h"

#define H "Host: x\r\n"

enum { PATIENCE_US = 20 * 1000 * 1000 };

struct rig {
    struct env *env;
    struct node *node;
    struct http *http;
    struct address address;
};

static void rig_open(struct rig *rig)
{
    struct errtext error;
    struct uv_env_options env_options = {.data_dir = NULL};
    struct http_options options = {.listen = {"127.0.0.1", 0}, .linger = 500000};
    assert_int_equal(uv_env_new(&env_options, &rig->env, &error), ST_OK);
    rig->node = node_double_new(rig->env);
    assert_int_equal(http_open(rig->env, rig->node, &options, &rig->http, &error), ST_OK);
    rig->address = options.listen;
    rig->address.port = uv_env_listener_port(rig->http->listener);
}

static void rig_close(struct rig *rig)
{
    http_close(rig->http);
    node_double_free(rig->node);
    uv_env_free(rig->env);
}

/* ---- client ---- */

struct client {
    struct rig *rig;
    struct env_stream *stream;
    struct bytes to_send; /* sent once open */
    struct buf got;
    size_t wanted; /* done with so many bytes */
    bool has_ended;
};

static void client_on_open(void *ctx)
{
    struct client *client = ctx;
    env_stream_send(client->stream, client->to_send);
}

static void client_on_data(void *ctx, struct bytes bytes)
{
    struct client *client = ctx;
    buf_put(&client->got, bytes);
}

static void client_on_end(void *ctx, enum env_end end)
{
    struct client *client = ctx;
    client->stream = NULL;
    client->has_ended = true;
    assert_int_equal(end, ENV_END_EOF); /* never a reset that could swallow an answer */
}

static void client_open(struct client *client, struct rig *rig, struct bytes bytes, size_t wanted)
{
    static const struct env_stream_handler handler = {
        .on_open = client_on_open, .on_data = client_on_data, .on_end = client_on_end};
    *client = (struct client){.rig = rig, .to_send = bytes, .wanted = wanted};
    buf_init(&client->got, SIZE_MAX);
    client->stream = env_connect(rig->env, &rig->address, &handler, client);
}

static bool client_is_done(void *ctx)
{
    const struct client *client = ctx;
    return client->has_ended || (client->wanted != 0 && client->got.count >= client->wanted);
}

static const char *client_wait(struct client *client)
{
    assert_true(uv_env_run_until(client->rig->env, client_is_done, client, PATIENCE_US));
    return buf_text(&client->got);
}

static void client_close(struct client *client)
{
    env_stream_close(client->stream);
    buf_release(&client->got);
}

/* ---- tests ---- */

static void a_request_over_a_real_socket_is_answered(void **state)
{
    struct rig rig;
    struct client client;
    rig_open(&rig);
    client_open(&client, &rig,
                BYTES_LITERAL("PUT /v1/kv/k HTTP/1.1\r\n" H "Connection: close\r\n"
                              "Content-Length: 13\r\n\r\n{\"value\":\"v\"}"),
                0);

    const char *reply = client_wait(&client);

    assert_memory_equal(reply, "HTTP/1.1 204 No Content\r\n", 25);
    client_close(&client);
    rig_close(&rig);
}

static void a_large_value_goes_in_and_comes_out_whole(void **state)
{
    struct rig rig;
    struct client client;
    struct buf request;
    rig_open(&rig);
    buf_init(&request, 2 * LIMIT_BODY_BYTES);
    buf_printf(&request,
               "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Type: application/octet-stream\r\n"
               "Content-Length: %u\r\n\r\n",
               LIMIT_VALUE_BYTES);
    size_t start = request.count;
    for (uint32_t i = 0; i < LIMIT_VALUE_BYTES; i++)
        buf_put_u8(&request, (uint8_t)(i * 31 >> 3));
    buf_put_text(&request, "GET /v1/kv/k?raw HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    client_open(&client, &rig, buf_bytes(&request), 0);

    (void)client_wait(&client);

    assert_true(client.got.count > LIMIT_VALUE_BYTES);
    assert_memory_equal(client.got.data + client.got.count - LIMIT_VALUE_BYTES,
                        request.data + start, LIMIT_VALUE_BYTES);
    client_close(&client);
    buf_release(&request);
    rig_close(&rig);
}

/* The client is still sending when it is refused: the answer must reach it all the same. */
static void a_refusal_reaches_a_client_that_is_still_sending(void **state)
{
    struct rig rig;
    struct client client;
    struct buf request;
    rig_open(&rig);
    buf_init(&request, 64 * MIB);
    buf_put_text(&request, "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 33554432\r\n\r\n");
    buf_put_zeros(&request, 32 * MIB);
    client_open(&client, &rig, buf_bytes(&request), 100);

    const char *reply = client_wait(&client);

    assert_memory_equal(reply, "HTTP/1.1 413 Content Too Large\r\n", 32);
    client_close(&client);
    buf_release(&request);
    rig_close(&rig);
}

static bool all_answered(void *ctx)
{
    const struct rig *rig = ctx;
    return rig->http->metrics.replies[2][0] == 64u * 100u;
}

static void many_connections_pipeline_at_once(void **state)
{
    struct rig rig;
    struct client clients[64];
    struct buf request;
    rig_open(&rig);
    buf_init(&request, MIB);
    for (int i = 0; i < 100; i++)
        buf_put_text(&request, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        client_open(&clients[i], &rig, buf_bytes(&request), 0);

    assert_true(uv_env_run_until(rig.env, all_answered, &rig, PATIENCE_US));

    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        client_close(&clients[i]);
    buf_release(&request);
    rig_close(&rig);
}

static bool is_verified(void *ctx)
{
    const struct rig *rig = ctx;
    return rig->node->verified_count != 0;
}

static void a_server_answers_the_question_who_it_is(void **state)
{
    struct rig rig;
    rig_open(&rig);
    struct node_verify question = {
        .id = 1, .cluster_id = rig.node->view.cluster_id, .http = rig.address};

    http_verify(rig.http, &question);
    assert_true(uv_env_run_until(rig.env, is_verified, &rig, PATIENCE_US));
    assert_int_equal(rig.node->verified_status, ST_OK);

    rig.node->verified_count = 0;
    question.id = 2;
    http_verify(rig.http, &question);
    assert_true(uv_env_run_until(rig.env, is_verified, &rig, PATIENCE_US));
    assert_int_equal(rig.node->verified_status, ST_ADDRESS_MISMATCH);
    rig_close(&rig);
}

static void on_stopped_nothing(void *ctx)
{
    (void)ctx;
}

/* A process that stands still in the middle of a turn, behind the sockets and before the timers. */
struct stall {
    struct env_timer timer;
    struct env_task task;
    struct client *client;
    struct bytes request;
};

static void stall_on_timer(void *ctx)
{
    struct stall *stall = ctx;
    env_task_post(stall->client->rig->env, &stall->task);
}

static void stall_on_turn(void *ctx)
{
    struct stall *stall = ctx;
    struct timespec longer_than_the_grace = {.tv_nsec = 250 * 1000 * 1000};
    env_stream_send(stall->client->stream, stall->request);
    assert_int_equal(nanosleep(&longer_than_the_grace, NULL), 0);
}

/* When the grace is over by the clock, the request lies in a socket that nobody has looked at. */
static void what_came_while_a_stopping_process_stood_still_is_answered(void **state)
{
    static const char request[] = "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 13\r\n\r\n"
                                  "{\"value\":\"v\"}";
    struct rig rig;
    struct client client;
    struct stall stall = {.client = &client, .request = bytes_of_text(request)};
    rig_open(&rig);
    client_open(&client, &rig, stall.request, 4);
    assert_memory_equal(client_wait(&client), "HTTP/1.1 204 No Content\r\n", 25);
    size_t first_bytes = client.got.count;
    env_timer_init(&stall.timer, stall_on_timer, &stall);
    env_task_init(&stall.task, stall_on_turn, &stall);

    http_stop(rig.http, on_stopped_nothing, NULL);
    env_timer_set(rig.env, &stall.timer, env_now(rig.env) + 1000);

    client.wanted = 0; /* until it ends */
    const char *reply = client_wait(&client);
    assert_true(client.got.count > first_bytes);
    assert_memory_equal(reply + first_bytes, "HTTP/1.1 204 No Content\r\n", 25);
    client_close(&client);
    rig_close(&rig);
}

static void a_port_in_use_is_told(void **state)
{
    struct rig rig;
    struct http *second;
    struct errtext error;
    rig_open(&rig);
    struct http_options options = {.listen = rig.address};
    assert_int_equal(http_open(rig.env, rig.node, &options, &second, &error), ST_BUSY);
    assert_non_null(strstr(error.text, "http: listen on 127.0.0.1:"));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_over_a_real_socket_is_answered),
        cmocka_unit_test(a_large_value_goes_in_and_comes_out_whole),
        cmocka_unit_test(a_refusal_reaches_a_client_that_is_still_sending),
        cmocka_unit_test(many_connections_pipeline_at_once),
        cmocka_unit_test(a_server_answers_the_question_who_it_is),
        cmocka_unit_test(what_came_while_a_stopping_process_stood_still_is_answered),
        cmocka_unit_test(a_port_in_use_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
