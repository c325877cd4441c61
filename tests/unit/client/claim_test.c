/* Claims: who holds what, against a cluster on virtual time and everything that a network and a
 * machine may do to a holder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/claim_world.h"

enum { SEEDS = 25, FAULTY_MS = 40000, LEAVE_MS = 20000 };

/* ---- many, in a world that breaks ---- */

static void break_something(struct cw *cw)
{
    unsigned who = (unsigned)prng_below(&cw->prng, CW_CLAIMS);
    struct cw_client *client = &cw->clients[who];
    switch (prng_below(&cw->prng, 6)) {
    case 0: /* SIGSTOP, perhaps for longer than its lease lives */
        client->stands_until = cw->now + cw_ms(cw, 2 * CW_TTL_MS);
        break;
    case 1: /* kill -9; somebody else comes */
        client->is_dead = true;
        cw_begin(cw, who);
        break;
    case 2: /* revoked by hand */
        if (client->claim->lease.id != 0 && cw->leases[client->claim->lease.id].is_there) {
            cw_end_lease(cw, &cw->leases[client->claim->lease.id]);
            client->is_robbed = true;
        }
        break;
    default:
        cw_leave(cw, who);
        break;
    }
}

/* Whoever has come to an end begins again. */
static void begin_anew(struct cw *cw)
{
    for (unsigned i = 0; i < CW_CLAIMS; i++)
        if (claim_is_over(cw->clients[i].claim) && cw->now >= cw->clients[i].stands_until)
            cw_begin(cw, i);
}

static void let_all_leave(struct cw *cw)
{
    unsigned held_count = 0;
    cw->has_faults = false;
    for (unsigned ms = 0; ms < LEAVE_MS; ms++) {
        cw_tick(cw);
        for (unsigned i = 0; i < CW_CLAIMS; i++)
            if (cw_is_certain(cw, &cw->clients[i])) {
                held_count++;
                cw_leave(cw, i);
            }
    }
    assert_in_range(held_count, 0, CW_CLAIMS);
    for (unsigned i = 0; i < CW_CLAIMS; i++)
        assert_true(claim_is_over(cw->clients[i].claim));
    for (uint64_t id = 1; id <= cw->last_lease; id++)
        assert_false(cw->leases[id].is_there);
}

static void run_seed(uint64_t seed, unsigned *held_count, unsigned *lost_count,
                     unsigned *replays_count)
{
    static struct cw cw;
    cw_init(&cw, seed);
    for (unsigned ms = 0; ms < FAULTY_MS; ms++) {
        cw_tick(&cw);
        if (prng_below(&cw.prng, 1500) == 0)
            break_something(&cw);
        begin_anew(&cw);
    }
    let_all_leave(&cw);
    *held_count += cw.held_count;
    *lost_count += cw.lost_count;
    *replays_count += cw.replays_count;
    cw_release(&cw);
}

static void of_many_one_holds_it_and_none_is_left_behind(void **state)
{
    (void)state;
    unsigned held_count = 0, lost_count = 0, replays_count = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_seed(seed, &held_count, &lost_count, &replays_count);
    }
    assert_true(held_count > SEEDS * 5); /* or nothing was tested */
    assert_true(lost_count > SEEDS);
    assert_true(replays_count > SEEDS);
}

/* ---- one, step by step ---- */

struct rig {
    struct claim *claim;
    struct blob text;
    struct minikv_request request;
    time_us now;
};

static void begin(struct rig *rig, const struct minikv_hold_request *request)
{
    *rig = (struct rig){.claim = claim_new(request), .now = 1000000};
    assert_non_null(rig->claim);
    blob_init(&rig->text);
}

static void end(struct rig *rig)
{
    claim_free(rig->claim);
    blob_release(&rig->text);
}

/* Sends what is due: that step. */
static void ask(struct rig *rig, enum claim_step step)
{
    time_us at;
    assert_int_equal(claim_next(rig->claim, rig->now, &at), step);
    blob_clear(&rig->text, 4096);
    assert_true(claim_request(rig->claim, &rig->text, &rig->request));
    claim_asked(rig->claim, rig->now);
    assert_int_equal(claim_next(rig->claim, rig->now, &at), CLAIM_REST);
}

