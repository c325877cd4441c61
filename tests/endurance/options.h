/* Options: what minikv-endure is asked to do. */
#ifndef MINIKV_TESTS_ENDURANCE_OPTIONS_H
#define MINIKV_TESTS_ENDURANCE_OPTIONS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENDPOINTS_MAX = 9,
    INCREMENTS_MAX = 100 * 1000 * 1000,
    CLIENTS_MAX = 256,
    WINDOW_MAX = 256, /* sequences of a client without an answer */
    LINKS_MAX = 32,   /* connections to one node, of one kind */
    DEPTH_MAX = 64,   /* requests under way on one connection; the server takes 128 */
    DEADLINE_SECONDS_MAX = 24 * 3600
};

struct options {
    struct sockaddr_in endpoints[ENDPOINTS_MAX];
    uint32_t endpoints_count;
    const char *key;       /* the counter; must not exist */
    const char *json_path; /* NULL: no JSON */
    uint32_t increments_count;
    uint32_t clients_count;
    uint32_t window;
    uint32_t retry_percent;    /* of the increments that are sent more than once on purpose */
    uint32_t links_count;      /* direct connections to each node */
    uint32_t relayed_count;    /* connections to each node through a relay that loses replies */
    uint32_t depth;            /* requests under way on one connection */
    uint32_t deadline_seconds; /* the run fails when it takes longer */
    uint32_t seed;
};

/* Ends the program with status 2 and a message when the command line is wrong. */
void options_parse(struct options *out_options, int argc, char **argv);
/* Ends the program with status 2: the test could not be carried out. */
_Noreturn void die(const char *what);

#endif
