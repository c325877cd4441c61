/* The spare: the next segment, made ready while the active one fills.
 *
 * A file whose blocks are written needs two device writes per commit, a growing one three; so it
 * is filled with zeros beforehand. The zeros are written in small pieces with pauses between, each
 * synced: unsynced pieces would gather into one sync of tens of milliseconds, and every commit
 * would wait behind it.
 *
 * Files of former segments (wal_compact.c) are filled already and come first.
 *
 * Without a spare nothing stops: the active segment grows past its planned size, more slowly. A
 * full disk therefore shows here first, long before an append has no place. When one has none it
 * comes first: the zeros of a spare would take the room it waits for. */
#include "storage/wal_private.h"

#include <stdalign.h>

#include "base/mem.h"

enum {
    PIECE_BYTES = 256 * 1024,
    PAUSE_US = 20000,      /* 12.5 MiB/s */
    FIRST_PAUSE_US = 5000, /* let the start-up go first */
    RETIRED_MIN = 8
};

/* What a spare is filled with. Nobody writes to it, so that it takes no memory. */
static alignas(ENV_BLOCK_BYTES) uint8_t zeros[PIECE_BYTES];

static void set_timer(struct wal *wal, time_us pause)
{
    env_timer_set(wal->env, &wal->spare.timer, env_now(wal->env) + pause);
}

/* In a hurry when the active segment may be full before the spare is ready. */
static time_us pause_of(struct wal *wal)
{
    uint64_t used = wal_active_segment(wal)->end;
    uint64_t filled = wal->spare.filled_bytes;
    /* used / active_bytes > filled / segment_bytes, in whole numbers */
    bool is_behind = used * (wal->options.segment_bytes / WAL_BLOCK_BYTES) >
                     filled * (wal->active_bytes / WAL_BLOCK_BYTES);
    return is_behind ? 0 : PAUSE_US;
}

/* Gives the space back, the log may need it more, and tries again later. */
static void give_up(struct wal *wal)
{
    char path[WAL_PATH_BYTES];
    env_file_close(wal->spare.file);
    wal->spare.file = NULL;
    wal->spare.filled_bytes = 0;
    wal->spare.is_out_of_space = true;
    enum status ignored = env_unlink(wal->env, wal_spare_path(wal, path));
    (void)ignored; /* if it stays, the next attempt finds it and goes on with it */
    set_timer(wal, WAL_NO_SPACE_PAUSE_US);
    wal_note_room(wal);
}

static void become_ready(struct wal *wal)
{
    struct wal_spare *spare = &wal->spare;
    if (wal->is_waiting_for_room) { /* the frame has its place, and needs the room more */
        give_up(wal);
        return;
    }
    spare->is_ready = true;
    spare->is_out_of_space = false;
    wal_note_room(wal);
}

static uint64_t take_oldest(struct wal_spare *spare)
{
    REQUIRE(spare->retired_count > 0);
    uint64_t id = spare->retired[0];
    spare->retired_count--;
    memmove(spare->retired, spare->retired + 1, spare->retired_count * sizeof *spare->retired);
    return id;
}

static void on_filled(void *ctx, enum status status)
{
    struct wal *wal = ctx;
    struct wal_spare *spare = &wal->spare;
    INVARIANT(spare->is_filling);
    spare->is_filling = false;
    if (wal->is_closing) {
        wal_finish_close(wal);
        return;
    }
    if (wal->failure != ST_OK)
        return;
    if (status == ST_NO_SPACE) {
        give_up(wal);
        return;
    }
    if (status != ST_OK) {
        wal_fail(wal, status);
        return;
    }
    spare->filled_bytes += spare->write.bytes.count;
    if (spare->filled_bytes >= wal->options.segment_bytes)
        become_ready(wal);
    else
        set_timer(wal, pause_of(wal));
}

/* The oldest file of a former segment becomes the spare; what is in it means nothing. The directory
 * is synced before it is written to: else a crash might leave it under both names. */
static enum status reuse_oldest(struct wal *wal)
{
    char from[WAL_PATH_BYTES], to[WAL_PATH_BYTES];
    (void)wal_retired_path(wal, take_oldest(&wal->spare), from);
    enum status status = env_rename(wal->env, from, wal_spare_path(wal, to));
    if (status != ST_OK)
        return status;
    status = env_dir_sync(wal->env, wal->directory);
    if (status != ST_OK)
        wal_fail(wal, status);
    return status;
}