static void tell(struct rig *rig, const char *body)
{
    struct minikv_result result = {.code = MINIKV_OK, .body = minikv_text(body)};
    claim_answered(rig->claim, rig->now, &result);
}

static void refuse(struct rig *rig, enum minikv_code code, const char *word)
{
    struct minikv_result result = {.code = code};
    (void)snprintf(result.word, sizeof result.word, "%s", word);
    claim_answered(rig->claim, rig->now, &result);
}

/* What is known of a write that got no answer. */
static void lose_answer(struct rig *rig, enum minikv_code code, uint64_t sequence)
{
    struct minikv_result result = {.code = code,
                                   .effect = MINIKV_MAYBE_APPLIED,
                                   .identity = {.client = "me", .sequence = sequence}};
    claim_answered(rig->claim, rig->now, &result);
}

static void tell_page(struct rig *rig, const struct minikv_item *items, size_t count,
                      const char *next)
{
    struct minikv_result page = {.code = MINIKV_OK,
                                 .items = items,
                                 .items_count = count,
                                 .revision = 20,
                                 .next = minikv_text(next)};
    claim_answered(rig->claim, rig->now, &page);
}

static const struct minikv_hold_request job = {.name = {"job", 3}, .value = {"me", 2}};

#define GRANTED "{\"lease\":30,\"ttl_ms\":10000}"
#define ENTERED "{\"succeeded\":true,\"revision\":12,\"results\":[{\"put\":{}}]}"
#define OWN     "job/000000000000001e"

static struct minikv_item item_of(const char *key, uint64_t created)
{
    return (struct minikv_item){.key = minikv_text(key), .create_revision = created};
}

/* Until it looks who is before. */
static void enter(struct rig *rig)
{
    begin(rig, &job);
    ask(rig, CLAIM_GRANT);
    tell(rig, GRANTED);
    ask(rig, CLAIM_ENTER);
    tell(rig, ENTERED);
    ask(rig, CLAIM_PAGE);
}

static void a_lock_is_a_lease_a_key_and_a_look(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_item own = item_of(OWN, 12);
    begin(&rig, &job);

    ask(&rig, CLAIM_GRANT);
    assert_string_equal(rig.request.target, "/v1/leases");
    assert_true(rig.request.is_once);
    assert_memory_equal(rig.request.value.data, "{\"ttl_ms\":10000}", 16);
    tell(&rig, GRANTED);
    ask(&rig, CLAIM_ENTER);
    assert_string_equal(rig.request.target, "/v1/txn");
    assert_true(rig.request.is_once);
    static const char expected[] =
        "{\"compare\":[{\"key_base64\":\"am9iLzAwMDAwMDAwMDAwMDAwMWU=\",\"target\":\"version\","
        "\"op\":\"=\",\"value\":0}],\"success\":[{\"put\":{\"key_base64\":"
        "\"am9iLzAwMDAwMDAwMDAwMDAwMWU=\",\"value_base64\":\"bWU=\",\"lease\":30}}],\"failure\":[{"
        "\"get\":{\"key_base64\":\"am9iLzAwMDAwMDAwMDAwMDAwMWU=\",\"keys_only\":true}}]}";
    assert_int_equal(rig.request.value.count, sizeof expected - 1);
    assert_memory_equal(rig.request.value.data, expected, sizeof expected - 1);
    tell(&rig, ENTERED);
    ask(&rig, CLAIM_PAGE);
    assert_int_equal(rig.claim->state, MINIKV_HOLD_ENTERING);
    tell_page(&rig, &own, 1, "");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_HELD);
    assert_int_equal(rig.claim->token, 12);
    end(&rig);
}

