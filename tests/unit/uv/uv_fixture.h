/* Uv fixture: an env on an empty directory of its own, for the tests of this folder. */
#ifndef MINIKV_TESTS_UNIT_UV_UV_FIXTURE_H
#define MINIKV_TESTS_UNIT_UV_UV_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uv/uv_env.h"

#define SECONDS(count)  ((time_us)(count)*1000000)
#define FIXTURE_TIMEOUT SECONDS(30) /* only ever waited for by a test that fails */

struct fixture {
    struct env *env;
    char dir[128];
};

static inline void fixture_open(struct fixture *fixture, bool write_on_thread)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(fixture->dir, sizeof fixture->dir, "%s/uv_test.XXXXXX",
                   parent != NULL ? parent : P_tmpdir);
    assert_non_null(mkdtemp(fixture->dir));
    struct uv_env_options options = {.data_dir = fixture->dir, .write_on_thread = write_on_thread};
    struct errtext error = {.text = ""};
    if (uv_env_new(&options, &fixture->env, &error) != ST_OK)
        fail_msg("%s", error.text);
}

static inline int fixture_remove(const char *path, const struct stat *stat, int flag,
                                 struct FTW *ftw)
{
    return remove(path);
}

static inline void fixture_close(struct fixture *fixture)
{
    uv_env_free(fixture->env);
    assert_int_equal(nftw(fixture->dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline bool fixture_is_set(void *flag)
{
    return *(bool *)flag;
}

static inline bool fixture_never(void *unused)
{
    return false;
}

/* Runs until the flag is true and fails the test when it stays false. */
#define RUN_UNTIL(fixture, flag)                                                                   \
    assert_true(uv_env_run_until((fixture)->env, fixture_is_set, &(flag), FIXTURE_TIMEOUT))

static inline struct env_file *fixture_create(struct fixture *fixture, const char *path)
{
    struct env_file *file = NULL;
    struct errtext error = {.text = ""};
    if (env_file_open(fixture->env, path, ENV_OPEN_CREATE, &file, &error) != ST_OK)
        fail_msg("%s", error.text);
    return file;
}

#endif
