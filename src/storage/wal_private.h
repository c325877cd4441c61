/* Wal, inside: what the files of this module share. Nobody else includes this.
 *
 * wal.c appends, writes and reports; wal_open.c opens; wal_segment.c names, creates and enters
 * segments; wal_spare.c prepares the next one; wal_compact.c gives up the oldest; wal_recover.c
 * replays; wal_read.c reads back. */
#ifndef MINIKV_STORAGE_WAL_PRIVATE_H
#define MINIKV_STORAGE_WAL_PRIVATE_H

#include "storage/wal.h"
#include "storage/wal_batch.h"
#include "storage/wal_format.h"
#include "storage/wal_map.h"
#include "storage/wal_reader.h"
#include "storage/wal_terms.h"

enum {
    WAL_PATH_BYTES = 192,
    WAL_DIRECTORY_BYTES = 128,
    WAL_FIRST_SEGMENT_BYTES = 1024 * 1024, /* docs/decisions/0002-wal-format.md */
    WAL_RECOVER_CHUNK_BYTES = 1024 * 1024,
    WAL_READ_CHUNK_BYTES = 256 * 1024
};

static_assert(WAL_BLOCK_BYTES % ENV_BLOCK_BYTES == 0, "frames are whole blocks of a disk");

struct wal_segment {
    uint64_t id;
    uint64_t salt;
    uint64_t end;       /* of its durable frames */
    raft_index highest; /* of the entries in it, superseded or not; 0: none */
};

/* The file that becomes the next segment. */
struct wal_spare {
    struct env_file *file; /* owned; NULL: none yet */
    uint64_t filled_bytes;
    bool is_ready;
    bool is_filling; /* a write is under way */
    bool is_out_of_space;
    struct env_write write;
    struct env_timer timer;

    /* Files of former segments, "spare-<id>", which come first when a spare is made ready. Those
     * beyond LIMIT_WAL_SPARES are removed, one at a time. */
    uint64_t *retired; /* owned; their ids, oldest first */
    size_t retired_count;
    size_t retired_capacity;
};

/* Where the last read ended, so that the next one goes on from there. */
struct wal_cursor {
    struct wal_reader reader;
    struct env_file *file; /* owned; of the segment of `place` */
    uint64_t file_segment; /* which `file` is; 0: none */
    struct bytes records; /* of the frame of `place`, in the window of the reader; NULL: not read */
    uint64_t frame_bytes;
    struct wal_place place;
    raft_index next; /* of the record at or after `place`; 0: nowhere */
};

/* What the frames up to a point say. */
struct wal_tail {
    struct hard_state hard_state;
    struct entry_id last;
    struct entry_id snapshot;
    raft_index commit;
};

struct wal {
    struct wal_segment *segments; /* owned; rising id, the last is active */
    size_t segments_count;
    size_t segments_capacity;
    struct env_file *active; /* owned */
    uint64_t active_bytes;   /* filled with zeros up to here when it was made */
    uint64_t last_frame_at;  /* recovery: where the last frame begins */
    struct wal_spare spare;
    struct wal_queue queue;
    struct wal_map map;
    struct wal_cursor cursor;

    /* The frame in flight. */
    struct wal_batch *writing; /* owned; NULL: none */
    struct wal_frame_header frame;
    struct wal_segment target; /* where it goes; `end` is where it will end */
    bool is_switching;         /* it is the first of a new segment */
    bool is_waiting_for_room;  /* it is not in flight: it found none, and will be tried again */
    struct env_timer room_timer;
    struct env_write write;
    time_us write_started_at;

    /* On disk. */
    uint64_t next_seq;
    uint32_t chain;
    struct wal_tail durable;
    bool is_sealed; /* the last frame is empty: damage to it loses nothing */

    /* Appended: on disk, in flight or queued. */
    uint64_t sequence;
    raft_index last_index;
    raft_index commit;
    struct entry_id marked; /* the last mark */
    struct wal_terms terms;

    raft_index first_kept; /* segments with nothing from here on are given up; 0: none */
    struct env_timer compact_timer;

    bool is_out_of_space; /* as it was told last */

