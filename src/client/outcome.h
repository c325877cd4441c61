/* Outcome: asking what became of a write, and what the reply makes of its result. No I/O. */
#ifndef MINIKV_CLIENT_OUTCOME_H
#define MINIKV_CLIENT_OUTCOME_H

#include "base/percent.h"
#include "client/call.h"

enum { OUTCOME_TEXT_BYTES = MINIKV_CLIENT_ID_MAX * PERCENT_ENCODED_BYTES_MAX + 80 };

/* The request that asks, or with `seal` settles. Borrows `text`. Requires an identity that
 * call_check has found good. */
struct minikv_request outcome_request(const struct minikv_identity *identity, bool seal,
                                      char text[OUTCOME_TEXT_BYTES]);
/* The result of that request becomes the one of the write `asked` about; see minikv_outcome.
 * return   MINIKV_OK, with `out_fate`; else why nothing is known now */
enum minikv_code outcome_read(const struct minikv_identity *asked, struct minikv_result *result,
                              enum minikv_fate *out_fate);
/* Its fate will not change any more. */
bool outcome_is_final(enum minikv_fate fate);

#endif
