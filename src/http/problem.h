/* Problem: every refusal as application/problem+json (RFC 9457), from the status table. */
#ifndef MINIKV_HTTP_PROBLEM_H
#define MINIKV_HTTP_PROBLEM_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/status.h"

/* Why a request will not be carried out, and what its sender can do about it. */
struct problem {
    enum status status;    /* ST_OK: none */
    struct errtext detail; /* empty: what problem_advice says */
};

void problem_clear(struct problem *problem);
/* The first refusal stays; later ones are dropped. */
void problem_set(struct problem *problem, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What to do next, in general; never empty for a status that a client can meet. `effect` is what is
 * said about this request: where it is less than the status usually means, so is the advice. */
const char *problem_advice(enum status status, enum effect effect);
/* {"type":…,"title":…,"status":…,"detail":…,"effect":…, to be closed by the caller. `detail` NULL
 * or empty: the general advice. */
void problem_put(struct buf *out, enum status status, enum effect effect, const char *detail);

#endif
