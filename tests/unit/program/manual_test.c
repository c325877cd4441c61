/* Manual: the same description as help text and as roff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "program/manual.h"

static char *rendered(bool is_roff, void (*describe)(struct manual *))
{
    char *text = NULL;
    size_t count = 0;
    FILE *out = open_memstream(&text, &count);
    assert_non_null(out);
    struct manual manual = {out, is_roff};
    describe(&manual);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void describe_small(struct manual *manual)
{
    manual_begin(manual, "tool", "does things");
    manual_section(manual, "Options");
    manual_item(manual, "--all", "Take .all of them.");
    manual_line(manual, ".tool --all");
}

static void describe_long(struct manual *manual)
{
    manual_paragraph(manual, "one two three four five six seven eight nine ten eleven twelve "
                             "thirteen fourteen fifteen");
    manual_paragraph(manual, "……………………………… ……………………………… ………………………………");
}

static void help_is_indented_text(void **state)
{
    (void)state;
    char *text = rendered(false, describe_small);
    assert_string_equal(text, "tool: does things\n\nOptions\n  --all\n      Take .all of them.\n"
                              "  .tool --all\n");
    free(text);
}

static void roff_escapes_hyphens_and_leading_dots(void **state)
{
    (void)state;
    char *text = rendered(true, describe_small);
    assert_string_equal(text, ".TH TOOL 1 \"\" \"MiniKV " MINIKV_VERSION "\" \"MiniKV\"\n"
                              ".SH NAME\ntool \\- does things\n.SH OPTIONS\n"
                              ".TP\n.B \\-\\-all\nTake .all of them.\n"
                              ".PP\n.nf\n\\&.tool \\-\\-all\n.fi\n");
    free(text);
}

static void no_line_is_wider_than_80_columns(void **state)
{
    (void)state;
    char *text = rendered(false, describe_long);
    size_t lines_count = 0;
    for (char *rest = text; *rest != '\0'; lines_count++) {
        char *line = strsep(&rest, "\n");
        size_t columns = 0;
        for (; *line != '\0'; line++)
            columns += ((unsigned char)*line & 0xc0) != 0x80;
        assert_in_range(columns, 3, 80);
        if (rest == NULL)
            break;
    }
    assert_int_equal(lines_count, 3); /* counted in bytes, the second would need two lines */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_is_indented_text),
        cmocka_unit_test(roff_escapes_hyphens_and_leading_dots),
        cmocka_unit_test(no_line_is_wider_than_80_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
