/* Compaction: the oldest segments go once a durable snapshot covers what they hold (W4).
 *
 * 1 the file <id>.log is renamed to spare-<id>;
 * 2 the directory is synced, before the next one is touched: what a crash leaves has no gaps;
 * 3 the spare that is made ready next is that file (wal_spare.c).
 *
 * A superseded entry counts like any other here: what superseded it is in a later segment, or only
 * on its way to the disk. */
#include "storage/wal_private.h"

enum {
    PAUSE_US = 20000,         /* a rename and a sync of the directory are 0.2 ms */
    REMOVE_PAUSE_US = 1000000 /* removing a file of 64 MiB holds up commits for some ms */
};

static bool can_give_up(const struct wal *wal)
{
    return wal->segments_count > 1 && wal->segments[0].highest < wal->first_kept;
}

/* Nothing leads to the oldest segment any more. */
static void forget_oldest(struct wal *wal)
{
    struct wal_cursor *cursor = &wal->cursor;
    uint64_t id = wal->segments[0].id;
    if (cursor->place.segment == id)
        cursor->next = 0;
    if (cursor->file_segment == id) {
        env_file_close(cursor->file);
        cursor->file = NULL;
        cursor->file_segment = 0;
    }
    wal->segments_count--;
    memmove(wal->segments, wal->segments + 1, wal->segments_count * sizeof *wal->segments);
    wal_map_drop(&wal->map, wal->segments[0].id);
    if (wal->map.points_count > 0)
        wal_terms_drop(&wal->terms, wal_map_first(&wal->map));
}

/* False when there is nothing more to be done for now. */
static bool give_up_oldest(struct wal *wal)
{
    char from[WAL_PATH_BYTES], to[WAL_PATH_BYTES];
    uint64_t id = wal->segments[0].id;
    INVARIANT(wal->first_kept <= wal->durable.snapshot.index + 1);
    if (env_rename(wal->env, wal_segment_path(wal, id, from), wal_retired_path(wal, id, to)) !=
        ST_OK)
        return false;
    enum status status = env_dir_sync(wal->env, wal->directory);
    if (status != ST_OK) {
        wal_fail(wal, status);
        return false;
    }
    forget_oldest(wal);
    wal_spare_note_retired(wal, id);
    return true;
}

static void set_timer(struct wal *wal, time_us pause)
{
    env_timer_set(wal->env, &wal->compact_timer, env_now(wal->env) + pause);
}

static void on_timer(void *ctx)
{
    struct wal *wal = ctx;
    if (can_give_up(wal)) {
        if (give_up_oldest(wal))
            set_timer(wal, PAUSE_US);
    } else if (wal_spare_is_full(wal)) {
        wal_spare_remove_one(wal);
        set_timer(wal, REMOVE_PAUSE_US);
    }
}

void wal_compact_init(struct wal *wal)
{
    env_timer_init(&wal->compact_timer, on_timer, wal);
}

void wal_compact_start(struct wal *wal)
{
    if (can_give_up(wal) || wal_spare_is_full(wal))
        set_timer(wal, 0);
}

void wal_compact_stop(struct wal *wal)
{
    env_timer_set(wal->env, &wal->compact_timer, TIME_NEVER);
}

void wal_compact(struct wal *wal, raft_index first_kept)
{
    REQUIRE(!wal->is_closing);
    REQUIRE(first_kept <= wal->durable.snapshot.index + 1);
    if (wal->failure != ST_OK)
        return;
    wal->first_kept = MAX(wal->first_kept, first_kept);
    wal_compact_start(wal);
}
