/* Listeners: addresses, taken ports, pausing, and running out of descriptors. */
#include "unit/uv/uv_peer.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>

enum { CLIENTS = 200, DESCRIPTORS_MAX = 256 };

/* Counts what it accepts and keeps it open. */
struct crowd {
    struct fixture fixture;
    struct env_listener *listener;
    struct peer peers[CLIENTS];
    int accepted_count;
    int wanted_count;
    bool has_all;
    bool is_pausing; /* after each one */
};

static void crowd_on_accept(void *ctx, struct env_stream *stream)
{
    struct crowd *crowd = ctx;
    assert_true(crowd->accepted_count < CLIENTS);
    struct peer *peer = &crowd->peers[crowd->accepted_count++];
    buf_init(&peer->received, SIZE_MAX);
    peer->stream = stream;
    env_stream_start(stream, &peer_handler, peer);
    crowd->has_all = crowd->accepted_count == crowd->wanted_count;
    if (crowd->is_pausing)
        env_listener_pause(crowd->listener, true);
}

static enum status crowd_listen(struct crowd *crowd, const char *host, uint16_t port,
                                struct errtext *error)
{
    struct address address = {.port = port};
    (void)snprintf(address.host, sizeof address.host, "%s", host);
    return env_listen(crowd->fixture.env, &address, crowd_on_accept, crowd, &crowd->listener,
                      error);
}

static void crowd_open(struct crowd *crowd, const char *host)
{
    struct errtext error = {.text = ""};
    *crowd = (struct crowd){.wanted_count = 1};
    fixture_open(&crowd->fixture, false);
    if (crowd_listen(crowd, host, 0, &error) != ST_OK)
        fail_msg("%s", error.text);
}

static void crowd_release(struct crowd *crowd)
{
    for (int i = 0; i < crowd->accepted_count; i++)
        peer_release(&crowd->peers[i]);
    env_listener_close(crowd->listener);
    fixture_close(&crowd->fixture);
}

static void a_second_listener_on_a_port_is_told_that_it_is_taken(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "", "0.0.0.0"};
    struct crowd crowd;
    crowd_open(&crowd, "127.0.0.1");
    uint16_t port = uv_env_listener_port(crowd.listener);

    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        struct crowd second = {.fixture = crowd.fixture};
        struct errtext error = {.text = ""};
        assert_int_equal(crowd_listen(&second, hosts[i], port, &error), ST_BUSY);
        assert_non_null(strstr(error.text, "Address already in use"));
        assert_null(second.listener);
    }

    crowd_release(&crowd);
}

static void a_port_is_free_again_at_once_when_its_listener_closes(void **state)
{
    struct crowd crowd;
    crowd_open(&crowd, "127.0.0.1");
    uint16_t port = uv_env_listener_port(crowd.listener);
    struct errtext error = {.text = ""};

    int fd = raw_connect(port); /* the server closes first: its side stays in TIME_WAIT */
    RUN_UNTIL(&crowd.fixture, crowd.has_all);
    peer_close(&crowd.peers[0]);
    env_listener_close(crowd.listener);
    (void)close(fd);

    assert_int_equal(crowd_listen(&crowd, "127.0.0.1", port, &error), ST_OK);
    crowd_release(&crowd);
}

static void an_address_of_another_machine_cannot_be_listened_on(void **state)
{
    struct crowd crowd;
    crowd_open(&crowd, "127.0.0.1");
    struct crowd second = {.fixture = crowd.fixture};
    struct errtext error = {.text = ""};

    assert_int_equal(crowd_listen(&second, "192.0.2.1", 7000, &error), ST_BAD_ADDRESS);
    assert_string_equal(error.text, "listen on 192.0.2.1:7000: Cannot assign requested address");
    assert_int_equal(crowd_listen(&second, "no-such-host.invalid", 7000, &error), ST_BAD_ADDRESS);
    assert_string_equal(error.text, "listen on no-such-host.invalid:7000: the host is not known");

    crowd_release(&crowd);
}

static void each_form_of_everywhere_takes_connections(void **state)
{
    static const char *const hosts[] = {"", "*", "0.0.0.0", "::", "localhost"};
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        struct crowd crowd;
        struct address peer;
        crowd_open(&crowd, hosts[i]);

        int fd = raw_connect(uv_env_listener_port(crowd.listener));
        RUN_UNTIL(&crowd.fixture, crowd.has_all);

        env_stream_peer(crowd.peers[0].stream, &peer);
        assert_string_equal(peer.host, "127.0.0.1"); /* not ::ffff:127.0.0.1 */
        (void)close(fd);
        crowd_release(&crowd);
    }
}

