/* The invariants of the table of leases, walked one by one (docs/invariants.md). */
#include "kv/leases_internal.h"

static uint64_t count_keys(const struct leases *leases, uint64_t lease)
{
    uint8_t room[LEASE_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    const struct tree_item *mark;
    struct bytes id = lease_key_key(lease, bytes_of(NULL, 0), room);
    uint64_t count = 0;
    (void)tree_find(tree_view(leases->by_key), id, &cursor);
    while ((mark = tree_next(&cursor)) != NULL && bytes_has_prefix(tree_item_key(mark), id)) {
        INVARIANT(tree_item_key(mark).count > id.count);
        count++;
    }
    return count;
}

static void check_lease(const struct leases *leases, const struct lease *lease)
{
    uint8_t room[LEASE_EXPIRY_BYTES];
    struct tree_cursor cursor;
    struct kv_lease content;
    bool exists = leases_find(leases, lease->lease, &content);
    /* K31: within the bounds, under its own id. */
    INVARIANT(exists);
    INVARIANT(lease_is_fine(&content));
    INVARIANT(bytes_equal(tree_item_key(&lease->tree), lease_id_key(lease->lease, room)));
    /* K32: it stands once where its expiry has it, and what hangs on it is counted. */
    INVARIANT(tree_find(tree_view(leases->by_expiry),
                        lease_expiry_key(lease->expires_us, lease->lease, room), &cursor) != NULL);
    INVARIANT(lease->keys_count == count_keys(leases, lease->lease));
    INVARIANT(lease->keys_count <= leases->keys_max);
    INVARIANT(lease->hash == lease_hash(lease));
}

void leases_check(const struct leases *leases)
{
    tree_check(leases->by_id);
    tree_check(leases->by_expiry);
    tree_check(leases->by_key);

    uint64_t keys_count = 0, hash = 0;
    struct tree_cursor cursor;
    const struct lease *lease;
    (void)tree_find(tree_view(leases->by_id), bytes_of(NULL, 0), &cursor);
    while ((lease = lease_of(tree_next(&cursor))) != NULL) {
        check_lease(leases, lease);
        keys_count += lease->keys_count;
        hash += lease->hash;
    }
    /* K32: and nothing else does. */
    INVARIANT(tree_view(leases->by_expiry).items_count == leases_count(leases));
    INVARIANT(tree_view(leases->by_key).items_count == keys_count);
    INVARIANT(leases_count(leases) <= leases->leases_max);
    INVARIANT(hash == leases->hash); /* K33 */
}
