/* golden - reads the vectors of schema/golden and prints msgpack in their notation.
 *
 * The tests run in the root of the sources. Whatever is wrong with a file ends the test. */
#ifndef KVDB_TEST_UNIT_SCHEMA_GOLDEN_H
#define KVDB_TEST_UNIT_SCHEMA_GOLDEN_H

#include "schema/reader.h"
#include "schema/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { GOLDEN_COLUMNS_MAX = 8, GOLDEN_RUN = 16 };

/* One line, split at its tabs. */
typedef struct {
    char *columns[GOLDEN_COLUMNS_MAX];
    size_t count;
} golden_row_t;

typedef struct {
    FILE *file;
    char *line;
    size_t line_bytes;
} golden_t;

static inline golden_t golden_open (const char *name)
{
    char path[256];
    snprintf (path, sizeof path, "schema/golden/%s", name);
    golden_t self = {.file = fopen (path, "r")};
    if (!self.file)
        perror (path);
    KV_ASSERT (self.file != NULL);
    return self;
}

/* The next row of `columns` columns; comments are passed over. False at the end. */
static inline bool golden_next (golden_t *self, golden_row_t *row, size_t columns)
{
    ssize_t length;
    do {
        length = getline (&self->line, &self->line_bytes, self->file);
        if (length <= 0)
            return false;
    } while (self->line[0] == '#');
    KV_ASSERT (self->line[length - 1] == '\n');
    self->line[length - 1] = '\0';
    row->count = 0;
    char *rest = self->line;
    for (char *column; (column = strsep (&rest, "\t")) != NULL;) {
        KV_ASSERT (row->count < GOLDEN_COLUMNS_MAX);
        row->columns[row->count++] = column;
    }
    KV_ASSERT (row->count == columns);
    return true;
}

static inline void golden_close (golden_t *self)
{
    free (self->line);
    fclose (self->file);
}

static inline uint8_t golden_nibble (char c)
{
    KV_ASSERT ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Appends what a hex column stands for: words of hex digits, each perhaps repeated ("00*300"). */
static inline void golden_unhex (writer_t *out, const char *hex)
{
    while (*hex) {
        size_t digits = strcspn (hex, " *");
        size_t times = hex[digits] == '*' ? strtoul (hex + digits + 1, NULL, 10) : 1;
        KV_ASSERT (digits % 2 == 0);
        for (size_t n = 0; n < times; n++) {
            uint8_t *at = writer_claim (out, digits / 2);
            KV_ASSERT (at != NULL);
            for (size_t i = 0; i < digits / 2; i++)
                at[i] = (uint8_t)(golden_nibble (hex[2 * i]) << 4 | golden_nibble (hex[2 * i + 1]));
        }
        hex += strcspn (hex, " ");
        hex += strspn (hex, " ");
    }
}

/* The same bytes in a block of exactly their size, so that a sanitizer sees any reach beyond. */
static inline kv_slice_t golden_exact (kv_slice_t bytes)
{
    uint8_t *copy = malloc (bytes.size ? bytes.size : 1);
    KV_ASSERT (copy != NULL);
    if (bytes.size)
        memcpy (copy, bytes.data, bytes.size);
    return kv_slice (copy, bytes.size);
}

static inline void golden_put (writer_t *out, const char *text)
{
    writer_raw (out, kv_slice_text (text));
}

/* A string in quotes; more than GOLDEN_RUN equal bytes as "x"*count. */
static inline void golden_print_bytes (writer_t *out, kv_slice_t bytes)
{
    size_t shown = bytes.size;
    if (shown > GOLDEN_RUN && memcmp (bytes.data, bytes.data + 1, shown - 1) == 0)
        shown = 1;
    golden_put (out, "\"");
    for (size_t i = 0; i < shown; i++) {
        char text[8];
        uint8_t c = bytes.data[i];
        if (c == '"' || c == '\\')
            snprintf (text, sizeof text, "\\%c", c);
        else
            snprintf (text, sizeof text, c >= ' ' && c <= '~' ? "%c" : "\\x%02x", c);
        golden_put (out, text);
    }
    golden_put (out, "\"");
    if (shown != bytes.size) {
        char times[32];
        snprintf (times, sizeof times, "*%zu", bytes.size);
        golden_put (out, times);
    }
}

static inline void golden_print_number (writer_t *out, reader_t *at)
{
    char text[64];
    int64_t integer;
    uint64_t large;
    double real;
    if (reader_int (at, &integer) == KV_OK)
        snprintf (text, sizeof text, "%" PRId64, integer);
    else if (reader_uint (at, &large) == KV_OK)
        snprintf (text, sizeof text, "%" PRIu64, large);
    else {
        kv_status_t status = reader_double (at, &real);
        KV_ASSERT (status == KV_OK);
        snprintf (text, sizeof text, "%.17g", real);
        if (!strpbrk (text, ".en"))
            strncat (text, ".0", sizeof text - strlen (text) - 1);
    }
    golden_put (out, text);
}

static inline void golden_print (writer_t *out, reader_t *at);

/* More than GOLDEN_RUN equal elements are printed as [x]*count. */
static inline void golden_print_array (writer_t *out, reader_t *at)
{
    uint32_t count;
    kv_status_t status = reader_array (at, &count);
    KV_ASSERT (status == KV_OK);
    reader_t walk = *at;
    kv_slice_t first = {0};
    bool same = count > GOLDEN_RUN;
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t element;
        status = reader_skip (&walk, &element);
        KV_ASSERT (status == KV_OK);
        if (i == 0)
            first = element;
        same = same && kv_slice_equal (first, element);
    }
    golden_put (out, "[");
    for (uint32_t i = 0; i < (same ? 1 : count); i++) {
        golden_put (out, i ? ", " : "");
        golden_print (out, at);
    }
    golden_put (out, "]");
    if (same) {
        char times[32];
        snprintf (times, sizeof times, "*%" PRIu32, count);
        golden_put (out, times);
        *at = walk;
    }
}

