/* The command line, lines of a file of seeds, and what a seed draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "sim/swarm/options.h"

#define PARSE(...) parse((const char *const[]){"minikv-sim", __VA_ARGS__, NULL})

static struct options options;
static struct errtext error;

static enum status parse(const char *const *words)
{
    int count = 0;
    while (words[count] != NULL)
        count++;
    error.text[0] = '\0';
    return options_parse(&options, count, words, &error);
}

static void values_stand_behind_their_option_or_in_the_same_word(void **state)
{
    assert_int_equal(PARSE("--seeds", "5-9", "-j2", "--time=1500ms", "--nodes", "3"), ST_OK);

    assert_int_equal(options.seed_first, 5);
    assert_int_equal(options.seed_last, 9);
    assert_int_equal(options.jobs, 2);
    assert_int_equal(options.pins.duration, 1500 * TIME_US_PER_MS);
    assert_int_equal(options.pins.nodes_count, 3);
}

static void faults_are_named(void **state)
{
    assert_int_equal(PARSE("--faults", "crash,cut"), ST_OK);
    assert_int_equal(options.pins.faults, 1u << FAULT_CRASH | 1u << FAULT_CUT);
    assert_int_equal(PARSE("--faults", "none"), ST_OK);
    assert_int_equal(options.pins.faults, 0);
    assert_int_equal(PARSE("--without", "members,old-disk"), ST_OK);
    assert_int_equal(options.pins.without, 1u << FAULT_MEMBERS | 1u << FAULT_OLD_DISK);
    assert_int_equal(PARSE("--faults", "all"), ST_OK);
    assert_int_equal(options.pins.faults, (1u << FAULT_COUNT) - 1);
}

static void nonsense_is_refused_with_a_word_that_helps(void **state)
{
    assert_int_equal(PARSE("--sed", "1"), ST_BAD_REQUEST);
    assert_non_null(strstr(error.text, "--seed"));
    assert_int_equal(PARSE("--faults", "crahs"), ST_BAD_REQUEST);
    assert_non_null(strstr(error.text, "crash"));
    assert_int_equal(PARSE("--nodes", "8"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--nodes", "0"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--seeds", "9-5"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--seeds", "9"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--seed", "-1"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--time", "10h"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--seed"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--trace"), ST_BAD_REQUEST);
    assert_int_equal(PARSE("--seed", "1", "--file", "x"), ST_BAD_REQUEST);
}

static void a_line_of_a_file_has_a_seed_options_and_a_comment(void **state)
{
    char line[] = " 77 --nodes 3 --faults crash  # double vote\n", empty[] = "  # nothing\n",
         bad[] = "seven\n";

    assert_int_equal(options_parse_line(&options, line, &error), ST_OK);
    assert_int_equal(options.seed_first, 77);
    assert_int_equal(options.pins.nodes_count, 3);
    assert_int_equal(options_parse_line(&options, empty, &error), ST_NOT_FOUND);
    assert_int_equal(options_parse_line(&options, bad, &error), ST_BAD_REQUEST);
}

static void what_is_printed_to_run_it_again_is_what_was_run(void **state)
{
    char text[OPTIONS_PINS_BYTES], line[OPTIONS_PINS_BYTES + 16];
    struct plan_pins pins = {.nodes_count = 5,
                             .duration = 1234 * TIME_US_PER_MS,
                             .operations_max = 17,
                             .clients_count = 2,
                             .has_customers = true,
                             .customers_count = 0,
                             .has_faults = true,
                             .faults = 1u << FAULT_TORN | 1u << FAULT_ROT};

    (void)snprintf(line, sizeof line, "3%s", options_format_pins(&pins, text));

    assert_int_equal(options_parse_line(&options, line, &error), ST_OK);
    assert_int_equal(options.pins.nodes_count, pins.nodes_count);
    assert_int_equal(options.pins.duration, pins.duration);
    assert_int_equal(options.pins.operations_max, pins.operations_max);
    assert_int_equal(options.pins.clients_count, pins.clients_count);
    assert_true(options.pins.has_customers);
    assert_int_equal(options.pins.customers_count, 0);
    assert_int_equal(options.pins.faults, pins.faults);
}

static void a_seed_always_draws_the_same_and_pins_move_nothing_else(void **state)
{
    struct plan_pins none = {0}, three = {.nodes_count = 3};
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct plan first, second, pinned;

        plan_draw(&first, seed, &none);
        plan_draw(&second, seed, &none);
        plan_draw(&pinned, seed, &three);

        assert_memory_equal(&first, &second, sizeof first);
        assert_int_equal(pinned.nodes_count, 3);
        pinned.nodes_count = first.nodes_count;
        assert_memory_equal(&first, &pinned, sizeof first);
    }
}

static void half_of_the_seeds_leave_out_about_half_of_the_faults(void **state)
{
    struct plan_pins none = {0};
    unsigned complete_count = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct plan plan;
        plan_draw(&plan, seed, &none);
        complete_count +=
            (plan.faults | 1u << FAULT_WINDOWS | 1u << FAULT_DATA) == (1u << FAULT_COUNT) - 1;
    }
    assert_in_range(complete_count, 400, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stand_behind_their_option_or_in_the_same_word),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(nonsense_is_refused_with_a_word_that_helps),
        cmocka_unit_test(a_line_of_a_file_has_a_seed_options_and_a_comment),
        cmocka_unit_test(what_is_printed_to_run_it_again_is_what_was_run),
        cmocka_unit_test(a_seed_always_draws_the_same_and_pins_move_nothing_else),
        cmocka_unit_test(half_of_the_seeds_leave_out_about_half_of_the_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
