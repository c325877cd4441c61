/* Input: a file, or standard input, that is read whole. */
#ifndef MINIKV_CLI_INPUT_H
#define MINIKV_CLI_INPUT_H

#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli.h"

/* What a buffer for `bytes_max` may take: room to notice that there is more. */
#define INPUT_BYTES(bytes_max) ((bytes_max) + 64 * KIB)

/* `path` "-": standard input. `what` is for people: "a value". False with a word on standard error:
 * it cannot be read, or has more than `bytes_max`. */
MUST_CHECK bool input_read(const struct cli *cli, const char *path, size_t bytes_max,
                           const char *what, struct buf *out);

#endif
