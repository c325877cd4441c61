#include "kv/directory.h"

#include <xxhash.h>

/* id u32, is_voter u8, peer, http, identity u64; addresses as in a command, each behind its u32
 * count. Text, not structs: what lies behind the NUL of a host must not count. */
static void encode_member(const struct kv_member *member, struct buf *out)
{
    const struct address *addresses[] = {&member->member.peer, &member->http};
    buf_put_u32(out, member->member.id);
    buf_put_u8(out, member->member.is_voter);
    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        char text[LIMIT_ADDRESS_BYTES] = "";
        if (address_is_set(addresses[i]))
            (void)address_format(addresses[i], text);
        buf_put_sized(out, bytes_of_text(text));
    }
    buf_put_u64(out, member->identity);
}

void directory_encode(const struct directory *directory, struct buf *out)
{
    for (uint32_t i = 0; i < directory->config.members_count; i++)
        encode_member(&directory->members[i], out);
}

size_t directory_member_bytes(struct bytes in)
{
    size_t bytes = 5; /* id and role; then two addresses */
    for (int i = 0; i < 2; i++) {
        bytes += 4;
        if (in.count < bytes)
            return bytes;
        uint32_t count = load_u32(in.data + bytes - 4);
        if (count >= LIMIT_ADDRESS_BYTES)
            return bytes;
        bytes += count;
    }
    return bytes + 8; /* identity */
}

/* Empty, or as address_format writes it. */
static enum status decode_address(struct cursor *in, struct address *out_address)
{
    uint32_t count = cursor_u32(in);
    if (count >= LIMIT_ADDRESS_BYTES)
        return ST_LIMIT;
    struct bytes text = cursor_take(in, count);
    if (in->is_short)
        return ST_SHORT;
    if (text.count == 0)
        return ST_OK;
    return address_decode(text, out_address) == ST_OK ? ST_OK : ST_FORMAT;
}

static enum status decode_member(struct bytes encoded, struct kv_member *member)
{
    struct cursor in = cursor_of(encoded);
    *member = (struct kv_member){.member.id = cursor_u32(&in)};
    uint8_t is_voter = cursor_u8(&in);
    member->member.is_voter = is_voter == 1;
    enum status status = decode_address(&in, &member->member.peer);
    if (status == ST_OK)
        status = decode_address(&in, &member->http);
    if (status != ST_OK)
        return status;
    member->identity = cursor_u64(&in);
    if (in.is_short)
        return ST_SHORT;
    return is_voter <= 1 && cursor_is_done(&in) ? ST_OK : ST_FORMAT;
}

enum status directory_load(struct directory *directory, struct bytes encoded)
{
    struct kv_member member;
    struct config *config = &directory->config;
    uint32_t count = config->members_count;
    enum status status = decode_member(encoded, &member);
    if (status != ST_OK)
        return status;
    if (count == LIMIT_MEMBERS)
        return ST_LIMIT;
    if ((count > 0 && member.member.id <= config->members[count - 1].id) ||
        config_add(config, &member.member) != ST_OK)
        return ST_FORMAT;
    directory->members[count] = member;
    directory->hash = directory_hash(directory);
    return ST_OK;
}

uint64_t directory_hash(const struct directory *directory)
{
    struct buf buf;
    buf_init(&buf, LIMIT_MEMBERS * (2 * LIMIT_ADDRESS_BYTES + 32));
    directory_encode(directory, &buf);
    INVARIANT(!buf.is_full);
    uint64_t hash = XXH3_64bits(buf.data, buf.count);
    buf_release(&buf);
    return hash;
}

void directory_init(struct directory *directory)
{
    *directory = (struct directory){0};
    directory->hash = directory_hash(directory);
}

const struct kv_member *directory_find(const struct directory *directory, node_id id)
{
    for (uint32_t i = 0; i < directory->config.members_count; i++)
        if (directory->members[i].member.id == id)
            return &directory->members[i];
    return NULL;
}

void directory_set_config(struct directory *directory, const struct config *config)
{
    REQUIRE(config->members_count <= LIMIT_MEMBERS);
    struct directory next = {.config = *config};
    for (uint32_t i = 0; i < config->members_count; i++) {
        REQUIRE(i == 0 || config->members[i - 1].id < config->members[i].id);
        const struct kv_member *known = directory_find(directory, config->members[i].id);
        if (known != NULL)
            next.members[i] = *known;
        next.members[i].member = config->members[i];
    }
    next.hash = directory_hash(&next);
    *directory = next;
}

static struct kv_member *find_member(struct directory *directory, node_id id)
{
    return (struct kv_member *)directory_find(directory, id);
}

enum status directory_announce(struct directory *directory, node_id id, const struct address *http)
{
    struct kv_member *member = find_member(directory, id);
    if (member == NULL)
        return ST_UNKNOWN_MEMBER;
    member->http = *http;
    directory->hash = directory_hash(directory);
    return ST_OK;
}

enum status directory_register(struct directory *directory, node_id id, uint64_t identity)
{
    REQUIRE(identity != 0);
    struct kv_member *member = find_member(directory, id);
    if (member == NULL)
        return ST_UNKNOWN_MEMBER;
    if (member->identity != 0 && member->identity != identity)
        return ST_ADDRESS_MISMATCH;
    member->identity = identity;
    directory->hash = directory_hash(directory);
    return ST_OK;
}
