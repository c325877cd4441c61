/* minikv lock, minikv elect: a command that runs only while this process holds a name. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/check.h"
#include "cli/ask.h"
#include "cli/child.h"
#include "cli/elect.h"
#include "cli/hold.h"

/* ---- the command ---- */

/* What it may know: its token, the key and the lease that stand for it. */
static pid_t start(struct hold *hold, const char *const *words)
{
    char fence[24], lease[24];
    (void)snprintf(fence, sizeof fence, "%llu", (unsigned long long)hold->fence);
    (void)snprintf(lease, sizeof lease, "%llu", (unsigned long long)hold->keeper.lease);
    struct child child = {.words = words,
                          .variables = {{"MINIKV_FENCE", fence},
                                        {"MINIKV_LOCK_KEY", buf_text(&hold->key)},
                                        {"MINIKV_LEASE", lease}},
                          .input = -1,
                          .mask = &hold->keeper.mask,
                          .ends_with_us = true};
    return child_start(hold->cli, &child);
}

/* What came for us is the command's; what was typed at the terminal it has already. */
static void pass_on_signal(struct hold *hold, pid_t pid)
{
    if (hold->keeper.stop != 0 && !hold->keeper.is_typed)
        (void)kill(pid, hold->keeper.stop);
    hold->keeper.stop = 0;
}

/* Until it has ended, in any way. */
static int attend(struct hold *hold, pid_t pid)
{
    int status = 0;
    bool is_told = false;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        keeper_wait(&hold->keeper, 0);
        pass_on_signal(hold, pid);
        if (hold->keeper.is_lost && !is_told) {
            is_told = true;
            fprintf(stderr, "minikv: %s: %s; the command gets SIGTERM\n", hold->cli->command->name,
                    hold->keeper.why);
            (void)kill(pid, SIGTERM);
        }
    }
    REQUIRE(ended == pid); /* nobody else waits for it */
    return child_code(status);
}

static enum exit_code run_command(struct hold *hold, const char *const *words)
{
    pid_t pid = start(hold, words);
    if (pid < 0)
        return EXIT_CODE_FAILURE;
    hold->cli->passed_on = attend(hold, pid);
    return hold->keeper.is_lost ? EXIT_CODE_LOST : EXIT_CODE_OK;
}

/* ---- without a command ---- */

static enum exit_code stay(struct hold *hold)
{
    struct cli *cli = hold->cli;
    if (cli->output == CLI_OUTPUT_JSON) {
        json_t *line = json_pack("{s:I, s:I}", "fence", (json_int_t)hold->fence, "lease",
                                 (json_int_t)hold->keeper.lease);
        ask_set_bytes(line, "key", buf_bytes(&hold->key));
        ask_print_json(line);
    } else {
        printf("elected, token %llu, key %s\n", (unsigned long long)hold->fence,
               buf_text(&hold->key));
    }
    (void)fflush(stdout); /* main looks at its state */
    while (keeper_goes_on(&hold->keeper))
        keeper_wait(&hold->keeper, 0);
    if (!hold->keeper.is_lost)
        return EXIT_CODE_OK;
    fprintf(stderr, "minikv: %s: %s\n", cli->command->name, hold->keeper.why);
    return EXIT_CODE_LOST;
}

/* ---- all together ---- */

static enum exit_code run(struct cli *cli, const char *name, const char *value,
                          const char *const *words)
{
    struct hold hold;
    enum exit_code code = hold_enter(&hold, cli, name, value);
    if (code != EXIT_CODE_OK)
        return code;
    code = hold_wait(&hold);
    if (code == EXIT_CODE_OK)
        code = *words != NULL ? run_command(&hold, words) : stay(&hold);
    else if (hold.keeper.stop != 0) { /* nothing has begun: as if the signal had ended us */
        cli->passed_on = 128 + hold.keeper.stop;
        code = EXIT_CODE_OK;
    }
    enum exit_code left = hold_leave(&hold);
    return left == EXIT_CODE_LOST ? EXIT_CODE_LOST : code;
}

enum exit_code lock_run(struct cli *cli)
{
    return run(cli, cli->arguments[0], "", cli->arguments + 1);
}

enum exit_code elect_run(struct cli *cli)
{
    if (cli->observes && cli->arguments_count == 1)
        return elect_observe(cli);
    if (!cli->observes && cli->arguments_count >= 2)
        return run(cli, cli->arguments[0], cli->arguments[1], cli->arguments + 2);
    fputs("minikv: usage: minikv elect NAME VALUE [-- COMMAND…], or minikv elect NAME --observe\n",
          stderr);
    return EXIT_CODE_USAGE;
}
