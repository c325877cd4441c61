/* Complaints: a noisy neighbour must not fill the log of a node, nor hide other causes. */
#include "peer_fixture.h"

#include "peer/complaint.h"

#define SECOND MILLISECONDS(1000)

static const struct address nowhere = {.host = "127.0.0.1", .port = 1};

/* Complains each `step` for `duration`; returns how many lines came out. */
static unsigned lines_of(struct complaints *complaints, time_us start, time_us duration,
                         time_us step)
{
    unsigned lines_count = 0;
    for (time_us now = start; now < start + duration; now += step) {
        complain(complaints, now, COMPLAINT_MALFORMED, &nowhere, "test %u", 1u);
        lines_count += complaints->of[COMPLAINT_MALFORMED].logged_at == now;
    }
    return lines_count;
}

static void lines_of_one_cause_grow_rarer_and_start_afresh_after_a_quiet_minute(void **state)
{
    struct complaints complaints = {0};

    /* At 0, 1, 3, 7, 15, 31 and 63 seconds, then each minute: 123 … 3603. */
    assert_int_equal(lines_of(&complaints, SECOND, SECOND, SECOND / 100), 1);
    assert_int_equal(complaints.of[COMPLAINT_MALFORMED].dropped_count, 99);
    complaints = (struct complaints){0};
    assert_int_equal(lines_of(&complaints, SECOND, 64 * SECOND, SECOND / 10), 7);
    assert_int_equal(lines_of(&complaints, 65 * SECOND, 3600 * SECOND, SECOND), 60);
    assert_int_equal(lines_of(&complaints, 9000 * SECOND, SECOND * 2, SECOND / 10), 2);
}

static void causes_do_not_silence_each_other(void **state)
{
    struct complaints complaints = {0};

    for (unsigned cause = 0; cause < COMPLAINTS_COUNT; cause++)
        complain(&complaints, SECOND, (enum complaint)cause, &nowhere, "test %u", cause);

    for (unsigned cause = 0; cause < COMPLAINTS_COUNT; cause++)
        assert_int_equal(complaints.of[cause].logged_at, SECOND);
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
