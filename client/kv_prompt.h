/* kv_prompt - `kv connect`: reads a command a line and runs it.
 *
 * EXIT, QUIT and the end of input end it; CLEAR, HELP and STATUS are answered here (kv_help.h);
 * anything else goes to the server, with or without a leading KV. On a terminal lines are edited
 * (kv_edit.h), elsewhere they are read as they come.
 *
 *   kvdb 127.0.0.1:7000> GET a                      the last command was answered
 *   kvdb 127.0.0.1:7000 (not connected)> GET a      it was not; this one tries again */
#ifndef KVDB_CLIENT_KV_PROMPT_H
#define KVDB_CLIENT_KV_PROMPT_H

#include "client/kv_command.h"

typedef struct {
    FILE *in;                   /* lines; standard input if a person types them */
    const kv_options_t *server; /* whom the shell's client talks to; for questions on the side */
    bool person;                /* prompts are wanted, and editing if the terminal can */
    const char *history;        /* file, or NULL */
} kv_prompt_options_t;

/* Reads lines to their end, or up to EXIT. The program is to have a handler of SIGINT, without SA_RESTART, if it is
 * for a person: Ctrl-C abandons the line, or the wait for a reply if the client stops on signals;
 * twice on an empty line it leaves. Returns KV_EXIT_OK for a person, the worst status of all
 * commands otherwise. */
int kv_prompt_run (const kv_shell_t *shell, const kv_prompt_options_t *options);

#endif
