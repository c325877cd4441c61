/* Serve: answers what other nodes fetch of snapshots, from the files as they stand.
 *
 *      on_fetch ──▶ waiting ──▶ bucket ──▶ file ──▶ send
 *                   bounded     paced     cached
 *
 * One piece in a turn of the loop, so that a transfer never holds up requests for longer than
 * reading and packing one piece takes; and no more bytes a second than the options allow, of all
 * transfers together. Nothing is promised: an answer that cannot be sent is dropped, and whoever
 * asked asks again. So it should not have more on its way than LIMIT_CHUNKS_BYTES hold.
 *
 * What is damaged is not sent: the answer is "gone" then, as for a file that there is no more.
 *
 * Ownership    owns the file it has open
 * Limits       LIMIT_FETCHES; beyond, the answer is "busy"
 * Calling      the loop's thread; `send` is called from serve_on_fetch and from a timer */
#ifndef MINIKV_NODE_SERVE_H
#define MINIKV_NODE_SERVE_H

#include "env/env.h"
#include "node/bucket.h"
#include "storage/snapfile.h"
#include "wire/fetch.h"

struct serve_options {
    uint64_t bytes_per_second; /* of files, before packing; 0: no bound */
    /* As peers_chunk; the bytes are borrowed for the call. */
    enum status (*send)(void *ctx, node_id to, const struct snapshot_chunk *chunk);
    /* The file of this snapshot is damaged, or cannot be read, or is not there. */
    void (*on_damaged)(void *ctx, struct entry_id last);
    void *ctx;
};

struct serve_fetch {
    node_id from;
    struct snapshot_fetch fetch;
};

struct serve {
    struct snapfile *file; /* owned: the one asked for last; NULL: none */
    uint8_t *piece;        /* owned; NULL until needed */
    struct entry_id last;  /* of `file` */
    struct bucket bucket;
    struct env_timer timer;                    /* for the next piece */
    struct serve_fetch waiting[LIMIT_FETCHES]; /* in the order they came */
    size_t waiting_count;
    uint64_t sent_bytes;   /* since serve_init, before packing */
    time_us complained_at; /* 0: never */

    struct env *env; /* borrowed */
    struct serve_options options;
};

void serve_init(struct serve *serve, struct env *env, const struct serve_options *options);
void serve_release(struct serve *serve);

/* One that repeats a fetch which still waits takes its place: it is answered once. */
void serve_on_fetch(struct serve *serve, node_id from, const struct snapshot_fetch *fetch);
/* The peer has a new link: nobody waits any longer for what was asked on the old one. */
void serve_forget(struct serve *serve, node_id from);
/* Snapshots older than index `keep_from` have been pruned, or made anew: gives up the file if it is
 * one, and its room on the disk. */
void serve_on_pruned(struct serve *serve, raft_index keep_from);

#endif
