/* How a link ends, and what that says about the process behind it. Real processes, killed,
 * stopped and restarted. */
#include "peer_actor.h"

static void a_killed_process_is_reported_dead_once(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    pid_t child = fork_node(&fixture, 2, NULL);
    struct test_node *node = fixture_start(&fixture, 1);
    peers_set(node->peers, &fixture.config);
    UNTIL(&fixture, node_saw(node, "up 2;") && node->hellos_count > 0);

    time_us start = clock_now();
    kill(child, SIGKILL);
    UNTIL(&fixture, node_saw(node, "dead 2;"));
    time_us delay = clock_now() - start;
    run_for(&fixture, MILLISECONDS(100)); /* refused redials, and the end of the other link */

    assert_true(delay < node->options.dead_after); /* by its end, not by its silence */
    assert_string_equal(buf_text(&node->trace), "up 2;dead 2;");
    reap(child, SIGKILL);
    fixture_close(&fixture);
}

static void a_killed_process_that_never_was_dialled_is_reported_by_its_own_link(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    pid_t child = fork_node(&fixture, 2, NULL);
    struct test_node *node = fixture_start(&fixture, 1);
    struct config wrong = fixture.config;
    wrong.members[1].peer = local_address(free_port()); /* nobody there */
    peers_set(node->peers, &wrong);
    UNTIL(&fixture, node->hellos_count > 0);

    kill(child, SIGKILL);
    UNTIL(&fixture, node_saw(node, "dead 2;"));
    run_for(&fixture, MILLISECONDS(50));

    /* Its hello says where it is: it may have been dialled there before it died. */
    const char *trace = buf_text(&node->trace);
    bool was_dialled = strncmp(trace, "up 2;", 5) == 0;
    assert_string_equal(trace + (was_dialled ? 5 : 0), "dead 2;");
    reap(child, SIGKILL);
    fixture_close(&fixture);
}

