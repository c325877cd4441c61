/* The picture: time from left to right, a lane for each node.
 *
 *      above the line     who leads, with the term; requests from call to answer
 *      on the line        off and paused times, commits
 *      below the line     faults, from beginning to end where they last
 *      between the lanes  messages, from sent to arrived
 *
 * Everything has a title that shows when it is pointed at. Layers are switched by CSS alone. */
#include "sim/swarm/timeline.h"

#include <inttypes.h>

#include "base/mem.h"
#include "sim/swarm/report.h"

enum {
    LANE = 110, /* px from lane to lane */
    TOP = 60,
    LEFT = 60,
    PIXELS_PER_SECOND = 120,
    ROWS = 5, /* of requests side by side, above the line */
    MESSAGES_MAX = 6000
};

struct picture {
    FILE *out;
    const struct swarm *swarm;
    const struct trace_event *events;
    size_t count;
    time_us begin, end;
};

static double x_of(const struct picture *picture, time_us at)
{
    return LEFT + (double)(at - picture->begin) * PIXELS_PER_SECOND / 1e6;
}

static int y_of(unsigned machine)
{
    return TOP + LANE / 2 + (int)(machine - 1) * LANE;
}

static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<')
            (void)fputs("&lt;", out);
        else if (*text == '&')
            (void)fputs("&amp;", out);
        else
            (void)fputc(*text, out);
    }
}

static void put_title(const struct picture *picture, const struct trace_event *event)
{
    (void)fprintf(picture->out, "<title>%" PRIu64 ".%06u s ", event->at / 1000000,
                  (unsigned)(event->at % 1000000));
    put_text(picture->out, event->text);
    (void)fputs("</title>", picture->out);
}

static void put_bar(const struct picture *picture, const struct trace_event *event, time_us until,
                    int y, int height, const char *class)
{
    double x = x_of(picture, event->at), width = x_of(picture, until) - x;
    (void)fprintf(picture->out,
                  "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\">", class, x,
                  y, MAX(width, 1.5), height);
    put_title(picture, event);
    (void)fputs("</rect>\n", picture->out);
}

/* When the state that this event began ends: at the first event of the machine that ends it. */
static time_us end_of(const struct picture *picture, size_t at, uint32_t kinds)
{
    const struct trace_event *begin = &picture->events[at];
    for (size_t i = at + 1; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->machine == begin->machine && (kinds & 1u << event->kind) != 0)
            return event->at;
    }
    return picture->end;
}

static time_us end_of_fault(const struct picture *picture, size_t at)
{
    const struct trace_event *begin = &picture->events[at];
    for (size_t i = at + 1; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->kind == TRACE_PHASE)
            return event->at;
        if (event->kind == TRACE_HEAL && event->a == begin->a && event->machine == begin->machine &&
            event->other == begin->other)
            return event->at;
    }
    return begin->at;
}

static bool has_end(enum fault fault)
{
    return fault == FAULT_CUT || fault == FAULT_ISOLATE || fault == FAULT_PARTITION ||
           fault == FAULT_LOSSY || fault == FAULT_NARROW || fault == FAULT_SLOW_DISK ||
           fault == FAULT_SLOW_CPU;
}

/* ---- what happens to a node ---- */

static void draw_states(const struct picture *picture)
{
    const uint32_t booted = 1u << TRACE_BOOT, stopped = 1u << TRACE_STOP;
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        int y = event->machine != 0 ? y_of(event->machine) : 0;
        if (event->kind == TRACE_STOP)
            put_bar(picture, event, end_of(picture, i, booted), y - 9, 18, "off");
        else if (event->kind == TRACE_PAUSE)
            put_bar(picture, event, end_of(picture, i, 1u << TRACE_RESUME | stopped), y - 9, 18,
                    "paused");
        else if (event->kind == TRACE_COMMIT)
            put_bar(picture, event, event->at, y - 6, 12, "commit");
    }
}

