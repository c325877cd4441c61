/* The picture is drawn by the page itself: timeline.html with timeline.js in it. Here the run
 * becomes what that reads: numbers and texts, bounded however long the run was. */
#include "sim/swarm/timeline.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "sim/swarm/options.h"
#include "sim/swarm/report.h"

enum {
    MESSAGES_MAX = 20000, /* beyond, those that only say that all is well are thinned out */
    EVENTS_MAX = 60000,   /* beyond, requests and commits are */
    NEAR = 5000000        /* µs in front of the end: nothing is thinned out there */
};

static const uint8_t page[] = {
#include "timeline_html.inc"
};
static const uint8_t script[] = {
#include "timeline_js.inc"
};

struct picture {
    FILE *out;
    const struct swarm *swarm;
    const struct trace_event *events;
    size_t count;
    time_us end;
};

/* ---- JSON, within an element of a page ---- */

static void put_json_text(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < ' ' || byte == '<' || byte == '"' || byte == '\\')
            (void)fprintf(out, "\\u%04x", byte);
        else
            (void)fputc(byte, out);
    }
    (void)fputc('"', out);
}

/* ---- what is left out ---- */

static bool is_frequent(const struct trace_event *event)
{
    switch (event->kind) {
    case TRACE_MESSAGE:
        return event->machine == 0 || event->a == MESSAGE_APPEND ||
               event->a == MESSAGE_APPEND_REPLY;
    case TRACE_CALL:
    case TRACE_ANSWER:
    case TRACE_COMMIT:
        return true;
    case TRACE_PHASE:
    case TRACE_BOOT:
    case TRACE_STOP:
    case TRACE_PAUSE:
    case TRACE_RESUME:
    case TRACE_FAULT:
    case TRACE_HEAL:
    case TRACE_LEAD:
    case TRACE_YIELD:
    case TRACE_VIOLATION:
    case TRACE_KINDS:
        return false;
    }
    return false;
}

/* Between nodes; what the library of a customer says is an event of that customer. */
static bool is_message(const struct trace_event *event)
{
    return event->kind == TRACE_MESSAGE && event->machine != 0 && event->other != 0;
}

/* Of so many frequent ones, every so manieth is shown. A request and its answer share a number. */
static bool is_shown(const struct picture *picture, size_t at, size_t stride)
{
    const struct trace_event *event = &picture->events[at];
    bool is_near = event->at + NEAR > picture->end;
    size_t number = event->kind == TRACE_CALL || event->kind == TRACE_ANSWER ? event->a : at;
    return is_near || !is_frequent(event) || number % stride == 0;
}

static size_t stride_of(const struct picture *picture, bool of_messages, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < picture->count; i++)
        count += is_message(&picture->events[i]) == of_messages;
    return count / max + 1;
}

/* ---- the parts ---- */

/* Faults that last until they are healed. */
static bool has_end(enum fault fault)
{
    return fault == FAULT_CUT || fault == FAULT_ISOLATE || fault == FAULT_PARTITION ||
           fault == FAULT_LOSSY || fault == FAULT_NARROW || fault == FAULT_SLOW_DISK ||
           fault == FAULT_SLOW_CPU || fault == FAULT_READ_ERROR || fault == FAULT_NO_ROOM;
}

static void put_events(const struct picture *picture)
{
    size_t stride = stride_of(picture, false, EVENTS_MAX);
    const char *comma = "";
    (void)fputs(",\n\"events\":[", picture->out);
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (is_message(event) || !is_shown(picture, i, stride))
            continue;
        (void)fprintf(picture->out, "%s\n[%" PRIu64 ",\"%s\",%u,%u,%" PRIu64 ",%" PRIu64 ",", comma,
                      event->at, trace_info(event->kind)->sign, event->machine, event->other,
                      event->a, event->b);
        put_json_text(picture->out, event->text);
        (void)fputc(']', picture->out);
        comma = ",";
    }
    (void)fputc(']', picture->out);
}

static char letter_of(const struct trace_event *event)
{
    return event->a == MESSAGE_APPEND ? 'e' : event->a == MESSAGE_APPEND_REPLY ? 'h' : 'v';
}

