/* fuzz_request - any bytes as a request, taken as far as a broker takes it.
 *
 * Asserted: a refusal names a reason; what is accepted can be read command by command to its last
 * byte (Q1); keys are where the table says, and their slots in range; the request written again
 * decodes to the same and, written once more, is the same bytes. */
#include "schema/command.h"
#include "schema/limits.h"
#include "schema/request.h"
#include "schema/slot.h"

#include <stdlib.h>

static void s_check_command (const command_t *command)
{
    char text[256];
    KV_ASSERT (command->argc >= 1);
    KV_ASSERT (command->spec == command_find (command->argv[0]));
    kv_status_t status = command_check (command, text, sizeof text);
    if (status != KV_OK) {
        KV_ASSERT (strnlen (text, sizeof text) < sizeof text);
        KV_ASSERT (strncmp (text, "ERR ", 4) == 0);
        return;
    }
    uint32_t keys = command_key_count (command);
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t index = command_key_index (command, i);
        KV_ASSERT (index >= 1);
        KV_ASSERT (index < command->argc);
        KV_ASSERT (command->argv[index].size <= KV_KEY_BYTES_MAX);
        KV_ASSERT (kv_slot (command->argv[index]) < KV_SLOTS);
    }
}

static void s_write_command (writer_t *out, const command_t *command)
{
    writer_array (out, command->argc);
    for (uint32_t i = 0; i < command->argc; i++)
        writer_bin (out, command->argv[i]);
}

/* Reads all commands and appends the request in our own words, options as they came. */
static void s_rewrite (request_t request, writer_t *out)
{
    command_t command = command_make ();
    request_begin (out, request.id, request.command_count, request.options.size > 0);
    for (uint32_t i = 0; i < request.command_count; i++) {
        const char *why = NULL;
        const uint8_t *start = request.commands.at;
        kv_status_t status = command_read (&command, &request.commands, &why);
        KV_ASSERT (status == KV_OK); // Q1
        KV_ASSERT (command.raw.data == start);
        KV_ASSERT (start + command.raw.size == request.commands.at);
        s_check_command (&command);
        s_write_command (out, &command);
    }
    KV_ASSERT (reader_left (&request.commands) == 0); // Q1
    writer_raw (out, request.options);
    command_free (&command);
}

static void s_check_same (const request_t *a, const request_t *b)
{
    KV_ASSERT (a->id == b->id);
    KV_ASSERT (a->command_count == b->command_count);
    KV_ASSERT (kv_slice_equal (a->options, b->options));
    KV_ASSERT (a->deadline_ms == b->deadline_ms);
    KV_ASSERT (a->has_session == b->has_session);
    KV_ASSERT (memcmp (a->session, b->session, sizeof a->session) == 0);
    KV_ASSERT (a->sequence == b->sequence);
    KV_ASSERT (a->epoch == b->epoch);
    KV_ASSERT (a->durability == b->durability);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    request_t request;
    const char *why = NULL;
    kv_status_t status = request_decode (kv_slice (data, size), &request, &why);
    KV_ASSERT (why != NULL);
    if (status != KV_OK) {
        KV_ASSERT (status == KV_BAD_REQUEST || status == KV_BAD_VERSION || status == KV_TOO_LARGE);
        return 0;
    }
    KV_ASSERT (request.has_id);
    KV_ASSERT (request.command_count >= 1);
    KV_ASSERT (request.command_count <= KV_BATCH_COMMANDS_MAX);
    KV_ASSERT (request.deadline_ms <= KV_DEADLINE_MS_MAX);
    writer_t first = writer_make (SIZE_MAX);
    writer_t second = writer_make (SIZE_MAX);
    s_rewrite (request, &first);
    request_t again;
    status = request_decode (kv_slice (first.data, first.size), &again, &why);
    KV_ASSERT (status == KV_OK);
    s_check_same (&request, &again);
    s_rewrite (again, &second);
    KV_ASSERT (
        kv_slice_equal (kv_slice (first.data, first.size), kv_slice (second.data, second.size)));
    writer_free (&first);
    writer_free (&second);
    return 0;
}
