/* Options: four places in their order of precedence, and every refusal with its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "minikvd/option_table.h"
#include "minikvd/options.h"

static char *no_variables[] = {NULL};

struct load {
    struct options options;
    enum options_action action;
    struct errtext error;
    enum status status;
};

/* Arguments up to NULL, as main gets them after the program's name. */
static struct load *load_with(char *const *environment, ...)
{
    static struct load load;
    static char *argv[32];
    int argc = 0;
    va_list arguments;
    argv[argc++] = (char *)(uintptr_t) "minikvd";
    va_start(arguments, environment);
    while ((argv[argc] = va_arg(arguments, char *)) != NULL)
        argc++;
    va_end(arguments);
    memset(&load, 0, sizeof load);
    load.status = options_load(&load.options, argc, argv, environment, &load.action, &load.error);
    return &load;
}

#define LOAD(...) load_with(no_variables, __VA_ARGS__, NULL)

static void assert_refused(struct load *load, const char *words)
{
    assert_int_equal(load->status, ST_BAD_REQUEST);
    if (strstr(load->error.text, words) == NULL)
        fail_msg("got \"%s\", want it to hold \"%s\"", load->error.text, words);
    options_release(&load->options);
}

static void assert_address(const struct address *address, const char *want)
{
    char text[LIMIT_ADDRESS_BYTES];
    assert_string_equal(address_format(address, text), want);
}

/* A file that is gone after the test; the caller unlinks it. */
static void write_file(char path[32], const char *text)
{
    (void)snprintf(path, 32, "/tmp/minikv-options-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void without_any_option_a_single_node_results(void **state)
{
    (void)state;
    struct load *load = load_with(no_variables, NULL);

    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->action, OPTIONS_RUN);
    assert_int_equal(load->options.id, 1);
    assert_string_equal(load->options.data_dir, "./minikv-data");
    assert_address(&load->options.listen_peer, "127.0.0.1:7001");
    assert_address(&load->options.listen_http, "127.0.0.1:8081");
    assert_address(&load->options.advertise_http, "127.0.0.1:8081");
    assert_int_equal(load->options.initial.members_count, 1);
    assert_address(&load->options.initial.members[0].peer, "127.0.0.1:7001");
    assert_int_equal(load->options.route, ROUTE_FORWARD);
    assert_true(load->options.announces);
    assert_int_equal(load->options.hold, 2000000);
    assert_int_equal(load->options.request_timeout, 5000000);
    options_release(&load->options);
}

static void both_spellings_of_a_flag_work(void **state)
{
    (void)state;
    struct load *load =
        LOAD("--id", "7", "--route=redirect", "--listen-http=[::1]:90", "--announce", "off");

    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.id, 7);
    assert_int_equal(load->options.route, ROUTE_REDIRECT);
    assert_false(load->options.announces);
    assert_address(&load->options.listen_http, "[::1]:90");
    options_release(&load->options);
}

static void flags_beat_environment_beats_file_beats_default(void **state)
{
    (void)state;
    char path[32], variable[64];
    write_file(path, "# a comment\nhold-ms = 10\nrequest-timeout-ms=20   # another\n"
                     "heartbeat-ms = 30\n\n");
    (void)snprintf(variable, sizeof variable, "MINIKV_CONFIG=%s", path);
    char *variables[] = {(char *)(uintptr_t) "MINIKV_HOLD_MS=11",
                         (char *)(uintptr_t) "MINIKV_REQUEST_TIMEOUT_MS=21", variable, NULL};

    struct load *load = load_with(variables, "--hold-ms", "12", NULL);

    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.hold, 12 * 1000);
    assert_int_equal(load->options.request_timeout, 21 * 1000);
    assert_int_equal(load->options.heartbeat, 30 * 1000);
    assert_int_equal(load->options.election, 500 * 1000);
    assert_int_equal(load->options.values[option_find("hold-ms", 7)].origin, OPTION_FLAG);
    assert_int_equal(load->options.values[option_find("request-timeout-ms", 18)].origin,
                     OPTION_ENVIRONMENT);
    assert_int_equal(load->options.values[option_find("heartbeat-ms", 12)].line, 4);
    options_release(&load->options);
    assert_int_equal(unlink(path), 0);
}

