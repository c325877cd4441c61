/* Commands about the cluster: status, members, announce, transfer. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

enum { NODE_WAIT_MS = 1000 }; /* for one node, so that a silent one shows as such */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One GET to one node, sent once: a node that cannot be reached is part of the answer. Returns an
 * object; NULL, with `error`, when there is none. */
static json_t *ask_node(const struct cli *cli, const char *address, const char *target,
                        uint64_t deadline_ms, struct errtext *error)
{
    uint64_t now = now_ms();
    struct minikv_request request = {
        .op = MINIKV_CALL,
        .method = "GET",
        .target = target,
        .is_repeatable = true,
        .timeout_ms =
            deadline_ms > now ? (unsigned)MIN(deadline_ms - now, (uint64_t)NODE_WAIT_MS) : 1};
    struct redirect_msg message;
    struct minikv_result result;
    enum minikv_code code = client_send_request(cli->kv, address, &request, &message, &result);
    json_t *answer = NULL;
    errtext_set(error, "%s", *result.detail != '\0' ? result.detail : minikv_code_name(code));
    if (code == MINIKV_OK) {
        answer = json_loadb(result.body.data, result.body.count,
                            JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        errtext_set(error, "not a node's answer");
    }
    if (!json_is_object(answer)) {
        json_decref(answer);
        answer = NULL;
    }
    minikv_result_release(&result);
    return answer;
}

static json_t *ask_endpoint(const struct cli *cli, size_t endpoint, const char *target,
                            uint64_t deadline_ms, struct errtext *error)
{
    char address[LIMIT_ADDRESS_BYTES];
    return ask_node(cli, address_format(&cli->connect.endpoints[endpoint], address), target,
                    deadline_ms, error);
}

/* From the first endpoint that answers. */
static json_t *ask_members(const struct cli *cli, uint64_t deadline_ms)
{
    struct errtext error = {""};
    json_t *root = NULL;
    for (size_t i = 0; i < cli->connect.endpoints_count && root == NULL; i++)
        root = ask_endpoint(cli, i, "/v1/raft/members", deadline_ms, &error);
    if (root == NULL)
        fprintf(stderr, "minikv: status: no node answered: %s\n", error.text);
    return root;
}

/* What each member says of itself; where it says nothing, an object with "error". */
static json_t *ask_announced(const struct cli *cli, const json_t *members, uint64_t deadline_ms)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *http = text_of(member, "http");
        struct errtext error = {"no client address announced"};
        json_t *node = NULL;
        if (*http != '\0')
            node = ask_node(cli, http, "/v1/raft/status", deadline_ms, &error);
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
static void ask_endpoints(const struct cli *cli, json_t *nodes, uint64_t deadline_ms)
{
    bool has_unannounced = false;
    for (size_t i = 0; i < json_array_size(nodes); i++)
        has_unannounced = has_unannounced || !is_announced(json_array_get(nodes, i));
    for (size_t i = 0; has_unannounced && i < cli->connect.endpoints_count; i++) {
        struct errtext error;
        json_t *answer = ask_endpoint(cli, i, "/v1/raft/status", deadline_ms, &error);
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
    uint64_t deadline_ms = now_ms() + cli->connect.timeout / TIME_US_PER_MS;
    json_t *root = ask_members(cli, deadline_ms);
    if (root == NULL)
        return EXIT_CODE_UNAVAILABLE;
    json_t *nodes = ask_announced(cli, json_object_get(root, "members"), deadline_ms);
    ask_endpoints(cli, nodes, deadline_ms);
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

/* ---- announce and transfer ---- */

static bool read_id(const char *text, json_int_t *out_id)
{
    size_t count = strlen(text);
    if (count == 0 || count > 10 || strspn(text, "0123456789") != count)
        return false;
    *out_id = (json_int_t)strtoll(text, NULL, 10);
    return true;
}

enum exit_code cluster_announce(struct cli *cli)
{
    json_int_t id;
    if ((cli->arguments_count == 2) == cli->removes || !read_id(cli->arguments[0], &id)) {
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
    if (!read_id(cli->arguments[0], &id)) {
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
