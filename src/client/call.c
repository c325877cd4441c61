#include "client/call.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/percent.h"
#include "client/fence.h"

enum {
    METHOD_BYTES_MAX = 16,
    HEADERS_BYTES_MAX = 128,
    QUERY_BYTES_MAX = 192 /* of a target, but for keys in it */
};

/* ---- what is wrong with a request ---- */

static bool is_empty_or_given(struct minikv_bytes bytes)
{
    return bytes.count == 0 || bytes.data != NULL;
}

static enum status check_key(struct minikv_bytes key)
{
    if (key.count == 0 || key.data == NULL)
        return ST_KEY_EMPTY;
    return key.count > LIMIT_KEY_BYTES ? ST_KEY_TOO_LONG : ST_OK;
}

static bool is_method(const char *method)
{
    size_t count = method == NULL ? 0 : strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return count != 0 && count <= METHOD_BYTES_MAX && method[count] == '\0';
}

static enum status check_call(const struct minikv_request *request)
{
    const char *target = request->target;
    if (!is_method(request->method))
        return ST_BAD_REQUEST;
    if (target == NULL || target[0] != '/')
        return ST_BAD_TARGET;
    for (const char *at = target; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return ST_BAD_TARGET;
    if (strlen(target) > LIMIT_TARGET_BYTES)
        return ST_TARGET_TOO_LONG;
    return request->value.count > LIMIT_BODY_BYTES ? ST_BODY_TOO_LONG : ST_OK;
}

static enum status check_range(const struct minikv_range *range)
{
    const struct minikv_bytes *ends[] = {&range->prefix, &range->start, &range->end, &range->after};
    size_t bytes_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        if (!is_empty_or_given(*ends[i]))
            return ST_BAD_QUERY;
        if (ends[i]->count > LIMIT_KEY_BYTES)
            return ST_KEY_TOO_LONG;
        bytes_count += ends[i]->count * PERCENT_ENCODED_BYTES_MAX;
    }
    return bytes_count + QUERY_BYTES_MAX > LIMIT_TARGET_BYTES ? ST_TARGET_TOO_LONG : ST_OK;
}

static enum status check_identity(const struct minikv_identity *identity)
{
    size_t count = strnlen(identity->client, sizeof identity->client);
    if (count == 0)
        return ST_OK;
    if (count > MINIKV_CLIENT_ID_MAX || identity->sequence == 0 || identity->sequence > INT64_MAX)
        return ST_BAD_IDENTITY;
    for (size_t i = 0; i < count; i++)
        if (identity->client[i] <= ' ' || identity->client[i] > '~')
            return ST_BAD_IDENTITY;
    return ST_OK;
}

enum status call_check(const struct minikv_request *request)
{
    enum status status = check_identity(&request->identity);
    bool is_conditional = request->op == MINIKV_PUT || request->op == MINIKV_DELETE;
    if (status != ST_OK)
        return status;
    if (!is_empty_or_given(request->value))
        return ST_BAD_FIELD;
    if (is_conditional && ((unsigned)request->condition > MINIKV_IF_ABSENT ||
                           (request->condition == MINIKV_IF_REVISION && request->revision == 0)))
        return ST_BAD_CONDITION;
    switch (request->op) {
    case MINIKV_PUT:
    case MINIKV_DELETE:
        status = request->op == MINIKV_PUT && request->value.count > LIMIT_VALUE_BYTES
                     ? ST_VALUE_TOO_LONG
                     : check_key(request->key);
        return status != ST_OK ? status : fence_check(request);
    case MINIKV_GET:
    case MINIKV_INCR:
        return check_key(request->key);
    case MINIKV_LIST:
        return check_range(&request->range);
    case MINIKV_CALL:
        return check_call(request);
    }
    return ST_BAD_REQUEST;
}

/* ---- making ---- */

/* Writes texts one behind the other into memory that is known to suffice. */
struct pen {
    char *at;
};

static void write_bytes(struct pen *pen, const void *data, size_t count)
{
    if (count != 0)
        memcpy(pen->at, data, count);
    pen->at += count;
}

static void write_text(struct pen *pen, const char *text)
{
    write_bytes(pen, text, strlen(text));
}

static void write_number(struct pen *pen, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    write_bytes(pen, digits + at, sizeof digits - at);
}

static void write_encoded(struct pen *pen, struct minikv_bytes bytes)
{
    pen->at += percent_encode(bytes_of(bytes.data, bytes.count), pen->at);
}

static const char *end_text(struct pen *pen, const char *first)
{
    *pen->at++ = '\0';
    return first;
}

