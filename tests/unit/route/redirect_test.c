/* What a client is told of the leader, over all combinations of what a node can know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/redirect.h"

enum { IDS = 3, PORTS = 3, HOSTS = 3, COMBINATIONS = IDS * PORTS * HOSTS * 2 * 2 };

static const int32_t ids[IDS] = {-1, 1, INT32_MAX};
static const uint16_t ports[PORTS] = {0, 7000, UINT16_MAX};

struct combination {
    struct known_leader leader;
    bool took_it;
};

static struct combination combination(unsigned n)
{
    struct combination made = {.leader.known_leader_id = ids[n % IDS],
                               .leader.known_leader_port = ports[n / IDS % PORTS],
                               .leader.term = n / (IDS * PORTS * HOSTS) % 2 ? 7 : UINT64_MAX,
                               .took_it = n / (IDS * PORTS * HOSTS * 2) % 2};
    switch (n / (IDS * PORTS) % HOSTS) {
    case 0:
        break;
    case 1:
        memcpy(made.leader.known_leader_host, "127.0.0.1", sizeof "127.0.0.1");
        break;
    default: /* the longest, with its zero byte */
        memset(made.leader.known_leader_host, 'h', sizeof made.leader.known_leader_host - 1);
        break;
    }
    return made;
}

static bool is_named(const struct combination *in)
{
    return !in->took_it && in->leader.known_leader_id != -1 && in->leader.known_leader_port != 0;
}

static void whoever_took_it_redirects_nobody(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct combination in = combination(n);
        struct redirect_msg out = redirect_of(&in.leader, in.took_it);
        assert_int_equal(out.redirect, in.took_it ? 0 : 1);
    }
}

static void a_leader_is_named_if_and_only_if_its_client_address_is_known(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct combination in = combination(n);
        struct redirect_msg out = redirect_of(&in.leader, in.took_it);
        assert_int_equal(out.leader_known, is_named(&in) ? 1 : 0);
    }
}

static void an_unknown_leader_leaves_no_address_behind(void **state)
{
    static const char nothing[64];
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct combination in = combination(n);
        struct redirect_msg out = redirect_of(&in.leader, in.took_it);
        if (is_named(&in))
            continue;
        assert_int_equal(out.leader_port, 0);
        assert_memory_equal(out.leader_host, nothing, sizeof nothing);
    }
}

static void a_named_leader_has_its_whole_host_port_and_term(void **state)
{
    unsigned named_count = 0;
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct combination in = combination(n);
        struct redirect_msg out = redirect_of(&in.leader, in.took_it);
        assert_true(out.term == in.leader.term);
        if (!is_named(&in))
            continue;
        assert_string_equal(out.leader_host, in.leader.known_leader_host);
        assert_int_equal(out.leader_port, in.leader.known_leader_port);
        named_count++;
    }
    assert_int_equal(named_count, 2 * 2 * HOSTS * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_took_it_redirects_nobody),
        cmocka_unit_test(a_leader_is_named_if_and_only_if_its_client_address_is_known),
        cmocka_unit_test(an_unknown_leader_leaves_no_address_behind),
        cmocka_unit_test(a_named_leader_has_its_whole_host_port_and_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
