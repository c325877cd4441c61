/* minikv bench: what came of it as a picture, one SVG file that needs nothing else.
 *
 * Three panels with the words of the table above them: latency by percentile, whose axis gives each
 * further nine the same room; answers a second over time; the slowest answer over time. Latencies
 * are on a logarithmic scale. */
#include <math.h>

#include "cli/bench.h"

enum {
    WIDTH = 860,
    LEFT = 84, /* of the panels; the labels of their scales stand there */
    RIGHT = 24,
    HEAD = 134,
    PANEL = 210,
    GAP = 62,
    POINTS_MAX = 200,
    LINE_BYTES = 8 * KIB
};

struct panel {
    struct buf *out;
    double top;
    double x_max;        /* from 0 */
    double y_min, y_max; /* in what `to_y` makes of a value */
    bool is_log;
};

static const char *const colours[] = {"#1b6ca8", "#c2571a"};

/* ---- places ---- */

static double place_x(const struct panel *panel, double x)
{
    return LEFT + (x / panel->x_max) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct panel *panel, double value)
{
    double y = panel->is_log ? log10(MAX(value, 1e-3)) : value;
    y = MIN(MAX(y, panel->y_min), panel->y_max);
    return panel->top + PANEL - (y - panel->y_min) / (panel->y_max - panel->y_min) * PANEL;
}

/* ---- text ---- */

static void put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<':
            buf_put_text(out, "&lt;");
            break;
        case '>':
            buf_put_text(out, "&gt;");
            break;
        case '&':
            buf_put_text(out, "&amp;");
            break;
        case '"':
            buf_put_text(out, "&quot;");
            break;
        default:
            buf_put_u8(out, (uint8_t)*text);
        }
}

static void put_label(struct buf *out, double x, double y, const char *kind, const char *text)
{
    buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, kind);
    put_escaped(out, text);
    buf_put_text(out, "</text>\n");
}

/* ---- scales ---- */

static void put_row(const struct panel *panel, double value, const char *label)
{
    double y = place_y(panel, value);
    buf_printf(panel->out, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"g\"/>\n",
               LEFT, WIDTH - RIGHT, y, y);
    put_label(panel->out, LEFT - 8, y + 4, "y", label);
}

static void put_column(const struct panel *panel, double x, const char *label)
{
    double at = place_x(panel, x);
    buf_printf(panel->out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"g\"/>\n",
               at, at, panel->top, panel->top + PANEL);
    put_label(panel->out, at, panel->top + PANEL + 18, "x", label);
}

/* A latency scale from the decade below to the decade above. */
static void scale_latency(struct panel *panel, double us_min, double us_max)
{
    panel->is_log = true;
    panel->y_min = floor(log10(MAX(us_min, 1.0)));
    panel->y_max = MAX(ceil(log10(MAX(us_max, 1.0))), panel->y_min + 1);
    for (double decade = panel->y_min; decade <= panel->y_max; decade += 1) {
        struct buf label;
        buf_init(&label, 64);
        bench_put_time(&label, pow(10, decade));
        put_row(panel, pow(10, decade), buf_text(&label));
        buf_release(&label);
    }
}

/* 1, 2 or 5 times a power of ten, of which about four reach `max`. */
static double step_for(double max)
{
    static const double steps[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(MAX(max, 1e-9) / 4)));
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++)
        if (power * steps[i] * 5 >= max)
            return power * steps[i];
    return power * 10;
}

static void scale_rate(struct panel *panel, double max)
{
    double step = step_for(MAX(max, 1.0));
    panel->y_max = step * ceil(MAX(max, 1.0) / step);
    for (double value = 0; value <= panel->y_max * 1.0001; value += step) {
        struct buf label;
        buf_init(&label, 64);
        bench_put_count(&label, (uint64_t)(value + 0.5));
        put_row(panel, value, buf_text(&label));
        buf_release(&label);
    }
}

static void scale_time(struct panel *panel, double seconds)
{
    double step = step_for(seconds);
    panel->x_max = MAX(seconds, 1e-3);
    for (double at = 0; at <= seconds * 1.0001; at += step) {
        char label[32];
        (void)snprintf(label, sizeof label, step < 1 ? "%.1f s" : "%.0f s", at);
        put_column(panel, at, label);
    }
}

