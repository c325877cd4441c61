#include "minikvd/server.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "base/limits.h"
#include "http/http.h"
#include "http/join.h"
#include "node/node.h"
#include "storage/meta.h"
#include "uv/uv_env.h"

enum {
    DESCRIPTORS_SPARE = 256, /* for the log, the links and the loop itself */
    JOIN_AGAIN_US = 3 * 1000 * TIME_US_PER_MS,
    STOP_EXTRA_US = 2 * 1000 * TIME_US_PER_MS, /* beyond a request's deadline */
};

struct server {
    struct env *env;     /* owned */
    struct node *node;   /* owned */
    struct http *http;   /* owned */
    struct trace *trace; /* borrowed: it outlives the server */
    struct join *join;   /* owned; NULL: not asked to join */
    uint64_t cluster_id; /* found, while a fresh directory joins; 0: not yet */
    struct config members;
    struct env_timer join_timer;
    bool has_joined;
    bool is_refused; /* the cluster does not take this node */

    time_us stop_after; /* what a stop may take at most */
    struct env_timer stop_timer;
    bool is_stopping;
    bool node_has_stopped, http_has_stopped;
    bool is_fatal;
    enum status fatal_status;
};

/* ---- what the node tells ---- */

static void server_verify(void *ctx, const struct node_verify *verify)
{
    struct server *server = ctx;
    REQUIRE(server->http != NULL); /* the node calls back from the loop, which runs after both */
    http_verify(server->http, verify);
}

static void server_on_view(void *ctx)
{
    struct server *server = ctx;
    if (server->http != NULL)
        http_on_view(server->http);
}

static void server_on_applied(void *ctx)
{
    struct server *server = ctx;
    if (server->http != NULL)
        http_on_applied(server->http);
}

static void server_on_fatal(void *ctx, enum status status)
{
    struct server *server = ctx;
    server->is_fatal = true;
    server->fatal_status = status;
    uv_env_stop(server->env);
}

/* ---- stopping ---- */

static void stop_when_done(struct server *server)
{
    if (server->node_has_stopped && server->http_has_stopped)
        uv_env_stop(server->env);
}

static void server_on_node_stopped(void *ctx)
{
    struct server *server = ctx;
    server->node_has_stopped = true;
    stop_when_done(server);
}

static void server_on_http_stopped(void *ctx)
{
    struct server *server = ctx;
    server->http_has_stopped = true;
    stop_when_done(server);
}

static void server_on_stop_late(void *ctx)
{
    struct server *server = ctx;
    diag(DIAG_WARN, "stopping took too long; closing what is left");
    uv_env_stop(server->env);
}

/* The listener closes first, so that new clients go to other nodes; leadership goes to another node
 * while what is in flight here is finished. A second signal stops at once. */
static void server_on_signal(void *ctx)
{
    struct server *server = ctx;
    bool is_open = server->http != NULL;
    if (server->is_stopping || !is_open) {
        server->is_stopping = true;
        uv_env_stop(server->env);
        return;
    }
    server->is_stopping = true;
    diag(DIAG_INFO, "stopping: handing over and finishing what is in flight");
    time_us now = env_now(server->env);
    env_timer_set(server->env, &server->stop_timer, now + server->stop_after + STOP_EXTRA_US);
    http_stop(server->http, server_on_http_stopped, server);
    node_stop(server->node, now + server->stop_after, server_on_node_stopped, server);
}

/* ---- joining ---- */

static void server_on_refused(void *ctx, const char *text)
{
    struct server *server = ctx;
    diag(DIAG_ERROR, "cannot join: %s", text);
    server->is_refused = true;
    uv_env_stop(server->env);
}

static void arm_join_timer(struct server *server)
{
    if (node_applied(server->node) == 0)
        env_timer_set(server->env, &server->join_timer, env_now(server->env) + JOIN_AGAIN_US);
}

