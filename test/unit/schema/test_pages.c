/* Goal: the pages for people say what the tables say.
 * Method: docs/COMMANDS.md is made from commands.def and compared with what is stored; PROTOCOL.md
 * is searched for a row per status, command, message and limit.
 *
 * KVDB_WRITE_PAGES=1 build/test/unit_schema_test_pages, in the root, writes docs/COMMANDS.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/command.h"
#include "schema/limits.h"
#include "schema/message.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char s_commands_page[] = "docs/COMMANDS.md";
static const char s_protocol_page[] = "schema/PROTOCOL.md";

static void s_put (writer_t *page, const char *text)
{
    writer_raw (page, kv_slice_text (text));
}

/* In a table a bar would end the cell. */
static void s_put_cell (writer_t *page, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            s_put (page, "\\");
        writer_raw (page, kv_slice (text, 1));
    }
}

static const char *s_reach (const command_spec_t *spec)
{
    switch (spec->keys) {
    case KEYS_NONE: return "no key; whoever receives it answers";
    case KEYS_FIRST:
    case KEYS_SECOND: return "one key";
    case KEYS_TWO_TOGETHER: return "two keys of one shard; atomic";
    case KEYS_PAIRS_TOGETHER: return "any number of keys of one shard; atomic";
    case KEYS_ALL:
    case KEYS_PAIRS: return "any number of keys; split by shard, atomic within a shard";
    case KEYS_CURSOR: return "the shard its cursor names";
    case KEYS_EVERY: return "every node";
    case KEYS_COORDINATOR: return "the broker";
    }
    return "";
}

static const char *s_kind (const command_spec_t *spec)
{
    return spec->flags == COMMAND_READ ? "read" : spec->flags == COMMAND_WRITE ? "write" : "admin";
}

static void s_put_command (writer_t *page, const command_spec_t *spec)
{
    s_put (page, "| `");
    s_put (page, spec->name);
    if (spec->arguments[0]) {
        s_put (page, " ");
        s_put_cell (page, spec->arguments);
    }
    s_put (page, "` | ");
    s_put_cell (page, spec->summary);
    s_put (page, " | ");
    s_put (page, s_kind (spec));
    s_put (page, " | ");
    s_put (page, s_reach (spec));
    s_put (page, " |\n");
}

static bool s_is_first_of_group (int index)
{
    const char *group = command_spec ((command_id_t)index)->group;
    for (int i = 0; i < index; i++) {
        if (strcmp (command_spec ((command_id_t)i)->group, group) == 0)
            return false;
    }
    return true;
}

static void s_put_group (writer_t *page, const char *group)
{
    char title[64];
    snprintf (title, sizeof title, "\n## %c%s\n\n", toupper ((unsigned char)group[0]), group + 1);
    s_put (page, title);
    s_put (page, "| command | what it does | kind | reaches |\n|---|---|---|---|\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const command_spec_t *spec = command_spec ((command_id_t)i);
        if (strcmp (spec->group, group) == 0)
            s_put_command (page, spec);
    }
}

static void s_make_commands_page (writer_t *page)
{
    s_put (page,
           "# Commands\n\n"
           "Made from `schema/commands.def`; do not edit (see `schema/README.md`). Names are taken "
           "in any case, with or\nwithout a leading `KV` in the CLI. What each returns on the wire "
           "is in `schema/PROTOCOL.md`, section 15. `HELP` shows the\nsame at a prompt: "
           "`HELP GET`, `HELP @string`.\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (s_is_first_of_group (i))
            s_put_group (page, command_spec ((command_id_t)i)->group);
    }
}

/* The whole file and a NUL, or NULL; the caller frees it. */
static char *s_load (const char *path)
{
    FILE *file = fopen (path, "r");
    if (!file)
        return NULL;
    writer_t text = writer_make (SIZE_MAX);
    char buffer[4096];
    for (size_t bytes; (bytes = fread (buffer, 1, sizeof buffer, file)) > 0;)
        writer_raw (&text, kv_slice (buffer, bytes));
    writer_raw (&text, kv_slice ("", 1));
    fclose (file);
    size_t size;
    return (char *)writer_take (&text, &size);
}

static void test_pages_commands_page_is_fresh (void **state)
{
    (void)state;
    writer_t page = writer_make (SIZE_MAX);
    s_make_commands_page (&page);
    if (getenv ("KVDB_WRITE_PAGES")) {
        FILE *file = fopen (s_commands_page, "w");
        assert_non_null (file);
        assert_int_equal (fwrite (page.data, 1, page.size, file), page.size);
        assert_int_equal (fclose (file), 0);
    }
    char *stored = s_load (s_commands_page);
    bool fresh = stored && kv_slice_equal (kv_slice (page.data, page.size), kv_slice_text (stored));
    if (!fresh)
        print_error ("%s is stale: KVDB_WRITE_PAGES=1 %s writes it\n", s_commands_page,
                     "build/test/unit_schema_test_pages");
    assert_true (fresh);
    free (stored);
    writer_free (&page);
}

