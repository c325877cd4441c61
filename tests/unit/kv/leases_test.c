/* The table of leases, alone. */
#include "leases_fixture.h"

static void a_lease_is_found_as_it_was_granted(void **state)
{
    struct leases *leases = leases_new();

    fixture_grant(leases, 7, 1000);

    struct kv_lease lease = fixture_lease(leases, 7);
    assert_int_equal(lease.lease, 7);
    assert_int_equal(lease.ttl_ms, FIXTURE_TTL_MS);
    assert_int_equal(lease.expires_us, 1000 + FIXTURE_TTL_US);
    assert_int_equal(lease.keys_count, 0);
    assert_int_equal(leases_count(leases), 1);
    leases_check(leases);
    leases_free(leases);
}

static void an_id_is_granted_once(void **state)
{
    uint64_t granted = 0;
    struct leases *leases = leases_new();
    fixture_grant(leases, 7, 1000);
    uint64_t hash = leases_hash(leases);

    assert_int_equal(leases_grant(leases, 7, 1, 9000, 2000, &granted), ST_LEASE_EXISTS);

    assert_int_equal(fixture_lease(leases, 7).ttl_ms, FIXTURE_TTL_MS);
    assert_int_equal(leases_hash(leases), hash);
    leases_free(leases);
}

static void an_allotted_id_is_the_least_untaken_one_from_the_index_on(void **state)
{
    uint64_t granted = 0;
    struct leases *leases = leases_new();
    fixture_grant(leases, 9, 0);
    fixture_grant(leases, 10, 0);
    fixture_grant(leases, 12, 0);

    assert_int_equal(leases_grant(leases, 0, 9, 1000, 0, &granted), ST_OK);
    assert_int_equal(granted, 11);
    assert_int_equal(leases_grant(leases, 0, 9, 1000, 0, &granted), ST_OK);
    assert_int_equal(granted, 13);
    assert_int_equal(leases_grant(leases, 0, 8, 1000, 0, &granted), ST_OK);
    assert_int_equal(granted, 8);

    leases_check(leases);
    leases_free(leases);
}

static void ids_end_where_json_numbers_do(void **state)
{
    uint64_t granted = 0;
    struct leases *leases = leases_new();

    assert_int_equal(leases_grant(leases, 0, LEASE_ID_MAX, 1000, 0, &granted), ST_OK);
    assert_int_equal(granted, LEASE_ID_MAX);
    assert_int_equal(leases_grant(leases, 0, LEASE_ID_MAX, 1000, 0, &granted), ST_LEASES_FULL);
    assert_int_equal(leases_grant(leases, 0, UINT64_MAX, 1000, 0, &granted), ST_LEASES_FULL);

    assert_int_equal(leases_count(leases), 1);
    leases_free(leases);
}

static void there_are_as_many_leases_as_may_be_and_not_one_more(void **state)
{
    uint64_t granted = 0;
    struct leases *leases = leases_new();
    for (uint64_t i = 1; i <= LIMIT_LEASES; i++)
        fixture_grant(leases, i, i);

    assert_int_equal(leases_grant(leases, LIMIT_LEASES + 1, 1, 1000, 0, &granted), ST_LEASES_FULL);
    assert_int_equal(leases_grant(leases, 0, 1, 1000, 0, &granted), ST_LEASES_FULL);
    leases_remove(leases, 5);
    assert_int_equal(leases_grant(leases, 0, 1, 1000, 0, &granted), ST_OK);

    assert_int_equal(granted, 5);
    leases_free(leases);
}

static void a_renewed_lease_lasts_its_ttl_from_then_on_and_never_shorter(void **state)
{
    struct leases *leases = leases_new();
    fixture_grant(leases, 7, 5000);

    assert_true(leases_renew(leases, 7, 9000));
    assert_int_equal(fixture_lease(leases, 7).expires_us, 9000 + FIXTURE_TTL_US);
    assert_true(leases_renew(leases, 7, 6000));
    assert_int_equal(fixture_lease(leases, 7).expires_us, 9000 + FIXTURE_TTL_US);
    assert_false(leases_renew(leases, 8, 9000));

    leases_check(leases);
    leases_free(leases);
}

