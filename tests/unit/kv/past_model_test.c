/* Random changes beside a model that is nothing but the list of all of them: every read of every
 * revision, every range and every event come out of the list, whatever is given up on the way; so
 * do images of any moment, and the states that are loaded from them. */
#include "image_fixture.h"
#include "kv/change.h"

enum { KEYS = 40, CHANGES_MAX = 20000, VALUE_MAX = 40, IMAGES = 3 };

/* Keys of all kinds: in each other, next to each other, of the highest bytes. */
struct model_key {
    uint8_t data[8];
    size_t count;
};

struct model_change {
    uint64_t revision;
    unsigned key;
    bool is_deletion;
    bool is_gone; /* a deletion that was given up as the last word on its key */
    uint8_t value[VALUE_MAX];
    size_t value_count;
    uint64_t create_revision, version;
};

struct model {
    struct kv *kv;
    struct prng prng;
    struct kv_options options;
    struct model_key keys[KEYS]; /* in order */
    unsigned keys_count;
    struct model_change *changes; /* all there ever were, in the order of events */
    size_t changes_count;
    uint64_t revision, compacted, stamp_us;
    struct past_mark marks[PAST_MARKS_MAX + 1];
    size_t marks_count;
};

static struct bytes key_of(const struct model *model, unsigned at)
{
    return bytes_of(model->keys[at].data, model->keys[at].count);
}

static void make_keys(struct model *model)
{
    static const uint8_t alphabet[] = {0, 'a', 'b', 0xfe, 0xff};
    for (unsigned tries = 0; model->keys_count < KEYS && tries < 1000; tries++) {
        struct model_key key = {.count = 1 + prng_below(&model->prng, 4)};
        for (size_t i = 0; i < key.count; i++)
            key.data[i] = alphabet[prng_below(&model->prng, sizeof alphabet)];
        unsigned at = 0;
        while (at < model->keys_count &&
               bytes_compare(key_of(model, at), bytes_of(key.data, key.count)) < 0)
            at++;
        if (at < model->keys_count && bytes_equal(key_of(model, at), bytes_of(key.data, key.count)))
            continue;
        memmove(model->keys + at + 1, model->keys + at,
                (model->keys_count - at) * sizeof model->keys[0]);
        model->keys[at] = key;
        model->keys_count++;
    }
}

/* The last change of the key up to the revision, deletion or not; NULL: none. */
static const struct model_change *last_change(const struct model *model, unsigned key,
                                              uint64_t revision)
{
    for (size_t i = model->changes_count; i-- > 0;)
        if (model->changes[i].key == key && model->changes[i].revision <= revision)
            return &model->changes[i];
    return NULL;
}

static const struct model_change *version_at(const struct model *model, unsigned key,
                                             uint64_t revision)
{
    const struct model_change *change = last_change(model, key, revision);
    return change != NULL && !change->is_deletion ? change : NULL;
}

/* ---- what is kept, counted from the list ---- */

struct counts {
    uint64_t events_count, bytes;
};

static struct counts count_past(const struct model *model)
{
    struct counts counts = {0};
    for (size_t i = 0; i < model->changes_count; i++) {
        const struct model_change *change = &model->changes[i];
        const struct model_change *next = NULL;
        for (size_t j = i + 1; j < model->changes_count && next == NULL; j++)
            if (model->changes[j].key == change->key)
                next = &model->changes[j];
        counts.events_count += change->revision > model->compacted;
        bool is_present = next == NULL && !change->is_deletion;
        bool is_kept =
            !change->is_gone && (change->revision > model->compacted ||
                                 (next != NULL ? next->revision > model->compacted : is_present));
        if (is_kept && !is_present)
            counts.bytes += item_state_bytes(model->keys[change->key].count, change->value_count);
    }
    return counts;
}

/* The oldest revision that has events. */
static uint64_t oldest_revision(const struct model *model)
{
    size_t at = 0;
    while (at < model->changes_count && model->changes[at].revision <= model->compacted)
        at++;
    assert_in_range(at, 0, model->changes_count - 1);
    return model->changes[at].revision;
}