static void a_hold_without_a_name_is_held_when_it_is_granted(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_hold_request request = {.ttl_ms = 10000};
    begin(&rig, &request);
    ask(&rig, CLAIM_GRANT);

    tell(&rig, GRANTED);

    assert_int_equal(rig.claim->state, MINIKV_HOLD_HELD);
    assert_int_equal(rig.claim->lease.id, 30);
    end(&rig);
}

static void a_lease_that_is_there_is_kept_and_not_granted(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_hold_request request = {.lease = 30};
    begin(&rig, &request);

    ask(&rig, CLAIM_GRANT);

    assert_string_equal(rig.request.target, "/v1/leases/30/keepalive");
    refuse(&rig, MINIKV_NOT_FOUND, "lease-not-found");
    assert_int_equal(rig.claim->state, MINIKV_HOLD_FAILED);
    assert_int_equal(rig.claim->code, MINIKV_NOT_FOUND);
    end(&rig);
}

static void the_nearest_before_is_waited_for_and_no_other(void **state)
{
    (void)state;
    struct rig rig;
    const struct minikv_item first[] = {
        item_of("job/0000000000000001", 3), item_of("job/0000000000000002", 10),
        item_of("job/0000000000000003", 13), item_of("job/below/0000000000000001", 11)};
    const struct minikv_item second[] = {item_of("job/0000000000000004", 9), item_of(OWN, 12)};
    enter(&rig);

    tell_page(&rig, first, ARRAY_COUNT(first), "job/below/0000000000000001");
    ask(&rig, CLAIM_PAGE);
    assert_int_equal(rig.request.range.revision, 20);
    assert_int_equal(rig.request.range.after.count, 26);
    tell_page(&rig, second, ARRAY_COUNT(second), "");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_WAITING);
    ask(&rig, CLAIM_CHANGE);
    assert_string_equal(rig.request.target,
                        "/v1/watch?filter=delete&key=job%2F0000000000000002&from=21&limit=1"
                        "&poll_ms=2000");
    tell(&rig, "{\"events\":[],\"next\":\"25\",\"revision\":25}");
    ask(&rig, CLAIM_CHANGE); /* quiet: only what comes after that is of interest */
    assert_non_null(strstr(rig.request.target, "&from=26&"));
    tell(&rig, "{\"events\":[{\"id\":\"30\"}],\"next\":\"30\",\"revision\":30}");
    ask(&rig, CLAIM_PAGE);
    end(&rig);
}

static void who_does_not_see_its_place_has_lost_it(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_item other = item_of(OWN, 15); /* deleted, and made anew by somebody */
    enter(&rig);

    tell_page(&rig, &other, 1, "");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_LOST);
    end(&rig);
}

static void a_grant_without_an_answer_is_asked_for_again_under_its_identity(void **state)
{
    (void)state;
    struct rig rig;
    time_us at;
    begin(&rig, &job);
    ask(&rig, CLAIM_GRANT);
    time_us sent_at = rig.now;

    lose_answer(&rig, MINIKV_UNKNOWN, 7);

    assert_int_equal(rig.claim->identity.sequence, 7);
    assert_int_equal(claim_next(rig.claim, rig.now, &at), CLAIM_REST); /* not at once */
    rig.now = at;
    ask(&rig, CLAIM_GRANT);
    tell(&rig, GRANTED);
    /* It may have been granted when it was sent first. */
    assert_true(rig.claim->lease.certain_until < sent_at + 10000 * (time_us)TIME_US_PER_MS);
    assert_string_equal(rig.claim->identity.client, "");
    end(&rig);
}

static void an_identity_that_is_forgotten_is_not_used_again(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, &job);
    ask(&rig, CLAIM_GRANT);
    struct minikv_result result = {.code = MINIKV_UNKNOWN,
                                   .effect = MINIKV_MAYBE_APPLIED,
                                   .word = "session-expired",
                                   .identity = {.client = "me", .sequence = 7}};

    claim_answered(rig.claim, rig.now, &result);

    assert_string_equal(rig.claim->identity.client, "");
    rig.now += 1000000;
    ask(&rig, CLAIM_GRANT);
    end(&rig);
}

