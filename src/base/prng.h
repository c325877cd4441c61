/* Prng: a small seeded generator (xoshiro256**, Blackman and Vigna 2018), state in the caller.
 *
 * Not for secrets. The same seed gives the same numbers everywhere, which the simulator needs. */
#ifndef MINIKV_BASE_PRNG_H
#define MINIKV_BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t state[4];
};

/* Any seed is good, 0 too. */
void prng_init(struct prng *prng, uint64_t seed);
uint64_t prng_next(struct prng *prng);
/* Uniform in 0 … bound-1, without modulo bias. Requires bound > 0. */
uint64_t prng_below(struct prng *prng, uint64_t bound);

#endif
