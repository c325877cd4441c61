/* Messages, envelopes, pieces of snapshots: what decodes encodes to the same bytes, and what is out
 * of shape does not decode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "wire_samples.h"

static struct message_in in; /* too large for a stack frame's taste */

/* Decodes a message and checks that it encodes to what it came from. */
static enum status decode_message(struct bytes bytes)
{
    enum status status = message_decode(bytes, &in);
    if (status != ST_OK)
        return status;
    struct buf again;
    buf_init(&again, LIMIT_FRAME_BYTES);
    message_encode(&in.message, &in.leader_http, &again);
    assert_true(bytes_equal(buf_bytes(&again), bytes));
    buf_release(&again);
    message_in_release(&in);
    return ST_OK;
}

static enum status decode_forward(struct bytes bytes)
{
    struct cursor cursor = cursor_of(bytes);
    struct buf again;
    enum status status = ST_OK;
    buf_init(&again, LIMIT_FRAME_BYTES);
    while (status == ST_OK && !cursor_is_done(&cursor)) {
        struct envelope envelope;
        status = envelope_decode(&cursor, &envelope);
        if (status == ST_OK)
            envelope_encode(&envelope, &again);
    }
    if (status == ST_OK)
        assert_true(bytes_equal(buf_bytes(&again), bytes));
    buf_release(&again);
    return status;
}

static enum status decode_refused(struct bytes bytes)
{
    struct cursor cursor = cursor_of(bytes);
    struct buf again;
    enum status status = ST_OK;
    buf_init(&again, LIMIT_FRAME_BYTES);
    while (status == ST_OK && !cursor_is_done(&cursor)) {
        struct envelope_refusal refusal;
        status = envelope_refusal_decode(&cursor, &refusal);
        if (status == ST_OK)
            envelope_refusal_encode(&refusal, &again);
    }
    if (status == ST_OK)
        assert_true(bytes_equal(buf_bytes(&again), bytes));
    buf_release(&again);
    return status;
}

static enum status decode_fetch(struct bytes bytes)
{
    struct snapshot_fetch fetch;
    struct buf again;
    enum status status = snapshot_fetch_decode(bytes, &fetch);
    if (status != ST_OK)
        return status;
    buf_init(&again, LIMIT_FRAME_BYTES);
    snapshot_fetch_encode(&fetch, &again);
    assert_true(bytes_equal(buf_bytes(&again), bytes));
    buf_release(&again);
    return ST_OK;
}

static enum status decode_chunk(struct bytes bytes)
{
    struct snapshot_chunk chunk;
    struct buf again;
    enum status status = snapshot_chunk_decode(bytes, &chunk);
    if (status != ST_OK)
        return status;
    buf_init(&again, LIMIT_FRAME_BYTES);
    snapshot_chunk_encode(&chunk, &again);
    assert_true(bytes_equal(buf_bytes(&again), bytes));
    buf_release(&again);
    return ST_OK;
}

static enum status decode_body(enum frame_type type, struct bytes body)
{
    if (type == FRAME_MESSAGE)
        return decode_message(body);
    if (type == FRAME_FETCH)
        return decode_fetch(body);
    if (type == FRAME_CHUNK)
        return decode_chunk(body);
    return type == FRAME_FORWARD ? decode_forward(body) : decode_refused(body);
}

static bool has_codec(enum frame_type type)
{
    return type == FRAME_MESSAGE || type == FRAME_FORWARD || type == FRAME_REFUSED ||
           type == FRAME_FETCH || type == FRAME_CHUNK;
}

/* Calls `check` with type and body of each sample that this codec is for. */
static void for_each_sample(void (*check)(const char *name, enum frame_type, struct bytes))
{
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        struct buf frame;
        enum frame_type type;
        struct bytes body;
        size_t count;
        buf_init(&frame, LIMIT_FRAME_BYTES);
        samples[i].encode(&frame);
        assert_int_equal(frame_next(buf_bytes(&frame), LIMIT_FRAME_BYTES, &type, &body, &count),
                         ST_OK);
        if (has_codec(type))
            check(samples[i].name, type, body);
        buf_release(&frame);
    }
}

