/* Where replies end, however they come, and what refusals are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "load/load_errors.h"
#include "load/load_reply.h"

#define REFUSAL                                                                                    \
    "HTTP/1.1 503 Service Unavailable\r\nX-MiniKV-Node: 2\r\nX-MiniKV-Effect: none\r\n"            \
    "Content-Length: 55\r\n\r\n{\"type\":\"urn:minikv:no-leader\",\"title\":\"no leader is!\"}"
#define CHUNKED                                                                                    \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"                                        \
    "5\r\n0\r\n\r\n\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"

static const char *const replies[] = {
    "HTTP/1.1 204 No Content\r\nETag: \"5\"\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length:  5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    REFUSAL,
    CHUNKED,
    "+OK\r\n",
    "$7\r\nhe\r\nllo\r\n",
    "$-1\r\n",
};

/* Each of them alone, with the next one behind it, and cut off at every byte. */
static void a_reply_ends_where_it_says_and_not_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        char both[1024];
        size_t whole = strlen(replies[i]), count = 0;
        struct load_reply reply;
        (void)snprintf(both, sizeof both, "%s%s", replies[i], replies[0]);

        for (size_t cut = 0; cut < whole; cut++)
            assert_int_equal(load_reply_parse(bytes_of(both, cut), &reply, &count),
                             LOAD_REPLY_MORE);
        assert_int_equal(load_reply_parse(bytes_of(both, strlen(both)), &reply, &count),
                         LOAD_REPLY_WHOLE);
        assert_int_equal(count, whole);
        assert_int_equal(reply.closes, i == 2);
    }
}

static void a_refusal_tells_its_word_and_its_effect(void **state)
{
    (void)state;
    struct load_reply reply;
    size_t count;
    char word[LOAD_WORD_BYTES];

    assert_int_equal(load_reply_parse(bytes_of_text(REFUSAL), &reply, &count), LOAD_REPLY_WHOLE);
    load_reply_word(&reply, word);

    assert_int_equal(reply.status, 503);
    assert_string_equal(word, "no-leader");
    assert_true(bytes_equal_text(reply.effect, "none"));
}

static void a_refusal_of_something_else_is_called_by_its_code(void **state)
{
    (void)state;
    struct load_reply reply;
    size_t count;
    char word[LOAD_WORD_BYTES];
    struct bytes bytes = BYTES_LITERAL("HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\noops");

    assert_int_equal(load_reply_parse(bytes, &reply, &count), LOAD_REPLY_WHOLE);
    load_reply_word(&reply, word);

    assert_string_equal(word, "http-502");
    assert_int_equal(reply.effect.count, 0);
}

static void a_reply_of_redis_is_good_or_empty_or_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {{"+OK\r\n", 200}, {"$0\r\n\r\n", 200},  {":7\r\n", 200},
                 {"$-1\r\n", 404}, {"-ERR no\r\n", 500}, {"-MISCONF\r\n", 500}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct load_reply reply;
        size_t count = 0;
        assert_int_equal(load_reply_parse(bytes_of_text(cases[i].text), &reply, &count),
                         LOAD_REPLY_WHOLE);
        assert_int_equal(reply.status, cases[i].status);
        assert_int_equal(count, strlen(cases[i].text));
    }
}

static void what_is_no_reply_is_said_to_be_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "SSH-2.0-OpenSSH\r\n",
        "$x\r\n",
        "$\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct load_reply reply;
        size_t count;
        if (load_reply_parse(bytes_of_text(texts[i]), &reply, &count) != LOAD_REPLY_BAD)
            fail_msg("taken: %s", texts[i]);
    }
}

static void errors_are_told_apart_by_word_and_effect(void **state)
{
    (void)state;
    struct load_errors errors = {.count = 0};

    load_errors_add(&errors, "busy", EFFECT_NONE);
    load_errors_add(&errors, LOAD_WORD_LOST, EFFECT_MAYBE);
    load_errors_add(&errors, LOAD_WORD_LOST, EFFECT_NONE);
    load_errors_add(&errors, "busy", EFFECT_NONE);

    assert_int_equal(errors.count, 3);
    assert_string_equal(errors.errors[0].word, "busy");
    assert_int_equal(errors.errors[0].count, 2);
    assert_int_equal(load_errors_total(&errors, EFFECT_NONE), 3);
    assert_int_equal(load_errors_total(&errors, EFFECT_MAYBE), 1);
}

static void more_words_than_there_is_room_for_are_counted_together(void **state)
{
    (void)state;
    struct load_errors errors = {.count = 0};
    for (int i = 0; i < 1000; i++) {
        char word[LOAD_WORD_BYTES];
        (void)snprintf(word, sizeof word, "word-%d", i);
        load_errors_add(&errors, word, (enum effect)(i % 3));
    }

    assert_true(errors.count <= LOAD_ERRORS_MAX);
    assert_string_equal(errors.errors[errors.count - 1].word, LOAD_WORD_OTHER);
    assert_int_equal(load_errors_total(&errors, EFFECT_NONE) +
                         load_errors_total(&errors, EFFECT_MAYBE) +
                         load_errors_total(&errors, EFFECT_APPLIED),
                     1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_ends_where_it_says_and_not_before),
        cmocka_unit_test(a_refusal_tells_its_word_and_its_effect),
        cmocka_unit_test(a_refusal_of_something_else_is_called_by_its_code),
        cmocka_unit_test(a_reply_of_redis_is_good_or_empty_or_an_error),
        cmocka_unit_test(what_is_no_reply_is_said_to_be_none),
        cmocka_unit_test(errors_are_told_apart_by_word_and_effect),
        cmocka_unit_test(more_words_than_there_is_room_for_are_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
