/* Log: the part of the replicated log that is in memory, and how much of it the disk has.
 *
 *      index:   1 … base | base+1 …………………………………………………… last
 *               on disk  |  in memory
 *                                    durable ^   handed ^
 *
 * Entries up to `durable` are on disk, those up to `handed` have been given to it to write, the
 * rest waits. After a cut into entries that the disk is still writing nothing is handed out until
 * those writes have been reported: a completion names its last entry, and an entry that was cut
 * and came back later must not be taken for durable because of its first life.
 *
 * Invariants   R3 base.index <= durable <= handed <= last
 *              R4 indexes are consecutive, terms never decrease
 * Ownership    owns one reference on each entry in memory; pointers into it are borrowed until the
 *              next append, cut or eviction */
#ifndef MINIKV_RAFT_LOG_H
#define MINIKV_RAFT_LOG_H

#include "types/entry.h"
#include "types/ids.h"

struct raft_log {
    struct entry **slots; /* the entries in memory are slots[head … head + count) */
    size_t head, count, capacity;
    size_t bytes;         /* of the entries in memory */
    struct entry_id base; /* the entry before the first in memory */
    raft_index handed;
    raft_index durable;
    struct entry_id drain; /* index 0, or the cut entry whose write must be reported first */
};

/* An empty log that continues after `base`, which is on disk. */
void raft_log_init(struct raft_log *log, struct entry_id base);
void raft_log_release(struct raft_log *log);

/* Adds the next entry, taking a reference. */
void raft_log_append(struct raft_log *log, struct entry *entry);
/* Drops everything from `first` on. Requires base.index < first <= last. */
void raft_log_cut(struct raft_log *log, raft_index first);
/* Drops entries up to `index_max` from memory, oldest first, while more than `bytes_max` are kept.
 * Requires that those are durable. */
void raft_log_evict(struct raft_log *log, raft_index index_max, size_t bytes_max);

/* A snapshot on disk stands for everything up to `last`. What follows that very entry stays; where
 * the log does not have it nothing does, and it continues after `last`. Requires
 * last.index > base.index. */
void raft_log_install(struct raft_log *log, struct entry_id last);

/* Everything in memory counts as written and synced: it was read from disk. */
void raft_log_mark_durable(struct raft_log *log);
/* Hands out what the disk has not been given yet; returns how many. */
size_t raft_log_hand_out(struct raft_log *log, struct entry ***out_entries);
/* The disk has reported everything up to `id`. A report of a cut entry counts for nothing above
 * the cut. */
void raft_log_on_durable(struct raft_log *log, struct entry_id id);

raft_index raft_log_first(const struct raft_log *log); /* in memory; last + 1 when none is */
struct entry_id raft_log_last(const struct raft_log *log);
/* Whether the term at `index` is known: base.index <= index <= last. */
bool raft_log_knows(const struct raft_log *log, raft_index index);
/* Whether it is in the log: known there, with this term. */
bool raft_log_has(const struct raft_log *log, struct entry_id id);
/* Requires raft_log_knows. */
struct entry_id raft_log_id(const struct raft_log *log, raft_index index);
/* NULL when not in memory. */
struct entry *raft_log_entry(const struct raft_log *log, raft_index index);
/* The entries from `first` on as an array, and how many. Requires first > base.index. */
struct entry **raft_log_tail(const struct raft_log *log, raft_index first, size_t *out_count);

/* The oldest index in memory of the run of equal terms that `index` is in. */
raft_index raft_log_term_first(const struct raft_log *log, raft_index index);
/* The newest known index with this term; 0 when there is none. */
raft_index raft_log_term_last(const struct raft_log *log, raft_term term);

/* How many of the entries fit one append message: at least one when there is one. */
size_t raft_entries_fit(struct entry *const *entries, size_t entries_count, size_t *out_bytes);

#endif
