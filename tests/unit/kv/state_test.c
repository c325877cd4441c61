/* The state as bytes: all of it is there, comes back as it was, and nothing else is taken. */
#include "once_fixture.h"

#include "kv/kv_internal.h"
#include "session_fixture.h"
#include "support/hex.h"

static struct buf encode(const struct kv *kv)
{
    struct buf buf;
    buf_init(&buf, 64 * MIB);
    kv_encode(kv, &buf);
    assert_false(buf.is_full);
    return buf;
}

static enum status decode(struct bytes in, struct kv **out_kv)
{
    return kv_decode(in, &(struct kv_options){0}, out_kv);
}

/* `kv` written and read; freed. */
static struct kv *reload(struct kv *kv)
{
    struct kv *again = NULL;
    struct buf bytes = encode(kv);
    assert_int_equal(decode(buf_bytes(&bytes), &again), ST_OK);
    struct buf same = encode(again);
    assert_true(bytes_equal(buf_bytes(&bytes), buf_bytes(&same)));
    assert_true(kv_digest(again) == kv_digest(kv));
    kv_check(again);
    buf_release(&bytes);
    buf_release(&same);
    kv_free(kv);
    return again;
}

/* Some of everything. */
static struct kv *some_state(void)
{
    static const node_id ids[] = {1, 2, 7};
    struct kv *kv = fixture_new();
    struct config config = fixture_config(ids, 3);
    config.members[2].is_voter = false;
    kv_apply_config(kv, (struct entry_id){3, 1}, &config);
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    (void)fixture_announce(kv, 2, "h:2");
    (void)fixture_register(kv, 1, 0xabc);
    (void)fixture_put(kv, "b", "");
    (void)fixture_put(kv, "a", "value");
    (void)fixture_apply(kv,
                        &(struct command){.op = COMMAND_GRANT_LEASE, .lease = 9, .ttl_ms = 1000});
    (void)fixture_apply(
        kv, &(struct command){.op = COMMAND_PUT, .key = BYTES_LITERAL("held"), .lease = 9});
    (void)fixture_put(kv, "b", "again");
    (void)fixture_delete(kv, "b");
    (void)fixture_apply(kv, &(struct command){.op = COMMAND_COMPACT, .revision = 3});
    (void)once_open(kv, id);
    (void)once_incr(kv, id, 4, 5);
    (void)once_incr(kv, id, 2, 7);
    (void)once_seal(kv, "mine", 3);
    struct command keyed = once_incr_of("", 1, 5);
    keyed.identity = (struct client_identity){CLIENT_KEY, BYTES_LITERAL("key"), 1, 0};
    (void)once_apply(kv, &keyed, 77);
    struct command acking = once_incr_of("mine", 5, 1);
    acking.identity.acked = 2;
    (void)once_apply(kv, &acking, 99);
    return kv;
}

static void an_empty_state_comes_back(void **state)
{
    (void)state;
    struct kv *kv = reload(fixture_new());

    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.applied.index, 0);
    assert_outcome(fixture_put(kv, "a", "b"), ST_OK, true, 2, 2);
    fixture_free(kv);
}

