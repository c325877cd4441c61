/* Handler of /openapi.json: what this API is, for programs that read OpenAPI; docs/openapi.json. */
#include "http/api.h"
#include "http/reply.h"

static const uint8_t document[] = {
#include "openapi.inc"
};

void openapi_answer(struct exchange *exchange)
{
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, bytes_of(document, sizeof document));
}
