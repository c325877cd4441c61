/* What a process says when it crashes: in a child each time, whose standard error is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crash.h"

#define BEGIN "------------[ cut here ]------------\n"
#define END   "------------[ end of report ]------------\n"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZER_REPORTS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER_REPORTS 1
#endif

static struct trace trace;
static char said[64 * 1024];

/* Runs `die` in a child with crash reports; returns the signal it died of, and `said`. */
static int signal_of(void (*die)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        (void)alarm(60); /* a child that hangs has failed */
        crash_install("9.8.7", &trace);
        die();
        _exit(0);
    }
    (void)close(ends[1]);
    size_t count = 0;
    ssize_t more;
    while ((more = read(ends[0], said + count, sizeof said - 1 - count)) > 0)
        count += (size_t)more;
    said[count] = '\0';
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return WTERMSIG(status);
}

static size_t times_said(const char *text)
{
    size_t count = 0;
    for (const char *at = said; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void assert_said(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, said);
}

static void add(enum trace_kind kind, int64_t at_us, const char *text, uint64_t number)
{
    uint64_t numbers[TRACE_NUMBERS] = {number, 2, 3, UINT64_MAX};
    trace_add(&trace, kind, at_us, text, numbers);
}

static int begin(void **state)
{
    trace = (struct trace){.node = 7,
                           .role = "follower",
                           .term = 5,
                           .leader = 1,
                           .last = 15,
                           .durable = 14,
                           .commit = 13,
                           .applied = 12};
    return 0;
}

static void fail_a_check(void)
{
    int two = 2;
    INVARIANT(two == 3);
}

static void a_failed_check_is_reported_between_marks_and_aborts(void **state)
{
    add(TRACE_STEP, 1000000, "append from # in term #: # entries behind #", 4);

    int number = signal_of(fail_a_check);

    assert_int_equal(number, SIGABRT);
    assert_ptr_equal(strstr(said, BEGIN), said);
    assert_string_equal(said + strlen(said) - strlen(END), END);
    assert_int_equal(times_said(BEGIN), 1);
    assert_said("MiniKV 9.8.7 has crashed. This is a bug in MiniKV; please report it.\n");
    assert_said("INVARIANT failed: two == 3 (");
    assert_said("unit/base/crash_test.c:");
    assert_said("\nnode 7, follower in term 5, leader 1\n"
                "log: last 15, durable 14, committed 13, applied 12\n");
    assert_said(" -0.000000  append from 4 in term 2: 3 entries behind 18446744073709551615\n");
}

/* Standard error is a pipe that is full. Nobody would ever restart a process that waits for it. */
static void a_report_that_nobody_reads_ends_too(void **state)
{
    int ends[2];
    char byte = 'x';
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    while (write(ends[1], &byte, 1) == 1)
        ;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0); /* from here on it blocks */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)dup2(ends[1], STDERR_FILENO);
        crash_install("9.8.7", &trace);
        fail_a_check();
        _exit(0);
    }

    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void a_node_that_is_not_open_yet_says_so(void **state)
{
    trace = (struct trace){.node = 3};

    assert_int_equal(signal_of(fail_a_check), SIGABRT);

    assert_said("\nnode 3, not open yet in term 0, leader 0\n");
}

static void the_newest_lines_of_each_kind_are_kept_in_their_order(void **state)
{
    char expected[64];
    size_t before = 0;
    for (uint64_t i = 0; i < 3; i++)
        add(TRACE_RARE, (int64_t)i * 10, "rare #", i);
    for (uint64_t i = 0; i < 1000; i++)
        add(TRACE_STEP, 100 + (int64_t)i, "step #", i);
    add(TRACE_RARE, 3000000, "rare #", 3);

    assert_int_equal(signal_of(fail_a_check), SIGABRT);

    assert_int_equal(times_said("  rare "), 4);
    assert_int_equal(times_said("  step "), TRACE_LINES);
    assert_said(" -3.000000  rare 0\n -2.999990  rare 1\n -2.999980  rare 2\n");
    for (uint64_t i = 1000 - TRACE_LINES; i < 1000; i++) {
        (void)snprintf(expected, sizeof expected, "  step %d\n", (int)i);
        assert_said(expected);
        size_t at = (size_t)(strstr(said, expected) - said);
        assert_true(at > before);
        before = at;
    }
    assert_said("  step 999\n -0.000000  rare 3\n");
}

