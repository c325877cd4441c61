#include "kv/kv.h"

#include <xxhash.h>

#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_internal.h"

struct kv *kv_new(const struct kv_options *options)
{
    struct kv *kv = mem_alloc(sizeof *kv);
    kv->tree = tree_new();
    kv->sessions = sessions_new();
    kv->leases = leases_new();
    buf_init(&kv->results, KV_RESULTS_BYTES_MAX);
    kv->revision = KV_REVISION_FIRST;
    kv->state_bytes_max = options->state_bytes_max;
    if (kv->state_bytes_max == 0)
        kv->state_bytes_max = (uint64_t)LIMIT_STATE_BYTES_DEFAULT_MIB * MIB;
    past_init(&kv->past, options);
    directory_init(&kv->directory);
    return kv;
}

void kv_free(struct kv *kv)
{
    while (kv != NULL) {
        struct kv *next = kv->discarded;
        while (past_drain(kv, SIZE_MAX))
            continue;
        past_release(&kv->past);
        tree_free(kv->tree);
        sessions_free(kv->sessions);
        leases_free(kv->leases);
        buf_release(&kv->results);
        mem_free(kv);
        kv = next;
    }
}

void kv_discard(struct kv *kv, struct kv *gone)
{
    REQUIRE(kv != gone);
    struct kv *last = gone;
    while (last->discarded != NULL)
        last = last->discarded;
    last->discarded = kv->discarded;
    kv->discarded = gone;
}

/* Of what has been discarded; false: nothing is left. */
static bool drain_discarded(struct kv *kv, size_t objects_max)
{
    struct kv *gone = kv->discarded;
    if (gone == NULL)
        return false;
    if (past_drain(gone, objects_max) || tree_drain(gone->tree, objects_max) ||
        sessions_drain(gone->sessions, objects_max) || leases_drain(gone->leases, objects_max))
        return true;
    kv->discarded = gone->discarded;
    gone->discarded = NULL;
    kv_free(gone);
    return kv->discarded != NULL;
}

bool kv_collect(struct kv *kv, size_t objects_max)
{
    bool has_items = tree_collect(kv->tree, objects_max);
    bool has_sessions = sessions_collect(kv->sessions, objects_max);
    bool has_leases = leases_collect(kv->leases, objects_max);
    bool has_discarded = drain_discarded(kv, objects_max);
    return has_items || has_sessions || has_leases || has_discarded;
}

/* In a state that the caches hold, a search waits for nothing and the hint would only cost. */
static bool is_worth_a_hint(uint64_t items_count)
{
    enum { CACHED_ITEMS = 10000 };
    return items_count > CACHED_ITEMS;
}

void kv_prefetch(const struct kv *kv, const struct bytes *keys, size_t keys_count)
{
    if (!is_worth_a_hint(tree_view(kv->tree).items_count))
        return;
    for (size_t i = 0; i < keys_count; i += TREE_PREFETCH_KEYS)
        tree_prefetch(tree_view(kv->tree), keys + i,
                      MIN(keys_count - i, (size_t)TREE_PREFETCH_KEYS));
}

static void prefetch_sessions(const struct kv *kv, const struct bytes *commands,
                              size_t commands_count)
{
    struct sessions_stats stats;
    sessions_stats(kv->sessions, &stats);
    if (!is_worth_a_hint(stats.sessions_count))
        return;
    for (size_t at = 0; at < commands_count;) {
        struct client_identity identities[TREE_PREFETCH_KEYS];
        size_t count = 0;
        for (; at < commands_count && count < TREE_PREFETCH_KEYS; at++)
            count += command_peek_identity(commands[at], &identities[count]);
        sessions_prefetch(kv->sessions, identities, count);
    }
}

void kv_prefetch_commands(const struct kv *kv, const struct bytes *commands, size_t commands_count)
{
    prefetch_sessions(kv, commands, commands_count);
    if (!is_worth_a_hint(tree_view(kv->tree).items_count))
        return;
    for (size_t at = 0; at < commands_count;) {
        struct bytes keys[TREE_PREFETCH_KEYS];
        size_t keys_count = 0;
        for (; at < commands_count && keys_count < TREE_PREFETCH_KEYS; at++)
            keys[keys_count++] = command_peek_key(commands[at]);
        tree_prefetch(tree_view(kv->tree), keys, keys_count);
    }
}

void kv_stats(const struct kv *kv, struct kv_stats *out_stats)
{
    struct kv_lease first;
    bool has_lease = leases_first(kv->leases, &first);
    *out_stats =
        (struct kv_stats){.applied = kv->applied,
                          .revision = kv->revision,
                          .keys_count = tree_view(kv->tree).items_count - kv->past.deleted_count,
                          .state_bytes = kv->state_bytes,
                          .compacted = kv->past.compacted,
                          .past_events_count = events_count(&kv->past.events),
                          .past_bytes = kv->past.bytes,
                          .leases_count = leases_count(kv->leases),
                          .next_expiry_us = has_lease ? first.expires_us : UINT64_MAX,
                          .stamp_us = kv->stamp_us,
                          .history = kv->history};
}

const struct kv_member *kv_member(const struct kv *kv, node_id id)
{
    return directory_find(&kv->directory, id);
}

const struct config *kv_config(const struct kv *kv)
{
    return &kv->directory.config;
}

void kv_replace_members(struct kv *kv, const struct config *config)
{
    directory_init(&kv->directory);
    directory_set_config(&kv->directory, config);
    kv->history = 0;
}

uint64_t kv_digest(const struct kv *kv)
{
    uint8_t raw[80];
    store_u64(raw, kv->applied.term);
    store_u64(raw + 8, kv->applied.index);
    store_u64(raw + 16, kv->revision);
    store_u64(raw + 24, kv->stamp_us);
    store_u64(raw + 32, kv->items_hash);
    store_u64(raw + 40, kv->directory.hash);
    store_u64(raw + 48, sessions_hash(kv->sessions));
    store_u64(raw + 56, kv->history);
    store_u64(raw + 64, past_hash(&kv->past));
    store_u64(raw + 72, leases_hash(kv->leases));
    return XXH3_64bits(raw, sizeof raw);
}
