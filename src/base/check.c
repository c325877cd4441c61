#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static void say(const char *kind, const char *condition, const char *file, int line)
{
    fprintf(stderr, "minikv: %s failed: %s (%s:%d). This is a bug in MiniKV; please report it.\n",
            kind, condition, file, line);
}

static check_reporter report = say; /* set once, at start */

void check_set_reporter(check_reporter reporter)
{
    report = reporter;
}

void check_failed(const char *kind, const char *condition, const char *file, int line)
{
    report(kind, condition, file, line);
    abort();
}
