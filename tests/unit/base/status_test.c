/* The status table: rules that hold over all rows, whoever adds the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/status.h"

static void ok_is_zero_and_says_so(void **state)
{
    const struct status_info *ok = status_info(ST_OK);

    assert_int_equal(ST_OK, 0);
    assert_int_equal(ok->http, 200);
    assert_int_equal(ok->effect, EFFECT_APPLIED);
    assert_int_equal(ok->exit, EXIT_CODE_OK);
}

static void every_row_is_complete(void **state)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        const struct status_info *info = status_info((enum status)i);
        assert_non_null(info->name);
        assert_true(strlen(info->title) > 0);
        assert_in_range(info->http, 200, 599);
        if (i != ST_OK)
            assert_int_not_equal(info->exit, EXIT_CODE_OK);
    }
}

static void codes_are_unique_words_of_lower_case(void **state)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        const char *code = status_info((enum status)i)->code;
        assert_in_range(strlen(code), 1, 31);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz-"), strlen(code));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(code, status_info((enum status)k)->code);
    }
}

/* 502 and 504 mean unknown; 503, 507 and what the client did wrong mean that nothing happened. */
static void the_http_code_and_the_effect_agree(void **state)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        const struct status_info *info = status_info((enum status)i);
        if (info->http == 502 || info->http == 504)
            assert_int_equal(info->effect, EFFECT_MAYBE);
        if (info->http == 503 || info->http == 507 || (info->http >= 300 && info->http < 500))
            assert_int_equal(info->effect, EFFECT_NONE);
        if (info->http == 200)
            assert_int_equal(info->effect, EFFECT_APPLIED);
    }
}

/* An unknown outcome is never simply sent again, and says so to scripts. */
static void retry_and_exit_code_follow_the_effect(void **state)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        const struct status_info *info = status_info((enum status)i);
        assert_int_equal(info->retry == RETRY_OUTCOME, info->effect == EFFECT_MAYBE);
        if (info->exit == EXIT_CODE_UNKNOWN)
            assert_int_equal(info->effect, EFFECT_MAYBE);
        if (info->exit == EXIT_CODE_UNAVAILABLE) {
            assert_int_equal(info->effect, EFFECT_NONE);
            assert_int_equal(info->retry, RETRY_LATER);
        }
    }
}

static void effects_have_names(void **state)
{
    assert_string_equal(effect_name(EFFECT_NONE), "none");
    assert_string_equal(effect_name(EFFECT_MAYBE), "maybe");
    assert_string_equal(effect_name(EFFECT_APPLIED), "applied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ok_is_zero_and_says_so),
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(codes_are_unique_words_of_lower_case),
        cmocka_unit_test(the_http_code_and_the_effect_agree),
        cmocka_unit_test(retry_and_exit_code_follow_the_effect),
        cmocka_unit_test(effects_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
