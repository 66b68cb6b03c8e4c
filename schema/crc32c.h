/* crc32c - the Castagnoli CRC (polynomial 0x1EDC6F41, reflected; RFC 3720, appendix B.4), by the
 * processor's instruction where it has one.
 *
 * crc32c (0, "123456789") is 0xE3069283. A CRC is continued by handing in what came out:
 * crc32c (crc32c (0, a), b) is that of a and b in one. Pure, thread-safe. */
#ifndef KVDB_SCHEMA_CRC32C_H
#define KVDB_SCHEMA_CRC32C_H

#include "schema/slice.h"

uint32_t crc32c (uint32_t crc, kv_slice_t bytes);

/* The same without the processor's help; for tests. */
uint32_t crc32c_by_table (uint32_t crc, kv_slice_t bytes);

#endif
