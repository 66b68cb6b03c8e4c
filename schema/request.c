#include "schema/request.h"

#include "schema/limits.h"

#include <stdarg.h>
#include <stdio.h>

static kv_status_t s_read_durability (reader_t *at, durability_t *out)
{
    kv_slice_t word;
    if (reader_bytes (at, &word) != KV_OK)
        return KV_BAD_REQUEST;
    if (kv_slice_is_word (word, "LOCAL"))
        *out = DURABILITY_LOCAL;
    else if (kv_slice_is_word (word, "REPLICATED"))
        *out = DURABILITY_REPLICATED;
    else if (kv_slice_is_word (word, "FSYNC"))
        *out = DURABILITY_FSYNC;
    else
        return KV_BAD_REQUEST;
    return KV_OK;
}

static kv_status_t s_read_option (reader_t *at, kv_slice_t name, request_t *out, const char **why)
{
    uint64_t number;
    if (kv_slice_is_word (name, "DEADLINE_MS")) {
        *why = "deadline_ms is a whole number from 1 to 3600000";
        if (reader_uint (at, &number) != KV_OK || number == 0 || number > KV_DEADLINE_MS_MAX)
            return KV_BAD_REQUEST;
        out->deadline_ms = (uint32_t)number;
        return KV_OK;
    }
    if (kv_slice_is_word (name, "SESSION")) {
        kv_slice_t session;
        *why = "session is 16 random bytes";
        if (reader_bytes (at, &session) != KV_OK || session.size != KV_SESSION_BYTES)
            return KV_BAD_REQUEST;
        memcpy (out->session, session.data, KV_SESSION_BYTES);
        out->has_session = true;
        return KV_OK;
    }
    if (kv_slice_is_word (name, "SEQ")) {
        *why = "seq is a whole number";
        return reader_uint (at, &out->sequence);
    }
    if (kv_slice_is_word (name, "EPOCH")) {
        *why = "epoch is a whole number";
        return reader_uint (at, &out->epoch);
    }
    if (kv_slice_is_word (name, "DURABILITY")) {
        *why = "durability is local, replicated or fsync";
        return s_read_durability (at, &out->durability);
    }
    *why = "the options are deadline_ms, session, seq, epoch and durability";
    return KV_BAD_REQUEST;
}

static kv_status_t s_read_options (reader_t *at, request_t *out, const char **why)
{
    const uint8_t *start = at->at;
    uint32_t count;
    *why = "the fourth element is a map of options";
    if (reader_map (at, &count) != KV_OK)
        return KV_BAD_REQUEST;
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t name;
        *why = "the name of an option is a string";
        if (reader_bytes (at, &name) != KV_OK)
            return KV_BAD_REQUEST;
        if (s_read_option (at, name, out, why) != KV_OK)
            return KV_BAD_REQUEST;
    }
    out->options = kv_slice (start, (size_t)(at->at - start));
    return KV_OK;
}

/* Passes over one command and checks its form, so that nothing of a batch is executed if any
 * command in it could not be (Q1). The refusals are those of command_read. */
static kv_status_t s_check_command (reader_t *at, const char **why)
{
    uint32_t count;
    kv_slice_t bytes;
    *why = "each command is an array [NAME, argument...]";
    if (reader_array (at, &count) != KV_OK || count == 0)
        return KV_BAD_REQUEST;
    *why = "a command has more arguments than the protocol allows";
    if (count > KV_COMMAND_ARGS_MAX)
        return KV_TOO_LARGE;
    *why = "a command's name is a string";
    if (reader_bytes (at, &bytes) != KV_OK)
        return KV_BAD_REQUEST;
    *why = "an argument is a whole string, binary, integer or float";
    for (uint32_t i = 1; i < count; i++) {
        if (reader_bytes (at, &bytes) == KV_OK)
            continue;
        reader_type_t type = reader_peek (at);
        if (type != READER_INT && type != READER_DOUBLE)
            return KV_BAD_REQUEST;
        if (reader_skip (at, NULL) != KV_OK)
            return KV_BAD_REQUEST;
    }
    return KV_OK;
}

static kv_status_t s_read_batch (reader_t *at, request_t *out, const char **why)
{
    *why = "the third element is an array of commands, each an array [NAME, argument...]";
    if (reader_array (at, &out->command_count) != KV_OK)
        return KV_BAD_REQUEST;
    if (out->command_count == 0) {
        *why = "a batch holds one command at least";
        return KV_BAD_REQUEST;
    }
    if (out->command_count > KV_BATCH_COMMANDS_MAX) {
        *why = "a batch holds 65536 commands at most; send several";
        return KV_TOO_LARGE;
    }
    const uint8_t *start = at->at;
    for (uint32_t i = 0; i < out->command_count; i++) {
        kv_status_t status = s_check_command (at, why);
        if (status)
            return status;
    }
    out->commands = (reader_t){start, at->at}; // Q1
    return KV_OK;
}

