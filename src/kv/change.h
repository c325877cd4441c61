/* Change: what one command does to keys. All of it has one revision, and a key is changed at most
 * once in it.
 *
 *      change_begin ─▶ change_put, change_delete … ─▶ change_end
 *
 * Nothing in between can fail: whoever makes the change has looked at all that could speak against
 * it before (change_room, leases, keys named twice). change_end counts the revision if there was a
 * change, puts the events of it in the order of their keys, and compacts what is beyond the bounds
 * of the past.
 *
 * Reading in between (kv_get, kv_scan) sees what was changed already. */
#ifndef MINIKV_KV_CHANGE_H
#define MINIKV_KV_CHANGE_H

#include "kv/item.h"

struct change {
    struct kv *kv;
    uint64_t revision; /* of all that is changed in it */
    uint64_t count;    /* keys changed so far */
};

void change_begin(struct change *change, struct kv *kv);
/* Makes `key` have this value and lease, at the revision of the change. The lease exists, or is 0.
 * Gives the new item. */
const struct item *change_put(struct change *change, struct bytes key, struct bytes value,
                              uint64_t lease);
/* False: there is no such key. */
bool change_delete(struct change *change, struct bytes key);
/* The same where the search has been done: `newest` is what change_seek gave, with nothing changed
 * since. Of a deletion it exists. */
const struct item *change_put_at(struct change *change, struct tree_cursor *cursor,
                                 const struct item *newest, struct bytes key, struct bytes value,
                                 uint64_t lease);
void change_delete_at(struct change *change, struct tree_cursor *cursor, const struct item *newest);
/* True: the revision grew. */
bool change_end(struct change *change);

/* The newest version of `key`, also when that says that it is deleted; NULL: there is none. */
const struct item *change_seek(const struct kv *kv, struct bytes key,
                               struct tree_cursor *out_cursor);
/* The live item with `key`, or NULL. */
const struct item *change_find(const struct kv *kv, struct bytes key);
/* May the state come to count that many bytes more? What does not grow it is always let in. */
bool change_has_room(const struct kv *kv, uint64_t more_bytes);
/* What a put of these makes the state count more, as it is now; 0 when it shrinks. */
uint64_t change_growth(const struct kv *kv, struct bytes key, size_t value_bytes);
/* The same of a key whose newest version is at hand. */
uint64_t change_growth_at(const struct item *newest, struct bytes key, size_t value_bytes);

#endif
