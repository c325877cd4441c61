/* Leases over HTTP: granted, kept alive in batches, looked at, revoked. */
#include "once_fixture.h"

#include "node/renewals.h"

static const char *grant(struct rig *rig, const char *body)
{
    return send(rig, "POST /v1/leases", "", body);
}

static bool state_has(struct rig *rig, uint64_t lease)
{
    struct kv_lease found;
    return kv_lease(rig->node->kv, lease, &found);
}

/* Sends a keep-alive on a connection of its own, and does not wait for the answer. */
static struct env_stream *keep_alive(struct rig *rig, const char *lease, const char *headers)
{
    char text[256];
    struct env_stream *stream = memory_dial(rig->env);
    (void)snprintf(text, sizeof text, "POST /v1/leases/%s/keepalive HTTP/1.1\r\n" H "%s\r\n", lease,
                   headers);
    send_text(stream, text);
    return stream;
}

static void collected(struct rig *rig)
{
    memory_advance(rig->env, RENEWALS_COLLECT_US);
}

/* ---- grant, revoke ---- */

static void a_lease_is_granted_under_an_id_of_the_clusters_or_of_ones_own(void **state)
{
    struct rig *rig = *state;
    char wanted[64];

    const char *reply = grant(rig, "{\"ttl_ms\":5000}");
    (void)snprintf(wanted, sizeof wanted, "{\"lease\":%llu,\"ttl_ms\":5000}\n",
                   (unsigned long long)rig->node->applied);
    assert_int_equal(code_of(reply), 200);
    assert_has(reply, "Content-Type: application/json\r\n");
    assert_string_equal(body_of(reply), wanted);

    reply = grant(rig, "{\"ttl_ms\":1000,\"lease\":9007199254740991}");
    assert_string_equal(body_of(reply), "{\"lease\":9007199254740991,\"ttl_ms\":1000}\n");
    assert_true(state_has(rig, UINT64_C(9007199254740991)));
    assert_problem(grant(rig, "{\"ttl_ms\":1000,\"lease\":9007199254740991}"), 409, "lease-exists");
}

static void the_bounds_of_a_grant_are_told(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(code_of(grant(rig, "{\"ttl_ms\":31536000000}")), 200);
    size_t before = rig->node->submitted_count;

    assert_problem(grant(rig, "{\"ttl_ms\":31536000001}"), 400, "bad-field");
    assert_problem(grant(rig, "{\"ttl_ms\":999}"), 400, "bad-field");
    assert_has(grant(rig, "{\"ttl_ms\":999}"), "from 1000 to 31536000000");
    assert_problem(grant(rig, "{\"ttl_ms\":\"1s\"}"), 400, "bad-field");
    assert_problem(grant(rig, "{}"), 400, "bad-field");
    assert_problem(grant(rig, ""), 400, "bad-json");
    assert_problem(grant(rig, "{\"ttl_ms\":1000,\"lease\":0}"), 400, "bad-field");
    assert_problem(grant(rig, "{\"ttl_ms\":1000,\"lease\":9007199254740992}"), 400, "bad-field");
    assert_problem(grant(rig, "{\"ttl_ms\":1000,\"id\":1}"), 400, "bad-field");

    assert_int_equal(rig->node->submitted_count, before);
}

static void a_grant_that_comes_again_names_the_same_lease(void **state)
{
    struct rig *rig = *state;
    char first[128];
    (void)snprintf(first, sizeof first, "%s",
                   body_of(write_as(rig, "c", 1, "POST /v1/leases", "{\"ttl_ms\":5000}")));
    (void)send(rig, "PUT /v1/kv/k", "", "{\"value\":\"v\"}");

    const char *reply = write_as(rig, "c", 1, "POST /v1/leases", "{\"ttl_ms\":5000}");

    assert_has(reply, "X-MiniKV-Replayed: true\r\n");
    assert_string_equal(body_of(reply), first);
}

static void a_revoked_lease_is_gone_with_its_keys(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    assert_int_equal(code_of(send(rig, "PUT /v1/kv/k?lease=7", "", "{\"value\":\"v\"}")), 204);
    assert_has(send(rig, "GET /v1/kv/k", "", ""), "\"lease\":7");

    assert_int_equal(code_of(send(rig, "DELETE /v1/leases/7", "", "")), 204);

    assert_problem(send(rig, "GET /v1/kv/k", "", ""), 404, "not-found");
    assert_problem(send(rig, "DELETE /v1/leases/7", "", ""), 404, "lease-not-found");
}

