/* What configuration a command asks for: over all small configurations, and by example. */
#include "kv_fixture.h"

#include "kv/membership.h"

enum {
    IDS = 5,       /* of these a configuration has up to four */
    ADDRESSES = 6, /* that of each id, and one more */
    CONFIGS = 243  /* 3^IDS: absent, learner, voter */
};

static struct address peer_of(uint64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "10.0.0.%u:7000", (unsigned)number);
    return fixture_address(text);
}

/* Digits to the base of 3, the lowest for id 1. */
static struct config config_number(unsigned number)
{
    struct config config = {0};
    for (node_id id = 1; id <= IDS; id++, number /= 3) {
        struct member member = {.id = id, .is_voter = number % 3 == 2, .peer = peer_of(id)};
        if (number % 3 != 0)
            assert_int_equal(config_add(&config, &member), ST_OK);
    }
    return config;
}

static bool configs_equal(const struct config *a, const struct config *b)
{
    struct buf left, right;
    buf_init(&left, KIB);
    buf_init(&right, KIB);
    config_encode(a, &left);
    config_encode(b, &right);
    bool is_equal = bytes_equal(buf_bytes(&left), buf_bytes(&right));
    buf_release(&left);
    buf_release(&right);
    return is_equal;
}

static unsigned votes_changed(const struct config *from, const struct config *to)
{
    unsigned count = 0;
    for (node_id id = 1; id <= IDS; id++) {
        const struct member *before = config_find(from, id);
        const struct member *after = config_find(to, id);
        count += (before != NULL && before->is_voter) != (after != NULL && after->is_voter);
    }
    return count;
}

/* Everything that Raft asks of a change, whatever asked for it. */
static void assert_sound(const struct config *from, const struct config *to, node_id named)
{
    assert_true(config_voters_count(to) > 0);
    assert_true(votes_changed(from, to) <= 1);
    assert_true(to->members_count <= LIMIT_MEMBERS);
    for (uint32_t i = 0; i < to->members_count; i++) {
        const struct member *member = &to->members[i];
        assert_true(i == 0 || to->members[i - 1].id < member->id);
        for (uint32_t j = 0; j < i; j++)
            assert_false(address_equal(&to->members[j].peer, &member->peer));
        if (member->id == named)
            continue;
        const struct member *before = config_find(from, member->id);
        assert_non_null(before);
        assert_int_equal(before->is_voter, member->is_voter);
        assert_true(address_equal(&before->peer, &member->peer));
    }
    for (uint32_t i = 0; i < from->members_count; i++)
        assert_true(from->members[i].id == named || config_find(to, from->members[i].id) != NULL);
}

/* What has to come of it, said another way than the function does it. */
static enum status expected(const struct config *config, uint64_t registered,
                            const struct command *command, bool *out_changes)
{
    const struct member *member = config_find(config, command->member);
    bool proves_same = registered != 0 && command->member_identity == registered;
    bool proves_other = registered != 0 && command->member_identity != 0 && !proves_same;
    bool is_there = member != NULL && address_equal(&member->peer, &command->peer);
    *out_changes = false;
    if (command->op == COMMAND_REMOVE) {
        *out_changes = member != NULL;
        return member != NULL && member->is_voter && config_voters_count(config) == 1
                   ? ST_LAST_VOTER
                   : ST_OK;
    }
    if (command->op == COMMAND_PROMOTE) {
        *out_changes = member != NULL && !member->is_voter;
        if (member == NULL)
            return ST_UNKNOWN_MEMBER;
        return *out_changes && registered == 0 ? ST_NOT_CAUGHT_UP : ST_OK;
    }
    for (uint32_t i = 0; i < config->members_count; i++)
        if (config->members[i].id != command->member &&
            address_equal(&config->members[i].peer, &command->peer))
            return ST_MEMBER_EXISTS;
    *out_changes = !is_there;
    if (member == NULL)
        return ST_OK;
    bool is_unproven_vote = member->is_voter && command->member_identity != 0 && registered == 0;
    return proves_other || is_unproven_vote || (!is_there && !proves_same) ? ST_MEMBER_EXISTS
                                                                           : ST_OK;
}

static void check(const struct config *config, uint64_t registered, const struct command *command)
{
    struct config next, again;
    bool changes, should_change, changes_again;
    enum status status = member_change(config, registered, command, &next, &changes);
    assert_int_equal(status, expected(config, registered, command, &should_change));
    if (status != ST_OK)
        return;
    assert_int_equal(changes, should_change);
    assert_int_equal(changes, !configs_equal(config, &next));
    assert_sound(config, &next, command->member);
    assert_int_equal(member_change(&next, registered, command, &again, &changes_again), ST_OK);
    assert_false(changes_again); /* asked for twice, it is done already */
}

