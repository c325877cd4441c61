/* Cluster: replicas of world.h on a simulated network and disks, driven by an agenda, from a seed.
 *
 * Two kinds of network: links, which keep the order and break with or without notice, and
 * datagrams, which get lost, doubled and overtaken. */
#ifndef MINIKV_TESTS_UNIT_RAFT_CLUSTER_H
#define MINIKV_TESTS_UNIT_RAFT_CLUSTER_H

#include "base/prng.h"
#include "unit/raft/agenda.h"

enum { HEARTBEAT = 20000, ELECTION = 100000 };

/* What kind of world the seed has drawn (swarm testing). */
struct plan {
    bool has_links;          /* in order, breaking with notice; else lossy datagrams */
    uint32_t loss, doubling; /* per mille */
    time_us delay_max, sync_max, lateness;
    uint32_t crash, cut, change, transfer, read, propose, pause, campaign; /* per mille a beat */
    uint32_t stall;     /* per mille of the writes */
    uint32_t compact;   /* per mille a beat */
    uint32_t unfetched; /* per mille of the offers: nothing comes of them */
    time_us fetch_max;
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
    raft_index read_answered[REPLICAS_MAX]; /* the newest answer */
    struct {
        uint64_t fetching, taking; /* the life in which one is under way */
    } snapshots[REPLICAS_MAX];
    uint64_t installs_count, takes_count, offers_count;
};

/* ---- chance ---- */

static inline uint64_t below(struct cluster *cluster, uint64_t bound)
{
    return prng_below(&cluster->prng, bound);
}

static inline bool chance(struct cluster *cluster, uint32_t per_mille)
{
    return below(cluster, 1000) < per_mille;
}

static inline struct replica *any_replica(struct cluster *cluster)
{
    return &cluster->world.replicas[below(cluster, cluster->world.replicas_count)];
}

static inline bool is_awake(const struct cluster *cluster, const struct replica *replica)
{
    return replica->raft != NULL && cluster->paused_until[replica->id - 1] <= cluster->world.now;
}

/* One that leads, or thinks so; else any. More than one may: all are worth asking. */
static inline struct replica *any_leader(struct cluster *cluster)
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

static inline void send_once(struct cluster *cluster, struct packet *packet)
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

static inline void on_packet(struct world *world, struct packet *packet)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    if (!cluster->plan.has_links && chance(cluster, cluster->plan.doubling))
        send_once(cluster, packet_copy(&packet->message));
    send_once(cluster, packet);
}

static inline void on_write(struct world *world, struct replica *replica)
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

static inline void on_read(struct world *world, struct replica *replica,
                           const struct raft_read *read)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    if (!read->is_refused)
        cluster->read_answered[replica->id - 1] = MAX(read->index, (raft_index)1);
}

static inline void on_load(struct world *world, struct replica *replica,
                           const struct raft_load *load)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    agenda_push(&cluster->agenda, (struct happening){.at = world->now + 50 + below(cluster, 2000),
                                                     .type = HAPPENING_LOAD,
                                                     .replica = replica,
                                                     .life = replica->life,
                                                     .load = *load});
}

static inline void on_commit(struct world *world, struct replica *replica)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    agenda_push(&cluster->agenda, (struct happening){.at = world->now + below(cluster, 3000),
                                                     .type = HAPPENING_APPLY,
                                                     .replica = replica,
                                                     .life = replica->life});
}

/* The node fetches one at a time, at its own pace; what it then has may be late. */
static inline void on_offer(struct world *world, struct replica *replica,
                            const struct raft_offer *offer)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    uint64_t *fetching = &cluster->snapshots[replica->id - 1].fetching;
    cluster->offers_count++;
    if (*fetching == replica->life + 1 || chance(cluster, cluster->plan.unfetched))
        return;
    *fetching = replica->life + 1;
    agenda_push(&cluster->agenda,
                (struct happening){.at = world->now + 100 + below(cluster, cluster->plan.fetch_max),
                                   .type = HAPPENING_INSTALL,
                                   .replica = replica,
                                   .life = replica->life,
                                   .offered = offer->last});
}