/* "?name" or "&name". */
static void write_name(struct pen *pen, char *separator, const char *name)
{
    write_bytes(pen, separator, 1);
    *separator = '&';
    write_text(pen, name);
}

static void write_parameter(struct pen *pen, char *separator, const char *name,
                            struct minikv_bytes value)
{
    if (value.count == 0)
        return;
    write_name(pen, separator, name);
    write_encoded(pen, value);
}

static void write_number_parameter(struct pen *pen, char *separator, const char *name,
                                   uint64_t value)
{
    if (value == 0)
        return;
    write_name(pen, separator, name);
    write_number(pen, value);
}

static void write_range(struct pen *pen, const struct minikv_range *range, char *separator)
{
    write_parameter(pen, separator, "prefix=", range->prefix);
    write_parameter(pen, separator, "start=", range->start);
    write_parameter(pen, separator, "end=", range->end);
    write_parameter(pen, separator, "after=", range->after);
    write_number_parameter(pen, separator, "limit=", range->limit);
    write_number_parameter(pen, separator, "rev=", range->revision);
    if (range->is_descending)
        write_name(pen, separator, "order=desc");
    if (range->keys_only)
        write_name(pen, separator, "keys_only");
}

static void write_query(struct pen *pen, const struct minikv_request *request)
{
    char separator = '?';
    bool reads = request->op == MINIKV_GET || request->op == MINIKV_LIST;
    if (request->op == MINIKV_LIST)
        write_range(pen, &request->range, &separator);
    if (request->op == MINIKV_PUT)
        write_number_parameter(pen, &separator, "lease=", request->lease);
    if (request->op == MINIKV_GET)
        write_number_parameter(pen, &separator, "rev=", request->revision);
    if (reads && request->is_stale)
        write_name(pen, &separator, "consistency=stale");
}

static const char *write_target(struct pen *pen, const struct minikv_request *request)
{
    const char *first = pen->at;
    if (fence_is_wanted(request)) {
        write_text(pen, "/v1/txn");
        return end_text(pen, first);
    }
    switch (request->op) {
    case MINIKV_PUT:
    case MINIKV_DELETE:
    case MINIKV_GET:
        write_text(pen, "/v1/kv/");
        write_encoded(pen, request->key);
        write_query(pen, request);
        break;
    case MINIKV_INCR:
        write_text(pen, "/v1/incr/");
        write_encoded(pen, request->key);
        break;
    case MINIKV_LIST:
        write_text(pen, "/v1/kv");
        write_query(pen, request);
        break;
    case MINIKV_CALL:
        write_text(pen, request->target);
        break;
    }
    return end_text(pen, first);
}

static void write_condition(struct pen *pen, const struct minikv_request *request)
{
    switch (request->condition) {
    case MINIKV_ALWAYS:
        break;
    case MINIKV_IF_REVISION:
        write_text(pen, "If-Match: \"");
        write_number(pen, request->revision);
        write_text(pen, "\"\r\n");
        break;
    case MINIKV_IF_EXISTS:
        write_text(pen, "If-Match: *\r\n");
        break;
    case MINIKV_IF_ABSENT:
        write_text(pen, "If-None-Match: *\r\n");
        break;
    }
}

static const char *write_headers(struct pen *pen, const struct minikv_request *request)
{
    const char *first = pen->at;
    bool is_json = request->op == MINIKV_CALL && request->value.count != 0;
    if (fence_is_wanted(request)) {
        write_text(pen, "Content-Type: application/json\r\n");
        return end_text(pen, first);
    }
    if (request->op == MINIKV_PUT)
        write_text(pen, "Content-Type: application/octet-stream\r\n");
    else if (is_json)
        write_text(pen, "Content-Type: application/json\r\n");
    if (request->op == MINIKV_PUT || request->op == MINIKV_DELETE)
        write_condition(pen, request);
    return end_text(pen, first);
}

static struct bytes write_body(struct pen *pen, const struct minikv_request *request)
{
    const char *first = pen->at;
    if (fence_is_wanted(request)) {
        pen->at = fence_body_write(request, pen->at);
    } else if (request->op == MINIKV_INCR) {
        write_text(pen, "{\"by\":");
        if (request->by < 0)
            write_text(pen, "-");
        write_number(pen, request->by < 0 ? -(uint64_t)request->by : (uint64_t)request->by);
        write_text(pen, "}");
    } else if (request->op == MINIKV_PUT || request->op == MINIKV_CALL) {
        write_bytes(pen, request->value.data, request->value.count);
    }
    return bytes_of(first, (size_t)(pen->at - first));
}