static void draw_leaders(const struct picture *picture)
{
    const uint32_t ends = 1u << TRACE_YIELD | 1u << TRACE_STOP;
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->kind != TRACE_LEAD)
            continue;
        int y = y_of(event->machine) - 26;
        put_bar(picture, event, end_of(picture, i, ends), y, 14, "leader");
        (void)fprintf(picture->out, "<text class=\"term\" x=\"%.1f\" y=\"%d\">%" PRIu64 "</text>\n",
                      x_of(picture, event->at) + 3, y + 11, event->a);
    }
}

static void draw_faults(const struct picture *picture)
{
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->kind != TRACE_FAULT)
            continue;
        bool is_long = has_end((enum fault)event->a);
        int y =
            event->machine != 0 ? y_of(event->machine) + 14 + (int)(event->a % 4) * 7 : TOP - 18;
        put_bar(picture, event, is_long ? end_of_fault(picture, i) : event->at, y, 5,
                is_long ? "fault long" : "fault");
    }
}

/* ---- requests ---- */

static const char *class_of(uint64_t fate)
{
    static const char *const classes[] = {[FATE_OPEN] = "op open",
                                          [FATE_APPLIED] = "op applied",
                                          [FATE_NONE] = "op none",
                                          [FATE_MAYBE] = "op maybe"};
    return classes[fate <= FATE_MAYBE ? fate : FATE_OPEN];
}

static void draw_requests(const struct picture *picture)
{
    size_t operations_count = picture->swarm->operations_count;
    const struct trace_event **answers = mem_alloc_array(operations_count + 1, sizeof answers[0]);
    for (size_t i = 0; i < picture->count; i++)
        if (picture->events[i].kind == TRACE_ANSWER && picture->events[i].a < operations_count)
            answers[picture->events[i].a] = &picture->events[i];
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->kind != TRACE_CALL)
            continue;
        const struct trace_event *answer = answers[event->a];
        struct trace_event shown = *event;
        if (answer != NULL)
            (void)snprintf(shown.text, sizeof shown.text, "%.40s: %.44s", event->text,
                           answer->text);
        int y = y_of(event->machine) - 32 - (int)(event->a % ROWS) * 4;
        put_bar(picture, &shown, answer != NULL ? answer->at : picture->end, y, 3,
                class_of(answer != NULL ? answer->b : FATE_OPEN));
    }
    mem_free(answers);
}

/* ---- messages ---- */

static bool is_about_votes(const struct trace_event *event)
{
    return event->a != MESSAGE_APPEND && event->a != MESSAGE_APPEND_REPLY;
}

/* All that is about votes and reads; of appends, which are many, every so manieth. */
static void draw_messages(const struct picture *picture)
{
    size_t appends_count = 0, at = 0;
    for (size_t i = 0; i < picture->count; i++)
        appends_count +=
            picture->events[i].kind == TRACE_MESSAGE && !is_about_votes(&picture->events[i]);
    size_t stride = appends_count / MESSAGES_MAX + 1;
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->kind != TRACE_MESSAGE || event->machine == 0 || event->other == 0)
            continue;
        if (!is_about_votes(event) && at++ % stride != 0)
            continue;
        (void)fprintf(picture->out,
                      "<line class=\"%s\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\">",
                      is_about_votes(event) ? "vote" : "append", x_of(picture, event->b),
                      y_of(event->machine), x_of(picture, event->at), y_of(event->other));
        put_title(picture, event);
        (void)fputs("</line>\n", picture->out);
    }
}

/* ---- the frame ---- */

