/* What minikv-inspect says, as a user sees it: the program itself, on real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "support/golden.h"
#include "support/wal_rig.h"

#define GOLDEN_DIR TEST_SOURCE_DIR "/golden"
#define SEGMENT    "0000000000000001.log"
#define SNAPSHOT   "0000000000000003-0000000000000001.snap"

enum { OUTPUT_BYTES_MAX = 1024 * 1024 };

static char directory[] = "/tmp/minikv-inspect-test-XXXXXX";

/* Runs the program in `where`; its output, which the caller releases, and its exit code. */
static int run(const char *where, const char *arguments, struct buf *output)
{
    char command[512];
    char chunk[4096];
    size_t count;
    (void)snprintf(command, sizeof command, "cd '%s' && '%s' %s 2>&1", where, INSPECT_PROGRAM,
                   arguments);
    buf_init(output, OUTPUT_BYTES_MAX);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while ((count = fread(chunk, 1, sizeof chunk, pipe)) > 0)
        buf_put(output, bytes_of(chunk, count));
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_says(const char *where, const char *arguments, const char *golden, int code)
{
    struct buf output;
    assert_int_equal(run(where, arguments, &output), code);
    assert_true(golden_matches(GOLDEN_DIR, golden, buf_bytes(&output)));
    buf_release(&output);
}

static void write_file(const char *name, struct bytes bytes)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.count, file), bytes.count);
    assert_int_equal(fclose(file), 0);
}

/* It need not be there. */
static void remove_file(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)unlink(path);
}

/* The golden segment, to be damaged; the caller releases it. */
static void read_segment(struct buf *segment)
{
    buf_init(segment, OUTPUT_BYTES_MAX);
    assert_true(golden_read_file(GOLDEN_DIR "/wal/" SEGMENT, segment));
}