static const char *method_of(const struct minikv_request *request)
{
    if (fence_is_wanted(request))
        return "POST";
    switch (request->op) {
    case MINIKV_PUT:
        return "PUT";
    case MINIKV_GET:
    case MINIKV_LIST:
        return "GET";
    case MINIKV_DELETE:
        return "DELETE";
    case MINIKV_INCR:
        return "POST";
    case MINIKV_CALL:
        return request->method;
    }
    return "";
}

/* Of all texts together, with their ends. */
static size_t texts_bytes_max(const struct minikv_request *request)
{
    const struct minikv_range *range = &request->range;
    size_t encoded = request->key.count;
    if (request->op == MINIKV_LIST)
        encoded = range->prefix.count + range->start.count + range->end.count + range->after.count;
    size_t given = request->op == MINIKV_CALL ? strlen(request->target) : 0;
    return METHOD_BYTES_MAX + 1 + given + encoded * PERCENT_ENCODED_BYTES_MAX + QUERY_BYTES_MAX +
           HEADERS_BYTES_MAX + request->value.count + 32 +
           (fence_is_wanted(request) ? fence_body_bytes_max(request) : 0);
}

/* What a node answers only when something has happened. */
static bool is_long_poll(const struct minikv_request *request)
{
    static const char watch[] = "/v1/watch?";
    return request->op == MINIKV_CALL && strncmp(request->target, watch, sizeof watch - 1) == 0;
}

struct call *call_new(const struct minikv_request *request)
{
    struct call *call = malloc(sizeof *call + texts_bytes_max(request));
    if (call == NULL)
        return NULL;
    struct pen pen = {(char *)(call + 1)};
    *call = (struct call){.op = request->op,
                          .is_stale = request->is_stale,
                          .is_slow = is_long_poll(request),
                          .token = fence_is_wanted(request) ? request->fence.token : 0};
    list_init(&call->link);
    const char *method = pen.at;
    write_text(&pen, method_of(request));
    call->method = end_text(&pen, method);
    call->target = write_target(&pen, request);
    call->headers = write_headers(&pen, request);
    call->body = write_body(&pen, request);
    call->is_head_only = strcmp(method, "HEAD") == 0;
    call->is_write = strcmp(method, "GET") != 0 && !call->is_head_only;
    call->has_body =
        call->body.count != 0 || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
    call->is_once = call->is_write && (request->op != MINIKV_CALL || request->is_once);
    call->is_repeatable = !call->is_write || (request->op == MINIKV_CALL && request->is_repeatable);
    if (call->is_write && request->identity.client[0] != '\0')
        call->result.identity = request->identity;
    return call;
}

void call_free(struct call *call)
{
    if (call == NULL)
        return;
    minikv_result_release(&call->result);
    free(call);
}

bool call_has_identity(const struct call *call)
{
    return call->result.identity.sequence != 0;
}

bool call_is_repeatable(const struct call *call)
{
    return call->is_repeatable || call_has_identity(call);
}

/* ---- sending ---- */

static void put_number_line(struct blob *out, const char *name, uint64_t value)
{
    blob_put_text(out, name);
    blob_put_u64(out, value);
    blob_put_text(out, "\r\n");
}

bool call_encode(const struct call *call, const struct address *to, uint64_t acked,
                 uint64_t timeout_ms, struct blob *out)
{
    char host[LIMIT_ADDRESS_BYTES];
    size_t begun = out->count;
    blob_put_text(out, call->method);
    blob_put_text(out, " ");
    blob_put_text(out, call->target);
    blob_put_text(out, " HTTP/1.1\r\nHost: ");
    blob_put_text(out, address_format(to, host));
    blob_put_text(out, "\r\nUser-Agent: libminikv/" MINIKV_VERSION "\r\n");
    blob_put_text(out, call->headers);
    put_number_line(out, "X-MiniKV-Timeout-Ms: ", timeout_ms);
    if (call->wants_redirect)
        blob_put_text(out, "X-MiniKV-Route: redirect\r\n");
    if (call_has_identity(call)) {
        blob_put_text(out, "X-MiniKV-Client-Id: ");
        blob_put_text(out, call->result.identity.client);
        put_number_line(out, "\r\nX-MiniKV-Sequence: ", call->result.identity.sequence);
        if (acked != 0)
            put_number_line(out, "X-MiniKV-Acked: ", acked);
    }
    if (call->has_body)
        put_number_line(out, "Content-Length: ", call->body.count);
    blob_put_text(out, "\r\n");
    blob_put(out, call->body.data, call->body.count);
    bool is_whole = !out->is_failed;
    if (!is_whole)
        blob_cut(out, begun);
    return is_whole;
}
