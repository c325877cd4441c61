/* What the tests of the network share: two machines, of which one dials the other. */
#ifndef MINIKV_TESTS_UNIT_SIM_NET_RIG_H
#define MINIKV_TESTS_UNIT_SIM_NET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sim/world.h"

enum { PORT = 7001, MS = 1000, END_NONE = -1 };

/* One side of a connection, and all that happened to it. */
struct side {
    struct world *world;
    struct env_stream *stream; /* NULL once ended */
    bool is_open;
    struct buf got;
    unsigned pieces_count, drained_count;
    time_us last_at; /* of bytes */
    int end;
    time_us ended_at;
};

/* Machine 1 dials machine 2. */
struct rig {
    struct world *world;
    struct env *envs[3];
    struct env_listener *listener;
    struct side dialler, accepter;
};

static inline void on_open(void *ctx)
{
    ((struct side *)ctx)->is_open = true;
}

static inline void on_data(void *ctx, struct bytes bytes)
{
    struct side *side = ctx;
    buf_put(&side->got, bytes);
    side->pieces_count++;
    side->last_at = world_now(side->world);
}

static inline void on_drained(void *ctx)
{
    ((struct side *)ctx)->drained_count++;
}

static inline void on_end(void *ctx, enum env_end end)
{
    struct side *side = ctx;
    side->stream = NULL;
    side->end = (int)end;
    side->ended_at = world_now(side->world);
}

static const struct env_stream_handler handler = {on_open, on_data, on_drained, on_end};

static inline void on_accept(void *ctx, struct env_stream *stream)
{
    struct rig *rig = ctx;
    rig->accepter.stream = stream;
    rig->accepter.is_open = true;
    env_stream_start(stream, &handler, &rig->accepter);
}

static inline struct address address_of(unsigned machine)
{
    struct address address = {.port = PORT};
    (void)snprintf(address.host, sizeof address.host, "10.0.0.%u", machine);
    return address;
}

static inline void init_side(struct side *side, struct world *world)
{
    *side = (struct side){.world = world, .end = END_NONE};
    buf_init(&side->got, SIZE_MAX / 2);
}

static inline void set_up(struct rig *rig, uint64_t seed)
{
    struct world_options options = {.seed = seed, .delay_min = 100, .delay_max = 300};
    *rig = (struct rig){.world = world_new(&options)};
    init_side(&rig->dialler, rig->world);
    init_side(&rig->accepter, rig->world);
    for (unsigned i = 1; i <= 2; i++)
        rig->envs[i] = world_boot(rig->world, i);
}

static inline void listen_at_two(struct rig *rig)
{
    struct address address = address_of(2);
    struct errtext error;
    assert_int_equal(env_listen(rig->envs[2], &address, on_accept, rig, &rig->listener, &error),
                     ST_OK);
}

static inline void dial(struct rig *rig)
{
    struct address address = address_of(2);
    rig->dialler.stream = env_connect(rig->envs[1], &address, &handler, &rig->dialler);
}

static inline void run_ms(struct rig *rig, uint64_t ms)
{
    time_us until = world_now(rig->world) + ms * MS;
    while (world_step(rig->world, until))
        ;
}

static inline void connect_both(struct rig *rig)
{
    listen_at_two(rig);
    dial(rig);
    run_ms(rig, 10);
    assert_true(rig->dialler.is_open);
    assert_true(rig->accepter.is_open);
}

static inline void tear_down(struct rig *rig)
{
    env_stream_close(rig->dialler.stream);
    env_stream_close(rig->accepter.stream);
    env_listener_close(rig->listener);
    buf_release(&rig->dialler.got);
    buf_release(&rig->accepter.got);
    world_free(rig->world);
}

static inline void set_link(struct rig *rig, unsigned from, unsigned to, struct world_link link)
{
    link.delay_min = 100;
    link.delay_max = 300;
    world_link_set(rig->world, from, to, &link);
}

static inline void send(struct side *side, size_t count)
{
    uint8_t *bytes = mem_alloc(count);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    env_stream_send(side->stream, bytes_of(bytes, count));
    mem_free(bytes);
}

static inline bool has_got(const struct side *side, size_t count)
{
    if (side->got.count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (side->got.data[i] != (uint8_t)(i * 7 + i / 251))
            return false;
    return true;
}

#endif