static void put_messages(const struct picture *picture)
{
    size_t stride = stride_of(picture, true, MESSAGES_MAX);
    const char *comma = "";
    (void)fputs(",\n\"messages\":[", picture->out);
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (!is_message(event) || !is_shown(picture, i, stride))
            continue;
        (void)fprintf(picture->out, "%s\n[%" PRIu64 ",%" PRIu64 ",%u,%u,\"%c\",", comma, event->b,
                      event->at, event->machine, event->other, letter_of(event));
        put_json_text(picture->out, event->text);
        (void)fputc(']', picture->out);
        comma = ",";
    }
    (void)fputc(']', picture->out);
}

static void put_about(const struct picture *picture)
{
    const struct swarm *swarm = picture->swarm;
    const struct plan *plan = &swarm->plan;
    char faults[256], about[640];
    (void)snprintf(about, sizeof about,
                   "%u nodes, heartbeat %" PRIu64 " ms, election timeout %" PRIu64 " ms; %" PRIu64
                   " requests, %" PRIu64 " commits, %" PRIu64 " elections, %" PRIu64
                   " faults; of the kinds: %s",
                   plan->nodes_count, plan->heartbeat / TIME_US_PER_MS,
                   plan->election / TIME_US_PER_MS, swarm->totals.operations, swarm->totals.commits,
                   swarm->totals.elections, swarm->totals.faults_count,
                   plan_format_faults(plan->faults, faults));
    (void)fputs("\"about\":", picture->out);
    put_json_text(picture->out, about);
}

static void put_violation(const struct picture *picture, const struct plan_pins *pins)
{
    const struct violation *violation = &picture->swarm->violation;
    char again[OPTIONS_PINS_BYTES + 80], words[OPTIONS_PINS_BYTES];
    if (violation->verdict == VERDICT_PASS)
        return;
    (void)snprintf(again, sizeof again, "minikv-sim --seed %" PRIu64 "%s --trace",
                   picture->swarm->plan.seed, options_format_pins(pins, words));
    (void)fputs(",\n\"oracle\":", picture->out);
    put_json_text(picture->out, violation->oracle);
    (void)fputs(",\"text\":", picture->out);
    put_json_text(picture->out, violation->text);
    (void)fputs(",\"again\":", picture->out);
    put_json_text(picture->out, again);
}

static void put_data(const struct picture *picture, const struct plan_pins *pins)
{
    const struct swarm *swarm = picture->swarm;
    const char *comma = "";
    (void)fprintf(picture->out,
                  "{\"seed\":%" PRIu64 ",\"verdict\":\"%s\",\"nodes\":%u,\"begin\":%" PRIu64
                  ",\"end\":%" PRIu64 ",\n\"fates\":[\"open\",\"applied\",\"none\",\"maybe\"],"
                  "\"lasting\":[",
                  swarm->plan.seed, verdict_name(swarm->violation.verdict), swarm->plan.nodes_count,
                  picture->count > 0 ? picture->events[0].at : 0, picture->end);
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (!has_end((enum fault)i))
            continue;
        (void)fprintf(picture->out, "%s%u", comma, i);
        comma = ",";
    }
    (void)fputs("],\n", picture->out);
    put_about(picture);
    put_violation(picture, pins);
    put_events(picture);
    put_messages(picture);
    (void)fputs("}\n", picture->out);
}

/* The page up to this word; returns what stands behind it. */
static struct bytes put_until(FILE *out, struct bytes rest, const char *word)
{
    const uint8_t *at = memmem(rest.data, rest.count, word, strlen(word));
    REQUIRE(at != NULL);
    size_t before = (size_t)(at - rest.data);
    (void)fwrite(rest.data, 1, before, out);
    return bytes_of(at + strlen(word), rest.count - before - strlen(word));
}

void timeline_write(FILE *out, const struct swarm *swarm, const struct plan_pins *pins)
{
    struct picture picture = {.out = out,
                              .swarm = swarm,
                              .events = swarm->trace.events,
                              .count = swarm->trace.events_count,
                              .end = world_now(swarm->world)};
    REQUIRE(swarm->trace.keeps);
    struct bytes rest = put_until(out, bytes_of(page, sizeof page), ">DATA");
    (void)fputs(">", out);
    put_data(&picture, pins);
    rest = put_until(out, rest, "SCRIPT");
    (void)fwrite(script, 1, sizeof script, out);
    (void)fwrite(rest.data, 1, rest.count, out);
}
