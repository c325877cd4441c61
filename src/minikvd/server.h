/* Server: the parts of one node put together: env, node and front door, from options to exit code.
 *
 * Calling      one thread; server_run returns when a signal or a lost disk has ended the node */
#ifndef MINIKV_MINIKVD_SERVER_H
#define MINIKV_MINIKVD_SERVER_H

#include "base/status.h"
#include "minikvd/options.h"

/* Runs a node until SIGTERM, SIGINT or a fatal error; what ended it is on standard error. */
MUST_CHECK enum exit_code server_run(const struct options *options);

#endif
