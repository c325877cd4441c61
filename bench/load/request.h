/* Request: the bytes each connection sends, rendered once, with what differs written in each time:
 * the key, and for exactly-once the client and its sequences. */
#ifndef MINIKV_BENCH_LOAD_REQUEST_H
#define MINIKV_BENCH_LOAD_REQUEST_H

#include "load/options.h"

enum {
    REQUEST_BYTES_MAX = 256 * 1024,
    REQUEST_PLACES_MAX = 12,
    KEY_BYTES = 16, /* "key-%012u" */
    KEY_BASE64_BYTES = 24,
    CLIENT_BYTES = 4, /* the connection's number */
    SEQUENCE_BYTES =
        16 /* counted from the time in microseconds, so that no run repeats another's */
};

/* What is written into a request before it is sent. */
struct request_facts {
    uint32_t key;
    uint32_t client;
    uint64_t sequence;
};

enum place_kind { PLACE_KEY, PLACE_KEY_BASE64, PLACE_CLIENT, PLACE_SEQUENCE, PLACE_ACKED };

/* Where in the request it has to be written. */
struct request_place {
    size_t offset;
    enum place_kind kind;
};

struct request {
    char *bytes;
    size_t count;
    struct request_place places[REQUEST_PLACES_MAX];
    size_t places_count;
};

/* Expands %k %K %v %V %c %s %a in path, headers and body; all but the values are left open. */
void request_render(struct request *out_request, const struct options *options);
/* Writes the facts into a copy of the request's bytes. */
void request_write(const struct request *request, char *bytes, const struct request_facts *facts);

#endif