static void a_lease_at_the_end_of_time_does_not_begin_anew(void **state)
{
    struct leases *leases = leases_new();

    fixture_grant(leases, 7, UINT64_MAX - 10);

    assert_int_equal(fixture_lease(leases, 7).expires_us, UINT64_MAX - 1);
    leases_check(leases);
    leases_free(leases);
}

static void the_first_one_expires_first_and_of_equal_ones_has_the_lowest_id(void **state)
{
    struct kv_lease first;
    struct leases *leases = leases_new();
    assert_false(leases_first(leases, &first));
    fixture_grant(leases, 300, 1000);
    fixture_grant(leases, 2, 1000);
    fixture_grant(leases, 1, 2000);

    assert_true(leases_first(leases, &first));
    assert_int_equal(first.lease, 2);
    assert_true(leases_renew(leases, 2, 3000));
    assert_true(leases_first(leases, &first));
    assert_int_equal(first.lease, 300);
    leases_remove(leases, 300);
    assert_true(leases_first(leases, &first));
    assert_int_equal(first.lease, 1);

    leases_check(leases);
    leases_free(leases);
}

struct seen {
    uint64_t leases[8];
    char keys[8][8];
    size_t count;
    size_t count_max;
};

static bool see_lease(void *ctx, const struct kv_lease *lease)
{
    struct seen *seen = ctx;
    seen->leases[seen->count++] = lease->lease;
    return seen->count < seen->count_max;
}

static bool see_key(void *ctx, struct bytes key)
{
    struct seen *seen = ctx;
    (void)snprintf(seen->keys[seen->count++], 8, "%.*s", (int)key.count, (const char *)key.data);
    return seen->count < seen->count_max;
}

static void leases_are_walked_by_rising_id(void **state)
{
    struct leases *leases = leases_new();
    uint64_t ids[] = {256, 3, UINT64_C(1) << 40, 70000};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        fixture_grant(leases, ids[i], 1000 - i);

    struct seen seen = {.count_max = 8};
    leases_scan(leases, 4, see_lease, &seen);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.leases[0], 256);
    assert_int_equal(seen.leases[1], 70000);
    assert_int_equal(seen.leases[2], UINT64_C(1) << 40);

    seen = (struct seen){.count_max = 2};
    leases_scan(leases, 0, see_lease, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.leases[0], 3);
    leases_free(leases);
}

static void keys_hang_on_their_own_lease_in_order(void **state)
{
    struct leases *leases = leases_new();
    struct bytes key;
    fixture_grant(leases, 1, 0);
    fixture_grant(leases, 2, 0);
    leases_attach(leases, 1, BYTES_LITERAL("b"));
    leases_attach(leases, 1, BYTES_LITERAL("ba"));
    leases_attach(leases, 1, BYTES_LITERAL("a"));
    leases_attach(leases, 2, BYTES_LITERAL("a"));
    assert_int_equal(fixture_lease(leases, 1).keys_count, 3);

    struct seen seen = {.count_max = 8};
    leases_keys(leases, 1, see_key, &seen);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.keys[0], "a");
    assert_string_equal(seen.keys[1], "b");
    assert_string_equal(seen.keys[2], "ba");
    seen = (struct seen){.count_max = 2};
    leases_keys(leases, 1, see_key, &seen);
    assert_int_equal(seen.count, 2);

    assert_true(leases_key(leases, 1, BYTES_LITERAL("aa"), &key));
    assert_true(bytes_equal_text(key, "b"));
    assert_false(leases_key(leases, 1, BYTES_LITERAL("c"), &key));
    leases_detach(leases, 1, BYTES_LITERAL("a"));
    assert_true(leases_key(leases, 1, BYTES_LITERAL(""), &key));
    leases_detach(leases, 1, key); /* the very bytes that go with it */
    assert_int_equal(fixture_lease(leases, 1).keys_count, 1);
    assert_int_equal(fixture_lease(leases, 2).keys_count, 1);

    leases_check(leases);
    leases_free(leases);
}

