#include "sim/swarm/fleet.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "sim/swarm/options.h"

/* A run takes a tenth of a second, under sanitizers on a busy machine some; beyond this it hangs.
 */
enum { HANG_SECONDS = 300, POLL_MS = 500 };

void fleet_run(const struct fleet_case *run, const struct trace *trace,
               void (*on_end)(void *ctx, const struct swarm *swarm), void *ctx,
               struct fleet_result *out_result)
{
    struct plan plan;
    plan_draw(&plan, run->seed, &run->pins);
    struct swarm *swarm = swarm_new(&plan, trace);
    enum verdict verdict = swarm_play(swarm);
    memset(out_result, 0, sizeof *out_result); /* it travels as bytes: no padding from the stack */
    out_result->run = *run;
    out_result->nodes_count = plan.nodes_count;
    out_result->lasted = world_now(swarm->world);
    out_result->digest = swarm_digest(swarm);
    out_result->totals = swarm->totals;
    out_result->verdict = verdict;
    out_result->violated_at = swarm->violation.at;
    if (verdict != VERDICT_PASS) {
        (void)snprintf(out_result->oracle, sizeof out_result->oracle, "%s",
                       swarm->violation.oracle);
        (void)snprintf(out_result->text, sizeof out_result->text, "%s", swarm->violation.text);
    }
    if (on_end != NULL)
        on_end(ctx, swarm);
    swarm_free(swarm);
}

static void set_crashed(const struct fleet_case *run, const char *text,
                        struct fleet_result *out_result)
{
    memset(out_result, 0, sizeof *out_result);
    out_result->run = *run;
    out_result->verdict = VERDICT_CRASH;
    (void)snprintf(out_result->oracle, sizeof out_result->oracle, "crash");
    (void)snprintf(out_result->text, sizeof out_result->text, "%s", text);
}

/* ---- one process ---- */

struct worker {
    pid_t pid;     /* 0: none */
    int fd;        /* results come from here */
    size_t next;   /* the case that it is at */
    size_t stride; /* next, next + stride, … */
    struct timespec heard_at;
};

static bool write_all(int fd, const void *data, size_t count)
{
    const char *at = data;
    while (count > 0) {
        ssize_t written = write(fd, at, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        count -= (size_t)written;
    }
    return true;
}

static _Noreturn void work(int fd, const struct fleet_case *cases, size_t count, size_t first,
                           size_t stride)
{
    struct fleet_result result;
    for (size_t i = first; i < count; i += stride) {
        fleet_run(&cases[i], NULL, NULL, NULL, &result);
        if (!write_all(fd, &result, sizeof result))
            break; /* nobody reads any more */
    }
    _exit(0);
}

static bool start(struct worker *worker, const struct fleet_case *cases, size_t count)
{
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    (void)fflush(NULL); /* what is buffered must not be written twice */
    worker->pid = fork();
    if (worker->pid == 0) {
        (void)close(fds[0]);
        work(fds[1], cases, count, worker->next, worker->stride);
    }
    (void)close(fds[1]);
    worker->fd = fds[0];
    (void)clock_gettime(CLOCK_MONOTONIC, &worker->heard_at);
    if (worker->pid > 0)
        return true;
    (void)close(fds[0]);
    return false;
}

static bool read_result(int fd, struct fleet_result *out_result)
{
    char *at = (char *)out_result;
    size_t missing = sizeof *out_result;
    while (missing > 0) {
        ssize_t count = read(fd, at, missing);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        missing -= (size_t)count;
    }
    return true;
}

/* The process is gone: in order, or in the middle of a case. */
static void bury(struct worker *worker)
{
    int status;
    (void)close(worker->fd);
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
        ;
    worker->pid = 0;
}

static bool is_silent(const struct worker *worker)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - worker->heard_at.tv_sec > HANG_SECONDS;
}

/* ---- several ---- */

struct fleet {
    const struct fleet_case *cases;
    size_t count;
    struct worker workers[OPTIONS_JOBS_MAX];
    unsigned jobs;
    void (*on_result)(void *ctx, const struct fleet_result *result);
    void *ctx;
};

/* Something can be read from the worker: a result, or its end. False: no new process. */
static bool hear(struct fleet *fleet, struct worker *worker, bool is_hanging)
{
    struct fleet_result result;
    if (!is_hanging && read_result(worker->fd, &result)) {
        worker->next += worker->stride;
        (void)clock_gettime(CLOCK_MONOTONIC, &worker->heard_at);
        fleet->on_result(fleet->ctx, &result);
        return true;
    }
    if (is_hanging)
        (void)kill(worker->pid, SIGKILL);
    bury(worker);
    if (worker->next >= fleet->count)
        return true;
    set_crashed(&fleet->cases[worker->next],
                is_hanging ? "the run does not end" : "the program aborted; it has said why",
                &result);
    fleet->on_result(fleet->ctx, &result);
    worker->next += worker->stride;
    return worker->next >= fleet->count || start(worker, fleet->cases, fleet->count);
}

static bool hear_all(struct fleet *fleet)
{
    struct pollfd fds[OPTIONS_JOBS_MAX];
    for (unsigned i = 0; i < fleet->jobs; i++)
        fds[i] = (struct pollfd){.fd = fleet->workers[i].pid != 0 ? fleet->workers[i].fd : -1,
                                 .events = POLLIN};
    (void)poll(fds, fleet->jobs, POLL_MS); /* a signal, or nothing: looked at below */
    for (unsigned i = 0; i < fleet->jobs; i++) {
        struct worker *worker = &fleet->workers[i];
        bool has_news = fds[i].fd >= 0 && fds[i].revents != 0;
        if (has_news && !hear(fleet, worker, false))
            return false;
        if (worker->pid != 0 && is_silent(worker) && !hear(fleet, worker, true))
            return false;
    }
    return true;
}

static bool is_working(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->jobs; i++)
        if (fleet->workers[i].pid != 0)
            return true;
    return false;
}

bool fleet_run_all(const struct fleet_case *cases, size_t cases_count, unsigned jobs,
                   void (*on_result)(void *ctx, const struct fleet_result *result), void *ctx)
{
    struct fleet fleet = {.cases = cases,
                          .count = cases_count,
                          .jobs = (unsigned)MIN((size_t)jobs, MAX(cases_count, (size_t)1)),
                          .on_result = on_result,
                          .ctx = ctx};
    bool is_good = true;
    for (unsigned i = 0; i < fleet.jobs && is_good; i++) {
        fleet.workers[i] = (struct worker){.next = i, .stride = fleet.jobs};
        is_good = i >= cases_count || start(&fleet.workers[i], cases, cases_count);
    }
    while (is_good && is_working(&fleet))
        is_good = hear_all(&fleet);
    for (unsigned i = 0; i < fleet.jobs; i++) {
        if (fleet.workers[i].pid == 0)
            continue;
        (void)kill(fleet.workers[i].pid, SIGKILL);
        bury(&fleet.workers[i]);
    }
    return is_good;
}

static void take_result(void *ctx, const struct fleet_result *result)
{
    *(struct fleet_result *)ctx = *result;
}

void fleet_run_apart(const struct fleet_case *run, struct fleet_result *out_result)
{
    set_crashed(run, "no process could be started", out_result);
    (void)fleet_run_all(run, 1, 1, take_result, out_result); /* else as set above */
}
