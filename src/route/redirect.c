#include "route/redirect.h"

#include <string.h>

struct redirect_msg redirect_of(const struct known_leader *leader, bool took_it)
{
    struct redirect_msg message = {.redirect = !took_it, .term = leader->term};
    if (took_it || leader->known_leader_id == -1 || leader->known_leader_port == 0)
        return message;
    message.leader_known = 1;
    memcpy(message.leader_host, leader->known_leader_host, sizeof message.leader_host);
    message.leader_port = leader->known_leader_port;
    return message;
}