static void put_title(struct panel *panel, const char *title)
{
    put_label(panel->out, LEFT, panel->top - 10, "t", title);
}

/* ---- latency by percentile ---- */

/* 0.9 is at 1, 0.99 at 2, and so on. */
static double nines_of(double share)
{
    return -log10(1 - share);
}

static double nines_max(const struct histogram *latency)
{
    double nines = log10((double)MAX(latency->count, (uint64_t)1000));
    return MIN(nines, 6.0);
}

static void put_curve(const struct panel *panel, const struct histogram *latency,
                      const char *colour)
{
    buf_printf(panel->out, "<polyline class=\"l\" stroke=\"%s\" points=\"", colour);
    for (int i = 0; i <= POINTS_MAX; i++) {
        double nines = panel->x_max * i / POINTS_MAX, share = 1 - pow(10, -nines);
        double us =
            i == POINTS_MAX ? (double)latency->max / 1000 : histogram_percentile_us(latency, share);
        buf_printf(panel->out, "%.1f,%.1f ", place_x(panel, nines), place_y(panel, us));
    }
    buf_put_text(panel->out, "\"/>\n");
}

static void put_legend(const struct panel *panel, const struct bench *bench)
{
    for (size_t i = 0; i < bench->kinds_count; i++) {
        double x = WIDTH - RIGHT - 60 * (double)(bench->kinds_count - i), y = panel->top - 14;
        buf_printf(panel->out,
                   "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"l\" "
                   "stroke=\"%s\"/>\n",
                   x, x + 18, y, y, colours[i]);
        put_label(panel->out, x + 23, y + 4, "k", bench->kind_names[i]);
    }
}

static void put_percentiles(const struct bench *bench, struct buf *out, double top)
{
    static const struct {
        double share;
        const char *label;
    } ticks[] = {{0, "0"},          {0.5, "50 %"},       {0.9, "90 %"},        {0.99, "99 %"},
                 {0.999, "99.9 %"}, {0.9999, "99.99 %"}, {0.99999, "99.999 %"}};
    const struct histogram *latency = &bench->latency;
    struct panel panel = {.out = out, .top = top, .x_max = nines_max(latency)};
    put_title(&panel, "Latency by percentile");
    put_legend(&panel, bench);
    scale_latency(&panel, histogram_percentile_us(latency, 0), (double)latency->max / 1000);
    for (size_t i = 0; i < ARRAY_COUNT(ticks) && nines_of(ticks[i].share) < panel.x_max - 0.35; i++)
        put_column(&panel, nines_of(ticks[i].share), ticks[i].label);
    put_column(&panel, panel.x_max, "max");
    for (size_t i = 0; i < bench->kinds_count; i++)
        if (bench->result.latencies[i].count > 0)
            put_curve(&panel, &bench->result.latencies[i], colours[i]);
}

/* ---- over time ---- */

/* Steps of the series taken together, so that there are at most POINTS_MAX. */
struct point {
    double from, to;  /* seconds */
    double good, bad; /* a second */
    double max_us;
};

static size_t make_points(const struct bench *bench, struct point points[POINTS_MAX])
{
    const struct series *series = &bench->result.series;
    size_t group = (series->count + POINTS_MAX - 1) / POINTS_MAX, count = 0;
    double step = (double)series->step_ns / 1e9;
    for (size_t i = 0; i < series->count; i += group) {
        size_t end = MIN(i + group, series->count);
        struct point point = {.from = (double)i * step,
                              .to = MIN((double)end * step, bench->result.seconds)};
        for (size_t j = i; j < end; j++) {
            point.good += (double)series->steps[j].good;
            point.bad += (double)series->steps[j].bad;
            point.max_us = MAX(point.max_us, (double)series->steps[j].max / 1000);
        }
        if (point.to - point.from < step / 2)
            continue; /* what is left of the end, too short for a rate */
        point.good /= point.to - point.from;
        point.bad /= point.to - point.from;
        points[count++] = point;
    }
    return count;
}

