/* Bytes that are not quite HTTP: each gets its precise answer, nothing reaches the node, and the
 * connection ends where it can no longer be told what is a request (FAULTS I1 … I17). */
#include "http_fixture.h"

#include "base/prng.h"

#define CHUNKED "PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
#define VALUE   "{\"value\":\"hello\"}" /* 17 bytes */

struct hostile {
    const char *bytes;
    size_t count; /* 0: up to the NUL */
    int code;
    const char *type;
};

static const struct hostile lost[] = {
    /* I1, I2, I3: lengths */
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\n",
     0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
     "0\r\n\r\n",
     0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 0, 400,
     "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 5_0\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 005\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\nhello", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\nhello", 0, 400,
     "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 0, 400, "bad-length"},
    /* I4: chunks */
    {CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "+5\r\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "5_0\r\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED " 5\r\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "\r\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "ffffffffffffffff1\r\nhello", 0, 400, "bad-length"},
    {CHUNKED "5\r\nhello0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "5\r\nhelloXX0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "5\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "5\r\nhello\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "5;a\nhello\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\n\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\nA: b\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\nA: b\r\n\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\nContent-Length: 9\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\nA: b\r\n c\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\n: a\r\n\r\n", 0, 400, "bad-length"},
    {CHUNKED "0\r\nA: b\r\ncontent-length:0\r\n\r\n", 0, 400, "bad-length"},
    /* I5: line ends and control bytes */
    {"GET /livez HTTP/1.1\n" H "\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\nHost: x\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", 0, 400, "bad-request"},
    {"GET /livez HTTP/1.1\r\n" H "A: b\x01\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A\x01: b\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A\0: b\r\n\r\n", 40, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A: \0b\r\n\r\n", 40, 400, "bad-header"},
    {"GET /li\0vez HTTP/1.1\r\n" H "\r\n", 33, 400, "bad-target"},
    {"\nGET /livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-header"},
    {"\rGET /livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-request"},
    /* I6, I7: header lines */
    {"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "Colonless\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H ": nameless\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\n " H "\r\n", 0, 400, "bad-header"},
    {"GET /livez HTTP/1.1\r\nHost:\r\n x\r\n\r\n", 0, 400, NULL},
    /* I8: transfer codings */
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, 501,
     "unsupported-coding"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 0, 400,
     "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, 501,
     "unsupported-coding"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
     "\r\n0\r\n\r\n",
     0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 0, 400, "bad-length"},
    {"PUT /v1/kv/k HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     "bad-length"},
    /* I9: Host */
    {"GET /livez HTTP/1.1\r\n\r\n", 0, 400, "bad-host"},
    {"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0, 400, "bad-host"},
    {"GET /livez HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400, "bad-host"},
    {"GET /livez HTTP/1.1\r\nHost: u@a\r\n\r\n", 0, 400, "bad-host"},
    {"GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400, "bad-host"},
    {"GET /livez HTTP/1.1\r\nHost:\r\n\r\n", 0, 400, "bad-host"},
    /* I11, I17: targets, other protocols, versions */
    {"GET /liv\x80z HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-target"},
    {"GET livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-target"},
    {"GET  /livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-request"},
    {"GET /livez  HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-request"},
    {"GET /livez HTTP/1.1 \r\n" H "\r\n", 0, 400, "bad-request"},
    {"GET /livez HTTP/x.1\r\n" H "\r\n", 0, 400, "bad-request"},
    {"GET\t/livez HTTP/1.1\r\n" H "\r\n", 0, 400, NULL},
    {"GET /livez HTTP/2.0\r\n" H "\r\n", 0, 505, "unsupported-version"},
    {"GET /livez HTTP/1.2\r\n" H "\r\n", 0, 505, "unsupported-version"},
    {"GET /livez HTTP/0.9\r\n" H "\r\n", 0, 505, "unsupported-version"},
    {"GET /livez\r\n\r\n", 0, 505, "unsupported-version"},
    {"GET /livez FTP/1.1\r\n" H "\r\n", 0, 400, "bad-request"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505, "unsupported-version"},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, 400, "bad-request"},
    {"HELLO\r\n", 0, 400, "bad-request"},
    {"get /livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-request"},
    {"CONNECT x:80 HTTP/1.1\r\n" H "\r\n", 0, 405, "method-not-allowed"},
};

static struct bytes bytes_of_hostile(const struct hostile *hostile)
{
    return bytes_of(hostile->bytes, hostile->count == 0 ? strlen(hostile->bytes) : hostile->count);
}

static void assert_lost(struct rig *rig, struct env_stream *stream, const struct hostile *hostile)
{
    const char *reply = received(stream);
    if (code_of(reply) != hostile->code)
        fail_msg("wanted %d for\n%s\ngot\n%s", hostile->code, hostile->bytes, reply);
    if (hostile->type != NULL)
        assert_problem(reply, hostile->code, hostile->type);
    assert_has(reply, "Connection: close\r\n");
    assert_int_equal(replies_count(reply), 1);
    assert_true(stream->is_finished);
    assert_int_equal(rig->node->submitted_count, 0);
}

static void bytes_that_lose_the_framing_get_one_precise_answer_and_the_end(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(lost); i++) {
        struct env_stream *stream = memory_dial(rig->env);

        memory_feed(stream, bytes_of_hostile(&lost[i]));
        send_text(stream, "PUT /v1/kv/after HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n");

        assert_lost(rig, stream, &lost[i]);
    }
}

static void the_answer_is_the_same_when_the_bytes_come_one_by_one(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(lost); i++) {
        struct bytes bytes = bytes_of_hostile(&lost[i]);
        struct env_stream *stream = memory_dial(rig->env);

        for (size_t j = 0; j < bytes.count; j++)
            memory_feed(stream, bytes_of(bytes.data + j, 1));

        assert_lost(rig, stream, &lost[i]);
    }
}

/* Also where the request is not known to its end: whoever asked with HEAD waits for no body. */
static void a_refused_head_request_gets_no_body(void **state)
{
    struct rig *rig = *state;
    static const char *const heads[] = {
        "HEAD /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "HEAD /livez HTTP/1.1\r\n" H "A : b\r\n\r\n",
        "HEAD /livez HTTP/1.9\r\n" H "\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        struct env_stream *stream = memory_dial(rig->env);
        send_text(stream, heads[i]);
        assert_has(received(stream), "\r\nConnection: close\r\n\r\n");
        assert_string_equal(strstr(received(stream), "\r\n\r\n"), "\r\n\r\n");
    }

    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "HEAD /livez HTTP/1.1\r\n" H "\r\n\rGET /livez HTTP/1.1\r\n");
    const char *second = strstr(received(stream), "\r\n\r\n") + 4;
    assert_problem(second, 400, "bad-request"); /* that one was not asked with HEAD */
}

