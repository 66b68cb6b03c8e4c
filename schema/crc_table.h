/* crc_table - tables of a CRC's remainders, spelled out by the preprocessor, so that none is made at run
 * time. Pure.
 *
 * The map from a byte to its remainder is linear: that of a byte is the sum of those of its bits, p0
 * (bit 0) .. p7. CRC_TABLE (p0, ..., p7) is the initialiser for all 256 bytes. Eight such tables, for a
 * byte with 0 .. 7 more behind it, let eight bytes be divided at once, without waiting for one another
 * (Kounavis and Berry, "Novel Table Lookup-Based Algorithms", 2008). */
#ifndef KVDB_SCHEMA_CRC_TABLE_H
#define KVDB_SCHEMA_CRC_TABLE_H

#define CRC_BIT(b, i, p) (((b) >> (i)&1) * (p))
#define CRC_BYTE(b, p0, p1, p2, p3, p4, p5, p6, p7)                                                \
    (CRC_BIT (b, 0, p0) ^ CRC_BIT (b, 1, p1) ^ CRC_BIT (b, 2, p2) ^ CRC_BIT (b, 3, p3) ^           \
     CRC_BIT (b, 4, p4) ^ CRC_BIT (b, 5, p5) ^ CRC_BIT (b, 6, p6) ^ CRC_BIT (b, 7, p7))
#define CRC_4(b, ...)                                                                              \
    CRC_BYTE (b, __VA_ARGS__), CRC_BYTE (b + 1, __VA_ARGS__), CRC_BYTE (b + 2, __VA_ARGS__),       \
        CRC_BYTE (b + 3, __VA_ARGS__)
#define CRC_16(b, ...)                                                                             \
    CRC_4 (b, __VA_ARGS__), CRC_4 (b + 4, __VA_ARGS__), CRC_4 (b + 8, __VA_ARGS__),                \
        CRC_4 (b + 12, __VA_ARGS__)
#define CRC_64(b, ...)                                                                             \
    CRC_16 (b, __VA_ARGS__), CRC_16 (b + 16, __VA_ARGS__), CRC_16 (b + 32, __VA_ARGS__),           \
        CRC_16 (b + 48, __VA_ARGS__)
#define CRC_TABLE(...)                                                                             \
    {                                                                                              \
        CRC_64 (0, __VA_ARGS__), CRC_64 (64, __VA_ARGS__), CRC_64 (128, __VA_ARGS__),              \
            CRC_64 (192, __VA_ARGS__)                                                              \
    }

#endif
