#include "kv/membership.h"

static struct member *find(struct config *config, node_id id)
{
    return (struct member *)config_find(config, id);
}

static const struct member *find_at(const struct config *config, const struct address *peer)
{
    for (uint32_t i = 0; i < config->members_count; i++)
        if (address_equal(&config->members[i].peer, peer))
            return &config->members[i];
    return NULL;
}

/* A member that comes again: at every start of it, or from another address. */
static enum status join_again(struct member *member, uint64_t registered,
                              const struct command *command, bool *out_changes)
{
    bool is_told = command->member_identity != 0 && registered != 0;
    bool is_same = is_told && command->member_identity == registered;
    *out_changes = !address_equal(&member->peer, &command->peer);
    if (is_told && !is_same)
        return ST_MEMBER_EXISTS;
    if (member->is_voter && command->member_identity != 0 && registered == 0)
        return ST_MEMBER_EXISTS;  /* its disk may be another than the one it has voted with */
    if (*out_changes && !is_same) /* whoever votes from there might have an empty directory */
        return ST_MEMBER_EXISTS;
    member->peer = command->peer;
    return ST_OK;
}

static enum status join(struct config *config, uint64_t registered, const struct command *command,
                        bool *out_changes)
{
    REQUIRE(address_is_set(&command->peer));
    const struct member *there = find_at(config, &command->peer);
    struct member *member = find(config, command->member);
    if (there != NULL && there != member)
        return ST_MEMBER_EXISTS;
    if (member != NULL)
        return join_again(member, registered, command, out_changes);
    if (config->members_count == LIMIT_MEMBERS)
        return ST_MEMBERS_FULL;
    *out_changes = true;
    return config_add(config, &(struct member){.id = command->member, .peer = command->peer});
}

static enum status leave(struct config *config, node_id id, bool *out_changes)
{
    struct member *member = find(config, id);
    if (member == NULL)
        return ST_OK;
    if (member->is_voter && config_voters_count(config) == 1)
        return ST_LAST_VOTER;
    uint32_t at = (uint32_t)(member - config->members);
    config->members_count--;
    for (; at < config->members_count; at++)
        config->members[at] = config->members[at + 1];
    config->members[at] = (struct member){0};
    *out_changes = true;
    return ST_OK;
}

static enum status promote(struct config *config, uint64_t registered, node_id id,
                           bool *out_changes)
{
    struct member *member = find(config, id);
    if (member == NULL)
        return ST_UNKNOWN_MEMBER;
    if (!member->is_voter && registered == 0)
        return ST_NOT_CAUGHT_UP;
    *out_changes = !member->is_voter;
    member->is_voter = true;
    return ST_OK;
}

enum status member_change(const struct config *current, uint64_t registered,
                          const struct command *command, struct config *out_config,
                          bool *out_changes)
{
    REQUIRE(command->op == COMMAND_JOIN || command->op == COMMAND_REMOVE ||
            command->op == COMMAND_PROMOTE);
    struct config next = *current;
    bool is_changed = false;
    enum status status;
    if (command->op == COMMAND_JOIN)
        status = join(&next, registered, command, &is_changed);
    else if (command->op == COMMAND_REMOVE)
        status = leave(&next, command->member, &is_changed);
    else
        status = promote(&next, registered, command->member, &is_changed);
    if (status != ST_OK)
        return status;
    *out_config = next;
    *out_changes = is_changed;
    return ST_OK;
}
