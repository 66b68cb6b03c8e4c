#include "schema/subcommand.h"

#include "schema/limits.h"
#include "schema/request.h"

#include <stdio.h>

typedef struct {
    command_id_t command;
    subcommand_t id;
    const char *name;
    uint32_t least, most; /* elements of the whole command; most 0: no bound */
    const char *help;
} row_t;

static const row_t s_rows[] = {
    {COMMAND_COMMAND, SUBCOMMAND_COUNT, "COUNT", 2, 2, "COUNT: how many commands there are"},
    {COMMAND_COMMAND, SUBCOMMAND_DOCS, "DOCS", 2, 0, "DOCS [name ...]: what commands do"},
    {COMMAND_COMMAND, SUBCOMMAND_GETKEYS, "GETKEYS", 4, 0,
     "GETKEYS name argument [argument ...]: the keys in a command"},
    {COMMAND_COMMAND, SUBCOMMAND_HELP, "HELP", 2, 2, "HELP: these lines"},
    {COMMAND_COMMAND, SUBCOMMAND_INFO, "INFO", 2, 0,
     "INFO [name ...]: arity, flags and places of keys"},
    {COMMAND_COMMAND, SUBCOMMAND_LIST, "LIST", 2, 0, "LIST: the names of all commands"},
    {COMMAND_MEMORY, SUBCOMMAND_HELP, "HELP", 2, 2, "HELP: these lines"},
    {COMMAND_MEMORY, SUBCOMMAND_USAGE, "USAGE", 3, 0,
     "USAGE key [SAMPLES count]: the bytes a key takes, overhead included"},
    {COMMAND_OBJECT, SUBCOMMAND_ENCODING, "ENCODING", 3, 3, "ENCODING key: how its value is kept"},
    {COMMAND_OBJECT, SUBCOMMAND_FREQ, "FREQ", 3, 3, "FREQ key: an error, use is not counted"},
    {COMMAND_OBJECT, SUBCOMMAND_HELP, "HELP", 2, 2, "HELP: these lines"},
    {COMMAND_OBJECT, SUBCOMMAND_IDLETIME, "IDLETIME", 3, 3,
     "IDLETIME key: the seconds since it was used"},
    {COMMAND_OBJECT, SUBCOMMAND_REFCOUNT, "REFCOUNT", 3, 3, "REFCOUNT key: always 1"},
    {COMMAND_OBJECT, SUBCOMMAND_VERSION, "VERSION", 3, 3,
     "VERSION key: the version of its last write, for SET ... IFVER"},
};

enum { ROWS = sizeof s_rows / sizeof s_rows[0] };

static bool s_has_subcommands (const command_spec_t *spec)
{
    return spec->id == COMMAND_COMMAND || spec->id == COMMAND_MEMORY || spec->id == COMMAND_OBJECT;
}

static const row_t *s_find (const command_t *command)
{
    for (size_t i = 0; command->argc > 1 && i < ROWS; i++) {
        if (s_rows[i].command == command->spec->id &&
            kv_slice_is_word (command->argv[1], s_rows[i].name))
            return &s_rows[i];
    }
    return NULL;
}

subcommand_t subcommand_of (const command_t *command)
{
    const row_t *row = s_find (command);
    return row ? row->id : SUBCOMMAND_NONE;
}

static void s_lower (char *to, size_t bytes, const char *from)
{
    size_t i = 0;
    for (; from[i] && i < bytes - 1; i++)
        to[i] = (char)(from[i] | 32);
    to[i] = '\0';
}

kv_status_t subcommand_check (const command_t *command, char *text, size_t text_bytes)
{
    if (command->argc < 2 || !s_has_subcommands (command->spec))
        return KV_OK;
    const row_t *row = s_find (command);
    if (!row) {
        kv_slice_t word = command->argv[1];
        int quoted = word.size < 128 ? (int)word.size : 128;
        snprintf (text, text_bytes, "ERR unknown subcommand '%.*s'. Try %s HELP.", quoted,
                  (const char *)word.data, command->spec->name);
        return KV_SYNTAX;
    }
    if (command->argc >= row->least && (row->most == 0 || command->argc <= row->most))
        return KV_OK;
    char name[KV_COMMAND_NAME_BYTES_MAX + 1];
    char sub[KV_COMMAND_NAME_BYTES_MAX + 1];
    s_lower (name, sizeof name, command->spec->name);
    s_lower (sub, sizeof sub, row->name);
    snprintf (text, text_bytes, "ERR wrong number of arguments for '%s|%s' command", name, sub);
    return KV_WRONG_ARITY;
}

void subcommand_help (const command_t *command, writer_t *out)
{
    uint32_t lines = 0;
    for (size_t i = 0; i < ROWS; i++)
        lines += s_rows[i].command == command->spec->id;
    result_value (out);
    writer_array (out, lines);
    for (size_t i = 0; i < ROWS; i++) {
        if (s_rows[i].command == command->spec->id)
            writer_cstr (out, s_rows[i].help);
    }
}
