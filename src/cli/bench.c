/* minikv bench: load on the user's own cluster, made by the engine in src/load. */
#include "cli/bench.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/percent.h"
#include "cli/options.h"
#include "cli/outfile.h"

enum { TEXT_BYTES = 64 * KIB, PLOT_BYTES = 1 * MIB, REDRAW_NS = 250 * 1000 * 1000 };

/* ---- interruptions ---- */

static volatile sig_atomic_t interrupts;
static sig_atomic_t interrupts_known; /* by what is going on now */

static void on_signal(int number)
{
    (void)number;
    interrupts++;
}

/* The first one ends the measurement, the next the removal of keys, the third everything. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
    (void)sigaction(SIGTERM, &action, NULL);
}

static bool is_stopped(void)
{
    return interrupts != interrupts_known;
}

/* ---- what is asked for ---- */

static enum exit_code refuse(const char *why)
{
    fprintf(stderr, "minikv: bench: %s\n", why);
    return EXIT_CODE_USAGE;
}

/* "90/10" */
static bool read_mix(const char *text, unsigned *out_reads)
{
    char reads[4] = "";
    uint64_t reads_percent, writes_percent;
    const char *slash = strchr(text, '/');
    if (slash == NULL || slash - text > 3)
        return false;
    memcpy(reads, text, (size_t)(slash - text));
    if (!option_read_number(reads, 1, 99, &reads_percent) ||
        !option_read_number(slash + 1, 1, 99, &writes_percent) ||
        reads_percent + writes_percent != 100)
        return false;
    *out_reads = (unsigned)reads_percent;
    return true;
}

static bool read_work(struct bench *bench)
{
    const char *work = bench->cli->arguments_count > 0 ? bench->cli->arguments[0] : "put";
    bench->is_incr = strcmp(work, "incr") == 0;
    if (strcmp(work, "get") == 0)
        bench->reads_percent = 100;
    else if (strcmp(work, "put") != 0 && !bench->is_incr)
        return read_mix(work, &bench->reads_percent);
    return true;
}

