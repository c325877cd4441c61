/* Reply parser: where a reply ends, in whatever pieces it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "client/reply_parser.h"

struct parsed {
    struct http_reply reply;
    struct reply_parser parser;
    enum reply_progress progress;
    size_t used;
};

/* In pieces of `piece` bytes, until it is done, bad, or the text ends. */
static void parse(struct parsed *parsed, const char *text, size_t piece, bool is_head_only)
{
    size_t count = strlen(text);
    parsed->used = 0;
    parsed->progress = REPLY_MORE;
    http_reply_init(&parsed->reply);
    reply_parser_init(&parsed->parser, &parsed->reply, is_head_only);
    while (parsed->used < count && parsed->progress == REPLY_MORE) {
        size_t used;
        struct bytes bytes = bytes_of(text + parsed->used, MIN(piece, count - parsed->used));
        parsed->progress = reply_parser_feed(&parsed->parser, bytes, &used);
        parsed->used += used;
    }
}

static const struct {
    const char *reply;
    int code;
    const char *body;
    bool keeps_alive;
} good[] = {
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", true},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, "hi", true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", true},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, "", true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny", 200, "y", true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n"
     "0\r\nTrailer: t\r\n\r\n",
     200, "abc0123456789", true},
};

static void every_reply_ends_where_it_ends_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        for (size_t piece = 1; piece < 200; piece = piece < 8 ? piece + 1 : piece * 5) {
            struct parsed parsed;
            char text[1024];
            (void)snprintf(text, sizeof text, "%sHTTP/1.1 500 next", good[i].reply);

            parse(&parsed, text, piece, false);

            if (parsed.progress != REPLY_DONE || parsed.used != strlen(good[i].reply))
                fail_msg("row %zu, pieces of %zu: %d, %zu bytes used, %s", i, piece,
                         parsed.progress, parsed.used,
                         parsed.parser.failure != NULL ? parsed.parser.failure : "");
            assert_int_equal(parsed.reply.code, good[i].code);
            assert_true(bytes_equal_text(http_reply_body(&parsed.reply), good[i].body));
            assert_int_equal(parsed.parser.keeps_alive, good[i].keeps_alive);
            http_reply_release(&parsed.reply);
        }
}

static void what_does_not_say_where_it_ends_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 17000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: x\ry\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct parsed parsed;

        parse(&parsed, bad[i], 1, false);

        if (parsed.progress != REPLY_BAD)
            fail_msg("row %zu: %d", i, parsed.progress);
        assert_non_null(parsed.parser.failure);
        http_reply_release(&parsed.reply);
    }
}

static void a_reply_to_head_has_no_body_whatever_it_says(void **state)
{
    (void)state;
    struct parsed parsed;

    parse(&parsed, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 7, true);

    assert_int_equal(parsed.progress, REPLY_DONE);
    http_reply_release(&parsed.reply);
}

static void a_body_without_length_ends_with_the_stream_and_only_in_order(void **state)
{
    (void)state;
    for (int in_order = 0; in_order <= 1; in_order++) {
        struct parsed parsed;
        parse(&parsed, "HTTP/1.1 200 OK\r\n\r\nall of it", 4, false);
        assert_int_equal(parsed.progress, REPLY_MORE);

        enum reply_progress progress = reply_parser_end(&parsed.parser, in_order);

        assert_int_equal(progress, in_order ? REPLY_DONE : REPLY_BAD);
        assert_false(parsed.parser.keeps_alive);
        http_reply_release(&parsed.reply);
    }
}

static void heads_that_never_end_are_refused(void **state)
{
    (void)state;
    static char text[LIMIT_HEADERS_BYTES * 2];
    struct parsed parsed;
    size_t at = (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nA: ");
    memset(text + at, 'x', sizeof text - at - 1);

    parse(&parsed, text, 4096, false);

    assert_int_equal(parsed.progress, REPLY_BAD);
    assert_true(parsed.reply.head_bytes <= LIMIT_HEADERS_BYTES);
    http_reply_release(&parsed.reply);
}

static void headers_are_found_whatever_their_case_without_blanks_around(void **state)
{
    (void)state;
    struct parsed parsed;

    parse(
        &parsed,
        "HTTP/1.1 204 X\r\nETag:\t \"7\" \t\r\nX-MiniKV-Term: 12\r\nX-Empty:\r\nX-Odd: 1x\r\n\r\n",
        3, false);

    assert_string_equal(http_reply_header(&parsed.reply, "etag"), "\"7\"");
    assert_int_equal(http_reply_number(&parsed.reply, "x-minikv-TERM"), 12);
    assert_string_equal(http_reply_header(&parsed.reply, "X-Empty"), "");
    assert_int_equal(http_reply_number(&parsed.reply, "X-Odd"), 0);
    assert_null(http_reply_header(&parsed.reply, "X-Other"));
    http_reply_release(&parsed.reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_ends_where_it_ends_in_pieces_of_any_size),
        cmocka_unit_test(what_does_not_say_where_it_ends_is_refused),
        cmocka_unit_test(a_reply_to_head_has_no_body_whatever_it_says),
        cmocka_unit_test(a_body_without_length_ends_with_the_stream_and_only_in_order),
        cmocka_unit_test(heads_that_never_end_are_refused),
        cmocka_unit_test(headers_are_found_whatever_their_case_without_blanks_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
