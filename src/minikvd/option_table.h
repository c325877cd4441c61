/* Option table: every option of minikvd, once. */
#ifndef MINIKV_MINIKVD_OPTION_TABLE_H
#define MINIKV_MINIKVD_OPTION_TABLE_H

#include "minikvd/options.h"

struct option_spec {
    const char *name;     /* "listen-http": --listen-http, MINIKV_LISTEN_HTTP, listen-http = */
    const char *argument; /* what the help calls the value */
    const char *fallback; /* the default; "" when it depends on other options or is nothing */
    const char *help;
    /* Stores the value; what is wrong with it goes into `error`, without the option's name. */
    bool (*parse)(struct options *options, const char *text, struct errtext *error);
};

extern const struct option_spec option_table[];
extern const size_t option_table_count;

/* The row with this name, or option_table_count. */
size_t option_find(const char *name, size_t name_bytes);
/* "MINIKV_LISTEN_HTTP" */
enum { OPTION_VARIABLE_BYTES = 48 };
const char *option_variable(const struct option_spec *spec, char out[OPTION_VARIABLE_BYTES]);

#endif
