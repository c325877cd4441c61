/* Commands about the cluster: status, members, announce. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/table.h"

#define NOT_ANNOUNCED "(not announced)"

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
        table_add(&table, *http != '\0' ? http : NOT_ANNOUNCED);
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

enum {
    NODE_WAIT_US = 1000 * TIME_US_PER_MS, /* for one node, so that a silent one shows as such */
};

/* One GET to one node, sent once: a node that cannot be reached is part of the answer. Returns an
 * object; NULL, with `error`, when there is none. */
static json_t *ask_node(const struct cli *cli, const struct address *address, const char *target,
                        time_us deadline, struct errtext *error)
{
    struct http_client client;
    struct http_reply reply;
    struct http_request request = {.method = "GET", .target = target};
    http_client_init(&client, address);
    http_reply_init(&reply);
    deadline = MIN(deadline, connection_now() + NODE_WAIT_US);
    enum status status = http_client_call(&client, &request, deadline, deadline, &reply, error);
    if (cli->connect.on_hop != NULL)
        cli->connect.on_hop(cli->connect.ctx,
                            &(struct client_hop){.number = 1,
                                                 .request = &request,
                                                 .address = address,
                                                 .reply = status == ST_OK ? &reply : NULL,
                                                 .error = error->text,
                                                 .next = ATTEMPT_NEXT_FINISH});
    json_t *answer = NULL;
    if (status == ST_OK) {
        status = client_reply_status(&reply);
        struct bytes body = http_reply_body(&reply);
        if (status == ST_OK)
            answer = json_loadb((const char *)body.data, body.count,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        errtext_set(error, "%s",
                    status == ST_OK ? "not a node's answer" : status_info(status)->title);
    }
    if (!json_is_object(answer)) {
        json_decref(answer);
        answer = NULL;
    }
    http_reply_release(&reply);
    http_client_release(&client);
    return answer;
}

/* From the first endpoint that answers. */
static json_t *ask_members(const struct cli *cli, time_us deadline)
{
    struct errtext error = {""};
    json_t *root = NULL;
    for (size_t i = 0; i < cli->connect.endpoints_count && root == NULL; i++)
        root = ask_node(cli, &cli->connect.endpoints[i], "/v1/raft/members", deadline, &error);
    if (root == NULL)
        fprintf(stderr, "minikv: status: no node answered: %s\n", error.text);
    return root;
}

/* What each member says of itself; where it says nothing, an object with "error". */
static json_t *ask_announced(const struct cli *cli, const json_t *members, time_us deadline)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *http = text_of(member, "http");
        struct address address;
        struct errtext error = {"no client address announced"};
        json_t *node = NULL;
        if (*http != '\0' && address_parse(bytes_of_text(http), &address) == ST_OK)
            node = ask_node(cli, &address, "/v1/raft/status", deadline, &error);
        if (node == NULL)
            node = json_pack("{s:s}", "error", error.text);
        (void)json_object_set_new(node, "id", json_integer((json_int_t)number_of(member, "id")));
        (void)json_object_set_new(node, "http", json_string(http));
        (void)json_array_append_new(nodes, node);
    }
    return nodes;
}

static bool is_silent(const json_t *node)
{
    return json_object_get(node, "error") != NULL;
}

static bool is_announced(const json_t *node)
{
    return *text_of(node, "http") != '\0';
}

static json_t *find_node(const json_t *nodes, uint64_t id)
{
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (number_of(json_array_get(nodes, i), "id") == id)
            return json_array_get(nodes, i);
    return NULL;
}

/* Members without an announced address may be among the endpoints given: their answers say who
 * they are. */
static void ask_endpoints(const struct cli *cli, json_t *nodes, time_us deadline)
{
    bool has_unannounced = false;
    for (size_t i = 0; i < json_array_size(nodes); i++)
        has_unannounced = has_unannounced || !is_announced(json_array_get(nodes, i));
    for (size_t i = 0; has_unannounced && i < cli->connect.endpoints_count; i++) {
        struct errtext error;
        json_t *answer =
            ask_node(cli, &cli->connect.endpoints[i], "/v1/raft/status", deadline, &error);
        json_t *node = find_node(nodes, number_of(answer, "id"));
        if (answer != NULL && node != NULL && is_silent(node)) {
            (void)json_object_del(node, "error");
            (void)json_object_update(node, answer);
        }
        json_decref(answer);
    }
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
        const char *silence = is_announced(node) ? "unreachable" : "unknown";
        table_add_number(&table, number_of(node, "id"));
        table_add(&table, is_announced(node) ? text_of(node, "http") : NOT_ANNOUNCED);
        table_add(&table, is_silent(node) ? silence : text_of(node, "role"));
        for (size_t j = 0; j < ARRAY_COUNT(numbers); j++) {
            if (is_silent(node))
                table_add(&table, "-");
            else
                table_add_number(&table, number_of(node, numbers[j]));
        }
    }
    table_print(&table);
    table_release(&table);
}

/* A node says that it leads; or its followers say so, while it has no address to be asked at. */
static bool has_leader(const json_t *nodes)
{
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        if (strcmp(text_of(node, "role"), "leader") == 0)
            return true;
        const json_t *leader = find_node(nodes, number_of(node, "leader"));
        if (leader != NULL && is_silent(leader) && !is_announced(leader))
            return true;
    }
    return false;
}

enum exit_code cluster_status(struct cli *cli)
{
    time_us deadline = connection_now() + cli->connect.timeout;
    json_t *root = ask_members(cli, deadline);
    if (root == NULL)
        return EXIT_CODE_UNAVAILABLE;
    json_t *nodes = ask_announced(cli, json_object_get(root, "members"), deadline);
    ask_endpoints(cli, nodes, deadline);
    json_decref(root);
    enum exit_code code = has_leader(nodes) ? EXIT_CODE_OK : EXIT_CODE_UNAVAILABLE;
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
