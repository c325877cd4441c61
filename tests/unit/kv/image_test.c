/* Images: whatever happens to the state, and however an image is read, it is the state at the
 * moment of its pin, and nothing is left of it after it is let go. */
#include "image_fixture.h"
#include "kv/leases_internal.h"
#include "kv/session_internal.h"

enum { IMAGES = 4 };

/* An image that is being read, and what has to come of it. */
struct reading {
    struct kv_image *image; /* NULL: none */
    struct buf want, got;
};

static void pin(struct reading *reading, struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    reading->image = kv_pin(kv);
    reading->want = image_bytes_of(kv);
    buf_init(&reading->got, IMAGE_BYTES_MAX);
    assert_true(entry_id_equal(kv_image_applied(reading->image), stats.applied));
    assert_int_equal(kv_image_bytes(reading->image), reading->want.count);
}

static void unpin(struct reading *reading, struct kv *kv)
{
    kv_unpin(kv, reading->image);
    reading->image = NULL;
    buf_release(&reading->want);
    buf_release(&reading->got);
}

/* True: there is more. */
static bool read_piece(struct reading *reading, size_t bytes_max)
{
    size_t before = reading->got.count;
    bool is_more = kv_image_read(reading->image, bytes_max, &reading->got);
    size_t count = reading->got.count - before;
    assert_true(count >= 1);
    assert_true(count >= bytes_max || !is_more);
    return is_more;
}

static void assert_read_right(const struct reading *reading)
{
    assert_true(bytes_equal(buf_bytes(&reading->got), buf_bytes(&reading->want)));
}

static uint64_t kept_count(const struct kv *kv)
{
    struct tree_stats items, sessions, leases;
    tree_stats(kv->tree, &items);
    tree_stats(kv->sessions->tree, &sessions);
    tree_stats(kv->leases->by_id, &leases);
    return items.retired_count + sessions.retired_count + leases.retired_count + items.pins_count +
           sessions.pins_count + leases.pins_count;
}

static void assert_nothing_is_kept(struct kv *kv)
{
    while (kv_collect(kv, 3))
        continue;
    assert_int_equal(kept_count(kv), 0);
}

static void pieces_of_every_size_are_the_state_at_the_pin(void **state)
{
    (void)state;
    struct image_play play;
    image_play_start(&play, 1);
    image_play_some(&play, 60);
    size_t bytes_max = 1;
    for (bool is_done = false; !is_done; bytes_max++) {
        struct reading reading;
        pin(&reading, play.kv);
        while (read_piece(&reading, bytes_max))
            image_play_some(&play, prng_below(&play.prng, 3));
        assert_read_right(&reading);
        is_done = bytes_max > reading.want.count;
        unpin(&reading, play.kv);
        if (bytes_max % 16 == 0)
            bytes_max += bytes_max / 16; /* every one up to 16, then ever fewer */
    }
    assert_nothing_is_kept(play.kv);
    fixture_free(play.kv);
}

static void what_is_read_behind_the_end_is_nothing(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct reading reading;
    (void)fixture_put(kv, "a", "1");
    pin(&reading, kv);

    assert_false(kv_image_read(reading.image, SIZE_MAX, &reading.got));
    assert_false(kv_image_read(reading.image, SIZE_MAX, &reading.got));
    assert_false(kv_image_read(reading.image, 1, &reading.got));

    assert_read_right(&reading);
    unpin(&reading, kv);
    fixture_free(kv);
}

/* One step of one of the readings: begins it, goes on with it, or gives it up. */
static void step(struct reading *reading, struct image_play *play, unsigned *read_count)
{
    if (reading->image == NULL) {
        pin(reading, play->kv);
    } else if (prng_below(&play->prng, 40) == 0) {
        unpin(reading, play->kv);
    } else if (!read_piece(reading, 1 + prng_below(&play->prng, 3000))) {
        assert_read_right(reading);
        unpin(reading, play->kv);
        ++*read_count;
    }
}

static void several_images_each_are_their_moment(void **state)
{
    (void)state;
    unsigned read_count = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct image_play play;
        struct reading readings[IMAGES] = {{0}};
        print_message("seed %" PRIu64 "\n", seed);
        image_play_start(&play, seed);
        image_play_some(&play, 400);
        for (int i = 0; i < 1500; i++) {
            image_play_some(&play, prng_below(&play.prng, 8));
            step(&readings[prng_below(&play.prng, IMAGES)], &play, &read_count);
            if (prng_below(&play.prng, 4) == 0)
                (void)kv_collect(play.kv, prng_below(&play.prng, 50));
            if (i % 100 == 0)
                kv_check(play.kv);
        }
        for (size_t i = 0; i < IMAGES; i++)
            if (readings[i].image != NULL)
                unpin(&readings[i], play.kv);
        assert_nothing_is_kept(play.kv);
        fixture_free(play.kv);
    }
    assert_in_range(read_count, 100, 5000);
}

