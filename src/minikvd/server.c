#include "minikvd/server.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "http/http.h"
#include "node/node.h"
#include "uv/uv_env.h"

enum {
    DESCRIPTORS_SPARE = 256,                   /* for the log, the links and the loop itself */
    STOP_EXTRA_US = 2 * 1000 * TIME_US_PER_MS, /* beyond a request's deadline */
};

struct server {
    struct env *env;   /* owned */
    struct node *node; /* owned */
    struct http *http; /* owned */

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
    if (server->is_stopping) {
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
    };
    struct node_callbacks callbacks = {
        .ctx = server,
        .verify = server_verify,
        .on_fatal = server_on_fatal,
        .on_view = server_on_view,
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
        .request_timeout = options->request_timeout,
    };
    return http_open(server->env, server->node, &http_options, &server->http, error);
}

static enum status server_open(struct server *server, const struct options *options,
                               struct errtext *error)
{
    struct uv_env_options env_options = {.data_dir = options->data_dir, .write_on_thread = true};
    enum status status = uv_env_new(&env_options, &server->env, error);
    if (status == ST_OK)
        status = open_node(server, options, error);
    if (status == ST_OK)
        status = open_http(server, options, error);
    if (status != ST_OK)
        return status;

    env_timer_init(&server->stop_timer, server_on_stop_late, server);
    server->stop_after = options->request_timeout;
    uv_env_on_signal(server->env, SIGTERM, server_on_signal, server);
    uv_env_on_signal(server->env, SIGINT, server_on_signal, server);
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
    struct server server = {0};
    struct errtext error = {""};
    char name[32];
    (void)snprintf(name, sizeof name, "node %u", options->id);
    diag_set_name(name);
    (void)umask(077); /* the log holds everybody's values */

    enum exit_code code = EXIT_CODE_OK;
    enum status status = server_open(&server, options, &error);
    if (status != ST_OK) {
        diag(DIAG_ERROR, "%s", error.text);
        code = exit_code_at_start(status);
    } else {
        log_addresses(options);
        uv_env_run(server.env);
        if (server.is_fatal)
            code = exit_code_of_fatal(server.fatal_status);
        diag(DIAG_INFO, "stopped");
    }
    node_close(server.node); /* answers what is open; then those answers can leave */
    http_close(server.http);
    uv_env_free(server.env);
    return code;
}
