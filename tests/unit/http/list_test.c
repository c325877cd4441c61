/* GET /v1/kv: pages of a range, which are of one revision as far as their links are followed. */
#include "http_fixture.h"

static void put(struct rig *rig, const char *key, const char *value)
{
    node_double_put(rig->node, bytes_of_text(key), bytes_of_text(value));
}

static void forget(struct rig *rig, const char *key)
{
    node_double_do(rig->node, &(struct command){.op = COMMAND_DELETE, .key = bytes_of_text(key)});
}

static const char *get(struct rig *rig, const char *target)
{
    struct buf request;
    buf_init(&request, LIMIT_TARGET_BYTES + 1024);
    buf_printf(&request, "GET %s HTTP/1.1\r\n" H "\r\n", target);
    const char *reply = ask(rig, buf_text(&request));
    buf_release(&request);
    return reply;
}

/* The target of the Link in the first reply; empty: there is none. Borrowed until the next call. */
static const char *link_of(const char *reply)
{
    static char target[LIMIT_TARGET_BYTES + 64];
    const char *end = strstr(reply, "\r\n\r\n");
    const char *link = strstr(reply, "\r\nLink: <");
    target[0] = '\0';
    if (link == NULL || link > end)
        return target;
    link += sizeof "\r\nLink: <" - 1;
    size_t count = strcspn(link, ">");
    assert_true(count < sizeof target);
    assert_int_equal(strncmp(link + count, ">; rel=\"next\"\r\n", 15), 0);
    memcpy(target, link, count);
    target[count] = '\0';
    return target;
}

static void a_page_lists_keys_in_order_and_says_where_it_goes_on(void **state)
{
    struct rig *rig = *state;
    put(rig, "b/2", "y");
    put(rig, "a", "x");
    put(rig, "b/1", "z");

    assert_has(get(rig, "/v1/kv?limit=2"),
               "{\"items\":[{\"key\":\"a\",\"value\":\"x\",\"create_revision\":3,"
               "\"mod_revision\":3,\"version\":1,\"lease\":0},{\"key\":\"b/1\",\"value\":\"z\","
               "\"create_revision\":4,\"mod_revision\":4,\"version\":1,\"lease\":0}],"
               "\"next\":\"b/1\",\"revision\":4}\n");
    assert_has(get(rig, "/v1/kv?limit=2&after=b/1"), "{\"items\":[{\"key\":\"b/2\"");
    assert_has(get(rig, "/v1/kv?after=b/2"), "{\"items\":[],\"next\":null,\"revision\":4}\n");
    assert_has(get(rig, "/v1/kv?keys_only&prefix=b%2F&limit=1"),
               "{\"items\":[{\"key\":\"b/1\",\"create_revision\":4,");
    assert_has(get(rig, "/v1/kv?start=b&end=b/2"), "{\"items\":[{\"key\":\"b/1\"");
    assert_lacks(get(rig, "/v1/kv?start=b&end=b/2"), "b/2");
}

static void the_place_to_go_on_from_may_be_bytes(void **state)
{
    struct rig *rig = *state;
    put(rig, "\xff\x01", "x");
    put(rig, "\xff\x02", "y");
    assert_has(get(rig, "/v1/kv?limit=1"), "],\"next_base64\":\"/wE=\",\"revision\":3}");
    assert_has(get(rig, "/v1/kv?after=%ff%01"), "\"key_base64\":\"/wI=\"");
    assert_problem(get(rig, "/v1/kv?after=%f"), 400, "bad-encoding");
}

static void a_page_ends_before_it_grows_too_long(void **state)
{
    struct rig *rig = *state;
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_VALUE_BYTES); /* as JSON six times as long */
    for (uint8_t i = 0; i < 3; i++) {
        node_double_put(rig->node, bytes_of(&i, 1), buf_bytes(&value));
        for (size_t j = 0; j < value.count; j++)
            value.data[j] = 'a';
    }
    buf_release(&value);

    const char *first = get(rig, "/v1/kv");
    const char *rest = get(rig, "/v1/kv?after=%00");

    assert_has(first, "],\"next\":\"\\u0000\",");
    assert_has(rest, "],\"next\":null,");
}

