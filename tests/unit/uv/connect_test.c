/* env_connect: names, several addresses, and every way in which there is nobody.
 *
 * Two tests need a network or a hosts file of their own and run in a process of their own, before
 * libuv has started threads; where that is not allowed they are skipped. */
#include "unit/uv/uv_peer.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void connect_to(struct pair *pair, const char *host, uint16_t port)
{
    struct address address = {.port = port};
    (void)snprintf(address.host, sizeof address.host, "%s", host);
    pair->client.stream = env_connect(pair->fixture.env, &address, &peer_handler, &pair->client);
    assert_non_null(pair->client.stream);
    assert_int_equal(pair->client.ended_count, 0);
}

static void a_name_is_resolved_and_what_was_sent_meanwhile_follows(void **state)
{
    struct pair pair;
    pair_listen(&pair);

    connect_to(&pair, "localhost", pair.address.port);
    env_stream_send(pair.client.stream, BYTES_LITERAL("early"));
    pair.server.wanted_count = 5;
    RUN_UNTIL(&pair.fixture, pair.client.is_open);
    RUN_UNTIL(&pair.fixture, pair.server.has_all);

    assert_memory_equal(pair.server.received.data, "early", 5);
    RUN_UNTIL(&pair.fixture, pair.client.is_drained);
    pair_release(&pair);
}

static void expect_end(const char *host, uint16_t port, enum env_end end)
{
    struct pair pair;
    pair_listen(&pair);

    connect_to(&pair, host, port);
    RUN_UNTIL(&pair.fixture, pair.client.is_ended);
    run_a_little(&pair.fixture);

    assert_int_equal(pair.client.end, end);
    assert_int_equal(pair.client.ended_count, 1);
    assert_int_equal(pair.client.opened_count, 0);
    pair_release(&pair);
}

static void a_refused_connection_is_a_reset(void **state)
{
    uint16_t port;
    int fd = raw_refuse(&port);

    expect_end("127.0.0.1", port, ENV_END_RESET);
    expect_end("localhost", port, ENV_END_RESET);

    (void)close(fd);
}

static void an_address_that_leads_nowhere_is_an_error(void **state)
{
    expect_end("", 7000, ENV_END_ERROR);
    expect_end("*", 7000, ENV_END_ERROR);
    expect_end("0.0.0.0", 7000, ENV_END_ERROR);
    expect_end("::", 7000, ENV_END_ERROR);
    expect_end("127.0.0.1", 0, ENV_END_ERROR);
}

static void a_name_nobody_has_is_an_error(void **state)
{
    expect_end("no-such-host.invalid", 7000, ENV_END_ERROR);
}

enum { CHILD_OK = 0, CHILD_FAILED = 1, CHILD_NOT_ALLOWED = 2 };

/* Runs `test` in a process that may change its machine. Before any thread has been started. */
static void run_in_child(int (*test)(void))
{
    int result;
    pid_t pid = fork();
    if (pid == 0)
        _exit(test());
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == CHILD_NOT_ALLOWED)
        skip();
    assert_int_equal(WEXITSTATUS(result), CHILD_OK);
}

static bool enter_own(int namespaces)
{
    return unshare(namespaces) == 0 || unshare(CLONE_NEWUSER | namespaces) == 0;
}

static bool write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    return file != NULL && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* A network in which the kernel has only two source ports to choose from. */
static bool enter_tiny_network(void)
{
    if (!enter_own(CLONE_NEWNET))
        return false;
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    (void)close(fd);
    return is_up && write_file("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001");
}

static int dial_in_tiny_network(void)
{
    struct env *env;
    struct errtext error;
    struct uv_env_options options = {.data_dir = NULL};
    if (!enter_tiny_network() || uv_env_new(&options, &env, &error) != ST_OK)
        return CHILD_NOT_ALLOWED;
    for (uint16_t port = 40000; port <= 40001; port++) {
        struct peer peer = {.stream = NULL};
        struct address address = {.host = "127.0.0.1", .port = port};
        peer.stream = env_connect(env, &address, &peer_handler, &peer);
        (void)uv_env_run_until(env, fixture_is_set, &peer.is_ended, FIXTURE_TIMEOUT);
        if (!peer.is_ended || peer.is_open || peer.end != ENV_END_RESET)
            return CHILD_FAILED;
    }
    return CHILD_OK;
}

