/* What the lesson leaves for later: the leader dies after it has been named in a redirect. */
#include "redirect_test/redirect_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum { ROUNDS = 5 };

static const struct minikv_request count_up = {
    .op = MINIKV_INCR, .key = {"drill", 5}, .by = 1, .timeout_ms = 20000};

static void kill_node(struct scene *scene, unsigned node)
{
    demo_nodes_signal(&scene->nodes, node, SIGKILL);
    (void)waitpid(scene->nodes.pids[node], NULL, 0);
    scene->nodes.pids[node] = 0;
    printf("node-%u: killed\n", node);
}

/* One increment through a follower that points to a leader which is dead when the client gets
 * there. With `answer_is_lost` the leader has taken the request once before: what the client sends
 * after that is a duplicate. */
static bool play_round(struct scene *scene, bool answer_is_lost, int64_t expected)
{
    char endpoint[32];
    struct redirect_msg message;
    struct minikv_result result = {0}, first = {0};
    int leader = scene_leader(scene);
    if (leader < 0)
        return scene_fail("the nodes do not come to a leader");
    unsigned follower = ((unsigned)leader + 1) % SCENE_NODES;

    (void)client_send_request(scene->kv, scene_endpoint(follower, endpoint), &count_up, &message,
                              &result);
    if (!message.leader_known || message.leader_port != SCENE_BASE_PORT + leader)
        return scene_fail("node-%u does not point to node-%d: %s", follower, leader, result.detail);
    printf("node-%u: REDIRECT → leader at %s:%u\n", follower, message.leader_host,
           message.leader_port);

    struct minikv_request request = count_up;
    request.identity = result.identity;
    if (answer_is_lost) { /* the answer is not looked at: as good as lost */
        struct redirect_msg ignored;
        (void)client_send_request(scene->kv, scene_endpoint((unsigned)leader, endpoint), &request,
                                  &ignored, &first);
        minikv_result_release(&first);
        printf("node-%d: processing INCR drill → answer lost\n", leader);
    }
    kill_node(scene, (unsigned)leader);
    enum minikv_code code = client_follow_redirect(scene->kv, &message, &request, &result);
    int64_t number = result.number;
    printf("client: INCR drill → %" PRId64 " from node-%d after %u attempts%s\n", number,
           result.node - 1, result.attempts_count, result.is_replayed ? ", replayed" : "");
    minikv_result_release(&result);
    if (code != MINIKV_OK || number != expected)
        return scene_fail("wanted %" PRId64 ", got %s %" PRId64, expected, minikv_code_name(code),
                          number);
    return demo_nodes_start(&scene->nodes, (unsigned)leader);
}

bool drill_play(struct scene *scene)
{
    char sum[24];
    int64_t expected = 0;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (int lost = 0; lost <= 1; lost++)
            if (!play_round(scene, lost != 0, ++expected))
                return false;
    (void)snprintf(sum, sizeof sum, "%" PRId64, expected);
    return scene_leader(scene) >= 0 && scene_check_key(scene, "drill", sum, (uint64_t)expected);
}
