/* fuzz_snapshot - any bytes as a snapshot file, read and loaded as recovery does.
 *
 * The first byte: bit 0: all CRCs are made right first, so that what lies behind them is reached; the
 * length fields say where chunks are. The rest is the file.
 *
 * Asserted: reading ends with END, CORRUPT or BAD_VERSION, damage with a text that names the file and an
 * offset; a file that is accepted, written again from what was read, has the same bytes, so nothing in it
 * was passed over; its entries can be loaded. */
#include "actors/snapshot_reader.h"
#include "node/entry_pool.h"
#include "node/snapshot_load.h"
#include "schema/crc32c.h"

#include <stdlib.h>

enum { INPUT_BYTES_MAX = 1 << 20 };

static const char s_name[] = "fuzzed";

/* A directory with one file, to be read only. */
typedef struct {
    files_t base;
    file_t file;
    kv_slice_t bytes;
} memory_t;

static memory_t *s_memory (file_t *file)
{
    return (memory_t *)(void *)((char *)file - offsetof (memory_t, file));
}

static kv_status_t s_open (files_t *self, const char *name, file_mode_t mode, file_t **file_p,
                           file_error_t *error)
{
    (void)name;
    (void)error;
    KV_ASSERT (mode == FILE_READ);
    *file_p = &((memory_t *)(void *)self)->file;
    return KV_OK;
}

static void s_close (file_t *file)
{
    (void)file;
}

static kv_status_t s_size (file_t *file, uint64_t *bytes, file_error_t *error)
{
    (void)error;
    *bytes = s_memory (file)->bytes.size;
    return KV_OK;
}

static kv_status_t s_read (file_t *file, uint64_t offset, void *out, size_t bytes, size_t *got,
                           file_error_t *error)
{
    (void)error;
    kv_slice_t all = s_memory (file)->bytes;
    KV_ASSERT (offset <= all.size);
    *got = bytes < all.size - offset ? bytes : (size_t)(all.size - offset);
    if (*got)
        memcpy (out, all.data + offset, *got);
    return KV_OK;
}

static const files_operations_t s_operations = {
    .open = s_open, .close = s_close, .size = s_size, .read = s_read};

static void s_set32 (uint8_t *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static void s_mend (uint8_t *data, size_t size)
{
    if (size < SNAPSHOT_HEADER_BYTES)
        return;
    uint32_t crc = crc32c (0, kv_slice (data, 12));
    s_set32 (data + 12, crc32c (crc, kv_slice (data + 16, SNAPSHOT_HEADER_BYTES - 16)));
    size_t at = SNAPSHOT_HEADER_BYTES;
    while (size - at >= SNAPSHOT_CHUNK_HEADER_BYTES) {
        size_t payload = data[at + 4] | (size_t)data[at + 5] << 8 | (size_t)data[at + 6] << 16 |
                         (size_t)data[at + 7] << 24;
        if (payload > size - at - SNAPSHOT_CHUNK_HEADER_BYTES)
            return;
        size_t bytes = SNAPSHOT_CHUNK_HEADER_BYTES + payload;
        s_set32 (data + at, crc32c (0, kv_slice (data + at + 4, bytes - 4)));
        at += bytes;
    }
}

/* Writes a chunk again from what it means, behind the others. */
static void s_copy (writer_t *copy, store_t *store, const snapshot_chunk_t *chunk)
{
    writer_t out = writer_make (SIZE_MAX);
    snapshot_chunk_begin (&out);
    if (chunk->kind == SNAPSHOT_SHARD) {
        uint64_t last;
        uint64_t count;
        kv_status_t status = snapshot_shard_read (chunk->payload, &last, &count);
        KV_ASSERT (status == KV_OK);
        snapshot_shard_write (&out, last, count);
    } else {
        kv_slice_t at = chunk->payload;
        snapshot_entry_t entry;
        uint64_t entries = 0;
        kv_status_t status;
        for (; (status = snapshot_entry_next (&at, &entry)) == KV_OK; entries++)
            snapshot_entry_write (&out, &entry);
        KV_ASSERT (status == KV_END);
        uint64_t loaded = 0;
        status = snapshot_load (store, chunk->payload, &loaded);
        KV_ASSERT (status == KV_OK);
        KV_ASSERT (loaded == entries && store_count (store) <= INPUT_BYTES_MAX);
    }
    snapshot_chunk_seal (out.data, out.size, chunk->kind, chunk->number, chunk->shard);
    writer_raw (copy, kv_slice (out.data, out.size));
    writer_free (&out);
}

static void s_copy_end (writer_t *copy, const snapshot_reader_t *reader,
                        const snapshot_chunk_t *chunk)
{
    uint64_t end_lsn;
    uint64_t entries;
    uint64_t chunks;
    kv_status_t status = snapshot_end_read (chunk->payload, &end_lsn, &entries, &chunks);
    KV_ASSERT (status == KV_OK);
    KV_ASSERT (chunks == chunk->number);
    writer_t out = writer_make (SIZE_MAX);
    snapshot_chunk_begin (&out);
    snapshot_end_write (&out, snapshot_reader_end_lsn (reader), entries, chunks);
    snapshot_chunk_seal (out.data, out.size, SNAPSHOT_END, chunk->number, 0);
    writer_raw (copy, kv_slice (out.data, out.size));
    writer_free (&out);
}

static void s_run (memory_t *memory, store_t *store)
{
    file_error_t error = {0};
    snapshot_reader_t *reader;
    snapshot_chunk_t chunk;
    writer_t copy = writer_make (SIZE_MAX);
    kv_status_t status = snapshot_reader_open (&memory->base, s_name, &reader, &error);
    if (status == KV_OK) {
        snapshot_header_encode (snapshot_reader_header (reader),
                                writer_claim (&copy, SNAPSHOT_HEADER_BYTES));
        while ((status = snapshot_reader_next (reader, &chunk, &error)) == KV_OK)
            s_copy (&copy, store, &chunk);
    }
    if (status == KV_END) {
        s_copy_end (&copy, reader, &chunk);
        KV_ASSERT (kv_slice_equal (kv_slice (copy.data, copy.size), memory->bytes));
    } else {
        KV_ASSERT (status == KV_CORRUPT || status == KV_BAD_VERSION);
        KV_ASSERT (strstr (error.text, s_name) != NULL);
        KV_ASSERT (status == KV_BAD_VERSION || strstr (error.text, " at ") != NULL);
    }
    snapshot_reader_destroy (&reader);
    writer_free (&copy);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const uint8_t secret[STORE_SECRET_BYTES] = {1};
    if (size < 1 || size > INPUT_BYTES_MAX)
        return 0;
    size_t bytes = size - 1;
    uint8_t *file = malloc (bytes + 1);
    KV_ASSERT (file != NULL);
    memcpy (file, data + 1, bytes);
    if (data[0] & 1)
        s_mend (file, bytes);
    memory_t memory = {.base = {.operations = &s_operations, .path = "memory"},
                       .file = {.operations = &s_operations},
                       .bytes = kv_slice (file, bytes)};
    entry_pool_t *pool = entry_pool_new ();
    store_t *store = store_new (secret, pool);
    s_run (&memory, store);
    store_destroy (&store);
    entry_pool_destroy (&pool);
    free (file);
    return 0;
}
