/* What the tests of the state share: commands applied one after the other, as a log would. */
#ifndef MINIKV_TESTS_UNIT_KV_KV_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_KV_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "kv/item.h"
#include "kv/kv.h"

static inline struct entry_id fixture_next_id(const struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    return (struct entry_id){.term = stats.applied.term + (stats.applied.index == 0),
                             .index = stats.applied.index + 1};
}

static inline struct kv_result fixture_apply_bytes(struct kv *kv, struct bytes command,
                                                   uint64_t stamp_us)
{
    struct kv_result result;
    struct proposal proposal = {.stamp_us = stamp_us, .command = command};
    memset(&result, 0xee, sizeof result);
    kv_apply(kv, fixture_next_id(kv), &proposal, &result);
    return result;
}

static inline struct kv_result fixture_apply(struct kv *kv, const struct command *command)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    struct kv_result result = fixture_apply_bytes(kv, buf_bytes(&buf), 0);
    buf_release(&buf);
    return result;
}

static inline struct kv_result fixture_put(struct kv *kv, const char *key, const char *value)
{
    return fixture_apply(kv, &(struct command){.op = COMMAND_PUT,
                                               .key = bytes_of_text(key),
                                               .value = bytes_of_text(value)});
}

static inline struct kv_result fixture_delete(struct kv *kv, const char *key)
{
    return fixture_apply(kv, &(struct command){.op = COMMAND_DELETE, .key = bytes_of_text(key)});
}

static inline struct kv_result fixture_incr(struct kv *kv, const char *key, int64_t by)
{
    return fixture_apply(
        kv, &(struct command){.op = COMMAND_INCR, .key = bytes_of_text(key), .by = by});
}

static inline struct address fixture_address(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(bytes_of_text(text), &address), ST_OK);
    return address;
}

static inline struct kv_result fixture_announce(struct kv *kv, node_id id, const char *http)
{
    struct command command = {.op = COMMAND_ANNOUNCE, .member = id};
    if (http != NULL)
        command.http = fixture_address(http);
    struct kv_result result = fixture_apply(kv, &command);
    kv_check(kv);
    return result;
}

static inline struct kv_result fixture_register(struct kv *kv, node_id id, uint64_t identity)
{
    struct kv_result result = fixture_apply(
        kv, &(struct command){.op = COMMAND_REGISTER, .member = id, .member_identity = identity});
    kv_check(kv);
    return result;
}

/* Members with these ids, voters all, at 10.0.0.<id>:7000. */
static inline struct config fixture_config(const node_id *ids, size_t ids_count)
{
    struct config config = {0};
    for (size_t i = 0; i < ids_count; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "10.0.0.%u:7000", ids[i]);
        struct member member = {.id = ids[i], .is_voter = true, .peer = fixture_address(text)};
        assert_int_equal(config_add(&config, &member), ST_OK);
    }
    return config;
}

static inline struct kv *fixture_new(void)
{
    return kv_new(&(struct kv_options){0});
}

static inline void fixture_free(struct kv *kv)
{
    kv_check(kv);
    kv_free(kv);
}

static inline void assert_outcome(struct kv_result got, enum status status, bool changed,
                                  uint64_t revision, uint64_t mod_revision)
{
    assert_string_equal(status_info(got.status)->name, status_info(status)->name);
    assert_int_equal(got.changed, changed);
    assert_int_equal(got.revision, revision);
    assert_int_equal(got.mod_revision, mod_revision);
}

/* Each variant of a state has a digest of its own, and the same one every time. */
static inline void fixture_assert_digests_differ(uint64_t (*digest_with)(int variant), int count)
{
    uint64_t digests[16];
    assert_in_range(count, 2, ARRAY_COUNT(digests));
    for (int i = 0; i < count; i++)
        digests[i] = digest_with(i);

    assert_true(digest_with(0) == digests[0]);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            assert_true(digests[i] != digests[j]);
}

#endif