static enum exit_code check(struct bench *bench)
{
    const struct cli_bench *asked = &bench->cli->bench;
    if (!read_work(bench))
        return refuse("what to do is put, get, incr, or a mix as in 90/10");
    if (bench->cli->is_stale && !bench_has_reads(bench))
        return refuse("--stale is about gets, and there are none");
    if (asked->has_client_ids && !bench_has_writes(bench))
        return refuse("--client-ids is about writes, and there are none");
    if (asked->plot != NULL && strcmp(asked->plot, "-") == 0)
        return refuse("--plot wants the name of a file");
    uint64_t key_bytes = bench->prefix.count + TEMPLATE_KEY_BYTES;
    if (bench->prefix.is_full || key_bytes > LIMIT_KEY_BYTES)
        return refuse("the prefix is too long");
    if (asked->keys * (key_bytes + asked->value_bytes) > (uint64_t)LIMIT_BENCH_DATA_MIB * MIB) {
        fprintf(stderr, "minikv: bench: the keys with their values would be more than %d MiB\n",
                LIMIT_BENCH_DATA_MIB);
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}

/* A part of all keys that no other run has, so that none is overwritten or removed that is not of
 * this one. */
static void make_prefix(struct bench *bench)
{
    uint32_t number;
    const char *prefix = bench->cli->prefix != NULL ? bench->cli->prefix : "bench/";
    ssize_t count = getrandom(&number, sizeof number, 0);
    REQUIRE(count == (ssize_t)sizeof number); /* so few are never refused */
    (void)snprintf(bench->run, sizeof bench->run, "%08x", number);
    buf_init(&bench->prefix, LIMIT_TARGET_BYTES);
    buf_printf(&bench->prefix, "%s%s/", prefix, bench->run);
}

/* ---- requests ---- */

/* The path of a key, as the template has it: slashes as they are, other bytes percent-encoded. */
static void put_path(const struct bench *bench, const char *front, struct buf *out)
{
    buf_put_text(out, front);
    for (size_t i = 0; i < bench->prefix.count; i++) {
        char encoded[PERCENT_ENCODED_BYTES_MAX];
        struct bytes one = bytes_of(bench->prefix.data + i, 1);
        size_t count = bytes_equal_text(one, "/") ? 0 : percent_encode(one, encoded);
        if (count == 0)
            buf_put(out, one);
        else if (encoded[0] == '%')
            buf_put_u8(out, '%'); /* a template has two for one */
        buf_put(out, bytes_of(encoded, count));
    }
    buf_put_text(out, "%k");
}

static enum exit_code make_template(struct bench *bench, const char *name, const char *method,
                                    const char *front, const char *behind, const char *body)
{
    struct buf path, client;
    struct template_text text = {.host = bench->targets[0].address,
                                 .method = method,
                                 .body = body,
                                 .value_bytes = bench->cli->bench.value_bytes};
    buf_init(&path, LIMIT_TARGET_BYTES);
    buf_init(&client, LIMIT_TARGET_BYTES);
    put_path(bench, front, &path);
    buf_put_text(&path, behind);
    text.path = buf_text(&path);
    if (body != NULL && *body != '\0')
        text.headers[text.headers_count++] = "Content-Type: application/octet-stream";
    if (bench->cli->bench.has_client_ids && body != NULL) {
        buf_printf(&client, "X-MiniKV-Client-Id: bench-%s-%%c", bench->run);
        text.headers[text.headers_count++] = buf_text(&client);
        text.headers[text.headers_count++] = "X-MiniKV-Sequence: %s";
        text.headers[text.headers_count++] = "X-MiniKV-Acked: %a";
    }
    bool is_too_long = path.is_full || client.is_full ||
                       template_render(&bench->templates[bench->kinds_count], &text) != ST_OK;
    bench->kind_names[bench->kinds_count] = name;
    bench->kinds_count += !is_too_long;
    buf_release(&path);
    buf_release(&client);
    return is_too_long ? refuse("the request would be too long") : EXIT_CODE_OK;
}

static enum exit_code make_templates(struct bench *bench)
{
    enum exit_code code = EXIT_CODE_OK;
    const char *query = bench->cli->is_stale ? "?consistency=stale" : "";
    if (bench_has_reads(bench))
        code = make_template(bench, "get", "GET", "/v1/kv/", query, NULL);
    if (code == EXIT_CODE_OK && bench->is_incr)
        return make_template(bench, "incr", "POST", "/v1/incr/", "", "");
    if (code == EXIT_CODE_OK)
        code = make_template(bench, "put", "PUT", "/v1/kv/", "", "%v");
    return code; /* also of gets alone: their keys are put first */
}

/* ---- progress ---- */

struct progress {
    struct bench *bench;
    const struct load_plan *plan;
    uint64_t next; /* ns: not drawn anew before */
};

/* Good ones a second, of the last second. */
static uint64_t rate_now(const struct load_result *result, uint64_t age_ns)
{
    const struct series *series = &result->series;
    size_t whole = (size_t)(age_ns / series->step_ns); /* the last step is not over */
    size_t wanted = (size_t)(1000000000u / series->step_ns) + (series->step_ns > 1000000000u);
    size_t count = MIN(MIN(whole, wanted), series->count);
    uint64_t good = 0;
    for (size_t i = 0; i < count; i++)
        if (whole - 1 - i < series->count)
            good += series->steps[whole - 1 - i].good;
    return count == 0 ? 0 : (uint64_t)((double)good * 1e9 / (double)(count * series->step_ns));
}

static uint64_t good_count(const struct load_result *result)
{
    uint64_t count = 0;
    for (size_t i = 0; i < LOAD_KINDS_MAX; i++)
        count += result->latencies[i].count;
    return count;
}

static void put_progress(struct buf *out, const struct progress *progress,
                         const struct load_result *result, uint64_t age_ns)
{
    const struct load_plan *plan = progress->plan;
    uint64_t done = age_ns, of = plan->run_ns;
    static struct histogram latency;
    if (plan->requests_max != 0 &&
        (double)result->sent_count / (double)plan->requests_max > (double)done / (double)of) {
        done = result->sent_count;
        of = plan->requests_max;
    }
    latency = result->latencies[0];
    histogram_merge(&latency, &result->latencies[1]);
    buf_put_u8(out, '[');
    bar_put_blocks(out, done, of, BAR_WIDTH, '-');
    buf_printf(out, "] %.1f s  ", (double)age_ns / 1e9);
    bench_put_count(out, good_count(result));
    buf_put_text(out, " answered  ");
    bench_put_count(out, rate_now(result, age_ns));
    buf_put_text(out, "/s  p99 ");
    bench_put_time(out, histogram_percentile_us(&latency, 0.99));
    if (result->bad_count > 0)
        buf_printf(out, "  %llu refused", (unsigned long long)result->bad_count);
    if (result->failed_count > 0)
        buf_printf(out, "  %llu lost", (unsigned long long)result->failed_count);
}

static bool on_tick(void *ctx, const struct load_result *result, uint64_t age_ns)
{
    struct progress *progress = ctx;
    struct bench *bench = progress->bench;
    if (bench->bar.is_on && age_ns >= progress->next) {
        struct buf line;
        buf_init(&line, 512);
        if (progress->plan->is_sequential) {
            buf_put_text(&line, "putting keys ");
            bar_put_count(&line, good_count(result), progress->plan->requests_max,
                          rate_now(result, age_ns), "keys");
        } else {
            put_progress(&line, progress, result, age_ns);
        }
        bar_say(&bench->bar, buf_text(&line));
        buf_release(&line);
        progress->next = age_ns + REDRAW_NS;
    }
    return !is_stopped();
}

/* ---- runs ---- */

static enum exit_code run(struct bench *bench, struct load_plan *plan)
{
    const struct cli *cli = bench->cli;
    struct progress progress = {.bench = bench, .plan = plan};
    struct errtext error = {""};
    plan->targets = bench->addresses;
    plan->targets_count = bench->targets_count;
    plan->primaries_count = bench->primaries_count;
    plan->connections_count = cli->bench.connections;
    plan->pipeline = cli->bench.pipeline;
    plan->keys_count = cli->bench.keys;
    plan->rate = cli->bench.rate;
    plan->timeout_ns = cli->connect.timeout * 1000;
    plan->waits_at_end = true;
    plan->on_tick = on_tick;
    plan->ctx = &progress;
    bar_init(&bench->bar, 0);
    bool has_run = load_run(plan, &bench->result, &error);
    bar_release(&bench->bar);
    bench->is_interrupted = is_stopped();
    if (has_run)
        return EXIT_CODE_OK;
    fprintf(stderr, "minikv: bench: %s\n", error.text);
    return EXIT_CODE_UNAVAILABLE;
}

/* Puts every key, so that gets find them; again where some were refused, as during an election. */
static enum exit_code fill(struct bench *bench)
{
    enum { ROUNDS = 3 };
    size_t put = bench->kinds_count - 1;
    struct load_plan plan = {.kinds = {{&bench->templates[put], true}},
                             .kinds_count = 1,
                             .is_sequential = true,
                             .requests_max = bench->cli->bench.keys,
                             .run_ns = LIMIT_BENCH_SECONDS * UINT64_C(1000000000)};
    const struct load_result *result = &bench->result;
    for (int i = 0; i < ROUNDS; i++) {
        enum exit_code code = run(bench, &plan);
        bool is_whole = good_count(result) == plan.requests_max;
        if (code != EXIT_CODE_OK || bench->is_interrupted || is_whole)
            return code;
    }
    fprintf(stderr, "minikv: bench: only %llu of %llu keys could be put: %s\n",
            (unsigned long long)good_count(result), (unsigned long long)plan.requests_max,
            result->errors.count > 0 ? result->errors.errors[0].word : "the time is up");
    return EXIT_CODE_UNAVAILABLE;
}

static enum exit_code measure(struct bench *bench)
{
    bool is_of_gets = !bench_has_writes(bench);
    struct load_plan plan = {.kinds_count = is_of_gets ? 1 : bench->kinds_count,
                             .first_percent = bench->reads_percent,
                             .requests_max = bench->cli->bench.requests,
                             .run_ns = bench->cli->bench.duration * 1000};
    for (size_t i = 0; i < plan.kinds_count; i++)
        plan.kinds[i] = (struct load_kind){&bench->templates[i], i > 0 || !bench_has_reads(bench)};
    bench->started = time(NULL);
    enum exit_code code = run(bench, &plan);
    if (code != EXIT_CODE_OK)
        return code;
    bench->kinds_count = plan.kinds_count; /* of gets alone, not the puts before */
    bench->latency = bench->result.latencies[0];
    histogram_merge(&bench->latency, &bench->result.latencies[1]);
    return EXIT_CODE_OK;
}

/* ---- results ---- */

static enum exit_code write_plot(const struct bench *bench)
{
    struct errtext error = {""};
    struct outfile file;
    struct buf plot;
    if (bench->cli->bench.plot == NULL)
        return EXIT_CODE_OK;
    buf_init(&plot, PLOT_BYTES);
    bench_put_plot(bench, &plot);
    bool is_written = outfile_open(&file, bench->cli->bench.plot, &error) &&
                      outfile_write(&file, buf_bytes(&plot), &error) &&
                      outfile_settle(&file, &error);
    outfile_release(&file);
    buf_release(&plot);
    if (!is_written)
        fprintf(stderr, "minikv: bench: --plot: %s\n", error.text);
    return is_written ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

/* With as many digits as the clock has: what is measured is no exact fraction. */
static void print_json(const struct bench *bench)
{
    json_t *root = bench_json(bench);
    (void)json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

static enum exit_code show(const struct bench *bench)
{
    if (bench->cli->output == CLI_OUTPUT_JSON)
        print_json(bench);
    else
        bench_print(bench);
    enum exit_code code = write_plot(bench);
    if (bench->latency.count == 0 && !bench->is_interrupted)
        code = EXIT_CODE_UNAVAILABLE; /* the table of errors says why */
    return code;
}

/* Keys may be there from the moment that anything was sent. */
static enum exit_code run_all(struct bench *bench)
{
    enum exit_code code = EXIT_CODE_OK;
    catch_signals();
    if (bench_has_reads(bench))
        code = fill(bench);
    bool is_to_measure = code == EXIT_CODE_OK && !bench->is_interrupted;
    if (is_to_measure)
        code = measure(bench);
    bool has_measured = is_to_measure && code == EXIT_CODE_OK;
    interrupts_known = interrupts;
    if (has_measured)
        bench_note_leader_after(bench);
    if (!bench->cli->bench.keeps)
        bench_clean(bench, is_stopped);
    if (has_measured)
        code = show(bench);
    else if (code == EXIT_CODE_OK)
        fputs("minikv: bench: interrupted before anything was measured\n", stderr);
    if (code == EXIT_CODE_OK && !bench->cli->bench.keeps && !bench_is_clean(bench))
        code = EXIT_CODE_FAILURE;
    return code;
}

enum exit_code bench_run(struct cli *cli)
{
    static struct bench bench; /* large */
    bench = (struct bench){.cli = cli};
    make_prefix(&bench);
    enum exit_code code = check(&bench);
    if (code == EXIT_CODE_OK)
        code = bench_find_nodes(&bench);
    if (code == EXIT_CODE_OK)
        code = make_templates(&bench);
    if (code == EXIT_CODE_OK)
        code = run_all(&bench);
    for (size_t i = 0; i < LOAD_KINDS_MAX; i++)
        template_release(&bench.templates[i]);
    json_decref(bench.nodes);
    buf_release(&bench.prefix);
    return code;
}
