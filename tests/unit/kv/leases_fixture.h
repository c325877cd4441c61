/* What the tests of the table of leases share. */
#ifndef MINIKV_TESTS_UNIT_KV_LEASES_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_LEASES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/prng.h"
#include "kv/leases_internal.h"

enum { FIXTURE_TTL_MS = 5000, FIXTURE_TTL_US = FIXTURE_TTL_MS * 1000 };

/* Granted at log time `stamp_us` under this id. */
static inline void fixture_grant(struct leases *leases, uint64_t lease, uint64_t stamp_us)
{
    uint64_t granted = 0;
    assert_int_equal(leases_grant(leases, lease, 1, FIXTURE_TTL_MS, stamp_us, &granted), ST_OK);
    assert_int_equal(granted, lease);
}

static inline struct kv_lease fixture_lease(const struct leases *leases, uint64_t lease)
{
    struct kv_lease found = {0};
    assert_true(leases_find(leases, lease, &found));
    return found;
}

/* The whole of one moment as bytes. */
static inline struct buf fixture_bytes(struct tree_view view)
{
    struct buf out;
    struct tree_cursor cursor;
    const struct tree_item *item;
    buf_init(&out, 64 * MIB);
    (void)tree_find(view, bytes_of(NULL, 0), &cursor);
    while ((item = tree_next(&cursor)) != NULL)
        lease_encode(item, &out);
    assert_false(out.is_full);
    return out;
}

/* A table of these bytes; what hangs on its leases is not in them. */
static inline struct leases *fixture_load(struct bytes bytes)
{
    struct leases *leases = leases_new();
    assert_int_equal(bytes.count % LEASE_ENCODED_BYTES, 0);
    for (size_t at = 0; at < bytes.count; at += LEASE_ENCODED_BYTES)
        assert_int_equal(leases_load(leases, bytes_of(bytes.data + at, LEASE_ENCODED_BYTES)),
                         ST_OK);
    return leases;
}

#endif
