#include "http/target.h"

#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/octets.h"
#include "http/headers.h"

static const char *const query_names[QUERY_COUNT] = {
#define QUERY_NAME(NAME, name) [QUERY_##NAME] = name,
    QUERY_TABLE(QUERY_NAME)
#undef QUERY_NAME
};

/* ---- splitting ---- */

/* Printable ASCII but '#': what can be repeated in a Location without a second thought. */
static bool is_clean_word(uint64_t word)
{
    return !octets_have_below(word, 0x21) && !octets_have_high(word) && !octets_have(word, 0x7f) &&
           !octets_have(word, '#');
}

static bool is_clean(struct bytes raw)
{
    size_t at = 0;
    for (; raw.count - at >= sizeof(uint64_t); at += sizeof(uint64_t))
        if (!is_clean_word(octets_load(raw.data + at)))
            return false;
    for (; at < raw.count; at++)
        if (raw.data[at] <= 0x20 || raw.data[at] >= 0x7f || raw.data[at] == '#')
            return false;
    return true;
}

static struct bytes bytes_from(struct bytes bytes, size_t at)
{
    return bytes_of(bytes.data + at, bytes.count - at);
}

/* Takes "http://authority" off the front; the rest is the reference. */
static bool split_absolute(struct bytes raw, struct target *target)
{
    static const char scheme[] = "http://";
    size_t start = sizeof scheme - 1;
    if (raw.count < start || !token_equal(bytes_of(raw.data, start), scheme))
        return false;
    size_t end = start;
    while (end < raw.count && raw.data[end] != '/' && raw.data[end] != '?')
        end++;
    target->authority = bytes_of(raw.data + start, end - start);
    target->reference = bytes_from(raw, end);
    if (target->reference.count == 0)
        target->reference = BYTES_LITERAL("/");
    return target->authority.count != 0 && target->reference.data[0] == '/';
}

enum status target_split(struct bytes raw, struct target *out_target, struct errtext *error)
{
    struct target target = {.reference = raw};
    if (!is_clean(raw)) {
        errtext_set(error, "the target holds a raw blank, '#', control or 8-bit byte; write it "
                           "percent-encoded");
        return ST_BAD_TARGET;
    }
    if (raw.count == 0 || (raw.data[0] != '/' && !split_absolute(raw, &target))) {
        errtext_set(error, "the target must be a path that begins with /");
        return ST_BAD_TARGET;
    }

    struct bytes reference = target.reference;
    const uint8_t *mark = memchr(reference.data, '?', reference.count);
    size_t path_count = mark == NULL ? reference.count : (size_t)(mark - reference.data);
    target.path = bytes_of(reference.data, path_count);
    if (mark != NULL)
        target.query = bytes_from(reference, path_count + 1);
    *out_target = target;
    return ST_OK;
}

/* ---- percent-encoding ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum status percent_decode(struct bytes in, bool plus_is_blank, struct buf *out)
{
    if (!buf_reserve(out, in.count))
        return ST_BAD_ENCODING;
    size_t count = out->count;
    for (size_t i = 0; i < in.count; i++) {
        uint8_t c = in.data[i];
        if (c == '%') {
            if (in.count - i < 3)
                return ST_BAD_ENCODING;
            int high = hex_digit(in.data[i + 1]);
            int low = hex_digit(in.data[i + 2]);
            if (high < 0 || low < 0)
                return ST_BAD_ENCODING;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        out->data[count++] = c;
    }
    out->count = count;
    return ST_OK;
}

/* ---- query ---- */

const char *query_name(enum query_parameter parameter)
{
    return query_names[parameter];
}

bool query_has(const struct query *query, enum query_parameter parameter)
{
    return (query->present & 1u << parameter) != 0;
}

static bool find_parameter(struct bytes name, enum query_parameter *out_parameter)
{
    for (int i = 0; i < QUERY_COUNT; i++) {
        if (bytes_equal_text(name, query_names[i])) {
            *out_parameter = (enum query_parameter)i;
            return true;
        }
    }
    return false;
}

static void name_allowed(unsigned allowed, struct errtext *error)
{
    const char *separator = allowed == 0 ? "no parameter is taken here" : "taken here: ";
    for (int i = 0; i < QUERY_COUNT || allowed == 0; i++) {
        bool is_allowed = (allowed & 1u << i) != 0;
        size_t at = strlen(error->text);
        if (is_allowed || allowed == 0)
            (void)snprintf(error->text + at, sizeof error->text - at, "%s%s", separator,
                           is_allowed ? query_names[i] : "");
        if (allowed == 0)
            return;
        separator = is_allowed ? ", " : separator;
    }
}

static enum status query_take(struct bytes item, unsigned allowed, struct query *query,
                              struct errtext *error)
{
    const uint8_t *equals = memchr(item.data, '=', item.count);
    size_t name_count = equals == NULL ? item.count : (size_t)(equals - item.data);
    struct bytes name = bytes_of(item.data, name_count);
    int shown = (int)MIN(name.count, 64u);
    enum query_parameter parameter;
    if (!find_parameter(name, &parameter) || (allowed & 1u << parameter) == 0) {
        errtext_set(error, "unknown query parameter \"%.*s\"; ", shown, (const char *)name.data);
        name_allowed(allowed, error);
        return ST_BAD_QUERY;
    }
    if (query_has(query, parameter)) {
        errtext_set(error, "query parameter \"%.*s\" is given twice", shown,
                    (const char *)name.data);
        return ST_BAD_QUERY;
    }
    query->present |= 1u << parameter;
    query->values[parameter] =
        equals == NULL ? bytes_of(NULL, 0) : bytes_from(item, name_count + 1);
    return ST_OK;
}

enum status query_parse(struct bytes text, unsigned allowed, struct query *out_query,
                        struct errtext *error)
{
    out_query->present = 0;
    while (text.count != 0) {
        const uint8_t *end = memchr(text.data, '&', text.count);
        size_t count = end == NULL ? text.count : (size_t)(end - text.data);
        if (count != 0) {
            enum status status = query_take(bytes_of(text.data, count), allowed, out_query, error);
            if (status != ST_OK)
                return status;
        }
        text = bytes_from(text, end == NULL ? count : count + 1);
    }
    return ST_OK;
}

enum status query_flag(const struct query *query, enum query_parameter parameter, bool *out_flag,
                       struct errtext *error)
{
    struct bytes value = query->values[parameter];
    if (!query_has(query, parameter))
        return ST_OK;
    if (value.count == 0 || bytes_equal_text(value, "true") || bytes_equal_text(value, "1")) {
        *out_flag = true;
        return ST_OK;
    }
    if (bytes_equal_text(value, "false") || bytes_equal_text(value, "0")) {
        *out_flag = false;
        return ST_OK;
    }
    errtext_set(error, "%s is true or false", query_names[parameter]);
    return ST_BAD_QUERY;
}

enum status query_number(const struct query *query, enum query_parameter parameter, uint64_t max,
                         uint64_t *out_number, struct errtext *error)
{
    uint64_t number;
    if (!query_has(query, parameter))
        return ST_OK;
    if (!number_parse(query->values[parameter], &number) || number > max) {
        errtext_set(error, "%s is a number from 1 to %llu", query_names[parameter],
                    (unsigned long long)max);
        return ST_BAD_QUERY;
    }
    *out_number = number;
    return ST_OK;
}
