#include "actors/snapshot_file.h"

#include "schema/crc32c.h"

/* Where things stand; the header of this module draws it. */
enum {
    HEADER_VERSION = 8,
    HEADER_CRC = 12,
    HEADER_UUID = 16,
    HEADER_START_LSN = 32,
    HEADER_ENTRIES = 40,
    HEADER_SHARDS = 48,
    HEADER_MADE = 52,
    HEADER_SPARE = 60,
    CHUNK_PAYLOAD_BYTES = 4,
    CHUNK_NUMBER = 8,
    CHUNK_KIND = 12,
    CHUNK_SPARE = 13,
    CHUNK_SHARD = 14,
    ENTRY_VALUE_BYTES = 8,
    ENTRY_KEY_BYTES = 12,
    SHARD_PAYLOAD_BYTES = 16,
    END_PAYLOAD_BYTES = 24
};

static const uint8_t s_magic[8] = {'K', 'V', 'D', 'B', 'S', 'N', 'P', '\n'};
static const uint32_t s_expires = UINT32_C (1) << 31; /* of an entry's value bytes */

_Static_assert(sizeof s_magic == HEADER_VERSION, "the version follows the magic");
_Static_assert(KV_KEY_BYTES_MAX - 1 <= UINT16_MAX, "a key's length fits");
_Static_assert(KV_SHARDS_MAX <= UINT16_MAX, "a shard fits");
_Static_assert((int64_t)SNAPSHOT_CHUNK_BYTES_MAX < INT32_MAX, "a chunk's length fits");

static void s_put16 (uint8_t *at, uint16_t number)
{
    at[0] = (uint8_t)number;
    at[1] = (uint8_t)(number >> 8);
}

