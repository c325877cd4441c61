/* Claims: who holds what, against a cluster on virtual time and everything that a network and a
 * machine may do to a holder. */
#include "claim_fixture.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
