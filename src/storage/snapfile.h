/* Snapfile: a snapshot of the state in a file of its own, "snap/<index>-<term>.snap".
 *
 *      writing     content is pulled in paced pieces ─┐
 *      receiving   pieces of such a file are put ─────┴→ .tmp, .part → sync → rename → sync names
 *      loading     the newest whole one, every byte checked
 *      serving     bytes of a file as it stands, each part checked
 *
 * The file says nothing about the node that wrote it: the same content at the same index gives the
 * same bytes everywhere. So one node may go on with a transfer that another began.
 *
 * Failing to make one is no fatal error: what there is of it is removed and the caller told, who
 * may try again later. A file named .snap is whole and durable, or the disk has damaged it.
 *
 * Ownership    writers and receivers own their files, and outlive their end by a write under way
 * Calling      the loop's thread; nothing is called back from inside the call that starts it
 * Format       docs/formats/snapshot.md */
#ifndef MINIKV_STORAGE_SNAPFILE_H
#define MINIKV_STORAGE_SNAPFILE_H

#include "base/buf.h"
#include "base/mem.h"
#include "env/env.h"
#include "types/entry.h"
#include "types/ids.h"

#define SNAPFILE_DIRECTORY "snap"

struct snapshot_info {
    struct entry_id last; /* the state is that after this entry */
    uint64_t bytes;       /* of the file */
};

/* ---- writing ---- */

struct snapfile_options {
    uint64_t cluster_id;
    struct entry_id last;
    uint64_t bytes_per_second; /* 0: as fast as the disk takes it */
    uint32_t block_bytes;      /* of content; 0: LIMIT_SNAPSHOT_BLOCK_BYTES. Equal on all nodes */
    bool leaves_cache;         /* the file is not to stay in the page cache */
};

struct snapfile_writer;

/* Pulls the content and writes it, on the background lane.
 *
 * read      appends the next piece, at least a byte and about `bytes_max`; false: that was all
 * on_done   once: ST_OK and the info once the file is durable under its name; else ST_IO,
 *           ST_NO_SPACE, and nothing is left of it. The writer is gone after the call
 * return    borrowed until on_done or snapfile_write_cancel */
struct snapfile_writer *snapfile_write_start(
    struct env *env, const struct snapfile_options *options,
    bool (*read)(void *ctx, size_t bytes_max, struct buf *out),
    void (*on_done)(void *ctx, enum status status, const struct snapshot_info *info), void *ctx);
/* No more callbacks; what there is of the file is removed. NULL is a no-op. */
void snapfile_write_cancel(struct snapfile_writer *writer);
/* Bytes of the file so far. */
uint64_t snapfile_write_progress(const struct snapfile_writer *writer);

/* ---- loading ---- */

struct snapfile_sink {
    /* A file is being read. What an earlier one gave counts for nothing: it was damaged. */
    void (*begin)(void *ctx, struct entry_id last);
    /* Content in order, in pieces of a block, each checked; an error makes the file a damaged one.
     * Of the whole it is known to be right only when the call that reads returns ST_OK. */
    enum status (*feed)(void *ctx, struct bytes content);
    /* This file is passed over; the text names it, and the offset. May be NULL. */
    void (*on_damaged)(void *ctx, const char *text);
    /* After `begin`: memory that the content to come will most likely fill, to be made ready by
     * the way. May be NULL. */
    struct mem_room (*room)(void *ctx);
    void *ctx;
};

/* Reads the newest whole snapshot. Blocks. What it finds survives a power cut.
 *
 * return   ST_OK and `out_info`; ST_NOT_FOUND: there is none at all; ST_CORRUPT or ST_IO: there are
 *          some, but none whole; ST_FORMAT: another version or another cluster */
MUST_CHECK enum status snapfile_load_newest(struct env *env, uint64_t cluster_id,
                                            const struct snapfile_sink *sink,
                                            struct snapshot_info *out_info, struct errtext *error);
/* The same of the first whole one of these, in this order; nothing on the disk is made to last. */
MUST_CHECK enum status snapfile_load_first(struct env *env, uint64_t cluster_id,
                                           const struct snapshot_info *infos, size_t infos_count,
                                           const struct snapfile_sink *sink,
                                           struct snapshot_info *out_info, struct errtext *error);
/* The names of those there are, the newest first; how many there are is in `out_count`, of which at
 * most `infos_max` are in `out_infos`. What is in them is not looked at. */
MUST_CHECK enum status snapfile_list(struct env *env, struct snapshot_info *out_infos,
                                     size_t infos_max, size_t *out_count);

/* ---- serving ---- */

struct snapfile;

/* ST_OK; ST_NOT_FOUND; ST_IO. Stays readable when the file is pruned meanwhile. */
MUST_CHECK enum status snapfile_open(struct env *env, struct entry_id last,
                                     struct snapfile **out_file, struct errtext *error);
uint64_t snapfile_bytes(const struct snapfile *file);
/* Fewer bytes only at the end. Blocks for as long as a read of that size takes, or of a block.
 *
 * return   ST_OK; ST_CORRUPT: a part that these bytes are of is damaged; ST_IO */
MUST_CHECK enum status snapfile_read(struct snapfile *file, uint64_t offset, void *out,
                                     size_t count, size_t *out_count);
void snapfile_close(struct snapfile *file); /* NULL is a no-op */

/* ---- receiving ---- */

struct snapfile_receiver;

/* For a file of `info.bytes` bytes. `feed` is that of a sink.
 *
 * return   ST_OK; ST_IO, ST_NO_SPACE */
MUST_CHECK enum status snapfile_receiver_new(struct env *env, uint64_t cluster_id,
                                             const struct snapshot_info *info,
                                             enum status (*feed)(void *ctx, struct bytes content),
                                             void *ctx, struct snapfile_receiver **out_receiver,
                                             struct errtext *error);
/* The offset of the next byte wanted. */
uint64_t snapfile_receiver_offset(const struct snapfile_receiver *receiver);
/* Received and not yet written: whoever asks for pieces asks for no more while this is much. */
size_t snapfile_receiver_queued(const struct snapfile_receiver *receiver);
/* The bytes from `offset` on. What is there already is passed over.
 *
 * return   ST_OK; ST_BUSY: a piece in front of it is missing, or LIMIT_SNAPSHOT_QUEUE_BYTES would
 * be passed; nothing was taken. ST_CORRUPT, ST_FORMAT with `error`: not what was offered; ST_IO,
 * ST_NO_SPACE: the disk. After any of these four the receiver can only be freed */
MUST_CHECK enum status snapfile_receiver_put(struct snapfile_receiver *receiver, uint64_t offset,
                                             struct bytes bytes, struct errtext *error);
/* All bytes have been put; then on_done once: ST_OK when the file is durable under its name, else
 * as above. The receiver stays until snapfile_receiver_free, which on_done may call. */
void snapfile_receiver_finish(struct snapfile_receiver *receiver,
                              void (*on_done)(void *ctx, enum status status), void *ctx);
/* No more callbacks; unless it was finished, nothing is left of the file. NULL is a no-op. */
void snapfile_receiver_free(struct snapfile_receiver *receiver);

/* ---- tidying up ---- */

/* Removes the snapshots older than index `keep_from`. ST_OK; ST_IO with `error`. */
MUST_CHECK enum status snapfile_prune(struct env *env, raft_index keep_from, struct errtext *error);
/* At start: removes what a process that died was writing or receiving. */
MUST_CHECK enum status snapfile_clean(struct env *env, struct errtext *error);

#endif
