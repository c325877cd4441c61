/* Meta: what a data directory is: format version, cluster, node, and its own random identity.
 *
 * Written at bootstrap, and once more when the log is there; each time as temporary, synced,
 * renamed, directory synced. The identity tells a wiped disk from the one that voted before (FAULTS
 * M10).
 *
 * Format       docs/formats/meta.md */
#ifndef MINIKV_STORAGE_META_H
#define MINIKV_STORAGE_META_H

#include "env/env.h"
#include "types/member.h"

enum { META_FORMAT_VERSION = 1 };

struct meta {
    uint64_t cluster_id;
    uint64_t identity; /* random, of this directory; never 0 */
    node_id node;
    bool has_log;          /* its log has been made: from then on a missing log is lost data */
    struct config initial; /* the members at bootstrap, or none for a node that joins */
};

/* return   ST_OK; ST_NOT_FOUND: a fresh directory; ST_CORRUPT; ST_FORMAT with the version in
 *          `error`; ST_IO */
MUST_CHECK enum status meta_load(struct env *env, struct meta *out_meta, struct errtext *error);
MUST_CHECK enum status meta_save(struct env *env, const struct meta *meta, struct errtext *error);

void meta_encode(const struct meta *meta, struct buf *out);
MUST_CHECK enum status meta_decode(struct bytes in, struct meta *out_meta, struct errtext *error);

#endif
