#include "schema/record.h"

#include "schema/bytes.h"
#include "schema/crc32c.h"
#include "schema/limits.h"

#include <stdlib.h>

enum {
    FLAG_COMPLETION = 1,
    FLAG_TIME = 2,
    FLAGS_AT = 10,
    FLAG_EXPIRES = 1,
    CRC_BYTES = 4,
    RECORD_BYTES_MAX = 1 << 30
};

_Static_assert(RECORD_HEADER_BYTES == 32, "the layout above");
_Static_assert(KV_KEY_BYTES_MAX - 1 == UINT16_MAX, "the size of any key fits into its field");
_Static_assert(KV_EPOCH_MAX == (UINT64_C (1) << (64 - POSITION_N_BITS)) - 1,
               "a position holds any epoch");
_Static_assert((int64_t)RECORD_BYTES_MAX >
                   (int64_t)KV_VALUE_BYTES_MAX + KV_MESSAGE_SLACK_BYTES + RECORD_RESULT_BYTES_MAX,
               "the largest request fits into one record, with the largest result");

/* What an effect of that kind has; false: there is no such kind. */
static bool s_shape (effect_kind_t kind, bool *has_key, bool *has_value, bool *may_expire)
{
    *has_key = kind != EFFECT_CLEAR && kind != EFFECT_OPEN;
    *has_value = kind == EFFECT_PUT || kind == EFFECT_WRITE;
    *may_expire = kind == EFFECT_PUT || kind == EFFECT_EXPIRE;
    return kind >= EFFECT_PUT && kind <= EFFECT_OPEN;
}

/* ---- writing ------------------------------------------------------------------------------------ */

size_t record_begin (writer_t *out, uint32_t shard, uint64_t previous, uint64_t position)
{
    KV_ASSERT (position > previous); // D1
    KV_ASSERT (shard < KV_SHARDS_MAX);
    size_t start = out->size;
    uint8_t *at = writer_claim (out, RECORD_HEADER_BYTES);
    if (!at)
        return start;
    memset (at, 0, RECORD_HEADER_BYTES);
    bytes_put16 (at + 8, shard);
    bytes_put64 (at + 16, previous);
    bytes_put64 (at + 24, position);
    return start;
}

static uint8_t *s_put_bytes (uint8_t *at, kv_slice_t bytes)
{
    if (bytes.size)
        memcpy (at, bytes.data, bytes.size);
    return at + bytes.size;
}

/* What could not be read again must not get into a log. */
static void s_assert_effect (const effect_t *effect)
{
    bool has_key, has_value, may_expire;
    KV_ASSERT (s_shape (effect->kind, &has_key, &has_value, &may_expire));
    KV_ASSERT (has_key == (effect->key.size > 0));
    KV_ASSERT (effect->key.size <= KV_KEY_BYTES_MAX);
    KV_ASSERT (has_value || effect->value.size == 0);
    KV_ASSERT (may_expire ? effect->expires_ms >= 0 : effect->expires_ms == 0); // D3
    KV_ASSERT (effect->kind == EFFECT_WRITE || effect->offset == 0);
    KV_ASSERT (effect->offset <= KV_VALUE_BYTES_MAX);                      // D3
    KV_ASSERT (effect->value.size <= KV_VALUE_BYTES_MAX - effect->offset); // D3
}

void record_effect (writer_t *out, const effect_t *effect)
{
    s_assert_effect (effect);
    bool expires = effect->expires_ms != 0;
    bool extra = expires || effect->kind == EFFECT_WRITE;
    size_t fixed = EFFECT_HEADER_BYTES + (extra ? EFFECT_EXTRA_BYTES : 0);
    uint8_t *at = writer_claim (out, fixed + effect->key.size + effect->value.size);
    if (!at)
        return;
    at[0] = (uint8_t)effect->kind;
    at[1] = expires ? FLAG_EXPIRES : 0;
    bytes_put16 (at + 2, effect->key.size ? (uint32_t)effect->key.size - 1 : 0);
    bytes_put32 (at + 4, (uint32_t)effect->value.size);
    if (extra)
        bytes_put64 (at + 8, expires ? (uint64_t)effect->expires_ms : (uint64_t)effect->offset);
    (void)s_put_bytes (s_put_bytes (at + fixed, effect->key), effect->value);
}

