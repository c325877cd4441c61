/* Disk env: an env whose disk is memory, with the habits of real disks at their worst.
 *
 * A write reaches the cache; a sync makes it durable. When the power fails, of each write since
 * the last sync each 512-byte sector survives or not, by chance and in any order, one may be torn
 * within, and what was never written may hold garbage. Names follow the same rule: creating,
 * renaming and removing last once the directory is synced, else by chance.
 *
 * Each disk operation has a number; one of them can be made to fail, or to be the moment at which
 * the process dies. Time is virtual and moves only in disk_env_step. There is no network.
 *
 * Ownership    the env owns its files; handles stay valid, though dead, until they are closed */
#ifndef MINIKV_TESTS_SUPPORT_DISK_ENV_H
#define MINIKV_TESTS_SUPPORT_DISK_ENV_H

#include "env/env.h"

struct env *disk_env_new(uint64_t seed);
void disk_env_free(struct env *env);

/* Does one thing: the posted tasks, or else whatever is next in time, a write that completes or a
 * timer. False when there is nothing to do. */
bool disk_env_step(struct env *env);
/* Steps until `duration` has passed. */
void disk_env_run(struct env *env, time_us duration);

/* ---- faults ---- */

/* How many disk operations there were so far. A write and its sync are two. */
uint64_t disk_env_ops(const struct env *env);
/* The operation with this number (0: none) fails; those after it work. A failed write has written
 * a part; a failed sync has lost, for good, a part of what it should have kept. */
void disk_env_fail_at(struct env *env, uint64_t op, enum status status);
/* In the middle of this operation the process dies: it may or may not have happened, and nothing
 * that is asked for afterwards does. */
void disk_env_die_at(struct env *env, uint64_t op);
bool disk_env_is_dead(const struct env *env);
/* The files cannot grow past this, all together; 0: no bound. */
void disk_env_set_capacity(struct env *env, uint64_t bytes);
/* Acknowledges the sync of this operation without keeping anything: a disk that lies. */
void disk_env_lie_at(struct env *env, uint64_t op);

/* Ends the process: tasks, timers and writes under way are gone (on_done is called with ST_IO, so
 * that their owners, closed before, can be freed). What was written stays in the cache. */
void disk_env_kill(struct env *env);
/* The same, and the cache is lost as well. */
void disk_env_cut_power(struct env *env);

/* ---- the disk by hand, behind the program's back ---- */

bool disk_env_exists(struct env *env, const char *path);
/* What is in the file now, borrowed until it changes. Requires that it exists. */
struct bytes disk_env_peek(struct env *env, const char *path);
/* The file, durable, with just these bytes; made when missing. */
void disk_env_put(struct env *env, const char *path, struct bytes bytes);
void disk_env_poke(struct env *env, const char *path, uint64_t offset, struct bytes bytes);
void disk_env_truncate(struct env *env, const char *path, uint64_t bytes);
void disk_env_remove(struct env *env, const char *path);
/* Another env with the same files and names, all durable. */
struct env *disk_env_copy(struct env *env, uint64_t seed);
/* One number for all names and contents: equal means that nothing changed. */
uint32_t disk_env_digest(struct env *env);

#endif
