#include "types/address.h"

#include <string.h>

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '*';
}

static bool is_v6_byte(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
           c == '.' || c == '%';
}

static bool parse_port(struct bytes text, uint16_t *out_port)
{
    if (text.count == 0 || text.count > 5)
        return false;
    uint32_t port = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (!is_digit(text.data[i]))
            return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port == 0 || port > 65535)
        return false;
    *out_port = (uint16_t)port;
    return true;
}

static bool copy_host(struct bytes host, bool (*is_allowed)(uint8_t), char *out)
{
    if (host.count > LIMIT_HOST_BYTES)
        return false;
    for (size_t i = 0; i < host.count; i++)
        if (!is_allowed(host.data[i]))
            return false;
    for (size_t i = 0; i < host.count; i++) /* names of hosts have no case */
        out[i] =
            (char)(host.data[i] >= 'A' && host.data[i] <= 'Z' ? host.data[i] + 32 : host.data[i]);
    out[host.count] = '\0';
    return true;
}

enum status address_parse(struct bytes text, struct address *out_address)
{
    static const struct bytes scheme = {(const uint8_t *)"http://", 7};
    struct address address = {0};
    bool is_url = bytes_has_prefix(text, scheme);
    if (is_url) {
        text = bytes_of(text.data + scheme.count, text.count - scheme.count);
        if (text.count > 0 && text.data[text.count - 1] == '/')
            text.count--;
    }

    size_t colon = text.count; /* the last one: what follows is the port */
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !parse_port(bytes_of(text.data + colon, text.count - colon), &address.port))
        return ST_BAD_ADDRESS;

    struct bytes host = bytes_of(text.data, colon - 1);
    bool is_ok;
    if (host.count >= 2 && host.data[0] == '[' && host.data[host.count - 1] == ']') {
        host = bytes_of(host.data + 1, host.count - 2);
        is_ok = host.count >= 2 && memchr(host.data, ':', host.count) != NULL &&
                copy_host(host, is_v6_byte, address.host);
    } else {
        is_ok = copy_host(host, is_name_byte, address.host) && !(is_url && host.count == 0);
    }
    if (!is_ok)
        return ST_BAD_ADDRESS;
    *out_address = address;
    return ST_OK;
}

enum status address_decode(struct bytes text, struct address *out_address)
{
    struct address address;
    char formatted[LIMIT_ADDRESS_BYTES];
    if (address_parse(text, &address) != ST_OK ||
        !bytes_equal_text(text, address_format(&address, formatted)))
        return ST_BAD_ADDRESS;
    *out_address = address;
    return ST_OK;
}

/* By hand: this is part of many messages between nodes. */
const char *address_format(const struct address *address, char out[LIMIT_ADDRESS_BYTES])
{
    size_t host_bytes = strnlen(address->host, LIMIT_HOST_BYTES), at = 0;
    bool is_v6 = memchr(address->host, ':', host_bytes) != NULL;
    if (is_v6)
        out[at++] = '[';
    memcpy(out + at, address->host, host_bytes);
    at += host_bytes;
    if (is_v6)
        out[at++] = ']';
    out[at++] = ':';
    char digits[5]; /* of a port, backwards */
    size_t digits_count = 0;
    unsigned rest = address->port;
    do {
        digits[digits_count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    while (digits_count > 0)
        out[at++] = digits[--digits_count];
    out[at] = '\0';
    return out;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool address_is_set(const struct address *address)
{
    return address->port != 0;
}

bool address_is_wildcard(const struct address *address)
{
    return address->host[0] == '\0' || strcmp(address->host, "0.0.0.0") == 0 ||
           strcmp(address->host, "::") == 0 || strcmp(address->host, "*") == 0;
}

/* Four numbers of 0 … 255: "127.example.org" is a name, whoever answers to it. */
static bool is_v4(const char *host)
{
    for (int part = 0; part < 4; part++) {
        unsigned value = 0, digits_count = 0;
        for (; is_digit((uint8_t)*host) && digits_count < 4; digits_count++)
            value = value * 10 + (unsigned)(*host++ - '0');
        if (digits_count == 0 || value > 255 || *host != (part < 3 ? '.' : '\0'))
            return false;
        host += part < 3;
    }
    return true;
}

bool address_is_loopback(const struct address *address)
{
    return strcmp(address->host, "localhost") == 0 || strcmp(address->host, "::1") == 0 ||
           (strncmp(address->host, "127.", 4) == 0 && is_v4(address->host));
}
