/* The invariants of the state, walked item by item (docs/invariants.md). */
#include "kv/kv_internal.h"

static void check_item(const struct kv *kv, const struct item *item)
{
    /* K2: creation comes first, each version has a revision of its own, none is to come. */
    INVARIANT(item->create_revision > KV_REVISION_FIRST);
    INVARIANT(item->create_revision <= item->mod_revision);
    INVARIANT(item->mod_revision <= kv->revision);
    INVARIANT(item->version >= 1);
    INVARIANT(item->version - 1 <= item->mod_revision - item->create_revision);
    INVARIANT(IMPLIES(item->version == 1, item->mod_revision == item->create_revision));
    /* K3: within the limits. */
    INVARIANT(item->tree.key_bytes >= 1);
    INVARIANT(item->tree.key_bytes <= LIMIT_KEY_BYTES);
    INVARIANT(item->value_bytes <= LIMIT_VALUE_BYTES);
    INVARIANT(item->hash == item_hash(item));
}

static void check_directory(const struct directory *directory)
{
    INVARIANT(directory->config.members_count <= LIMIT_MEMBERS);
    for (uint32_t i = 0; i < directory->config.members_count; i++) {
        INVARIANT(directory->members[i].member.id == directory->config.members[i].id);
        INVARIANT(i == 0 || directory->config.members[i - 1].id < directory->config.members[i].id);
    }
    INVARIANT(directory->hash == directory_hash(directory));
}

void kv_check(const struct kv *kv)
{
    tree_check(kv->tree);

    uint64_t items_hash = 0;
    uint64_t state_bytes = 0;
    struct tree_cursor cursor;
    const struct item *item;
    (void)tree_find(tree_view(kv->tree), bytes_of(NULL, 0), &cursor);
    while ((item = item_of(tree_next(&cursor))) != NULL) {
        check_item(kv, item);
        items_hash += item->hash;
        state_bytes += item_state_bytes(item->tree.key_bytes, item->value_bytes);
    }
    /* K4, K7: the sums kept with each change are those of the whole. */
    INVARIANT(items_hash == kv->items_hash);
    INVARIANT(state_bytes == kv->state_bytes);
    /* K1: each change was an entry of its own. */
    INVARIANT(kv->revision >= KV_REVISION_FIRST);
    INVARIANT(kv->revision - KV_REVISION_FIRST <= kv->applied.index);
    check_directory(&kv->directory);
    sessions_check(kv->sessions);
}