static void a_key_of_the_greatest_length_hangs_on_a_lease(void **state)
{
    static const uint8_t raw[LIMIT_KEY_BYTES] = {0xff};
    struct bytes key = bytes_of(raw, sizeof raw), found;
    struct leases *leases = leases_new();
    fixture_grant(leases, 1, 0);

    leases_attach(leases, 1, key);

    assert_true(leases_key(leases, 1, key, &found));
    assert_true(bytes_equal(found, key));
    leases_check(leases);
    leases_detach(leases, 1, key);
    assert_false(leases_key(leases, 1, key, &found));
    leases_free(leases);
}

static void a_lease_takes_as_many_keys_as_it_may_have(void **state)
{
    struct leases *leases = leases_new();
    fixture_grant(leases, 1, 0);
    assert_int_equal(leases_may_attach(leases, 2, 1), ST_LEASE_NOT_FOUND);
    assert_int_equal(leases_may_attach(leases, 1, LIMIT_LEASE_KEYS), ST_OK);
    assert_int_equal(leases_may_attach(leases, 1, LIMIT_LEASE_KEYS + 1), ST_LEASES_FULL);
    assert_int_equal(leases_may_attach(leases, 1, UINT64_MAX), ST_LEASES_FULL);

    char key[16];
    for (uint32_t i = 0; i < LIMIT_LEASE_KEYS - 1; i++) {
        (void)snprintf(key, sizeof key, "%" PRIu32, i);
        leases_attach(leases, 1, bytes_of_text(key));
    }
    assert_int_equal(leases_may_attach(leases, 1, 1), ST_OK);
    assert_int_equal(leases_may_attach(leases, 1, 2), ST_LEASES_FULL);
    leases_attach(leases, 1, BYTES_LITERAL("last"));

    assert_int_equal(leases_may_attach(leases, 1, 1), ST_LEASES_FULL);
    assert_int_equal(leases_may_attach(leases, 1, 0), ST_OK);
    leases_check(leases);
    leases_free(leases);
}

/* The order in which it came about leaves no trace in hash and bytes; expiries do. */
static void equal_tables_have_equal_hashes_and_bytes(void **state)
{
    struct leases *a = leases_new(), *b = leases_new();
    fixture_grant(a, 1, 1000);
    fixture_grant(a, 2, 2000);
    fixture_grant(b, 2, 500);
    fixture_grant(b, 3, 500);
    fixture_grant(b, 1, 1000);
    assert_int_not_equal(leases_hash(a), leases_hash(b));

    leases_remove(b, 3);
    assert_int_not_equal(leases_hash(a), leases_hash(b));
    assert_true(leases_renew(b, 2, 2000));

    assert_int_equal(leases_hash(a), leases_hash(b));
    struct buf bytes_a = fixture_bytes(leases_view(a)), bytes_b = fixture_bytes(leases_view(b));
    assert_true(bytes_equal(buf_bytes(&bytes_a), buf_bytes(&bytes_b)));
    buf_release(&bytes_a);
    buf_release(&bytes_b);
    leases_remove(b, 1);
    leases_remove(b, 2);
    assert_int_equal(leases_hash(b), 0);
    leases_free(a);
    leases_free(b);
}

static void a_pin_goes_on_to_see_its_moment(void **state)
{
    struct leases *leases = leases_new();
    fixture_grant(leases, 1, 1000);
    fixture_grant(leases, 2, 1000);
    struct buf before = fixture_bytes(leases_view(leases));

    struct tree_pin *pin = leases_pin(leases);
    leases_attach(leases, 2, BYTES_LITERAL("k"));
    assert_true(leases_renew(leases, 1, 2000));
    assert_true(leases_renew(leases, 2, 3000));
    leases_remove(leases, 1);
    fixture_grant(leases, 3, 4000);
    struct buf seen = fixture_bytes(tree_pin_view(pin));
    leases_check(leases);

    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&seen)));
    assert_int_equal(fixture_lease(leases, 2).keys_count, 1); /* the copy has it, too */
    leases_unpin(leases, pin);
    while (leases_collect(leases, 1))
        continue;
    leases_check(leases);
    buf_release(&before);
    buf_release(&seen);
    leases_free(leases);
}

