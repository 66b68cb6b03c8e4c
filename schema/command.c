#include "schema/command.h"

#include "schema/limits.h"
#include "schema/subcommand.h"

#include <stdio.h>
#include <stdlib.h>
#include <inttypes.h>

enum { NUMBER_TEXT_BYTES = 32 }; /* the longest text of an int64 or a %.17g double */

/* The FLAGS of a row as two members. */
#define FLAGS_READ .flags = COMMAND_READ, .grows = false
#define FLAGS_WRITE .flags = COMMAND_WRITE, .grows = false
#define FLAGS_GROW .flags = COMMAND_WRITE, .grows = true
#define FLAGS_ADMIN .flags = COMMAND_ADMIN, .grows = false

static const command_spec_t s_specs[COMMAND_COUNT] = {
#define KV_COMMAND(word, fewest, many, mode, where, how, topic, parameters, meaning)               \
    {.id = COMMAND_##word,                                                                         \
     .name = #word,                                                                                \
     .least = (fewest),                                                                            \
     .most = (many),                                                                               \
     FLAGS_##mode,                                                                                 \
     .keys = KEYS_##where,                                                                         \
     .merge = MERGE_##how,                                                                         \
     .group = #topic,                                                                              \
     .arguments = (parameters),                                                                    \
     .summary = (meaning)},
#include "schema/commands.def"
#undef KV_COMMAND
};

const command_spec_t *command_spec (command_id_t id)
{
    KV_ASSERT ((unsigned)id < COMMAND_COUNT);
    return &s_specs[id];
}

/* Like strcmp, for a name in any case and a name of the table. */
static int s_compare (kv_slice_t name, const char *upper)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 32);
        if (upper[i] == '\0')
            return 1;
        if (c != (uint8_t)upper[i])
            return c < (uint8_t)upper[i] ? -1 : 1;
    }
    return upper[name.size] == '\0' ? 0 : -1;
}

