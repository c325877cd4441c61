/* Transactions over HTTP: the JSON that is taken, what it comes to, what is refused and where. */
#include "once_fixture.h"

#include "http/txn_body.h"
#include "kv/txn.h"

static const char *txn(struct rig *rig, const char *body)
{
    static char text[LIMIT_BODY_BYTES + 1024];
    (void)snprintf(text, sizeof text, "POST /v1/txn HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    return ask(rig, text);
}

static void txn_is(struct rig *rig, const char *body, const char *wanted)
{
    const char *reply = txn(rig, body);
    if (code_of(reply) != 200)
        fail_msg("%s", reply);
    assert_has(reply, "\r\nContent-Type: application/json\r\n");
    assert_string_equal(body_of(reply), wanted);
}

static void put(struct rig *rig, const char *key, const char *value)
{
    node_double_put(rig->node, bytes_of_text(key), bytes_of_text(value));
}

/* ---- what it comes to ---- */

static void a_list_is_chosen_and_its_results_are_told_in_order(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "1");
    txn_is(rig,
           "{\"compare\":[{\"key\":\"a\",\"target\":\"value\",\"op\":\"=\",\"value\":\"1\"}],"
           "\"success\":[{\"put\":{\"key\":\"b\",\"value\":\"2\"}},{\"get\":{\"prefix\":\"\"}},"
           "{\"delete\":{\"key\":\"a\"}}],"
           "\"failure\":[{\"get\":{\"key\":\"a\"}}]}",
           "{\"succeeded\":true,\"revision\":3,\"results\":[{\"put\":{}},{\"get\":{\"items\":["
           "{\"key\":\"a\",\"value\":\"1\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,"
           "\"lease\":0},"
           "{\"key\":\"b\",\"value\":\"2\",\"create_revision\":3,\"mod_revision\":3,\"version\":1,"
           "\"lease\":0}],\"count\":2,\"next\":null}},{\"delete\":{\"deleted\":1}}]}\n");
    txn_is(rig,
           "{\"compare\":[{\"key\":\"a\",\"target\":\"version\",\"op\":\">\",\"value\":0}],"
           "\"success\":[{\"delete\":{\"prefix\":\"\"}}],"
           "\"failure\":[{\"get\":{\"key\":\"a\"}}]}",
           "{\"succeeded\":false,\"revision\":3,\"results\":[{\"get\":{\"items\":[],\"count\":0,"
           "\"next\":null}}]}\n");
    txn_is(rig, "{}", "{\"succeeded\":true,\"revision\":3,\"results\":[]}\n");
}

static void previous_items_pages_and_nested_ones_have_their_form(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "1");
    put(rig, "b", "2");
    txn_is(rig,
           "{\"success\":[{\"put\":{\"key\":\"a\",\"value\":\"3\",\"prev\":true}},"
           "{\"put\":{\"key\":\"c\",\"value\":\"\",\"prev\":true}},"
           "{\"txn\":{\"compare\":[{\"key\":\"a\",\"target\":\"value\",\"op\":\"<\","
           "\"value\":\"2\"}],\"success\":[{\"txn\":{}},{\"get\":{\"start\":\"a\",\"end\":\"c\","
           "\"limit\":1,\"order\":\"desc\",\"keys_only\":true}}]}},"
           "{\"delete\":{\"key\":\"b\",\"prev\":true}},"
           "{\"get\":{\"prefix\":\"\",\"after\":\"a\",\"count_only\":true}}]}",
           "{\"succeeded\":true,\"revision\":4,\"results\":["
           "{\"put\":{\"prev\":{\"key\":\"a\",\"value\":\"1\",\"create_revision\":2,"
           "\"mod_revision\":2,\"version\":1,\"lease\":0}}},"
           "{\"put\":{\"prev\":null}},"
           "{\"txn\":{\"succeeded\":true,\"results\":["
           "{\"txn\":{\"succeeded\":true,\"results\":[]}},"
           "{\"get\":{\"items\":[{\"key\":\"b\",\"create_revision\":3,\"mod_revision\":3,"
           "\"version\":1,\"lease\":0}],\"count\":2,\"next\":\"b\"}}]}},"
           "{\"delete\":{\"deleted\":1,\"prev\":[{\"key\":\"b\",\"value\":\"2\","
           "\"create_revision\":3,\"mod_revision\":3,\"version\":1,\"lease\":0}]}},"
           "{\"get\":{\"items\":[],\"count\":1,\"next\":null}}]}\n");
}

