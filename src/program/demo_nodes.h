/* Demo nodes: minikvd processes on this machine, started, watched and stopped.
 *
 * They die with this process, whatever ends it: the kernel kills them (PR_SET_PDEATHSIG). */
#ifndef MINIKV_PROGRAM_DEMO_NODES_H
#define MINIKV_PROGRAM_DEMO_NODES_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

enum { DEMO_NODES_MAX = 7 };

struct demo_nodes {
    const char *who; /* begins each line on standard error: "minikv: demo" */
    unsigned count;
    unsigned base_port;
    char program[PATH_MAX]; /* of minikvd */
    char dir[PATH_MAX - 64];
    bool removes_dir;
    pid_t pids[DEMO_NODES_MAX]; /* 0: not running */
};

/* Finds minikvd, makes sure of the ports and makes the directory; `dir` NULL: a temporary one.
 * False, with a word on standard error, when that fails. */
bool demo_nodes_init(struct demo_nodes *nodes, const char *who, unsigned count, unsigned base_port,
                     const char *dir);
bool demo_nodes_start(struct demo_nodes *nodes, unsigned index);
/* Takes note of nodes that have ended, one word on standard error each; with the end of its log
 * when `shows_log`. Returns how many still run. */
unsigned demo_nodes_reap(struct demo_nodes *nodes, bool shows_log);
/* SIGSTOP, SIGCONT, SIGKILL: as the machine it runs on would stall, go on or die. */
void demo_nodes_signal(const struct demo_nodes *nodes, unsigned index, int signum);
/* Asks all to stop, waits, kills what is left, removes the temporary directory. */
void demo_nodes_stop(struct demo_nodes *nodes);

unsigned demo_http_port(const struct demo_nodes *nodes, unsigned index);

#endif
