/* demo: a cluster on this machine, to try things with, until Ctrl-C. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "program/demo_nodes.h"

enum { READY_POLL_MS = 50, NODE_WAIT_MS = 500 };

/* One GET to one node; its code, 0 without an answer. The body's JSON, if wanted, is the caller's.
 */
static int get_from(const struct cli *cli, const struct demo_nodes *nodes, unsigned index,
                    const char *target, json_t **out_json)
{
    char address[LIMIT_ADDRESS_BYTES];
    struct minikv_request request = {.op = MINIKV_CALL,
                                     .method = "GET",
                                     .target = target,
                                     .is_repeatable = true,
                                     .timeout_ms = NODE_WAIT_MS};
    struct redirect_msg message;
    struct minikv_result result;
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", demo_http_port(nodes, index));
    (void)client_send_request(cli->kv, address, &request, &message, &result);
    int code = result.http_code;
    if (out_json != NULL)
        *out_json = json_loadb(result.body.data, result.body.count, 0, NULL);
    minikv_result_release(&result);
    return code;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void block_signals(sigset_t *signals)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    (void)sigemptyset(signals);
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++)
        (void)sigaddset(signals, wanted[i]);
    (void)sigprocmask(SIG_BLOCK, signals, NULL);
}

/* Waits until every node is ready. */
static enum exit_code wait_ready(const struct cli *cli, struct demo_nodes *nodes,
                                 const sigset_t *signals)
{
    uint64_t deadline_ms = now_ms() + 2 * cli->connect.timeout / TIME_US_PER_MS;
    unsigned ready = 0;
    for (;;) {
        /* Also after the last answer, which may have come from what took a node's port. */
        if (demo_nodes_reap(nodes, true) < nodes->count) {
            fputs("minikv: demo: a node did not start; if its port is taken, try --base-port\n",
                  stderr);
            return EXIT_CODE_FAILURE;
        }
        if (ready == nodes->count)
            return EXIT_CODE_OK;
        if (now_ms() >= deadline_ms) {
            fputs("minikv: demo: the nodes run, but are not ready in time\n", stderr);
            return EXIT_CODE_UNAVAILABLE;
        }
        if (get_from(cli, nodes, ready, "/readyz", NULL) == 200) {
            ready++;
            continue;
        }
        struct timespec wait = {.tv_nsec = READY_POLL_MS * 1000000};
        int signum = sigtimedwait(signals, NULL, &wait);
        if (signum == SIGINT || signum == SIGTERM || signum == SIGHUP)
            return EXIT_CODE_FAILURE;
    }
}

static unsigned find_leader(const struct cli *cli, const struct demo_nodes *nodes)
{
    json_t *status;
    (void)get_from(cli, nodes, 0, "/v1/raft/status", &status);
    unsigned leader = (unsigned)json_integer_value(json_object_get(status, "leader"));
    json_decref(status);
    return leader;
}

static void print_welcome(const struct cli *cli, const struct demo_nodes *nodes)
{
    unsigned leader = find_leader(cli, nodes);
    printf("%u node%s running, data in %s%s.\n\n", nodes->count, nodes->count == 1 ? "" : "s",
           nodes->dir, nodes->removes_dir ? " (removed at the end)" : "");
    for (unsigned i = 0; i < nodes->count; i++)
        printf("  node %u   http://127.0.0.1:%u   pid %d%s\n", i + 1, demo_http_port(nodes, i),
               (int)nodes->pids[i], i + 1 == leader ? "   leader" : "");
    unsigned other = leader == 1 ? nodes->count : 1; /* not the leader, where there are several */
    unsigned port = demo_http_port(nodes, other - 1);
    printf("\nTry in another terminal:\n\n  export MINIKV_ENDPOINTS=");
    for (unsigned i = 0; i < nodes->count; i++)
        printf("%s127.0.0.1:%u", i == 0 ? "" : ",", demo_http_port(nodes, i));
    printf("\n  minikv put greeting hello\n  minikv get greeting\n  minikv status\n"
           "  curl -i http://127.0.0.1:%u/v1/kv/greeting\n"
           "  curl -iL -X PUT -d '{\"value\":\"again\"}' "
           "'http://127.0.0.1:%u/v1/kv/greeting?route=redirect'\n",
           port, port);
    if (nodes->count > 2 && leader != 0)
        printf("  kill -9 %d     # the leader; the others go on\n", (int)nodes->pids[leader - 1]);
    printf("\nCtrl-C stops %s.\n", nodes->count == 1 ? "it" : "them all");
    (void)fflush(stdout); /* main looks at its state */
}

/* Until a signal says stop, or no node is left. */
static enum exit_code watch(struct demo_nodes *nodes, const sigset_t *signals)
{
    for (;;) {
        int signum = sigwaitinfo(signals, NULL);
        if (signum == SIGINT || signum == SIGTERM || signum == SIGHUP)
            return EXIT_CODE_OK;
        if (signum == SIGCHLD && demo_nodes_reap(nodes, false) == 0) {
            fputs("minikv: demo: no node is left\n", stderr);
            return EXIT_CODE_FAILURE;
        }
    }
}

enum exit_code demo_run(struct cli *cli)
{
    struct demo_nodes nodes;
    sigset_t signals;
    if (!demo_nodes_init(&nodes, "minikv: demo", cli->nodes_count, cli->base_port, cli->dir)) {
        fputs("minikv: demo: --base-port and --dir choose other ports and places\n", stderr);
        return EXIT_CODE_FAILURE;
    }
    block_signals(&signals);

    bool has_started = true;
    for (unsigned i = 0; i < nodes.count && has_started; i++)
        has_started = demo_nodes_start(&nodes, i);
    enum exit_code code = EXIT_CODE_FAILURE;
    if (has_started)
        code = wait_ready(cli, &nodes, &signals);
    if (code == EXIT_CODE_OK) {
        print_welcome(cli, &nodes);
        code = watch(&nodes, &signals);
        puts("\nStopping.");
    }
    demo_nodes_stop(&nodes);
    return code;
}