static void a_put_names_a_lease_that_is_there(void **state)
{
    struct rig *rig = *state;
    assert_problem(send(rig, "PUT /v1/kv/k?lease=7", "", "{\"value\":\"v\"}"), 404,
                   "lease-not-found");
    size_t before = rig->node->submitted_count;
    assert_problem(send(rig, "PUT /v1/kv/k?lease=0", "", "{\"value\":\"v\"}"), 400, "bad-query");
    assert_problem(send(rig, "PUT /v1/kv/k?lease=x", "", "{\"value\":\"v\"}"), 400, "bad-query");
    assert_problem(send(rig, "PUT /v1/kv/k?lease=9007199254740992", "", "{\"value\":\"v\"}"), 400,
                   "bad-query");
    assert_problem(send(rig, "DELETE /v1/kv/k?lease=7", "", ""), 400, "bad-query");
    assert_int_equal(rig->node->submitted_count, before);

    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    assert_int_equal(code_of(send(rig, "PUT /v1/kv/k?lease=7", "", "{\"value\":\"v\"}")), 204);
    assert_int_equal(code_of(send(rig, "PUT /v1/kv/k", "", "{\"value\":\"w\"}")), 204);
    assert_has(send(rig, "GET /v1/kv/k", "", ""), "\"lease\":0");
}

static void a_lease_is_named_by_a_number(void **state)
{
    struct rig *rig = *state;
    assert_problem(send(rig, "GET /v1/leases/x", "", ""), 400, "bad-target");
    assert_problem(send(rig, "GET /v1/leases/0", "", ""), 400, "bad-target");
    assert_problem(send(rig, "GET /v1/leases/07", "", ""), 400, "bad-target");
    assert_problem(send(rig, "GET /v1/leases/9007199254740992", "", ""), 400, "bad-target");
    assert_problem(send(rig, "GET /v1/leases/", "", ""), 400, "bad-target");
    assert_problem(send(rig, "POST /v1/leases/x/keepalive", "", ""), 400, "bad-target");
    assert_problem(send(rig, "GET /v1/leases/9007199254740991", "", ""), 404, "lease-not-found");
    assert_problem(send(rig, "GET /v1/leases/7/8", "", ""), 404, "no-resource");
    assert_problem(send(rig, "POST /v1/leases/7/8/keepalive", "", ""), 404, "no-resource");
    const char *reply = send(rig, "POST /v1/leases/7", "", "");
    assert_problem(reply, 405, "method-not-allowed");
    assert_has(reply, "Allow: GET, HEAD, DELETE\r\n");
    reply = send(rig, "GET /v1/leases/7/keepalive", "", "");
    assert_has(reply, "Allow: POST\r\n");
}

/* ---- looking at them ---- */

static void a_lease_says_how_long_it_lasts_at_least(void **state)
{
    struct rig *rig = *state;
    rig->node->log_time_us = 1000000;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");

    rig->node->log_time_us = 1000000 + 1500001;
    assert_has(send(rig, "GET /v1/leases/7", "", ""),
               "{\"lease\":7,\"ttl_ms\":5000,\"remaining_ms\":3499,\"keys_count\":0,\"revision\":");
    rig->node->log_time_us = 7000000;
    assert_has(send(rig, "GET /v1/leases/7", "", ""), "\"remaining_ms\":0,");
    rig->node->log_time_us = UINT64_MAX; /* it cannot tell */
    assert_has(send(rig, "GET /v1/leases/7", "", ""), "\"remaining_ms\":0,");
}

static void the_keys_of_a_lease_come_on_request(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    (void)send(rig, "PUT /v1/kv/b?lease=7", "", "{\"value\":\"v\"}");
    (void)send(rig, "PUT /v1/kv/%ff?lease=7", "", "{\"value\":\"v\"}");
    (void)send(rig, "PUT /v1/kv/a?lease=7", "", "{\"value\":\"v\"}");
    (void)send(rig, "PUT /v1/kv/c", "", "{\"value\":\"v\"}");

    const char *reply = send(rig, "GET /v1/leases/7?keys", "", "");
    assert_has(reply, "\"keys_count\":3,\"keys\":[{\"key\":\"a\"},{\"key\":\"b\"},"
                      "{\"key_base64\":\"/w==\"}],\"revision\":");
    assert_lacks(send(rig, "GET /v1/leases/7", "", ""), "\"keys\"");
    assert_problem(send(rig, "GET /v1/leases/7?keys=x", "", ""), 400, "bad-query");
}

