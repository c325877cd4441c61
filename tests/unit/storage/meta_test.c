/* The file that says whose data this is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "storage/meta.h"
#include "support/disk_env.h"
#include "support/golden.h"

#define GOLDEN_DIR TEST_SOURCE_DIR "/golden"

static struct meta example(void)
{
    struct meta meta = {.cluster_id = 0x1122334455667788,
                        .identity = 0x99aabbccddeeff00,
                        .node = 2,
                        .has_log = true};
    for (node_id id = 1; id <= 3; id++) {
        struct member member = {.id = id, .is_voter = id != 3};
        (void)snprintf(member.peer.host, sizeof member.peer.host, "10.0.0.%u", id);
        member.peer.port = (uint16_t)(7000 + id);
        assert_int_equal(config_add(&meta.initial, &member), ST_OK);
    }
    return meta;
}

static void assert_meta_equal(const struct meta *a, const struct meta *b)
{
    struct buf left, right;
    buf_init(&left, 4096);
    buf_init(&right, 4096);
    meta_encode(a, &left);
    meta_encode(b, &right);
    assert_true(bytes_equal(buf_bytes(&left), buf_bytes(&right)));
    buf_release(&left);
    buf_release(&right);
}

static void every_byte_of_meta_is_as_documented(void **state)
{
    struct meta meta = example();
    struct buf bytes;
    buf_init(&bytes, 4096);

    meta_encode(&meta, &bytes);

    assert_true(golden_matches(GOLDEN_DIR, "meta/meta", buf_bytes(&bytes)));
    buf_release(&bytes);
}

static void what_is_saved_is_loaded_after_a_power_cut(void **state)
{
    struct env *env = disk_env_new(1);
    struct meta meta = example(), loaded;
    struct errtext error;
    assert_int_equal(meta_load(env, &loaded, &error), ST_NOT_FOUND);

    assert_int_equal(meta_save(env, &meta, &error), ST_OK);
    disk_env_cut_power(env);

    assert_int_equal(meta_load(env, &loaded, &error), ST_OK);
    assert_meta_equal(&meta, &loaded);
    disk_env_free(env);
}

static void a_crash_while_saving_leaves_all_or_nothing(void **state)
{
    struct meta meta = example(), loaded;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        bool was_cut = true;
        for (uint64_t op = 1; was_cut; op++) {
            /* given a save that dies at its k-th operation */
            struct env *env = disk_env_new(seed);
            struct errtext error;
            disk_env_die_at(env, op);
            enum status saved = meta_save(env, &meta, &error);
            was_cut = disk_env_is_dead(env);

            /* when the power fails */
            disk_env_cut_power(env);

            /* then the file is whole or not there, and it is there if the save said so */
            enum status status = meta_load(env, &loaded, &error);
            if (status == ST_OK)
                assert_meta_equal(&meta, &loaded);
            else
                assert_int_equal(status, ST_NOT_FOUND);
            assert_true(IMPLIES(saved == ST_OK, status == ST_OK));

            /* and saving again works over what was left behind */
            assert_int_equal(meta_save(env, &meta, &error), ST_OK);
            assert_int_equal(meta_load(env, &loaded, &error), ST_OK);
            disk_env_free(env);
        }
    }
}

static void what_was_loaded_survives_a_power_cut(void **state)
{
    struct meta meta = example(), loaded;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        /* given a process that died somewhere in saving */
        struct env *env = disk_env_new(seed);
        struct errtext error;
        disk_env_die_at(env, 2 + seed % 5);
        enum status saved = meta_save(env, &meta, &error);
        assert_true(saved == ST_OK || disk_env_is_dead(env));
        disk_env_kill(env);

        /* when the next one finds the file and the power fails */
        enum status status = meta_load(env, &loaded, &error);
        disk_env_cut_power(env);

        /* then it is still there */
        if (status == ST_OK)
            assert_int_equal(meta_load(env, &loaded, &error), ST_OK);
        disk_env_free(env);
    }
}

static void an_error_while_saving_is_reported(void **state)
{
    struct meta meta = example();
    struct errtext error;
    for (uint64_t op = 2;; op++) { /* the first operation removes what is not there */
        struct env *env = disk_env_new(op);
        disk_env_fail_at(env, op, ST_IO);
        enum status status = meta_save(env, &meta, &error);
        uint64_t ops = disk_env_ops(env);
        disk_env_free(env);
        if (ops < op)
            break;
        assert_int_equal(status, ST_IO);
    }
}

static void any_flipped_bit_is_damage(void **state)
{
    struct meta meta = example(), decoded;
    struct errtext error;
    struct buf bytes;
    buf_init(&bytes, 4096);
    meta_encode(&meta, &bytes);
    for (size_t bit = 0; bit < bytes.count * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(meta_decode(buf_bytes(&bytes), &decoded, &error), ST_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_release(&bytes);
}

static void a_file_of_another_length_is_damage(void **state)
{
    struct env *env = disk_env_new(1);
    struct meta meta = example(), loaded;
    struct errtext error;
    assert_int_equal(meta_save(env, &meta, &error), ST_OK);
    uint64_t whole = disk_env_peek(env, "meta").count;
    for (uint64_t count = 0; count < whole + 3; count++) {
        struct env *copy = disk_env_copy(env, 1);
        disk_env_truncate(copy, "meta", count);
        assert_int_equal(meta_load(copy, &loaded, &error), count == whole ? ST_OK : ST_CORRUPT);
        disk_env_free(copy);
    }
    disk_env_free(env);
}

static void another_version_is_refused_by_its_number(void **state)
{
    struct meta meta = example(), decoded;
    struct errtext error;
    struct buf bytes;
    buf_init(&bytes, 4096);
    meta_encode(&meta, &bytes);

    store_u32(bytes.data + 4, 9);
    store_u32(bytes.data, crc32c(0, bytes_of(bytes.data + 4, bytes.count - 4)));

    assert_int_equal(meta_decode(buf_bytes(&bytes), &decoded, &error), ST_FORMAT);
    assert_non_null(strstr(error.text, "version 9"));
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_meta_is_as_documented),
        cmocka_unit_test(what_is_saved_is_loaded_after_a_power_cut),
        cmocka_unit_test(a_crash_while_saving_leaves_all_or_nothing),
        cmocka_unit_test(what_was_loaded_survives_a_power_cut),
        cmocka_unit_test(an_error_while_saving_is_reported),
        cmocka_unit_test(any_flipped_bit_is_damage),
        cmocka_unit_test(a_file_of_another_length_is_damage),
        cmocka_unit_test(another_version_is_refused_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
