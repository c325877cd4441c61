/* Machines and the nodes on them. A site is off, on with a node, or lost: its disk was emptied or
 * damaged, until its operator gives it a new one (members.c). */
#include <stdio.h>

#include "base/mem.h"
#include "sim/swarm/members.h"

enum {
    PORT_PEER = 7001,
    PORT_HTTP = 8081,
    DOOR_GRACE_MS = 100, /* as in src/http/server.c */
    STOP_EXTRA_MS = 2000 /* as in src/minikvd/server.c */
};

static struct address address_of(unsigned id, uint16_t port)
{
    struct address address = {.port = port};
    (void)snprintf(address.host, sizeof address.host, "10.0.0.%u", id);
    return address;
}

struct address site_http(unsigned id)
{
    return address_of(id, PORT_HTTP);
}

struct address site_peer(unsigned id)
{
    return address_of(id, PORT_PEER);
}

/* ---- what the node asks of its surroundings ---- */

static void on_verify(void *ctx, const struct node_verify *verify)
{
    struct site *site = ctx;
    struct swarm *swarm = site->swarm;
    if (front_is_wanted(swarm)) {
        REQUIRE(site->http != NULL);
        http_verify(site->http, verify);
        return;
    }
    struct question *question = swarm_append((void **)&swarm->questions, &swarm->questions_count,
                                             sizeof swarm->questions[0]);
    time_us delay = (1 + prng_below(&swarm->work, 400)) * TIME_US_PER_MS;
    *question = (struct question){
        .verify = *verify, .site = site->id, .life = site->life, .at = world_now(swarm->world)};
    question->at += delay;
}

/* Without front doors, only the node itself answers at its address. */
void sites_answer_questions(struct swarm *swarm)
{
    size_t kept = 0, count = swarm->questions_count;
    for (size_t i = 0; i < count; i++) {
        struct question question = swarm->questions[i];
        struct site *site = &swarm->sites[question.site];
        struct address wanted = site_http(question.verify.id);
        bool is_right = address_equal(&question.verify.http, &wanted);
        if (site->node == NULL || site->life != question.life)
            continue;
        if (question.at > world_now(swarm->world) || site->is_paused)
            swarm->questions[kept++] = question;
        else
            node_verified(site->node, &question.verify, is_right ? ST_OK : ST_ADDRESS_MISMATCH);
    }
    swarm->questions_count = kept;
}

static void on_fatal(void *ctx, enum status status)
{
    struct site *site = ctx;
    struct swarm *swarm = site->swarm;
    site->is_failed = true;
    if (world_is_on(swarm->world, site->id))
        world_stop(swarm->world, site->id, WORLD_STOP_KILL); /* the page cache stays */
    if (status == ST_CORRUPT && !site->may_be_damaged)
        swarm_violate(swarm, VERDICT_SAFETY, "undamaged disk",
                      "n%u stops: it takes its own log for damaged", site->id);
}

/* ---- start ---- */

static struct node_options options_of(const struct site *site)
{
    const struct plan *plan = &site->swarm->plan;
    struct node_options options = {.self = site->id,
                                   .listen_peer = address_of(site->id, PORT_PEER),
                                   .advertise_http = site_http(site->id),
                                   .announces = true,
                                   .policy = plan->doors_redirect ? ROUTE_REDIRECT : ROUTE_FORWARD,
                                   .heartbeat = plan->heartbeat,
                                   .election = plan->election,
                                   .hold = plan->hold,
                                   .session_ttl = plan->session_ttl,
                                   .wal_segment_bytes = plan->wal_segment_bytes,
                                   .snapshot_bytes = plan->snapshot_bytes,
                                   .snapshot_rate = plan->snapshot_rate};
    const struct config *founders = &site->swarm->configs[0].config;
    if (!site->joins) {
        options.initial = *founders;
        return options;
    }
    const struct site *guide = members_find_guide(site->swarm);
    options.joins = true;
    options.cluster_id = config_cluster_id(founders);
    if (guide != NULL)
        options.hint = members_hint(guide, site->id);
    return options;
}

