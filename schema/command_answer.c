#include "schema/command_answer.h"

#include "schema/limits.h"
#include "schema/request.h"
#include "schema/subcommand.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAMES_MAX = 1024 }; /* that COMMAND INFO and DOCS describe at once: a name is shorter */

/* ---- PING, HELP, TIME ------------------------------------------------------------------------ */

static void s_ping (const command_t *command, writer_t *out)
{
    if (command->argc == 2)
        result_bytes (out, command->argv[1]);
    else
        result_text (out, "PONG");
}

static void s_help (const command_t *command, writer_t *out)
{
    kv_slice_t what = command->argc == 2 ? command->argv[1] : kv_slice ("", 0);
    size_t start = out->size;
    result_value (out);
    if (command_help (out, what))
        return;
    writer_cut (out, start);
    int quoted = what.size < 64 ? (int)what.size : 64;
    result_errorf (out, KV_UNKNOWN_COMMAND,
                   "ERR no command or group '%.*s'; HELP lists those there are", quoted,
                   (const char *)what.data);
}

static void s_time (int64_t wall_ms, writer_t *out)
{
    char text[32];
    result_value (out);
    writer_array (out, 2);
    snprintf (text, sizeof text, "%" PRId64, wall_ms / 1000);
    writer_cstr (out, text);
    snprintf (text, sizeof text, "%" PRId64, wall_ms % 1000 * 1000);
    writer_cstr (out, text);
}

/* ---- COMMAND --------------------------------------------------------------------------------- */

static void s_write_lower (writer_t *out, const char *name)
{
    char lower[KV_COMMAND_NAME_BYTES_MAX + 1];
    size_t size = 0;
    for (; name[size] && size < sizeof lower; size++)
        lower[size] = (char)(name[size] | 32);
    writer_text (out, kv_slice (lower, size));
}

typedef struct {
    int first, last, step;
} places_t;

/* Where the keys stand, as Redis's COMMAND INFO says it. */
static places_t s_places (const command_spec_t *spec)
{
    switch (spec->keys) {
    case KEYS_FIRST: return (places_t){1, 1, 1};
    case KEYS_SECOND: return (places_t){2, 2, 1};
    case KEYS_ALL: return (places_t){1, -1, 1};
    case KEYS_PAIRS:
    case KEYS_PAIRS_TOGETHER: return (places_t){1, -1, 2};
    case KEYS_TWO_TOGETHER: return (places_t){1, 2, 1};
    case KEYS_NONE:
    case KEYS_CURSOR:
    case KEYS_EVERY:
    case KEYS_COORDINATOR: break;
    }
    return (places_t){0, 0, 0};
}

/* name, arity, flags, first key, last key, step, and the four parts that Redis 7 has there, empty. */
static void s_write_info (writer_t *out, const command_spec_t *spec)
{
    int64_t arity = spec->most == spec->least ? (int64_t)spec->least : -(int64_t)spec->least;
    places_t places = s_places (spec);
    writer_array (out, 10);
    s_write_lower (out, spec->name);
    writer_int (out, arity);
    writer_array (out, spec->grows ? 2 : 1);
    writer_cstr (out, spec->flags == COMMAND_READ    ? "readonly"
                      : spec->flags == COMMAND_WRITE ? "write"
                                                     : "admin");
    if (spec->grows)
        writer_cstr (out, "denyoom");
    writer_int (out, places.first);
    writer_int (out, places.last);
    writer_int (out, places.step);
    for (int i = 0; i < 4; i++)
        writer_array (out, 0);
}

static void s_info (const command_t *command, writer_t *out)
{
    bool all = command->argc < 3;
    uint32_t count = all ? COMMAND_COUNT : command->argc - 2;
    result_value (out);
    writer_array (out, count);
    for (uint32_t i = 0; i < count; i++) {
        const command_spec_t *spec =
            all ? command_spec ((command_id_t)i) : command_find (command->argv[2 + i]);
        if (spec)
            s_write_info (out, spec);
        else
            writer_nil (out);
    }
}

