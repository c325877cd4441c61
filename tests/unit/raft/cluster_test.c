/* Clusters of one to seven raft cores under everything at once, from a seed.
 *
 * Safety phase: messages are delayed, lost, doubled and reordered (or travel on links that break
 * and say so), replicas crash and lose what their disk did not have, pause, are cut off, change
 * members, hand leadership over. world.h checks after every step. Liveness phase: all is healed; a
 * write and reads at every member must go through within a bound.
 *
 *      MINIKV_RAFT_SEED=n    the first seed (default: a new one each run, printed)
 *      MINIKV_RAFT_SEEDS=n   how many (default 200) */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "unit/raft/agenda.h"

enum { HEARTBEAT = 20000, ELECTION = 100000 };

/* What kind of world the seed has drawn (swarm testing). */
struct plan {
    bool has_links;          /* in order, breaking with notice; else lossy datagrams */
    uint32_t loss, doubling; /* per mille */
    time_us delay_max, sync_max, lateness;
    uint32_t crash, cut, change, transfer, read, propose, pause, campaign; /* per mille a beat */
    uint32_t stall; /* per mille of the writes */
    time_us length;
};

struct cluster {
    struct world world; /* first */
    struct prng prng;
    struct plan plan;
    struct agenda agenda;
    bool is_cut[REPLICAS_MAX][REPLICAS_MAX]; /* one way each */
    uint64_t epoch[REPLICAS_MAX][REPLICAS_MAX];
    time_us arrival[REPLICAS_MAX][REPLICAS_MAX]; /* of the newest packet on a link */
    time_us paused_until[REPLICAS_MAX];
    time_us synced_at[REPLICAS_MAX];
    uint64_t commands_count;
    bool is_healed;
    raft_index read_answered[REPLICAS_MAX]; /* since healing */
};

static uint64_t seed_running;

/* ---- chance ---- */

static uint64_t below(struct cluster *cluster, uint64_t bound)
{
    return prng_below(&cluster->prng, bound);
}

static bool chance(struct cluster *cluster, uint32_t per_mille)
{
    return below(cluster, 1000) < per_mille;
}

static struct replica *any_replica(struct cluster *cluster)
{
    return &cluster->world.replicas[below(cluster, cluster->world.replicas_count)];
}

static bool is_awake(const struct cluster *cluster, const struct replica *replica)
{
    return replica->raft != NULL && cluster->paused_until[replica->id - 1] <= cluster->world.now;
}

/* One that leads, or thinks so; else any. More than one may: all are worth asking. */
static struct replica *any_leader(struct cluster *cluster)
{
    struct replica *chosen = any_replica(cluster);
    size_t leaders_count = 0;
    for (size_t i = 0; i < cluster->world.replicas_count; i++) {
        struct replica *replica = &cluster->world.replicas[i];
        struct raft_view view = {0};
        if (is_awake(cluster, replica))
            raft_view(replica->raft, &view);
        if (view.role == RAFT_ROLE_LEADER && below(cluster, ++leaders_count) == 0)
            chosen = replica;
    }
    return chosen;
}

/* ---- network and disk ---- */

static void send_once(struct cluster *cluster, struct packet *packet)
{
    size_t from = packet->message.from - 1;
    size_t to = packet->message.to - 1;
    if (to >= cluster->world.replicas_count || cluster->is_cut[from][to] ||
        (!cluster->plan.has_links && chance(cluster, cluster->plan.loss))) {
        packet_free(packet);
        return;
    }
    time_us at = cluster->world.now + 100 + below(cluster, cluster->plan.delay_max);
    if (cluster->plan.has_links)
        at = cluster->arrival[from][to] = MAX(at, cluster->arrival[from][to]);
    struct replica *replica = &cluster->world.replicas[to];
    agenda_push(&cluster->agenda, (struct happening){.at = at,
                                                     .type = HAPPENING_PACKET,
                                                     .replica = replica,
                                                     .packet = packet,
                                                     .epoch = cluster->epoch[from][to]});
}

static void on_packet(struct world *world, struct packet *packet)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    if (!cluster->plan.has_links && chance(cluster, cluster->plan.doubling))
        send_once(cluster, packet_copy(&packet->message));
    send_once(cluster, packet);
}

static void on_write(struct world *world, struct replica *replica)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    time_us *synced_at = &cluster->synced_at[replica->id - 1];
    *synced_at = MAX(*synced_at, world->now) + 50 + below(cluster, cluster->plan.sync_max);
    if (chance(cluster, cluster->plan.stall))
        *synced_at += below(cluster, 5 * ELECTION);
    agenda_push(&cluster->agenda, (struct happening){.at = *synced_at,
                                                     .type = HAPPENING_SYNC,
                                                     .replica = replica,
                                                     .life = replica->life});
}

static void on_read(struct world *world, struct replica *replica, const struct raft_read *read)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    if (cluster->is_healed && !read->is_refused)
        cluster->read_answered[replica->id - 1] = MAX(read->index, (raft_index)1);
}

