/* Chunks: a body in pieces, however it is cut on its way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "cli/chunks.h"

static const char body[] =
    "4\r\nWiki\r\n6;a=b\r\npedia \r\n00b\r\nin \r\nchunks\r\n0\r\nX: y\r\n\r\n";
static const char content[] = "Wikipedia in \r\nchunks";

/* Decodes `text` in pieces of `step` bytes; false: malformed. */
static bool decode(const char *text, size_t count, size_t step, char *out, struct chunks *chunks)
{
    size_t written = 0;
    *chunks = (struct chunks){.state = CHUNKS_SIZE};
    for (size_t at = 0; at < count; at += step) {
        size_t part = MIN(step, count - at);
        memcpy(out + written, text + at, part);
        if (!chunks_decode(chunks, (uint8_t *)out + written, &part))
            return false;
        written += part;
    }
    out[written] = '\0';
    return true;
}

static void the_content_is_the_same_wherever_the_bytes_are_cut(void **state)
{
    (void)state;
    char out[sizeof body];
    struct chunks chunks;
    for (size_t step = 1; step <= sizeof body; step++) {
        assert_true(decode(body, sizeof body - 1, step, out, &chunks));
        assert_string_equal(out, content);
        assert_int_equal(chunks.state, CHUNKS_DONE);
    }
}

static void a_body_that_is_cut_off_is_not_done(void **state)
{
    (void)state;
    char out[sizeof body];
    struct chunks chunks;
    for (size_t count = 0; count < sizeof body - 1; count++) {
        assert_true(decode(body, count, sizeof body, out, &chunks));
        assert_int_not_equal(chunks.state, CHUNKS_DONE);
        assert_memory_equal(out, content, strlen(out));
    }
}

static void what_is_no_chunk_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"x\r\n",
                                        "\r\n",
                                        "-1\r\n",
                                        "4\r\nWikix",
                                        "1x\r\n",
                                        "0\r\n\r\nmore",
                                        "10000000000000000\r\n"};
    char out[64];
    struct chunks chunks;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (decode(wrong[i], strlen(wrong[i]), 64, out, &chunks))
            fail_msg("\"%s\" was taken", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_content_is_the_same_wherever_the_bytes_are_cut),
        cmocka_unit_test(a_body_that_is_cut_off_is_not_done),
        cmocka_unit_test(what_is_no_chunk_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
