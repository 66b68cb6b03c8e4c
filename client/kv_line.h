/* kv_line - splits a typed line into arguments, with the quoting of redis-cli:
 *
 *   "..."  escapes \n \r \t \b \a \\ \" and \xHH; any other \c is c
 *   '...'  as it is, but for \'
 *   a closing quote ends the argument: white space or the end of the line follows
 *
 * Pure; owner: one thread. */
#ifndef KVDB_CLIENT_KV_LINE_H
#define KVDB_CLIENT_KV_LINE_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct {
    const char **argv; /* each followed by a NUL that does not count */
    size_t *lens;      /* bytes */
    size_t argc;
    size_t capacity; /* of argv and lens */
    char *bytes;     /* owned: what argv points into */
    size_t bytes_capacity;
} kv_line_t;

/* An empty line; kv_line_free releases what splitting has allocated. */
kv_line_t kv_line_make (void);
void kv_line_free (kv_line_t *self);

/* KV_OK, argc being 0 for a blank line; KV_SYNTAX or KV_TOO_LARGE with a static sentence in `why`.
 * argv is valid until the next call. */
KV_CHECK_RESULT kv_status_t kv_line_split (kv_line_t *self, kv_slice_t line, const char **why);

#endif
