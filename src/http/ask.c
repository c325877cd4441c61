#include "http/ask.h"

#include "base/limits.h"

void ask_cancel(struct ask *ask)
{
    if (ask->env == NULL)
        return;
    env_timer_set(ask->env, &ask->timer, TIME_NEVER);
    env_stream_close(ask->stream);
    buf_release(&ask->request);
    buf_release(&ask->reply);
    ask->stream = NULL;
    ask->env = NULL;
}

/* The caller may use the struct again, or free it, from on_answer. */
static void answer(struct ask *ask, unsigned code)
{
    struct buf reply = ask->reply;
    buf_init(&ask->reply, 0);
    ask_cancel(ask);
    ask->on_answer(ask->ctx, code, buf_bytes(&reply));
    buf_release(&reply);
}

static void conclude(struct ask *ask)
{
    answer(ask, ask->is_complete ? ask->llhttp.status_code : 0);
}

static int ask_on_body(llhttp_t *llhttp, const char *at, size_t count)
{
    struct ask *ask = llhttp->data;
    buf_put(&ask->reply, bytes_of(at, count));
    return HPE_OK;
}

static int ask_on_complete(llhttp_t *llhttp)
{
    struct ask *ask = llhttp->data;
    ask->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_body = ask_on_body,
    .on_message_complete = ask_on_complete,
};

static void ask_on_open(void *ctx)
{
    struct ask *ask = ctx;
    env_stream_send(ask->stream, buf_bytes(&ask->request));
}

static void ask_on_data(void *ctx, struct bytes bytes)
{
    struct ask *ask = ctx;
    ask->received_count += bytes.count;
    bool is_too_long = ask->received_count > LIMIT_ASK_BYTES;
    if (is_too_long ||
        llhttp_execute(&ask->llhttp, (const char *)bytes.data, bytes.count) != HPE_OK)
        conclude(ask); /* complete, too long or malformed */
}

static void ask_on_end(void *ctx, enum env_end end)
{
    struct ask *ask = ctx;
    ask->stream = NULL;
    if (end == ENV_END_EOF)
        (void)llhttp_finish(&ask->llhttp); /* a body that ends with the connection */
    conclude(ask);
}

static void ask_on_timeout(void *ctx)
{
    answer(ctx, 0);
}

void ask_start(struct env *env, struct ask *ask)
{
    static const struct env_stream_handler handler = {
        .on_open = ask_on_open, .on_data = ask_on_data, .on_end = ask_on_end};
    char host[LIMIT_ADDRESS_BYTES];
    ask->env = env;
    ask->received_count = 0;
    ask->is_complete = false;
    buf_init(&ask->request, LIMIT_ASK_BYTES);
    buf_init(&ask->reply, LIMIT_ASK_BYTES);
    buf_printf(&ask->request,
               "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nConnection: close\r\n",
               ask->method, ask->path, address_format(&ask->address, host));
    if (ask->content.count > 0)
        buf_printf(&ask->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   ask->content.count);
    buf_put_text(&ask->request, "\r\n");
    buf_put(&ask->request, ask->content);
    INVARIANT(!ask->request.is_full);
    llhttp_init(&ask->llhttp, HTTP_RESPONSE, &settings);
    ask->llhttp.data = ask;
    env_timer_init(&ask->timer, ask_on_timeout, ask);
    env_timer_set(env, &ask->timer, env_now(env) + ask->timeout);
    ask->stream = env_connect(env, &ask->address, &handler, ask);
}
