/* Asking an announced address who it is. */
#include "http_fixture.h"

static const struct node_verify question = {
    .id = 2, .cluster_id = 0x00000000deadbeef, .http = {"::1", 8082}};

static void begin(struct rig *rig)
{
    http_verify(rig->http, &question);
    assert_int_equal(rig->node->verified_count, 0);
    assert_int_equal(rig->env->dialed_address.port, 8082);
    rig->env->dialed->handler->on_open(rig->env->dialed->ctx);
}

/* Answers with `bytes`, in pieces of `piece`. */
static void answer_with(struct rig *rig, struct bytes bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.count; at += piece)
        memory_feed(rig->env->dialed, bytes_of(bytes.data + at, MIN(piece, bytes.count - at)));
}

static void the_question_is_one_plain_get(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    assert_string_equal(received(rig->env->dialed),
                        "GET /v1/raft/identity HTTP/1.1\r\nHost: [::1]:8082\r\n"
                        "Accept: application/json\r\nConnection: close\r\n\r\n");
}

#define BODY "{\"node_id\":2,\"cluster_id\":\"00000000deadbeef\"}"

static void only_the_exact_answer_is_taken(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *reply;
        enum status status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n" BODY, ST_OK},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\n" BODY "\r\n0\r\n\r\n", ST_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"
         "{\"node_id\":3,\"cluster_id\":\"00000000deadbeef\"}",
         ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"
         "{\"node_id\":2,\"cluster_id\":\"00000000deadbeee\"}",
         ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n"
         "{\"node_id\":2,\"cluster_id\":\"deadbeef\"}",
         ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"node_id\":2}", ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 201 Created\r\nContent-Length: 45\r\n\r\n" BODY, ST_ADDRESS_MISMATCH},
        {"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n"
         "Content-Length: 45\r\n\r\n" BODY,
         ST_ADDRESS_MISMATCH},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", ST_ADDRESS_MISMATCH},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (size_t piece = 1; piece < 2000; piece *= 1000) {
            rig->node->verified_count = 0;
            begin(rig);
            answer_with(rig, bytes_of_text(cases[i].reply), piece);
            assert_int_equal(rig->node->verified_count, 1);
            if (rig->node->verified_status != cases[i].status)
                fail_msg("%s", cases[i].reply);
            assert_true(rig->env->dialed->is_closed);
        }
    }
}

static void a_body_that_ends_with_the_connection_is_taken(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    answer_with(rig, BYTES_LITERAL("HTTP/1.0 200 OK\r\n\r\n" BODY), 7);
    assert_int_equal(rig->node->verified_count, 0);
    memory_hang_up(rig->env->dialed, ENV_END_EOF);
    assert_int_equal(rig->node->verified_count, 1);
    assert_int_equal(rig->node->verified_status, ST_OK);
}

static void an_answer_cut_short_is_none(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    answer_with(rig, BYTES_LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n" BODY), 9);
    memory_hang_up(rig->env->dialed, ENV_END_EOF);
    assert_int_equal(rig->node->verified_status, ST_ADDRESS_MISMATCH);

    http_verify(rig->http, &question);
    memory_hang_up(rig->env->dialed, ENV_END_RESET); /* nobody listens there */
    assert_int_equal(rig->node->verified_count, 2);
    assert_int_equal(rig->node->verified_status, ST_ADDRESS_MISMATCH);
}

static void no_more_than_four_kibibytes_are_read(void **state)
{
    struct rig *rig = *state;
    static char reply[LIMIT_ASK_BYTES + 1];
    begin(rig);
    memset(reply, 'x', sizeof reply);
    memcpy(reply, "HTTP/1.1 200 OK\r\n\r\n", 19);
    answer_with(rig, bytes_of(reply, LIMIT_ASK_BYTES + 1), 512);
    assert_int_equal(rig->node->verified_count, 1);
    assert_int_equal(rig->node->verified_status, ST_ADDRESS_MISMATCH);
    assert_true(rig->env->dialed->is_closed);
}

static void one_second_is_all_there_is(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    answer_with(rig, BYTES_LITERAL("HTTP/1.1 200 OK\r\n"), 100);
    memory_advance(rig->env, 990000);
    assert_int_equal(rig->node->verified_count, 0);
    memory_advance(rig->env, 20000);
    assert_int_equal(rig->node->verified_count, 1);
    assert_int_equal(rig->node->verified_status, ST_ADDRESS_MISMATCH);
}

static void too_many_at_once_are_answered_later_and_not_dialed(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < LIMIT_VERIFICATIONS; i++)
        http_verify(rig->http, &question);
    struct env_stream *last = rig->env->dialed;
    http_verify(rig->http, &question);
    assert_ptr_equal(rig->env->dialed, last);
    assert_int_equal(rig->node->verified_count, 0);
    memory_run(rig->env);
    assert_int_equal(rig->node->verified_count, 1);
    assert_int_equal(rig->http->verifications_count, LIMIT_VERIFICATIONS);
}

static void closing_the_server_forgets_what_was_asked(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    begin(rig);
    http_verify_close(rig->http);
    assert_int_equal(rig->http->verifications_count, 0);
    assert_int_equal(rig->node->verified_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(the_question_is_one_plain_get),
        RIG_TEST(only_the_exact_answer_is_taken),
        RIG_TEST(a_body_that_ends_with_the_connection_is_taken),
        RIG_TEST(an_answer_cut_short_is_none),
        RIG_TEST(no_more_than_four_kibibytes_are_read),
        RIG_TEST(one_second_is_all_there_is),
        RIG_TEST(too_many_at_once_are_answered_later_and_not_dialed),
        RIG_TEST(closing_the_server_forgets_what_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
