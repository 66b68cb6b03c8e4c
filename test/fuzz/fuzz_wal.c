/* fuzz_wal - any bytes as the only segment of a log, recovered as a node does, and gone on with.
 *
 * The first byte: bit 0: all CRCs, numbers and places are made right first, so that what lies behind them
 * is reached, and the file is filled up with zeros to a segment's length; the length fields say where blocks
 * and records are. Bit 1: the file is shorter than its header says. Bit 2: reading begins with the first block, wherever in the stream that is. The rest
 * is the file.
 *
 * Asserted: reading ends with END, CORRUPT or BAD_VERSION, damage with a text that names the file and an
 * offset; what is read is the blocks' payload, byte for byte; a log that is accepted can be gone on with,
 * twice, and gives back all it gave before. */
#include "actors/wal_keeper.h"
#include "schema/bytes.h"
#include "schema/crc32c.h"
#include "test/fault/fault_files.h"

#include <stdlib.h>

enum {
    INPUT_BYTES_MAX = 1 << 18,
    FILE_BYTES_MAX = 1 << 20, /* a longer one is read only: going on would write it full of zeros */
    UUID_AT = 32,
    MENDED = 1,
    CUT = 2,
    ANYWHERE = 4
};

static const char s_name[] = "wal-0000000001.log";

/* ---- making it right -------------------------------------------------------------------------------- */

static void s_mend_header (uint8_t *data, size_t size, bool cut)
{
    memcpy (data, "KVDBWAL\n", 8);
    bytes_put64 (data + 16, 1);
    bytes_put64 (data + 24, cut ? size + 1 + bytes_get32 (data + 24) : size);
    memset (data + 48, 0, WAL_SEGMENT_HEADER_BYTES - 48);
    uint32_t crc = crc32c (0, kv_slice (data, 12));
    bytes_put32 (data + 12, crc32c (crc, kv_slice (data + 16, 32)));
}

static void s_mend_records (uint8_t *data, size_t size)
{
    while (size >= RECORD_HEADER_BYTES) {
        size_t bytes = bytes_get32 (data + 4);
        if (bytes < RECORD_HEADER_BYTES || bytes > size)
            return;
        bytes_put32 (data, crc32c (0, kv_slice (data + 4, bytes - 4)));
        data += bytes;
        size -= bytes;
    }
}

