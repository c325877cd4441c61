/* Template: the bytes of a request, rendered once, with what differs written in each time: the
 * key, and for exactly-once the client and its sequences.
 *
 * In path, headers and body %k stands for a key, %v for a value, %c for the number of the
 * connection, %s for its sequence, %a for the sequence up to which all is answered; %K and %V are
 * key and value in base64, so that other systems can be driven too; %% is a per cent sign.
 *
 * Ownership    a template owns its bytes */
#ifndef MINIKV_LOAD_TEMPLATE_H
#define MINIKV_LOAD_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"

enum {
    TEMPLATE_BYTES_MAX = 2 * MIB,
    TEMPLATE_HEADERS_MAX = 8,
    TEMPLATE_PLACES_MAX = 12,
    TEMPLATE_KEY_BYTES = 16, /* "key-%012u" */
    TEMPLATE_KEY_BASE64_BYTES = 24,
    TEMPLATE_CLIENT_BYTES = 4, /* the connection's number */
    /* Counted from the time in microseconds, so that no run repeats another's. */
    TEMPLATE_SEQUENCE_BYTES = 16
};

struct template_text {
    const char *host, *path;
    const char *method;                        /* NULL: no head at all, the body is the request */
    const char *headers[TEMPLATE_HEADERS_MAX]; /* "Name: value" */
    size_t headers_count;
    const char *body; /* NULL: none */
    uint32_t value_bytes;
};

enum place_kind { PLACE_KEY, PLACE_KEY_BASE64, PLACE_CLIENT, PLACE_SEQUENCE, PLACE_ACKED };

struct template_place {
    size_t offset;
    enum place_kind kind;
};

struct template
{
    uint8_t *bytes; /* owned */
    size_t count;
    struct template_place places[TEMPLATE_PLACES_MAX];
    size_t places_count;
};

/* What is written into a request before it is sent. */
struct template_facts {
    uint32_t key, client;
    uint64_t sequence, acked;
};

/* return   ST_OK; ST_LIMIT when it has more places or bytes than a template may */
MUST_CHECK enum status template_render(struct template *out_template,
                                       const struct template_text *text);
void template_release(struct template *template);
/* Writes the facts into `bytes`, a copy of the template's. */
void template_fill(const struct template *template, uint8_t *bytes,
                   const struct template_facts *facts);

#endif
