/* After every step: the events of a revision are the same on all nodes, whenever they look; they
 * go on without a gap from what the state still has, also behind a start and an installed snapshot.
 *
 * Of each revision one hash is kept, from who showed it first; a run has some thousands. In the end
 * they are what the log came to. */
#include "sim/swarm/listing.h"
#include "sim/swarm/model.h"
#include "sim/swarm/swarm.h"

static void violate(const struct site *site, uint64_t revision, const char *what)
{
    swarm_violate(site->swarm, VERDICT_SAFETY, "events", "n%u at revision %llu: %s", site->id,
                  (unsigned long long)revision, what);
}

static uint64_t *hash_of(struct swarm *swarm, uint64_t revision)
{
    return listing_hash_at(&swarm->changes, &swarm->changes_capacity, revision);
}

static bool fits_previous(const struct kv_event *event)
{
    const struct kv_item *item = &event->item, *previous = &event->previous;
    if (!event->has_previous)
        return true;
    bool is_next = item->version == 0 || item->version == previous->version + 1;
    return is_next && previous->mod_revision < item->mod_revision &&
           bytes_equal(previous->key, item->key);
}

static void end_revision(struct site *site, uint64_t revision, uint64_t hash)
{
    uint64_t *known = hash_of(site->swarm, revision);
    if (*known == 0)
        *known = hash;
    if (*known != hash)
        violate(site, revision, "tells of other events than another node");
    site->changes_seen = revision;
}

/* The events from `number` on are those of the revisions behind changes_seen, one after the other.
 */
static void look(struct site *site, const struct kv *kv, uint64_t number)
{
    uint64_t hash = listing_basis();
    unsigned nth = 0;
    for (; number < kv_events_end(kv) && !swarm_is_violated(site->swarm); number++) {
        struct kv_event event;
        uint64_t revision = site->changes_seen + 1;
        if (kv_event_at(kv, number, &event) != ST_OK) {
            violate(site, revision, "an event that is kept is gone");
            return;
        }
        if (event.item.mod_revision != revision || event.nth != ++nth)
            violate(site, revision, "an event is missing, or out of order");
        if (!fits_previous(&event))
            violate(site, revision, "an event does not follow the one before of its key");
        hash = listing_add_event(hash, &event.item, nth);
        if (!event.is_last)
            continue;
        end_revision(site, revision, hash);
        hash = listing_basis();
        nth = 0;
    }
    site->changes_number = number;
}

void changes_watch(struct site *site)
{
    const struct kv *kv = node_kv(site->node);
    struct kv_stats stats;
    uint64_t number;
    kv_stats(kv, &stats);
    bool is_another = site->changes_kv != kv; /* a start, or a snapshot: all that it has */
    uint64_t seen = is_another ? 1 : site->changes_seen;
    bool has_passed = stats.compacted > seen;
    site->changes_kv = kv;
    site->changes_seen = MAX(seen, stats.compacted);
    if (kv_events_find(kv, site->changes_seen + 1, &number) != ST_OK)
        violate(site, site->changes_seen + 1, "events that are not compacted are gone");
    else if (!is_another && !has_passed && number != site->changes_number)
        violate(site, site->changes_seen + 1, "its row of events has moved");
    else
        look(site, kv, number);
    if (site->changes_seen != stats.revision)
        violate(site, stats.revision, "events of the newest revision are missing");
}

void changes_judge(struct swarm *swarm, const struct model *model)
{
    for (uint64_t i = 2; i < swarm->changes_capacity && !swarm_is_violated(swarm); i++) {
        const struct model_revision *revision = model_find_revision(model, i);
        if (swarm->changes[i] != 0 && (revision == NULL || revision->events != swarm->changes[i]))
            swarm_violate(swarm, VERDICT_SAFETY, "events",
                          "what nodes tell of revision %llu is not what the log came to",
                          (unsigned long long)i);
    }
}
