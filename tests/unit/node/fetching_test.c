/* Which piece of a snapshot is asked of whom: with losses, doubles, new leaders and busy sources
 * the file comes together once, in order, and within the window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "node/fetching.h"

enum { PIECE = LIMIT_SNAPSHOT_CHUNK_BYTES, WINDOW = LIMIT_FETCH_WINDOW_BYTES };

static const struct entry_id AT = {.term = 3, .index = 1000};

static struct raft_offer offer_of(node_id from, struct entry_id last, uint64_t bytes)
{
    return (struct raft_offer){.from = from, .last = last, .bytes = bytes};
}

static struct fetching begun(uint64_t bytes)
{
    struct fetching fetching = {0};
    struct raft_offer offer = offer_of(1, AT, bytes);
    assert_int_equal(fetching_on_offer(&fetching, &offer, 1), FETCHING_START);
    return fetching;
}

/* Every piece is asked for, none has come. */
static struct fetching all_asked(uint64_t bytes)
{
    struct fetching fetching = begun(bytes);
    struct snapshot_fetch fetch;
    while (fetching_next(&fetching, 1, &fetch))
        continue;
    return fetching;
}

static struct snapshot_chunk chunk_of(const struct fetching *fetching, uint64_t offset,
                                      uint32_t count)
{
    static const uint8_t room[PIECE];
    return (struct snapshot_chunk){.number = 1,
                                   .snapshot = fetching->snapshot,
                                   .offset = offset,
                                   .state = CHUNK_HERE,
                                   .total = fetching->total,
                                   .bytes = bytes_of(room, count)};
}

static void pieces_are_asked_for_in_order_up_to_the_window(void **state)
{
    (void)state;
    struct fetching fetching = begun(4 * (uint64_t)WINDOW);
    struct snapshot_fetch fetch;
    uint64_t offset = 0, number = 0;

    while (fetching_next(&fetching, 1, &fetch)) {
        assert_int_equal(fetch.offset, offset);
        assert_true(fetch.number > number);
        number = fetch.number;
        offset += fetch.bytes_max;
    }

    assert_int_equal(offset, WINDOW);
    struct snapshot_chunk chunk = chunk_of(&fetching, 0, PIECE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &chunk, 2), FETCHING_TAKE);
    assert_true(fetching_next(&fetching, 2, &fetch));
    assert_int_equal(fetch.offset, WINDOW);
    assert_false(fetching_next(&fetching, 2, &fetch));
}

static void the_last_piece_is_only_as_long_as_what_is_left(void **state)
{
    (void)state;
    struct fetching fetching = begun(PIECE + 1);
    struct snapshot_fetch fetch;

    assert_true(fetching_next(&fetching, 1, &fetch));
    assert_int_equal(fetch.bytes_max, PIECE);
    assert_true(fetching_next(&fetching, 1, &fetch));
    assert_int_equal(fetch.bytes_max, 1);
    assert_false(fetching_next(&fetching, 1, &fetch));
}

static void a_piece_counts_once_and_only_in_its_place(void **state)
{
    (void)state;
    struct fetching fetching = all_asked(3 * PIECE);

    struct snapshot_chunk ahead = chunk_of(&fetching, PIECE, PIECE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &ahead, 2), FETCHING_IGNORE);
    struct snapshot_chunk first = chunk_of(&fetching, 0, PIECE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &first, 2), FETCHING_TAKE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &first, 2), FETCHING_IGNORE);
    struct snapshot_chunk other = chunk_of(&fetching, PIECE, PIECE);
    other.snapshot.term++;
    assert_int_equal(fetching_on_chunk(&fetching, 1, &other, 2), FETCHING_IGNORE);
    struct snapshot_chunk longer = chunk_of(&fetching, PIECE, PIECE);
    longer.total++;
    assert_int_equal(fetching_on_chunk(&fetching, 1, &longer, 2), FETCHING_IGNORE);
    struct snapshot_chunk beyond = chunk_of(&fetching, PIECE, PIECE);
    fetching.total = fetching.asked = 2 * PIECE - 1;
    beyond.total = fetching.total;
    assert_int_equal(fetching_on_chunk(&fetching, 1, &beyond, 2), FETCHING_IGNORE);
    assert_int_equal(fetching.received, PIECE);
}

