/* Long random play with the table of leases, beside a model that is a plain row. */
#include "leases_fixture.h"

enum { IDS = 40, KEYS = 25, LEASES_MAX = 25, KEYS_MAX = 8, MOMENTS = 3, STEPS = 6000 };

struct model_lease {
    bool is_there;
    uint64_t ttl_ms, expires_us;
    bool has_key[KEYS];
};

struct moment {
    struct tree_pin *pin; /* NULL: none */
    struct buf bytes;
};

struct play {
    struct prng prng;
    struct leases *leases;
    struct model_lease model[IDS + 1]; /* by id */
    uint64_t key_on[KEYS];             /* the lease that a key hangs on; 0: none */
    uint64_t stamp_us;
    struct moment moments[MOMENTS];
};

static struct bytes key_of(size_t at, char room[8])
{
    int count = snprintf(room, 8, "k%zu", at);
    return bytes_of(room, (size_t)count);
}

static uint64_t model_count(const struct play *play)
{
    uint64_t count = 0;
    for (size_t id = 1; id <= IDS; id++)
        count += play->model[id].is_there;
    return count;
}

static uint64_t model_keys(const struct play *play, size_t id)
{
    uint64_t count = 0;
    for (size_t at = 0; at < KEYS; at++)
        count += play->model[id].has_key[at];
    return count;
}

static void model_grant(struct play *play, size_t id, uint64_t ttl_ms)
{
    play->model[id] = (struct model_lease){
        .is_there = true, .ttl_ms = ttl_ms, .expires_us = play->stamp_us + ttl_ms * 1000};
}

static void do_grant(struct play *play)
{
    uint64_t asked = prng_below(&play->prng, IDS + 1), granted = 0;
    uint64_t index = 1 + prng_below(&play->prng, IDS);
    uint64_t ttl_ms = LEASE_TTL_MS_MIN + prng_below(&play->prng, 20) * 500;
    enum status status = leases_grant(play->leases, asked, index, ttl_ms, play->stamp_us, &granted);

    size_t id = asked != 0 ? asked : index;
    while (asked == 0 && id <= IDS && play->model[id].is_there)
        id++;
    if (id > IDS) { /* the model has no such ids; the table has */
        if (status == ST_OK)
            leases_remove(play->leases, granted);
        else
            assert_int_equal(status, ST_LEASES_FULL);
    } else if (play->model[id].is_there) {
        assert_int_equal(status, ST_LEASE_EXISTS);
    } else if (model_count(play) == LEASES_MAX) {
        assert_int_equal(status, ST_LEASES_FULL);
    } else {
        assert_int_equal(status, ST_OK);
        assert_int_equal(granted, id);
        model_grant(play, id, ttl_ms);
    }
}

static void do_renew(struct play *play)
{
    size_t id = 1 + prng_below(&play->prng, IDS);
    struct model_lease *lease = &play->model[id];
    assert_int_equal(leases_renew(play->leases, id, play->stamp_us), lease->is_there);
    lease->expires_us = MAX(lease->expires_us, play->stamp_us + lease->ttl_ms * 1000);
}

static void do_attach(struct play *play)
{
    char room[8];
    size_t id = 1 + prng_below(&play->prng, IDS), at = prng_below(&play->prng, KEYS);
    struct model_lease *lease = &play->model[id];
    uint64_t more = 1 + prng_below(&play->prng, 3);
    bool fits = model_keys(play, id) + more <= KEYS_MAX;
    enum status want = !lease->is_there ? ST_LEASE_NOT_FOUND : fits ? ST_OK : ST_LEASES_FULL;
    assert_int_equal(leases_may_attach(play->leases, id, more), want);
    if (want != ST_OK)
        return;
    if (play->key_on[at] != 0) {
        play->model[play->key_on[at]].has_key[at] = false;
        leases_detach(play->leases, play->key_on[at], key_of(at, room));
    }
    leases_attach(play->leases, id, key_of(at, room));
    lease->has_key[at] = true;
    play->key_on[at] = id;
}

static void remove_lease(struct play *play, size_t id)
{
    struct bytes key;
    while (leases_key(play->leases, id, bytes_of(NULL, 0), &key))
        leases_detach(play->leases, id, key);
    leases_remove(play->leases, id);
    play->model[id].is_there = false;
    for (size_t at = 0; at < KEYS; at++) {
        play->model[id].has_key[at] = false;
        if (play->key_on[at] == id)
            play->key_on[at] = 0;
    }
}

