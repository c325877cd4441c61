/* Request: the bytes each connection sends, rendered once, with a fresh key written in each time.
 */
#ifndef MINIKV_BENCH_LOAD_REQUEST_H
#define MINIKV_BENCH_LOAD_REQUEST_H

#include "load/options.h"

enum {
    REQUEST_BYTES_MAX = 256 * 1024,
    REQUEST_KEYS_MAX = 8,
    KEY_BYTES = 16, /* "key-%012u" */
    KEY_BASE64_BYTES = 24
};

/* Where in the request a key has to be written. */
struct key_place {
    size_t offset;
    bool is_base64;
};

struct request {
    char *bytes;
    size_t count;
    struct key_place places[REQUEST_KEYS_MAX];
    size_t places_count;
};

/* Expands %k %K %v %V in path and body; the keys are left open. */
void request_render(struct request *out_request, const struct options *options);
/* Writes key `number` into a copy of the request's bytes. */
void request_write_key(const struct request *request, char *bytes, uint32_t number);

#endif