static void all_of_a_state_comes_back(void **state)
{
    (void)state;
    struct kv *kv = some_state();
    struct kv_stats before, after;
    kv_stats(kv, &before);

    kv = reload(kv);

    struct kv_item item;
    kv_stats(kv, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_true(kv_get(kv, BYTES_LITERAL("a"), &item));
    assert_true(bytes_equal_text(item.value, "value"));
    assert_int_equal(item.mod_revision, 3);
    assert_int_equal(kv_config(kv)->members_count, 3);
    assert_false(kv_member(kv, 7)->member.is_voter);
    assert_int_equal(kv_member(kv, 1)->identity, 0xabc);
    assert_int_equal(kv_member(kv, 2)->http.port, 2);
    fixture_free(kv);
}

static void a_state_read_back_still_knows_what_was_carried_out(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    (void)once_open(kv, id);
    struct kv_result first = once_incr(kv, id, 1, 5);
    (void)once_seal(kv, id, 2);

    kv = reload(kv);

    struct kv_result again = once_incr(kv, id, 1, 5);
    assert_replays(&again, &first);
    assert_int_equal(once_incr(kv, id, 1, 6).status, ST_IDENTITY_REUSED);
    assert_int_equal(once_incr(kv, id, 2, 5).status, ST_SEALED);
    assert_int_equal(once_incr(kv, id, 3, 5).status, ST_OK);
    assert_int_equal(once_value(kv), 10);
    fixture_free(kv);
}

static void the_order_of_last_use_comes_back(void **state)
{
    (void)state;
    static const char *const names[] = {"m", "z", "a", "q", "b"};
    struct kv *kv = fixture_new();
    for (uint64_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct command command = once_incr_of(names[i], 1, 1);
        (void)once_apply(kv, &command, 100 + i);
    }

    kv = reload(kv);

    for (uint64_t i = 0; i < ARRAY_COUNT(names); i++) {
        assert_int_equal(once_outcome(kv, names[i], 1).outcome, KV_OUTCOME_APPLIED);
        assert_int_equal(once_expire(kv, 101 + i).number, 1);
        assert_int_equal(once_outcome(kv, names[i], 1).outcome, KV_OUTCOME_UNSEEN);
    }
    fixture_free(kv);
}

/* ---- digests ---- */

/* Each variant differs from the first in one thing that only the table of sessions knows. */
static uint64_t digest_with(int variant)
{
    struct kv *kv = fixture_new();
    struct command incr = once_incr_of(variant == 1 ? "you" : "me", variant == 2 ? 3 : 2, 5);
    if (variant == 3)
        incr.identity.acked = 1;
    if (variant == 4)
        incr.identity = (struct client_identity){CLIENT_KEY, BYTES_LITERAL("me"), 1, 0};
    if (variant == 5)
        incr.by = 6;
    (void)once_apply(kv, &incr, 10);
    if (variant == 6)
        (void)once_seal(kv, "me", 1);
    else if (variant == 7)
        (void)once_expire(kv, 11);
    else if (variant == 8)
        (void)once_incr(kv, "me", 2, 5); /* a use, and nothing else */
    else
        (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 0);
    uint64_t digest = kv_digest(kv);
    fixture_free(kv);
    return digest;
}

static void what_is_remembered_is_part_of_the_digest(void **state)
{
    (void)state;
    fixture_assert_digests_differ(digest_with, 9);
}

/* ---- the bytes ---- */

static void assert_hex(struct bytes got, const char *hex)
{
    struct buf text, want;
    buf_init(&text, 8192);
    buf_init(&want, 8192);
    for (size_t i = 0; i < got.count; i++)
        buf_printf(&text, "%02x", got.data[i]);
    for (const char *at = hex; *at != '\0'; at++)
        if (*at != ' ')
            buf_put_u8(&want, (uint8_t)*at);
    assert_string_equal(buf_text(&text), buf_text(&want));
    buf_release(&text);
    buf_release(&want);
}

/* docs/formats/state.md has the same example. */
static void a_state_is_these_bytes(void **state)
{
    (void)state;
    static const node_id ids[] = {1};
    struct kv *kv = fixture_new();
    struct config config = fixture_config(ids, 1);
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);
    struct command incr = once_incr_of("me", 7, 5);
    incr.identity.acked = 4;
    (void)once_apply(kv, &incr, 0x10);
    (void)once_seal(kv, "me", 8);

    struct buf bytes = encode(kv);

    assert_hex(buf_bytes(&bytes),
               "02 0100000000000000 0300000000000000 0200000000000000 1000000000000000"
               "0000000000000000 0100000000000000"
               "01000000 01000000"
               "1000000000000000 0200000000000000"
               "01000000 01 0d000000 31302e302e302e313a37303030 00000000 0000000000000000"
               "0000000000000000"
               "0100000000000000"
               "0200000000000000 0200000000000000 0100000000000000 0000000000000000"
               "01000000 6e 01000000 35"
               "0100000000000000"
               "00 02 6d65 0300000000000000 1000000000000000 0400000000000000 0200"
               "0700000000000000 d553706bd62812e1 0200000000000000 0200000000000000"
               "0500000000000000 03 00 01"
               "0800000000000000 0000000000000000 0000000000000000 0000000000000000"
               "0000000000000000 00 00 00"
               "f3208a9f74779a32");
    buf_release(&bytes);
    fixture_free(kv);
}