static void silence_is_asked_again_from_where_it_began(void **state)
{
    (void)state;
    struct fetching fetching = all_asked(3 * PIECE);
    struct snapshot_fetch fetch;
    struct snapshot_chunk first = chunk_of(&fetching, 0, PIECE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &first, 5), FETCHING_TAKE);

    time_us deadline = fetching_deadline(&fetching);
    assert_int_equal(deadline, 5 + FETCHING_PATIENCE_US);
    assert_false(fetching_next(&fetching, deadline - 1, &fetch));
    assert_true(fetching_next(&fetching, deadline, &fetch));
    assert_int_equal(fetch.offset, PIECE);
}

static void a_broken_link_to_the_source_is_asked_again_at_once(void **state)
{
    (void)state;
    struct fetching fetching = all_asked(3 * PIECE);
    struct snapshot_fetch fetch;

    fetching_on_link(&fetching, 2); /* not the source */
    assert_false(fetching_next(&fetching, 2, &fetch));
    fetching_on_link(&fetching, 1);
    assert_true(fetching_next(&fetching, 2, &fetch));
    assert_int_equal(fetch.offset, 0);
}

static void a_new_leader_with_the_same_snapshot_goes_on_where_the_old_one_was(void **state)
{
    (void)state;
    struct fetching fetching = all_asked(3 * PIECE);
    struct snapshot_fetch fetch;
    struct snapshot_chunk first = chunk_of(&fetching, 0, PIECE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &first, 2), FETCHING_TAKE);

    struct raft_offer offer = offer_of(3, AT, 3 * PIECE);
    assert_int_equal(fetching_on_offer(&fetching, &offer, 3), FETCHING_IGNORE);
    assert_int_equal(fetching.source, 3);
    assert_true(fetching_next(&fetching, 3, &fetch));
    assert_int_equal(fetch.offset, PIECE);
}

static void another_snapshot_counts_only_when_the_present_one_has_dried_up(void **state)
{
    (void)state;
    struct fetching fetching = begun(3 * PIECE);
    struct raft_offer newer = offer_of(3, (struct entry_id){.term = 4, .index = 2000}, PIECE);

    assert_int_equal(fetching_on_offer(&fetching, &newer, FETCHING_STALE_US), FETCHING_IGNORE);
    assert_int_equal(fetching.source, 1);
    assert_int_equal(fetching_on_offer(&fetching, &newer, 1 + FETCHING_STALE_US), FETCHING_START);
    assert_int_equal(fetching.source, 3);
    assert_int_equal(fetching.snapshot.index, 2000);
    assert_int_equal(fetching.received, 0);
}

static void without_any_piece_it_is_abandoned_in_the_end(void **state)
{
    (void)state;
    struct fetching fetching = begun(3 * PIECE);
    struct fetching none = {0};
    struct snapshot_chunk first = chunk_of(&fetching, 0, PIECE);
    time_us end = 1 + (time_us)FETCHING_ABANDON_US;

    assert_false(fetching_is_abandoned(&none, 2 * end));
    assert_false(fetching_is_abandoned(&fetching, end - 1));
    assert_true(fetching_is_abandoned(&fetching, end));
    assert_true(fetching_deadline(&fetching) < end); /* so it is looked at in time */
    assert_int_equal(fetching_on_chunk(&fetching, 1, &first, end - 1), FETCHING_TAKE);
    assert_false(fetching_is_abandoned(&fetching, end));
    assert_true(fetching_is_abandoned(&fetching, 2 * end));
}

static void a_whole_one_is_never_given_up_for_another(void **state)
{
    (void)state;
    struct fetching fetching = begun(PIECE);
    struct snapshot_chunk all = chunk_of(&fetching, 0, PIECE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &all, 2), FETCHING_TAKE);
    assert_true(fetching_is_complete(&fetching));
    assert_false(fetching_is_abandoned(&fetching, 10 * (time_us)FETCHING_ABANDON_US));

    struct raft_offer newer = offer_of(3, (struct entry_id){.term = 4, .index = 2000}, PIECE);
    assert_int_equal(fetching_on_offer(&fetching, &newer, 10 * (time_us)FETCHING_STALE_US),
                     FETCHING_IGNORE);
    assert_int_equal(fetching_deadline(&fetching), TIME_NEVER);
}

