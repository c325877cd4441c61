/* Golden: bytes or text that must not change by accident.
 *
 * The expected bytes are in tests/golden/<name>. With REWRITE=1 in the environment the file is
 * written instead of compared; the diff is then for a human to judge. */
#ifndef MINIKV_TESTS_SUPPORT_GOLDEN_H
#define MINIKV_TESTS_SUPPORT_GOLDEN_H

#include "base/buf.h"

/* Whether `got` equals the file `name` in `directory`; else says where they part on stderr. */
bool golden_matches(const char *directory, const char *name, struct bytes got);
/* The whole file; false when it cannot be read. */
bool golden_read_file(const char *path, struct buf *out);

#endif
