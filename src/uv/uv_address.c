/* Address: between struct address and the kernel's sockaddr. */
#include "uv/uv_internal.h"

#include <string.h>

bool env_sockaddr_of(const struct address *address, struct sockaddr_storage *out_sockaddr)
{
    struct sockaddr_storage sockaddr = {0};
    if (uv_ip4_addr(address->host, address->port, (struct sockaddr_in *)&sockaddr) != 0 &&
        uv_ip6_addr(address->host, address->port, (struct sockaddr_in6 *)&sockaddr) != 0)
        return false;
    *out_sockaddr = sockaddr;
    return true;
}

/* A v4 peer of a socket that takes both families looks like ::ffff:192.0.2.1; nobody wants to see
 * or compare that. */
static bool format_v4_in_v6(const struct sockaddr_in6 *sockaddr, char *out, size_t out_bytes)
{
    if (!IN6_IS_ADDR_V4MAPPED(&sockaddr->sin6_addr))
        return false;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    memcpy(&v4.sin_addr, sockaddr->sin6_addr.s6_addr + 12, sizeof v4.sin_addr);
    return uv_ip4_name(&v4, out, out_bytes) == 0;
}

void env_address_of(const struct sockaddr_storage *sockaddr, struct address *out_address)
{
    *out_address = (struct address){0};
    if (sockaddr->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sockaddr;
        (void)uv_ip4_name(v4, out_address->host, sizeof out_address->host); /* fits */
        out_address->port = ntohs(v4->sin_port);
    } else if (sockaddr->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sockaddr;
        if (!format_v4_in_v6(v6, out_address->host, sizeof out_address->host))
            (void)uv_ip6_name(v6, out_address->host, sizeof out_address->host); /* fits */
        out_address->port = ntohs(v6->sin6_port);
    }
}
