/* All that happens in the simulated world follows from its seed. */
#include "world_rig.h"

enum { PEERS = 4, PORT = 7001 };

/* A program that writes, syncs, tells others and forgets links, by its own dice. */
struct program {
    struct world *world;
    struct env *env;
    unsigned machine;
    struct prng prng;
    struct env_timer timer;
    struct env_write write;
    struct env_file *file;
    struct env_listener *listener;
    struct env_stream *streams[64]; /* NULL: none */
    bool is_writing;
    uint8_t block[4096];
};

struct program_link {
    struct program *program;
    unsigned slot;
};

static struct program_link links[PEERS + 1][64];

static void forget(void *ctx, enum env_end end)
{
    struct program_link *link = ctx;
    link->program->streams[link->slot] = NULL;
}

static void program_on_open(void *ctx)
{
}

static void program_on_data(void *ctx, struct bytes bytes)
{
    struct program_link *link = ctx;
    struct program *program = link->program;
    if (bytes.count > 1 && bytes.data[0] % 3 != 0)
        env_stream_send(program->streams[link->slot], bytes_of(bytes.data + 1, bytes.count - 1));
    memcpy(program->block, bytes.data, MIN(bytes.count, sizeof program->block));
}

static const struct env_stream_handler program_handler = {program_on_open, program_on_data, NULL,
                                                          forget};

static struct program_link *free_slot(struct program *program)
{
    for (unsigned slot = 0; slot < ARRAY_COUNT(program->streams); slot++)
        if (program->streams[slot] == NULL) {
            links[program->machine][slot] = (struct program_link){program, slot};
            return &links[program->machine][slot];
        }
    return NULL;
}

static void program_on_accept(void *ctx, struct env_stream *stream)
{
    struct program_link *link = free_slot(ctx);
    if (link == NULL) {
        env_stream_close(stream);
        return;
    }
    link->program->streams[link->slot] = stream;
    env_stream_start(stream, &program_handler, link);
}

static void program_on_written(void *ctx, enum status status)
{
    ((struct program *)ctx)->is_writing = false;
}

static void program_write(struct program *program)
{
    size_t count;
    if (program->is_writing || program->file == NULL ||
        env_file_read(program->file, 1000, program->block, 500, &count) != ST_OK)
        return;
    program->is_writing = true;
    program->write = (struct env_write){.on_done = program_on_written,
                                        .ctx = program,
                                        .file = program->file,
                                        .offset = prng_below(&program->prng, 64) * 1000,
                                        .bytes = bytes_of(program->block, sizeof program->block)};
    env_write_start(program->env, &program->write);
}

static void program_act(void *ctx)
{
    struct program *program = ctx;
    struct program_link *link;
    struct address address = {.port = PORT};
    unsigned slot = (unsigned)prng_below(&program->prng, ARRAY_COUNT(program->streams));
    env_timer_set(program->env, &program->timer,
                  env_now(program->env) + prng_below(&program->prng, 4 * MS));
    switch (prng_below(&program->prng, 4)) {
    case 0:
        link = free_slot(program);
        (void)snprintf(address.host, sizeof address.host, "10.0.0.%u",
                       1 + (unsigned)prng_below(&program->prng, PEERS));
        if (link != NULL)
            program->streams[link->slot] =
                env_connect(program->env, &address, &program_handler, link);
        break;
    case 1:
        program_write(program);
        break;
    default:
        if (program->streams[slot] != NULL)
            env_stream_send(program->streams[slot],
                            bytes_of(program->block, prng_below(&program->prng, 4096)));
        break;
    }
}

static void program_start(struct program *program, struct world *world, unsigned machine)
{
    struct address address = {.port = PORT};
    struct errtext error;
    *program =
        (struct program){.world = world, .env = world_boot(world, machine), .machine = machine};
    prng_init(&program->prng, env_random(program->env));
    for (size_t i = 0; i < sizeof program->block; i++)
        program->block[i] = (uint8_t)prng_next(&program->prng);
    if (env_file_open(program->env, "f", ENV_OPEN_WRITE, &program->file, &error) != ST_OK &&
        env_file_open(program->env, "f", ENV_OPEN_CREATE, &program->file, &error) != ST_OK)
        program->file = NULL;
    bool is_safe = prng_below(&program->prng, 2) == 0 && env_dir_sync(program->env, ".") == ST_OK;
    program->block[0] ^= is_safe;
    (void)snprintf(address.host, sizeof address.host, "10.0.0.%u", machine);
    assert_int_equal(
        env_listen(program->env, &address, program_on_accept, program, &program->listener, &error),
        ST_OK);
    env_timer_init(&program->timer, program_act, program);
    env_timer_set(program->env, &program->timer, env_now(program->env));
}

