/* Entries and the proposals in them: shared, sealed, and checked end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "types/entry.h"
#include "types/proposal.h"

static struct entry *entry_of(enum entry_type type, raft_term term, raft_index index,
                              const char *data)
{
    struct entry *entry = entry_new(type, strlen(data));
    if (entry->data_bytes != 0)
        memcpy(entry->data, data, entry->data_bytes);
    entry_seal(entry, (struct entry_id){.term = term, .index = index});
    return entry;
}

static void an_entry_comes_out_as_it_went_in(void **state)
{
    static const char *const data[] = {"", "x", "some longer data"};
    for (unsigned type = ENTRY_NOOP; type <= ENTRY_CONFIG; type++)
        for (size_t i = 0; i < 3; i++) {
            struct entry *entry = entry_of((enum entry_type)type, 3, UINT64_MAX, data[i]), *out;
            struct buf buf;
            buf_init(&buf, 4096);
            entry_encode(entry, &buf);
            assert_int_equal(buf.count, entry_bytes(entry));
            assert_int_equal(buf.count, ENTRY_HEADER_BYTES + strlen(data[i]));

            struct cursor cursor = cursor_of(buf_bytes(&buf));
            assert_int_equal(entry_decode(&cursor, &out), ST_OK);

            assert_true(cursor_is_done(&cursor));
            assert_int_equal(out->type, type);
            assert_true(entry_id_equal(out->id, entry->id));
            assert_int_equal(out->checksum, entry->checksum);
            assert_int_equal(out->refs_count, 1);
            assert_true(bytes_equal(entry_data(out), entry_data(entry)));
            entry_unref(entry);
            entry_unref(out);
            buf_release(&buf);
        }
}

static void the_bytes_are_laid_out_as_documented(void **state)
{
    struct entry *entry = entry_of(ENTRY_COMMAND, 0x0102, 0x0304, "ab");
    struct buf buf;
    buf_init(&buf, 4096);

    entry_encode(entry, &buf);

    assert_memory_equal(buf.data, "\2\0\0\0", 4);
    assert_memory_equal(buf.data + 8, "\2\1\0\0\0\0\0\0\4\3\0\0\0\0\0\0\2\0\0\0ab", 22);
    uint32_t checksum = crc32c(0, BYTES_LITERAL("\2\2\1\0\0\0\0\0\0\4\3\0\0\0\0\0\0"));
    assert_int_equal(load_u32(buf.data + 4), crc32c(checksum, BYTES_LITERAL("ab")));
    entry_unref(entry);
    buf_release(&buf);
}

static void an_entry_cut_at_any_byte_is_short(void **state)
{
    struct entry *entry = entry_of(ENTRY_COMMAND, 1, 1, "some data"), *out;
    struct buf buf;
    buf_init(&buf, 4096);
    entry_encode(entry, &buf);

    for (size_t cut = 0; cut < buf.count; cut++) {
        uint8_t *copy = mem_alloc_raw(cut);
        memcpy(copy, buf.data, cut);
        struct cursor cursor = cursor_of(bytes_of(copy, cut));
        assert_int_equal(entry_decode(&cursor, &out), ST_SHORT);
        mem_free(copy);
    }
    entry_unref(entry);
    buf_release(&buf);
}

static void an_entry_with_any_bit_changed_is_not_taken(void **state)
{
    struct entry *entry = entry_of(ENTRY_COMMAND, 77, 99, "some data"), *out;
    struct buf buf;
    buf_init(&buf, 4096);
    entry_encode(entry, &buf);

    for (size_t bit = 0; bit < buf.count * 8; bit++) {
        buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct cursor cursor = cursor_of(buf_bytes(&buf));
        assert_int_not_equal(entry_decode(&cursor, &out), ST_OK);
        buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    entry_unref(entry);
    buf_release(&buf);
}

static void each_kind_of_damage_has_its_status(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
        enum status status;
    } cases[] = {
        {0, 0, ST_FORMAT},          {0, ENTRY_CONFIG + 1, ST_FORMAT},
        {0, 0x10002, ST_FORMAT},    {0, ENTRY_NOOP, ST_CORRUPT},
        {4, 0, ST_CORRUPT},         {8, 1, ST_CORRUPT},
        {16, 0, ST_FORMAT},         {24, LIMIT_ENTRY_BYTES + 1, ST_LIMIT},
        {24, UINT32_MAX, ST_LIMIT}, {24, LIMIT_ENTRY_BYTES, ST_SHORT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct entry *entry = entry_of(ENTRY_COMMAND, 77, 99, "some data"), *out;
        struct buf buf;
        buf_init(&buf, 4096);
        entry_encode(entry, &buf);
        store_u32(buf.data + cases[i].at, cases[i].value);
        struct cursor cursor = cursor_of(buf_bytes(&buf));
        assert_int_equal(entry_decode(&cursor, &out), cases[i].status);
        entry_unref(entry);
        buf_release(&buf);
    }
}

static void the_checksum_binds_the_data_to_its_place(void **state)
{
    struct entry *entry = entry_of(ENTRY_COMMAND, 1, 1, "data");
    struct entry *others[] = {
        entry_of(ENTRY_COMMAND, 2, 1, "data"), entry_of(ENTRY_COMMAND, 1, 2, "data"),
        entry_of(ENTRY_CONFIG, 1, 1, "data"), entry_of(ENTRY_COMMAND, 1, 1, "date")};

    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_int_not_equal(entry->checksum, others[i]->checksum);
        entry_unref(others[i]);
    }
    entry_unref(entry);
}

static void references_are_counted(void **state)
{
    struct entry *entry = entry_of(ENTRY_NOOP, 1, 1, "");

    assert_ptr_equal(entry_ref(entry), entry);
    assert_int_equal(entry->refs_count, 2);
    entry_unref(entry);
    assert_int_equal(entry->refs_count, 1);
    entry_unref(entry); /* the address sanitizer sees the rest */
    entry_unref(NULL);
}

