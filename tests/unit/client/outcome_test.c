/* Questions about writes, as requests; the answers are tested with the library, in minikv_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/outcome.h"

static void a_question_names_its_write_and_a_seal_may_be_repeated(void **state)
{
    char text[OUTCOME_TEXT_BYTES];
    struct minikv_identity identity = {.client = "a\"b", .sequence = 7};

    struct minikv_request asks = outcome_request(&identity, false, text);
    assert_string_equal(asks.method, "GET");
    assert_string_equal(asks.target, "/v1/outcome?client=a%22b&sequence=7");

    struct minikv_request seals = outcome_request(&identity, true, text);
    assert_string_equal(seals.method, "POST");
    assert_string_equal(seals.target, "/v1/outcome/seal");
    assert_memory_equal(seals.value.data, "{\"client\":\"a\\\"b\",\"sequence\":7}",
                        seals.value.count);
    assert_true(seals.is_repeatable);
}

static void a_session_that_is_no_more_leaves_the_fate_open(void **state)
{
    enum minikv_fate fate;
    struct minikv_identity identity = {.client = "a", .sequence = 7};
    struct minikv_result result = {.code = MINIKV_REFUSED, .word = "session-expired"};

    assert_int_equal(outcome_read(&identity, &result, &fate), MINIKV_OK);

    assert_int_equal(fate, MINIKV_FATE_EXPIRED);
    assert_int_equal(result.effect, MINIKV_MAYBE_APPLIED);
    assert_int_equal(result.identity.sequence, 7);
    assert_false(outcome_is_final(fate));
}

static void only_what_cannot_change_any_more_is_final(void **state)
{
    assert_true(outcome_is_final(MINIKV_FATE_APPLIED));
    assert_true(outcome_is_final(MINIKV_FATE_NEVER));
    assert_false(outcome_is_final(MINIKV_FATE_UNSEEN));
    assert_false(outcome_is_final(MINIKV_FATE_PENDING));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_names_its_write_and_a_seal_may_be_repeated),
        cmocka_unit_test(a_session_that_is_no_more_leaves_the_fate_open),
        cmocka_unit_test(only_what_cannot_change_any_more_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
