#include "schema/slot.h"

#include "schema/crc_table.h"
#include "schema/limits.h"

/* s_remainders[n][b]: b followed by 8 * n + 16 zero bits; those of its bits are powers of x modulo the
 * polynomial. */
static const uint16_t s_remainders[8][256] = {
    CRC_TABLE (0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48c4, 0x9188),
    CRC_TABLE (0x3331, 0x6662, 0xccc4, 0x89a9, 0x0373, 0x06e6, 0x0dcc, 0x1b98),
    CRC_TABLE (0x3730, 0x6e60, 0xdcc0, 0xa9a1, 0x4363, 0x86c6, 0x1dad, 0x3b5a),
    CRC_TABLE (0x76b4, 0xed68, 0xcaf1, 0x85c3, 0x1ba7, 0x374e, 0x6e9c, 0xdd38),
    CRC_TABLE (0xaa51, 0x4483, 0x8906, 0x022d, 0x045a, 0x08b4, 0x1168, 0x22d0),
    CRC_TABLE (0x45a0, 0x8b40, 0x06a1, 0x0d42, 0x1a84, 0x3508, 0x6a10, 0xd420),
    CRC_TABLE (0xb861, 0x60e3, 0xc1c6, 0x93ad, 0x377b, 0x6ef6, 0xddec, 0xabf9),
    CRC_TABLE (0x47d3, 0x8fa6, 0x0f6d, 0x1eda, 0x3db4, 0x7b68, 0xf6d0, 0xfd81),
};

/* The next crc for eight bytes: `word` holds them, the first one on top. */
static uint16_t s_crc16_word (uint16_t crc, uint64_t word)
{
    word ^= (uint64_t)crc << 48;
    return s_remainders[7][word >> 56] ^ s_remainders[6][word >> 48 & 0xff] ^
           s_remainders[5][word >> 40 & 0xff] ^ s_remainders[4][word >> 32 & 0xff] ^
           s_remainders[3][word >> 24 & 0xff] ^ s_remainders[2][word >> 16 & 0xff] ^
           s_remainders[1][word >> 8 & 0xff] ^ s_remainders[0][word & 0xff];
}

/* Written so that a compiler makes one load of it. */
static uint64_t s_load_word (const uint8_t *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 |
           (uint64_t)at[3] << 32 | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 |
           (uint64_t)at[6] << 8 | (uint64_t)at[7];
}

uint16_t kv_crc16 (kv_slice_t bytes)
{
    /* Zero bits in front do not change a remainder, so the odd bytes go first, as a short word. */
    size_t odd = bytes.size % 8;
    uint64_t first = 0;
    for (size_t i = 0; i < odd; i++)
        first = first << 8 | bytes.data[i];
    uint16_t crc = odd ? s_crc16_word (0, first) : 0;
    for (size_t i = odd; i < bytes.size; i += 8)
        crc = s_crc16_word (crc, s_load_word (bytes.data + i));
    return crc;
}

uint32_t kv_slot (kv_slice_t key)
{
    const uint8_t *open = key.size ? memchr (key.data, '{', key.size) : NULL;
    if (open) {
        size_t left = key.size - (size_t)(open + 1 - key.data);
        const uint8_t *close = left ? memchr (open + 1, '}', left) : NULL;
        if (close && close > open + 1)
            key = kv_slice (open + 1, (size_t)(close - open - 1));
    }
    return kv_crc16 (key) % KV_SLOTS;
}
