/* sim_random - all the chance there is in a run, from one seed: xoshiro256** (Blackman and Vigna,
 * 2018), seeded by splitmix64 (Steele, Lea and Flood, 2014).
 *
 *   R1  the same seed and the same calls give the same numbers, on every machine.
 *   R2  streams made by sim_random_fork do not disturb each other: one module may draw more or less
 *       without changing what the others draw.
 *
 * Owner: whoever holds it. */
#ifndef KVDB_TEST_SIM_RANDOM_H
#define KVDB_TEST_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state[4];
} sim_random_t;

sim_random_t sim_random_make (uint64_t seed);

/* A stream of its own, named by a number; the source is advanced by one draw. */
sim_random_t sim_random_fork (sim_random_t *self, uint64_t name);

uint64_t sim_random_next (sim_random_t *self);

/* 0 .. below - 1; `below` is 1 or more. */
uint64_t sim_random_below (sim_random_t *self, uint64_t below);

/* least .. most, both included. */
int64_t sim_random_range (sim_random_t *self, int64_t least, int64_t most);

/* As sim_random_range, but every order of magnitude between the two is as likely as any other;
 * least is 1 or more. */
int64_t sim_random_scale (sim_random_t *self, int64_t least, int64_t most);

/* True in `percent` of 100 cases. */
bool sim_random_percent (sim_random_t *self, uint32_t percent);

void sim_random_bytes (sim_random_t *self, void *out, size_t size);

#endif
