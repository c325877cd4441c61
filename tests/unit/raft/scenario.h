/* Scenario: a world that a script moves by hand, and its trace. The commands of scenario_test.c. */
#ifndef MINIKV_TESTS_UNIT_RAFT_SCENARIO_H
#define MINIKV_TESTS_UNIT_RAFT_SCENARIO_H

#include "unit/raft/world_disk.h"

enum { WORDS_MAX = 64, QUEUE_MAX = 4096 };

struct scenario {
    struct world world; /* first */
    bool is_open;
    struct packet *queue[QUEUE_MAX]; /* in the order they were sent */
    size_t queue_count;
    bool is_cut[REPLICAS_MAX + 1][REPLICAS_MAX + 1];
    bool is_disk_held[REPLICAS_MAX + 1];
    struct raft_load loads[REPLICAS_MAX + 1]; /* waiting for the disk; first 0: none */
    struct entry_id offers[REPLICAS_MAX + 1]; /* the newest snapshot that was offered to each */
    bool is_wanting[REPLICAS_MAX + 1];        /* a snapshot, since its newest one */
    uint64_t commands_count;
    struct config config;
    struct buf *trace;
    const char *name;
};

struct words {
    char *at[WORDS_MAX];
    size_t count;
};

static const char *scenario_running;

static void say_scenario(void)
{
    fprintf(stderr, "scenario: %s\n", scenario_running);
}

static struct scenario *of(struct world *world)
{
    return (struct scenario *)(void *)world;
}

/* ---- what the trace shows ---- */

static void on_packet(struct world *world, struct packet *packet)
{
    struct scenario *scenario = of(world);
    REQUIRE(scenario->queue_count < QUEUE_MAX);
    scenario->queue[scenario->queue_count++] = packet;
}

static void on_write(struct world *world, struct replica *replica)
{
    (void)world;
    (void)replica; /* it waits for the next `run` */
}

static void on_read(struct world *world, struct replica *replica, const struct raft_read *read)
{
    buf_printf(of(world)->trace, "%u read %" PRIu64, replica->id, read->id.number);
    if (read->is_refused)
        buf_put_text(of(world)->trace, " refused\n");
    else
        buf_printf(of(world)->trace, " answered at %" PRIu64 "\n", read->index);
}

static void on_load(struct world *world, struct replica *replica, const struct raft_load *load)
{
    buf_printf(of(world)->trace, "%u loads from %" PRIu64 " for %u\n", replica->id, load->first,
               load->peer);
    of(world)->loads[replica->id] = *load;
}

static void on_offer(struct world *world, struct replica *replica, const struct raft_offer *offer)
{
    buf_printf(of(world)->trace, "%u is offered %" PRIu64 "/%" PRIu64 " by %u\n", replica->id,
               offer->last.term, offer->last.index, offer->from);
    of(world)->offers[replica->id] = offer->last;
}

static void on_wanted(struct world *world, struct replica *replica)
{
    if (!of(world)->is_wanting[replica->id])
        buf_printf(of(world)->trace, "%u wants a snapshot\n", replica->id);
    of(world)->is_wanting[replica->id] = true;
}

static void on_view(struct world *world, struct replica *replica)
{
    struct raft_view view;
    raft_view(replica->raft, &view);
    buf_printf(of(world)->trace, "%u is %s in term %" PRIu64, replica->id,
               raft_role_name(view.role), view.term);
    bool is_passive = view.role == RAFT_ROLE_FOLLOWER || view.role == RAFT_ROLE_LEARNER;
    if (is_passive && view.leader == NODE_NONE)
        buf_put_text(of(world)->trace, " of nobody");
    else if (is_passive)
        buf_printf(of(world)->trace, " of %u", view.leader);
    buf_put_text(of(world)->trace, "\n");
}

static void on_commit(struct world *world, struct replica *replica)
{
    buf_printf(of(world)->trace, "%u commits %" PRIu64 "\n", replica->id, replica->commit);
}

/* ---- helpers of commands ---- */

