/* Crash: see the header. */
#include "base/crash.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZER_REPORTS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER_REPORTS 1
#endif

#define MARK_BEGIN "------------[ cut here ]------------\n"
#define BUG        " This is a bug in MiniKV; please report it.\n"
#define MARK_END   "------------[ end of report ]------------\n"

enum {
    REPORT_SECONDS = 5,      /* then it ends, reported or not: nobody may be reading */
    STACK_BYTES = 64 * 1024, /* of the handler: the thread's own may have run out */
    STACK_FRAMES = 48,
    REPORT_BYTES = 16 * 1024
};

static const struct {
    int number;
    const char *name;
    bool is_sanitizers; /* which says more about it */
} signals[] = {{SIGABRT, "SIGABRT", false},
               {SIGSEGV, "SIGSEGV", true},
               {SIGBUS, "SIGBUS", true},
               {SIGFPE, "SIGFPE", true},
               {SIGILL, "SIGILL", true}};

static const char *version;
static const struct trace *trace;
static uint8_t signal_stack[STACK_BYTES];
static _Atomic long reporter;                 /* the thread that reports; 0: nobody has to */
static volatile sig_atomic_t cause = SIGABRT; /* the signal that the process ends by */

/* ---- text, without stdio ---- */

/* Static: a thread's stack may be short. Only the reporter writes to it. */
static struct {
    char text[REPORT_BYTES];
    size_t count;
} report;

static void put(const char *text)
{
    for (; *text != '\0' && report.count < REPORT_BYTES; text++)
        report.text[report.count++] = *text;
}

static void put_digits(uint64_t value, unsigned base, int width)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
        width--;
    } while (value != 0 || width > 0);
    put(digits + at);
}

static void put_number(uint64_t value)
{
    put_digits(value, 10, 1);
}

static void put_address(const void *address)
{
    put("0x");
    put_digits((uintptr_t)address, 16, 1);
}

static void leave(void)
{
    size_t sent = 0;
    while (sent < report.count) {
        ssize_t count = write(STDERR_FILENO, report.text + sent, report.count - sent);
        if (count <= 0)
            break; /* nobody to tell */
        sent += (size_t)count;
    }
    report.count = 0;
}

/* ---- the report ---- */

static void put_line(const struct trace_line *line, int64_t newest_us)
{
    uint64_t before_us = newest_us > line->at_us ? (uint64_t)(newest_us - line->at_us) : 0;
    put(" -");
    put_number(before_us / 1000000);
    put(".");
    put_digits(before_us % 1000000, 10, 6);
    put("  ");
    size_t numbers_count = 0;
    for (const char *at = line->text; *at != '\0'; at++) {
        if (*at == '#' && numbers_count < TRACE_NUMBERS)
            put_number(line->numbers[numbers_count++]);
        else
            put((const char[]){*at, '\0'});
    }
    put("\n");
}

/* The line that was added next after `number`, and no later than `last`; NULL: there is none. */
static const struct trace_line *next_line(uint64_t number, uint64_t last)
{
    const struct trace_line *next = NULL;
    for (int kind = 0; kind < TRACE_KINDS; kind++)
        for (int i = 0; i < TRACE_LINES; i++) {
            const struct trace_line *line = &trace->of[kind].lines[i];
            if (line->text != NULL && line->number > number && line->number <= last &&
                (next == NULL || line->number < next->number))
                next = line;
        }
    return next;
}

/* Where another thread reports, the loop may go on adding lines: those are not waited for. */
static void put_trace(void)
{
    const uint64_t last = trace->lines_count;
    const struct trace_line *line;
    int64_t newest_us = 0;
    for (line = next_line(0, last); line != NULL; line = next_line(line->number, last))
        newest_us = line->at_us;
    put("trace, with seconds before the newest line:\n");
    for (line = next_line(0, last); line != NULL; line = next_line(line->number, last))
        put_line(line, newest_us);
}