static void a_link_leads_to_the_next_page_of_the_same_revision(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "1");
    put(rig, "b", "2");
    put(rig, "c d", "3"); /* revision 4 */

    const char *first = get(rig, "/v1/kv?limit=1&keys_only");
    assert_string_equal(link_of(first), "/v1/kv?limit=1&keys_only&after=a&rev=4");
    put(rig, "aa", "new"); /* 5 */
    forget(rig, "b");      /* 6 */
    put(rig, "c d", "changed");

    const char *second = get(rig, link_of(first));
    assert_has(second, "{\"items\":[{\"key\":\"b\",\"create_revision\":3,\"mod_revision\":3,");
    assert_has(second, "],\"next\":\"b\",\"revision\":4}\n");
    const char *third = get(rig, link_of(second));
    assert_has(third, "[{\"key\":\"c d\",\"create_revision\":4,\"mod_revision\":4,\"version\":1,");
    assert_has(third, "],\"next\":null,\"revision\":4}\n");
    assert_string_equal(link_of(third), "");

    /* Without a revision each page is of the present. */
    assert_has(get(rig, "/v1/kv?limit=1&after=a"), "[{\"key\":\"aa\",");
}

static void a_link_repeats_the_request_and_moves_its_place(void **state)
{
    struct rig *rig = *state;
    put(rig, "p/\xff+&", "1");
    put(rig, "p/\xff+'", "1");
    put(rig, "p/\xff+(", "1"); /* revision 4 */
    put(rig, "late", "1");

    assert_string_equal(
        link_of(get(rig, "/v1/kv?rev=4&prefix=p/&limit=1&&consistency=stale&route=forward")),
        "/v1/kv?prefix=p/&limit=1&consistency=stale&route=forward&after=p%2F%FF%2B%26&rev=4");
    assert_string_equal(
        link_of(get(rig, "/v1/kv?after=p/%ff%2b%26&prefix=p/&limit=1&rev=4&order=asc")),
        "/v1/kv?prefix=p/&limit=1&order=asc&after=p%2F%FF%2B%27&rev=4");
    assert_string_equal(link_of(get(rig, "/v1/kv?prefix=p/&start=%00<\">&limit=1")),
                        "/v1/kv?prefix=p/&start=%00%3C%22%3E&limit=1&after=p%2F%FF%2B%26&rev=5");
}

/* Every key and parameter percent-encoded, so that two of them fill a target. */
static void put_zeros(struct buf *out, const char *name, size_t zeros, size_t letters)
{
    buf_put_text(out, name);
    for (size_t i = 0; i < zeros; i++)
        buf_put_text(out, "%00");
    for (size_t i = 0; i < letters; i++)
        buf_put_text(out, "a");
}

static void a_link_that_nobody_could_send_is_left_out(void **state)
{
    struct rig *rig = *state;
    static const char *const flags[] = {"&keys_only", "&keys_only=true"};
    size_t checked = 0;
    for (size_t i = 0; i < 2 * 10; i++) {
        const size_t zeros = 2720;
        size_t letters = 1 + i % 10;
        const char *flag = flags[i / 10];
        char key[3000] = {0};
        memset(key + zeros, 'a', letters + 1);
        node_double_put(rig->node, bytes_of(key, zeros + letters), BYTES_LITERAL("v"));
        node_double_put(rig->node, bytes_of(key, zeros + letters + 1), BYTES_LITERAL("v"));
        struct buf request, link;
        buf_init(&request, LIMIT_TARGET_BYTES);
        buf_init(&link, SIZE_MAX);
        put_zeros(&request, "/v1/kv?prefix=", zeros, letters);
        buf_printf(&request, "&limit=1%s&rev=%zu", flag, 3 + 2 * i);
        put_zeros(&link, "/v1/kv?prefix=", zeros, letters);
        buf_printf(&link, "&limit=1%s", flag);
        put_zeros(&link, "&after=", zeros, letters);
        buf_printf(&link, "&rev=%zu", 3 + 2 * i);

        const char *reply = get(rig, buf_text(&request));

        assert_int_equal(code_of(reply), 200);
        assert_has(reply, "],\"next\":\"\\u0000");
        bool fits = link.count <= LIMIT_TARGET_BYTES;
        assert_string_equal(link_of(reply), fits ? buf_text(&link) : "");
        checked += link.count == LIMIT_TARGET_BYTES || link.count == LIMIT_TARGET_BYTES + 1;
        buf_release(&request);
        buf_release(&link);
    }
    assert_int_equal(checked, 2);
}

