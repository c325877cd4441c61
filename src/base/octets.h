/* Octets: asks a question of eight bytes at once, which are one word. */
#ifndef MINIKV_BASE_OCTETS_H
#define MINIKV_BASE_OCTETS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define OCTETS_EACH(value) (UINT64_C(0x0101010101010101) * (value))

static inline uint64_t octets_load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Some byte is below `bound`, which is at most 128. */
static inline bool octets_have_below(uint64_t word, uint8_t bound)
{
    return ((word - OCTETS_EACH(bound)) & ~word & OCTETS_EACH(0x80)) != 0;
}

static inline bool octets_have(uint64_t word, uint8_t byte)
{
    return octets_have_below(word ^ OCTETS_EACH(byte), 1);
}

/* Some byte is above 127. */
static inline bool octets_have_high(uint64_t word)
{
    return (word & OCTETS_EACH(0x80)) != 0;
}

#endif
