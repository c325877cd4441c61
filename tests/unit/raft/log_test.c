/* The log in memory, and the account of what is on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/prng.h"
#include "raft/log.h"

static void add(struct raft_log *log, raft_term term)
{
    struct entry *entry = entry_new(ENTRY_COMMAND, 8);
    memset(entry->data, 1, 8);
    entry_seal(entry, (struct entry_id){term, raft_log_last(log).index + 1});
    raft_log_append(log, entry);
    entry_unref(entry);
}

static void add_all(struct raft_log *log, const raft_term *terms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(log, terms[i]);
}

static struct entry_id id(raft_term term, raft_index index)
{
    return (struct entry_id){term, index};
}

static size_t hand_out(struct raft_log *log, raft_index *out_first)
{
    struct entry **entries = NULL;
    size_t count = raft_log_hand_out(log, &entries);
    *out_first = count > 0 ? entries[0]->id.index : 0;
    return count;
}

static void an_empty_log_knows_only_what_it_follows(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, id(3, 7));

    assert_int_equal(raft_log_first(&log), 8);
    assert_true(entry_id_equal(raft_log_last(&log), id(3, 7)));
    assert_true(raft_log_knows(&log, 7));
    assert_false(raft_log_knows(&log, 6));
    assert_false(raft_log_knows(&log, 8));
    assert_null(raft_log_entry(&log, 7));
    raft_log_release(&log);
}

/* Against an array, over random appends, cuts and evictions; the array slides many times. */
static void entries_are_where_they_were_put(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    raft_term terms[100001] = {0};
    struct raft_log log;
    raft_log_init(&log, id(0, 0));
    raft_term term = 1;

    for (int round = 0; round < 20000; round++) {
        raft_index last = raft_log_last(&log).index;
        uint64_t action = prng_below(&prng, 10);
        if (action < 7) {
            term += prng_below(&prng, 20) == 0;
            add(&log, term);
            terms[last + 1] = term;
        } else if (action == 7 && last > log.durable) {
            raft_log_cut(&log, last - prng_below(&prng, MIN(last - log.durable, (raft_index)3)));
            term++;
        } else if (action == 8) {
            raft_log_mark_durable(&log);
        } else {
            raft_log_evict(&log, log.durable, prng_below(&prng, 2000));
        }
        last = raft_log_last(&log).index;
        for (raft_index i = log.base.index; i <= last; i += 1 + prng_below(&prng, 50))
            assert_int_equal(raft_log_id(&log, i).term, terms[i]);
        assert_int_equal(raft_log_id(&log, last).term, terms[last]);
    }
    assert_true(log.base.index > 1000);
    assert_true(log.capacity < 4096);
    raft_log_release(&log);
}

/* For every log of up to six entries in up to four terms, in memory from every base on. */
static void terms_are_found_where_they_start_and_end(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < 4096; number++) {
        raft_term terms[7] = {0};
        for (size_t i = 1, rest = number; i <= 6; i++, rest /= 4)
            terms[i] = 1 + rest % 4;
        size_t count = 1;
        while (count < 6 && terms[count + 1] >= terms[count])
            count++;
        for (raft_index base = 0; base <= count; base++) {
            struct raft_log log;
            raft_log_init(&log, id(0, 0));
            add_all(&log, terms + 1, count);
            raft_log_mark_durable(&log);
            raft_log_evict(&log, base, 0);

            for (raft_index i = base + 1; i <= count; i++) {
                raft_index first = i;
                while (first > base + 1 && terms[first - 1] == terms[i])
                    first--;
                assert_int_equal(raft_log_term_first(&log, i), first);
            }
            for (raft_term term = 1; term <= 5; term++) {
                raft_index last = 0;
                for (raft_index i = base; i <= count; i++)
                    last = i > 0 && terms[i] == term ? i : last;
                assert_int_equal(raft_log_term_last(&log, term), last);
            }
            raft_log_release(&log);
        }
    }
}

static void only_what_the_disk_has_may_be_evicted_and_no_more_than_asked(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, id(0, 0));
    add_all(&log, (const raft_term[]){1, 1, 1, 2, 2}, 5);
    raft_log_mark_durable(&log);
    size_t bytes = log.bytes;

    raft_log_evict(&log, 5, bytes);
    assert_int_equal(raft_log_first(&log), 1);
    raft_log_evict(&log, 5, bytes - 1);
    assert_int_equal(raft_log_first(&log), 2);
    raft_log_evict(&log, 3, 0);
    assert_true(entry_id_equal(log.base, id(1, 3)));
    assert_int_equal(log.bytes, bytes / 5 * 2);
    raft_log_release(&log);
}

static void each_entry_is_handed_out_once(void **state)
{
    (void)state;
    struct raft_log log;
    raft_index first = 0;
    raft_log_init(&log, id(0, 0));
    add_all(&log, (const raft_term[]){1, 1}, 2);

    assert_int_equal(hand_out(&log, &first), 2);
    assert_int_equal(first, 1);
    assert_int_equal(hand_out(&log, &first), 0);
    add(&log, 1);
    assert_int_equal(hand_out(&log, &first), 1);
    assert_int_equal(first, 3);
    raft_log_release(&log);
}