static inline void on_wanted(struct world *world, struct replica *replica)
{
    struct cluster *cluster = (struct cluster *)(void *)world;
    uint64_t *taking = &cluster->snapshots[replica->id - 1].taking;
    if (*taking == replica->life + 1)
        return;
    *taking = replica->life + 1;
    agenda_push(&cluster->agenda, (struct happening){.at = world->now + 50 + below(cluster, 20000),
                                                     .type = HAPPENING_SNAPSHOT,
                                                     .replica = replica,
                                                     .life = replica->life});
}

static inline void tell_link(struct cluster *cluster, struct replica *replica, node_id peer,
                             bool is_up, bool is_dead)
{
    agenda_push(&cluster->agenda,
                (struct happening){.at = cluster->world.now + below(cluster, 3000),
                                   .type = HAPPENING_LINK,
                                   .replica = replica,
                                   .life = replica->life,
                                   .link = {peer, is_up, is_dead}});
}

/* Both ways; what is on its way is lost. */
static inline void reset_link(struct cluster *cluster, size_t a, size_t b, bool is_up, bool is_dead)
{
    if (!cluster->plan.has_links)
        return;
    cluster->epoch[a][b]++;
    cluster->epoch[b][a]++;
    tell_link(cluster, &cluster->world.replicas[a], (node_id)(b + 1), is_up, is_dead);
    tell_link(cluster, &cluster->world.replicas[b], (node_id)(a + 1), is_up, is_dead);
}

/* ---- what happens to them ---- */

static inline void crash(struct cluster *cluster, struct replica *replica)
{
    if (replica->raft == NULL)
        return;
    replica_crash(replica, below(cluster, replica->writes_count + 1));
    for (size_t i = 0; i < cluster->world.replicas_count; i++)
        if (i != replica->id - 1)
            reset_link(cluster, i, replica->id - 1, false, true);
}

/* A snapshot of what is applied, or was a moment ago; of the log before it some is kept. */
static inline void take_snapshot(struct cluster *cluster, struct replica *replica, bool is_newest)
{
    if (replica->applied == 0)
        return;
    raft_index room = replica->applied - MAX(replica->snapshot.last.index, (raft_index)1);
    raft_index age = is_newest ? 0 : below(cluster, MIN(room, (raft_index)20) + 1);
    cluster->takes_count++;
    replica_take_snapshot(replica, replica->applied - age,
                          chance(cluster, 500) ? 0 : below(cluster, 40));
}

/* The power may fail when the file is there and the log knows nothing of it. */
static inline void install(struct cluster *cluster, struct replica *replica, struct entry_id last)
{
    cluster->snapshots[replica->id - 1].fetching = 0;
    cluster->installs_count++;
    if (chance(cluster, cluster->plan.crash * 4)) {
        replica_save_snapshot(replica, last);
        crash(cluster, replica);
    } else {
        replica_install(replica, last);
    }
}

static inline void restart(struct cluster *cluster, struct replica *replica)
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

static inline void heal_links(struct cluster *cluster)
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

/* ---- time ---- */

static inline bool is_current(const struct cluster *cluster, const struct happening *happening)
{
    const struct replica *replica = happening->replica;
    if (happening->type != HAPPENING_PACKET)
        return happening->life == replica->life && replica->raft != NULL;
    size_t from = happening->packet->message.from - 1;
    return happening->epoch == cluster->epoch[from][replica->id - 1] &&
           !cluster->is_cut[from][replica->id - 1];
}

static inline void apply_some(struct cluster *cluster, struct replica *replica)
{
    if (replica->commit > replica->applied)
        replica_apply(replica,
                      replica->applied + 1 + below(cluster, replica->commit - replica->applied));
    if (replica->commit > replica->applied)
        on_commit(&cluster->world, replica);
}

