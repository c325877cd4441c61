/* Failpoints: armed by a text, hit by name and bytes, absent from releases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/failpoint.h"

#ifdef MINIKV_FAILPOINTS

static void arm(const char *setting)
{
    struct errtext error = {""};
    if (failpoint_arm(setting, &error) != ST_OK)
        fail_msg("%s: %s", setting, error.text);
}

static bool hit(const char *name, const char *bytes)
{
    return FAILPOINT(name, bytes_of_text(bytes));
}

static int disarm(void **state)
{
    arm("");
    return 0;
}

static void nothing_happens_where_nothing_is_armed(void **state)
{
    assert_false(failpoint_is_armed);
    assert_false(hit("node.taken", "boom"));

    arm("node.forward=drop");

    assert_false(hit("node.taken", "boom"));
}

static void a_drop_is_told_to_the_place(void **state)
{
    arm("node.taken=drop");

    assert_true(hit("node.taken", ""));
    assert_true(hit("node.taken", "anything"));
}

static void a_text_confines_it_to_bytes_that_contain_the_text(void **state)
{
    arm("node.taken=drop:bo:om");

    assert_false(hit("node.taken", ""));
    assert_false(hit("node.taken", "bo:o"));
    assert_true(hit("node.taken", "bo:om"));
    assert_true(FAILPOINT("node.taken", bytes_of("\0\0bo:om\0", 8)));
}

static void a_hit_confines_it_to_one_match(void **state)
{
    arm("node.taken=drop@2:x");

    assert_false(hit("node.taken", "x"));
    assert_false(hit("node.taken", "y"));
    assert_true(hit("node.taken", "x"));
    assert_false(hit("node.taken", "x"));
}

static void several_are_armed_side_by_side(void **state)
{
    arm("node.taken=drop:a,http.replying=drop@1:b,node.taken=drop:c");

    assert_true(hit("node.taken", "a"));
    assert_false(hit("node.taken", "b"));
    assert_true(hit("node.taken", "c"));
    assert_true(hit("http.replying", "b"));
    assert_false(hit("http.replying", "b"));
}

static void arming_again_forgets_what_was_armed_before(void **state)
{
    arm("node.taken=drop@1");
    assert_true(hit("node.taken", ""));

    arm("node.taken=drop@1");

    assert_true(hit("node.taken", ""));
}

static void a_malformed_setting_is_refused_and_arms_nothing(void **state)
{
    static const char *const settings[] = {
        "node.taken",
        "node.taken=",
        "node.taken=explode",
        "=drop",
        "node.tak=drop",
        "node.taken=drop@",
        "node.taken=drop@0",
        "node.taken=drop@x",
        "node.taken=drop:",
        "node.taken=drop,",
        ",node.taken=drop",
        "node.taken=drop@-1",
        "http.parsed=drop",
        "node.taken=drop @1",
        "node.taken=drop@99999999999999999999",
        "node.taken=drop:0123456789012345678901234567890123456789012345678"};

    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        struct errtext error = {""};
        arm("node.forward=drop");
        if (failpoint_arm(settings[i], &error) == ST_OK)
            fail_msg("taken: %s", settings[i]);
        assert_non_null(strstr(error.text, "MINIKV_FAILPOINTS"));
        assert_false(failpoint_is_armed);
        assert_false(hit("node.forward", ""));
    }
}

/* The status of a child in which the failpoint was hit. */
static int status_of_child(const char *setting, int options)
{
    pid_t child = fork();
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        arm(setting);
        (void)hit("node.appended", "boom");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, options), child);
    if (WIFSTOPPED(status)) {
        int end;
        assert_int_equal(kill(child, SIGCONT), 0);
        assert_int_equal(waitpid(child, &end, 0), child);
        assert_true(WIFEXITED(end) && WEXITSTATUS(end) == 0); /* it goes on where it stood */
    }
    return status;
}

static void a_crash_is_a_kill(void **state)
{
    int status = status_of_child("node.appended=crash:boom", 0);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_stop_goes_on_when_told_to(void **state)
{
    int status = status_of_child("node.appended=stop:boom", WUNTRACED);

    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_happens_where_nothing_is_armed, disarm),
        cmocka_unit_test_teardown(a_drop_is_told_to_the_place, disarm),
        cmocka_unit_test_teardown(a_text_confines_it_to_bytes_that_contain_the_text, disarm),
        cmocka_unit_test_teardown(a_hit_confines_it_to_one_match, disarm),
        cmocka_unit_test_teardown(several_are_armed_side_by_side, disarm),
        cmocka_unit_test_teardown(arming_again_forgets_what_was_armed_before, disarm),
        cmocka_unit_test_teardown(a_malformed_setting_is_refused_and_arms_nothing, disarm),
        cmocka_unit_test_teardown(a_crash_is_a_kill, disarm),
        cmocka_unit_test_teardown(a_stop_goes_on_when_told_to, disarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static int evaluations_count;

__attribute__((unused)) static struct bytes evaluated(void)
{
    evaluations_count++;
    return bytes_of(NULL, 0);
}

static void without_them_a_failpoint_is_false_and_costs_nothing(void **state)
{
    static_assert(!FAILPOINT("no.such", evaluated()), "a constant");

    assert_false(FAILPOINT("node.taken", evaluated()));
    assert_int_equal(evaluations_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_them_a_failpoint_is_false_and_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
