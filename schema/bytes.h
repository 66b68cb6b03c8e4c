/* bytes - numbers in files, little-endian whatever the machine is. Pure. */
#ifndef KVDB_SCHEMA_BYTES_H
#define KVDB_SCHEMA_BYTES_H

#include <stdint.h>

static inline void bytes_put16 (uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void bytes_put32 (uint8_t *at, uint32_t value)
{
    bytes_put16 (at, value);
    bytes_put16 (at + 2, value >> 16);
}

static inline void bytes_put64 (uint8_t *at, uint64_t value)
{
    bytes_put32 (at, (uint32_t)value);
    bytes_put32 (at + 4, (uint32_t)(value >> 32));
}

static inline uint32_t bytes_get16 (const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t bytes_get32 (const uint8_t *at)
{
    return bytes_get16 (at) | bytes_get16 (at + 2) << 16;
}

static inline uint64_t bytes_get64 (const uint8_t *at)
{
    return bytes_get32 (at) | (uint64_t)bytes_get32 (at + 4) << 32;
}

#endif
