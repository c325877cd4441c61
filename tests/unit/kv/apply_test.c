/* Long random logs: against a model, and on two states at once, whose digests must agree. */
#include "kv_fixture.h"

#include <inttypes.h>
#include <stdlib.h>

enum { KEYS = 60, VALUE_BYTES_MAX = 24 };

/* ---- the model: keys by number, values as text ---- */

struct model_key {
    bool is_present;
    char value[VALUE_BYTES_MAX + 1];
    uint64_t create_revision, mod_revision, version;
};

struct model {
    struct model_key keys[KEYS];
    uint64_t revision;
    uint64_t bytes, bytes_max;
};

struct step {
    enum command_op op;
    int key;
    char value[VALUE_BYTES_MAX + 1];
    enum condition condition;
    uint64_t condition_revision;
    int64_t by;
};

static const char *key_text(int key, char out[8])
{
    (void)snprintf(out, 8, "k%d", key);
    return out;
}

static uint64_t model_cost(int key, const char *value)
{
    char text[8];
    return ITEM_OVERHEAD_BYTES + strlen(key_text(key, text)) + strlen(value);
}

static bool model_condition(const struct model_key *key, const struct step *step)
{
    bool is_at = key->is_present && key->mod_revision == step->condition_revision;
    switch (step->condition) {
    case CONDITION_NONE:
        return true;
    case CONDITION_REVISION:
        return is_at;
    case CONDITION_EXISTS:
        return key->is_present;
    case CONDITION_ABSENT:
        return !key->is_present;
    case CONDITION_NOT_REVISION:
        return !is_at;
    }
    return false;
}

static enum status model_write(struct model *model, int at, const char *value)
{
    struct model_key *key = &model->keys[at];
    uint64_t old = key->is_present ? model_cost(at, key->value) : 0;
    uint64_t bytes = model->bytes - old + model_cost(at, value);
    if (bytes > model->bytes && bytes > model->bytes_max)
        return ST_STATE_FULL;
    model->bytes = bytes;
    model->revision++;
    if (!key->is_present)
        *key = (struct model_key){.is_present = true, .create_revision = model->revision};
    key->version++;
    key->mod_revision = model->revision;
    (void)snprintf(key->value, sizeof key->value, "%s", value);
    return ST_OK;
}

static enum status model_incr(struct model *model, const struct step *step)
{
    const struct model_key *key = &model->keys[step->key];
    char *end = NULL;
    char text[VALUE_BYTES_MAX + 1] = "0";
    if (key->is_present)
        (void)snprintf(text, sizeof text, "%s", key->value);
    long long number = strtoll(text, &end, 10);
    char again[VALUE_BYTES_MAX + 1];
    (void)snprintf(again, sizeof again, "%lld", number);
    if (strcmp(text, again) != 0)
        return ST_NOT_INTEGER;
    if (__builtin_add_overflow(number, (long long)step->by, &number))
        return ST_OVERFLOW;
    (void)snprintf(text, sizeof text, "%lld", number);
    return model_write(model, step->key, text);
}

static enum status model_apply(struct model *model, const struct step *step)
{
    struct model_key *key = &model->keys[step->key];
    if (!model_condition(key, step))
        return ST_CONDITION_FAILED;
    if (step->op == COMMAND_INCR)
        return model_incr(model, step);
    if (step->op == COMMAND_PUT)
        return model_write(model, step->key, step->value);
    if (key->is_present) {
        model->bytes -= model_cost(step->key, key->value);
        model->revision++;
        key->is_present = false;
    }
    return ST_OK;
}

static struct step random_step(struct prng *prng, const struct model *model)
{
    static const char *const values[] = {
        "", "0", "7", "-3", "9223372036854775807", "-9223372036854775808", "word", "007"};
    struct step step = {.op = (enum command_op)(1 + prng_below(prng, 3)),
                        .key = (int)prng_below(prng, KEYS)};
    if (step.op == COMMAND_PUT) {
        (void)snprintf(step.value, sizeof step.value, "%s",
                       values[prng_below(prng, ARRAY_COUNT(values))]);
    } else if (step.op == COMMAND_INCR) {
        step.by = (int64_t)prng_next(prng) >> prng_below(prng, 64);
        return step;
    }
    step.condition = prng_below(prng, 2) ? CONDITION_NONE : (enum condition)prng_below(prng, 5);
    if (step.condition == CONDITION_REVISION || step.condition == CONDITION_NOT_REVISION)
        step.condition_revision =
            model->keys[step.key].mod_revision + prng_below(prng, 3) - (prng_below(prng, 2));
    return step;
}

static struct kv_result apply_step(struct kv *kv, const struct step *step)
{
    char text[8];
    struct command command = {.op = step->op,
                              .key = bytes_of_text(key_text(step->key, text)),
                              .value = bytes_of_text(step->value),
                              .condition = step->condition,
                              .condition_revision = step->condition_revision,
                              .by = step->by};
    return fixture_apply(kv, &command);
}

static void assert_state_is(const struct kv *kv, const struct model *model)
{
    uint64_t keys_count = 0;
    for (int i = 0; i < KEYS; i++) {
        char text[8];
        struct kv_item item;
        const struct model_key *key = &model->keys[i];
        assert_int_equal(kv_get(kv, bytes_of_text(key_text(i, text)), &item), key->is_present);
        if (!key->is_present)
            continue;
        assert_true(bytes_equal_text(item.value, key->value));
        assert_int_equal(item.create_revision, key->create_revision);
        assert_int_equal(item.mod_revision, key->mod_revision);
        assert_int_equal(item.version, key->version);
        keys_count++;
    }
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.keys_count, keys_count);
    assert_int_equal(stats.state_bytes, model->bytes);
    assert_int_equal(stats.revision, model->revision);
}

