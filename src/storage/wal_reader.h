/* Wal reader: reads a segment front to back through a window of memory.
 *
 * Reads are sequential and large; a frame is always given in one piece. Bytes at and behind `end`
 * are never read, so a window over the active segment cannot hold bytes that are still to be
 * written.
 *
 * Ownership    owns the window, borrows the file */
#ifndef MINIKV_STORAGE_WAL_READER_H
#define MINIKV_STORAGE_WAL_READER_H

#include "env/env.h"
#include "storage/wal_format.h"

struct wal_reader {
    uint8_t *window; /* owned */
    size_t capacity;
    uint64_t window_offset; /* where the window begins in the file */
    size_t window_bytes;
    size_t chunk_bytes; /* read at least this much at a time */
    uint64_t end;

    struct env_file *file; /* borrowed */
};

void wal_reader_init(struct wal_reader *reader, size_t chunk_bytes);
void wal_reader_release(struct wal_reader *reader);
/* From now on reads `file`; what the window held is forgotten. */
void wal_reader_use(struct wal_reader *reader, struct env_file *file, uint64_t end);
/* The segment has grown. */
void wal_reader_extend(struct wal_reader *reader, uint64_t end);

/* At least `count` bytes from `offset` on, borrowed until the next call; fewer only at the end.
 * return   ST_OK or ST_IO */
MUST_CHECK enum status wal_reader_get(struct wal_reader *reader, uint64_t offset, size_t count,
                                      struct bytes *out_bytes);
/* The frame at `offset`, its records borrowed until the next call.
 * return   ST_OK; ST_NOT_FOUND: no valid frame there; ST_IO */
MUST_CHECK enum status wal_reader_frame(struct wal_reader *reader, uint64_t segment, uint64_t salt,
                                        uint64_t offset, struct wal_frame_header *out_header,
                                        struct bytes *out_records);

#endif
