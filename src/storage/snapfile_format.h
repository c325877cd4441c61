/* Snapfile format: the bytes of a snapshot file, as pure functions. No files, no clock.
 *
 *      [ header 4 KiB ][ block ][ block ] … [ last block ][ footer 64 B ]
 *      block:  [ checksum | length | number | flags | 0 ][ content ]
 *
 * The content is cut into blocks of the same length, the last one shorter: how it was produced
 * leaves no trace. The checksum of the header goes into all others, so that no block of another
 * snapshot is ever taken for one of this.
 *
 * Format       docs/formats/snapshot.md */
#ifndef MINIKV_STORAGE_SNAPFILE_FORMAT_H
#define MINIKV_STORAGE_SNAPFILE_FORMAT_H

#include "base/buf.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/limits.h"
#include "base/status.h"
#include "types/entry.h"

enum {
    SNAPFILE_VERSION = 1,
    SNAPFILE_HEADER_BYTES = 4096,
    SNAPFILE_BLOCK_HEADER_BYTES = 24,
    SNAPFILE_FOOTER_BYTES = 64,
    SNAPFILE_UNIT_BYTES_MAX = SNAPFILE_BLOCK_HEADER_BYTES + LIMIT_SNAPSHOT_BLOCK_BYTES
};

enum snapfile_part { SNAPFILE_HEADER, SNAPFILE_BLOCKS, SNAPFILE_FOOTER, SNAPFILE_END };

/* One pass over a file, from front to back, written or read. */
struct snapfile_stream {
    uint64_t cluster_id;
    struct entry_id last;
    uint32_t block_bytes;
    enum snapfile_part next; /* what comes next */
    uint32_t header_checksum;
    uint64_t blocks_count;
    uint64_t content_bytes;
    uint64_t file_bytes; /* so far */
    uint64_t hash;       /* of the content so far */
};

/* Appends the header. */
void snapfile_format_begin(struct snapfile_stream *stream, uint64_t cluster_id,
                           struct entry_id last, uint32_t block_bytes, struct buf *out);
/* `content` has block_bytes bytes, the last one at most as many. */
void snapfile_format_put_block(struct snapfile_stream *stream, struct bytes content, bool is_last,
                               struct buf *out);
/* Appends the footer, behind the last block. */
void snapfile_format_end(struct snapfile_stream *stream, struct buf *out);

/* Takes the next part from the front of `in`, which is at stream->file_bytes of its file. Begin
 * with a stream of zeros.
 *
 * out_taken     bytes of it
 * out_content   that of a block, borrowed from `in`; empty for the other parts
 * return        ST_OK; ST_SHORT: `in` ends within this part; ST_NOT_FOUND: the footer was the last;
 *               ST_CORRUPT, ST_FORMAT with `error`, which names neither file nor offset */
MUST_CHECK enum status snapfile_format_take(struct snapfile_stream *stream, struct bytes in,
                                            size_t *out_taken, struct bytes *out_content,
                                            struct errtext *error);
/* Is this the footer of such a file, undamaged? What it says of the blocks is not looked at. */
bool snapfile_format_is_footer(const struct snapfile_stream *stream, struct bytes footer);

#endif
