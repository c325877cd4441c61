/* Options: the command line of minikv-sim, read and checked. The same table makes the help text and
 * the manual page. */
#ifndef MINIKV_SIM_SWARM_OPTIONS_H
#define MINIKV_SIM_SWARM_OPTIONS_H

#include <stdio.h>

#include "base/diag.h"
#include "sim/swarm/plan.h"

enum { OPTIONS_JOBS_MAX = 64, OPTIONS_PINS_BYTES = 512 };

struct options {
    bool has_seeds;
    uint64_t seed_first, seed_last;
    unsigned jobs;
    struct plan_pins pins;
    bool trace, messages, digest, shrink;
    const char *timeline, *file; /* NULL: none; borrowed from argv */
    bool wants_help, wants_man, wants_version;
};

/* return   ST_OK; ST_BAD_REQUEST with `error` */
MUST_CHECK enum status options_parse(struct options *out_options, int argc, const char *const *argv,
                                     struct errtext *error);
/* One line of a file of seeds, which is changed: "SEED [OPTION VALUE]…  # why".
 * return   ST_OK; ST_NOT_FOUND: nothing on it but blanks and a comment; ST_BAD_REQUEST with `error`
 */
MUST_CHECK enum status options_parse_line(struct options *out_options, char *line,
                                          struct errtext *error);
/* " --nodes 3 --time 12s": what stands behind a seed to run it again. Returns `out`. */
const char *options_format_pins(const struct plan_pins *pins, char out[OPTIONS_PINS_BYTES]);
void options_describe(FILE *out, bool is_roff);

#endif