/* Of a machine that is off. */
static void program_close(struct program *program)
{
    for (unsigned slot = 0; slot < ARRAY_COUNT(program->streams); slot++)
        env_stream_close(program->streams[slot]);
    env_listener_close(program->listener);
    env_file_close(program->file);
}

static void damage(struct world *world, unsigned a, unsigned b)
{
    struct prng *prng = world_prng(world);
    if (prng_below(prng, 3) == 0)
        (void)world_disk_flip_any(world, a);
    if (prng_below(prng, 10) == 0)
        (void)world_disk_misplace_any(world, a);
    if (prng_below(prng, 3) == 0)
        world_wipe(world, a);
    if (prng_below(prng, 10) == 0) {
        struct world_copy *copy = world_disk_copy(world, b);
        world_disk_restore(world, a, copy);
        world_copy_free(copy);
    }
}

static void strike(struct world *world, struct program *programs[], unsigned *count)
{
    struct prng *prng = world_prng(world);
    unsigned a = 1 + (unsigned)prng_below(prng, PEERS), b = 1 + (unsigned)prng_below(prng, PEERS);
    switch (prng_below(prng, 10)) {
    case 0:
        world_stop(world, a, (enum world_stop)prng_below(prng, 3));
        program_close(programs[a]);
        programs[a] = mem_alloc(sizeof *programs[a]);
        programs[PEERS + 1 + (*count)++] = programs[a]; /* kept: a write of it may end late */
        damage(world, a, b);
        program_start(programs[a], world, a);
        break;
    case 1:
        world_pause(world, a, prng_below(prng, 2) == 0);
        break;
    case 2:
        world_cut(world, a, b, true);
        break;
    case 3:
        world_heal(world);
        break;
    case 4:
        world_reset_links(world, a, b);
        break;
    case 5:
        world_half_open(world, a, b);
        break;
    case 6:
        world_clock(world, a, 80 + (unsigned)prng_below(prng, 40), 0);
        break;
    case 7:
        world_refuse(world, a, prng_below(prng, 2) == 0);
        break;
    case 8:
        world_wall_jump(world, a, (int64_t)prng_below(prng, 1000) - 500);
        break;
    default:
        world_slow_cpu(world, a, prng_below(prng, 2) * 100);
        break;
    }
}

static void set_faults(struct world *world, uint32_t chance)
{
    struct world_link link = {.delay_min = 50,
                              .delay_max = 5000,
                              .spike_chance = chance,
                              .spike_max = 100 * MS,
                              .loss_chance = chance,
                              .retry_max = 500 * MS,
                              .reset_chance = chance / 10,
                              .split_chance = chance,
                              .bytes_per_second = 10000000};
    struct world_disk disk = {.sync_min = 100,
                              .sync_max = 50 * MS,
                              .slow_chance = chance,
                              .slow_max = 100 * MS,
                              .capacity_bytes = 60000,
                              .survival = WORLD_SURVIVES_SOME,
                              .read_error_chance = chance,
                              .write_error_chance = chance,
                              .sync_error_chance = chance,
                              .tear_chance = WORLD_ALWAYS / 4,
                              .garbage_chance = WORLD_ALWAYS / 4,
                              .lost_chance = chance,
                              .misdirect_chance = chance};
    world_link_set_all(world, &link);
    for (unsigned i = 1; i <= PEERS; i++)
        world_disk_set(world, i, &disk);
}

struct summary {
    uint64_t digest, events_count, traced_count, faults_count[WORLD_FAULTS_COUNT];
};

static void count_event(void *ctx, const struct world_event *event)
{
    ++*(uint64_t *)ctx;
}

