#include "inspect/inspect.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

/* How bad a finding is, for inspect_worse. */
static int rank(enum exit_code code)
{
    return code == EXIT_CODE_OK        ? 0
           : code == EXIT_CODE_CORRUPT ? 3
           : code == EXIT_CODE_FORMAT  ? 2
                                       : 1;
}

enum exit_code inspect_worse(enum exit_code a, enum exit_code b)
{
    return rank(b) > rank(a) ? b : a;
}

static bool complain(const char *path, const char *why)
{
    (void)fprintf(stderr, "minikv-inspect: %s: %s\n", path, why);
    return false;
}

bool inspect_read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    struct stat stat;
    if (file == NULL)
        return complain(path, strerror(errno));
    bool is_read = fstat(fileno(file), &stat) == 0 && S_ISREG(stat.st_mode);
    if (!is_read) {
        (void)fclose(file); /* only read */
        return complain(path, "not a regular file");
    }
    /* One byte more shows a file that grows meanwhile; what is there is enough. */
    if (buf_reserve(out, (size_t)stat.st_size + 1))
        out->count += fread(out->data + out->count, 1, (size_t)stat.st_size, file);
    is_read = ferror(file) == 0 && !out->is_full;
    (void)fclose(file); /* only read */
    return is_read || complain(path, out->is_full ? "too large" : "cannot read all of it");
}

void inspect_print_preview(FILE *out, struct bytes bytes, size_t count_max)
{
    (void)fputc('"', out);
    for (size_t i = 0; i < MIN(bytes.count, count_max); i++) {
        uint8_t byte = bytes.data[i];
        if (byte == '"' || byte == '\\')
            (void)fprintf(out, "\\%c", byte);
        else if (byte >= ' ' && byte < 0x7f)
            (void)fputc(byte, out);
        else
            (void)fprintf(out, "\\x%02x", byte);
    }
    (void)fputs(bytes.count > count_max ? "\"..." : "\"", out);
}