static void the_largest_entry_fits_and_a_full_buf_takes_none(void **state)
{
    struct entry *entry = entry_new(ENTRY_COMMAND, LIMIT_ENTRY_BYTES), *out;
    struct buf buf;
    memset(entry->data, 0x5a, LIMIT_ENTRY_BYTES);
    entry_seal(entry, (struct entry_id){.term = 1, .index = 1});
    buf_init(&buf, entry_bytes(entry));

    entry_encode(entry, &buf);
    assert_false(buf.is_full);
    struct cursor cursor = cursor_of(buf_bytes(&buf));
    assert_int_equal(entry_decode(&cursor, &out), ST_OK);
    entry_encode(entry, &buf);
    assert_true(buf.is_full);
    assert_int_equal(buf.count, entry_bytes(entry));

    entry_unref(entry);
    entry_unref(out);
    buf_release(&buf);
}

static void logs_are_compared_by_term_and_then_by_index(void **state)
{
    static const struct entry_id rising[] = {{0, 0}, {1, 1}, {1, 9}, {2, 2}, {2, 3}};
    for (size_t i = 0; i < ARRAY_COUNT(rising); i++)
        for (size_t k = 0; k < ARRAY_COUNT(rising); k++) {
            int order = entry_id_compare(rising[i], rising[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            assert_int_equal(entry_id_equal(rising[i], rising[k]), i == k);
        }
}

static void a_proposal_comes_out_as_it_went_in(void **state)
{
    struct proposal proposal = {.origin = {.node = 3, .incarnation = UINT64_MAX, .number = 17},
                                .stamp_us = 0x0102030405060708u,
                                .command = BYTES_LITERAL("command")},
                    out;
    struct buf buf;
    buf_init(&buf, 4096);
    assert_true(buf_reserve(&buf, PROPOSAL_HEADER_BYTES));
    proposal_encode_header(&proposal, buf.data);
    buf.count = PROPOSAL_HEADER_BYTES;
    buf_put(&buf, proposal.command);

    assert_int_equal(proposal_decode(buf_bytes(&buf), &out), ST_OK);

    assert_int_equal(out.origin.node, 3);
    assert_true(out.origin.incarnation == UINT64_MAX);
    assert_int_equal(out.origin.number, 17);
    assert_true(out.stamp_us == proposal.stamp_us);
    assert_true(bytes_equal(out.command, proposal.command));
    for (size_t cut = 0; cut < PROPOSAL_HEADER_BYTES; cut++)
        assert_int_equal(proposal_decode(bytes_of(buf.data, cut), &out), ST_SHORT);
    assert_int_equal(proposal_decode(bytes_of(buf.data, PROPOSAL_HEADER_BYTES), &out), ST_OK);
    assert_int_equal(out.command.count, 0);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_comes_out_as_it_went_in),
        cmocka_unit_test(the_bytes_are_laid_out_as_documented),
        cmocka_unit_test(an_entry_cut_at_any_byte_is_short),
        cmocka_unit_test(an_entry_with_any_bit_changed_is_not_taken),
        cmocka_unit_test(each_kind_of_damage_has_its_status),
        cmocka_unit_test(the_checksum_binds_the_data_to_its_place),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(the_largest_entry_fits_and_a_full_buf_takes_none),
        cmocka_unit_test(logs_are_compared_by_term_and_then_by_index),
        cmocka_unit_test(a_proposal_comes_out_as_it_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
