/* A node dies in the middle of any operation of its disk while snapshots are taken, marked,
 * compacted behind, fetched and put in place, and while all that is read back at a start. Each time
 * it comes back, all nodes agree, and what clients were told is so.
 *
 * TRIALS=N in the environment: every Nth operation (1: all of them). */
#include "trial_rig.h"

static unsigned stride(unsigned usual)
{
    const char *text = getenv("TRIALS");
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : usual;
}

static const enum world_stop STOPS[] = {WORLD_STOP_KILL, WORLD_STOP_CRASH, WORLD_STOP_POWER_OFF};

static void tell(const char *what, uint64_t seed, uint64_t number)
{
    if (getenv("TRIALS_TELL") != NULL)
        print_message("%s: seed %llu, operation %llu\n", what, (unsigned long long)seed,
                      (unsigned long long)number);
}

/* The machine stops in the middle of the operation that is so many ahead. */
static void crash_in(struct trial *trial, unsigned machine, uint64_t number)
{
    world_crash_at_io(trial->world, machine, world_io_count(trial->world, machine) + number,
                      STOPS[number / 3 % ARRAY_COUNT(STOPS)]);
}

/* ---- taking ---- */

static bool crash_while_taking(uint64_t number)
{
    struct trial trial;
    unsigned machine = 1 + (unsigned)(number % 3);
    tell("taking", number, number);
    trial_open(&trial, 3, number);
    crash_in(&trial, machine, number);

    trial_work(&trial, 40);

    bool has_stopped = trial.stops_count > 0;
    trial_settle(&trial);
    assert_true(trial_newest(&trial, machine).last.index > 0);
    trial_close(&trial);
    return has_stopped;
}

static void a_node_that_dies_while_it_takes_snapshots_loses_nothing(void **state)
{
    (void)state;
    unsigned trials_count = 0;

    for (uint64_t number = 1; crash_while_taking(number); number += stride(19))
        trials_count++;

    assert_true(trials_count > 10);
}

/* ---- installing ---- */

/* Node 3 was away for so long that it gets a snapshot when it comes back. */
static void open_with_node_3_behind(struct trial *trial, uint64_t seed)
{
    trial_open(trial, 3, seed);
    trial->value_bytes = 16 * KIB;
    trial_work(trial, 4);
    trial_settle(trial);
    trial_stop(trial, 3, WORLD_STOP_CRASH);
    trial_work(trial, 40);
    assert_true(trial_log_first(trial, 1) > 40);
    for (unsigned id = 1; id <= 2; id++) { /* what is in memory could feed it, too */
        trial_stop(trial, id, WORLD_STOP_CRASH);
        trial_boot(trial, id);
    }
    trial_settle(trial);
}

static bool crash_while_installing(unsigned machine, uint64_t number)
{
    struct trial trial;
    tell("installing", number, number);
    open_with_node_3_behind(&trial, number);

    crash_in(&trial, machine, number);
    trial_boot(&trial, 3);
    trial_work(&trial, 16);

    bool has_stopped = trial.stops_count > 0;
    trial_settle(&trial);
    assert_true(trial_newest(&trial, 3).last.index > 40);
    if (!has_stopped)
        assert_int_equal(trial_installs(&trial, 3), 1);
    trial_close(&trial);
    return has_stopped;
}

static void a_node_that_dies_while_it_installs_a_snapshot_loses_nothing(void **state)
{
    (void)state;
    unsigned trials_count = 0;

    for (uint64_t number = 1; crash_while_installing(3, number); number += stride(8))
        trials_count++;

    assert_true(trials_count > 10);
}

static void a_node_that_dies_while_another_one_fetches_from_it_loses_nothing(void **state)
{
    (void)state;
    unsigned trials_count = 0;

    for (uint64_t number = 1; crash_while_installing(1, number); number += stride(13))
        trials_count++;

    assert_true(trials_count > 5);
}

/* ---- starting ---- */

