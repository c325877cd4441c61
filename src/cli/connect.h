/* Connect: clients of the library for the endpoints that the command line names. */
#ifndef MINIKV_CLI_CONNECT_H
#define MINIKV_CLI_CONNECT_H

#include "cli/cli.h"

/* As minikv_open. A command that waits in one request has another client for those that it sends
 * meanwhile, as answers come in the order of requests. */
MUST_CHECK enum minikv_code connect_open(const struct cli *cli, struct minikv **out_kv);
/* "host:port,host:port…": as minikv_open and MINIKV_ENDPOINTS take them. */
void connect_put_endpoints(const struct cli *cli, struct buf *out);

#endif
