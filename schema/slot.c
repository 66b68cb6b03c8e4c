#include "schema/slot.h"

#include "schema/limits.h"

static uint16_t s_crc16_step (uint16_t crc, uint8_t byte)
{
    /* Bytewise without a table: x is the top byte folded so that two shifts finish the division. */
    uint16_t x = (uint16_t)((crc >> 8) ^ byte);
    x = (uint16_t)(x ^ (x >> 4));
    return (uint16_t)((crc << 8) ^ (x << 12) ^ (x << 5) ^ x);
}

uint16_t kv_crc16 (kv_slice_t bytes)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < bytes.size; i++)
        crc = s_crc16_step (crc, bytes.data[i]);
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
