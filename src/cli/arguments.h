/* Arguments: the command line and the environment, read and checked into a struct cli. */
#ifndef MINIKV_CLI_ARGUMENTS_H
#define MINIKV_CLI_ARGUMENTS_H

#include "cli/cli.h"

/* Borrows `argv`, whose order changes. `endpoints` is the text of MINIKV_ENDPOINTS or NULL.
 * return   ST_OK; ST_BAD_REQUEST with `error` */
MUST_CHECK enum status arguments_read(struct cli *cli, int argc, char **argv, const char *endpoints,
                                      struct errtext *error);
/* A client's id and a sequence from 1; false when they are not. */
MUST_CHECK bool arguments_read_identity(const char *client, const char *sequence,
                                        struct minikv_identity *out_identity);
/* The id of a node, as the cluster judges it: up to ten digits. */
MUST_CHECK bool arguments_read_node(const char *text, json_int_t *out_id);

#endif
