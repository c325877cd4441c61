/* Ids: the scalars of consensus, each a name of its own, and the pair that proves itself. */
#ifndef MINIKV_TYPES_IDS_H
#define MINIKV_TYPES_IDS_H

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t node_id; /* 1 … 2^31-1; 0 means none or unknown */
typedef uint64_t raft_term;
typedef uint64_t raft_index; /* the first entry has index 1; 0 means before the first */
typedef uint64_t time_us;    /* microseconds, monotonic unless the name says wall */

#define NODE_NONE      ((node_id)0)
#define NODE_ID_MAX    ((node_id)0x7fffffff)
#define TIME_NEVER     UINT64_MAX
#define TIME_US_PER_MS 1000u

/* Equal ids mean equal entries and equal logs up to them (log matching, Raft §5.3). */
struct entry_id {
    raft_term term;
    raft_index index;
};

static inline bool entry_id_equal(struct entry_id a, struct entry_id b)
{
    return a.term == b.term && a.index == b.index;
}

/* Which log is more up to date (Raft §5.4.1): <0, 0, >0. */
static inline int entry_id_compare(struct entry_id a, struct entry_id b)
{
    if (a.term != b.term)
        return a.term < b.term ? -1 : 1;
    return a.index < b.index ? -1 : a.index > b.index;
}

/* Durable before any message of its term leaves (Raft figure 2, "persistent state"). */
struct hard_state {
    raft_term term;
    node_id vote; /* NODE_NONE: not voted in this term */
};

#endif
