/* command_answer - the commands whose answer depends on nothing but the command table and the clock,
 * so that a broker and a node give the same: PING, ECHO, HELP, TIME, COMMAND, and the HELP of
 * commands with subcommands. Pure. */
#ifndef KVDB_SCHEMA_COMMAND_ANSWER_H
#define KVDB_SCHEMA_COMMAND_ANSWER_H

#include "schema/command.h"

/* Writes one result for a command that command_check has accepted; false, and nothing is written, if
 * it is none of these. `wall_ms` is wall-clock milliseconds since 1970. */
bool command_answer (const command_t *command, int64_t wall_ms, writer_t *out);

#endif
