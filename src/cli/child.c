#include "cli/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/connect.h"

enum { NOT_FOUND = 127, NOT_RUN = 126 };

static void set_variables(const struct cli *cli, const struct child *child)
{
    struct buf endpoints;
    buf_init(&endpoints, (size_t)MINIKV_ENDPOINTS_MAX * LIMIT_ADDRESS_BYTES + 1);
    connect_put_endpoints(cli, &endpoints);
    (void)setenv("MINIKV_ENDPOINTS", buf_text(&endpoints), 1); /* without memory: exec fails too */
    buf_release(&endpoints);
    for (size_t i = 0; i < CHILD_VARIABLES_MAX && child->variables[i].name != NULL; i++)
        if (child->variables[i].value != NULL)
            (void)setenv(child->variables[i].name, child->variables[i].value, 1);
        else
            (void)unsetenv(child->variables[i].name);
}

/* In the new process; does not come back. */
static void become(const struct cli *cli, const struct child *child, pid_t parent)
{
    set_variables(cli, child);
    if (child->ends_with_us) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* cannot fail with this */
        if (getppid() != parent)
            _exit(NOT_RUN);
    }
    if (child->input >= 0)
        (void)dup2(child->input, STDIN_FILENO);
    if (child->mask != NULL)
        (void)sigprocmask(SIG_SETMASK, child->mask, NULL);
    (void)execvp(child->words[0], (char *const *)child->words);
    int code = errno == ENOENT ? NOT_FOUND : NOT_RUN;
    fprintf(stderr, "minikv: %s: cannot run %s: %s\n", cli->command->name, child->words[0],
            strerror(errno));
    _exit(code);
}

pid_t child_start(const struct cli *cli, const struct child *child)
{
    pid_t parent = getpid();
    (void)signal(SIGCHLD, SIG_DFL); /* where it is ignored, children end without a trace */
    (void)fflush(stdout);           /* main looks at its state */
    pid_t pid = fork();
    if (pid == 0)
        become(cli, child, parent);
    if (pid < 0)
        fprintf(stderr, "minikv: %s: cannot run %s: %s\n", cli->command->name, child->words[0],
                strerror(errno));
    return pid;
}

int child_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
