/* Engine, whatever breaks: seeded runs against nodes that fail in every way, judged in the end by
 * what was carried out. CLIENT_SEED=n runs one seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/virtual_cluster.h"

enum { SEEDS = 40, CALLS = 300, START_US = 1000000000 };

struct asked {
    bool is_read, is_done;
    uint64_t own_sequence; /* 0: the session's */
    size_t key;            /* of an own one: that of its first delivery */
    time_us deadline;
    struct minikv_result result;
};

struct run {
    uint64_t seed;
    struct engine *engine;
    struct vc vc;
    struct asked calls[CALLS + 16];
    size_t calls_count, done_count;
    size_t counts[MINIKV_CANCELLED + 1], forgotten_count;
};

static void begin(struct run *run, uint64_t seed, bool redirect, bool sessions)
{
    memset(run->calls, 0, sizeof run->calls);
    memset(run->counts, 0, sizeof run->counts);
    run->calls_count = run->done_count = run->forgotten_count = 0;
    struct engine_options options = {.endpoints_count = VC_NODES,
                                     .timeout = 2000000,
                                     .unknown_leader_wait = 200000,
                                     .connect_timeout = 500000,
                                     .redirect = redirect,
                                     .without_session = !sessions,
                                     .seed = seed};
    for (int node = 0; node < VC_NODES; node++)
        options.endpoints[node] =
            (struct address){.host = "127.0.0.1", .port = (uint16_t)(8001 + node)};
    run->seed = seed;
    run->engine = engine_new(&options);
    assert_non_null(run->engine);
    vc_init(&run->vc, run->engine, seed, START_US);
}

static void start(struct run *run, bool is_read, size_t own_key, uint64_t own_sequence,
                  unsigned timeout_ms)
{
    char key[16];
    uint64_t id;
    struct asked *asked = &run->calls[run->calls_count];
    asked->key = own_sequence != 0 ? own_key : run->calls_count;
    asked->own_sequence = own_sequence;
    (void)snprintf(key, sizeof key, "c%zu", asked->key);
    struct minikv_request request = {.op = is_read ? MINIKV_GET : MINIKV_INCR,
                                     .key = minikv_text(key),
                                     .by = 1,
                                     .timeout_ms = timeout_ms};
    request.identity.sequence = own_sequence;
    if (own_sequence != 0)
        (void)snprintf(request.identity.client, sizeof request.identity.client, "s%d", VC_OWN);
    asked->is_read = is_read;
    asked->deadline = run->vc.now + timeout_ms * TIME_US_PER_MS;
    assert_int_equal(engine_start(run->engine, run->vc.now, &request, NULL, NULL, asked, &id),
                     MINIKV_OK);
    run->calls_count++;
}

static void ask(struct run *run, bool is_read, unsigned timeout_ms)
{
    start(run, is_read, 0, 0, timeout_ms);
}

/* A write under an identity of the caller's own: a new one, or any of those before once more, as by
 * a caller who does not know what became of it. Soon that is out of the window. */
static void ask_own(struct run *run, unsigned timeout_ms)
{
    size_t again = vc_random(&run->vc, run->calls_count + 1);
    if (again < run->calls_count && run->calls[again].own_sequence != 0)
        start(run, false, run->calls[again].key, run->calls[again].own_sequence, timeout_ms);
    else
        start(run, false, run->calls_count, 1 + run->calls_count * 12, timeout_ms);
}

static void collect(struct run *run)
{
    struct call *call;
    while ((call = engine_take_done(run->engine)) != NULL) {
        struct asked *asked = call->ctx;
        assert_false(asked->is_done);
        if (run->vc.now > asked->deadline + TIME_US_PER_MS)
            fail_msg("a call ends %llu us late",
                     (unsigned long long)(run->vc.now - asked->deadline));
        asked->is_done = true;
        asked->result = call->result;
        call->result = (struct minikv_result){0};
        run->counts[asked->result.code]++;
        run->done_count++;
        call_free(call);
    }
}

static void pass(struct run *run, time_us time)
{
    time_us until = run->vc.now + time;
    do {
        vc_step(&run->vc, until);
        collect(run);
    } while (run->vc.now < until || engine_has_done(run->engine));
}

/* Other calls may have sent the same write: what this one says is of what it has sent, but whether
 * the write was applied is never denied without knowing. */
static bool is_true_of_own(const struct minikv_result *result, int64_t count)
{
    bool is_forgotten = strcmp(result->word, "sequence-too-old") == 0;
    if (result->effect == MINIKV_APPLIED)
        return count == 1 && result->code == MINIKV_OK && result->number == 1;
    return count <= 1 && (!is_forgotten || result->code == MINIKV_UNKNOWN) &&
           (result->code == MINIKV_UNKNOWN) == (result->effect == MINIKV_MAYBE_APPLIED);
}

