/* Commands about the cluster: status, members, announce, transfer. */
#include <string.h>

#include "cli/arguments.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/nodes.h"
#include "cli/table.h"

/* ---- members ---- */

static void print_members(const json_t *members)
{
    static const char *const heading[] = {"ID", "ROLE", "CLIENTS", "NODES"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *http = nodes_text(member, "http");
        table_add_number(&table, nodes_number(member, "id"));
        table_add(&table, nodes_is_true(member, "voter") ? "voter" : "LEARNER");
        table_add(&table, *http != '\0' ? http : NODES_NOT_ANNOUNCED);
        table_add(&table, nodes_text(member, "peer"));
    }
    table_print(&table);
    table_release(&table);
}

enum exit_code cluster_members(struct cli *cli)
{
    json_t *root;
    enum exit_code code = ask_for_json(cli, "/v1/raft/members", &root);
    if (code != EXIT_CODE_OK)
        return code;
    if (cli->output == CLI_OUTPUT_JSON) {
        ask_print_json(root);
        return EXIT_CODE_OK;
    }
    print_members(json_object_get(root, "members"));
    json_decref(root);
    return EXIT_CODE_OK;
}

/* ---- status ---- */

static void print_nodes(const json_t *nodes)
{
    static const char *const heading[] = {"ID",     "CLIENTS",   "ROLE",    "TERM",
                                          "LEADER", "COMMITTED", "APPLIED", "LAST"};
    static const char *const numbers[] = {"term", "leader", "commit_index", "applied_index",
                                          "last_index"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *silence = nodes_is_announced(node) ? "unreachable" : "unknown";
        table_add_number(&table, nodes_number(node, "id"));
        table_add(&table,
                  nodes_is_announced(node) ? nodes_text(node, "http") : NODES_NOT_ANNOUNCED);
        table_add(&table, nodes_is_silent(node) ? silence : nodes_text(node, "role"));
        for (size_t j = 0; j < ARRAY_COUNT(numbers); j++) {
            if (nodes_is_silent(node))
                table_add(&table, "-");
            else
                table_add_number(&table, nodes_number(node, numbers[j]));
        }
    }
    table_print(&table);
    table_release(&table);
}

/* What a node says of itself that has to be looked after. */
static void print_notes(const json_t *nodes)
{
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *note = nodes_text(node, "note");
        if (*note != '\0')
            printf("node %llu: %s\n", (unsigned long long)nodes_number(node, "id"), note);
    }
}

/* A node says that it leads; or its followers say so, while it has no address to be asked at. */
static bool has_leader(const json_t *nodes)
{
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        if (strcmp(nodes_text(node, "role"), "leader") == 0)
            return true;
        const json_t *leader = nodes_find(nodes, nodes_number(node, "leader"));
        if (leader != NULL && nodes_is_silent(leader) && !nodes_is_announced(leader))
            return true;
    }
    return false;
}

enum exit_code cluster_status(struct cli *cli)
{
    if (cli->watches)
        return screen_run(cli);
    json_t *nodes = nodes_ask_all(cli, nodes_deadline_ms(cli));
    if (nodes == NULL)
        return EXIT_CODE_UNAVAILABLE;
    enum exit_code code = has_leader(nodes) ? EXIT_CODE_OK : EXIT_CODE_UNAVAILABLE;
    if (cli->output == CLI_OUTPUT_JSON) {
        ask_print_json(json_pack("{s:o}", "nodes", nodes));
        return code;
    }
    print_nodes(nodes);
    print_notes(nodes);
    if (code != EXIT_CODE_OK)
        fputs("minikv: status: no node says that it leads\n", stderr);
    json_decref(nodes);
    return code;
}

/* ---- announce and transfer ---- */

enum exit_code cluster_announce(struct cli *cli)
{
    json_int_t id;
    if ((cli->arguments_count == 2) == cli->removes ||
        !arguments_read_node(cli->arguments[0], &id)) {
        fputs("minikv: usage: minikv announce ID ADDRESS, or minikv announce ID --remove\n",
              stderr);
        return EXIT_CODE_USAGE;
    }
    const char *http = cli->removes ? "" : cli->arguments[1];
    json_t *body = json_pack("{s:I, s:s}", "id", id, "http", http);
    if (body == NULL) {
        fputs("minikv: announce: the address is no text\n", stderr);
        return EXIT_CODE_USAGE;
    }
    struct minikv_result result;
    enum exit_code code =
        ask_call(cli, "POST", "/v1/raft/peer_announce", json_incref(body), &result);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_incref(body));
    else if (code == EXIT_CODE_OK)
        puts("ok");
    minikv_result_release(&result);
    json_decref(body);
    return code;
}

enum exit_code cluster_transfer(struct cli *cli)
{
    json_int_t id;
    if (!arguments_read_node(cli->arguments[0], &id)) {
        fputs("minikv: usage: minikv transfer ID\n", stderr);
        return EXIT_CODE_USAGE;
    }
    struct minikv_result result;
    enum exit_code code =
        ask_call(cli, "POST", "/v1/raft/transfer", json_pack("{s:I}", "to", id), &result);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_pack("{s:I}", "leader", id));
    else if (code == EXIT_CODE_OK)
        printf("ok, node %lld leads\n", (long long)id);
    minikv_result_release(&result);
    return code;
}
