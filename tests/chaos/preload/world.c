/* World: the clock that people set, and where a node's connections go.
 *
 * CHAOS_ROUTES="host:port=host:port,…" sends what is dialed to another address: to a relay that
 * belongs to this pair of nodes. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "page.h"

enum { ROUTES_MAX = 16 };

static struct {
    struct in_addr from, to;
    in_port_t from_port, to_port; /* in network order */
} routes[ROUTES_MAX];
static size_t routes_count;

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);
    if (rc != 0 || clock != CLOCK_REALTIME || chaos_page == NULL)
        return rc;
    int64_t ns = out->tv_nsec + chaos_page->clock_offset_us % 1000000 * 1000;
    out->tv_sec += chaos_page->clock_offset_us / 1000000;
    if (ns < 0 || ns >= 1000000000) {
        out->tv_sec += ns < 0 ? -1 : 1;
        ns += ns < 0 ? 1000000000 : -1000000000;
    }
    out->tv_nsec = (long)ns;
    return 0;
}

static bool parse_end(const char *text, struct in_addr *address, in_port_t *port)
{
    char host[INET_ADDRSTRLEN];
    unsigned number;
    if (sscanf(text, "%15[0-9.]:%u", host, &number) != 2 || inet_pton(AF_INET, host, address) != 1)
        return false;
    *port = htons((uint16_t)number);
    return true;
}

static __attribute__((constructor)) void read_routes(void)
{
    const char *text = getenv("CHAOS_ROUTES");
    while (text != NULL && *text != '\0' && routes_count < ROUTES_MAX) {
        const char *middle = strchr(text, '=');
        if (middle == NULL ||
            !parse_end(text, &routes[routes_count].from, &routes[routes_count].from_port) ||
            !parse_end(middle + 1, &routes[routes_count].to, &routes[routes_count].to_port))
            break;
        routes_count++;
        text = strchr(text, ',');
        text = text == NULL ? NULL : text + 1;
    }
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct sockaddr_in other;
    if (address->sa_family == AF_INET && bytes >= sizeof other) {
        memcpy(&other, address, sizeof other);
        for (size_t i = 0; i < routes_count; i++) {
            if (routes[i].from.s_addr != other.sin_addr.s_addr ||
                routes[i].from_port != other.sin_port)
                continue;
            other.sin_addr = routes[i].to;
            other.sin_port = routes[i].to_port;
            return (int)syscall(SYS_connect, fd, &other, sizeof other);
        }
    }
    return (int)syscall(SYS_connect, fd, address, bytes);
}
