#include "http/parse.h"

#include "base/check.h"
#include "base/limits.h"

/* Which of two mistakes is met first depends on the pieces in which bytes come: the answer does
 * not. */
static const char bad_chunks[] =
    "the chunks are malformed, or their extensions and trailers too long";

/* ---- llhttp's callbacks ---- */

/* Adds a piece; pieces of one span are neighbours, but for obs-fold, which makes a hole. */
static void span_extend(struct parse *parse, struct parse_span *span, const char *at, size_t count)
{
    if (span->count == 0)
        span->offset = (size_t)((const uint8_t *)at - parse->base);
    span->count += count;
}

static struct bytes span_bytes(const struct parse *parse, struct parse_span span)
{
    return span.count == 0 ? bytes_of(NULL, 0) : bytes_of(parse->base + span.offset, span.count);
}

static int on_method(llhttp_t *llhttp, const char *at, size_t count)
{
    struct parse *parse = llhttp->data;
    span_extend(parse, &parse->method, at, count);
    return HPE_OK;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t count)
{
    struct parse *parse = llhttp->data;
    span_extend(parse, &parse->target, at, count);
    if (parse->target.count <= LIMIT_TARGET_BYTES)
        return HPE_OK;
    problem_set(&parse->problem, ST_TARGET_TOO_LONG, "%s", "");
    return HPE_USER;
}

static int on_version(llhttp_t *llhttp, const char *at, size_t count)
{
    struct parse *parse = llhttp->data;
    span_extend(parse, &parse->version, at, count);
    return HPE_OK;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t count)
{
    struct parse *parse = llhttp->data;
    if (parse->phase == PARSE_PHASE_HEAD)
        span_extend(parse, &parse->name, at, count);
    return HPE_OK; /* trailers are read and thrown away */
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t count)
{
    struct parse *parse = llhttp->data;
    if (parse->phase == PARSE_PHASE_HEAD)
        span_extend(parse, &parse->value, at, count);
    return HPE_OK;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct parse *parse = llhttp->data;
    struct errtext error = {{0}};
    if (parse->phase != PARSE_PHASE_HEAD)
        return HPE_OK;
    enum status status = headers_take(&parse->headers, span_bytes(parse, parse->name),
                                      span_bytes(parse, parse->value), &error);
    parse->name.count = 0;
    parse->value.count = 0;
    if (status == ST_OK)
        return HPE_OK;
    problem_set(&parse->problem, status, "%s", error.text);
    return HPE_USER;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *llhttp)
{
    return HPE_PAUSED;
}

/* Lines of a chunked body: llhttp lets some bare LF, and trailers that are folded or have no name,
 * through; other servers do not. */
static bool framing_is_clean(struct parse *parse, const uint8_t *end)
{
    for (const uint8_t *at = parse->gap; at < end; at++) {
        bool is_lf = *at == '\n';
        bool is_no_name = *at == ' ' || *at == '\t' || *at == ':';
        if (is_lf != parse->is_after_cr || (parse->is_after_lf && is_no_name))
            return false;
        parse->is_after_cr = *at == '\r';
        parse->is_after_lf = is_lf;
    }
    parse->framing_count += (size_t)(end - parse->gap);
    return parse->framing_count <= LIMIT_HEADERS_BYTES + 8 * parse->body_count;
}

static bool check_framing(struct parse *parse, const uint8_t *end)
{
    if (parse->headers.is_chunked && !framing_is_clean(parse, end)) {
        problem_set(&parse->problem, ST_BAD_LENGTH, "%s", bad_chunks);
        return false;
    }
    parse->gap = end;
    return true;
}

static void store_body(struct parse *parse, struct bytes piece)
{
    if (parse->slice.count == 0 && parse->body.count == 0) {
        parse->slice = piece;
        return;
    }
    buf_put(&parse->body, parse->slice);
    parse->slice.count = 0;
    buf_put(&parse->body, piece);
    INVARIANT(!parse->body.is_full);
}

