/* Options: the table of what the command line may say, and the values that go with it. */
#ifndef MINIKV_CLI_OPTIONS_H
#define MINIKV_CLI_OPTIONS_H

#include "cli/cli.h"

#define DEFAULT_ENDPOINTS "127.0.0.1:8081"

struct option_row {
    const char *name;
    char letter;          /* 0: none */
    const char *argument; /* NULL: a flag */
    const char *help;
};
extern const struct option_row option_rows[CLI_OPTIONS_COUNT];

/* Notes the option in `cli`; `text` is its value, if it takes one. False with `error`. */
MUST_CHECK bool option_take(struct cli *cli, enum cli_option option, const char *text,
                            struct errtext *error);

/* Up to 18 digits. */
MUST_CHECK bool option_read_number(const char *text, uint64_t value_min, uint64_t value_max,
                                   uint64_t *out_value);
/* A time that a lease may have: "10", "10s", "5m". */
MUST_CHECK bool option_read_ttl(const char *text, uint64_t *out_ms);
MUST_CHECK bool option_read_endpoints(struct cli *cli, const char *text, struct errtext *error);

#endif
