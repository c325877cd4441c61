/* Snapshots loaded from real files, read ahead by a thread: damage is found as on the simulated
 * disk, where the same is done without one, and nothing stays behind (storage/snapfile_test.c has
 * the cases of the format). */
#include "unit/uv/uv_fixture.h"

#include "base/mem.h"
#include "storage/snapfile.h"
#include "storage/snapfile_format.h"

enum {
    CLUSTER = 0x77,
    BLOCKS = 3 * LIMIT_SNAPSHOT_AHEAD, /* the ring goes round */
    BLOCK_UNIT = SNAPFILE_UNIT_BYTES_MAX,
    CONTENT_BYTES = BLOCKS * LIMIT_SNAPSHOT_BLOCK_BYTES - 1000
};

#define OLDER "snap/0000000000000005-0000000000000001.snap"
#define NEWER "snap/0000000000000009-0000000000000001.snap"

static uint8_t content_at(raft_index index, size_t position)
{
    return (uint8_t)((position * 2654435761u >> 9) + index);
}

/* ---- writing ---- */

struct source {
    raft_index index;
    size_t position;
    enum status status;
    bool is_done;
};

static bool source_read(void *ctx, size_t bytes_max, struct buf *out)
{
    struct source *source = ctx;
    size_t count = MIN(bytes_max, CONTENT_BYTES - source->position);
    for (size_t i = 0; i < count; i++)
        buf_put_u8(out, content_at(source->index, source->position + i));
    source->position += count;
    return source->position < CONTENT_BYTES;
}

static void source_done(void *ctx, enum status status, const struct snapshot_info *info)
{
    (void)info;
    struct source *source = ctx;
    source->status = status;
    source->is_done = true;
}

static void write_snapshot(struct fixture *fixture, raft_index index)
{
    struct source source = {.index = index};
    struct snapfile_options options = {.cluster_id = CLUSTER, .last = {.term = 1, .index = index}};
    (void)snapfile_write_start(fixture->env, &options, source_read, source_done, &source);
    RUN_UNTIL(fixture, source.is_done);
    assert_int_equal(source.status, ST_OK);
}

static void flip(struct fixture *fixture, const char *path, uint64_t offset)
{
    struct env_file *file;
    struct errtext error;
    uint8_t byte;
    size_t count;
    assert_int_equal(env_file_open(fixture->env, path, ENV_OPEN_WRITE, &file, &error), ST_OK);
    assert_int_equal(env_file_read(file, offset, &byte, 1, &count), ST_OK);
    byte ^= 0x40;
    assert_int_equal(env_file_write(file, offset, bytes_of(&byte, 1)), ST_OK);
    env_file_close(file);
}

/* ---- loading ---- */

struct loaded {
    struct entry_id last;
    size_t count, count_before; /* of content; of that of the file before */
    size_t refuse_at;           /* content from here on is malformed; 0: none */
    bool is_wrong;
    unsigned damaged_count, rooms_count;
    struct errtext damaged, error;
    struct snapshot_info info;
    uint8_t room[2 * LIMIT_SNAPSHOT_BLOCK_BYTES];
};

static void on_begin(void *ctx, struct entry_id last)
{
    struct loaded *loaded = ctx;
    loaded->last = last;
    loaded->count_before = loaded->count;
    loaded->count = 0;
}

static enum status on_feed(void *ctx, struct bytes content)
{
    struct loaded *loaded = ctx;
    for (size_t i = 0; i < content.count; i += 61)
        if (content.data[i] != content_at(loaded->last.index, loaded->count + i))
            loaded->is_wrong = true;
    loaded->count += content.count;
    memset(loaded->room, (int)loaded->count, sizeof loaded->room); /* also while it is made ready */
    return loaded->refuse_at != 0 && loaded->count > loaded->refuse_at ? ST_FORMAT : ST_OK;
}

static void on_damaged(void *ctx, const char *text)
{
    struct loaded *loaded = ctx;
    loaded->damaged_count++;
    errtext_set(&loaded->damaged, "%s", text);
}

static struct mem_room on_room(void *ctx)
{
    struct loaded *loaded = ctx;
    loaded->rooms_count++;
    return (struct mem_room){(uintptr_t)loaded->room, sizeof loaded->room};
}