static int make_directory(void **state)
{
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    char command[512];
    (void)snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

static void a_whole_log_is_shown_record_by_record(void **state)
{
    assert_says(GOLDEN_DIR, "wal wal", "inspect/wal-whole.txt", EXIT_CODE_OK);
}

static void brief_shows_the_sum(void **state)
{
    assert_says(GOLDEN_DIR, "wal --brief wal/" SEGMENT, "inspect/wal-brief.txt", EXIT_CODE_OK);
}

static void a_torn_tail_is_shown_and_is_no_damage(void **state)
{
    struct buf segment;
    read_segment(&segment);
    segment.data[4 * 4096 + 20] ^= 1; /* in the seal, which is last */
    write_file(SEGMENT, buf_bytes(&segment));

    assert_says(directory, "wal .", "inspect/wal-torn.txt", EXIT_CODE_OK);
    buf_release(&segment);
}

static void damage_is_shown_and_what_follows_it_as_well(void **state)
{
    struct buf segment;
    read_segment(&segment);
    segment.data[2 * 4096 + 140] ^= 1; /* in a frame with records */
    write_file(SEGMENT, buf_bytes(&segment));

    assert_says(directory, "wal " SEGMENT, "inspect/wal-damaged.txt", EXIT_CODE_CORRUPT);
    buf_release(&segment);
}

static void a_damaged_header_is_shown(void **state)
{
    struct buf segment;
    read_segment(&segment);
    segment.data[50] ^= 1;
    write_file(SEGMENT, buf_bytes(&segment));

    assert_says(directory, "wal .", "inspect/wal-header.txt", EXIT_CODE_CORRUPT);
    buf_release(&segment);
}

static void a_missing_segment_is_shown(void **state)
{
    struct buf segment;
    read_segment(&segment);
    remove_file("0000000000000002.log");
    write_file("0000000000000003.log", buf_bytes(&segment));
    write_file(SEGMENT, buf_bytes(&segment));

    struct buf output;
    assert_int_equal(run(directory, "wal .", &output), EXIT_CODE_CORRUPT);
    assert_non_null(strstr(buf_text(&output), "segment 0000000000000002 is missing"));
    buf_release(&output);
    buf_release(&segment);
}

/* Compaction takes segments from the front; what is left is a log only with a mark. */
static void a_log_without_its_first_segments_is_damaged_without_a_mark(void **state)
{
    struct buf segment, output;
    read_segment(&segment);
    segment.data[32] = 3; /* a header of segment 3, behind entry 40 */
    segment.data[88] = 40;
    store_u32(segment.data, crc32c(0, bytes_of(segment.data + 4, 4096 - 4)));
    remove_file(SEGMENT);
    remove_file("0000000000000002.log");
    write_file("0000000000000003.log", bytes_of(segment.data, 4096));

    (void)run(directory, "wal .", &output);
    assert_non_null(strstr(buf_text(&output), "DAMAGED"));
    buf_release(&output);
    remove_file("0000000000000003.log");
    buf_release(&segment);
}

static void a_snapshot_is_shown_with_its_state(void **state)
{
    assert_says(GOLDEN_DIR, "snapshot --keys snapshot", "inspect/snapshot.txt", EXIT_CODE_OK);
    assert_says(GOLDEN_DIR, "snapshot --brief snapshot/" SNAPSHOT, "inspect/snapshot-brief.txt",
                EXIT_CODE_OK);
}

static void a_damaged_snapshot_is_shown(void **state)
{
    struct buf snapshot;
    buf_init(&snapshot, OUTPUT_BYTES_MAX);
    assert_true(golden_read_file(GOLDEN_DIR "/snapshot/" SNAPSHOT, &snapshot));
    snapshot.data[4096 + 100] ^= 1;
    write_file(SNAPSHOT, buf_bytes(&snapshot));

    assert_says(directory, "snapshot " SNAPSHOT, "inspect/snapshot-damaged.txt", EXIT_CODE_CORRUPT);
    remove_file(SNAPSHOT);
    buf_release(&snapshot);
}

static void meta_is_shown(void **state)
{
    assert_says(GOLDEN_DIR, "meta meta", "inspect/meta.txt", EXIT_CODE_OK);
}

static void damaged_meta_is_shown(void **state)
{
    write_file("meta", BYTES_LITERAL("this is some other file, long enough"));
    assert_says(directory, "meta .", "inspect/meta-damaged.txt", EXIT_CODE_CORRUPT);
}

static void what_cannot_be_read_is_said(void **state)
{
    struct buf output;
    assert_int_equal(run(directory, "wal nowhere", &output), EXIT_CODE_FAILURE);
    assert_non_null(strstr(buf_text(&output), "nowhere: No such file"));
    buf_release(&output);
}

static void a_malformed_command_line_is_refused(void **state)
{
    static const char *const lines[] = {"",       "wal",  "frobnicate x", "limits x",
                                        "--frob", "meta", "snapshot"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct buf output;
        assert_int_equal(run(directory, lines[i], &output), EXIT_CODE_USAGE);
        assert_non_null(strstr(buf_text(&output), "minikv-inspect: "));
        buf_release(&output);
    }
}

static void help_names_every_command(void **state)
{
    struct buf output;
    assert_int_equal(run(directory, "--help", &output), EXIT_CODE_OK);
    const char *text = buf_text(&output);
    assert_non_null(strstr(text, "wal PATH"));
    assert_non_null(strstr(text, "snapshot PATH"));
    assert_non_null(strstr(text, "meta PATH"));
    assert_non_null(strstr(text, "limits"));
    buf_release(&output);
}

/* The names in limits.h are those that are shown: no limit without its line. */
static void every_limit_is_shown(void **state)
{
    struct buf header, output;
    size_t names = 0;
    buf_init(&header, OUTPUT_BYTES_MAX);
    assert_true(golden_read_file(TEST_SOURCE_DIR "/../src/base/limits.h", &header));
    assert_int_equal(run(directory, "limits", &output), EXIT_CODE_OK);
    const char *shown = buf_text(&output);
    for (const char *line = buf_text(&header); line != NULL; line = strchr(line + 1, '\n')) {
        char name[64], equals;
        if (sscanf(line, "\n    %63[A-Z0-9_] %c", name, &equals) != 2 || equals != '=')
            continue;
        names++;
        if (strstr(shown, name) == NULL)
            fail_msg("%s is missing in src/inspect/inspect_limits.c", name);
    }
    assert_true(names > 30);
    buf_release(&output);
    buf_release(&header);
}

static void put_log_into_directory(struct env *env)
{
    for (int id = 1; id <= 3; id++) {
        char from[64], name[32];
        (void)snprintf(name, sizeof name, "%016x.log", id);
        (void)snprintf(from, sizeof from, "wal/%s", name);
        write_file(name, disk_env_peek(env, from));
    }
}

static void inspect_and_recovery_agree_on_damage(void **state)
{
    /* given a sealed log of three segments */
    struct wal_rig rig;
    struct prng prng;
    struct buf output;
    prng_init(&prng, 5);
    wal_rig_init(&rig, disk_env_new(5));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    while (!disk_env_exists(rig.env, "wal/0000000000000003.log")) {
        assert_int_equal(wal_rig_append_random(&rig, &prng), ST_OK);
        disk_env_run(rig.env, 5000);
    }
    assert_true(wal_rig_settle(&rig));
    disk_env_run(rig.env, 10 * RIG_IDLE_SEAL_US);
    wal_rig_kill(&rig);
    put_log_into_directory(rig.env);
    assert_int_equal(run(directory, "wal -b .", &output), EXIT_CODE_OK);
    buf_release(&output);

    for (int i = 0; i < 60; i++) {
        /* when a byte of it changes */
        char path[64];
        struct env *copy = disk_env_copy(rig.env, 1);
        struct wal_rig other;
        (void)snprintf(path, sizeof path, "wal/%016x.log", 1 + i % 3);
        uint64_t at = prng_below(&prng, disk_env_peek(copy, path).count);
        uint8_t flipped = disk_env_peek(copy, path).data[at] ^ 0x10;
        disk_env_poke(copy, path, at, bytes_of(&flipped, 1));
        put_log_into_directory(copy);

        /* then the program finds what a node finds */
        wal_rig_init(&other, copy);
        enum status status = wal_rig_open(&other);
        int code = run(directory, "wal -b .", &output);
        if ((status == ST_CORRUPT) != (code == EXIT_CODE_CORRUPT))
            fail_msg("%s at %llu: %s, but exit code %d: %s", path, (unsigned long long)at,
                     status_info(status)->name, code, buf_text(&output));
        buf_release(&output);
        wal_rig_release(&other);
    }
    wal_rig_release(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_log_is_shown_record_by_record),
        cmocka_unit_test(brief_shows_the_sum),
        cmocka_unit_test(a_torn_tail_is_shown_and_is_no_damage),
        cmocka_unit_test(damage_is_shown_and_what_follows_it_as_well),
        cmocka_unit_test(a_damaged_header_is_shown),
        cmocka_unit_test(inspect_and_recovery_agree_on_damage),
        cmocka_unit_test(a_log_without_its_first_segments_is_damaged_without_a_mark),
        cmocka_unit_test(a_snapshot_is_shown_with_its_state),
        cmocka_unit_test(a_damaged_snapshot_is_shown),
        cmocka_unit_test(meta_is_shown),
        cmocka_unit_test(damaged_meta_is_shown),
        cmocka_unit_test(what_cannot_be_read_is_said),
        cmocka_unit_test(a_malformed_command_line_is_refused),
        cmocka_unit_test(help_names_every_command),
        cmocka_unit_test(every_limit_is_shown),
        cmocka_unit_test(a_missing_segment_is_shown),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