/* The first block stays where it says in the stream, unless the log is to begin with it. */
static void s_mend_blocks (uint8_t *data, size_t size, bool anywhere)
{
    uint32_t seed = wal_seed (data + UUID_AT);
    uint64_t lsn = 0;
    uint32_t link = 0;
    for (uint64_t at = WAL_SEGMENT_HEADER_BYTES; at + WAL_BLOCK_HEADER_BYTES < size;) {
        uint8_t *block = data + at;
        size_t bytes = bytes_get32 (block + 8) & ~(UINT32_C (1) << 31);
        if (bytes == 0 || bytes > size - at - WAL_BLOCK_HEADER_BYTES)
            return;
        s_mend_records (block + WAL_BLOCK_HEADER_BYTES, bytes);
        bytes_put32 (block + 4, crc32c (0, kv_slice (block + WAL_BLOCK_HEADER_BYTES, bytes)));
        if (at > WAL_SEGMENT_HEADER_BYTES || !anywhere) {
            bytes_put32 (block + 12, link);
            bytes_put64 (block + 16, lsn);
        }
        lsn = bytes_get64 (block + 16) + bytes;
        bytes_put32 (block, crc32c (seed, kv_slice (block + 4, WAL_BLOCK_HEADER_BYTES - 4)));
        link = bytes_get32 (block);
        at = wal_align (at + WAL_BLOCK_HEADER_BYTES + bytes);
    }
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* What came out of a log. */
typedef struct {
    kv_status_t status;
    writer_t records; /* owned */
    uint64_t count;
} found_t;

static void s_read_all (wal_reader_t *reader, found_t *found, file_error_t *error)
{
    record_t record;
    uint64_t end_lsn;
    uint64_t last_lsn = 0;
    while ((found->status = wal_reader_next (reader, &record, &end_lsn, error)) == KV_OK) {
        KV_ASSERT (end_lsn >= last_lsn + record.bytes);
        KV_ASSERT (end_lsn >= record.bytes);
        last_lsn = end_lsn;
        /* The record lies right before what follows its header's fields: its effects end it. */
        const uint8_t *end = record.effects.data + record.effects.size;
        writer_raw (&found->records, kv_slice (end - record.bytes, record.bytes));
        found->count++;
    }
}

static void s_check_end (files_t *files, const wal_end_t *end)
{
    KV_ASSERT (end->record_lsn <= end->place.lsn);
    KV_ASSERT (end->segment == 0 || fault_files_content (files, s_name).data != NULL);
    KV_ASSERT (end->place.durable_lsn <= end->place.lsn);
}

static void s_check_fault (const found_t *found, const file_error_t *error)
{
    KV_ASSERT (found->status == KV_CORRUPT || found->status == KV_BAD_VERSION);
    KV_ASSERT (strstr (error->text, "/wal-") != NULL);
    KV_ASSERT (strstr (error->text, " at ") != NULL);
}

/* ---- going on --------------------------------------------------------------------------------------- */

static void s_append (wal_t *wal, wal_keeper_t *keeper)
{
    file_error_t error;
    wal_segment_t segment;
    effect_t effect = {
        .kind = EFFECT_PUT, .key = kv_slice_text ("a key"), .value = kv_slice_text ("a value")};
    size_t bytes = RECORD_HEADER_BYTES + record_effect_bytes (effect.key.size, effect.value.size);
    while (wal_room (wal) < bytes) {
        kv_status_t status = wal_keeper_prepare (keeper, &segment, &error);
        KV_ASSERT (status == KV_OK || status == KV_END);
        if (status == KV_END)
            wal_add_segment (wal, &segment);
    }
    size_t start = record_begin (wal_buffer (wal), 1, 1, 2);
    record_effect (wal_buffer (wal), &effect);
    record_end (wal_buffer (wal), start, 1);
    kv_status_t status = wal_write (wal, &error);
    KV_ASSERT (status == KV_OK);
}

static void s_go_on (files_t *files, wal_reader_t *reader, const uint8_t *uuid)
{
    file_error_t error;
    wal_keeper_t *keeper;
    wal_segment_t current;
    wal_place_t place;
    size_t count;
    wal_end_t end = wal_reader_end (reader);
    const wal_segment_info_t *segments = wal_reader_segments (reader, &count);
    wal_keeper_options_t options = {.files = files, .segment_bytes = WAL_SEGMENT_BYTES_MIN};
    memcpy (options.uuid, uuid, WAL_UUID_BYTES);
    s_check_end (files, &end);
    kv_status_t status =
        wal_keeper_open (&options, &end, segments, count, &keeper, &current, &place, &error);
    KV_ASSERT (status == KV_OK);
    wal_t *wal = wal_new (place);
    if (current.number)
        wal_add_segment (wal, &current);
    s_append (wal, keeper);
    wal_destroy (&wal);
    wal_keeper_destroy (&keeper);
}

static bool s_may_go_on (wal_reader_t *reader)
{
    size_t count;
    const wal_segment_info_t *segments = wal_reader_segments (reader, &count);
    if (wal_reader_end (reader).place.lsn > WAL_LSN_MAX - 4096)
        return false; /* nearly the last there may be */
    return count == 0 || segments[0].bytes <= FILE_BYTES_MAX;
}

/* Recovers the log, and writes one record more. False: it is refused, or not to be written to. */
static bool s_recover (files_t *files, uint64_t start_lsn, const uint8_t *uuid, found_t *found)
{
    file_error_t error = {0};
    wal_reader_t *reader;
    wal_reader_options_t options = {.files = files, .start_lsn = start_lsn};
    *found = (found_t){.records = writer_make (SIZE_MAX)};
    found->status = wal_reader_open (&options, &reader, &error);
    if (found->status == KV_OK)
        s_read_all (reader, found, &error);
    bool goes_on = found->status == KV_END && s_may_go_on (reader);
    if (goes_on)
        s_go_on (files, reader, uuid);
    else if (found->status != KV_END)
        s_check_fault (found, &error);
    wal_reader_destroy (&reader);
    return goes_on;
}

/* What is read of an untouched log stands in its blocks, in this order. */
static void s_check_stream (kv_slice_t file, const found_t *found)
{
    writer_t stream = writer_make (SIZE_MAX);
    wal_place_t place = {.lsn = WAL_ANY_LSN};
    uint64_t offset = WAL_SEGMENT_HEADER_BYTES;
    wal_block_t block;
    bool torn;
    size_t taken = 0;
    while (found->count && wal_block_next (file, &offset, &place, &block, &torn) == KV_OK)
        writer_raw (&stream, block.payload);
    for (size_t at = 0; taken < found->records.size && at < stream.size;) {
        /* Whole records in a row, with void parts between them. */
        size_t bytes = bytes_get32 (found->records.data + taken + 4);
        if (bytes <= stream.size - at &&
            memcmp (stream.data + at, found->records.data + taken, bytes) == 0) {
            taken += bytes;
            at += bytes;
        } else {
            at++;
        }
    }
    KV_ASSERT (taken == found->records.size);
    writer_free (&stream);
}

static void s_run (files_t *files, uint64_t start_lsn, kv_slice_t file)
{
    found_t before;
    found_t after;
    uint8_t uuid[WAL_UUID_BYTES] = {0};
    if (file.size >= WAL_SEGMENT_HEADER_BYTES)
        memcpy (uuid, file.data + UUID_AT, sizeof uuid);
    bool goes_on = s_recover (files, start_lsn, uuid, &before);
    if (before.count)
        s_check_stream (file, &before);
    for (int life = 0; goes_on && life < 2; life++) {
        goes_on = s_recover (files, start_lsn, uuid, &after);
        KV_ASSERT (goes_on);
        KV_ASSERT (after.count == before.count + 1);
        KV_ASSERT (after.records.size > before.records.size);
        KV_ASSERT (kv_slice_equal (kv_slice (after.records.data, before.records.size),
                                   kv_slice (before.records.data, before.records.size)));
        writer_free (&before.records);
        before = after;
    }
    writer_free (&before.records);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_BYTES_MAX)
        return 0;
    size_t bytes = size - 1;
    bool is_mended = (data[0] & MENDED) && bytes >= WAL_SEGMENT_HEADER_BYTES;
    if (is_mended && bytes < WAL_SEGMENT_BYTES_MIN)
        bytes = WAL_SEGMENT_BYTES_MIN;
    uint8_t *copy = calloc (1, bytes + 1);
    KV_ASSERT (copy != NULL);
    memcpy (copy, data + 1, size - 1);
    if (is_mended) {
        s_mend_header (copy, bytes, data[0] & CUT);
        s_mend_blocks (copy, bytes, data[0] & ANYWHERE);
    }
    file_error_t error;
    file_t *file;
    files_t *files = fault_files_new (1, 0);
    kv_status_t status = files_open (files, s_name, FILE_CREATE, &file, &error);
    KV_ASSERT (status == KV_OK);
    status = file_write (file, 0, kv_slice (copy, bytes), &error);
    KV_ASSERT (status == KV_OK);
    file_close (&file);
    s_run (files, data[0] & ANYWHERE ? WAL_ANY_LSN : 0, kv_slice (copy, bytes));
    files_destroy (&files);
    free (copy);
    return 0;
}