static uint64_t number_of(const char *word)
{
    return strtoull(word, NULL, 10);
}

static struct replica *replica_of(struct scenario *scenario, const char *word)
{
    uint64_t id = number_of(word);
    REQUIRE(id >= 1 && id <= scenario->world.replicas_count);
    return &scenario->world.replicas[id - 1];
}

static void put_status(struct scenario *scenario, enum status status)
{
    if (status != ST_OK)
        buf_printf(scenario->trace, "refused: %s\n", status_info(status)->code);
}

static void close_world(struct scenario *scenario)
{
    for (size_t i = 0; i < scenario->queue_count; i++)
        packet_free(scenario->queue[i]);
    scenario->queue_count = 0;
    if (scenario->is_open)
        world_release(&scenario->world);
    scenario->is_open = false;
}

/* "1 2 3 +4": voters, and learners with a plus. */
static struct config config_of(const struct words *words, size_t from)
{
    struct config config = {0};
    for (size_t i = from; i < words->count; i++) {
        bool is_learner = words->at[i][0] == '+';
        node_id id = (node_id)number_of(words->at[i] + is_learner);
        struct config one = world_config(&id, 1);
        one.members[0].is_voter = !is_learner;
        enum status status = config_add(&config, &one.members[0]);
        REQUIRE(status == ST_OK);
    }
    return config;
}

/* ---- commands: time, network, disk ---- */

static void deliver_one(struct scenario *scenario, struct packet *packet)
{
    const struct message *message = &packet->message;
    struct replica *replica = &scenario->world.replicas[message->to - 1];
    bool is_lost = message->to > scenario->world.replicas_count || replica->raft == NULL ||
                   scenario->is_cut[message->from][message->to];
    message_format(message, scenario->trace);
    buf_put_text(scenario->trace, is_lost ? " (lost)\n" : "\n");
    if (is_lost)
        packet_free(packet);
    else
        replica_deliver(replica, packet);
}

/* Only the first entries of an append, as a leader whose message was full would have sent it. */
static void trim_append(struct packet *packet, uint32_t entries_max)
{
    struct message *message = &packet->message;
    if (message->type != MESSAGE_APPEND)
        return;
    while (message->append.entries_count > entries_max)
        entry_unref(packet->entries[--message->append.entries_count]);
}

/* The packets queued now, on one link or (0) all. */
static void deliver_queued(struct scenario *scenario, node_id from, node_id to,
                           uint32_t entries_max)
{
    struct packet *packets[QUEUE_MAX];
    size_t count = scenario->queue_count;
    memcpy(packets, scenario->queue, count * sizeof(struct packet *));
    scenario->queue_count = 0;
    size_t due_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct message *message = &packets[i]->message;
        if (from == 0 || (message->from == from && message->to == to))
            packets[due_count++] = packets[i];
        else
            scenario->queue[scenario->queue_count++] = packets[i];
    }
    for (size_t i = 0; i < due_count; i++) {
        trim_append(packets[i], entries_max);
        deliver_one(scenario, packets[i]);
    }
}

static bool finish_disks(struct scenario *scenario)
{
    bool has_worked = false;
    for (size_t i = 0; i < scenario->world.replicas_count; i++) {
        struct replica *replica = &scenario->world.replicas[i];
        if (replica->raft == NULL || scenario->is_disk_held[replica->id])
            continue;
        if (replica->writes_count > 0) {
            replica_sync(replica, replica->writes_count);
            has_worked = true;
        }
        if (replica->commit > replica->applied)
            replica_apply(replica, replica->commit);
        struct raft_load load = scenario->loads[replica->id];
        if (load.first != 0) {
            scenario->loads[replica->id].first = 0;
            replica_answer_load(replica, load);
            has_worked = true;
        }
    }
    return has_worked;
}

/* Disks and network work until both have nothing to do; time stands still. */
static void run(struct scenario *scenario)
{
    while (finish_disks(scenario) || scenario->queue_count > 0)
        deliver_queued(scenario, 0, 0, UINT32_MAX);
}