static void a_report_counts_only_for_the_entry_it_names(void **state)
{
    (void)state;
    struct raft_log log;
    raft_index first = 0;
    raft_log_init(&log, id(0, 0));
    add_all(&log, (const raft_term[]){1, 1, 2}, 3);
    (void)hand_out(&log, &first);

    raft_log_on_durable(&log, id(1, 2));
    assert_int_equal(log.durable, 2);
    raft_log_on_durable(&log, id(1, 3)); /* another term at this index */
    assert_int_equal(log.durable, 2);
    raft_log_on_durable(&log, id(1, 1)); /* late */
    assert_int_equal(log.durable, 2);
    raft_log_on_durable(&log, id(2, 4)); /* not there */
    assert_int_equal(log.durable, 2);
    raft_log_on_durable(&log, id(2, 3));
    assert_int_equal(log.durable, 3);
    raft_log_release(&log);
}

static void an_entry_not_handed_out_cannot_be_reported(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, id(0, 0));
    add(&log, 1);

    raft_log_on_durable(&log, id(1, 1));

    assert_int_equal(log.durable, 0);
    raft_log_release(&log);
}

static void a_cut_of_what_is_on_disk_takes_its_durability_along(void **state)
{
    (void)state;
    struct raft_log log;
    raft_index first = 0;
    raft_log_init(&log, id(0, 0));
    add_all(&log, (const raft_term[]){1, 1, 1}, 3);
    raft_log_mark_durable(&log);

    raft_log_cut(&log, 2);
    add(&log, 2);

    assert_int_equal(log.durable, 1);
    assert_int_equal(hand_out(&log, &first), 1); /* nothing was under way, so at once */
    assert_int_equal(first, 2);
    raft_log_on_durable(&log, id(2, 2));
    assert_int_equal(log.durable, 2);
    raft_log_release(&log);
}

/* An entry is written, cut before that is done, and comes back: what its first write reports must
 * not count for its second, with another entry on disk in between. */
static void after_a_cut_nothing_is_written_until_the_old_writes_are_reported(void **state)
{
    (void)state;
    struct raft_log log;
    raft_index first = 0;
    raft_log_init(&log, id(0, 0));
    add_all(&log, (const raft_term[]){1, 1, 1}, 3);
    (void)hand_out(&log, &first);

    raft_log_cut(&log, 2);
    add(&log, 2);
    assert_int_equal(hand_out(&log, &first), 0);
    raft_log_cut(&log, 2);
    add(&log, 1); /* 1/2 is back */

    raft_log_on_durable(&log, id(1, 2));
    assert_int_equal(log.durable, 1);
    assert_int_equal(hand_out(&log, &first), 0);
    raft_log_on_durable(&log, id(1, 3)); /* the last of the old ones */
    assert_int_equal(log.durable, 1);
    assert_int_equal(hand_out(&log, &first), 1);
    assert_int_equal(first, 2);
    raft_log_on_durable(&log, id(1, 2));
    assert_int_equal(log.durable, 2);
    raft_log_release(&log);
}

static void a_message_takes_at_least_one_entry_and_no_more_than_fit(void **state)
{
    (void)state;
    struct entry *large = entry_new(ENTRY_COMMAND, LIMIT_VALUE_BYTES);
    struct entry *small = entry_new(ENTRY_COMMAND, 8);
    struct entry *mixed[] = {large, large, small};
    struct entry *many[LIMIT_APPEND_ENTRIES + 1];
    for (size_t i = 0; i < ARRAY_COUNT(many); i++)
        many[i] = small;
    size_t bytes = 1;

    assert_int_equal(raft_entries_fit(mixed, 0, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(raft_entries_fit(mixed, 1, &bytes), 1);
    assert_int_equal(raft_entries_fit(mixed, 3, &bytes), 1); /* two and their heads are too much */
    assert_int_equal(bytes, entry_bytes(large));
    assert_int_equal(raft_entries_fit(mixed + 1, 2, &bytes), 2);
    assert_int_equal(raft_entries_fit(many, ARRAY_COUNT(many), &bytes), LIMIT_APPEND_ENTRIES);
    entry_unref(large);
    entry_unref(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_knows_only_what_it_follows),
        cmocka_unit_test(entries_are_where_they_were_put),
        cmocka_unit_test(terms_are_found_where_they_start_and_end),
        cmocka_unit_test(only_what_the_disk_has_may_be_evicted_and_no_more_than_asked),
        cmocka_unit_test(each_entry_is_handed_out_once),
        cmocka_unit_test(a_report_counts_only_for_the_entry_it_names),
        cmocka_unit_test(an_entry_not_handed_out_cannot_be_reported),
        cmocka_unit_test(a_cut_of_what_is_on_disk_takes_its_durability_along),
        cmocka_unit_test(after_a_cut_nothing_is_written_until_the_old_writes_are_reported),
        cmocka_unit_test(a_message_takes_at_least_one_entry_and_no_more_than_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