static void check_round_trip(const char *name, enum frame_type type, struct bytes body)
{
    if (decode_body(type, body) != ST_OK)
        fail_msg("%s does not decode", name);
}

static void every_sample_survives_the_round_trip(void **state)
{
    for_each_sample(check_round_trip);
}

static void check_cuts(const char *name, enum frame_type type, struct bytes body)
{
    for (size_t cut = 1; cut < body.count; cut++) {
        /* In memory of exactly this size, for the address sanitizer. */
        uint8_t *copy = mem_alloc_raw(cut);
        memcpy(copy, body.data, cut);
        enum status status = decode_body(type, bytes_of(copy, cut));
        mem_free(copy);
        bool has_items = type == FRAME_FORWARD || type == FRAME_REFUSED;
        bool is_item_end = status == ST_OK && has_items; /* fewer items, all whole */
        if (status != ST_SHORT && !is_item_end)
            fail_msg("%s cut to %zu bytes: %s", name, cut, status_info(status)->name);
    }
}

static void a_body_cut_at_any_byte_is_short(void **state)
{
    for_each_sample(check_cuts);
}

static void check_trailing(const char *name, enum frame_type type, struct bytes body)
{
    struct buf longer;
    buf_init(&longer, LIMIT_FRAME_BYTES);
    buf_put(&longer, body);
    buf_put_u8(&longer, 0);
    if (decode_body(type, buf_bytes(&longer)) == ST_OK)
        fail_msg("%s decodes with a byte behind it", name);
    buf_release(&longer);
}

static void a_byte_behind_the_last_field_is_an_error(void **state)
{
    for_each_sample(check_trailing);
}

/* Whatever still decodes after a change must mean exactly what its bytes say. */
static void check_changes(const char *name, enum frame_type type, struct bytes body)
{
    uint8_t *copy = mem_alloc_raw(body.count);
    for (size_t at = 0; at < body.count; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(copy, body.data, body.count);
            copy[at] = (uint8_t)value;
            (void)decode_body(type, bytes_of(copy, body.count));
        }
    mem_free(copy);
}

static void any_changed_byte_keeps_the_round_trip_property(void **state)
{
    for_each_sample(check_changes);
}

static void check_noise(const char *name, enum frame_type type, struct bytes body)
{
    const uint64_t seed = 7;
    struct prng prng;
    prng_init(&prng, seed);
    uint8_t *copy = mem_alloc_raw(body.count);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, body.data, body.count);
        for (uint64_t changes = 1 + prng_below(&prng, 6); changes > 0; changes--)
            copy[prng_below(&prng, body.count)] = (uint8_t)prng_next(&prng);
        (void)decode_body(type, bytes_of(copy, body.count));
    }
    mem_free(copy);
}

static void noise_keeps_the_round_trip_property(void **state)
{
    for_each_sample(check_noise);
}

/* ---- shapes ---- */

static enum status status_of(const struct message *message, const struct address *http)
{
    struct buf buf;
    buf_init(&buf, 2 * LIMIT_FRAME_BYTES);
    message_encode(message, http, &buf);
    enum status status = decode_message(buf_bytes(&buf));
    buf_release(&buf);
    return status;
}

static struct message append_of(struct entry_id prev, raft_term term, struct entry **entries,
                                uint32_t entries_count)
{
    struct message message = {.type = MESSAGE_APPEND, .from = 1, .to = 2, .term = term};
    message.append.prev = prev;
    message.append.entries = entries;
    message.append.entries_count = entries_count;
    return message;
}

static enum status status_of_entries(struct entry_id prev, raft_term term, struct entry_id first,
                                     struct entry_id second)
{
    struct entry *entries[2] = {sample_entry(ENTRY_COMMAND, first.term, first.index, "a"),
                                sample_entry(ENTRY_COMMAND, second.term, second.index, "b")};
    struct message message = append_of(prev, term, entries, 2);
    enum status status = status_of(&message, NULL);
    entry_unref(entries[0]);
    entry_unref(entries[1]);
    return status;
}

