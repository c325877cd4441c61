/* Receiving a snapshot: in whatever pieces, from whoever has it, with whatever goes wrong. */
#include "unit/storage/snapfile_rig.h"

enum { CONTENT_BYTES = 100000 };

static struct bytes whole; /* the file that is received, made once */
static struct snapshot_info info;

static int make_whole(void **state)
{
    struct env *env = disk_env_new(1);
    struct source source = source_of(5, CONTENT_BYTES, 1000);
    char path[64];
    if (write_one(env, &source, 5, RIG_BLOCK_BYTES) != ST_OK)
        return -1;
    struct bytes bytes = disk_env_peek(env, path_of(5, ".snap", path));
    uint8_t *copy = mem_alloc_raw(bytes.count);
    memcpy(copy, bytes.data, bytes.count);
    whole = bytes_of(copy, bytes.count);
    info = source.info;
    disk_env_free(env);
    return 0;
}

static int free_whole(void **state)
{
    mem_free((void *)whole.data);
    return 0;
}

struct receipt {
    struct env *env;
    struct snapfile_receiver *receiver;
    struct loaded loaded;
    struct errtext error;
    bool is_done;
    enum status status;
};

static void begin(struct receipt *receipt, uint64_t seed)
{
    *receipt = (struct receipt){.env = disk_env_new(seed), .loaded.version = 5};
    assert_int_equal(snapfile_receiver_new(receipt->env, RIG_CLUSTER, &info, loaded_feed,
                                           &receipt->loaded, &receipt->receiver, &receipt->error),
                     ST_OK);
}

static void on_done(void *ctx, enum status status)
{
    struct receipt *receipt = ctx;
    assert_false(receipt->is_done);
    receipt->is_done = true;
    receipt->status = status;
}

/* What a node does: asks for a piece at the offset reached, later when there is no room. */
static enum status receive_from(struct receipt *receipt, uint64_t until, size_t piece_bytes)
{
    uint64_t offset;
    enum status status = ST_OK;
    while (status == ST_OK &&
           (offset = snapfile_receiver_offset(receipt->receiver)) < MIN(until, whole.count)) {
        size_t count = (size_t)MIN((uint64_t)piece_bytes, whole.count - offset);
        while (snapfile_receiver_queued(receipt->receiver) > 64 * 1024 &&
               disk_env_step(receipt->env))
            continue;
        status = snapfile_receiver_put(receipt->receiver, offset,
                                       bytes_of(whole.data + offset, count), &receipt->error);
    }
    return status;
}

static enum status finish(struct receipt *receipt)
{
    snapfile_receiver_finish(receipt->receiver, on_done, receipt);
    assert_false(receipt->is_done); /* never from inside the call */
    run_until(receipt->env, &receipt->is_done);
    return receipt->is_done ? receipt->status : ST_IO;
}

static void end(struct receipt *receipt)
{
    snapfile_receiver_free(receipt->receiver);
    disk_env_free(receipt->env);
}

static void assert_loads(struct env *env)
{
    struct loaded loaded = {0};
    char path[64];
    assert_int_equal(load(env, &loaded), ST_OK);
    assert_int_equal(loaded.count, CONTENT_BYTES);
    assert_false(loaded.is_wrong);
    assert_true(bytes_equal(disk_env_peek(env, path_of(5, ".snap", path)), whole));
}

static void pieces_of_any_size_make_the_same_file(void **state)
{
    static const size_t pieces[] = {1,    7,    23,   24,    25,     511,
                                    4096, 4097, 4120, 30000, 131072, 1000000};
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        struct receipt receipt;
        begin(&receipt, i);

        assert_int_equal(receive_from(&receipt, UINT64_MAX, pieces[i]), ST_OK);
        assert_int_equal(receipt.loaded.count, CONTENT_BYTES);
        assert_false(receipt.loaded.is_wrong);
        assert_int_equal(finish(&receipt), ST_OK);

        disk_env_cut_power(receipt.env);
        assert_loads(receipt.env);
        end(&receipt);
    }
}

