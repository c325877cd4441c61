/* Listing: what a few keys look like at a revision, and the events of one, as a number each, so
 * that what nodes show can be held against each other and against the model. */
#ifndef MINIKV_SIM_SWARM_LISTING_H
#define MINIKV_SIM_SWARM_LISTING_H

#include "kv/kv.h"

/* The keys that are in a listing begin with one of these; in order, none within another. */
enum { LISTING_PREFIXES = 4 };
extern const char *const listing_prefixes[LISTING_PREFIXES];

/* What no item has been added to. */
uint64_t listing_basis(void);
/* Of values only the front counts, which tells them apart: some are long. */
uint64_t listing_add(uint64_t listing, const struct kv_item *item);
/* The same of events: `nth` of its revision, from 1. */
uint64_t listing_add_event(uint64_t events, const struct kv_item *item, unsigned nth);
/* The place of such a number in a row by revision, which grows as needed and belongs to the caller;
 * 0 where nothing has been put yet. Valid until the next call for that row. */
uint64_t *listing_hash_at(uint64_t **row, size_t *capacity, uint64_t revision);

#endif
