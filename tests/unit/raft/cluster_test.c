/* Clusters of one to seven raft cores under everything at once, from a seed.
 *
 * Safety phase: messages are delayed, lost, doubled and reordered (or travel on links that break
 * and say so), replicas crash and lose what their disk did not have, pause, are cut off, change
 * members, hand leadership over. world.h checks after every step. Liveness phase: all is healed; a
 * write and reads at every member must go through within a bound.
 *
 * All along logs are compacted, and whoever needs what is gone gets a snapshot: late, twice, or
 * never, and the power may fail while it is put in place.
 *
 *      MINIKV_RAFT_SEED=n    the first seed (default: a new one each run, printed)
 *      MINIKV_RAFT_SEEDS=n   how many (default 200) */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "unit/raft/cluster.h"

/* ---- what happens to them ---- */

/* Into two sides, mostly. Silently, or with notice, or as if the processes had died. */
static void cut_links(struct cluster *cluster)
{
    bool is_one_way = chance(cluster, 200);
    bool is_noticed = !is_one_way && chance(cluster, 600);
    bool is_dead = chance(cluster, 600);
    uint64_t side = prng_next(&cluster->prng);
    for (size_t a = 0; a < cluster->world.replicas_count; a++) {
        for (size_t b = 0; b < a; b++) {
            bool is_apart = (side >> a & 1) != (side >> b & 1) || chance(cluster, 50);
            if (!is_apart)
                continue;
            bool a_sends = is_one_way && chance(cluster, 500);
            bool b_sends = is_one_way && !a_sends;
            cluster->is_cut[a][b] = !a_sends;
            cluster->is_cut[b][a] = !b_sends;
            if (is_noticed)
                reset_link(cluster, a, b, false, is_dead);
        }
    }
}

static void propose(struct cluster *cluster, struct replica *replica)
{
    if (cluster->world.committed + 300 > WORLD_INDEX_MAX)
        return;
    struct entry *entries[8];
    size_t count = 1 + below(cluster, 8);
    struct raft_view view;
    raft_view(replica->raft, &view);
    if (view.last_index + 300 > WORLD_INDEX_MAX)
        return;
    for (size_t i = 0; i < count; i++)
        entries[i] = world_command(++cluster->commands_count);
    (void)replica_propose(replica, entries, count);
}

/* One that has some of the log. With none it would vote for nobody (FAULTS M10). */
static bool has_log(const struct replica *leader, node_id id)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(leader->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return peers[i].match > 0;
    return id == leader->id;
}

/* Adds, removes, promotes or demotes one member; the core may refuse. */
static void change(struct cluster *cluster, struct replica *replica)
{
    node_id id = any_replica(cluster)->id;
    const struct config *old = raft_config(replica->raft);
    const struct member *member = config_find(old, id);
    struct config config = {0};
    for (uint32_t i = 0; i < old->members_count; i++) {
        if (old->members[i].id == id)
            continue;
        enum status status = config_add(&config, &old->members[i]);
        REQUIRE(status == ST_OK);
    }
    if (member == NULL || chance(cluster, 500)) {
        struct config one = world_config(&id, 1);
        one.members[0].is_voter = member != NULL && !member->is_voter && has_log(replica, id);
        enum status status = config_add(&config, &one.members[0]);
        REQUIRE(status == ST_OK);
    }
    struct entry *entry = world_config_entry(&config);
    (void)replica_propose(replica, &entry, 1);
}

static void act(struct cluster *cluster)
{
    const struct plan *plan = &cluster->plan;
    struct replica *replica = any_replica(cluster);
    if (chance(cluster, plan->crash))
        crash(cluster, replica);
    if (chance(cluster, plan->crash * 4))
        restart(cluster, any_replica(cluster));
    if (chance(cluster, plan->cut))
        cut_links(cluster);
    if (chance(cluster, plan->cut * 3))
        heal_links(cluster);
    if (chance(cluster, plan->compact) && replica->raft != NULL)
        take_snapshot(cluster, replica, false);
    if (chance(cluster, plan->pause))
        cluster->paused_until[replica->id - 1] = cluster->world.now + below(cluster, 3 * ELECTION);

    replica = chance(cluster, 700) ? any_leader(cluster) : any_replica(cluster);
    if (!is_awake(cluster, replica))
        return;
    if (chance(cluster, plan->propose))
        propose(cluster, replica);
    if (chance(cluster, plan->read) && cluster->world.reads_count + 200 < WORLD_READS_MAX)
        replica_read(replica);
    if (chance(cluster, plan->change))
        change(cluster, replica);
    if (chance(cluster, plan->campaign))
        (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    if (chance(cluster, plan->transfer))
        (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_TRANSFER,
                                                        .transfer.to = any_replica(cluster)->id});
}

/* ---- liveness ---- */

static void heal(struct cluster *cluster)
{
    memset(cluster->read_answered, 0, sizeof cluster->read_answered);
    cluster->world.load_count = 200;
    cluster->plan.loss = cluster->plan.doubling = cluster->plan.stall = 0;
    cluster->plan.crash = cluster->plan.unfetched = 0;
    cluster->plan.fetch_max = MIN(cluster->plan.fetch_max, (time_us)20000);
    cluster->plan.delay_max = MIN(cluster->plan.delay_max, (time_us)5000);
    cluster->plan.sync_max = MIN(cluster->plan.sync_max, (time_us)5000);
    heal_links(cluster);
    for (size_t i = 0; i < cluster->world.replicas_count; i++) {
        cluster->paused_until[i] = 0;
        restart(cluster, &cluster->world.replicas[i]);
    }
}

/* A member of the leader's configuration has the leader's whole log applied and its reads answered;
 * the leader has committed all of it in its own term. */