static void s_expect_text (const char *page, const char *text)
{
    if (!strstr (page, text))
        print_error ("%s lacks: %s\n", s_protocol_page, text);
    assert_non_null (strstr (page, text));
}

static void s_expect_status (const char *page, unsigned number, const char *name)
{
    char row[128];
    snprintf (row, sizeof row, "\n| %u | %s | ", number, name);
    s_expect_text (page, row);
}

static void test_pages_protocol_lists_every_status (void **state)
{
    (void)state;
    char *page = s_load (s_protocol_page);
    assert_non_null (page);
#define KV_STATUS(name, number, meaning)                                                           \
    if ((number) >= 10)                                                                            \
        s_expect_status (page, (number), #name);
#include "schema/status.def"
#undef KV_STATUS
    free (page);
}

static void test_pages_protocol_lists_every_command (void **state)
{
    (void)state;
    char *page = s_load (s_protocol_page);
    assert_non_null (page);
    const char *from = page;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        char row[64];
        snprintf (row, sizeof row, "\n| %s | ", command_spec ((command_id_t)i)->name);
        s_expect_text (page, row);
        const char *at = strstr (page, row);
        assert_true (at > from); /* in the order of the table */
        from = at;
    }
    free (page);
}

static void test_pages_protocol_lists_every_message (void **state)
{
    (void)state;
    char *page = s_load (s_protocol_page);
    assert_non_null (page);
#define KV_MESSAGE(name, number, meaning) s_expect_status (page, (number), #name);
#include "schema/messages.def"
#undef KV_MESSAGE
    free (page);
}

static void test_pages_protocol_states_the_limits (void **state)
{
    (void)state;
    char *page = s_load (s_protocol_page);
    assert_non_null (page);
    const struct {
        const char *what;
        int64_t limit;
    } limits[] = {
        {"| key | 1 .. %" PRId64 " bytes |", KV_KEY_BYTES_MAX},
        {"at most %" PRId64 " bytes |", KV_VALUE_BYTES_MAX},
        {"| commands in a request | %" PRId64 " |", KV_BATCH_COMMANDS_MAX},
        {"| elements of a command, its name included | %" PRId64 " |", KV_COMMAND_ARGS_MAX},
        {"| name of a command | %" PRId64 " bytes |", KV_COMMAND_NAME_BYTES_MAX},
        {"| frame | largest value + %" PRId64 " bytes |", KV_MESSAGE_SLACK_BYTES},
        {"| reply | %" PRId64 " bytes;", KV_REPLY_BYTES_MAX},
        {"| frames of a message | %" PRId64 " |", KV_CLIENT_FRAMES_MAX},
        {"| nesting | %" PRId64 " |", KV_DEPTH_MAX},
        {"| error text | %" PRId64 " bytes |", KV_ERROR_TEXT_BYTES_MAX},
        {"| deadline | %" PRId64 " ms,", KV_DEADLINE_MS_MAX},
        {" ms, %" PRId64 " by default |", KV_DEADLINE_MS_DEFAULT},
        {"| shards | %" PRId64 ",", KV_SHARDS_MAX},
        {", %" PRId64 " by default |", KV_SHARDS_DEFAULT},
        {"| nodes | %" PRId64 " |", KV_NODES_MAX},
        {"in the broker | %" PRId64 " by default, then BUSY |", KV_SHARD_QUEUE_COMMANDS_DEFAULT},
        {"| connections | %" PRId64 " by default |", KV_CONNECTIONS_DEFAULT},
        {"| parts of a bundle (part 2) | %" PRId64 " |", KV_BUNDLE_PARTS_MAX},
        {"mod %" PRId64 "\n", KV_SLOTS},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        char text[128];
        snprintf (text, sizeof text, limits[i].what, limits[i].limit);
        s_expect_text (page, text);
    }
    free (page);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_pages_commands_page_is_fresh),
        cmocka_unit_test (test_pages_protocol_lists_every_status),
        cmocka_unit_test (test_pages_protocol_lists_every_command),
        cmocka_unit_test (test_pages_protocol_lists_every_message),
        cmocka_unit_test (test_pages_protocol_states_the_limits),
    };
    return cmocka_run_group_tests_name ("schema.pages", tests, NULL, NULL);
}
