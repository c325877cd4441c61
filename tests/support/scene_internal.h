/* Scene, inside: scene.c reads the script, scene_nodes.c has the machines and their nodes,
 * scene_request.c what clients ask of them, scene_show.c what is looked up in them. */
#ifndef MINIKV_TESTS_SUPPORT_SCENE_INTERNAL_H
#define MINIKV_TESTS_SUPPORT_SCENE_INTERNAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/node.h"
#include "sim/world.h"
#include "support/scene.h"

enum { SCENE_NODES_MAX = 7 };

struct replica {
    struct scene *scene;
    unsigned id;
    struct node *node; /* NULL: off */
    struct env *env;
    node_id leader_traced;
};

struct scene {
    unsigned seed;
    struct world *world; /* made by start */
    struct replica replicas[SCENE_NODES_MAX + 1];
    unsigned count;
    bool is_silent;
    time_us session_ttl;
    uint64_t snapshot_bytes;
    uint64_t cluster_id;
    bool has_joined[SCENE_NODES_MAX + 1]; /* these do not count as founders */
    struct buf trace;
    unsigned calls_count;
    unsigned filled_ok_count, filled_none_count, filled_maybe_count;
};

/* ---- machines ---- */

void scene_boot(struct scene *scene, unsigned id);
void scene_crash(struct scene *scene, unsigned id);
void scene_stop(struct scene *scene, unsigned id); /* in order; traced when it is done */
void scene_run_ms(struct scene *scene, unsigned long ms);
void scene_until_leader(struct scene *scene, unsigned wanted);

/* ---- clients ---- */

/* The trace calls it by its `line`. A command without an op is a read of its key. */
void scene_submit(struct scene *scene, const char *line, struct command *command, unsigned at,
                  const char *flags);
void scene_announce(struct scene *scene, const char *line, unsigned at, unsigned id,
                    const char *host);
void scene_fill(struct scene *scene, unsigned at, unsigned count, unsigned bytes_count);
void scene_crowd(struct scene *scene, unsigned at, unsigned count);
/* "as=alice:7", "acked=5", "once=anything"; what it names borrows from `flag`. */
bool scene_read_identity(struct client_identity *identity, const char *flag);

/* ---- what the trace shows ---- */

void scene_show_outcome(struct buf *trace, const struct kv_result *result);
void scene_show_known_outcome(struct scene *scene, unsigned at, const char *flag);
void scene_show_stats(struct scene *scene, unsigned id);
void scene_show_directory(struct scene *scene, unsigned at, unsigned id);
void scene_show_ready(struct scene *scene);
void scene_show_sessions(struct scene *scene, unsigned at);
void scene_show_members(struct scene *scene, unsigned at);
void scene_show_snapshot(struct scene *scene, unsigned at);
void scene_compare(struct scene *scene);

#endif