static void draw_axis(const struct picture *picture, int height)
{
    for (time_us at = 0; picture->begin + at <= picture->end; at += 1000000) {
        double x = x_of(picture, picture->begin + at);
        (void)fprintf(picture->out,
                      "<line class=\"axis\" x1=\"%.1f\" y1=\"24\" x2=\"%.1f\" y2=\"%d\"/>"
                      "<text class=\"axis\" x=\"%.1f\" y=\"18\">%" PRIu64 " s</text>\n",
                      x, x, height, x + 2, (picture->begin + at) / 1000000);
    }
    for (unsigned i = 1; i <= picture->swarm->plan.nodes_count; i++)
        (void)fprintf(picture->out,
                      "<line class=\"lane\" x1=\"%d\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                      "<text class=\"name\" x=\"8\" y=\"%d\">n%u</text>\n",
                      LEFT, y_of(i), x_of(picture, picture->end), y_of(i), y_of(i) + 5, i);
}

static void draw_marks(const struct picture *picture, int height)
{
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        bool is_bad = event->kind == TRACE_VIOLATION;
        if (event->kind != TRACE_PHASE && !is_bad)
            continue;
        double x = x_of(picture, event->at);
        (void)fprintf(picture->out,
                      "<line class=\"%s\" x1=\"%.1f\" y1=\"24\" x2=\"%.1f\" y2=\"%d\"/>"
                      "<text class=\"%s\" x=\"%.1f\" y=\"36\">",
                      is_bad ? "bad" : "phase", x, x, height, is_bad ? "bad" : "phase", x + 4);
        put_text(picture->out, event->text);
        (void)fputs("</text>\n", picture->out);
    }
}

static void put_style(FILE *out)
{
    (void)fputs(
        "<style>\n"
        "body{font:14px/1.4 sans-serif;margin:16px;color:#222;background:#fff}\n"
        "#scroll{overflow-x:auto;border:1px solid #ccc}\n"
        "text{font:11px sans-serif;fill:#444}.name{font-weight:bold;font-size:15px}\n"
        ".axis{stroke:#eee;fill:#888}text.axis{stroke:none}.lane{stroke:#999}\n"
        ".off{fill:#555}.paused{fill:#9bd}.commit{fill:#2a7}\n"
        ".leader{fill:#fc6;stroke:#c80}.term{fill:#630}\n"
        ".fault{fill:#c22}.long{fill:#e99}\n"
        ".op{opacity:.9}.applied{fill:#2a7}.none{fill:#999}.maybe{fill:#f80}.open{fill:#c0c}\n"
        ".append{stroke:#9ab;stroke-width:.6;marker-end:url(#tip)}\n"
        ".vote{stroke:#a4c;stroke-width:1;marker-end:url(#tip)}\n"
        ".phase{stroke:#06c;fill:#06c}.bad{stroke:#d00;fill:#d00;stroke-width:2}\n"
        "text.phase,text.bad{stroke:none;font-weight:bold}\n"
        "#a:not(:checked)~#scroll .append,#v:not(:checked)~#scroll .vote,"
        "#o:not(:checked)~#scroll .op,#f:not(:checked)~#scroll .fault{display:none}\n"
        "label{margin-right:12px}.key{display:inline-block;width:14px;height:10px;"
        "margin:0 4px 0 12px}\npre{font-size:12px;line-height:1.3}\n"
        "</style>\n",
        out);
}

static void put_head(const struct picture *picture)
{
    const struct swarm *swarm = picture->swarm;
    const struct plan *plan = &swarm->plan;
    char faults[256];
    FILE *out = picture->out;
    (void)fprintf(out,
                  "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                  "<title>minikv-sim, seed %" PRIu64 "</title>\n",
                  plan->seed);
    put_style(out);
    (void)fprintf(out,
                  "</head><body>\n<h1>Seed %" PRIu64 ": %s</h1>\n<p>%u nodes, heartbeat %" PRIu64
                  " ms, election timeout %" PRIu64 " ms; %" PRIu64 " requests, %" PRIu64
                  " commits, %" PRIu64 " elections, %" PRIu64 " faults of the kinds %s.</p>\n",
                  plan->seed, verdict_name(swarm->violation.verdict), plan->nodes_count,
                  plan->heartbeat / TIME_US_PER_MS, plan->election / TIME_US_PER_MS,
                  swarm->totals.operations, swarm->totals.commits, swarm->totals.elections,
                  swarm->totals.faults_count, plan_format_faults(plan->faults, faults));
    if (swarm_is_violated(swarm)) {
        (void)fprintf(out, "<p><b>%s</b>: ", swarm->violation.oracle);
        put_text(out, swarm->violation.text);
        (void)fputs("</p>\n", out);
    }
}