/* ---- the connection stays ---- */

static const struct hostile kept[] = {
    {"GET /nope HTTP/1.1\r\n" H "\r\n", 0, 404, "no-resource"},
    {"PUT /nope HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n" VALUE, 0, 404, "no-resource"},
    {"PUT /nope HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0, 404,
     "no-resource"},
    {"POST /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n" VALUE, 0, 405,
     "method-not-allowed"},
    {"OPTIONS /v1/kv/k HTTP/1.1\r\n" H "\r\n", 0, 405, "method-not-allowed"},
    {"TRACE /v1/kv/k HTTP/1.1\r\n" H "\r\n", 0, 405, "method-not-allowed"},
    {"PATCH /livez HTTP/1.1\r\n" H "\r\n", 0, 405, "method-not-allowed"},
    {"GET * HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-target"},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-target"},
    {"GET http://y/livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-host"},
    {"GET https://x/livez HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-target"},
    {"GET /livez?x HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-query"},
    {"GET /livez HTTP/1.1\r\n" H "Expect: a-pony\r\n\r\n", 0, 417, "expectation-failed"},
    {"PUT /v1/kv/k?lease=x HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n" VALUE, 0, 400, "bad-query"},
    {"PUT /v1/kv/k?consistency=stale HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n" VALUE, 0, 400,
     "bad-query"},
    {"PUT /v1/kv/k?route=x HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n" VALUE, 0, 400, "bad-query"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "X-MiniKV-Route: x\r\nContent-Length: 17\r\n\r\n" VALUE, 0, 400,
     "bad-header"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "X-MiniKV-Timeout-Ms: 0\r\nContent-Length: 17\r\n\r\n" VALUE, 0,
     400, "bad-header"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0, 400, "bad-json"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "\r\n", 0, 400, "bad-json"},
    {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}", 0, 400, "bad-field"},
    {"PUT /v1/kv/%zz HTTP/1.1\r\n" H "Content-Length: 17\r\n\r\n" VALUE, 0, 400, "bad-encoding"},
};

