/* The bytes of each frame as they have been since version 1: tests/golden/wire/<name>.hex.
 * REWRITE=1 writes them anew, and CORPUS=dir the same frames raw, as a start for fuzzing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire_samples.h"

static void put_hex(struct buf *out, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.count; i++)
        buf_printf(out, "%02x%s", bytes.data[i], i % 16 == 15 || i + 1 == bytes.count ? "\n" : " ");
}

static void write_file(const char *path, struct bytes bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.count, file), bytes.count);
    assert_int_equal(fclose(file), 0);
}

static void read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s: cannot be opened", path);
    assert_true(buf_reserve(out, 65536));
    out->count = fread(out->data, 1, 65536, file);
    assert_int_equal(fclose(file), 0);
}

static void every_frame_has_the_bytes_it_always_had(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        char path[512];
        struct buf frame, hex, wanted;
        buf_init(&frame, 65536);
        buf_init(&hex, 1 << 20);
        buf_init(&wanted, 1 << 20);
        samples[i].encode(&frame);
        put_hex(&hex, buf_bytes(&frame));

        (void)snprintf(path, sizeof path, "%s/golden/wire/%s.hex", TEST_SOURCE_DIR,
                       samples[i].name);
        if (getenv("REWRITE") != NULL)
            write_file(path, buf_bytes(&hex));
        read_file(path, &wanted);
        assert_string_equal(buf_text(&hex), buf_text(&wanted));
        if (getenv("CORPUS") != NULL) {
            (void)snprintf(path, sizeof path, "%s/%s", getenv("CORPUS"), samples[i].name);
            write_file(path, buf_bytes(&frame));
        }

        buf_release(&frame);
        buf_release(&hex);
        buf_release(&wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_has_the_bytes_it_always_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
