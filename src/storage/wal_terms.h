/* Wal terms: which term each index has, of all that was appended. One item per change of term. */
#ifndef MINIKV_STORAGE_WAL_TERMS_H
#define MINIKV_STORAGE_WAL_TERMS_H

#include "base/check.h"
#include "types/entry.h"
#include "types/ids.h"

struct wal_terms {
    struct entry_id *runs; /* owned; the first of each term; rising index and term */
    size_t runs_count;
    size_t capacity;
    raft_index last; /* 0: empty */
};

void wal_terms_init(struct wal_terms *terms);
void wal_terms_release(struct wal_terms *terms);
/* The entry behind the last one, or any in an empty list. */
void wal_terms_add(struct wal_terms *terms, struct entry_id id);
/* Everything from `from` on is superseded. */
void wal_terms_cut(struct wal_terms *terms, raft_index from);
/* Everything before `first` need not be known any more. */
void wal_terms_drop(struct wal_terms *terms, raft_index first);
/* 0: not known. */
raft_term wal_terms_at(const struct wal_terms *terms, raft_index index);

#endif