static void on_load(struct world *world, struct replica *replica, const struct raft_load *load)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    agenda_push(&cluster->agenda, (struct happening){.at = world->now + 50 + below(cluster, 2000),
                                                     .type = HAPPENING_LOAD,
                                                     .replica = replica,
                                                     .life = replica->life,
                                                     .load = *load});
}

static void on_commit(struct world *world, struct replica *replica)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    agenda_push(&cluster->agenda, (struct happening){.at = world->now + below(cluster, 3000),
                                                     .type = HAPPENING_APPLY,
                                                     .replica = replica,
                                                     .life = replica->life});
}

static void tell_link(struct cluster *cluster, struct replica *replica, node_id peer, bool is_up,
                      bool is_dead)
{
    agenda_push(&cluster->agenda,
                (struct happening){.at = cluster->world.now + below(cluster, 3000),
                                   .type = HAPPENING_LINK,
                                   .replica = replica,
                                   .life = replica->life,
                                   .link = {peer, is_up, is_dead}});
}

/* Both ways; what is on its way is lost. */
static void reset_link(struct cluster *cluster, size_t a, size_t b, bool is_up, bool is_dead)
{
    if (!cluster->plan.has_links)
        return;
    cluster->epoch[a][b]++;
    cluster->epoch[b][a]++;
    tell_link(cluster, &cluster->world.replicas[a], (node_id)(b + 1), is_up, is_dead);
    tell_link(cluster, &cluster->world.replicas[b], (node_id)(a + 1), is_up, is_dead);
}

/* ---- what happens to them ---- */

static void crash(struct cluster *cluster, struct replica *replica)
{
    if (replica->raft == NULL)
        return;
    replica_crash(replica, below(cluster, replica->writes_count + 1));
    for (size_t i = 0; i < cluster->world.replicas_count; i++)
        if (i != replica->id - 1)
            reset_link(cluster, i, replica->id - 1, false, true);
}

static void restart(struct cluster *cluster, struct replica *replica)
{
    if (replica->raft != NULL)
        return;
    raft_index base = chance(cluster, 500) ? below(cluster, replica->disk_commit + 1) : 0;
    cluster->synced_at[replica->id - 1] = cluster->world.now;
    replica_start(replica, base, prng_next(&cluster->prng));
    for (size_t i = 0; i < cluster->world.replicas_count; i++)
        if (i != replica->id - 1)
            reset_link(cluster, i, replica->id - 1, true, false);
}

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

