/* What the commands of leases do to the state. */
#include "image_fixture.h"

enum { TTL_MS = 10000, TTL_US = TTL_MS * 1000 };

static struct kv *new_kv(void)
{
    return kv_new(&(struct kv_options){0});
}

static struct kv_result apply_at(struct kv *kv, uint64_t stamp_us, const struct command *command)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    struct kv_result result = fixture_apply_bytes(kv, buf_bytes(&buf), stamp_us);
    buf_release(&buf);
    return result;
}

static struct kv_result grant(struct kv *kv, uint64_t stamp_us, uint64_t lease)
{
    return apply_at(kv, stamp_us,
                    &(struct command){.op = COMMAND_GRANT_LEASE, .lease = lease, .ttl_ms = TTL_MS});
}

static struct kv_result put(struct kv *kv, const char *key, uint64_t lease)
{
    return fixture_apply(kv, &(struct command){.op = COMMAND_PUT,
                                               .key = bytes_of_text(key),
                                               .value = BYTES_LITERAL("1"),
                                               .lease = lease});
}

static struct kv_result revoke(struct kv *kv, uint64_t lease)
{
    return fixture_apply(kv, &(struct command){.op = COMMAND_REVOKE_LEASE, .lease = lease});
}

static struct kv_result expire(struct kv *kv, uint64_t stamp_us, uint64_t cutoff_us)
{
    return apply_at(kv, stamp_us,
                    &(struct command){.op = COMMAND_EXPIRE_LEASES, .cutoff_us = cutoff_us});
}

static struct kv_result renew(struct kv *kv, uint64_t stamp_us, const uint64_t *leases,
                              size_t leases_count)
{
    struct buf row;
    buf_init(&row, LIMIT_COMMAND_BYTES);
    for (size_t i = 0; i < leases_count; i++)
        buf_put_u64(&row, leases[i]);
    struct kv_result result = apply_at(
        kv, stamp_us, &(struct command){.op = COMMAND_RENEW_LEASES, .value = buf_bytes(&row)});
    buf_release(&row);
    return result;
}

static uint64_t keys_of(const struct kv *kv, uint64_t lease)
{
    struct kv_lease found;
    assert_true(kv_lease(kv, lease, &found));
    return found.keys_count;
}

static bool exists(const struct kv *kv, const char *key)
{
    struct kv_item item;
    return kv_get(kv, bytes_of_text(key), &item);
}

static uint64_t revision_of(const struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    return stats.revision;
}

static void a_grant_is_of_the_log_and_changes_no_key(void **state)
{
    struct kv *kv = new_kv();
    struct kv_lease lease;

    struct kv_result result = grant(kv, 5000, 0);

    assert_int_equal(result.status, ST_OK);
    assert_int_equal(result.lease, 1); /* the index of its entry */
    assert_false(result.changed);
    assert_int_equal(result.revision, 1);
    assert_true(kv_lease(kv, 1, &lease));
    assert_int_equal(lease.expires_us, 5000 + TTL_US);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.leases_count, 1);
    assert_int_equal(stats.next_expiry_us, 5000 + TTL_US);
    assert_int_equal(grant(kv, 6000, 1).status, ST_LEASE_EXISTS);
    assert_int_equal(grant(kv, 6000, 700).lease, 700);
    kv_check(kv);
    kv_free(kv);
}

static void a_time_to_live_has_bounds(void **state)
{
    struct kv *kv = new_kv();
    struct command command = {.op = COMMAND_GRANT_LEASE, .ttl_ms = LEASE_TTL_MS_MIN - 1};

    assert_int_equal(fixture_apply(kv, &command).status, ST_BAD_REQUEST);
    command.ttl_ms = LEASE_TTL_MS_MIN;
    assert_int_equal(fixture_apply(kv, &command).status, ST_OK);
    command.ttl_ms = LEASE_TTL_MS_MAX;
    assert_int_equal(fixture_apply(kv, &command).status, ST_OK);
    command.ttl_ms = LEASE_TTL_MS_MAX + 1;
    assert_int_equal(fixture_apply(kv, &command).status, ST_BAD_REQUEST);

    kv_check(kv);
    kv_free(kv);
}