static void put_legend(FILE *out)
{
    static const struct {
        const char *color, *text;
    } keys[] = {{"#fc6", "leads (term)"},
                {"#555", "off"},
                {"#9bd", "paused"},
                {"#2a7", "commit; request applied"},
                {"#999", "request: effect none, or a read"},
                {"#f80", "request: effect maybe"},
                {"#c0c", "request: no answer"},
                {"#c22", "fault"},
                {"#e99", "fault that lasts"},
                {"#a4c", "votes and reads"},
                {"#9ab", "appends (thinned out)"}};
    (void)fputs("<p>", out);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        (void)fprintf(out, "<span class=\"key\" style=\"background:%s\"></span>%s", keys[i].color,
                      keys[i].text);
    (void)fputs("</p>\n"
                "<input type=\"checkbox\" id=\"a\" checked><label for=\"a\">appends</label>\n"
                "<input type=\"checkbox\" id=\"v\" checked><label for=\"v\">votes</label>\n"
                "<input type=\"checkbox\" id=\"o\" checked><label for=\"o\">requests</label>\n"
                "<input type=\"checkbox\" id=\"f\" checked><label for=\"f\">faults</label>\n"
                "Point at anything to see what it is; scroll to the right for later.\n",
                out);
}

static void put_lines(const struct picture *picture)
{
    (void)fputs("<details><summary>All events but messages, as --trace has them</summary><pre>\n",
                picture->out);
    for (size_t i = 0; i < picture->count; i++) {
        const struct trace_event *event = &picture->events[i];
        if (event->kind == TRACE_MESSAGE)
            continue;
        (void)fprintf(picture->out, "%4" PRIu64 ".%06u  n%u  ", event->at / 1000000,
                      (unsigned)(event->at % 1000000), event->machine);
        put_text(picture->out, trace_info(event->kind)->sign);
        (void)fputs("  ", picture->out);
        put_text(picture->out, event->text);
        (void)fputc('\n', picture->out);
    }
    (void)fputs("</pre></details>\n", picture->out);
}

void timeline_write(FILE *out, const struct swarm *swarm)
{
    struct picture picture = {.out = out,
                              .swarm = swarm,
                              .events = swarm->trace.events,
                              .count = swarm->trace.events_count,
                              .end = world_now(swarm->world)};
    REQUIRE(swarm->trace.keeps);
    picture.begin = picture.count > 0 ? picture.events[0].at : 0;
    int height = TOP + (int)swarm->plan.nodes_count * LANE + 10;
    put_head(&picture);
    put_legend(out);
    (void)fprintf(out,
                  "<div id=\"scroll\"><svg width=\"%.0f\" height=\"%d\" "
                  "xmlns=\"http://www.w3.org/2000/svg\">\n<defs><marker id=\"tip\" "
                  "viewBox=\"0 0 6 6\" refX=\"6\" refY=\"3\" markerWidth=\"5\" markerHeight=\"5\" "
                  "orient=\"auto\"><path d=\"M0 0L6 3L0 6z\" fill=\"#89a\"/></marker></defs>\n",
                  x_of(&picture, picture.end) + 40, height);
    draw_axis(&picture, height);
    draw_messages(&picture);
    draw_states(&picture);
    draw_leaders(&picture);
    draw_requests(&picture);
    draw_faults(&picture);
    draw_marks(&picture, height);
    (void)fputs("</svg></div>\n", out);
    put_lines(&picture);
    (void)fputs("</body></html>\n", out);
}