static enum status load(struct fixture *fixture, struct loaded *loaded)
{
    struct snapfile_sink sink = {.begin = on_begin,
                                 .feed = on_feed,
                                 .on_damaged = on_damaged,
                                 .room = on_room,
                                 .ctx = loaded};
    return snapfile_load_newest(fixture->env, CLUSTER, &sink, &loaded->info, &loaded->error);
}

static void what_is_written_is_loaded_by_two_threads(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, true);
    write_snapshot(&fixture, 5);
    struct loaded loaded = {0};

    assert_int_equal(load(&fixture, &loaded), ST_OK);

    assert_int_equal(loaded.count, CONTENT_BYTES);
    assert_false(loaded.is_wrong);
    assert_int_equal(loaded.info.last.index, 5);
    assert_int_equal(loaded.info.bytes, SNAPFILE_HEADER_BYTES + CONTENT_BYTES +
                                            BLOCKS * SNAPFILE_BLOCK_HEADER_BYTES +
                                            SNAPFILE_FOOTER_BYTES);
    assert_true(loaded.rooms_count > 0);
    fixture_close(&fixture);
}

/* What is in front of it was right and has been fed; the older one is loaded from its beginning. */
static void a_damaged_block_is_found_ahead_and_told_when_its_turn_comes(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, true);
    write_snapshot(&fixture, 5);
    write_snapshot(&fixture, 9);
    for (uint64_t block = 0; block < BLOCKS; block += 5) {
        uint64_t begin = SNAPFILE_HEADER_BYTES + block * BLOCK_UNIT;
        char where[64];
        (void)snprintf(where, sizeof where, "at offset %llu", (unsigned long long)begin);
        flip(&fixture, NEWER, begin + 777);
        struct loaded loaded = {0};

        assert_int_equal(load(&fixture, &loaded), ST_OK);

        assert_int_equal(loaded.info.last.index, 5);
        assert_int_equal(loaded.count, CONTENT_BYTES);
        assert_int_equal(loaded.count_before, block * LIMIT_SNAPSHOT_BLOCK_BYTES);
        assert_false(loaded.is_wrong);
        assert_int_equal(loaded.damaged_count, 1);
        assert_non_null(strstr(loaded.damaged.text, NEWER));
        assert_non_null(strstr(loaded.damaged.text, where));
        assert_non_null(strstr(loaded.damaged.text, "bad checksum of a block"));
        flip(&fixture, NEWER, begin + 777);
    }
    fixture_close(&fixture);
}

/* The reader stops while the thread is ahead of it; nothing leaks, and nobody reads on. */
static void content_that_is_refused_ends_what_is_under_way(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, true);
    write_snapshot(&fixture, 9);
    for (size_t block = 0; block < BLOCKS; block += 3) {
        struct loaded loaded = {.refuse_at = block * LIMIT_SNAPSHOT_BLOCK_BYTES + 1};
        char where[64];
        uint64_t end = MIN(SNAPFILE_HEADER_BYTES + (block + 1) * (uint64_t)BLOCK_UNIT,
                           (uint64_t)SNAPFILE_HEADER_BYTES + BLOCKS * (uint64_t)BLOCK_UNIT - 1000);
        (void)snprintf(where, sizeof where, "at offset %llu", (unsigned long long)end);

        assert_int_equal(load(&fixture, &loaded), ST_CORRUPT);

        assert_int_equal(loaded.count, (block + 1) * LIMIT_SNAPSHOT_BLOCK_BYTES);
        assert_non_null(strstr(loaded.error.text, "the content is malformed"));
        assert_non_null(strstr(loaded.error.text, where));
    }
    fixture_close(&fixture);
}

/* A directory in its place: it can be opened, and reading is refused. */
static void a_file_that_cannot_be_read_is_not_taken_for_damaged(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, true);
    write_snapshot(&fixture, 5);
    assert_int_equal(env_dir_make(fixture.env, NEWER), ST_OK);
    struct loaded loaded = {0};

    assert_int_equal(load(&fixture, &loaded), ST_IO);

    assert_int_equal(loaded.damaged_count, 0);
    assert_int_equal(loaded.count, 0);
    assert_non_null(strstr(loaded.error.text, NEWER));
    assert_non_null(strstr(loaded.error.text, "cannot read"));
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_loaded_by_two_threads),
        cmocka_unit_test(a_damaged_block_is_found_ahead_and_told_when_its_turn_comes),
        cmocka_unit_test(content_that_is_refused_ends_what_is_under_way),
        cmocka_unit_test(a_file_that_cannot_be_read_is_not_taken_for_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
