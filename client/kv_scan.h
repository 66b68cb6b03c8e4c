/* kv_scan - `kv --scan`: every key of the cluster, a line each, as it comes.
 *
 * Memory is bounded by one step of SCAN. A key may come twice, and one that comes or goes meanwhile
 * may be missing (PROTOCOL.md, SCAN). */
#ifndef KVDB_CLIENT_KV_SCAN_H
#define KVDB_CLIENT_KV_SCAN_H

#include "client/kv_command.h"

typedef struct {
    const char *pattern; /* glob, or NULL */
    int64_t count;       /* how much work a step is to be; 0: SCAN_COUNT */
} kv_scan_options_t;

enum { SCAN_COUNT = 1000 };

/* Writes raw keys, quoted ones to a terminal, JSON strings as JSON. Returns an exit status; after an
 * error, or when `out` cannot be written, the keys so far are not all. */
int kv_scan_run (const kv_shell_t *shell, const kv_scan_options_t *options);

#endif
