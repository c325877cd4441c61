/* Disk env, inside: the loop is in disk_env.c, the disk in disk_files.c. */
#ifndef MINIKV_TESTS_SUPPORT_DISK_ENV_INTERNAL_H
#define MINIKV_TESTS_SUPPORT_DISK_ENV_INTERNAL_H

#include "base/prng.h"
#include "disk_env.h"
#include "sim/names.h"

enum { DISK_SECTOR_BYTES = 512 };

struct disk_content {
    uint8_t *data;
    size_t count;
    size_t capacity;
};

struct disk_write {
    uint64_t offset;
    uint8_t *data;
    size_t count;
};

/* A file without its name. */
struct disk_inode {
    struct disk_content cached, durable;
    struct disk_write *writes; /* since the last sync */
    size_t writes_count, writes_capacity;
    bool is_directory;
    struct disk_inode *next; /* of all there are */
};

/* Writes started and not completed, oldest first; in the cache as soon as they are first. */
struct disk_lane {
    struct list writes; /* of struct env_write */
    time_us done_at;
    time_us duration;
};

enum disk_verdict { DISK_GO_ON, DISK_FAIL, DISK_DIE, DISK_LIE };

struct env_file {
    struct env *env;
    struct disk_inode *inode;
    uint64_t life; /* of the process that opened it */
    bool bypasses; /* the page cache */
    struct list link;
};

struct env {
    struct prng prng;
    time_us now;
    uint64_t timer_sequence;
    struct env_timer **timers;
    size_t timers_count, timers_capacity;
    struct list tasks;
    struct disk_lane lanes[2]; /* [is_background] */

    struct disk_inode *inodes;
    struct disk_names cached, durable;
    struct disk_changes changes;
    struct list files; /* open */
    uint64_t life;

    uint64_t ops, fail_op, die_op, lie_op;
    enum status fail_status;
    bool is_dead;
    uint64_t capacity;
};

/* Counts an operation and says what becomes of it. */
enum disk_verdict disk_next_op(struct env *env);
void disk_files_init(struct env *env);
void disk_files_release(struct env *env);
void disk_files_lose_cache(struct env *env);
void disk_files_end_life(struct env *env);

#endif