static bool has_fault(const struct swarm *swarm, enum fault fault)
{
    return (swarm->plan.faults & 1u << fault) != 0;
}

static void set_clock(struct site *site)
{
    struct swarm *swarm = site->swarm;
    if (!has_fault(swarm, FAULT_CLOCK))
        return;
    unsigned percent = 80 + (unsigned)prng_below(&swarm->faults, 46);
    time_us ahead = prng_below(&swarm->faults, 1000000) * 1000 * TIME_US_PER_MS;
    world_clock(swarm->world, site->id, percent, ahead);
    world_monotonic(swarm->world, site->id,
                    TIME_US_PER_MS * (1 + prng_below(&swarm->faults, 1u << 30)));
}

static bool is_excused(const struct swarm *swarm, enum status status)
{
    switch ((int)status) {
    case ST_IO: /* also a sync that finds no room for what was written */
        return has_fault(swarm, FAULT_IO_ERROR) || has_fault(swarm, FAULT_IO_CRASH) ||
               has_fault(swarm, FAULT_READ_ERROR) || has_fault(swarm, FAULT_DISK_FULL) ||
               has_fault(swarm, FAULT_NO_ROOM);
    case ST_NO_SPACE:
        return has_fault(swarm, FAULT_DISK_FULL) || has_fault(swarm, FAULT_NO_ROOM);
    default:
        return false;
    }
}

/* The node did not start: a disk that fails now may work later; a damaged one never will. */
static void take_refusal(struct site *site, enum status status, const struct errtext *error)
{
    struct swarm *swarm = site->swarm;
    if (world_is_on(swarm->world, site->id))
        world_stop(swarm->world, site->id, WORLD_STOP_KILL);
    swarm_note(swarm, TRACE_STOP, site->id, 0, (uint64_t)status, 0, "does not start: %s",
               error->text);
    site->boot_at = world_now(swarm->world) + 500 * TIME_US_PER_MS;
    if (site->may_be_damaged && (status == ST_CORRUPT || status == ST_FORMAT)) {
        site->is_lost = true;
        site->boot_at = TIME_NEVER;
    } else if (!is_excused(swarm, status)) {
        swarm_violate(swarm, VERDICT_SAFETY, "undamaged disk", "n%u does not start: %s", site->id,
                      error->text);
    }
}

void site_boot(struct site *site)
{
    struct swarm *swarm = site->swarm;
    struct node_callbacks callbacks = {
        .ctx = site, .verify = on_verify, .on_fatal = on_fatal, .on_view = front_on_view};
    struct node_options options = options_of(site);
    struct errtext error = {0};
    REQUIRE(site->node == NULL && !site->is_lost && !site->is_out);
    if (site->joins && site->is_fresh && members_find_guide(swarm) == NULL) {
        site->boot_at = world_now(swarm->world) + 500 * TIME_US_PER_MS; /* nobody to ask */
        return;
    }

    set_clock(site);
    swarm_note(swarm, TRACE_BOOT, site->id, 0, 0, 0, "starts");
    site->is_paused = site->is_failed = false;
    site->boot_at = TIME_NEVER;
    site->life++;
    site->env = world_boot(swarm->world, site->id);
    enum status status = node_open(site->env, &options, &callbacks, &site->node, &error);
    if (status != ST_OK)
        site->node = NULL;
    else
        status = front_open(site, &error);
    if (status != ST_OK) {
        struct node *node = site->node;
        site->node = NULL;
        node_close(node);
        take_refusal(site, status, &error);
        return;
    }
    site->is_fresh = false;
    keep_open(site);
    watch_after_boot(site);
}

static void boot_if_it_can(struct site *site)
{
    if (strike_lets_boot(site)) {
        site_boot(site);
        return;
    }
    swarm_note(site->swarm, TRACE_STOP, site->id, 0, 0, 0,
               "stays off: its disk has lost the end of its log");
    site->is_lost = true;
    site->boot_at = TIME_NEVER;
}

