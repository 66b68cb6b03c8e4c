#include "sim_trace.h"

#include "schema/bundle.h"
#include "schema/command.h"
#include "schema/limits.h"
#include "schema/request.h"

#include <inttypes.h>
#include <stdarg.h>

enum { WHAT_BYTES = 2048, WORD_BYTES_MOST = 24, COMMANDS_MOST = 12 };

void sim_digest (sim_t *self, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t hash = self->digest ^ (uint64_t)sim_now (self) * UINT64_C (0x9e3779b97f4a7c15);
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy (&word, at, sizeof word);
        hash = (hash ^ word) * UINT64_C (0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    for (; size; at++, size--)
        hash = (hash ^ *at) * UINT64_C (0x100000001b3);
    self->digest = hash;
}

static void s_line (sim_t *self, const char *from, const char *to, const char *what)
{
    int64_t now_us = sim_now (self);
    fprintf (self->trace, "%3" PRId64 ".%06" PRId64 "  %-14s %-14s %s\n", now_us / 1000000,
             now_us % 1000000, from, to, what);
}

void sim_trace (sim_t *self, const char *from, const char *to, const char *format, ...)
{
    sim_digest (self, format, 1);
    if (!self->trace)
        return;
    char what[WHAT_BYTES];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (what, sizeof what, format, arguments);
    va_end (arguments);
    s_line (self, from, to, what);
}

typedef struct {
    char text[WHAT_BYTES];
    size_t size;
} words_t;

static void s_say (words_t *self, const char *format, ...) KV_PRINTF (2, 3);
static void s_say (words_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    int length =
        vsnprintf (self->text + self->size, sizeof self->text - self->size, format, arguments);
    va_end (arguments);
    self->size += (size_t)length;
    if (self->size >= sizeof self->text)
        self->size = sizeof self->text - 1;
}

static void s_say_bytes (words_t *self, kv_slice_t bytes)
{
    for (size_t i = 0; i < bytes.size && i < WORD_BYTES_MOST; i++) {
        uint8_t c = bytes.data[i];
        s_say (self, c >= ' ' && c <= '~' ? "%c" : "\\x%02x", c);
    }
    if (bytes.size > WORD_BYTES_MOST)
        s_say (self, "...(%zu)", bytes.size);
}

static void s_say_value (words_t *self, reader_t *at, int depth)
{
    kv_slice_t bytes;
    int64_t number;
    uint32_t count;
    reader_type_t type = reader_peek (at);
    if ((type == READER_TEXT || type == READER_BIN) && reader_bytes (at, &bytes) == KV_OK) {
        s_say (self, "'");
        s_say_bytes (self, bytes);
        s_say (self, "'");
    } else if (type == READER_INT && reader_int (at, &number) == KV_OK) {
        s_say (self, "%" PRId64, number);
    } else if (type == READER_NIL && reader_nil (at) == KV_OK) {
        s_say (self, "nil");
    } else if (type == READER_ARRAY && depth < 3 && reader_array (at, &count) == KV_OK) {
        s_say (self, "[");
        for (uint32_t i = 0; i < count; i++) {
            s_say (self, i ? " " : "");
            s_say_value (self, at, depth + 1);
        }
        s_say (self, "]");
    } else {
        kv_status_t status = reader_skip (at, NULL);
        s_say (self, status ? "?" : "...");
    }
}

static void s_say_request (words_t *self, kv_slice_t body)
{
    request_t request;
    const char *why;
    if (request_decode (body, &request, &why) != KV_OK) {
        s_say (self, " malformed (%s)", why);
        return;
    }
    s_say (self, " #%" PRIu64 ":", request.id);
    command_t command = command_make ();
    for (uint32_t i = 0; i < request.command_count && i < COMMANDS_MOST; i++) {
        if (command_read (&command, &request.commands, &why) != KV_OK)
            break;
        for (uint32_t k = 0; k < command.argc; k++) {
            s_say (self, k ? " " : i ? "; " : " ");
            s_say_bytes (self, command.argv[k]);
        }
    }
    command_free (&command);
}

static void s_say_reply (words_t *self, kv_slice_t body)
{
    reply_t reply;
    result_t result;
    if (reply_decode (body, &reply) != KV_OK) {
        s_say (self, " malformed");
        return;
    }
    s_say (self, " #%" PRIu64 ":", reply.id);
    while (result_next (&reply, &result) == KV_OK) {
        s_say (self, " ");
        reader_t at = reader_make (result.value);
        if (result.status)
            s_say (self, "%s", kv_status_name (result.status));
        else
            s_say_value (self, &at, 0);
    }
}

static void s_say_bundle (words_t *self, bundle_t *bundle)
{
    uint64_t tag;
    kv_slice_t part;
    s_say (self, "%s", message_name (bundle->type));
    while (bundle_next (bundle, &tag, &part, NULL) == KV_OK) {
        s_say (self, " | tag %" PRIx64, tag);
        if (bundle->type == MESSAGE_REQUESTS)
            s_say_request (self, part);
        else
            s_say_reply (self, part);
    }
}

static void s_say_control (words_t *self, const message_t *message)
{
    s_say (self, "%s", message_name (message->type));
    switch (message->type) {
    case MESSAGE_READY: s_say (self, " incarnation %" PRIx64, message->ready.incarnation); return;
    case MESSAGE_ATTACH: s_say (self, " incarnation %" PRIx64, message->attach.incarnation); return;
    case MESSAGE_BEACON:
    case MESSAGE_BEACON_ACK:
        s_say (self, " %" PRIu64 ", %" PRIu64 " keys", message->beacon.sequence,
               message->beacon.keys);
        return;
    case MESSAGE_REFUSED:
    case MESSAGE_DISCONNECT:
        s_say (self, " ");
        s_say_bytes (self, message->reason.text);
        return;
    case MESSAGE_WELCOME:
    case MESSAGE_SHARDS:
    case MESSAGE_SHUTDOWN:
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES: return;
    }
}

static void s_say_message (words_t *self, blob_t *const *frames, size_t count)
{
    kv_slice_t slices[KV_BUNDLE_FRAMES_MAX];
    bundle_t bundle;
    message_t message;
    for (size_t i = 0; i < count; i++)
        slices[i] = blob_bytes (frames[i]);
    if (count > 1 && bundle_open (&bundle, slices, count) == KV_OK) {
        s_say_bundle (self, &bundle);
        return;
    }
    kv_slice_t last = slices[count - 1];
    reader_t at = reader_make (last);
    message_type_t type;
    uint32_t fields;
    reply_t reply;
    request_t request;
    const char *why;
    if (reply_decode (last, &reply) == KV_OK) {
        s_say (self, "reply");
        s_say_reply (self, last);
    } else if (request_decode (last, &request, &why) == KV_OK) {
        s_say (self, "request");
        s_say_request (self, last);
    } else if (message_head (&at, &type, &fields) == KV_OK &&
               message_decode (last, &message) == KV_OK) {
        s_say_control (self, &message);
    } else {
        s_say (self, "garbage of %zu bytes", last.size);
    }
}

void sim_trace_message (sim_t *self, const char *from, const char *to, const char *what,
                        blob_t *const *frames, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sim_digest (self, blob_bytes (frames[i]).data, blob_bytes (frames[i]).size);
    if (!self->trace)
        return;
    words_t words = {.size = 0};
    s_say (&words, "%s ", what);
    s_say_message (&words, frames, count);
    s_line (self, from, to, words.text);
}

void sim_fail (sim_t *self, const char *oracle, const char *format, ...)
{
    if (self->failed)
        return;
    self->failed = true;
    self->failed_us = sim_now (self);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->text, sizeof self->text, format, arguments);
    va_end (arguments);
    snprintf (self->oracle, sizeof self->oracle, "%s", oracle);
    if (self->trace)
        s_line (self, "ORACLE", self->oracle, self->text);
}