/* D4 */
static bool s_is_sound (const completion_t *completion)
{
    bool completes = completion->sequence != 0;
    return completion->floor >= 1 && completion->expires_ms > 0 &&
           (completes ? completion->sequence >= completion->floor : completion->result.size == 0) &&
           completion->result.size <= RECORD_RESULT_BYTES_MAX;
}

void completion_write (writer_t *out, const completion_t *completion)
{
    KV_ASSERT (s_is_sound (completion)); // D4
    uint8_t *at = writer_claim (out, record_completion_bytes (completion->result.size));
    if (!at)
        return;
    at = s_put_bytes (at, kv_slice (completion->session, RECORD_SESSION_BYTES));
    bytes_put64 (at, completion->sequence);
    bytes_put64 (at + 8, completion->floor);
    bytes_put64 (at + 16, (uint64_t)completion->expires_ms);
    bytes_put32 (at + 24, (uint32_t)completion->result.size);
    (void)s_put_bytes (at + 28, completion->result);
}

/* What a record bears stands in the order of its flags. */
static void s_set_flag (writer_t *out, size_t start, uint8_t flag)
{
    if (out->overflow)
        return;
    KV_ASSERT (out->data[start + FLAGS_AT] < flag);
    out->data[start + FLAGS_AT] |= flag;
}

void record_completion (writer_t *out, size_t start, const completion_t *completion)
{
    s_set_flag (out, start, FLAG_COMPLETION);
    completion_write (out, completion);
}

void record_time (writer_t *out, size_t start, int64_t time_ms)
{
    KV_ASSERT (time_ms > 0); // D5
    s_set_flag (out, start, FLAG_TIME);
    uint8_t *at = writer_claim (out, RECORD_TIME_BYTES);
    if (at)
        bytes_put64 (at, (uint64_t)time_ms);
}

