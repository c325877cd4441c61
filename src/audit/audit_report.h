/* Audit report: what an audit found, in the order found, the first hundred of each kind in full.
 *
 * A violation is something that must not happen; a note is worth knowing and allowed. */
#ifndef MINIKV_AUDIT_AUDIT_REPORT_H
#define MINIKV_AUDIT_AUDIT_REPORT_H

#include "kv/command.h"

enum { AUDIT_FINDINGS_MAX = 100 }; /* kept of violations, and of notes; the rest is counted */

enum audit_kind {
    AUDIT_TWICE = 1, /* one write carried out twice */
    AUDIT_UNSEALED,  /* carried out although it was sealed as never to be */
    AUDIT_UNOPENED,  /* carried out in an allotted session that was not open */
    AUDIT_INVENTED,  /* answered as a repetition of what never happened */
    AUDIT_ANSWER,    /* a repetition answered otherwise than the first delivery */
    AUDIT_REPLACED,  /* a committed entry gave way to another */
    AUDIT_LOGS,      /* the logs of two nodes contradict each other */
    AUDIT_STATES,    /* the same log has made two states */
    AUDIT_FORGOTTEN, /* note: carried out again, long after its session had expired */
    AUDIT_TAIL,      /* note: from here on a log has entries that are nowhere committed */
    AUDIT_DAMAGED    /* note: a snapshot cannot be used */
};

struct audit_finding {
    enum audit_kind kind;
    node_id node;
    raft_index index;
    char client[LIMIT_IDEMPOTENCY_KEY_BYTES + 1]; /* "" where it is about no write */
    bool is_key;                                  /* `client` is an Idempotency-Key */
    uint64_t sequence;
    char text[160]; /* what happened, without node, index, client and sequence */
};

struct audit_report {
    struct audit_finding *findings; /* owned */
    size_t findings_count, capacity;
    uint64_t violations_count, notes_count; /* of all, kept or not */
};

void audit_report_init(struct audit_report *report);
void audit_report_release(struct audit_report *report);
/* Copies the finding; its `text` is made of the format. */
void audit_report_add(struct audit_report *report, struct audit_finding finding, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));

bool audit_kind_is_note(enum audit_kind kind);
const char *audit_kind_name(enum audit_kind kind); /* "twice", … */

#endif
