/* docs/http-api.md says what the tables in the source say. */
#include "http_fixture.h"

static char *document;

static int read_document(void **state)
{
    FILE *file = fopen(TEST_SOURCE_DIR "/../docs/http-api.md", "r");
    assert_non_null(file);
    document = calloc(1, 1 << 20);
    size_t count = fread(document, 1, (1 << 20) - 1, file);
    assert_true(count > 0);
    (void)fclose(file);
    return 0;
}

static int forget_document(void **state)
{
    free(document);
    return 0;
}

static const char *retry_name(enum retry retry)
{
    switch (retry) {
    case RETRY_NEVER:
        return "never";
    case RETRY_LATER:
        return "later";
    case RETRY_OUTCOME:
        return "outcome";
    }
    UNREACHABLE();
}

static size_t lines_count(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, start)) != NULL; at++)
        count++;
    return count;
}

static void the_table_of_statuses_is_the_one_in_the_source(void **state)
{
    size_t wanted = 0;
    for (int i = 1; i < STATUS_COUNT; i++) {
        const struct status_info *info = status_info((enum status)i);
        char line[256];
        (void)snprintf(line, sizeof line, "\n| `%s` | %d | %s | %s | %s |\n", info->code,
                       info->http, effect_name(info->effect), retry_name(info->retry), info->title);
        if (strstr(document, line) == NULL)
            fail_msg("docs/http-api.md has no line%s", line);
        wanted++;
    }
    const char *table = strstr(document, "\n| type | HTTP | effect | retry | title |\n");
    assert_non_null(table);
    assert_int_equal(lines_count(table, "\n| `"), wanted); /* it ends the document */
}

static void every_route_and_each_of_its_parameters_is_described(void **state)
{
    static const char *const names[] = {
#define NAME(NAME, name) [QUERY_##NAME] = name,
        QUERY_TABLE(NAME)
#undef NAME
    };
    for (size_t i = 0; i < api_routes_count(); i++) {
        const struct api_route *route = api_route_at(i);
        char heading[128], next[] = "\n### ";
        (void)snprintf(heading, sizeof heading, "\n### `%s %s`\n", route->method_name,
                       route->pattern);
        char *section = strstr(document, heading);
        if (section == NULL)
            fail_msg("docs/http-api.md has no section%s", heading);
        char *end = strstr(section + 1, next);
        char saved = end == NULL ? '\0' : *end;
        if (end != NULL)
            *end = '\0';
        for (int j = 0; j < QUERY_COUNT; j++) {
            char parameter[32];
            (void)snprintf(parameter, sizeof parameter, "`%s", names[j]);
            if ((route->query_allowed & 1u << j) != 0 && strstr(section, parameter) == NULL)
                fail_msg("nothing about %s in%s", names[j], heading);
        }
        if (end != NULL)
            *end = saved;
    }
}

static void an_unknown_parameter_is_answered_with_all_that_the_route_takes(void **state)
{
    static const char *const names[] = {
#define NAME(NAME, name) [QUERY_##NAME] = name,
        QUERY_TABLE(NAME)
#undef NAME
    };
    char longest[300];
    memset(longest, 'x', sizeof longest);
    for (size_t i = 0; i < api_routes_count(); i++) {
        const struct api_route *route = api_route_at(i);
        struct query query;
        struct errtext error;
        assert_int_equal(
            query_parse(bytes_of(longest, sizeof longest), route->query_allowed, &query, &error),
            ST_BAD_QUERY);
        for (int j = 0; j < QUERY_COUNT; j++)
            if ((route->query_allowed & 1u << j) != 0 && strstr(error.text, names[j]) == NULL)
                fail_msg("%s is cut off: %s", names[j], error.text);
    }
}

static void every_status_has_advice_and_a_reply_line(void **state)
{
    for (int i = 1; i < STATUS_COUNT; i++) {
        int code = status_info((enum status)i)->http;
        bool is_known = false;
        for (size_t j = 0; j < reply_codes_count(); j++)
            is_known = is_known || reply_code_at(j) == code;
        assert_true(is_known);
        const struct status_info *info = status_info((enum status)i);
        if (problem_advice((enum status)i, info->effect)[0] == '\0')
            fail_msg("no advice for %s", info->code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_statuses_is_the_one_in_the_source),
        cmocka_unit_test(every_route_and_each_of_its_parameters_is_described),
        cmocka_unit_test(an_unknown_parameter_is_answered_with_all_that_the_route_takes),
        cmocka_unit_test(every_status_has_advice_and_a_reply_line),
    };
    return cmocka_run_group_tests(tests, read_document, forget_document);
}