static struct entry_id id(raft_term term, raft_index index)
{
    return (struct entry_id){.term = term, .index = index};
}

static void entries_of_an_append_are_a_slice_of_one_log(void **state)
{
    assert_int_equal(status_of_entries(id(2, 10), 5, id(3, 11), id(5, 12)), ST_OK);
    assert_int_equal(status_of_entries(id(0, 0), 5, id(1, 1), id(1, 2)), ST_OK);
    assert_int_equal(status_of_entries(id(2, 10), 5, id(3, 12), id(5, 13)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(2, 10), 5, id(3, 11), id(5, 13)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(2, 10), 5, id(3, 11), id(5, 11)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(2, 10), 5, id(1, 11), id(5, 12)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(2, 10), 5, id(3, 11), id(2, 12)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(2, 10), 5, id(3, 11), id(6, 12)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(6, 10), 5, id(6, 11), id(6, 12)), ST_FORMAT);
    assert_int_equal(status_of_entries(id(0, 10), 5, id(1, 11), id(1, 12)), ST_FORMAT);
}

static void an_entry_with_a_bad_checksum_does_not_pass(void **state)
{
    struct entry *entry = sample_entry(ENTRY_COMMAND, 5, 11, "abc");
    struct message message = append_of(id(5, 10), 5, &entry, 1);

    assert_int_equal(status_of(&message, NULL), ST_OK);
    entry->data[1] ^= 1;
    assert_int_equal(status_of(&message, NULL), ST_CORRUPT);
    entry_unref(entry);
}

static void an_append_holds_as_many_entries_as_the_limit_and_no_more(void **state)
{
    struct entry *entries[LIMIT_APPEND_ENTRIES];
    struct buf buf;
    for (uint32_t i = 0; i < LIMIT_APPEND_ENTRIES; i++)
        entries[i] = sample_entry(ENTRY_COMMAND, 5, 11 + i, "x");
    struct message message = append_of(id(5, 10), 5, entries, LIMIT_APPEND_ENTRIES);

    assert_int_equal(status_of(&message, NULL), ST_OK);
    buf_init(&buf, LIMIT_FRAME_BYTES);
    message_encode(&message, NULL, &buf);
    store_u32(buf.data + 20 + 32 + 1, LIMIT_APPEND_ENTRIES + 1); /* head, fields, no address */
    assert_int_equal(decode_message(buf_bytes(&buf)), ST_LIMIT);

    buf_release(&buf);
    for (uint32_t i = 0; i < LIMIT_APPEND_ENTRIES; i++)
        entry_unref(entries[i]);
}

static void the_address_of_the_leader_is_in_its_one_form(void **state)
{
    static const struct {
        const char *text;
        enum status status;
    } cases[] = {
        {"127.0.0.1:8081", ST_OK},
        {"[::1]:8081", ST_OK},
        {":8081", ST_OK},
        {"host.example:1", ST_OK},
        {"127.0.0.1:08081", ST_FORMAT},
        {"http://127.0.0.1:8081", ST_FORMAT},
        {"HOST:8081", ST_FORMAT},
        {"127.0.0.1", ST_FORMAT},
        {"127.0.0.1:0", ST_FORMAT},
        {"a b:1", ST_FORMAT},
        {"a\nb:1", ST_FORMAT},
        {"[::1]8081", ST_FORMAT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf buf;
        struct message message = append_of(id(5, 10), 5, NULL, 0);
        buf_init(&buf, 4096);
        message_encode(&message, NULL, &buf);
        buf.count -= 5; /* no address, no entries */
        buf_put_u8(&buf, (uint8_t)strlen(cases[i].text));
        buf_put_text(&buf, cases[i].text);
        buf_put_u32(&buf, 0);
        if (decode_message(buf_bytes(&buf)) != cases[i].status)
            fail_msg("%s", cases[i].text);
        buf_release(&buf);
    }
}

static void ids_terms_and_indexes_have_ranges(void **state)
{
    struct message good = append_of(id(5, 10), 5, NULL, 0), message;
    struct buf buf;

    message = good, message.term = (uint64_t)INT64_MAX;
    assert_int_equal(status_of(&message, NULL), ST_OK);
    message = good, message.term = (uint64_t)INT64_MAX + 1;
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);
    message = good, message.term = 0, message.append.prev = id(0, 0);
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);
    message = good, message.append.commit = UINT64_MAX;
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);
    message = good, message.append.prev.index = UINT64_MAX;
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);

    static const uint32_t bad_ids[] = {0, NODE_ID_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 2 * ARRAY_COUNT(bad_ids); i++) {
        buf_init(&buf, 4096);
        message_encode(&good, NULL, &buf);
        store_u32(buf.data + 4 + i % 2 * 4, bad_ids[i / 2]); /* from, to */
        assert_int_equal(decode_message(buf_bytes(&buf)), ST_FORMAT);
        buf_release(&buf);
    }
}

