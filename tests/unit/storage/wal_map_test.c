/* The map from index to place, against a list of all records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "storage/wal_map.h"

enum { RECORDS = 400, RECORD_BYTES = 64 * 1024 };

/* Record number n of the file lies at n * RECORD_BYTES; what is its index, and is it the newest? */
struct list_of_records {
    raft_index index[RECORDS];
    size_t count;
};

static size_t newest(const struct list_of_records *list, raft_index index)
{
    for (size_t i = list->count; i-- > 0;)
        if (list->index[i] == index)
            return i;
    return SIZE_MAX;
}

static void every_index_is_found_at_its_newest_record(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct prng prng;
        struct wal_map map;
        struct list_of_records list = {.count = 0};
        prng_init(&prng, seed);
        wal_map_init(&map);
        while (list.count < RECORDS) {
            /* given records that follow, or supersede */
            raft_index index = map.last + 1;
            if (map.last > 0 && prng_below(&prng, 10) == 0)
                index = 1 + prng_below(&prng, map.last);
            struct wal_place place = {.segment = 1, .frame_offset = list.count * RECORD_BYTES};
            bool is_break = index <= map.last;
            wal_map_cut(&map, index);
            wal_map_add(&map, index, 1, place, is_break);
            list.index[list.count++] = index;
            assert_int_equal(map.last, index);

            /* then from the point before an index, its newest record is that many records on */
            raft_index asked = 1 + prng_below(&prng, map.last);
            const struct wal_point *point, *next;
            wal_map_find(&map, asked, &point, &next);
            size_t record = point->place.frame_offset / RECORD_BYTES + (asked - point->index);
            assert_true(point->index <= asked);
            assert_true(next == NULL || asked < next->index);
            if (record != newest(&list, asked))
                fail_msg("seed %llu: index %llu", (unsigned long long)seed,
                         (unsigned long long)asked);
        }
        assert_true(map.points_count < RECORDS / 2);
        wal_map_release(&map);
    }
}

static void points_are_sparse_but_each_segment_has_one(void **state)
{
    struct wal_map map;
    wal_map_init(&map);
    for (raft_index index = 1; index <= 1000; index++) {
        struct wal_place place = {.segment = 1 + index / 500, .frame_offset = index % 500 * 4096};
        wal_map_add(&map, index, 1, place, false);
    }
    assert_int_equal(wal_map_first(&map), 1);
    assert_int_equal(map.points_count, 8 + 8 + 1);
    wal_map_release(&map);
}

static void a_cut_of_everything_leaves_an_empty_map(void **state)
{
    struct wal_map map;
    wal_map_init(&map);
    wal_map_add(&map, 5, 10, (struct wal_place){.segment = 1}, false);

    wal_map_cut(&map, 5);

    assert_int_equal(wal_map_first(&map), 0);
    assert_int_equal(map.last, 0);
    wal_map_add(&map, 5, 1, (struct wal_place){.segment = 1, .frame_offset = 8192}, true);
    assert_int_equal(wal_map_first(&map), 5);
    wal_map_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_found_at_its_newest_record),
        cmocka_unit_test(points_are_sparse_but_each_segment_has_one),
        cmocka_unit_test(a_cut_of_everything_leaves_an_empty_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
