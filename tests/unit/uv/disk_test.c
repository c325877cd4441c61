/* Files, names and the lock of a real data directory. */
#include "unit/uv/uv_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/mem.h"

static struct env_file *open_file(struct fixture *fixture, const char *path, enum env_open mode)
{
    struct env_file *file = NULL;
    struct errtext error = {.text = ""};
    if (env_file_open(fixture->env, path, mode, &file, &error) != ST_OK)
        fail_msg("%s", error.text);
    return file;
}

static void what_was_written_is_read_back_from_any_offset(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "file");
    uint8_t out[16] = {0};
    size_t count = 99;
    uint64_t bytes_count = 99;

    assert_int_equal(env_file_write(file, 4, BYTES_LITERAL("body")), ST_OK);
    assert_int_equal(env_file_write(file, 0, BYTES_LITERAL("head")), ST_OK);
    assert_int_equal(env_file_sync(file), ST_OK);
    env_file_close(file);
    file = open_file(&fixture, "file", ENV_OPEN_READ);

    assert_int_equal(env_file_size(file, &bytes_count), ST_OK);
    assert_int_equal(bytes_count, 8);
    assert_int_equal(env_file_read(file, 2, out, sizeof out, &count), ST_OK);
    assert_int_equal(count, 6);
    assert_memory_equal(out, "adbody", 6);
    assert_int_equal(env_file_read(file, 8, out, sizeof out, &count), ST_OK);
    assert_int_equal(count, 0);
    env_file_close(file);
    env_file_close(NULL);
    fixture_close(&fixture);
}

static void a_file_opens_only_in_the_way_that_was_asked_for(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = NULL;
    struct errtext error = {.text = ""};

    assert_int_equal(env_file_open(fixture.env, "none", ENV_OPEN_READ, &file, &error),
                     ST_NOT_FOUND);
    assert_string_equal(error.text, "open none: No such file or directory");
    assert_int_equal(env_file_open(fixture.env, "none", ENV_OPEN_WRITE, &file, &error),
                     ST_NOT_FOUND);
    env_file_close(fixture_create(&fixture, "made"));
    assert_int_equal(env_file_open(fixture.env, "made", ENV_OPEN_CREATE, &file, &error), ST_IO);
    assert_string_equal(error.text, "open made: File exists");

    assert_null(file);
    file = open_file(&fixture, "made", ENV_OPEN_WRITE);
    assert_int_equal(env_file_write(file, 0, BYTES_LITERAL("x")), ST_OK);
    env_file_close(file);
    file = open_file(&fixture, "made", ENV_OPEN_READ);
    assert_int_equal(env_file_write(file, 0, BYTES_LITERAL("x")), ST_IO);
    env_file_close(file);
    fixture_close(&fixture);
}

static void files_and_directories_belong_to_their_owner_only(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    char path[192];
    struct stat stat_of;

    assert_int_equal(env_dir_make(fixture.env, "dir"), ST_OK);
    env_file_close(fixture_create(&fixture, "dir/file"));

    (void)snprintf(path, sizeof path, "%s/dir", fixture.dir);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0700);
    (void)snprintf(path, sizeof path, "%s/dir/file", fixture.dir);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0600);
    fixture_close(&fixture);
}

static void collect(void *ctx, const char *name)
{
    strcat(strcat(ctx, name), " ");
}

static void a_directory_lists_its_names_in_byte_order(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    char names[256] = "";

    assert_int_equal(env_dir_make(fixture.env, "d"), ST_OK);
    assert_int_equal(env_dir_list(fixture.env, "d", collect, names), ST_OK);
    assert_string_equal(names, "");
    assert_int_equal(env_dir_make(fixture.env, "d/m"), ST_OK);
    env_file_close(fixture_create(&fixture, "d/b"));
    env_file_close(fixture_create(&fixture, "d/\xc3\xa4"));
    env_file_close(fixture_create(&fixture, "d/10"));
    env_file_close(fixture_create(&fixture, "d/9"));
    env_file_close(fixture_create(&fixture, "d/B"));
    env_file_close(fixture_create(&fixture, "d/.hidden"));

    assert_int_equal(env_dir_list(fixture.env, "d", collect, names), ST_OK);
    assert_string_equal(names, ".hidden 10 9 B b m \xc3\xa4 ");
    names[0] = '\0';
    assert_int_equal(env_dir_list(fixture.env, "", collect, names), ST_OK);
    assert_string_equal(names, "d ");
    assert_int_equal(env_dir_list(fixture.env, "none", collect, names), ST_NOT_FOUND);
    assert_int_equal(env_dir_list(fixture.env, "d/b", collect, names), ST_IO);
    fixture_close(&fixture);
}