static void a_listing_can_be_had_from_its_end(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "1");
    put(rig, "b", "2");
    put(rig, "c", "3"); /* revision 4 */

    const char *first = get(rig, "/v1/kv?order=desc&limit=2");
    assert_has(first, "[{\"key\":\"c\",");
    assert_has(first, "},{\"key\":\"b\",");
    assert_has(first, "],\"next\":\"b\",\"revision\":4}\n");
    assert_string_equal(link_of(first), "/v1/kv?order=desc&limit=2&after=b&rev=4");
    assert_has(get(rig, link_of(first)), "{\"items\":[{\"key\":\"a\",");
    assert_has(get(rig, link_of(first)), "],\"next\":null,\"revision\":4}\n");
    assert_has(get(rig, "/v1/kv?order=desc&start=b&end=c"), "{\"items\":[{\"key\":\"b\",");
    assert_has(get(rig, "/v1/kv?order=asc&limit=1"), "{\"items\":[{\"key\":\"a\",");
    assert_problem(get(rig, "/v1/kv?order=down"), 400, "bad-query");
    assert_problem(get(rig, "/v1/kv?order"), 400, "bad-query");
}

static void a_listing_can_be_had_as_it_was(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "1"); /* revision 2 */
    put(rig, "b", "2"); /* 3 */
    put(rig, "a", "3"); /* 4 */
    forget(rig, "b");   /* 5 */

    assert_has(get(rig, "/v1/kv?rev=1"), "{\"items\":[],\"next\":null,\"revision\":1}\n");
    assert_has(get(rig, "/v1/kv?rev=3&keys_only"),
               "{\"items\":[{\"key\":\"a\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,"
               "\"lease\":0},{\"key\":\"b\",");
    assert_has(get(rig, "/v1/kv?rev=4"), "{\"key\":\"a\",\"value\":\"3\",\"create_revision\":2,"
                                         "\"mod_revision\":4,\"version\":2,\"lease\":0},{\"key\":");
    assert_lacks(get(rig, "/v1/kv?rev=5"), "\"key\":\"b\"");
    assert_has(get(rig, "/v1/kv?rev=3&count_only"), ",\"revision\":3,\"count\":2}\n");
    assert_problem(get(rig, "/v1/kv?rev=6"), 400, "revision-future");
    assert_problem(get(rig, "/v1/kv?rev=6&count_only"), 400, "revision-future");

    node_double_compact(rig->node, 4);
    static const char *const gone[] = {"/v1/kv?rev=3", "/v1/kv?rev=3&count_only",
                                       "/v1/kv?rev=3&consistency=stale&count_only"};
    for (size_t i = 0; i < ARRAY_COUNT(gone); i++) {
        assert_problem(get(rig, gone[i]), 410, "compacted");
        assert_has(get(rig, gone[i]), "\r\nX-MiniKV-Compacted: 4\r\n");
    }
    assert_has(get(rig, "/v1/kv?rev=4&count_only"), ",\"revision\":4,\"count\":2}\n");
}

static void a_page_has_a_thousand_items_at_most(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i <= LIMIT_LIST_ITEMS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%04d", i);
        put(rig, key, "");
    }
    assert_has(get(rig, "/v1/kv"), "],\"next\":\"0999\",");
    assert_has(get(rig, "/v1/kv?limit=1000"), "],\"next\":\"0999\",");
    assert_has(get(rig, "/v1/kv?limit=999"), "],\"next\":\"0998\",");
    assert_has(get(rig, "/v1/kv?limit=1000&start=0001"), "],\"next\":null,");
    assert_problem(get(rig, "/v1/kv?limit=1001"), 400, "bad-query");
    assert_problem(get(rig, "/v1/kv?limit=0"), 400, "bad-query");
    assert_problem(get(rig, "/v1/kv?keys_only=maybe"), 400, "bad-query");
}

static void put_long(struct rig *rig, const char *key, size_t bytes)
{
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    for (size_t i = 0; i < bytes; i++)
        buf_put_u8(&value, 'x');
    node_double_put(rig->node, bytes_of_text(key), buf_bytes(&value));
    buf_release(&value);
}

