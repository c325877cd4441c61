/* Logs held against each other: what may differ and what may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/audit_match.h"

enum { STEPS = 8 };

/* Indexes 1 … `count` with these terms; entries and states follow from index and term. */
static struct audit_replay replay_of(node_id node, struct audit_step *steps, const int *terms,
                                     size_t count, raft_index commit)
{
    for (size_t i = 0; i < count; i++)
        steps[i] = (struct audit_step){.term = (raft_term)terms[i],
                                       .checksum = (uint32_t)(100 * terms[i]) + (uint32_t)i,
                                       .digest = (uint64_t)(7 * terms[i]) + i};
    return (struct audit_replay){.meta = {.node = node},
                                 .log = {.commit = commit},
                                 .steps = steps,
                                 .steps_count = count,
                                 .first = 1};
}

struct pair {
    struct audit_step a_steps[STEPS], b_steps[STEPS];
    struct audit_replay a, b;
    struct audit_report report;
};

#define A_TERMS ((const int[]){1, 1, 2, 2, 2, 4})

static struct pair *pair_open(struct pair *pair, const int *b_terms, size_t b_count,
                              raft_index a_commit, raft_index b_commit)
{
    pair->a = replay_of(1, pair->a_steps, A_TERMS, 6, a_commit);
    pair->b = replay_of(2, pair->b_steps, b_terms, b_count, b_commit);
    audit_report_init(&pair->report);
    return pair;
}

static void pair_close(struct pair *pair)
{
    audit_report_release(&pair->report);
}

static void assert_finding(const struct pair *pair, size_t at, enum audit_kind kind, node_id node,
                           raft_index index)
{
    assert_true(pair->report.findings_count > at);
    const struct audit_finding *finding = &pair->report.findings[at];
    assert_string_equal(audit_kind_name(finding->kind), audit_kind_name(kind));
    assert_int_equal(finding->node, node);
    assert_int_equal(finding->index, index);
}

static void a_shorter_log_with_the_same_entries_agrees(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, A_TERMS, 4, 6, 4);

    audit_match_pair(&pair.a, &pair.b, &pair.report);
    audit_match_pair(&pair.b, &pair.a, &pair.report);

    assert_int_equal(pair.report.findings_count, 0);
    const struct audit_replay both[] = {pair.a, pair.b};
    assert_int_equal(audit_match_common(both, 2), 4);
    pair_close(&pair);
}

static void an_uncommitted_end_may_differ_and_is_noted(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (const int[]){1, 1, 2, 3, 3}, 5, 6, 3);

    audit_match_pair(&pair.a, &pair.b, &pair.report);

    assert_int_equal(pair.report.violations_count, 0);
    assert_finding(&pair, 0, AUDIT_TAIL, 2, 4);
    const struct audit_replay both[] = {pair.a, pair.b};
    assert_int_equal(audit_match_common(both, 2), 3);
    pair_close(&pair);
}

static void where_neither_knows_the_older_end_is_the_lost_one(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (const int[]){1, 1, 2, 3, 3}, 5, 3, 3);

    audit_match_pair(&pair.a, &pair.b, &pair.report);
    audit_match_pair(&pair.b, &pair.a, &pair.report);

    assert_finding(&pair, 0, AUDIT_TAIL, 1, 4); /* its entry is of term 2 */
    assert_finding(&pair, 1, AUDIT_TAIL, 1, 4);
    pair_close(&pair);
}

static void an_end_that_both_committed_may_not_differ(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (const int[]){1, 1, 2, 3, 3}, 5, 6, 4);

    audit_match_pair(&pair.a, &pair.b, &pair.report);

    assert_int_equal(pair.report.violations_count, 1);
    assert_finding(&pair, 0, AUDIT_LOGS, 1, 4);
    pair_close(&pair);
}

static void logs_may_not_agree_again_behind_a_difference(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (const int[]){1, 1, 2, 1, 2, 4}, 6, 3, 3);

    audit_match_pair(&pair.a, &pair.b, &pair.report);

    assert_int_equal(pair.report.violations_count, 1);
    assert_finding(&pair, 0, AUDIT_TAIL, 2, 4);
    assert_finding(&pair, 1, AUDIT_LOGS, 1, 5);
    pair_close(&pair);
}

static void the_same_index_and_term_must_be_the_same_entry(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, A_TERMS, 6, 2, 2);
    pair.b_steps[5].checksum ^= 1;

    audit_match_pair(&pair.a, &pair.b, &pair.report);

    assert_int_equal(pair.report.violations_count, 1);
    assert_finding(&pair, 0, AUDIT_LOGS, 1, 6);
    pair_close(&pair);
}

static void the_same_log_must_make_the_same_state(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, A_TERMS, 6, 6, 6);
    pair.b_steps[2].digest ^= 1;
    pair.b_steps[3].digest ^= 1;

    audit_match_pair(&pair.a, &pair.b, &pair.report);

    assert_int_equal(pair.report.violations_count, 1);
    assert_finding(&pair, 0, AUDIT_STATES, 1, 3);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shorter_log_with_the_same_entries_agrees),
        cmocka_unit_test(an_uncommitted_end_may_differ_and_is_noted),
        cmocka_unit_test(where_neither_knows_the_older_end_is_the_lost_one),
        cmocka_unit_test(an_end_that_both_committed_may_not_differ),
        cmocka_unit_test(logs_may_not_agree_again_behind_a_difference),
        cmocka_unit_test(the_same_index_and_term_must_be_the_same_entry),
        cmocka_unit_test(the_same_log_must_make_the_same_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
