/* kv_command - runs one typed command and prints what comes back.
 *
 * Values go to `out`, errors to `err`. Owner: the main thread of kv. */
#ifndef KVDB_CLIENT_KV_COMMAND_H
#define KVDB_CLIENT_KV_COMMAND_H

#include "client/kv_print.h"

/* How kv ends; a table that scripts rely on. */
enum {
    KV_EXIT_OK = 0,
    KV_EXIT_ERROR = 1,      /* the reply was an error */
    KV_EXIT_USAGE = 2,      /* nothing was sent */
    KV_EXIT_NO_REPLY = 3,   /* no connection, no reply in time, or not one of KvDB */
    KV_EXIT_INTERRUPTED = 4 /* within the program only: Ctrl-C ended the wait for the reply */
};

typedef struct {
    kv_client_t *client;
    kv_format_t format;
    bool one_node; /* the server is a node, which speaks for itself alone */
    FILE *out;
    FILE *err;
} kv_shell_t;

/* A number of the server's INFO. KV_OK; KV_NOT_FOUND: it does not tell; else why there was no reply. */
KV_CHECK_RESULT kv_status_t kv_command_info (const kv_shell_t *shell, const char *section,
                                             const char *name, int64_t *number);

/* A server closes the connection on a message over its limit, and leaves the client to wait. What is
 * larger than KV_COMMAND_SMALL is therefore compared with the limit before it is sent. */
enum { KV_COMMAND_SMALL = 1024 * 1024 };

/* Bytes of the command in a message, at most. */
size_t kv_command_bytes (size_t argc, const size_t *lens);

/* Asks the server how many such bytes it takes; SIZE_MAX if it does not tell (a node). Statuses as
 * kv_call. */
KV_CHECK_RESULT kv_status_t kv_command_limit (const kv_shell_t *shell, size_t *bytes_max);

/* "70000016 bytes are more than the server takes ..." */
void kv_command_too_large (size_t bytes, size_t bytes_max, char *why, size_t why_bytes);

/* Drops a leading "KV", which the original's shell wanted; true if it was there. */
bool kv_command_strip (size_t *argc, const char *const **argv, const size_t **lens);

/* Sends the command (argc > 0) and prints the reply. Returns an exit status. */
int kv_command_run (const kv_shell_t *shell, size_t argc, const char *const *argv,
                    const size_t *lens);

/* Prints an error reply, behind `prefix`, and returns KV_EXIT_ERROR. */
int kv_command_error (const kv_shell_t *shell, const char *prefix, const kv_reply_t *reply);

/* Prints why there was no reply and returns the exit status: of the client's last failure. */
int kv_command_failed (const kv_shell_t *shell, kv_status_t status);

/* Asks for the topology and prints it, as a table or as JSON; with `rate` it takes a second, to
 * count the commands a second. Returns an exit status: ERROR also if a node is not up. */
int kv_topology_run (const kv_shell_t *shell, bool rate);

#endif
