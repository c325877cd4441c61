#include "client/json_reader.h"

void reader_init(struct reader *reader, struct bytes text)
{
    *reader = (struct reader){.at = text.data, .end = text.data};
    if (text.count != 0)
        reader->end += text.count;
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' ||
                                        *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

/* The next byte that is no white space; 0 at the end. */
static uint8_t peek(struct reader *reader)
{
    skip_space(reader);
    return reader->is_bad || reader->at == reader->end ? 0 : *reader->at;
}

static bool take(struct reader *reader, uint8_t byte)
{
    if (peek(reader) != byte) {
        reader->is_bad = true;
        return false;
    }
    reader->at++;
    return true;
}

/* ---- objects and arrays ---- */

void reader_object(struct reader *reader)
{
    reader->is_first = take(reader, '{');
}

void reader_array(struct reader *reader)
{
    reader->is_first = take(reader, '[');
}

/* True when another item follows; takes the comma, or the closing bracket. */
static bool next_item(struct reader *reader, uint8_t closing)
{
    bool is_first = reader->is_first;
    reader->is_first = false;
    if (peek(reader) == closing) {
        reader->at++;
        return false;
    }
    if (!is_first && !take(reader, ','))
        return false;
    uint8_t next = peek(reader);
    if (next == 0 || next == closing) /* cut off, or a comma too many */
        reader->is_bad = true;
    return !reader->is_bad;
}

bool reader_member(struct reader *reader, struct bytes *out_name)
{
    if (!next_item(reader, '}') || !take(reader, '"'))
        return false;
    const uint8_t *name = reader->at;
    while (reader->at < reader->end && *reader->at != '"')
        reader->at += *reader->at == '\\' && reader->at + 1 < reader->end ? 2 : 1;
    *out_name = bytes_of(name, (size_t)(reader->at - name));
    return take(reader, '"') && take(reader, ':');
}

bool reader_element(struct reader *reader)
{
    return next_item(reader, ']');
}

/* ---- strings ---- */

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static uint32_t take_hex4(struct reader *reader)
{
    uint32_t value = 0;
    if (reader->end - reader->at < 4)
        reader->is_bad = true;
    for (int i = 0; i < 4 && !reader->is_bad; i++) {
        int digit = hex_digit(*reader->at++);
        reader->is_bad = digit < 0;
        value = value << 4 | (uint32_t)(digit & 15);
    }
    return value;
}

static size_t put_utf8(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = count - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(0xf00 >> count | code);
    return count;
}

/* Behind \u: one code point, of two halves where it is above U+FFFF. */
static uint32_t take_code_point(struct reader *reader)
{
    uint32_t code = take_hex4(reader);
    if (code < 0xd800 || code > 0xdfff)
        return code;
    bool has_low = reader->end - reader->at >= 2 && reader->at[0] == '\\' && reader->at[1] == 'u';
    if (code > 0xdbff || !has_low) {
        reader->is_bad = true;
        return 0;
    }
    reader->at += 2;
    uint32_t low = take_hex4(reader);
    if (low < 0xdc00 || low > 0xdfff)
        reader->is_bad = true;
    return 0x10000 + ((code - 0xd800) << 10) + (low & 0x3ff);
}

/* Behind the backslash; the bytes it stands for. */
static size_t take_escape(struct reader *reader, uint8_t out[4])
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end) {
        reader->is_bad = true;
        return 0;
    }
    uint8_t name = *reader->at++;
    if (name == 'u')
        return put_utf8(take_code_point(reader), out);
    const char *found = name != 0 ? strchr(names, name) : NULL;
    if (found == NULL) {
        reader->is_bad = true;
        return 0;
    }
    out[0] = (uint8_t)bytes[found - names];
    return 1;
}

void reader_string(struct reader *reader, uint8_t *out, size_t *out_count)
{
    size_t count = 0;
    *out_count = 0;
    (void)take(reader, '"');
    while (!reader->is_bad && reader->at < reader->end && *reader->at != '"') {
        uint8_t decoded[4];
        size_t decoded_count = 1;
        uint8_t byte = decoded[0] = *reader->at++;
        if (byte < ' ')
            reader->is_bad = true;
        if (byte == '\\')
            decoded_count = take_escape(reader, decoded);
        if (out != NULL && !reader->is_bad)
            memcpy(out + count, decoded, decoded_count);
        count += decoded_count;
    }
    if (reader->at == reader->end)
        reader->is_bad = true;
    if (reader->is_bad)
        return;
    reader->at++; /* the closing quote */
    *out_count = count;
}