/* Of the keys: all that is kept of them, the deletion too; one is above what was given up. */
static void a_past_is_these_bytes(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct command grant = {.op = COMMAND_GRANT_LEASE, .lease = 7, .ttl_ms = 1000};
    struct command put = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = BYTES_LITERAL("4"), .lease = 7};
    (void)once_apply(kv, &grant, 0x10);
    (void)fixture_put(kv, "k", "2");
    (void)fixture_put(kv, "k", "3");
    (void)fixture_delete(kv, "k");
    (void)fixture_apply(kv, &put);
    (void)fixture_apply(kv, &(struct command){.op = COMMAND_COMPACT, .revision = 3});

    struct buf bytes = encode(kv);
    bytes.count -= 8; /* the digest */

    assert_hex(buf_bytes(&bytes),
               "02 0100000000000000 0600000000000000 0500000000000000 1000000000000000"
               "0000000000000000 0300000000000000"
               "01000000 00000000"
               "1000000000000000 0500000000000000"
               "0100000000000000"
               "0700000000000000 e803000000000000 50420f0000000000"
               "0300000000000000"
               "0200000000000000 0300000000000000 0200000000000000 0000000000000000"
               "01000000 6b 01000000 33"
               "0000000000000000 0400000000000000 0000000000000000 0000000000000000"
               "01000000 6b 00000000"
               "0500000000000000 0500000000000000 0100000000000000 0700000000000000"
               "01000000 6b 01000000 34"
               "0000000000000000");
    buf_release(&bytes);
    fixture_free(kv);
}

/* ---- hostile bytes ---- */

static void every_truncation_is_short(void **state)
{
    (void)state;
    struct kv *kv = some_state();
    struct buf bytes = encode(kv);
    for (size_t count = 0; count < bytes.count; count++) {
        uint8_t *exact = mem_alloc_raw(count); /* so that a sanitizer sees a read behind it */
        memcpy(exact, bytes.data, count);
        struct kv *none = NULL;

        assert_int_equal(decode(bytes_of(exact, count), &none), ST_SHORT);

        assert_null(none);
        mem_free(exact);
    }
    buf_put_u8(&bytes, 0);
    assert_int_equal(decode(buf_bytes(&bytes), &kv), ST_FORMAT);
    buf_release(&bytes);
    fixture_free(kv);
}

static void no_change_of_a_byte_goes_unnoticed(void **state)
{
    (void)state;
    struct kv *kv = some_state(), *none = NULL;
    struct buf bytes = encode(kv);
    for (size_t i = 0; i < bytes.count; i++) {
        bytes.data[i] ^= (uint8_t)(1u << i % 8);
        assert_int_not_equal(decode(buf_bytes(&bytes), &none), ST_OK);
        bytes.data[i] ^= (uint8_t)(1u << i % 8);
    }
    assert_null(none);
    buf_release(&bytes);
    fixture_free(kv);
}

/* All but the digest, then what the digest is of that. NULL: refused. */
static struct kv *load_with_digest_that_fits(struct bytes state)
{
    uint8_t digest[8];
    struct kv *kv = NULL;
    struct kv_loader *loader = kv_loader_new(&(struct kv_options){0});
    enum status status = kv_loader_feed(loader, bytes_of(state.data, state.count - 8));
    store_u64(digest, kv_digest(kv_loader_state(loader)));
    if (status == ST_OK)
        status = kv_loader_feed(loader, bytes_of(digest, sizeof digest));
    enum status finished = kv_loader_finish(loader, &kv);
    assert_true((finished == ST_OK) == (kv != NULL));
    if (status != ST_OK)
        assert_int_equal(finished, status);
    return kv;
}

/* The digest is made to fit, as somebody would who means harm: what is taken then is a state whose
 * invariants hold, and which goes on. */
