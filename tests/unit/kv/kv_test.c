/* What commands do: revisions as in etcd, conditions, numbers, limits. */
#include "kv_fixture.h"

static void assert_key_is(const struct kv *kv, const char *key, const char *value,
                          uint64_t create_revision, uint64_t mod_revision, uint64_t version)
{
    struct kv_item item;
    assert_true(kv_get(kv, bytes_of_text(key), &item));
    assert_true(bytes_equal_text(item.key, key));
    assert_true(bytes_equal_text(item.value, value));
    assert_int_equal(item.create_revision, create_revision);
    assert_int_equal(item.mod_revision, mod_revision);
    assert_int_equal(item.version, version);
    assert_int_equal(item.lease, 0);
}

/* ---- revisions ---- */

static void an_empty_state_has_revision_1_and_the_first_put_makes_2(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.revision, 1);

    struct kv_result result = fixture_put(kv, "a", "x");

    assert_outcome(result, ST_OK, true, 2, 2);
    assert_key_is(kv, "a", "x", 2, 2, 1);
    fixture_free(kv);
}

static void a_put_over_a_key_keeps_its_creation_and_counts_versions(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "a", "x");
    (void)fixture_put(kv, "b", "y");

    assert_outcome(fixture_put(kv, "a", "x"), ST_OK, true, 4, 4); /* the same value is a change */

    assert_key_is(kv, "a", "x", 2, 4, 2);
    assert_key_is(kv, "b", "y", 3, 3, 1);
    fixture_free(kv);
}

static void a_key_made_again_starts_anew(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_item item;
    (void)fixture_put(kv, "a", "x");
    (void)fixture_put(kv, "a", "y");

    assert_outcome(fixture_delete(kv, "a"), ST_OK, true, 4, 0);
    assert_false(kv_get(kv, BYTES_LITERAL("a"), &item));

    assert_outcome(fixture_put(kv, "a", "z"), ST_OK, true, 5, 5);
    assert_key_is(kv, "a", "z", 5, 5, 1);
    fixture_free(kv);
}

static void deleting_what_is_not_there_changes_nothing(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "a", "x");

    assert_outcome(fixture_delete(kv, "b"), ST_OK, false, 2, 0);

    assert_outcome(fixture_put(kv, "b", ""), ST_OK, true, 3, 3);
    fixture_free(kv);
}

static void entries_without_a_command_move_the_applied_index_only(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_stats stats;
    kv_apply_noop(kv, (struct entry_id){.term = 3, .index = 1});
    kv_apply_config(kv, (struct entry_id){.term = 4, .index = 2},
                    &(struct config){.members_count = 0});

    kv_stats(kv, &stats);

    assert_int_equal(stats.applied.term, 4);
    assert_int_equal(stats.applied.index, 2);
    assert_int_equal(stats.revision, 1);
    fixture_free(kv);
}

static void the_stamp_is_the_latest_seen(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_stats stats;
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("not a command"), 70);
    kv_stats(kv, &stats);
    assert_int_equal(stats.stamp_us, 70);

    (void)fixture_apply_bytes(kv, BYTES_LITERAL("not a command"), 60);

    kv_stats(kv, &stats);
    assert_int_equal(stats.stamp_us, 70);
    fixture_free(kv);
}

/* ---- conditions ---- */

struct condition_case {
    enum condition condition;
    uint64_t revision;
    bool holds_absent;  /* for a key that is not there */
    bool holds_present; /* for one whose mod_revision is 3 */
};

static const struct condition_case condition_cases[] = {
    {CONDITION_NONE, 0, true, true},
    {CONDITION_REVISION, 0, false, false},
    {CONDITION_REVISION, 2, false, false}, /* its create_revision */
    {CONDITION_REVISION, 3, false, true},
    {CONDITION_REVISION, 4, false, false},
    {CONDITION_REVISION, UINT64_MAX, false, false},
    {CONDITION_EXISTS, 0, false, true},
    {CONDITION_ABSENT, 0, true, false},
    {CONDITION_NOT_REVISION, 0, true, true},
    {CONDITION_NOT_REVISION, 2, true, true},
    {CONDITION_NOT_REVISION, 3, true, false},
    {CONDITION_NOT_REVISION, 4, true, true},
};