    struct env_task write_task;
    struct env_timer idle_timer;
    bool is_idle_timer_set;
    time_us appended_at;
    enum status failure; /* ST_OK while all is well */
    bool is_closing;
    struct wal_stats stats;

    char directory[WAL_DIRECTORY_BYTES];
    struct wal_options options;
    struct wal_callbacks callbacks;

    struct env *env; /* borrowed */
};

/* How long after a lack of room the disk is asked again. */
enum { WAL_NO_SPACE_PAUSE_US = 1000000 };

/* wal.c */
/* W3: the end of this log's life; on_failed is called the first time. */
void wal_fail(struct wal *wal, enum status status);
/* Whether there is room has changed, perhaps. */
void wal_note_room(struct wal *wal);
/* Frees a closing wal once the disk is done with it. */
void wal_finish_close(struct wal *wal);

/* wal_segment.c */
const char *wal_segment_path(const struct wal *wal, uint64_t id, char out[WAL_PATH_BYTES]);
const char *wal_spare_path(const struct wal *wal, char out[WAL_PATH_BYTES]);
/* The id in "<16 hex digits>.log", 0 when `name` is something else. */
uint64_t wal_segment_id_of(const char *name);
/* The same of "spare-<16 hex digits>". */
const char *wal_retired_path(const struct wal *wal, uint64_t id, char out[WAL_PATH_BYTES]);
uint64_t wal_retired_id_of(const char *name);
void wal_segment_add(struct wal *wal, struct wal_segment segment);
struct wal_segment *wal_active_segment(struct wal *wal);
/* The header of the segment that begins with the next frame. */
void wal_segment_encode_header(const struct wal *wal, const struct wal_segment *segment,
                               uint8_t out[WAL_BLOCK_BYTES]);
/* Segment 1 of an empty log, with an empty frame. Blocks. */
MUST_CHECK enum status wal_segment_create_first(struct wal *wal, struct errtext *error);
/* The spare, its header and first frame durable, becomes the active segment. Blocks for a rename
 * and a directory sync. */
MUST_CHECK enum status wal_segment_enter(struct wal *wal, struct wal_segment segment);
/* Makes the names durable: of the segments, and of the directory itself. Blocks. */
MUST_CHECK enum status wal_segment_sync_names(struct wal *wal);

/* wal_spare.c */
void wal_spare_init(struct wal *wal);
void wal_spare_release(struct wal *wal);
/* Prepares one in the background, beginning soon. */
void wal_spare_start(struct wal *wal);
void wal_spare_stop(struct wal *wal);
/* The file of the ready spare; gives ownership. */
struct env_file *wal_spare_take(struct wal *wal);
/* There is one more file of a former segment. */
void wal_spare_note_retired(struct wal *wal, uint64_t id);
/* Whether there are more of these than are kept. */
bool wal_spare_is_full(const struct wal *wal);
/* Removes the oldest of them. Blocks for as long as removing a file takes. */
void wal_spare_make_way(
    struct wal *wal); /* for a frame that waits for room in the active segment */
void wal_spare_remove_one(struct wal *wal);

/* wal_compact.c */
void wal_compact_init(struct wal *wal);
/* Looks again whether something can be given up. */
void wal_compact_start(struct wal *wal);
void wal_compact_stop(struct wal *wal);

/* wal_open.c */
/* Recovers what is in the directory, or makes an empty log. Blocks. */
MUST_CHECK enum status wal_open_log(struct wal *wal,
                                    void (*on_entry)(void *ctx, struct entry *entry), void *ctx,
                                    uint64_t *out_torn_bytes, struct errtext *error);

/* wal_recover.c */
/* Replays the segments `ids` (rising) into `wal`. Writes nothing. */
MUST_CHECK enum status wal_recover(struct wal *wal, const uint64_t *ids, size_t ids_count,
                                   void (*on_entry)(void *ctx, struct entry *entry), void *ctx,
                                   uint64_t *out_torn_bytes, struct errtext *error);

/* wal_read.c */
void wal_cursor_init(struct wal_cursor *cursor);
void wal_cursor_release(struct wal_cursor *cursor);
/* Records from `from` on are superseded. */
void wal_cursor_cut(struct wal_cursor *cursor, raft_index from);

#endif