/* A spare left by an earlier life goes on from its size; what is in it means nothing. */
static enum status open_spare(struct wal *wal)
{
    struct wal_spare *spare = &wal->spare;
    struct errtext ignored;
    char path[WAL_PATH_BYTES];
    (void)wal_spare_path(wal, path);
    enum status status = env_file_open(wal->env, path, ENV_OPEN_WRITE, &spare->file, &ignored);
    if (status == ST_NOT_FOUND && spare->retired_count > 0) {
        status = reuse_oldest(wal);
        if (status == ST_OK)
            status = env_file_open(wal->env, path, ENV_OPEN_WRITE, &spare->file, &ignored);
    } else if (status == ST_NOT_FOUND) {
        status = env_file_open(wal->env, path, ENV_OPEN_CREATE, &spare->file, &ignored);
    }
    if (status != ST_OK) {
        spare->file = NULL;
        return status;
    }
    env_file_bypass_cache(spare->file);
    uint64_t bytes;
    status = env_file_size(spare->file, &bytes);
    spare->filled_bytes = status == ST_OK ? bytes / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES : 0;
    return status;
}

static void on_timer(void *ctx)
{
    struct wal *wal = ctx;
    struct wal_spare *spare = &wal->spare;
    INVARIANT(!spare->is_ready);
    INVARIANT(!spare->is_filling);
    if (wal->is_waiting_for_room) {
        if (spare->retired_count > 0)
            wal_spare_remove_one(wal);
        give_up(wal);
        return;
    }
    if (spare->file == NULL) {
        enum status status = open_spare(wal);
        if (wal->failure != ST_OK)
            return;
        if (status == ST_NO_SPACE) {
            give_up(wal);
            return;
        }
        if (status != ST_OK) { /* out of descriptors, say: nothing has been written, so none lost */
            env_file_close(spare->file);
            spare->file = NULL;
            set_timer(wal, WAL_NO_SPACE_PAUSE_US);
            return;
        }
    }
    if (spare->filled_bytes >= wal->options.segment_bytes) {
        become_ready(wal);
        return;
    }
    uint64_t missing = wal->options.segment_bytes - spare->filled_bytes;
    spare->write.file = spare->file;
    spare->write.offset = spare->filled_bytes;
    spare->write.bytes = bytes_of(zeros, (size_t)MIN(missing, (uint64_t)PIECE_BYTES));
    spare->is_filling = true;
    env_write_start(wal->env, &spare->write);
}

void wal_spare_init(struct wal *wal)
{
    wal->spare = (struct wal_spare){.write = {.on_done = on_filled, .ctx = wal}};
    env_timer_init(&wal->spare.timer, on_timer, wal);
}

void wal_spare_release(struct wal *wal)
{
    env_file_close(wal->spare.file);
    mem_free(wal->spare.retired);
    wal->spare.file = NULL;
    wal->spare.retired = NULL;
}

void wal_spare_start(struct wal *wal)
{
    REQUIRE(wal->spare.file == NULL);
    REQUIRE(!wal->spare.is_ready);
    set_timer(wal, FIRST_PAUSE_US);
}

void wal_spare_stop(struct wal *wal)
{
    env_timer_set(wal->env, &wal->spare.timer, TIME_NEVER);
}

struct env_file *wal_spare_take(struct wal *wal)
{
    struct wal_spare *spare = &wal->spare;
    REQUIRE(spare->is_ready);
    struct env_file *file = spare->file;
    spare->file = NULL;
    spare->filled_bytes = 0;
    spare->is_ready = false;
    return file;
}

void wal_spare_note_retired(struct wal *wal, uint64_t id)
{
    struct wal_spare *spare = &wal->spare;
    REQUIRE(spare->retired_count == 0 || id > spare->retired[spare->retired_count - 1]);
    if (spare->retired_count == spare->retired_capacity) {
        spare->retired_capacity = MAX(spare->retired_capacity * 2, (size_t)RETIRED_MIN);
        spare->retired =
            mem_realloc(spare->retired, spare->retired_capacity * sizeof *spare->retired);
    }
    spare->retired[spare->retired_count++] = id;
}

bool wal_spare_is_full(const struct wal *wal)
{
    return wal->spare.retired_count > LIMIT_WAL_SPARES;
}

void wal_spare_remove_one(struct wal *wal)
{
    char path[WAL_PATH_BYTES];
    (void)wal_retired_path(wal, take_oldest(&wal->spare), path);
    enum status ignored = env_unlink(wal->env, path);
    (void)ignored; /* if it stays, the next start finds it */
}

/* A frame that goes into the spare itself keeps it: part of the frame may be there. */
void wal_spare_make_way(struct wal *wal)
{
    REQUIRE(wal->is_waiting_for_room);
    if (wal->is_switching || !wal->spare.is_ready)
        return;
    wal->spare.is_ready = false;
    give_up(wal);
}
