/* minikvd: one node of a MiniKV cluster. */
#include <stdio.h>
#include <unistd.h>

#include "minikvd/options.h"
#include "minikvd/server.h"

/* Everything printed has left, or the exit code says otherwise. */
static enum exit_code flushed(enum exit_code code)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? code : EXIT_CODE_FAILURE;
}

static enum exit_code carry_out(enum options_action action, const struct options *options)
{
    switch (action) {
    case OPTIONS_RUN:
        return server_run(options);
    case OPTIONS_HELP:
    case OPTIONS_MANUAL:
        options_describe(stdout, action == OPTIONS_MANUAL);
        return flushed(EXIT_CODE_OK);
    case OPTIONS_VERSION:
        puts("minikvd " MINIKV_VERSION);
        return flushed(EXIT_CODE_OK);
    case OPTIONS_PRINT_CONFIG:
        options_print(options, stdout);
        return flushed(EXIT_CODE_OK);
    }
    return EXIT_CODE_FAILURE;
}

int main(int argc, char **argv)
{
    struct options options;
    struct errtext error = {""};
    enum options_action action;
    enum exit_code code = EXIT_CODE_USAGE;
    if (options_load(&options, argc, argv, environ, &action, &error) == ST_OK)
        code = carry_out(action, &options);
    else
        fprintf(stderr, "minikvd: %s\n", error.text);
    options_release(&options);
    return (int)code;
}
