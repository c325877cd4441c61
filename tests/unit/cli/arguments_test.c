/* Arguments: what a command line means, and the words for one that means nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/arguments.h"

struct line {
    struct cli cli;
    struct errtext error;
    enum status status;
};

/* Arguments up to NULL, behind the program's name. */
static struct line *read_line(const char *endpoints, ...)
{
    static struct line line;
    static char *argv[32];
    int argc = 0;
    va_list arguments;
    argv[argc++] = (char *)(uintptr_t) "minikv";
    va_start(arguments, endpoints);
    while ((argv[argc] = va_arg(arguments, char *)) != NULL)
        argc++;
    va_end(arguments);
    line.status = arguments_read(&line.cli, argc, argv, endpoints, &line.error);
    return &line;
}

#define READ(...) read_line(NULL, __VA_ARGS__, NULL)

static void assert_refused(const struct line *line, const char *words)
{
    assert_int_equal(line->status, ST_BAD_REQUEST);
    if (strstr(line->error.text, words) == NULL)
        fail_msg("got \"%s\", want it to hold \"%s\"", line->error.text, words);
}

static void a_command_has_its_words_wherever_options_stand(void **state)
{
    (void)state;
    const struct line *line = READ("-v", "put", "--if-absent", "k", "-t", "2s", "v");

    assert_int_equal(line->status, ST_OK);
    assert_string_equal(line->cli.command->name, "put");
    assert_int_equal(line->cli.arguments_count, 2);
    assert_string_equal(line->cli.arguments[0], "k");
    assert_string_equal(line->cli.arguments[1], "v");
    assert_true(line->cli.is_verbose && line->cli.if_absent);
    assert_int_equal(line->cli.connect.timeout, 2000000);
}

static void words_behind_two_dashes_are_no_options(void **state)
{
    (void)state;
    const struct line *line = READ("put", "--", "-k", "--raw");
    assert_int_equal(line->status, ST_OK);
    assert_string_equal(line->cli.arguments[0], "-k");
    assert_string_equal(line->cli.arguments[1], "--raw");

    line = READ("put", "k", "-"); /* standard input */
    assert_int_equal(line->status, ST_OK);
    assert_string_equal(line->cli.arguments[1], "-");
}

static void endpoints_come_from_the_flag_else_the_environment_else_the_default(void **state)
{
    (void)state;
    const struct line *line = READ("status");
    assert_int_equal(line->cli.connect.endpoints_count, 1);
    assert_int_equal(line->cli.connect.endpoints[0].port, 8081);

    line = read_line("a:1,http://b:2/", "status", NULL);
    assert_int_equal(line->cli.connect.endpoints_count, 2);
    assert_string_equal(line->cli.connect.endpoints[1].host, "b");

    line = read_line("a:1", "status", "-e", ":9,[::1]:8", NULL);
    assert_int_equal(line->cli.connect.endpoints_count, 2);
    assert_string_equal(line->cli.connect.endpoints[0].host, "127.0.0.1");
    assert_string_equal(line->cli.connect.endpoints[1].host, "::1");
}

static void malformed_endpoints_are_refused_with_their_origin(void **state)
{
    (void)state;
    assert_refused(READ("status", "-e", "a:1,"), "\"\" is no address of a node");
    assert_refused(READ("status", "-e", "8081"), "\"8081\" is no address of a node");
    assert_refused(read_line("nonsense", "status", NULL), "environment MINIKV_ENDPOINTS: ");
    assert_refused(
        READ("status", "-e", ":1,:2,:3,:4,:5,:6,:7,:8,:9,:10,:11,:12,:13,:14,:15,:16,:17"),
        "more than 16 endpoints");
}

static void times_have_units(void **state)
{
    (void)state;
    assert_int_equal(READ("status", "-t", "250ms")->cli.connect.timeout, 250000);
    assert_int_equal(READ("status", "-t", "3")->cli.connect.timeout, 3000000);
    assert_int_equal(READ("status", "-t", "1m")->cli.connect.timeout, 60000000);
    assert_refused(READ("status", "-t", "0s"), "--timeout: \"0s\" is not TIME");
    assert_refused(READ("status", "-t", "71583m"), "at most 1440m"); /* more than a day */
    assert_refused(READ("status", "-t", "5h"), "a number with the unit ms, s or m, at least");
    assert_refused(READ("status", "-t", "ms"), "--timeout");
    assert_refused(READ("status", "-t", "99999999999999999999s"), "--timeout");
}

