/* minikv bench: what came of it, for people. */
#include <string.h>

#include "cli/ask.h"
#include "cli/bench.h"
#include "cli/nodes.h"
#include "cli/table.h"

enum { CELL_BYTES = 160, ROWS_MAX = 18, BAR_COLUMNS = 48 };

/* ---- words ---- */

void bench_put_count(struct buf *out, uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            buf_put_u8(out, ',');
        buf_put_u8(out, (uint8_t)digits[i]);
    }
}

void bench_put_time(struct buf *out, double us)
{
    static const char *const units[] = {"µs", "ms", "s"};
    size_t unit = 0;
    while (us >= 999.5 && unit + 1 < ARRAY_COUNT(units)) {
        us /= 1000;
        unit++;
    }
    int decimals = us >= 99.95 || us == 0 ? 0 : us >= 9.995 ? 1 : 2;
    buf_printf(out, "%.*f %s", decimals, us, units[unit]);
}

double bench_rate(const struct bench *bench, uint64_t good)
{
    const struct load_result *result = &bench->result;
    double in_time = (double)(good - MIN(good, result->late_count));
    return result->seconds > 0 ? in_time / result->seconds : 0;
}

void bench_put_work(struct buf *out, const struct bench *bench)
{
    static const char *const places[] = {[CLI_AT_ENDPOINTS] = "the endpoints given",
                                         [CLI_AT_LEADER] = "the leader",
                                         [CLI_AT_FOLLOWER] = "the followers",
                                         [CLI_AT_ALL] = "all nodes"};
    bool is_mix = bench_has_reads(bench) && bench_has_writes(bench);
    if (is_mix)
        buf_printf(out, "%u %% ", bench->reads_percent);
    if (bench_has_reads(bench))
        buf_printf(out, "get%s", bench->cli->is_stale ? " (stale)" : "");
    if (is_mix)
        buf_printf(out, ", %u %% ", 100 - bench->reads_percent);
    if (bench_has_writes(bench))
        buf_printf(out, "%s%s", bench->is_incr ? "incr" : "put",
                   bench->cli->bench.has_client_ids ? " (exactly once)" : "");
    buf_printf(out, " at %s", places[bench->cli->bench.at]);
}

void bench_put_manner(struct buf *out, const struct bench *bench)
{
    const struct cli_bench *asked = &bench->cli->bench;
    buf_printf(out, "%u connection%s", asked->connections, asked->connections == 1 ? "" : "s");
    if (asked->pipeline > 1)
        buf_printf(out, " with %u requests under way on each", asked->pipeline);
    if (asked->rate == 0) {
        buf_put_text(out, ", as answers come");
        return;
    }
    buf_put_text(out, ", ");
    bench_put_count(out, asked->rate);
    buf_put_text(out, " requests a second, each when it is due");
}

/* The one version of all, or how they differ. */
static void put_versions(struct buf *out, const json_t *nodes)
{
    const char *first = "";
    bool is_mixed = false;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const char *version = nodes_text(json_array_get(nodes, i), "version");
        if (*first == '\0')
            first = version;
        is_mixed = is_mixed || (*version != '\0' && strcmp(version, first) != 0);
    }
    if (is_mixed)
        buf_put_text(out, " of several versions");
    else if (*first != '\0')
        buf_printf(out, " %s", first);
}

void bench_put_cluster(struct buf *out, const struct bench *bench)
{
    size_t count = json_array_size(bench->nodes);
    buf_printf(out, "%zu node%s of MiniKV", count, count == 1 ? "" : "s");
    put_versions(out, bench->nodes);
    if (bench->leader == 0)
        buf_put_text(out, ", none says that it leads");
    else if (bench->leader_after == bench->leader || bench->leader_after == 0)
        buf_printf(out, ", node %llu leads", (unsigned long long)bench->leader);
    else
        buf_printf(out, ", node %llu led at first and node %llu in the end",
                   (unsigned long long)bench->leader, (unsigned long long)bench->leader_after);
}

static void put_prefix(struct buf *out, const struct bench *bench)
{
    struct bytes prefix = buf_bytes(&bench->prefix);
    table_put_escaped(out, prefix, ask_is_text(prefix));
}

void bench_put_keys(struct buf *out, const struct bench *bench)
{
    bench_put_count(out, bench->cli->bench.keys);
    buf_put_text(out, " keys under ");
    put_prefix(out, bench);
    if (!bench->is_incr) {
        buf_put_text(out, ", values of ");
        bar_put_bytes(out, bench->cli->bench.value_bytes);
    }
}

/* ---- tables ---- */

static void add_heading(struct table *table, const char *const *names, size_t count)
{
    table_init(table, count);
    for (size_t i = 0; i < count; i++)
        table_add(table, names[i]);
}

static void add_count(struct table *table, uint64_t count)
{
    struct buf cell;
    buf_init(&cell, CELL_BYTES);
    bench_put_count(&cell, count);
    table_add(table, buf_text(&cell));
    buf_release(&cell);
}

