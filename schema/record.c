#include "schema/record.h"

#include "schema/bytes.h"
#include "schema/crc32c.h"
#include "schema/limits.h"

#include <stdlib.h>

enum {
    FLAG_COMPLETION = 1,
    FLAG_EXPIRES = 1,
    CRC_BYTES = 4,
    COMPLETION_BYTES = RECORD_SESSION_BYTES + 8 + 4, /* before the result */
    RECORD_BYTES_MAX = 1 << 30
};

_Static_assert(RECORD_HEADER_BYTES == 32, "the layout above");
_Static_assert(KV_KEY_BYTES_MAX - 1 == UINT16_MAX, "the size of any key fits into its field");
_Static_assert(KV_EPOCH_MAX == (UINT64_C (1) << (64 - POSITION_N_BITS)) - 1,
               "a position holds any epoch");
_Static_assert((int64_t)RECORD_BYTES_MAX > (int64_t)KV_VALUE_BYTES_MAX + KV_MESSAGE_SLACK_BYTES,
               "the largest request fits into one record");

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

static kv_status_t s_read_completion (kv_slice_t *at, record_t *record)
{
    kv_slice_t fixed;
    if (!s_take (at, COMPLETION_BYTES, &fixed))
        return KV_CORRUPT;
    record->session = kv_slice (fixed.data, RECORD_SESSION_BYTES);
    record->sequence = bytes_get64 (fixed.data + RECORD_SESSION_BYTES);
    uint32_t result_bytes = bytes_get32 (fixed.data + RECORD_SESSION_BYTES + 8);
    return s_take (at, result_bytes, &record->result) ? KV_OK : KV_CORRUPT;
}

/* D2 */
static kv_status_t s_check_effects (const record_t *record)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    for (uint32_t i = 0; i < record->effect_count; i++) {
        if (effect_next (&at, &effect))
            return KV_CORRUPT;
    }
    return at.size == 0 ? KV_OK : KV_CORRUPT;
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
    record->has_completion = data[10] == FLAG_COMPLETION;
    record->effect_count = bytes_get32 (data + 12);
    record->previous = bytes_get64 (data + 16);
    record->position = bytes_get64 (data + 24);
    if (data[10] > FLAG_COMPLETION || data[11] != 0 || record->shard >= KV_SHARDS_MAX ||
        record->position <= record->previous) // D1
        return KV_CORRUPT;
    kv_slice_t at = kv_slice (data + RECORD_HEADER_BYTES, size - RECORD_HEADER_BYTES);
    if (record->has_completion && s_read_completion (&at, record))
        return KV_CORRUPT;
    record->effects = at;
    return s_check_effects (record);
}