void sites_boot_due(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if (site->node == NULL && !site->is_lost && !site->is_out &&
            !world_is_on(swarm->world, i) && site->boot_at <= world_now(swarm->world))
            boot_if_it_can(site);
    }
}

/* ---- stop ---- */

static void count_snapshots(struct site *site)
{
    struct node_stats stats;
    node_stats(site->node, &stats);
    site->swarm->totals.snapshots += stats.snapshots_count;
    site->swarm->totals.installs += stats.installs_count;
}

/* Whoever still waits for an answer learns nothing if the machine is off: its connection ends. */
static void close_node(struct site *site)
{
    struct node *node = site->node;
    count_snapshots(site);
    site->node = NULL;
    site->is_failed = site->is_stopping = false;
    site->led_term = 0;
    node_close(node);
    keep_close(site);
    front_close(site);
}

static time_us pause_before_boot(struct site *site)
{
    struct swarm *swarm = site->swarm;
    if (swarm->is_healing) /* a write that was under way may fail after everything has healed */
        return world_now(swarm->world) + 100 * TIME_US_PER_MS;
    uint64_t ms = swarm_one_in(&swarm->faults, 4) ? 20000 : 2000;
    return world_now(swarm->world) + (10 + prng_below(&swarm->faults, ms)) * TIME_US_PER_MS;
}

void site_stop(struct site *site, enum world_stop how, const char *why)
{
    struct swarm *swarm = site->swarm;
    REQUIRE(site->node != NULL);
    world_stop(swarm->world, site->id, how);
    swarm_note(swarm, TRACE_STOP, site->id, 0, how, 0, "%s", why);
    close_node(site);
    site->boot_at = pause_before_boot(site);
}

static void on_node_stopped(void *ctx)
{
    struct site *site = ctx;
    site->node_has_stopped = true;
}

static void on_door_stopped(void *ctx)
{
    struct site *site = ctx;
    site->door_has_stopped = true;
}

void site_stop_gently(struct site *site, time_us away, bool is_in_use)
{
    const struct swarm *swarm = site->swarm;
    time_us patience = swarm->plan.request_timeout, now = world_now(swarm->world);
    REQUIRE(site->node != NULL && !site->is_stopping && !site->is_paused);
    site->is_stopping = true;
    site->node_has_stopped = false;
    site->door_has_stopped = site->http == NULL;
    site->door_shuts_at = now + (is_in_use ? DOOR_GRACE_MS * TIME_US_PER_MS : 0);
    site->stop_by = now + (patience + STOP_EXTRA_MS * TIME_US_PER_MS) * 5 / 4; /* slow clocks */
    site->away = away;
    if (site->http != NULL)
        http_stop(site->http, on_door_stopped, site);
    node_stop(site->node, world_now_at(swarm->world, site->id) + patience, on_node_stopped, site);
}

/* In the order of minikvd: the node answers what is still open, the answers leave, the process
 * ends. */
static void end_gently(struct site *site, const char *why)
{
    struct swarm *swarm = site->swarm;
    swarm_note(swarm, TRACE_STOP, site->id, 0, WORLD_STOP_KILL, 0, "%s", why);
    close_node(site);
    bool is_on = world_is_on(swarm->world, site->id);
    if (is_on) /* else a disk operation of the last ones was its end */
        world_stop(swarm->world, site->id, WORLD_STOP_KILL);
    site->boot_at = world_now(swarm->world) + site->away;
}

/* Requests that enter at the node's own door stand for a front door's: it would wait for them. */
static bool has_stopped(const struct site *site)
{
    return site->node_has_stopped && site->door_has_stopped && site->open_count == 0 &&
           world_now(site->swarm->world) >= site->door_shuts_at;
}

bool site_is_open(const struct site *site)
{
    return site->node != NULL &&
           (!site->is_stopping || world_now(site->swarm->world) < site->door_shuts_at);
}

