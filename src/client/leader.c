#include "client/leader.h"

bool leader_hear(struct leader *leader, raft_term term, const struct address *address)
{
    if (term < leader->term_max)
        return false;
    if (term > leader->term_max)
        leader->address = (struct address){0}; /* of an earlier term */
    leader->term_max = term;
    if (!leader_is_known(leader) && address_is_set(address))
        leader->address = *address;
    return true;
}

void leader_forget(struct leader *leader, const struct address *address)
{
    if (!leader_is_known(leader) || !address_equal(&leader->address, address))
        return;
    leader->failed = leader->address;
    leader->failed_term = leader->term_max;
    leader->address = (struct address){0};
}

bool leader_has_failed(const struct leader *leader, const struct address *address)
{
    return leader->failed_term == leader->term_max && address_equal(&leader->failed, address);
}

bool leader_is_known(const struct leader *leader)
{
    return address_is_set(&leader->address);
}
