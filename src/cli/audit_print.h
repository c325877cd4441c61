/* Audit print: the result of an audit, for people or as JSON. */
#ifndef MINIKV_CLI_AUDIT_PRINT_H
#define MINIKV_CLI_AUDIT_PRINT_H

#include "audit/audit_replay.h"

struct audit_result {
    const char *const *paths; /* borrowed; of the directories */
    const struct audit_replay *replays;
    size_t count;
    raft_index common; /* up to here all logs are the same */
    const struct audit_report *report;
};

void audit_print_text(const struct audit_result *result);
void audit_print_json(const struct audit_result *result);

#endif
