#include "http/join.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/ask.h"

enum {
    JOIN_RETRY_US = 500 * TIME_US_PER_MS,       /* after each address that was of no help */
    JOIN_TIMEOUT_US = 6 * 1000 * TIME_US_PER_MS /* longer than a request may take at a node */
};

struct join {
    struct env *env; /* borrowed */
    struct join_options options;
    struct join_callbacks callbacks;
    struct ask ask;
    struct env_timer retry;
    void (*step)(struct join *join); /* what the next attempt begins with */
    size_t seed;
    uint64_t cluster_id;
    uint64_t identity;
    bool was_told; /* that nobody answers: said once */
};

static void on_retry(void *ctx)
{
    struct join *join = ctx;
    join->step(join);
}

static void ask(struct join *join, const char *method, const char *path, struct bytes content,
                void (*on_answer)(void *ctx, unsigned code, struct bytes content))
{
    join->ask = (struct ask){
        .address = join->options.seeds[join->seed],
        .method = method,
        .path = path,
        .content = content,
        .timeout = JOIN_TIMEOUT_US,
        .on_answer = on_answer,
        .ctx = join,
    };
    ask_start(join->env, &join->ask);
}

/* This address was of no help now; the next one in a moment. */
static void try_next(struct join *join, const char *why)
{
    char text[LIMIT_ADDRESS_BYTES];
    if (!join->was_told)
        diag(DIAG_INFO, "waits to join: %s %s", address_format(&join->ask.address, text), why);
    join->was_told = true;
    join->seed = (join->seed + 1) % join->options.seeds_count;
    env_timer_set(join->env, &join->retry, env_now(join->env) + JOIN_RETRY_US);
}

/* ---- discovering ---- */

static bool take_member(const json_t *from, struct member *out_member)
{
    const json_t *id = json_object_get(from, "id");
    const json_t *peer = json_object_get(from, "peer");
    const char *text = json_string_value(peer);
    if (!json_is_integer(id) || json_integer_value(id) < 1 ||
        json_integer_value(id) > (json_int_t)NODE_ID_MAX || text == NULL)
        return false;
    *out_member = (struct member){.id = (node_id)json_integer_value(id),
                                  .is_voter = json_is_true(json_object_get(from, "voter"))};
    return address_parse(bytes_of(text, json_string_length(peer)), &out_member->peer) == ST_OK;
}

static bool take_members(const struct join *join, struct bytes content, struct config *out_config)
{
    json_t *root =
        json_loadb((const char *)content.data, content.count, JSON_REJECT_DUPLICATES, NULL);
    const json_t *members = json_object_get(root, "members");
    *out_config = (struct config){0};
    bool is_ok = json_array_size(members) > 0;
    for (size_t i = 0; i < json_array_size(members) && is_ok; i++) {
        struct member member;
        is_ok = take_member(json_array_get(members, i), &member);
        if (is_ok && member.id != join->options.id)
            is_ok = config_add(out_config, &member) == ST_OK;
    }
    json_decref(root);
    return is_ok;
}

static void on_members(void *ctx, unsigned code, struct bytes content)
{
    struct join *join = ctx;
    struct config members;
    if (code == 200 && take_members(join, content, &members))
        join->callbacks.on_found(join->callbacks.ctx, join->cluster_id, &members);
    else
        try_next(join, "does not say who its members are");
}

static void on_identity(void *ctx, unsigned code, struct bytes content)
{
    struct join *join = ctx;
    json_t *root =
        json_loadb((const char *)content.data, content.count, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(root, "cluster_id"));
    bool is_id = text != NULL && strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
    join->cluster_id = code == 200 && is_id ? strtoull(text, NULL, 16) : 0;
    json_decref(root);
    if (join->cluster_id != 0)
        ask(join, "GET", "/v1/raft/members", bytes_of(NULL, 0), on_members);
    else
        try_next(join, code == 0 ? "does not answer" : "is no member of a cluster");
}

void join_discover(struct join *join)
{
    join->step = join_discover;
    ask(join, "GET", "/v1/raft/identity", bytes_of(NULL, 0), on_identity);
}

/* ---- joining ---- */

/* What a problem+json says, for people. */
static void refuse(struct join *join, unsigned code, struct bytes content)
{
    json_t *root =
        json_loadb((const char *)content.data, content.count, JSON_REJECT_DUPLICATES, NULL);
    const char *title = json_string_value(json_object_get(root, "title"));
    const char *detail = json_string_value(json_object_get(root, "detail"));
    char text[512];
    (void)snprintf(text, sizeof text, "the cluster refuses it with %u: %s%s%s", code,
                   title != NULL ? title : "no reason given", detail != NULL ? "; " : "",
                   detail != NULL ? detail : "");
    json_decref(root);
    join->callbacks.on_refused(join->callbacks.ctx, text);
}

static void on_join(void *ctx, unsigned code, struct bytes content)
{
    struct join *join = ctx;
    if (code == 204)
        join->callbacks.on_joined(join->callbacks.ctx);
    else if (code >= 400 && code < 500 && code != 408 && code != 429)
        refuse(join, code, content);
    else
        try_next(join, code == 0 ? "does not answer" : "cannot change the members now");
}

static void post(struct join *join)
{
    const struct join_options *options = &join->options;
    char peer[LIMIT_ADDRESS_BYTES], http[LIMIT_ADDRESS_BYTES], content[512];
    int count = snprintf(content, sizeof content, "{\"id\":%u,\"peer\":\"%s\",", options->id,
                         address_format(&options->peer, peer));
    if (address_is_set(&options->http))
        count += snprintf(content + count, sizeof content - (size_t)count, "\"http\":\"%s\",",
                          address_format(&options->http, http));
    count += snprintf(content + count, sizeof content - (size_t)count, "\"identity\":\"%016llx\"}",
                      (unsigned long long)join->identity);
    INVARIANT(count > 0 && (size_t)count < sizeof content);
    ask(join, "POST", "/v1/raft/join", bytes_of(content, (size_t)count), on_join);
}

void join_ask(struct join *join, uint64_t identity)
{
    join->identity = identity;
    join->step = post;
    post(join);
}

/* ---- life ---- */

struct join *join_new(struct env *env, const struct join_options *options,
                      const struct join_callbacks *callbacks)
{
    REQUIRE(options->seeds_count > 0 && options->seeds_count <= LIMIT_MEMBERS);
    struct join *join = mem_alloc(sizeof *join);
    join->env = env;
    join->options = *options;
    join->callbacks = *callbacks;
    env_timer_init(&join->retry, on_retry, join);
    return join;
}

void join_free(struct join *join)
{
    if (join == NULL)
        return;
    ask_cancel(&join->ask);
    env_timer_set(join->env, &join->retry, TIME_NEVER);
    mem_free(join);
}
