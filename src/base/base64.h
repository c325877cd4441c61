/* Base64 (RFC 4648 §4): how bytes that are no text travel in JSON. Standard alphabet, with padding.
 */
#ifndef MINIKV_BASE_BASE64_H
#define MINIKV_BASE_BASE64_H

#include "base/buf.h"
#include "base/check.h"
#include "base/status.h"

void base64_put(struct buf *out, struct bytes bytes);
/* Appends to `out`. ST_OK; ST_BAD_ENCODING, also for stray bits and when `out` has no room. */
MUST_CHECK enum status base64_decode(struct bytes text, struct buf *out);

#endif
