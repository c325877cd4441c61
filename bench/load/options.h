/* Options: what minikv-load is asked to do. */
#ifndef MINIKV_BENCH_LOAD_OPTIONS_H
#define MINIKV_BENCH_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONNECTIONS_MAX = 4096,
    ENDPOINTS_MAX = 16,
    HEADERS_MAX = 8,
    KEYS_MAX = 100000000,
    VALUE_BYTES_MAX = 64 * 1024,
    SECONDS_MAX = 3600,
    RATE_MAX = 1000000
};

struct options {
    struct sockaddr_in endpoints[ENDPOINTS_MAX];
    size_t endpoints_count;
    const char *headers[HEADERS_MAX];
    size_t headers_count;
    const char *method, *path, *body, *label;
    uint32_t connections_count, keys_count, value_bytes;
    double seconds, warm_up_seconds;
    uint32_t rate;      /* requests a second, sent when they are due; 0: as fast as answers come */
    bool is_sequential; /* every key once, then stop: to fill the store */
};

/* Exits with a message and status 2 when the command line is wrong. */
void options_parse(struct options *out_options, int argc, char **argv);
/* Ends the program: a load generator that cannot go on has nothing to save. */
_Noreturn void die(const char *what);

#endif
