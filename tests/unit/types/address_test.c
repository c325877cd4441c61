/* Addresses: what is accepted, what it becomes, and that nothing else gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "types/address.h"

static bool parses(const char *text)
{
    struct address address;
    return address_parse(bytes_of_text(text), &address) == ST_OK;
}

static void accepted_forms_become_one(void **state)
{
    static const struct {
        const char *text, *host, *formatted;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:8081", "127.0.0.1", "127.0.0.1:8081", 8081},
        {"http://127.0.0.1:8081", "127.0.0.1", "127.0.0.1:8081", 8081},
        {"http://127.0.0.1:8081/", "127.0.0.1", "127.0.0.1:8081", 8081},
        {"node-1.example.com:1", "node-1.example.com", "node-1.example.com:1", 1},
        {"Node_1.Example.COM:65535", "node_1.example.com", "node_1.example.com:65535", 65535},
        {":8081", "", ":8081", 8081},
        {"*:80", "*", "*:80", 80},
        {"[::1]:8081", "::1", "[::1]:8081", 8081},
        {"[FE80::1%2]:8081", "fe80::1%2", "[fe80::1%2]:8081", 8081},
        {"http://[::]:8081/", "::", "[::]:8081", 8081},
        {"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:1", 1},
        {"h:00080", "h", "h:80", 80},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct address address;
        char text[LIMIT_ADDRESS_BYTES];
        if (address_parse(bytes_of_text(cases[i].text), &address) != ST_OK)
            fail_msg("%s", cases[i].text);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        assert_string_equal(address_format(&address, text), cases[i].formatted);
        assert_true(address_is_set(&address));
    }
}

static void anything_else_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        ":",
        "host",
        "host:",
        ":0",
        "host:0",
        "host:65536",
        "host:99999",
        "host:100000",
        "host:-1",
        "host:+1",
        "host:1x",
        "host: 1",
        "host:1 ",
        " host:1",
        "ho st:1",
        "https://host:1",
        "http://host",
        "http://host:",
        "http://:1",
        "http://",
        "http:///",
        "http://host:1//",
        "http://host:1/path",
        "http://host:1?q",
        "http://user@host:1",
        "HTTP://host:1",
        "ftp://host:1",
        "host:1/",
        "host/x:1",
        "ho\nst:1",
        "host:1\n",
        "host\r\n:1",
        "h\xc3\xb6st:1",
        "a,b:1",
        "::1:8081",
        "[::1]",
        "[::1]:",
        "[::1]:0",
        "[::1:8081",
        "::1]:8081",
        "[]:1",
        "[:]x:1",
        "[127.0.0.1]:1",
        "[host]:1",
        "[::g]:1",
        "[[::1]]:1",
        "a:b:1",
        "http://http://h:1",
        "\"h\":1",
        "h':1",
        "<h>:1",
        "h\\:1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (parses(texts[i]))
            fail_msg("accepted: %s", texts[i]);
    struct address address = {.host = "kept", .port = 7};
    assert_int_equal(address_parse(BYTES_LITERAL("h\0st:1"), &address), ST_BAD_ADDRESS);
    assert_string_equal(address.host, "kept"); /* untouched by a failure */
    assert_int_equal(address.port, 7);
}

static void a_host_is_as_long_as_the_limit_and_never_cut(void **state)
{
    for (int bytes = LIMIT_HOST_BYTES - 2; bytes <= LIMIT_HOST_BYTES + 2; bytes++) {
        char text[2 * LIMIT_HOST_BYTES], formatted[LIMIT_ADDRESS_BYTES];
        struct address address;
        (void)snprintf(text, sizeof text, "%0*d:65535", bytes, 1);
        bool is_ok = bytes <= LIMIT_HOST_BYTES;
        assert_int_equal(parses(text), is_ok);
        (void)snprintf(text, sizeof text, "[:%0*d]:65535", bytes - 1, 1);
        assert_int_equal(address_parse(bytes_of_text(text), &address) == ST_OK, is_ok);
        if (is_ok)
            assert_string_equal(address_format(&address, formatted), text);
    }
}

static void every_port_has_one_form(void **state)
{
    for (unsigned port = 0; port <= 70000; port++) {
        char text[32], formatted[LIMIT_ADDRESS_BYTES];
        struct address address;
        (void)snprintf(text, sizeof text, "h:%u", port);
        bool is_ok = port >= 1 && port <= 65535;
        assert_int_equal(address_parse(bytes_of_text(text), &address) == ST_OK, is_ok);
        if (!is_ok)
            continue;
        assert_int_equal(address.port, port);
        assert_string_equal(address_format(&address, formatted), text);
        assert_int_equal(address_decode(bytes_of_text(text), &address), ST_OK);
    }
}

static void every_byte_is_allowed_in_a_host_or_not(void **state)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t name[] = {'a', (uint8_t)byte, 'b', ':', '1'};
        uint8_t v6[] = {'[', ':', ':', (uint8_t)byte, ']', ':', '1'};
        struct address address;
        bool is_alnum = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                        (byte >= 'A' && byte <= 'Z');
        bool is_hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
                      (byte >= 'A' && byte <= 'F');
        bool in_name = is_alnum || (byte != 0 && strchr("-._*", (int)byte));
        bool in_v6 = is_hex || (byte != 0 && strchr(":.%", (int)byte));
        assert_int_equal(address_parse(bytes_of(name, sizeof name), &address) == ST_OK, in_name);
        assert_int_equal(address_parse(bytes_of(v6, sizeof v6), &address) == ST_OK, in_v6);
    }
}

