/* Serving: what is fetched is what is in the file, in its time, and nothing that is asked for makes
 * the queue or the loop's turn longer than its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/serve.h"
#include "sim/world.h"
#include "storage/snapfile_format.h"

enum {
    SENT_MAX = 1000,
    FILE_BYTES = 1000000,
    BLOCK_BYTES = 100000,
    BLOCKS = 10,
    CONTENT_BYTES = FILE_BYTES - SNAPFILE_HEADER_BYTES - BLOCKS * SNAPFILE_BLOCK_HEADER_BYTES -
                    SNAPFILE_FOOTER_BYTES,
    OLDER_BYTES = SNAPFILE_HEADER_BYTES + SNAPFILE_BLOCK_HEADER_BYTES + 9 + SNAPFILE_FOOTER_BYTES
};
static_assert(CONTENT_BYTES > (BLOCKS - 1) * BLOCK_BYTES && CONTENT_BYTES < BLOCKS * BLOCK_BYTES,
              "so many blocks");
#define SECOND ((time_us)1000000)
#define PATH   "snap/00000000000003e8-0000000000000005.snap"

static const struct entry_id snapshot = {.term = 5, .index = 1000};
static const struct entry_id older = {.term = 4, .index = 900};

/* What `send` was given. */
struct sent {
    node_id to;
    struct snapshot_chunk chunk; /* its bytes are a copy, owned */
    time_us at;
};

struct bench {
    struct world *world;
    struct env *env;
    struct serve serve;
    struct buf file;        /* that of `snapshot` */
    const uint8_t *content; /* its bytes, borrowed */
    struct buf older_file;
    unsigned damaged_count;
    struct entry_id damaged;
    struct sent sent[SENT_MAX];
    size_t sent_count;
    enum status send_answer;
};

static enum status on_send(void *ctx, node_id to, const struct snapshot_chunk *chunk)
{
    struct bench *bench = ctx;
    assert_true(bench->sent_count < SENT_MAX);
    struct sent *sent = &bench->sent[bench->sent_count++];
    *sent = (struct sent){.to = to, .chunk = *chunk, .at = env_now(bench->env)};
    uint8_t *copy = mem_alloc(chunk->bytes.count + 1);
    if (chunk->bytes.count != 0)
        memcpy(copy, chunk->bytes.data, chunk->bytes.count);
    sent->chunk.bytes.data = copy;
    return bench->send_answer;
}

static void write_file(struct bench *bench, const char *path, struct bytes bytes)
{
    struct env_file *file;
    struct errtext error = {.text = ""};
    assert_int_equal(env_dir_make(bench->env, SNAPFILE_DIRECTORY), ST_OK);
    assert_int_equal(env_file_open(bench->env, path, ENV_OPEN_CREATE, &file, &error), ST_OK);
    assert_int_equal(env_file_write(file, 0, bytes), ST_OK);
    assert_int_equal(env_file_sync(file), ST_OK);
    env_file_close(file);
    assert_int_equal(env_dir_sync(bench->env, SNAPFILE_DIRECTORY), ST_OK);
    assert_int_equal(env_dir_sync(bench->env, "."), ST_OK);
}

static void on_damaged(void *ctx, struct entry_id last)
{
    struct bench *bench = ctx;
    bench->damaged_count++;
    bench->damaged = last;
}

/* A whole snapshot with so much content. */
static void make_file(struct entry_id last, size_t content_bytes, struct buf *out)
{
    struct snapfile_stream stream;
    uint8_t block[BLOCK_BYTES];
    buf_init(out, 2 * FILE_BYTES);
    snapfile_format_begin(&stream, 77, last, BLOCK_BYTES, out);
    for (size_t at = 0, count; at < content_bytes; at += count) {
        count = MIN(content_bytes - at, sizeof block);
        for (size_t i = 0; i < count; i++)
            block[i] = (uint8_t)((at + i) * 7 + (at + i) / 256);
        snapfile_format_put_block(&stream, bytes_of(block, count), at + count == content_bytes,
                                  out);
    }
    snapfile_format_end(&stream, out);
}

static struct bench *bench_new(uint64_t bytes_per_second)
{
    struct bench *bench = mem_alloc(sizeof *bench);
    bench->world = world_new(&(struct world_options){.seed = 1});
    bench->env = world_boot(bench->world, 1);
    make_file(snapshot, CONTENT_BYTES, &bench->file);
    make_file(older, 9, &bench->older_file);
    assert_int_equal(bench->file.count, FILE_BYTES);
    assert_int_equal(bench->older_file.count, OLDER_BYTES);
    bench->content = bench->file.data;
    write_file(bench, PATH, buf_bytes(&bench->file));
    write_file(bench, "snap/0000000000000384-0000000000000004.snap", buf_bytes(&bench->older_file));
    serve_init(&bench->serve, bench->env,
               &(struct serve_options){.bytes_per_second = bytes_per_second,
                                       .send = on_send,
                                       .on_damaged = on_damaged,
                                       .ctx = bench});
    return bench;
}

