/* Restore: what one cluster had becomes the beginning of another.
 *
 *      snapshot file ──▶ reader ──▶ state ──▶ members replaced ──▶ a data directory
 *      data directory of a dead node ─┘                            meta, snapshot, log behind it
 *
 * Keys, revisions, sessions, log time, index and term of the last entry stay as they were; the
 * members are those given, and nothing that the old ones had announced is kept. Each node of the
 * new cluster is made from the same state with the same members, and so gets the same first
 * snapshot, byte for byte. The cluster id follows from both: neither the old cluster nor one made
 * anew from the same addresses is taken for this one.
 *
 * Calling      the loop's thread */
#ifndef MINIKV_RESTORE_RESTORE_H
#define MINIKV_RESTORE_RESTORE_H

#include "env/env.h"
#include "kv/kv.h"

/* ---- from a snapshot file ---- */

struct restore_reader;

struct restore_reader *restore_reader_new(void);
/* The next bytes of the file, in pieces of any size.
 * return   ST_OK; ST_CORRUPT, ST_FORMAT with `error`, which says at which offset */
MUST_CHECK enum status restore_reader_feed(struct restore_reader *reader, struct bytes bytes,
                                           struct errtext *error);
/* That was all. The state is the caller's, with the id of the cluster that it is from.
 * return   ST_OK; as restore_reader_feed */
MUST_CHECK enum status restore_reader_finish(struct restore_reader *reader, struct kv **out_kv,
                                             uint64_t *out_cluster_id, struct errtext *error);
void restore_reader_free(struct restore_reader *reader); /* NULL is a no-op */

/* ---- from a data directory that no node uses any more ---- */

/* What its node would come to if all of its log were committed. Blocks; opens snapshot and log as a
 * start of the node would. The state is the caller's.
 * return   ST_OK; ST_LOCKED: a node runs on it; ST_NOT_FOUND: it is none; ST_CORRUPT, ST_FORMAT,
 *          ST_IO, with `error` */
MUST_CHECK enum status restore_read_directory(struct env *env, struct kv **out_kv,
                                              uint64_t *out_cluster_id, struct errtext *error);

/* ---- into a data directory ---- */

struct restore_options {
    node_id self;             /* whose directory it will be; one of the members */
    struct config members;    /* of the new cluster */
    uint64_t from_cluster_id; /* of the old one */
};

struct restore;

/* Makes the data directory of `env`, which must be empty. Its meta comes last: a directory that was
 * left half made is none of a node.
 *
 * kv        borrowed until on_done; its members are replaced
 * on_done   once: ST_OK with the id of the new cluster when all of it is durable; else why not. The
 *           restore stays until restore_free, which on_done must not call
 * return    ST_OK; ST_LOCKED, ST_IO, with `error` */
MUST_CHECK enum status
restore_start(struct env *env, const struct restore_options *options, struct kv *kv,
              void (*on_done)(void *ctx, enum status status, uint64_t cluster_id), void *ctx,
              struct restore **out_restore, struct errtext *error);
/* Bytes of the snapshot written, and of its content. */
void restore_progress(const struct restore *restore, uint64_t *out_bytes, uint64_t *out_of);
void restore_free(struct restore *restore); /* NULL is a no-op */

#endif
