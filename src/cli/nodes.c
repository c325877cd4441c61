#include "cli/nodes.h"

#include <string.h>

#include "base/limits.h"
#include "cli/download.h"

enum { NODE_WAIT_MS = 1000 }; /* for one node, so that a silent one shows as such */

const char *nodes_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

uint64_t nodes_number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

bool nodes_is_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

bool nodes_is_silent(const json_t *node)
{
    return json_object_get(node, "error") != NULL;
}

bool nodes_is_announced(const json_t *node)
{
    return *nodes_text(node, "http") != '\0';
}

json_t *nodes_find(const json_t *nodes, uint64_t id)
{
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (nodes_number(json_array_get(nodes, i), "id") == id)
            return json_array_get(nodes, i);
    return NULL;
}

const json_t *nodes_leader(const json_t *nodes)
{
    const json_t *leader = NULL;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        if (strcmp(nodes_text(node, "role"), "leader") == 0 &&
            (leader == NULL || nodes_number(node, "term") > nodes_number(leader, "term")))
            leader = node;
    }
    return leader;
}

uint64_t nodes_deadline_ms(const struct cli *cli)
{
    return download_now_ms() + cli->connect.timeout / TIME_US_PER_MS;
}

/* ---- asking ---- */

bool nodes_get(const struct cli *cli, const char *address, const char *target, uint64_t deadline_ms,
               struct minikv_result *result, struct errtext *error)
{
    uint64_t now = download_now_ms();
    struct minikv_request request = {
        .op = MINIKV_CALL,
        .method = "GET",
        .target = target,
        .is_repeatable = true,
        .timeout_ms =
            deadline_ms > now ? (unsigned)MIN(deadline_ms - now, (uint64_t)NODE_WAIT_MS) : 1};
    struct redirect_msg message;
    enum minikv_code code = client_send_request(cli->kv, address, &request, &message, result);
    errtext_set(error, "%s", *result->detail != '\0' ? result->detail : minikv_code_name(code));
    return code == MINIKV_OK;
}

/* An object; NULL, with `error`, when there is none. */
static json_t *ask_node(const struct cli *cli, const char *address, const char *target,
                        uint64_t deadline_ms, struct errtext *error)
{
    struct minikv_result result;
    json_t *answer = NULL;
    if (nodes_get(cli, address, target, deadline_ms, &result, error)) {
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
        fprintf(stderr, "minikv: %s: no node answered: %s\n", cli->command->name, error.text);
    return root;
}

/* What each member says of itself; where it says nothing, an object with "error". */
static json_t *ask_announced(const struct cli *cli, const json_t *members, uint64_t deadline_ms)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *http = nodes_text(member, "http");
        struct errtext error = {"no client address announced"};
        json_t *node = NULL;
        if (*http != '\0')
            node = ask_node(cli, http, "/v1/raft/status", deadline_ms, &error);
        if (node == NULL)
            node = json_pack("{s:s}", "error", error.text);
        (void)json_object_set_new(node, "id", json_integer((json_int_t)nodes_number(member, "id")));
        (void)json_object_set_new(node, "http", json_string(http));
        (void)json_object_set_new(node, "voter", json_boolean(nodes_is_true(member, "voter")));
        (void)json_array_append_new(nodes, node);
    }
    return nodes;
}

/* Members without an announced address may be among the endpoints given: their answers say who
 * they are. A node that has joined and has no state yet knows of no member: then those asked are
 * all there are. */
static void ask_endpoints(const struct cli *cli, json_t *nodes, uint64_t deadline_ms)
{
    bool knows_nobody = json_array_size(nodes) == 0;
    bool has_unannounced = knows_nobody;
    for (size_t i = 0; i < json_array_size(nodes); i++)
        has_unannounced = has_unannounced || !nodes_is_announced(json_array_get(nodes, i));
    for (size_t i = 0; has_unannounced && i < cli->connect.endpoints_count; i++) {
        struct errtext error;
        json_t *answer = ask_endpoint(cli, i, "/v1/raft/status", deadline_ms, &error);
        json_t *node = nodes_find(nodes, nodes_number(answer, "id"));
        if (answer != NULL && node == NULL && knows_nobody)
            (void)json_array_append(nodes, answer);
        if (answer != NULL && node != NULL && nodes_is_silent(node)) {
            (void)json_object_del(node, "error");
            (void)json_object_update(node, answer);
        }
        json_decref(answer);
    }
}

json_t *nodes_ask_all(const struct cli *cli, uint64_t deadline_ms)
{
    json_t *root = ask_members(cli, deadline_ms);
    if (root == NULL)
        return NULL;
    json_t *nodes = ask_announced(cli, json_object_get(root, "members"), deadline_ms);
    ask_endpoints(cli, nodes, deadline_ms);
    json_decref(root);
    return nodes;
}