static void check_condition(enum command_op op, const struct condition_case *c, bool is_present)
{
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, is_present ? "k" : "other", "1");
    (void)fixture_put(kv, is_present ? "k" : "other", "2");
    uint64_t mod_revision = is_present ? 3 : 0;
    bool holds = is_present ? c->holds_present : c->holds_absent;
    struct command command = {.op = op,
                              .key = BYTES_LITERAL("k"),
                              .condition = c->condition,
                              .condition_revision = c->revision};

    struct kv_result result = fixture_apply(kv, &command);

    struct kv_item item;
    if (!holds) {
        assert_outcome(result, ST_CONDITION_FAILED, false, 3, mod_revision);
        assert_int_equal(kv_get(kv, BYTES_LITERAL("k"), &item), is_present);
    } else if (op == COMMAND_PUT) {
        assert_outcome(result, ST_OK, true, 4, 4);
        assert_key_is(kv, "k", "", is_present ? 2 : 4, 4, is_present ? 3 : 1);
    } else {
        assert_outcome(result, ST_OK, is_present, is_present ? 4 : 3, 0);
        assert_false(kv_get(kv, BYTES_LITERAL("k"), &item));
    }
    fixture_free(kv);
}

static void every_condition_holds_exactly_when_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(condition_cases); i++) {
        const struct condition_case *c = &condition_cases[i];
        print_message("condition %d, revision %llu\n", (int)c->condition,
                      (unsigned long long)c->revision);
        check_condition(COMMAND_PUT, c, true);
        check_condition(COMMAND_PUT, c, false);
        check_condition(COMMAND_DELETE, c, true);
        check_condition(COMMAND_DELETE, c, false);
    }
}

/* ---- numbers ---- */

static void incr_counts_from_zero_and_keeps_the_creation(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();

    struct kv_result result = fixture_incr(kv, "n", 5);
    assert_outcome(result, ST_OK, true, 2, 2);
    assert_int_equal(result.number, 5);

    result = fixture_incr(kv, "n", -7);
    assert_outcome(result, ST_OK, true, 3, 3);
    assert_int_equal(result.number, -2);
    assert_key_is(kv, "n", "-2", 2, 3, 2);

    result = fixture_incr(kv, "n", 0); /* a change like any other put */
    assert_outcome(result, ST_OK, true, 4, 4);
    assert_int_equal(result.number, -2);
    fixture_free(kv);
}

