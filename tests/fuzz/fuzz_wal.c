/* Any bytes as a log: opening never ends the process; what opens reads back, takes appends and
 * opens again with them.
 *
 * A first byte of 0: the rest is segment 1 as it stands. Otherwise the rest is a list of steps that
 * build a segment with good checksums, so that what lies behind them is reached as well. */
#include <stdint.h>

#include "base/cursor.h"
#include "storage/wal.h"
#include "storage/wal_format.h"
#include "support/disk_env.h"

#define SEGMENT_PATH "wal/0000000000000001.log"

enum {
    SALT = 7,
    SEGMENT_BYTES_MAX = 64 * 1024, /* small, for many runs: each frame has a block at least */
    RECORDS_BYTES_MAX = 64 * 1024,
    READ_ENTRIES_MAX = 8
};

enum step {
    STEP_RAW,        /* u8 count: that many bytes of records as they stand */
    STEP_ENTRY,      /* u8 term, u8 index, u8 count of data */
    STEP_HARD_STATE, /* 16 bytes of payload */
    STEP_FRAME,      /* u8: 0 ends a frame as it should, else some field is off by it */
    STEP_FLIP,       /* u16 at: changes a byte of what is there */
    STEP_MARK,       /* u8 term, u8 index, u8: whether the log begins anew */
    STEPS_COUNT
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

struct builder {
    struct buf file, records;
    uint32_t records_count;
    uint64_t seq;
    uint32_t chain;
};

static void put_entry(struct builder *builder, struct cursor *in)
{
    struct entry_id id = {cursor_u8(in), cursor_u8(in)};
    struct bytes data = cursor_take(in, cursor_u8(in));
    if (id.index == 0)
        return;
    struct entry *entry = entry_new(ENTRY_COMMAND, data.count);
    if (data.count > 0)
        memcpy(entry->data, data.data, data.count);
    entry_seal(entry, id);
    wal_format_put_entry(entry, &builder->records);
    entry_unref(entry);
    builder->records_count++;
}

static void put_mark(struct builder *builder, struct cursor *in)
{
    struct wal_mark mark = {.snapshot.term = cursor_u8(in)};
    mark.snapshot.index = cursor_u8(in);
    mark.begins_anew = (cursor_u8(in) & 1) != 0;
    if (mark.snapshot.index == 0)
        return;
    wal_format_put_mark(&mark, &builder->records);
    builder->records_count++;
}

static void put_frame(struct builder *builder, uint8_t fault)
{
    size_t offset = builder->file.count;
    struct wal_frame_header header = {.records_bytes = (uint32_t)builder->records.count / 8 * 8,
                                      .segment = 1,
                                      .seq = builder->seq + (fault & 3),
                                      .durable_seq = builder->seq - 1,
                                      .records_count = builder->records_count + (fault >> 2 & 3),
                                      .chain = builder->chain ^ (fault >> 4 & 3)};
    uint64_t frame_bytes = wal_format_frame_bytes(header.records_bytes);
    if (frame_bytes + offset > SEGMENT_BYTES_MAX || builder->records.is_full)
        return;
    buf_put_zeros(&builder->file, frame_bytes);
    if (header.records_bytes > 0)
        memcpy(builder->file.data + offset + WAL_FRAME_HEADER_BYTES, builder->records.data,
               header.records_bytes);
    wal_format_seal_frame(&header, SALT, offset, builder->file.data + offset);
    buf_reset(&builder->records);
    builder->records_count = 0;
    builder->seq++;
    builder->chain = header.checksum;
}

static void take_step(struct builder *builder, struct cursor *in)
{
    enum step step = (enum step)(cursor_u8(in) % STEPS_COUNT);
    switch (step) {
    case STEP_RAW:
        buf_put(&builder->records, cursor_take(in, cursor_u8(in)));
        builder->records_count++;
        break;
    case STEP_ENTRY:
        put_entry(builder, in);
        break;
    case STEP_HARD_STATE:
        buf_put_u32(&builder->records, WAL_HARD_STATE_BYTES);
        buf_put_u32(&builder->records, WAL_RECORD_HARD_STATE);
        buf_put(&builder->records, cursor_take(in, WAL_HARD_STATE_BYTES));
        builder->records_count++;
        break;
    case STEP_FRAME:
        put_frame(builder, cursor_u8(in));
        break;
    case STEP_FLIP:
        builder->file.data[cursor_u16(in) % builder->file.count] ^= 0x10;
        break;
    case STEP_MARK:
        put_mark(builder, in);
        break;
    case STEPS_COUNT:
        UNREACHABLE();
    }
}

static void build(struct cursor *in, struct buf *out_file)
{
    struct builder builder = {.file = *out_file, .seq = 1};
    buf_init(&builder.records, RECORDS_BYTES_MAX);
    buf_put_zeros(&builder.file, WAL_BLOCK_BYTES);
    struct wal_segment_header header = {
        .owner = {1, 2}, .segment = 1, .salt = SALT, .first_seq = 1};
    wal_format_encode_segment(&header, builder.file.data);
    put_frame(&builder, 0);
    while (!cursor_is_done(in) && !in->is_short)
        take_step(&builder, in);
    *out_file = builder.file;
    buf_release(&builder.records);
}

static struct env *new_disk(struct bytes file)
{
    struct env *env = disk_env_new(1);
    disk_env_put(env, SEGMENT_PATH, file);
    return env;
}

/* There is the file as it was, and nothing else. */
static void check_untouched(struct env *env, struct bytes file)
{
    struct env *before = new_disk(file);
    INVARIANT(disk_env_digest(env) == disk_env_digest(before));
    disk_env_free(before);
}

static void on_durable(void *ctx, uint64_t sequence)
{
    *(uint64_t *)ctx = sequence;
}

static void on_failed(void *ctx, enum status status)
{
    UNREACHABLE();
}

static enum status open_log(struct env *env, uint64_t *durable, struct wal **out_wal,
                            struct wal_recovered *out_recovered)
{
    struct errtext error;
    struct wal_options options = {
        .directory = "wal", .segment_bytes = 128 * 1024, .owner = {1, 2}, .idle_seal = 1000};
    struct wal_callbacks callbacks = {
        .on_durable = on_durable, .on_failed = on_failed, .ctx = durable};
    return wal_open(env, &options, &callbacks, NULL, NULL, out_wal, out_recovered, &error);
}

static void read_all(struct wal *wal, const struct wal_recovered *recovered)
{
    struct entry *entries[READ_ENTRIES_MAX];
    struct errtext error;
    size_t count;
    raft_index index = recovered->first;
    while (index != 0 && index <= recovered->last.index) {
        enum status status = wal_read(wal, index, 10000, entries, READ_ENTRIES_MAX, &count, &error);
        INVARIANT(status == ST_OK);
        for (size_t i = 0; i < count; i++) {
            INVARIANT(entries[i]->id.index == index + i);
            entry_unref(entries[i]);
        }
        index += count;
    }
}

static void append_one(struct env *env, struct wal *wal, const uint64_t *durable,
                       struct entry_id last)
{
    uint64_t sequence;
    struct entry *entry = entry_new(ENTRY_NOOP, 0);
    entry_seal(entry, (struct entry_id){last.term, last.index + 1});
    enum status status = wal_append(wal, NULL, &entry, 1, 0, &sequence);
    INVARIANT(status == ST_OK);
    entry_unref(entry);
    while (*durable < sequence)
        INVARIANT(disk_env_step(env));
}

/* What has opened: it reads back, takes an entry, and has it after a power cut. */
static void check_opened(struct env *env, struct wal *wal, const struct wal_recovered *first,
                         uint64_t *durable)
{
    struct wal_recovered second;
    read_all(wal, first);
    if (first->last.index < INT64_MAX)
        append_one(env, wal, durable, first->last);
    wal_close(wal);
    disk_env_cut_power(env);
    enum status status = open_log(env, durable, &wal, &second);
    INVARIANT(status == ST_OK);
    INVARIANT(first->last.index == INT64_MAX || second.last.index == first->last.index + 1);
    read_all(wal, &second);
    wal_close(wal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct buf file;
    buf_init(&file, SEGMENT_BYTES_MAX);
    struct cursor in = cursor_of(bytes_of(data, count));
    if (cursor_u8(&in) == 0)
        buf_put(&file, in.rest);
    else
        build(&in, &file);

    struct env *env = new_disk(buf_bytes(&file));
    uint64_t durable = 0;
    struct wal *wal;
    struct wal_recovered recovered;
    if (open_log(env, &durable, &wal, &recovered) == ST_OK)
        check_opened(env, wal, &recovered, &durable);
    else
        check_untouched(env, buf_bytes(&file));
    disk_env_free(env);
    buf_release(&file);
    return 0;
}