static inline void happen(struct cluster *cluster, struct happening happening)
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
    case HAPPENING_INSTALL:
        install(cluster, replica, happening.offered);
        break;
    case HAPPENING_SNAPSHOT:
        cluster->snapshots[replica->id - 1].taking = 0;
        take_snapshot(cluster, replica, true);
        break;
    }
}

static inline time_us tick_at(const struct cluster *cluster, const struct replica *replica)
{
    if (replica->raft == NULL || replica->deadline == TIME_NEVER)
        return TIME_NEVER;
    return MAX(replica->deadline, cluster->paused_until[replica->id - 1]) + cluster->plan.lateness;
}

static inline struct replica *next_tick(struct cluster *cluster, time_us *out_at)
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

static inline void run_until(struct cluster *cluster, time_us end)
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

/* The one in the highest term; NULL when nobody leads. */
static inline struct replica *leader_of(struct cluster *cluster)
{
    struct replica *leader = NULL;
    raft_term term = 0;
    for (size_t i = 0; i < cluster->world.replicas_count; i++) {
        struct raft_view view = {0};
        if (cluster->world.replicas[i].raft != NULL)
            raft_view(cluster->world.replicas[i].raft, &view);
        if (view.role != RAFT_ROLE_LEADER || view.term < term)
            continue;
        leader = &cluster->world.replicas[i];
        term = view.term;
    }
    return leader;
}

/* ---- lifecycle ---- */

static uint64_t seed_running;

static inline void say_seed(void)
{
    fprintf(stderr, "MINIKV_RAFT_SEED=%" PRIu64 " MINIKV_RAFT_SEEDS=1\n", seed_running);
}

static inline struct cluster *cluster_new(uint64_t seed)
{
    seed_running = seed;
    struct cluster *cluster = mem_alloc(sizeof *cluster);
    agenda_init(&cluster->agenda);
    prng_init(&cluster->prng, seed);
    return cluster;
}

/* After the plan has been made. */
static inline void cluster_open(struct cluster *cluster, size_t replicas_count,
                                const struct raft_options *options)
{
    struct world *world = &cluster->world;
    world_init(world, replicas_count, options);
    world->on_packet = on_packet;
    world->on_write = on_write;
    world->on_read = on_read;
    world->on_load = on_load;
    world->on_commit = on_commit;
    world->on_offer = on_offer;
    world->on_wanted = on_wanted;
    world->on_fail = say_seed;
}

static inline void cluster_free(struct cluster *cluster)
{
    agenda_release(&cluster->agenda);
    world_release(&cluster->world);
    mem_free(cluster);
}

/* Members 1 … voters_count vote; of the others the first learners_count learn. All start now. Their
 * configuration is the first entry of their logs, or what these begin behind. */
static inline void form_cluster(struct cluster *cluster, size_t voters_count, size_t learners_count)
{
    node_id ids[REPLICAS_MAX];
    size_t count = cluster->world.replicas_count;
    for (size_t i = 0; i < count; i++)
        ids[i] = (node_id)(i + 1);
    struct config config = world_config(ids, voters_count + learners_count);
    for (size_t i = 0; i < learners_count; i++)
        config.members[voters_count + i].is_voter = false;
    struct entry *first = world_config_entry(&config);
    entry_seal(first, (struct entry_id){.term = 1, .index = 1});
    for (size_t i = 0; i < count; i++) {
        bool is_member = config_find(&config, ids[i]) != NULL;
        replica_format(&cluster->world.replicas[i], &first, is_member,
                       (struct hard_state){.term = is_member});
    }
    entry_unref(first);
    bool is_founded = chance(cluster, 500);
    for (size_t i = 0; i < voters_count + learners_count && is_founded; i++)
        replica_found(&cluster->world.replicas[i]);
    for (size_t i = 0; i < count; i++)
        restart(cluster, &cluster->world.replicas[i]);
}

#endif
