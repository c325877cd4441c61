/* Child: a command that is run for the user, with something to know in its environment. */
#ifndef MINIKV_CLI_CHILD_H
#define MINIKV_CLI_CHILD_H

#include <signal.h>
#include <sys/types.h>

#include "cli/cli.h"

enum { CHILD_VARIABLES_MAX = 8 };

struct child_variable {
    const char *name;  /* NULL: no more */
    const char *value; /* NULL: it is taken out of the environment */
};

struct child {
    const char *const *words;                             /* NULL-terminated */
    struct child_variable variables[CHILD_VARIABLES_MAX]; /* beside MINIKV_ENDPOINTS */
    int input;            /* what it reads; -1: what this process does */
    const sigset_t *mask; /* of signals; NULL: as here */
    bool ends_with_us;    /* it gets SIGTERM should this process be killed */
};

/* The process; below 0, with a word on standard error, when there is none. One whose command cannot
 * be run ends with 127 if it was not found, else 126. */
pid_t child_start(const struct cli *cli, const struct child *child);
/* What the shell would make of it: the exit code, or 128 and the signal. */
int child_code(int status);

#endif
