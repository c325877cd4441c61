/* The HTTP front door of a node, as minikvd opens it. Only where there are customers: nobody else
 * would come in. */
#include "sim/swarm/swarm.h"

bool front_is_wanted(const struct swarm *swarm)
{
    return swarm->plan.customers_count > 0;
}

enum status front_open(struct site *site, struct errtext *error)
{
    const struct plan *plan = &site->swarm->plan;
    struct http_options options = {.listen = site_http(site->id),
                                   .request_timeout = plan->request_timeout,
                                   .idle_timeout = plan->idle_timeout};
    REQUIRE(site->http == NULL && site->node != NULL);
    bool is_on = world_is_on(site->swarm->world, site->id); /* it may have stopped meanwhile */
    if (!front_is_wanted(site->swarm) || !is_on)
        return ST_OK;
    enum status status = http_open(site->env, site->node, &options, &site->http, error);
    if (status != ST_OK)
        site->http = NULL;
    return status;
}

void front_on_view(void *ctx)
{
    struct site *site = ctx;
    if (site->http != NULL)
        http_on_view(site->http);
}

void front_close(struct site *site)
{
    struct http *http = site->http;
    site->http = NULL;
    http_close(http);
}