static void s_put32 (uint8_t *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static void s_put64 (uint8_t *at, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static uint16_t s_get16 (const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t s_get32 (const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t s_get64 (const uint8_t *at)
{
    return s_get32 (at) | (uint64_t)s_get32 (at + 4) << 32;
}

static uint32_t s_header_crc (const uint8_t *header)
{
    uint32_t crc = crc32c (0, kv_slice (header, HEADER_CRC));
    return crc32c (crc, kv_slice (header + HEADER_UUID, SNAPSHOT_HEADER_BYTES - HEADER_UUID));
}

void snapshot_header_encode (const snapshot_header_t *header, uint8_t out[SNAPSHOT_HEADER_BYTES])
{
    KV_ASSERT (header->shards >= 1 && header->shards <= KV_SHARDS_MAX);
    memset (out, 0, SNAPSHOT_HEADER_BYTES);
    memcpy (out, s_magic, sizeof s_magic);
    s_put32 (out + HEADER_VERSION, SNAPSHOT_VERSION);
    memcpy (out + HEADER_UUID, header->uuid, SNAPSHOT_UUID_BYTES);
    s_put64 (out + HEADER_START_LSN, header->start_lsn);
    s_put64 (out + HEADER_ENTRIES, header->entries);
    s_put32 (out + HEADER_SHARDS, header->shards);
    s_put64 (out + HEADER_MADE, (uint64_t)header->made_ms);
    s_put32 (out + HEADER_CRC, s_header_crc (out));
}

kv_status_t snapshot_header_decode (kv_slice_t bytes, snapshot_header_t *header)
{
    const uint8_t *at = bytes.data;
    if (bytes.size < SNAPSHOT_HEADER_BYTES || memcmp (at, s_magic, sizeof s_magic) != 0)
        return KV_CORRUPT;
    /* Whatever its version: so a flipped bit never looks like another version. */
    if (s_get32 (at + HEADER_CRC) != s_header_crc (at))
        return KV_CORRUPT;
    if (s_get32 (at + HEADER_VERSION) != SNAPSHOT_VERSION)
        return KV_BAD_VERSION;
    memcpy (header->uuid, at + HEADER_UUID, SNAPSHOT_UUID_BYTES);
    header->start_lsn = s_get64 (at + HEADER_START_LSN);
    header->entries = s_get64 (at + HEADER_ENTRIES);
    header->shards = s_get32 (at + HEADER_SHARDS);
    header->made_ms = (int64_t)s_get64 (at + HEADER_MADE);
    bool shards_fit = header->shards >= 1 && header->shards <= KV_SHARDS_MAX;
    return shards_fit && s_get32 (at + HEADER_SPARE) == 0 ? KV_OK : KV_CORRUPT;
}

void snapshot_chunk_begin (writer_t *out)
{
    KV_ASSERT (out->size == 0);
    uint8_t *at = writer_claim (out, SNAPSHOT_CHUNK_HEADER_BYTES);
    KV_ASSERT (at != NULL);
}

void snapshot_chunk_seal (uint8_t *chunk, size_t bytes, snapshot_kind_t kind, uint32_t number,
                          uint32_t shard)
{
    KV_ASSERT (bytes >= SNAPSHOT_CHUNK_HEADER_BYTES);
    KV_ASSERT (bytes <= SNAPSHOT_CHUNK_BYTES_MAX);
    KV_ASSERT (shard < KV_SHARDS_MAX);
    s_put32 (chunk + CHUNK_PAYLOAD_BYTES, (uint32_t)(bytes - SNAPSHOT_CHUNK_HEADER_BYTES));
    s_put32 (chunk + CHUNK_NUMBER, number);
    chunk[CHUNK_KIND] = (uint8_t)kind;
    chunk[CHUNK_SPARE] = 0;
    s_put16 (chunk + CHUNK_SHARD, (uint16_t)shard);
    s_put32 (chunk,
             crc32c (0, kv_slice (chunk + CHUNK_PAYLOAD_BYTES, bytes - CHUNK_PAYLOAD_BYTES)));
}

void snapshot_shard_write (writer_t *out, uint64_t last, uint64_t entries)
{
    uint8_t *at = writer_claim (out, SHARD_PAYLOAD_BYTES);
    if (!at)
        return;
    s_put64 (at, last);
    s_put64 (at + 8, entries);
}

uint8_t *snapshot_entry_begin (writer_t *out, const snapshot_entry_t *entry)
{
    KV_ASSERT (entry->key.size >= 1 && entry->key.size <= KV_KEY_BYTES_MAX);
    KV_ASSERT (entry->value.size <= KV_VALUE_BYTES_MAX);
    KV_ASSERT (entry->expires_ms >= 0);
    bool expires = entry->expires_ms != 0;
    size_t bytes = snapshot_entry_bytes (entry->key.size, entry->value.size, expires);
    uint8_t *at = writer_claim (out, bytes);
    if (!at)
        return NULL;
    s_put64 (at, entry->version);
    s_put32 (at + ENTRY_VALUE_BYTES, (uint32_t)entry->value.size | (expires ? s_expires : 0));
    s_put16 (at + ENTRY_KEY_BYTES, (uint16_t)(entry->key.size - 1));
    at += SNAPSHOT_ENTRY_HEADER_BYTES;
    if (expires) {
        s_put64 (at, (uint64_t)entry->expires_ms);
        at += SNAPSHOT_ENTRY_EXPIRY_BYTES;
    }
    memcpy (at, entry->key.data, entry->key.size);
    return at + entry->key.size;
}

void snapshot_entry_write (writer_t *out, const snapshot_entry_t *entry)
{
    uint8_t *value = snapshot_entry_begin (out, entry);
    if (value && entry->value.size)
        memcpy (value, entry->value.data, entry->value.size);
}

void snapshot_end_write (writer_t *out, uint64_t end_lsn, uint64_t entries, uint64_t chunks)
{
    uint8_t *at = writer_claim (out, END_PAYLOAD_BYTES);
    if (!at)
        return;
    s_put64 (at, end_lsn);
    s_put64 (at + 8, entries);
    s_put64 (at + 16, chunks);
}

/* Whether the fields of a chunk whose CRC is right go together: a maker's error, not a disk's. */
static bool s_chunk_is_sound (const snapshot_chunk_t *chunk, uint8_t spare)
{
    if (spare != 0)
        return false;
    switch (chunk->kind) {
    case SNAPSHOT_SHARD:
        return chunk->shard < KV_SHARDS_MAX && chunk->payload.size == SHARD_PAYLOAD_BYTES;
    case SNAPSHOT_ENTRIES: return chunk->shard < KV_SHARDS_MAX;
    case SNAPSHOT_END: return chunk->shard == 0 && chunk->payload.size == END_PAYLOAD_BYTES;
    }
    return false;
}

kv_status_t snapshot_chunk_decode (kv_slice_t bytes, snapshot_chunk_t *chunk)
{
    chunk->bytes = 0;
    if (bytes.size < SNAPSHOT_CHUNK_HEADER_BYTES)
        return KV_END;
    const uint8_t *at = bytes.data;
    uint32_t payload_bytes = s_get32 (at + CHUNK_PAYLOAD_BYTES);
    if (payload_bytes > SNAPSHOT_CHUNK_BYTES_MAX - SNAPSHOT_CHUNK_HEADER_BYTES)
        return KV_CORRUPT;
    chunk->bytes = (size_t)SNAPSHOT_CHUNK_HEADER_BYTES + payload_bytes;
    if (bytes.size < chunk->bytes)
        return KV_END;
    kv_slice_t covered = kv_slice (at + CHUNK_PAYLOAD_BYTES, chunk->bytes - CHUNK_PAYLOAD_BYTES);
    if (s_get32 (at) != crc32c (0, covered))
        return KV_CORRUPT;
    chunk->kind = (snapshot_kind_t)at[CHUNK_KIND];
    chunk->number = s_get32 (at + CHUNK_NUMBER);
    chunk->shard = s_get16 (at + CHUNK_SHARD);
    chunk->payload = kv_slice (at + SNAPSHOT_CHUNK_HEADER_BYTES, payload_bytes);
    return s_chunk_is_sound (chunk, at[CHUNK_SPARE]) ? KV_OK : KV_CORRUPT;
}

kv_status_t snapshot_shard_read (kv_slice_t payload, uint64_t *last, uint64_t *entries)
{
    if (payload.size != SHARD_PAYLOAD_BYTES)
        return KV_CORRUPT;
    *last = s_get64 (payload.data);
    *entries = s_get64 (payload.data + 8);
    return KV_OK;
}

kv_status_t snapshot_entry_next (kv_slice_t *at, snapshot_entry_t *entry)
{
    if (at->size == 0)
        return KV_END;
    if (at->size < SNAPSHOT_ENTRY_HEADER_BYTES)
        return KV_CORRUPT;
    uint32_t value_and_flag = s_get32 (at->data + ENTRY_VALUE_BYTES);
    bool expires = (value_and_flag & s_expires) != 0;
    size_t value_bytes = value_and_flag & ~s_expires;
    size_t key_bytes = (size_t)s_get16 (at->data + ENTRY_KEY_BYTES) + 1;
    if (value_bytes > KV_VALUE_BYTES_MAX)
        return KV_CORRUPT;
    size_t bytes = snapshot_entry_bytes (key_bytes, value_bytes, expires);
    if (at->size < bytes)
        return KV_CORRUPT;
    const uint8_t *rest = at->data + SNAPSHOT_ENTRY_HEADER_BYTES;
    entry->version = s_get64 (at->data);
    entry->expires_ms = 0;
    if (expires) {
        entry->expires_ms = (int64_t)s_get64 (rest);
        rest += SNAPSHOT_ENTRY_EXPIRY_BYTES;
        if (entry->expires_ms <= 0)
            return KV_CORRUPT;
    }
    entry->key = kv_slice (rest, key_bytes);
    entry->value = kv_slice (rest + key_bytes, value_bytes);
    *at = kv_slice (at->data + bytes, at->size - bytes);
    return KV_OK;
}

kv_status_t snapshot_end_read (kv_slice_t payload, uint64_t *end_lsn, uint64_t *entries,
                               uint64_t *chunks)
{
    if (payload.size != END_PAYLOAD_BYTES)
        return KV_CORRUPT;
    *end_lsn = s_get64 (payload.data);
    *entries = s_get64 (payload.data + 8);
    *chunks = s_get64 (payload.data + 16);
    return KV_OK;
}
