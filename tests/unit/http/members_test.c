/* /v1/raft/join, promote and remove: what goes to the node, and what is refused before it. */
#include "http_fixture.h"

#define HERE "Host: 127.0.0.1:8081\r\n"

static void send_post(struct env_stream *stream, const char *path, const char *body)
{
    char request[512];
    (void)snprintf(request, sizeof request,
                   "POST %s HTTP/1.1\r\n" HERE "Content-Length: %zu\r\n\r\n%s", path, strlen(body),
                   body);
    send_text(stream, request);
}

static const char *post(struct rig *rig, const char *path, const char *body)
{
    struct env_stream *stream = memory_dial(rig->env);
    send_post(stream, path, body);
    return received(stream);
}

static struct command last_command(const struct rig *rig)
{
    struct command command;
    assert_int_equal(command_decode(buf_bytes(&rig->node->last_command), &command), ST_OK);
    return command;
}

static void joining_is_submitted_as_internal_with_all_that_was_said(void **state)
{
    struct rig *rig = *state;
    rig->node->policy = ROUTE_REDIRECT;
    rig->node->holds = true;

    (void)post(rig, "/v1/raft/join",
               "{\"id\":4,\"peer\":\"10.0.0.4:7001\",\"http\":\"h:8081\","
               "\"identity\":\"00000000000000ff\"}");

    assert_true(rig->node->last.is_internal);
    assert_int_equal(rig->node->last.policy, ROUTE_FORWARD); /* any node takes it */
    struct command command = last_command(rig);
    assert_int_equal(command.op, COMMAND_JOIN);
    assert_int_equal(command.member, 4);
    assert_int_equal(command.member_identity, 0xff);
    assert_string_equal(command.peer.host, "10.0.0.4");
    rig->node->holds = false;
    node_double_on_task(rig->node);
}

static void the_client_address_is_announced_once_the_member_is_there(void **state)
{
    struct rig *rig = *state;
    rig->node->holds = true;
    struct env_stream *stream = memory_dial(rig->env);
    send_post(stream, "/v1/raft/join", "{\"id\":3,\"peer\":\"10.0.0.3:1\",\"http\":\"h:8081\"}");
    assert_int_equal(rig->node->submitted_count, 1);

    struct node_request *request = node_double_at(rig->node, 0);
    struct node_answer done = {.status = ST_OK, .effect = EFFECT_APPLIED};
    list_remove(&request->link);
    rig->node->requests_count--;
    request->on_done(request->ctx, &done);
    memory_run(rig->env);

    assert_int_equal(code_of(received(stream)), 204);
    assert_int_equal(rig->node->submitted_count, 2);
    struct command command = last_command(rig);
    assert_int_equal(command.op, COMMAND_ANNOUNCE);
    assert_int_equal(command.member, 3);
    assert_int_equal(command.http.port, 8081);
    rig->node->holds = false;
    node_double_on_task(rig->node);
}

static void removing_and_promoting_name_a_member(void **state)
{
    struct rig *rig = *state;
    (void)post(rig, "/v1/raft/remove", "{\"id\":3}");
    assert_int_equal(last_command(rig).op, COMMAND_REMOVE);
    assert_int_equal(last_command(rig).member, 3);
    assert_true(rig->node->last.is_internal);

    (void)post(rig, "/v1/raft/promote", "{\"id\":2}");
    assert_int_equal(last_command(rig).op, COMMAND_PROMOTE);
    assert_int_equal(last_command(rig).member, 2);
}

static void what_the_cluster_says_is_answered(void **state)
{
    static const struct {
        enum status status;
        int code;
        const char *type;
    } cases[] = {
        {ST_MEMBER_EXISTS, 409, "member-exists"}, {ST_MEMBERS_FULL, 409, "members-full"},
        {ST_LAST_VOTER, 409, "last-voter"},       {ST_NOT_CAUGHT_UP, 409, "not-caught-up"},
        {ST_CHANGE_OPEN, 503, "change-open"},     {ST_UNKNOWN_MEMBER, 404, "unknown-member"}};
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        rig->node->forced = (struct node_answer){.status = cases[i].status, .effect = EFFECT_NONE};
        assert_problem(post(rig, "/v1/raft/promote", "{\"id\":2}"), cases[i].code, cases[i].type);
    }
}

static void what_is_malformed_is_refused_before_the_node(void **state)
{
    static const struct {
        const char *path, *body, *type;
    } cases[] = {
        {"/v1/raft/join", "", "bad-json"},
        {"/v1/raft/join", "{}", "bad-field"},
        {"/v1/raft/join", "{\"id\":4}", "bad-field"},
        {"/v1/raft/join", "{\"id\":0,\"peer\":\"h:1\"}", "bad-field"},
        {"/v1/raft/join", "{\"id\":4,\"peer\":\"h\"}", "bad-address"},
        {"/v1/raft/join", "{\"id\":4,\"peer\":\"h:1\",\"http\":\"x\"}", "bad-address"},
        {"/v1/raft/join", "{\"id\":4,\"peer\":\"h:1\",\"identity\":\"1\"}", "bad-field"},
        {"/v1/raft/join", "{\"id\":4,\"peer\":\"h:1\",\"voter\":true}", "bad-field"},
        {"/v1/raft/remove", "{\"id\":-1}", "bad-field"},
        {"/v1/raft/remove", "{\"id\":\"2\"}", "bad-field"},
        {"/v1/raft/promote", "{}", "bad-field"},
        {"/v1/raft/promote", "{\"id\":2,\"to\":3}", "bad-field"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_problem(post(rig, cases[i].path, cases[i].body), 400, cases[i].type);
    rig->node->resolve_status = ST_BAD_ADDRESS;
    assert_problem(post(rig, "/v1/raft/join", "{\"id\":4,\"peer\":\":7001\"}"), 400, "bad-address");
    assert_int_equal(rig->node->submitted_count, 0);
}

static void an_identity_of_a_client_is_refused(void **state)
{
    struct rig *rig = *state;
    assert_problem(ask(rig, "POST /v1/raft/remove HTTP/1.1\r\n" HERE "Idempotency-Key: \"k\"\r\n"
                            "Content-Length: 8\r\n\r\n{\"id\":3}"),
                   400, "bad-identity");
    assert_int_equal(rig->node->submitted_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(joining_is_submitted_as_internal_with_all_that_was_said),
        RIG_TEST(the_client_address_is_announced_once_the_member_is_there),
        RIG_TEST(removing_and_promoting_name_a_member),
        RIG_TEST(what_the_cluster_says_is_answered),
        RIG_TEST(what_is_malformed_is_refused_before_the_node),
        RIG_TEST(an_identity_of_a_client_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
