#include "client/bench_template.h"

#include "schema/request.h"

#include <stdlib.h>

enum { KEY_DIGITS = 12, ID_BYTES = 8 };

struct bench_template {
    writer_t bytes;
    size_t id_at;    /* offset of the id's 8 bytes */
    size_t *keys_at; /* owned: offset of each key's digits */
    uint32_t commands;
};

const char *bench_test_name (bench_test_t test)
{
    static const char *const names[BENCH_TEST_COUNT] = {"get", "set", "mixed"};
    return names[test];
}

static void s_add_command (bench_template_t *self, uint32_t index, bool is_set, kv_slice_t value)
{
    static const char key[] = "key:000000000000";
    writer_t *out = &self->bytes;
    writer_array (out, is_set ? 3 : 2);
    writer_cstr (out, is_set ? "SET" : "GET");
    writer_bin (out, kv_slice_text (key));
    self->keys_at[index] = out->size - KEY_DIGITS;
    if (is_set)
        writer_bin (out, value);
}

bench_template_t *bench_template_new (bench_test_t test, uint32_t commands, uint32_t value_bytes,
                                      bool odd)
{
    KV_ASSERT (commands > 0);
    bench_template_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    uint8_t *value = malloc (value_bytes + (size_t)1);
    KV_ASSERT (value != NULL);
    memset (value, 'x', value_bytes);
    self->keys_at = calloc (commands, sizeof *self->keys_at);
    KV_ASSERT (self->keys_at != NULL);
    self->commands = commands;
    self->bytes = writer_make (SIZE_MAX);
    /* An id of the widest form, so that any other fits in its place. */
    writer_array (&self->bytes, 3);
    writer_uint (&self->bytes, KV_PROTOCOL_VERSION);
    writer_uint (&self->bytes, UINT64_MAX);
    self->id_at = self->bytes.size - ID_BYTES;
    writer_array (&self->bytes, commands);
    for (uint32_t i = 0; i < commands; i++) {
        bool is_set = test == BENCH_SET || (test == BENCH_MIXED && (i % 2 == 0) == odd);
        s_add_command (self, i, is_set, kv_slice (value, value_bytes));
    }
    free (value);
    return self;
}

void bench_template_destroy (bench_template_t **self)
{
    if (!self || !*self)
        return;
    writer_free (&(*self)->bytes);
    free ((*self)->keys_at);
    free (*self);
    *self = NULL;
}

size_t bench_template_bytes (const bench_template_t *self)
{
    return self->bytes.size;
}

static void s_start (const bench_template_t *self, uint8_t *out, uint64_t id)
{
    memcpy (out, self->bytes.data, self->bytes.size);
    for (unsigned i = 0; i < ID_BYTES; i++)
        out[self->id_at + i] = (uint8_t)(id >> (8 * (ID_BYTES - 1 - i)));
}

static void s_patch_key (uint8_t *digits, uint64_t number)
{
    for (unsigned i = KEY_DIGITS; i > 0 && number > 0; i--, number /= 10)
        digits[i - 1] = (uint8_t)('0' + number % 10);
}

/* xorshift64* (Vigna, 2016). */
static uint64_t s_next (uint64_t *random)
{
    uint64_t x = *random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *random = x;
    return x * UINT64_C (0x2545f4914f6cdd1d);
}

void bench_template_random (const bench_template_t *self, uint8_t *out, uint64_t id,
                            uint64_t *random, uint64_t keyspace)
{
    s_start (self, out, id);
    for (uint32_t i = 0; i < self->commands; i++)
        s_patch_key (out + self->keys_at[i], (s_next (random) >> 16) % keyspace);
}

void bench_template_ordered (const bench_template_t *self, uint8_t *out, uint64_t id,
                             uint64_t first, uint64_t keyspace)
{
    s_start (self, out, id);
    for (uint32_t i = 0; i < self->commands; i++)
        s_patch_key (out + self->keys_at[i], (first + i) % keyspace);
}

bool bench_template_check (kv_slice_t reply, uint32_t commands, uint64_t *id, uint32_t *errors)
{
    reader_t at = reader_make (reply);
    uint32_t count;
    uint64_t version;
    *errors = 0;
    if (reader_array (&at, &count) != KV_OK || count != 3 || reader_uint (&at, &version) != KV_OK)
        return false;
    if (reader_uint (&at, id) != KV_OK || reader_array (&at, &count) != KV_OK)
        return false;
    reply_t rest = {.id = *id, .count = count, .results = at};
    result_t result;
    for (uint32_t i = 0; i < count; i++) {
        if (result_next (&rest, &result) != KV_OK)
            return false;
        *errors += result.status != KV_OK;
    }
    if (count == 1 && *errors == 1)
        *errors = commands; /* refused as a whole */
    return version == KV_PROTOCOL_VERSION && (count == commands || *errors == commands);
}
