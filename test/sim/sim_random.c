#include "sim_random.h"

#include <string.h>

static uint64_t s_splitmix (uint64_t *state)
{
    *state += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = *state;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return x ^ x >> 31;
}

sim_random_t sim_random_make (uint64_t seed)
{
    sim_random_t self;
    for (int i = 0; i < 4; i++)
        self.state[i] = s_splitmix (&seed);
    return self;
}

sim_random_t sim_random_fork (sim_random_t *self, uint64_t name)
{
    return sim_random_make (sim_random_next (self) ^ name * UINT64_C (0xd6e8feb86659fd93));
}

static uint64_t s_rotate (uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t sim_random_next (sim_random_t *self)
{
    uint64_t *s = self->state;
    uint64_t result = s_rotate (s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s_rotate (s[3], 45);
    return result;
}

uint64_t sim_random_below (sim_random_t *self, uint64_t below)
{
    /* The bias of at most below / 2^32 is of no matter to a test. */
    return (sim_random_next (self) >> 32) * below >> 32;
}

int64_t sim_random_range (sim_random_t *self, int64_t least, int64_t most)
{
    return least + (int64_t)sim_random_below (self, (uint64_t)(most - least) + 1);
}

int64_t sim_random_scale (sim_random_t *self, int64_t least, int64_t most)
{
    int doublings = 0;
    while (doublings < 62 && least << (doublings + 1) <= most)
        doublings++;
    int64_t low = least << sim_random_below (self, (uint64_t)doublings + 1);
    return sim_random_range (self, low, low > most / 2 ? most : 2 * low);
}

bool sim_random_percent (sim_random_t *self, uint32_t percent)
{
    return sim_random_below (self, 100) < percent;
}

void sim_random_bytes (sim_random_t *self, void *out, size_t size)
{
    uint8_t *at = out;
    while (size) {
        uint64_t word = sim_random_next (self);
        size_t some = size < sizeof word ? size : sizeof word;
        memcpy (at, &word, some);
        at += some;
        size -= some;
    }
}
