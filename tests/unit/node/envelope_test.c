/* Which envelopes a node takes from another one, and which it does not. */
#include "unit/node/liar_rig.h"

static void assert_refused(const struct rig *rig, const struct envelope *envelope,
                           enum status status)
{
    assert_int_equal(rig->refusals_count, 1);
    assert_int_equal(rig->refusal.number, envelope->number);
    assert_int_equal(rig->refusal.status, status);
    assert_int_equal(counter_of(rig), 0);
}

static void an_envelope_with_one_hop_is_taken_once_however_often_it_comes(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);

    send_envelope(rig, &envelope);
    send_envelope(rig, &envelope);

    assert_int_equal(rig->refusals_count, 0);
    assert_int_equal(counter_of(rig), 1);
    buf_release(&command);
    free_rig(rig);
}

static void an_envelope_with_a_second_hop_behind_it_is_not_taken(void **state)
{
    (void)state;
    static const uint8_t hops[] = {2, 3, UINT8_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(hops); i++) {
        struct rig *rig = new_rig();
        struct buf command;
        struct envelope envelope = new_envelope(rig, &command);
        envelope.hops = hops[i];

        send_envelope(rig, &envelope);

        assert_refused(rig, &envelope, ST_ALREADY_FORWARDED);
        buf_release(&command);
        free_rig(rig);
    }
}

static void an_envelope_of_another_cluster_is_not_taken(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);
    envelope.cluster_id++;

    send_envelope(rig, &envelope);

    assert_refused(rig, &envelope, ST_ALREADY_FORWARDED);
    buf_release(&command);
    free_rig(rig);
}

static void an_envelope_for_another_term_is_not_taken(void **state)
{
    (void)state;
    for (int i = -1; i <= 1; i += 2) {
        struct rig *rig = new_rig();
        struct buf command;
        struct envelope envelope = new_envelope(rig, &command);
        envelope.term = (raft_term)((int64_t)envelope.term + i);

        send_envelope(rig, &envelope);

        assert_refused(rig, &envelope, ST_FENCED);
        buf_release(&command);
        free_rig(rig);
    }
}

static void a_follower_does_not_send_an_envelope_on(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);
    struct node_stats before, after;
    unsigned follower = follower_of(rig);
    envelope.to = follower;
    node_stats(rig->nodes[follower], &before);

    send_envelope(rig, &envelope);

    node_stats(rig->nodes[follower], &after);
    assert_int_equal(after.forwarded_count, before.forwarded_count);
    assert_refused(rig, &envelope, ST_FENCED);
    buf_release(&command);
    free_rig(rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_with_one_hop_is_taken_once_however_often_it_comes),
        cmocka_unit_test(an_envelope_with_a_second_hop_behind_it_is_not_taken),
        cmocka_unit_test(an_envelope_of_another_cluster_is_not_taken),
        cmocka_unit_test(an_envelope_for_another_term_is_not_taken),
        cmocka_unit_test(a_follower_does_not_send_an_envelope_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