static void do_remove(struct play *play)
{
    struct kv_lease lease;
    size_t id = 1 + prng_below(&play->prng, IDS);
    assert_int_equal(leases_find(play->leases, id, &lease), play->model[id].is_there);
    if (play->model[id].is_there)
        remove_lease(play, id);
}

/* All that have expired, as the command does it. */
static void do_expire(struct play *play)
{
    struct kv_lease lease;
    while (leases_first(play->leases, &lease) && lease.expires_us <= play->stamp_us)
        remove_lease(play, lease.lease);
    for (size_t id = 1; id <= IDS; id++)
        assert_false(play->model[id].is_there && play->model[id].expires_us <= play->stamp_us);
}

/* Takes a pin, or looks at one and lets it go. */
static void do_moment(struct play *play)
{
    struct moment *moment = &play->moments[prng_below(&play->prng, MOMENTS)];
    if (moment->pin == NULL) {
        moment->bytes = fixture_bytes(leases_view(play->leases));
        moment->pin = leases_pin(play->leases);
        return;
    }
    struct buf seen = fixture_bytes(tree_pin_view(moment->pin));
    assert_true(bytes_equal(buf_bytes(&seen), buf_bytes(&moment->bytes)));
    struct leases *loaded = fixture_load(buf_bytes(&seen));
    leases_check(loaded);
    leases_free(loaded);
    buf_release(&seen);
    buf_release(&moment->bytes);
    leases_unpin(play->leases, moment->pin);
    moment->pin = NULL;
}

struct walk {
    const struct play *play;
    size_t id; /* the last one */
    size_t key_at;
};

static bool check_key(void *ctx, struct bytes key)
{
    struct walk *walk = ctx;
    char room[8];
    for (size_t at = 0; at < KEYS; at++)
        if (bytes_equal(key_of(at, room), key))
            assert_true(walk->play->model[walk->id].has_key[at]);
    walk->key_at++;
    return true;
}

static bool check_lease(void *ctx, const struct kv_lease *found)
{
    struct walk *walk = ctx;
    for (walk->id++; walk->id < found->lease; walk->id++)
        assert_false(walk->play->model[walk->id].is_there);
    const struct model_lease *lease = &walk->play->model[walk->id];
    assert_true(lease->is_there);
    assert_int_equal(found->ttl_ms, lease->ttl_ms);
    assert_int_equal(found->expires_us, lease->expires_us);
    assert_int_equal(found->keys_count, model_keys(walk->play, walk->id));
    walk->key_at = 0;
    leases_keys(walk->play->leases, found->lease, check_key, walk);
    assert_int_equal(walk->key_at, found->keys_count);
    return true;
}

static void check_first(const struct play *play)
{
    struct kv_lease first;
    size_t want = 0;
    for (size_t id = 1; id <= IDS; id++)
        if (play->model[id].is_there &&
            (want == 0 || play->model[id].expires_us < play->model[want].expires_us))
            want = id;
    assert_int_equal(leases_first(play->leases, &first), want != 0);
    if (want != 0)
        assert_int_equal(first.lease, want);
}

static void compare(const struct play *play)
{
    struct walk walk = {.play = play};
    leases_scan(play->leases, 0, check_lease, &walk);
    for (walk.id++; walk.id <= IDS; walk.id++)
        assert_false(play->model[walk.id].is_there);
    assert_int_equal(leases_count(play->leases), model_count(play));
    check_first(play);
    leases_check(play->leases);
}

static void step(struct play *play)
{
    uint64_t dice = prng_below(&play->prng, 100);
    play->stamp_us += prng_below(&play->prng, 8) * 25000;
    if (dice < 25)
        do_grant(play);
    else if (dice < 45)
        do_renew(play);
    else if (dice < 75)
        do_attach(play);
    else if (dice < 80)
        do_remove(play);
    else if (dice < 90)
        do_expire(play);
    else
        do_moment(play);
}

static void play_seed(uint64_t seed)
{
    struct play play = {.leases = leases_new_limited(LEASES_MAX, KEYS_MAX)};
    prng_init(&play.prng, seed);
    for (size_t i = 0; i < STEPS; i++) {
        step(&play);
        if (i % 10 == 0)
            compare(&play);
    }
    compare(&play);
    for (size_t i = 0; i < MOMENTS; i++) {
        if (play.moments[i].pin == NULL)
            continue;
        buf_release(&play.moments[i].bytes);
        leases_unpin(play.leases, play.moments[i].pin);
    }
    leases_free(play.leases);
}

static void a_random_history_goes_as_in_the_model(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        play_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_history_goes_as_in_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
