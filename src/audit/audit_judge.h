/* Judge: remembers what every write with an identity did, for as long as the log goes, and convicts
 * one that did it twice.
 *
 * Independent of the table of sessions (kv/session.h), which it is there to check: it keeps no
 * windows, moves no floors and forgets nothing. It looks at each entry of a log in order, at what
 * applying it came to, and at whether the state's revision grew.
 *
 * Carried out means: the revision grew, or a final answer was given that is not called a
 * repetition. The second covers writes that were refused by the state: a delete of an absent key
 * that removes it when it comes again has been carried out twice, though it changed something once.
 *
 * An id of the client's own choosing, or an Idempotency-Key, is promised only while it is
 * remembered: carried out again after an entry that expired what was last used before some time is
 * a note, if the client had indeed not been heard of since before that time.
 *
 * Ownership    borrows the report
 * Limits       none: about 60 bytes for each write with an identity, and 100 and the id for each
 *              client */
#ifndef MINIKV_AUDIT_AUDIT_JUDGE_H
#define MINIKV_AUDIT_AUDIT_JUDGE_H

#include "audit/audit_report.h"
#include "kv/kv.h"

struct audit_judge;

struct audit_judge *audit_judge_new(node_id node, struct audit_report *report);
void audit_judge_free(struct audit_judge *judge); /* NULL is a no-op */

/* The log begins behind this state, which is borrowed: what it remembers of writes counts as if it
 * had been heard. Before the first entry. */
void audit_judge_begin(struct audit_judge *judge, const struct kv *base);

/* One command entry, in log order, each once.
 *
 * has_changed  the revision of the state grew by it */
void audit_judge_hear(struct audit_judge *judge, struct entry_id at,
                      const struct proposal *proposal, const struct kv_result *result,
                      bool has_changed);

struct audit_counts {
    uint64_t clients_count;
    uint64_t writes_count;   /* with an identity, and carried out */
    uint64_t replayed_count; /* repetitions answered from what the first had come to */
    uint64_t refused_count;  /* for their identity: too old, sealed, expired, reused */
};
const struct audit_counts *audit_judge_counts(const struct audit_judge *judge);

#endif