static void model_compact(struct model *model, uint64_t revision)
{
    model->compacted = revision;
    for (size_t i = 0; i < model->changes_count; i++) {
        struct model_change *change = &model->changes[i];
        if (change->is_deletion && change->revision <= revision &&
            last_change(model, change->key, UINT64_MAX) == change)
            change->is_gone = true;
    }
    size_t kept_count = 0;
    for (size_t i = 0; i < model->marks_count; i++)
        if (model->marks[i].revision > revision)
            model->marks[kept_count++] = model->marks[i];
    model->marks_count = kept_count;
}

static void model_keep_bounds(struct model *model)
{
    for (;;) {
        struct counts counts = count_past(model);
        if (counts.events_count <= model->options.past_events_max &&
            counts.bytes <= model->options.past_bytes_max)
            return;
        model_compact(model, oldest_revision(model));
    }
}

static void model_keep_time(struct model *model)
{
    const uint64_t minute_us = 60000000;
    while (model->marks_count != 0 &&
           model->stamp_us - model->marks[0].stamp_us >= LIMIT_PAST_MINUTES * minute_us)
        model_compact(model, model->marks[0].revision);
    bool is_first = model->marks_count == 0;
    struct past_mark newest = {.revision = model->compacted};
    if (!is_first)
        newest = model->marks[model->marks_count - 1];
    bool is_new = model->revision > newest.revision;
    bool is_time = is_first || model->stamp_us - newest.stamp_us >= minute_us;
    if (is_new && is_time)
        model->marks[model->marks_count++] =
            (struct past_mark){.stamp_us = model->stamp_us, .revision = model->revision};
}

/* ---- changes ---- */

static struct model_change *add_change(struct model *model, unsigned key, uint64_t revision,
                                       size_t at)
{
    const struct model_change *old = version_at(model, key, revision - 1);
    struct model_change change = {.revision = revision,
                                  .key = key,
                                  .create_revision = old != NULL ? old->create_revision : revision,
                                  .version = old != NULL ? old->version + 1 : 1};
    assert_in_range(model->changes_count, 0, CHANGES_MAX - 1);
    memmove(model->changes + at + 1, model->changes + at,
            (model->changes_count - at) * sizeof *model->changes);
    model->changes[at] = change;
    model->changes_count++;
    return &model->changes[at];
}

static void apply(struct model *model, const struct command *command, struct kv_result *result)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    model->stamp_us += prng_below(&model->prng, 30) == 0 ? prng_below(&model->prng, 600) * 1000000
                                                         : prng_below(&model->prng, 3000000);
    *result = fixture_apply_bytes(model->kv, buf_bytes(&buf), model->stamp_us);
    buf_release(&buf);
}

static void change_one(struct model *model)
{
    unsigned key = (unsigned)prng_below(&model->prng, model->keys_count);
    uint8_t value[VALUE_MAX];
    bool is_there = version_at(model, key, model->revision) != NULL;
    struct command command = {.op = COMMAND_DELETE, .key = key_of(model, key)};
    if (prng_below(&model->prng, 4) != 0) {
        memset(value, (int)prng_below(&model->prng, 256), sizeof value);
        command.op = COMMAND_PUT;
        command.value = bytes_of(value, prng_below(&model->prng, VALUE_MAX));
    }
    struct kv_result result;
    apply(model, &command, &result);
    bool changes = command.op == COMMAND_PUT || is_there;
    assert_outcome(result, ST_OK, changes, model->revision + changes,
                   command.op == COMMAND_PUT ? model->revision + 1 : 0);
    if (changes) {
        model->revision++;
        struct model_change *change = add_change(model, key, model->revision, model->changes_count);
        change->is_deletion = command.op == COMMAND_DELETE;
        change->value_count = command.value.count;
        if (change->value_count != 0)
            memcpy(change->value, value, change->value_count);
        model_keep_bounds(model);
    }
    model_keep_time(model);
}

