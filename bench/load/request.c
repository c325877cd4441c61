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

/* Expands %k %K %v %V and notes where the keys go. */
static void request_expand(struct request *request, const struct options *options, const char *text)
{
    static char value[REQUEST_BYTES_MAX / 2], value_base64[REQUEST_BYTES_MAX];
    for (uint32_t i = 0; i < options->value_bytes; i++)
        value[i] = (char)('a' + i * 7 % 26);
    for (; *text != '\0'; text++) {
        bool is_key = text[0] == '%' && (text[1] == 'k' || text[1] == 'K');
        bool is_value = text[0] == '%' && (text[1] == 'v' || text[1] == 'V');
        if (is_key) {
            if (request->places_count == REQUEST_KEYS_MAX)
                die("too many keys in the template");
            bool is_base64 = text[1] == 'K';
            request->places[request->places_count++] =
                (struct key_place){request->count, is_base64};
            request_add(request, "????????????????????????",
                        is_base64 ? KEY_BASE64_BYTES : KEY_BYTES);
        } else if (is_value && text[1] == 'v') {
            request_add(request, value, options->value_bytes);
        } else if (is_value) {
            size_t count = base64_encode(value, options->value_bytes, value_base64);
            request_add(request, value_base64, count);
        } else {
            request_add(request, text, 1);
            continue;
        }
        text++;
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
        request_add(request, options->headers[i], strlen(options->headers[i]));
        request_add(request, "\r\n", 2);
    }
    if (options->body != NULL) {
        length = snprintf(line, sizeof line, "Content-Length: %zu\r\n", body.count);
        request_add(request, line, (size_t)length);
    }
    request_add(request, "\r\n", 2);
    for (size_t i = 0; i < body.places_count; i++) {
        if (request->places_count == REQUEST_KEYS_MAX)
            die("too many keys in the template");
        request->places[request->places_count++] =
            (struct key_place){request->count + body.places[i].offset, body.places[i].is_base64};
    }
    request_add(request, body.bytes, body.count);
    free(body.bytes);
}

void request_write_key(const struct request *request, char *bytes, uint32_t number)
{
    char key[KEY_BYTES + 1], base64[KEY_BASE64_BYTES];
    (void)snprintf(key, sizeof key, "key-%012" PRIu32, number);
    (void)base64_encode(key, KEY_BYTES, base64);
    for (size_t i = 0; i < request->places_count; i++) {
        const struct key_place *place = &request->places[i];
        if (place->is_base64)
            memcpy(bytes + place->offset, base64, KEY_BASE64_BYTES);
        else
            memcpy(bytes + place->offset, key, KEY_BYTES);
    }
}