/* What ends it is not counted. */
static void a_page_has_four_mib_at_most(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 10; i++)
        put(rig, "z", ""); /* revisions have two digits from now on */
    for (int i = 0; i < 4; i++)
        put_long(rig, (const char *[]){"p/0", "p/1", "p/2", "p/3"}[i], 1000000);
    put_long(rig, "p/4", 1);
    const char *page = strstr(get(rig, "/v1/kv?prefix=p/"), "\r\n\r\n") + 4;
    size_t counted = (size_t)(strstr(page, "],\"next\":null") - page);

    put_long(rig, "p/4", 1 + LIMIT_LIST_BYTES - counted);
    assert_has(get(rig, "/v1/kv?prefix=p/"), "],\"next\":null,");
    put_long(rig, "p/4", 2 + LIMIT_LIST_BYTES - counted);
    assert_has(get(rig, "/v1/kv?prefix=p/"), "],\"next\":\"p/3\",");
}

static void bounds_are_as_long_as_keys_and_no_longer(void **state)
{
    struct rig *rig = *state;
    static const char *const names[] = {"prefix", "start", "end", "after"};
    for (size_t i = 0; i < 2 * ARRAY_COUNT(names); i++) {
        char target[LIMIT_KEY_BYTES + 64];
        size_t bytes = LIMIT_KEY_BYTES + i % 2;
        int count = snprintf(target, sizeof target, "/v1/kv?%s=", names[i / 2]);
        memset(target + count, 'k', bytes);
        target[(size_t)count + bytes] = '\0';
        if (i % 2 == 0)
            assert_int_equal(code_of(get(rig, target)), 200);
        else
            assert_problem(get(rig, target), 414, "key-too-long");
    }
}

static void a_count_says_how_many_and_nothing_else(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 30; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%s%02d", i < 20 ? "a" : "b", i);
        put(rig, key, "v");
    }
    const char *all = get(rig, "/v1/kv?count_only");
    assert_has(all, "\r\nContent-Type: application/json\r\n");
    assert_has(all, "\r\n\r\n{\"items\":[],\"next\":null,\"revision\":31,\"count\":30}\n");
    assert_string_equal(link_of(all), "");
    assert_has(get(rig, "/v1/kv?count_only&prefix=a&limit=3"), ",\"count\":20}\n");
    assert_has(get(rig, "/v1/kv?count_only&start=a05&end=b21"), ",\"count\":16}\n");
    assert_has(get(rig, "/v1/kv?count_only&after=a05&prefix=a"), ",\"count\":14}\n");
    assert_has(get(rig, "/v1/kv?count_only&after=a05&order=desc"), ",\"count\":5}\n");
    assert_has(get(rig, "/v1/kv?count_only&prefix=c"), ",\"count\":0}\n");
    assert_has(get(rig, "/v1/kv?count_only=false&limit=1"), ",\"revision\":31}\n");
    assert_problem(get(rig, "/v1/kv?count_only=perhaps"), 400, "bad-query");
    assert_int_equal(rig->http->walks.count, 0);
}

static void head_of_a_listing_has_its_link_and_no_body(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "1");
    put(rig, "b", "1");
    const char *head = ask(rig, "HEAD /v1/kv?limit=1 HTTP/1.1\r\n" H "\r\n");
    assert_string_equal(link_of(head), "/v1/kv?limit=1&after=a&rev=3");
    assert_lacks(head, "items");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_page_lists_keys_in_order_and_says_where_it_goes_on),
        RIG_TEST(the_place_to_go_on_from_may_be_bytes),
        RIG_TEST(a_page_ends_before_it_grows_too_long),
        RIG_TEST(a_link_leads_to_the_next_page_of_the_same_revision),
        RIG_TEST(a_link_repeats_the_request_and_moves_its_place),
        RIG_TEST(a_link_that_nobody_could_send_is_left_out),
        RIG_TEST(a_listing_can_be_had_from_its_end),
        RIG_TEST(a_listing_can_be_had_as_it_was),
        RIG_TEST(a_page_has_a_thousand_items_at_most),
        RIG_TEST(a_page_has_four_mib_at_most),
        RIG_TEST(bounds_are_as_long_as_keys_and_no_longer),
        RIG_TEST(a_count_says_how_many_and_nothing_else),
        RIG_TEST(head_of_a_listing_has_its_link_and_no_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