static void a_process_that_starts_again_is_up_again_and_can_die_again(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    pid_t first = fork_node(&fixture, 2, NULL);
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t second = fork(); /* before there is an env here; waits for its turn */
    assert_true(second >= 0);
    if (second == 0) {
        char word;
        close(gate[1]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!read(gate[0], &word, 1);
        fixture.env = env_open();
        node_init(&fixture.nodes[2], fixture.env, 2, fixture.ports[2]);
        fixture.nodes[2].options.incarnation = 99;
        alarm(60);
        peers_set(fixture_start(&fixture, 2)->peers, &fixture.config);
        uv_env_run(fixture.env);
        _exit(0);
    }
    struct test_node *node = fixture_start(&fixture, 1);
    peers_set(node->peers, &fixture.config);
    UNTIL(&fixture, node_saw(node, "up 2;"));
    UNTIL(&fixture, node->hellos_count > 0);

    reap(first, SIGKILL);
    UNTIL(&fixture, node_saw(node, "dead 2;"));
    assert_int_equal(write(gate[1], "g", 1), 1);
    UNTIL(&fixture, node_saw(node, "up 2;dead 2;up 2;"));
    assert_int_equal(node->welcome_seen.incarnation, 99);
    UNTIL(&fixture, node->hellos_count > 1);
    reap(second, SIGKILL);
    UNTIL(&fixture, node_saw(node, "up 2;dead 2;up 2;dead 2;"));

    close(gate[0]);
    close(gate[1]);
    fixture_close(&fixture);
}

static void leave(void *ctx)
{
    struct test_node *node = ctx;
    peers_close(node->peers);
    node->peers = NULL;
}

static void leave_on_sigterm(struct test_node *node)
{
    uv_env_on_signal(node->env, SIGTERM, leave, node);
}

static void an_orderly_shutdown_is_no_death(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    pid_t child = fork_node(&fixture, 2, leave_on_sigterm);
    struct test_node *node = fixture_start(&fixture, 1);
    peers_set(node->peers, &fixture.config);
    UNTIL(&fixture, node_saw(node, "up 2;") && node->hellos_count > 0);

    kill(child, SIGTERM);
    UNTIL(&fixture, node->trace.count > strlen("up 2;"));
    reap(child, SIGKILL); /* it has said goodbye: no more news */
    run_for(&fixture, MILLISECONDS(50));

    assert_string_equal(buf_text(&node->trace), "up 2;closed 2;");
    fixture_close(&fixture);
}

static void a_stopped_process_is_closed_but_not_dead(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture.dead_after = MILLISECONDS(1500); /* longer than a busy machine makes anybody wait */
    pid_t child = fork_node(&fixture, 2, NULL);
    struct test_node *node = fixture_start(&fixture, 1);
    peers_set(node->peers, &fixture.config);
    UNTIL(&fixture, node_saw(node, "up 2;") && node->hellos_count > 0);

    kill(child, SIGSTOP);
    time_us start = clock_now();
    UNTIL(&fixture, node_saw(node, "closed 2;"));
    time_us delay = clock_now() - start;
    assert_true(delay >= node->options.dead_after / 3); /* or it may have been silent before */
    kill(child, SIGCONT);
    UNTIL(&fixture, node_saw(node, "up 2;"));

    assert_string_equal(buf_text(&node->trace), "up 2;closed 2;up 2;");
    reap(child, SIGKILL);
    fixture_close(&fixture);
}

/* Longer than this process is kept waiting, which the other one would take for silence. */
enum { STOPPED_DEAD_AFTER_MS = 700 };

static void a_node_that_was_stopped_itself_does_not_blame_the_others(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* node 2: stopped for longer than dead_after, then tells its trace */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        fixture.dead_after = MILLISECONDS(STOPPED_DEAD_AFTER_MS);
        struct test_node *node = fixture_start(&fixture, 2);
        peers_set(node->peers, &fixture.config);
        while (node->welcome_seen.incarnation == 0)
            run_for(&fixture, MILLISECONDS(1));
        (void)!write(report[1], "u", 1);
        run_for(&fixture, 3 * MILLISECONDS(STOPPED_DEAD_AFTER_MS));
        (void)!write(report[1], node_saw(node, "closed 1;") ? "c" : "k", 1);
        _exit(0);
    }
    peers_set(fixture_start(&fixture, 1)->peers, &fixture.config);
    assert_int_equal(fcntl(report[0], F_SETFL, O_NONBLOCK), 0);
    char word = 0;
    UNTIL(&fixture, read(report[0], &word, 1) == 1);

    kill(child, SIGSTOP);
    run_for(&fixture, 2 * MILLISECONDS(STOPPED_DEAD_AFTER_MS));
    kill(child, SIGCONT);
    UNTIL(&fixture, read(report[0], &word, 1) == 1);

    assert_int_equal(word, 'k');
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(report[0]);
    close(report[1]);
    fixture_close(&fixture);
}

static void a_reset_is_a_death(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);
    actor_welcome(&actor, &fixture, 1);

    struct linger now = {.l_onoff = 1};
    setsockopt(actor.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(actor.fd);
    actor.fd = -1;
    UNTIL(&fixture, fixture.nodes[1].trace.count > strlen("up 2;"));

    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;dead 2;");
    actor_close(&actor, &fixture);
}

static void a_bye_before_the_end_is_no_death(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);
    actor_welcome(&actor, &fixture, 1);

    buf_reset(&actor.out);
    put_frame(&actor.out, FRAME_BYE, bytes_of(NULL, 0));
    raw_send(actor.fd, buf_bytes(&actor.out));
    close(actor.fd);
    actor.fd = -1;
    UNTIL(&fixture, fixture.nodes[1].trace.count > strlen("up 2;"));

    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;closed 2;");
    actor_close(&actor, &fixture);
}

static void a_link_that_ends_before_its_welcome_is_not_reported(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);

    for (int i = 0; i < 3; i++) {
        UNTIL(&fixture, raw_accepted(actor.listener, &actor.fd));
        close(actor.fd);
        actor.fd = -1;
    }
    run_for(&fixture, MILLISECONDS(20));

    assert_int_equal(fixture.nodes[1].trace.count, 0);
    actor_close(&actor, &fixture);
}

