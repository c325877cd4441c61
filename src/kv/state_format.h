/* State format: the numbers that writing and reading the state share (docs/formats/state.md). */
#ifndef MINIKV_KV_STATE_FORMAT_H
#define MINIKV_KV_STATE_FORMAT_H

enum {
    STATE_VERSION = 2,
    STATE_HEAD_BYTES = 57, /* version to members_count */
    STATE_MARK_BYTES = 16,
    STATE_ITEM_BYTES = 40 /* of an item beside its key and its value */
};

#endif