void reader_text(struct reader *reader, char *out, size_t out_bytes)
{
    struct reader measured = *reader;
    size_t count;
    out[0] = '\0';
    reader_string(&measured, NULL, &count);
    if (measured.is_bad || count >= out_bytes) {
        *reader = measured;
        return;
    }
    reader_string(reader, (uint8_t *)out, &count);
    out[count] = '\0';
}

/* ---- base64 ---- */

static int base64_digit(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* In place: what is decoded is shorter than what it is decoded from. */
static bool decode_base64(uint8_t *text, size_t count, size_t *out_count)
{
    size_t padding = 0, at = 0;
    if (count % 4 != 0)
        return false;
    while (padding < 2 && padding < count && text[count - 1 - padding] == '=')
        padding++;
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = i < count - padding ? base64_digit(text[i]) : 0;
        if (digit < 0)
            return false;
        group = group << 6 | (uint32_t)digit;
        if (i % 4 != 3)
            continue;
        for (int shift = 16; shift >= 0; shift -= 8)
            text[at++] = (uint8_t)(group >> shift);
        group = 0;
    }
    *out_count = at - padding;
    return true;
}

void reader_base64(struct reader *reader, uint8_t *out, size_t *out_count)
{
    size_t count;
    reader_string(reader, out, &count);
    *out_count = 0;
    if (out != NULL && !reader->is_bad && !decode_base64(out, count, out_count))
        reader->is_bad = true;
}

/* ---- numbers and the rest ---- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Plain digits; a fraction or exponent is none of ours. */
static uint64_t take_digits(struct reader *reader)
{
    uint64_t value = 0;
    const uint8_t *first = reader->at;
    while (reader->at < reader->end && is_digit(*reader->at)) {
        uint64_t digit = (uint64_t)(*reader->at++ - '0');
        if (value > (UINT64_MAX - digit) / 10)
            reader->is_bad = true;
        value = value * 10 + digit;
    }
    uint8_t next = reader->at < reader->end ? *reader->at : 0;
    if (reader->at == first || next == '.' || next == 'e' || next == 'E')
        reader->is_bad = true;
    return value;
}

void reader_u64(struct reader *reader, uint64_t *out_value)
{
    (void)peek(reader);
    uint64_t value = take_digits(reader);
    if (!reader->is_bad)
        *out_value = value;
}

void reader_i64(struct reader *reader, int64_t *out_value)
{
    bool is_negative = peek(reader) == '-';
    reader->at += is_negative;
    uint64_t value = take_digits(reader);
    if (value > (uint64_t)INT64_MAX + is_negative)
        reader->is_bad = true;
    if (!reader->is_bad)
        *out_value = is_negative ? (int64_t)(-value) : (int64_t)value;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t count = strlen(word);
    (void)peek(reader);
    if (reader->is_bad || (size_t)(reader->end - reader->at) < count ||
        memcmp(reader->at, word, count) != 0)
        return false;
    reader->at += count;
    return true;
}

bool reader_null(struct reader *reader)
{
    return take_word(reader, "null");
}

bool reader_true(struct reader *reader)
{
    return take_word(reader, "true");
}

static void skip_number(struct reader *reader)
{
    const uint8_t *first = reader->at;
    while (reader->at < reader->end &&
           (is_digit(*reader->at) || *reader->at == '-' || *reader->at == '+' ||
            *reader->at == '.' || *reader->at == 'e' || *reader->at == 'E'))
        reader->at++;
    reader->is_bad = reader->is_bad || reader->at == first;
}

static void skip_scalar(struct reader *reader)
{
    size_t count;
    if (peek(reader) == '"')
        reader_string(reader, NULL, &count);
    else if (!take_word(reader, "null") && !take_word(reader, "true") &&
             !take_word(reader, "false"))
        skip_number(reader);
}

/* Without recursion: the brackets that are open, innermost last. */
void reader_skip(struct reader *reader)
{
    uint8_t closings[READER_DEPTH];
    size_t depth = 0;
    do {
        struct bytes name;
        uint8_t byte = peek(reader);
        if (byte == '{' || byte == '[') {
            if (depth == READER_DEPTH) {
                reader->is_bad = true;
                return;
            }
            closings[depth++] = byte == '{' ? '}' : ']';
            reader->at++;
            reader->is_first = true;
        } else {
            skip_scalar(reader);
        }
        while (depth != 0 && !(closings[depth - 1] == '}' ? reader_member(reader, &name)
                                                          : reader_element(reader))) {
            if (reader->is_bad)
                return;
            depth--;
        }
    } while (depth != 0 && !reader->is_bad);
}

bool reader_end(struct reader *reader)
{
    skip_space(reader);
    return !reader->is_bad && reader->at == reader->end;
}
