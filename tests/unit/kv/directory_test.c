/* Members: configuration, announced addresses, identities. */
#include "kv_fixture.h"

static const node_id three[] = {1, 2, 3};

static struct kv *new_with_three(void)
{
    struct kv *kv = fixture_new();
    struct config config = fixture_config(three, 3);
    kv_apply_config(kv, fixture_next_id(kv), &config);
    return kv;
}

static void members_are_those_of_the_newest_configuration(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    assert_null(kv_member(kv, 1));
    assert_int_equal(kv_config(kv)->members_count, 0);

    struct config config = fixture_config(three, 3);
    kv_apply_config(kv, fixture_next_id(kv), &config);

    assert_int_equal(kv_config(kv)->members_count, 3);
    assert_int_equal(kv_member(kv, 2)->member.id, 2);
    assert_string_equal(kv_member(kv, 2)->member.peer.host, "10.0.0.2");
    assert_false(address_is_set(&kv_member(kv, 2)->http));
    assert_int_equal(kv_member(kv, 2)->identity, 0);
    assert_null(kv_member(kv, 4));
    assert_null(kv_member(kv, NODE_NONE));
    fixture_free(kv);
}

static void an_announced_address_is_known_until_it_is_taken_away(void **state)
{
    (void)state;
    struct kv *kv = new_with_three();

    assert_outcome(fixture_announce(kv, 2, "h:8082"), ST_OK, false, 1, 0);
    assert_true(address_equal(&kv_member(kv, 2)->http, &(struct address){"h", 8082}));
    assert_outcome(fixture_announce(kv, 2, "h:8083"), ST_OK, false, 1, 0);
    assert_int_equal(kv_member(kv, 2)->http.port, 8083);
    assert_false(address_is_set(&kv_member(kv, 1)->http));

    assert_outcome(fixture_announce(kv, 2, NULL), ST_OK, false, 1, 0);
    assert_false(address_is_set(&kv_member(kv, 2)->http));
    assert_outcome(fixture_announce(kv, 2, NULL), ST_OK, false, 1, 0); /* and again */
    fixture_free(kv);
}

static void an_identity_is_recorded_once(void **state)
{
    (void)state;
    struct kv *kv = new_with_three();

    assert_outcome(fixture_register(kv, 3, 77), ST_OK, false, 1, 0);
    assert_outcome(fixture_register(kv, 3, 77), ST_OK, false, 1, 0);
    assert_outcome(fixture_register(kv, 3, 78), ST_ADDRESS_MISMATCH, false, 1, 0);

    assert_int_equal(kv_member(kv, 3)->identity, 77);
    assert_int_equal(kv_member(kv, 2)->identity, 0);
    fixture_free(kv);
}

static void nobody_else_is_a_member(void **state)
{
    (void)state;
    struct kv *kv = new_with_three();

    assert_outcome(fixture_announce(kv, 4, "h:1"), ST_UNKNOWN_MEMBER, false, 1, 0);
    assert_outcome(fixture_announce(kv, 4, NULL), ST_UNKNOWN_MEMBER, false, 1, 0);
    assert_outcome(fixture_register(kv, NODE_ID_MAX, 1), ST_UNKNOWN_MEMBER, false, 1, 0);
    fixture_free(kv);
}

static void what_is_known_of_a_member_stays_and_goes_with_it(void **state)
{
    (void)state;
    struct kv *kv = new_with_three();
    (void)fixture_announce(kv, 2, "h:8082");
    (void)fixture_register(kv, 2, 22);
    (void)fixture_announce(kv, 3, "h:8083");
    (void)fixture_register(kv, 3, 33);

    static const node_id later[] = {1, 2, 9};
    struct config config = fixture_config(later, 3);
    config.members[1].is_voter = false; /* of 2: role and peer address are the configuration's */
    config.members[1].peer.port = 7777;
    kv_apply_config(kv, fixture_next_id(kv), &config);
    assert_int_equal(kv_member(kv, 2)->http.port, 8082);
    assert_int_equal(kv_member(kv, 2)->identity, 22);
    assert_int_equal(kv_member(kv, 2)->member.peer.port, 7777);
    assert_false(kv_member(kv, 2)->member.is_voter);
    assert_null(kv_member(kv, 3));

    config = fixture_config(three, 3);
    kv_apply_config(kv, fixture_next_id(kv), &config);
    assert_int_equal(kv_member(kv, 2)->identity, 22);
    assert_false(address_is_set(&kv_member(kv, 3)->http)); /* back, and a stranger */
    assert_int_equal(kv_member(kv, 3)->identity, 0);
    assert_null(kv_member(kv, 9));
    fixture_free(kv);
}

static void a_full_configuration_fits(void **state)
{
    (void)state;
    node_id ids[LIMIT_MEMBERS];
    char host[LIMIT_HOST_BYTES + 1];
    char text[LIMIT_ADDRESS_BYTES];
    memset(host, 'h', LIMIT_HOST_BYTES);
    host[LIMIT_HOST_BYTES] = '\0';
    (void)snprintf(text, sizeof text, "%s:65535", host);
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++)
        ids[i] = NODE_ID_MAX - LIMIT_MEMBERS + 1 + i;
    struct config config = fixture_config(ids, LIMIT_MEMBERS);
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++)
        config.members[i].peer = fixture_address(text);
    struct kv *kv = fixture_new();
    kv_apply_config(kv, fixture_next_id(kv), &config);

    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        assert_outcome(fixture_announce(kv, ids[i], text), ST_OK, false, 1, 0);
        assert_outcome(fixture_register(kv, ids[i], UINT64_MAX), ST_OK, false, 1, 0);
        kv_check(kv);
    }

    assert_string_equal(kv_member(kv, NODE_ID_MAX)->http.host, host);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_those_of_the_newest_configuration),
        cmocka_unit_test(an_announced_address_is_known_until_it_is_taken_away),
        cmocka_unit_test(an_identity_is_recorded_once),
        cmocka_unit_test(nobody_else_is_a_member),
        cmocka_unit_test(what_is_known_of_a_member_stays_and_goes_with_it),
        cmocka_unit_test(a_full_configuration_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