static void an_unknown_name_names_the_nearest(void **state)
{
    (void)state;
    char *variables[] = {(char *)(uintptr_t) "MINIKV_LISTEN_HTP=:1", NULL};
    char path[32];
    write_file(path, "\ndata_dir = x\n");

    assert_refused(LOAD("--listn-http", ":1"), "unknown option --listn-http; did you mean "
                                               "--listen-http?");
    assert_refused(LOAD("--hlep"), "did you mean --help?");
    assert_refused(load_with(variables, NULL), "did you mean MINIKV_LISTEN_HTTP?");
    assert_refused(LOAD("--config", path), ":2: unknown option data_dir; did you mean data-dir?");
    assert_int_equal(unlink(path), 0);
}

static void variables_of_others_are_left_alone(void **state)
{
    (void)state;
    char *variables[] = {(char *)(uintptr_t) "MINIKV_ENDPOINTS=a:1",
                         (char *)(uintptr_t) "MINIKV_SERVICE_HOST=10.0.0.1",
                         (char *)(uintptr_t) "MINIKV_PORT_8081_TCP_ADDR=10.0.0.1",
                         (char *)(uintptr_t) "MINIKV_PORT=tcp://10.0.0.1:8081",
                         (char *)(uintptr_t) "MINIKVX=1",
                         (char *)(uintptr_t) "HOME=/",
                         NULL};
    struct load *load = load_with(variables, NULL);
    assert_int_equal(load->status, ST_OK);
    options_release(&load->options);
}

static void a_malformed_value_is_refused_with_its_place(void **state)
{
    (void)state;
    char *variables[] = {(char *)(uintptr_t) "MINIKV_ID=0", NULL};
    char path[32];
    write_file(path, "election-ms = fast\n");
    char host[80] = "--listen-http=";
    memset(host + 14, 'h', 64);
    (void)snprintf(host + 78, sizeof host - 78, ":");

    assert_refused(load_with(variables, NULL),
                   "environment MINIKV_ID: \"0\" is not a whole number from 1 to 2147483647");
    assert_refused(LOAD("--config", path), ":1: election-ms: \"fast\" is not a whole number");
    assert_refused(LOAD("--id", "2147483648"), "--id: \"2147483648\" is not a whole number");
    assert_refused(LOAD("--id", ""), "--id: \"\"");
    assert_refused(LOAD("--id", "1x"), "--id: \"1x\"");
    assert_refused(LOAD("--id", "99999999999999999999"), "--id:");
    assert_refused(LOAD("--route", "proxy"), "\"proxy\" is neither \"forward\" nor \"redirect\"");
    assert_refused(LOAD("--announce", "yes"), "neither \"on\" nor \"off\"");
    assert_refused(LOAD("--listen-http", "8081"), "is no address");
    assert_refused(LOAD("--listen-http", "h:0"), "is no address");
    assert_refused(LOAD("--advertise-http", "https://h:1"), "is no address");
    assert_refused(LOAD(host), "at most 63 bytes");
    assert_refused(LOAD("--data-dir", ""), "--data-dir: the name of the directory is empty");
    assert_refused(LOAD("--request-timeout-ms", "0"), "from 1 to 600000");
    assert_int_equal(unlink(path), 0);
}

static void a_flag_without_its_value_is_refused(void **state)
{
    (void)state;
    assert_refused(LOAD("--id"), "--id wants a value: --id N");
    assert_refused(LOAD("--data-dir", "--id", "2"), "--data-dir wants a value");
    assert_refused(LOAD("start"), "\"start\" is no option");
}

