/* minikv bench: what its options mean, and what it makes of a result. The engine under it has tests
 * of its own (unit/load). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cli/arguments.h"
#include "cli/bench.h"

static struct cli cli;
static struct errtext error;
static struct bench bench;
static struct buf text;

/* ---- options ---- */

static enum status read_line(const char *first, ...)
{
    static char *argv[32];
    int argc = 0;
    va_list arguments;
    argv[argc++] = (char *)(uintptr_t) "minikv";
    argv[argc++] = (char *)(uintptr_t) "bench";
    va_start(arguments, first);
    for (const char *word = first; word != NULL; word = va_arg(arguments, const char *))
        argv[argc++] = (char *)(uintptr_t)word;
    va_end(arguments);
    argv[argc] = NULL;
    error.text[0] = '\0';
    return arguments_read(&cli, argc, argv, NULL, &error);
}
#define READ(...) read_line(__VA_ARGS__, (const char *)NULL)

static void the_defaults_are_modest(void **state)
{
    (void)state;
    assert_int_equal(read_line(NULL), ST_OK);

    assert_int_equal(cli.bench.connections, 16);
    assert_int_equal(cli.bench.pipeline, 1);
    assert_int_equal(cli.bench.duration, 10 * 1000000);
    assert_int_equal(cli.bench.keys, 10000);
    assert_int_equal(cli.bench.value_bytes, 100);
    assert_int_equal(cli.bench.rate, 0);
    assert_int_equal(cli.bench.requests, 0);
    assert_int_equal(cli.bench.at, CLI_AT_ENDPOINTS);
    assert_false(cli.bench.keeps || cli.bench.has_client_ids);
    assert_null(cli.bench.plot);
}

static void every_option_is_taken(void **state)
{
    (void)state;
    assert_int_equal(READ("90/10", "-c", "64", "-P", "16", "-d", "1m", "-n", "5000", "--rate",
                          "2000", "--at", "follower", "--keys", "77", "--value-bytes", "1048576",
                          "--client-ids", "--keep", "--plot", "x.svg", "--stale", "--prefix", "p/"),
                     ST_OK);

    assert_string_equal(cli.arguments[0], "90/10");
    assert_int_equal(cli.bench.connections, 64);
    assert_int_equal(cli.bench.pipeline, 16);
    assert_int_equal(cli.bench.duration, 60 * 1000000);
    assert_int_equal(cli.bench.requests, 5000);
    assert_int_equal(cli.bench.rate, 2000);
    assert_int_equal(cli.bench.at, CLI_AT_FOLLOWER);
    assert_int_equal(cli.bench.keys, 77);
    assert_int_equal(cli.bench.value_bytes, 1048576);
    assert_true(cli.bench.keeps && cli.bench.has_client_ids && cli.is_stale);
    assert_string_equal(cli.bench.plot, "x.svg");
    assert_string_equal(cli.prefix, "p/");
}

static void what_goes_beyond_a_limit_is_refused(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"--connections", "1025"}, {"--connections", "0"},       {"--pipeline", "129"},
        {"--duration", "61m"},     {"--rate", "1000001"},        {"--keys", "1000001"},
        {"--keys", "0"},           {"--value-bytes", "1048577"}, {"--at", "moon"},
        {"--duration", "0s"},      {"--requests", "0"},          {"--plot", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        assert_int_equal(READ(lines[i][0], lines[i][1]), ST_BAD_REQUEST);
        if (strstr(error.text, lines[i][0]) == NULL)
            fail_msg("%s %s: \"%s\"", lines[i][0], lines[i][1], error.text);
    }
}