static void bytes_with_a_digest_that_fits_make_a_sound_state_or_none(void **state)
{
    (void)state;
    struct kv *kv = some_state();
    struct buf bytes = encode(kv);
    struct prng prng;
    unsigned taken_count = 0;
    prng_init(&prng, 8);
    for (int i = 0; i < 6000; i++) {
        struct buf changed;
        buf_init(&changed, MIB);
        buf_put(&changed, buf_bytes(&bytes));
        for (uint64_t flips = 1 + prng_below(&prng, 2); flips > 0; flips--)
            changed.data[prng_below(&prng, changed.count - 8)] ^=
                (uint8_t)(1u << prng_below(&prng, 8));

        struct kv *made = load_with_digest_that_fits(buf_bytes(&changed));
        if (made != NULL) {
            kv_check(made);
            (void)once_incr(made, "mine", 6, 5);
            (void)once_expire(made, UINT64_MAX);
            (void)fixture_put(made, "b", "made again");
            kv_check(made);
            struct kv_stats stats;
            kv_stats(made, &stats);
            (void)fixture_apply(
                made, &(struct command){.op = COMMAND_COMPACT, .revision = stats.revision});
            kv_check(made);
            taken_count++;
        }
        kv_free(made);
        buf_release(&changed);
    }
    assert_in_range(taken_count, 200, 5800);
    buf_release(&bytes);
    fixture_free(kv);
}

struct version {
    const char *key;
    uint64_t create_revision, mod_revision, version;
};

/* A state of these versions, whose digest fits. */
static bool is_taken(uint64_t compacted, uint64_t revision, const struct version *versions)
{
    struct buf bytes;
    buf_init(&bytes, 4096);
    uint64_t versions_count = 0;
    while (versions[versions_count].key != NULL)
        versions_count++;
    const uint64_t head[] = {1, 100, revision, 0, 0, compacted};
    buf_put_u8(&bytes, 2);
    for (size_t i = 0; i < ARRAY_COUNT(head); i++)
        buf_put_u64(&bytes, head[i]);
    buf_put_zeros(&bytes, 4 + 4 + 8); /* marks, members, leases */
    buf_put_u64(&bytes, versions_count);
    for (const struct version *version = versions; version->key != NULL; version++) {
        buf_put_u64(&bytes, version->create_revision);
        buf_put_u64(&bytes, version->mod_revision);
        buf_put_u64(&bytes, version->version);
        buf_put_u64(&bytes, 0);
        buf_put_sized(&bytes, bytes_of_text(version->key));
        buf_put_sized(&bytes, bytes_of(NULL, 0));
    }
    buf_put_zeros(&bytes, 8 + 8); /* sessions, digest */
    struct kv *kv = load_with_digest_that_fits(buf_bytes(&bytes));
    if (kv != NULL)
        fixture_free(kv);
    buf_release(&bytes);
    return kv != NULL;
}

