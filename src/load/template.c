#include "load/template.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"

struct rendering {
    struct buf bytes;
    struct template_place places[TEMPLATE_PLACES_MAX];
    size_t places_count;
    bool has_too_many;
    uint32_t value_bytes;
};

static const struct {
    char letter;
    enum place_kind kind;
    size_t bytes;
} places[] = {
    {'k', PLACE_KEY, TEMPLATE_KEY_BYTES},        {'K', PLACE_KEY_BASE64, TEMPLATE_KEY_BASE64_BYTES},
    {'c', PLACE_CLIENT, TEMPLATE_CLIENT_BYTES},  {'s', PLACE_SEQUENCE, TEMPLATE_SEQUENCE_BYTES},
    {'a', PLACE_ACKED, TEMPLATE_SEQUENCE_BYTES},
};

static void add_place(struct rendering *rendering, size_t offset, enum place_kind kind)
{
    if (rendering->places_count == TEMPLATE_PLACES_MAX)
        rendering->has_too_many = true;
    else
        rendering->places[rendering->places_count++] = (struct template_place){offset, kind};
}

static void put_value(struct rendering *rendering, bool is_base64)
{
    struct buf value;
    buf_init(&value, (size_t)rendering->value_bytes + 1);
    for (uint32_t i = 0; i < rendering->value_bytes; i++)
        buf_put_u8(&value, (uint8_t)('a' + i * 7 % 26));
    if (is_base64)
        base64_put(&rendering->bytes, buf_bytes(&value));
    else
        buf_put(&rendering->bytes, buf_bytes(&value));
    buf_release(&value);
}

/* What `letter` behind a per cent sign stands for; false: for nothing. */
static bool put_place(struct rendering *rendering, char letter)
{
    if (letter == '%')
        buf_put_u8(&rendering->bytes, '%');
    else if (letter == 'v' || letter == 'V')
        put_value(rendering, letter == 'V');
    for (size_t i = 0; i < ARRAY_COUNT(places); i++)
        if (places[i].letter == letter) {
            add_place(rendering, rendering->bytes.count, places[i].kind);
            buf_put_zeros(&rendering->bytes, places[i].bytes);
            return true;
        }
    return letter == '%' || letter == 'v' || letter == 'V';
}

static void expand(struct rendering *rendering, const char *text)
{
    for (; *text != '\0'; text++)
        if (text[0] == '%' && put_place(rendering, text[1]))
            text++;
        else
            buf_put_u8(&rendering->bytes, (uint8_t)*text);
}

static void put_head(struct rendering *all, const struct template_text *text, size_t body_bytes)
{
    buf_printf(&all->bytes, "%s ", text->method);
    expand(all, text->path);
    buf_printf(&all->bytes, " HTTP/1.1\r\nHost: %s\r\n", text->host);
    for (size_t i = 0; i < text->headers_count; i++) {
        expand(all, text->headers[i]);
        buf_put_text(&all->bytes, "\r\n");
    }
    if (text->body != NULL)
        buf_printf(&all->bytes, "Content-Length: %zu\r\n", body_bytes);
    buf_put_text(&all->bytes, "\r\n");
}

enum status template_render(struct template *out_template, const struct template_text *text)
{
    struct rendering body = {.value_bytes = text->value_bytes}, all = body;
    buf_init(&body.bytes, TEMPLATE_BYTES_MAX);
    buf_init(&all.bytes, TEMPLATE_BYTES_MAX);
    if (text->body != NULL)
        expand(&body, text->body);
    if (text->method != NULL)
        put_head(&all, text, body.bytes.count);
    for (size_t i = 0; i < body.places_count; i++)
        add_place(&all, all.bytes.count + body.places[i].offset, body.places[i].kind);
    buf_put(&all.bytes, buf_bytes(&body.bytes));
    bool is_too_large =
        all.bytes.is_full || body.bytes.is_full || all.has_too_many || body.has_too_many;
    buf_release(&body.bytes);
    if (is_too_large) {
        buf_release(&all.bytes);
        return ST_LIMIT;
    }
    *out_template = (struct template){
        .bytes = all.bytes.data, .count = all.bytes.count, .places_count = all.places_count};
    memcpy(out_template->places, all.places, sizeof all.places);
    return ST_OK;
}

void template_release(struct template *template)
{
    mem_free(template->bytes);
    *template = (struct template){0};
}

/* Not snprintf: what the generator spends, the servers beside it lack. */
static void write_digits(uint8_t *out, size_t count, uint64_t number)
{
    for (size_t i = count; i > 0; i--) {
        out[i - 1] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

static void write_key(uint8_t out[TEMPLATE_KEY_BYTES], uint32_t number)
{
    memcpy(out, "key-", 4);
    write_digits(out + 4, TEMPLATE_KEY_BYTES - 4, number);
}

static void write_key_base64(uint8_t out[TEMPLATE_KEY_BASE64_BYTES], uint32_t number)
{
    uint8_t key[TEMPLATE_KEY_BYTES];
    struct buf text;
    write_key(key, number);
    buf_init(&text, TEMPLATE_KEY_BASE64_BYTES);
    base64_put(&text, bytes_of(key, sizeof key));
    ENSURE(text.count == TEMPLATE_KEY_BASE64_BYTES);
    memcpy(out, text.data, TEMPLATE_KEY_BASE64_BYTES);
    buf_release(&text);
}

void template_fill(const struct template *template, uint8_t *bytes,
                   const struct template_facts *facts)
{
    for (size_t i = 0; i < template->places_count; i++) {
        uint8_t *at = bytes + template->places[i].offset;
        switch (template->places[i].kind) {
        case PLACE_KEY:
            write_key(at, facts->key);
            break;
        case PLACE_KEY_BASE64:
            write_key_base64(at, facts->key);
            break;
        case PLACE_CLIENT:
            write_digits(at, TEMPLATE_CLIENT_BYTES, facts->client);
            break;
        case PLACE_SEQUENCE:
            write_digits(at, TEMPLATE_SEQUENCE_BYTES, facts->sequence);
            break;
        case PLACE_ACKED:
            write_digits(at, TEMPLATE_SEQUENCE_BYTES, facts->acked);
            break;
        }
    }
}
