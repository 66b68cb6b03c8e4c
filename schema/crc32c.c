#include "schema/crc32c.h"

#include "schema/bytes.h"
#include "schema/crc_table.h"

/* s_table[n][b]: what a byte b makes of a CRC of 0, with n zero bytes behind it. */
static const uint32_t s_table[8][256] = {
    CRC_TABLE (0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
               0x82f63b78),
    CRC_TABLE (0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
               0xfbc3faf9),
    CRC_TABLE (0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
               0x8b277743),
    CRC_TABLE (0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
               0x52a0c93f),
    CRC_TABLE (0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
               0x6ea2d55c),
    CRC_TABLE (0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
               0x1c08b7d6),
    CRC_TABLE (0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
               0xf56e0ef4),
    CRC_TABLE (0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
               0x34019664),
};

static uint32_t s_table_word (uint32_t crc, uint64_t word)
{
    word ^= crc;
    return s_table[7][word & 0xff] ^ s_table[6][word >> 8 & 0xff] ^ s_table[5][word >> 16 & 0xff] ^
           s_table[4][word >> 24 & 0xff] ^ s_table[3][word >> 32 & 0xff] ^
           s_table[2][word >> 40 & 0xff] ^ s_table[1][word >> 48 & 0xff] ^ s_table[0][word >> 56];
}

uint32_t crc32c_by_table (uint32_t crc, kv_slice_t bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    crc = ~crc;
    for (; left >= 8; left -= 8, at += 8)
        crc = s_table_word (crc, bytes_get64 (at));
    for (; left; left--, at++)
        crc = crc >> 8 ^ s_table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

/* The product of two polynomials mod P, bits reflected. */
static uint32_t s_multiply (uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C (1) << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ UINT32_C (0x82f63b78) : b >> 1;
    }
    return product;
}

enum { STRAND_BYTES = 1024 };

/* x^(8 STRAND_BYTES) mod P: times this, a CRC becomes that of its bytes and STRAND_BYTES zeros. */
static const uint32_t s_shift = 0xe4172b16;

__attribute__ ((target ("sse4.2"))) static uint64_t s_step (uint64_t crc, const uint8_t *at)
{
    uint64_t word;
    memcpy (&word, at, sizeof word);
    return __builtin_ia32_crc32di (crc, word);
}

__attribute__ ((target ("sse4.2"))) static uint32_t s_by_instruction (uint32_t crc,
                                                                      kv_slice_t bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    uint64_t a = ~crc;
    /* The instruction takes three cycles and one may begin in each: three strands at once. */
    for (; left >= 3 * STRAND_BYTES; left -= 3 * STRAND_BYTES, at += 3 * STRAND_BYTES) {
        uint64_t b = 0;
        uint64_t c = 0;
        for (size_t i = 0; i < STRAND_BYTES; i += 8) {
            a = s_step (a, at + i);
            b = s_step (b, at + STRAND_BYTES + i);
            c = s_step (c, at + 2 * STRAND_BYTES + i);
        }
        a = s_multiply (s_shift, (uint32_t)a) ^ b;
        a = s_multiply (s_shift, (uint32_t)a) ^ c;
    }
    for (; left >= 8; left -= 8, at += 8)
        a = s_step (a, at);
    uint32_t end = (uint32_t)a;
    for (; left; left--, at++)
        end = __builtin_ia32_crc32qi (end, *at);
    return ~end;
}

uint32_t crc32c (uint32_t crc, kv_slice_t bytes)
{
    return __builtin_cpu_supports ("sse4.2") ? s_by_instruction (crc, bytes)
                                             : crc32c_by_table (crc, bytes);
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

uint32_t crc32c (uint32_t crc, kv_slice_t bytes)
{
    size_t i = 0;
    crc = ~crc;
    for (; bytes.size - i >= 8; i += 8) {
        uint64_t word;
        memcpy (&word, bytes.data + i, sizeof word);
        crc = __crc32cd (crc, word);
    }
    for (; i < bytes.size; i++)
        crc = __crc32cb (crc, bytes.data[i]);
    return ~crc;
}

#else

uint32_t crc32c (uint32_t crc, kv_slice_t bytes)
{
    return crc32c_by_table (crc, bytes);
}

#endif
