#include "client/bench_histogram.h"

/* A value v with its highest bit at h >= SUB_BITS keeps SUB_BITS bits below that one:
 * bucket = (h - SUB_BITS) << SUB_BITS | v >> (h - SUB_BITS), the top bit of the latter adding 1 to
 * the former, so that buckets are in the order of values without gaps. */
static uint32_t s_bucket (uint64_t ns)
{
    const uint64_t most = (UINT64_C (1) << BENCH_VALUE_BITS) - 1;
    if (ns > most)
        ns = most; // B3
    if (ns < UINT64_C (1) << BENCH_SUB_BITS)
        return (uint32_t)ns;
    unsigned shift = 63U - (unsigned)__builtin_clzll (ns) - BENCH_SUB_BITS;
    return (shift << BENCH_SUB_BITS) + (uint32_t)(ns >> shift);
}

/* The largest value of a bucket. */
static uint64_t s_upper (uint32_t bucket)
{
    const uint32_t subs = UINT32_C (1) << BENCH_SUB_BITS;
    if (bucket < 2 * subs)
        return bucket;
    unsigned shift = (bucket >> BENCH_SUB_BITS) - 1;
    uint64_t lower = (uint64_t)(subs + (bucket & (subs - 1))) << shift;
    return lower + (UINT64_C (1) << shift) - 1;
}

void bench_histogram_add (bench_histogram_t *self, uint64_t ns, uint64_t times)
{
    self->counts[s_bucket (ns)] += times;
    self->total += times;
    if (ns > self->max_ns)
        self->max_ns = ns;
}

void bench_histogram_merge (bench_histogram_t *self, const bench_histogram_t *other)
{
    for (uint32_t i = 0; i < BENCH_BUCKETS; i++)
        self->counts[i] += other->counts[i];
    self->total += other->total;
    if (other->max_ns > self->max_ns)
        self->max_ns = other->max_ns;
}

uint64_t bench_histogram_at (const bench_histogram_t *self, unsigned permille)
{
    uint64_t wanted = (self->total * permille + 999) / 1000;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < BENCH_BUCKETS; i++) {
        seen += self->counts[i];
        if (seen >= wanted && seen > 0) {
            uint64_t upper = s_upper (i);
            return upper < self->max_ns ? upper : self->max_ns; // B1
        }
    }
    return 0;
}
