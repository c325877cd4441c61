#include "program/demo_nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

enum {
    STOP_WAIT_MS = 10000, /* longer than a node's own limit for stopping */
    LOG_TAIL_BYTES = 2048,
};

unsigned demo_http_port(const struct demo_nodes *nodes, unsigned index)
{
    return nodes->base_port + index;
}

static unsigned peer_port(const struct demo_nodes *nodes, unsigned index)
{
    return nodes->base_port + 100 + index;
}

/* ---- preparing ---- */

/* The minikvd of the same build or package; else the one in PATH, by its bare name. */
static void find_program(char program[PATH_MAX])
{
    char self[PATH_MAX - 16];
    ssize_t count = readlink("/proc/self/exe", self, sizeof self - 1);
    self[MAX(count, 0)] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) {
        *slash = '\0';
        (void)snprintf(program, PATH_MAX, "%s/minikvd", self);
        if (access(program, X_OK) == 0)
            return;
    }
    (void)snprintf(program, PATH_MAX, "minikvd");
}

/* Listening, not only binding: with SO_REUSEADDR, which spares ports of connections just ended, a
 * bind alone may succeed beside another's. */
static bool is_free(const char *who, unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                   bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0;
    if (!is_free)
        fprintf(stderr, "%s: 127.0.0.1:%u: %s\n", who, port, strerror(errno));
    if (fd >= 0)
        (void)close(fd); /* nothing was sent on it */
    return is_free;
}

/* All of them, before a node is started: what listens on one would answer in the node's place. */
static bool are_ports_free(const struct demo_nodes *nodes)
{
    for (unsigned i = 0; i < nodes->count; i++)
        if (!is_free(nodes->who, demo_http_port(nodes, i)) ||
            !is_free(nodes->who, peer_port(nodes, i)))
            return false;
    return true;
}

static bool make_dir(struct demo_nodes *nodes, const char *dir)
{
    const char *parent = getenv("TMPDIR");
    int count;
    if (dir != NULL)
        count = snprintf(nodes->dir, sizeof nodes->dir, "%s", dir);
    else
        count = snprintf(nodes->dir, sizeof nodes->dir, "%s/minikv-demo-XXXXXX",
                         parent != NULL && *parent != '\0' ? parent : "/tmp");
    bool is_made = count > 0 && (size_t)count < sizeof nodes->dir;
    if (is_made && dir == NULL)
        is_made = nodes->removes_dir = mkdtemp(nodes->dir) != NULL;
    else if (is_made)
        is_made = mkdir(nodes->dir, 0700) == 0 || errno == EEXIST;
    if (!is_made)
        fprintf(stderr, "%s: %s: %s\n", nodes->who, nodes->dir, strerror(errno));
    return is_made;
}

bool demo_nodes_init(struct demo_nodes *nodes, const char *who, unsigned count, unsigned base_port,
                     const char *dir)
{
    REQUIRE(count >= 1 && count <= DEMO_NODES_MAX);
    *nodes = (struct demo_nodes){.who = who, .count = count, .base_port = base_port};
    find_program(nodes->program);
    return are_ports_free(nodes) && make_dir(nodes, dir);
}

/* ---- starting ---- */

static void put_log_path(const struct demo_nodes *nodes, unsigned index, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/node-%u.log", nodes->dir, index + 1);
}

