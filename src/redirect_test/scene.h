/* Scene: three real nodes and a client that plays the lesson of the redirect with them.
 *
 * node-0, node-1 and node-2 are the members 1, 2 and 3; clients reach them at 127.0.0.1:7000 to
 * 7002, nodes reach each other at 7100 to 7102. Every wait is for a condition and ends at the
 * deadline of the whole scene; what fails says so on standard error. */
#ifndef MINIKV_REDIRECT_TEST_SCENE_H
#define MINIKV_REDIRECT_TEST_SCENE_H

#include "minikv/minikv.h"
#include "program/demo_nodes.h"

enum { SCENE_NODES = 3, SCENE_BASE_PORT = 7000, SCENE_MS_MAX = 60000 };

struct scene {
    struct demo_nodes nodes;
    struct minikv *kv; /* with all three as endpoints */
    int64_t deadline_ms;
};

/* What a node says of itself. */
struct scene_status {
    bool answers;
    char role[16];
    unsigned leader; /* member id; 0: unknown */
    uint64_t term;
    bool has_leader_http; /* the leader's client address is known there */
};

/* Starts the nodes and waits until all of them know a leader they can point to. */
bool scene_open(struct scene *scene);
void scene_close(struct scene *scene);

const char *scene_endpoint(unsigned node, char out[32]);
/* Until `holds` is true of what `node` says. */
bool scene_wait(struct scene *scene, unsigned node, bool (*holds)(const struct scene_status *),
                const char *what);
/* Has node-0 lead, by a transfer if another does, until all nodes say so. */
bool scene_make_node_0_lead(struct scene *scene);
/* The number of node that leads, as all running nodes say; -1: not in time. */
int scene_leader(struct scene *scene);
/* Says why on standard error; false, for returning it. */
bool scene_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The value and the version of a key are these at every node. */
bool scene_check_key(struct scene *scene, const char *key, const char *value, uint64_t version);

#endif
