#include "config/config_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    NEAREST_BYTES_MAX = 64, /* of a name; what is longer is cut for the comparison */
    SHOWN_BYTES_MAX = 48    /* of a value in a message */
};

void *config_alloc (size_t count, size_t bytes)
{
    void *memory = calloc (count ? count : 1, bytes ? bytes : 1);
    if (!memory) {
        fprintf (stderr, "event=out_of_memory where=config bytes=%zu\n", count * bytes);
        abort ();
    }
    return memory;
}

void *config_grow (void *array, size_t old_count, size_t count, size_t bytes)
{
    KV_ASSERT (count >= old_count);
    void *grown = config_alloc (count, bytes);
    if (old_count > 0)
        memcpy (grown, array, old_count * bytes);
    free (array);
    return grown;
}

char *config_copy (kv_slice_t bytes)
{
    char *copy = config_alloc (bytes.size + 1, 1);
    if (bytes.size > 0)
        memcpy (copy, bytes.data, bytes.size);
    return copy;
}

/* Room for `bytes` more and a NUL. */
static void s_reserve (config_text_t *self, size_t bytes)
{
    size_t needed = self->size + bytes + 1;
    if (needed <= self->capacity)
        return;
    size_t capacity = self->capacity ? self->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    self->data = config_grow (self->data, self->size, capacity, 1);
    self->capacity = capacity;
}

void config_text_add (config_text_t *self, kv_slice_t bytes)
{
    s_reserve (self, bytes.size);
    if (bytes.size > 0)
        memcpy (self->data + self->size, bytes.data, bytes.size);
    self->size += bytes.size;
    self->data[self->size] = '\0';
}

/* Appends a formatted text; for the variadic functions of config/. */
static void s_addv (config_text_t *self, const char *format, va_list arguments)
{
    va_list again;
    va_copy (again, arguments);
    int bytes = vsnprintf (NULL, 0, format, arguments);
    KV_ASSERT (bytes >= 0);
    s_reserve (self, (size_t)bytes);
    vsnprintf (self->data + self->size, (size_t)bytes + 1, format, again);
    self->size += (size_t)bytes;
    va_end (again);
}

void config_text_addf (config_text_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    s_addv (self, format, arguments);
    va_end (arguments);
}

void config_text_escape (config_text_t *self, kv_slice_t bytes)
{
    for (size_t i = 0; i < bytes.size;) {
        uint32_t code = 0;
        size_t length = config_utf8 (bytes.data + i, bytes.size - i, &code);
        bool line_end = code == 0x2028 || code == 0x2029;
        if (length > 0 && !config_is_control (code) && !line_end) {
            config_text_add (self, kv_slice (bytes.data + i, length));
            i += length;
        } else {
            config_text_addf (self, "\\x%02x", bytes.data[i]);
            i++;
        }
    }
}

char *config_text_take (config_text_t *self)
{
    s_reserve (self, 0);
    char *data = self->data;
    *self = (config_text_t){0};
    return data;
}

config_shown_t config_shown (kv_slice_t bytes)
{
    config_text_t text = {0};
    config_shown_t shown = {{0}};
    size_t i = 0;
    while (i < bytes.size && text.size < SHOWN_BYTES_MAX) {
        uint32_t code;
        size_t length = config_utf8 (bytes.data + i, bytes.size - i, &code);
        if (length == 0)
            length = 1;
        config_text_escape (&text, kv_slice (bytes.data + i, length));
        i += length;
    }
    KV_ASSERT (text.size + sizeof "..." <= sizeof shown.text);
    snprintf (shown.text, sizeof shown.text, "%s%s", text.size > 0 ? text.data : "",
              i < bytes.size ? "..." : "");
    free (text.data);
    return shown;
}

size_t config_utf8 (const uint8_t *at, size_t left, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = at[0];
    size_t length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || length > left)
        return 0;
    uint32_t value = length == 1 ? first : (uint32_t)(first & (0x7f >> length));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3fu);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *code = value;
    return length;
}

static size_t s_least (size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, in three rows of the usual matrix. */
static size_t s_distance (const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][NEAREST_BYTES_MAX + 1];
    KV_ASSERT (a_size <= NEAREST_BYTES_MAX);
    KV_ASSERT (b_size <= NEAREST_BYTES_MAX);
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *up = rows[(i + 2) % 3];
        const size_t *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            bool same = config_lower (a[i - 1]) == config_lower (b[j - 1]);
            row[j] = s_least (s_least (up[j], row[j - 1]) + 1, up[j - 1] + (same ? 0 : 1));
            bool swapped = i > 1 && j > 1 && config_lower (a[i - 1]) == config_lower (b[j - 2]) &&
                           config_lower (a[i - 2]) == config_lower (b[j - 1]);
            if (swapped)
                row[j] = s_least (row[j], up2[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

config_nearest_t config_nearest (kv_slice_t wanted)
{
    return (config_nearest_t){wanted, NULL, 0};
}

void config_nearest_offer (config_nearest_t *self, const char *name, const char *show_as)
{
    char wanted[NEAREST_BYTES_MAX + 1] = {0};
    size_t wanted_size = s_least (self->wanted.size, NEAREST_BYTES_MAX);
    if (wanted_size == 0)
        return;
    memcpy (wanted, self->wanted.data, wanted_size);
    size_t name_size = s_least (strlen (name), NEAREST_BYTES_MAX);
    size_t distance = s_distance (wanted, wanted_size, name, name_size);
    if (wanted_size >= 3 && strcasestr (name, wanted))
        distance = s_least (distance, 2);
    bool near = distance <= (wanted_size + 1) / 2;
    if (near && (!self->best || distance < self->distance)) {
        self->best = show_as;
        self->distance = distance;
    }
}
