#include "schema/crc32c.h"

/* What four bits more make of a CRC: enough for machines without the instruction, which are old. */
static const uint32_t s_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_by_table (uint32_t crc, kv_slice_t bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        crc = crc >> 4 ^ s_table[crc & 15];
        crc = crc >> 4 ^ s_table[crc & 15];
    }
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
