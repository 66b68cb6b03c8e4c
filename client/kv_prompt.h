/* kv_prompt - `kv connect`: reads a command a line and runs it.
 *
 * EXIT, QUIT and the end of input end it; HELP [command|@group] is answered from the table this
 * program was built with; STATUS prints the topology; anything else goes to the server, with or
 * without a leading KV. A lost server is reported at each command, and reconnected to. */
#ifndef KVDB_CLIENT_KV_PROMPT_H
#define KVDB_CLIENT_KV_PROMPT_H

#include "client/kv_command.h"

/* Reads `in`; prints `prompt` before each line unless it is NULL. A signal without SA_RESTART
 * abandons the line or the command. Returns KV_EXIT_OK for a person (with a prompt), the worst
 * status of all commands otherwise. */
int kv_prompt_run (const kv_shell_t *shell, FILE *in, const char *prompt);

#endif