static struct replica *next_due(struct scenario *scenario)
{
    struct replica *next = NULL;
    for (size_t i = 0; i < scenario->world.replicas_count; i++) {
        struct replica *replica = &scenario->world.replicas[i];
        if (replica->raft != NULL && replica->deadline != TIME_NEVER &&
            (next == NULL || replica->deadline < next->deadline))
            next = replica;
    }
    return next;
}

/* Lets time pass; whoever is due ticks, then everything runs. */
static void wait_for(struct scenario *scenario, time_us duration)
{
    time_us end = scenario->world.now + duration;
    for (;;) {
        struct replica *next = next_due(scenario);
        if (next == NULL || next->deadline > end)
            break;
        scenario->world.now = MAX(scenario->world.now, next->deadline);
        (void)replica_step(next, (struct raft_event){.type = RAFT_EVENT_TICK});
        run(scenario);
    }
    scenario->world.now = end;
}

static void tick(struct scenario *scenario, struct replica *replica)
{
    scenario->world.now = MAX(scenario->world.now, replica->deadline);
    (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_TICK});
}

/* "deliver 1 2 [entries=N]" */
static void deliver(struct scenario *scenario, const struct words *words)
{
    uint64_t entries_max = words->count > 3 ? number_of(words->at[3] + strlen("entries=")) : 4096;
    deliver_queued(scenario, (node_id)number_of(words->at[1]), (node_id)number_of(words->at[2]),
                   (uint32_t)entries_max);
}

static bool is_vote_between(const struct message *message, node_id candidate, node_id voter)
{
    bool is_asked = message->type == MESSAGE_PRE_VOTE || message->type == MESSAGE_VOTE;
    bool is_told = message->type == MESSAGE_PRE_VOTE_REPLY || message->type == MESSAGE_VOTE_REPLY;
    return (is_asked && message->from == candidate && message->to == voter) ||
           (is_told && message->from == voter && message->to == candidate);
}

/* What is queued between the candidate and these voters about votes; false: nothing. */
static bool deliver_votes(struct scenario *scenario, node_id candidate, const struct words *words)
{
    for (size_t i = 0; i < scenario->queue_count; i++) {
        struct packet *packet = scenario->queue[i];
        for (size_t j = 3; j < words->count; j++) {
            if (!is_vote_between(&packet->message, candidate, (node_id)number_of(words->at[j])))
                continue;
            memmove(&scenario->queue[i], &scenario->queue[i + 1],
                    (--scenario->queue_count - i) * sizeof(struct packet *));
            deliver_one(scenario, packet);
            return true;
        }
    }
    return false;
}

static void drop_queued(struct scenario *scenario)
{
    while (scenario->queue_count > 0)
        packet_free(scenario->queue[--scenario->queue_count]);
}

/* "elect 1 by 2 3": 1 campaigns and only these hear of it. Nothing but votes moves; all else that
 * is on its way, from before or meanwhile, is lost. */
