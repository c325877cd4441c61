/* Keeper: a lease that is kept alive while something else goes on.
 *
 *      keeper_init                          the lease lives
 *      loop: keeper_wait, keeper_perform    waiting and asking, with renewals meanwhile
 *      keeper_release                       it is left to itself
 *
 * What counts is what the cluster has answered: a lease lives at least its time to live beyond the
 * moment when the renewal that was answered last had been *sent*. Beyond that nothing is known, and
 * the lease counts as lost, whatever becomes of it. The clock goes on while the machine sleeps.
 *
 * Ownership    SIGINT, SIGTERM, SIGHUP and SIGCHLD are the keeper's, until it is released
 * Calling      one thread; nothing is renewed but in keeper_wait and keeper_perform */
#ifndef MINIKV_CLI_KEEPER_H
#define MINIKV_CLI_KEEPER_H

#include <signal.h>

#include "cli/cli.h"

struct keeper {
    struct cli *cli;
    struct minikv *kv; /* owned: for renewals alone, as answers come in the order of requests */
    uint64_t lease, ttl_ms;
    uint64_t good_until_ms; /* it lives at least until then */
    uint64_t next_ms;       /* when to renew it */
    uint64_t asked_ms;      /* when the renewal under way was sent */
    bool is_asking;
    bool is_lost;
    char why[160]; /* of one that is lost */
    int signals;   /* owned: a descriptor */
    sigset_t mask; /* of signals, as it was before */
    int stop;      /* SIGINT, SIGTERM or SIGHUP that has come; 0: none */
    bool is_typed; /* at the terminal, so that the command has it too */
    bool has_child_ended;
};

/* Renews it once. EXIT_CODE_OK, or another one with a word on standard error, and then there is
 * nothing to release. */
enum exit_code keeper_init(struct keeper *keeper, struct cli *cli, uint64_t lease);
void keeper_release(struct keeper *keeper);

/* Until anything has happened: to a request of cli->kv, to the lease, or a signal. At most until
 * `until_ms` of keeper_now_ms; 0: however long it takes. */
void keeper_wait(struct keeper *keeper, uint64_t until_ms);
/* As minikv_perform on cli->kv. Ends early, with MINIKV_CANCELLED, when the lease is lost or a
 * signal says stop. */
enum minikv_code keeper_perform(struct keeper *keeper, const struct minikv_request *request,
                                struct minikv_result *out_result);
/* What the lease was for is gone: nothing is renewed any more. `why` is for people. */
void keeper_lose(struct keeper *keeper, const char *why);
/* Neither lost nor told to stop. */
bool keeper_goes_on(const struct keeper *keeper);

/* Milliseconds of a clock that goes on while the machine sleeps. */
uint64_t keeper_now_ms(void);

#endif
