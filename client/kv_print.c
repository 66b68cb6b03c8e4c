#include "client/kv_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static kv_slice_t s_data (const kv_reply_t *reply)
{
    size_t size;
    const char *data = kv_reply_data (reply, &size);
    return kv_slice (data, size);
}

static void s_write (FILE *out, kv_slice_t bytes)
{
    if (bytes.size)
        fwrite (bytes.data, 1, bytes.size, out);
}

void kv_print_double (FILE *out, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf (text, sizeof text, "%.*g", digits, value);
        if (strtod (text, NULL) == value)
            break;
    }
    fputs (isnan (value) ? "nan" : text, out);
}

void kv_print_quoted (FILE *out, kv_slice_t bytes)
{
    fputc ('"', out);
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        switch (c) {
        case '\\': fputs ("\\\\", out); break;
        case '"': fputs ("\\\"", out); break;
        case '\n': fputs ("\\n", out); break;
        case '\r': fputs ("\\r", out); break;
        case '\t': fputs ("\\t", out); break;
        case '\a': fputs ("\\a", out); break;
        case '\b': fputs ("\\b", out); break;
        default:
            if (c >= ' ' && c <= '~')
                fputc (c, out);
            else
                fprintf (out, "\\x%02x", c);
        }
    }
    fputc ('"', out);
}

static void s_terminal (FILE *out, const kv_reply_t *reply, int indent);

/* Numbers the elements as redis-cli does: "1) " for values, "1# key => value" for pairs. */
static void s_terminal_items (FILE *out, const kv_reply_t *reply, int indent)
{
    bool map = kv_reply_kind (reply) == KV_REPLY_MAP;
    size_t count = kv_reply_count (reply);
    if (count == 0)
        fputs (map ? "(empty map)\n" : "(empty array)\n", out);
    int width = snprintf (NULL, 0, "%zu", count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fprintf (out, "%*s", indent, "");
        fprintf (out, "%*zu%s ", width, i + 1, map ? "#" : ")");
        if (map) {
            kv_print_quoted (out, s_data (kv_reply_key (reply, i)));
            fputs (" => ", out);
        }
        s_terminal (out, kv_reply_item (reply, i), indent + width + 2);
    }
}

/* Recursion is bounded by the depth of replies. */
static void s_terminal (FILE *out, const kv_reply_t *reply, int indent)
{
    switch (kv_reply_kind (reply)) {
    case KV_REPLY_NIL: fputs ("(nil)", out); break;
    case KV_REPLY_INT: fprintf (out, "(integer) %" PRId64, kv_reply_int (reply)); break;
    case KV_REPLY_BOOL: fputs (kv_reply_int (reply) ? "(true)" : "(false)", out); break;
    case KV_REPLY_TEXT: s_write (out, s_data (reply)); break;
    case KV_REPLY_BYTES: kv_print_quoted (out, s_data (reply)); break;
    case KV_REPLY_DOUBLE:
        fputs ("(double) ", out);
        kv_print_double (out, kv_reply_double (reply));
        break;
    case KV_REPLY_ERROR:
        fputs ("(error) ", out);
        s_write (out, s_data (reply));
        break;
    case KV_REPLY_ARRAY:
    case KV_REPLY_MAP: s_terminal_items (out, reply, indent); return;
    }
    fputc ('\n', out);
}

static void s_raw (FILE *out, const kv_reply_t *reply)
{
    switch (kv_reply_kind (reply)) {
    case KV_REPLY_NIL: fputs ("(nil)", out); break;
    case KV_REPLY_INT: fprintf (out, "%" PRId64, kv_reply_int (reply)); break;
    case KV_REPLY_BOOL: fputs (kv_reply_int (reply) ? "true" : "false", out); break;
    case KV_REPLY_DOUBLE: kv_print_double (out, kv_reply_double (reply)); break;
    case KV_REPLY_TEXT:
    case KV_REPLY_BYTES: s_write (out, s_data (reply)); break;
    case KV_REPLY_ERROR:
        fputs ("(error) ", out);
        s_write (out, s_data (reply));
        break;
    case KV_REPLY_ARRAY:
    case KV_REPLY_MAP:
        for (size_t i = 0; i < kv_reply_count (reply); i++) {
            if (kv_reply_key (reply, i))
                s_raw (out, kv_reply_key (reply, i));
            s_raw (out, kv_reply_item (reply, i));
        }
        return;
    }
    fputc ('\n', out);
}

void kv_print_page (FILE *out, kv_format_t format, const kv_reply_t *reply)
{
    if (format != KV_FORMAT_TERMINAL || kv_reply_kind (reply) != KV_REPLY_BYTES) {
        kv_print_reply (out, format, reply);
        return;
    }
    kv_slice_t page = s_data (reply);
    s_write (out, page);
    if (page.size == 0 || page.data[page.size - 1] != '\n')
        fputc ('\n', out);
}

void kv_print_reply (FILE *out, kv_format_t format, const kv_reply_t *reply)
{
    switch (format) {
    case KV_FORMAT_TERMINAL: s_terminal (out, reply, 0); break;
    case KV_FORMAT_RAW: s_raw (out, reply); break;
    case KV_FORMAT_JSON:
        kv_print_json (out, reply);
        fputc ('\n', out);
        break;
    }
}