static void a_table_comes_back_from_its_bytes(void **state)
{
    struct leases *leases = leases_new();
    fixture_grant(leases, 9, 4000);
    fixture_grant(leases, 4, 5000);
    fixture_grant(leases, LEASE_ID_MAX, UINT64_MAX);
    struct buf bytes = fixture_bytes(leases_view(leases));

    struct leases *loaded = fixture_load(buf_bytes(&bytes));

    struct kv_lease first;
    assert_int_equal(leases_hash(loaded), leases_hash(leases));
    assert_true(leases_first(loaded, &first));
    assert_int_equal(first.lease, 9);
    leases_check(loaded);
    buf_release(&bytes);
    leases_free(leases);
    leases_free(loaded);
}

static enum status load(struct leases *leases, uint64_t lease, uint64_t ttl_ms, uint64_t expires_us)
{
    uint8_t raw[LEASE_ENCODED_BYTES];
    store_u64(raw, lease);
    store_u64(raw + 8, ttl_ms);
    store_u64(raw + 16, expires_us);
    return leases_load(leases, bytes_of(raw, sizeof raw));
}

static void bytes_that_no_table_writes_are_refused(void **state)
{
    struct leases *leases = leases_new_limited(2, 10);
    uint64_t at = LEASE_TTL_MS_MAX * 1000;

    assert_int_equal(load(leases, 0, 1000, at), ST_FORMAT);
    assert_int_equal(load(leases, LEASE_ID_MAX + 1, 1000, at), ST_FORMAT);
    assert_int_equal(load(leases, 5, LEASE_TTL_MS_MIN - 1, at), ST_FORMAT);
    assert_int_equal(load(leases, 5, LEASE_TTL_MS_MAX + 1, at + 1000), ST_FORMAT);
    assert_int_equal(load(leases, 5, 1000, 999999), ST_FORMAT);
    assert_int_equal(load(leases, 5, 1000, UINT64_MAX), ST_FORMAT);
    assert_int_equal(load(leases, 5, LEASE_TTL_MS_MIN, 1000000), ST_OK);
    assert_int_equal(load(leases, 5, 1000, at), ST_FORMAT);
    assert_int_equal(load(leases, 4, 1000, at), ST_FORMAT);
    assert_int_equal(load(leases, 6, LEASE_TTL_MS_MAX, UINT64_MAX - 1), ST_OK);
    assert_int_equal(load(leases, 7, 1000, at), ST_LIMIT);

    assert_int_equal(leases_count(leases), 2);
    leases_check(leases);
    leases_free(leases);
}

static void a_table_that_nobody_needs_goes_in_pieces(void **state)
{
    char key[16];
    struct leases *leases = leases_new();
    for (uint32_t i = 1; i <= 500; i++) {
        fixture_grant(leases, i, i);
        (void)snprintf(key, sizeof key, "%" PRIu32, i);
        leases_attach(leases, i, bytes_of_text(key));
    }

    size_t steps_count = 0;
    while (leases_drain(leases, 100))
        steps_count++;

    assert_in_range(steps_count, 10, 40);
    leases_free(leases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_found_as_it_was_granted),
        cmocka_unit_test(an_id_is_granted_once),
        cmocka_unit_test(an_allotted_id_is_the_least_untaken_one_from_the_index_on),
        cmocka_unit_test(ids_end_where_json_numbers_do),
        cmocka_unit_test(there_are_as_many_leases_as_may_be_and_not_one_more),
        cmocka_unit_test(a_renewed_lease_lasts_its_ttl_from_then_on_and_never_shorter),
        cmocka_unit_test(a_lease_at_the_end_of_time_does_not_begin_anew),
        cmocka_unit_test(the_first_one_expires_first_and_of_equal_ones_has_the_lowest_id),
        cmocka_unit_test(leases_are_walked_by_rising_id),
        cmocka_unit_test(keys_hang_on_their_own_lease_in_order),
        cmocka_unit_test(a_key_of_the_greatest_length_hangs_on_a_lease),
        cmocka_unit_test(a_lease_takes_as_many_keys_as_it_may_have),
        cmocka_unit_test(equal_tables_have_equal_hashes_and_bytes),
        cmocka_unit_test(a_pin_goes_on_to_see_its_moment),
        cmocka_unit_test(a_table_comes_back_from_its_bytes),
        cmocka_unit_test(bytes_that_no_table_writes_are_refused),
        cmocka_unit_test(a_table_that_nobody_needs_goes_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
