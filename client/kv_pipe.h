/* kv_pipe - `kv --pipe`: a command a line, at full speed.
 *
 *   P1  no more than PIPE_IN_FLIGHT batches and PIPE_BYTES (or one command) wait for a reply.
 *   P2  commands are sent in the order of their lines.
 *   P3  when nothing more can be read for now, all that was read is sent and answered.
 *   P4  an unreadable line counts as a command and an error, and has no reply.
 *   P5  input that begins as RESP does is refused before anything is sent. */
#ifndef KVDB_CLIENT_KV_PIPE_H
#define KVDB_CLIENT_KV_PIPE_H

#include "client/kv_command.h"

enum {
    PIPE_BATCH_COMMANDS = 512,
    PIPE_BATCH_BYTES = 256 * 1024,
    PIPE_IN_FLIGHT = 16,
    PIPE_BYTES = 32 * 1024 * 1024,
    PIPE_LINE_BYTES_MAX = 257 * 1024 * 1024, /* a value of 64 MiB, all of it as \xHH */
    PIPE_PROGRESS_MS = 200
};

/* Reads `fd` to its end. Errors go to shell->err with their line's number, a summary line to
 * shell->out; `progress`: shell->err is a terminal. Returns an exit status: OK only if there was no
 * error, NO_REPLY if the server was lost, after which nothing more is sent, USAGE for P5. */
int kv_pipe_run (const kv_shell_t *shell, int fd, bool progress);

#endif
