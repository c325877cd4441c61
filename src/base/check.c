#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *kind, const char *condition, const char *file, int line)
{
    fprintf(stderr, "minikv: %s failed: %s (%s:%d). This is a bug in MiniKV; please report it.\n",
            kind, condition, file, line);
    abort();
}
