/* The loader: a state out of pieces of any size, and out of nothing that is not one. */
#include "image_fixture.h"
#include "kv/state_format.h"

static struct kv_loader *new_loader(void)
{
    return kv_loader_new(&image_options);
}

/* In pieces of `bytes_max`, each a copy of its own size, so that a sanitizer sees a read behind it.
 */
static enum status load(struct bytes in, size_t bytes_max, struct kv **out_kv)
{
    struct kv_loader *loader = new_loader();
    for (size_t at = 0; at < in.count; at += bytes_max) {
        size_t count = MIN(bytes_max, in.count - at);
        uint8_t *piece = mem_alloc_raw(count);
        memcpy(piece, in.data + at, count);
        enum status status = kv_loader_feed(loader, bytes_of(piece, count));
        mem_free(piece);
        if (status != ST_OK)
            break;
    }
    return kv_loader_finish(loader, out_kv);
}

static void assert_same_state(const struct kv *a, const struct kv *b)
{
    struct buf left = image_bytes_of(a), right = image_bytes_of(b);
    kv_check(b);
    assert_true(kv_digest(a) == kv_digest(b));
    assert_true(bytes_equal(buf_bytes(&left), buf_bytes(&right)));
    buf_release(&left);
    buf_release(&right);
}

static void pieces_of_every_size_make_the_same_state(void **state)
{
    (void)state;
    struct image_play play;
    image_play_start(&play, 5);
    image_play_some(&play, 300);
    struct buf bytes = image_bytes_of(play.kv);
    for (size_t bytes_max = 1; bytes_max <= bytes.count; bytes_max++) {
        struct kv *made = NULL;

        assert_int_equal(load(buf_bytes(&bytes), bytes_max, &made), ST_OK);

        assert_true(kv_digest(made) == kv_digest(play.kv));
        if (bytes_max % 64 == 1)
            assert_same_state(play.kv, made);
        kv_free(made);
        if (bytes_max >= 200)
            bytes_max += bytes_max / 8;
    }
    buf_release(&bytes);
    fixture_free(play.kv);
}

/* Both go on alike: the tree that was made in order, and the one that grew. */
static void what_was_loaded_goes_on_as_the_one_it_was_made_of(void **state)
{
    (void)state;
    struct image_play grown, loaded;
    image_play_start(&grown, 6);
    image_play_some(&grown, 3000);
    struct buf bytes = image_bytes_of(grown.kv);
    loaded = grown;
    assert_int_equal(load(buf_bytes(&bytes), 4096, &loaded.kv), ST_OK);
    kv_check(loaded.kv);

    image_play_some(&grown, 3000);
    image_play_some(&loaded, 3000);

    assert_same_state(grown.kv, loaded.kv);
    buf_release(&bytes);
    fixture_free(grown.kv);
    fixture_free(loaded.kv);
}

/* Values up to the limit lie over many pieces. */
static void the_largest_item_is_loaded_from_any_pieces(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    uint8_t *value = mem_alloc(LIMIT_VALUE_BYTES);
    uint8_t key[LIMIT_KEY_BYTES];
    for (size_t i = 0; i < LIMIT_VALUE_BYTES; i++)
        value[i] = (uint8_t)(i * 31 >> 3);
    memset(key, 'k', sizeof key);
    struct command command = {.op = COMMAND_PUT,
                              .key = bytes_of(key, sizeof key),
                              .value = bytes_of(value, LIMIT_VALUE_BYTES)};
    (void)fixture_apply(kv, &command);
    struct buf bytes = image_bytes_of(kv);
    static const size_t sizes[] = {1, 7, 4096, 262144, SIZE_MAX / 2};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct kv *made = NULL;

        assert_int_equal(load(buf_bytes(&bytes), sizes[i], &made), ST_OK);

        assert_same_state(kv, made);
        kv_free(made);
    }
    buf_release(&bytes);
    mem_free(value);
    fixture_free(kv);
}

