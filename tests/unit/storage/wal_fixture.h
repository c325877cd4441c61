/* Wal fixture: one log for the tests of a file, which are about its segments by name. */
#ifndef MINIKV_TESTS_UNIT_STORAGE_WAL_FIXTURE_H
#define MINIKV_TESTS_UNIT_STORAGE_WAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/wal_rig.h"

#define SEGMENT_1 "wal/0000000000000001.log"
#define SEGMENT_2 "wal/0000000000000002.log"
#define SEGMENT_3 "wal/0000000000000003.log"

static struct wal_rig rig;

static inline void start(uint64_t seed)
{
    wal_rig_init(&rig, disk_env_new(seed));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
}

static inline void finish(void)
{
    wal_rig_release(&rig);
}

static inline void append(raft_term term, raft_index index, size_t count, size_t data_bytes)
{
    assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){term, index}, count, data_bytes),
                     ST_OK);
}

static inline void append_and_wait(raft_term term, raft_index index, size_t count,
                                   size_t data_bytes)
{
    append(term, index, count, data_bytes);
    assert_true(wal_rig_settle(&rig));
}

static inline void reopen(void)
{
    wal_rig_cut_power(&rig);
    enum status status = wal_rig_open(&rig);
    if (status != ST_OK)
        fail_msg("reopen: %s: %s", status_info(status)->name, rig.error.text);
}

static inline void assert_reads_back(void)
{
    struct prng prng;
    prng_init(&prng, 1);
    const char *wrong = wal_rig_compare(&rig, &prng);
    if (wrong != NULL)
        fail_msg("%s", wrong);
}

static inline struct wal_stats stats(void)
{
    struct wal_stats stats;
    wal_stats(rig.wal, &stats);
    return stats;
}

/* Entries of term 1 until there are this many segments. */
static inline void fill_segments(uint64_t segments_count)
{
    raft_index index = rig.last.index + 1;
    while (stats().segments_count < segments_count) {
        append_and_wait(1, index++, 1, 4000);
        disk_env_run(rig.env, 20000);
    }
}

#endif