static void a_node_that_joins_needs_a_member_and_no_list_of_all(void **state)
{
    (void)state;
    char *variables[] = {(char *)(uintptr_t) "MINIKV_JOIN=127.0.0.1:8081", NULL};

    struct load *load = LOAD("--id", "4", "--join", "10.0.0.1:8081,10.0.0.2:8081", "--listen-peer",
                             "10.0.0.4:7001");
    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.seeds_count, 2);
    assert_string_equal(load->options.seeds[1].host, "10.0.0.2");
    assert_int_equal(load->options.initial.members_count, 0);
    assert_string_equal(load->options.advertise_peer.host, "10.0.0.4");
    options_release(&load->options);

    load = load_with(variables, NULL);
    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.seeds_count, 1);
    options_release(&load->options);

    assert_refused(LOAD("--join", "127.0.0.1:8081", "--initial-cluster", "1=127.0.0.1:7001"),
                   "--join and --initial-cluster contradict each other");
    assert_refused(LOAD("--join", ":8081"), "--join: \":8081\" names no host");
    assert_refused(LOAD("--join", "127.0.0.1"), "--join: \"127.0.0.1\" is no address");
}

static void snapshots_have_a_size_and_a_pace_within_bounds(void **state)
{
    (void)state;
    struct load *load = LOAD("--snapshot-bytes=1048576", "--snapshot-rate=2000000");
    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.snapshot_bytes, 1048576);
    assert_int_equal(load->options.snapshot_rate, 2000000);
    options_release(&load->options);

    assert_refused(LOAD("--snapshot-bytes", "0"), "--snapshot-bytes");
    assert_refused(LOAD("--snapshot-bytes", "64M"), "--snapshot-bytes");
    assert_refused(LOAD("--snapshot-rate", "1"), "--snapshot-rate");
}

static void the_time_that_clients_are_remembered_has_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        time_us seconds;
    } good[] = {{"1s", 1},          {"90s", 90},           {"15m", 900},
                {"24h", 24 * 3600}, {"7d", 7 * 24 * 3600}, {"3650d", (time_us)3650 * 24 * 3600},
                {"0060s", 60}};
    static const char *const bad[] = {
        "",    "0s",  "24",   "h",   "1 h",    "1.5h",        "-1h",    "+1h",
        "1hh", "1ms", "500u", "24H", "0x10s",  "3651d",       "87601h", "99999999999999999999s",
        "s1",  "1h ", " 1h",  "1w",  "12345d", "9999999999d", "1s1"};

    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct load *load = LOAD("--session-ttl", (char *)(uintptr_t)good[i].text);
        assert_int_equal(load->status, ST_OK);
        assert_int_equal(load->options.session_ttl, good[i].seconds * 1000 * TIME_US_PER_MS);
        options_release(&load->options);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_refused(LOAD("--session-ttl", (char *)(uintptr_t)bad[i]),
                       "is no time from 1s to 3650d: a number and s, m, h or d");

    struct load *load = LOAD("--id", "1");
    assert_int_equal(load->options.session_ttl, UINT64_C(24) * 3600 * 1000 * TIME_US_PER_MS);
    options_release(&load->options);
}

static void the_initial_cluster_is_read_and_checked(void **state)
{
    (void)state;
    struct load *load = LOAD("--id=2", "--listen-peer=10.0.0.2:7001", "--listen-http=10.0.0.2:80",
                             "--initial-cluster=3=10.0.0.3:7001,1=10.0.0.1:7001,2=10.0.0.2:7001");
    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.initial.members_count, 3);
    assert_int_equal(load->options.initial.members[0].id, 1);
    assert_true(load->options.initial.members[2].is_voter);
    options_release(&load->options);

    assert_refused(LOAD("--initial-cluster=1"), "\"1\" is not id=address");
    assert_refused(LOAD("--initial-cluster=1=127.0.0.1:7001,"), "\"\" is not id=address");
    assert_refused(LOAD("--initial-cluster=x=127.0.0.1:7001"), "is not id=address");
    assert_refused(LOAD("--initial-cluster=1=:7001"), "other nodes cannot dial :7001");
    assert_refused(LOAD("--initial-cluster=1=h:1,1=h:2"), "member 1 is named twice");
    assert_refused(LOAD("--initial-cluster=1=h:1,2=h:1"), "members 1 and 2 have the same address");
    assert_refused(LOAD("--initial-cluster=1=h:1,2=h:2,3=h:3,4=h:4,5=h:5,6=h:6,7=h:7,8=h:8,9=h:9,"
                        "10=h:10"),
                   "more than 9 members");
    assert_refused(LOAD("--id=4", "--initial-cluster=1=127.0.0.1:7001"),
                   "does not name this node, which has id 4");
}