static void nobody_campaigns_in_a_term_below_its_own_log(void **state)
{
    struct message message = {.type = MESSAGE_VOTE, .from = 1, .to = 2, .term = 5};

    message.vote.last = id(5, 10);
    assert_int_equal(status_of(&message, NULL), ST_OK);
    message.vote.last = id(0, 0);
    assert_int_equal(status_of(&message, NULL), ST_OK);
    message.vote.last = id(6, 10);
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);
    message.vote.last = id(0, 10);
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);
    message.term = 0, message.vote.last = id(0, 0);
    assert_int_equal(status_of(&message, NULL), ST_FORMAT);
}

static void an_offer_is_of_a_snapshot_that_the_leader_knows_to_be_committed(void **state)
{
    struct message good = {.type = MESSAGE_SNAPSHOT, .from = 1, .to = 2, .term = 5}, bad;
    good.snapshot.last = id(4, 10);
    good.snapshot.bytes = 1;
    good.snapshot.commit = 10;

    assert_int_equal(status_of(&good, NULL), ST_OK);
    bad = good, bad.snapshot.last = id(5, 10), bad.snapshot.read_round = UINT64_MAX;
    assert_int_equal(status_of(&bad, NULL), ST_OK);
    bad = good, bad.snapshot.last = id(6, 10);
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
    bad = good, bad.snapshot.last = id(0, 10);
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
    bad = good, bad.snapshot.last = id(0, 0);
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
    bad = good, bad.snapshot.commit = 9;
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
    bad = good, bad.snapshot.commit = UINT64_MAX;
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
    bad = good, bad.snapshot.bytes = 0;
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
    bad = good, bad.snapshot.bytes = UINT64_MAX;
    assert_int_equal(status_of(&bad, NULL), ST_FORMAT);
}

static void unknown_types_and_flags_are_refused(void **state)
{
    struct message message = {.type = MESSAGE_TIMEOUT_NOW, .from = 1, .to = 2, .term = 5};
    for (unsigned type = 0; type < 256; type++)
        for (unsigned flag = 0; flag < 3; flag++) {
            struct buf buf;
            buf_init(&buf, 4096);
            message_encode(&message, NULL, &buf); /* a bare head, enough for three types */
            buf.data[0] = (uint8_t)type;
            buf.data[1] = (uint8_t)flag;
            bool is_bare = type == MESSAGE_PRE_VOTE_REPLY || type == MESSAGE_VOTE_REPLY;
            bool is_good = (is_bare && flag < 2) || (type == MESSAGE_TIMEOUT_NOW && flag == 0);
            assert_int_equal(decode_message(buf_bytes(&buf)) == ST_OK, is_good);
            buf_release(&buf);
        }
}

/* ---- envelopes ---- */

static enum status status_of_envelope(struct envelope envelope)
{
    struct buf buf;
    buf_init(&buf, LIMIT_FRAME_BYTES);
    envelope_encode(&envelope, &buf);
    enum status status = decode_forward(buf_bytes(&buf));
    buf_release(&buf);
    return status;
}