static void a_place_that_was_taken_without_an_answer_is_found(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, &job);
    ask(&rig, CLAIM_GRANT);
    tell(&rig, GRANTED);
    ask(&rig, CLAIM_ENTER);

    tell(&rig, "{\"succeeded\":false,\"revision\":40,\"results\":[{\"get\":{\"items\":[{\"key\":"
               "\"k\",\"create_revision\":12,\"mod_revision\":14,\"lease\":30}],\"count\":1}}]}");

    assert_int_equal(rig.claim->token, 12);
    ask(&rig, CLAIM_PAGE);
    end(&rig);
}

static void a_key_that_somebody_else_has_made_is_no_place(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, &job);
    ask(&rig, CLAIM_GRANT);
    tell(&rig, GRANTED);
    ask(&rig, CLAIM_ENTER);

    tell(&rig, "{\"succeeded\":false,\"revision\":40,\"results\":[{\"get\":{\"items\":[{\"key\":"
               "\"k\",\"create_revision\":12,\"mod_revision\":14,\"lease\":0}],\"count\":1}}]}");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_FAILED);
    assert_int_equal(rig.claim->code, MINIKV_REFUSED);
    assert_true(claim_leave(rig.claim, rig.now));
    ask(&rig, CLAIM_REVOKE);
    end(&rig);
}

/* ---- what else an answer may say, in each step ---- */

static void an_answer_that_may_pass_is_waited_out_and_another_one_ends_it(void **state)
{
    (void)state;
    static const struct {
        enum minikv_code code;
        const char *word;
        bool passes;
    } answers[] = {{MINIKV_UNAVAILABLE, "no-leader", true},
                   {MINIKV_NO_MEMORY, "", true},
                   {MINIKV_FULL, "leases-full", false},
                   {MINIKV_REFUSED, "bad-field", false},
                   {MINIKV_CANCELLED, "", false}};
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++)
        for (unsigned step = 0; step < 3; step++) {
            struct rig rig;
            enter(&rig);
            rig.claim->step = step == 0 ? CLAIM_GRANT : step == 1 ? CLAIM_ENTER : CLAIM_PAGE;

            refuse(&rig, answers[i].code, answers[i].word);

            assert_int_equal(rig.claim->code, answers[i].code);
            assert_int_equal(rig.claim->state,
                             answers[i].passes ? MINIKV_HOLD_ENTERING : MINIKV_HOLD_FAILED);
            end(&rig);
        }
}

static void a_past_that_is_gone_is_as_good_as_a_change(void **state)
{
    (void)state;
    struct rig rig;
    enter(&rig);

    refuse(&rig, MINIKV_REFUSED, "compacted");

    ask(&rig, CLAIM_PAGE);
    assert_int_equal(rig.request.range.revision, 0);
    end(&rig);
}

/* ---- keeping ---- */

static void keep(struct rig *rig, enum minikv_code code, const char *word)
{
    char target[64];
    struct minikv_result result = {.code = code, .body = minikv_text(GRANTED)};
    rig->now = claim_keep_at(rig->claim);
    struct minikv_request request = claim_keep_request(rig->claim, target, rig->now);
    assert_string_equal(request.target, "/v1/leases/30/keepalive");
    assert_true(request.is_repeatable);
    lease_asked(&rig->claim->lease, rig->now);
    (void)snprintf(result.word, sizeof result.word, "%s", word);
    claim_kept(rig->claim, rig->now, &result);
}

static void a_lease_that_is_gone_is_lost_and_another_failure_is_not(void **state)
{
    (void)state;
    struct rig rig;
    enter(&rig);

    keep(&rig, MINIKV_UNAVAILABLE, "no-leader");
    assert_int_equal(rig.claim->state, MINIKV_HOLD_ENTERING);
    assert_int_equal(rig.claim->code, MINIKV_UNAVAILABLE);
    keep(&rig, MINIKV_REFUSED, "no-resource"); /* of something that is no node of ours */
    assert_int_equal(rig.claim->state, MINIKV_HOLD_ENTERING);
    keep(&rig, MINIKV_NOT_FOUND, "lease-not-found");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_LOST);
    assert_true(claim_keep_at(rig.claim) == TIME_NEVER);
    end(&rig);
}

