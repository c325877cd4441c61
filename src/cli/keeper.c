#include "cli/keeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/connect.h"
#include "cli/lease.h"

enum {
    RENEWALS_PER_TTL = 3,
    AGAIN_MS = 100, /* before the next renewal when one has failed */
    PAUSE_MS_MAX = 60 * 1000
};

uint64_t keeper_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool keeper_goes_on(const struct keeper *keeper)
{
    return !keeper->is_lost && keeper->stop == 0;
}

/* ---- renewals ---- */

void keeper_lose(struct keeper *keeper, const char *why)
{
    if (keeper->is_lost)
        return;
    keeper->is_lost = true;
    (void)snprintf(keeper->why, sizeof keeper->why, "%s", why);
}

static void lose(struct keeper *keeper, const char *how)
{
    char why[sizeof keeper->why];
    (void)snprintf(why, sizeof why, "lease %llu is lost: %s", (unsigned long long)keeper->lease,
                   how);
    keeper_lose(keeper, why);
}

/* False: it is not what a node says. */
static bool take_ttl(struct keeper *keeper, const struct minikv_result *result)
{
    json_t *answer = json_loadb(result->body.data, result->body.count, 0, NULL);
    json_int_t ttl_ms = json_integer_value(json_object_get(answer, "ttl_ms"));
    json_decref(answer);
    if (ttl_ms <= 0)
        return false;
    keeper->ttl_ms = (uint64_t)ttl_ms;
    keeper->good_until_ms = keeper->asked_ms + keeper->ttl_ms;
    keeper->next_ms = keeper->asked_ms + keeper->ttl_ms / RENEWALS_PER_TTL;
    return true;
}

static void on_renewed(void *ctx, struct minikv_result *result)
{
    struct keeper *keeper = ctx;
    keeper->is_asking = false;
    if (result->code == MINIKV_NOT_FOUND)
        lose(keeper, "it has expired, or has been revoked");
    else if (result->code != MINIKV_OK || !take_ttl(keeper, result))
        keeper->next_ms = keeper_now_ms() + AGAIN_MS;
    minikv_result_release(result);
}

/* Requires that it is still good. */
static void renew(struct keeper *keeper, uint64_t now_ms)
{
    char target[LEASE_TARGET_BYTES];
    lease_put_target(target, keeper->lease, "/keepalive");
    struct minikv_request request = {
        .op = MINIKV_CALL,
        .method = "POST",
        .target = target,
        .is_repeatable = true,
        .timeout_ms = (unsigned)MIN(keeper->good_until_ms - now_ms, (uint64_t)PAUSE_MS_MAX)};
    keeper->asked_ms = now_ms;
    keeper->is_asking = minikv_start(keeper->kv, &request, on_renewed, keeper, NULL) == MINIKV_OK;
    if (!keeper->is_asking)
        keeper->next_ms = now_ms + AGAIN_MS;
}

/* What is due; after a standstill of this process all of it may be. */
static void look_at_clock(struct keeper *keeper)
{
    uint64_t now_ms = keeper_now_ms();
    if (!keeper->is_lost && now_ms >= keeper->good_until_ms)
        lose(keeper, "it could not be renewed in time");
    else if (!keeper->is_lost && !keeper->is_asking && now_ms >= keeper->next_ms)
        renew(keeper, now_ms);
}

/* ---- signals ---- */

static bool open_signals(struct keeper *keeper)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigset_t wanted;
    (void)sigemptyset(&wanted); /* these cannot fail */
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        (void)sigaddset(&wanted, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &wanted, &keeper->mask);
    keeper->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return keeper->signals >= 0;
}

static void take_signals(struct keeper *keeper)
{
    struct signalfd_siginfo info;
    while (read(keeper->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            keeper->has_child_ended = true;
        } else {
            keeper->stop = (int)info.ssi_signo;
            keeper->is_typed = info.ssi_code == SI_KERNEL;
        }
    }
}

/* ---- waiting ---- */

