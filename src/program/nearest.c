#include "program/nearest.h"

#include <stdint.h>
#include <string.h>

#include "base/check.h"

enum { WORD_BYTES_MAX = 63 };

static size_t min3(size_t a, size_t b, size_t c)
{
    return MIN(a, MIN(b, c));
}

/* The optimal string alignment distance: row i holds the cost of turning the first i letters of
 * `a` into each prefix of `b`; three rows are enough. */
size_t nearest_distance(const char *a, const char *b)
{
    size_t a_count = strlen(a), b_count = strlen(b);
    if (a_count > WORD_BYTES_MAX || b_count > WORD_BYTES_MAX)
        return SIZE_MAX;

    size_t rows[3][WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_count; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_count; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_count; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = min3(replaced, above[j] + 1, row[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], above_that[j - 2] + 1);
        }
    }
    return rows[a_count % 3][b_count];
}

const char *nearest_name(const char *word, const char *const *names, size_t names_count)
{
    const char *best = NULL;
    size_t distance_min = SIZE_MAX;
    for (size_t i = 0; i < names_count; i++) {
        size_t distance = nearest_distance(word, names[i]);
        if (distance < distance_min && distance < MAX(strlen(word), strlen(names[i]))) {
            distance_min = distance;
            best = names[i];
        }
    }
    return best;
}