static void a_put_hangs_a_key_on_a_lease_or_takes_it_off(void **state)
{
    struct kv *kv = new_kv();
    struct kv_item item;
    (void)grant(kv, 0, 7);
    (void)grant(kv, 0, 8);
    assert_int_equal(put(kv, "a", 9).status, ST_LEASE_NOT_FOUND);
    assert_false(exists(kv, "a"));

    assert_int_equal(put(kv, "a", 7).status, ST_OK);
    assert_true(kv_get(kv, BYTES_LITERAL("a"), &item));
    assert_int_equal(item.lease, 7);
    assert_int_equal(keys_of(kv, 7), 1);

    assert_int_equal(put(kv, "a", 7).status, ST_OK); /* again */
    assert_int_equal(keys_of(kv, 7), 1);
    assert_int_equal(put(kv, "a", 9).status, ST_LEASE_NOT_FOUND);
    assert_int_equal(keys_of(kv, 7), 1);

    assert_int_equal(put(kv, "a", 8).status, ST_OK);
    assert_int_equal(keys_of(kv, 7), 0);
    assert_int_equal(keys_of(kv, 8), 1);
    assert_int_equal(fixture_incr(kv, "a", 1).status, ST_OK);
    assert_int_equal(keys_of(kv, 8), 1);
    kv_check(kv);

    assert_int_equal(put(kv, "a", 0).status, ST_OK);
    assert_int_equal(keys_of(kv, 8), 0);
    assert_int_equal(put(kv, "a", 8).status, ST_OK);
    assert_int_equal(fixture_delete(kv, "a").status, ST_OK);
    assert_int_equal(keys_of(kv, 8), 0);
    kv_check(kv);
    kv_free(kv);
}

static void a_revoked_lease_takes_its_keys_along_at_one_revision(void **state)
{
    struct kv *kv = new_kv();
    struct kv_event event;
    uint64_t number;
    (void)grant(kv, 0, 7);
    (void)put(kv, "c", 7);
    (void)put(kv, "a", 7);
    (void)put(kv, "b", 0);
    uint64_t before = revision_of(kv);

    struct kv_result result = revoke(kv, 7);

    assert_int_equal(result.status, ST_OK);
    assert_true(result.changed);
    assert_int_equal(result.revision, before + 1);
    assert_false(exists(kv, "a"));
    assert_false(exists(kv, "c"));
    assert_true(exists(kv, "b"));
    assert_int_equal(kv_events_find(kv, before + 1, &number), ST_OK);
    assert_int_equal(kv_events_end(kv), number + 2);
    assert_int_equal(kv_event_at(kv, number, &event), ST_OK);
    assert_true(bytes_equal_text(event.item.key, "a"));
    assert_int_equal(event.item.version, 0);
    assert_int_equal(event.previous.lease, 7);
    assert_int_equal(revoke(kv, 7).status, ST_LEASE_NOT_FOUND);
    assert_int_equal(revision_of(kv), before + 1);
    kv_check(kv);
    kv_free(kv);
}

static void revoking_a_lease_without_keys_is_no_change_of_a_key(void **state)
{
    struct kv *kv = new_kv();
    struct kv_lease lease;
    (void)grant(kv, 0, 7);

    struct kv_result result = revoke(kv, 7);

    assert_int_equal(result.status, ST_OK);
    assert_false(result.changed);
    assert_int_equal(revision_of(kv), 1);
    assert_false(kv_lease(kv, 7, &lease));
    kv_check(kv);
    kv_free(kv);
}

static void a_renewal_is_for_all_that_are_there(void **state)
{
    struct kv *kv = new_kv();
    struct kv_lease lease;
    uint64_t wanted[] = {7, 9, 8};
    (void)grant(kv, 1000, 7);
    (void)grant(kv, 1000, 8);
    (void)grant(kv, 1000, 10);

    struct kv_result result = renew(kv, 5000, wanted, 3);

    assert_int_equal(result.status, ST_OK);
    assert_int_equal(result.number, 2);
    assert_int_equal(revision_of(kv), 1);
    assert_true(kv_lease(kv, 8, &lease));
    assert_int_equal(lease.expires_us, 5000 + TTL_US);
    assert_true(kv_lease(kv, 10, &lease));
    assert_int_equal(lease.expires_us, 1000 + TTL_US);
    kv_check(kv);
    kv_free(kv);
}

