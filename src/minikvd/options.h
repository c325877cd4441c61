/* Options: what minikvd has been told, from four places.
 *
 * Flags win over the environment, the environment over the file, the file over the default. One
 * table (option_table.h) drives all four, the help, the manual page and --print-config. A text
 * is parsed only after the winner is known, so a default is checked like anything else.
 *
 * Ownership    owns the text of the file; argv and environment are borrowed for its life */
#ifndef MINIKV_MINIKVD_OPTIONS_H
#define MINIKV_MINIKVD_OPTIONS_H

#include <stdio.h>

#include "base/diag.h"
#include "route/route.h"
#include "types/member.h"

enum {
    OPTIONS_MAX = 24,              /* rows of the table */
    OPTION_FILE_BYTES = 64 * 1024, /* of a configuration file */
};

enum option_origin {
    OPTION_DEFAULT,
    OPTION_FILE,
    OPTION_ENVIRONMENT,
    OPTION_FLAG,
};

struct option_value {
    const char *text; /* borrowed from argv, the environment, the file's text or the table */
    enum option_origin origin;
    unsigned line; /* of the file */
};

struct options {
    char *file_text; /* owned; NULL without a file */

    /* parsed */
    node_id id;
    const char *data_dir; /* borrowed like the texts */
    struct address listen_peer, advertise_peer;
    struct address listen_http, advertise_http;
    struct config initial; /* this node alone when --initial-cluster was not given; none to join */
    struct address seeds[LIMIT_MEMBERS]; /* of --join */
    size_t seeds_count;                  /* 0: a new cluster, or one of old */
    enum route_policy route;
    bool announces;
    time_us heartbeat, election, hold, request_timeout, session_ttl;
    uint64_t snapshot_bytes, snapshot_rate;

    struct option_value values[OPTIONS_MAX]; /* in the order of the table */
};

enum options_action {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_MANUAL,
    OPTIONS_VERSION,
    OPTIONS_PRINT_CONFIG,
};

/* Reads all four places. `environment` is a NULL-terminated array like environ.
 *
 * return   ST_OK; ST_BAD_REQUEST with `error`: unknown name, malformed value, things that
 *          contradict each other, unreadable file. `options` is to be released in every case. */
MUST_CHECK enum status options_load(struct options *options, int argc, char *const *argv,
                                    char *const *environment, enum options_action *out_action,
                                    struct errtext *error);
void options_release(struct options *options);

/* Each value and where it came from, in the form of a configuration file. */
void options_print(const struct options *options, FILE *out);
void options_describe(FILE *out, bool is_roff);

#endif
