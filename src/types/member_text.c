/* Members as people type them: "1=10.0.0.1:7001,2=10.0.0.2:7001". */
#include <string.h>

#include "types/member.h"

static bool parse_id(struct bytes text, node_id *out_id)
{
    uint64_t id = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        id = id * 10 + (uint64_t)(text.data[i] - '0');
        if (id > NODE_ID_MAX)
            return false;
    }
    *out_id = (node_id)id;
    return id != 0;
}

static bool parse_peer(const struct member *member, struct bytes text, struct address *out_peer,
                       struct errtext *error)
{
    if (address_parse(text, out_peer) != ST_OK) {
        errtext_set(error,
                    "\"%.*s\" is no address: host:port, [v6]:port or http://host:port, with a host "
                    "of at most %d bytes and a port from 1 to 65535",
                    (int)MIN(text.count, 80), (const char *)text.data, LIMIT_HOST_BYTES);
        return false;
    }
    if (address_is_wildcard(out_peer)) {
        errtext_set(error, "member %u: other nodes cannot dial %.*s; name its host", member->id,
                    (int)MIN(text.count, 80), (const char *)text.data);
        return false;
    }
    return true;
}

static bool is_free(const struct config *config, const struct member *member, struct errtext *error)
{
    char text[LIMIT_ADDRESS_BYTES];
    for (uint32_t i = 0; i < config->members_count; i++)
        if (address_equal(&config->members[i].peer, &member->peer)) {
            errtext_set(error, "members %u and %u have the same address %s", config->members[i].id,
                        member->id, address_format(&member->peer, text));
            return false;
        }
    return true;
}

/* One "2=host:port". */
static bool parse_member(struct config *config, struct bytes text, struct errtext *error)
{
    struct member member = {.is_voter = true};
    const uint8_t *equals = text.count == 0 ? NULL : memchr(text.data, '=', text.count);
    size_t id_bytes = equals == NULL ? 0 : (size_t)(equals - text.data);
    if (!parse_id(bytes_of(text.data, id_bytes), &member.id)) {
        errtext_set(error, "\"%.*s\" is not id=address, as in 1=10.0.0.1:7001",
                    (int)MIN(text.count, 80), (const char *)text.data);
        return false;
    }
    struct bytes peer = bytes_of(equals + 1, text.count - id_bytes - 1);
    if (!parse_peer(&member, peer, &member.peer, error) || !is_free(config, &member, error))
        return false;
    enum status status = config_add(config, &member);
    if (status == ST_LIMIT)
        errtext_set(error, "more than %d members", LIMIT_MEMBERS);
    else if (status != ST_OK)
        errtext_set(error, "member %u is named twice", member.id);
    return status == ST_OK;
}

/* Every member must be able to dial every other: a loopback address is another machine's own. */
static bool check_hosts(const struct config *config, struct errtext *error)
{
    const struct member *local = NULL, *remote = NULL;
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct member *member = &config->members[i];
        if (address_is_loopback(&member->peer))
            local = member;
        else
            remote = member;
    }
    if (local == NULL || remote == NULL)
        return true;
    errtext_set(error,
                "member %u is at %s, which on the host of member %u means that host itself; give "
                "it an address that all members can dial",
                local->id, local->peer.host, remote->id);
    return false;
}

enum status config_parse(const char *text, struct config *out_config, struct errtext *error)
{
    struct config config = {0};
    for (;;) {
        const char *comma = strchr(text, ',');
        size_t count = comma != NULL ? (size_t)(comma - text) : strlen(text);
        if (!parse_member(&config, bytes_of(text, count), error))
            return ST_BAD_REQUEST;
        if (text[count] == '\0')
            break;
        text += count + 1;
    }
    if (!check_hosts(&config, error))
        return ST_BAD_REQUEST;
    *out_config = config;
    return ST_OK;
}
