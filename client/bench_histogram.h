/* bench_histogram - how often which latency was seen, in constant memory.
 *
 *   nanoseconds below 256 have a bucket each; above, every power of two is cut in 128 equal buckets
 *
 *   B1  a percentile is at most 1/128 (0.8 %) above the true one, and never below it.
 *   B2  the maximum is exact.
 *   B3  what takes longer than 2^40 ns (18 minutes) counts as that. */
#ifndef KVDB_CLIENT_BENCH_HISTOGRAM_H
#define KVDB_CLIENT_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    BENCH_SUB_BITS = 7,
    BENCH_VALUE_BITS = 40,
    BENCH_BUCKETS = (BENCH_VALUE_BITS - BENCH_SUB_BITS + 1) << BENCH_SUB_BITS
};

typedef struct {
    uint64_t counts[BENCH_BUCKETS];
    uint64_t total;
    uint64_t max_ns;
} bench_histogram_t;

/* Counts a latency `times` times. */
void bench_histogram_add (bench_histogram_t *self, uint64_t ns, uint64_t times);

/* Adds all that another one has counted. */
void bench_histogram_merge (bench_histogram_t *self, const bench_histogram_t *other);

/* The latency that `permille` of 1000 do not exceed; 0 if nothing was counted. */
uint64_t bench_histogram_at (const bench_histogram_t *self, unsigned permille);

#endif