/* A line of steps; `of`: the member of each point that it shows. */
static void put_steps(const struct panel *panel, const struct point *points, size_t count,
                      size_t of, const char *colour)
{
    buf_printf(panel->out, "<polyline class=\"l\" stroke=\"%s\" points=\"", colour);
    for (size_t i = 0; i < count; i++) {
        const double *value = (const double *)(const void *)((const char *)&points[i] + of);
        double y = place_y(panel, *value);
        buf_printf(panel->out, "%.1f,%.1f %.1f,%.1f ", place_x(panel, points[i].from), y,
                   place_x(panel, points[i].to), y);
    }
    buf_put_text(panel->out, "\"/>\n");
}

static void put_rate(const struct bench *bench, struct buf *out, double top,
                     const struct point *points, size_t count)
{
    struct panel panel = {.out = out, .top = top};
    double max = 0, bad = 0;
    for (size_t i = 0; i < count; i++) {
        max = MAX(MAX(max, points[i].good), points[i].bad);
        bad = MAX(bad, points[i].bad);
    }
    put_title(&panel, bad > 0 ? "Answers a second over time (red: refused or lost)"
                              : "Answers a second over time");
    scale_rate(&panel, max);
    scale_time(&panel, bench->result.seconds);
    put_steps(&panel, points, count, offsetof(struct point, good), colours[0]);
    if (bad > 0)
        put_steps(&panel, points, count, offsetof(struct point, bad), "#c00000");
}

static void put_slowest(const struct bench *bench, struct buf *out, double top,
                        const struct point *points, size_t count)
{
    struct panel panel = {.out = out, .top = top};
    put_title(&panel, "Slowest answer over time");
    scale_latency(&panel, histogram_percentile_us(&bench->latency, 0.5),
                  (double)bench->latency.max / 1000);
    scale_time(&panel, bench->result.seconds);
    put_steps(&panel, points, count, offsetof(struct point, max_us), colours[0]);
}

/* ---- all of it ---- */

static void put_summary(struct buf *line, const struct bench *bench)
{
    bench_put_count(line, (uint64_t)(bench_rate(bench, bench->latency.count) + 0.5));
    buf_put_text(line, " answers a second; p50 ");
    bench_put_time(line, histogram_percentile_us(&bench->latency, 0.5));
    buf_put_text(line, ", p99 ");
    bench_put_time(line, histogram_percentile_us(&bench->latency, 0.99));
    buf_put_text(line, ", max ");
    bench_put_time(line, (double)bench->latency.max / 1000);
    buf_printf(line, "; %llu refused, %llu without an answer",
               (unsigned long long)bench->result.bad_count,
               (unsigned long long)bench->result.failed_count);
}

static void put_head(const struct bench *bench, struct buf *out)
{
    void (*const writers[])(struct buf *, const struct bench *) = {
        bench_put_work, bench_put_manner, bench_put_keys, bench_put_cluster, put_summary};
    for (size_t i = 0; i < ARRAY_COUNT(writers); i++) {
        struct buf line;
        buf_init(&line, LINE_BYTES);
        writers[i](&line, bench);
        put_label(out, LEFT, (i == 0 ? 32 : 36) + 18 * (double)i, i == 0 ? "h" : "s",
                  buf_text(&line));
        buf_release(&line);
    }
}

void bench_put_plot(const struct bench *bench, struct buf *out)
{
    struct point points[POINTS_MAX];
    size_t count = make_points(bench, points);
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
               "height=\"%d\">\n",
               WIDTH, HEAD + 3 * (PANEL + GAP), WIDTH, HEAD + 3 * (PANEL + GAP));
    buf_put_text(out, "<style>text{font:12px system-ui,sans-serif;fill:#333}.h{font-size:18px;"
                      "font-weight:600;fill:#111}.s{font-size:13px}.t{font-weight:600}"
                      ".x{text-anchor:middle}.y{text-anchor:end}.g{stroke:#ddd}"
                      ".l{fill:none;stroke-width:1.8;stroke-linejoin:round}</style>\n"
                      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
    put_head(bench, out);
    put_percentiles(bench, out, HEAD + 20);
    put_rate(bench, out, HEAD + 20 + PANEL + GAP, points, count);
    put_slowest(bench, out, HEAD + 20 + 2 * (PANEL + GAP), points, count);
    buf_put_text(out, "</svg>\n");
}
