#include "client/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "client/reply_parser.h"

bool http_request_add_header(struct http_request *request, const char *name, const char *value)
{
    if (request->headers_count == HTTP_REQUEST_HEADERS)
        return false;
    request->headers[request->headers_count++] = (struct http_header){name, value};
    return true;
}

void http_reply_init(struct http_reply *reply)
{
    *reply = (struct http_reply){0};
}

void http_reply_release(struct http_reply *reply)
{
    free(reply->head);
    free(reply->body);
    http_reply_init(reply);
}

const char *http_reply_header(const struct http_reply *reply, const char *name)
{
    const char *at = reply->head, *end = reply->head + reply->head_bytes;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

struct bytes http_reply_body(const struct http_reply *reply)
{
    return bytes_of(reply->body, reply->body_bytes);
}

void http_client_init(struct http_client *client, const struct address *address)
{
    client->address = *address;
    connection_init(&client->connection);
}

void http_client_release(struct http_client *client)
{
    connection_close(&client->connection);
}

/* Writes to memory that a first, measuring pass with a NULL buffer has sized. */
static size_t put_text(char *out, size_t at, const char *text)
{
    size_t count = strlen(text);
    if (out != NULL)
        memcpy(out + at, text, count);
    return at + count;
}

static size_t put_head(char *out, const struct http_request *request, const char *host)
{
    char length[32];
    size_t at = put_text(out, 0, request->method);
    at = put_text(out, at, " ");
    at = put_text(out, at, request->target);
    at = put_text(out, at, " HTTP/1.1\r\nHost: ");
    at = put_text(out, at, host);
    at = put_text(out, at, "\r\nUser-Agent: minikv/" MINIKV_VERSION "\r\n");
    for (size_t i = 0; i < request->headers_count; i++) {
        at = put_text(out, at, request->headers[i].name);
        at = put_text(out, at, ": ");
        at = put_text(out, at, request->headers[i].value);
        at = put_text(out, at, "\r\n");
    }
    if (request->has_body) {
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body.count);
        at = put_text(out, at, length);
    }
    return put_text(out, at, "\r\n");
}

/* Head and body in one buffer: one segment on the wire for small requests. */
static enum status encode(const struct http_client *client, const struct http_request *request,
                          char **out_text, size_t *out_bytes)
{
    char host[LIMIT_ADDRESS_BYTES];
    (void)address_format(&client->address, host);
    size_t head_bytes = put_head(NULL, request, host);
    char *text = malloc(head_bytes + request->body.count);
    if (text == NULL)
        return ST_NO_MEMORY;
    (void)put_head(text, request, host);
    if (request->body.count != 0)
        memcpy(text + head_bytes, request->body.data, request->body.count);
    *out_text = text;
    *out_bytes = head_bytes + request->body.count;
    return ST_OK;
}

/* The other end may have closed a kept-alive connection meanwhile: look before using it, since a
 * request lost on it could not be told from one carried out. */
static enum status ensure_connected(struct http_client *client, time_us deadline,
                                    struct errtext *error)
{
    if (connection_is_open(&client->connection)) {
        if (connection_is_idle(&client->connection))
            return ST_OK;
        connection_close(&client->connection);
    }
    return connection_open(&client->connection, &client->address, deadline, error);
}

static enum status receive_reply(struct http_client *client, time_us deadline,
                                 struct http_reply *reply, struct errtext *error)
{
    struct reply_parser parser;
    reply_parser_init(&parser, reply);
    enum reply_progress progress = REPLY_MORE;
    while (progress == REPLY_MORE) {
        uint8_t chunk[16 * KIB];
        size_t count = 0;
        enum status status =
            connection_receive(&client->connection, chunk, sizeof chunk, deadline, &count);
        if (status == ST_TIMEOUT) {
            errtext_set(error, "no reply in time");
            return ST_TIMEOUT;
        }
        if (status == ST_OK && count != 0)
            progress = reply_parser_feed(&parser, bytes_of(chunk, count));
        else
            progress = reply_parser_end(&parser, status == ST_OK);
    }
    if (progress == REPLY_BAD) {
        errtext_set(error, "%s", reply_parser_failure(&parser));
        return ST_LINK_LOST;
    }
    if (!reply_parser_keeps_alive(&parser))
        connection_close(&client->connection);
    return ST_OK;
}

enum status http_client_call(struct http_client *client, const struct http_request *request,
                             time_us connect_deadline, time_us deadline, struct http_reply *reply,
                             struct errtext *error)
{
    char *text = NULL;
    size_t text_bytes = 0, sent = 0;
    enum status status = encode(client, request, &text, &text_bytes);
    if (status != ST_OK) {
        errtext_set(error, "out of memory");
        return status;
    }
    status = ensure_connected(client, MIN(connect_deadline, deadline), error);
    if (status == ST_OK && connection_now() >= deadline) {
        errtext_set(error, "no time left to send the request");
        status = ST_REQUEST_TIMEOUT;
    }
    if (status == ST_OK) {
        enum status sending =
            connection_send(&client->connection, bytes_of(text, text_bytes), deadline, &sent);
        if (sending == ST_TIMEOUT) {
            errtext_set(error, "could not send the request in time");
            status = ST_TIMEOUT;
        } else {
            /* A server that refuses a request early answers before it closes: look for that. */
            status = receive_reply(client, deadline, reply, error);
        }
    }
    free(text);
    if (status != ST_OK) {
        char address[LIMIT_ADDRESS_BYTES];
        if (status == ST_LINK_LOST || status == ST_TIMEOUT)
            errtext_wrap(error, "%s", address_format(&client->address, address));
        connection_close(&client->connection);
        http_reply_release(reply);
    }
    return status;
}
