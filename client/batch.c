#include "client/batch.h"

#include "schema/limits.h"
#include "schema/request.h"

#include <stdlib.h>

/* No server takes more: its limit is one largest value and the slack. */
#define BATCH_BYTES_MAX ((size_t)KV_VALUE_BYTES_MAX + KV_MESSAGE_SLACK_BYTES)

kv_batch_t *kv_batch_new (void)
{
    kv_batch_t *self = malloc (sizeof *self);
    KV_ASSERT (self != NULL);
    *self = (kv_batch_t){.commands = writer_make (BATCH_BYTES_MAX)};
    return self;
}

void kv_batch_destroy (kv_batch_t **batch)
{
    if (!batch || !*batch)
        return;
    writer_free (&(*batch)->commands);
    free (*batch);
    *batch = NULL;
}

void kv_batch_clear (kv_batch_t *batch)
{
    writer_reset (&batch->commands);
    batch->count = 0;
}

/* Names are text; a name that is not ASCII is no command's and must not pretend to be UTF-8. */
static bool s_is_ascii (kv_slice_t bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] >= 0x80)
            return false;
    }
    return true;
}

kv_status_t kv_batch_add (kv_batch_t *batch, size_t argc, const char *const *argv,
                          const size_t *lens)
{
    if (argc == 0)
        return KV_BAD_REQUEST;
    if (argc > KV_COMMAND_ARGS_MAX || batch->count == KV_BATCH_COMMANDS_MAX)
        return KV_TOO_LARGE;
    writer_t *out = &batch->commands;
    size_t start = out->size;
    writer_array (out, (uint32_t)argc);
    for (size_t i = 0; i < argc && !out->overflow; i++) {
        kv_slice_t argument = kv_slice (argv[i], lens ? lens[i] : strlen (argv[i]));
        if (argument.size > BATCH_BYTES_MAX)
            out->overflow = true;
        else if (i == 0 && s_is_ascii (argument))
            writer_text (out, argument);
        else
            writer_bin (out, argument);
    }
    if (out->overflow) {
        writer_cut (out, start);
        return KV_TOO_LARGE;
    }
    batch->count++;
    return KV_OK;
}

size_t kv_batch_count (const kv_batch_t *batch)
{
    return batch->count;
}

size_t kv_batch_bytes (const kv_batch_t *batch)
{
    return batch->commands.size;
}

enum { ID_AT = 2, ID_FORM = 0xcf }; /* behind the head of the array, and the version */

size_t batch_request (const kv_batch_t *self, uint32_t deadline_ms, writer_t *out)
{
    static const uint8_t id[9] = {ID_FORM}; /* msgpack's widest form, so that any fits */
    writer_array (out, deadline_ms ? 4 : 3);
    writer_uint (out, KV_PROTOCOL_VERSION);
    KV_ASSERT (out->size == ID_AT);
    writer_raw (out, kv_slice (id, sizeof id));
    writer_array (out, self->count);
    size_t at = out->size;
    writer_raw (out, kv_slice (self->commands.data, self->commands.size));
    batch_options (deadline_ms, out);
    return at;
}

void batch_set_id (writer_t *request, uint64_t id)
{
    KV_ASSERT (request->size > ID_AT + 8 && request->data[ID_AT] == ID_FORM);
    for (unsigned i = 0; i < 8; i++)
        request->data[ID_AT + 1 + i] = (uint8_t)(id >> (8 * (7 - i)));
}

void batch_options (uint32_t deadline_ms, writer_t *out)
{
    if (deadline_ms == 0)
        return;
    writer_map (out, 1);
    writer_cstr (out, "deadline_ms");
    writer_uint (out, deadline_ms);
}