static void add_time(struct table *table, double us)
{
    struct buf cell;
    buf_init(&cell, CELL_BYTES);
    bench_put_time(&cell, us);
    table_add(table, buf_text(&cell));
    buf_release(&cell);
}

static void add_latency_row(struct table *table, const struct bench *bench, const char *name,
                            const struct histogram *latency)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    const struct histogram *all = &bench->latency;
    double part = all->count > 0 ? (double)latency->count / (double)all->count : 0;
    table_add(table, name);
    add_count(table, latency->count);
    add_count(table, (uint64_t)(bench_rate(bench, all->count) * part + 0.5));
    add_time(table, histogram_mean_us(latency));
    for (size_t i = 0; i < ARRAY_COUNT(shares); i++)
        add_time(table, histogram_percentile_us(latency, shares[i]));
    add_time(table, (double)latency->max / 1000);
}

static void print_latency(const struct bench *bench)
{
    static const char *const heading[] = {"WORK", "ANSWERED", "PER SECOND", "MEAN", "P50",
                                          "P90",  "P99",      "P99.9",      "MAX"};
    struct table table;
    add_heading(&table, heading, ARRAY_COUNT(heading));
    for (size_t i = 0; i < bench->kinds_count; i++)
        add_latency_row(&table, bench, bench->kind_names[i], &bench->result.latencies[i]);
    if (bench->kinds_count > 1)
        add_latency_row(&table, bench, "all", &bench->latency);
    table_print(&table);
    table_release(&table);
}

static void print_targets(const struct bench *bench)
{
    static const char *const heading[] = {"NODE", "CLIENTS", "ROLE", "ANSWERED"};
    struct table table;
    add_heading(&table, heading, ARRAY_COUNT(heading));
    for (size_t i = 0; i < bench->targets_count; i++) {
        const struct bench_target *target = &bench->targets[i];
        if (i >= bench->primaries_count && bench->result.target_counts[i] == 0)
            continue; /* it was not needed */
        if (target->node != 0)
            table_add_number(&table, target->node);
        else
            table_add(&table, "-");
        table_add(&table, target->address);
        table_add(&table, *target->role != '\0' ? target->role : "-");
        add_count(&table, bench->result.target_counts[i]);
    }
    putchar('\n');
    table_print(&table);
    table_release(&table);
}

static void print_errors(const struct bench *bench)
{
    static const char *const heading[] = {"ERROR", "EFFECT", "COUNT", "MEANING"};
    const struct load_errors *errors = &bench->result.errors;
    struct table table;
    if (errors->count == 0)
        return;
    add_heading(&table, heading, ARRAY_COUNT(heading));
    for (size_t i = 0; i < errors->count; i++) {
        const struct load_error *error = &errors->errors[i];
        const char *title = ask_title(error->word);
        if (strcmp(error->word, LOAD_WORD_LOST) == 0)
            title = "the connection ended before the answer";
        else if (strcmp(error->word, LOAD_WORD_SILENT) == 0)
            title = "no answer within --timeout";
        else if (strcmp(error->word, LOAD_WORD_NOT_SENT) == 0)
            title = "the connection ended before it was sent";
        table_add(&table, error->word);
        table_add(&table, effect_name(error->effect));
        add_count(&table, error->count);
        table_add(&table, title != NULL ? title : "");
    }
    putchar('\n');
    table_print(&table);
    table_release(&table);
}

/* ---- the histogram ---- */

/* Steps of 1 2 5 10 …, or of 1 1.5 2 3 5 7 10 …, in ns. */
static size_t make_edges(double from_ns, double to_ns, bool is_fine, double *edges,
                         size_t edges_max)
{
    static const double fine[] = {1, 1.5, 2, 3, 5, 7}, coarse[] = {1, 2, 5};
    const double *steps = is_fine ? fine : coarse;
    size_t steps_count = is_fine ? ARRAY_COUNT(fine) : ARRAY_COUNT(coarse), count = 0;
    for (double decade = 1; decade < 1e13 && count < edges_max; decade *= 10)
        for (size_t i = 0; i < steps_count && count < edges_max; i++) {
            double edge = decade * steps[i];
            if (edge <= from_ns)
                count = 0; /* the last one below the first value begins the first row */
            edges[count++] = edge;
            if (edge > to_ns)
                return count;
        }
    return count;
}