static void malformed_values_are_refused(void **state)
{
    (void)state;
    assert_refused(READ("incr", "k", "--by", "1x"), "--by: \"1x\" is not N");
    assert_refused(READ("incr", "k", "--by", "-"), "--by");
    assert_refused(READ("incr", "k", "--by", "9223372036854775808"),
                   "an integer from -9223372036854775808 to 9223372036854775807");
    assert_int_equal(READ("incr", "k", "--by", "-9223372036854775808")->status, ST_OK);
    assert_refused(READ("ls", "--limit", "1000000000000000000"),
                   "a number from 1 to 999999999999999999");
    assert_int_equal(READ("incr", "k", "--by", "-12")->status, ST_OK);
    assert_refused(READ("put", "k", "v", "--if-rev", "0"), "--if-rev");
    assert_refused(READ("put", "k", "v", "--if-rev", "\"1\""), "--if-rev");
    assert_refused(READ("ls", "--limit", "-1"), "--limit");
    assert_refused(READ("get", "k", "-o", "xml"), "--output: \"xml\" is not plain|table|json");
    assert_refused(READ("demo", "--nodes", "8"), "--nodes: \"8\" is not a number from 1 to 7");
}

static void mistakes_are_met_with_the_nearest_name(void **state)
{
    (void)state;
    assert_refused(READ("gett", "k"), "unknown command \"gett\"; did you mean get?");
    assert_refused(READ("get", "k", "--timeuot", "1s"), "--timeuot; did you mean --timeout?");
    assert_refused(READ("get", "k", "--stael=x"), "--stael; did you mean --stale?");
    assert_refused(READ("get", "k", "-x"), "unknown option -x");
    assert_refused(READ("get", "k", "--stale=1"), "--stale takes no value");
    assert_refused(READ("get", "k", "--timeout"), "--timeout wants a value");
}

static void a_command_takes_only_what_goes_with_it(void **state)
{
    (void)state;
    assert_refused(READ("get"), "usage: minikv get KEY");
    assert_refused(READ("get", "a", "b"), "usage: minikv get KEY");
    assert_string_equal(READ("status", "a")->error.text, "usage: minikv status");
    assert_refused(READ("get", "a", "--by", "2"), "--by does not go with get");
    assert_refused(READ("put", "k", "v", "--if-rev", "1", "--if-absent"), "exclude each other");
}

static void a_write_may_have_an_identity_of_its_own(void **state)
{
    (void)state;
    const struct line *line = READ("incr", "n", "--client", "script-7", "--sequence", "12");
    assert_int_equal(line->status, ST_OK);
    assert_string_equal(line->cli.identity.client, "script-7");
    assert_int_equal(line->cli.identity.sequence, 12);

    assert_refused(READ("incr", "n", "--client", "c"), "--client and --sequence go together");
    assert_refused(READ("incr", "n", "--sequence", "1"), "--client and --sequence go together");
    assert_refused(READ("put", "k", "v", "--client", "c", "--sequence", "0"), "--sequence");
    assert_refused(READ("put", "k", "v", "--client", "", "--sequence", "1"), "1 to 64 bytes");
    assert_refused(READ("del", "k", "--client",
                        "0123456789012345678901234567890123456789012345678901234567890123456789",
                        "--sequence", "1"),
                   "1 to 64 bytes");
    assert_refused(READ("get", "k", "--client", "c", "--sequence", "1"), "does not go with get");
}

static void a_restore_says_which_node_of_which_cluster(void **state)
{
    (void)state;
    const struct line *line =
        READ("restore", "file", "dir", "--id", "3", "--initial-cluster", "3=h:1,4=h:2");

    assert_int_equal(line->status, ST_OK);
    assert_int_equal(line->cli.node, 3);
    assert_string_equal(line->cli.initial, "3=h:1,4=h:2");
    assert_refused(READ("restore", "f", "d", "--id", "0"), "--id: \"0\" is not a number from 1");
    assert_refused(READ("restore", "f", "d", "--id", "4294967296"), "is not a number from 1");
    assert_refused(READ("restore", "f", "d", "--initial-cluster", ""), "--initial-cluster");
    assert_refused(READ("restore", "f", "d", "e"), "usage: minikv restore");
    assert_refused(READ("backup"), "usage: minikv backup");
    assert_refused(READ("backup", "f", "--id", "3"), "--id does not go with backup");
    assert_refused(READ("members", "--watch"), "--watch does not go with members");
    assert_true(READ("status", "-w")->cli.watches);
}

static void an_identity_is_an_id_and_a_number(void **state)
{
    (void)state;
    struct minikv_identity identity;
    assert_true(arguments_read_identity("c", "7", &identity));
    assert_string_equal(identity.client, "c");
    assert_int_equal(identity.sequence, 7);
    assert_false(arguments_read_identity("", "7", &identity));
    assert_false(arguments_read_identity("c", "0", &identity));
    assert_false(arguments_read_identity("c", "x", &identity));
}

static void a_prefix_stands_for_the_key(void **state)
{
    (void)state;
    assert_int_equal(READ("get", "--prefix", "a/")->status, ST_OK);
    assert_string_equal(READ("watch", "--prefix", "")->cli.prefix, "");
    assert_refused(READ("get", "k", "--prefix", "a/"), "usage: minikv get KEY | --prefix PREFIX");
    assert_refused(READ("del"), "usage: minikv del");
    assert_refused(READ("watch"), "usage: minikv watch");
    assert_refused(READ("get", "--raw", "--prefix", "p"), "--prefix and --raw exclude each other");
    assert_refused(READ("put", "k", "v", "--prefix", "p"), "--prefix does not go with put");
    assert_int_equal(READ("export", "f", "--prefix", "p")->status, ST_OK); /* beside FILE */
    assert_refused(READ("export", "--prefix", "p"), "usage: minikv export");
}