static void a_busy_source_is_left_alone_for_a_moment(void **state)
{
    (void)state;
    struct fetching fetching = all_asked(3 * PIECE);
    struct snapshot_fetch fetch;
    struct snapshot_chunk busy = chunk_of(&fetching, 0, 0);
    busy.state = CHUNK_BUSY;

    assert_int_equal(fetching_on_chunk(&fetching, 1, &busy, 2), FETCHING_IGNORE);
    assert_false(fetching_next(&fetching, 1 + FETCHING_BUSY_US, &fetch));
    assert_int_equal(fetching_deadline(&fetching), 2 + FETCHING_BUSY_US);
    assert_true(fetching_next(&fetching, 2 + FETCHING_BUSY_US, &fetch));
    assert_int_equal(fetch.offset, 0);
}

static void a_source_that_has_it_no_more_ends_it_unless_it_was_another_one(void **state)
{
    (void)state;
    struct fetching fetching = begun(3 * PIECE);
    struct snapshot_chunk gone = chunk_of(&fetching, 0, 0);
    gone.state = CHUNK_GONE;

    assert_int_equal(fetching_on_chunk(&fetching, 2, &gone, 2), FETCHING_IGNORE);
    assert_int_equal(fetching_on_chunk(&fetching, 1, &gone, 2), FETCHING_DROP);
}

/* A link that loses, doubles and delays; sources that come and go. */
static void under_any_losses_the_file_comes_together_once_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        uint64_t total = 1 + prng_below(&prng, 30 * (uint64_t)PIECE);
        struct fetching fetching = begun(total);
        struct snapshot_chunk flying[64];
        size_t flying_count = 0;
        uint64_t taken = 0;
        time_us now = 1;

        for (int step = 0; step < 20000 && taken < total; step++) {
            struct snapshot_fetch fetch;
            now += prng_below(&prng, 40 * TIME_US_PER_MS);
            if (prng_below(&prng, 50) == 0) {
                struct raft_offer offer = offer_of(1 + (node_id)prng_below(&prng, 3), AT, total);
                assert_int_equal(fetching_on_offer(&fetching, &offer, now), FETCHING_IGNORE);
            }
            while (flying_count < 64 && fetching_next(&fetching, now, &fetch)) {
                assert_true(fetch.offset + fetch.bytes_max <= total);
                assert_true(fetch.offset + fetch.bytes_max <= taken + WINDOW + PIECE);
                if (prng_below(&prng, 10) != 0)
                    flying[flying_count++] = chunk_of(&fetching, fetch.offset, fetch.bytes_max);
            }
            if (flying_count == 0)
                continue;
            size_t at = prng_below(&prng, 8) == 0 ? (size_t)prng_below(&prng, flying_count) : 0;
            struct snapshot_chunk chunk = flying[at];
            if (fetching_on_chunk(&fetching, 1, &chunk, now) == FETCHING_TAKE) {
                if (chunk.offset != taken)
                    fail_msg("seed %llu: a piece out of place", (unsigned long long)seed);
                taken += chunk.bytes.count;
            }
            if (prng_below(&prng, 6) != 0) { /* else it comes once more */
                for (size_t i = at + 1; i < flying_count; i++)
                    flying[i - 1] = flying[i];
                flying_count--;
            }
        }

        if (taken != total || !fetching_is_complete(&fetching))
            fail_msg("seed %llu: stuck at %llu of %llu", (unsigned long long)seed,
                     (unsigned long long)taken, (unsigned long long)total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_asked_for_in_order_up_to_the_window),
        cmocka_unit_test(the_last_piece_is_only_as_long_as_what_is_left),
        cmocka_unit_test(a_piece_counts_once_and_only_in_its_place),
        cmocka_unit_test(silence_is_asked_again_from_where_it_began),
        cmocka_unit_test(a_broken_link_to_the_source_is_asked_again_at_once),
        cmocka_unit_test(a_new_leader_with_the_same_snapshot_goes_on_where_the_old_one_was),
        cmocka_unit_test(another_snapshot_counts_only_when_the_present_one_has_dried_up),
        cmocka_unit_test(without_any_piece_it_is_abandoned_in_the_end),
        cmocka_unit_test(a_whole_one_is_never_given_up_for_another),
        cmocka_unit_test(a_busy_source_is_left_alone_for_a_moment),
        cmocka_unit_test(a_source_that_has_it_no_more_ends_it_unless_it_was_another_one),
        cmocka_unit_test(under_any_losses_the_file_comes_together_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