kv_status_t request_decode (kv_slice_t body, request_t *out, const char **why)
{
    *out = (request_t){0};
    reader_t at = reader_make (body);
    uint32_t count;
    *why =
        "a request is a msgpack array [version, id, commands] or [version, id, commands, options]";
    if (reader_array (&at, &count) != KV_OK || count < 2)
        return KV_BAD_REQUEST;
    uint64_t version;
    *why = "the first element is the protocol version, a whole number";
    if (reader_uint (&at, &version) != KV_OK)
        return KV_BAD_REQUEST;
    *why = "the second element is the request id, a whole number";
    if (reader_uint (&at, &out->id) != KV_OK)
        return KV_BAD_REQUEST;
    out->has_id = true;
    *why = "this server speaks protocol version 1";
    if (version != KV_PROTOCOL_VERSION)
        return KV_BAD_VERSION;
    *why = "a request has three or four elements";
    if (count < 3 || count > 4)
        return KV_BAD_REQUEST;
    kv_status_t status = s_read_batch (&at, out, why);
    if (status)
        return status;
    if (count == 4 && (status = s_read_options (&at, out, why)) != KV_OK)
        return status;
    *why = "there are bytes after the end of the request";
    return reader_left (&at) == 0 ? KV_OK : KV_BAD_REQUEST;
}

const char *request_unserved (const request_t *request)
{
    if (request->has_session || request->sequence)
        return "ERR sessions are not served by this version; leave out 'session' and 'seq'";
    if (request->epoch)
        return "ERR epochs are not served by this version; leave out 'epoch'";
    return NULL;
}

void request_begin (writer_t *out, uint64_t id, uint32_t count, bool has_options)
{
    writer_array (out, has_options ? 4 : 3);
    writer_uint (out, KV_PROTOCOL_VERSION);
    writer_uint (out, id);
    writer_array (out, count);
}

void reply_begin (writer_t *out, uint64_t id, uint32_t count)
{
    writer_array (out, 3);
    writer_uint (out, KV_PROTOCOL_VERSION);
    writer_uint (out, id);
    writer_array (out, count);
}

void result_value (writer_t *out)
{
    writer_array (out, 2);
    writer_uint (out, KV_OK);
}

void result_nil (writer_t *out)
{
    result_value (out);
    writer_nil (out);
}

void result_int (writer_t *out, int64_t value)
{
    result_value (out);
    writer_int (out, value);
}

void result_bytes (writer_t *out, kv_slice_t value)
{
    result_value (out);
    writer_bin (out, value);
}

void result_text (writer_t *out, const char *text)
{
    result_value (out);
    writer_cstr (out, text);
}

/* The text of an error is UTF-8 text of ours, but may quote what a client sent: anything that is
 * not printable ASCII becomes '?', so that every msgpack library can read it. */
static void s_error_text (writer_t *out, const char *text)
{
    char clean[KV_ERROR_TEXT_BYTES_MAX];
    size_t size = 0;
    for (; size < sizeof clean && text[size]; size++) {
        bool printable = text[size] >= ' ' && text[size] <= '~';
        clean[size] = '?';
        if (printable)
            clean[size] = text[size];
    }
    writer_text (out, kv_slice (clean, size));
}

void result_error (writer_t *out, kv_status_t code, const char *text)
{
    writer_array (out, 2);
    writer_uint (out, code);
    s_error_text (out, text);
}

void result_errorf (writer_t *out, kv_status_t code, const char *format, ...)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    result_error (out, code, text);
}

void result_retry (writer_t *out, kv_status_t code, const char *text, uint32_t retry_ms)
{
    writer_array (out, 3);
    writer_uint (out, code);
    s_error_text (out, text);
    writer_map (out, 1);
    writer_cstr (out, "retry_ms");
    writer_uint (out, retry_ms);
}

void reply_refuse (writer_t *out, uint64_t id, kv_status_t code, const char *text)
{
    reply_begin (out, id, 1);
    result_error (out, code, text);
}

kv_status_t reply_decode (kv_slice_t body, reply_t *out)
{
    *out = (reply_t){0};
    reader_t at = reader_make (body);
    uint32_t count;
    uint64_t version;
    if (reader_array (&at, &count) != KV_OK || count != 3 || reader_uint (&at, &version) != KV_OK)
        return KV_BAD_REQUEST;
    if (version != KV_PROTOCOL_VERSION)
        return KV_BAD_VERSION;
    if (reader_uint (&at, &out->id) != KV_OK || reader_array (&at, &out->count) != KV_OK)
        return KV_BAD_REQUEST;
    out->results = at;
    for (uint32_t i = 0; i < out->count; i++) {
        if (reader_skip (&at, NULL) != KV_OK)
            return KV_BAD_REQUEST;
    }
    return reader_left (&at) == 0 ? KV_OK : KV_BAD_REQUEST;
}

kv_status_t result_next (reply_t *reply, result_t *out)
{
    *out = (result_t){0};
    reader_t at = reply->results;
    if (reader_left (&at) == 0)
        return KV_END;
    const uint8_t *start = at.at;
    uint32_t count;
    uint64_t code;
    if (reader_array (&at, &count) != KV_OK || count < 2 || reader_uint (&at, &code) != KV_OK)
        return KV_BAD_REQUEST;
    if (code > INT32_MAX || count > (code == KV_OK ? 2U : 3U))
        return KV_BAD_REQUEST;
    out->status = (kv_status_t)code;
    kv_status_t status =
        out->status == KV_OK ? reader_skip (&at, &out->value) : reader_bytes (&at, &out->text);
    if (status)
        return status;
    if (count == 3 &&
        (reader_peek (&at) != READER_MAP || reader_skip (&at, &out->details) != KV_OK))
        return KV_BAD_REQUEST;
    out->raw = kv_slice (start, (size_t)(at.at - start));
    reply->results = at;
    return KV_OK;
}