/* K40, K41: each but the first of a kind breaks one rule. */
static void what_is_no_past_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t compacted, revision;
        bool is_taken;
        struct version versions[5];
    } cases[] = {
        {1, 1, true, {{0}}},
        {1, 4, true, {{"a", 2, 2, 1}, {"a", 2, 3, 2}, {"a", 0, 4, 0}}},
        {1, 5, false, {{"a", 2, 2, 1}, {"a", 2, 3, 2}, {"a", 0, 4, 0}}}, /* nothing at 5 */
        {1, 4, false, {{"a", 2, 2, 1}, {"a", 2, 4, 2}}},                 /* … at 3 */
        {1, 4, false, {{"a", 2, 2, 1}, {"a", 3, 3, 1}, {"a", 0, 4, 0}}}, /* made twice */
        {1, 4, false, {{"a", 2, 2, 1}, {"b", 3, 3, 1}, {"a", 0, 4, 0}}}, /* order of keys */
        {1, 3, false, {{"a", 2, 2, 1}, {"a", 2, 2, 1}, {"b", 3, 3, 1}}}, /* twice */
        {1, 5, false, {{"a", 2, 2, 1}, {"a", 2, 3, 2}, {"a", 2, 4, 2}, {"b", 5, 5, 1}}},
        {1, 3, false, {{"a", 2, 2, 1}, {"a", 2, 3, 3}}},                 /* version 2 is missing */
        {1, 4, false, {{"a", 2, 2, 1}, {"a", 3, 4, 2}, {"b", 3, 3, 1}}}, /* made when? */
        {1, 2, false, {{"a", 0, 2, 0}}},                                 /* what was deleted? */
        {1, 4, false, {{"a", 2, 2, 1}, {"a", 0, 3, 0}, {"a", 0, 4, 0}}}, /* deleted twice */
        {1, 4, true, {{"a", 2, 2, 1}, {"a", 0, 3, 0}, {"a", 4, 4, 1}}},
        {1, 4, false, {{"a", 2, 2, 1}, {"a", 0, 3, 0}, {"a", 2, 4, 2}}}, /* not made anew */
        {5, 6, true, {{"a", 2, 5, 3}, {"a", 2, 6, 4}}},
        {5, 6, false, {{"a", 2, 6, 4}}},                                 /* what was it at 5? */
        {5, 6, false, {{"a", 2, 4, 2}, {"a", 2, 5, 3}, {"a", 2, 6, 4}}}, /* cannot be read */
        {5, 6, true, {{"a", 0, 5, 0}, {"a", 6, 6, 1}}},
        {5, 6, false, {{"a", 0, 5, 0}, {"b", 6, 6, 1}}}, /* nobody knows of it */
        {5, 6, false, {{"b", 6, 6, 1}, {"c", 0, 5, 0}}}, /* … */
        {5, 4, false, {{"a", 2, 4, 2}}},                 /* ahead of itself */
        {0, 1, false, {{0}}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("case %zu\n", i);
        assert_int_equal(is_taken(cases[i].compacted, cases[i].revision, cases[i].versions),
                         cases[i].is_taken);
    }
}

/* Sessions as bytes, each whole but for one thing. */
static enum status decode_sessions_hex(const char *hex)
{
    struct buf buf = hex_bytes(hex);
    struct sessions *sessions = sessions_new_limited(3, 2000);
    enum status status = sessions_load_all(sessions, buf_bytes(&buf));
    if (status == ST_OK)
        sessions_check(sessions);
    sessions_free(sessions);
    buf_release(&buf);
    return status;
}

#define N(digit) "0" #digit "00000000000000 "
#define REST     "0000 "
/* Of a transaction in which nothing was to be done. */
#define RESULTS "01 " N(2) " 00 00"
#define SEALED  N(0) N(0) N(0) N(0) "000000 "

