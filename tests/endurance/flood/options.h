/* Options: what minikv-flood is asked to do. */
#ifndef MINIKV_TESTS_ENDURANCE_FLOOD_OPTIONS_H
#define MINIKV_TESTS_ENDURANCE_FLOOD_OPTIONS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENDPOINTS_MAX = 9,
    CONNECTIONS_MAX = 64, /* to one node */
    DEPTH_MAX = 128,      /* requests under way on one connection: what the server takes */
    KEYS_MAX = 100 * 1000 * 1000,
    VALUE_BYTES_MIN = 8,
    VALUE_BYTES_MAX = 4096,
    COUNT_MAX = 2000 * 1000 * 1000,
    SECONDS_MAX = 24 * 3600
};

struct options {
    struct sockaddr_in endpoints[ENDPOINTS_MAX];
    uint32_t endpoints_count;
    uint32_t count;   /* of puts */
    uint32_t seconds; /* stops after that time, with however many */
    uint32_t keys_count;
    uint32_t value_bytes;
    uint32_t connections_count; /* to each node */
    uint32_t depth;
};

/* Ends the program with status 2 and a message when the command line is wrong. */
void options_parse(struct options *out_options, int argc, char **argv);
/* Ends the program with status 2. */
_Noreturn void die(const char *what);

#endif
