/* Bytes: a borrowed slice of memory, the only way bytes are handed around. */
#ifndef MINIKV_BASE_BYTES_H
#define MINIKV_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* borrowed; may be NULL when count is 0 */
    size_t count;
};

#define BYTES_LITERAL(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct bytes bytes_of(const void *data, size_t count)
{
    return (struct bytes){(const uint8_t *)data, count};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.data, b.data, a.count) == 0);
}

/* Order of unsigned bytes, a prefix before what it is a prefix of: <0, 0, >0. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.count < b.count ? a.count : b.count;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return a.count < b.count ? -1 : a.count > b.count;
}

static inline bool bytes_has_prefix(struct bytes bytes, struct bytes prefix)
{
    return bytes.count >= prefix.count &&
           (prefix.count == 0 || memcmp(bytes.data, prefix.data, prefix.count) == 0);
}

static inline bool bytes_equal_text(struct bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_of_text(text));
}

#endif