static void put_node(void)
{
    put("node ");
    put_number(trace->node);
    put(", ");
    put(trace->role != NULL ? trace->role : "not open yet");
    put(" in term ");
    put_number(trace->term);
    put(", leader ");
    put_number(trace->leader);
    put("\nlog: last ");
    put_number(trace->last);
    put(", durable ");
    put_number(trace->durable);
    put(", committed ");
    put_number(trace->commit);
    put(", applied ");
    put_number(trace->applied);
    put("\n");
}

static void begin(void)
{
    report.count = 0;
    put(MARK_BEGIN "MiniKV ");
    put(version);
    put(" has crashed.");
}

static void finish(void)
{
    void *frames[STACK_FRAMES];
    put_node();
    leave(); /* what matters most is out, whatever the rest comes to */
    put_trace();
    put("stack:\n");
    leave();
    backtrace_symbols_fd(frames, backtrace(frames, STACK_FRAMES), STDERR_FILENO);
    put(MARK_END);
    leave();
}

static void unblock(int number)
{
    sigset_t set; /* none of these fails with these arguments */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void on_late(int number)
{
    (void)number;
    (void)signal(cause, SIG_DFL);
    unblock(cause);
    (void)raise(cause);
    _exit(128 + cause); /* it is ignored after all */
}

static void limit_time(void)
{
    struct sigaction action = {.sa_handler = on_late};
    (void)sigaction(SIGALRM, &action, NULL);
    unblock(SIGALRM);
    (void)alarm(REPORT_SECONDS);
}

/* Whether this thread is the one that reports. What breaks while another reports waits for the end
 * that is near; what breaks within the report is left alone. */
static bool may_report(void)
{
    long none = 0, self = syscall(SYS_gettid);
    if (atomic_compare_exchange_strong(&reporter, &none, self)) {
        limit_time();
        return true;
    }
    while (none != self)
        (void)pause();
    return false;
}

static void crash_on_check(const char *kind, const char *condition, const char *file, int line)
{
    if (!may_report())
        return;
    begin();
    put(BUG);
    put(kind);
    put(" failed: ");
    put(condition);
    put(" (");
    put(file);
    put(":");
    put_number((uint64_t)line);
    put(")\n");
    finish();
}

static void put_signal(int number, const siginfo_t *info)
{
    bool is_sent = info->si_code == SI_USER && info->si_pid != getpid();
    put(is_sent ? "\n" : BUG);
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
        if (signals[i].number == number)
            put(signals[i].name);
    if (is_sent) {
        put(" sent by process ");
        put_number((uint64_t)info->si_pid);
    } else if (number != SIGABRT && info->si_code > 0) { /* of the kernel: it knows where */
        put(" at address ");
        put_address(info->si_addr);
    }
    put("\n");
}

static void crash_on_signal(int number, siginfo_t *info, void *context)
{
    (void)signal(number, SIG_DFL);
    if (reporter == 0)
        cause = number;
    if (may_report()) {
        begin();
        put_signal(number, info);
        finish();
    }
    (void)raise(number); /* one that was sent does not come again by itself */
}

void crash_install(const char *program_version, const struct trace *program_trace)
{
    REQUIRE(program_version != NULL);
    REQUIRE(program_trace != NULL);
    version = program_version;
    trace = program_trace;
    check_set_reporter(crash_on_check);
    void *frame;
    (void)backtrace(&frame, 1); /* loads what it needs, which a handler must not */

    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action = {.sa_sigaction = crash_on_signal,
                               .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_NODEFER)};
    (void)sigemptyset(&action.sa_mask);
    bool has_stack = sigaltstack(&stack, NULL) == 0; /* else the thread's own will do, mostly */
    if (!has_stack)
        action.sa_flags &= ~SA_ONSTACK;
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
#ifdef SANITIZER_REPORTS
        if (signals[i].is_sanitizers)
            continue;
#endif
        int failure = sigaction(signals[i].number, &action, NULL);
        ENSURE(failure == 0);
    }
}