/* All texts of up to six characters of those that mean something: what parses is printed in a form
 * that parses to the same, and is the only form that address_decode takes. */
static void all_short_texts_normalise_to_a_fixed_point(void **state)
{
    static const char alphabet[] = "a1:[]/.A%";
    enum { CHARACTERS = sizeof alphabet - 1, BYTES_MAX = 6 };
    unsigned accepted_count = 0;
    for (unsigned count = 1; count <= BYTES_MAX; count++) {
        unsigned total = 1;
        for (unsigned i = 0; i < count; i++)
            total *= CHARACTERS;
        for (unsigned n = 0; n < total; n++) {
            char text[BYTES_MAX + 1], formatted[LIMIT_ADDRESS_BYTES];
            struct address address, again, decoded;
            unsigned rest = n;
            for (unsigned i = 0; i < count; i++, rest /= CHARACTERS)
                text[i] = alphabet[rest % CHARACTERS];
            text[count] = '\0';
            bool is_decoded = address_decode(bytes_of_text(text), &decoded) == ST_OK;
            if (address_parse(bytes_of_text(text), &address) != ST_OK) {
                assert_false(is_decoded);
                continue;
            }
            accepted_count++;
            address_format(&address, formatted);
            if (address_parse(bytes_of_text(formatted), &again) != ST_OK ||
                !address_equal(&address, &again) || is_decoded != (strcmp(text, formatted) == 0))
                fail_msg("%s becomes %s", text, formatted);
        }
    }
    assert_true(accepted_count > 450); /* names alone make 453 */
}

static void mutated_urls_normalise_to_a_fixed_point(void **state)
{
    const uint64_t seed = 9;
    static const char *const bases[] = {"http://node-1.example:8081/", "http://[fe80::1]:8081",
                                        "[::ffff:10.0.0.1]:1"};
    struct prng prng;
    prng_init(&prng, seed);
    for (int round = 0; round < 200000; round++) {
        char text[64], formatted[LIMIT_ADDRESS_BYTES];
        struct address address, again;
        strcpy(text, bases[prng_below(&prng, ARRAY_COUNT(bases))]);
        for (uint64_t changes = prng_below(&prng, 4); changes > 0; changes--)
            text[prng_below(&prng, strlen(text))] = (char)(' ' + prng_below(&prng, 95));
        if (address_parse(bytes_of_text(text), &address) != ST_OK)
            continue;
        address_format(&address, formatted);
        assert_int_equal(address_decode(bytes_of_text(formatted), &again), ST_OK);
        assert_true(address_equal(&address, &again));
    }
}

static struct address address_of(const char *text)
{
    struct address address = {0};
    assert_int_equal(address_parse(bytes_of_text(text), &address), ST_OK);
    return address;
}

static void wildcards_and_loopbacks_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        bool is_wildcard, is_loopback;
    } cases[] = {
        {":1", true, false},
        {"0.0.0.0:1", true, false},
        {"[::]:1", true, false},
        {"*:1", true, false},
        {"localhost:1", false, true},
        {"LocalHost:1", false, true},
        {"127.0.0.1:1", false, true},
        {"127.255.0.9:1", false, true},
        {"[::1]:1", false, true},
        {"128.0.0.1:1", false, false},
        {"127.0.0.1.evil.example:1", false, false},
        {"127.example:1", false, false},
        {"127.0.0:1", false, false},
        {"127.0.0.256:1", false, false},
        {"127.0.0.1.:1", false, false},
        {"localhost.example:1", false, false},
        {"[::1:0]:1", false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct address address = address_of(cases[i].text);
        if (address_is_wildcard(&address) != cases[i].is_wildcard ||
            address_is_loopback(&address) != cases[i].is_loopback)
            fail_msg("%s", cases[i].text);
    }
}

static void addresses_are_equal_by_host_and_port(void **state)
{
    struct address a = address_of("host:1"), b = address_of("http://HOST:1/");
    struct address other_port = address_of("host:2"), other_host = address_of("hosts:1");
    struct address unset = {0};

    assert_true(address_equal(&a, &b));
    assert_false(address_equal(&a, &other_port));
    assert_false(address_equal(&a, &other_host));
    assert_false(address_is_set(&unset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_forms_become_one),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(a_host_is_as_long_as_the_limit_and_never_cut),
        cmocka_unit_test(every_port_has_one_form),
        cmocka_unit_test(every_byte_is_allowed_in_a_host_or_not),
        cmocka_unit_test(all_short_texts_normalise_to_a_fixed_point),
        cmocka_unit_test(mutated_urls_normalise_to_a_fixed_point),
        cmocka_unit_test(wildcards_and_loopbacks_are_told_apart),
        cmocka_unit_test(addresses_are_equal_by_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
