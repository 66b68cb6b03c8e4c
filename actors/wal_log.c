#include "actors/wal_log.h"

#include "schema/bytes.h"
#include "schema/crc32c.h"

#include <inttypes.h>
#include <stdio.h>

static const char s_magic[8] = {'K', 'V', 'D', 'B', 'W', 'A', 'L', '\n'};

enum { HEADER_USED = 48, SIZE_AT = 24, UUID_AT = 32, CRC_BYTES = 4 };

static const uint32_t s_restarts = UINT32_C (1) << 31; /* of a block's size */

_Static_assert(WAL_SECTOR_BYTES % WAL_BLOCK_ALIGNMENT == 0, "a header lies within one sector");
_Static_assert(WAL_BLOCK_HEADER_BYTES <= WAL_BLOCK_ALIGNMENT, "a header lies within one sector");
_Static_assert(WAL_SEGMENT_HEADER_BYTES % WAL_BLOCK_ALIGNMENT == 0, "so does the first one");

/* ---- names --------------------------------------------------------------------------------------- */

void wal_segment_name (uint64_t number, char name[WAL_NAME_BYTES])
{
    snprintf (name, WAL_NAME_BYTES, "wal-%010" PRIu64 ".log", number);
}

bool wal_segment_number (const char *name, uint64_t *number)
{
    char again[WAL_NAME_BYTES];
    if (sscanf (name, "wal-%20" SCNu64, number) != 1)
        return false;
    wal_segment_name (*number, again);
    return *number > 0 && strcmp (name, again) == 0;
}

/* ---- the segment's header -------------------------------------------------------------------------- */

static uint32_t s_header_crc (const uint8_t *header)
{
    uint32_t crc = crc32c (0, kv_slice (header, 12));
    return crc32c (crc, kv_slice (header + 16, HEADER_USED - 16));
}

static bool s_is_zero (kv_slice_t bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i])
            return false;
    }
    return true;
}

void wal_header_encode (const wal_header_t *header, uint8_t out[WAL_SEGMENT_HEADER_BYTES])
{
    memset (out, 0, WAL_SEGMENT_HEADER_BYTES);
    memcpy (out, s_magic, sizeof s_magic);
    bytes_put32 (out + 8, WAL_VERSION);
    bytes_put64 (out + 16, header->number);
    bytes_put64 (out + SIZE_AT, header->bytes);
    memcpy (out + UUID_AT, header->uuid, WAL_UUID_BYTES);
    bytes_put32 (out + 12, s_header_crc (out));
}

kv_status_t wal_header_decode (kv_slice_t bytes, wal_header_t *header)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < WAL_SEGMENT_HEADER_BYTES || memcmp (data, s_magic, sizeof s_magic) != 0 ||
        bytes_get32 (data + 12) != s_header_crc (data) ||
        !s_is_zero (kv_slice (data + HEADER_USED, WAL_SEGMENT_HEADER_BYTES - HEADER_USED)))
        return KV_CORRUPT;
    if (bytes_get32 (data + 8) != WAL_VERSION)
        return KV_BAD_VERSION;
    header->number = bytes_get64 (data + 16);
    header->bytes = bytes_get64 (data + SIZE_AT);
    memcpy (header->uuid, data + UUID_AT, WAL_UUID_BYTES);
    return KV_OK;
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

uint32_t wal_seed (const uint8_t uuid[WAL_UUID_BYTES])
{
    return crc32c (0, kv_slice (uuid, WAL_UUID_BYTES));
}

static uint32_t s_segment_seed (kv_slice_t segment)
{
    KV_ASSERT (segment.size >= WAL_SEGMENT_HEADER_BYTES);
    return wal_seed (segment.data + UUID_AT);
}

/* W7 */
static uint32_t s_block_crc (uint32_t seed, const uint8_t *header)
{
    return crc32c (seed, kv_slice (header + CRC_BYTES, WAL_BLOCK_HEADER_BYTES - CRC_BYTES));
}

void wal_block_encode (wal_place_t *place, uint64_t durable_lsn, kv_slice_t payload,
                       uint8_t out[WAL_BLOCK_HEADER_BYTES])
{
    KV_ASSERT (payload.size > 0);
    KV_ASSERT (payload.size < s_restarts);
    KV_ASSERT (durable_lsn <= place->lsn); // W2
    KV_ASSERT (durable_lsn >= place->durable_lsn);
    bytes_put32 (out + 4, crc32c (0, payload));
    bytes_put32 (out + 8, (uint32_t)payload.size | (place->restarts ? s_restarts : 0));
    bytes_put32 (out + 12, place->link); // W1
    bytes_put64 (out + 16, place->lsn);
    bytes_put64 (out + 24, durable_lsn);
    bytes_put32 (out, s_block_crc (place->seed, out));
    place->lsn += payload.size;
    place->link = bytes_get32 (out);
    place->restarts = false;
    place->durable_lsn = durable_lsn;
}

void wal_block_shorten (uint32_t seed, uint8_t *block, size_t bytes)
{
    uint32_t size = bytes_get32 (block + 8);
    KV_ASSERT (bytes > 0);
    KV_ASSERT (bytes <= (size & ~s_restarts));
    bytes_put32 (block + 4, crc32c (0, kv_slice (block + WAL_BLOCK_HEADER_BYTES, bytes)));
    bytes_put32 (block + 8, (uint32_t)bytes | (size & s_restarts));
    bytes_put32 (block, s_block_crc (seed, block));
}

