#include "redirect_test/scene.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

enum { POLL_MS = 10, ASK_MS = 1000 };

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool scene_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("redirect_test: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return false;
}

const char *scene_endpoint(unsigned node, char out[32])
{
    (void)snprintf(out, 32, "127.0.0.1:%u", SCENE_BASE_PORT + node);
    return out;
}

/* ---- asking one node ---- */

/* GET of `target` at this node alone; NULL: no answer. The caller gives it back with json_decref.
 */
static json_t *get_json(struct scene *scene, unsigned node, const char *target)
{
    char endpoint[32];
    struct redirect_msg message;
    struct minikv_result result = {0};
    struct minikv_request request = {
        .op = MINIKV_CALL, .method = "GET", .target = target, .timeout_ms = ASK_MS};
    json_t *root = NULL;
    if (client_send_request(scene->kv, scene_endpoint(node, endpoint), &request, &message,
                            &result) == MINIKV_OK)
        root = json_loadb(result.body.data, result.body.count, 0, NULL);
    minikv_result_release(&result);
    return root;
}

static bool is_announced(const json_t *members, unsigned id)
{
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        const char *http = json_string_value(json_object_get(member, "http"));
        if (json_integer_value(json_object_get(member, "id")) == id)
            return http != NULL && *http != '\0';
    }
    return false;
}

static struct scene_status ask(struct scene *scene, unsigned node)
{
    struct scene_status status = {0};
    json_t *root = get_json(scene, node, "/v1/raft/status");
    json_t *members = get_json(scene, node, "/v1/raft/members");
    const char *role = json_string_value(json_object_get(root, "role"));
    if (role != NULL) {
        status.answers = true;
        (void)snprintf(status.role, sizeof status.role, "%s", role);
        status.leader = (unsigned)json_integer_value(json_object_get(root, "leader"));
        status.term = (uint64_t)json_integer_value(json_object_get(root, "term"));
        status.has_leader_http = is_announced(json_object_get(members, "members"), status.leader);
    }
    json_decref(members);
    json_decref(root);
    return status;
}

/* ---- waiting ---- */

/* False when the time of the scene is up. */
static bool pause_before_next(const struct scene *scene)
{
    (void)poll(NULL, 0, POLL_MS);
    return now_ms() < scene->deadline_ms;
}

bool scene_wait(struct scene *scene, unsigned node, bool (*holds)(const struct scene_status *),
                const char *what)
{
    do {
        struct scene_status status = ask(scene, node);
        if (status.answers && holds(&status))
            return true;
    } while (pause_before_next(scene));
    return scene_fail("node-%u: not in time: %s", node, what);
}

int scene_leader(struct scene *scene)
{
    do {
        unsigned leader = 0, agreeing = 0, running = 0;
        for (unsigned node = 0; node < SCENE_NODES; node++) {
            if (scene->nodes.pids[node] == 0)
                continue;
            struct scene_status status = ask(scene, node);
            running++;
            leader = running == 1 ? status.leader : leader;
            agreeing += status.has_leader_http && status.leader == leader;
        }
        if (agreeing == running && scene->nodes.pids[leader - 1] != 0)
            return (int)leader - 1;
    } while (pause_before_next(scene));
    return -1;
}

bool scene_make_node_0_lead(struct scene *scene)
{
    int leader;
    while ((leader = scene_leader(scene)) > 0) {
        struct minikv_result result;
        struct minikv_request request = {.op = MINIKV_CALL,
                                         .method = "POST",
                                         .target = "/v1/raft/transfer",
                                         .value = minikv_text("{\"to\":1}"),
                                         .is_repeatable = true,
                                         .timeout_ms = ASK_MS};
        (void)minikv_perform(scene->kv, &request,
                             &result); /* the nodes say whether it came to it */
        minikv_result_release(&result);
    }
    return leader == 0 || scene_fail("node-0 does not come to lead");
}

/* ---- the whole ---- */

bool scene_open(struct scene *scene)
{
    *scene = (struct scene){.deadline_ms = now_ms() + SCENE_MS_MAX};
    if (!demo_nodes_init(&scene->nodes, "redirect_test", SCENE_NODES, SCENE_BASE_PORT, NULL))
        return false; /* it has said why */
    if (minikv_open("127.0.0.1:7000,127.0.0.1:7001,127.0.0.1:7002", NULL, &scene->kv) != MINIKV_OK)
        return scene_fail("the client could not be made");
    for (unsigned node = 0; node < SCENE_NODES; node++)
        if (!demo_nodes_start(&scene->nodes, node))
            return false;
    if (scene_leader(scene) < 0) {
        (void)demo_nodes_reap(&scene->nodes, true); /* shows the log of a node that has ended */
        return scene_fail("the nodes do not come to a leader");
    }
    return true;
}

void scene_close(struct scene *scene)
{
    minikv_close(scene->kv);
    for (unsigned node = 0; node < SCENE_NODES; node++)
        if (scene->nodes.pids[node] != 0)
            demo_nodes_signal(&scene->nodes, node, SIGCONT); /* a paused one could not stop */
    if (scene->nodes.count != 0)
        demo_nodes_stop(&scene->nodes);
}

bool scene_check_key(struct scene *scene, const char *key, const char *value, uint64_t version)
{
    for (unsigned node = 0; node < SCENE_NODES; node++) {
        char endpoint[32];
        struct redirect_msg message;
        struct minikv_result result = {0};
        struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text(key)};
        if (scene->nodes.pids[node] == 0)
            continue;
        enum minikv_code code = client_send_request(scene->kv, scene_endpoint(node, endpoint),
                                                    &request, &message, &result);
        bool is_right = code == MINIKV_OK && result.items_count == 1 &&
                        result.items[0].version == version &&
                        result.items[0].value.count == strlen(value) &&
                        memcmp(result.items[0].value.data, value, strlen(value)) == 0;
        if (!is_right)
            (void)scene_fail("node-%u: %s is not %s, written %" PRIu64 " time(s): %s %s", node, key,
                             value, version, minikv_code_name(code), result.detail);
        minikv_result_release(&result);
        if (!is_right)
            return false;
    }
    return true;
}
