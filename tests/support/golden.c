#include "support/golden.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

bool golden_read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    uint8_t chunk[4096];
    size_t count;
    while ((count = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_put(out, bytes_of(chunk, count));
    bool is_read = ferror(file) == 0;
    (void)fclose(file); /* only read */
    return is_read;
}

static bool rewrite(const char *path, struct bytes got)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    bool is_written = fwrite(got.data, 1, got.count, file) == got.count;
    return fclose(file) == 0 && is_written;
}

static void print_from(const char *what, struct bytes bytes, size_t at)
{
    (void)fprintf(stderr, "  %s: ", what);
    for (size_t i = at; i < bytes.count && i < at + 100 && bytes.data[i] != '\n'; i++) {
        uint8_t byte = bytes.data[i];
        if (byte >= ' ' && byte < 0x7f)
            (void)fputc(byte, stderr);
        else
            (void)fprintf(stderr, "\\x%02x", byte);
    }
    (void)fputc('\n', stderr);
}

static void report(const char *path, struct bytes got, struct bytes want)
{
    size_t at = 0, line = 1, line_start = 0;
    for (; at < got.count && at < want.count && got.data[at] == want.data[at]; at++)
        if (got.data[at] == '\n') {
            line++;
            line_start = at + 1;
        }
    (void)fprintf(stderr, "%s: differs at byte %zu, line %zu (got %zu bytes, want %zu)\n", path, at,
                  line, got.count, want.count);
    print_from("got ", got, MAX(line_start, at - MIN(at, 60u)));
    print_from("want", want, MAX(line_start, at - MIN(at, 60u)));
}

bool golden_matches(const char *directory, const char *name, struct bytes got)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    const char *wanted = getenv("REWRITE");
    if (wanted != NULL && wanted[0] == '1')
        return rewrite(path, got);
    struct buf want;
    buf_init(&want, 64 * 1024 * 1024);
    bool is_equal = golden_read_file(path, &want) && bytes_equal(got, buf_bytes(&want));
    if (!is_equal)
        report(path, got, buf_bytes(&want));
    buf_release(&want);
    return is_equal;
}
