/* Hops: every request and its answer, on standard error, for --verbose. */
#ifndef MINIKV_CLI_HOPS_H
#define MINIKV_CLI_HOPS_H

#include "minikv/minikv.h"

/* A minikv_options.on_hop. */
void hops_show(void *ctx, const struct minikv_hop *hop);

#endif
