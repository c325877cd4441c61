#include "http/headers.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "http/etag.h"

/* Fields whose doubling leaves open which one counts. */
enum {
    SEEN_CONTENT_TYPE = 1 << 1,
    SEEN_CONDITION = 1 << 2,
    SEEN_EXPECT = 1 << 3,
    SEEN_ROUTE = 1 << 4,
    SEEN_TIMEOUT = 1 << 5,
};

void headers_reset(struct headers *headers)
{
    memset(headers, 0, offsetof(struct headers, host));
    identity_reset(&headers->identity, IDENTITY_OF_HEADERS);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool token_equal(struct bytes bytes, const char *text)
{
    for (size_t i = 0; i < bytes.count; i++)
        if (text[i] == '\0' || lower(bytes.data[i]) != (uint8_t)text[i])
            return false;
    return text[bytes.count] == '\0';
}

bool policy_parse(struct bytes text, enum route_policy *out_policy)
{
    if (bytes_equal_text(text, "forward"))
        *out_policy = ROUTE_FORWARD;
    else if (bytes_equal_text(text, "redirect"))
        *out_policy = ROUTE_REDIRECT;
    else
        return false;
    return true;
}

bool number_parse(struct bytes text, uint64_t *out_number)
{
    if (text.count == 0 || text.count > 19 || text.data[0] == '0')
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (number > INT64_MAX)
        return false;
    *out_number = number;
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct bytes trim(struct bytes bytes)
{
    while (bytes.count != 0 && is_blank(bytes.data[bytes.count - 1]))
        bytes.count--;
    while (bytes.count != 0 && is_blank(bytes.data[0]))
        bytes = bytes_of(bytes.data + 1, bytes.count - 1);
    return bytes;
}

/* The first element of a list separated by `separator`, without blanks; shortens `list`. */
static struct bytes next_of(struct bytes *list, uint8_t separator)
{
    const uint8_t *end = list->count == 0 ? NULL : memchr(list->data, separator, list->count);
    size_t count = end == NULL ? list->count : (size_t)(end - list->data);
    struct bytes first = bytes_of(list->data, count);
    size_t skipped = end == NULL ? count : count + 1;
    *list = skipped == 0 ? *list : bytes_of(list->data + skipped, list->count - skipped);
    return trim(first);
}

/* Softly: the request is wrong, the connection is not. */
__attribute__((format(printf, 2, 3))) static void reject(struct headers *headers,
                                                         const char *format, ...)
{
    char text[sizeof headers->soft.detail.text];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem_set(&headers->soft, ST_BAD_HEADER, "%s", text);
}

/* True the first time; a second one is refused. */
static bool is_first(struct headers *headers, unsigned bit, const char *name)
{
    if ((headers->seen & bit) != 0)
        reject(headers, "%s is given twice", name);
    bool is_new = (headers->seen & bit) == 0;
    headers->seen |= bit;
    return is_new;
}

/* ---- framing and addressee ---- */

static bool is_host_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == '%';
}

static bool is_port(struct bytes text)
{
    unsigned port = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (i == 5 || text.data[i] < '0' || text.data[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    return port <= 65535;
}

/* host, host:port, [v6], [v6]:port. An empty port is legal (RFC 3986 §3.2.3). */
static bool host_is_valid(struct bytes host)
{
    size_t at = 0;
    if (host.count != 0 && host.data[0] == '[') {
        for (at = 1; at < host.count && host.data[at] != ']'; at++)
            if (!is_host_byte(host.data[at]) && host.data[at] != ':')
                return false;
        if (at < 3 || at == host.count)
            return false;
        at++;
    } else {
        while (at < host.count && is_host_byte(host.data[at]))
            at++;
        if (at == 0)
            return false;
    }
    if (at == host.count)
        return true;
    return host.data[at] == ':' && is_port(bytes_of(host.data + at + 1, host.count - at - 1));
}

static enum status take_host(struct headers *headers, struct bytes value, struct errtext *error)
{
    if (headers->has_host) {
        errtext_set(error, "there are two Host headers; send one");
        return ST_BAD_HOST;
    }
    if (value.count > HOST_BYTES_MAX || !host_is_valid(value)) {
        errtext_set(error, "Host must be host or host:port, without user, path, list or blanks");
        return ST_BAD_HOST;
    }
    headers->has_host = true;
    headers->host_count = value.count;
    memcpy(headers->host, value.data, value.count);
    return ST_OK;
}

/* Stricter than llhttp: 005 has a second reading (octal) somewhere on the way. */
static enum status take_content_length(struct headers *headers, struct bytes value,
                                       struct errtext *error)
{
    uint64_t ignored;
    if (headers->has_content_length) {
        errtext_set(error, "there are two Content-Length headers; send one");
        return ST_BAD_LENGTH;
    }
    headers->has_content_length = true;
    if (!bytes_equal_text(value, "0") && !number_parse(value, &ignored)) {
        errtext_set(error, "Content-Length must be plain decimal digits without leading zeros");
        return ST_BAD_LENGTH;
    }
    return ST_OK;
}

static enum status take_transfer_encoding(struct headers *headers, struct bytes value,
                                          struct errtext *error)
{
    if (headers->has_transfer_encoding) {
        errtext_set(error, "there are two Transfer-Encoding headers; send one");
        return ST_BAD_LENGTH;
    }
    headers->has_transfer_encoding = true;
    if (value.count == 0) {
        errtext_set(error, "Transfer-Encoding is empty");
        return ST_BAD_LENGTH;
    }
    if (!token_equal(value, "chunked")) {
        errtext_set(error, "the only transfer coding known here is chunked, alone");
        return ST_UNSUPPORTED_CODING;
    }
    headers->is_chunked = true;
    return ST_OK;
}

/* ---- what the request asks for ---- */

static void take_content_type(struct headers *headers, struct bytes value)
{
    if (is_first(headers, SEEN_CONTENT_TYPE, "Content-Type"))
        headers->is_raw_body = token_equal(next_of(&value, ';'), "application/octet-stream");
}

/* q=0, q=0.0 …: "not this one" (RFC 9110 §12.4.2). */
static bool is_excluded(struct bytes parameters)
{
    while (parameters.count != 0) {
        struct bytes parameter = next_of(&parameters, ';');
        if (parameter.count < 3 || lower(parameter.data[0]) != 'q' || parameter.data[1] != '=')
            continue;
        bool is_zero = true;
        for (size_t i = 2; i < parameter.count; i++)
            is_zero = is_zero && (parameter.data[i] == '0' || parameter.data[i] == '.');
        return is_zero;
    }
    return false;
}

/* The first range that this server has decides; finer weights are not looked at. */
static void take_accept(struct headers *headers, struct bytes value)
{
    if (headers->accept == ACCEPT_JSON || headers->accept == ACCEPT_RAW)
        return;
    headers->accept = ACCEPT_NOTHING;
    while (value.count != 0) {
        struct bytes range = next_of(&value, ',');
        struct bytes type = next_of(&range, ';');
        bool is_raw = token_equal(type, "application/octet-stream");
        bool is_json = token_equal(type, "application/json") ||
                       token_equal(type, "application/*") || token_equal(type, "*/*");
        bool is_lines = token_equal(type, "application/x-ndjson");
        bool is_events = token_equal(type, "text/event-stream");
        if (is_excluded(range))
            continue;
        headers->accepts_lines = headers->accepts_lines || is_lines;
        headers->accepts_events = headers->accepts_events || is_events;
        if (is_raw || is_json) {
            headers->accept = is_raw ? ACCEPT_RAW : ACCEPT_JSON;
            return;
        }
    }
}

static void take_condition(struct headers *headers, enum etag_header header, struct bytes value)
{
    struct errtext error;
    if ((headers->seen & SEEN_CONDITION) != 0) {
        problem_set(&headers->soft, ST_BAD_CONDITION,
                    "send one of If-Match and If-None-Match, once");
        return;
    }
    headers->seen |= SEEN_CONDITION;
    if (condition_parse(header, value, &headers->condition, &headers->condition_revision, &error) !=
        ST_OK)
        problem_set(&headers->soft, ST_BAD_CONDITION, "%s", error.text);
}

static void take_expect(struct headers *headers, struct bytes value)
{
    if (!is_first(headers, SEEN_EXPECT, "Expect"))
        return;
    headers->expects_continue = token_equal(value, "100-continue");
    if (!headers->expects_continue)
        problem_set(&headers->soft, ST_EXPECTATION_FAILED, "%s", "");
}

static void take_route(struct headers *headers, struct bytes value)
{
    if (!is_first(headers, SEEN_ROUTE, "X-MiniKV-Route"))
        return;
    headers->has_policy = policy_parse(value, &headers->policy);
    if (!headers->has_policy)
        reject(headers, "X-MiniKV-Route is forward or redirect");
}

static void take_timeout(struct headers *headers, struct bytes value)
{
    if (is_first(headers, SEEN_TIMEOUT, "X-MiniKV-Timeout-Ms") &&
        !number_parse(value, &headers->timeout_ms))
        reject(headers, "X-MiniKV-Timeout-Ms is a number of milliseconds from 1 on");
}

static void take_last_event(struct headers *headers, struct bytes value)
{
    headers->last_event_count = MIN(value.count, sizeof headers->last_event);
    if (value.count != 0)
        memcpy(headers->last_event, value.data, headers->last_event_count);
}

/* Names of X-MiniKV-…; the prefix is known to be there. */
static void take_own(struct headers *headers, struct bytes name, struct bytes value)
{
    if (token_equal(name, "x-minikv-route"))
        take_route(headers, value);
    else if (token_equal(name, "x-minikv-timeout-ms"))
        take_timeout(headers, value);
    else if (token_equal(name, "x-minikv-forwarded"))
        headers->is_forwarded = true;
    else if (token_equal(name, "x-minikv-client-id"))
        identity_take(&headers->identity, IDENTITY_CLIENT, value);
    else if (token_equal(name, "x-minikv-sequence"))
        identity_take(&headers->identity, IDENTITY_SEQUENCE, value);
    else if (token_equal(name, "x-minikv-acked"))
        identity_take(&headers->identity, IDENTITY_ACKED, value);
}

enum status headers_take(struct headers *headers, struct bytes name, struct bytes value,
                         struct errtext *error)
{
    if (++headers->count > LIMIT_HEADERS) {
        errtext_set(error, "there are more than %d headers", LIMIT_HEADERS);
        return ST_HEADERS_TOO_LONG;
    }
    if (name.count == 0) {
        errtext_set(error, "a header has no name");
        return ST_BAD_HEADER;
    }
    value = trim(value);
    switch (name.count) { /* most fields are none of ours: the length tells */
    case 4:
        return token_equal(name, "host") ? take_host(headers, value, error) : ST_OK;
    case 6:
        if (token_equal(name, "accept"))
            take_accept(headers, value);
        else if (token_equal(name, "expect"))
            take_expect(headers, value);
        return ST_OK;
    case 8:
        if (token_equal(name, "if-match"))
            take_condition(headers, ETAG_IF_MATCH, value);
        return ST_OK;
    case 12:
        if (token_equal(name, "content-type"))
            take_content_type(headers, value);
        return ST_OK;
    case 13:
        if (token_equal(name, "if-none-match"))
            take_condition(headers, ETAG_IF_NONE_MATCH, value);
        else if (token_equal(name, "last-event-id"))
            take_last_event(headers, value);
        return ST_OK;
    case 14:
        if (token_equal(name, "content-length"))
            return take_content_length(headers, value, error);
        break;
    case 15:
        if (token_equal(name, "idempotency-key"))
            identity_take(&headers->identity, IDENTITY_KEY, value);
        return ST_OK;
    case 17:
        if (token_equal(name, "transfer-encoding"))
            return take_transfer_encoding(headers, value, error);
        break;
    }
    if (name.count > 9 && token_equal(bytes_of(name.data, 9), "x-minikv-"))
        take_own(headers, name, value);
    return ST_OK;
}