static void server_on_found(void *ctx, uint64_t cluster_id, const struct config *members)
{
    struct server *server = ctx;
    server->cluster_id = cluster_id;
    server->members = *members;
    if (server->node == NULL) {
        uv_env_stop(server->env); /* the node is opened outside of the loop */
        return;
    }
    if (cluster_id != node_view(server->node)->cluster_id) {
        server_on_refused(server, "the addresses of --join are those of another cluster");
        return;
    }
    node_hint(server->node, members);
    if (server->has_joined) /* if it is no member any more, somebody has removed it: so be it */
        arm_join_timer(server);
    else
        join_ask(server->join, node_identity(server->node));
}

/* Until a snapshot is here the members may change behind this node's back: it asks again. */
static void server_on_join_timer(void *ctx)
{
    struct server *server = ctx;
    if (node_applied(server->node) == 0)
        join_discover(server->join);
}

static void server_on_joined(void *ctx)
{
    struct server *server = ctx;
    server->has_joined = true;
    diag(DIAG_INFO, "is a member of the cluster");
    arm_join_timer(server);
}

static struct join *make_join(struct server *server, const struct options *options)
{
    struct join_options join_options = {
        .seeds_count = options->seeds_count, .id = options->id, .peer = options->advertise_peer};
    if (options->announces)
        join_options.http = options->advertise_http;
    memcpy(join_options.seeds, options->seeds, sizeof join_options.seeds);
    struct join_callbacks callbacks = {.ctx = server,
                                       .on_found = server_on_found,
                                       .on_joined = server_on_joined,
                                       .on_refused = server_on_refused};
    return join_new(server->env, &join_options, &callbacks);
}

/* A fresh data directory has to know its cluster before it can be opened. ST_BUSY: told to stop
 * first. */
static enum status find_cluster(struct server *server, struct errtext *error)
{
    struct meta meta;
    enum status status = meta_load(server->env, &meta, error);
    if (status != ST_NOT_FOUND)
        return status; /* it has one */
    join_discover(server->join);
    uv_env_run(server->env);
    return server->cluster_id != 0 ? ST_OK : ST_BUSY;
}

/* Whether the cluster knows this node, and at this address. */
static bool is_settled(const struct server *server, const struct options *options)
{
    const struct kv_member *self = kv_member(node_kv(server->node), options->id);
    struct address peer;
    struct errtext error;
    return self != NULL &&
           node_resolve_peer(server->node, &options->advertise_peer, &peer, &error) == ST_OK &&
           address_equal(&self->member.peer, &peer);
}

/* ---- starting ---- */

/* As many connections as descriptors allow; each costs one. */
static size_t raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return LIMIT_CONNECTIONS;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return LIMIT_CONNECTIONS;
    if (limit.rlim_cur >= LIMIT_CONNECTIONS + DESCRIPTORS_SPARE)
        return LIMIT_CONNECTIONS;
    size_t connections =
        limit.rlim_cur > 2 * DESCRIPTORS_SPARE ? limit.rlim_cur - DESCRIPTORS_SPARE : 64;
    diag(DIAG_WARN, "only %zu client connections: the limit of open files is %llu", connections,
         (unsigned long long)limit.rlim_cur);
    return connections;
}

static enum status open_node(struct server *server, const struct options *options,
                             struct errtext *error)
{
    struct node_options node_options = {
        .self = options->id,
        .initial = options->initial,
        .listen_peer = options->listen_peer,
        .advertise_http = options->advertise_http,
        .announces = options->announces,
        .policy = options->route,
        .heartbeat = options->heartbeat,
        .election = options->election,
        .hold = options->hold,
        .session_ttl = options->session_ttl,
        .snapshot_bytes = options->snapshot_bytes,
        .snapshot_rate = options->snapshot_rate,
        .joins = options->seeds_count > 0,
        .cluster_id = server->cluster_id,
        .hint = server->members,
        .trace = server->trace,
    };
    struct node_callbacks callbacks = {
        .ctx = server,
        .verify = server_verify,
        .on_fatal = server_on_fatal,
        .on_view = server_on_view,
        .on_applied = server_on_applied,
    };
    enum status status = node_open(server->env, &node_options, &callbacks, &server->node, error);
    if (status != ST_OK)
        errtext_wrap(error, "open node %u in %s", options->id, options->data_dir);
    return status;
}