static void a_random_log_does_what_the_model_does_and_equally_on_two_states(void **state)
{
    (void)state;
    bool was_seen[STATUS_COUNT] = {false};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        struct model model = {.revision = 1, .bytes_max = 40 * 150};
        struct kv_options options = {.state_bytes_max = model.bytes_max};
        struct kv *one = kv_new(&options);
        struct kv *two = kv_new(&options);
        print_message("seed %" PRIu64 "\n", seed);
        prng_init(&prng, seed);

        for (int i = 0; i < 3000; i++) {
            struct step step = random_step(&prng, &model);
            uint64_t revision = model.revision;
            enum status expected = model_apply(&model, &step);
            struct kv_result result = apply_step(one, &step);
            struct kv_result same = apply_step(two, &step);

            assert_outcome(same, result.status, result.changed, result.revision,
                           result.mod_revision);
            assert_true(same.number == result.number);
            const struct model_key *key = &model.keys[step.key];
            assert_outcome(result, expected, model.revision != revision, model.revision,
                           key->is_present ? key->mod_revision : 0);
            assert_true(kv_digest(one) == kv_digest(two));
            was_seen[expected] = true;
            if (i % 100 == 0) {
                assert_state_is(one, &model);
                kv_check(one);
            }
        }
        assert_state_is(one, &model);
        fixture_free(one);
        fixture_free(two);
    }
    assert_true(was_seen[ST_OK] && was_seen[ST_CONDITION_FAILED] && was_seen[ST_NOT_INTEGER] &&
                was_seen[ST_OVERFLOW] && was_seen[ST_STATE_FULL]);
}

/* ---- digests ---- */

static const node_id pair[] = {1, 2};

/* The same few entries, but for one of them that may be different. */
static uint64_t digest_with(int variant)
{
    struct kv *kv = fixture_new();
    struct config config = fixture_config(pair, 2);
    if (variant == 1)
        config.members[1].is_voter = false;
    if (variant == 2)
        config.members[1].peer.port++;
    if (variant == 3)
        config.members_count = 1;
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);
    (void)fixture_put(kv, "a", variant == 4 ? "y" : "x");
    (void)fixture_put(kv, variant == 5 ? "c" : "b", "x");
    (void)fixture_put(kv, "ab", variant == 6 ? "" : "c");
    (void)fixture_put(kv, variant == 6 ? "abc" : "d", "");
    (void)fixture_announce(kv, 1, variant == 7 ? "h:2" : "h:1");
    if (variant == 8)
        (void)fixture_announce(kv, 1, NULL);
    else
        (void)fixture_delete(kv, "absent");
    (void)fixture_register(kv, variant == 9 ? 2 : 1, 5);
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), variant == 10 ? 6 : 5);
    if (variant == 11)
        kv_apply_noop(kv, fixture_next_id(kv));
    if (variant == 12)
        kv_apply_noop(kv, (struct entry_id){2, fixture_next_id(kv).index});
    uint64_t digest = kv_digest(kv);
    fixture_free(kv);
    return digest;
}

static void any_difference_between_states_is_one_between_digests(void **state)
{
    (void)state;
    fixture_assert_digests_differ(digest_with, 13);
}

static void the_same_keys_with_other_revisions_are_another_state(void **state)
{
    (void)state;
    struct kv *one = fixture_new();
    struct kv *two = fixture_new();

    (void)fixture_put(one, "a", "x");
    (void)fixture_put(one, "b", "x");
    (void)fixture_put(two, "b", "x");
    (void)fixture_put(two, "a", "x");

    assert_true(kv_digest(one) != kv_digest(two));
    fixture_free(one);
    fixture_free(two);
}

/* What stands behind the end of a host's text is not part of an address. */
static void bytes_behind_a_host_do_not_count(void **state)
{
    (void)state;
    struct kv *one = fixture_new();
    struct kv *two = fixture_new();
    struct config config = fixture_config(pair, 2);
    kv_apply_config(one, (struct entry_id){1, 1}, &config);
    memset(config.members[0].peer.host + strlen(config.members[0].peer.host) + 1, 0x5a, 8);
    kv_apply_config(two, (struct entry_id){1, 1}, &config);

    assert_true(kv_digest(one) == kv_digest(two));

    fixture_free(one);
    fixture_free(two);
}

/* Nodes of different builds and machines compare digests: these may only change with a new version
 * of what is replicated. */
static void digests_are_these_numbers(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    assert_int_equal(kv_digest(kv), UINT64_C(0x0081b67f6f073b9a));
    fixture_free(kv);
    assert_int_equal(digest_with(0), UINT64_C(0xed08e5133a4a8dab));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_log_does_what_the_model_does_and_equally_on_two_states),
        cmocka_unit_test(any_difference_between_states_is_one_between_digests),
        cmocka_unit_test(the_same_keys_with_other_revisions_are_another_state),
        cmocka_unit_test(bytes_behind_a_host_do_not_count),
        cmocka_unit_test(digests_are_these_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