/* ---- leaving ---- */

static void hold_it(struct rig *rig)
{
    struct minikv_item own = item_of(OWN, 12);
    enter(rig);
    tell_page(rig, &own, 1, "");
    assert_int_equal(rig->claim->state, MINIKV_HOLD_HELD);
}

static void a_key_that_somebody_deletes_is_a_hold_that_is_lost(void **state)
{
    (void)state;
    struct rig rig;
    hold_it(&rig);
    ask(&rig, CLAIM_CHANGE);
    assert_non_null(strstr(rig.request.target, "000000000000001e&from=21&"));
    refuse(&rig, MINIKV_REFUSED, "too-many-watches"); /* no news is no bad news */
    assert_int_equal(rig.claim->state, MINIKV_HOLD_HELD);
    assert_int_equal(rig.claim->code, MINIKV_OK);
    rig.now += CLAIM_AGAIN_MS * TIME_US_PER_MS;
    ask(&rig, CLAIM_CHANGE);

    tell(&rig, "{\"events\":[{}],\"revision\":30}");
    ask(&rig, CLAIM_PAGE);
    assert_int_equal(rig.claim->state, MINIKV_HOLD_HELD);
    tell_page(&rig, NULL, 0, "");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_LOST);
    assert_int_equal(rig.claim->code, MINIKV_LOST);
    end(&rig);
}

static void it_is_given_back_once_and_not_kept_any_more(void **state)
{
    (void)state;
    struct rig rig;
    hold_it(&rig);

    assert_true(claim_leave(rig.claim, rig.now));

    assert_true(claim_keep_at(rig.claim) == TIME_NEVER);
    ask(&rig, CLAIM_REVOKE);
    assert_string_equal(rig.request.target, "/v1/leases/30");
    tell(&rig, "");
    assert_int_equal(rig.claim->state, MINIKV_HOLD_LEFT);
    assert_int_equal(rig.claim->code, MINIKV_OK);
    end(&rig);
}

/* Nobody has answered yet, but the caller says that it is there. */
static void a_lease_of_somebody_else_is_given_back_at_once(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_hold_request request = {.lease = 30};
    begin(&rig, &request);
    ask(&rig, CLAIM_GRANT);

    assert_true(claim_leave(rig.claim, rig.now));

    ask(&rig, CLAIM_REVOKE);
    assert_string_equal(rig.request.target, "/v1/leases/30");
    tell(&rig, "");
    assert_int_equal(rig.claim->state, MINIKV_HOLD_LEFT);
    assert_int_equal(rig.claim->code, MINIKV_OK);
    end(&rig);
}

static void a_lease_that_was_gone_before_is_told(void **state)
{
    (void)state;
    struct rig rig;
    hold_it(&rig);
    assert_true(claim_leave(rig.claim, rig.now));
    ask(&rig, CLAIM_REVOKE);

    refuse(&rig, MINIKV_NOT_FOUND, "lease-not-found");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_LEFT);
    assert_int_equal(rig.claim->code, MINIKV_LOST);
    end(&rig);
}

/* Its answer got lost: who was certain when it left has lost nothing to anybody, who was not may
 * have. */
static void a_lease_that_this_may_have_ended_is_judged_by_what_was_certain(void **state)
{
    (void)state;
    for (int is_certain = 0; is_certain < 2; is_certain++) {
        struct rig rig;
        hold_it(&rig);
        rig.now += is_certain ? 0 : 20000 * (time_us)TIME_US_PER_MS;
        assert_true(claim_leave(rig.claim, rig.now));
        ask(&rig, CLAIM_REVOKE);
        lose_answer(&rig, MINIKV_UNKNOWN, 9);
        rig.now += 1000000;
        ask(&rig, CLAIM_REVOKE);

        refuse(&rig, MINIKV_NOT_FOUND, "lease-not-found");

        assert_int_equal(rig.claim->state, MINIKV_HOLD_LEFT);
        assert_int_equal(rig.claim->code, is_certain ? MINIKV_OK : MINIKV_LOST);
        end(&rig);
    }
}

