#include "raft/quorum.h"

#include "base/check.h"

size_t raft_quorum_size(size_t voters_count)
{
    return voters_count / 2 + 1;
}

uint64_t raft_quorum_value(uint64_t *values, size_t voters_count)
{
    if (voters_count == 0)
        return 0;
    for (size_t i = 1; i < voters_count; i++) { /* insertion sort, greatest first */
        uint64_t value = values[i];
        size_t at = i;
        for (; at > 0 && values[at - 1] < value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[raft_quorum_size(voters_count) - 1];
}

enum raft_outcome raft_quorum_outcome(size_t voters_count, size_t granted_count,
                                      size_t refused_count)
{
    REQUIRE(granted_count + refused_count <= voters_count);
    if (granted_count >= raft_quorum_size(voters_count))
        return RAFT_OUTCOME_WON;
    if (voters_count - refused_count < raft_quorum_size(voters_count))
        return RAFT_OUTCOME_LOST;
    return RAFT_OUTCOME_OPEN;
}
