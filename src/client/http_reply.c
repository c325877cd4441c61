#include "client/http_reply.h"

#include <stdlib.h>
#include <strings.h>

enum { HEAD_KEPT_BYTES = 4096, BODY_KEPT_BYTES = 65536, GROWTH_BYTES_MIN = 512 };

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

void http_reply_clear(struct http_reply *reply)
{
    if (reply->head_capacity > HEAD_KEPT_BYTES || reply->body_capacity > BODY_KEPT_BYTES)
        http_reply_release(reply);
    reply->head_bytes = reply->body_bytes = 0;
    reply->code = 0;
}

/* Doubles; NULL without memory. */
static void *grow(void *data, size_t *capacity, size_t wanted)
{
    if (wanted <= *capacity)
        return data;
    size_t grown = MAX(wanted, *capacity * 2 + GROWTH_BYTES_MIN);
    void *moved = realloc(data, grown);
    if (moved != NULL)
        *capacity = grown;
    return moved;
}

bool http_reply_add_head(struct http_reply *reply, const void *bytes, size_t count)
{
    if (count == 0)
        return true;
    char *head = grow(reply->head, &reply->head_capacity, reply->head_bytes + count);
    if (head == NULL)
        return false;
    memcpy(head + reply->head_bytes, bytes, count);
    reply->head = head;
    reply->head_bytes += count;
    return true;
}

bool http_reply_add_body(struct http_reply *reply, const void *bytes, size_t count)
{
    if (count == 0)
        return true;
    uint8_t *body = grow(reply->body, &reply->body_capacity, reply->body_bytes + count);
    if (body == NULL)
        return false;
    memcpy(body + reply->body_bytes, bytes, count);
    reply->body = body;
    reply->body_bytes += count;
    return true;
}

const char *http_reply_header(const struct http_reply *reply, const char *name)
{
    if (reply->head_bytes == 0)
        return NULL;
    const char *at = reply->head, *end = reply->head + reply->head_bytes;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

uint64_t http_reply_number(const struct http_reply *reply, const char *name)
{
    const char *text = http_reply_header(reply, name);
    if (text == NULL || *text == '\0' || strlen(text) > 19)
        return 0;
    uint64_t number = 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

struct bytes http_reply_body(const struct http_reply *reply)
{
    return bytes_of(reply->body, reply->body_bytes);
}