/* Where the kernel may choose the dialed port as the source port, it does so now and then, and the
 * socket is connected to itself. */
static void a_connection_to_itself_counts_as_refused(void **state)
{
    run_in_child(dial_in_tiny_network);
}

static bool know_host_with_two_addresses(const char *dir)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%s/hosts", dir);
    return enter_own(CLONE_NEWNS) && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           write_file(path, "127.0.0.1 two-addresses\n127.0.0.2 two-addresses\n") &&
           mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
}

static void on_accept_drop(void *ctx, struct env_stream *stream)
{
    env_stream_close(stream);
}

/* Whichever of the two the resolver puts first, one of the listeners is on the other. */
static int dial_two_addresses(void)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    if (!know_host_with_two_addresses(fixture.dir))
        return CHILD_NOT_ALLOWED;
    for (int i = 1; i <= 2; i++) {
        struct peer peer = {.stream = NULL};
        struct address address = {.port = 0};
        struct env_listener *listener;
        struct errtext error;
        (void)snprintf(address.host, sizeof address.host, "127.0.0.%d", i);
        if (env_listen(fixture.env, &address, on_accept_drop, NULL, &listener, &error) != ST_OK)
            return CHILD_FAILED;
        address = (struct address){.host = "two-addresses", .port = uv_env_listener_port(listener)};
        peer.stream = env_connect(fixture.env, &address, &peer_handler, &peer);
        (void)uv_env_run_until(fixture.env, fixture_is_set, &peer.is_ended, FIXTURE_TIMEOUT);
        if (peer.opened_count != 1 || peer.end != ENV_END_EOF)
            return CHILD_FAILED;
        env_listener_close(listener);
    }
    fixture_close(&fixture);
    return CHILD_OK;
}

static void each_address_of_a_name_is_tried(void **state)
{
    run_in_child(dial_two_addresses);
}

static void a_dial_closed_at_any_moment_is_silent(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "no-such-host.invalid", "::1"};
    struct pair pair;
    uint16_t refused_port;
    int fd = raw_refuse(&refused_port);
    pair_listen(&pair);

    for (size_t i = 0; i < 4 * ARRAY_COUNT(hosts); i++) {
        bool is_refused = i % 2 == 0;
        connect_to(&pair, hosts[i / 4], is_refused ? refused_port : pair.address.port);
        env_stream_send(pair.client.stream, BYTES_LITERAL("lost"));
        if (i % 4 >= 2) /* one turn: resolving or connecting */
            (void)uv_env_run_until(pair.fixture.env, fixture_never, NULL, 1);
        if (pair.client.ended_count == 0)
            peer_close(&pair.client);
        pair.client.ended_count = 0;
        run_a_little(&pair.fixture);
        assert_int_equal(pair.client.ended_count, 0);
    }

    (void)close(fd);
    pair_release(&pair);
}

static void descriptors_that_have_run_out_are_an_error_of_this_side(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fds[256];
    int count = 0;
    struct rlimit saved;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    struct rlimit limit = {.rlim_cur = 256, .rlim_max = saved.rlim_max};

    run_a_little(&pair.fixture); /* libuv opens what it needs */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (count < 256 && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    connect_to(&pair, "127.0.0.1", pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.client.is_ended);

    while (count > 0)
        (void)close(fds[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
    assert_int_equal(pair.client.end, ENV_END_ERROR);
    pair_release(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_to_itself_counts_as_refused),
        cmocka_unit_test(each_address_of_a_name_is_tried),
        cmocka_unit_test(a_name_is_resolved_and_what_was_sent_meanwhile_follows),
        cmocka_unit_test(a_refused_connection_is_a_reset),
        cmocka_unit_test(an_address_that_leads_nowhere_is_an_error),
        cmocka_unit_test(a_name_nobody_has_is_an_error),
        cmocka_unit_test(a_dial_closed_at_any_moment_is_silent),
        cmocka_unit_test(descriptors_that_have_run_out_are_an_error_of_this_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