/* Until then there is nothing to do for the keeper itself. */
static int pause_ms(const struct keeper *keeper, uint64_t until_ms)
{
    uint64_t now_ms = keeper_now_ms(), at_ms = now_ms + PAUSE_MS_MAX;
    int own = minikv_timeout(keeper->kv), others = minikv_timeout(keeper->cli->kv);
    if (own >= 0)
        at_ms = MIN(at_ms, now_ms + (uint64_t)own);
    if (others >= 0)
        at_ms = MIN(at_ms, now_ms + (uint64_t)others);
    if (until_ms != 0)
        at_ms = MIN(at_ms, until_ms);
    if (!keeper->is_lost)
        at_ms = MIN(at_ms, keeper->is_asking ? keeper->good_until_ms
                                             : MIN(keeper->next_ms, keeper->good_until_ms));
    return at_ms > now_ms ? (int)(at_ms - now_ms) : 0;
}

void keeper_wait(struct keeper *keeper, uint64_t until_ms)
{
    struct pollfd fds[1 + 2 * MINIKV_POLLFDS_MAX];
    fds[0] = (struct pollfd){.fd = keeper->signals, .events = POLLIN};
    look_at_clock(keeper);
    size_t own = minikv_pollfds(keeper->kv, fds + 1, MINIKV_POLLFDS_MAX);
    size_t others = minikv_pollfds(keeper->cli->kv, fds + 1 + own, MINIKV_POLLFDS_MAX);
    int count = poll(fds, 1 + own + others, pause_ms(keeper, until_ms));
    if (count < 0) /* a signal that is none of ours: nothing is ready */
        for (size_t i = 0; i < 1 + own + others; i++)
            fds[i].revents = 0;
    look_at_clock(keeper); /* before answers, which may have lain there for long */
    minikv_process(keeper->kv, fds + 1, own);
    minikv_process(keeper->cli->kv, fds + 1 + own, others);
    take_signals(keeper);
}

struct performance {
    struct minikv_result *result;
    bool is_over;
};

static void on_performed(void *ctx, struct minikv_result *result)
{
    struct performance *performance = ctx;
    *performance->result = *result; /* the caller's now */
    performance->is_over = true;
}

enum minikv_code keeper_perform(struct keeper *keeper, const struct minikv_request *request,
                                struct minikv_result *out_result)
{
    uint64_t id;
    struct performance performance = {.result = out_result};
    *out_result = (struct minikv_result){.code = MINIKV_CANCELLED};
    enum minikv_code code = minikv_start(keeper->cli->kv, request, on_performed, &performance, &id);
    if (code != MINIKV_OK) {
        out_result->code = code;
        return code;
    }
    while (!performance.is_over && keeper_goes_on(keeper))
        keeper_wait(keeper, 0);
    if (!performance.is_over)
        (void)minikv_cancel(keeper->cli->kv, id);
    return out_result->code;
}

/* ---- beginning and end ---- */

/* The first renewal, which also says how long it lives. */
static enum exit_code ask_first(struct keeper *keeper)
{
    char target[LEASE_TARGET_BYTES];
    struct minikv_result result;
    lease_put_target(target, keeper->lease, "/keepalive");
    keeper->asked_ms = keeper_now_ms();
    enum exit_code code = ask_call(keeper->cli, "POST", target, NULL, &result);
    if (code == EXIT_CODE_OK && !take_ttl(keeper, &result)) {
        fprintf(stderr, "minikv: %s: the reply is not what this version understands\n",
                keeper->cli->command->name);
        code = EXIT_CODE_FAILURE;
    }
    minikv_result_release(&result);
    return code;
}

enum exit_code keeper_init(struct keeper *keeper, struct cli *cli, uint64_t lease)
{
    *keeper = (struct keeper){.cli = cli, .lease = lease};
    enum exit_code code = ask_first(keeper);
    if (code != EXIT_CODE_OK)
        return code;
    if (connect_open(cli, &keeper->kv) != MINIKV_OK || !open_signals(keeper)) {
        fprintf(stderr, "minikv: %s: %s\n", cli->command->name, strerror(errno));
        minikv_close(keeper->kv);
        return EXIT_CODE_FAILURE;
    }
    return EXIT_CODE_OK;
}

void keeper_release(struct keeper *keeper)
{
    minikv_close(keeper->kv); /* calls on_renewed, if that is still to come */
    (void)close(keeper->signals);
    (void)sigprocmask(SIG_SETMASK, &keeper->mask, NULL);
}
