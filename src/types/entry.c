#include "types/entry.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"

static uint32_t checksum_of(const struct entry *entry)
{
    uint8_t head[17];
    head[0] = (uint8_t)entry->type;
    store_u64(head + 1, entry->id.term);
    store_u64(head + 9, entry->id.index);
    return crc32c(crc32c(0, bytes_of(head, sizeof head)), entry_data(entry));
}

struct entry *entry_new(enum entry_type type, size_t data_bytes)
{
    REQUIRE(data_bytes <= LIMIT_ENTRY_BYTES);
    struct entry *entry = mem_alloc_raw(sizeof *entry + data_bytes);
    *entry = (struct entry){.refs_count = 1, .type = type, .data_bytes = (uint32_t)data_bytes};
    return entry;
}

struct entry *entry_ref(struct entry *entry)
{
    REQUIRE(entry->refs_count > 0);
    entry->refs_count++;
    return entry;
}

void entry_unref(struct entry *entry)
{
    if (entry == NULL)
        return;
    REQUIRE(entry->refs_count > 0);
    if (--entry->refs_count == 0)
        mem_free(entry);
}

void entry_seal(struct entry *entry, struct entry_id id)
{
    REQUIRE(entry->refs_count == 1);
    REQUIRE(id.index > 0);
    entry->id = id;
    entry->checksum = checksum_of(entry);
}

struct bytes entry_data(const struct entry *entry)
{
    return bytes_of(entry->data, entry->data_bytes);
}

size_t entry_bytes(const struct entry *entry)
{
    return ENTRY_HEADER_BYTES + entry->data_bytes;
}

void entry_encode(const struct entry *entry, struct buf *out)
{
    if (!buf_reserve(out, entry_bytes(entry)))
        return;
    uint8_t *at = out->data + out->count;
    store_u32(at, (uint32_t)entry->type);
    store_u32(at + 4, entry->checksum);
    store_u64(at + 8, entry->id.term);
    store_u64(at + 16, entry->id.index);
    store_u32(at + 24, entry->data_bytes);
    memcpy(at + ENTRY_HEADER_BYTES, entry->data, entry->data_bytes);
    out->count += entry_bytes(entry);
}

enum status entry_decode(struct cursor *in, struct entry **out_entry)
{
    uint32_t type = cursor_u32(in);
    uint32_t checksum = cursor_u32(in);
    struct entry_id id = {.term = cursor_u64(in)};
    id.index = cursor_u64(in);
    uint32_t data_bytes = cursor_u32(in);
    if (in->is_short)
        return ST_SHORT;
    if (type < ENTRY_NOOP || type > ENTRY_CONFIG || id.index == 0)
        return ST_FORMAT;
    if (data_bytes > LIMIT_ENTRY_BYTES)
        return ST_LIMIT;
    struct bytes data = cursor_take(in, data_bytes);
    if (in->is_short)
        return ST_SHORT;

    struct entry *entry = entry_new((enum entry_type)type, data_bytes);
    entry->id = id;
    entry->checksum = checksum;
    if (data_bytes != 0)
        memcpy(entry->data, data.data, data_bytes);
    if (checksum_of(entry) != checksum) {
        entry_unref(entry);
        return ST_CORRUPT;
    }
    *out_entry = entry;
    return ST_OK;
}