static void check_joins(const struct config *config, node_id id, uint64_t registered)
{
    for (uint64_t identity = 0; identity <= 2; identity++)
        for (uint64_t peer = 1; peer <= ADDRESSES; peer++)
            check(config, registered,
                  &(struct command){.op = COMMAND_JOIN,
                                    .member = id,
                                    .peer = peer_of(peer),
                                    .member_identity = identity});
}

static void every_command_on_every_small_configuration_is_sound(void **state)
{
    (void)state;
    for (unsigned number = 0; number < CONFIGS; number++) {
        struct config config = config_number(number);
        if (config.members_count > 4 || config_voters_count(&config) == 0)
            continue;
        for (node_id id = 1; id <= IDS; id++)
            for (uint64_t registered = 0; registered <= (config_find(&config, id) != NULL);
                 registered++) {
                check_joins(&config, id, registered);
                check(&config, registered, &(struct command){.op = COMMAND_REMOVE, .member = id});
                check(&config, registered, &(struct command){.op = COMMAND_PROMOTE, .member = id});
            }
    }
}

static void a_full_cluster_takes_no_more_members(void **state)
{
    (void)state;
    static const node_id ids[LIMIT_MEMBERS] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct config config = fixture_config(ids, LIMIT_MEMBERS), next;
    bool changes;
    struct command join = {.op = COMMAND_JOIN, .member = 10, .peer = peer_of(10)};
    assert_int_equal(member_change(&config, 0, &join, &next, &changes), ST_MEMBERS_FULL);
    join.member = 9;
    join.peer = peer_of(9);
    assert_int_equal(member_change(&config, 0, &join, &next, &changes), ST_OK);
    assert_false(changes);
    join.peer = peer_of(10);
    join.member_identity = 5;
    assert_int_equal(member_change(&config, 5, &join, &next, &changes), ST_OK);
    assert_true(changes);
}

/* ---- as commands in the log: they change nothing, and say why ---- */

static struct kv_result apply(struct kv *kv, enum command_op op, node_id id, uint64_t peer,
                              uint64_t identity)
{
    struct command command = {.op = op, .member = id, .member_identity = identity};
    if (op == COMMAND_JOIN)
        command.peer = peer_of(peer);
    struct config before = *kv_config(kv);
    struct kv_result result = fixture_apply(kv, &command);
    assert_true(configs_equal(&before, kv_config(kv)));
    assert_false(result.changed);
    kv_check(kv);
    return result;
}

static void applied_they_say_how_things_stand_and_change_nothing(void **state)
{
    (void)state;
    static const node_id ids[] = {1, 3};
    struct kv *kv = fixture_new();
    struct config config = fixture_config(ids, 2);
    config.members[1].is_voter = false;
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);
    (void)fixture_register(kv, 1, 77);

    assert_outcome(apply(kv, COMMAND_JOIN, 1, 1, 0), ST_OK, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_JOIN, 1, 1, 77), ST_OK, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_JOIN, 1, 1, 78), ST_MEMBER_EXISTS, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_JOIN, 1, 9, 77), ST_CHANGE_OPEN, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_JOIN, 2, 3, 0), ST_MEMBER_EXISTS, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_JOIN, 2, 2, 0), ST_CHANGE_OPEN, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_REMOVE, 1, 0, 0), ST_LAST_VOTER, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_REMOVE, 2, 0, 0), ST_OK, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_REMOVE, 3, 0, 0), ST_CHANGE_OPEN, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_PROMOTE, 1, 0, 0), ST_OK, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_PROMOTE, 2, 0, 0), ST_UNKNOWN_MEMBER, false, 1, 0);
    assert_outcome(apply(kv, COMMAND_PROMOTE, 3, 0, 0), ST_NOT_CAUGHT_UP, false, 1, 0);
    (void)fixture_register(kv, 3, 79);
    assert_outcome(apply(kv, COMMAND_PROMOTE, 3, 0, 0), ST_CHANGE_OPEN, false, 1, 0);
    fixture_free(kv);
}

/* Removal forgets the identity: with an empty directory the same id may come again. */
static void a_removed_member_may_come_again_with_another_identity(void **state)
{
    (void)state;
    static const node_id both[] = {1, 2}, one[] = {1};
    struct kv *kv = fixture_new();
    struct config with = fixture_config(both, 2), without = fixture_config(one, 1);
    kv_apply_config(kv, (struct entry_id){1, 1}, &with);
    (void)fixture_register(kv, 2, 5);
    assert_outcome(apply(kv, COMMAND_JOIN, 2, 2, 6), ST_MEMBER_EXISTS, false, 1, 0);

    kv_apply_config(kv, fixture_next_id(kv), &without);

    assert_outcome(apply(kv, COMMAND_JOIN, 2, 2, 6), ST_CHANGE_OPEN, false, 1, 0);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_on_every_small_configuration_is_sound),
        cmocka_unit_test(a_full_cluster_takes_no_more_members),
        cmocka_unit_test(applied_they_say_how_things_stand_and_change_nothing),
        cmocka_unit_test(a_removed_member_may_come_again_with_another_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
