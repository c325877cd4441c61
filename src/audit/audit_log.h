/* Audit log: reads the log of a data directory from beginning to end and changes nothing.
 *
 * By the rules of recovery (docs/formats/wal.md, "Recovery"), written down a second time: a node
 * that recovers must be able to write, and an audit should not rest on the code that it checks.
 *
 * Each index is given once, in rising order: an entry is held back until a later frame says that it
 * is committed, or the log ends, so that one that was superseded is never given. Where the log has
 * been cut at its front, or began anew behind a snapshot, indexes are left out. */
#ifndef MINIKV_AUDIT_AUDIT_LOG_H
#define MINIKV_AUDIT_AUDIT_LOG_H

#include "env/env.h"
#include "storage/meta.h"
#include "types/entry.h"

struct audit_log {
    struct hard_state hard_state;
    raft_index commit;        /* the highest any frame was built with; a lower bound */
    uint64_t entries_count;   /* given */
    raft_index first;         /* the oldest entry behind which none is missing; 0: none */
    struct entry_id snapshot; /* the last mark: what a snapshot stands for; {0,0}: none */
    bool has_front;           /* nothing is missing: `first` is the first there ever was */
    uint64_t replaced_count;  /* never committed, and superseded by a later record */
    uint64_t torn_bytes;      /* behind the end; never acknowledged */
    raft_index overruled; /* 0, or a committed entry that another replaced: reading ended there */
};

/* `on_entry` borrows the entry for the call; it may be NULL.
 * return   ST_OK; ST_CORRUPT: synced data is damaged or missing; ST_FORMAT: another version or
 *          owner; ST_NOT_FOUND: there is no log, and `meta` knows of none; ST_IO; with `error` */
MUST_CHECK enum status audit_log_read(struct env *env, const struct meta *meta,
                                      void (*on_entry)(void *ctx, const struct entry *entry),
                                      void *ctx, struct audit_log *out_log, struct errtext *error);

#endif
