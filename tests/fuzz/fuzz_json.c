/* Any bytes as JSON, and as what JSON is made of: libminikv's reader takes what jansson takes, with
 * the same strings; and whatever bytes a key has, what the front door writes of them both read back
 * as those bytes. */
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "client/json_reader.h"
#include "http/json.h"

enum { TEXT_BYTES_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static size_t depth_of(struct bytes text)
{
    size_t depth = 0, depth_max = 0;
    bool is_string = false;
    for (size_t i = 0; i < text.count; i++) {
        uint8_t c = text.data[i];
        if (is_string && c == '\\')
            i++;
        else if (c == '"')
            is_string = !is_string;
        else if (!is_string && (c == '{' || c == '['))
            depth_max = MAX(depth_max, ++depth);
        else if (!is_string && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return depth_max;
}

/* One string, which both must read alike. */
static void compare_string(struct bytes text, const json_t *value)
{
    static uint8_t out[TEXT_BYTES_MAX];
    size_t count;
    struct reader reader;
    reader_init(&reader, text);
    reader_string(&reader, out, &count);
    bool is_read = reader_end(&reader);
    INVARIANT(is_read);
    INVARIANT(count == json_string_length(value));
    INVARIANT(count == 0 || memcmp(out, json_string_value(value), count) == 0);
}

/* A zero byte ends a number for jansson, whatever follows; not an object or a list, which is what
 * bodies are. */
static void compare_readers(struct bytes text)
{
    if (memchr(text.data, 0, text.count) != NULL)
        return;
    struct reader reader;
    json_t *value = json_loadb((const char *)text.data, text.count,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    reader_init(&reader, text);
    reader_skip(&reader);
    bool is_read = reader_end(&reader);
    INVARIANT(IMPLIES(value != NULL && depth_of(text) < READER_DEPTH, is_read));
    if (json_is_string(value))
        compare_string(text, value);
    json_decref(value);
}

/* As "name" or "name_base64", whichever it was written as. */
static void read_back(struct bytes text, struct bytes bytes)
{
    static uint8_t out[TEXT_BYTES_MAX];
    struct reader reader;
    struct bytes name;
    size_t count = SIZE_MAX;
    reader_init(&reader, text);
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (bytes_equal_text(name, "k"))
            reader_string(&reader, out, &count);
        else
            reader_base64(&reader, out, &count);
    }
    bool is_read = reader_end(&reader);
    INVARIANT(is_read);
    INVARIANT(bytes_equal(bytes_of(out, count), bytes));
}

static void write_and_read(struct bytes bytes)
{
    struct buf text;
    buf_init(&text, LIMIT_REPLY_BYTES);
    buf_put_text(&text, "{");
    json_put_bytes(&text, "k", bytes);
    buf_put_text(&text, "}");
    json_t *value = json_loadb((const char *)text.data, text.count, JSON_ALLOW_NUL, NULL);
    INVARIANT(value != NULL);
    const json_t *key = json_object_get(value, "k");
    INVARIANT((key != NULL) == utf8_is_valid(bytes));
    INVARIANT(IMPLIES(key != NULL, json_string_length(key) == bytes.count));
    read_back(buf_bytes(&text), bytes);
    json_decref(value);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    if (count == 0 || count > TEXT_BYTES_MAX / 8)
        return 0;
    compare_readers(bytes_of(data, count));
    write_and_read(bytes_of(data, count));
    return 0;
}