static void a_paused_listener_lets_connections_wait(void **state)
{
    struct crowd crowd;
    crowd_open(&crowd, "127.0.0.1");
    uint16_t port = uv_env_listener_port(crowd.listener);
    crowd.is_pausing = true;
    crowd.wanted_count = 2;

    int first_fd = raw_connect(port);
    int second_fd = raw_connect(port);
    run_a_little(&crowd.fixture);
    assert_int_equal(crowd.accepted_count, 1);
    env_listener_pause(crowd.listener, false);
    RUN_UNTIL(&crowd.fixture, crowd.has_all);

    (void)close(first_fd);
    (void)close(second_fd);
    crowd_release(&crowd);
}

static void on_accept_close(void *ctx, struct env_stream *stream)
{
    struct crowd *crowd = ctx;
    env_stream_close(stream);
    env_listener_close(crowd->listener);
    crowd->accepted_count++;
    crowd->has_all = true;
}

static void a_listener_closed_from_its_own_callback_accepts_no_more(void **state)
{
    struct crowd crowd = {0};
    struct errtext error;
    struct address address = {.host = "127.0.0.1"};
    fixture_open(&crowd.fixture, false);
    assert_int_equal(
        env_listen(crowd.fixture.env, &address, on_accept_close, &crowd, &crowd.listener, &error),
        ST_OK);
    uint16_t port = uv_env_listener_port(crowd.listener);

    int first_fd = raw_connect(port);
    int second_fd = raw_connect(port);
    RUN_UNTIL(&crowd.fixture, crowd.has_all);
    run_a_little(&crowd.fixture);

    assert_int_equal(crowd.accepted_count, 1);
    (void)close(first_fd);
    (void)close(second_fd);
    fixture_close(&crowd.fixture);
}

static time_us process_cpu_us(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (time_us)time.tv_sec * 1000000 + (time_us)time.tv_nsec / 1000;
}

static void a_listener_without_descriptors_waits_and_then_takes_everyone(void **state)
{
    struct crowd crowd;
    struct rlimit saved;
    int clients[CLIENTS];
    int spare[DESCRIPTORS_MAX];
    int spare_count = 0;
    crowd_open(&crowd, "127.0.0.1");
    crowd.wanted_count = CLIENTS;
    run_a_little(&crowd.fixture); /* libuv opens what it needs */

    /* All clients wait in the backlog before the last descriptor but ten is taken. */
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = raw_connect(uv_env_listener_port(crowd.listener));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    struct rlimit limit = {.rlim_cur = (rlim_t)clients[CLIENTS - 1] + 20,
                           .rlim_max = saved.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (spare_count < 10 && (spare[spare_count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        spare_count++;
    time_us cpu_before = process_cpu_us();
    (void)uv_env_run_until(crowd.fixture.env, fixture_never, NULL, 300000);

    assert_true(crowd.accepted_count < CLIENTS);
    assert_true(process_cpu_us() - cpu_before < 150000); /* of 300 ms: it does not spin */

    /* Some come back, then all; those that waited were not dropped. */
    int accepted_before = crowd.accepted_count;
    while (spare_count > 0)
        (void)close(spare[--spare_count]);
    (void)uv_env_run_until(crowd.fixture.env, fixture_never, NULL, 300000);
    assert_true(crowd.accepted_count > accepted_before);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
    RUN_UNTIL(&crowd.fixture, crowd.has_all);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(crowd.peers[i].ended_count, 0);

    for (int i = 0; i < CLIENTS; i++)
        (void)close(clients[i]);
    crowd_release(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_listener_on_a_port_is_told_that_it_is_taken),
        cmocka_unit_test(a_port_is_free_again_at_once_when_its_listener_closes),
        cmocka_unit_test(an_address_of_another_machine_cannot_be_listened_on),
        cmocka_unit_test(each_form_of_everywhere_takes_connections),
        cmocka_unit_test(a_paused_listener_lets_connections_wait),
        cmocka_unit_test(a_listener_closed_from_its_own_callback_accepts_no_more),
        cmocka_unit_test(a_listener_without_descriptors_waits_and_then_takes_everyone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
