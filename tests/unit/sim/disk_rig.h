/* What the tests of the disk share: one world, files of patterns by version. */
#ifndef MINIKV_TESTS_UNIT_SIM_DISK_RIG_H
#define MINIKV_TESTS_UNIT_SIM_DISK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "sim/world.h"

enum { SECTOR = WORLD_SECTOR_BYTES, SECTORS = 24, BYTES = SECTORS * SECTOR, SEEDS = 400 };

static inline struct world *new_world(uint64_t seed)
{
    struct world_options options = {.seed = seed, .sync_min = 100, .sync_max = 200};
    return world_new(&options);
}

static inline void set_survival(struct world *world, enum world_survival survival)
{
    struct world_disk disk;
    world_disk_get(world, 1, &disk);
    disk.survival = survival;
    world_disk_set(world, 1, &disk);
}

/* Sectors that say in every byte which of them they are, in which version. */
static inline struct bytes pattern(unsigned version)
{
    static uint8_t bytes[BYTES];
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(version * SECTORS + i / SECTOR + 1);
    return bytes_of(bytes, BYTES);
}

static inline struct env_file *open_file(struct env *env, const char *path, enum env_open mode)
{
    struct env_file *file = NULL;
    struct errtext error;
    assert_int_equal(env_file_open(env, path, mode, &file, &error), ST_OK);
    return file;
}

static inline bool exists(struct env *env, const char *path)
{
    struct env_file *file = NULL;
    struct errtext error;
    enum status status = env_file_open(env, path, ENV_OPEN_READ, &file, &error);
    env_file_close(file);
    return status == ST_OK;
}

static inline void put(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    assert_int_equal(env_file_write(file, offset, bytes), ST_OK);
}

/* A durable file with version 0 of everything, still open. */
static inline struct env_file *make_durable(struct env *env, const char *path)
{
    struct env_file *file = open_file(env, path, ENV_OPEN_CREATE);
    put(file, 0, pattern(0));
    assert_int_equal(env_file_sync(file), ST_OK);
    assert_int_equal(env_dir_sync(env, "."), ST_OK);
    return file;
}

static inline size_t read_all(struct env *env, const char *path, uint8_t out[BYTES])
{
    struct env_file *file = open_file(env, path, ENV_OPEN_READ);
    size_t count = 0;
    memset(out, 0, BYTES);
    assert_int_equal(env_file_read(file, 0, out, BYTES, &count), ST_OK);
    env_file_close(file);
    return count;
}

/* The version of a sector that is all of one; -1: it is not. */
static inline int version_of(const uint8_t *bytes, size_t sector)
{
    const uint8_t *at = bytes + sector * SECTOR;
    for (size_t i = 1; i < SECTOR; i++)
        if (at[i] != at[0])
            return -1;
    if (at[0] == 0)
        return -2; /* nothing */
    return (at[0] - 1) % SECTORS == (int)sector ? (at[0] - 1) / SECTORS : -1;
}

static inline void run(struct world *world)
{
    while (world_step(world, world_now(world) + 1000000))
        ;
}

#endif
