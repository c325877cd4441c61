/* Json: what replies are made of: strings and byte strings. Pure.
 *
 * Keys and values are bytes. What is UTF-8 travels as a JSON string under its name; what is not, as
 * base64 under name_base64. */
#ifndef MINIKV_HTTP_JSON_H
#define MINIKV_HTTP_JSON_H

#include "base/buf.h"

bool utf8_is_valid(struct bytes text);
/* "…" with escapes. Requires valid UTF-8. */
void json_put_string(struct buf *out, struct bytes text);
/* What is between the quotes of it; the pieces of a text give the whole. */
void json_put_escaped(struct buf *out, struct bytes text);
size_t json_escaped_bytes(struct bytes text); /* how long that is */
/* "…" of text that may hold anything: what is no printable ASCII becomes '?'. */
void json_put_ascii(struct buf *out, const char *text);
/* "name":"…" or "name_base64":"…" */
void json_put_bytes(struct buf *out, const char *name, struct bytes bytes);

#endif
