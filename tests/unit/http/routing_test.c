/* What a client is told about leaders, forwarding and the effect of what it sent. */
#include "http_fixture.h"

#include "http/reply.h"

static void become_follower(struct rig *rig, bool is_known, bool is_announced)
{
    struct node_view *view = &rig->node->view;
    view->version++;
    view->role = RAFT_ROLE_FOLLOWER;
    view->leader = is_known ? 2 : NODE_NONE;
    view->leader_peer = (struct address){0};
    view->leader_http = (struct address){0};
    if (is_known)
        view->leader_peer = (struct address){"127.0.0.1", 7002};
    if (is_announced)
        view->leader_http = (struct address){"127.0.0.1", 8082};
}

static void force(struct rig *rig, enum status status, enum effect effect)
{
    rig->node->forced = (struct node_answer){.status = status, .effect = effect};
}

static void every_reply_names_node_term_and_leader_where_known(void **state)
{
    struct rig *rig = *state;
    become_follower(rig, true, true);
    const char *reply = ask(rig, "GET /livez HTTP/1.1\r\n" H "\r\n");
    assert_has(reply, "X-MiniKV-Node: 1\r\nX-MiniKV-Term: 7\r\nX-Leader: 127.0.0.1:7002\r\n"
                      "X-Leader-HTTP: 127.0.0.1:8082\r\nX-MiniKV-Hops: 0\r\n");

    rig->node->view.term = 8;
    become_follower(rig, true, false);
    reply = ask(rig, "GET /livez HTTP/1.1\r\n" H "\r\n");
    assert_has(reply, "X-MiniKV-Term: 8\r\nX-Leader: 127.0.0.1:7002\r\nX-MiniKV-Hops: 0\r\n");

    become_follower(rig, false, false);
    http_on_view(rig->http);
    reply = ask(rig, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_lacks(reply, "X-Leader");
    assert_lacks(reply, "\"leader\"");
}

static void hops_are_those_the_command_took(void **state)
{
    struct rig *rig = *state;
    rig->node->hops_count = 1;
    assert_has(ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n"), "X-MiniKV-Hops: 1\r\n");
}

static void a_redirect_repeats_the_target_at_the_leaders_address(void **state)
{
    struct rig *rig = *state;
    become_follower(rig, true, true);
    force(rig, ST_NOT_LEADER, EFFECT_NONE);

    const char *reply = ask(rig, "DELETE /v1/kv/a%0d%0Ab/%c3?route=redirect HTTP/1.1\r\n"
                                 "Host: evil.example\r\n\r\n");

    assert_problem(reply, 307, "not-leader");
    assert_has(reply, "\r\nLocation: http://127.0.0.1:8082/v1/kv/a%0d%0Ab/%c3?route=redirect\r\n");
    assert_has(reply, "\r\nCache-Control: no-store\r\n");
    assert_has(reply, "\"effect\":\"none\"");
    assert_has(reply, "\"leader\":\"127.0.0.1:8082\"");
    assert_lacks(reply, "evil");
    assert_int_equal(rig->node->last.policy, ROUTE_REDIRECT);

    reply = ask(rig, "DELETE http://x/v1/kv/a?route=redirect HTTP/1.1\r\n" H "\r\n");
    assert_has(reply, "\r\nLocation: http://127.0.0.1:8082/v1/kv/a?route=redirect\r\n");
}

static void a_redirect_with_nowhere_to_go_is_a_503(void **state)
{
    struct rig *rig = *state;
    force(rig, ST_NOT_LEADER, EFFECT_NONE);
    become_follower(rig, true, false);
    const char *reply = ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    assert_problem(reply, 503, "leader-not-announced");
    assert_has(reply, "X-Leader: 127.0.0.1:7002\r\n");
    become_follower(rig, false, false);
    assert_problem(ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n"), 503, "no-leader");
}

static void the_policy_comes_from_query_then_header_then_node(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *query, *header;
        enum route_policy of_node, wanted;
    } cases[] = {
        {"", "", ROUTE_FORWARD, ROUTE_FORWARD},
        {"", "", ROUTE_REDIRECT, ROUTE_REDIRECT},
        {"", "X-MiniKV-Route: redirect\r\n", ROUTE_FORWARD, ROUTE_REDIRECT},
        {"", "x-minikv-route: forward\r\n", ROUTE_REDIRECT, ROUTE_FORWARD},
        {"?route=redirect", "", ROUTE_FORWARD, ROUTE_REDIRECT},
        {"?route=forward", "X-MiniKV-Route: redirect\r\n", ROUTE_REDIRECT, ROUTE_FORWARD},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char request[256];
        rig->node->policy = cases[i].of_node;
        (void)snprintf(request, sizeof request, "GET /v1/kv/k%s HTTP/1.1\r\n" H "%s\r\n",
                       cases[i].query, cases[i].header);
        (void)ask(rig, request);
        assert_int_equal(rig->node->last.policy, cases[i].wanted);
    }
}

static void only_the_header_itself_marks_a_request_as_forwarded(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *request;
        bool is_forwarded;
    } cases[] = {
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n", false},
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "X-MiniKV-Forwarded: 1\r\n\r\n", true},
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "x-minikv-FORWARDED:\r\n\r\n", true},
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "X-MiniKV-Forwarded: 0\r\nX-MiniKV-Forwarded: 0\r\n"
         "\r\n",
         true},
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "X_MiniKV_Forwarded: 1\r\n\r\n", false},
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "Connection: X-MiniKV-Forwarded\r\n\r\n", false},
        {"DELETE /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "0\r\nX-MiniKV-Forwarded: 1\r\n\r\n",
         false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(code_of(ask(rig, cases[i].request)), 204);
        assert_int_equal(rig->node->last.is_forwarded, cases[i].is_forwarded);
        assert_false(rig->node->last.is_internal);
    }
}