static void a_trace_of_nobody_takes_lines(void **state)
{
    uint64_t numbers[TRACE_NUMBERS] = {0};
    trace_add(NULL, TRACE_STEP, 1, "nothing", numbers);
}

static void call_abort(void)
{
    abort();
}

static void an_abort_of_a_library_is_reported(void **state)
{
    assert_int_equal(signal_of(call_abort), SIGABRT);

    assert_said(" has crashed. This is a bug in MiniKV; please report it.\nSIGABRT\nnode 7");
    assert_int_equal(times_said(END), 1);
}

static void get_killed(void)
{
    pid_t parent = getpid();
    if (fork() == 0) {
        (void)kill(parent, SIGABRT);
        _exit(0);
    }
    for (;;)
        (void)pause();
}

static void whoever_sent_a_signal_is_named_and_no_bug_is_claimed(void **state)
{
    assert_int_equal(signal_of(get_killed), SIGABRT);

    assert_said(" has crashed.\nSIGABRT sent by process ");
    assert_int_equal(times_said("a bug in MiniKV"), 0);
    assert_int_equal(times_said(END), 1);
}

static void *fail_in_a_thread(void *ctx)
{
    fail_a_check();
    return NULL;
}

static void fail_in_many_threads(void)
{
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        (void)pthread_create(&thread, NULL, fail_in_a_thread, NULL);
    for (;;)
        (void)pause();
}

static void of_many_threads_that_crash_one_reports(void **state)
{
    assert_int_equal(signal_of(fail_in_many_threads), SIGABRT);

    assert_int_equal(times_said(BEGIN), 1);
    assert_int_equal(times_said(END), 1);
    assert_int_equal(times_said("INVARIANT failed"), 1);
}

#ifndef SANITIZER_REPORTS

static void write_to_nothing(void)
{
    *(volatile int *)(uintptr_t)0x1234 = 1;
}

static void a_bad_access_is_reported_with_its_address(void **state)
{
    assert_int_equal(signal_of(write_to_nothing), SIGSEGV);

    assert_said("SIGSEGV at address 0x1234\nnode 7, ");
    assert_int_equal(times_said(END), 1);
}

static int dig(volatile char *above)
{
    volatile char here[4096];
    here[0] = above[0];
    return here[0] == 'x' ? 0 : dig(here) + here[1];
}

static void run_out_of_stack(void)
{
    volatile char top[1] = {0};
    (void)dig(top);
}

static void a_stack_that_ran_out_is_reported(void **state)
{
    assert_int_equal(signal_of(run_out_of_stack), SIGSEGV);

    assert_said(BEGIN);
    assert_said("SIGSEGV at address 0x");
    assert_said("\nnode 7, ");
}

static void a_report_that_crashes_ends_all_the_same(void **state)
{
    trace.role = (const char *)(uintptr_t)0x1234;

    assert_int_equal(signal_of(fail_a_check), SIGSEGV);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_failed_check_is_reported_between_marks_and_aborts, begin),
        cmocka_unit_test_setup(a_report_that_nobody_reads_ends_too, begin),
        cmocka_unit_test_setup(a_node_that_is_not_open_yet_says_so, begin),
        cmocka_unit_test_setup(the_newest_lines_of_each_kind_are_kept_in_their_order, begin),
        cmocka_unit_test_setup(a_trace_of_nobody_takes_lines, begin),
        cmocka_unit_test_setup(an_abort_of_a_library_is_reported, begin),
        cmocka_unit_test_setup(whoever_sent_a_signal_is_named_and_no_bug_is_claimed, begin),
        cmocka_unit_test_setup(of_many_threads_that_crash_one_reports, begin),
#ifndef SANITIZER_REPORTS
        cmocka_unit_test_setup(a_bad_access_is_reported_with_its_address, begin),
        cmocka_unit_test_setup(a_stack_that_ran_out_is_reported, begin),
        cmocka_unit_test_setup(a_report_that_crashes_ends_all_the_same, begin),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