static void any_bytes_travel_as_base64(void **state)
{
    struct rig *rig = *state;
    txn_is(rig,
           "{\"success\":[{\"put\":{\"key_base64\":\"/wE=\",\"value_base64\":\"AP8=\"}},"
           "{\"put\":{\"key_base64\":\"/wI=\",\"value\":\"\\u0000\"}},"
           "{\"get\":{\"prefix_base64\":\"/w==\",\"start_base64\":\"/wE=\",\"end_base64\":\"//8=\","
           "\"after_base64\":\"/w==\",\"limit\":1}}]}",
           "{\"succeeded\":true,\"revision\":2,\"results\":[{\"put\":{}},{\"put\":{}},{\"get\":{"
           "\"items\":[{\"key_base64\":\"/wE=\",\"value_base64\":\"AP8=\",\"create_revision\":2,"
           "\"mod_revision\":2,\"version\":1,\"lease\":0}],\"count\":2,"
           "\"next_base64\":\"/wE=\"}}]}\n");
    txn_is(rig,
           "{\"compare\":[{\"key_base64\":\"/wE=\",\"target\":\"value\",\"op\":\"=\","
           "\"value_base64\":\"AP8=\"}]}",
           "{\"succeeded\":true,\"revision\":2,\"results\":[]}\n");
}

static void a_put_may_hang_on_a_lease(void **state)
{
    struct rig *rig = *state;
    const char *hanging = "{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"v\",\"lease\":7}}]}";
    const char *reply = txn(rig, hanging);
    assert_problem(reply, 404, "lease-not-found");
    assert_has(reply, "\"effect\":\"none\"");

    node_double_do(rig->node,
                   &(struct command){.op = COMMAND_GRANT_LEASE, .lease = 7, .ttl_ms = 60000});
    txn_is(rig, hanging, "{\"succeeded\":true,\"revision\":2,\"results\":[{\"put\":{}}]}\n");
    txn_is(rig, "{\"compare\":[{\"key\":\"k\",\"target\":\"lease\",\"op\":\"=\",\"value\":7}]}",
           "{\"succeeded\":true,\"revision\":2,\"results\":[]}\n");
}

/* All of it escaped: six bytes for one. */
static void the_largest_results_fit_a_reply(void **state)
{
    static uint8_t value[LIMIT_VALUE_BYTES];
    struct rig *rig = *state;
    memset(value, 1, sizeof value);
    node_double_put(rig->node, BYTES_LITERAL("a"), bytes_of(value, sizeof value));
    node_double_put(rig->node, BYTES_LITERAL("b"),
                    bytes_of(value, LIMIT_TXN_RESULTS_BYTES - LIMIT_VALUE_BYTES - 200));
    const char *reply = txn(rig, "{\"success\":[{\"get\":{\"prefix\":\"\"}}]}");
    assert_int_equal(code_of(reply), 200);
    assert_has(reply, "\"count\":2,\"next\":null");
    assert_int_equal(rig->http->bodies_bytes, 0);
}

/* ---- exactly once ---- */