/* Whoever makes them ready writes nothing, wherever they are by then. */
static void rooms_are_told_once_and_only_of_a_large_state(void **state)
{
    (void)state;
    enum { VALUE_BYTES = 200000, VALUES = 300, ROOM_BYTES = 1 * MIB };
    struct kv *kv = fixture_new(), *made = NULL;
    uint8_t *value = mem_alloc(VALUE_BYTES);
    for (uint32_t i = 0; i < VALUES; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key-%06u", i);
        struct command command = {.op = COMMAND_PUT,
                                  .key = bytes_of(key, strlen(key)),
                                  .value = bytes_of(value, VALUE_BYTES)};
        (void)fixture_apply(kv, &command);
    }
    struct buf bytes;
    buf_init(&bytes, 2 * VALUES * VALUE_BYTES);
    kv_encode(kv, &bytes);
    struct kv_loader *loader = new_loader();
    size_t told_bytes = 0, told_at = 0;
    uintptr_t end = 0;

    for (size_t at = 0; at < bytes.count; at += VALUE_BYTES) {
        size_t count = MIN((size_t)VALUE_BYTES, bytes.count - at);
        assert_int_equal(kv_loader_feed(loader, bytes_of(bytes.data + at, count)), ST_OK);
        struct mem_room room = kv_loader_take_room(loader, ROOM_BYTES);
        assert_true(room.bytes_count <= ROOM_BYTES);
        if (room.bytes_count == 0)
            continue;
        if (told_bytes == 0)
            told_at = at;
        assert_true(room.begin >= end || room.begin + room.bytes_count <= end - ROOM_BYTES);
        end = room.begin + room.bytes_count;
        told_bytes += room.bytes_count;
        mem_make_ready(room);
    }

    assert_true(told_at >= 10 * MIB); /* a little of it is not worth a hint */
    assert_true(told_bytes >= MEM_EXPECT_BYTES_MAX);
    assert_int_equal(kv_loader_finish(loader, &made), ST_OK);
    assert_true(kv_digest(made) == kv_digest(kv));
    kv_free(made);
    buf_release(&bytes);
    mem_free(value);
    fixture_free(kv);
}

static void every_truncation_is_short_however_it_is_fed(void **state)
{
    (void)state;
    struct image_play play;
    image_play_start(&play, 7);
    image_play_some(&play, 60);
    struct buf bytes = image_bytes_of(play.kv);
    for (size_t count = 0; count < bytes.count; count++) {
        struct kv *none = NULL;
        assert_int_equal(load(bytes_of(bytes.data, count), 1 + count % 97, &none), ST_SHORT);
        assert_null(none);
    }
    buf_release(&bytes);
    fixture_free(play.kv);
}

static void no_change_of_a_byte_goes_unnoticed_however_it_is_fed(void **state)
{
    (void)state;
    struct image_play play;
    struct kv *none = NULL;
    image_play_start(&play, 8);
    image_play_some(&play, 60);
    struct buf bytes = image_bytes_of(play.kv);
    for (size_t i = 0; i < bytes.count; i++) {
        uint8_t change = (uint8_t)(1 + prng_below(&play.prng, 255));
        bytes.data[i] ^= change;
        enum status status = load(buf_bytes(&bytes), 1 + i % 131, &none);
        enum status again = kv_decode(buf_bytes(&bytes), &image_options, &none);
        bytes.data[i] ^= change;
        assert_int_not_equal(status, ST_OK);
        assert_int_equal(status, again); /* one verdict, whatever the pieces */
    }
    assert_null(none);
    buf_release(&bytes);
    fixture_free(play.kv);
}

static void a_failure_stays(void **state)
{
    (void)state;
    struct kv *kv = fixture_new(), *none = NULL;
    (void)fixture_put(kv, "a", "b");
    struct buf bytes = image_bytes_of(kv);
    struct kv_loader *loader = new_loader();
    bytes.data[0] ^= 2;
    assert_int_equal(kv_loader_feed(loader, buf_bytes(&bytes)), ST_FORMAT);
    bytes.data[0] ^= 2;

    assert_int_equal(kv_loader_feed(loader, buf_bytes(&bytes)), ST_FORMAT);
    assert_int_equal(kv_loader_finish(loader, &none), ST_FORMAT);

    assert_null(none);
    buf_release(&bytes);
    fixture_free(kv);
}

static void a_byte_behind_the_end_is_refused(void **state)
{
    (void)state;
    struct kv *kv = fixture_new(), *none = NULL;
    struct buf bytes = image_bytes_of(kv);
    struct kv_loader *loader = new_loader();
    assert_int_equal(kv_loader_feed(loader, buf_bytes(&bytes)), ST_OK);

    assert_int_equal(kv_loader_feed(loader, BYTES_LITERAL("")), ST_OK);
    assert_int_equal(kv_loader_feed(loader, bytes_of("\0", 1)), ST_FORMAT);

    assert_int_equal(kv_loader_finish(loader, &none), ST_FORMAT);
    buf_release(&bytes);
    fixture_free(kv);
}

static void a_loader_can_be_given_up_at_any_point(void **state)
{
    (void)state;
    struct image_play play;
    image_play_start(&play, 9);
    image_play_some(&play, 100);
    struct buf bytes = image_bytes_of(play.kv);
    for (size_t count = 0; count <= bytes.count; count += 13) {
        struct kv_loader *loader = new_loader();
        assert_int_equal(kv_loader_feed(loader, bytes_of(bytes.data, count)), ST_OK);
        if (count % 2 == 0) {
            kv_loader_free(loader);
            continue;
        }
        kv_loader_discard(loader, play.kv);
        while (kv_collect(play.kv, 50))
            continue;
    }
    kv_loader_free(NULL);
    buf_release(&bytes);
    fixture_free(play.kv);
}