static void a_directory_can_be_made_twice_but_not_over_a_file(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);

    assert_int_equal(env_dir_make(fixture.env, "d"), ST_OK);
    assert_int_equal(env_dir_make(fixture.env, "d"), ST_OK);
    env_file_close(fixture_create(&fixture, "f"));
    assert_int_equal(env_dir_make(fixture.env, "f"), ST_IO);

    assert_int_equal(env_dir_sync(fixture.env, "d"), ST_OK);
    assert_int_equal(env_dir_sync(fixture.env, "."), ST_OK);
    assert_int_equal(env_dir_sync(fixture.env, "none"), ST_NOT_FOUND);
    fixture_close(&fixture);
}

static void rename_replaces_and_unlink_removes(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "new");
    char names[64] = "";
    uint64_t bytes_count;

    assert_int_equal(env_file_write(file, 0, BYTES_LITERAL("new")), ST_OK);
    env_file_close(file);
    env_file_close(fixture_create(&fixture, "old"));
    assert_int_equal(env_rename(fixture.env, "new", "old"), ST_OK);
    assert_int_equal(env_rename(fixture.env, "new", "old"), ST_NOT_FOUND);

    file = open_file(&fixture, "old", ENV_OPEN_READ);
    assert_int_equal(env_file_size(file, &bytes_count), ST_OK);
    assert_int_equal(bytes_count, 3);
    env_file_close(file);
    assert_int_equal(env_unlink(fixture.env, "old"), ST_OK);
    assert_int_equal(env_unlink(fixture.env, "old"), ST_NOT_FOUND);
    assert_int_equal(env_dir_list(fixture.env, ".", collect, names), ST_OK);
    assert_string_equal(names, "");
    fixture_close(&fixture);
}

static unsigned descriptors_count(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

static bool has_as_few_descriptors(void *ctx)
{
    return descriptors_count() <= *(unsigned *)ctx;
}

/* Its bytes go on another thread, so not at once; and not before who reads it is done. */
static void a_large_file_loses_its_name_at_once_and_is_let_go_in_the_end(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    uint8_t *bytes = mem_alloc(3 * (size_t)MIB), last = 0;
    size_t count = 0;
    struct env_file *file = fixture_create(&fixture, "large");
    unsigned before = descriptors_count() - 1;
    bytes[3 * MIB - 1] = 7;
    assert_int_equal(env_file_write(file, 0, bytes_of(bytes, 3 * (size_t)MIB)), ST_OK);

    assert_int_equal(env_unlink(fixture.env, "large"), ST_OK);
    assert_int_equal(env_unlink(fixture.env, "large"), ST_NOT_FOUND);
    assert_int_equal(env_file_read(file, 3 * MIB - 1, &last, 1, &count), ST_OK);
    assert_int_equal(last, 7);
    env_file_close(file);

    assert_true(uv_env_run_until(fixture.env, has_as_few_descriptors, &before, FIXTURE_TIMEOUT));
    mem_free(bytes);
    fixture_close(&fixture);
}

static void a_full_disk_is_told_apart_from_a_broken_one(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    char path[192];
    (void)snprintf(path, sizeof path, "%s/full", fixture.dir);
    assert_int_equal(symlink("/dev/full", path), 0);
    struct env_file *full = open_file(&fixture, "full", ENV_OPEN_WRITE);

    assert_int_equal(env_file_write(full, 0, BYTES_LITERAL("x")), ST_NO_SPACE);
    assert_int_equal(env_file_sync(full), ST_IO); /* a device cannot be synced */

    env_file_close(full);
    fixture_close(&fixture);
}

static int descriptor_of(const char *path)
{
    for (int fd = 3; fd < 256; fd++) {
        char link[64];
        char target[256];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t count = readlink(link, target, sizeof target - 1);
        if (count > 0 && memcmp(target + count - strlen(path), path, strlen(path)) == 0)
            return fd;
    }
    fail_msg("%s is not open", path);
    return -1;
}

/* The kernel reports a lost page once; the second sync would be a lie. */
static void a_file_whose_sync_failed_never_syncs_again(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "log");
    int fd = descriptor_of("/log");
    int saved_fd = dup(fd);
    int device_fd = open("/dev/null", O_WRONLY);

    assert_int_equal(dup2(device_fd, fd), fd);
    assert_int_equal(env_file_sync(file), ST_IO);
    assert_int_equal(dup2(saved_fd, fd), fd);
    assert_int_equal(env_file_write(file, 0, BYTES_LITERAL("x")), ST_OK);

    assert_int_equal(env_file_sync(file), ST_IO);
    (void)close(saved_fd);
    (void)close(device_fd);
    env_file_close(file);
    fixture_close(&fixture);
}

