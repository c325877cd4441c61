/* The lesson's scene, line for line. Every line is printed after what it says has happened. */
#include "redirect_test/redirect_test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct minikv_request set_x = {
    .op = MINIKV_PUT, .key = {"x", 1}, .value = {"hello", 5}};

static bool is_follower_that_knows(const struct scene_status *status)
{
    return strcmp(status->role, "follower") == 0 && status->has_leader_http;
}

static bool knows_no_leader(const struct scene_status *status)
{
    return status->leader == 0;
}

/* node-1 does not lead: it points to node-0, which takes the request. */
static bool play_redirect(struct scene *scene)
{
    struct redirect_msg message;
    struct minikv_result result = {0};
    if (!scene_wait(scene, 1, is_follower_that_knows, "it follows a leader that it can point to"))
        return false;
    printf("client: connected to node-1 (follower)\n");
    (void)client_send_request(scene->kv, "127.0.0.1:7001", &set_x, &message, &result);
    if (!message.redirect || !message.leader_known || message.leader_port != SCENE_BASE_PORT) {
        minikv_result_release(&result);
        return scene_fail("node-1 does not point to node-0: %s", result.detail);
    }
    printf("node-1: REDIRECT → leader at %s:%u\n", message.leader_host, message.leader_port);
    printf("client: reconnecting to %s:%u\n", message.leader_host, message.leader_port);
    enum minikv_code code = client_follow_redirect(scene->kv, &message, &set_x, &result);
    int node = result.node;
    minikv_result_release(&result);
    if (code != MINIKV_OK || node != 1)
        return scene_fail("the request did not succeed at node-0: %s", minikv_code_name(code));
    printf("node-%d: processing SET x=hello → OK\n", node - 1);
    return scene_check_key(scene, "x", "hello", 1);
}

static void pause_others(const struct scene *scene, int signum)
{
    for (unsigned node = 0; node < 2; node++)
        demo_nodes_signal(&scene->nodes, node, signum);
}

/* node-2 hears of no leader while the other two are paused: the client waits and asks again. */
static bool play_unknown_leader(struct scene *scene)
{
    struct redirect_msg message;
    struct minikv_result result = {0};
    pause_others(scene, SIGSTOP);
    if (!scene_wait(scene, 2, knows_no_leader, "it no longer knows a leader"))
        return false;
    printf("client: connected to node-2 (follower, no leader known)\n");
    (void)client_send_request(scene->kv, "127.0.0.1:7002", &set_x, &message, &result);
    if (!message.redirect || message.leader_known) {
        minikv_result_release(&result);
        return scene_fail("node-2 does not say that it knows no leader: %s", result.detail);
    }
    printf("node-2: REDIRECT leader_known=%d → retry later\n", message.leader_known);
    printf("client: retrying after 200ms...\n");
    pause_others(scene, SIGCONT);
    enum minikv_code code = client_follow_redirect(scene->kv, &message, &set_x, &result);
    minikv_result_release(&result);
    if (code != MINIKV_OK)
        return scene_fail("the client does not succeed after the others go on: %s",
                          minikv_code_name(code));
    return scene_check_key(scene, "x", "hello", 2);
}

bool lesson_play(struct scene *scene)
{
    return scene_make_node_0_lead(scene) && play_redirect(scene) && play_unknown_leader(scene);
}
