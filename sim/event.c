/* What happened: trace, digest and counts; and where chance comes from. */
#include <xxhash.h>

#include "sim/world_internal.h"

/* A finaliser after each value: the digest depends on each value and on their order. */
static uint64_t mix(uint64_t digest, uint64_t value)
{
    digest = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return digest ^ digest >> 32;
}

static uint64_t mix_bytes(uint64_t digest, struct bytes bytes)
{
    digest = mix(digest, bytes.count);
    return bytes.count == 0 ? digest : mix(digest, XXH3_64bits(bytes.data, bytes.count));
}

void note(struct world *world, const struct world_event *event)
{
    uint64_t digest = world->digest;
    digest = mix(digest, world->now);
    digest = mix(digest, (uint64_t)event->kind << 16 | event->machine << 8 | event->peer);
    digest = mix(digest, event->stream);
    digest = mix(digest, event->a);
    digest = mix(digest, event->b);
    if (event->bytes.count != 0)
        digest = mix_bytes(digest, event->bytes);
    if (event->path != NULL)
        digest = mix_bytes(digest, bytes_of_text(event->path));
    world->digest = digest;
    world->events_count++;
    if (world->on_event != NULL) {
        struct world_event copy = *event;
        copy.at = world->now;
        world->on_event(world->on_event_ctx, &copy);
    }
}

void note_fault(struct world *world, enum world_fault fault, unsigned machine, unsigned peer,
                const char *path)
{
    world->faults_count[fault]++;
    note(world,
         &(struct world_event){
             .kind = WORLD_FAULT, .machine = machine, .peer = peer, .a = fault, .path = path});
}

void world_trace(struct world *world, void (*on_event)(void *ctx, const struct world_event *event),
                 void *ctx)
{
    world->on_event = on_event;
    world->on_event_ctx = ctx;
}

uint64_t world_digest(const struct world *world)
{
    return world->digest;
}

uint64_t world_events_count(const struct world *world)
{
    return world->events_count;
}

uint64_t world_faults_count(const struct world *world, enum world_fault fault)
{
    return world->faults_count[fault];
}

const char *world_fault_name(enum world_fault fault)
{
    switch (fault) {
    case WORLD_FAULT_STOP:
        return "stop";
    case WORLD_FAULT_PAUSE:
        return "pause";
    case WORLD_FAULT_CLOCK:
        return "clock";
    case WORLD_FAULT_WIPE:
        return "wipe";
    case WORLD_FAULT_RESTORE:
        return "restore";
    case WORLD_FAULT_CUT:
        return "cut";
    case WORLD_FAULT_RESET:
        return "reset";
    case WORLD_FAULT_HALF_OPEN:
        return "half-open";
    case WORLD_FAULT_REFUSED:
        return "refused";
    case WORLD_FAULT_LOSS:
        return "loss";
    case WORLD_FAULT_SPIKE:
        return "spike";
    case WORLD_FAULT_SPLIT:
        return "split";
    case WORLD_FAULT_SECTORS_LOST:
        return "sectors-lost";
    case WORLD_FAULT_NAME_LOST:
        return "name-lost";
    case WORLD_FAULT_TORN:
        return "torn";
    case WORLD_FAULT_GARBAGE:
        return "garbage";
    case WORLD_FAULT_SLOW:
        return "slow";
    case WORLD_FAULT_NO_SPACE:
        return "no-space";
    case WORLD_FAULT_READ_ERROR:
        return "read-error";
    case WORLD_FAULT_WRITE_ERROR:
        return "write-error";
    case WORLD_FAULT_SYNC_ERROR:
        return "sync-error";
    case WORLD_FAULT_LOST:
        return "lost-write";
    case WORLD_FAULT_MISDIRECTED:
        return "misdirected";
    case WORLD_FAULT_FLIPPED:
        return "flipped";
    }
    UNREACHABLE();
}

const char *world_event_name(enum world_event_kind kind)
{
    switch (kind) {
    case WORLD_BOOTED:
        return "boot";
    case WORLD_STOPPED:
        return "stop";
    case WORLD_PAUSED:
        return "pause";
    case WORLD_RESUMED:
        return "resume";
    case WORLD_CLOCK_SET:
        return "clock";
    case WORLD_TIMER_FIRED:
        return "timer";
    case WORLD_TASKS_RUN:
        return "tasks";
    case WORLD_DIALLED:
        return "dial";
    case WORLD_OPENED:
        return "open";
    case WORLD_ACCEPTED:
        return "accept";
    case WORLD_SENT:
        return "send";
    case WORLD_ARRIVED:
        return "arrive";
    case WORLD_ENDED:
        return "end";
    case WORLD_DRAINED:
        return "drain";
    case WORLD_LINK_CUT:
        return "cut";
    case WORLD_LINK_HEALED:
        return "heal";
    case WORLD_LINKS_RESET:
        return "reset";
    case WORLD_FILE_CREATED:
        return "create";
    case WORLD_FILE_READ:
        return "read";
    case WORLD_FILE_WRITTEN:
        return "write";
    case WORLD_FILE_SYNCED:
        return "sync";
    case WORLD_DIR_MADE:
        return "mkdir";
    case WORLD_DIR_SYNCED:
        return "syncdir";
    case WORLD_FILE_RENAMED:
        return "rename";
    case WORLD_FILE_UNLINKED:
        return "unlink";
    case WORLD_DISK_CHANGED:
        return "disk";
    case WORLD_FAULT:
        return "fault";
    }
    UNREACHABLE();
}

/* ---- chance ---- */

void chances_init(struct world *world, uint64_t seed)
{
    for (unsigned chance = 0; chance < CHANCES_COUNT; chance++)
        for (unsigned machine = 0; machine <= WORLD_MACHINES_MAX; machine++)
            prng_init(&world->chances[chance][machine], mix(mix(seed, chance + 1), 70 + machine));
}

uint64_t chance_below(struct world *world, enum chance chance, unsigned machine, uint64_t bound)
{
    return prng_below(&world->chances[chance][machine], bound);
}

bool chance_hits(struct world *world, enum chance chance, unsigned machine, uint32_t chance_ppm)
{
    return chance_ppm != 0 && chance_below(world, chance, machine, WORLD_ALWAYS) < chance_ppm;
}

struct prng *world_prng(struct world *world)
{
    return &world->chances[CHANCE_SCRIPT][0];
}
