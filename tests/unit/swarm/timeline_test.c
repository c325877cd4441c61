/* The page that a run becomes: whole, self-contained, bounded. That it can be read is for people to
 * judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "sim/swarm/fleet.h"
#include "sim/swarm/timeline.h"

enum { PAGE_BYTES_MAX = 8 << 20 };

static const struct plan_pins pins = {.nodes_count = 3, .duration = 5000 * TIME_US_PER_MS};

struct page {
    char *text; /* malloc'd by open_memstream */
    size_t count;
    bool is_violated;
};

static void draw(void *ctx, const struct swarm *swarm)
{
    struct page *page = ctx;
    struct swarm *changed = (struct swarm *)swarm; /* as if an oracle had spoken in the end */
    if (page->is_violated)
        swarm_violate(changed, VERDICT_SAFETY, "truth", "#1 is \"less\" < more </script> \\ n");
    FILE *out = open_memstream(&page->text, &page->count);
    assert_non_null(out);
    timeline_write(out, swarm, &pins);
    assert_int_equal(fclose(out), 0);
}

static void play(struct page *page)
{
    struct fleet_case run = {7, pins};
    struct trace trace = {.keeps = true};
    struct fleet_result result;
    fleet_run(&run, &trace, draw, page, &result);
    assert_int_equal(result.verdict, VERDICT_PASS);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        count++;
    return count;
}

static void a_page_holds_everything_and_asks_for_nothing(void **state)
{
    struct page page = {0};
    (void)state;

    play(&page);

    assert_true(page.count < PAGE_BYTES_MAX);
    assert_non_null(strstr(page.text, "\"seed\":7,\"verdict\":\"pass\",\"nodes\":3"));
    assert_non_null(strstr(page.text, "\"leads in term "));
    assert_string_equal(page.text + page.count - strlen("</html>\n"), "</html>\n");
    assert_int_equal(count_of(page.text, "://"), 0);
    assert_int_equal(count_of(page.text, "src="), 0);
    assert_int_equal(count_of(page.text, "DATA"), 0);
    assert_int_equal(count_of(page.text, "SCRIPT"), 0);
    free(page.text);
}

static void what_is_said_of_a_failure_cannot_end_the_data(void **state)
{
    struct page page = {.is_violated = true};
    (void)state;

    play(&page);

    assert_int_equal(count_of(page.text, "</script>"), 2);
    assert_non_null(strstr(page.text, "\"text\":\"#1 is \\u0022less\\u0022 \\u003c more "
                                      "\\u003c/script> \\u005c n\""));
    assert_non_null(strstr(page.text, "minikv-sim --seed 7 --nodes 3 --time 5000ms --trace"));
    free(page.text);
}

int main(void)
{
    diag_set_level(DIAG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_holds_everything_and_asks_for_nothing),
        cmocka_unit_test(what_is_said_of_a_failure_cannot_end_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
