/* random - a seeded generator for tests; the seed is printed and can be given again:
 * KVDB_TEST_SEED=1234 build/test/unit_schema_test_reader */
#ifndef KVDB_TEST_UNIT_SCHEMA_RANDOM_H
#define KVDB_TEST_UNIT_SCHEMA_RANDOM_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    uint64_t state;
} random_t;

static inline random_t random_make (const char *what)
{
    const char *given = getenv ("KVDB_TEST_SEED");
    uint64_t seed = given ? strtoull (given, NULL, 10) : 20240229;
    printf ("%s: KVDB_TEST_SEED=%" PRIu64 "\n", what, seed);
    return (random_t){seed};
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static inline uint64_t random_next (random_t *self)
{
    uint64_t z = self->state += UINT64_C (0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. bound - 1 */
static inline uint32_t random_below (random_t *self, uint32_t bound)
{
    return (uint32_t)(random_next (self) % bound);
}

#endif
