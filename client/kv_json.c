/* kv_json - the JSON part of kv_print.h (RFC 8259). */
#include "client/kv_print.h"
#include "schema/utf8.h"

#include <inttypes.h>
#include <math.h>

static void s_string (FILE *out, kv_slice_t text)
{
    fputc ('"', out);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            fprintf (out, "\\%c", c);
        else if (c == '\n')
            fputs ("\\n", out);
        else if (c < ' ' || c == 0x7f)
            fprintf (out, "\\u%04x", c);
        else
            fputc (c, out);
    }
    fputc ('"', out);
}

/* RFC 4648, with padding. */
static void s_base64 (FILE *out, kv_slice_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        fputc (digits[group >> 18], out);
        fputc (digits[group >> 12 & 63], out);
        fputc (left > 1 ? digits[group >> 6 & 63] : '=', out);
        fputc (left > 2 ? digits[group & 63] : '=', out);
    }
}

void kv_print_json_bytes (FILE *out, kv_slice_t bytes)
{
    if (utf8_is_text (bytes)) {
        s_string (out, bytes);
        return;
    }
    fputs ("{\"$base64\": \"", out);
    s_base64 (out, bytes);
    fputs ("\"}", out);
}

static kv_slice_t s_data (const kv_reply_t *reply)
{
    size_t size;
    const char *data = kv_reply_data (reply, &size);
    return kv_slice (data, size);
}

static void s_number (FILE *out, double value)
{
    bool finite = isfinite (value);
    if (!finite)
        fputc ('"', out);
    kv_print_double (out, value);
    if (!finite)
        fputc ('"', out);
}

static bool s_is_name (const kv_reply_t *key)
{
    kv_reply_kind_t kind = kv_reply_kind (key);
    if (kind == KV_REPLY_TEXT || kind == KV_REPLY_BYTES)
        return utf8_is_text (s_data (key));
    return kind == KV_REPLY_INT;
}

static void s_name (FILE *out, const kv_reply_t *key)
{
    if (kv_reply_kind (key) == KV_REPLY_INT)
        fprintf (out, "\"%" PRId64 "\"", kv_reply_int (key));
    else
        s_string (out, s_data (key));
}

static void s_map (FILE *out, const kv_reply_t *map)
{
    size_t count = kv_reply_count (map);
    bool object = true;
    for (size_t i = 0; i < count; i++)
        object = object && s_is_name (kv_reply_key (map, i));
    fputs (object ? "{" : "{\"$map\": [", out);
    for (size_t i = 0; i < count; i++) {
        fputs (i ? ", " : "", out);
        if (object)
            s_name (out, kv_reply_key (map, i));
        else {
            fputc ('[', out);
            kv_print_json (out, kv_reply_key (map, i));
        }
        fputs (object ? ": " : ", ", out);
        kv_print_json (out, kv_reply_item (map, i));
        fputs (object ? "" : "]", out);
    }
    fputs (object ? "}" : "]}", out);
}

static void s_error (FILE *out, const kv_reply_t *error)
{
    kv_status_t code = kv_reply_code (error);
    fprintf (out, "{\"error\": {\"code\": %d, \"name\": \"%s\", \"text\": ", (int)code,
             kv_status_name (code));
    kv_print_json_bytes (out, s_data (error));
    if (kv_reply_details (error)) {
        fputs (", \"details\": ", out);
        kv_print_json (out, kv_reply_details (error));
    }
    fputs ("}}", out);
}

/* Recursion is bounded by the depth of replies. */
void kv_print_json (FILE *out, const kv_reply_t *reply)
{
    switch (kv_reply_kind (reply)) {
    case KV_REPLY_NIL: fputs ("null", out); break;
    case KV_REPLY_INT: fprintf (out, "%" PRId64, kv_reply_int (reply)); break;
    case KV_REPLY_BOOL: fputs (kv_reply_int (reply) ? "true" : "false", out); break;
    case KV_REPLY_DOUBLE: s_number (out, kv_reply_double (reply)); break;
    case KV_REPLY_TEXT:
    case KV_REPLY_BYTES: kv_print_json_bytes (out, s_data (reply)); break;
    case KV_REPLY_MAP: s_map (out, reply); break;
    case KV_REPLY_ERROR: s_error (out, reply); break;
    case KV_REPLY_ARRAY:
        fputc ('[', out);
        for (size_t i = 0; i < kv_reply_count (reply); i++) {
            fputs (i ? ", " : "", out);
            kv_print_json (out, kv_reply_item (reply, i));
        }
        fputc (']', out);
        break;
    }
}