static void no_more_keys_come_than_a_page_has(void **state)
{
    struct rig *rig = *state;
    char key[32];
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    for (unsigned i = 0; i <= LIMIT_LIST_ITEMS; i++) {
        (void)snprintf(key, sizeof key, "k%04u", i);
        node_double_do(rig->node,
                       &(struct command){.op = COMMAND_PUT, .key = bytes_of_text(key), .lease = 7});
    }

    const char *reply = send(rig, "GET /v1/leases/7?keys", "", "");
    assert_has(reply, "\"keys_count\":1001,");
    assert_has(reply, "{\"key\":\"k0999\"}]");
    assert_lacks(reply, "k1000");
}

static void leases_are_listed_page_by_page(void **state)
{
    struct rig *rig = *state;
    rig->node->log_time_us = 1000000;
    assert_has(send(rig, "GET /v1/leases", "", ""), "{\"leases\":[],\"next\":null,\"revision\":1}");
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":300}");
    (void)grant(rig, "{\"ttl_ms\":6000,\"lease\":2}");
    (void)grant(rig, "{\"ttl_ms\":7000,\"lease\":10}");
    (void)send(rig, "PUT /v1/kv/a?lease=2", "", "{\"value\":\"v\"}");

    assert_has(send(rig, "GET /v1/leases?limit=2", "", ""),
               "{\"leases\":[{\"lease\":2,\"ttl_ms\":6000,\"remaining_ms\":6000,\"keys\":1},"
               "{\"lease\":10,\"ttl_ms\":7000,\"remaining_ms\":7000,\"keys\":0}],\"next\":10,"
               "\"revision\":2}");
    assert_has(send(rig, "GET /v1/leases?limit=2&after=10", "", ""),
               "{\"leases\":[{\"lease\":300,\"ttl_ms\":5000,\"remaining_ms\":5000,\"keys\":0}],"
               "\"next\":null,");
    assert_has(send(rig, "GET /v1/leases?limit=3", "", ""), "\"next\":null");
    assert_has(send(rig, "GET /v1/leases?consistency=stale", "", ""), "X-MiniKV-Staleness-Ms: ");
    assert_problem(send(rig, "GET /v1/leases?limit=0", "", ""), 400, "bad-query");
    assert_problem(send(rig, "GET /v1/leases?after=x", "", ""), 400, "bad-query");
    assert_problem(send(rig, "GET /v1/leases?rev=1", "", ""), 400, "bad-query");
}

static void looking_is_linearizable_unless_told_otherwise(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    size_t before = rig->node->submitted_count;

    (void)send(rig, "GET /v1/leases/7?consistency=stale", "", "");
    assert_int_equal(rig->node->submitted_count, before);
    (void)send(rig, "GET /v1/leases/7", "", "");
    assert_int_equal(rig->node->submitted_count, before + 1);
    assert_int_equal(rig->node->last.kind, NODE_READ);
}

/* ---- keep-alives ---- */

static void keep_alives_of_a_moment_are_one_command(void **state)
{
    struct rig *rig = *state;
    rig->node->log_time_us = 1000000;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":8}");
    (void)grant(rig, "{\"ttl_ms\":6000,\"lease\":7}");
    size_t before = rig->node->submitted_count;
    rig->node->log_time_us = 3000000;

    struct env_stream *a = keep_alive(rig, "8", ""), *b = keep_alive(rig, "7", "");
    struct env_stream *c = keep_alive(rig, "9", ""), *d = keep_alive(rig, "8", "");
    memory_advance(rig->env, RENEWALS_COLLECT_US - 1);
    assert_int_equal(rig->node->submitted_count, before);
    assert_string_equal(received(a), "");
    memory_advance(rig->env, 1);

    assert_int_equal(rig->node->submitted_count, before + 1);
    struct command command = last_command(rig);
    assert_int_equal(command.op, COMMAND_RENEW_LEASES);
    assert_int_equal(command.value.count, 24); /* each once */
    assert_string_equal(body_of(received(a)), "{\"lease\":8,\"ttl_ms\":5000}\n");
    assert_string_equal(body_of(received(b)), "{\"lease\":7,\"ttl_ms\":6000}\n");
    assert_problem(received(c), 404, "lease-not-found");
    assert_has(received(c), "\"effect\":\"none\"");
    assert_string_equal(body_of(received(d)), "{\"lease\":8,\"ttl_ms\":5000}\n");
    struct kv_lease lease;
    assert_true(kv_lease(rig->node->kv, 8, &lease));
    assert_int_equal(lease.expires_us, 8000000);
}