/* Several keys in any order at one revision, as a transaction makes them. */
static void change_several(struct model *model)
{
    struct change change;
    size_t first = model->changes_count;
    bool was_changed[KEYS] = {false};
    (void)fixture_apply_bytes(model->kv, BYTES_LITERAL("?"), model->stamp_us); /* its entry */
    model_keep_time(model);
    change_begin(&change, model->kv);
    for (uint64_t i = prng_below(&model->prng, 10); i > 0; i--) {
        unsigned key = (unsigned)prng_below(&model->prng, model->keys_count);
        bool is_there = version_at(model, key, model->revision) != NULL;
        bool is_deletion = prng_below(&model->prng, 3) == 0;
        if (was_changed[key])
            continue;
        if (is_deletion)
            assert_int_equal(change_delete(&change, key_of(model, key)), is_there);
        else
            (void)change_put(&change, key_of(model, key), BYTES_LITERAL("several"), 0);
        if (is_deletion && !is_there)
            continue;
        was_changed[key] = true;
        size_t at = first;
        while (at < model->changes_count && model->changes[at].key < key)
            at++;
        struct model_change *made = add_change(model, key, model->revision + 1, at);
        made->is_deletion = is_deletion;
        made->value_count = is_deletion ? 0 : 7;
        memcpy(made->value, "several", 7);
    }
    bool has_changed = model->changes_count != first;
    assert_int_equal(change_end(&change), has_changed);
    model->revision += has_changed;
    model_keep_bounds(model);
}

static void compact(struct model *model)
{
    struct kv_result result;
    uint64_t revision = model->compacted + prng_below(&model->prng, model->revision + 2);
    revision -= MIN(revision, prng_below(&model->prng, 4));
    apply(model, &(struct command){.op = COMMAND_COMPACT, .revision = revision}, &result);
    enum status want = ST_OK;
    if (revision > model->revision)
        want = ST_REVISION_FUTURE;
    else if (revision < model->compacted)
        want = ST_COMPACTED;
    else
        model_compact(model, revision);
    assert_outcome(result, want, false, model->revision, 0);
    assert_int_equal(result.number, model->compacted);
    model_keep_time(model);
}

static void play(struct model *model, uint64_t steps_count)
{
    for (; steps_count > 0; steps_count--) {
        uint64_t dice = prng_below(&model->prng, 100);
        if (dice == 0)
            compact(model);
        else if (dice < 20)
            change_several(model);
        else
            change_one(model);
    }
}

/* ---- comparisons: `kv` may be another one than the model's, of the same moment ---- */

static void assert_item_is(const struct model *model, const struct kv_item *item,
                           const struct model_change *want)
{
    assert_true(bytes_equal(item->key, key_of(model, want->key)));
    assert_true(bytes_equal(item->value, bytes_of(want->value, want->value_count)));
    assert_int_equal(item->mod_revision, want->revision);
    assert_int_equal(item->version, want->is_deletion ? 0 : want->version);
    assert_int_equal(item->create_revision, want->is_deletion ? 0 : want->create_revision);
}

static enum status readable(const struct model *model, uint64_t revision)
{
    if (revision > model->revision)
        return ST_REVISION_FUTURE;
    return revision < model->compacted ? ST_COMPACTED : ST_OK;
}

static void assert_keys_at(const struct model *model, const struct kv *kv, uint64_t revision)
{
    for (unsigned key = 0; key < model->keys_count; key++) {
        struct kv_item item;
        enum status want = readable(model, revision);
        const struct model_change *change = version_at(model, key, revision);
        if (want == ST_OK && change == NULL)
            want = ST_NOT_FOUND;
        assert_int_equal(kv_get_at(kv, key_of(model, key), revision, &item), want);
        if (want == ST_OK)
            assert_item_is(model, &item, change);
        if (revision != model->revision)
            continue;
        assert_int_equal(kv_get(kv, key_of(model, key), &item), change != NULL);
        if (change != NULL)
            assert_item_is(model, &item, change);
    }
}

/* What a scan has to come to, one by one. */
struct expectation {
    const struct model *model;
    const struct model_change *items[KEYS];
    size_t count, at, at_most;
};

static bool expect_item(void *ctx, const struct kv_item *item)
{
    struct expectation *expectation = ctx;
    assert_in_range(expectation->at, 0, expectation->count - 1);
    assert_item_is(expectation->model, item, expectation->items[expectation->at++]);
    return expectation->at < expectation->at_most;
}

static struct bytes random_bound(struct model *model)
{
    if (prng_below(&model->prng, 2) == 0)
        return bytes_of(NULL, 0);
    return key_of(model, (unsigned)prng_below(&model->prng, model->keys_count));
}