static void contradicting_addresses_are_refused(void **state)
{
    (void)state;
    assert_refused(LOAD("--id=2", "--initial-cluster=1=127.0.0.1:7001,2=127.0.0.1:7002"),
                   "says that this node, 2, is at 127.0.0.1:7002, but --listen-peer says "
                   "127.0.0.1:7001");
    assert_refused(LOAD("--advertise-peer=10.0.0.9:1", "--initial-cluster=1=10.0.0.1:1"),
                   "but --advertise-peer says 10.0.0.9:1");
    assert_refused(LOAD("--listen-peer=:7001"), "other nodes cannot dial :7001");
    assert_refused(LOAD("--initial-cluster=1=127.0.0.1:7001,2=10.0.0.2:7001"),
                   "member 1 is at 127.0.0.1, which on the host of member 2 means that host");
    assert_refused(LOAD("--heartbeat-ms=100", "--election-ms=399"), "at least four times");
}

static void a_wildcard_listener_takes_its_address_from_the_cluster(void **state)
{
    (void)state;
    struct load *load = LOAD("--listen-peer=:7001", "--initial-cluster=1=10.0.0.1:7001");

    assert_int_equal(load->status, ST_OK);
    assert_address(&load->options.advertise_peer, "10.0.0.1:7001");
    options_release(&load->options);
}

static void an_announced_address_must_lead_here_from_the_other_hosts(void **state)
{
    (void)state;
    const char *cluster = "--initial-cluster=1=10.0.0.1:7001,2=10.0.0.2:7001";
    const char *peer = "--listen-peer=10.0.0.1:7001";

    assert_refused(LOAD(cluster, peer), "--advertise-http: from 10.0.0.2, 127.0.0.1:8081 does not "
                                        "lead to this node");

    struct load *load = LOAD(cluster, peer, "--announce=off");
    assert_int_equal(load->status, ST_OK);
    options_release(&load->options);
    load = LOAD(cluster, peer, "--advertise-http=10.0.0.7:8081");
    assert_int_equal(load->status, ST_OK);
    assert_address(&load->options.advertise_http, "10.0.0.7:8081");
    options_release(&load->options);
}

static void
an_announced_address_without_a_host_gets_the_one_where_nodes_reach_this_one(void **state)
{
    (void)state;
    const char *cluster = "--initial-cluster=1=10.0.0.1:7001,2=10.0.0.2:7001";
    const char *https[] = {"--listen-http=:80", "--listen-http=0.0.0.0:80", "--advertise-http=:80",
                           "--advertise-http=[::]:80"};
    for (size_t i = 0; i < ARRAY_COUNT(https); i++) {
        struct load *load = LOAD(cluster, "--listen-peer=10.0.0.1:7001", https[i]);
        assert_int_equal(load->status, ST_OK);
        assert_address(&load->options.advertise_http, "10.0.0.1:80");
        options_release(&load->options);
    }
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
    (void)state;
    char path[32];
    write_file(path, "id = 1\nid = 2\n");
    assert_refused(LOAD("--config", path), ":2: id stands in line 1 already");
    assert_int_equal(unlink(path), 0);

    write_file(path, "id\n");
    assert_refused(LOAD("--config", path), ":1: \"id\" is not name = value");
    assert_int_equal(unlink(path), 0);

    write_file(path, "config = other\n");
    assert_refused(LOAD("--config", path), "cannot name another");
    assert_int_equal(unlink(path), 0);

    assert_refused(LOAD("--config", "/nonexistent/minikv.conf"), "No such file or directory");
    assert_refused(LOAD("--config", "/"), "Is a directory");
}

