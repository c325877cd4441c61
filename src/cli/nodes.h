/* Nodes: what each member of the cluster says of itself, asked one after the other. */
#ifndef MINIKV_CLI_NODES_H
#define MINIKV_CLI_NODES_H

#include "cli/cli.h"

#define NODES_NOT_ANNOUNCED "(not announced)"

const char *nodes_text(const json_t *object, const char *name); /* "" when there is none */
uint64_t nodes_number(const json_t *object, const char *name);  /* 0 when there is none */
bool nodes_is_true(const json_t *object, const char *name);
/* In an array of objects with an "id"; NULL: it is not there. */
json_t *nodes_find(const json_t *nodes, uint64_t id);

/* One GET to one node, sent once: that it cannot be reached is part of the answer. `result` is to
 * be released in every case. */
bool nodes_get(const struct cli *cli, const char *address, const char *target, uint64_t deadline_ms,
               struct minikv_result *result, struct errtext *error);
/* An array: the /v1/raft/status of each member, with its "http", "voter" and, of one that has said
 * nothing, "error" instead of the rest. NULL, with a word on standard error: no endpoint answers.
 */
json_t *nodes_ask_all(const struct cli *cli, uint64_t deadline_ms);
bool nodes_is_silent(const json_t *node);
bool nodes_is_announced(const json_t *node);
/* The one that says it leads, with the highest term; NULL: none does. */
const json_t *nodes_leader(const json_t *nodes);
/* When a command that began now has used up its --timeout. */
uint64_t nodes_deadline_ms(const struct cli *cli);

#endif