static const struct {
    const char *hex;
    enum status status;
} tables[] = {
    {N(1) "00 01 61" N(3) N(9) N(0) REST, ST_OK},
    {N(4) "00 01 61" N(3) N(9) N(0) REST, ST_LIMIT},  /* more than there may be */
    {N(1) "02 01 61" N(3) N(9) N(0) REST, ST_FORMAT}, /* kind */
    {N(1) "00 00" N(3) N(9) N(0) REST, ST_FORMAT},    /* no id */
    {N(1) "00 41", ST_SHORT},                         /* id of 65 bytes, none there */
    {N(1) "00 01 61" N(0) N(9) N(0) REST, ST_FORMAT}, /* never used */
    {N(1) "01 01 61" N(3) N(9) N(0) REST, ST_OK},     /* a key … */
    {N(1) "01 01 61" N(3) N(9) N(1) REST, ST_FORMAT}, /* … does not acknowledge */
    {N(1) "01 01 61" N(3) N(9) N(0) "0100" N(1) SEALED, ST_OK},
    {N(1) "01 01 61" N(3) N(9) N(0) "0100" N(2) SEALED, ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) "0000000000000080" REST, ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(4) "0100" N(5) SEALED, ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(5) "0100" N(5) SEALED, ST_FORMAT}, /* acknowledged */
    {N(1) "00 01 61" N(3) N(9) N(0) "0200" N(5) SEALED N(6) SEALED, ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0200" N(5) SEALED N(5) SEALED, ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0200" N(5) SEALED N(4) SEALED, ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0200" N(1) SEALED "0004000000000000" SEALED, ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0200" N(1) SEALED "0104000000000000" SEALED, ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "000000", ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "010000", ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "060000", ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "0b0000", ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "010900", ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "010a00", ST_FORMAT},
    /* transactions: what they came to is there if they were carried out, and is sound */
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) "0b00000000000000 0e0001" RESULTS,
     ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) "0b00000000000000 0e0001", ST_SHORT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "0e0001", ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "0e0700", ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) "0b00000000000000 0e0700" RESULTS,
     ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) "0a00000000000000 0e0001" RESULTS,
     ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) "0c00000000000000 0e0001" RESULTS
                                                               "00",
     ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) "0100010000000000 0e0001" RESULTS,
     ST_FORMAT}, /* one more byte than may be remembered */
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "010001", ST_OK},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "010002", ST_FORMAT},
    {N(1) "00 01 61" N(3) N(9) N(0) "0100" N(5) N(1) N(0) N(0) N(0) "010101", ST_FORMAT},
    {N(2) "00 01 61" N(3) N(9) N(0) REST "00 01 62" N(4) N(9) N(0) REST, ST_OK},
    {N(2) "00 01 61" N(4) N(9) N(0) REST "00 01 62" N(3) N(9) N(0) REST, ST_OK},
    {N(2) "00 01 61" N(3) N(9) N(0) REST "00 01 61" N(4) N(9) N(0) REST, ST_FORMAT},
    {N(2) "00 01 62" N(3) N(9) N(0) REST "00 01 61" N(4) N(9) N(0) REST, ST_FORMAT},
    {N(2) "00 01 61" N(3) N(9) N(0) REST "00 01 62" N(3) N(9) N(0) REST, ST_FORMAT},
    {N(2) "00 01 61" N(3) N(9) N(0) REST "00 01 62" N(4) N(8) N(0) REST, ST_FORMAT},
    /* session-3-…, used by entry 3, and by one before it was opened */
    {N(1) "00 1a 73657373696f6e2d332d30303030303030303030303030303030" N(3) N(9) N(0) REST, ST_OK},
    {N(1) "00 1a 73657373696f6e2d332d30303030303030303030303030303030" N(2) N(9) N(0) REST,
     ST_FORMAT},
};

static void what_is_no_table_of_sessions_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        print_message("%s\n", tables[i].hex);
        assert_int_equal(decode_sessions_hex(tables[i].hex), tables[i].status);
    }
}

static void more_bytes_than_sessions_may_take_are_refused(void **state)
{
    (void)state;
    struct sessions *sessions = sessions_new_limited(10, MIB);
    struct sessions *less = sessions_new_limited(10, SESSION_BYTES + 1 + SESSION_RESULT_BYTES - 1);
    struct client_identity identity = {.client = BYTES_LITERAL("a"), .sequence = 1};
    struct session_result result = {.op = COMMAND_PUT};
    struct buf bytes;
    buf_init(&bytes, 4096);
    assert_int_equal(sessions_begin(sessions, &identity, 1, (struct entry_id){1, 1}, 0, &result),
                     SESSION_FRESH);
    sessions_record(sessions, &identity, 1, &result);
    struct tree_cursor cursor;
    session_encode(tree_last(sessions_view(sessions), &cursor), &bytes);

    assert_int_equal(sessions_load(less, buf_bytes(&bytes)), ST_LIMIT);

    sessions_free(sessions);
    sessions_free(less);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_state_comes_back),
        cmocka_unit_test(all_of_a_state_comes_back),
        cmocka_unit_test(a_state_read_back_still_knows_what_was_carried_out),
        cmocka_unit_test(the_order_of_last_use_comes_back),
        cmocka_unit_test(what_is_remembered_is_part_of_the_digest),
        cmocka_unit_test(a_state_is_these_bytes),
        cmocka_unit_test(a_past_is_these_bytes),
        cmocka_unit_test(every_truncation_is_short),
        cmocka_unit_test(no_change_of_a_byte_goes_unnoticed),
        cmocka_unit_test(bytes_with_a_digest_that_fits_make_a_sound_state_or_none),
        cmocka_unit_test(what_is_no_past_is_refused),
        cmocka_unit_test(what_is_no_table_of_sessions_is_refused),
        cmocka_unit_test(more_bytes_than_sessions_may_take_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