static void s_write_docs (writer_t *out, const command_spec_t *spec)
{
    s_write_lower (out, spec->name);
    writer_map (out, 3);
    writer_cstr (out, "summary");
    writer_cstr (out, spec->summary);
    writer_cstr (out, "group");
    writer_cstr (out, spec->group);
    writer_cstr (out, "arguments");
    writer_cstr (out, spec->arguments);
}

/* A map from name to what there is to say; names that are not known are left out, as Redis does. */
static void s_docs (const command_t *command, writer_t *out)
{
    bool all = command->argc < 3;
    uint32_t count = all ? COMMAND_COUNT : 0;
    for (uint32_t i = 2; i < command->argc; i++)
        count += command_find (command->argv[i]) != NULL;
    result_value (out);
    writer_map (out, count);
    for (int i = 0; all && i < COMMAND_COUNT; i++)
        s_write_docs (out, command_spec ((command_id_t)i));
    for (uint32_t i = 2; i < command->argc; i++) {
        const command_spec_t *spec = command_find (command->argv[i]);
        if (spec)
            s_write_docs (out, spec);
    }
}

static void s_list (const command_t *command, writer_t *out)
{
    if (command->argc > 2) {
        result_error (out, KV_SYNTAX, "ERR syntax error");
        return;
    }
    result_value (out);
    writer_array (out, COMMAND_COUNT);
    for (int i = 0; i < COMMAND_COUNT; i++)
        s_write_lower (out, command_spec ((command_id_t)i)->name);
}

static void s_get_keys (const command_t *command, writer_t *out)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    command_t inner = *command;
    inner.argv += 2;
    inner.argc -= 2;
    inner.spec = command_find (inner.argv[0]);
    kv_status_t status = command_check (&inner, text, sizeof text);
    uint32_t keys = status ? 0 : command_key_count (&inner);
    if (status == KV_UNKNOWN_COMMAND) {
        result_error (out, status, "ERR Invalid command specified");
    } else if (status == KV_WRONG_ARITY) {
        result_error (out, status, "ERR Invalid number of arguments specified for command");
    } else if (status) {
        result_error (out, status, text);
    } else if (keys == 0) {
        result_error (out, KV_BAD_VALUE, "ERR The command has no key arguments");
    } else {
        result_value (out);
        writer_array (out, keys);
        for (uint32_t i = 0; i < keys; i++)
            writer_bin (out, inner.argv[command_key_index (&inner, i)]);
    }
}

static void s_command (const command_t *command, writer_t *out)
{
    subcommand_t what = subcommand_of (command);
    if (what != SUBCOMMAND_GETKEYS && command->argc > NAMES_MAX) {
        result_errorf (out, KV_TOO_LARGE, "ERR %d names are allowed at a time", NAMES_MAX);
        return;
    }
    switch (what) {
    case SUBCOMMAND_COUNT: result_int (out, COMMAND_COUNT); return;
    case SUBCOMMAND_DOCS: s_docs (command, out); return;
    case SUBCOMMAND_GETKEYS: s_get_keys (command, out); return;
    case SUBCOMMAND_HELP: subcommand_help (command, out); return;
    case SUBCOMMAND_LIST: s_list (command, out); return;
    default: s_info (command, out); return;
    }
}

bool command_answer (const command_t *command, int64_t wall_ms, writer_t *out)
{
    switch (command->spec->id) {
    case COMMAND_PING: s_ping (command, out); return true;
    case COMMAND_ECHO: result_bytes (out, command->argv[1]); return true;
    case COMMAND_HELP: s_help (command, out); return true;
    case COMMAND_TIME: s_time (wall_ms, out); return true;
    case COMMAND_COMMAND: s_command (command, out); return true;
    default: break;
    }
    if (subcommand_of (command) != SUBCOMMAND_HELP)
        return false;
    subcommand_help (command, out);
    return true;
}