static void silence_closes_the_link_with_a_bye_and_dials_anew(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, MILLISECONDS(200));
    actor_welcome(&actor, &fixture, 1);

    buf_reset(&actor.in);
    UNTIL(&fixture, raw_ended(actor.fd, &actor.in));
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "closed 2;"));

    struct bytes body, rest = buf_bytes(&actor.in);
    enum frame_type type = FRAME_HELLO;
    size_t count;
    int pings_count = 0;
    while (frame_next(rest, LIMIT_FRAME_BYTES, &type, &body, &count) == ST_OK) {
        rest = bytes_of(rest.data + count, rest.count - count);
        pings_count += type == FRAME_PING;
    }
    assert_int_equal(type, FRAME_BYE);
    assert_int_equal(pings_count, 10); /* dead_after / ping */
    actor_welcome(&actor, &fixture, 1);
    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;closed 2;up 2;");
    actor_close(&actor, &fixture);
}

static void a_restarted_peer_that_dials_in_replaces_the_link_to_its_former_life(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);
    actor_welcome(&actor, &fixture, 1);

    int fd = raw_connect(fixture.ports[1]);
    struct hello hello = hello_from(2, 1);
    hello.incarnation = 2;
    buf_reset(&actor.out);
    put_hello(&actor.out, &hello);
    raw_send(fd, buf_bytes(&actor.out));
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;closed 2;"));
    actor_welcome(&actor, &fixture, 2);

    assert_int_equal(fixture.nodes[1].welcome_seen.incarnation, 2);
    close(fd);
    actor_close(&actor, &fixture);
}

/* How long it takes from a hello to the dial. */
static time_us delay_of_dialling_back(void)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);
    for (int i = 0; i < 8; i++) { /* the back-off grows to a second, of which half is certain */
        UNTIL(&fixture, raw_accepted(actor.listener, &actor.fd));
        close(actor.fd);
        actor.fd = -1;
    }
    run_for(&fixture, MILLISECONDS(20));

    int fd = raw_connect(fixture.ports[1]);
    struct hello hello = hello_from(2, 1);
    put_hello(&actor.out, &hello);
    raw_send(fd, buf_bytes(&actor.out));
    UNTIL(&fixture, fixture.nodes[1].hellos_count == 1);
    time_us start = clock_now();
    UNTIL(&fixture, raw_accepted(actor.listener, &actor.fd));

    time_us delay = clock_now() - start;
    close(fd);
    actor_close(&actor, &fixture);
    return delay;
}

static void a_peer_that_dials_in_is_dialled_back_at_once(void **state)
{
    int late_count = 0;
    while (delay_of_dialling_back() >= MILLISECONDS(300))
        assert_true(++late_count < 5); /* a busy machine may be slow, but not each time */
}

/* Both links of a pair end at a death, in either order; a link that broke alone and came back
 * must not hide the death that follows. */
static void a_death_after_one_link_had_broken_alone_is_still_seen(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);
    actor_welcome(&actor, &fixture, 9);
    int in = raw_connect(fixture.ports[1]);
    struct hello hello = hello_from(2, 1);
    hello.incarnation = 9;
    buf_reset(&actor.out);
    put_hello(&actor.out, &hello);
    raw_send(in, buf_bytes(&actor.out));
    UNTIL(&fixture, fixture.nodes[1].hellos_count == 1);

    close(actor.fd); /* the outgoing link alone */
    actor.fd = -1;
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "dead 2;"));
    actor_welcome(&actor, &fixture, 9);
    close(in); /* now the process */
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;dead 2;up 2;dead 2;"));

    actor_close(&actor, &fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_is_reported_dead_once),
        cmocka_unit_test(a_killed_process_that_never_was_dialled_is_reported_by_its_own_link),
        cmocka_unit_test(a_process_that_starts_again_is_up_again_and_can_die_again),
        cmocka_unit_test(an_orderly_shutdown_is_no_death),
        cmocka_unit_test(a_stopped_process_is_closed_but_not_dead),
        cmocka_unit_test(a_node_that_was_stopped_itself_does_not_blame_the_others),
        cmocka_unit_test(a_reset_is_a_death),
        cmocka_unit_test(a_bye_before_the_end_is_no_death),
        cmocka_unit_test(a_link_that_ends_before_its_welcome_is_not_reported),
        cmocka_unit_test(silence_closes_the_link_with_a_bye_and_dials_anew),
        cmocka_unit_test(a_restarted_peer_that_dials_in_replaces_the_link_to_its_former_life),
        cmocka_unit_test(a_peer_that_dials_in_is_dialled_back_at_once),
        cmocka_unit_test(a_death_after_one_link_had_broken_alone_is_still_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
