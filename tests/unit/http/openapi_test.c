/* docs/openapi.json says what the table of routes says, and is what the server gives out. */
#include "http_fixture.h"

#include <jansson.h>

#include "http/api.h"

static json_t *document;

static int read_document(void **state)
{
    json_error_t error;
    document =
        json_load_file(TEST_SOURCE_DIR "/../docs/openapi.json", JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        fail_msg("docs/openapi.json:%d: %s", error.line, error.text);
    return 0;
}

static int forget_document(void **state)
{
    json_decref(document);
    return 0;
}

/* ---- reading it ---- */

/* What "#/a/b" is; NULL: nothing. */
static json_t *at(const char *pointer)
{
    char name[128];
    json_t *found = document;
    assert_int_equal(strncmp(pointer, "#/", 2), 0);
    for (pointer += 2; found != NULL && *pointer != '\0';) {
        size_t count = strcspn(pointer, "/");
        assert_true(count < sizeof name);
        memcpy(name, pointer, count);
        name[count] = '\0';
        found = json_object_get(found, name);
        pointer += count + (pointer[count] == '/');
    }
    return found;
}

static json_t *resolve(json_t *value)
{
    const char *pointer = json_string_value(json_object_get(value, "$ref"));
    return pointer == NULL ? value : at(pointer);
}

static json_t *operation_of(const struct api_route *route)
{
    char method[8];
    size_t count = strlen(route->method_name);
    assert_true(count < sizeof method);
    for (size_t i = 0; i <= count; i++)
        method[i] = (char)(route->method_name[i] | (i < count ? 0x20 : 0));
    json_t *path = json_object_get(json_object_get(document, "paths"), route->pattern);
    json_t *operation = json_object_get(path, method);
    if (operation == NULL)
        fail_msg("docs/openapi.json has no %s %s", route->method_name, route->pattern);
    return operation;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static json_t *parameter_of(const json_t *operation, const char *where, const char *name)
{
    size_t i;
    json_t *value, *found = NULL;
    json_array_foreach(json_object_get(operation, "parameters"), i, value)
    {
        json_t *parameter = resolve(value);
        if (strcmp(text_of(parameter, "in"), where) != 0 ||
            strcmp(text_of(parameter, "name"), name) != 0)
            continue;
        assert_null(found);
        found = parameter;
    }
    return found;
}

static void assert_parameter(const struct api_route *route, const char *where, const char *name,
                             bool is_wanted)
{
    bool is_there = parameter_of(operation_of(route), where, name) != NULL;
    if (is_there != is_wanted)
        fail_msg("docs/openapi.json: %s %s %s the %s parameter %s", route->method_name,
                 route->pattern, is_there ? "does not take" : "lacks", where, name);
}

/* ---- tests ---- */

static const char *const query_names[] = {
#define NAME(NAME, name) [QUERY_##NAME] = name,
    QUERY_TABLE(NAME)
#undef NAME
};

static void every_route_is_in_it_with_all_that_it_takes(void **state)
{
    for (size_t i = 0; i < api_routes_count(); i++) {
        const struct api_route *route = api_route_at(i);
        bool is_once = route->identity == API_IDENTITY_TAKEN;
        for (int j = 0; j < QUERY_COUNT; j++)
            assert_parameter(route, "query", query_names[j], (route->query_allowed & 1u << j) != 0);
        assert_parameter(route, "path", "key", route->has_key);
        assert_parameter(route, "path", "client", route->has_client);
        assert_parameter(route, "path", "lease", strstr(route->pattern, "{lease}") != NULL);
        assert_parameter(route, "header", "If-Match", route->takes_condition);
        assert_parameter(route, "header", "If-None-Match", route->takes_condition);
        assert_parameter(route, "header", "X-MiniKV-Client-Id", is_once);
        assert_parameter(route, "header", "X-MiniKV-Sequence", is_once);
        assert_parameter(route, "header", "X-MiniKV-Acked", is_once);
        assert_parameter(route, "header", "Idempotency-Key", is_once);
        json_t *body = json_object_get(operation_of(route), "requestBody");
        if ((body != NULL) != route->takes_body)
            fail_msg("docs/openapi.json: body of %s %s", route->method_name, route->pattern);
    }
}

static void nothing_else_is_in_it(void **state)
{
    size_t count = 0, i;
    const char *pattern, *method;
    json_t *path, *operation, *value;
    json_object_foreach(json_object_get(document, "paths"), pattern, path)
    {
        json_object_foreach(path, method, operation)
        {
            count++;
            json_array_foreach(json_object_get(operation, "parameters"), i, value)
            {
                json_t *parameter = resolve(value);
                const char *name = text_of(parameter, "name");
                bool is_known = strcmp(text_of(parameter, "in"), "query") != 0;
                for (int j = 0; j < QUERY_COUNT; j++)
                    is_known = is_known || strcmp(name, query_names[j]) == 0;
                if (!is_known)
                    fail_msg("docs/openapi.json: %s %s takes %s", method, pattern, name);
            }
        }
    }
    assert_int_equal(count, api_routes_count()); /* and each route is there */
}

/* Follows every reference, and counts those to each component. */
static void visit(json_t *value, json_t *seen)
{
    const char *name;
    json_t *member;
    size_t i;
    const char *pointer = json_string_value(json_object_get(value, "$ref"));
    if (pointer != NULL && at(pointer) == NULL)
        fail_msg("docs/openapi.json has no %s", pointer);
    if (pointer != NULL)
        (void)json_object_set_new(seen, pointer, json_true());
    json_object_foreach(value, name, member) visit(member, seen);
    json_array_foreach(value, i, member) visit(member, seen);
}

static void all_that_is_referred_to_is_there_and_the_reverse(void **state)
{
    const char *kind, *name;
    json_t *components, *component, *seen = json_object();
    visit(document, seen);
    json_object_foreach(json_object_get(document, "components"), kind, components)
    {
        json_object_foreach(components, name, component)
        {
            char pointer[256];
            (void)snprintf(pointer, sizeof pointer, "#/components/%s/%s", kind, name);
            if (json_object_get(seen, pointer) == NULL)
                fail_msg("docs/openapi.json: nothing refers to %s", pointer);
        }
    }
    json_decref(seen);
}

static void operations_have_names_of_their_own(void **state)
{
    json_t *names = json_object();
    for (size_t i = 0; i < api_routes_count(); i++) {
        const char *name = text_of(operation_of(api_route_at(i)), "operationId");
        assert_true(name[0] != '\0');
        if (json_object_get(names, name) != NULL)
            fail_msg("docs/openapi.json: two operations are called %s", name);
        (void)json_object_set_new(names, name, json_true());
    }
    json_decref(names);
}

static void the_server_gives_it_out(void **state)
{
    struct rig *rig = *state;
    json_error_t error;
    const char *reply = ask(rig, "GET /openapi.json HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(code_of(reply), 200);
    assert_has(reply, "\r\nContent-Type: application/json\r\n");
    json_t *served = json_loads(strstr(reply, "\r\n\r\n") + 4, 0, &error);
    assert_true(json_equal(served, document));
    json_decref(served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_in_it_with_all_that_it_takes),
        cmocka_unit_test(nothing_else_is_in_it),
        cmocka_unit_test(all_that_is_referred_to_is_there_and_the_reverse),
        cmocka_unit_test(operations_have_names_of_their_own),
        RIG_TEST(the_server_gives_it_out),
    };
    return cmocka_run_group_tests(tests, read_document, forget_document);
}
