/* Names: where files are found, and the changes that a sync of their directory has yet to make
 * last.
 *
 * Two disks in memory are made of it: the one of the simulated world, and the one of the tests of
 * storage (tests/support/disk_env.h). What has the bytes of a file is theirs: here it is opaque. */
#ifndef MINIKV_SIM_NAMES_H
#define MINIKV_SIM_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct disk_inode;

enum { DISK_PATH_BYTES = 96 };

struct disk_name {
    char path[DISK_PATH_BYTES];
    struct disk_inode *inode;
};

struct disk_names {
    struct disk_name *items; /* in no order */
    size_t count, capacity;
};

/* A change that no sync of a directory has covered: `from` goes, `to` is `inode`. */
struct disk_change {
    char from[DISK_PATH_BYTES]; /* "": nothing goes */
    char to[DISK_PATH_BYTES];   /* "": nothing comes */
    struct disk_inode *inode;
};

struct disk_changes {
    struct disk_change *items; /* in the order they were made */
    size_t count, capacity;
};

struct disk_name *names_find(const struct disk_names *names, const char *path);
void names_set(struct disk_names *names, const char *path, struct disk_inode *inode);
void names_remove(struct disk_names *names, const char *path);
void names_apply(struct disk_names *names, const struct disk_change *change);
void names_release(struct disk_names *names);

/* Made in `cached`, and not yet on disk. "": nothing goes; "": nothing comes. */
void changes_put(struct disk_changes *changes, struct disk_names *cached, const char *from,
                 const char *to, struct disk_inode *inode);
/* Those that show in `directory` are made in `durable`, and forgotten. */
void changes_sync(struct disk_changes *changes, struct disk_names *durable, const char *directory);
void changes_release(struct disk_changes *changes);

/* Whether `path` lies directly in `directory`. */
bool path_is_in(const char *path, const char *directory);
/* The directory of `path`; false: it is the root, of which nothing is written. */
bool path_parent(const char *path, char out[DISK_PATH_BYTES]);

#endif
