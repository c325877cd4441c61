/* Quorum: what a majority of voters agrees on. Arithmetic on small arrays, nothing else. */
#ifndef MINIKV_RAFT_QUORUM_H
#define MINIKV_RAFT_QUORUM_H

#include <stddef.h>
#include <stdint.h>

enum raft_outcome { RAFT_OUTCOME_OPEN, RAFT_OUTCOME_WON, RAFT_OUTCOME_LOST };

/* The smallest count that two of which always share a voter; without voters none is enough. */
size_t raft_quorum_size(size_t voters_count);
/* The greatest value that a majority has reached; 0 without voters. Sorts `values`. */
uint64_t raft_quorum_value(uint64_t *values, size_t voters_count);
/* Of an election in which so many have granted and so many have refused. */
enum raft_outcome raft_quorum_outcome(size_t voters_count, size_t granted_count,
                                      size_t refused_count);

#endif