static int on_body(llhttp_t *llhttp, const char *at, size_t count)
{
    struct parse *parse = llhttp->data;
    const uint8_t *start = (const uint8_t *)at;
    parse->body_count += count;
    if (!check_framing(parse, start))
        return HPE_USER;
    parse->gap = start + count;
    parse->is_after_lf = false;
    if (parse->body_count > LIMIT_BODY_BYTES) {
        problem_set(&parse->problem, ST_BODY_TOO_LONG, "%s", "");
        return HPE_USER;
    }
    if (!parse->discards_body)
        store_body(parse, bytes_of(start, count));
    return HPE_OK;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_version = on_version,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- what went wrong ---- */

/* Bytes that are another protocol's get a hint instead of a riddle. */
static void explain_method(struct parse *parse)
{
    if (parse->head_count != 0 && parse->base[0] == 0x16) /* a handshake record */
        problem_set(&parse->problem, ST_BAD_REQUEST,
                    "this looks like TLS; plain HTTP is spoken on this port");
    else
        problem_set(&parse->problem, ST_BAD_REQUEST, "the request does not begin with a method");
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A version that exists somewhere, or no version at all. */
static void explain_version(struct parse *parse)
{
    struct bytes version = span_bytes(parse, parse->version);
    bool is_other = version.count == 3 && is_digit(version.data[0]) && version.data[1] == '.' &&
                    is_digit(version.data[2]) && !bytes_equal_text(version, "1.1") &&
                    !bytes_equal_text(version, "1.0");
    if (is_other)
        problem_set(&parse->problem, ST_UNSUPPORTED_VERSION, "%s", "");
    else
        problem_set(&parse->problem, ST_BAD_REQUEST,
                    "the request line is: method, one blank, target, one blank, HTTP/1.1");
}

static void explain(struct parse *parse, llhttp_errno_t error)
{
    if (parse->phase == PARSE_PHASE_BODY) {
        problem_set(&parse->problem, ST_BAD_LENGTH, "%s", bad_chunks);
        return;
    }
    switch ((int)error) {
    case HPE_INVALID_METHOD:
        explain_method(parse);
        break;
    case HPE_PAUSED_H2_UPGRADE:
        problem_set(&parse->problem, ST_UNSUPPORTED_VERSION,
                    "HTTP/2 is not spoken here; send HTTP/1.1");
        break;
    case HPE_INVALID_VERSION:
        explain_version(parse);
        break;
    case HPE_INVALID_URL:
        problem_set(&parse->problem, ST_BAD_TARGET, "%s", "");
        break;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        problem_set(&parse->problem, ST_BAD_LENGTH, "%s", "");
        break;
    case HPE_INVALID_HEADER_TOKEN:
    case HPE_UNEXPECTED_SPACE:
        problem_set(&parse->problem, ST_BAD_HEADER,
                    "a header line is malformed: name, colon, value of printable bytes, CR LF");
        break;
    default:
        problem_set(&parse->problem, ST_BAD_REQUEST, "%s", "");
    }
}

static enum parse_event refuse(struct parse *parse, llhttp_errno_t error)
{
    explain(parse, error);
    ENSURE(parse->problem.status != ST_OK);
    parse->phase = PARSE_PHASE_DEAD;
    return PARSE_REFUSED;
}

/* ---- the head ---- */

/* Every line ends with CR LF, and none begins with a blank (obs-fold, RFC 9112 §5.2). */
static bool lines_are_clean(struct bytes head)
{
    const uint8_t *at = head.data;
    const uint8_t *end = head.data + head.count;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (at == head.data || at[-1] != '\r')
            return false;
        at++;
        if (at < end && (*at == ' ' || *at == '\t'))
            return false;
    }
    return true;
}

/* "METHOD target HTTP/1.x" CR: one blank each, nothing else. */
static bool request_line_is_clean(const struct parse *parse)
{
    size_t target_end = parse->target.offset + parse->target.count;
    size_t version_end = parse->version.offset + parse->version.count;
    return parse->target.offset == parse->method.count + 1 &&
           parse->version.offset == target_end + sizeof " HTTP/" - 1 &&
           parse->base[parse->method.count] == ' ' && parse->base[target_end] == ' ' &&
           parse->base[version_end] == '\r';
}

static void check_versions(struct parse *parse)
{
    const struct headers *headers = &parse->headers;
    bool is_1_1 = parse->llhttp.http_major == 1 && parse->llhttp.http_minor == 1;
    bool is_1_0 = parse->llhttp.http_major == 1 && parse->llhttp.http_minor == 0;
    if (!is_1_1 && !is_1_0)
        problem_set(&parse->problem, ST_UNSUPPORTED_VERSION, "%s", "");
    if (is_1_1 && !headers->has_host)
        problem_set(&parse->problem, ST_BAD_HOST, "there is no Host header");
    if (is_1_0 && headers->has_transfer_encoding)
        problem_set(&parse->problem, ST_BAD_LENGTH, "HTTP/1.0 has no Transfer-Encoding");
    if (headers->has_transfer_encoding && headers->has_content_length)
        problem_set(&parse->problem, ST_BAD_LENGTH,
                    "there are both Content-Length and Transfer-Encoding; send one");
}

/* What must hold before the end of this message can be known. */
static void check_head(struct parse *parse)
{
    if (!lines_are_clean(bytes_of(parse->base, parse->head_count)))
        problem_set(&parse->problem, ST_BAD_HEADER,
                    "lines end with CR LF, and header values are not folded");
    if (parse->version.count == 0)
        problem_set(&parse->problem, ST_UNSUPPORTED_VERSION, "the request line has no version");
    else if (!request_line_is_clean(parse))
        problem_set(&parse->problem, ST_BAD_REQUEST,
                    "the request line is: method, one blank, target, one blank, HTTP/1.1");
    check_versions(parse);
    if (parse->llhttp.method == HTTP_CONNECT)
        problem_set(&parse->problem, ST_METHOD_NOT_ALLOWED, "this server is no proxy");
    if (parse->llhttp.content_length > LIMIT_BODY_BYTES)
        problem_set(&parse->problem, ST_BODY_TOO_LONG, "%s", "");
}

static void begin_head(struct parse *parse)
{
    /* Afresh each time: what a trailer said must not reach the next message. */
    llhttp_init(&parse->llhttp, HTTP_REQUEST, &settings);
    parse->llhttp.data = parse;
    parse->phase = PARSE_PHASE_HEAD;
    headers_reset(&parse->headers);
    parse->method.count = parse->target.count = parse->version.count = 0;
    parse->name.count = parse->value.count = 0;
    parse->head_count = 0;
    buf_reset(&parse->head);
    buf_reset(&parse->body);
    parse->slice = bytes_of(NULL, 0);
    parse->discards_body = false;
    parse->is_after_cr = parse->is_after_lf = false;
    parse->body_count = 0;
    parse->framing_count = 0;
}

/* Runs llhttp over bytes that follow the head so far; returns how many it took. */
static size_t execute(struct parse *parse, struct bytes bytes, llhttp_errno_t *out_error)
{
    *out_error = llhttp_execute(&parse->llhttp, (const char *)bytes.data, bytes.count);
    if (*out_error == HPE_OK)
        return bytes.count;
    size_t count = (size_t)((const uint8_t *)llhttp_get_error_pos(&parse->llhttp) - bytes.data);
    INVARIANT(count <= bytes.count);
    if (*out_error == HPE_PAUSED)
        llhttp_resume(&parse->llhttp);
    return count;
}

/* The head is parsed where it lies: in the bytes given in, or, once it has come in pieces, in
 * parse->head, so that spans are always offsets into contiguous memory. */
static enum parse_event step_head(struct parse *parse, struct bytes *bytes)
{
    bool is_in_pieces = parse->head.count != 0;
    struct bytes fed = *bytes;
    if (is_in_pieces) {
        size_t room = LIMIT_HEADERS_BYTES + 1 - parse->head.count;
        size_t start = parse->head.count;
        buf_put(&parse->head, bytes_of(bytes->data, MIN(bytes->count, room)));
        fed = bytes_of(parse->head.data + start, parse->head.count - start);
        parse->base = parse->head.data;
    } else {
        parse->base = bytes->data;
    }

    llhttp_errno_t error;
    size_t taken = execute(parse, fed, &error);
    parse->head_count += error == HPE_OK || error == HPE_PAUSED ? taken : fed.count;
    *bytes = bytes_of(bytes->data + taken, bytes->count - taken);
    if (error != HPE_OK && error != HPE_PAUSED)
        return refuse(parse, error);
    if (parse->head_count > LIMIT_HEADERS_BYTES) {
        problem_set(&parse->problem, ST_HEADERS_TOO_LONG, "%s", "");
        return refuse(parse, error);
    }
    if (error == HPE_OK) {
        if (!is_in_pieces)
            buf_put(&parse->head, fed);
        return PARSE_MORE;
    }
    check_head(parse);
    if (parse->problem.status != ST_OK)
        return refuse(parse, error);
    parse->keeps_alive = llhttp_should_keep_alive(&parse->llhttp) != 0;
    parse->phase = PARSE_PHASE_BODY;
    return PARSE_HEAD;
}

/* ---- the body ---- */

/* Fields that only a head may have (RFC 9110 §6.5.1): llhttp refuses a coding among trailers. */
static bool trailers_are_clean(struct parse *parse)
{
    if (!parse->headers.is_chunked || (parse->llhttp.flags & F_CONTENT_LENGTH) == 0)
        return true;
    problem_set(&parse->problem, ST_BAD_LENGTH, "there is a Content-Length behind the body");
    return false;
}

static enum parse_event step_body(struct parse *parse, struct bytes *bytes)
{
    llhttp_errno_t error;
    parse->gap = bytes->data;
    size_t taken = execute(parse, *bytes, &error);
    const uint8_t *end = bytes->data + taken;
    *bytes = bytes_of(end, bytes->count - taken);
    if ((error != HPE_OK && error != HPE_PAUSED) || !check_framing(parse, end))
        return refuse(parse, error);
    if (error == HPE_PAUSED) {
        if (!trailers_are_clean(parse))
            return refuse(parse, error);
        parse->phase = PARSE_PHASE_BETWEEN;
        return PARSE_MESSAGE;
    }
    buf_put(&parse->body, parse->slice); /* what it borrowed from is gone after this call */
    parse->slice.count = 0;
    return PARSE_MORE;
}

/* Empty lines before a request are forgiven (RFC 9112 §2.2), in whole CR LF only. */
static bool skip_empty_lines(struct parse *parse, struct bytes *bytes)
{
    while (bytes->count != 0 && (bytes->data[0] == '\r' || parse->is_after_cr)) {
        if (parse->is_after_cr && bytes->data[0] != '\n')
            return false;
        parse->is_after_cr = !parse->is_after_cr;
        *bytes = bytes_of(bytes->data + 1, bytes->count - 1);
    }
    return true;
}

enum parse_event parse_step(struct parse *parse, struct bytes *bytes)
{
    REQUIRE(parse->phase != PARSE_PHASE_DEAD);

    if (parse->phase == PARSE_PHASE_BODY)
        return step_body(parse, bytes);
    if (parse->phase == PARSE_PHASE_BETWEEN) {
        if (!skip_empty_lines(parse, bytes)) {
            begin_head(parse); /* the refusal is of no request that came before */
            problem_set(&parse->problem, ST_BAD_REQUEST, "a bare CR before the request");
            return refuse(parse, HPE_OK);
        }
        if (bytes->count == 0)
            return PARSE_MORE;
        begin_head(parse);
    }
    return bytes->count == 0 ? PARSE_MORE : step_head(parse, bytes);
}

/* ---- the rest ---- */

void parse_init(struct parse *parse)
{
    *parse = (struct parse){.phase = PARSE_PHASE_BETWEEN};
    buf_init(&parse->head, LIMIT_HEADERS_BYTES + LIMIT_READ_BYTES);
    buf_init(&parse->body, LIMIT_BODY_BYTES);
}

void parse_release(struct parse *parse)
{
    buf_release(&parse->head);
    buf_release(&parse->body);
}

struct bytes parse_target(const struct parse *parse)
{
    return span_bytes(parse, parse->target);
}

struct bytes parse_body(const struct parse *parse)
{
    return parse->body.count != 0 ? buf_bytes(&parse->body) : parse->slice;
}

void parse_discard_body(struct parse *parse)
{
    parse->discards_body = true;
    parse->slice.count = 0;
    buf_release(&parse->body);
}

void parse_trim(struct parse *parse)
{
    if (parse->head.capacity > LIMIT_SPARE_BYTES)
        buf_release(&parse->head);
    if (parse->body.capacity > LIMIT_SPARE_BYTES)
        buf_release(&parse->body);
}

size_t parse_held_bytes(const struct parse *parse)
{
    return parse->head.capacity + parse->body.capacity;
}

bool parse_has_body(const struct parse *parse)
{
    return parse->headers.is_chunked || parse->llhttp.content_length != 0;
}

bool parse_is_head_only(const struct parse *parse)
{
    bool is_of_this_request = parse->phase != PARSE_PHASE_BETWEEN && parse->method.count != 0;
    return is_of_this_request && parse->llhttp.method == HTTP_HEAD;
}
