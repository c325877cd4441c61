/* Driver: connecting to a name with several addresses, which this test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>

#include "minikv/minikv.h"
#include "unit/client/fake_server.h"

static struct sockaddr_in targets[2];
static struct addrinfo infos[2];

/* In place of the system's: two addresses for every name. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out_found)
{
    (void)host;
    (void)port;
    (void)hints;
    for (size_t i = 0; i < 2; i++)
        infos[i] = (struct addrinfo){.ai_family = AF_INET,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_addr = (struct sockaddr *)&targets[i],
                                     .ai_addrlen = sizeof targets[i],
                                     .ai_next = i == 0 ? &infos[1] : NULL};
    *out_found = infos;
    return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
    assert_ptr_equal(found, infos);
}

static void target(size_t at, uint32_t host, uint16_t port)
{
    targets[at] = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = htons(port)};
}

static void assert_reason(const char *reason)
{
    struct minikv_options options = {.timeout_ms = 300};
    struct minikv *kv = NULL;
    struct minikv_result result;
    assert_int_equal(minikv_open("a.name:1", &options, &kv), MINIKV_OK);

    assert_int_equal(minikv_get(kv, minikv_text("k"), &result), MINIKV_UNAVAILABLE);

    if (strstr(result.detail, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", result.detail, reason);
    minikv_result_release(&result);
    minikv_close(kv);
}

static void of_several_addresses_the_last_ones_error_is_reported(void **state)
{
    (void)state;
    struct address dead = fake_closed_address();

    target(0, INADDR_LOOPBACK, dead.port);
    target(1, INADDR_BROADCAST, 1); /* fails at once */
    assert_reason("Network is unreachable");
    target(0, INADDR_BROADCAST, 1);
    target(1, INADDR_LOOPBACK, dead.port); /* fails once connected to */
    assert_reason("Connection refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_several_addresses_the_last_ones_error_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