static enum status open_http(struct server *server, const struct options *options,
                             struct errtext *error)
{
    struct http_options http_options = {
        .listen = options->listen_http,
        .connections_max = raise_descriptors(),
        .backup_rate = options->snapshot_rate,
        .data_dir = options->data_dir,
        .request_timeout = options->request_timeout,
    };
    return http_open(server->env, server->node, &http_options, &server->http, error);
}

static enum status server_open(struct server *server, const struct options *options,
                               struct errtext *error)
{
    struct uv_env_options env_options = {.data_dir = options->data_dir, .write_on_thread = true};
    enum status status = uv_env_new(&env_options, &server->env, error);
    if (status == ST_OK) {
        uv_env_on_signal(server->env, SIGTERM, server_on_signal, server);
        uv_env_on_signal(server->env, SIGINT, server_on_signal, server);
    }
    if (status == ST_OK && options->seeds_count > 0) {
        server->join = make_join(server, options);
        status = find_cluster(server, error);
    }
    if (status == ST_OK)
        status = open_node(server, options, error);
    if (status == ST_OK)
        status = open_http(server, options, error);
    if (status != ST_OK)
        return status;

    env_timer_init(&server->stop_timer, server_on_stop_late, server);
    server->stop_after = options->request_timeout;
    env_timer_init(&server->join_timer, server_on_join_timer, server);
    if (server->join == NULL || is_settled(server, options))
        return ST_OK;
    if (server->cluster_id == 0) /* it was not asked just now */
        join_discover(server->join);
    else
        join_ask(server->join, node_identity(server->node));
    return ST_OK;
}

static void log_addresses(const struct options *options)
{
    char text[LIMIT_ADDRESS_BYTES];
    diag(DIAG_INFO, "MiniKV " MINIKV_VERSION ", data in %s", options->data_dir);
    diag(DIAG_INFO, "listening for nodes on %s", address_format(&options->listen_peer, text));
    diag(DIAG_INFO, "listening for clients on http://%s",
         address_format(&options->listen_http, text));
}

/* A node that could not start has nothing to do with one that lost its disk while it ran. */
static enum exit_code exit_code_at_start(enum status status)
{
    enum exit_code code = status_info(status)->exit;
    return code >= EXIT_CODE_LOCKED ? code : EXIT_CODE_FAILURE;
}

static enum exit_code exit_code_of_fatal(enum status status)
{
    if (status == ST_IO || status == ST_NO_SPACE)
        return EXIT_CODE_STORAGE;
    return status_info(status)->exit;
}

enum exit_code server_run(const struct options *options)
{
    static struct trace trace;
    struct server server = {.trace = &trace};
    struct errtext error = {""};
    char name[32];
    trace.node = options->id;
    crash_install(MINIKV_VERSION, &trace);
    (void)snprintf(name, sizeof name, "node %u", options->id);
    diag_set_name(name);
    (void)umask(077); /* the log holds everybody's values */

    enum exit_code code = EXIT_CODE_OK;
    enum status status = server_open(&server, options, &error);
    if (server.is_stopping) { /* and not open: it waited for the cluster */
        diag(DIAG_INFO, "stopped before the cluster had answered");
    } else if (status != ST_OK) {
        diag(DIAG_ERROR, "%s", error.text);
        code = exit_code_at_start(status);
    } else {
        log_addresses(options);
        if (node_note(server.node) != NULL)
            diag(DIAG_WARN, "%s", node_note(server.node));
        uv_env_run(server.env);
        if (server.is_refused)
            code = EXIT_CODE_FAILURE;
        if (server.is_fatal)
            code = exit_code_of_fatal(server.fatal_status);
        diag(DIAG_INFO, "stopped");
    }
    join_free(server.join);
    node_close(server.node); /* answers what is open; then those answers can leave */
    http_close(server.http);
    uv_env_free(server.env);
    return code;
}