static bool is_live(struct cluster *cluster)
{
    struct replica *leader = leader_of(cluster);
    if (leader == NULL)
        return false;
    struct raft_view view;
    raft_view(leader->raft, &view);
    if (view.commit != view.last_index || view.commit < view.term_start)
        return false;
    const struct config *config = raft_config(leader->raft);
    for (uint32_t i = 0; i < config->members_count; i++) {
        size_t at = config->members[i].id - 1;
        const struct replica *replica = &cluster->world.replicas[at];
        if (replica->commit < view.commit || replica->disk_last < view.commit ||
            cluster->read_answered[at] == 0)
            return false;
    }
    return true;
}

static void check_liveness(struct cluster *cluster)
{
    heal(cluster);
    time_us end = cluster->world.now + 30 * ELECTION;
    bool has_proposed = false;
    while (!has_proposed || !is_live(cluster)) {
        WORLD_CHECK(&cluster->world, cluster->world.now < end);
        run_until(cluster, cluster->world.now + HEARTBEAT);
        struct replica *leader = leader_of(cluster);
        if (leader != NULL && !has_proposed) {
            struct entry *entry = world_command(++cluster->commands_count);
            has_proposed = replica_propose(leader, &entry, 1) == ST_OK;
        }
        for (size_t i = 0; i < cluster->world.replicas_count; i++)
            if (cluster->read_answered[i] == 0)
                replica_read(&cluster->world.replicas[i]);
    }
}

/* ---- one seed ---- */

static time_us pick(struct cluster *cluster, const time_us *values, size_t count)
{
    return values[below(cluster, count)];
}

static void draw_plan(struct cluster *cluster)
{
    static const time_us delays[] = {300, 2000, 10000, 60000, 250000};
    static const time_us syncs[] = {100, 3000, 20000, 150000};
    static const time_us rates[] = {0, 2, 10, 40};
    struct plan *plan = &cluster->plan;
    plan->has_links = chance(cluster, 500);
    plan->loss = (uint32_t)pick(cluster, (const time_us[]){0, 10, 100, 300}, 4);
    plan->doubling = (uint32_t)pick(cluster, (const time_us[]){0, 50, 400}, 3);
    plan->delay_max = pick(cluster, delays, ARRAY_COUNT(delays));
    plan->sync_max = pick(cluster, syncs, ARRAY_COUNT(syncs));
    plan->lateness = pick(cluster, (const time_us[]){0, 0, 3000, 30000}, 4);
    plan->crash = (uint32_t)pick(cluster, rates, 4);
    plan->cut = (uint32_t)pick(cluster, rates, 4);
    plan->pause = (uint32_t)pick(cluster, rates, 3);
    plan->change = (uint32_t)pick(cluster, rates, 4);
    plan->transfer = (uint32_t)pick(cluster, rates, 4);
    plan->campaign = (uint32_t)pick(cluster, rates, 4);
    plan->stall = (uint32_t)pick(cluster, (const time_us[]){0, 0, 5, 50}, 4);
    plan->compact = (uint32_t)pick(cluster, (const time_us[]){0, 5, 30, 200}, 4);
    plan->unfetched = (uint32_t)pick(cluster, (const time_us[]){0, 0, 300}, 3);
    plan->fetch_max = pick(cluster, delays, ARRAY_COUNT(delays));
    plan->propose = 250;
    plan->read = 400;
    plan->length = 1500000 + below(cluster, 2500000);
}

static void run_seed(uint64_t seed)
{
    struct cluster *cluster = cluster_new(seed);
    draw_plan(cluster);
    struct raft_options options = {.heartbeat = HEARTBEAT,
                                   .election = ELECTION,
                                   .log_cache_bytes = chance(cluster, 500) ? 1 : 2000};
    size_t count = 1 + below(cluster, REPLICAS_MAX);
    size_t voters_count = 1 + below(cluster, count);
    cluster_open(cluster, count, &options);
    form_cluster(cluster, voters_count, below(cluster, count - voters_count + 1));

    struct world *world = &cluster->world;
    while (world->now < cluster->plan.length) {
        run_until(cluster, world->now + 1000 + below(cluster, 4000));
        act(cluster);
    }
    check_liveness(cluster);
    if (getenv("MINIKV_RAFT_VERBOSE") != NULL)
        fprintf(stderr,
                "seed %" PRIu64 ": %zu replicas, %s, committed %" PRIu64
                ", leaders %zu, reads %" PRIu64 " (%" PRIu64 " refused), snapshots %" PRIu64
                ", offers %" PRIu64 ", installs %" PRIu64 ", lived in %" PRIu64 " ms\n",
                seed, world->replicas_count, cluster->plan.has_links ? "links" : "datagrams",
                world->committed, world->leaders_count, world->reads_done, world->reads_refused,
                cluster->takes_count, cluster->offers_count, cluster->installs_count,
                (world->now - cluster->plan.length) / 1000);
    cluster_free(cluster);
}

static void on_abort(int number)
{
    (void)number;
    say_seed();
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void clusters_stay_safe_and_come_back_to_life(void **state)
{
    (void)state;
    uint64_t first = number_of("MINIKV_RAFT_SEED", (uint64_t)time(NULL) * 100000 % 1000000007);
    uint64_t count = number_of("MINIKV_RAFT_SEEDS", 200);
    print_message("MINIKV_RAFT_SEED=%" PRIu64 " MINIKV_RAFT_SEEDS=%" PRIu64 "\n", first, count);
    signal(SIGABRT, on_abort);

    for (uint64_t seed = first; seed < first + count; seed++)
        run_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_stay_safe_and_come_back_to_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