static void bench_free(struct bench *bench)
{
    serve_release(&bench->serve);
    for (size_t i = 0; i < bench->sent_count; i++)
        mem_free((void *)(uintptr_t)bench->sent[i].chunk.bytes.data);
    world_free(bench->world);
    buf_release(&bench->file);
    buf_release(&bench->older_file);
    mem_free(bench);
}

static void run_for(struct bench *bench, time_us duration)
{
    time_us until = world_now(bench->world) + duration;
    while (world_step(bench->world, until))
        continue;
}

static void fetch(struct bench *bench, node_id from, uint64_t number, struct entry_id last,
                  uint64_t offset, uint32_t bytes_max)
{
    struct snapshot_fetch asked = {number, last, offset, bytes_max};
    serve_on_fetch(&bench->serve, from, &asked);
}

static void check_sent(const struct bench *bench, size_t at, node_id to, uint64_t number,
                       enum chunk_state chunk_state, size_t bytes_count)
{
    assert_true(at < bench->sent_count);
    const struct snapshot_chunk *chunk = &bench->sent[at].chunk;
    assert_int_equal(bench->sent[at].to, to);
    assert_int_equal(chunk->number, number);
    assert_int_equal(chunk->state, chunk_state);
    assert_int_equal(chunk->bytes.count, bytes_count);
    assert_int_equal(chunk->unpacked_bytes, 0);
}

static void what_is_fetched_is_what_is_in_the_file(void **state)
{
    struct bench *bench = bench_new(0);

    uint64_t number = 0;
    for (uint64_t offset = 0; offset < FILE_BYTES; offset += LIMIT_SNAPSHOT_CHUNK_BYTES)
        fetch(bench, 2, ++number, snapshot, offset, LIMIT_SNAPSHOT_CHUNK_BYTES);
    run_for(bench, SECOND);

    assert_int_equal(bench->sent_count, number);
    for (size_t i = 0; i < number; i++) {
        const struct snapshot_chunk *chunk = &bench->sent[i].chunk;
        uint64_t offset = i * LIMIT_SNAPSHOT_CHUNK_BYTES;
        check_sent(bench, i, 2, i + 1, CHUNK_HERE,
                   MIN(LIMIT_SNAPSHOT_CHUNK_BYTES, FILE_BYTES - offset));
        assert_int_equal(chunk->offset, offset);
        assert_int_equal(chunk->total, FILE_BYTES);
        assert_true(entry_id_equal(chunk->snapshot, snapshot));
        assert_memory_equal(chunk->bytes.data, bench->content + offset, chunk->bytes.count);
    }
    assert_int_equal(bench->serve.sent_bytes, FILE_BYTES);
    bench_free(bench);
}

static void a_piece_is_as_small_as_it_was_asked_for(void **state)
{
    struct bench *bench = bench_new(0);

    fetch(bench, 2, 1, snapshot, 12345, 1);
    fetch(bench, 2, 2, snapshot, FILE_BYTES - 1, 100);
    run_for(bench, SECOND);

    check_sent(bench, 0, 2, 1, CHUNK_HERE, 1);
    check_sent(bench, 1, 2, 2, CHUNK_HERE, 1);
    assert_memory_equal(bench->sent[0].chunk.bytes.data, bench->content + 12345, 1);
    bench_free(bench);
}

static void what_is_not_there_is_gone(void **state)
{
    struct bench *bench = bench_new(0);

    fetch(bench, 2, 1, (struct entry_id){5, 999}, 0, 100);
    fetch(bench, 2, 2, (struct entry_id){4, 1000}, 0, 100);
    fetch(bench, 2, 3, snapshot, FILE_BYTES, 100);
    fetch(bench, 2, 4, snapshot, INT64_MAX, 100);
    fetch(bench, 2, 5, snapshot, 0, 100);
    run_for(bench, SECOND);

    for (size_t i = 0; i < 4; i++) {
        check_sent(bench, i, 2, i + 1, CHUNK_GONE, 0);
        assert_int_equal(bench->sent[i].chunk.total, 0);
    }
    check_sent(bench, 4, 2, 5, CHUNK_HERE, 100);
    assert_int_equal(bench->damaged_count, 2); /* whoever knows which ones there should be looks */
    assert_true(entry_id_equal(bench->damaged, (struct entry_id){4, 1000}));
    bench_free(bench);
}

