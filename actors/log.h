/* log - event lines for the operator: `event=node_up node=n3 incarnation=77`.
 *
 * Event names are stable; lines are written on edges (a state changed), not on every occurrence,
 * and never hold a key or a value. ERROR means that a person must act. Where the lines go is
 * passed in, so cores log without knowing of files. */
#ifndef KVDB_ACTORS_LOG_H
#define KVDB_ACTORS_LOG_H

#include "schema/status.h"

/* The public headers of the actors, which stand alone, have the same levels. */
#ifndef KVDB_LOG_LEVELS
#define KVDB_LOG_LEVELS
typedef enum { KV_LOG_DEBUG, KV_LOG_INFO, KV_LOG_WARN, KV_LOG_ERROR } kv_log_level_t;
#endif
typedef kv_log_level_t log_level_t;

typedef struct {
    void (*write) (void *context, log_level_t level, const char *line); /* NULL: drop all lines */
    void *context;
    log_level_t least; /* lines below are dropped */
} log_t;

/* Formats one line and hands it over; longer ones are cut at 1 KiB. A NULL log drops it. */
void log_event (const log_t *self, log_level_t level, const char *format, ...) KV_PRINTF (3, 4);

const char *log_level_name (log_level_t level);

#endif
