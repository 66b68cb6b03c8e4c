#include "client/kv_help.h"

#include "schema/command.h"

static const kv_local_t s_locals[] = {
    {"CLEAR", "", "Clear the screen"},
    {"EXIT", "", "Leave; so do Ctrl-D, and Ctrl-C twice on an empty line"},
    {"QUIT", "", "Leave"},
    {"STATUS", "", "Show the nodes and what they own"},
};

enum { LOCAL_COUNT = sizeof s_locals / sizeof s_locals[0], LINE_COLUMNS = 78 };

const kv_local_t *kv_help_local (size_t n)
{
    return n < LOCAL_COUNT ? &s_locals[n] : NULL;
}

/* Prints a word of a list that begins at column `indent`, on a new line if it does not fit. */
static void s_list (FILE *out, int indent, int *column, const char *word)
{
    int size = (int)strlen (word) + 1;
    if (*column + size > LINE_COLUMNS) {
        fprintf (out, "\n%*s", indent, "");
        *column = indent;
    }
    fprintf (out, " %s", word);
    *column += size;
}

/* True for the first command of its group. */
static bool s_opens_group (size_t id)
{
    const char *group = command_spec ((command_id_t)id)->group;
    for (size_t i = 0; i < id; i++) {
        if (strcmp (command_spec ((command_id_t)i)->group, group) == 0)
            return false;
    }
    return true;
}

static void s_overview (FILE *out)
{
    enum { INDENT = 12 };
    fputs ("HELP command and HELP @group tell more:\n\n", out);
    for (size_t id = 0; id < COMMAND_COUNT; id++) {
        const char *group = command_spec ((command_id_t)id)->group;
        if (!s_opens_group (id))
            continue;
        int column = INDENT;
        fprintf (out, "@%-*s", INDENT - 1, group);
        for (size_t i = id; i < COMMAND_COUNT; i++) {
            const command_spec_t *spec = command_spec ((command_id_t)i);
            if (strcmp (spec->group, group) == 0)
                s_list (out, INDENT, &column, spec->name);
        }
        fputc ('\n', out);
    }
    int column = INDENT;
    fprintf (out, "%-*s", INDENT, "here");
    for (size_t i = 0; i < LOCAL_COUNT; i++)
        s_list (out, INDENT, &column, s_locals[i].name);
    fputs ("\n\nTab completes, Up and Down walk the history, Ctrl-R searches it, Ctrl-C abandons a "
           "line\n"
           "or the wait for a reply. Quotes: \"a b\", \"\\x00\\n\", 'as it is'.\n",
           out);
}

bool kv_help_print (FILE *out, kv_slice_t what)
{
    if (what.size == 0) {
        s_overview (out);
        return true;
    }
    for (size_t i = 0; i < LOCAL_COUNT; i++) {
        if (kv_slice_is_word (what, s_locals[i].name)) {
            fprintf (out, "%s\n    %s\n", s_locals[i].name, s_locals[i].summary);
            return true;
        }
    }
    writer_t help = writer_make (SIZE_MAX);
    kv_slice_t text;
    bool found = command_help (&help, what);
    reader_t at = reader_make (kv_slice (help.data, help.size));
    if (found && reader_bytes (&at, &text) == KV_OK) {
        fwrite (text.data, 1, text.size, out);
        fputc ('\n', out);
    }
    writer_free (&help);
    return found;
}
