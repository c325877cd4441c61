/* A data directory in which one bit is flipped: found and named, or harmless.
 *
 * 10,000 flips over log, snapshots and meta. What opens must give back what was stored; what does
 * not must say which file and where, and leave it as it is. MINIKV_TEST_SCALE=20 tries twenty times
 * as many, on other directories. */
#include "storage/meta.h"
#include "support/wal_rig.h"
#include "unit/storage/snapfile_rig.h"

enum {
    DIRECTORIES = 4,
    FLIPS = 2500, /* of each */
    OLDER = 11,
    NEWER = 27,
    OLDER_BYTES = 9000,
    NEWER_BYTES = 14000
};

#define SEGMENT_1 "wal/0000000000000001.log"
#define SEGMENT_2 "wal/0000000000000002.log"

/* Counted, so that it is seen that each kind was tried. */
struct tally {
    uint64_t log_refused, log_whole, snapshot_passed_over, snapshot_whole, meta_refused;
};

struct directory {
    struct wal_rig rig;
    struct meta meta;
    const char *files[8];
    char names[2][64];
    size_t files_count;
};

static uint64_t directories(void)
{
    const char *scale = getenv("MINIKV_TEST_SCALE");
    return DIRECTORIES * (scale != NULL ? strtoull(scale, NULL, 10) : 1);
}

static struct meta meta_of(uint64_t seed)
{
    struct meta meta = {.cluster_id = RIG_CLUSTER, .identity = seed, .node = 2, .has_log = true};
    for (node_id id = 1; id <= 3; id++) {
        struct member member = {.id = id, .is_voter = true};
        (void)snprintf(member.peer.host, sizeof member.peer.host, "10.0.0.%u", id);
        member.peer.port = (uint16_t)(7000 + id);
        assert_int_equal(config_add(&meta.initial, &member), ST_OK);
    }
    return meta;
}

/* A log at rest: sealed, of two segments and a spare, with marks and superseded entries. */
static void write_log(struct wal_rig *rig, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    assert_int_equal(wal_rig_open(rig), ST_OK);
    for (int i = 0; i < 200 && !disk_env_exists(rig->env, SEGMENT_2); i++) {
        assert_int_equal(wal_rig_append_random(rig, &prng), ST_OK);
        disk_env_run(rig->env, 3000);
    }
    for (int i = 0; i < 10; i++) {
        enum status status =
            i % 4 == 3 ? wal_rig_mark_random(rig, &prng) : wal_rig_append_random(rig, &prng);
        assert_int_equal(status, ST_OK);
        assert_true(wal_rig_settle(rig));
    }
    disk_env_run(rig->env, 1000000);
    wal_rig_close(rig);
    disk_env_kill(rig->env);
}

static void directory_make(struct directory *directory, uint64_t seed)
{
    *directory = (struct directory){.meta = meta_of(seed)};
    struct env *env = disk_env_new(seed);
    struct errtext error;
    assert_int_equal(meta_save(env, &directory->meta, &error), ST_OK);
    struct source older = source_of(OLDER, OLDER_BYTES, 700);
    struct source newer = source_of(NEWER, NEWER_BYTES, 700);
    assert_int_equal(write_one(env, &older, OLDER, RIG_BLOCK_BYTES), ST_OK);
    assert_int_equal(write_one(env, &newer, NEWER, RIG_BLOCK_BYTES), ST_OK);
    wal_rig_init(&directory->rig, env);
    write_log(&directory->rig, seed);

    const char *files[] = {"meta", SEGMENT_1, SEGMENT_2,
                           path_of(OLDER, ".snap", directory->names[0]),
                           path_of(NEWER, ".snap", directory->names[1])};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++)
        directory->files[directory->files_count++] = files[i];
}

/* The same expectations on a copy of the disk. */
static void copy_rig(struct wal_rig *copy, const struct wal_rig *from, uint64_t seed)
{
    wal_rig_init(copy, disk_env_copy(from->env, seed));
    copy->records = mem_alloc_array(from->records_count + 1, sizeof *copy->records);
    memcpy(copy->records, from->records, from->records_count * sizeof *copy->records);
    copy->records_count = copy->records_capacity = from->records_count;
    copy->acked_count = from->acked_count;
    copy->commit = from->commit;
    copy->first_kept = from->first_kept;
}

static void assert_names(const char *text, const char *file, uint64_t seed)
{
    if (strstr(text, file) == NULL || strstr(text, "offset") == NULL)
        fail_msg("flip %llu in %s: \"%s\"", (unsigned long long)seed, file, text);
}