static void a_request_that_is_merely_wrong_leaves_the_connection_usable(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        for (int is_split = 0; is_split < 2; is_split++) {
            struct bytes bytes = bytes_of_hostile(&kept[i]);
            struct env_stream *stream = memory_dial(rig->env);

            for (size_t j = 0; is_split && j < bytes.count; j++)
                memory_feed(stream, bytes_of(bytes.data + j, 1));
            if (!is_split)
                memory_feed(stream, bytes);
            send_text(stream, "GET /version HTTP/1.1\r\n" H "\r\n");

            assert_problem(received(stream), kept[i].code, kept[i].type);
            assert_lacks(received(stream), "Connection: close");
            assert_has(next_reply(received(stream)), "\"api\":\"v1\"");
            assert_false(stream->is_finished);
        }
    }
    assert_int_equal(rig->node->submitted_count, 0);
}

static void a_405_lists_the_methods_there_are(void **state)
{
    struct rig *rig = *state;
    assert_has(ask(rig, "POST /v1/kv/k HTTP/1.1\r\n" H "\r\n"),
               "\r\nAllow: PUT, GET, HEAD, DELETE\r\n");
    assert_has(ask(rig, "PUT /v1/kv HTTP/1.1\r\n" H "\r\n"), "\r\nAllow: GET, HEAD\r\n");
    assert_has(ask(rig, "GET /v1/raft/peer_announce HTTP/1.1\r\n" H "\r\n"), "\r\nAllow: POST\r\n");
}

/* ---- what is fine ---- */

static const char *const fine[] = {
    "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://x/livez HTTP/1.1\r\nHost: X\r\n\r\n",
    "GET /livez HTTP/1.1\r\nhost:\tx\t\r\nA:\r\nB: \xc3\xa9\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
    "00a;n=\"v\"\r\n0123456789\r\n0\r\nX-MiniKV-Route: pigeon\r\nIf-Match: x\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "0\r\nContent-Lengthy: 9\r\nHost: y\r\nConnection: close\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "2\r\n \t\r\n1\r\n\t\r\n0\r\nA: \tb\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
};

static void legal_oddities_are_taken_whole_or_byte_by_byte(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(fine); i++) {
        for (int is_split = 0; is_split < 2; is_split++) {
            struct bytes bytes = bytes_of_text(fine[i]);
            struct env_stream *stream = memory_dial(rig->env);
            for (size_t j = 0; is_split && j < bytes.count; j++)
                memory_feed(stream, bytes_of(bytes.data + j, 1));
            if (!is_split)
                memory_feed(stream, bytes);
            if (code_of(received(stream)) != 200 || replies_count(received(stream)) != 1)
                fail_msg("%s\n%s", fine[i], received(stream));
            send_text(stream, "GET /version HTTP/1.1\r\n" H "\r\n");
            assert_has(next_reply(received(stream)), "\"api\":\"v1\"");
        }
    }
}

static void a_request_cut_in_two_anywhere_gives_the_same_answer(void **state)
{
    struct rig *rig = *state;
    static const char *const requests[] = {
        "PUT /v1/kv/a%20b+?route=forward HTTP/1.1\r\n" H "Content-Type: application/json\r\n"
        "If-None-Match: \"999\"\r\nContent-Length: 17\r\n\r\n" VALUE,
        "PUT /v1/kv/a%20b+ HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
        "7\r\n{\"value\r\na;x\r\n\":\"hello\"}\r\n0\r\nT: t\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct bytes whole = bytes_of_text(requests[i]);
        for (size_t cut = 1; cut < whole.count; cut++) {
            struct env_stream *stream = memory_dial(rig->env);
            rig->node->last_command.count = 0;

            memory_feed(stream, bytes_of(whole.data, cut));
            assert_int_equal(stream->sent.count, 0);
            memory_feed(stream, bytes_of(whole.data + cut, whole.count - cut));

            struct command command;
            assert_int_equal(code_of(received(stream)), 204);
            assert_int_equal(command_decode(buf_bytes(&rig->node->last_command), &command), ST_OK);
            assert_true(bytes_equal_text(command.key, "a b+"));
            assert_true(bytes_equal_text(command.value, "hello"));
        }
    }
}

