/* demo: a cluster on this machine, to try things with, until Ctrl-C. */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/demo_nodes.h"

enum { READY_POLL_MS = 50 };

/* One GET to one node; its code, 0 without an answer. The body's JSON, if wanted, is the caller's.
 */
static int get_from(const struct demo_nodes *nodes, unsigned index, const char *target,
                    json_t **out_json)
{
    struct address address = {.host = "127.0.0.1", .port = (uint16_t)demo_http_port(nodes, index)};
    struct http_client client;
    struct http_reply reply;
    struct http_request request = {.method = "GET", .target = target};
    struct errtext error;
    time_us deadline = connection_now() + 500 * TIME_US_PER_MS;
    http_client_init(&client, &address);
    http_reply_init(&reply);
    int code = 0;
    if (http_client_call(&client, &request, deadline, deadline, &reply, &error) == ST_OK)
        code = reply.code;
    if (out_json != NULL)
        *out_json = json_loadb((const char *)reply.body, reply.body_bytes, 0, NULL);
    http_reply_release(&reply);
    http_client_release(&client);
    return code;
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
static enum exit_code wait_ready(struct demo_nodes *nodes, const sigset_t *signals, time_us timeout)
{
    time_us deadline = connection_now() + timeout;
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
        if (connection_now() >= deadline) {
            fputs("minikv: demo: the nodes run, but are not ready in time\n", stderr);
            return EXIT_CODE_UNAVAILABLE;
        }
        if (get_from(nodes, ready, "/readyz", NULL) == 200) {
            ready++;
            continue;
        }
        struct timespec wait = {.tv_nsec = READY_POLL_MS * 1000000};
        int signum = sigtimedwait(signals, NULL, &wait);
        if (signum == SIGINT || signum == SIGTERM || signum == SIGHUP)
            return EXIT_CODE_FAILURE;
    }
}

static unsigned find_leader(const struct demo_nodes *nodes)
{
    json_t *status;
    (void)get_from(nodes, 0, "/v1/raft/status", &status);
    unsigned leader = (unsigned)json_integer_value(json_object_get(status, "leader"));
    json_decref(status);
    return leader;
}

static void print_welcome(const struct demo_nodes *nodes)
{
    unsigned leader = find_leader(nodes);
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
    if (!demo_nodes_init(&nodes, cli->nodes_count, cli->base_port, cli->dir))
        return EXIT_CODE_FAILURE;
    block_signals(&signals);

    bool has_started = true;
    for (unsigned i = 0; i < nodes.count && has_started; i++)
        has_started = demo_nodes_start(&nodes, i);
    enum exit_code code = EXIT_CODE_FAILURE;
    if (has_started)
        code = wait_ready(&nodes, &signals, cli->connect.timeout * 2);
    if (code == EXIT_CODE_OK) {
        print_welcome(&nodes);
        code = watch(&nodes, &signals);
        puts("\nStopping.");
    }
    demo_nodes_stop(&nodes);
    return code;
}