static void what_follows_exec_is_left_alone(void **state)
{
    (void)state;
    const struct line *line = READ("watch", "k", "--from", "7", "--exec", "sh", "-c", "x", "-v");

    assert_int_equal(line->status, ST_OK);
    assert_true(line->cli.executes && !line->cli.is_verbose);
    assert_int_equal(line->cli.from, 7);
    assert_int_equal(line->cli.arguments_count, 5);
    assert_string_equal(line->cli.arguments[1], "sh");
    assert_string_equal(line->cli.arguments[4], "-v");
    assert_int_equal(READ("watch", "--prefix", "p", "--exec", "true")->status, ST_OK);
    assert_refused(READ("watch", "k", "--exec"), "usage: minikv watch");
    assert_refused(READ("watch", "--exec", "true"), "usage: minikv watch"); /* the key is missing */
    assert_refused(READ("put", "k", "--exec", "v"), "--exec does not go with put");
    assert_int_equal(READ("put", "k", "--", "--exec")->status, ST_OK);
}

static void a_lock_has_a_command_of_any_length(void **state)
{
    (void)state;
    const struct line *line = READ("lock", "job", "--ttl", "1m", "--", "sleep", "-1", "--ttl");

    assert_int_equal(line->status, ST_OK);
    assert_int_equal(line->cli.ttl_ms, 60000);
    assert_int_equal(line->cli.arguments_count, 4);
    assert_string_equal(line->cli.arguments[3], "--ttl");
    assert_null(line->cli.arguments[4]);
    assert_int_equal(line->cli.passed_on, -1);
    assert_refused(READ("lock", "job"), "usage: minikv lock NAME -- COMMAND");
}

static void a_time_to_live_is_at_least_a_second(void **state)
{
    (void)state;
    assert_int_equal(READ("put", "k", "v", "--ttl", "10")->cli.ttl_ms, 10000);
    assert_int_equal(READ("put", "k", "v", "--ttl", "1500ms")->cli.ttl_ms, 1500);
    assert_int_equal(READ("put", "k", "v", "--ttl", "525600m")->status, ST_OK);
    assert_refused(READ("put", "k", "v", "--ttl", "525601m"), "--ttl: \"525601m\" is not TIME");
    assert_refused(READ("put", "k", "v", "--ttl", "999ms"), "from 1s to 525600m");
    assert_refused(READ("put", "k", "v", "--ttl", "1", "--lease", "7"), "exclude each other");
    assert_refused(READ("put", "k", "v", "--ttl", "1", "--client", "c", "--sequence", "1"),
                   "--ttl and --client exclude each other");
    assert_refused(READ("put", "k", "v", "--lease", "0"), "--lease");
}

static void a_count_is_of_all_keys(void **state)
{
    (void)state;
    assert_true(READ("ls", "p", "--count", "--rev", "9")->cli.counts);
    assert_refused(READ("ls", "--count", "--limit", "3"), "--count and --limit exclude each other");
    assert_refused(READ("ls", "--count", "--keys-only"), "exclude each other");
    assert_refused(READ("get", "k", "--count"), "--count does not go with get");
}

static void without_a_command_there_is_help(void **state)
{
    (void)state;
    assert_string_equal(read_line(NULL, NULL)->cli.command->name, "help");
    assert_string_equal(READ("--version")->cli.command->name, "version");
    const struct line *line = READ("get", "--help"); /* needs no key */
    assert_int_equal(line->status, ST_OK);
    assert_true(line->cli.wants_help);
    assert_string_equal(line->cli.command->name, "get");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_has_its_words_wherever_options_stand),
        cmocka_unit_test(words_behind_two_dashes_are_no_options),
        cmocka_unit_test(endpoints_come_from_the_flag_else_the_environment_else_the_default),
        cmocka_unit_test(malformed_endpoints_are_refused_with_their_origin),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(malformed_values_are_refused),
        cmocka_unit_test(mistakes_are_met_with_the_nearest_name),
        cmocka_unit_test(a_command_takes_only_what_goes_with_it),
        cmocka_unit_test(a_write_may_have_an_identity_of_its_own),
        cmocka_unit_test(a_restore_says_which_node_of_which_cluster),
        cmocka_unit_test(an_identity_is_an_id_and_a_number),
        cmocka_unit_test(a_prefix_stands_for_the_key),
        cmocka_unit_test(what_follows_exec_is_left_alone),
        cmocka_unit_test(a_lock_has_a_command_of_any_length),
        cmocka_unit_test(a_time_to_live_is_at_least_a_second),
        cmocka_unit_test(a_count_is_of_all_keys),
        cmocka_unit_test(without_a_command_there_is_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