/* A header as it stands there. */
typedef struct {
    uint32_t own_crc, payload_crc, size, link;
    uint64_t lsn, durable_lsn;
    bool restarts;
} header_t;

/* False: its CRC is wrong, so nothing in it can be trusted. */
static bool s_read_header (uint32_t seed, const uint8_t *at, header_t *header)
{
    header->own_crc = bytes_get32 (at);
    header->payload_crc = bytes_get32 (at + 4);
    header->size = bytes_get32 (at + 8) & ~s_restarts;
    header->restarts = (bytes_get32 (at + 8) & s_restarts) != 0;
    header->link = bytes_get32 (at + 12);
    header->lsn = bytes_get64 (at + 16);
    header->durable_lsn = bytes_get64 (at + 24);
    return header->own_crc == s_block_crc (seed, at);
}

/* Whether a sector's part of these bytes is all zero, as it is where a sector was never written. */
static bool s_has_empty_sector (kv_slice_t segment, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t next = from / WAL_SECTOR_BYTES * WAL_SECTOR_BYTES + WAL_SECTOR_BYTES;
        uint64_t end = next < to ? next : to;
        if (s_is_zero (kv_slice (segment.data + from, (size_t)(end - from))))
            return true;
        from = end;
    }
    return false;
}

static bool s_follows (const header_t *header, const wal_place_t *place)
{
    if (header->lsn > WAL_LSN_MAX)
        return false;
    if (place->lsn != WAL_ANY_LSN && (header->lsn != place->lsn || header->link != place->link))
        return false;                                                                       // W1
    return header->durable_lsn >= place->durable_lsn && header->durable_lsn <= header->lsn; // W2
}

/* The header at `at`, if it is that of a block which follows `place`. */
static kv_status_t s_next_header (kv_slice_t segment, uint64_t at, const wal_place_t *place,
                                  header_t *header)
{
    uint64_t bytes = bytes_get64 (segment.data + SIZE_AT); /* of the file, as it was made */
    if (at > segment.size || segment.size - at < WAL_BLOCK_HEADER_BYTES)
        return KV_END;
    if (s_is_zero (kv_slice (segment.data + at, WAL_BLOCK_HEADER_BYTES)))
        return KV_END;
    /* A header is in one sector: it was written whole, or it would be zero. */
    if (!s_read_header (s_segment_seed (segment), segment.data + at, header) ||
        !s_follows (header, place) || header->size == 0 ||
        header->size > bytes - at - WAL_BLOCK_HEADER_BYTES)
        return KV_CORRUPT;
    return KV_OK;
}

kv_status_t wal_block_next (kv_slice_t segment, uint64_t *offset, wal_place_t *place,
                            wal_block_t *block, bool *torn)
{
    header_t header;
    uint64_t at = wal_align (*offset);
    KV_ASSERT (segment.size >= WAL_SEGMENT_HEADER_BYTES);
    KV_ASSERT (segment.size <= bytes_get64 (segment.data + SIZE_AT));
    *torn = false;
    kv_status_t status = s_next_header (segment, at, place, &header);
    if (status)
        return status;
    uint64_t start = at + WAL_BLOCK_HEADER_BYTES;
    uint64_t end = start + header.size;
    if (end > segment.size) {
        *torn = true;
        return KV_CORRUPT;
    }
    kv_slice_t payload = kv_slice (segment.data + start, header.size);
    if (header.payload_crc != crc32c (0, payload)) {
        *torn = s_has_empty_sector (segment, start, end);
        return KV_CORRUPT;
    }
    *block = (wal_block_t){.lsn = header.lsn, .payload = payload, .restarts = header.restarts};
    *place = (wal_place_t){.lsn = header.lsn + header.size,
                           .link = header.own_crc,
                           .durable_lsn = header.durable_lsn,
                           .seed = s_segment_seed (segment)};
    *offset = end;
    return KV_OK;
}

size_t wal_block_remains (kv_slice_t segment, uint64_t *offset, const wal_place_t *place)
{
    header_t header;
    uint64_t at = wal_align (*offset);
    *offset = at;
    if (s_next_header (segment, at, place, &header))
        return 0;
    size_t left = segment.size - (size_t)at - WAL_BLOCK_HEADER_BYTES;
    return header.size < left ? header.size : left;
}

kv_status_t wal_first_lsn (kv_slice_t head, uint64_t *lsn)
{
    header_t header;
    if (head.size < WAL_HEAD_BYTES)
        return KV_END;
    const uint8_t *at = head.data + WAL_SEGMENT_HEADER_BYTES;
    if (s_is_zero (kv_slice (at, WAL_BLOCK_HEADER_BYTES)))
        return KV_END;
    if (!s_read_header (s_segment_seed (head), at, &header) || header.lsn > WAL_LSN_MAX)
        return KV_CORRUPT;
    *lsn = header.lsn;
    return KV_OK;
}

uint64_t wal_durable_claim (kv_slice_t segment, uint64_t offset)
{
    uint64_t claim = 0;
    uint32_t seed = s_segment_seed (segment);
    header_t header;
    for (uint64_t at = wal_align (offset);
         at <= segment.size && segment.size - at >= WAL_BLOCK_HEADER_BYTES;
         at += WAL_BLOCK_ALIGNMENT) {
        if (s_is_zero (kv_slice (segment.data + at, WAL_BLOCK_HEADER_BYTES)) ||
            !s_read_header (seed, segment.data + at, &header))
            continue;
        if (header.durable_lsn > claim)
            claim = header.durable_lsn;
    }
    return claim;
}
