/* data_output - what the offline tools print: lines of text, and lines of JSON.
 *
 * Pure: where the bytes go is the caller's. Owner: one thread. */
#ifndef KVDB_NODE_DATA_OUTPUT_H
#define KVDB_NODE_DATA_OUTPUT_H

#include "schema/slice.h"
#include "schema/status.h"
#include "schema/writer.h"

/* Takes the bytes; false: they cannot be written, and there is no use in making more. */
typedef bool (data_write_fn) (void *context, kv_slice_t bytes);

typedef struct {
    data_write_fn *write;
    void *context;
} data_output_t;

enum { DATA_LINE_BYTES = 4096, DATA_TIME_BYTES = 32 };

/* A line or a part of one, DATA_LINE_BYTES at most. */
void data_say (const data_output_t *out, const char *format, ...) KV_PRINTF (2, 3);

/* "2024-06-07T08:09:10Z" for Unix milliseconds. */
const char *data_time_text (int64_t unix_ms, char text[DATA_TIME_BYTES]);

/* Appends `"NAME": "BYTES"`, or `"NAME_base64": "..."` where the bytes are no UTF-8. */
void data_json_bytes (writer_t *out, const char *name, kv_slice_t bytes);

/* Appends formatted text, DATA_LINE_BYTES at most. */
void data_json_text (writer_t *out, const char *format, ...) KV_PRINTF (2, 3);

#endif