static void a_transfer_goes_on_where_it_stopped_with_what_another_node_has(void **state)
{
    for (uint64_t stop = 1; stop < whole.count; stop += 4001) {
        struct receipt receipt;
        begin(&receipt, stop);
        assert_int_equal(receive_from(&receipt, stop, 600), ST_OK);
        disk_env_run(receipt.env, 1000000);

        /* What comes twice, or overlaps, changes nothing. */
        uint64_t reached = snapfile_receiver_offset(receipt.receiver);
        assert_true(reached >= stop);
        assert_int_equal(
            snapfile_receiver_put(receipt.receiver, 0, bytes_of(whole.data, 100), &receipt.error),
            ST_OK);
        uint64_t from = reached - MIN(reached, 333);
        size_t count = (size_t)MIN((uint64_t)1000, whole.count - from);
        assert_int_equal(snapfile_receiver_put(receipt.receiver, from,
                                               bytes_of(whole.data + from, count), &receipt.error),
                         ST_OK);
        assert_int_equal(receive_from(&receipt, UINT64_MAX, 5000), ST_OK);
        assert_int_equal(finish(&receipt), ST_OK);

        assert_loads(receipt.env);
        end(&receipt);
    }
}

static void a_piece_from_further_on_is_not_taken(void **state)
{
    struct receipt receipt;
    begin(&receipt, 1);
    assert_int_equal(receive_from(&receipt, 5000, 1000), ST_OK);
    uint64_t reached = snapfile_receiver_offset(receipt.receiver);

    assert_int_equal(snapfile_receiver_put(receipt.receiver, reached + 1,
                                           bytes_of(whole.data + reached + 1, 100), &receipt.error),
                     ST_BUSY);

    assert_int_equal(snapfile_receiver_offset(receipt.receiver), reached);
    assert_int_equal(receive_from(&receipt, UINT64_MAX, 1000), ST_OK);
    assert_int_equal(finish(&receipt), ST_OK);
    end(&receipt);
}

static void no_more_is_taken_than_may_wait_for_the_disk(void **state)
{
    /* given a file larger than what may be queued */
    struct env *maker = disk_env_new(1);
    struct source source = source_of(5, 2 * LIMIT_SNAPSHOT_QUEUE_BYTES, 60000);
    char path[64];
    assert_int_equal(write_one(maker, &source, 5, 0), ST_OK);
    struct bytes large = disk_env_peek(maker, path_of(5, ".snap", path));
    struct receipt receipt = {.env = disk_env_new(2), .loaded.version = 5};
    assert_int_equal(snapfile_receiver_new(receipt.env, RIG_CLUSTER, &source.info, loaded_feed,
                                           &receipt.loaded, &receipt.receiver, &receipt.error),
                     ST_OK);

    /* when it comes all at once */
    enum status status = ST_OK;
    uint64_t offset = 0;
    while (status == ST_OK) {
        offset = snapfile_receiver_offset(receipt.receiver);
        status = snapfile_receiver_put(receipt.receiver, offset,
                                       bytes_of(large.data + offset, 100000), &receipt.error);
    }

    /* then it has to wait, and goes on later */
    assert_int_equal(status, ST_BUSY);
    assert_true(snapfile_receiver_queued(receipt.receiver) <= LIMIT_SNAPSHOT_QUEUE_BYTES);
    assert_int_equal(snapfile_receiver_offset(receipt.receiver), offset);
    disk_env_run(receipt.env, 1000000);
    assert_int_equal(snapfile_receiver_queued(receipt.receiver), 0);
    assert_int_equal(snapfile_receiver_put(receipt.receiver, offset,
                                           bytes_of(large.data + offset, 100000), &receipt.error),
                     ST_OK);
    end(&receipt);
    disk_env_free(maker);
}

static void a_flipped_bit_is_found_in_the_block_that_has_it(void **state)
{
    for (size_t bit = 0; bit < whole.count * 8; bit += 1013) {
        struct receipt receipt;
        begin(&receipt, bit);
        uint8_t *bad = mem_alloc_raw(whole.count);
        memcpy(bad, whole.data, whole.count);
        bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));

        enum status status =
            snapfile_receiver_put(receipt.receiver, 0, bytes_of(bad, whole.count), &receipt.error);

        assert_true(status == ST_CORRUPT || status == ST_FORMAT);
        assert_non_null(strstr(receipt.error.text, "at offset"));
        assert_false(receipt.loaded.is_wrong); /* nothing unchecked was handed on */
        assert_true(receipt.loaded.count <= bit / 8);
        assert_int_equal(finish(&receipt), status);
        end(&receipt);
        mem_free(bad);
    }
}

