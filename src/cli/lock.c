/* minikv lock, minikv elect: a command that runs only while this process holds a name. */
#include <signal.h>

#include "cli/ask.h"
#include "cli/child.h"
#include "cli/elect.h"
#include "cli/family.h"
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
static bool pass_on_signal(struct hold *hold)
{
    bool is_new = hold->keeper.stop != 0 && !hold->keeper.is_typed;
    if (is_new)
        family_tell(hold->keeper.stop);
    hold->keeper.stop = 0;
    return is_new;
}

static bool pass_on_loss(struct hold *hold)
{
    if (!hold->keeper.is_lost)
        return false;
    fprintf(stderr, "minikv: %s: %s; the command gets SIGTERM\n", hold->cli->command->name,
            hold->keeper.why);
    family_tell(SIGTERM);
    return true;
}

/* Until the command has ended, in any way; once it was told to, until all that it has started has,
 * too: only then is nobody left who may do what the lock is for. */
static int attend(struct hold *hold, pid_t pid)
{
    int status = 0;
    bool has_ended = false, was_told = false, was_told_loss = false;
    while (!has_ended || (was_told && !family_is_gone())) {
        hold_keep(hold);
        if (pass_on_signal(hold))
            was_told = true;
        if (!was_told_loss && pass_on_loss(hold))
            was_told = was_told_loss = true;
        if (family_reap(pid, &status))
            has_ended = true;
    }
    return child_code(status);
}

static enum exit_code run_command(struct hold *hold, const char *const *words)
{
    family_adopt();
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
        hold_keep(hold);
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
    if (!hold_check_name(cli, name))
        return EXIT_CODE_USAGE;
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
        return hold_check_name(cli, cli->arguments[0]) ? elect_observe(cli) : EXIT_CODE_USAGE;
    if (!cli->observes && cli->arguments_count >= 2)
        return run(cli, cli->arguments[0], cli->arguments[1], cli->arguments + 2);
    fputs("minikv: usage: minikv elect NAME VALUE [-- COMMAND…], or minikv elect NAME --observe\n",
          stderr);
    return EXIT_CODE_USAGE;
}
