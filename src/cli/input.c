#include "cli/input.h"

#include <errno.h>
#include <string.h>

static bool read_stream(const struct cli *cli, FILE *file, const char *name, size_t bytes_max,
                        const char *what, struct buf *out)
{
    size_t count = 1;
    while (count != 0 && out->count <= bytes_max && buf_reserve(out, 64 * KIB)) {
        count = fread(out->data + out->count, 1, 64 * KIB, file);
        out->count += count;
    }
    if (ferror(file)) {
        fprintf(stderr, "minikv: %s: %s: %s\n", cli->command->name, name, strerror(errno));
        return false;
    }
    if (out->count > bytes_max || count != 0) {
        fprintf(stderr, "minikv: %s: %s: %s has at most %zu bytes\n", cli->command->name, name,
                what, bytes_max);
        return false;
    }
    return true;
}

bool input_read(const struct cli *cli, const char *path, size_t bytes_max, const char *what,
                struct buf *out)
{
    if (strcmp(path, "-") == 0)
        return read_stream(cli, stdin, "standard input", bytes_max, what, out);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "minikv: %s: %s: %s\n", cli->command->name, path, strerror(errno));
        return false;
    }
    bool is_read = read_stream(cli, file, path, bytes_max, what, out);
    (void)fclose(file); /* only read */
    return is_read;
}