/* The session of one client with as long a window as there can be: whatever changes it after the
 * pin, be it a write, a repetition, a seal, an acknowledgement, its end, is not in the image. */
static void a_long_window_is_as_it_was_whatever_comes(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct reading readings[6];
    for (uint64_t i = 1; i <= LIMIT_SESSION_WINDOW + 10; i++)
        (void)once_incr(kv, "me", i, 1);
    pin(&readings[0], kv);
    (void)once_incr(kv, "me", 1000, 1);
    pin(&readings[1], kv);
    (void)once_incr(kv, "me", 2000, 1);
    pin(&readings[2], kv);
    (void)once_seal(kv, "me", 1500);
    pin(&readings[3], kv);
    struct command acking = once_incr_of("me", 2001, 1);
    acking.identity.acked = 1999;
    (void)once_apply(kv, &acking, 5);
    pin(&readings[4], kv);
    acking.identity.sequence = 2002;
    acking.identity.acked = 2001;
    (void)once_apply(kv, &acking, 6);
    pin(&readings[5], kv);
    assert_int_equal(once_expire(kv, 100).number, 1);
    (void)once_incr(kv, "me", 1, 1);
    kv_check(kv);

    for (size_t i = 0; i < ARRAY_COUNT(readings); i++) {
        (void)kv_image_read(readings[i].image, SIZE_MAX, &readings[i].got);
        assert_read_right(&readings[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(readings); i++)
        unpin(&readings[i * 5 % 6], kv);
    assert_nothing_is_kept(kv);
    fixture_free(kv);
}

/* The same entries make the same state whether or not images are taken of it. */
static void images_do_not_change_the_state(void **state)
{
    (void)state;
    struct image_play plain, watched;
    image_play_start(&plain, 3);
    image_play_start(&watched, 3);
    for (int i = 0; i < 50; i++) {
        struct kv_image *image = kv_pin(watched.kv);
        image_play_some(&plain, 40);
        image_play_some(&watched, 40);
        assert_true(kv_digest(plain.kv) == kv_digest(watched.kv));
        kv_unpin(watched.kv, image);
    }
    fixture_free(plain.kv);
    fixture_free(watched.kv);
}

static void collecting_goes_in_slices(void **state)
{
    (void)state;
    struct kv *kv = kv_new(&(struct kv_options){.past_events_max = 1});
    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        (void)fixture_put(kv, key, "v");
    }
    struct kv_image *image = kv_pin(kv);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        (void)fixture_put(kv, key, "w");
    }
    kv_unpin(kv, image);
    uint64_t kept = kept_count(kv);
    assert_true(kept >= 2000);

    unsigned slices_count = 0;
    while (kv_collect(kv, 100)) {
        uint64_t less = kept_count(kv);
        assert_true(kept - less <= 100);
        kept = less;
        slices_count++;
    }

    assert_in_range(slices_count, 19, 100);
    assert_int_equal(kept_count(kv), 0);
    fixture_free(kv);
}

/* Items and sessions. */
static struct kv *state_of(uint64_t seed)
{
    struct image_play play;
    image_play_start(&play, seed);
    image_play_some(&play, 3000);
    return play.kv;
}

static void what_is_discarded_goes_in_slices_and_changes_nothing(void **state)
{
    (void)state;
    struct kv *kv = state_of(11), *gone = state_of(12), *older = state_of(13);
    uint64_t digest = kv_digest(kv);
    unsigned slices_count = 0;

    kv_discard(gone, older); /* one that has not been freed yet itself */
    kv_discard(kv, gone);
    kv_discard(kv, state_of(14));
    while (kv_collect(kv, 10))
        slices_count++;

    assert_true(slices_count > 20);
    assert_null(kv->discarded);
    assert_int_equal(kv_digest(kv), digest);
    kv_check(kv);
    fixture_free(kv);
}

static void what_is_discarded_is_freed_with_its_heir(void **state)
{
    (void)state;
    for (unsigned slices = 0; slices < 40; slices++) {
        struct kv *kv = state_of(15);
        kv_discard(kv, state_of(16));
        kv_discard(kv, state_of(17));
        for (unsigned i = 0; i < slices; i++)
            (void)kv_collect(kv, 20);
        kv_free(kv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_every_size_are_the_state_at_the_pin),
        cmocka_unit_test(what_is_read_behind_the_end_is_nothing),
        cmocka_unit_test(several_images_each_are_their_moment),
        cmocka_unit_test(a_long_window_is_as_it_was_whatever_comes),
        cmocka_unit_test(images_do_not_change_the_state),
        cmocka_unit_test(collecting_goes_in_slices),
        cmocka_unit_test(what_is_discarded_goes_in_slices_and_changes_nothing),
        cmocka_unit_test(what_is_discarded_is_freed_with_its_heir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