static void the_printed_configuration_can_be_read_back(void **state)
{
    (void)state;
    char path[32], printed[4096] = "", again[4096] = "";
    struct load *load = LOAD("--id=2", "--hold-ms=123", "--listen-peer=127.0.0.1:7002",
                             "--initial-cluster=1=127.0.0.1:7001,2=127.0.0.1:7002");
    assert_int_equal(load->status, ST_OK);
    FILE *out = fmemopen(printed, sizeof printed, "w");
    options_print(&load->options, out);
    assert_int_equal(fclose(out), 0);
    options_release(&load->options);
    assert_non_null(strstr(printed, "hold-ms = 123                           # flag\n"));
    assert_non_null(strstr(printed, "# default, from listen-http\n"));
    write_file(path, printed);

    load = LOAD("--config", path);

    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->options.id, 2);
    assert_int_equal(load->options.hold, 123 * 1000);
    assert_int_equal(load->options.initial.members_count, 2);
    out = fmemopen(again, sizeof again, "w");
    options_print(&load->options, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(again, "hold-ms = 123"));
    options_release(&load->options);
    assert_int_equal(unlink(path), 0);
}

static void questions_are_answered_without_reading_the_rest(void **state)
{
    (void)state;
    char *variables[] = {(char *)(uintptr_t) "MINIKV_ID=nonsense", NULL};
    struct load *load = load_with(variables, "--help", NULL);
    assert_int_equal(load->status, ST_OK);
    assert_int_equal(load->action, OPTIONS_HELP);
    options_release(&load->options);
    assert_refused(load_with(variables, "--print-config", NULL), "MINIKV_ID");
}

static void the_help_names_every_option(void **state)
{
    (void)state;
    char *help = NULL;
    size_t count = 0;
    FILE *out = open_memstream(&help, &count);
    options_describe(out, false);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < option_table_count; i++) {
        char term[96];
        (void)snprintf(term, sizeof term, "\n  --%s %s\n", option_table[i].name,
                       option_table[i].argument);
        if (strstr(help, term) == NULL)
            fail_msg("no \"%s\" in the help", term);
    }
    free(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_option_a_single_node_results),
        cmocka_unit_test(both_spellings_of_a_flag_work),
        cmocka_unit_test(flags_beat_environment_beats_file_beats_default),
        cmocka_unit_test(an_unknown_name_names_the_nearest),
        cmocka_unit_test(variables_of_others_are_left_alone),
        cmocka_unit_test(a_malformed_value_is_refused_with_its_place),
        cmocka_unit_test(a_flag_without_its_value_is_refused),
        cmocka_unit_test(a_node_that_joins_needs_a_member_and_no_list_of_all),
        cmocka_unit_test(snapshots_have_a_size_and_a_pace_within_bounds),
        cmocka_unit_test(the_time_that_clients_are_remembered_has_a_unit),
        cmocka_unit_test(the_initial_cluster_is_read_and_checked),
        cmocka_unit_test(contradicting_addresses_are_refused),
        cmocka_unit_test(a_wildcard_listener_takes_its_address_from_the_cluster),
        cmocka_unit_test(an_announced_address_must_lead_here_from_the_other_hosts),
        cmocka_unit_test(
            an_announced_address_without_a_host_gets_the_one_where_nodes_reach_this_one),
        cmocka_unit_test(a_bad_file_is_refused_with_its_line),
        cmocka_unit_test(the_printed_configuration_can_be_read_back),
        cmocka_unit_test(questions_are_answered_without_reading_the_rest),
        cmocka_unit_test(the_help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
