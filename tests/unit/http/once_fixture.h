/* Once fixture: writes with an identity over HTTP, and questions about them. */
#ifndef MINIKV_TESTS_UNIT_HTTP_ONCE_FIXTURE_H
#define MINIKV_TESTS_UNIT_HTTP_ONCE_FIXTURE_H

#include "http_fixture.h"

/* `headers`: lines that end in \r\n, or "". */
static inline const char *send(struct rig *rig, const char *request, const char *headers,
                               const char *body)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\n" H "%sContent-Length: %zu\r\n\r\n%s",
                   request, headers, strlen(body), body);
    return ask(rig, text);
}

static inline const char *write_as(struct rig *rig, const char *client, unsigned sequence,
                                   const char *request, const char *body)
{
    char headers[256];
    (void)snprintf(headers, sizeof headers, "X-MiniKV-Client-Id: %s\r\nX-MiniKV-Sequence: %u\r\n",
                   client, sequence);
    return send(rig, request, headers, body);
}

static inline const char *body_of(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static inline struct command last_command(struct rig *rig)
{
    struct command command;
    assert_int_equal(command_decode(buf_bytes(&rig->node->last_command), &command), ST_OK);
    return command;
}

static inline void outcome_is(struct rig *rig, const char *query, const char *wanted)
{
    char request[512];
    (void)snprintf(request, sizeof request, "GET /v1/outcome?%s", query);
    const char *reply = send(rig, request, "", "");
    assert_int_equal(code_of(reply), 200);
    assert_string_equal(body_of(reply), wanted);
}

#endif