static void a_disk_that_fails_makes_it_gone_and_no_more(void **state)
{
    struct bench *bench = bench_new(0);
    struct world_disk good, bad;
    diag_set_level(DIAG_NOTHING);
    world_disk_get(bench->world, 1, &good);
    bad = good, bad.read_error_chance = WORLD_ALWAYS;

    fetch(bench, 2, 1, snapshot, 0, 100);
    run_for(bench, SECOND);
    world_disk_set(bench->world, 1, &bad);
    fetch(bench, 2, 2, snapshot, FILE_BYTES / 2, 100);
    run_for(bench, SECOND);
    world_disk_set(bench->world, 1, &good);
    fetch(bench, 2, 3, snapshot, 0, 100);
    run_for(bench, SECOND);

    check_sent(bench, 0, 2, 1, CHUNK_HERE, 100);
    check_sent(bench, 1, 2, 2, CHUNK_GONE, 0);
    check_sent(bench, 2, 2, 3, CHUNK_HERE, 100);
    assert_int_equal(bench->damaged_count, 1); /* a file that cannot be read is no better */
    bench_free(bench);
}

/* Nothing is sent of the part with a flipped bit, everything of all others. */
static void what_is_damaged_is_not_sent_and_told(void **state)
{
    static const uint64_t places[] = {0,
                                      SNAPFILE_HEADER_BYTES - 1,
                                      SNAPFILE_HEADER_BYTES,
                                      FILE_BYTES / 2,
                                      800000,
                                      FILE_BYTES - SNAPFILE_FOOTER_BYTES - 1,
                                      FILE_BYTES - SNAPFILE_FOOTER_BYTES,
                                      FILE_BYTES - 1};
    diag_set_level(DIAG_NOTHING);
    for (size_t place = 0; place < ARRAY_COUNT(places); place++) {
        struct bench *bench = bench_new(0);
        size_t gone_count = 0, pieces_count = 0;
        assert_true(world_disk_flip(bench->world, 1, PATH, places[place], 3));

        for (uint64_t offset = 0; offset < FILE_BYTES; offset += 1000) {
            fetch(bench, 2, ++pieces_count, snapshot, offset, 1000);
            run_for(bench, SECOND / 100);
            const struct snapshot_chunk *chunk = &bench->sent[pieces_count - 1].chunk;
            if (chunk->state == CHUNK_GONE) {
                gone_count++;
                continue;
            }
            assert_false(offset <= places[place] && places[place] < offset + 1000);
            assert_memory_equal(chunk->bytes.data, bench->content + offset, chunk->bytes.count);
        }

        assert_true(gone_count >= 1);
        if (places[place] >= SNAPFILE_HEADER_BYTES) /* without it, nothing can be checked */
            assert_true(gone_count <= BLOCK_BYTES / 1000 + 2);
        assert_int_equal(bench->damaged_count, gone_count);
        assert_true(entry_id_equal(bench->damaged, snapshot));
        bench_free(bench);
    }
}

static void two_snapshots_may_be_fetched_at_a_time(void **state)
{
    struct bench *bench = bench_new(0);

    for (uint64_t number = 1; number <= 6; number++)
        fetch(bench, 2 + number % 2, number, number % 2 ? older : snapshot, number, 3);
    run_for(bench, SECOND);

    for (uint64_t number = 1; number <= 6; number++) {
        check_sent(bench, number - 1, 2 + number % 2, number, CHUNK_HERE, 3);
        assert_memory_equal(bench->sent[number - 1].chunk.bytes.data,
                            (number % 2 ? bench->older_file.data : bench->content) + number, 3);
    }
    bench_free(bench);
}

static void a_file_in_use_stays_readable_until_it_is_given_up(void **state)
{
    struct bench *bench = bench_new(0);
    fetch(bench, 2, 1, older, 0, 9);
    run_for(bench, SECOND);
    assert_int_equal(env_unlink(bench->env, "snap/0000000000000384-0000000000000004.snap"), ST_OK);

    serve_on_pruned(&bench->serve, older.index); /* everything before it: not this one */
    fetch(bench, 2, 2, older, OLDER_BYTES - 5, 9);
    run_for(bench, SECOND);
    check_sent(bench, 1, 2, 2, CHUNK_HERE, 5);

    serve_on_pruned(&bench->serve, snapshot.index);
    fetch(bench, 2, 3, older, 4, 9);
    run_for(bench, SECOND);
    check_sent(bench, 2, 2, 3, CHUNK_GONE, 0);
    bench_free(bench);
}

/* ---- pace ---- */

static void the_rate_is_that_of_all_peers_together(void **state)
{
    struct bench *bench = bench_new(1000000); /* the file in a second */
    uint64_t number = 0;
    time_us start = world_now(bench->world);

    for (uint64_t offset = 0; offset + 50000 <= FILE_BYTES; offset += 50000, number++)
        fetch(bench, number % 2 ? 3 : 2, number + 1, snapshot, offset, 50000);
    run_for(bench, 10 * SECOND);

    assert_int_equal(bench->sent_count, number);
    for (size_t i = 0; i < number; i++) /* less the burst and the piece in advance */
        assert_in_range(bench->sent[i].at - start, i * 50000 - MIN(i * 50000, 70001),
                        i * 50000 + 1000);
    bench_free(bench);
}

