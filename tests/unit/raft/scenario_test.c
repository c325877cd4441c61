/* Runs every file in tests/scenario/raft: commands, a line ----, and the trace they must give.
 * tests/scenario/raft/README.md lists the commands. REWRITE=1 writes the traces anew, to be read
 * as a diff; SCENARIO=figure8 plays only the files with this in their name. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/raft/scenario.h"

#define FOLDER TEST_SOURCE_DIR "/scenario/raft"

enum { FILE_BYTES_MAX = 1 << 20 };

/* ---- the language ---- */

static void quiet_run(struct scenario *scenario, struct words *words);

static void execute(struct scenario *scenario, struct words *words)
{
    const char *verb = words->at[0];
    struct raft_event campaign = {.type = RAFT_EVENT_CAMPAIGN};
    if (strcmp(verb, "quiet") == 0)
        quiet_run(scenario, words);
    else if (strcmp(verb, "cluster") == 0)
        open_cluster(scenario, words);
    else if (strcmp(verb, "log") == 0)
        set_log(scenario, words);
    else if (strcmp(verb, "found") == 0)
        found_some(scenario, words);
    else if (strcmp(verb, "start") == 0)
        start_some(scenario, words);
    else if (strcmp(verb, "run") == 0)
        run(scenario);
    else if (strcmp(verb, "wait") == 0)
        wait_for(scenario, number_of(words->at[1]) * TIME_US_PER_MS);
    else if (strcmp(verb, "tick") == 0)
        tick(scenario, replica_of(scenario, words->at[1]));
    else if (strcmp(verb, "deliver") == 0)
        deliver(scenario, words);
    else if (strcmp(verb, "campaign") == 0)
        (void)replica_step(replica_of(scenario, words->at[1]), campaign);
    else if (strcmp(verb, "elect") == 0)
        elect(scenario, words);
    else if (strcmp(verb, "propose") == 0)
        propose(scenario, words);
    else if (strcmp(verb, "change") == 0)
        change(scenario, words);
    else if (strcmp(verb, "read") == 0)
        replica_read(replica_of(scenario, words->at[1]));
    else if (strcmp(verb, "transfer") == 0)
        transfer(scenario, words);
    else if (strcmp(verb, "snapshot") == 0)
        take_snapshot(scenario, words);
    else if (strcmp(verb, "install") == 0)
        install(scenario, words);
    else if (strcmp(verb, "link") == 0)
        tell_link(scenario, words);
    else if (strcmp(verb, "cut") == 0)
        set_cut(scenario, words, true);
    else if (strcmp(verb, "heal") == 0)
        set_cut(scenario, words, false);
    else if (strcmp(verb, "only") == 0)
        set_only(scenario, words);
    else if (strcmp(verb, "hold") == 0)
        scenario->is_disk_held[number_of(words->at[1])] = true;
    else if (strcmp(verb, "release") == 0)
        scenario->is_disk_held[number_of(words->at[1])] = false;
    else if (strcmp(verb, "sync") == 0)
        replica_sync(replica_of(scenario, words->at[1]),
                     replica_of(scenario, words->at[1])->writes_count);
    else if (strcmp(verb, "crash") == 0)
        replica_crash(replica_of(scenario, words->at[1]), 0);
    else if (strcmp(verb, "state") == 0)
        put_states(scenario, words);
    else if (strcmp(verb, "logs") == 0)
        put_logs(scenario);
    else
        buf_printf(scenario->trace, "unknown command: %s\n", verb);
}

/* "quiet <command>": its effects without its trace. */
static void quiet_run(struct scenario *scenario, struct words *words)
{
    size_t before = scenario->trace->count;
    words->count--;
    memmove(words->at, words->at + 1, words->count * sizeof words->at[0]);
    execute(scenario, words);
    scenario->trace->count = before;
}

static void execute_line(struct scenario *scenario, char *line)
{
    struct words words = {0};
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        REQUIRE(words.count < WORDS_MAX);
        words.at[words.count++] = word;
    }
    if (words.count > 0)
        execute(scenario, &words);
}

/* ---- files ---- */

static char *next_line(char **text)
{
    char *line = *text;
    if (*line == '\0')
        return NULL;
    char *end = strchr(line, '\n');
    *text = end == NULL ? line + strlen(line) : end + 1;
    if (end != NULL)
        *end = '\0';
    return line;
}

/* Runs the file; `out` is the file with the traces it gave now. */
static void run_text(char *text, struct buf *out)
{
    struct scenario *scenario = mem_alloc(sizeof *scenario);
    struct buf trace;
    buf_init(&trace, FILE_BYTES_MAX);
    scenario->trace = &trace;
    bool is_expected = false;
    for (char *line = next_line(&text); line != NULL; line = next_line(&text)) {
        if (is_expected && line[0] != '\0')
            continue; /* the old trace */
        is_expected = false;
        buf_printf(out, "%s\n", line);
        if (strcmp(line, "----") == 0) {
            buf_put(out, buf_bytes(&trace));
            buf_reset(&trace);
            is_expected = true;
        } else if (line[0] != '#') {
            execute_line(scenario, line);
        }
    }
    close_world(scenario);
    buf_release(&trace);
    mem_free(scenario);
}

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = mem_alloc(FILE_BYTES_MAX + 1);
    size_t count = fread(text, 1, FILE_BYTES_MAX, file);
    text[count] = '\0';
    fclose(file);
    return text;
}

static void rewrite(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Shows the first line that differs, with where it is. */
static bool is_same(const char *path, const char *want, const char *got)
{
    int number = 1;
    while (*want != '\0' && *want == *got) {
        number += *want == '\n';
        want++;
        got++;
    }
    if (*want == *got)
        return true;
    while (want[-1] != '\n') {
        want--;
        got--;
    }
    print_error("%s:%d:\n  want: %.*s\n  got:  %.*s\n", path, number, (int)strcspn(want, "\n"),
                want, (int)strcspn(got, "\n"), got);
    return false;
}

static bool run_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", FOLDER, name);
    scenario_running = path;
    char *want = read_whole(path);
    char *text = read_whole(path);
    struct buf got;
    buf_init(&got, FILE_BYTES_MAX);
    run_text(text, &got);

    bool is_good = true;
    if (getenv("REWRITE") != NULL)
        rewrite(path, buf_text(&got));
    else
        is_good = is_same(path, want, buf_text(&got));
    buf_release(&got);
    mem_free(want);
    mem_free(text);
    return is_good;
}

static int is_scenario(const struct dirent *entry)
{
    size_t count = strlen(entry->d_name);
    return count > 4 && strcmp(entry->d_name + count - 4, ".txt") == 0;
}

static void every_scenario_gives_its_trace(void **state)
{
    (void)state;
    struct dirent **entries = NULL;
    int count = scandir(FOLDER, &entries, is_scenario, alphasort);
    assert_true(count > 0);

    int good_count = 0;
    const char *only = getenv("SCENARIO");
    for (int i = 0; i < count; i++) {
        bool is_wanted = only == NULL || strstr(entries[i]->d_name, only) != NULL;
        good_count += !is_wanted || run_file(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);

    assert_int_equal(good_count, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scenario_gives_its_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