static bool is_in(const struct kv_range *range, struct bytes key)
{
    bool is_behind =
        range->after.count == 0 || (range->is_descending ? bytes_compare(key, range->after) < 0
                                                         : bytes_compare(key, range->after) > 0);
    return is_behind && bytes_has_prefix(key, range->prefix) &&
           bytes_compare(key, range->start) >= 0 &&
           (range->end.count == 0 || bytes_compare(key, range->end) < 0);
}

/* The whole scan, piece by piece: each has a look at least, and none too few before it is cut. */
static enum status scan_in_slices(struct model *model, const struct kv *kv, struct kv_range range,
                                  uint64_t revision, struct expectation *want)
{
    for (int slices_count = 1;; slices_count++) {
        uint64_t looks_max = 1 + prng_below(&model->prng, KEYS);
        struct kv_looks looks = {.left = looks_max};
        enum status status = kv_scan_at(kv, &range, revision, &looks, expect_item, want);
        assert_true(looks.left <= looks_max);
        if (status != ST_OK || looks.last.count == 0)
            return status;
        assert_int_equal(looks.left, 0);
        assert_true(slices_count <= KEYS);
        range.after = looks.last;
    }
}

static void assert_range_at(struct model *model, const struct kv *kv, uint64_t revision)
{
    struct kv_range range = {.prefix = random_bound(model),
                             .start = random_bound(model),
                             .end = random_bound(model),
                             .after = random_bound(model),
                             .is_descending = prng_below(&model->prng, 2) == 0};
    if (range.prefix.count > 1)
        range.prefix.count = 1 + prng_below(&model->prng, range.prefix.count);
    struct expectation want = {.model = model, .at_most = 1 + prng_below(&model->prng, KEYS)};
    for (unsigned i = 0; i < model->keys_count; i++) {
        unsigned key = range.is_descending ? model->keys_count - 1 - i : i;
        const struct model_change *change = version_at(model, key, revision);
        if (change != NULL && is_in(&range, key_of(model, key)))
            want.items[want.count++] = change;
    }
    size_t wanted_count = MIN(want.count, want.at_most);
    assert_int_equal(scan_in_slices(model, kv, range, revision, &want), readable(model, revision));
    assert_int_equal(want.at, readable(model, revision) == ST_OK ? wanted_count : 0);
    if (revision != model->revision)
        return;
    want.at = 0;
    kv_scan(kv, &range, expect_item, &want);
    assert_int_equal(want.at, wanted_count);
}

static void assert_events(const struct model *model, const struct kv *kv)
{
    uint64_t number = 0;
    assert_int_equal(kv_events_find(kv, model->compacted + 1, &number), ST_OK);
    unsigned nth = 0;
    for (size_t i = 0; i < model->changes_count; i++) {
        const struct model_change *change = &model->changes[i];
        if (change->revision <= model->compacted)
            continue;
        bool is_last =
            i + 1 == model->changes_count || model->changes[i + 1].revision != change->revision;
        struct kv_event event;
        uint64_t found;
        nth++;
        assert_int_equal(kv_event_at(kv, number, &event), ST_OK);
        assert_item_is(model, &event.item, change);
        assert_int_equal(event.nth, nth);
        assert_int_equal(event.is_last, is_last);
        const struct model_change *old = version_at(model, change->key, change->revision - 1);
        assert_int_equal(event.has_previous, old != NULL);
        if (old != NULL)
            assert_item_is(model, &event.previous, old);
        assert_int_equal(kv_events_find(kv, change->revision, &found), ST_OK);
        assert_int_equal(found, number - (nth - 1));
        number++;
        if (is_last)
            nth = 0;
    }
    assert_int_equal(number, kv_events_end(kv));
    if (model->compacted > 1)
        assert_int_equal(kv_events_find(kv, model->compacted, &number), ST_COMPACTED);
}

static void assert_stats(const struct model *model, const struct kv *kv)
{
    struct kv_stats stats;
    struct counts counts = count_past(model);
    uint64_t keys_count = 0;
    for (unsigned key = 0; key < model->keys_count; key++)
        keys_count += version_at(model, key, model->revision) != NULL;
    kv_stats(kv, &stats);
    assert_int_equal(stats.revision, model->revision);
    assert_int_equal(stats.compacted, model->compacted);
    assert_int_equal(stats.keys_count, keys_count);
    assert_int_equal(stats.past_events_count, counts.events_count);
    assert_int_equal(stats.past_bytes, counts.bytes);
    assert_int_equal(kv->past.marks_count, model->marks_count);
}

