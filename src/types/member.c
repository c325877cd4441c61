#include "types/member.h"

#include "types/proposal.h"

const struct member *config_find(const struct config *config, node_id id)
{
    for (uint32_t i = 0; i < config->members_count; i++)
        if (config->members[i].id == id)
            return &config->members[i];
    return NULL;
}

uint32_t config_voters_count(const struct config *config)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->members_count; i++)
        count += config->members[i].is_voter;
    return count;
}

enum status config_add(struct config *config, const struct member *member)
{
    if (member->id == NODE_NONE || member->id > NODE_ID_MAX || config_find(config, member->id))
        return ST_BAD_REQUEST;
    if (config->members_count == LIMIT_MEMBERS)
        return ST_LIMIT;

    uint32_t at = config->members_count++;
    for (; at > 0 && config->members[at - 1].id > member->id; at--)
        config->members[at] = config->members[at - 1];
    config->members[at] = *member;
    return ST_OK;
}

void config_encode(const struct config *config, struct buf *out)
{
    buf_put_u32(out, config->members_count);
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct member *member = &config->members[i];
        char peer[LIMIT_ADDRESS_BYTES];
        buf_put_u32(out, member->id);
        buf_put_u8(out, member->is_voter);
        buf_put_sized(out, bytes_of_text(address_format(&member->peer, peer)));
    }
}

enum status config_decode(struct bytes in, struct config *out_config)
{
    struct cursor cursor = cursor_of(in);
    struct config config = {0};
    uint32_t count = cursor_u32(&cursor);
    if (count > LIMIT_MEMBERS)
        return ST_FORMAT;
    for (uint32_t i = 0; i < count; i++) {
        struct member member = {.id = cursor_u32(&cursor)};
        uint8_t is_voter = cursor_u8(&cursor);
        struct bytes peer = cursor_sized(&cursor, LIMIT_ADDRESS_BYTES);
        if (cursor.is_short)
            return ST_SHORT;
        member.is_voter = is_voter == 1;
        if (is_voter > 1 || address_decode(peer, &member.peer) != ST_OK ||
            (i > 0 && member.id <= config.members[i - 1].id) ||
            config_add(&config, &member) != ST_OK)
            return ST_FORMAT;
    }
    if (!cursor_is_done(&cursor))
        return cursor.is_short ? ST_SHORT : ST_FORMAT;
    *out_config = config;
    return ST_OK;
}

enum status entry_config(const struct entry *entry, struct config *out_config)
{
    REQUIRE(entry->type == ENTRY_CONFIG);
    struct proposal proposal;
    enum status status = proposal_decode(entry_data(entry), &proposal);
    return status == ST_OK ? config_decode(proposal.command, out_config) : status;
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits wide. */
static uint64_t hash_of(struct bytes bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes.count; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3u;
    return hash;
}

uint64_t config_cluster_id(const struct config *config)
{
    struct buf text;
    buf_init(&text, LIMIT_MEMBERS * (LIMIT_ADDRESS_BYTES + 16));
    config_encode(config, &text);
    uint64_t id = hash_of(buf_bytes(&text));
    buf_release(&text);
    return id != 0 ? id : 1;
}
