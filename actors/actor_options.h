/* actor_options - checks the options a program gives an actor it embeds: 0 or NULL is replaced by the
 * default, the rest is held against the ranges of the option tables, which are stated there only.
 *
 *     option_check_t check = {.why = why, .why_bytes = why_bytes};
 *     set->shards = (uint32_t)option_check_number (&check, "shards", &row, options->shards);
 *     ...
 *     return check.status;
 *
 *   A1  the first fault is kept, in words for who wrote the program; later ones are not looked at. */
#ifndef KVDB_ACTORS_ACTOR_OPTIONS_H
#define KVDB_ACTORS_ACTOR_OPTIONS_H

#include "schema/limits.h"
#include "schema/option.h"
#include "schema/status.h"

#include <stddef.h>

typedef struct {
    kv_status_t status; /* KV_OK or KV_CONFIG */
    char *why;          /* room for the first fault */
    size_t why_bytes;
} option_check_t;

/* Notes a fault, unless there is one already. */
void option_check_fault (option_check_t *self, const char *format, ...) KV_PRINTF (2, 3);

/* The value, or `preset` for 0. The row whose name ends in `field` (behind a dot, or as a whole)
 * has the range. */
int64_t option_check_number (option_check_t *self, const kv_option_t *rows, const char *field,
                             int64_t value, int64_t preset);

enum { OPTION_ENDPOINT_BYTES = KV_ENDPOINT_BYTES_MAX + 1 };

/* Copies an endpoint of the form tcp://HOST:PORT or inproc://NAME. */
void option_check_endpoint (option_check_t *self, const char *field, const char *endpoint,
                            char out[OPTION_ENDPOINT_BYTES]);

/* An endpoint that will be bound: if it is tcp, on loopback. */
void option_check_loopback (option_check_t *self, const char *field, const char *endpoint);

/* A copy for the caller to free; NULL for NULL. */
char *option_copy_text (const char *text);

#endif