static void judge(struct run *run, size_t at)
{
    const struct asked *asked = &run->calls[at];
    const struct minikv_result *result = &asked->result;
    int64_t count = run->vc.counters[asked->key];
    bool is_true = true, is_forgotten = strcmp(result->word, "sequence-too-old") == 0;
    assert_true(asked->is_done);
    if (asked->own_sequence != 0) {
        is_true = is_true_of_own(result, count);
        run->forgotten_count += is_forgotten;
    } else if (asked->is_read) {
        is_true = result->effect == MINIKV_NOT_APPLIED && count == 0;
    } else {
        switch (result->effect) {
        case MINIKV_NOT_APPLIED:
            is_true = count == 0 && result->code != MINIKV_OK && result->code != MINIKV_UNKNOWN;
            break;
        case MINIKV_MAYBE_APPLIED:
            is_true = count <= 1 && result->code == MINIKV_UNKNOWN;
            break;
        case MINIKV_APPLIED:
            is_true = count == 1 && result->code == MINIKV_OK && result->number == 1;
            break;
        }
    }
    if (!is_true || (is_forgotten && asked->own_sequence == 0)) /* no session's is ever too old */
        fail_msg("call %zu: %s, effect %d, \"%s\": carried out %lld times", at,
                 minikv_code_name(result->code), result->effect, result->word, (long long)count);
}

static void end(struct run *run)
{
    for (size_t at = 0; at < run->calls_count; at++)
        minikv_result_release(&run->calls[at].result);
    engine_free(run->engine);
}

/* A time of faults, then all is well: everything must succeed, and then everything was true. */
static void play(struct run *run, uint64_t seed, bool redirect, bool sessions)
{
    begin(run, seed, redirect, sessions);
    while (run->calls_count < CALLS) {
        if (sessions && vc_chance(&run->vc, 15))
            ask_own(run, 200 + (unsigned)vc_random(&run->vc, 3000));
        else
            ask(run, vc_chance(&run->vc, 20), 200 + (unsigned)vc_random(&run->vc, 3000));
        pass(run, vc_random(&run->vc, 20000));
        if (vc_chance(&run->vc, run->seed % 3 == 0 ? 15 : 4))
            vc_break_something(&run->vc);
    }
    vc_heal(&run->vc);
    pass(run, 4000000);
    for (int i = 0; i < 10; i++)
        ask(run, i == 0, 2000);
    pass(run, 4000000); /* and whatever was to be carried out late */

    assert_int_equal(run->done_count, run->calls_count);
    assert_int_equal(run->vc.events_count, 0);
    for (size_t at = 0; at < run->calls_count; at++)
        judge(run, at);
    for (size_t at = CALLS; at < run->calls_count; at++)
        if (run->calls[at].result.code != (run->calls[at].is_read ? MINIKV_NOT_FOUND : MINIKV_OK))
            fail_msg("call %zu, when all is well: %s, \"%s\"", at,
                     minikv_code_name(run->calls[at].result.code), run->calls[at].result.detail);
}

struct totals {
    uint64_t seed; /* under way */
    unsigned resets, replays, redirects, expired, late;
    size_t forgotten, ok, unknown, unavailable;
};

/* Printed only when a run fails: cmocka leaves by a long jump. */
static struct totals *shown;

static int show_seed(void **state)
{
    (void)state;
    if (shown != NULL)
        print_message("CLIENT_SEED=%llu\n", (unsigned long long)shown->seed);
    return 0;
}

static void play_all(bool redirect, bool sessions, struct totals *totals)
{
    static struct run run;
    const char *given = getenv("CLIENT_SEED");
    *totals = (struct totals){0};
    shown = totals;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (given != NULL)
            seed = strtoull(given, NULL, 10);
        totals->seed = seed;
        play(&run, seed, redirect, sessions);
        totals->resets += run.vc.resets_count;
        totals->replays += run.vc.replays_count;
        totals->redirects += run.vc.redirects_count;
        totals->expired += run.vc.expired_count;
        totals->late += run.vc.late_count;
        totals->forgotten += run.forgotten_count;
        totals->ok += run.counts[MINIKV_OK];
        totals->unknown += run.counts[MINIKV_UNKNOWN];
        totals->unavailable += run.counts[MINIKV_UNAVAILABLE];
        end(&run);
        if (given != NULL)
            break;
    }
    print_message("%s, %s: %zu ok, %zu unknown, %zu unavailable; %u resets, %u replays, "
                  "%u redirects, %u sessions expired, %u late, %zu forgotten\n",
                  redirect ? "redirect" : "forward", sessions ? "sessions" : "no sessions",
                  totals->ok, totals->unknown, totals->unavailable, totals->resets, totals->replays,
                  totals->redirects, totals->expired, totals->late, totals->forgotten);
    shown = NULL;
}

static void forwarded_writes_take_effect_once_and_results_are_true(void **state)
{
    (void)state;
    static struct totals totals;

    play_all(false, true, &totals);

    assert_true(totals.resets > 100 && totals.replays > 100 && totals.late > 100);
    assert_true(totals.forgotten > 50);
    assert_true(totals.ok > totals.unknown * 5);
}

static void redirected_writes_take_effect_once_and_results_are_true(void **state)
{
    (void)state;
    static struct totals totals;

    play_all(true, true, &totals);

    assert_true(totals.redirects > 1000 && totals.replays > 100 && totals.expired > 10);
    assert_true(totals.ok > totals.unknown * 5);
}

static void writes_without_session_take_effect_at_most_once(void **state)
{
    (void)state;
    static struct totals totals;

    play_all(false, false, &totals);

    assert_int_equal(totals.replays, 0);
    assert_true(totals.unknown > 100); /* never sent again, so never found out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(forwarded_writes_take_effect_once_and_results_are_true,
                                  show_seed),
        cmocka_unit_test_teardown(redirected_writes_take_effect_once_and_results_are_true,
                                  show_seed),
        cmocka_unit_test_teardown(writes_without_session_take_effect_at_most_once, show_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