static struct summary play(uint64_t seed, uint64_t ms)
{
    struct program *programs[2000] = {NULL};
    unsigned later_count = 0;
    struct summary summary = {0};
    struct world *world = new_world(seed);
    world_trace(world, count_event, &summary.traced_count);
    set_faults(world, WORLD_ALWAYS / 50);
    for (unsigned i = 1; i <= PEERS; i++) {
        programs[i] = mem_alloc(sizeof *programs[i]);
        program_start(programs[i], world, i);
        programs[PEERS + 1 + later_count++] = programs[i];
    }
    for (uint64_t i = 0; i < ms / 10; i++) {
        if (prng_below(world_prng(world), 4) == 0)
            strike(world, programs, &later_count);
        run_ms(world, 10);
    }
    world_trace(world, NULL, NULL);
    summary.digest = world_digest(world);
    summary.events_count = world_events_count(world);
    for (unsigned fault = 0; fault < WORLD_FAULTS_COUNT; fault++)
        summary.faults_count[fault] = world_faults_count(world, (enum world_fault)fault);
    for (unsigned i = 1; i <= PEERS; i++) {
        world_crash(world, i);
        program_close(programs[i]);
    }
    world_free(world);
    for (unsigned i = 0; i < later_count; i++)
        mem_free(programs[PEERS + 1 + i]);
    return summary;
}

static void the_same_seed_gives_the_same_digest_and_another_one_another(void **state)
{
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct summary first = play(seed, 2000);
        struct summary second = play(seed, 2000);

        assert_int_equal(first.digest, second.digest);
        assert_int_equal(first.events_count, second.events_count);
        assert_int_equal(first.traced_count, first.events_count);
        assert_true(first.digest != last);
        assert_true(first.events_count > 1000);
        last = first.digest;
    }
}

/* One number for every compiler, every level of optimisation, every sanitizer. It changes with
 * the world, and with nothing else. */
static void the_digest_of_a_seed_is_the_same_wherever_it_is_played(void **state)
{
    struct summary summary = play(18, 20000);

    for (unsigned fault = 0; fault < WORLD_FAULTS_COUNT; fault++)
        if (summary.faults_count[fault] == 0)
            fail_msg("no %s", world_fault_name((enum world_fault)fault));
    assert_int_equal(summary.digest, UINT64_C(0x4863f90059c33c7e));
}

static void note_arrivals(void *ctx, const struct world_event *event)
{
    struct buf *times = ctx;
    if (event->kind == WORLD_ARRIVED || event->kind == WORLD_OPENED)
        buf_put_u64(times, event->at);
}

/* A fault more or less draws from a generator of its own. */
static void a_fault_of_one_kind_leaves_the_dice_of_all_others_alone(void **state)
{
    struct buf times[2];
    for (unsigned i = 0; i < 2; i++) {
        struct program program;
        struct world *world = new_world(7);
        struct world_disk disk = {.sync_min = 100,
                                  .sync_max = 3000,
                                  .slow_chance = i * WORLD_ALWAYS / 2,
                                  .slow_max = 10,
                                  .lost_chance = i * WORLD_ALWAYS / 2};
        init_log(&times[i]);
        world_trace(world, note_arrivals, &times[i]);
        world_disk_set(world, 1, &disk);
        program_start(&program, world, 1);
        run_ms(world, 5000);
        world_crash(world, 1);
        program_close(&program);
        world_free(world);
    }

    assert_true(times[0].count > 100 * sizeof(uint64_t));
    assert_true(bytes_equal(buf_bytes(&times[0]), buf_bytes(&times[1])));
    buf_release(&times[0]);
    buf_release(&times[1]);
}

static void everything_that_happens_has_a_name(void **state)
{
    for (unsigned fault = 0; fault < WORLD_FAULTS_COUNT; fault++)
        assert_true(world_fault_name((enum world_fault)fault)[0] != '\0');
    for (unsigned kind = 0; kind <= WORLD_FAULT; kind++)
        assert_true(world_event_name((enum world_event_kind)kind)[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_digest_and_another_one_another),
        cmocka_unit_test(the_digest_of_a_seed_is_the_same_wherever_it_is_played),
        cmocka_unit_test(a_fault_of_one_kind_leaves_the_dice_of_all_others_alone),
        cmocka_unit_test(everything_that_happens_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