static void elect(struct scenario *scenario, const struct words *words)
{
    struct replica *candidate = replica_of(scenario, words->at[1]);
    REQUIRE(words->count > 3);
    drop_queued(scenario);
    (void)replica_step(candidate, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    do {
        replica_sync(candidate, candidate->writes_count);
        for (size_t i = 3; i < words->count; i++)
            replica_sync(replica_of(scenario, words->at[i]),
                         replica_of(scenario, words->at[i])->writes_count);
    } while (deliver_votes(scenario, candidate->id, words));
    drop_queued(scenario);
}

/* "cut 1 2" both ways, "cut 1" from everyone; the same for heal, where "heal" is all. */
static void set_cut(struct scenario *scenario, const struct words *words, bool is_cut)
{
    for (node_id a = 1; a <= REPLICAS_MAX; a++) {
        for (node_id b = 1; b <= REPLICAS_MAX; b++) {
            bool has_a = words->count < 2 || number_of(words->at[1]) == a;
            bool has_b = words->count < 3 || number_of(words->at[2]) == b;
            if (has_a && has_b)
                scenario->is_cut[a][b] = scenario->is_cut[b][a] = is_cut;
        }
    }
}

/* "only 1-2 1-3 2-3": all other links are cut. */
static void set_only(struct scenario *scenario, const struct words *words)
{
    set_cut(scenario, &(struct words){.count = 1}, true);
    for (size_t i = 1; i < words->count; i++) {
        node_id a = (node_id)number_of(words->at[i]);
        node_id b = (node_id)number_of(strchr(words->at[i], '-') + 1);
        scenario->is_cut[a][b] = scenario->is_cut[b][a] = false;
    }
}

/* ---- commands: replicas ---- */

/* "cluster 1 2 3 +4 [cache=N]" */
static void open_cluster(struct scenario *scenario, struct words *words)
{
    close_world(scenario);
    struct raft_options options = {.heartbeat = 20000, .election = 100000};
    const char *last = words->at[words->count - 1];
    if (strncmp(last, "cache=", 6) == 0) {
        options.log_cache_bytes = number_of(last + 6);
        words->count--;
    }
    struct buf *trace = scenario->trace;
    *scenario = (struct scenario){.trace = trace, .is_open = true};
    world_init(&scenario->world, REPLICAS_MAX, &options);
    struct world *world = &scenario->world;
    world->on_packet = on_packet;
    world->on_write = on_write;
    world->on_read = on_read;
    world->on_load = on_load;
    world->on_view = on_view;
    world->on_commit = on_commit;
    world->on_offer = on_offer;
    world->on_wanted = on_wanted;
    world->on_fail = say_scenario;
    scenario->config = config_of(words, 1);
}

/* The entry of a made-up history: the same for all that have this term at this index. */
static struct entry *history_entry(struct scenario *scenario, raft_term term, raft_index index)
{
    const struct world_index *known = &scenario->world.indexes[index];
    for (size_t i = 0; i < known->count; i++)
        if (known->entries[i]->id.term == term)
            return entry_ref(known->entries[i]);
    struct entry *entry =
        index == 1 ? world_config_entry(&scenario->config) : world_command(1000 + index);
    entry_seal(entry, (struct entry_id){term, index});
    return entry;
}

/* "log 2 1 1 4 4 [term=5] [vote=1]": entry 1 is the configuration. */
static void set_log(struct scenario *scenario, const struct words *words)
{
    struct replica *replica = replica_of(scenario, words->at[1]);
    struct entry *entries[WORDS_MAX];
    struct hard_state hard_state = {0};
    size_t count = 0;
    for (size_t i = 2; i < words->count; i++) {
        if (strncmp(words->at[i], "term=", 5) == 0) {
            hard_state.term = number_of(words->at[i] + 5);
        } else if (strncmp(words->at[i], "vote=", 5) == 0) {
            hard_state.vote = (node_id)number_of(words->at[i] + 5);
        } else {
            raft_term term = number_of(words->at[i]);
            entries[count] = history_entry(scenario, term, count + 1);
            hard_state.term = MAX(hard_state.term, term);
            count++;
        }
    }
    replica_format(replica, entries, count, hard_state);
    for (size_t i = 0; i < count; i++)
        entry_unref(entries[i]);
}

static void start(struct scenario *scenario, struct replica *replica)
{
    if (replica->disk_last == 0 && config_find(&scenario->config, replica->id) != NULL) {
        struct entry *first = history_entry(scenario, 1, 1);
        replica_format(replica, &first, 1, (struct hard_state){.term = 1});
        entry_unref(first);
    }
    replica_start(replica, 0, 7);
}

/* "found 1 2": disks as founding nodes have them; the configuration is no entry of their logs. */
static void found_some(struct scenario *scenario, const struct words *words)
{
    for (size_t i = 1; i < words->count; i++) {
        struct replica *replica = replica_of(scenario, words->at[i]);
        struct entry *first = history_entry(scenario, 1, 1);
        replica_format(replica, &first, 1, (struct hard_state){.term = 1});
        replica_found(replica);
        entry_unref(first);
    }
}

static void start_some(struct scenario *scenario, const struct words *words)
{
    for (size_t i = 1; i < words->count; i++)
        start(scenario, replica_of(scenario, words->at[i]));
    for (uint32_t i = 0; words->count == 1 && i < scenario->config.members_count; i++)
        start(scenario, &scenario->world.replicas[scenario->config.members[i].id - 1]);
}

/* "propose 1 [count]" */
static void propose(struct scenario *scenario, const struct words *words)
{
    struct entry *entries[64];
    size_t count = words->count > 2 ? number_of(words->at[2]) : 1;
    REQUIRE(count <= 64);
    for (size_t i = 0; i < count; i++)
        entries[i] = world_command(++scenario->commands_count);
    put_status(scenario, replica_propose(replica_of(scenario, words->at[1]), entries, count));
}

/* "change 1 to 1 2 3 +4" */
static void change(struct scenario *scenario, const struct words *words)
{
    struct config config = config_of(words, 3);
    struct entry *entry = world_config_entry(&config);
    put_status(scenario, replica_propose(replica_of(scenario, words->at[1]), &entry, 1));
}

/* "link 2 1 dead|down|up": what replica 2 is told of its links to and from 1. */
static void tell_link(struct scenario *scenario, const struct words *words)
{
    struct raft_event event = {.type = RAFT_EVENT_LINK};
    event.link.peer = (node_id)number_of(words->at[2]);
    event.link.is_up = strcmp(words->at[3], "up") == 0;
    event.link.is_dead = strcmp(words->at[3], "dead") == 0;
    (void)replica_step(replica_of(scenario, words->at[1]), event);
}

/* "snapshot 1 [keep=N]" */
static void take_snapshot(struct scenario *scenario, const struct words *words)
{
    struct replica *replica = replica_of(scenario, words->at[1]);
    raft_index kept = words->count > 2 ? number_of(words->at[2] + strlen("keep=")) : 0;
    scenario->is_wanting[replica->id] = false;
    replica_take_snapshot(replica, replica->applied, kept);
}

/* "install 2 [crash]" */
static void install(struct scenario *scenario, const struct words *words)
{
    struct replica *replica = replica_of(scenario, words->at[1]);
    struct entry_id last = scenario->offers[replica->id];
    REQUIRE(last.index != 0);
    if (words->count > 2) {
        replica_save_snapshot(replica, last);
        replica_crash(replica, 0);
    } else {
        replica_install(replica, last);
    }
}

static void transfer(struct scenario *scenario, const struct words *words)
{
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER};
    event.transfer.to = (node_id)number_of(words->at[2]);
    put_status(scenario, replica_step(replica_of(scenario, words->at[1]), event));
}

