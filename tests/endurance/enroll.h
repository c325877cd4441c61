/* Enroll: the identities under which the clients write. */
#ifndef MINIKV_TESTS_ENDURANCE_ENROLL_H
#define MINIKV_TESTS_ENDURANCE_ENROLL_H

#include "endurance/options.h"

enum { IDENTITY_BYTES_MAX = 64 };

enum identity_kind {
    IDENTITY_ALLOTTED, /* from POST /v1/sessions */
    IDENTITY_OWN,      /* a client id of our choosing, opened by its first use */
    IDENTITY_KEYS      /* an Idempotency-Key for each write, made of the name and the sequence */
};

/* Of client `number`: half are allotted, the others our own, and a few use keys. Waits for a node
 * that can answer, at most as long as the run may take. */
enum identity_kind enroll(const struct options *options, uint32_t number,
                          char out_name[IDENTITY_BYTES_MAX + 1]);

#endif
