#include "load/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t base64_encode(const char *in, size_t count, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = 0;
    for (size_t i = 0; i < count; i += 3) {
        uint32_t group = (uint32_t)(uint8_t)in[i] << 16;
        group |= i + 1 < count ? (uint32_t)(uint8_t)in[i + 1] << 8 : 0;
        group |= i + 2 < count ? (uint32_t)(uint8_t)in[i + 2] : 0;
        out[length++] = digits[group >> 18];
        out[length++] = digits[group >> 12 & 63];
        out[length++] = i + 1 < count ? digits[group >> 6 & 63] : '=';
        out[length++] = i + 2 < count ? digits[group & 63] : '=';
    }
    return length;
}

static void request_add(struct request *request, const char *bytes, size_t count)
{
    if (request->count + count > REQUEST_BYTES_MAX)
        die("the request is too long");
    memcpy(request->bytes + request->count, bytes, count);
    request->count += count;
}

static const struct {
    char letter;
    enum place_kind kind;
    size_t bytes;
} places[] = {
    {'k', PLACE_KEY, KEY_BYTES},        {'K', PLACE_KEY_BASE64, KEY_BASE64_BYTES},
    {'c', PLACE_CLIENT, CLIENT_BYTES},  {'s', PLACE_SEQUENCE, SEQUENCE_BYTES},
    {'a', PLACE_ACKED, SEQUENCE_BYTES},
};

/* Leaves room for what the letter stands for; false: for nothing that differs. */
static bool add_place(struct request *request, char letter)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i].letter != letter)
            continue;
        if (request->places_count == REQUEST_PLACES_MAX)
            die("too many places in the template");
        request->places[request->places_count++] =
            (struct request_place){request->count, places[i].kind};
        request_add(request, "????????????????????????", places[i].bytes);
        return true;
    }
    return false;
}

static void request_expand(struct request *request, const struct options *options, const char *text)
{
    static char value[REQUEST_BYTES_MAX / 2], value_base64[REQUEST_BYTES_MAX];
    for (uint32_t i = 0; i < options->value_bytes; i++)
        value[i] = (char)('a' + i * 7 % 26);
    for (; *text != '\0'; text++) {
        if (text[0] == '%' && add_place(request, text[1])) {
            text++;
        } else if (text[0] == '%' && text[1] == 'v') {
            request_add(request, value, options->value_bytes);
            text++;
        } else if (text[0] == '%' && text[1] == 'V') {
            size_t count = base64_encode(value, options->value_bytes, value_base64);
            request_add(request, value_base64, count);
            text++;
        } else {
            request_add(request, text, 1);
        }
    }
}

void request_render(struct request *request, const struct options *options)
{
    struct request body = {.bytes = malloc(REQUEST_BYTES_MAX)};
    request->bytes = malloc(REQUEST_BYTES_MAX);
    if (request->bytes == NULL || body.bytes == NULL)
        die("out of memory");
    if (options->body != NULL)
        request_expand(&body, options, options->body);

    request_add(request, options->method, strlen(options->method));
    request_add(request, " ", 1);
    request_expand(request, options, options->path);
    char line[512];
    int length = snprintf(line, sizeof line, " HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    request_add(request, line, (size_t)length);
    for (size_t i = 0; i < options->headers_count; i++) {
        request_expand(request, options, options->headers[i]);
        request_add(request, "\r\n", 2);
    }
    if (options->body != NULL) {
        length = snprintf(line, sizeof line, "Content-Length: %zu\r\n", body.count);
        request_add(request, line, (size_t)length);
    }
    request_add(request, "\r\n", 2);
    for (size_t i = 0; i < body.places_count; i++) {
        if (request->places_count == REQUEST_PLACES_MAX)
            die("too many places in the template");
        request->places[request->places_count++] =
            (struct request_place){request->count + body.places[i].offset, body.places[i].kind};
    }
    request_add(request, body.bytes, body.count);
    free(body.bytes);
}

/* Not snprintf: what the generator spends, the servers beside it lack. */
static void write_digits(char *out, size_t count, uint64_t number)
{
    for (size_t i = count; i > 0; i--) {
        out[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
}

static void write_key(char out[KEY_BYTES], uint32_t number)
{
    memcpy(out, "key-", 4);
    write_digits(out + 4, KEY_BYTES - 4, number);
}

void request_write(const struct request *request, char *bytes, const struct request_facts *facts)
{
    for (size_t i = 0; i < request->places_count; i++) {
        char key[KEY_BYTES], base64[KEY_BASE64_BYTES];
        char *at = bytes + request->places[i].offset;
        switch (request->places[i].kind) {
        case PLACE_KEY:
            write_key(at, facts->key);
            break;
        case PLACE_KEY_BASE64:
            write_key(key, facts->key);
            (void)base64_encode(key, KEY_BYTES, base64);
            memcpy(at, base64, KEY_BASE64_BYTES);
            break;
        case PLACE_CLIENT:
            write_digits(at, CLIENT_BYTES, facts->client);
            break;
        case PLACE_SEQUENCE:
            write_digits(at, SEQUENCE_BYTES, facts->sequence);
            break;
        case PLACE_ACKED:
            write_digits(at, SEQUENCE_BYTES, facts->sequence - 1);
            break;
        }
    }
}
