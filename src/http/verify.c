/* Asks an announced address who it is, before the leader commits it.
 *
 * Whatever is at that address is not trusted: one connection, one second in all, no redirects, at
 * most LIMIT_VERIFY_BYTES, and an exact answer. */
#include <jansson.h>
#include <llhttp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/server.h"

enum { VERIFY_US = 1000 * 1000 };

struct verification {
    struct buf body;           /* owned */
    struct env_stream *stream; /* owned */
    struct list link;
    struct http *http; /* borrowed */
    struct node_verify question;
    struct env_timer timer;
    llhttp_t llhttp;
    size_t received_count;
    bool is_complete;
};

static void verification_free(struct verification *verification)
{
    env_timer_set(verification->http->env, &verification->timer, TIME_NEVER);
    env_stream_close(verification->stream);
    list_remove(&verification->link);
    verification->http->verifications_count--;
    buf_release(&verification->body);
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
static bool is_expected(const struct verification *verification)
{
    char cluster_id[17];
    (void)snprintf(cluster_id, sizeof cluster_id, "%016llx",
                   (unsigned long long)verification->question.cluster_id);
    json_t *root = json_loadb((const char *)verification->body.data, verification->body.count,
                              JSON_REJECT_DUPLICATES, NULL);
    const json_t *id = json_object_get(root, "node_id");
    const char *cluster = json_string_value(json_object_get(root, "cluster_id"));
    bool is_same = json_is_integer(id) &&
                   json_integer_value(id) == (json_int_t)verification->question.id &&
                   cluster != NULL && strcmp(cluster, cluster_id) == 0;
    json_decref(root);
    return is_same;
}

static int verify_on_body(llhttp_t *llhttp, const char *at, size_t count)
{
    struct verification *verification = llhttp->data;
    buf_put(&verification->body, bytes_of(at, count));
    return HPE_OK;
}

static int verify_on_complete(llhttp_t *llhttp)
{
    struct verification *verification = llhttp->data;
    verification->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_body = verify_on_body,
    .on_message_complete = verify_on_complete,
};

static void conclude(struct verification *verification)
{
    bool is_good = verification->is_complete && verification->llhttp.status_code == 200 &&
                   is_expected(verification);
    answer(verification, is_good ? ST_OK : ST_ADDRESS_MISMATCH);
}

static void verify_on_open(void *ctx)
{
    struct verification *verification = ctx;
    char text[LIMIT_ADDRESS_BYTES];
    char head[256];
    int count = snprintf(head, sizeof head,
                         "GET /v1/raft/identity HTTP/1.1\r\nHost: %s\r\n"
                         "Accept: application/json\r\nConnection: close\r\n\r\n",
                         address_format(&verification->question.http, text));
    INVARIANT(count > 0 && (size_t)count < sizeof head);
    env_stream_send(verification->stream, bytes_of(head, (size_t)count));
}

static void verify_on_data(void *ctx, struct bytes bytes)
{
    struct verification *verification = ctx;
    verification->received_count += bytes.count;
    bool is_too_long = verification->received_count > LIMIT_VERIFY_BYTES;
    if (is_too_long ||
        llhttp_execute(&verification->llhttp, (const char *)bytes.data, bytes.count) != HPE_OK)
        conclude(verification); /* complete, too long or malformed */
}

static void verify_on_end(void *ctx, enum env_end end)
{
    struct verification *verification = ctx;
    verification->stream = NULL;
    if (end == ENV_END_EOF)
        (void)llhttp_finish(&verification->llhttp); /* a body that ends with the connection */
    conclude(verification);
}

static void verify_on_timeout(void *ctx)
{
    struct verification *verification = ctx;
    answer(verification, verification->stream == NULL ? ST_BUSY : ST_ADDRESS_MISMATCH);
}

void http_verify(void *ctx, const struct node_verify *verify)
{
    static const struct env_stream_handler handler = {
        .on_open = verify_on_open, .on_data = verify_on_data, .on_end = verify_on_end};
    struct http *http = ctx;
    struct verification *verification = mem_alloc(sizeof *verification);
    verification->http = http;
    verification->question = *verify;
    buf_init(&verification->body, LIMIT_VERIFY_BYTES);
    llhttp_init(&verification->llhttp, HTTP_RESPONSE, &settings);
    verification->llhttp.data = verification;
    env_timer_init(&verification->timer, verify_on_timeout, verification);
    list_push_back(&http->verifications, &verification->link);
    bool is_busy = http->verifications_count++ >= LIMIT_VERIFICATIONS;
    if (!is_busy) /* else it is answered from the timer at once, never inside this call */
        verification->stream = env_connect(http->env, &verify->http, &handler, verification);
    env_timer_set(http->env, &verification->timer, env_now(http->env) + (is_busy ? 0 : VERIFY_US));
}

void http_verify_close(struct http *http)
{
    while (!list_is_empty(&http->verifications))
        verification_free(CONTAINER_OF(http->verifications.next, struct verification, link));
}
