/* By chance: members join and leave, nodes die in any way at any operation of their disks, links
 * are cut and reset, and all the while snapshots are taken and logs cut. In the end all are as one.
 *
 * TRIALS_SEEDS=N in the environment: so many seeds; TRIALS_FIRST=N: from this one on. */
#include "base/prng.h"
#include "trial_rig.h"

enum { STEPS = 30, GUEST_MIN = 4 };

static unsigned from_environment(const char *name, unsigned usual)
{
    const char *text = getenv(name);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : usual;
}

static unsigned draw(struct prng *prng, unsigned count)
{
    return (unsigned)prng_below(prng, count);
}

static void let_die(struct trial *trial, struct prng *prng, unsigned id)
{
    uint64_t ahead = 1 + draw(prng, 60);
    enum world_stop how = (enum world_stop)draw(prng, 3);
    if (trial->nodes[id] != NULL)
        world_crash_at_io(trial->world, id, world_io_count(trial->world, id) + ahead, how);
}

static void break_links(struct trial *trial, struct prng *prng)
{
    unsigned a = 1 + draw(prng, TRIAL_MACHINES), b = 1 + draw(prng, TRIAL_MACHINES);
    if (a == b)
        return;
    if (draw(prng, 2) == 0)
        world_reset_links(trial->world, a, b);
    else
        world_cut(trial->world, a, b, true);
}

/* Asks any node that runs, as often as it takes. */
static void insist(struct trial *trial, struct prng *prng, const struct command *command)
{
    world_heal(trial->world);
    for (unsigned i = 0; i < 400; i++) {
        unsigned at = 1 + draw(prng, 3);
        if (trial->nodes[at] == NULL) {
            trial_run(trial, 100);
            continue;
        }
        struct trial_question question;
        trial_submit(trial, at, command, &question);
        if (trial_answer(trial, &question) == ST_OK)
            return;
        trial_run(trial, 100);
    }
    fail_msg("no change of members gets through");
}

static void come_or_go(struct trial *trial, struct prng *prng)
{
    unsigned id = GUEST_MIN + draw(prng, 2);
    if (trial->nodes[id] == NULL && trial->stopped_at[id] != 0 && !trial->is_off[id])
        return; /* about to boot again */
    if (trial->nodes[id] == NULL) {
        trial_boot(trial, id);
        if (trial->nodes[id] == NULL)
            return;
        struct command command = trial_joining(trial, id);
        insist(trial, prng, &command);
        return;
    }
    struct command command = trial_removing(id);
    insist(trial, prng, &command);
    if (trial->nodes[id] != NULL)
        trial_stop(trial, id, WORLD_STOP_KILL);
    trial->is_off[id] = true;
    world_crash_at_io(trial->world, id, 0, WORLD_STOP_KILL);
    world_wipe(trial->world, id);
}

static void live(uint64_t seed)
{
    struct trial trial;
    struct prng prng;
    prng_init(&prng, seed);
    trial_open(&trial, 3, seed);
    trial.snapshot_bytes = (24 + draw(&prng, 64)) * KIB;
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial.clients[i].last = UINT64_MAX - 1;

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = draw(&prng, 8);
        if (what < 3)
            let_die(&trial, &prng, 1 + draw(&prng, TRIAL_MACHINES));
        else if (what < 5)
            break_links(&trial, &prng);
        else if (what == 5)
            world_heal(trial.world);
        else if (what == 6)
            come_or_go(&trial, &prng);
        trial_run(&trial, 20 + draw(&prng, 300));
    }

    world_heal(trial.world);
    for (unsigned i = 1; i <= TRIAL_MACHINES; i++)
        world_crash_at_io(trial.world, i, 0, WORLD_STOP_KILL);
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial.clients[i].last = trial.clients[i].sequence;
    trial_work(&trial, 1);
    trial_settle(&trial);
    trial_close(&trial);
}

static void whatever_happens_nothing_is_lost_and_all_agree(void **state)
{
    (void)state;
    unsigned first = from_environment("TRIALS_FIRST", 1);
    unsigned count = from_environment("TRIALS_SEEDS", 6);
    for (unsigned seed = first; seed < first + count; seed++) {
        if (getenv("TRIALS_TELL") != NULL)
            print_message("seed %u\n", seed);
        live(seed);
    }
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_nothing_is_lost_and_all_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
