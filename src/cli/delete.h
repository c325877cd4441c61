/* Delete: all keys that begin alike, however many there are. */
#ifndef MINIKV_CLI_DELETE_H
#define MINIKV_CLI_DELETE_H

#include "cli/cli.h"

/* Those of --prefix: at one revision if a transaction takes them, else page by page. Says how many
 * there were, also when it ends early. */
enum exit_code delete_prefix(struct cli *cli);

#endif
