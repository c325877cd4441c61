/* The invariants of the state, walked item by item (docs/invariants.md). */
#include "kv/kv_internal.h"

/* What a walk over all versions comes to. */
struct sums {
    uint64_t items_hash;
    uint64_t state_bytes;
    uint64_t past_bytes;
    uint64_t versions_count;
    uint64_t deleted_count;
    uint64_t attached_count;
    uint64_t events_count;
    uint64_t events_sum; /* of their addresses */
};

/* Where so many steps by `near` lead; NULL: there it is compacted. */
static const struct item *walk_near(const struct item_milestone *from, uint64_t steps_count,
                                    uint64_t compacted)
{
    const struct item_milestone *milestone = from;
    for (; steps_count > 0; steps_count--) {
        if (milestone->near.revision <= compacted)
            return NULL;
        milestone = item_milestone(milestone->near.to);
        INVARIANT(milestone != NULL);
    }
    return &milestone->whole.item;
}

/* K43: what is compacted is not looked at. */
static void check_steps(const struct item *item, uint64_t compacted)
{
    const struct item_milestone *milestone = item_milestone(item);
    const struct item *older = item_older(item, compacted);
    INVARIANT(IMPLIES(milestone != NULL, item_steps(item) == 0));
    if (older == NULL)
        return;
    INVARIANT(item_steps(item) == (item_steps(older) + 1) % ITEM_MILESTONE_STEPS);
    INVARIANT((item_steps(item) == 0) == (milestone != NULL));
    if (milestone == NULL || milestone->near.revision <= compacted)
        return;
    for (int i = 1; i < ITEM_MILESTONE_STEPS; i++)
        older = item_older(older, compacted);
    INVARIANT(older == milestone->near.to);
    INVARIANT(older->mod_revision == milestone->near.revision);
    if (milestone->far.revision <= compacted)
        return;
    older = walk_near(milestone, milestone->far_count, compacted);
    INVARIANT(older == milestone->far.to);
    INVARIANT(older->mod_revision == milestone->far.revision);
}

/* K2, K3, K40: a version, and what hangs on it. */
static void check_version(const struct kv *kv, const struct item *item, struct sums *sums)
{
    struct kv_item content = item_content(item);
    const struct item *older = item_older(item, kv->past.compacted);
    INVARIANT(content.key.count >= 1);
    INVARIANT(content.key.count <= LIMIT_KEY_BYTES);
    INVARIANT(content.value.count <= LIMIT_VALUE_BYTES);
    INVARIANT(past_is_version(kv, older, &content));
    INVARIANT(older == NULL || bytes_equal(item_key(older), content.key));
    check_steps(item, kv->past.compacted);
    sums->items_hash += item_hash(item);
    sums->versions_count++;
    sums->past_bytes += item_state_bytes(content.key.count, content.value.count);
    if (item->mod_revision > kv->past.compacted) {
        sums->events_count++;
        sums->events_sum += (uintptr_t)item;
    }
}

/* K30, K40: the newest version of a key. */
static void check_newest(const struct kv *kv, const struct item *item, struct sums *sums)
{
    uint64_t lease = item_lease(item);
    struct bytes key = item_key(item), attached;
    if (item_is_deleted(item)) {
        INVARIANT(item->mod_revision > kv->past.compacted);
        sums->deleted_count++;
        return;
    }
    uint64_t bytes = item_state_bytes(item->tree.key_bytes, item_value_bytes(item));
    sums->state_bytes += bytes;
    sums->past_bytes -= bytes;
    if (lease == 0)
        return;
    sums->attached_count++;
    INVARIANT(leases_key(kv->leases, lease, key, &attached));
    INVARIANT(bytes_equal(attached, key));
}

/* K41: the row has all versions above what is compacted, in their order, each revision. */
static void check_events(const struct kv *kv, const struct sums *sums)
{
    const struct events *events = &kv->past.events;
    uint64_t revision = kv->past.compacted;
    uint64_t sum = 0;
    INVARIANT(events_count(events) == sums->events_count);
    for (uint64_t number = events->first; number < events->end; number++) {
        const struct item *item = events_at(events, number);
        if (item->mod_revision == revision)
            INVARIANT(number > events->first &&
                      bytes_compare(item_key(events_at(events, number - 1)), item_key(item)) < 0);
        else
            INVARIANT(item->mod_revision == revision + 1);
        revision = item->mod_revision;
        sum += (uintptr_t)item;
    }
    INVARIANT(revision == kv->revision);
    INVARIANT(sum == sums->events_sum);
}

/* K42. */
static void check_marks(const struct kv *kv)
{
    struct past past = kv->past;
    INVARIANT(past.compacted >= KV_REVISION_FIRST);
    INVARIANT(past.marks_count <= PAST_MARKS_MAX);
    past.marks_count = 0;
    for (size_t i = 0; i < kv->past.marks_count; i++) {
        INVARIANT(past_mark_fits(&past, &kv->past.marks[i]));
        past.marks_count++;
    }
    if (past.marks_count != 0) {
        INVARIANT(past.marks[past.marks_count - 1].stamp_us <= kv->stamp_us);
        INVARIANT(past.marks[past.marks_count - 1].revision <= kv->revision);
    }
}

static bool count_lease(void *ctx, const struct kv_lease *lease)
{
    uint64_t *keys_count = ctx;
    *keys_count += lease->keys_count;
    return true;
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

    struct sums sums = {0};
    struct tree_cursor cursor;
    const struct item *newest;
    (void)tree_find(tree_view(kv->tree), bytes_of(NULL, 0), &cursor);
    while ((newest = item_of(tree_next(&cursor))) != NULL) {
        check_newest(kv, newest, &sums);
        for (const struct item *item = newest; item != NULL;
             item = item_older(item, kv->past.compacted))
            check_version(kv, item, &sums);
    }
    /* K4, K7, K41: the sums kept with each change are those of the whole. */
    INVARIANT(sums.items_hash == kv->items_hash);
    INVARIANT(sums.state_bytes == kv->state_bytes);
    INVARIANT(sums.past_bytes == kv->past.bytes);
    INVARIANT(sums.versions_count == kv->past.versions_count);
    INVARIANT(sums.deleted_count == kv->past.deleted_count);
    check_events(kv, &sums);
    check_marks(kv);
    /* K30: what hangs on a lease are the keys that say so. */
    uint64_t attached_count = 0;
    leases_check(kv->leases);
    leases_scan(kv->leases, 0, count_lease, &attached_count);
    INVARIANT(attached_count == sums.attached_count);
    /* K1: each change was an entry of its own. */
    INVARIANT(kv->revision >= KV_REVISION_FIRST);
    INVARIANT(kv->revision - KV_REVISION_FIRST <= kv->applied.index);
    check_directory(&kv->directory);
    sessions_check(kv->sessions);
}