static void a_repetition_is_answered_with_the_same_bytes(void **state)
{
    static const char body[] = "{\"success\":[{\"put\":{\"key\":\"a\",\"value\":\"2\",\"prev\":true"
                               "}},{\"get\":{\"prefix\":\"\"}}]}";
    struct rig *rig = *state;
    char first[1024];
    put(rig, "a", "1");
    (void)snprintf(first, sizeof first, "%s",
                   body_of(write_as(rig, "me", 1, "POST /v1/txn", body)));
    put(rig, "a", "another");
    put(rig, "b", "another");

    const char *reply = write_as(rig, "me", 1, "POST /v1/txn", body);
    assert_has(reply, "\r\nX-MiniKV-Replayed: true\r\n");
    assert_string_equal(body_of(reply), first);
    assert_has(first, "\"prev\":{\"key\":\"a\",\"value\":\"1\"");

    char wanted[2048];
    (void)snprintf(wanted, sizeof wanted,
                   "{\"outcome\":\"applied\",\"answer\":{\"status\":200,\"body\":%.*s}}\n",
                   (int)strlen(first) - 1, first);
    outcome_is(rig, "client=me&sequence=1", wanted);
    reply = send(rig, "POST /v1/outcome/seal", "", "{\"client\":\"me\",\"sequence\":1}");
    assert_string_equal(body_of(reply), wanted);
    assert_problem(write_as(rig, "me", 1, "POST /v1/txn", "{}"), 422, "identity-reused");
}

static void what_is_remembered_has_a_limit_of_its_own(void **state)
{
    static uint8_t value[LIMIT_REMEMBERED_RESULT_BYTES];
    static const char body[] = "{\"success\":[{\"delete\":{\"key\":\"k\"}},"
                               "{\"get\":{\"prefix\":\"\"}}]}";
    struct rig *rig = *state;
    memset(value, 'v', sizeof value);
    node_double_put(rig->node, BYTES_LITERAL("k"), BYTES_LITERAL(""));
    node_double_put(rig->node, BYTES_LITERAL("large"), bytes_of(value, sizeof value));

    const char *reply = write_as(rig, "me", 1, "POST /v1/txn", body);
    assert_problem(reply, 413, "txn-too-large");
    assert_has(reply, "with a client id or an Idempotency-Key to 65536 bytes");
    txn_is(rig, "{\"compare\":[{\"key\":\"k\",\"target\":\"version\",\"op\":\"=\",\"value\":1}]}",
           "{\"succeeded\":true,\"revision\":3,\"results\":[]}\n"); /* nothing was carried out */
    assert_has(write_as(rig, "me", 1, "POST /v1/txn", body), "\r\nX-MiniKV-Replayed: true\r\n");
    outcome_is(rig, "client=me&sequence=1",
               "{\"outcome\":\"applied\",\"answer\":{\"status\":413,"
               "\"type\":\"urn:minikv:txn-too-large\"}}\n");
    assert_has(txn(rig, body), "{\"deleted\":1}");
}

/* ---- refusals ---- */