static void the_effect_is_the_nodes_word_for_what_reached_it(void **state)
{
    struct rig *rig = *state;
    static const struct {
        enum status status;
        enum effect effect;
        int code;
        const char *type, *text;
    } cases[] = {
        {ST_LINK_LOST, EFFECT_MAYBE, 502, "link-lost", "maybe"},
        {ST_TIMEOUT, EFFECT_MAYBE, 504, "timeout", "maybe"},
        {ST_TIMEOUT, EFFECT_NONE, 504, "timeout", "none"}, /* a read, or proven */
        {ST_FENCED, EFFECT_NONE, 503, "fenced", "none"},
        {ST_ALREADY_FORWARDED, EFFECT_NONE, 503, "already-forwarded", "none"},
        {ST_SHUTTING_DOWN, EFFECT_NONE, 503, "shutting-down", "none"},
        {ST_NO_SPACE, EFFECT_NONE, 507, "no-space", "none"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char header[64], field[64];
        force(rig, cases[i].status, cases[i].effect);
        (void)snprintf(header, sizeof header, "\r\nX-MiniKV-Effect: %s\r\n", cases[i].text);
        (void)snprintf(field, sizeof field, "\"effect\":\"%s\"", cases[i].text);

        const char *reply = ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");

        assert_problem(reply, cases[i].code, cases[i].type);
        assert_has(reply, header);
        assert_has(reply, field);
        if (cases[i].code == 503)
            assert_has(reply, "\r\nRetry-After: 1\r\n");
        else
            assert_lacks(reply, "Retry-After");
    }
}

static void every_status_can_be_answered(void **state)
{
    struct rig *rig = *state;
    for (int status = 1; status < STATUS_COUNT; status++) {
        if (status == ST_NOT_LEADER)
            continue; /* its own tests are above */
        const struct status_info *info = status_info((enum status)status);
        force(rig, (enum status)status, info->effect);
        assert_problem(ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n"), info->http, info->code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_reply_names_node_term_and_leader_where_known),
        RIG_TEST(hops_are_those_the_command_took),
        RIG_TEST(a_redirect_repeats_the_target_at_the_leaders_address),
        RIG_TEST(a_redirect_with_nowhere_to_go_is_a_503),
        RIG_TEST(the_policy_comes_from_query_then_header_then_node),
        RIG_TEST(only_the_header_itself_marks_a_request_as_forwarded),
        RIG_TEST(the_effect_is_the_nodes_word_for_what_reached_it),
        RIG_TEST(every_status_can_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