void sites_stop_due(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if (site->node == NULL || !site->is_stopping || site->stop_by > world_now(swarm->world))
            continue;
        if (plan_is_calm(&swarm->plan))
            swarm_violate(swarm, VERDICT_LIVENESS, "stops in time",
                          "n%u was told to stop, and has something in flight at its deadline", i);
        if (site->is_paused)
            site_stop(site, WORLD_STOP_KILL, "is killed: it has not stopped in time");
        else
            end_gently(site, "has not stopped in time, and closes what is open");
    }
}

time_us sites_stop_next(const struct swarm *swarm)
{
    time_us next = TIME_NEVER;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (swarm->sites[i].node != NULL && swarm->sites[i].is_stopping)
            next = MIN(next, swarm->sites[i].stop_by);
    return next;
}

static void on_stop(void *ctx, unsigned machine)
{
    struct swarm *swarm = ctx;
    struct site *site = &swarm->sites[machine];
    if (site->node != NULL)
        watch_last_commit(site); /* perhaps it has answered just before */
    swarm_note(swarm, TRACE_STOP, machine, 0, 0, 0, "stops in the middle of a disk write");
    if (site->node != NULL)
        close_node(site);
    site->boot_at = pause_before_boot(site);
}

/* The process of a failed node has ended; here is what its destructors do. */
void sites_collect(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if (site->node == NULL || !site->is_failed)
            continue;
        watch_last_commit(site);
        swarm_note(swarm, TRACE_STOP, i, 0, 0, 0, "the node ends its process: its disk failed");
        close_node(site);
        site->boot_at = pause_before_boot(site);
    }
}

void sites_end_stopped(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if (site->node != NULL && site->is_stopping && has_stopped(site))
            end_gently(site, "has stopped, as it was told");
    }
}

/* At the end of the run. */
void sites_sum_up(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (swarm->sites[i].node != NULL)
            count_snapshots(&swarm->sites[i]);
}

void site_pause(struct site *site, bool is_paused)
{
    world_pause(site->swarm->world, site->id, is_paused);
    site->is_paused = is_paused;
    if (is_paused)
        swarm_note(site->swarm, TRACE_PAUSE, site->id, 0, 0, 0, "is paused");
    else
        swarm_note(site->swarm, TRACE_RESUME, site->id, 0, 0, 0, "goes on");
}

void site_forget_disk(struct site *site)
{
    truth_release(&site->truth_wiped);
    site->truth_wiped = site->truth;
    site->truth = (struct truth){0};
    site->term_told = 0;
}

void site_wipe(struct site *site)
{
    REQUIRE(site->node == NULL);
    world_wipe(site->swarm->world, site->id);
    site_forget_disk(site);
    strike_forget_bad_write(site);
    lose_release(site); /* a copy of another directory */
}

static void set_disk(struct swarm *swarm, unsigned id)
{
    struct world_disk disk;
    world_disk_get(swarm->world, id, &disk);
    disk.sync_min = swarm->plan.sync_min;
    disk.sync_max = swarm->plan.sync_max;
    disk.survival = has_fault(swarm, FAULT_TORN) ? WORLD_SURVIVES_SOME : WORLD_SURVIVES_NOTHING;
    if (has_fault(swarm, FAULT_TORN) && swarm_one_in(&swarm->faults, 2))
        disk.tear_chance = WORLD_ALWAYS / 20;
    world_disk_set(swarm->world, id, &disk);
}

void sites_open(struct swarm *swarm)
{
    world_on_stop(swarm->world, on_stop, swarm);
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        swarm->sites[i] = (struct site){.swarm = swarm, .id = i, .boot_at = TIME_NEVER};
        set_disk(swarm, i);
    }
    if (has_fault(swarm, FAULT_WINDOWS)) {
        struct world_link link = strike_usual_link(swarm);
        world_link_set_all(swarm->world, &link);
    }
    members_begin(swarm);
    for (unsigned i = 1; i <= plan_founders(&swarm->plan); i++)
        site_boot(&swarm->sites[i]);
}