/* Lengths that no record has are refused at once, not waited for. */
static void what_is_over_its_limit_is_refused_before_it_is_there(void **state)
{
    (void)state;
    enum { SESSIONS_AT = 131, WRITES_AT = 167 };
    static const struct {
        size_t at; /* in a state of one key "a" and one client "me", without members */
        uint8_t bytes[4];
        enum status status;
    } cases[] = {
        {49, {62, 0, 0, 0}, ST_LIMIT},  /* marks */
        {53, {10, 0, 0, 0}, ST_LIMIT},  /* members */
        {121, {0, 0, 0, 0}, ST_LIMIT},  /* no key */
        {121, {1, 16, 0, 0}, ST_LIMIT}, /* key of 4097 */
        {126, {1, 0, 16, 0}, ST_LIMIT}, /* value of 1 MiB + 1 */
        {126, {255, 255, 255, 255}, ST_LIMIT}, {SESSIONS_AT, {0, 0, 0, 255}, ST_LIMIT},
        {WRITES_AT, {1, 4, 0, 0}, ST_FORMAT}, /* writes of one session */
    };
    struct kv *kv = fixture_new();
    struct command incr = once_incr_of("me", 1, 1);
    incr.key = BYTES_LITERAL("a");
    (void)once_apply(kv, &incr, 1);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf bytes = image_bytes_of(kv);
        struct kv_loader *loader = new_loader();
        size_t width = cases[i].at == WRITES_AT ? 2 : 4;
        memcpy(bytes.data + cases[i].at, cases[i].bytes, width);
        bool is_head = cases[i].at < STATE_HEAD_BYTES;
        size_t until = is_head ? (size_t)STATE_HEAD_BYTES
                               : cases[i].at + (cases[i].at == SESSIONS_AT ? 8 : width);
        print_message("case %zu\n", i);

        assert_int_equal(kv_loader_feed(loader, bytes_of(bytes.data, until)), cases[i].status);

        kv_loader_free(loader);
        buf_release(&bytes);
    }
    fixture_free(kv);
}

/* A session may remember so many results together, and a record with more is not waited for until
 * it is whole: that would be 64 MiB. */
static void a_session_with_too_many_results_is_refused_in_pieces_of_any_size(void **state)
{
    (void)state;
    enum { SESSIONS_AT = 131, WRITES_AT = 167, WRITES = 1000 };
    struct kv *kv = fixture_new();
    struct command incr = once_incr_of("me", 1, 1);
    incr.key = BYTES_LITERAL("a");
    (void)once_apply(kv, &incr, 1);
    struct buf bytes = image_bytes_of(kv);
    bytes.count = WRITES_AT; /* and then writes of its own */
    buf_put_u16(&bytes, WRITES);
    uint8_t *results = mem_alloc(LIMIT_REMEMBERED_RESULT_BYTES);
    for (uint64_t sequence = 1; sequence <= WRITES; sequence++) {
        buf_put_u64(&bytes, sequence);
        buf_put_u64(&bytes, 7); /* fingerprint */
        buf_put_u64(&bytes, 1); /* revision */
        buf_put_u64(&bytes, 0);
        buf_put_u64(&bytes, LIMIT_REMEMBERED_RESULT_BYTES);
        buf_put_u8(&bytes, COMMAND_TXN);
        buf_put_u16(&bytes, 0); /* OK, unchanged */
        buf_put(&bytes, bytes_of(results, LIMIT_REMEMBERED_RESULT_BYTES));
    }
    assert_false(bytes.is_full);

    for (size_t piece = 256 * KIB; piece <= 256 * MIB; piece *= 32) {
        struct kv *loaded;
        assert_int_equal(load(buf_bytes(&bytes), piece, &loaded), ST_FORMAT);
    }
    mem_free(results);
    buf_release(&bytes);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_every_size_make_the_same_state),
        cmocka_unit_test(what_was_loaded_goes_on_as_the_one_it_was_made_of),
        cmocka_unit_test(the_largest_item_is_loaded_from_any_pieces),
        cmocka_unit_test(rooms_are_told_once_and_only_of_a_large_state),
        cmocka_unit_test(every_truncation_is_short_however_it_is_fed),
        cmocka_unit_test(no_change_of_a_byte_goes_unnoticed_however_it_is_fed),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(a_byte_behind_the_end_is_refused),
        cmocka_unit_test(a_loader_can_be_given_up_at_any_point),
        cmocka_unit_test(what_is_over_its_limit_is_refused_before_it_is_there),
        cmocka_unit_test(a_session_with_too_many_results_is_refused_in_pieces_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