static void a_keep_alive_is_answered_when_it_has_been_applied(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    rig->node->holds = true;

    struct env_stream *stream = keep_alive(rig, "7", "");
    collected(rig);
    assert_string_equal(received(stream), "");
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);

    assert_int_equal(code_of(received(stream)), 200);
}

/* Taken away between the command and the answer: that is what counts. */
static void a_lease_that_went_meanwhile_is_404(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    rig->node->holds = true;
    struct env_stream *stream = keep_alive(rig, "7", "");
    collected(rig);
    node_double_do(rig->node, &(struct command){.op = COMMAND_REVOKE_LEASE, .lease = 7});

    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);

    assert_problem(received(stream), 404, "lease-not-found");
}

static void what_became_of_the_command_all_are_told(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    rig->node->forced =
        (struct node_answer){.status = ST_TIMEOUT, .effect = EFFECT_MAYBE, .hops_count = 1};

    struct env_stream *a = keep_alive(rig, "7", ""), *b = keep_alive(rig, "8", "");
    collected(rig);
    assert_problem(received(a), 504, "timeout");
    assert_has(received(a), "\"effect\":\"maybe\"");
    assert_problem(received(b), 504, "timeout");

    rig->node->forced = (struct node_answer){.status = ST_NO_LEADER, .effect = EFFECT_NONE};
    a = keep_alive(rig, "7", "");
    collected(rig);
    assert_problem(received(a), 503, "no-leader");
    assert_has(received(a), "\"effect\":\"none\"");
}

static void what_may_go_different_ways_goes_in_different_commands(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    rig->node->holds = true;

    (void)keep_alive(rig, "7", "");
    (void)keep_alive(rig, "7?", "");
    (void)keep_alive(rig, "7", "X-MiniKV-Forwarded: 1\r\n");
    (void)keep_alive(rig, "7", "X-MiniKV-Timeout-Ms: 60\r\n");
    (void)ask(rig, "POST /v1/leases/7/keepalive?route=redirect HTTP/1.1\r\n" H "\r\n");
    collected(rig);

    assert_int_equal(rig->node->requests_count, 4);
    assert_int_equal(node_double_at(rig->node, 0)->policy, ROUTE_FORWARD);
    assert_true(node_double_at(rig->node, 1)->is_forwarded);
    assert_true(node_double_at(rig->node, 2)->deadline < node_double_at(rig->node, 0)->deadline);
    assert_int_equal(node_double_at(rig->node, 3)->policy, ROUTE_REDIRECT);
    rig->node->holds = false;
    while (rig->node->requests_count != 0)
        node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
}

static void whoever_is_gone_is_not_waited_for(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    size_t before = rig->node->submitted_count;

    /* Before the batch goes … */
    memory_hang_up(keep_alive(rig, "7", ""), ENV_END_RESET);
    collected(rig);
    assert_int_equal(rig->node->submitted_count, before);

    /* … and while it is under way. */
    rig->node->holds = true;
    struct env_stream *stays = keep_alive(rig, "7", ""), *goes = keep_alive(rig, "7", "");
    collected(rig);
    memory_hang_up(goes, ENV_END_RESET);
    rig->node->holds = false;
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_int_equal(code_of(received(stays)), 200);

    /* A server that closes takes back what is under way: the teardown does. */
    rig->node->holds = true;
    (void)keep_alive(rig, "7", "");
    collected(rig);
    (void)keep_alive(rig, "7", "");
}