void record_end (writer_t *out, size_t start, uint32_t effect_count)
{
    if (out->overflow)
        return;
    uint8_t *record = out->data + start;
    size_t bytes = out->size - start;
    KV_ASSERT (bytes <= RECORD_BYTES_MAX);
    bytes_put32 (record + 4, (uint32_t)bytes);
    bytes_put32 (record + 12, effect_count);
    bytes_put32 (record, crc32c (0, kv_slice (record + CRC_BYTES, bytes - CRC_BYTES)));
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* The first `bytes` of what is left; false if there are not so many. */
static bool s_take (kv_slice_t *at, size_t bytes, kv_slice_t *out)
{
    if (bytes > at->size)
        return false;
    *out = kv_slice (at->data, bytes);
    *at = kv_slice (at->data + bytes, at->size - bytes);
    return true;
}

static kv_status_t s_read_extra (kv_slice_t *at, effect_t *effect, bool expires)
{
    kv_slice_t extra;
    if (!expires && effect->kind != EFFECT_WRITE)
        return KV_OK;
    if (!s_take (at, EFFECT_EXTRA_BYTES, &extra))
        return KV_CORRUPT;
    uint64_t number = bytes_get64 (extra.data);
    if (expires) {
        effect->expires_ms = (int64_t)number;
        return effect->expires_ms > 0 ? KV_OK : KV_CORRUPT; // D3
    }
    effect->offset = (size_t)number;
    return number <= KV_VALUE_BYTES_MAX ? KV_OK : KV_CORRUPT; // D3
}

kv_status_t effect_next (kv_slice_t *at, effect_t *effect)
{
    kv_slice_t header;
    bool has_key, has_value, may_expire;
    if (at->size == 0)
        return KV_END;
    if (!s_take (at, EFFECT_HEADER_BYTES, &header))
        return KV_CORRUPT;
    *effect = (effect_t){.kind = (effect_kind_t)header.data[0]};
    bool expires = header.data[1] == FLAG_EXPIRES;
    uint32_t key_less_one = bytes_get16 (header.data + 2);
    uint32_t value_bytes = bytes_get32 (header.data + 4);
    if (!s_shape (effect->kind, &has_key, &has_value, &may_expire) ||
        header.data[1] > FLAG_EXPIRES || (expires && !may_expire) || (!has_key && key_less_one) ||
        (!has_value && value_bytes) || value_bytes > KV_VALUE_BYTES_MAX)
        return KV_CORRUPT;
    if (s_read_extra (at, effect, expires) ||
        !s_take (at, has_key ? (size_t)key_less_one + 1 : 0, &effect->key) ||
        !s_take (at, value_bytes, &effect->value))
        return KV_CORRUPT;
    return effect->offset + value_bytes <= KV_VALUE_BYTES_MAX ? KV_OK : KV_CORRUPT; // D3
}

kv_status_t completion_next (kv_slice_t *at, completion_t *completion)
{
    kv_slice_t fixed;
    if (at->size == 0)
        return KV_END;
    if (!s_take (at, RECORD_COMPLETION_BYTES, &fixed))
        return KV_CORRUPT;
    const uint8_t *numbers = fixed.data + RECORD_SESSION_BYTES;
    *completion = (completion_t){.session = fixed.data,
                                 .sequence = bytes_get64 (numbers),
                                 .floor = bytes_get64 (numbers + 8),
                                 .expires_ms = (int64_t)bytes_get64 (numbers + 16)};
    if (!s_take (at, bytes_get32 (numbers + 24), &completion->result))
        return KV_CORRUPT;
    return s_is_sound (completion) ? KV_OK : KV_CORRUPT; // D4
}

/* Goes over the effects, whose end nothing but they themselves tell. */
static kv_status_t s_read_effects (kv_slice_t *at, record_t *record)
{
    effect_t effect;
    const uint8_t *start = at->data;
    for (uint32_t i = 0; i < record->effect_count; i++) {
        if (effect_next (at, &effect))
            return KV_CORRUPT;
    }
    record->effects = kv_slice (start, (size_t)(at->data - start));
    return KV_OK;
}

static kv_status_t s_read_time (kv_slice_t *at, record_t *record)
{
    kv_slice_t time;
    if (!s_take (at, RECORD_TIME_BYTES, &time))
        return KV_CORRUPT;
    record->time_ms = (int64_t)bytes_get64 (time.data);
    return record->time_ms > 0 ? KV_OK : KV_CORRUPT; // D5
}

/* All behind the header. */
static kv_status_t s_read_body (kv_slice_t at, record_t *record, uint8_t flags)
{
    record->has_completion = (flags & FLAG_COMPLETION) != 0;
    if (s_read_effects (&at, record) ||
        (record->has_completion && completion_next (&at, &record->completion)) ||
        ((flags & FLAG_TIME) && s_read_time (&at, record)))
        return KV_CORRUPT;
    return at.size == 0 ? KV_OK : KV_CORRUPT; // D2
}

kv_status_t record_decode (kv_slice_t bytes, record_t *record)
{
    *record = (record_t){0};
    if (bytes.size < 8)
        return KV_END;
    const uint8_t *data = bytes.data;
    uint32_t size = bytes_get32 (data + 4);
    if (size < RECORD_HEADER_BYTES || size > RECORD_BYTES_MAX)
        return KV_CORRUPT;
    record->bytes = size;
    if (bytes.size < size)
        return KV_END;
    if (bytes_get32 (data) != crc32c (0, kv_slice (data + CRC_BYTES, size - CRC_BYTES)))
        return KV_CORRUPT;
    record->shard = bytes_get16 (data + 8);
    record->effect_count = bytes_get32 (data + 12);
    record->previous = bytes_get64 (data + 16);
    record->position = bytes_get64 (data + 24);
    if (data[FLAGS_AT] > (FLAG_COMPLETION | FLAG_TIME) || data[11] != 0 ||
        record->shard >= KV_SHARDS_MAX || record->position <= record->previous) // D1
        return KV_CORRUPT;
    return s_read_body (kv_slice (data + RECORD_HEADER_BYTES, size - RECORD_HEADER_BYTES), record,
                        data[FLAGS_AT]);
}
