#include "node/data_output.h"

#include "schema/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { MS_PER_DAY = 24 * 60 * 60 * 1000 };

void data_say (const data_output_t *out, const char *format, ...)
{
    char line[DATA_LINE_BYTES];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    (void)out->write (out->context, kv_slice_text (line));
}

/* The date by Hinnant's algorithm (chrono-compatible low-level date algorithms, 2013): a core has no
 * gmtime. */
const char *data_time_text (int64_t unix_ms, char text[DATA_TIME_BYTES])
{
    int64_t days = unix_ms / MS_PER_DAY;
    int64_t ms = unix_ms % MS_PER_DAY;
    if (ms < 0) {
        ms += MS_PER_DAY;
        days--;
    }
    days += 719468; /* from 0000-03-01 on, so that a leap day is the last of its year */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* from March on */
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    month += month < 10 ? 3 : -9;
    int64_t year = year_of_era + era * 400 + (month <= 2);
    unsigned seconds = (unsigned)(ms / 1000);
    snprintf (text, DATA_TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)year % 10000,
              (unsigned)month % 100, (unsigned)day % 100, seconds / 3600 % 24, seconds / 60 % 60,
              seconds % 60);
    return text;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

void data_json_text (writer_t *out, const char *format, ...)
{
    char text[DATA_LINE_BYTES];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    writer_raw (out, kv_slice_text (text));
}

static bool s_is_plain (uint8_t byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f;
}

static void s_string (writer_t *out, kv_slice_t text)
{
    size_t from = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (s_is_plain (byte))
            continue;
        writer_raw (out, kv_slice (text.data + from, i - from));
        if (byte == '"' || byte == '\\')
            data_json_text (out, "\\%c", byte);
        else
            data_json_text (out, "\\u%04x", byte);
        from = i + 1;
    }
    writer_raw (out, kv_slice (text.data + from, text.size - from));
}

/* RFC 4648, section 4. */
static void s_base64 (writer_t *out, kv_slice_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t count = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= count > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= count > 2 ? bytes.data[i + 2] : 0;
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63], digits[group >> 6 & 63],
                        digits[group & 63]};
        if (count < 3)
            text[3] = '=';
        if (count < 2)
            text[2] = '=';
        writer_raw (out, kv_slice (text, sizeof text));
    }
}

void data_json_bytes (writer_t *out, const char *name, kv_slice_t bytes)
{
    bool is_text = utf8_is_text (bytes);
    data_json_text (out, "\"%s%s\": \"", name, is_text ? "" : "_base64");
    if (is_text)
        s_string (out, bytes);
    else
        s_base64 (out, bytes);
    writer_raw (out, kv_slice_text ("\""));
}