/* One byte put in somewhere is refused or changes what it is part of. Where it spoils the name of
 * the length header, the body is read as a request, and refused as one. */
static void a_byte_slipped_in_anywhere_never_makes_two_requests_of_one(void **state)
{
    struct rig *rig = *state;
    static const uint8_t slips[] = {'\r', '\n', '\0', ' ', '\t', ':', ';', ',', 0x80, 0x0b, '0'};
    struct bytes whole =
        bytes_of_text("PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                      "11\r\n" VALUE "\r\n0\r\n\r\n");
    size_t body_at = (size_t)(strstr((const char *)whole.data, VALUE) - (const char *)whole.data);
    for (size_t at = 0; at <= whole.count; at++) {
        for (size_t i = 0; i < sizeof slips; i++) {
            struct buf bytes;
            buf_init(&bytes, 4096);
            buf_put(&bytes, bytes_of(whole.data, at));
            buf_put_u8(&bytes, slips[i]);
            buf_put(&bytes, bytes_of(whole.data + at, whole.count - at));
            size_t submitted = rig->node->submitted_count;
            struct env_stream *stream = memory_dial(rig->env);

            memory_feed(stream, buf_bytes(&bytes));

            assert_true(rig->node->submitted_count - submitted <= 1);
            assert_true(replies_count(received(stream)) <= 2);
            if (replies_count(received(stream)) == 2)
                assert_has(next_reply(received(stream)), "Connection: close\r\n");
            bool is_in_body = at >= body_at && at <= body_at + sizeof VALUE - 1;
            bool is_lf_in_framing = slips[i] == '\n' && at + 1 < whole.count && !is_in_body;
            if (is_lf_in_framing)
                assert_int_not_equal(code_of(received(stream)), 204);
            buf_release(&bytes);
        }
    }
}

/* ---- sizes ---- */

static void assert_too_much(struct rig *rig, struct buf *bytes, int code, const char *type)
{
    struct env_stream *stream = memory_dial(rig->env);
    for (size_t at = 0; at < bytes->count; at += 10000)
        memory_feed(stream, bytes_of(bytes->data + at, MIN(bytes->count - at, (size_t)10000)));
    assert_problem(received(stream), code, type);
    assert_true(stream->is_finished);
    struct env_stream *other = memory_dial(rig->env);
    memory_feed(other, bytes_of(bytes->data, MIN(bytes->count, (size_t)LIMIT_READ_BYTES)));
    assert_problem(received(other), code, type);
    buf_release(bytes);
}

static void too_much_of_anything_is_refused_as_soon_as_it_is_known(void **state)
{
    struct rig *rig = *state;
    struct buf bytes;
    buf_init(&bytes, MIB);
    buf_put_text(&bytes, "GET /");
    for (size_t i = 0; i < LIMIT_TARGET_BYTES; i++)
        buf_put_u8(&bytes, 'a');
    assert_too_much(rig, &bytes, 414, "target-too-long");

    buf_put_text(&bytes, "GET /livez HTTP/1.1\r\n" H "A: ");
    for (size_t i = 0; i < LIMIT_HEADERS_BYTES; i++)
        buf_put_u8(&bytes, 'a');
    assert_too_much(rig, &bytes, 431, "headers-too-long");

    buf_put_text(&bytes, "GET /livez HTTP/1.1\r\n" H);
    for (size_t i = 0; i < LIMIT_HEADERS; i++)
        buf_put_text(&bytes, "A: b\r\n");
    buf_put_text(&bytes, "\r\n");
    assert_too_much(rig, &bytes, 431, "headers-too-long");

    buf_put_text(&bytes, CHUNKED "1;");
    for (size_t i = 0; i < LIMIT_HEADERS_BYTES; i++)
        buf_put_u8(&bytes, 'a');
    buf_put_text(&bytes, "\r\n");
    assert_too_much(rig, &bytes, 400, "bad-length");

    buf_put_text(&bytes, CHUNKED "1\r\n1\r\n0\r\n");
    for (size_t i = 0; i < LIMIT_HEADERS_BYTES; i++)
        buf_put_text(&bytes, i % 1000 == 0 ? "A: b\r\n" : "A:\r\n");
    assert_too_much(rig, &bytes, 400, "bad-length");
}

static void the_largest_target_and_headers_are_still_taken(void **state)
{
    struct rig *rig = *state;
    struct buf bytes;
    buf_init(&bytes, MIB);
    buf_put_text(&bytes, "GET /livez?");
    while (bytes.count < sizeof "GET " - 1 + LIMIT_TARGET_BYTES)
        buf_put_u8(&bytes, '&');
    buf_put_text(&bytes, " HTTP/1.1\r\n" H "A: ");
    while (bytes.count < LIMIT_HEADERS_BYTES - 4)
        buf_put_u8(&bytes, 'a');
    buf_put_text(&bytes, "\r\n\r\n");
    for (size_t piece = 1000; piece <= bytes.count; piece *= 40) {
        struct env_stream *stream = memory_dial(rig->env);
        for (size_t at = 0; at < bytes.count; at += piece)
            memory_feed(stream, bytes_of(bytes.data + at, MIN(bytes.count - at, piece)));
        assert_int_equal(code_of(received(stream)), 200);
    }
    buf_release(&bytes);
}

static void a_body_over_the_limit_is_refused_unread_and_unallocated(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);

    send_text(stream, "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 999999999\r\n\r\n");

    assert_problem(received(stream), 413, "body-too-long");
    assert_true(stream->is_finished);
    assert_int_equal(rig->http->bodies_bytes, 0);
}

