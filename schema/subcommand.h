/* subcommand - the words that COMMAND, MEMORY and OBJECT take behind their name: a table as
 * commands.def is, for the few that have them. Pure. */
#ifndef KVDB_SCHEMA_SUBCOMMAND_H
#define KVDB_SCHEMA_SUBCOMMAND_H

#include "schema/command.h"

typedef enum {
    SUBCOMMAND_NONE, /* the command was given without, or takes none */
    SUBCOMMAND_COUNT,
    SUBCOMMAND_DOCS,
    SUBCOMMAND_ENCODING,
    SUBCOMMAND_FREQ,
    SUBCOMMAND_GETKEYS,
    SUBCOMMAND_HELP,
    SUBCOMMAND_IDLETIME,
    SUBCOMMAND_INFO,
    SUBCOMMAND_LIST,
    SUBCOMMAND_REFCOUNT,
    SUBCOMMAND_USAGE,
    SUBCOMMAND_VERSION
} subcommand_t;

/* Of a command that command_check has accepted. */
subcommand_t subcommand_of (const command_t *command);

/* KV_OK, KV_SYNTAX if there is no such subcommand, or KV_WRONG_ARITY; the text is Redis's. */
KV_CHECK_RESULT kv_status_t subcommand_check (const command_t *command, char *text,
                                              size_t text_bytes);

/* Writes the result of HELP for a command with subcommands: its lines, as an array. */
void subcommand_help (const command_t *command, writer_t *out);

#endif