static void incr_ends_where_its_numbers_end(void **state)
{
    (void)state;
    static const struct {
        const char *value; /* NULL: the key is absent */
        int64_t by;
        enum status status;
        const char *after;
    } cases[] = {
        {NULL, INT64_MAX, ST_OK, "9223372036854775807"},
        {NULL, INT64_MIN, ST_OK, "-9223372036854775808"},
        {"9223372036854775806", 1, ST_OK, "9223372036854775807"},
        {"9223372036854775807", 1, ST_OVERFLOW, "9223372036854775807"},
        {"9223372036854775807", INT64_MAX, ST_OVERFLOW, "9223372036854775807"},
        {"9223372036854775807", INT64_MIN, ST_OK, "-1"},
        {"-9223372036854775808", -1, ST_OVERFLOW, "-9223372036854775808"},
        {"-9223372036854775808", INT64_MIN, ST_OVERFLOW, "-9223372036854775808"},
        {"-9223372036854775808", INT64_MAX, ST_OK, "-1"},
        {"-1", INT64_MIN, ST_OVERFLOW, "-1"},
        {"0", INT64_MIN, ST_OK, "-9223372036854775808"},
        {"9223372036854775808", -1, ST_NOT_INTEGER, "9223372036854775808"},
        {"", 1, ST_NOT_INTEGER, ""},
        {"-", 1, ST_NOT_INTEGER, "-"},
        {"-0", 1, ST_NOT_INTEGER, "-0"},
        {"+1", 1, ST_NOT_INTEGER, "+1"},
        {"01", 1, ST_NOT_INTEGER, "01"},
        {" 1", 1, ST_NOT_INTEGER, " 1"},
        {"1 ", 1, ST_NOT_INTEGER, "1 "},
        {"x", 0, ST_NOT_INTEGER, "x"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct kv *kv = fixture_new();
        if (cases[i].value != NULL)
            (void)fixture_put(kv, "n", cases[i].value);
        uint64_t before = cases[i].value != NULL ? 2 : 1;
        bool is_changed = cases[i].status == ST_OK;
        print_message("%s by %lld\n", cases[i].value != NULL ? cases[i].value : "absent",
                      (long long)cases[i].by);

        struct kv_result result = fixture_incr(kv, "n", cases[i].by);

        assert_outcome(result, cases[i].status, is_changed, before + is_changed,
                       is_changed || before == 2 ? before + is_changed : 0);
        struct kv_item item;
        assert_true(kv_get(kv, BYTES_LITERAL("n"), &item));
        assert_true(bytes_equal_text(item.value, cases[i].after));
        assert_int_equal(result.number == 0, !is_changed);
        fixture_free(kv);
    }
}

/* ---- limits ---- */

static void keys_and_values_go_up_to_their_limits(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    uint8_t *data = mem_alloc(LIMIT_VALUE_BYTES);
    struct command command = {.op = COMMAND_PUT,
                              .key = bytes_of(data, LIMIT_KEY_BYTES),
                              .value = bytes_of(data, LIMIT_VALUE_BYTES)};

    assert_outcome(fixture_apply(kv, &command), ST_OK, true, 2, 2);
    command.key.count = 1;
    command.value.count = 0;
    assert_outcome(fixture_apply(kv, &command), ST_OK, true, 3, 3);

    struct kv_item item;
    assert_true(kv_get(kv, bytes_of(data, LIMIT_KEY_BYTES), &item));
    assert_int_equal(item.value.count, LIMIT_VALUE_BYTES);
    assert_true(kv_get(kv, bytes_of(data, 1), &item));
    assert_int_equal(item.value.count, 0);
    mem_free(data);
    fixture_free(kv);
}

static void a_malformed_command_is_an_entry_like_any_other_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const malformed[] = {"", "\x01", "\x01\x01", "garbage, and more of it"};
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "a", "x");

    for (size_t i = 0; i < ARRAY_COUNT(malformed); i++)
        assert_outcome(fixture_apply_bytes(kv, bytes_of_text(malformed[i]), 0), ST_BAD_REQUEST,
                       false, 2, 0);

    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.applied.index, 5);
    assert_key_is(kv, "a", "x", 2, 2, 1);
    fixture_free(kv);
}

static void a_full_state_takes_what_does_not_grow_it(void **state)
{
    (void)state;
    uint64_t two_keys = 2 * (ITEM_OVERHEAD_BYTES + 1 + 3);
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = two_keys});
    struct kv_stats stats;

    assert_outcome(fixture_put(kv, "a", "123"), ST_OK, true, 2, 2);
    assert_outcome(fixture_put(kv, "b", "1234"), ST_STATE_FULL, false, 2, 0); /* by one byte */
    assert_outcome(fixture_put(kv, "b", "999"), ST_OK, true, 3, 3);           /* exactly */
    kv_stats(kv, &stats);
    assert_int_equal(stats.state_bytes, two_keys);

    assert_outcome(fixture_put(kv, "c", ""), ST_STATE_FULL, false, 3, 0);
    assert_outcome(fixture_put(kv, "a", "1234"), ST_STATE_FULL, false, 3, 2);
    assert_outcome(fixture_incr(kv, "b", 1), ST_STATE_FULL, false, 3, 3); /* 1000 */
    assert_outcome(fixture_put(kv, "a", "321"), ST_OK, true, 4, 4);
    assert_outcome(fixture_incr(kv, "b", -1), ST_OK, true, 5, 5);
    assert_outcome(fixture_put(kv, "a", "1"), ST_OK, true, 6, 6);
    assert_outcome(fixture_delete(kv, "b"), ST_OK, true, 7, 0);
    assert_outcome(fixture_put(kv, "c", "12345"), ST_OK, true, 8, 8);
    fixture_free(kv);
}

static void a_condition_is_looked_at_before_the_room_is(void **state)
{
    (void)state;
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = 1});
    struct command command = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .condition = CONDITION_EXISTS};

    assert_outcome(fixture_apply(kv, &command), ST_CONDITION_FAILED, false, 1, 0);
    command.condition = CONDITION_ABSENT;
    assert_outcome(fixture_apply(kv, &command), ST_STATE_FULL, false, 1, 0);
    assert_outcome(fixture_incr(kv, "k", 1), ST_STATE_FULL, false, 1, 0);
    fixture_free(kv);
}

/* ---- ranges ---- */

struct listing {
    char text[200];
    size_t count_max;
    size_t count;
};

