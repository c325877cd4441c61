#include "node/fetching.h"

static bool is_active(const struct fetching *fetching)
{
    return fetching->snapshot.index != 0;
}

static void ask_again(struct fetching *fetching)
{
    fetching->asked = fetching->received;
}

static void begin(struct fetching *fetching, const struct raft_offer *offer, time_us now)
{
    *fetching = (struct fetching){
        .snapshot = offer->last,
        .total = offer->bytes,
        .source = offer->from,
        .number_last = fetching->number_last,
        .progress_at = now,
        .asked_at = now,
    };
}

enum fetching_verdict fetching_on_offer(struct fetching *fetching, const struct raft_offer *offer,
                                        time_us now)
{
    REQUIRE(offer->last.index != 0 && offer->bytes != 0);
    bool is_same =
        entry_id_equal(fetching->snapshot, offer->last) && fetching->total == offer->bytes;
    if (is_same) {
        if (fetching->source != offer->from)
            ask_again(fetching);
        fetching->source = offer->from;
        return FETCHING_IGNORE;
    }
    if (is_active(fetching) &&
        (fetching_is_complete(fetching) || now < fetching->progress_at + FETCHING_STALE_US))
        return FETCHING_IGNORE;
    begin(fetching, offer, now);
    return FETCHING_START;
}

/* Pieces of one link come in the order they were asked for. One that is ahead has lost its
 * predecessor, one that is behind was asked for twice. */
static bool is_next(const struct fetching *fetching, const struct snapshot_chunk *chunk)
{
    return chunk->offset == fetching->received && chunk->total == fetching->total &&
           chunk->bytes.count > 0 && chunk->bytes.count <= fetching->total - fetching->received;
}

enum fetching_verdict fetching_on_chunk(struct fetching *fetching, node_id from,
                                        const struct snapshot_chunk *chunk, time_us now)
{
    if (!is_active(fetching) || !entry_id_equal(fetching->snapshot, chunk->snapshot))
        return FETCHING_IGNORE;
    switch (chunk->state) {
    case CHUNK_HERE:
        if (!is_next(fetching, chunk))
            return FETCHING_IGNORE;
        fetching->received += chunk->bytes.count;
        fetching->asked = MAX(fetching->asked, fetching->received);
        fetching->progress_at = fetching->asked_at = now;
        return FETCHING_TAKE;
    case CHUNK_GONE:
        if (from != fetching->source || fetching_is_complete(fetching))
            return FETCHING_IGNORE;
        return FETCHING_DROP;
    case CHUNK_BUSY:
        if (from == fetching->source)
            fetching_put_off(fetching, now);
        return FETCHING_IGNORE;
    }
    UNREACHABLE();
}

void fetching_on_link(struct fetching *fetching, node_id peer)
{
    if (is_active(fetching) && fetching->source == peer)
        ask_again(fetching);
}

void fetching_put_off(struct fetching *fetching, time_us now)
{
    ask_again(fetching);
    fetching->not_before = now + FETCHING_BUSY_US;
}

bool fetching_next(struct fetching *fetching, time_us now, struct snapshot_fetch *out_fetch)
{
    if (!is_active(fetching) || now < fetching->not_before)
        return false;
    if (now >= fetching->asked_at + FETCHING_PATIENCE_US)
        ask_again(fetching);
    uint64_t ahead = fetching->asked - fetching->received;
    if (fetching->asked == fetching->total || ahead >= LIMIT_FETCH_WINDOW_BYTES)
        return false;
    uint64_t left = fetching->total - fetching->asked;
    *out_fetch = (struct snapshot_fetch){
        .number = ++fetching->number_last,
        .snapshot = fetching->snapshot,
        .offset = fetching->asked,
        .bytes_max = (uint32_t)MIN(left, (uint64_t)LIMIT_SNAPSHOT_CHUNK_BYTES),
    };
    if (fetching->asked == fetching->received)
        fetching->asked_at = now;
    fetching->asked += out_fetch->bytes_max;
    return true;
}

bool fetching_is_complete(const struct fetching *fetching)
{
    return is_active(fetching) && fetching->received == fetching->total;
}

bool fetching_is_abandoned(const struct fetching *fetching, time_us now)
{
    return is_active(fetching) && !fetching_is_complete(fetching) &&
           now >= fetching->progress_at + FETCHING_ABANDON_US;
}

time_us fetching_deadline(const struct fetching *fetching)
{
    if (!is_active(fetching) || fetching_is_complete(fetching))
        return TIME_NEVER;
    bool is_asked = fetching->asked > fetching->received;
    return is_asked ? fetching->asked_at + FETCHING_PATIENCE_US : fetching->not_before;
}

void fetching_stop(struct fetching *fetching)
{
    *fetching = (struct fetching){.number_last = fetching->number_last};
}