static const struct {
    const char *body;
    int code;
    const char *type, *detail;
} mistakes[] = {
    {"", 400, "bad-json", "the body is empty; send "},
    {"[]", 400, "bad-json", "the body is no JSON object; send "},
    {"{\"compares\":[]}", 400, "bad-field", "unknown field \\\"compares\\\"; send "},
    {"{\"success\":{}}", 400, "bad-field", "success must be a list"},
    {"{\"success\":[1]}", 400, "bad-field", "success[0] must be an object"},
    {"{\"success\":[{\"get\":{\"key\":\"k\"}},{}]}", 400, "bad-field",
     "success[1] must have one of put, get, delete and txn"},
    {"{\"failure\":[{\"incr\":{}}]}", 400, "bad-field",
     "failure[0] has an unknown field \\\"incr\\\""},
    {"{\"failure\":[{\"put\":{\"key\":\"k\",\"value\":\"\"},\"get\":{\"key\":\"k\"}}]}", 400,
     "bad-field", "failure[0] must have one of"},
    {"{\"success\":[{\"put\":[]}]}", 400, "bad-field", "success[0].put must be an object"},
    {"{\"success\":[{\"put\":{\"key\":\"k\"}}]}", 400, "bad-field",
     "success[0].put.value is missing"},
    {"{\"success\":[{\"put\":{\"value\":\"k\"}}]}", 400, "bad-field",
     "success[0].put.key is missing"},
    {"{\"success\":[{\"put\":{\"key\":\"\",\"value\":\"\"}}]}", 400, "key-empty",
     "success[0].put.key is empty"},
    {"{\"success\":[{\"put\":{\"key\":1,\"value\":\"\"}}]}", 400, "bad-field",
     "success[0].put.key must be a string"},
    {"{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"\",\"prev\":1}}]}", 400, "bad-field",
     "success[0].put.prev must be true or false"},
    {"{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"\",\"lease\":-1}}]}", 400, "bad-field",
     "success[0].put.lease must be a number from 0 to 9007199254740991"},
    {"{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"\",\"lease\":9007199254740992}}]}", 400,
     "bad-field", "success[0].put.lease must be a number from 0 to 9007199254740991"},
    {"{\"success\":[{\"put\":{\"key\":\"k\",\"key_base64\":\"aw==\",\"value\":\"\"}}]}", 400,
     "bad-field", "success[0].put.key and key_base64 are the same: send one of them"},
    {"{\"success\":[{\"put\":{\"key_base64\":\"a\",\"value\":\"\"}}]}", 400, "bad-encoding",
     "success[0].put.key_base64 is not base64"},
    {"{\"success\":[{\"put\":{\"prefix\":\"k\",\"value\":\"\"}}]}", 400, "bad-field",
     "success[0].put has an unknown field \\\"prefix\\\""},
    {"{\"success\":[{\"delete\":{}}]}", 400, "bad-field",
     "success[0].delete must have a key, or prefix, start or end"},
    {"{\"success\":[{\"delete\":{\"key\":\"a\",\"end\":\"b\"}}]}", 400, "bad-field",
     "success[0].delete names a key and a range: send one of them"},
    {"{\"success\":[{\"get\":{\"key\":\"a\",\"limit\":1}}]}", 400, "bad-field",
     "success[0].get.limit goes with a range only"},
    {"{\"success\":[{\"get\":{\"prefix\":\"a\",\"limit\":0}}]}", 400, "bad-field",
     "success[0].get.limit must be a number from 1 to 1000"},
    {"{\"success\":[{\"get\":{\"prefix\":\"a\",\"limit\":1001}}]}", 400, "bad-field",
     "success[0].get.limit must be a number from 1 to 1000"},
    {"{\"success\":[{\"get\":{\"prefix\":\"a\",\"order\":\"up\"}}]}", 400, "bad-field",
     "success[0].get.order is asc or desc"},
    {"{\"compare\":[{\"key\":\"a\",\"op\":\"=\",\"value\":\"\"}]}", 400, "bad-field",
     "compare[0].target must be value, version, "},
    {"{\"compare\":[{\"key\":\"a\",\"target\":\"value\",\"op\":\"==\",\"value\":\"\"}]}", 400,
     "bad-field", "compare[0].op must be one of =, !=, < and >"},
    {"{\"compare\":[{\"key\":\"a\",\"target\":\"value\",\"op\":\"=\"}]}", 400, "bad-field",
     "compare[0].value is missing"},
    {"{\"compare\":[{\"key\":\"a\",\"target\":\"lease\",\"op\":\"=\",\"value\":\"1\"}]}", 400,
     "bad-field", "compare[0].value must be a number, as the target is one"},
    {"{\"compare\":[{\"target\":\"lease\",\"op\":\"=\",\"value\":1}]}", 400, "bad-field",
     "compare[0] must have a key, or prefix"},
    {"{\"success\":[{\"txn\":{\"failure\":[{\"get\":{\"key\":\"k\"}},{\"txn\":{\"compare\":"
     "[{\"key\":\"\"}]}}]}}]}",
     400, "key-empty", "success[0].txn.failure[1].txn.compare[0].key is empty"},
    {"{\"success\":[{\"txn\":{\"then\":[]}}]}", 400, "bad-field",
     "success[0].txn has an unknown field \\\"then\\\""},
    {"{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"\"}},{\"delete\":{\"prefix\":\"\"}}]}", 400,
     "duplicate-key", "name each key in one put or delete only"},
    {"{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"\",\"value\":\"\"}}]}", 400, "bad-json",
     "duplicate object key"},
};

