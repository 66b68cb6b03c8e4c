/* fixture - what the tests of node/ share: a replayable random source and a seed that is printed. */
#ifndef KVDB_TEST_UNIT_NODE_FIXTURE_H
#define KVDB_TEST_UNIT_NODE_FIXTURE_H

#include "schema/slice.h"
#include "schema/status.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* KVDB_TEST_SEED replays a run; a test prints the seed it begins with. */
static inline uint64_t fixture_seed (const char *test)
{
    const char *text = getenv ("KVDB_TEST_SEED");
    uint64_t seed = text ? strtoull (text, NULL, 10) : 20240607;
    printf ("%s: KVDB_TEST_SEED=%" PRIu64 "\n", test, seed);
    return seed;
}

/* splitmix64 (Steele, Lea, Flood, 2014): 0 .. below - 1. */
static inline uint64_t fixture_random (uint64_t *state, uint64_t below)
{
    *state += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = *state;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

#endif
