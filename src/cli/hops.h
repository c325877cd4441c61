/* Hops: every request and its answer, on standard error, for --verbose. */
#ifndef MINIKV_CLI_HOPS_H
#define MINIKV_CLI_HOPS_H

#include "client/client.h"

/* A client_options.on_hop. */
void hops_show(void *ctx, const struct client_hop *hop);

#endif
