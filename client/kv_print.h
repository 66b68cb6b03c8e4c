/* kv_print - a reply as people, shell scripts and programs like to read it.
 *
 *   TERMINAL  as redis-cli does: (integer) 1, "quoted\x00", 1) ..., (nil), (error) ERR ...; the
 *             lines of a page such as INFO as they are
 *   RAW       one bare value per line: 1, what the bytes are, (nil); containers one value after
 *             the other, a map as key, value, key, value
 *   JSON      one line: nil null; numbers; true, false; text and bytes that are UTF-8 strings;
 *             other bytes {"$base64": "..."}; inf and nan "inf", "-inf", "nan"; arrays; a map whose
 *             keys are strings or integers an object, any other {"$map": [[key, value], ...]};
 *             an error {"error": {"code": 30, "name": "BUSY", "text": "...", "details": {...}}} */
#ifndef KVDB_CLIENT_KV_PRINT_H
#define KVDB_CLIENT_KV_PRINT_H

#include "schema/slice.h"
#include "schema/status.h"

#include "client/kvdb.h"

#include <stdio.h>

typedef enum { KV_FORMAT_TERMINAL, KV_FORMAT_RAW, KV_FORMAT_JSON } kv_format_t;

/* Writes the reply, and a newline behind it. */
void kv_print_reply (FILE *out, kv_format_t format, const kv_reply_t *reply);

/* The same for the reply to a command whose bytes are lines for people. */
void kv_print_page (FILE *out, kv_format_t format, const kv_reply_t *reply);

/* Writes bytes in double quotes, escaped as kv_line_split reads them. */
void kv_print_quoted (FILE *out, kv_slice_t bytes);

/* Writes the reply as JSON, without a newline. */
void kv_print_json (FILE *out, const kv_reply_t *reply);

/* Writes a JSON string, or {"$base64": ...} if the bytes are not UTF-8. */
void kv_print_json_bytes (FILE *out, kv_slice_t bytes);

/* Writes a number so that it reads back as the same one, in as few digits as that takes. */
void kv_print_double (FILE *out, double value);

#endif
