#include "sim/swarm/trace.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/mem.h"

enum { EVENTS_MAX = 2000000 };

static const struct trace_info infos[TRACE_KINDS] = {
#define TRACE_INFO(name, sign, text) [TRACE_##name] = {sign, text},
    TRACE_TABLE(TRACE_INFO)
#undef TRACE_INFO
};

const struct trace_info *trace_info(enum trace_kind kind)
{
    REQUIRE(kind < TRACE_KINDS);
    return &infos[kind];
}

void trace_release(struct trace *trace)
{
    mem_free(trace->events);
    trace->events = NULL;
    trace->events_count = trace->events_capacity = 0;
}

static void fold(struct trace *trace, uint64_t value)
{
    uint64_t hash = (trace->digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    trace->digest = hash ^ hash >> 29;
}

static void keep(struct trace *trace, const struct trace_event *event)
{
    if (trace->events_count == EVENTS_MAX)
        return;
    if (trace->events_count == trace->events_capacity) {
        trace->events_capacity = MAX(trace->events_capacity * 2, (size_t)4096);
        trace->events =
            mem_realloc(trace->events, trace->events_capacity * sizeof trace->events[0]);
    }
    trace->events[trace->events_count++] = *event;
}

static void print(const struct trace *trace, const struct trace_event *event)
{
    char machine[16] = "";
    if (event->machine != 0)
        (void)snprintf(machine, sizeof machine, "n%u", event->machine);
    (void)fprintf(trace->out, "%4" PRIu64 ".%06u  %-3s %-3s %s\n", event->at / 1000000,
                  (unsigned)(event->at % 1000000), machine, infos[event->kind].sign, event->text);
}

void trace_add(struct trace *trace, const struct trace_event *event)
{
    if (event->kind != TRACE_MESSAGE) { /* these are noted only when somebody reads them */
        fold(trace, event->at);
        fold(trace, (uint64_t)event->kind << 32 | event->machine << 16 | event->other);
        fold(trace, event->a);
        fold(trace, event->b);
    }
    if (trace->keeps)
        keep(trace, event);
    if (trace->out != NULL && (event->kind != TRACE_MESSAGE || trace->shows_messages))
        print(trace, event);
}

void trace_print_legend(FILE *out)
{
    (void)fputs("# time in s, machine, sign, what\n", out);
    for (unsigned i = 0; i < TRACE_KINDS; i++)
        (void)fprintf(out, "#   %-3s %s\n", infos[i].sign, infos[i].text);
}
