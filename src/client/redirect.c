#include "client/redirect.h"

#include <stdio.h>
#include <string.h>

#include "types/address.h"

_Static_assert(sizeof((struct redirect_msg *)0)->leader_host == LIMIT_HOST_BYTES + 1,
               "leader_host[64]");

/* The authority of "http://host:port/path". */
static bool read_location(const char *location, struct address *out_address)
{
    static const char scheme[] = "http://";
    if (location == NULL || strncmp(location, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *authority = location + sizeof scheme - 1;
    size_t count = strcspn(authority, "/?#");
    return address_parse(bytes_of(authority, count), out_address) == ST_OK &&
           out_address->host[0] != '\0';
}

void redirect_read(const struct http_reply *reply, struct redirect_msg *out_message)
{
    *out_message = (struct redirect_msg){.term = http_reply_number(reply, "X-MiniKV-Term")};
    struct address leader;
    if (reply->code == 503) {
        out_message->redirect = 1;
    } else if (reply->code == 307) {
        out_message->redirect = 1;
        if (!read_location(http_reply_header(reply, "Location"), &leader))
            return;
        out_message->leader_known = 1;
        out_message->leader_port = leader.port;
        (void)snprintf(out_message->leader_host, sizeof out_message->leader_host, "%s",
                       leader.host);
    }
}
