/* State format: the numbers that writing and reading the state share (docs/formats/state.md). */
#ifndef MINIKV_KV_STATE_FORMAT_H
#define MINIKV_KV_STATE_FORMAT_H

enum {
    STATE_VERSION = 1,
    STATE_HEAD_BYTES = 45, /* version to members_count */
    STATE_ITEM_BYTES = 40  /* of an item beside its key and its value */
};

#endif