static void what_is_wrong_is_named_by_its_place(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
        const char *reply = txn(rig, mistakes[i].body);
        assert_problem(reply, mistakes[i].code, mistakes[i].type);
        assert_has(reply, mistakes[i].detail);
        assert_has(reply, "\"effect\":\"none\"");
    }
    assert_int_equal(rig->node->submitted_count, 0);
}

/* ---- limits ---- */

static char *repeat(char *at, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%s%s", i == 0 ? "" : ",", text);
    return at;
}

static const char get_k[] = "{\"get\":{\"key\":\"k\"}}";
static const char compare_k[] = "{\"key\":\"k\",\"target\":\"lease\",\"op\":\"=\",\"value\":0}";

static void lists_have_a_limit_each(void **state)
{
    static char body[64 * 1024];
    struct rig *rig = *state;
    for (size_t count = 128; count <= 129; count++) {
        char *at = body + sprintf(body, "{\"failure\":[");
        (void)sprintf(repeat(at, get_k, count), "]}");
        const char *reply = txn(rig, body);
        assert_int_equal(code_of(reply), count == 128 ? 200 : 413);
        if (count == 129)
            assert_has(reply, "failure has 129 entries; at most 128 are taken");

        at = body + sprintf(body, "{\"compare\":[");
        (void)sprintf(repeat(at, compare_k, count), "]}");
        reply = txn(rig, body);
        assert_int_equal(code_of(reply), count == 128 ? 200 : 413);
        if (count == 129)
            assert_problem(reply, 413, "txn-too-large");
    }
}

static void all_lists_together_have_a_limit(void **state)
{
    static char body[256 * 1024], nested[32 * 1024];
    struct rig *rig = *state;
    for (size_t extra = 0; extra <= 1; extra++) {
        char *at = nested + sprintf(nested, "{\"txn\":{\"success\":[");
        (void)sprintf(repeat(at, get_k, 127), "]}}");
        at = body + sprintf(body, "{\"success\":[");
        at = repeat(at, nested, 8);
        (void)sprintf(at, "],\"failure\":[%s]}", extra != 0 ? get_k : "");
        const char *reply = txn(rig, body);
        assert_int_equal(code_of(reply), extra == 0 ? 200 : 413);
        if (extra != 0)
            assert_has(reply, "all lists of a kind together have at most 1024 entries");
    }
}

static void so_many_are_in_each_other(void **state)
{
    char body[1024];
    struct rig *rig = *state;
    for (size_t depth = 8; depth <= 9; depth++) {
        char *at = body + sprintf(body, "{");
        for (size_t i = 1; i < depth; i++)
            at += sprintf(at, "\"failure\":[{\"txn\":{");
        for (size_t i = 1; i < depth; i++)
            at += sprintf(at, "}}]");
        (void)sprintf(at, "}");
        const char *reply = txn(rig, body);
        assert_int_equal(code_of(reply), depth == 8 ? 200 : 413);
        if (depth == 9)
            assert_has(reply, "failure[0].txn.failure[0].txn is too deep: 8 transactions may be");
    }
}

