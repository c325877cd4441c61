/* Trace: what a node is, and the last things it has done, for the report of a crash
 * (base/crash.h).
 *
 * A line is a text of the program's own, in which each '#' stands for a number: nothing that a
 * client has sent can get into it. Adding one costs a few stores. The report reads all of this from
 * a signal handler, so it is plain memory without pointers but to literals.
 *
 * Ownership    whoever runs the process owns it, and it lives as long as the process
 * Calling      the thread of the node; a report may find the newest line half written */
#ifndef MINIKV_BASE_TRACE_H
#define MINIKV_BASE_TRACE_H

#include <stdint.h>

enum { TRACE_LINES = 32, TRACE_NUMBERS = 4 };

enum trace_kind {
    TRACE_RARE, /* kept apart, so that what comes a thousand times a second does not push it out */
    TRACE_STEP,
    TRACE_KINDS
};

struct trace_line {
    uint64_t number;  /* from 1, over all kinds; 0: no line */
    int64_t at_us;    /* monotonic */
    const char *text; /* a literal */
    uint64_t numbers[TRACE_NUMBERS];
};

struct trace {
    uint32_t node;    /* 0: not known yet */
    const char *role; /* a literal; NULL: not known yet */
    uint64_t term, leader;
    uint64_t last, durable, commit, applied; /* indexes */
    uint64_t lines_count;                    /* added so far */
    struct {
        uint64_t count;
        struct trace_line lines[TRACE_LINES]; /* ring */
    } of[TRACE_KINDS];
};

/* `trace` NULL: nothing happens. */
static inline void trace_add(struct trace *trace, enum trace_kind kind, int64_t at_us,
                             const char *text, const uint64_t numbers[TRACE_NUMBERS])
{
    if (trace == (void *)0)
        return;
    struct trace_line *line = &trace->of[kind].lines[trace->of[kind].count++ % TRACE_LINES];
    *line = (struct trace_line){.number = ++trace->lines_count, .at_us = at_us, .text = text};
    for (int i = 0; i < TRACE_NUMBERS; i++)
        line->numbers[i] = numbers[i];
}

#endif
