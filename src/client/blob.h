/* Blob: bytes that grow, and whose growing can fail: the client library never aborts.
 *
 * A write that finds no memory sets `is_failed` and is dropped, as are all later ones; the writer
 * looks once at the end, and takes back what it began with blob_cut.
 *
 * Ownership    owns `data` */
#ifndef MINIKV_CLIENT_BLOB_H
#define MINIKV_CLIENT_BLOB_H

#include "base/bytes.h"

struct blob {
    uint8_t *data; /* owned */
    size_t count;
    size_t capacity;
    bool is_failed;
};

void blob_init(struct blob *blob);
void blob_release(struct blob *blob);
/* Empty and sound again; keeps its memory up to `keep_bytes`. */
void blob_clear(struct blob *blob, size_t keep_bytes);
/* Without memory it has failed, and stays as it was. */
void blob_put(struct blob *blob, const void *data, size_t count);
void blob_put_text(struct blob *blob, const char *text);
void blob_put_u64(struct blob *blob, uint64_t value);
/* Back to the first `count` bytes, and sound. */
void blob_cut(struct blob *blob, size_t count);
/* Drops the first `count` bytes. */
void blob_consume(struct blob *blob, size_t count);

#endif
