/* What goes around the page cache, and what leaves it again: the same bytes, read back by anybody.
 * Where the file system of the test's directory cannot do that, bytes are all there is to see. */
#include "unit/uv/uv_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/mem.h"

enum { BLOCK = ENV_BLOCK_BYTES, BLOCKS = 8 };

struct blocks {
    uint8_t *bytes; /* owned; at a multiple of a block */
};

static struct blocks blocks_of(uint8_t value)
{
    struct blocks blocks = {.bytes = mem_alloc_aligned((size_t)BLOCKS * BLOCK, BLOCK)};
    memset(blocks.bytes, value, (size_t)BLOCKS * BLOCK);
    return blocks;
}

static int open_by_path(const struct fixture *fixture, const char *path, int flags)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", fixture->dir, path);
    return open(full, O_RDONLY | O_CLOEXEC | flags);
}

/* Whether this file system has files that bypass the page cache. */
static bool can_bypass(const struct fixture *fixture, const char *path)
{
    int fd = open_by_path(fixture, path, O_DIRECT);
    if (fd >= 0)
        (void)close(fd);
    else
        print_message("no file here can bypass the page cache\n");
    return fd >= 0;
}

/* Of the first pages of a file, those in the page cache. */
static size_t cached_count(const struct fixture *fixture, const char *path)
{
    unsigned char cached[BLOCKS] = {0};
    int fd = open_by_path(fixture, path, 0);
    assert_true(fd >= 0);
    void *map = mmap(NULL, (size_t)BLOCKS * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, (size_t)BLOCKS * BLOCK, cached), 0);
    assert_int_equal(munmap(map, (size_t)BLOCKS * BLOCK), 0);
    (void)close(fd);
    size_t count = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        count += cached[i] & 1;
    return count;
}

static void assert_bytes(const struct fixture *fixture, const char *path, uint64_t offset,
                         struct bytes expected)
{
    struct env_file *file;
    struct errtext error;
    uint8_t *read = mem_alloc(expected.count);
    size_t count;
    assert_int_equal(env_file_open(fixture->env, path, ENV_OPEN_READ, &file, &error), ST_OK);
    assert_int_equal(env_file_read(file, offset, read, expected.count, &count), ST_OK);
    assert_int_equal(count, expected.count);
    assert_memory_equal(read, expected.data, count);
    mem_free(read);
    env_file_close(file);
}

static void whole_blocks_go_around_the_cache_and_others_through_it(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "log");
    struct blocks old = blocks_of('o'), new = blocks_of('n');
    env_file_bypass_cache(file);

    assert_int_equal(env_file_write(file, 0, bytes_of(old.bytes, (size_t)BLOCKS * BLOCK)), ST_OK);
    assert_int_equal(env_file_sync(file), ST_OK);
    if (can_bypass(&fixture, "log"))
        assert_int_equal(cached_count(&fixture, "log"), 0);

    /* not a whole block; not at one; not from one in memory */
    assert_int_equal(env_file_write(file, 0, bytes_of(new.bytes, 10)), ST_OK);
    assert_int_equal(env_file_write(file, BLOCK + 10, bytes_of(new.bytes, BLOCK)), ST_OK);
    assert_int_equal(env_file_write(file, 4 * BLOCK, bytes_of(new.bytes + 1, BLOCK)), ST_OK);
    assert_int_equal(env_file_sync(file), ST_OK);
    assert_int_equal(cached_count(&fixture, "log"), 4);
    assert_int_equal(env_file_write(file, 4 * BLOCK, bytes_of(old.bytes, 2 * BLOCK)), ST_OK);
    assert_int_equal(env_file_sync(file), ST_OK);
    if (can_bypass(&fixture, "log"))
        assert_int_equal(cached_count(&fixture, "log"), 3);

    memcpy(old.bytes, new.bytes, 10);
    memcpy(old.bytes + BLOCK + 10, new.bytes, BLOCK);
    assert_bytes(&fixture, "log", 0, bytes_of(old.bytes, (size_t)BLOCKS * BLOCK));
    env_file_close(file);
    mem_free(old.bytes);
    mem_free(new.bytes);
    fixture_close(&fixture);
}

