/* siphash - SipHash-1-3, a keyed hash whose outputs cannot be aimed at without the key.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; one compression and
 * three finalisation rounds, as hash tables commonly use. Pure. */
#ifndef KVDB_NODE_SIPHASH_H
#define KVDB_NODE_SIPHASH_H

#include "schema/slice.h"

enum { SIPHASH_KEY_BYTES = 16 };

typedef struct {
    uint64_t low, high; /* the key's two halves */
} siphash_key_t;

/* The key of 16 bytes, each half read as a little-endian number. */
siphash_key_t siphash_key (const uint8_t bytes[SIPHASH_KEY_BYTES]);

uint64_t siphash_13 (siphash_key_t key, kv_slice_t bytes);

#endif
