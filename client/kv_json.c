/* kv_json - the JSON part of kv_print.h (RFC 8259). */
#include "client/kv_print.h"

#include <inttypes.h>
#include <math.h>

/* Bytes of the well-formed UTF-8 sequence at the start (RFC 3629), 0 if there is none. */
static size_t s_utf8_bytes (kv_slice_t at)
{
    uint8_t first = at.data[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || at.size < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at.data[i] & 0xc0) != 0x80)
            return 0;
    }
    uint8_t second = at.data[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool surrogate = first == 0xed && second > 0x9f;
    bool beyond = first == 0xf4 && second > 0x8f;
    return overlong || surrogate || beyond ? 0 : size;
}

static bool s_is_utf8 (kv_slice_t bytes)
{
    while (bytes.size > 0) {
        size_t size = s_utf8_bytes (bytes);
        if (size == 0)
            return false;
        bytes = kv_slice (bytes.data + size, bytes.size - size);
    }
    return true;
}

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
    if (s_is_utf8 (bytes)) {
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
        return s_is_utf8 (s_data (key));
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