static void a_write_that_cannot_go_around_the_cache_goes_through_it(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "log");
    struct blocks blocks = blocks_of('b');
    env_file_bypass_cache(file);

    /* No file reaches so far: refused in the same way as blocks of a wrong size, both times. */
    uint64_t beyond = (uint64_t)1 << 63;
    assert_int_equal(env_file_write(file, beyond, bytes_of(blocks.bytes, BLOCK)), ST_IO);
    assert_int_equal(env_file_write(file, 0, bytes_of(blocks.bytes, (size_t)BLOCKS * BLOCK)),
                     ST_OK);
    assert_int_equal(env_file_sync(file), ST_OK);
    assert_int_equal(cached_count(&fixture, "log"), BLOCKS);
    assert_bytes(&fixture, "log", 0, bytes_of(blocks.bytes, (size_t)BLOCKS * BLOCK));
    env_file_close(file);
    mem_free(blocks.bytes);
    fixture_close(&fixture);
}

static void a_file_system_without_such_writes_is_no_error(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct blocks blocks = blocks_of('b');
    struct env_file *file;
    struct errtext error;
    assert_int_equal(env_file_open(fixture.env, "/dev/null", ENV_OPEN_WRITE, &file, &error), ST_OK);
    env_file_bypass_cache(file); /* a device that has no page cache to go around */

    assert_int_equal(env_file_write(file, 0, bytes_of(blocks.bytes, BLOCK)), ST_OK);
    assert_int_equal(env_file_write(file, 0, bytes_of(blocks.bytes, 10)), ST_OK);
    assert_int_equal(env_file_write(file, 0, bytes_of(blocks.bytes, BLOCK)), ST_OK);

    env_file_close(file);
    mem_free(blocks.bytes);
    fixture_close(&fixture);
}

struct probe {
    enum status status;
    bool is_done;
};

static void on_done(void *ctx, enum status status)
{
    struct probe *probe = ctx;
    *probe = (struct probe){.status = status, .is_done = true};
}

static void what_is_seldom_read_leaves_the_cache_when_it_is_on_the_disk(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "snapshot");
    struct blocks blocks = blocks_of('b');
    struct bytes first = bytes_of(blocks.bytes, BLOCK + 100);
    struct bytes rest = bytes_of(blocks.bytes + first.count, (size_t)BLOCKS * BLOCK - first.count);
    struct probe probe = {.is_done = false};
    struct env_write write = {.on_done = on_done,
                              .ctx = &probe,
                              .file = file,
                              .bytes = first,
                              .is_background = true,
                              .leaves_cache = true};

    env_write_start(fixture.env, &write);
    RUN_UNTIL(&fixture, probe.is_done);
    assert_int_equal(probe.status, ST_OK);
    write.offset = first.count;
    write.bytes = rest;
    probe.is_done = false;
    env_write_start(fixture.env, &write);
    RUN_UNTIL(&fixture, probe.is_done);
    assert_int_equal(probe.status, ST_OK);
    if (can_bypass(&fixture, "snapshot"))
        assert_int_equal(cached_count(&fixture, "snapshot"), 0);

    assert_bytes(&fixture, "snapshot", 0, bytes_of(blocks.bytes, (size_t)BLOCKS * BLOCK));
    env_file_close(file);
    mem_free(blocks.bytes);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_blocks_go_around_the_cache_and_others_through_it),
        cmocka_unit_test(a_write_that_cannot_go_around_the_cache_goes_through_it),
        cmocka_unit_test(a_file_system_without_such_writes_is_no_error),
        cmocka_unit_test(what_is_seldom_read_leaves_the_cache_when_it_is_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
