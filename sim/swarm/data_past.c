/* Listings of the past: at a revision that is kept, each node shows the same keys, whether it has
 * applied them itself, read them back at a start, or been given them in a snapshot; whatever was
 * compacted in between. In the end they are what the log came to at that revision. */
#include "sim/swarm/data.h"
#include "sim/swarm/listing.h"
#include "sim/swarm/model.h"

static void violate(const struct site *site, uint64_t revision, const char *what)
{
    swarm_violate(site->swarm, VERDICT_SAFETY, "past", "n%u at revision %llu: %s", site->id,
                  (unsigned long long)revision, what);
}

static uint64_t *listing_of(struct data *data, uint64_t revision)
{
    return listing_hash_at(&data->listings, &data->listings_capacity, revision);
}

static bool add_item(void *ctx, const struct kv_item *item)
{
    uint64_t *listing = ctx;
    *listing = listing_add(*listing, item);
    return true;
}

/* In pages, as long listings are made: so many looks at keys and their versions in each. */
static enum status list(const struct kv *kv, const char *prefix, uint64_t revision,
                        uint64_t looks_max, uint64_t *listing)
{
    struct kv_range range = {.prefix = bytes_of_text(prefix)};
    struct kv_looks looks;
    enum status status;
    do {
        looks = (struct kv_looks){.left = looks_max};
        status = kv_scan_at(kv, &range, revision, &looks, add_item, listing);
        range.after = looks.last;
    } while (status == ST_OK && looks.last.count > 0);
    return status;
}

static void compare_at(struct site *site, const struct kv *kv, uint64_t revision)
{
    uint64_t listing = listing_basis(), *known = listing_of(site->swarm->data, revision);
    uint64_t looks_max = 1 + site->applied_seen % 29;
    for (size_t i = 0; i < LISTING_PREFIXES; i++) {
        if (list(kv, listing_prefixes[i], revision, looks_max, &listing) != ST_OK) {
            violate(site, revision, "a revision that is kept cannot be read");
            return;
        }
    }
    if (*known == 0)
        *known = listing;
    if (*known != listing)
        violate(site, revision, "lists other keys than another node, or than it did before");
}

static void expect_refusal(struct site *site, const struct kv *kv, uint64_t revision,
                           enum status wanted)
{
    struct kv_item item;
    if (kv_get_at(kv, BYTES_LITERAL("pair-a"), revision, &item) != wanted)
        violate(site, revision, "what is not there can be read");
}

/* The present, and some revision that is kept, by turns, without any generator. */
void data_watch_past(struct site *site, const struct kv *kv)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    uint64_t back = (site->applied_seen * odd >> 32) % (stats.revision - stats.compacted + 1);
    compare_at(site, kv, stats.revision);
    compare_at(site, kv, stats.revision - back);
    expect_refusal(site, kv, stats.revision + 1, ST_REVISION_FUTURE);
    if (stats.compacted > 1)
        expect_refusal(site, kv, stats.compacted - 1, ST_COMPACTED);
}

void data_judge_past(struct data *data, const struct model *model)
{
    for (uint64_t i = 2; i < data->listings_capacity && !swarm_is_violated(data->swarm); i++) {
        const struct model_revision *revision = model_find_revision(model, i);
        if (data->listings[i] != 0 && (revision == NULL || revision->listing != data->listings[i]))
            swarm_violate(data->swarm, VERDICT_SAFETY, "past",
                          "what nodes list at revision %llu is not what the log came to",
                          (unsigned long long)i);
    }
}
