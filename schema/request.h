/* request - what a client sends and what it gets back; PROTOCOL.md is its description for people.
 *
 *   request  [1, id, [[NAME, argument...], ...]]            or with a fourth element:
 *            [1, id, [[NAME, argument...], ...], {options}]
 *   reply    [1, id, [[0, value] | [code, "text"] | [code, "text", {details}], ...]]
 *
 * A reply has one result per command, in order. A request that is refused as a whole has one
 * result, an error, however many commands it held.
 *
 *   Q1  request_decode has checked every byte of the message and the form of every command, so
 *       command_read cannot fail on what it accepts: either the whole batch can be executed, or
 *       nothing of it is. */
#ifndef KVDB_SCHEMA_REQUEST_H
#define KVDB_SCHEMA_REQUEST_H

#include "schema/reader.h"
#include "schema/writer.h"

enum { KV_PROTOCOL_VERSION = 1, KV_SESSION_BYTES = 16 };

typedef enum {
    DURABILITY_DEFAULT, /* what the server's configuration says */
    DURABILITY_LOCAL,
    DURABILITY_REPLICATED,
    DURABILITY_FSYNC
} durability_t;

typedef struct {
    uint64_t id;
    bool has_id;            /* the id could be read, even if the rest was refused */
    uint32_t command_count; /* 1 .. KV_BATCH_COMMANDS_MAX */
    reader_t commands;      /* the batch's elements, for command_read */
    kv_slice_t options;     /* the options map as encoded; empty if absent */
    uint32_t deadline_ms;   /* from arrival; 0: the server's default */
    bool has_session;
    uint8_t session[KV_SESSION_BYTES];
    uint64_t sequence; /* of the first command; each takes one number */
    uint64_t epoch;    /* 0: none given */
    durability_t durability;
} request_t;

/* Decodes and checks a whole message. KV_OK, KV_BAD_REQUEST, KV_BAD_VERSION or KV_TOO_LARGE;
 * `why` then points to a static sentence for the client. `out` borrows from `body`. */
KV_CHECK_RESULT kv_status_t request_decode (kv_slice_t body, request_t *out, const char **why);

/* Options that are part of the protocol but not served by this version: the text of the refusal
 * (KV_NOT_SUPPORTED), or NULL. They are never ignored. Static text. */
const char *request_unserved (const request_t *request);

/* Starts a request of `count` commands; the caller appends them (an array of strings each), then
 * the options map if has_options. */
void request_begin (writer_t *out, uint64_t id, uint32_t count, bool has_options);

/* Starts a reply of `count` results. */
void reply_begin (writer_t *out, uint64_t id, uint32_t count);

/* Starts a successful result; the caller appends exactly one value. */
void result_value (writer_t *out);

void result_nil (writer_t *out);
void result_int (writer_t *out, int64_t value);
void result_bytes (writer_t *out, kv_slice_t value); /* data: a msgpack bin */
void result_text (writer_t *out, const char *text);  /* a status such as OK: a msgpack str */

/* An error result. `text` begins with the word people know from Redis ("ERR", "BUSY"). */
void result_error (writer_t *out, kv_status_t code, const char *text);
void result_errorf (writer_t *out, kv_status_t code, const char *format, ...) KV_PRINTF (3, 4);

/* An error with a hint to come back after some milliseconds: details {"retry_ms": n}. */
void result_retry (writer_t *out, kv_status_t code, const char *text, uint32_t retry_ms);

/* A complete reply that refuses a whole request. */
void reply_refuse (writer_t *out, uint64_t id, kv_status_t code, const char *text);

typedef struct {
    uint64_t id;
    uint32_t count;
    reader_t results; /* for result_next */
} reply_t;

typedef struct {
    kv_status_t status; /* KV_OK: `value` is set; else `text` and perhaps `details` */
    kv_slice_t raw;     /* the bytes of the whole result */
    kv_slice_t value;   /* the encoded value */
    kv_slice_t text;
    kv_slice_t details; /* an encoded map, or empty */
} result_t;

/* Decodes and checks a whole reply. KV_OK, KV_BAD_REQUEST or KV_BAD_VERSION. Borrows `body`. */
KV_CHECK_RESULT kv_status_t reply_decode (kv_slice_t body, reply_t *out);

/* The next result; KV_END after the last, KV_BAD_REQUEST if it is not a result. */
KV_CHECK_RESULT kv_status_t result_next (reply_t *reply, result_t *out);

#endif