/* The longest place there is: at the greatest depth, with the highest numbers. */
static void the_longest_place_is_told_whole(void **state)
{
    static char body[64 * 1024];
    char place[256] = "";
    struct rig *rig = *state;
    char *at = body + sprintf(body, "{");
    for (size_t i = 1; i < 8; i++) {
        at += sprintf(at, "\"failure\":[");
        at = repeat(at, get_k, 127);
        at += sprintf(at, ",{\"txn\":{");
        (void)strcat(place, "failure[127].txn.");
    }
    at += sprintf(at, "\"compare\":[");
    at = repeat(at, compare_k, 127);
    at += sprintf(at, ",{}]");
    for (size_t i = 1; i < 8; i++)
        at += sprintf(at, "}}]");
    (void)sprintf(at, "}");
    (void)strcat(place, "compare[127] must have a key, or prefix, start or end; ");
    const char *reply = txn(rig, body);
    assert_problem(reply, 400, "bad-field");
    assert_has(reply, place);
}

/* Printable, and no quote nor backslash. */
static char one_byte_key(size_t i)
{
    char key = (char)(' ' + (char)i);
    key = (char)(key + (key >= '"'));
    return (char)(key + (key >= '\\'));
}

static void the_whole_of_it_fits_a_command_or_is_refused(void **state)
{
    static char body[LIMIT_BODY_BYTES];
    enum { EACH = 90, HEAD = 3, OF_PUT = 19 };
    struct rig *rig = *state;
    for (size_t extra = 0; extra <= 1; extra++) {
        size_t left = LIMIT_TXN_BYTES - HEAD + extra;
        size_t value_bytes = left / EACH - OF_PUT;
        size_t last_bytes = left - (EACH - 1) * (value_bytes + OF_PUT) - OF_PUT;
        char *at = body + sprintf(body, "{\"success\":[");
        for (size_t i = 0; i < EACH; i++) {
            size_t count = i + 1 == EACH ? last_bytes : value_bytes;
            at += sprintf(at, "%s{\"put\":{\"key\":\"%c\",\"value\":\"", i == 0 ? "" : ",",
                          one_byte_key(i));
            memset(at, 'v', count);
            at += count;
            at += sprintf(at, "\"}}");
        }
        (void)sprintf(at, "]}");
        const char *reply = txn(rig, body);
        if (extra == 0)
            assert_int_equal(code_of(reply), 200);
        else
            assert_problem(reply, 413, "txn-too-large");
    }
}

static void a_long_identity_fits_beside_the_largest_one(void **state)
{
    struct command command = {.op = COMMAND_TXN};
    static uint8_t client[LIMIT_IDEMPOTENCY_KEY_BYTES], value[LIMIT_TXN_BYTES];
    struct buf encoded;
    memset(client, 'c', sizeof client);
    command.identity = (struct client_identity){
        .kind = CLIENT_KEY, .client = bytes_of(client, sizeof client), .sequence = 1};
    command.value = bytes_of(value, sizeof value);
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(&command, &encoded);
    assert_false(encoded.is_full);
    buf_release(&encoded);
}

