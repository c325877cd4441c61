/* Commands about the cluster: status, members, announce. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/table.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* ---- members ---- */

static void print_members(const json_t *members)
{
    static const char *const heading[] = {"ID", "VOTER", "CLIENTS", "NODES"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *http = text_of(member, "http");
        table_add_number(&table, number_of(member, "id"));
        table_add(&table, json_is_true(json_object_get(member, "voter")) ? "yes" : "no");
        table_add(&table, *http != '\0' ? http : "(not announced)");
        table_add(&table, text_of(member, "peer"));
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

/* What the node at `text` says of itself; when it says nothing, an object with "error". */
static json_t *ask_status(const struct cli *cli, const char *text)
{
    struct client_options options = {.endpoints_count = 1,
                                     .timeout = MIN(cli->connect.timeout, 1000 * 1000),
                                     .seed = cli->connect.seed,
                                     .on_hop = cli->connect.on_hop};
    if (address_parse(bytes_of_text(text), &options.endpoints[0]) != ST_OK)
        return json_pack("{s:s}", "error", "no client address announced");
    struct client client;
    struct http_reply reply;
    struct http_request request = {.method = "GET", .target = "/v1/raft/status"};
    struct client_outcome outcome;
    client_init(&client, &options);
    http_reply_init(&reply);
    json_t *answer = NULL;
    if (client_call(&client, &request, true, &reply, &outcome) == ST_OK)
        answer =
            json_loadb((const char *)reply.body, reply.body_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (answer == NULL)
        answer = json_pack("{s:s}", "error",
                           *outcome.error.text != '\0' ? outcome.error.text
                                                       : status_info(outcome.status)->title);
    http_reply_release(&reply);
    client_release(&client);
    return answer;
}

static json_t *ask_all(const struct cli *cli, const json_t *members)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        json_t *node = ask_status(cli, text_of(member, "http"));
        (void)json_object_set_new(node, "id", json_integer((json_int_t)number_of(member, "id")));
        (void)json_object_set_new(node, "http", json_string(text_of(member, "http")));
        (void)json_array_append_new(nodes, node);
    }
    return nodes;
}

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
        bool is_silent = json_object_get(node, "error") != NULL;
        table_add_number(&table, number_of(node, "id"));
        table_add(&table, text_of(node, "http"));
        table_add(&table, is_silent ? "unreachable" : text_of(node, "role"));
        for (size_t j = 0; j < ARRAY_COUNT(numbers); j++) {
            if (is_silent)
                table_add(&table, "-");
            else
                table_add_number(&table, number_of(node, numbers[j]));
        }
    }
    table_print(&table);
    table_release(&table);
}

static bool has_leader(const json_t *nodes)
{
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (strcmp(text_of(json_array_get(nodes, i), "role"), "leader") == 0)
            return true;
    return false;
}

enum exit_code cluster_status(struct cli *cli)
{
    json_t *root;
    enum exit_code code = ask_for_json(cli, "/v1/raft/members", &root);
    if (code != EXIT_CODE_OK)
        return code;
    json_t *nodes = ask_all(cli, json_object_get(root, "members"));
    json_decref(root);
    code = has_leader(nodes) ? EXIT_CODE_OK : EXIT_CODE_UNAVAILABLE;
    if (cli->output == CLI_OUTPUT_JSON) {
        ask_print_json(json_pack("{s:o}", "nodes", nodes));
        return code;
    }
    print_nodes(nodes);
    if (code != EXIT_CODE_OK)
        fputs("minikv: status: no node says that it leads\n", stderr);
    json_decref(nodes);
    return code;
}

/* ---- announce ---- */

enum exit_code cluster_announce(struct cli *cli)
{
    const char *id = cli->arguments[0];
    if ((cli->arguments_count == 2) == cli->removes || strspn(id, "0123456789") != strlen(id) ||
        strlen(id) > 10 || *id == '\0') {
        fputs("minikv: usage: minikv announce ID ADDRESS, or minikv announce ID --remove\n",
              stderr);
        return EXIT_CODE_USAGE;
    }
    const char *http = cli->removes ? "" : cli->arguments[1];
    json_t *root = json_pack("{s:I, s:s}", "id", (json_int_t)strtoll(id, NULL, 10), "http", http);
    char *body = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (body == NULL) {
        fputs("minikv: announce: the address is no text\n", stderr);
        return EXIT_CODE_USAGE;
    }
    struct http_request request = {.method = "POST",
                                   .target = "/v1/raft/peer_announce",
                                   .body = bytes_of_text(body),
                                   .has_body = true};
    bool has_room = http_request_add_header(&request, "Content-Type", "application/json");
    INVARIANT(has_room);
    struct http_reply reply;
    enum exit_code code = ask_call(cli, &request, false, &reply);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(
            json_pack("{s:I, s:s}", "id", (json_int_t)strtoll(id, NULL, 10), "http", http));
    else if (code == EXIT_CODE_OK)
        puts("ok");
    http_reply_release(&reply);
    free(body);
    return code;
}