/* All of it, at some revisions. */
static void assert_is_model(struct model *model, const struct kv *kv)
{
    kv_check(kv);
    assert_stats(model, kv);
    assert_events(model, kv);
    assert_keys_at(model, kv, model->revision);
    assert_keys_at(model, kv, model->compacted);
    assert_keys_at(model, kv, model->compacted - 1);
    assert_keys_at(model, kv, model->revision + 1);
    uint64_t span = model->revision - model->compacted + 1;
    for (int i = 0; i < 8; i++) {
        assert_keys_at(model, kv, model->compacted + prng_below(&model->prng, span));
        assert_range_at(model, kv, model->compacted + prng_below(&model->prng, span));
        assert_range_at(model, kv, model->revision);
    }
}

/* The state made of these bytes is the model's, and has the same bytes. */
static void assert_loads(struct model *model, struct bytes bytes)
{
    struct kv *loaded = NULL;
    assert_int_equal(kv_decode(bytes, &model->options, &loaded), ST_OK);
    struct buf again = image_bytes_of(loaded);
    assert_true(bytes_equal(buf_bytes(&again), bytes));
    assert_is_model(model, loaded);
    buf_release(&again);
    kv_free(loaded);
}

/* ---- images under way ---- */

struct moment {
    struct kv_image *image; /* NULL: none */
    struct buf got;
    struct model model; /* as it was, the changes copied */
    uint64_t digest;
};

static void take(struct moment *moment, struct model *model)
{
    moment->image = kv_pin(model->kv);
    moment->digest = kv_digest(model->kv);
    buf_init(&moment->got, IMAGE_BYTES_MAX);
    moment->model = *model;
    moment->model.changes = mem_alloc_array(CHANGES_MAX, sizeof *model->changes);
    memcpy(moment->model.changes, model->changes, model->changes_count * sizeof *model->changes);
}

static void give_up(struct moment *moment, struct model *model)
{
    kv_unpin(model->kv, moment->image);
    mem_free(moment->model.changes);
    buf_release(&moment->got);
    *moment = (struct moment){0};
}

static void go_on(struct moment *moment, struct model *model)
{
    if (moment->image == NULL) {
        take(moment, model);
        return;
    }
    if (kv_image_read(moment->image, prng_below(&model->prng, 2000), &moment->got))
        return;
    assert_int_equal(kv_image_bytes(moment->image), moment->got.count);
    assert_loads(&moment->model, buf_bytes(&moment->got));
    assert_int_equal(load_u64(moment->got.data + moment->got.count - 8), moment->digest);
    give_up(moment, model);
}

static void model_start(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    prng_init(&model->prng, seed);
    model->options.past_events_max = 1 + prng_below(&model->prng, 150);
    model->options.past_bytes_max = prng_below(&model->prng, 2) == 0 ? MIB : 8000;
    model->kv = kv_new(&model->options);
    model->changes = mem_alloc_array(CHANGES_MAX, sizeof *model->changes);
    model->revision = model->compacted = 1;
    make_keys(model);
}

static void all_that_is_read_comes_out_of_the_list_of_changes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct model model;
        struct moment moments[IMAGES] = {{0}};
        print_message("seed %" PRIu64 "\n", seed);
        model_start(&model, seed);
        for (int i = 0; i < 60; i++) {
            play(&model, prng_below(&model.prng, 20));
            assert_is_model(&model, model.kv);
            go_on(&moments[prng_below(&model.prng, IMAGES)], &model);
            (void)kv_collect(model.kv, prng_below(&model.prng, 20));
        }
        struct buf bytes = image_bytes_of(model.kv);
        assert_loads(&model, buf_bytes(&bytes));
        buf_release(&bytes);
        for (size_t i = 0; i < IMAGES; i++)
            if (moments[i].image != NULL)
                give_up(&moments[i], &model);
        fixture_free(model.kv);
        mem_free(model.changes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_read_comes_out_of_the_list_of_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
