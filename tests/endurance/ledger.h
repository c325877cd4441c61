/* Ledger: what has been answered, and whether it can be true.
 *
 * All increments go to one counter that did not exist, so the answers alone prove that each took
 * effect exactly once: N writes with N different values, 1 to N. Beyond that, revisions must grow
 * with values, and a value must be greater than every value known before its write was first sent.
 *
 * A violation is printed and counted; the run goes on. */
#ifndef MINIKV_TESTS_ENDURANCE_LEDGER_H
#define MINIKV_TESTS_ENDURANCE_LEDGER_H

#include "endurance/answer.h"

struct ledger {
    uint64_t *revisions; /* owned; at value - 1; 0: not answered */
    uint32_t increments_count;
    uint64_t answered_count;
    uint64_t value_max;
    uint64_t violations_count;
};

void ledger_init(struct ledger *ledger, uint32_t increments_count);
void ledger_release(struct ledger *ledger);
/* The first answer to a write, which was first sent when `floor` was the ledger's value_max. */
void ledger_record(struct ledger *ledger, const char *client, uint64_t sequence, uint64_t floor,
                   const struct answer *answer);
/* Everything has been answered: nothing is missing, and the order is the same everywhere. */
void ledger_close(struct ledger *ledger);
void ledger_violation(struct ledger *ledger, const char *client, uint64_t sequence,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