static void keys_and_values_have_limits(void **state)
{
    static char body[LIMIT_BODY_BYTES], text[LIMIT_VALUE_BYTES + 2];
    static const struct {
        const char *before, *behind;
        size_t count_max;
        int code;
    } cases[] = {
        {"{\"success\":[{\"put\":{\"key\":\"", "\",\"value\":\"\"}}]}", LIMIT_KEY_BYTES, 414},
        {"{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"", "\"}}]}", LIMIT_VALUE_BYTES, 413},
        {"{\"success\":[{\"get\":{\"start\":\"", "\"}}]}", LIMIT_KEY_BYTES, 414},
        {"{\"compare\":[{\"key\":\"k\",\"target\":\"value\",\"op\":\"<\",\"value\":\"", "\"}]}",
         LIMIT_VALUE_BYTES, 413},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (size_t extra = 0; extra <= 1; extra++) {
            memset(text, 't', cases[i].count_max + extra);
            text[cases[i].count_max + extra] = '\0';
            (void)snprintf(body, sizeof body, "%s%s%s", cases[i].before, text, cases[i].behind);
            assert_int_equal(code_of(txn(rig, body)), extra == 0 ? 200 : cases[i].code);
        }
}

/* ---- what becomes of the bytes ---- */

static void results_wait_for_their_turn_in_a_pipeline(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    put(rig, "a", "1");
    send_text(stream, "GET /v1/kv/a HTTP/1.1\r\n" H "\r\n"
                      "POST /v1/txn HTTP/1.1\r\n" H "Content-Length: 33\r\n\r\n"
                      "{\"success\":[{\"get\":{\"key\":\"a\"}}]}"
                      "POST /v1/txn HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}");
    node_double_answer(rig->node, node_double_at(rig->node, 1));
    node_double_answer(rig->node, node_double_at(rig->node, 1));
    memory_run(rig->env);
    assert_int_equal(stream->sent.count, 0);
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);

    const char *reply = next_reply(received(stream));
    assert_has(reply, "\"results\":[{\"get\":{\"items\":[{\"key\":\"a\",\"value\":\"1\",");
    assert_has(next_reply(reply), "\"results\":[]}\n");
    assert_int_equal(rig->http->bodies_bytes, 0);
}

static void nothing_is_carried_out_while_nobody_takes_replies(void **state)
{
    struct rig *rig = *state;
    rig->http->replies_bytes += LIMIT_REPLIES_BYTES;
    const char *reply = txn(rig, "{}");
    rig->http->replies_bytes -= LIMIT_REPLIES_BYTES;
    assert_int_equal(code_of(reply), 200);
    rig->http->replies_bytes += LIMIT_REPLIES_BYTES + 1;
    reply = txn(rig, "{}");
    rig->http->replies_bytes -= LIMIT_REPLIES_BYTES + 1;
    assert_problem(reply, 503, "busy");
    assert_int_equal(rig->node->submitted_count, 1);
}

/* Each keeps what it came to until its turn. */
static void only_so_many_of_one_connection_are_under_way(void **state)
{
    enum { ALL = LIMIT_PIPELINE_TXNS + 4 };
    static const char body[] = "{\"success\":[{\"get\":{\"key\":\"k\"}}]}";
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    char text[ALL * 512] = "";
    for (size_t i = 0, at = 0; i < ALL; i++)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "POST /v1/txn HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n%s",
                               sizeof body - 1, body);
    rig->node->holds = true;
    send_text(stream, text);
    assert_int_equal(rig->node->requests_count, LIMIT_PIPELINE_TXNS);

    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    assert_int_equal(replies_count(received(stream)), ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_list_is_chosen_and_its_results_are_told_in_order),
        RIG_TEST(previous_items_pages_and_nested_ones_have_their_form),
        RIG_TEST(any_bytes_travel_as_base64),
        RIG_TEST(a_put_may_hang_on_a_lease),
        RIG_TEST(the_largest_results_fit_a_reply),
        RIG_TEST(a_repetition_is_answered_with_the_same_bytes),
        RIG_TEST(what_is_remembered_has_a_limit_of_its_own),
        RIG_TEST(what_is_wrong_is_named_by_its_place),
        RIG_TEST(lists_have_a_limit_each),
        RIG_TEST(all_lists_together_have_a_limit),
        RIG_TEST(so_many_are_in_each_other),
        RIG_TEST(the_longest_place_is_told_whole),
        RIG_TEST(the_whole_of_it_fits_a_command_or_is_refused),
        cmocka_unit_test(a_long_identity_fits_beside_the_largest_one),
        RIG_TEST(keys_and_values_have_limits),
        RIG_TEST(results_wait_for_their_turn_in_a_pipeline),
        RIG_TEST(nothing_is_carried_out_while_nobody_takes_replies),
        RIG_TEST(only_so_many_of_one_connection_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
