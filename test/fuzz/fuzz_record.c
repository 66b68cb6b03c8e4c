/* fuzz_record - any bytes as records that stand back to back, as in a log.
 *
 * The first byte: bit 0: the CRC of each record is made right before it is read, so that what lies behind it
 * is reached. The rest are the records.
 *
 * Asserted: decoding ends with OK, END or CORRUPT; what an accepted record points to lies within it, and its
 * effects, completion and time are all of it (D2); written again it has the same bytes, and cut it is not
 * all there. */
#include "schema/bytes.h"
#include "schema/crc32c.h"
#include "schema/limits.h"
#include "schema/record.h"

#include <stdlib.h>

enum { INPUT_BYTES_MAX = 1 << 20, FIXED_BYTES = 8 };

static void s_mend (uint8_t *data, size_t size)
{
    if (size < FIXED_BYTES)
        return;
    uint32_t bytes = bytes_get32 (data + 4);
    if (bytes >= FIXED_BYTES && bytes <= size)
        bytes_put32 (data, crc32c (0, kv_slice (data + 4, bytes - 4)));
}

static void s_check_within (kv_slice_t part, kv_slice_t whole)
{
    KV_ASSERT (part.size == 0 ||
               (part.data >= whole.data && part.data + part.size <= whole.data + whole.size));
}

static void s_check_effects (const record_t *record, kv_slice_t bytes, writer_t *again)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    uint32_t count = 0;
    kv_status_t status;
    while ((status = effect_next (&at, &effect)) == KV_OK) {
        s_check_within (effect.key, bytes);
        s_check_within (effect.value, bytes);
        KV_ASSERT (effect.offset + effect.value.size <= KV_VALUE_BYTES_MAX); // D3
        KV_ASSERT (effect.expires_ms >= 0);                                  // D3
        record_effect (again, &effect);
        count++;
    }
    KV_ASSERT (status == KV_END && count == record->effect_count); // D2
}

static void s_check_record (const record_t *record, kv_slice_t bytes)
{
    writer_t again = writer_make (INPUT_BYTES_MAX);
    record_t cut;
    KV_ASSERT (record->bytes == bytes.size && record->position > record->previous); // D1
    s_check_within (record->effects, bytes);
    size_t start = record_begin (&again, record->shard, record->previous, record->position);
    s_check_effects (record, bytes, &again);
    if (record->has_completion) {
        s_check_within (kv_slice (record->completion.session, RECORD_SESSION_BYTES), bytes);
        s_check_within (record->completion.result, bytes);
        record_completion (&again, start, &record->completion); // D4
    }
    if (record->time_ms)
        record_time (&again, start, record->time_ms); // D5
    record_end (&again, start, record->effect_count);
    KV_ASSERT (kv_slice_equal (kv_slice (again.data, again.size), bytes));
    writer_free (&again);
    kv_status_t status = record_decode (kv_slice (bytes.data, bytes.size - 1), &cut);
    KV_ASSERT (status == KV_END && cut.bytes == bytes.size);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_BYTES_MAX)
        return 0;
    bool mends = data[0] & 1;
    size_t left = size - 1;
    uint8_t *copy = malloc (left ? left : 1); /* its end is the allocation's, for the sanitizer */
    KV_ASSERT (copy != NULL);
    memcpy (copy, data + 1, left);
    uint8_t *at = copy;
    for (;;) {
        record_t record;
        if (mends)
            s_mend (at, left);
        kv_status_t status = record_decode (kv_slice (at, left), &record);
        KV_ASSERT (status == KV_OK || status == KV_END || status == KV_CORRUPT);
        KV_ASSERT (status != KV_END || record.bytes == 0 || record.bytes > left);
        if (status != KV_OK)
            break;
        s_check_record (&record, kv_slice (at, record.bytes));
        at += record.bytes;
        left -= record.bytes;
    }
    free (copy);
    return 0;
}
