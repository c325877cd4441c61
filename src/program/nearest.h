/* Nearest: which known name was probably meant by an unknown one. */
#ifndef MINIKV_PROGRAM_NEAREST_H
#define MINIKV_PROGRAM_NEAREST_H

#include <stddef.h>

/* How many letters to insert, delete, replace or swap with their neighbour to get from one to the
 * other. Words longer than 63 bytes count as far away (SIZE_MAX). */
size_t nearest_distance(const char *a, const char *b);

/* The name with the smallest distance, the first of equals; NULL when `word` has nothing in common
 * with any of them. */
const char *nearest_name(const char *word, const char *const *names, size_t names_count);

#endif
