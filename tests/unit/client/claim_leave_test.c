/* A claim that is held: kept, lost, given back; and what may be asked for at all. */
#include "claim_fixture.h"

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
