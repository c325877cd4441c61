/* Trace: what happened in a run, one line per event for people, and kept for the timeline.
 *
 * The same events, as numbers, are part of the digest of the run. */
#ifndef MINIKV_SIM_SWARM_TRACE_H
#define MINIKV_SIM_SWARM_TRACE_H

#include <stdio.h>

#include "base/buf.h"
#include "types/ids.h"

/* X(NAME, sign, what it means) */
#define TRACE_TABLE(X)                                                                             \
    X(PHASE, "==", "a phase of the run begins")                                                    \
    X(BOOT, "on", "the machine starts on the disk it has")                                         \
    X(STOP, "off", "the machine stops; why stands behind it")                                      \
    X(PAUSE, "zz", "nothing of this machine runs")                                                 \
    X(RESUME, "go", "it runs again")                                                               \
    X(FAULT, "!", "a fault strikes")                                                               \
    X(HEAL, "+", "a fault ends")                                                                   \
    X(LEAD, "L", "the node leads, in this term")                                                   \
    X(YIELD, "l", "it leads no more")                                                              \
    X(CALL, ">", "a client asks the node; #n names the operation")                                 \
    X(ANSWER, "<", "the node answers operation #n")                                                \
    X(COMMIT, "=", "an index is committed for the first time, by this node")                       \
    X(MESSAGE, "~", "a message arrives")                                                           \
    X(VIOLATION, "X", "what must never be was seen")

enum trace_kind {
#define TRACE_ENUM(name, sign, text) TRACE_##name,
    TRACE_TABLE(TRACE_ENUM)
#undef TRACE_ENUM
        TRACE_KINDS
};

struct trace_info {
    const char *sign, *text;
};
const struct trace_info *trace_info(enum trace_kind kind);

struct trace_event {
    time_us at;
    enum trace_kind kind;
    unsigned machine, other; /* 0: none */
    uint64_t a, b;           /* LEAD, YIELD: term; CALL, ANSWER: operation, effect; COMMIT: index;
                                MESSAGE: type, when it was sent */
    char text[88];
};

struct trace {
    FILE *out;                  /* NULL: no lines */
    bool shows_messages;        /* in the lines */
    bool keeps;                 /* for the timeline */
    struct trace_event *events; /* owned */
    size_t events_count, events_capacity;
    uint64_t digest;
};

void trace_release(struct trace *trace);
/* Whether anybody will read a text: making one takes longer than all the rest. */
static inline bool trace_wants_text(const struct trace *trace)
{
    return trace->out != NULL || trace->keeps;
}
void trace_add(struct trace *trace, const struct trace_event *event);
void trace_print_legend(FILE *out);

#endif