static void print_row(const struct histogram *latency, double from_ns, double to_ns, uint64_t count,
                      uint64_t most)
{
    struct buf line, from, to;
    buf_init(&line, 1024);
    buf_init(&from, CELL_BYTES);
    buf_init(&to, CELL_BYTES);
    bench_put_time(&from, from_ns / 1000);
    bench_put_time(&to, to_ns / 1000);
    /* µ is one column and two bytes */
    int wide = strstr(buf_text(&from), "µ") != NULL, wide_to = strstr(buf_text(&to), "µ") != NULL;
    buf_printf(&line, "%*s – %*s %8.3f %%  ", 8 + wide, buf_text(&from), 8 + wide_to, buf_text(&to),
               100 * (double)count / (double)latency->count);
    bar_put_blocks(&line, count, most, BAR_COLUMNS, ' ');
    while (line.count > 0 && line.data[line.count - 1] == ' ')
        line.count--;
    printf("%s%s\n", buf_text(&line), count > 0 && line.data[line.count - 1] != '#' ? "  ." : "");
    buf_release(&line);
    buf_release(&from);
    buf_release(&to);
}

static void print_histogram(const struct bench *bench)
{
    const struct histogram *latency = &bench->latency;
    double edges[ROWS_MAX + 2];
    double from_ns = histogram_percentile_us(latency, 0) * 1000, to_ns = (double)latency->max;
    size_t count = make_edges(from_ns, to_ns, true, edges, ARRAY_COUNT(edges));
    if (count == 0 || edges[count - 1] <= to_ns)
        count = make_edges(from_ns, to_ns, false, edges, ARRAY_COUNT(edges));
    uint64_t counts[ROWS_MAX + 2], most = 1;
    for (size_t i = 0; i + 1 < count; i++) {
        bool is_last = i + 2 == count;
        uint64_t below = histogram_count_below(latency, (uint64_t)edges[i]);
        uint64_t upto =
            is_last ? latency->count : histogram_count_below(latency, (uint64_t)edges[i + 1]);
        counts[i] = upto - (i == 0 ? 0 : below);
        most = MAX(most, counts[i]);
    }
    printf("\n%s\n", "LATENCY               SHARE");
    for (size_t i = 0; i + 1 < count; i++)
        print_row(latency, edges[i], edges[i + 1], counts[i], most);
}

/* ---- all of it ---- */

static void print_head(const struct bench *bench)
{
    struct buf text;
    buf_init(&text, 8 * LIMIT_KEY_BYTES);
    bench_put_cluster(&text, bench);
    buf_put_u8(&text, '\n');
    bench_put_work(&text, bench);
    buf_put_text(&text, ": ");
    bench_put_manner(&text, bench);
    buf_put_u8(&text, '\n');
    bench_put_keys(&text, bench);
    buf_printf(&text, "\nmeasured %.1f s%s\n\n", bench->result.seconds,
               bench->is_interrupted ? ", then interrupted" : "");
    fputs(buf_text(&text), stdout);
    buf_release(&text);
}

/* What went wrong, in sentences. */
static void put_trouble(struct buf *out, const struct bench *bench)
{
    const struct load_result *result = &bench->result;
    if (result->bad_count + result->failed_count > 0) {
        bench_put_count(out, result->bad_count);
        buf_put_text(out, " refused, ");
        bench_put_count(out, result->failed_count);
        buf_put_text(out, " without an answer; ");
        bench_put_count(out, load_errors_total(&result->errors, EFFECT_MAYBE));
        buf_put_text(out,
                     " of these may have been carried out. Latencies are those of the others.\n");
    }
    if (result->lost_count > 0) {
        buf_put_text(out, "Connections were lost: ");
        bench_put_count(out, result->lost_count);
        buf_put_text(out, ", of which at another node again: ");
        bench_put_count(out, result->moved_count);
        buf_put_text(out, ".\n");
    }
    if (result->unsent_count > 0) {
        bench_put_count(out, result->unsent_count);
        buf_put_text(out,
                     " requests were due and never sent, as no connection was free: the cluster "
                     "did not keep up.\n");
    }
}

/* What a reader has to know before believing the table. */
static void print_notes(const struct bench *bench)
{
    struct buf text;
    buf_init(&text, 8 * LIMIT_KEY_BYTES);
    put_trouble(&text, bench);
    if (bench->cli->bench.rate == 0)
        buf_put_text(&text, "A connection sends nothing while it waits, so a stall delays requests "
                            "that are not counted\nas late (coordinated omission). With --rate "
                            "latency counts from when a request was due.\n");
    else
        buf_put_text(&text,
                     "Latency counts from when a request was due, so all that a stall delays "
                     "is late.\n");
    if (bench->cli->bench.keeps) {
        buf_put_text(&text, "The keys are still there: minikv del --prefix ");
        put_prefix(&text, bench);
        buf_put_u8(&text, '\n');
    } else if (bench_is_clean(bench)) {
        bench_put_count(&text, bench->removed);
        buf_put_text(&text, " keys were removed again.\n");
    }
    printf("\n%s", buf_text(&text));
    buf_release(&text);
}

void bench_print(const struct bench *bench)
{
    print_head(bench);
    print_latency(bench);
    if (bench->latency.count > 0)
        print_histogram(bench);
    print_targets(bench);
    print_errors(bench);
    print_notes(bench);
}