const command_spec_t *command_find (kv_slice_t name)
{
    size_t low = 0;
    size_t high = COMMAND_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = s_compare (name, s_specs[middle].name);
        if (order == 0)
            return &s_specs[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

command_t command_make (void)
{
    return (command_t){0};
}

void command_free (command_t *self)
{
    free (self->argv);
    free (self->numbers);
    *self = command_make ();
}

static void s_reserve (command_t *self, uint32_t count)
{
    if (count <= self->capacity)
        return;
    uint32_t capacity = self->capacity ? self->capacity : 16;
    while (capacity < count)
        capacity *= 2;
    kv_slice_t *argv = realloc (self->argv, capacity * sizeof *argv);
    KV_ASSERT (argv != NULL);
    self->argv = argv;
    self->capacity = capacity;
}

/* The shortest text that reads back as the same number: 0.1 stays "0.1". */
static int s_print_double (char *text, double real)
{
    int length = 0;
    for (int digits = 15; digits <= 17; digits++) {
        length = snprintf (text, NUMBER_TEXT_BYTES, "%.*g", digits, real);
        if (strtod (text, NULL) == real)
            break;
    }
    return length;
}

/* C2: stores the text of a number at the place of argument `index`. */
static kv_status_t s_read_number (command_t *self, reader_t *at, uint32_t index)
{
    size_t wanted = (size_t)self->argc * NUMBER_TEXT_BYTES;
    if (self->numbers_bytes < wanted) {
        /* Grown once per command to its full size, so that earlier arguments stay where they are. */
        char *numbers = realloc (self->numbers, wanted);
        KV_ASSERT (numbers != NULL);
        self->numbers = numbers;
        self->numbers_bytes = wanted;
    }
    char *text = self->numbers + (size_t)index * NUMBER_TEXT_BYTES;
    int64_t integer;
    uint64_t large;
    double real;
    int length;
    if (reader_int (at, &integer) == KV_OK)
        length = snprintf (text, NUMBER_TEXT_BYTES, "%" PRId64, integer);
    else if (reader_uint (at, &large) == KV_OK)
        length = snprintf (text, NUMBER_TEXT_BYTES, "%" PRIu64, large);
    else if (reader_double (at, &real) == KV_OK)
        length = s_print_double (text, real);
    else
        return KV_BAD_REQUEST;
    KV_ASSERT (length > 0 && length < NUMBER_TEXT_BYTES);
    self->argv[index] = kv_slice (text, (size_t)length);
    return KV_OK;
}

static kv_status_t s_read (command_t *self, reader_t *at, const char **why)
{
    uint32_t count;
    *why = "each command is an array [NAME, argument...]";
    if (reader_array (at, &count) != KV_OK || count == 0)
        return KV_BAD_REQUEST;
    *why = "a command has more arguments than the protocol allows";
    if (count > KV_COMMAND_ARGS_MAX)
        return KV_TOO_LARGE;
    s_reserve (self, count);
    self->argc = count;
    *why = "a command's name is a string";
    if (reader_bytes (at, &self->argv[0]) != KV_OK)
        return KV_BAD_REQUEST;
    *why = "an argument is a whole string, binary, integer or float";
    for (uint32_t i = 1; i < count; i++) {
        if (reader_bytes (at, &self->argv[i]) != KV_OK && s_read_number (self, at, i) != KV_OK)
            return KV_BAD_REQUEST;
    }
    return KV_OK;
}

kv_status_t command_read (command_t *self, reader_t *at, const char **why)
{
    reader_t start = *at;
    kv_status_t status = s_read (self, at, why);
    if (status) {
        *at = start; // D4
        self->argc = 0;
        return status;
    }
    self->raw = kv_slice (start.at, (size_t)(at->at - start.at));
    /* Most batches repeat one command: the last row found is the first guess. */
    if (!self->spec || !kv_slice_is_word (self->argv[0], self->spec->name))
        self->spec = command_find (self->argv[0]);
    return KV_OK;
}

/* How many bytes of a client's own text an error message repeats. */
static int s_quoted (kv_slice_t text)
{
    return text.size < 128 ? (int)text.size : 128;
}

static kv_status_t s_check_keys (const command_t *self, char *text, size_t text_bytes)
{
    uint32_t keys = command_key_count (self);
    for (uint32_t i = 0; i < keys; i++) {
        size_t size = self->argv[command_key_index (self, i)].size;
        if (size == 0) {
            snprintf (text, text_bytes, "ERR a key has 1 byte at least; this one is empty");
            return KV_BAD_VALUE;
        }
        if (size > KV_KEY_BYTES_MAX) {
            snprintf (text, text_bytes, "ERR the key has %zu bytes; %d are allowed", size,
                      KV_KEY_BYTES_MAX);
            return KV_TOO_LARGE;
        }
    }
    return KV_OK;
}

kv_status_t command_check (const command_t *self, char *text, size_t text_bytes)
{
    const command_spec_t *spec = self->spec;
    if (!spec) {
        snprintf (text, text_bytes, "ERR unknown command '%.*s'; HELP lists those there are",
                  s_quoted (self->argv[0]), (const char *)self->argv[0].data);
        return KV_UNKNOWN_COMMAND;
    }
    bool pairs = spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER;
    bool pairs_broken = pairs && self->argc % 2 == 0;
    if (self->argc < spec->least || (spec->most && self->argc > spec->most) || pairs_broken) {
        char lower[KV_COMMAND_NAME_BYTES_MAX + 1] = {0};
        for (size_t i = 0; spec->name[i]; i++)
            lower[i] = (char)(spec->name[i] | 32);
        snprintf (text, text_bytes, "ERR wrong number of arguments for '%s' command", lower);
        return KV_WRONG_ARITY;
    }
    kv_status_t status = subcommand_check (self, text, text_bytes);
    return status ? status : s_check_keys (self, text, text_bytes);
}

uint32_t command_key_count (const command_t *self)
{
    KV_ASSERT (self->spec != NULL);
    switch (self->spec->keys) {
    case KEYS_FIRST: return 1;
    case KEYS_SECOND: return self->argc > 2 ? 1 : 0;
    case KEYS_ALL: return self->argc - 1;
    case KEYS_PAIRS:
    case KEYS_PAIRS_TOGETHER: return (self->argc - 1) / 2;
    case KEYS_TWO_TOGETHER: return 2;
    case KEYS_NONE:
    case KEYS_CURSOR:
    case KEYS_EVERY:
    case KEYS_COORDINATOR: return 0;
    }
    return 0;
}

uint32_t command_key_index (const command_t *self, uint32_t n)
{
    switch (self->spec->keys) {
    case KEYS_SECOND: return 2 + n;
    case KEYS_PAIRS:
    case KEYS_PAIRS_TOGETHER: return 1 + 2 * n;
    default: return 1 + n;
    }
}

bool command_keys_together (const command_spec_t *spec)
{
    return spec->keys == KEYS_TWO_TOGETHER || spec->keys == KEYS_PAIRS_TOGETHER;
}

void command_cross_shard (const command_t *self, char *text, size_t text_bytes)
{
    snprintf (text, text_bytes,
              "CROSSSLOT Keys in request don't hash to the same slot: those of %s must live in one "
              "shard; give them a part in braces in common, as in {user1}.name and {user1}.mail",
              self->spec->name);
}

bool command_is_local (const command_t *self)
{
    command_keys_t keys = self->spec->keys;
    return keys == KEYS_NONE || keys == KEYS_COORDINATOR || (keys == KEYS_SECOND && self->argc < 3);
}

static void s_help_line (writer_t *line, const command_spec_t *spec)
{
    writer_raw (line, kv_slice_text (spec->name));
    if (spec->arguments[0]) {
        writer_raw (line, kv_slice_text (" "));
        writer_raw (line, kv_slice_text (spec->arguments));
    }
    writer_raw (line, kv_slice_text ("\n    "));
    writer_raw (line, kv_slice_text (spec->summary));
    writer_raw (line, kv_slice_text ("  [@"));
    writer_raw (line, kv_slice_text (spec->group));
    writer_raw (line, kv_slice_text ("]\n"));
}

static bool s_help_wants (const command_spec_t *spec, kv_slice_t what)
{
    if (what.size == 0)
        return true;
    if (what.data[0] != '@')
        return command_find (what) == spec;
    return kv_slice_equal (kv_slice (what.data + 1, what.size - 1), kv_slice_text (spec->group));
}

bool command_help (writer_t *out, kv_slice_t what)
{
    writer_t text = writer_make (SIZE_MAX);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (s_help_wants (&s_specs[i], what))
            s_help_line (&text, &s_specs[i]);
    }
    bool found = text.size > 0;
    if (found)
        writer_text (out, kv_slice (text.data, text.size - 1));
    writer_free (&text);
    return found;
}
