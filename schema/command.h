/* command - the command table (commands.def) as data, and one decoded command.
 *
 * Everything that must know about commands reads this table: routing, arity checks, help,
 * completion, the documentation. Only node/ knows what a command does. */
#ifndef KVDB_SCHEMA_COMMAND_H
#define KVDB_SCHEMA_COMMAND_H

#include "schema/reader.h"
#include "schema/writer.h"

typedef enum {
#define KV_COMMAND(name, least, most, flags, keys, merge, group, arguments, summary) COMMAND_##name,
#include "schema/commands.def"
#undef KV_COMMAND
    COMMAND_COUNT
} command_id_t;

typedef enum { COMMAND_READ, COMMAND_WRITE, COMMAND_ADMIN } command_flags_t;

typedef enum {
    KEYS_NONE,
    KEYS_FIRST,
    KEYS_SECOND,
    KEYS_ALL,
    KEYS_PAIRS,
    KEYS_TWO_TOGETHER,
    KEYS_PAIRS_TOGETHER,
    KEYS_CURSOR,
    KEYS_EVERY,
    KEYS_COORDINATOR
} command_keys_t;

typedef enum {
    MERGE_NONE,
    MERGE_SUM,
    MERGE_LEAST,
    MERGE_ALL_OK,
    MERGE_BY_KEY,
    MERGE_CONCAT,
    MERGE_PICK
} command_merge_t;

typedef struct {
    command_id_t id;
    const char *name; /* upper case */
    uint32_t least;   /* elements, the name included */
    uint32_t most;    /* 0: no bound of its own */
    command_flags_t flags;
    bool grows; /* a WRITE that may need more memory */
    command_keys_t keys;
    command_merge_t merge;
    const char *group;
    const char *arguments; /* for help: "key [key ...]" */
    const char *summary;
} command_spec_t;

/* What BGSAVE answers, in Redis's words; other commands that are merged by ALL_OK say OK. */
#define COMMAND_BGSAVE_TEXT "Background saving started"

/* The row of a command; `id` is 0 .. COMMAND_COUNT - 1. */
const command_spec_t *command_spec (command_id_t id);

/* The row for a name in any case, or NULL. */
const command_spec_t *command_find (kv_slice_t name);

/* One decoded command: its name and arguments as bytes. Reused from command to command.
 *
 *   C1  argv[0..argc) are valid until the next command_read or the end of the message's bytes.
 *   C2  integers and floats are accepted as arguments and stand in argv as decimal text. */
typedef struct {
    kv_slice_t *argv; /* owned array of borrowed slices */
    uint32_t argc;
    uint32_t capacity;
    kv_slice_t raw;             /* the bytes of the whole command in its message */
    const command_spec_t *spec; /* NULL: no such command */
    char *numbers;              /* owned: text of numeric arguments (C2) */
    size_t numbers_bytes;
} command_t;

/* An empty command; command_free releases what reading has allocated. */
command_t command_make (void);
void command_free (command_t *self);

/* Reads one command [NAME, argument...] at the cursor. KV_BAD_REQUEST, with `why` pointing to a
 * static sentence, if it is not an array, is empty, its name is not a string, or an argument is
 * neither string, integer nor float; KV_TOO_LARGE above KV_COMMAND_ARGS_MAX elements. The cursor
 * then stays where it was. Does not check the arity. */
KV_CHECK_RESULT kv_status_t command_read (command_t *self, reader_t *at, const char **why);

/* KV_OK, KV_UNKNOWN_COMMAND, KV_WRONG_ARITY or KV_TOO_LARGE (an empty key is KV_BAD_VALUE), with the
 * text a client is to see in `text` (Redis's wording where it has one). Subcommands are checked as
 * commands are. */
KV_CHECK_RESULT kv_status_t command_check (const command_t *self, char *text, size_t text_bytes);

/* How many keys the command has, and where the n-th stands in argv. */
uint32_t command_key_count (const command_t *self);
uint32_t command_key_index (const command_t *self, uint32_t n);

/* Whether the keys of such a command must live in one shard; one that violates this is answered
 * KV_CROSS_SHARD with command_cross_shard's text. */
bool command_keys_together (const command_spec_t *spec);
void command_cross_shard (const command_t *self, char *text, size_t text_bytes);

/* Whether it concerns no shard, so that a broker does not pass it on. */
bool command_is_local (const command_t *self);

/* Writes the result of HELP (a text) for the whole table, "@group" or one command. False: there
 * is no such command or group. `what` is empty for all. */
bool command_help (writer_t *out, kv_slice_t what);

#endif