/* A limit in the middle of a write makes the kernel write a part of it first. */
static void a_short_write_goes_on_until_the_reason_is_known(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "file");
    struct rlimit saved;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
    struct rlimit limit = {.rlim_cur = 6, .rlim_max = saved.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    uint64_t bytes_count;

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum status status = env_file_write(file, 0, BYTES_LITERAL("too many"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);

    assert_int_equal(status, ST_IO);
    assert_int_equal(env_file_size(file, &bytes_count), ST_OK);
    assert_int_equal(bytes_count, 6);
    env_file_close(file);
    fixture_close(&fixture);
}

static void the_lock_excludes_another_env_and_names_its_holder(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct uv_env_options options = {.data_dir = fixture.dir};
    struct env *second;
    struct errtext error = {.text = ""};
    char want[64];

    assert_int_equal(env_lock(fixture.env, "lock", &error), ST_OK);
    assert_int_equal(uv_env_new(&options, &second, &error), ST_OK);
    assert_int_equal(env_lock(second, "lock", &error), ST_LOCKED);

    (void)snprintf(want, sizeof want, "lock: locked by process %ld", (long)getpid());
    assert_string_equal(error.text, want);
    uv_env_free(fixture.env);
    assert_int_equal(env_lock(second, "lock", &error), ST_OK);
    fixture.env = second;
    fixture_close(&fixture);
}

static void the_lock_file_holds_the_process_and_nothing_else(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "lock");
    struct errtext error = {.text = ""};
    char want[32];
    char got[64];
    size_t count;

    assert_int_equal(env_file_write(file, 0, BYTES_LITERAL("99999999 of a longer past\n")), ST_OK);
    assert_int_equal(env_lock(fixture.env, "lock", &error), ST_OK);

    (void)snprintf(want, sizeof want, "%ld\n", (long)getpid());
    assert_int_equal(env_file_read(file, 0, got, sizeof got, &count), ST_OK);
    assert_int_equal(count, strlen(want));
    assert_memory_equal(got, want, count);
    env_file_close(file);
    fixture_close(&fixture);
}

/* A process of its own that locks, tells so and waits to be killed. */
static pid_t start_holder(const char *dir)
{
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct uv_env_options options = {.data_dir = dir};
        struct errtext error;
        struct env *env;
        char result =
            uv_env_new(&options, &env, &error) == ST_OK && env_lock(env, "lock", &error) == ST_OK;
        (void)!write(told[1], &result, 1);
        for (;;)
            (void)pause();
    }
    char result = 0;
    assert_int_equal(read(told[0], &result, 1), 1);
    assert_int_equal(result, 1);
    (void)close(told[0]);
    (void)close(told[1]);
    return pid;
}

static void the_lock_dies_with_the_process_that_held_it(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct errtext error = {.text = ""};
    char want[64];
    pid_t pid = start_holder(fixture.dir);

    assert_int_equal(env_lock(fixture.env, "lock", &error), ST_LOCKED);
    (void)snprintf(want, sizeof want, "lock: locked by process %ld", (long)pid);
    assert_string_equal(error.text, want);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);

    assert_int_equal(env_lock(fixture.env, "lock", &error), ST_OK);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back_from_any_offset),
        cmocka_unit_test(a_file_opens_only_in_the_way_that_was_asked_for),
        cmocka_unit_test(files_and_directories_belong_to_their_owner_only),
        cmocka_unit_test(a_directory_lists_its_names_in_byte_order),
        cmocka_unit_test(a_directory_can_be_made_twice_but_not_over_a_file),
        cmocka_unit_test(rename_replaces_and_unlink_removes),
        cmocka_unit_test(a_large_file_loses_its_name_at_once_and_is_let_go_in_the_end),
        cmocka_unit_test(a_full_disk_is_told_apart_from_a_broken_one),
        cmocka_unit_test(a_file_whose_sync_failed_never_syncs_again),
        cmocka_unit_test(a_short_write_goes_on_until_the_reason_is_known),
        cmocka_unit_test(the_lock_excludes_another_env_and_names_its_holder),
        cmocka_unit_test(the_lock_file_holds_the_process_and_nothing_else),
        cmocka_unit_test(the_lock_dies_with_the_process_that_held_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
