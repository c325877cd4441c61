/* minikv member: who belongs to the cluster. */
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/ask.h"
#include "cli/cli.h"

static enum exit_code usage(void)
{
    fputs("minikv: usage: minikv member add ID ADDRESS, member remove ID, member promote ID\n",
          stderr);
    return EXIT_CODE_USAGE;
}

static enum exit_code change(struct cli *cli, const char *target, json_t *body, const char *done)
{
    struct minikv_result result;
    json_int_t id = json_integer_value(json_object_get(body, "id"));
    enum exit_code code = ask_call(cli, "POST", target, body, &result);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_pack("{s:I}", "id", id));
    else if (code == EXIT_CODE_OK)
        printf("ok, node %lld %s\n", (long long)id, done);
    minikv_result_release(&result);
    return code;
}

enum exit_code member_run(struct cli *cli)
{
    const char *verb = cli->arguments[0];
    json_int_t id;
    bool is_add = strcmp(verb, "add") == 0;
    if (cli->arguments_count != (is_add ? 3u : 2u) || !arguments_read_node(cli->arguments[1], &id))
        return usage();
    if (is_add) {
        json_t *body = json_pack("{s:I, s:s}", "id", id, "peer", cli->arguments[2]);
        return body != NULL ? change(cli, "/v1/raft/join", body,
                                     "is a learner, and gets a vote when it has caught up")
                            : usage();
    }
    if (strcmp(verb, "remove") == 0)
        return change(cli, "/v1/raft/remove", json_pack("{s:I}", "id", id), "has left");
    if (strcmp(verb, "promote") == 0)
        return change(cli, "/v1/raft/promote", json_pack("{s:I}", "id", id), "votes");
    return usage();
}
