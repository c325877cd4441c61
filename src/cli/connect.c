#include "cli/connect.h"

#include "cli/hops.h"

void connect_put_endpoints(const struct cli *cli, struct buf *out)
{
    for (size_t i = 0; i < cli->connect.endpoints_count; i++) {
        char address[LIMIT_ADDRESS_BYTES];
        buf_printf(out, "%s%s", i > 0 ? "," : "",
                   address_format(&cli->connect.endpoints[i], address));
    }
}

enum minikv_code connect_open(const struct cli *cli, struct minikv **out_kv)
{
    struct minikv_options options = {.timeout_ms =
                                         (unsigned)(cli->connect.timeout / TIME_US_PER_MS),
                                     .on_hop = cli->is_verbose ? hops_show : NULL};
    struct buf endpoints;
    buf_init(&endpoints, (size_t)MINIKV_ENDPOINTS_MAX * LIMIT_ADDRESS_BYTES + 1);
    connect_put_endpoints(cli, &endpoints);
    enum minikv_code code = minikv_open(buf_text(&endpoints), &options, out_kv);
    buf_release(&endpoints);
    return code;
}
