/* Keys: those of a prefix in order, however many pages that takes. */
#ifndef MINIKV_CLI_KEYS_H
#define MINIKV_CLI_KEYS_H

#include "cli/cli.h"

/* Prints them as the options say. */
enum exit_code keys_list(struct cli *cli, struct minikv_bytes prefix);

/* How many there are, and at which revision; as --rev and --stale say. */
enum exit_code keys_count(struct cli *cli, struct minikv_bytes prefix, uint64_t *out_count,
                          uint64_t *out_revision);

#endif
