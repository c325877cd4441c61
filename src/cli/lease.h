/* Lease: grant and revoke, for commands that need one. */
#ifndef MINIKV_CLI_LEASE_H
#define MINIKV_CLI_LEASE_H

#include "cli/cli.h"

enum { LEASE_TARGET_BYTES = 64 };

/* Each says on standard error why it failed. */
enum exit_code lease_grant(struct cli *cli, uint64_t ttl_ms, uint64_t *out_lease);
enum exit_code lease_revoke(struct cli *cli, uint64_t lease);
/* The same without a word. */
enum minikv_code lease_end(struct minikv *kv, uint64_t lease);
/* "/v1/leases/17/keepalive" */
void lease_put_target(char out[LEASE_TARGET_BYTES], uint64_t lease, const char *verb);

#endif