/* "state [1]" */
static void put_states(struct scenario *scenario, const struct words *words)
{
    for (size_t i = 0; i < scenario->world.replicas_count; i++) {
        bool is_asked = words->count < 2 || number_of(words->at[1]) == i + 1;
        if (scenario->world.replicas[i].raft == NULL || !is_asked)
            continue;
        raft_format(scenario->world.replicas[i].raft, scenario->trace);
        buf_put_text(scenario->trace, "\n");
    }
}

/* "1: 1 1 4 | 4": terms, what is committed before the bar. */
static void put_logs(struct scenario *scenario)
{
    for (size_t i = 0; i < scenario->world.replicas_count; i++) {
        const struct replica *replica = &scenario->world.replicas[i];
        if (replica->raft == NULL)
            continue;
        struct raft_view view;
        raft_view(replica->raft, &view);
        buf_printf(scenario->trace, "%u:", replica->id);
        for (raft_index j = 1; j <= view.last_index; j++) {
            const struct entry *entry = raft_entry(replica->raft, j);
            if (entry == NULL)
                buf_put_text(scenario->trace, " -");
            else
                buf_printf(scenario->trace, " %" PRIu64, entry->id.term);
            if (j == view.commit)
                buf_put_text(scenario->trace, " |");
        }
        buf_put_text(scenario->trace, "\n");
    }
}

#endif