static inline void golden_print_map (writer_t *out, reader_t *at)
{
    uint32_t count;
    kv_status_t status = reader_map (at, &count);
    KV_ASSERT (status == KV_OK);
    golden_put (out, "{");
    for (uint32_t i = 0; i < count; i++) {
        golden_put (out, i ? ", " : "");
        golden_print (out, at);
        golden_put (out, ": ");
        golden_print (out, at);
    }
    golden_put (out, "}");
}

/* Prints one whole element that reader_skip accepts and that holds no ext. */
static inline void golden_print (writer_t *out, reader_t *at)
{
    reader_type_t type = reader_peek (at);
    kv_status_t status = KV_OK;
    kv_slice_t bytes;
    bool truth = false;
    switch (type) {
    case READER_NIL:
        status = reader_nil (at);
        golden_put (out, "nil");
        break;
    case READER_BOOL:
        status = reader_bool (at, &truth);
        golden_put (out, truth ? "true" : "false");
        break;
    case READER_INT:
    case READER_DOUBLE: golden_print_number (out, at); break;
    case READER_TEXT:
    case READER_BIN:
        golden_put (out, type == READER_BIN ? "b" : "");
        status = reader_bytes (at, &bytes);
        KV_ASSERT (status == KV_OK);
        golden_print_bytes (out, bytes);
        break;
    case READER_ARRAY: golden_print_array (out, at); break;
    case READER_MAP: golden_print_map (out, at); break;
    case READER_EXT:
    case READER_INVALID: KV_UNREACHABLE ("an element of the notation");
    }
    KV_ASSERT (status == KV_OK);
}

/* Appends the element at the cursor as the writer encodes it: its shortest form. */
static inline void golden_rewrite (writer_t *out, reader_t *at)
{
    reader_type_t type = reader_peek (at);
    kv_status_t status = KV_OK;
    kv_slice_t bytes = {0};
    bool truth = false;
    double real = 0;
    uint64_t large = 0;
    int64_t integer = 0;
    uint32_t count = 0;
    switch (type) {
    case READER_NIL:
        status = reader_nil (at);
        writer_nil (out);
        break;
    case READER_BOOL:
        status = reader_bool (at, &truth);
        writer_bool (out, truth);
        break;
    case READER_INT:
        if (reader_int (at, &integer) == KV_OK)
            writer_int (out, integer);
        else {
            status = reader_uint (at, &large);
            writer_uint (out, large);
        }
        break;
    case READER_DOUBLE:
        status = reader_double (at, &real);
        writer_double (out, real);
        break;
    case READER_TEXT:
    case READER_BIN:
        status = reader_bytes (at, &bytes);
        if (type == READER_BIN)
            writer_bin (out, bytes);
        else
            writer_text (out, bytes);
        break;
    case READER_ARRAY:
    case READER_MAP:
        status = type == READER_MAP ? reader_map (at, &count) : reader_array (at, &count);
        KV_ASSERT (status == KV_OK);
        if (type == READER_MAP)
            writer_map (out, count);
        else
            writer_array (out, count);
        for (uint64_t i = 0; i < (type == READER_MAP ? 2 * (uint64_t)count : count); i++)
            golden_rewrite (out, at);
        break;
    case READER_EXT:
    case READER_INVALID: KV_UNREACHABLE ("an element of the notation");
    }
    KV_ASSERT (status == KV_OK);
}

#endif
