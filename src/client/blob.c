#include "client/blob.h"

#include <stdlib.h>

enum { BLOB_BYTES_MIN = 512 };

void blob_init(struct blob *blob)
{
    *blob = (struct blob){0};
}

void blob_release(struct blob *blob)
{
    free(blob->data);
    blob_init(blob);
}

void blob_clear(struct blob *blob, size_t keep_bytes)
{
    if (blob->capacity > keep_bytes)
        blob_release(blob);
    blob_cut(blob, 0);
}

/* Room for `count` more bytes behind the last; false (and is_failed) without memory. */
static bool reserve(struct blob *blob, size_t count)
{
    if (blob->is_failed)
        return false;
    if (count <= blob->capacity - blob->count)
        return true;
    size_t wanted = blob->count + count;
    size_t doubled = blob->capacity * 2 + BLOB_BYTES_MIN;
    size_t capacity = wanted > doubled ? wanted : doubled;
    uint8_t *data = wanted < count ? NULL : realloc(blob->data, capacity);
    if (data == NULL) {
        blob->is_failed = true;
        return false;
    }
    blob->data = data;
    blob->capacity = capacity;
    return true;
}

void blob_put(struct blob *blob, const void *data, size_t count)
{
    if (count == 0 || !reserve(blob, count))
        return;
    memcpy(blob->data + blob->count, data, count);
    blob->count += count;
}

void blob_put_text(struct blob *blob, const char *text)
{
    blob_put(blob, text, strlen(text));
}

void blob_put_u64(struct blob *blob, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    blob_put(blob, digits + at, sizeof digits - at);
}

void blob_cut(struct blob *blob, size_t count)
{
    if (count < blob->count)
        blob->count = count;
    blob->is_failed = false;
}

void blob_consume(struct blob *blob, size_t count)
{
    size_t rest = blob->count - count;
    if (rest != 0)
        memmove(blob->data, blob->data + count, rest);
    blob->count = rest;
}
