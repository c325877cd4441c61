/* Fetching: which piece of an offered snapshot this node asks whom for. Decisions only; pure.
 *
 * All nodes make the same file of the same snapshot, so a piece is good whoever it comes from, and
 * the offset reached is all there is to remember. A piece that does not come, a link that breaks, a
 * leader that goes and a source that has thrown the file away are one case: ask again from there.
 *
 *      0 ……… received ……… asked ………………… total
 *      in the file | on its way | not asked for: at most LIMIT_FETCH_WINDOW_BYTES ahead
 *
 * Invariants   N11 received <= asked <= total; received only grows while the snapshot is the same
 */
#ifndef MINIKV_NODE_FETCHING_H
#define MINIKV_NODE_FETCHING_H

#include "raft/raft.h"
#include "wire/fetch.h"

enum {
    FETCHING_PATIENCE_US = 1000 * TIME_US_PER_MS,     /* without a piece: ask again */
    FETCHING_STALE_US = 3000 * TIME_US_PER_MS,        /* without a piece: take another offer */
    FETCHING_ABANDON_US = 30 * 1000 * TIME_US_PER_MS, /* without a piece: keep nothing of it */
    FETCHING_BUSY_US = 50 * TIME_US_PER_MS            /* a source that had no time is left alone */
};

struct fetching {
    struct entry_id snapshot; /* index 0: nothing is being fetched */
    uint64_t total;
    node_id source;
    uint64_t received, asked;
    uint64_t number_last;
    time_us progress_at; /* the last piece, or the beginning */
    time_us asked_at;    /* when it was last asked from `received` on */
    time_us not_before;
};

enum fetching_verdict {
    FETCHING_IGNORE, /* nothing to do */
    FETCHING_START,  /* on_offer: what was received before is void; a new file begins */
    FETCHING_TAKE,   /* on_chunk: these bytes come next */
    FETCHING_DROP    /* on_chunk: the source has it no more; wait for another offer */
};

/* An offer is repeated with each heartbeat. While pieces come, only the same snapshot counts. */
enum fetching_verdict fetching_on_offer(struct fetching *fetching, const struct raft_offer *offer,
                                        time_us now);
enum fetching_verdict fetching_on_chunk(struct fetching *fetching, node_id from,
                                        const struct snapshot_chunk *chunk, time_us now);
/* What was on its way may be lost. */
void fetching_on_link(struct fetching *fetching, node_id peer);
/* It could not be asked: in a moment, from `received` on. */
void fetching_put_off(struct fetching *fetching, time_us now);
/* The next piece to ask `source` for; false: none now. */
bool fetching_next(struct fetching *fetching, time_us now, struct snapshot_fetch *out_fetch);
bool fetching_is_complete(const struct fetching *fetching);
/* Nobody has sent anything for so long that what there is takes room for nothing. */
bool fetching_is_abandoned(const struct fetching *fetching, time_us now);
/* When fetching_next may have something again that no event announces. */
time_us fetching_deadline(const struct fetching *fetching);
void fetching_stop(struct fetching *fetching);

#endif