static bool crash_while_starting(uint64_t number)
{
    struct trial trial;
    tell("starting", number, number);
    trial_open(&trial, 3, number);
    trial_work(&trial, 30);
    trial_stop(&trial, 2, STOPS[number % ARRAY_COUNT(STOPS)]);

    for (unsigned i = 0; i < 3; i++) { /* three times in a row */
        crash_in(&trial, 2, number + i);
        trial.boots_again = false;
        trial_boot(&trial, 2);
        trial_run(&trial, 100);
        if (trial.nodes[2] != NULL)
            trial_stop(&trial, 2, WORLD_STOP_CRASH);
    }
    trial.boots_again = true;
    world_crash_at_io(trial.world, 2, 0, WORLD_STOP_CRASH);
    trial_boot(&trial, 2);
    trial_work(&trial, 4);

    trial_settle(&trial);
    trial_close(&trial);
    return number < 24;
}

static void a_node_that_dies_again_and_again_while_it_starts_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t number = 1; crash_while_starting(number); number += stride(2))
        ;
}

/* ---- a disk that cannot be read just now ---- */

/* As somebody would: again and again, until it starts. */
static void boot_among_read_errors(struct trial *trial, unsigned id)
{
    struct world_disk good, bad;
    world_disk_get(trial->world, id, &good);
    bad = good, bad.read_error_chance = WORLD_ALWAYS / 2;
    world_disk_set(trial->world, id, &bad);
    trial->places[id] = (struct trial_place){trial, id};
    for (unsigned tries = 0; tries < 60 && trial->nodes[id] == NULL; tries++) {
        struct node_options options = trial_options(trial, id);
        struct node_callbacks callbacks = {.ctx = &trial->places[id], .on_fatal = trial_on_fatal};
        struct errtext error = {0};
        enum status status = node_open(world_boot(trial->world, id), &options, &callbacks,
                                       &trial->nodes[id], &error);
        if (status != ST_OK) {
            assert_int_equal(status, ST_IO);
            trial->nodes[id] = NULL;
            trial->fatal = ST_OK; /* it may have been about to go on */
            world_crash(trial->world, id);
        }
    }
    world_disk_set(trial->world, id, &good);
    if (trial->nodes[id] == NULL)
        trial_boot(trial, id);
}

/* The power is cut when a snapshot is durable and the log has no mark of it yet. What has been
 * written meanwhile is in the log behind it, and nowhere else. */
static void open_unmarked(struct trial *trial, uint64_t seed)
{
    struct node_progress progress = {.is_taking = false};
    bool was_taking = false;
    trial_open_sized(trial, 1, seed, 400 * KIB);
    trial->snapshot_rate = 200 * KIB;
    trial_stop(trial, 1, WORLD_STOP_KILL);
    trial_boot(trial, 1);
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial->clients[i].last = 40;
    while (progress.is_taking || !was_taking) {
        was_taking = progress.is_taking;
        trial_poke(trial);
        (void)world_step(trial->world, world_now(trial->world) + 50);
        node_progress(trial->nodes[1], &progress);
    }
    assert_true(trial_is_done(trial));
    trial_stop(trial, 1, WORLD_STOP_CRASH);
}

static void a_log_that_cannot_be_read_just_now_is_not_given_up(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct trial trial;
        tell("read errors", seed, 0);
        open_unmarked(&trial, seed);

        boot_among_read_errors(&trial, 1);

        trial_work(&trial, 4);
        trial_settle(&trial);
        trial_close(&trial);
    }
}

int main(void)
{
    diag_set_level(getenv("TRIALS_TELL") != NULL ? DIAG_INFO : DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_dies_while_it_takes_snapshots_loses_nothing),
        cmocka_unit_test(a_node_that_dies_while_it_installs_a_snapshot_loses_nothing),
        cmocka_unit_test(a_node_that_dies_while_another_one_fetches_from_it_loses_nothing),
        cmocka_unit_test(a_node_that_dies_again_and_again_while_it_starts_loses_nothing),
        cmocka_unit_test(a_log_that_cannot_be_read_just_now_is_not_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