static void judge_meta(struct env *env, const struct meta *original, struct tally *tally)
{
    struct meta loaded;
    struct errtext error = {{0}};
    assert_int_equal(meta_load(env, &loaded, &error), ST_CORRUPT);
    assert_names(error.text, "meta", original->identity);
    tally->meta_refused++;
}

static void judge_snapshots(struct env *env, const char *file, uint64_t seed, struct tally *tally)
{
    struct loaded loaded = {0};
    if (load(env, &loaded) != ST_OK || loaded.is_wrong)
        fail_msg("flip %llu in %s: nothing whole is left, or it is wrong", (unsigned long long)seed,
                 file);
    raft_index index = loaded.info.last.index;
    assert_int_equal(loaded.count, index == NEWER ? NEWER_BYTES : OLDER_BYTES);
    if (index == NEWER) {
        assert_int_equal(loaded.damaged_count, 0);
        tally->snapshot_whole++;
    } else {
        assert_names(loaded.damaged.text, file, seed);
        tally->snapshot_passed_over++;
    }
}

static void judge_log(struct wal_rig *copy, const char *file, uint64_t seed, struct tally *tally)
{
    struct prng prng;
    prng_init(&prng, seed);
    uint32_t digest = disk_env_digest(copy->env);
    enum status status = wal_rig_open(copy);
    if (status == ST_CORRUPT || status == ST_FORMAT) {
        assert_names(copy->error.text, "wal/000000000000000", seed);
        assert_int_equal(disk_env_digest(copy->env), digest);
        tally->log_refused++;
        return;
    }
    const char *wrong = status == ST_OK ? wal_rig_compare(copy, &prng) : copy->error.text;
    if (wrong != NULL)
        fail_msg("flip %llu in %s: %s: %s", (unsigned long long)seed, file,
                 status_info(status)->name, wrong);
    tally->log_whole++;
}

/* Three in four are where something is written: most of a log is room for more. */
static uint64_t choose_bit(struct bytes bytes, struct prng *prng)
{
    static const uint8_t nothing[16];
    bool is_anywhere = prng_below(prng, 4) == 0;
    for (;;) {
        uint64_t bit = prng_below(prng, (uint64_t)bytes.count * 8);
        size_t around =
            MIN(bit / 8 & ~UINT64_C(15), bytes.count - MIN(bytes.count, sizeof nothing));
        if (is_anywhere || bytes.count < sizeof nothing ||
            memcmp(bytes.data + around, nothing, sizeof nothing) != 0)
            return bit;
    }
}

static void poke(struct env *env, const char *file, uint64_t bit)
{
    uint8_t flipped = disk_env_peek(env, file).data[bit / 8] ^ (uint8_t)(1u << bit % 8);
    disk_env_poke(env, file, bit / 8, bytes_of(&flipped, 1));
}

/* In a copy, for a log that opens goes on. */
static void flip_in_log(const struct directory *directory, const char *file, uint64_t bit,
                        uint64_t seed, struct tally *tally)
{
    struct wal_rig copy;
    copy_rig(&copy, &directory->rig, seed);
    poke(copy.env, file, bit);
    judge_log(&copy, file, seed, tally);
    wal_rig_release(&copy);
}

static void flip_one(const struct directory *directory, uint64_t seed, struct tally *tally)
{
    struct prng prng;
    prng_init(&prng, seed);
    struct env *env = directory->rig.env;
    const char *file = directory->files[prng_below(&prng, directory->files_count)];
    uint64_t bit = choose_bit(disk_env_peek(env, file), &prng);
    if (strncmp(file, "wal/", 4) == 0) {
        flip_in_log(directory, file, bit, seed, tally);
        return;
    }
    poke(env, file, bit);
    if (strcmp(file, "meta") == 0)
        judge_meta(env, &directory->meta, tally);
    else
        judge_snapshots(env, file, seed, tally);
    poke(env, file, bit);
}

static void ten_thousand_flipped_bits_are_found_or_harmless(void **state)
{
    (void)state;
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= directories(); seed++) {
        struct directory directory;
        directory_make(&directory, seed);
        for (uint64_t flip = 0; flip < FLIPS; flip++)
            flip_one(&directory, seed * FLIPS + flip, &tally);
        wal_rig_release(&directory.rig);
    }
    print_message("log: %llu refused, %llu whole; snapshots: %llu passed over, %llu untouched; "
                  "meta: %llu refused\n",
                  (unsigned long long)tally.log_refused, (unsigned long long)tally.log_whole,
                  (unsigned long long)tally.snapshot_passed_over,
                  (unsigned long long)tally.snapshot_whole, (unsigned long long)tally.meta_refused);
    assert_true(tally.log_refused > 1000 && tally.snapshot_passed_over > 1000);
    assert_true(tally.meta_refused > 1000 && tally.snapshot_whole > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_flipped_bits_are_found_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
