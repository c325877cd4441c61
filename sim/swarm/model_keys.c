/* Keys, the leases that they hang on, and what each revision brought. */
#include "base/mem.h"
#include "kv/kv.h"
#include "sim/swarm/listing.h"
#include "sim/swarm/model_internal.h"

/* ---- keys ---- */

/* Where it stands, or would. */
static size_t place_of(const struct model *model, struct bytes key)
{
    size_t low = 0, high = model->keys_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(model->keys[model->order[middle]].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct bytes copy_of(struct bytes bytes)
{
    uint8_t *copy = mem_alloc_raw(bytes.count + 1);
    if (bytes.count > 0)
        memcpy(copy, bytes.data, bytes.count);
    return bytes_of(copy, bytes.count);
}

struct model_key *model_key_of(struct model *model, struct bytes key)
{
    size_t at = table_find(&model->key_names, key, SIZE_MAX);
    if (at != SIZE_MAX)
        return &model->keys[at];
    size_t place = place_of(model, key), count = model->keys_count;
    table_add(&model->key_names, key, count);
    (void)model_append((void **)&model->order, &count, sizeof model->order[0]);
    memmove(&model->order[place + 1], &model->order[place],
            (model->keys_count - place) * sizeof model->order[0]);
    model->order[place] = model->keys_count;
    struct model_key *added =
        model_append((void **)&model->keys, &model->keys_count, sizeof model->keys[0]);
    added->key = copy_of(key);
    return added;
}

const struct model_key *model_find_key(const struct model *model, struct bytes key)
{
    size_t at = table_find(&model->key_names, key, SIZE_MAX);
    return at != SIZE_MAX && model->keys[at].is_there ? &model->keys[at] : NULL;
}

static bool is_in(const struct kv_range *range, struct bytes key)
{
    bool is_before_end = range->end.count == 0 || bytes_compare(key, range->end) < 0;
    return bytes_has_prefix(key, range->prefix) && bytes_compare(key, range->start) >= 0 &&
           is_before_end;
}

size_t model_next_in(const struct model *model, const struct kv_range *range, size_t at)
{
    for (at = MAX(at, place_of(model, range->prefix)); at < model->keys_count; at++) {
        const struct model_key *key = &model->keys[model->order[at]];
        if (!bytes_has_prefix(key->key, range->prefix))
            return model->keys_count;
        if (key->is_there && is_in(range, key->key))
            return at;
    }
    return at;
}

static void touch(struct model *model, const struct model_key *key, uint64_t revision)
{
    size_t *place = model_append((void **)&model->touched, &model->touched_count, sizeof *place);
    *place = (size_t)(key - model->keys);
    model->revision = revision;
}

void model_set_value(struct model *model, struct model_key *key, struct bytes value, uint64_t lease,
                     uint64_t revision)
{
    struct bytes copy = copy_of(value);
    mem_free((void *)key->value.data);
    model->keys_there_count += !key->is_there;
    *key = (struct model_key){.is_there = true,
                              .key = key->key,
                              .value = copy,
                              .create_revision = key->is_there ? key->create_revision : revision,
                              .mod_revision = revision,
                              .version = key->version + 1,
                              .lease = lease};
    touch(model, key, revision);
}

bool model_delete_key(struct model *model, struct model_key *key, uint64_t revision)
{
    if (!key->is_there)
        return false;
    model->keys_there_count--;
    key->is_there = false;
    key->version = key->lease = 0;
    touch(model, key, revision);
    return true;
}

/* ---- leases ---- */

static struct model_lease *find_lease(const struct model *model, uint64_t lease)
{
    for (size_t i = 0; i < model->leases_count; i++)
        if (model->leases[i].lease == lease && model->leases[i].is_there)
            return &model->leases[i];
    return NULL;
}

bool model_has_lease(const struct model *model, uint64_t lease)
{
    return lease == 0 || find_lease(model, lease) != NULL;
}

static void end_lease(struct model *model, struct model_lease *lease, uint64_t revision)
{
    lease->is_there = false;
    for (size_t i = 0; i < model->keys_count; i++)
        if (model->keys[i].lease == lease->lease)
            (void)model_delete_key(model, &model->keys[i], revision);
}

void model_revoke(struct model *model, uint64_t lease)
{
    struct model_lease *found = find_lease(model, lease);
    if (found != NULL)
        end_lease(model, found, model->revision + 1);
}

void model_renew(struct model *model, struct bytes leases)
{
    struct cursor in = cursor_of(leases);
    model->renewing_count++;
    while (!cursor_is_done(&in) && !in.is_short) {
        struct model_lease *lease = find_lease(model, cursor_u64(&in));
        model->renewals_count++;
        if (lease != NULL)
            lease->expires_us = MAX(lease->expires_us, model->stamp_us + lease->ttl_us);
    }
}

void model_end_leases(struct model *model, uint64_t cutoff_us)
{
    uint64_t revision = model->revision + 1;
    for (size_t i = 0; i < model->leases_count; i++)
        if (model->leases[i].is_there && model->leases[i].expires_us <= cutoff_us)
            end_lease(model, &model->leases[i], revision);
}

void model_grant(struct model *model, const struct command *command, raft_index index)
{
    uint64_t ttl_us = command->ttl_ms * TIME_US_PER_MS;
    INVARIANT(command->lease == 0); /* no client of this model chooses one */
    struct model_lease *lease =
        model_append((void **)&model->leases, &model->leases_count, sizeof *lease);
    *lease = (struct model_lease){index, ttl_us, model->stamp_us + ttl_us, true};
}

/* ---- what a revision brought ---- */

static struct kv_item item_of(const struct model_key *key)
{
    if (!key->is_there) /* its deletion */
        return (struct kv_item){.key = key->key};
    return (struct kv_item){.key = key->key,
                            .value = key->value,
                            .create_revision = key->create_revision,
                            .mod_revision = key->mod_revision,
                            .version = key->version,
                            .lease = key->lease};
}

static bool is_before(const struct model *model, size_t a, size_t b)
{
    return bytes_compare(model->keys[a].key, model->keys[b].key) < 0;
}

/* In the order of keys. */
static uint64_t events_of(struct model *model)
{
    uint64_t events = listing_basis();
    for (size_t i = 0; i < model->touched_count; i++)
        for (size_t k = i; k > 0 && is_before(model, model->touched[k], model->touched[k - 1]);
             k--) {
            size_t place = model->touched[k];
            model->touched[k] = model->touched[k - 1];
            model->touched[k - 1] = place;
        }
    for (size_t i = 0; i < model->touched_count; i++) {
        struct model_key *key = &model->keys[model->touched[i]];
        struct kv_item item = item_of(key);
        item.mod_revision = model->revision;
        events = listing_add_event(events, &item, (unsigned)i + 1);
    }
    return events;
}

static uint64_t listing_of(const struct model *model)
{
    uint64_t listing = listing_basis();
    for (size_t i = 0; i < LISTING_PREFIXES; i++) {
        struct kv_range range = {.prefix = bytes_of_text(listing_prefixes[i])};
        for (size_t at = model_next_in(model, &range, 0); at < model->keys_count;
             at = model_next_in(model, &range, at + 1)) {
            struct kv_item item = item_of(&model->keys[model->order[at]]);
            listing = listing_add(listing, &item);
        }
    }
    return listing;
}

static struct model_revision *revision_of(struct model *model, uint64_t revision)
{
    while (model->revisions_count <= revision)
        (void)model_append((void **)&model->revisions, &model->revisions_count,
                           sizeof model->revisions[0]);
    return &model->revisions[revision];
}

void model_note_results(struct model *model, struct bytes results)
{
    revision_of(model, model->revision)->results = copy_of(results);
}

void model_end_command(struct model *model, uint64_t revision_before)
{
    if (model->revision == revision_before)
        return;
    INVARIANT(model->revision == revision_before + 1);
    struct model_revision *revision = revision_of(model, model->revision);
    revision->events = events_of(model);
    revision->listing = listing_of(model);
    model->touched_count = 0;
}

const struct model_revision *model_find_revision(const struct model *model, uint64_t revision)
{
    return revision < model->revisions_count ? &model->revisions[revision] : NULL;
}
