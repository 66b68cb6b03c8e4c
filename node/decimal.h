/* decimal - integers as Redis reads and writes them in keys, values and arguments: an optional '-',
 * digits, no leading zeros, no "-0", nothing else. Pure. */
#ifndef KVDB_NODE_DECIMAL_H
#define KVDB_NODE_DECIMAL_H

#include "schema/slice.h"

enum { DECIMAL_TEXT_BYTES = 20 }; /* the longest: "-9223372036854775808" */

/* False if the text is anything but the shortest form of a 64-bit integer. */
bool decimal_read (kv_slice_t text, int64_t *number);

/* The same for 0 .. 2^64 - 1. */
bool decimal_read_unsigned (kv_slice_t text, uint64_t *number);

/* Writes the shortest form; returns its length. No NUL is added. */
size_t decimal_write (char text[DECIMAL_TEXT_BYTES], int64_t number);

#endif
