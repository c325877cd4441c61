/* Snapfile rig: content that can be told apart, written, received and loaded on a disk env. */
#ifndef MINIKV_TESTS_UNIT_STORAGE_SNAPFILE_RIG_H
#define MINIKV_TESTS_UNIT_STORAGE_SNAPFILE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "storage/snapfile.h"
#include "storage/snapfile_format.h"
#include "support/disk_env.h"

enum { RIG_CLUSTER = 0x77, RIG_BLOCK_BYTES = 4096, RIG_WHILE_US = 5000000 };

/* Content `version` of `bytes_total` bytes, pulled in pieces of `piece_bytes`. */
struct source {
    uint64_t version;
    size_t bytes_total, piece_bytes, position;
    bool is_done;
    enum status status;
    struct snapshot_info info;
};

static inline uint8_t content_at(uint64_t version, size_t position)
{
    return (uint8_t)((position * 2654435761u + version * 40503u) >> 7);
}

static inline bool source_read(void *ctx, size_t bytes_max, struct buf *out)
{
    struct source *source = ctx;
    size_t count = MIN(source->bytes_total - source->position, source->piece_bytes);
    for (size_t i = 0; i < count; i++)
        buf_put_u8(out, content_at(source->version, source->position + i));
    source->position += count;
    return source->position < source->bytes_total;
}

static inline void source_done(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct source *source = ctx;
    assert_false(source->is_done);
    source->is_done = true;
    source->status = status;
    assert_true((status == ST_OK) == (info != NULL));
    if (info != NULL)
        source->info = *info;
}

static inline struct source source_of(uint64_t version, size_t bytes_total, size_t piece_bytes)
{
    return (struct source){
        .version = version, .bytes_total = bytes_total, .piece_bytes = piece_bytes};
}

static inline struct entry_id id_of(raft_index index)
{
    return (struct entry_id){index / 10 + 1, index};
}

static inline struct snapfile_writer *begin_writing(struct env *env, struct source *source,
                                                    raft_index index, uint32_t block_bytes)
{
    struct snapfile_options options = {
        .cluster_id = RIG_CLUSTER, .last = id_of(index), .block_bytes = block_bytes};
    return snapfile_write_start(env, &options, source_read, source_done, source);
}

/* Steps until it is done, or nothing goes on. */
static inline void run_until(struct env *env, const bool *is_done)
{
    while (!*is_done && disk_env_step(env))
        continue;
}

static inline enum status write_one(struct env *env, struct source *source, raft_index index,
                                    uint32_t block_bytes)
{
    (void)begin_writing(env, source, index, block_bytes);
    run_until(env, &source->is_done);
    return source->is_done ? source->status : ST_IO;
}

static inline const char *path_of(raft_index index, const char *suffix, char out[64])
{
    (void)snprintf(out, 64, "snap/%016llx-%016llx%s", (unsigned long long)index,
                   (unsigned long long)id_of(index).term, suffix);
    return out;
}

/* What was loaded, or received. */
struct loaded {
    uint64_t version; /* that it must be of */
    size_t count;
    struct entry_id last;
    unsigned begun_count, damaged_count;
    bool is_wrong;
    size_t refuse_at; /* content from here on is malformed; 0: none */
    struct snapshot_info info;
    struct errtext error, damaged;
};

static inline void loaded_begin(void *ctx, struct entry_id last)
{
    struct loaded *loaded = ctx;
    loaded->last = last;
    loaded->count = 0;
    loaded->is_wrong = false;
    loaded->begun_count++;
    loaded->version = last.index; /* by the custom of these tests */
}

static inline enum status loaded_feed(void *ctx, struct bytes content)
{
    struct loaded *loaded = ctx;
    for (size_t i = 0; i < content.count; i++)
        if (content.data[i] != content_at(loaded->version, loaded->count + i))
            loaded->is_wrong = true;
    loaded->count += content.count;
    return loaded->refuse_at != 0 && loaded->count > loaded->refuse_at ? ST_CORRUPT : ST_OK;
}

static inline void loaded_damaged(void *ctx, const char *text)
{
    struct loaded *loaded = ctx;
    loaded->damaged_count++;
    errtext_set(&loaded->damaged, "%s", text);
}

static inline enum status load(struct env *env, struct loaded *loaded)
{
    struct snapfile_sink sink = {
        .begin = loaded_begin, .feed = loaded_feed, .on_damaged = loaded_damaged, .ctx = loaded};
    return snapfile_load_newest(env, RIG_CLUSTER, &sink, &loaded->info, &loaded->error);
}

#endif