static void what_expires_by_the_cutoff_goes_at_one_revision(void **state)
{
    struct kv *kv = new_kv();
    struct kv_lease lease;
    (void)grant(kv, 1000, 1);
    (void)grant(kv, 2000, 2);
    (void)grant(kv, 3000, 3);
    (void)put(kv, "a", 1);
    (void)put(kv, "b", 2);
    (void)put(kv, "c", 3);
    uint64_t before = revision_of(kv);

    assert_int_equal(expire(kv, 2000 + TTL_US, 999 + TTL_US).number, 0);
    assert_int_equal(revision_of(kv), before);
    struct kv_result result = expire(kv, 2000 + TTL_US, 2000 + TTL_US);

    assert_int_equal(result.number, 2);
    assert_true(result.changed);
    assert_int_equal(revision_of(kv), before + 1);
    assert_false(exists(kv, "a"));
    assert_false(exists(kv, "b"));
    assert_true(exists(kv, "c"));
    assert_true(kv_lease(kv, 3, &lease));
    kv_check(kv);
    kv_free(kv);
}

/* Whatever a command says: no lease ends before its time by the log. */
static void a_cutoff_is_never_above_the_stamp(void **state)
{
    struct kv *kv = new_kv();
    (void)grant(kv, 1000, 1);

    assert_int_equal(expire(kv, 999 + TTL_US, UINT64_MAX).number, 0);
    assert_int_equal(expire(kv, 1000 + TTL_US, UINT64_MAX).number, 1);

    kv_check(kv);
    kv_free(kv);
}

/* A stamp of a leader that is behind does not turn log time back. */
static void a_late_stamp_does_not_shorten_a_lease(void **state)
{
    struct kv *kv = new_kv();
    struct kv_lease lease;
    uint64_t wanted[] = {1};
    (void)grant(kv, 1000, 1);
    (void)renew(kv, 9000, wanted, 1);

    (void)renew(kv, 500, wanted, 1);
    (void)grant(kv, 500, 2);

    assert_true(kv_lease(kv, 1, &lease));
    assert_int_equal(lease.expires_us, 9000 + TTL_US);
    assert_true(kv_lease(kv, 2, &lease));
    assert_int_equal(lease.expires_us, 9000 + TTL_US);
    kv_free(kv);
}

static void attach_many(struct kv *kv, uint64_t lease, size_t keys_count)
{
    char key[48];
    for (size_t i = 0; i < keys_count; i++) {
        (void)snprintf(key, sizeof key, "%" PRIu64 "/%zu", lease, i);
        assert_int_equal(put(kv, key, lease).status, ST_OK);
    }
}

static void one_command_takes_no_more_than_its_bound(void **state)
{
    struct kv *kv = new_kv();
    (void)grant(kv, 1000, 1);
    (void)grant(kv, 1001, 2);
    (void)grant(kv, 1002, 3);
    attach_many(kv, 1, LIMIT_LEASES_EXPIRED - 11);
    attach_many(kv, 2, 9); /* with the leases: the bound, exactly */
    attach_many(kv, 3, 1);
    uint64_t before = revision_of(kv);

    struct kv_result result = expire(kv, 5000 + TTL_US, 5000 + TTL_US);

    assert_int_equal(result.number, 2);
    assert_int_equal(revision_of(kv), before + 1);
    assert_int_equal(expire(kv, 5000 + TTL_US, 5000 + TTL_US).number, 1);
    assert_int_equal(revision_of(kv), before + 2);
    kv_check(kv);
    kv_free(kv);
}

static void a_lease_with_more_keys_than_the_bound_goes_alone(void **state)
{
    struct kv *kv = new_kv();
    (void)grant(kv, 1000, 1);
    (void)grant(kv, 1001, 2);
    attach_many(kv, 1, LIMIT_LEASE_KEYS);
    assert_int_equal(put(kv, "one more", 1).status, ST_LEASES_FULL);

    assert_int_equal(expire(kv, 5000 + TTL_US, 5000 + TTL_US).number, 1);
    assert_int_equal(expire(kv, 5000 + TTL_US, 5000 + TTL_US).number, 1);

    kv_check(kv);
    kv_free(kv);
}