static void a_file_of_another_length_or_another_snapshot_is_refused(void **state)
{
    static const int64_t more[] = {-1, 1, -4000, 4000};
    for (size_t i = 0; i < ARRAY_COUNT(more); i++) {
        struct receipt receipt = {.env = disk_env_new(i), .loaded.version = 5};
        struct snapshot_info other = info;
        other.bytes += (uint64_t)more[i];
        assert_int_equal(snapfile_receiver_new(receipt.env, RIG_CLUSTER, &other, loaded_feed,
                                               &receipt.loaded, &receipt.receiver, &receipt.error),
                         ST_OK);
        assert_int_equal(receive_from(&receipt, UINT64_MAX, 1 << 20), ST_CORRUPT);
        end(&receipt);
    }
    struct receipt receipt = {.env = disk_env_new(1), .loaded.version = 5};
    struct snapshot_info other = {id_of(6), info.bytes};
    assert_int_equal(snapfile_receiver_new(receipt.env, RIG_CLUSTER, &other, loaded_feed,
                                           &receipt.loaded, &receipt.receiver, &receipt.error),
                     ST_OK);
    assert_int_equal(receive_from(&receipt, UINT64_MAX, 1 << 20), ST_CORRUPT);
    assert_int_equal(receipt.loaded.count, 0);
    end(&receipt);
}

static void what_is_freed_unfinished_leaves_nothing(void **state)
{
    char path[64];
    for (int steps = 0; steps < 20; steps++) {
        struct receipt receipt;
        begin(&receipt, (uint64_t)steps);
        assert_int_equal(receive_from(&receipt, 90000, 3000), ST_OK);
        for (int i = 0; i < steps; i++)
            (void)disk_env_step(receipt.env);
        snapfile_receiver_free(receipt.receiver);
        disk_env_run(receipt.env, 1000000);

        assert_false(disk_env_exists(receipt.env, path_of(5, ".part", path)));
        assert_false(disk_env_exists(receipt.env, path_of(5, ".snap", path)));
        disk_env_free(receipt.env);
    }
}

static void finishing_before_all_is_there_fails_and_names_nothing(void **state)
{
    char path[64];
    struct receipt receipt;
    begin(&receipt, 1);
    assert_int_equal(receive_from(&receipt, 90000, 3000), ST_OK);

    assert_int_equal(finish(&receipt), ST_CORRUPT);

    assert_false(disk_env_exists(receipt.env, path_of(5, ".snap", path)));
    end(&receipt);
}

static void content_that_its_reader_refuses_ends_the_transfer(void **state)
{
    struct receipt receipt;
    begin(&receipt, 1);
    receipt.loaded.refuse_at = 50000;

    assert_int_equal(receive_from(&receipt, UINT64_MAX, 3000), ST_CORRUPT);

    assert_non_null(strstr(receipt.error.text, "the content is malformed"));
    end(&receipt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_make_the_same_file),
        cmocka_unit_test(a_transfer_goes_on_where_it_stopped_with_what_another_node_has),
        cmocka_unit_test(a_piece_from_further_on_is_not_taken),
        cmocka_unit_test(no_more_is_taken_than_may_wait_for_the_disk),
        cmocka_unit_test(a_flipped_bit_is_found_in_the_block_that_has_it),
        cmocka_unit_test(a_file_of_another_length_or_another_snapshot_is_refused),
        cmocka_unit_test(what_is_freed_unfinished_leaves_nothing),
        cmocka_unit_test(finishing_before_all_is_there_fails_and_names_nothing),
        cmocka_unit_test(content_that_its_reader_refuses_ends_the_transfer),
    };
    return cmocka_run_group_tests(tests, make_whole, free_whole);
}