static void an_envelope_has_all_its_fields(void **state)
{
    uint8_t *largest = mem_alloc(LIMIT_COMMAND_BYTES);
    struct envelope good = {.cluster_id = 1,
                            .to = 2,
                            .term = 3,
                            .number = 4,
                            .deadline_ms = 0,
                            .hops = 1,
                            .command = BYTES_LITERAL("x")},
                    bad;

    assert_int_equal(status_of_envelope(good), ST_OK);
    bad = good, bad.command = bytes_of(largest, LIMIT_COMMAND_BYTES), bad.hops = 255;
    assert_int_equal(status_of_envelope(bad), ST_OK);
    bad = good, bad.cluster_id = 0;
    assert_int_equal(status_of_envelope(bad), ST_FORMAT);
    bad = good, bad.to = 0;
    assert_int_equal(status_of_envelope(bad), ST_FORMAT);
    bad = good, bad.term = 0;
    assert_int_equal(status_of_envelope(bad), ST_FORMAT);
    bad = good, bad.term = UINT64_MAX;
    assert_int_equal(status_of_envelope(bad), ST_FORMAT);
    bad = good, bad.number = 0;
    assert_int_equal(status_of_envelope(bad), ST_FORMAT);
    bad = good, bad.hops = 0;
    assert_int_equal(status_of_envelope(bad), ST_FORMAT);
    mem_free(largest);
}

static void a_command_beyond_the_limit_is_refused_by_its_length(void **state)
{
    struct buf buf;
    struct envelope envelope = {.cluster_id = 1, .to = 2, .term = 3, .number = 4, .hops = 1};
    envelope.command = BYTES_LITERAL("x");
    buf_init(&buf, 4096);

    envelope_encode(&envelope, &buf);
    store_u32(buf.data + 36, LIMIT_COMMAND_BYTES + 1);
    assert_int_equal(decode_forward(buf_bytes(&buf)), ST_LIMIT);
    store_u32(buf.data + 36, 0);
    assert_int_equal(decode_forward(buf_bytes(&buf)), ST_FORMAT);
    buf_release(&buf);
}

static void a_refusal_carries_any_status_that_did_nothing_and_no_other(void **state)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        const struct status_info *info = status_info((enum status)i);
        struct buf buf;
        struct envelope_refusal out = {.status = ST_OK};
        buf_init(&buf, 256);
        buf_put_u64(&buf, 5);
        buf_put_u64(&buf, 6);
        buf_put_u8(&buf, (uint8_t)strlen(info->code));
        buf_put_text(&buf, info->code);
        struct cursor cursor = cursor_of(buf_bytes(&buf));

        enum status status = envelope_refusal_decode(&cursor, &out);

        assert_int_equal(status, info->effect == EFFECT_NONE ? ST_OK : ST_FORMAT);
        assert_int_equal(out.status, info->effect == EFFECT_NONE ? i : ST_OK);
        buf_release(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_survives_the_round_trip),
        cmocka_unit_test(a_body_cut_at_any_byte_is_short),
        cmocka_unit_test(a_byte_behind_the_last_field_is_an_error),
        cmocka_unit_test(any_changed_byte_keeps_the_round_trip_property),
        cmocka_unit_test(noise_keeps_the_round_trip_property),
        cmocka_unit_test(entries_of_an_append_are_a_slice_of_one_log),
        cmocka_unit_test(an_entry_with_a_bad_checksum_does_not_pass),
        cmocka_unit_test(an_append_holds_as_many_entries_as_the_limit_and_no_more),
        cmocka_unit_test(the_address_of_the_leader_is_in_its_one_form),
        cmocka_unit_test(ids_terms_and_indexes_have_ranges),
        cmocka_unit_test(nobody_campaigns_in_a_term_below_its_own_log),
        cmocka_unit_test(an_offer_is_of_a_snapshot_that_the_leader_knows_to_be_committed),
        cmocka_unit_test(unknown_types_and_flags_are_refused),
        cmocka_unit_test(an_envelope_has_all_its_fields),
        cmocka_unit_test(a_command_beyond_the_limit_is_refused_by_its_length),
        cmocka_unit_test(a_refusal_carries_any_status_that_did_nothing_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
