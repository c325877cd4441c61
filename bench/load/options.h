/* Options: what minikv-load is asked to do. */
#ifndef MINIKV_BENCH_LOAD_OPTIONS_H
#define MINIKV_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>

#include "load/load.h"

enum { VALUE_BYTES_MAX = 64 * 1024 };

struct options {
    struct load_target endpoints[LOAD_TARGETS_MAX];
    size_t endpoints_count;
    struct template_text text;
    const char *label;
    uint32_t connections_count, pipeline, keys_count;
    double seconds, warm_up_seconds;
    uint32_t gets_percent; /* so many of 100 requests are GETs of the same path */
    uint32_t rate;      /* requests a second, sent when they are due; 0: as fast as answers come */
    bool is_sequential; /* every key once, then stop: to fill the store */
};

/* Exits with a message and status 2 when the command line is wrong. */
void options_parse(struct options *out_options, int argc, char **argv);
/* Ends the program: a load generator that cannot go on has nothing to save. */
_Noreturn void die(const char *what);

#endif
