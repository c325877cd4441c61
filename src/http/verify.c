/* Asks an announced address who it is, before the leader commits it: one connection, one second in
 * all, no redirects, and an exact answer (http/ask.h). */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/ask.h"
#include "http/server.h"

enum { VERIFY_US = 1000 * 1000 };

struct verification {
    struct ask ask;
    struct list link;
    struct http *http; /* borrowed */
    struct node_verify question;
    struct env_timer busy_timer;
};

static void verification_free(struct verification *verification)
{
    env_timer_set(verification->http->env, &verification->busy_timer, TIME_NEVER);
    ask_cancel(&verification->ask);
    list_remove(&verification->link);
    verification->http->verifications_count--;
    mem_free(verification);
}

static void answer(struct verification *verification, enum status status)
{
    struct http *http = verification->http;
    struct node_verify question = verification->question;
    verification_free(verification);
    node_verified(http->node, &question, status);
}

/* {"node_id":N,"cluster_id":"16 hex digits"}; other fields do no harm. */
static bool is_expected(const struct node_verify *question, struct bytes content)
{
    char cluster_id[17];
    (void)snprintf(cluster_id, sizeof cluster_id, "%016llx",
                   (unsigned long long)question->cluster_id);
    json_t *root =
        json_loadb((const char *)content.data, content.count, JSON_REJECT_DUPLICATES, NULL);
    const json_t *id = json_object_get(root, "node_id");
    const char *cluster = json_string_value(json_object_get(root, "cluster_id"));
    bool is_same = json_is_integer(id) && json_integer_value(id) == (json_int_t)question->id &&
                   cluster != NULL && strcmp(cluster, cluster_id) == 0;
    json_decref(root);
    return is_same;
}

static void on_answer(void *ctx, unsigned code, struct bytes content)
{
    struct verification *verification = ctx;
    bool is_good = code == 200 && is_expected(&verification->question, content);
    answer(verification, is_good ? ST_OK : ST_ADDRESS_MISMATCH);
}

static void on_busy(void *ctx)
{
    answer(ctx, ST_BUSY);
}

void http_verify(void *ctx, const struct node_verify *verify)
{
    struct http *http = ctx;
    struct verification *verification = mem_alloc(sizeof *verification);
    verification->http = http;
    verification->question = *verify;
    env_timer_init(&verification->busy_timer, on_busy, verification);
    list_push_back(&http->verifications, &verification->link);
    if (http->verifications_count++ >= LIMIT_VERIFICATIONS) {
        env_timer_set(http->env, &verification->busy_timer, env_now(http->env));
        return; /* answered at once, but never inside this call */
    }
    verification->ask = (struct ask){
        .address = verify->http,
        .method = "GET",
        .path = "/v1/raft/identity",
        .timeout = VERIFY_US,
        .on_answer = on_answer,
        .ctx = verification,
    };
    ask_start(http->env, &verification->ask);
}

void http_verify_close(struct http *http)
{
    while (!list_is_empty(&http->verifications))
        verification_free(CONTAINER_OF(http->verifications.next, struct verification, link));
}
