/* Load errors: what went wrong, counted by its word and by what it may have done. */
#ifndef MINIKV_LOAD_LOAD_ERRORS_H
#define MINIKV_LOAD_LOAD_ERRORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { LOAD_ERRORS_MAX = 24, LOAD_WORD_BYTES = 32 };

/* Words of what no node has said. */
#define LOAD_WORD_LOST     "connection-lost" /* before the answer */
#define LOAD_WORD_SILENT   "no-answer"       /* in time */
#define LOAD_WORD_NOT_SENT "not-sent"        /* not all of it left */
#define LOAD_WORD_OTHER    "other"           /* when there are too many words */

struct load_error {
    char word[LOAD_WORD_BYTES];
    enum effect effect;
    uint64_t count;
};

struct load_errors {
    struct load_error errors[LOAD_ERRORS_MAX]; /* in the order in which they came first */
    size_t count;
};

void load_errors_add(struct load_errors *errors, const char *word, enum effect effect);
/* Of all words with that effect. */
uint64_t load_errors_total(const struct load_errors *errors, enum effect effect);

#endif
