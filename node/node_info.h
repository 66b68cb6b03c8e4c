/* node_info - what the shell adds to INFO: the process, its clients, its pace. Pure. */
#ifndef KVDB_NODE_NODE_INFO_H
#define KVDB_NODE_NODE_INFO_H

#include "schema/status.h"

enum { NODE_INFO_BYTES = 1024 };

typedef struct {
    int64_t process_id;
    uint16_t port;      /* where the direct door is advertised */
    int64_t started_ms; /* all three on the same clock */
    int64_t now_ms;
    int64_t rated_ms;        /* when `rated_commands` was taken */
    uint64_t rated_commands; /* executed until then */
    uint64_t commands_per_s; /* in the second or so before */
    /* The direct door's, 0 without one: */
    uint64_t connections, accepted, refused, shut_down, dropped_in, dropped_out, output_bytes;
} node_info_t;

/* Takes the pace anew if a second has passed; `commands` are those executed so far. */
void node_info_rate (node_info_t *self, uint64_t commands);

/* For INFO (executor_set_info). */
void node_info_write (const node_info_t *self, char text[NODE_INFO_BYTES]);

#endif
