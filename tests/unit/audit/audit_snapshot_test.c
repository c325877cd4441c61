/* The audit of a directory with snapshots: where its replay begins, and what it makes of them. */
#include "unit/audit/audit_fixture.h"

#include "kv/kv.h"
#include "storage/snapfile.h"

struct source {
    struct kv_image *image;
    bool is_done;
    enum status status;
};

static bool read_piece(void *ctx, size_t bytes_max, struct buf *out)
{
    struct source *source = ctx;
    return kv_image_read(source->image, bytes_max, out);
}

static void on_written(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct source *source = ctx;
    (void)info;
    source->status = status;
    source->is_done = true;
}

/* The state after `incr_count` entries of fixture_incr by "c", of which the last is `last`. */
static struct kv *state_at(const struct fixture *fixture, raft_index last, uint64_t incr_count)
{
    struct kv *kv = kv_new(&(struct kv_options){0});
    kv_apply_config(kv, (struct entry_id){1, 1}, &fixture->meta.initial);
    for (raft_index index = 2; index <= last; index++) {
        struct kv_result result;
        struct buf encoded;
        buf_init(&encoded, LIMIT_COMMAND_BYTES);
        if (index - 1 <= incr_count)
            command_encode(
                &(struct command){.op = COMMAND_INCR,
                                  .identity = {.client = BYTES_LITERAL("c"), .sequence = index - 1},
                                  .key = BYTES_LITERAL("n"),
                                  .by = 1},
                &encoded);
        struct proposal proposal = {.command = buf_bytes(&encoded)};
        kv_apply(kv, (struct entry_id){1, index}, &proposal, &result);
        buf_release(&encoded);
    }
    return kv;
}

static void write_snapshot(struct fixture *fixture, struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    struct snapfile_options options = {.cluster_id = fixture->meta.cluster_id,
                                       .last = stats.applied};
    struct source source = {.image = kv_pin(kv)};
    (void)snapfile_write_start(fixture->env, &options, read_piece, on_written, &source);
    while (!source.is_done)
        assert_true(disk_env_step(fixture->env));
    assert_int_equal(source.status, ST_OK);
    kv_unpin(kv, source.image);
    kv_free(kv);
}

static void mark(struct fixture *fixture, struct entry_id snapshot)
{
    uint64_t sequence;
    assert_int_equal(wal_mark(fixture->wal, snapshot, &sequence), ST_OK);
    while (fixture->sequence_durable < sequence)
        assert_true(disk_env_step(fixture->env));
}

static void a_log_that_began_anew_is_judged_behind_its_snapshot(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    write_snapshot(&fixture, state_at(&fixture, 50, 30));
    mark(&fixture, (struct entry_id){1, 50});
    fixture.next.index = 51;
    fixture_incr(&fixture, "c", 30); /* carried out before */
    fixture_incr(&fixture, "c", 31);

    fixture_audit(&fixture);

    fixture_assert_proven(&fixture);
    assert_true(fixture.replay.is_behind_snapshot);
    assert_int_equal(fixture.replay.first, 50);
    assert_int_equal(audit_replay_last(&fixture.replay), 52);
    assert_int_equal(fixture.replay.counts.writes_count, 1);
    assert_int_equal(fixture.replay.counts.replayed_count, 1);
    fixture_close(&fixture);
}

static void without_the_snapshot_it_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    mark(&fixture, (struct entry_id){1, 50});
    fixture.next.index = 51;
    fixture_incr(&fixture, "c", 31);

    assert_int_equal(fixture_audit(&fixture), ST_CORRUPT);

    assert_non_null(strstr(fixture.error.text, "missing or damaged"));
    fixture_close(&fixture);
}

static void the_oldest_snapshot_that_the_log_goes_on_behind_is_where_it_begins(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    write_snapshot(&fixture, state_at(&fixture, 40, 10)); /* the log does not go on behind it */
    write_snapshot(&fixture, state_at(&fixture, 50, 10));
    mark(&fixture, (struct entry_id){1, 50});
    fixture.next.index = 51;
    for (int i = 0; i < 10; i++)
        fixture_append(&fixture, ENTRY_COMMAND, BYTES_LITERAL("x"));
    write_snapshot(&fixture, state_at(&fixture, 60, 10));

    fixture_audit(&fixture);

    assert_int_equal(fixture.replay.first, 50);
    assert_int_equal(fixture.replay.snapshot.index, 60);
    fixture_close(&fixture);
}

static void a_snapshot_is_held_against_the_state_that_the_log_makes(void **state)
{
    (void)state;
    for (uint64_t lost = 0; lost <= 1; lost++) {
        struct fixture fixture;
        fixture_open(&fixture);
        for (uint64_t sequence = 1; sequence <= 9; sequence++)
            fixture_incr(&fixture, "c", sequence);
        write_snapshot(&fixture, state_at(&fixture, 8, 7 - lost));
        mark(&fixture, (struct entry_id){1, 8});

        fixture_audit(&fixture);

        assert_false(fixture.replay.is_behind_snapshot);
        if (lost == 0)
            fixture_assert_proven(&fixture);
        else
            fixture_assert_found(&fixture.report, AUDIT_STATES, 8, "", 0);
        fixture_close(&fixture);
    }
}

static void a_node_that_has_joined_and_got_nothing_yet_has_nothing_to_judge(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture.meta.initial = (struct config){0};

    assert_int_equal(fixture_audit(&fixture), ST_NOT_FOUND);

    assert_int_equal(fixture.report.violations_count, 0);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_began_anew_is_judged_behind_its_snapshot),
        cmocka_unit_test(without_the_snapshot_it_is_refused),
        cmocka_unit_test(the_oldest_snapshot_that_the_log_goes_on_behind_is_where_it_begins),
        cmocka_unit_test(a_snapshot_is_held_against_the_state_that_the_log_makes),
        cmocka_unit_test(a_node_that_has_joined_and_got_nothing_yet_has_nothing_to_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
