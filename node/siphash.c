#include "node/siphash.h"

typedef struct {
    uint64_t a, b, c, d;
} state_t;

static inline uint64_t s_rotate (uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

static inline void s_round (state_t *v)
{
    v->a += v->b;
    v->c += v->d;
    v->b = s_rotate (v->b, 13) ^ v->a;
    v->d = s_rotate (v->d, 16) ^ v->c;
    v->a = s_rotate (v->a, 32);
    v->c += v->b;
    v->a += v->d;
    v->b = s_rotate (v->b, 17) ^ v->c;
    v->d = s_rotate (v->d, 21) ^ v->a;
    v->c = s_rotate (v->c, 32);
}

static inline uint64_t s_word (const uint8_t *at)
{
    /* Compilers make one load of this on a little-endian machine. */
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

siphash_key_t siphash_key (const uint8_t bytes[SIPHASH_KEY_BYTES])
{
    return (siphash_key_t){s_word (bytes), s_word (bytes + 8)};
}

uint64_t siphash_13 (siphash_key_t key, kv_slice_t bytes)
{
    state_t v = {key.low ^ UINT64_C (0x736f6d6570736575), key.high ^ UINT64_C (0x646f72616e646f6d),
                 key.low ^ UINT64_C (0x6c7967656e657261), key.high ^ UINT64_C (0x7465646279746573)};
    size_t whole = bytes.size & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word = s_word (bytes.data + i);
        v.d ^= word;
        s_round (&v);
        v.a ^= word;
    }
    uint64_t last = (uint64_t)bytes.size << 56;
    for (size_t i = whole; i < bytes.size; i++)
        last |= (uint64_t)bytes.data[i] << (8 * (i - whole));
    v.d ^= last;
    s_round (&v);
    v.a ^= last;
    v.c ^= 0xff;
    s_round (&v);
    s_round (&v);
    s_round (&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}
