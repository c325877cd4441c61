/* The words for roles, apart from the moves between them: whoever only prints a role needs no more.
 */
#include "raft/raft.h"

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_ROLE_FOLLOWER:
        return "follower";
    case RAFT_ROLE_PRE_CANDIDATE:
        return "pre-candidate";
    case RAFT_ROLE_CANDIDATE:
        return "candidate";
    case RAFT_ROLE_LEADER:
        return "leader";
    case RAFT_ROLE_LEARNER:
        return "learner";
    }
    UNREACHABLE();
}