static void who_leaves_before_the_grant_is_known_finds_out_first(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, &job);
    ask(&rig, CLAIM_GRANT);

    assert_false(claim_leave(rig.claim, rig.now));
    lose_answer(&rig, MINIKV_CANCELLED, 7); /* what is known when it is given up */
    rig.now += 1000000;
    ask(&rig, CLAIM_GRANT);
    assert_int_equal(rig.claim->identity.sequence, 7);
    tell(&rig, GRANTED);
    ask(&rig, CLAIM_REVOKE);
    tell(&rig, "");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_LEFT);
    end(&rig);
}

static void who_leaves_before_anything_was_sent_has_left(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig, &job);
    ask(&rig, CLAIM_GRANT);

    assert_false(claim_leave(rig.claim, rig.now));
    refuse(&rig, MINIKV_CANCELLED, "");

    assert_int_equal(rig.claim->state, MINIKV_HOLD_LEFT);
    assert_int_equal(rig.claim->code, MINIKV_OK);
    end(&rig);
}

/* ---- what may be asked for ---- */

static void a_hold_out_of_range_is_none(void **state)
{
    (void)state;
    static const char room[LIMIT_KEY_BYTES];
    struct minikv_hold_request longest = {.name = {room, LIMIT_KEY_BYTES - 17}};
    struct minikv_hold_request bad[] = {
        {.name = {room, LIMIT_KEY_BYTES - 16}},
        {.name = {NULL, 1}},
        {.name = {"a", 1}, .value = {room, LIMIT_VALUE_BYTES + 1}},
        {.ttl_ms = 999},
        {.ttl_ms = LEASE_TTL_MS_MAX + 1},
    };

    assert_int_equal(claim_check(&longest), MINIKV_OK);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(claim_check(&bad[i]), MINIKV_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_many_one_holds_it_and_none_is_left_behind),
        cmocka_unit_test(a_lock_is_a_lease_a_key_and_a_look),
        cmocka_unit_test(a_hold_without_a_name_is_held_when_it_is_granted),
        cmocka_unit_test(a_lease_that_is_there_is_kept_and_not_granted),
        cmocka_unit_test(the_nearest_before_is_waited_for_and_no_other),
        cmocka_unit_test(who_does_not_see_its_place_has_lost_it),
        cmocka_unit_test(a_grant_without_an_answer_is_asked_for_again_under_its_identity),
        cmocka_unit_test(an_identity_that_is_forgotten_is_not_used_again),
        cmocka_unit_test(a_place_that_was_taken_without_an_answer_is_found),
        cmocka_unit_test(a_key_that_somebody_else_has_made_is_no_place),
        cmocka_unit_test(an_answer_that_may_pass_is_waited_out_and_another_one_ends_it),
        cmocka_unit_test(a_past_that_is_gone_is_as_good_as_a_change),
        cmocka_unit_test(a_lease_that_is_gone_is_lost_and_another_failure_is_not),
        cmocka_unit_test(a_key_that_somebody_deletes_is_a_hold_that_is_lost),
        cmocka_unit_test(it_is_given_back_once_and_not_kept_any_more),
        cmocka_unit_test(a_lease_of_somebody_else_is_given_back_at_once),
        cmocka_unit_test(a_lease_that_was_gone_before_is_told),
        cmocka_unit_test(a_lease_that_this_may_have_ended_is_judged_by_what_was_certain),
        cmocka_unit_test(who_leaves_before_the_grant_is_known_finds_out_first),
        cmocka_unit_test(who_leaves_before_anything_was_sent_has_left),
        cmocka_unit_test(a_hold_out_of_range_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
