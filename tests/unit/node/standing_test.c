/* Whether a node may stand: only while its log says that its own data directory is the member's.
 * The liar leads, and makes the log say otherwise. */
#include "unit/node/liar_rig.h"

/* As the liar would have proposed it. */
static struct entry *entry_of(enum entry_type type, struct bytes body, struct entry_id id)
{
    struct proposal head = {.origin = {LIAR, 5, 1}};
    struct entry *entry = entry_new(type, (uint32_t)(PROPOSAL_HEADER_BYTES + body.count));
    proposal_encode_header(&head, entry->data);
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, body.data, body.count);
    entry_seal(entry, id);
    return entry;
}

static struct entry *config_entry(const struct config *config, struct entry_id id)
{
    struct buf body;
    buf_init(&body, LIMIT_COMMAND_BYTES);
    config_encode(config, &body);
    struct entry *entry = entry_of(ENTRY_CONFIG, buf_bytes(&body), id);
    buf_release(&body);
    return entry;
}

static struct entry *registration(unsigned node, uint64_t identity, struct entry_id id)
{
    struct command command = {.op = COMMAND_REGISTER, .member = node, .member_identity = identity};
    struct buf body;
    buf_init(&body, LIMIT_COMMAND_BYTES);
    command_encode(&command, &body);
    struct entry *entry = entry_of(ENTRY_COMMAND, buf_bytes(&body), id);
    buf_release(&body);
    return entry;
}

static enum raft_role role_of(const struct rig *rig, unsigned node)
{
    return node_view(rig->nodes[node])->role;
}

static struct config without(const struct config *all, unsigned node)
{
    struct config rest = {0};
    for (uint32_t i = 0; i < all->members_count; i++)
        if (all->members[i].id != node)
            assert_int_equal(config_add(&rest, &all->members[i]), ST_OK);
    return rest;
}

/* It was taken out and is in again, with the data directory `identity`. Gives the entry before that
 * registration. */
static struct entry_id replace(struct rig *rig, unsigned node, raft_term term, uint64_t identity)
{
    struct config all = *raft_config(node_raft(rig->nodes[node])), rest = without(&all, node);
    struct entry_id prev = last_of(rig, node), at = {term, prev.index + 1};
    append_as_leader(rig, node, term, prev, config_entry(&rest, at), 0);
    prev = at, at.index++;
    append_as_leader(rig, node, term, prev, config_entry(&all, at), 0);
    prev = at, at.index++;
    append_as_leader(rig, node, term, prev, registration(node, identity, at), 0);
    return prev;
}

static void who_has_been_replaced_stands_no_more(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned node = follower_of(rig);
    raft_term term = node_view(rig->nodes[node])->term + 1;

    (void)replace(rig, node, term, 4711);

    assert_int_equal(role_of(rig, node), RAFT_ROLE_LEARNER);
    run_ms(rig, 3000); /* the liar says nothing more */
    assert_int_equal(role_of(rig, node), RAFT_ROLE_LEARNER);
    free_rig(rig);
}

static void who_has_come_back_with_its_own_disk_stands(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned node = follower_of(rig);
    raft_term term = node_view(rig->nodes[node])->term + 1;

    (void)replace(rig, node, term, node_identity(rig->nodes[node]));

    assert_int_equal(role_of(rig, node), RAFT_ROLE_FOLLOWER);
    free_rig(rig);
}

/* The first one counts, and until that is removed no other. */
static void a_second_registration_changes_nothing(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned node = follower_of(rig);
    raft_term term = node_view(rig->nodes[node])->term + 1;
    struct entry_id prev = last_of(rig, node), at = {term, prev.index + 1};

    append_as_leader(rig, node, term, prev, registration(node, 4711, at), 0);

    assert_int_equal(role_of(rig, node), RAFT_ROLE_FOLLOWER);
    free_rig(rig);
}

static void a_replacement_that_is_cut_off_has_not_been(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned node = follower_of(rig);
    raft_term term = node_view(rig->nodes[node])->term + 1;
    struct entry_id prev = replace(rig, node, term, 4711);
    assert_int_equal(role_of(rig, node), RAFT_ROLE_LEARNER);

    struct entry_id at = {term + 1, prev.index + 1};
    append_as_leader(rig, node, term + 1, prev, new_command((struct origin){LIAR, 5, 2}, 0, at), 0);

    assert_int_equal(role_of(rig, node), RAFT_ROLE_FOLLOWER);
    free_rig(rig);
}

/* Nobody of this cluster says so: one leads in a term (R1). It is not worth a crash. */
static void who_pretends_to_lead_in_a_leaders_term_is_not_listened_to(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned leader = leader_of(rig), follower = follower_of(rig);

    struct message message = append_of(leader, node_view(rig->nodes[leader])->term);
    peers_send(rig->liar, &message, NULL);
    message = append_of(follower, node_view(rig->nodes[leader])->term);
    peers_send(rig->liar, &message, NULL);
    run_ms(rig, 50);

    assert_int_equal(role_of(rig, leader), RAFT_ROLE_LEADER);
    assert_int_equal(node_view(rig->nodes[follower])->leader, leader);
    free_rig(rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_been_replaced_stands_no_more),
        cmocka_unit_test(who_has_come_back_with_its_own_disk_stands),
        cmocka_unit_test(a_second_registration_changes_nothing),
        cmocka_unit_test(a_replacement_that_is_cut_off_has_not_been),
        cmocka_unit_test(who_pretends_to_lead_in_a_leaders_term_is_not_listened_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