static void what_is_at_a_limit_is_taken_and_one_more_is_not(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        unsigned limit;
        const char *unit;
    } rows[] = {
        {"--connections", LIMIT_BENCH_CONNECTIONS, ""},
        {"--pipeline", LIMIT_PIPELINE, ""},
        {"--rate", LIMIT_BENCH_RATE, ""},
        {"--keys", LIMIT_BENCH_KEYS, ""},
        {"--value-bytes", LIMIT_VALUE_BYTES, ""},
        {"--duration", LIMIT_BENCH_SECONDS, "s"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (unsigned extra = 0; extra <= 1; extra++) {
            char number[32];
            (void)snprintf(number, sizeof number, "%u%s", rows[i].limit + extra, rows[i].unit);
            assert_int_equal(READ(rows[i].option, number), extra ? ST_BAD_REQUEST : ST_OK);
        }
}

static void its_options_go_with_no_other_command(void **state)
{
    (void)state;
    static char *argv[] = {(char *)(uintptr_t) "minikv", (char *)(uintptr_t) "status",
                           (char *)(uintptr_t) "--rate", (char *)(uintptr_t) "5", NULL};

    assert_int_equal(arguments_read(&cli, 4, argv, NULL, &error), ST_BAD_REQUEST);

    assert_non_null(strstr(error.text, "--rate does not go with status"));
}

/* ---- results ---- */

/* A mix of 90/10 with latencies over some decades, and everything that can go wrong. */
static int make_result(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 11);
    memset(&bench, 0, sizeof bench);
    buf_init(&text, MIB);
    if (READ("90/10", "--at", "all", "--rate", "500") != ST_OK)
        return 1;
    bench.cli = &cli;
    bench.reads_percent = 90;
    bench.kind_names[0] = "get";
    bench.kind_names[1] = "put";
    bench.kinds_count = 2;
    buf_init(&bench.prefix, 1000);
    buf_put_text(&bench.prefix, "<a&\"b\">\x01\xff/12345678/");
    bench.nodes = json_pack("[{s:i, s:s, s:s}, {s:i, s:s}]", "id", 1, "http", "h:1", "version",
                            "0.1.0", "id", 2, "error", "gone");
    bench.leader = 1;
    bench.leader_after = 2;
    bench.targets[0] = (struct bench_target){.address = "h:1", .node = 1, .role = "leader"};
    bench.targets_count = bench.primaries_count = 1;
    bench.result.seconds = 20;
    series_init(&bench.result.series);
    for (int i = 0; i < 10000; i++) {
        uint64_t latency = 50000 + (UINT64_C(1) << prng_below(&prng, 31));
        histogram_add(&bench.result.latencies[i % 10 == 0], latency);
        series_at(&bench.result.series, (uint64_t)i * 2000000)->good++;
    }
    series_at(&bench.result.series, 5000000000)->bad = 3;
    load_errors_add(&bench.result.errors, "no-leader", EFFECT_NONE);
    load_errors_add(&bench.result.errors, LOAD_WORD_LOST, EFFECT_MAYBE);
    bench.result.bad_count = bench.result.failed_count = 1;
    bench.latency = bench.result.latencies[0];
    histogram_merge(&bench.latency, &bench.result.latencies[1]);
    return 0;
}

static int release_result(void **state)
{
    (void)state;
    json_decref(bench.nodes);
    buf_release(&bench.prefix);
    buf_release(&text);
    return 0;
}

/* What XML 1.0 §2.1 asks for, of documents that have tags, attributes and text: each tag that
 * begins ends, in order; attributes are quoted; in text stand neither < nor a bare &. */
static const char *check_xml(const char *at)
{
    static char open[64][16];
    size_t depth = 0;
    for (; *at != '\0'; at++) {
        if (*at == '&' && strncmp(at, "&lt;", 4) != 0 && strncmp(at, "&gt;", 4) != 0 &&
            strncmp(at, "&amp;", 5) != 0 && strncmp(at, "&quot;", 6) != 0)
            return at;
        if ((unsigned char)*at < 0x20 && *at != '\n')
            return at;
        if (*at != '<')
            continue;
        bool is_end = at[1] == '/';
        size_t name = strspn(at + 1 + is_end, "abcdefghijklmnopqrstuvwxyz");
        const char *begin = at + 1 + is_end, *end = begin + name;
        bool is_quoted = false;
        for (; *end != '\0' && (is_quoted || *end != '>'); end++) {
            is_quoted = is_quoted != (*end == '"');
            if (*end == '<')
                return end;
        }
        if (*end == '\0' || is_quoted || name == 0 || name > 15 || depth == 64)
            return at;
        if (is_end && (depth == 0 || strlen(open[depth - 1]) != name ||
                       memcmp(open[--depth], begin, name) != 0))
            return at;
        if (!is_end && end[-1] != '/') {
            memcpy(open[depth], begin, name);
            open[depth++][name] = '\0';
        }
        at = end;
    }
    return depth == 0 ? NULL : at;
}

static void a_plot_is_a_whole_document(void **state)
{
    (void)state;
    bench_put_plot(&bench, &text);

    const char *plot = buf_text(&text), *wrong = check_xml(plot);
    if (wrong != NULL)
        fail_msg("at byte %td: %.60s", wrong - plot, wrong);
    assert_false(text.is_full);
    assert_int_equal(strncmp(plot, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39), 0);
    assert_null(strstr(plot, "nan"));
    assert_null(strstr(plot, "inf"));
    assert_non_null(strstr(plot, "&lt;a&amp;&quot;b&quot;&gt;\\x01\\xff/12345678/"));
    assert_non_null(strstr(plot, ">99 %<"));
}