/* In the child, between fork and exec: only its own descriptors and signals are touched. */
static void prepare_child(const char *log_path, pid_t parent)
{
    /* Ctrl-C reaches only the parent, which then stops the nodes in order. */
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || nothing < 0 || dup2(nothing, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(1);
}

/* The command line of a node; `argv` points into `texts`. */
enum { NODE_ARGUMENTS = 5 };
static void build_arguments(const struct demo_nodes *nodes, unsigned index,
                            char texts[NODE_ARGUMENTS][PATH_MAX], char *argv[NODE_ARGUMENTS + 2])
{
    (void)snprintf(texts[0], PATH_MAX, "--id=%u", index + 1);
    (void)snprintf(texts[1], PATH_MAX, "--data-dir=%s/node-%u", nodes->dir, index + 1);
    (void)snprintf(texts[2], PATH_MAX, "--listen-http=127.0.0.1:%u", demo_http_port(nodes, index));
    (void)snprintf(texts[3], PATH_MAX, "--listen-peer=127.0.0.1:%u", peer_port(nodes, index));
    size_t at = (size_t)snprintf(texts[4], PATH_MAX, "--initial-cluster=");
    for (unsigned i = 0; i < nodes->count; i++)
        at += (size_t)snprintf(texts[4] + at, PATH_MAX - at, "%s%u=127.0.0.1:%u", i == 0 ? "" : ",",
                               i + 1, peer_port(nodes, i));
    argv[0] = (char *)(uintptr_t)nodes->program;
    for (size_t i = 0; i < NODE_ARGUMENTS; i++)
        argv[i + 1] = texts[i];
    argv[NODE_ARGUMENTS + 1] = NULL;
}

bool demo_nodes_start(struct demo_nodes *nodes, unsigned index)
{
    static char texts[NODE_ARGUMENTS][PATH_MAX];
    char *argv[NODE_ARGUMENTS + 2], log_path[PATH_MAX];
    REQUIRE(index < nodes->count && nodes->pids[index] == 0);

    build_arguments(nodes, index, texts, argv);
    put_log_path(nodes, index, log_path);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        prepare_child(log_path, parent);
        execvp(nodes->program, argv);
        dprintf(2, "%s: %s\n", nodes->program, strerror(errno));
        _exit(127);
    }
    if (pid < 0) {
        fprintf(stderr, "%s: fork: %s\n", nodes->who, strerror(errno));
        return false;
    }
    nodes->pids[index] = pid;
    return true;
}

/* ---- watching ---- */

static void show_log_tail(const struct demo_nodes *nodes, unsigned index)
{
    char path[PATH_MAX], tail[LOG_TAIL_BYTES + 1];
    put_log_path(nodes, index, path);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fseek(file, -LOG_TAIL_BYTES, SEEK_END) != 0)
        rewind(file); /* shorter than that */
    size_t count = fread(tail, 1, LOG_TAIL_BYTES, file);
    tail[count] = '\0';
    fprintf(stderr, "%s: the end of %s:\n%s", nodes->who, path, tail);
    (void)fclose(file); /* only read */
}

static void show_end(const struct demo_nodes *nodes, unsigned index, int status, bool shows_log)
{
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: node %u was ended by signal %d (%s)\n", nodes->who, index + 1,
                WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "%s: node %u ended with exit code %d\n", nodes->who, index + 1,
                WEXITSTATUS(status));
    if (shows_log)
        show_log_tail(nodes, index);
}

unsigned demo_nodes_reap(struct demo_nodes *nodes, bool shows_log)
{
    unsigned running = 0;
    for (unsigned i = 0; i < nodes->count; i++) {
        int status;
        if (nodes->pids[i] == 0)
            continue;
        if (waitpid(nodes->pids[i], &status, WNOHANG) == nodes->pids[i]) {
            nodes->pids[i] = 0;
            show_end(nodes, i, status, shows_log);
        } else {
            running++;
        }
    }
    return running;
}

/* ---- stopping ---- */

void demo_nodes_signal(const struct demo_nodes *nodes, unsigned index, int signum)
{
    REQUIRE(index < nodes->count && nodes->pids[index] != 0);
    (void)kill(nodes->pids[index], signum); /* it may just have ended */
}

static void signal_all(const struct demo_nodes *nodes, int signum)
{
    for (unsigned i = 0; i < nodes->count; i++)
        if (nodes->pids[i] != 0)
            (void)kill(nodes->pids[i], signum); /* it may just have ended */
}

/* Waits for all; false when some still run after `ms`. */
static bool wait_all(struct demo_nodes *nodes, int ms)
{
    for (int waited = 0;; waited += 10) {
        unsigned running = 0;
        for (unsigned i = 0; i < nodes->count; i++) {
            if (nodes->pids[i] != 0 && waitpid(nodes->pids[i], NULL, WNOHANG) != 0)
                nodes->pids[i] = 0;
            running += nodes->pids[i] != 0;
        }
        if (running == 0 || waited >= ms)
            return running == 0;
        (void)poll(NULL, 0, 10);
    }
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

void demo_nodes_stop(struct demo_nodes *nodes)
{
    signal_all(nodes, SIGTERM);
    if (!wait_all(nodes, STOP_WAIT_MS)) {
        signal_all(nodes, SIGKILL);
        (void)wait_all(nodes, STOP_WAIT_MS);
    }
    if (nodes->removes_dir && nftw(nodes->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "%s: %s could not be removed: %s\n", nodes->who, nodes->dir,
                strerror(errno));
}
