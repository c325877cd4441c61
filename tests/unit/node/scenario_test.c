/* Plays the files of tests/scenario/node: commands above `----`, the expected trace below it. The
 * commands are listed in support/scene.h. REWRITE=1 in the environment writes what was traced into
 * the files; SCENARIO=NAME plays only those whose path has this in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/diag.h"
#include "base/mem.h"
#include "support/scene.h"

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = mem_alloc(SCENE_TRACE_BYTES_MAX);
    size_t count = fread(text, 1, SCENE_TRACE_BYTES_MAX - 1, file);
    text[count] = '\0';
    fclose(file);
    return text;
}

static void check_file(const char *path)
{
    char *text = read_file(path);
    struct buf played;
    buf_init(&played, SCENE_TRACE_BYTES_MAX);
    scene_play(text, &played);
    const char *got = buf_text(&played);
    bool is_same = strcmp(text, got) == 0;
    if (!is_same && getenv("REWRITE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(got, file);
        fclose(file);
        printf("rewrote %s\n", path);
        is_same = true;
    }
    if (!is_same)
        print_error("%s: the trace differs. Got:\n%s\n", path, got);
    buf_release(&played);
    mem_free(text);
    assert_true(is_same);
}

static int is_scenario(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".txt") == 0;
}

static void every_scenario_gives_its_expected_trace(void **state)
{
    const char *only = getenv("SCENARIO");
    struct dirent **names;
    int count = scandir(TEST_SOURCE_DIR "/scenario/node", &names, is_scenario, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, TEST_SOURCE_DIR "/scenario/node/%s", names[i]->d_name);
        if (only == NULL || strstr(path, only) != NULL)
            check_file(path);
        free(names[i]);
    }
    free(names);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scenario_gives_its_expected_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