static bool note_item(void *ctx, const struct kv_item *item)
{
    struct listing *listing = ctx;
    size_t at = strlen(listing->text);
    (void)snprintf(listing->text + at, sizeof listing->text - at, "%.*s ", (int)item->key.count,
                   (const char *)item->key.data);
    return ++listing->count < listing->count_max;
}

static void ranges_are_what_their_bounds_say(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *start, *end, *after;
        size_t count_max;
        const char *keys;
    } cases[] = {
        {"", "", "", "", 99, "a a/ a/1 a/2 a0 b c "},
        {"", "", "", "", 3, "a a/ a/1 "},
        {"a/", "", "", "", 99, "a/ a/1 a/2 "},
        {"a", "", "", "", 99, "a a/ a/1 a/2 a0 "},
        {"a/", "a/1", "", "", 99, "a/1 a/2 "},
        {"a/", "a", "", "", 99, "a/ a/1 a/2 "}, /* start before the prefix */
        {"a/", "b", "", "", 99, ""},            /* start behind it */
        {"a/", "", "a/2", "", 99, "a/ a/1 "},
        {"", "a/1", "b", "", 99, "a/1 a/2 a0 "},
        {"", "b", "b", "", 99, ""},
        {"", "c", "a", "", 99, ""},
        {"", "aa", "bb", "", 99, "b "},
        {"", "", "", "a0", 99, "b c "},
        {"", "", "", "a00", 99, "b c "}, /* after a key that is no more */
        {"a/", "", "", "a/1", 99, "a/2 "},
        {"", "a/1", "", "a", 99, "a/1 a/2 a0 b c "},
        {"", "", "", "c", 99, ""},
        {"x", "", "", "", 99, ""},
    };
    struct kv *kv = fixture_new();
    static const char *const keys[] = {"b", "a/2", "a", "c", "a/", "a0", "a/1"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        (void)fixture_put(kv, keys[i], "v");

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct kv_range range = {.prefix = bytes_of_text(cases[i].prefix),
                                 .start = bytes_of_text(cases[i].start),
                                 .end = bytes_of_text(cases[i].end),
                                 .after = bytes_of_text(cases[i].after)};
        struct listing listing = {.count_max = cases[i].count_max};
        kv_scan(kv, &range, note_item, &listing);
        assert_string_equal(listing.text, cases[i].keys);
    }
    fixture_free(kv);
}

/* ---- hints ---- */

static void hints_change_nothing(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct bytes keys[100];
    for (int i = 0; i < 12000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%05d", i);
        (void)fixture_put(kv, key, "v");
    }
    uint64_t digest = kv_digest(kv);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        keys[i] = i % 2 != 0 ? BYTES_LITERAL("key00100") : bytes_of("\xff\xff\xff\xff", i % 5);

    kv_prefetch(kv, keys, ARRAY_COUNT(keys));
    kv_prefetch(kv, keys, 0);
    kv_prefetch_commands(kv, keys, ARRAY_COUNT(keys)); /* none of which is one */
    keys[0] = bytes_of("\x01\x02\x00\x00\x01\x00\x00\x00k", 9);
    kv_prefetch_commands(kv, keys, 1);

    assert_true(kv_digest(kv) == digest);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_state_has_revision_1_and_the_first_put_makes_2),
        cmocka_unit_test(a_put_over_a_key_keeps_its_creation_and_counts_versions),
        cmocka_unit_test(a_key_made_again_starts_anew),
        cmocka_unit_test(deleting_what_is_not_there_changes_nothing),
        cmocka_unit_test(entries_without_a_command_move_the_applied_index_only),
        cmocka_unit_test(the_stamp_is_the_latest_seen),
        cmocka_unit_test(every_condition_holds_exactly_when_it_says),
        cmocka_unit_test(incr_counts_from_zero_and_keeps_the_creation),
        cmocka_unit_test(incr_ends_where_its_numbers_end),
        cmocka_unit_test(keys_and_values_go_up_to_their_limits),
        cmocka_unit_test(a_malformed_command_is_an_entry_like_any_other_and_changes_nothing),
        cmocka_unit_test(a_full_state_takes_what_does_not_grow_it),
        cmocka_unit_test(a_condition_is_looked_at_before_the_room_is),
        cmocka_unit_test(ranges_are_what_their_bounds_say),
        cmocka_unit_test(hints_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
