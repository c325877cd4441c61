/* Page: memory that a node shares with the harness, and that outlives the node.
 *
 * The harness (tests/chaos/disk.py) makes the file, writes faults into its first part and reads
 * counters; what a power cut has to undo stands in the two arenas behind it (journal.h). All
 * numbers are little-endian, at the offsets that disk.py has, too. */
#ifndef MINIKV_CHAOS_PAGE_H
#define MINIKV_CHAOS_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_MAGIC 0x3153304148434b4dull

enum { PAGE_BYTES = 4096, ARENAS_COUNT = 2 };
#define ARENA_BYTES (256ull << 20) /* not touched, not used: the file is sparse */

struct chaos_page {
    uint64_t magic;
    /* Faults: what the node's next calls come to. */
    _Atomic int32_t sync_error; /* an errno, for so many syncs */
    _Atomic int32_t sync_errors_left;
    _Atomic int32_t write_error; /* the same of writes */
    _Atomic int32_t write_errors_left;
    _Atomic int32_t short_writes_left; /* of these writes only a part is done */
    _Atomic int32_t is_full;           /* no file is made, and none grows */
    _Atomic int32_t sync_delay_us;
    _Atomic int32_t is_lying;        /* a sync says that it was done, and was not */
    _Atomic int64_t clock_offset_us; /* of CLOCK_REALTIME */
    /* Counters. */
    _Atomic uint64_t writes_count;
    _Atomic uint64_t syncs_count;
    _Atomic uint64_t faults_count;     /* calls that came to something else than they should */
    _Atomic uint64_t unmodelled_count; /* calls that a power cut could not undo */
    /* The journal. */
    _Atomic uint64_t active;              /* which arena */
    _Atomic uint64_t tails[ARENAS_COUNT]; /* bytes of records in it */
};
_Static_assert(sizeof(struct chaos_page) <= PAGE_BYTES, "the page is one page");

/* NULL: nobody asked for faults, or not yet. */
extern struct chaos_page *chaos_page;
extern const char *chaos_data_dir;  /* without a slash at the end */
extern const char *chaos_attic_dir; /* what was replaced or unlinked is kept here */

/* One of the calls that are left to fail is this one. */
bool chaos_take_one(_Atomic int32_t *left);

#endif