static void a_plot_of_nothing_is_one_too(void **state)
{
    (void)state;
    memset(&bench.result, 0, sizeof bench.result);
    memset(&bench.latency, 0, sizeof bench.latency);
    series_init(&bench.result.series);

    bench_put_plot(&bench, &text);

    assert_null(check_xml(buf_text(&text)));
    assert_null(strstr(buf_text(&text), "nan"));
}

/* The lines of a panel stay in it: x from 84 to 836. */
static void no_line_of_a_plot_leaves_its_panel(void **state)
{
    (void)state;
    size_t points = 0;
    bench_put_plot(&bench, &text);

    for (const char *at = strstr(buf_text(&text), "points=\""); at != NULL;
         at = strstr(at, "points=\"")) {
        at += 8;
        while (*at != '"') {
            char *end;
            double x = strtod(at, &end), y = strtod(end + 1, &end);
            assert_true(x >= 84 && x <= 836 && y >= 0 && y < 950);
            at = end + (*end == ' ');
            points++;
        }
    }
    assert_true(points > 400);
}

static void json_has_every_count(void **state)
{
    (void)state;
    json_t *root = bench_json(&bench);

    assert_int_equal(json_integer_value(json_object_get(root, "answered")), 10000);
    assert_int_equal(json_integer_value(json_object_get(root, "refused")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "maybe")), 1);
    assert_true(json_is_null(json_object_get(root, "keys_left")));
    assert_true(json_real_value(json_object_get(root, "per_second")) == 500);
    json_int_t total = 0;
    const json_t *buckets = json_object_get(root, "histogram_us");
    for (size_t i = 0; i < json_array_size(buckets); i++)
        total += json_integer_value(json_array_get(json_array_get(buckets, i), 1));
    assert_int_equal(total, 10000);
    assert_int_equal(json_array_size(json_object_get(json_object_get(root, "cluster"), "nodes")),
                     2);
    json_decref(root);
}

static void words_tell_what_was_measured(void **state)
{
    (void)state;
    bench_put_work(&text, &bench);
    assert_string_equal(buf_text(&text), "90 % get, 10 % put at all nodes");

    buf_reset(&text);
    bench_put_cluster(&text, &bench);
    assert_string_equal(buf_text(&text),
                        "2 nodes of MiniKV 0.1.0, node 1 led at first and node 2 in the end");

    buf_reset(&text);
    bench_put_manner(&text, &bench);
    assert_string_equal(buf_text(&text),
                        "16 connections, 500 requests a second, each when it is due");
}

static void times_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    static const struct {
        double us;
        const char *words;
    } rows[] = {{0, "0 µs"},        {0.05, "0.05 µs"},  {7.25, "7.25 µs"},  {99.94, "99.9 µs"},
                {99.96, "100 µs"},  {999.4, "999 µs"},  {999.6, "1.00 ms"}, {1234, "1.23 ms"},
                {45678, "45.7 ms"}, {999600, "1.00 s"}, {2.5e6, "2.50 s"},  {3.6e9, "3600 s"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        buf_reset(&text);
        bench_put_time(&text, rows[i].us);
        assert_string_equal(buf_text(&text), rows[i].words);
    }
}

static void counts_have_their_thousands_apart(void **state)
{
    (void)state;
    static const struct {
        uint64_t count;
        const char *words;
    } rows[] = {{0, "0"}, {999, "999"}, {1000, "1,000"}, {1234567, "1,234,567"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        buf_reset(&text);
        bench_put_count(&text, rows[i].count);
        assert_string_equal(buf_text(&text), rows[i].words);
    }
}

#define WITH_RESULT(name) cmocka_unit_test_setup_teardown(name, make_result, release_result)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_modest),
        cmocka_unit_test(every_option_is_taken),
        cmocka_unit_test(what_goes_beyond_a_limit_is_refused),
        cmocka_unit_test(what_is_at_a_limit_is_taken_and_one_more_is_not),
        cmocka_unit_test(its_options_go_with_no_other_command),
        WITH_RESULT(a_plot_is_a_whole_document),
        WITH_RESULT(a_plot_of_nothing_is_one_too),
        WITH_RESULT(no_line_of_a_plot_leaves_its_panel),
        WITH_RESULT(json_has_every_count),
        WITH_RESULT(words_tell_what_was_measured),
        WITH_RESULT(times_have_three_digits_and_a_unit),
        WITH_RESULT(counts_have_their_thousands_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
