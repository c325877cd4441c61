/* Answer: of a reply, what must be the same each time a write is sent: status, body and ETag. */
#ifndef MINIKV_TESTS_ENDURANCE_ANSWER_H
#define MINIKV_TESTS_ENDURANCE_ANSWER_H

#include <stdbool.h>

#include "base/bytes.h"

enum { ANSWER_BODY_BYTES = 96, ANSWER_ETAG_BYTES = 24 };

struct answer {
    uint16_t status;
    bool is_replayed;    /* X-MiniKV-Replayed: true */
    bool closes;         /* Connection: close */
    uint32_t body_count; /* of the whole body; the first ANSWER_BODY_BYTES are kept */
    uint8_t etag_count;
    char etag[ANSWER_ETAG_BYTES];
    char body[ANSWER_BODY_BYTES];
};

/* The first reply in `in`.
 * return   the bytes it takes; 0: it is not whole yet; -1: not a reply of this server */
long answer_parse(struct bytes in, struct answer *out_answer);
/* Byte for byte, in status, body and ETag. */
bool answer_equal(const struct answer *a, const struct answer *b);
/* Of `{"value":n}`, a line, with `ETag: "revision"`; false when the answer is anything else. */
bool answer_number(const struct answer *answer, uint64_t *out_value, uint64_t *out_revision);
/* On one line, for people. */
const char *answer_format(const struct answer *answer, char out[256]);

#endif
