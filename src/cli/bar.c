#include "cli/bar.h"

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"

enum { REDRAW_MS = 100, FIRST_RATE_MS = 300, LINE_BYTES = 256 };

void bar_put_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1000;
        unit++;
    }
    buf_printf(out, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void bar_put_blocks(struct buf *out, uint64_t count, uint64_t of, size_t width, char empty)
{
    size_t full = of == 0 ? 0 : (size_t)((double)MIN(count, of) / (double)of * (double)width);
    for (size_t i = 0; i < width; i++)
        buf_put_u8(out, (uint8_t)(i < full ? '#' : empty));
}

static void put_left(struct buf *out, uint64_t seconds)
{
    if (seconds >= 3600)
        buf_printf(out, "%llu:%02llu:%02llu left", (unsigned long long)(seconds / 3600),
                   (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
    else
        buf_printf(out, "%llu:%02llu left", (unsigned long long)(seconds / 60),
                   (unsigned long long)(seconds % 60));
}

static void put_front(struct buf *out, uint64_t count, uint64_t of)
{
    unsigned percent = of == 0 ? 0 : (unsigned)((double)MIN(count, of) / (double)of * 100);
    buf_put_u8(out, '[');
    bar_put_blocks(out, count, of, BAR_WIDTH, '-');
    buf_printf(out, "] %3u%%  ", percent);
}

void bar_put_progress(struct buf *out, uint64_t bytes, uint64_t of, uint64_t rate)
{
    put_front(out, bytes, of);
    bar_put_bytes(out, bytes);
    buf_put_text(out, " of ");
    bar_put_bytes(out, of);
    if (rate == 0)
        return;
    buf_put_text(out, "  ");
    bar_put_bytes(out, rate);
    buf_put_text(out, "/s  ");
    put_left(out, (of - MIN(bytes, of) + rate - 1) / rate);
}

void bar_put_count(struct buf *out, uint64_t count, uint64_t of, uint64_t rate, const char *unit)
{
    put_front(out, count, of);
    buf_printf(out, "%llu of %llu %s", (unsigned long long)count, (unsigned long long)of, unit);
    if (rate == 0)
        return;
    buf_printf(out, "  %llu %s/s  ", (unsigned long long)rate, unit);
    put_left(out, (of - MIN(count, of) + rate - 1) / rate);
}

/* ---- on the terminal ---- */

void bar_init(struct bar *bar, uint64_t of)
{
    *bar = (struct bar){.is_on = isatty(STDERR_FILENO) == 1, .of = of};
    buf_init(&bar->line, LINE_BYTES);
}

static void draw(struct bar *bar)
{
    /* Back to the start of the line; what stood behind it goes. */
    (void)fprintf(stderr, "\r%s\x1b[K", buf_text(&bar->line));
    (void)fflush(stderr);
    bar->is_shown = true;
}

void bar_say(struct bar *bar, const char *text)
{
    if (!bar->is_on)
        return;
    buf_reset(&bar->line);
    buf_put_text(&bar->line, text);
    draw(bar);
}

void bar_show(struct bar *bar, uint64_t count, uint64_t now_ms)
{
    if (bar->started_ms == 0)
        bar->started_ms = now_ms;
    if (!bar->is_on || now_ms < bar->next_ms)
        return;
    uint64_t age_ms = now_ms - bar->started_ms, rate = 0;
    if (age_ms >= FIRST_RATE_MS)
        rate = (uint64_t)((double)count * 1000 / (double)age_ms);
    bar->next_ms = now_ms + REDRAW_MS;
    buf_reset(&bar->line);
    if (bar->unit != NULL)
        bar_put_count(&bar->line, count, bar->of, rate, bar->unit);
    else
        bar_put_progress(&bar->line, count, bar->of, rate);
    draw(bar);
}

void bar_release(struct bar *bar)
{
    if (bar->is_shown)
        (void)fputs("\r\x1b[K", stderr);
    buf_release(&bar->line);
}
