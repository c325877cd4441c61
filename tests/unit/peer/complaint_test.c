/* Complaints: a noisy neighbour must not fill the log of a node, nor hide other causes. */
#include "peer_fixture.h"

#include "peer/complaint.h"

#define SECOND MILLISECONDS(1000)

static void ignore(void *ctx)
{
}

static void ignore_data(void *ctx, struct bytes bytes)
{
}

static void ignore_end(void *ctx, enum env_end end)
{
}

static const struct env_stream_handler handler = {
    .on_open = ignore, .on_data = ignore_data, .on_end = ignore_end};

/* Complains each `step` for `duration`; returns how many lines came out. */
static unsigned lines_of(struct complaints *complaints, struct env_stream *stream, time_us start,
                         time_us duration, time_us step)
{
    unsigned lines_count = 0;
    for (time_us now = start; now < start + duration; now += step) {
        complain(complaints, now, COMPLAINT_MALFORMED, stream, "test %u", 1u);
        lines_count += complaints->of[COMPLAINT_MALFORMED].logged_at == now;
    }
    return lines_count;
}

static void lines_of_one_cause_grow_rarer_and_start_afresh_after_a_quiet_minute(void **state)
{
    struct env *env = env_open();
    struct complaints complaints = {0};
    struct address nowhere = local_address(free_port());
    struct env_stream *stream = env_connect(env, &nowhere, &handler, NULL);

    /* At 0, 1, 3, 7, 15, 31 and 63 seconds, then each minute: 123 … 3603. */
    assert_int_equal(lines_of(&complaints, stream, SECOND, SECOND, SECOND / 100), 1);
    assert_int_equal(complaints.of[COMPLAINT_MALFORMED].dropped_count, 99);
    complaints = (struct complaints){0};
    assert_int_equal(lines_of(&complaints, stream, SECOND, 64 * SECOND, SECOND / 10), 7);
    assert_int_equal(lines_of(&complaints, stream, 65 * SECOND, 3600 * SECOND, SECOND), 60);
    assert_int_equal(lines_of(&complaints, stream, 9000 * SECOND, SECOND * 2, SECOND / 10), 2);

    env_stream_close(stream);
    uv_env_free(env);
}

static void causes_do_not_silence_each_other(void **state)
{
    struct env *env = env_open();
    struct complaints complaints = {0};
    struct address nowhere = local_address(free_port());
    struct env_stream *stream = env_connect(env, &nowhere, &handler, NULL);

    for (unsigned cause = 0; cause < COMPLAINTS_COUNT; cause++)
        complain(&complaints, SECOND, (enum complaint)cause, stream, "test %u", cause);

    for (unsigned cause = 0; cause < COMPLAINTS_COUNT; cause++)
        assert_int_equal(complaints.of[cause].logged_at, SECOND);
    env_stream_close(stream);
    uv_env_free(env);
}

int main(void)
{
    diag_set_level(DIAG_ERROR); /* counted, not shown */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_one_cause_grow_rarer_and_start_afresh_after_a_quiet_minute),
        cmocka_unit_test(causes_do_not_silence_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
