#include "load/load_errors.h"

#include <stdio.h>
#include <string.h>

static struct load_error *find(struct load_errors *errors, const char *word, enum effect effect)
{
    for (size_t i = 0; i < errors->count; i++)
        if (errors->errors[i].effect == effect && strcmp(errors->errors[i].word, word) == 0)
            return &errors->errors[i];
    return NULL;
}

void load_errors_add(struct load_errors *errors, const char *word, enum effect effect)
{
    /* The last rows are for all words that find no room, one for each effect. */
    enum { NAMED_MAX = LOAD_ERRORS_MAX - 3 };
    struct load_error *error = find(errors, word, effect);
    if (error == NULL && errors->count >= NAMED_MAX) {
        word = LOAD_WORD_OTHER;
        error = find(errors, word, effect);
    }
    if (error == NULL) {
        error = &errors->errors[errors->count++];
        *error = (struct load_error){.effect = effect};
        (void)snprintf(error->word, sizeof error->word, "%s", word);
    }
    error->count++;
}

uint64_t load_errors_total(const struct load_errors *errors, enum effect effect)
{
    uint64_t total = 0;
    for (size_t i = 0; i < errors->count; i++)
        if (errors->errors[i].effect == effect)
            total += errors->errors[i].count;
    return total;
}