/* Exactly once: who asks again for what was granted is told the same lease. */
static void a_repeated_grant_names_the_same_lease(void **state)
{
    struct kv *kv = new_kv();
    struct command command = {.op = COMMAND_GRANT_LEASE,
                              .ttl_ms = TTL_MS,
                              .identity = {.client = BYTES_LITERAL("client"), .sequence = 1}};
    struct kv_result first = fixture_apply(kv, &command);
    (void)put(kv, "a", 0);

    struct kv_result again = fixture_apply(kv, &command);

    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_true(again.is_replayed);
    assert_int_equal(again.lease, first.lease);
    assert_int_equal(again.number, first.lease);
    assert_int_equal(stats.leases_count, 1);
    kv_free(kv);
}

static bool count_lease(void *ctx, const struct kv_lease *lease)
{
    size_t *count = ctx;
    (*count)++;
    return true;
}

static bool count_key(void *ctx, struct bytes key)
{
    size_t *count = ctx;
    (*count)++;
    return true;
}

/* Leases, what hangs on them, and when they expire: all of it is in the image. */
static void a_state_comes_back_with_its_leases(void **state)
{
    struct kv *kv = new_kv();
    (void)grant(kv, 1000, 5);
    (void)grant(kv, 2000, 4);
    (void)put(kv, "a", 5);
    (void)put(kv, "b", 5);
    (void)put(kv, "c", 4);
    (void)fixture_delete(kv, "b");

    struct kv_image *image = kv_pin(kv);
    uint64_t wanted[] = {5};
    struct kv *loaded = NULL;
    struct buf bytes = image_bytes_of(kv), pinned;
    (void)renew(kv, 9000, wanted, 1);
    (void)revoke(kv, 4);
    buf_init(&pinned, IMAGE_BYTES_MAX);
    while (kv_image_read(image, 64, &pinned))
        continue;
    assert_true(bytes_equal(buf_bytes(&bytes), buf_bytes(&pinned)));
    assert_int_equal(kv_decode(buf_bytes(&pinned), &(struct kv_options){0}, &loaded), ST_OK);

    struct kv_lease lease;
    size_t leases_count = 0, keys_count = 0;
    assert_true(kv_lease(loaded, 5, &lease));
    assert_int_equal(lease.expires_us, 1000 + TTL_US);
    assert_int_equal(lease.keys_count, 1);
    kv_leases_scan(loaded, 0, count_lease, &leases_count);
    kv_lease_keys(loaded, 5, count_key, &keys_count);
    assert_int_equal(leases_count, 2);
    assert_int_equal(keys_count, 1);
    kv_check(loaded);
    kv_check(kv);
    kv_unpin(kv, image);
    buf_release(&bytes);
    buf_release(&pinned);
    kv_free(loaded);
    kv_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_is_of_the_log_and_changes_no_key),
        cmocka_unit_test(a_time_to_live_has_bounds),
        cmocka_unit_test(a_put_hangs_a_key_on_a_lease_or_takes_it_off),
        cmocka_unit_test(a_revoked_lease_takes_its_keys_along_at_one_revision),
        cmocka_unit_test(revoking_a_lease_without_keys_is_no_change_of_a_key),
        cmocka_unit_test(a_renewal_is_for_all_that_are_there),
        cmocka_unit_test(what_expires_by_the_cutoff_goes_at_one_revision),
        cmocka_unit_test(a_cutoff_is_never_above_the_stamp),
        cmocka_unit_test(a_late_stamp_does_not_shorten_a_lease),
        cmocka_unit_test(one_command_takes_no_more_than_its_bound),
        cmocka_unit_test(a_lease_with_more_keys_than_the_bound_goes_alone),
        cmocka_unit_test(a_repeated_grant_names_the_same_lease),
        cmocka_unit_test(a_state_comes_back_with_its_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