static void a_claimed_length_alone_allocates_nothing(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 2000000\r\n\r\nx");
    assert_int_equal(stream->sent.count, 0);
    assert_true(rig->http->bodies_bytes < 10000);
}

static void a_chunked_body_over_the_limit_is_refused_where_it_passes_it(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    char chunk[0x1000 + 9];
    send_text(stream, CHUNKED);
    memcpy(chunk, "1000\r\n", 6);
    memset(chunk + 6, 'x', 0x1000);
    memcpy(chunk + 6 + 0x1000, "\r\n", 3);
    for (size_t i = 0; i < LIMIT_BODY_BYTES / 0x1000; i++)
        memory_feed(stream, bytes_of(chunk, sizeof chunk - 1));
    assert_int_equal(stream->sent.count, 0);

    memory_feed(stream, bytes_of(chunk, sizeof chunk - 1));

    assert_problem(received(stream), 413, "body-too-long");
    assert_true(stream->is_finished);
    assert_int_equal(rig->http->bodies_bytes, 0);
}

static void random_bytes_never_crash_it_and_never_reach_the_node(void **state)
{
    struct rig *rig = *state;
    struct prng prng;
    prng_init(&prng, 42);
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[300];
        size_t count = prng_below(&prng, sizeof bytes);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)prng_below(&prng, round % 2 == 0 ? 256 : 64);
        struct env_stream *stream = memory_dial(rig->env);
        memory_feed(stream, bytes_of(bytes, count));
        memory_hang_up(stream, ENV_END_EOF);
    }
    assert_int_equal(rig->node->submitted_count, 0);
    assert_int_equal(rig->http->connections_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(bytes_that_lose_the_framing_get_one_precise_answer_and_the_end),
        RIG_TEST(the_answer_is_the_same_when_the_bytes_come_one_by_one),
        RIG_TEST(a_refused_head_request_gets_no_body),
        RIG_TEST(a_request_that_is_merely_wrong_leaves_the_connection_usable),
        RIG_TEST(a_405_lists_the_methods_there_are),
        RIG_TEST(legal_oddities_are_taken_whole_or_byte_by_byte),
        RIG_TEST(a_request_cut_in_two_anywhere_gives_the_same_answer),
        RIG_TEST(a_byte_slipped_in_anywhere_never_makes_two_requests_of_one),
        RIG_TEST(too_much_of_anything_is_refused_as_soon_as_it_is_known),
        RIG_TEST(the_largest_target_and_headers_are_still_taken),
        RIG_TEST(a_body_over_the_limit_is_refused_unread_and_unallocated),
        RIG_TEST(a_claimed_length_alone_allocates_nothing),
        RIG_TEST(a_chunked_body_over_the_limit_is_refused_where_it_passes_it),
        RIG_TEST(random_bytes_never_crash_it_and_never_reach_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