static void heal_links(struct cluster *cluster)
{
    for (size_t a = 0; a < cluster->world.replicas_count; a++) {
        for (size_t b = 0; b < a; b++) {
            bool was_cut = cluster->is_cut[a][b] || cluster->is_cut[b][a];
            cluster->is_cut[a][b] = cluster->is_cut[b][a] = false;
            if (was_cut)
                reset_link(cluster, a, b, true, false);
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
        one.members[0].is_voter = member == NULL ? chance(cluster, 500) : !member->is_voter;
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

/* ---- time ---- */

static bool is_current(const struct cluster *cluster, const struct happening *happening)
{
    const struct replica *replica = happening->replica;
    if (happening->type != HAPPENING_PACKET)
        return happening->life == replica->life && replica->raft != NULL;
    size_t from = happening->packet->message.from - 1;
    return happening->epoch == cluster->epoch[from][replica->id - 1] &&
           !cluster->is_cut[from][replica->id - 1];
}

static void apply_some(struct cluster *cluster, struct replica *replica)
{
    if (replica->commit > replica->applied)
        replica_apply(replica,
                      replica->applied + 1 + below(cluster, replica->commit - replica->applied));
    if (replica->commit > replica->applied)
        on_commit(&cluster->world, replica);
}

static void happen(struct cluster *cluster, struct happening happening)
{
    struct replica *replica = happening.replica;
    if (!is_current(cluster, &happening)) {
        if (happening.type == HAPPENING_PACKET)
            packet_free(happening.packet);
        return;
    }
    time_us paused_until = cluster->paused_until[replica->id - 1];
    if (paused_until > cluster->world.now) {
        happening.at = paused_until;
        agenda_push(&cluster->agenda, happening);
        return;
    }
    switch (happening.type) {
    case HAPPENING_PACKET:
        replica_deliver(replica, happening.packet);
        break;
    case HAPPENING_SYNC: /* one report may speak for several writes */
        if (replica->writes_count > 0 && chance(cluster, 700))
            replica_sync(replica, 1 + below(cluster, replica->writes_count));
        else if (replica->writes_count > 0)
            replica_sync(replica, 1);
        break;
    case HAPPENING_LOAD:
        replica_answer_load(replica, happening.load);
        break;
    case HAPPENING_APPLY:
        apply_some(cluster, replica);
        break;
    case HAPPENING_LINK:
        (void)replica_step(replica,
                           (struct raft_event){.type = RAFT_EVENT_LINK,
                                               .link = {happening.link.peer, happening.link.is_up,
                                                        happening.link.is_dead}});
        break;
    }
}

static time_us tick_at(const struct cluster *cluster, const struct replica *replica)
{
    if (replica->raft == NULL || replica->deadline == TIME_NEVER)
        return TIME_NEVER;
    return MAX(replica->deadline, cluster->paused_until[replica->id - 1]) + cluster->plan.lateness;
}

static struct replica *next_tick(struct cluster *cluster, time_us *out_at)
{
    struct replica *next = NULL;
    *out_at = TIME_NEVER;
    for (size_t i = 0; i < cluster->world.replicas_count; i++) {
        struct replica *replica = &cluster->world.replicas[i];
        if (tick_at(cluster, replica) >= *out_at)
            continue;
        *out_at = tick_at(cluster, replica);
        next = replica;
    }
    return next;
}

static void run_until(struct cluster *cluster, time_us end)
{
    for (;;) {
        time_us tick_time;
        struct replica *ticking = next_tick(cluster, &tick_time);
        time_us agenda_time = agenda_next_at(&cluster->agenda);
        if (MIN(tick_time, agenda_time) > end)
            break;
        cluster->world.now = MAX(cluster->world.now, MIN(tick_time, agenda_time));
        if (agenda_time <= tick_time)
            happen(cluster, agenda_pop(&cluster->agenda));
        else
            (void)replica_step(ticking, (struct raft_event){.type = RAFT_EVENT_TICK});
    }
    cluster->world.now = end;
}

/* ---- liveness ---- */

static struct replica *leader_of(struct cluster *cluster)
{
    struct replica *leader = NULL;
    raft_term term = 0;
    for (size_t i = 0; i < cluster->world.replicas_count; i++) {
        struct raft_view view;
        raft_view(cluster->world.replicas[i].raft, &view);
        if (view.role != RAFT_ROLE_LEADER || view.term < term)
            continue;
        leader = &cluster->world.replicas[i];
        term = view.term;
    }
    return leader;
}

static void heal(struct cluster *cluster)
{
    cluster->is_healed = true;
    cluster->world.load_count = 200;
    cluster->plan.loss = cluster->plan.doubling = cluster->plan.stall = 0;
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
    plan->propose = 250;
    plan->read = 400;
    plan->length = 1500000 + below(cluster, 2500000);
}

static void form_cluster(struct cluster *cluster)
{
    node_id voters[REPLICAS_MAX];
    size_t count = cluster->world.replicas_count;
    size_t voters_count = 1 + below(cluster, count);
    for (size_t i = 0; i < count; i++)
        voters[i] = (node_id)(i + 1);
    struct config config = world_config(voters, voters_count);
    for (size_t i = voters_count; i < count && chance(cluster, 500); i++) {
        struct config one = world_config(&voters[i], 1);
        one.members[0].is_voter = false;
        enum status status = config_add(&config, &one.members[0]);
        REQUIRE(status == ST_OK);
    }
    struct entry *first = world_config_entry(&config);
    entry_seal(first, (struct entry_id){.term = 1, .index = 1});
    for (size_t i = 0; i < count; i++) {
        bool is_member = config_find(&config, voters[i]) != NULL;
        replica_format(&cluster->world.replicas[i], &first, is_member,
                       (struct hard_state){.term = is_member});
    }
    entry_unref(first);
    for (size_t i = 0; i < count; i++)
        restart(cluster, &cluster->world.replicas[i]);
}

static void say_seed(void)
{
    fprintf(stderr, "MINIKV_RAFT_SEED=%" PRIu64 " MINIKV_RAFT_SEEDS=1\n", seed_running);
}

static void run_seed(uint64_t seed)
{
    seed_running = seed;
    struct cluster *cluster = mem_alloc(sizeof *cluster);
    agenda_init(&cluster->agenda);
    prng_init(&cluster->prng, seed);
    draw_plan(cluster);
    struct raft_options options = {.heartbeat = HEARTBEAT,
                                   .election = ELECTION,
                                   .log_cache_bytes = chance(cluster, 500) ? 1 : 2000};
    struct world *world = &cluster->world;
    world_init(world, 1 + below(cluster, REPLICAS_MAX), &options);
    world->on_packet = on_packet;
    world->on_write = on_write;
    world->on_read = on_read;
    world->on_load = on_load;
    world->on_commit = on_commit;
    world->on_fail = say_seed;

    form_cluster(cluster);
    while (world->now < cluster->plan.length) {
        run_until(cluster, world->now + 1000 + below(cluster, 4000));
        act(cluster);
    }
    check_liveness(cluster);
    if (getenv("MINIKV_RAFT_VERBOSE") != NULL)
        fprintf(stderr,
                "seed %" PRIu64 ": %zu replicas, %s, committed %" PRIu64
                ", leaders %zu, reads %" PRIu64 " (%" PRIu64 " refused), lived in %" PRIu64 " ms\n",
                seed, world->replicas_count, cluster->plan.has_links ? "links" : "datagrams",
                world->committed, world->leaders_count, world->reads_done, world->reads_refused,
                (world->now - cluster->plan.length) / 1000);

    agenda_release(&cluster->agenda);
    world_release(world);
    mem_free(cluster);
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