static void nothing_is_sent_inside_the_call(void **state)
{
    struct bench *bench = bench_new(0);

    fetch(bench, 2, 1, snapshot, 0, 100);
    assert_int_equal(bench->sent_count, 0);
    run_for(bench, 1);

    assert_int_equal(bench->sent_count, 1);
    bench_free(bench);
}

static void what_could_not_be_sent_costs_nothing_and_is_not_sent_again(void **state)
{
    struct bench *bench = bench_new(1000);

    bench->send_answer = ST_BUSY;
    fetch(bench, 2, 1, snapshot, 0, 100000);
    fetch(bench, 2, 2, snapshot, 100000, 100000);
    run_for(bench, 1000);
    bench->send_answer = ST_OK;
    fetch(bench, 2, 3, snapshot, 0, 100);
    run_for(bench, 1000);

    assert_int_equal(bench->sent_count, 3);
    check_sent(bench, 2, 2, 3, CHUNK_HERE, 100);
    assert_int_equal(bench->serve.sent_bytes, 100);
    bench_free(bench);
}

/* ---- the queue ---- */

static void a_fetch_too_many_is_told_to_come_later(void **state)
{
    struct bench *bench = bench_new(0);

    for (uint64_t number = 1; number <= LIMIT_FETCHES; number++)
        fetch(bench, 2, number, snapshot, number, 10);
    assert_int_equal(bench->sent_count, 0);
    fetch(bench, 3, 77, snapshot, 4321, 10);

    assert_int_equal(bench->sent_count, 1);
    check_sent(bench, 0, 3, 77, CHUNK_BUSY, 0);
    assert_int_equal(bench->sent[0].chunk.offset, 4321);
    run_for(bench, SECOND);
    assert_int_equal(bench->sent_count, 1 + LIMIT_FETCHES);
    bench_free(bench);
}

static void a_fetch_that_is_repeated_is_answered_once_under_its_last_number(void **state)
{
    struct bench *bench = bench_new(1000);
    fetch(bench, 2, 1, snapshot, 0, 1000); /* paid for after a second */
    run_for(bench, 1000);

    for (uint64_t number = 2; number < 200; number++)
        fetch(bench, 2, number, snapshot, 1000, 10);
    fetch(bench, 3, 1, snapshot, 1000, 10);       /* another peer's is another */
    fetch(bench, 2, 200, older, OLDER_BYTES, 10); /* and so is another snapshot's */
    run_for(bench, 10 * SECOND);

    assert_int_equal(bench->sent_count, 4);
    check_sent(bench, 1, 2, 199, CHUNK_HERE, 10);
    check_sent(bench, 2, 3, 1, CHUNK_HERE, 10);
    check_sent(bench, 3, 2, 200, CHUNK_GONE, 0);
    bench_free(bench);
}

static void what_was_asked_on_an_older_link_is_forgotten(void **state)
{
    struct bench *bench = bench_new(0);
    for (uint64_t number = 1; number <= 10; number++)
        fetch(bench, 2 + number % 2, number, snapshot, number, 10);

    serve_forget(&bench->serve, 2);
    run_for(bench, SECOND);

    assert_int_equal(bench->sent_count, 5);
    for (size_t i = 0; i < 5; i++)
        check_sent(bench, i, 3, 2 * i + 1, CHUNK_HERE, 10);
    fetch(bench, 3, 11, snapshot, 0, 10);
    serve_forget(&bench->serve, 3);
    run_for(bench, SECOND);
    assert_int_equal(bench->sent_count, 5);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_fetched_is_what_is_in_the_file),
        cmocka_unit_test(a_piece_is_as_small_as_it_was_asked_for),
        cmocka_unit_test(what_is_not_there_is_gone),
        cmocka_unit_test(a_disk_that_fails_makes_it_gone_and_no_more),
        cmocka_unit_test(what_is_damaged_is_not_sent_and_told),
        cmocka_unit_test(two_snapshots_may_be_fetched_at_a_time),
        cmocka_unit_test(a_file_in_use_stays_readable_until_it_is_given_up),
        cmocka_unit_test(the_rate_is_that_of_all_peers_together),
        cmocka_unit_test(nothing_is_sent_inside_the_call),
        cmocka_unit_test(what_could_not_be_sent_costs_nothing_and_is_not_sent_again),
        cmocka_unit_test(a_fetch_too_many_is_told_to_come_later),
        cmocka_unit_test(a_fetch_that_is_repeated_is_answered_once_under_its_last_number),
        cmocka_unit_test(what_was_asked_on_an_older_link_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
