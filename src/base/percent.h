/* Percent-encoding (RFC 3986 §2.1): any bytes as a part of a request target. */
#ifndef MINIKV_BASE_PERCENT_H
#define MINIKV_BASE_PERCENT_H

#include "base/bytes.h"

enum { PERCENT_ENCODED_BYTES_MAX = 3 }; /* for each byte */

/* Writes `bytes` at `out`, which has room for PERCENT_ENCODED_BYTES_MAX times as many; unreserved
 * characters stay as they are. Returns how many it has written. */
size_t percent_encode(struct bytes bytes, char *out);

#endif