static void a_full_batch_goes_at_once(void **state)
{
    struct rig *rig = *state;
    size_t before = rig->node->submitted_count;
    char request[96];
    struct env_stream *stream = NULL;
    for (unsigned i = 1; i <= LIMIT_LEASE_RENEWALS; i++) {
        if (i % LIMIT_PIPELINE == 1)
            stream = memory_dial(rig->env);
        (void)snprintf(request, sizeof request,
                       "POST /v1/leases/%u/keepalive HTTP/1.1\r\n" H "\r\n", i);
        send_text(stream, request);
        assert_int_equal(rig->node->submitted_count, before + (i == LIMIT_LEASE_RENEWALS));
    }
    assert_int_equal(last_command(rig).value.count, 8 * LIMIT_LEASE_RENEWALS);
    assert_problem(received(stream), 404, "lease-not-found");
}

static void too_many_that_wait_are_refused(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = NULL;
    rig->node->holds = true;
    for (unsigned i = 0; i < LIMIT_RENEWALS; i++) {
        if (i % LIMIT_PIPELINE == 0)
            stream = memory_dial(rig->env);
        send_text(stream, "POST /v1/leases/7/keepalive HTTP/1.1\r\n" H "\r\n");
    }
    assert_string_equal(received(stream), "");

    struct env_stream *late = keep_alive(rig, "7", "");
    assert_problem(received(late), 503, "busy");
    assert_has(received(late), "\"effect\":\"none\"");

    rig->node->holds = false;
    while (rig->node->requests_count != 0)
        node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_problem(received(stream), 404, "lease-not-found");
    late = keep_alive(rig, "7", "");
    collected(rig);
    assert_problem(received(late), 404, "lease-not-found");
}

static void a_keep_alive_takes_no_body_and_ignores_an_identity(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    struct env_stream *stream =
        keep_alive(rig, "7", "X-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: 1\r\n");
    collected(rig);
    assert_int_equal(code_of(received(stream)), 200);
    assert_problem(send(rig, "POST /v1/leases/7/keepalive", "", "{\"ttl_ms\":1}"), 400,
                   "bad-field");
}

static void leases_are_counted_in_the_metrics(void **state)
{
    struct rig *rig = *state;
    (void)grant(rig, "{\"ttl_ms\":5000,\"lease\":7}");
    (void)keep_alive(rig, "7", "");
    (void)keep_alive(rig, "8", "");
    collected(rig);

    const char *reply = send(rig, "GET /metrics", "", "");
    assert_has(reply, "\nminikv_leases 1\n");
    assert_has(reply, "\nminikv_leases_expired_total 0\n");
    assert_has(reply, "\nminikv_lease_renewals_total 2\n");
    assert_has(reply, "\nminikv_lease_renewal_batches_total 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_lease_is_granted_under_an_id_of_the_clusters_or_of_ones_own),
        RIG_TEST(the_bounds_of_a_grant_are_told),
        RIG_TEST(a_grant_that_comes_again_names_the_same_lease),
        RIG_TEST(a_revoked_lease_is_gone_with_its_keys),
        RIG_TEST(a_put_names_a_lease_that_is_there),
        RIG_TEST(a_lease_is_named_by_a_number),
        RIG_TEST(a_lease_says_how_long_it_lasts_at_least),
        RIG_TEST(the_keys_of_a_lease_come_on_request),
        RIG_TEST(no_more_keys_come_than_a_page_has),
        RIG_TEST(leases_are_listed_page_by_page),
        RIG_TEST(looking_is_linearizable_unless_told_otherwise),
        RIG_TEST(keep_alives_of_a_moment_are_one_command),
        RIG_TEST(a_keep_alive_is_answered_when_it_has_been_applied),
        RIG_TEST(a_lease_that_went_meanwhile_is_404),
        RIG_TEST(what_became_of_the_command_all_are_told),
        RIG_TEST(what_may_go_different_ways_goes_in_different_commands),
        RIG_TEST(whoever_is_gone_is_not_waited_for),
        RIG_TEST(a_full_batch_goes_at_once),
        RIG_TEST(too_many_that_wait_are_refused),
        RIG_TEST(a_keep_alive_takes_no_body_and_ignores_an_identity),
        RIG_TEST(leases_are_counted_in_the_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
