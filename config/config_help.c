/* config_help - the usage text and the reference page, made of the rows. */
#include "config/config_engine.h"

#include <stdlib.h>

enum { HELP_COLUMNS = 100, HELP_LEFT = 30 };

static const char *s_placeholder (const kv_option_t *row)
{
    switch (row->type) {
    case KV_OPTION_BOOL: return "";
    case KV_OPTION_NUMBER: return " NUMBER";
    case KV_OPTION_BYTES: return " SIZE";
    case KV_OPTION_TEXT: return " TEXT";
    case KV_OPTION_PATH: return " PATH";
    case KV_OPTION_CHOICE: return " WORD";
    case KV_OPTION_LIST: return "";
    }
    return "";
}

/* The preset as text that says something even when it is empty or absent. */
static const char *s_preset (const kv_option_t *row, bool in_list)
{
    if (!row->preset)
        return row->type == KV_OPTION_LIST ? "empty" : in_list ? "required" : "unset";
    return row->preset[0] ? row->preset : "empty";
}

/* "always, interval or never; default interval; KVDB_..." */
static void s_details (const config_entry_t *entry, config_text_t *out)
{
    const kv_option_t *row = entry->row;
    config_value_allowed (row, out);
    if (row->preset || row->type != KV_OPTION_LIST)
        config_text_addf (out, "; %s%s", row->preset ? "default " : "", s_preset (row, false));
    if (row->preset && row->preset[0] && row->unit && row->type == KV_OPTION_NUMBER)
        config_text_addf (out, " %s", row->unit);
    if (entry->variable)
        config_text_addf (out, "; %s", entry->variable);
    if (row->type == KV_OPTION_LIST)
        config_text_addf (out, "; in a YAML file only");
    if (row->note)
        config_text_addf (out, "; no effect: %s", row->note);
}

/* Appends words, the first at column HELP_LEFT, breaking lines between them. */
static void s_wrap (config_text_t *out, const char *words)
{
    size_t column = HELP_LEFT;
    for (bool first = true; *words; first = false) {
        size_t size = strcspn (words, " ");
        if (!first && column + 1 + size > HELP_COLUMNS) {
            config_text_addf (out, "\n%*s", HELP_LEFT, "");
            column = HELP_LEFT;
        } else if (!first) {
            config_text_addf (out, " ");
            column++;
        }
        config_text_add (out, kv_slice (words, size));
        column += size;
        words += size + strspn (words + size, " ");
    }
    config_text_addf (out, "\n");
}

/* A row of help: what to write on the left, what it does on the right. */
static void s_row (config_text_t *out, const char *left, const char *right)
{
    size_t size = strlen (left);
    config_text_addf (out, "  %s", left);
    if (size + 3 > HELP_LEFT)
        config_text_addf (out, "\n%*s", HELP_LEFT, "");
    else
        config_text_addf (out, "%*s", (int)(HELP_LEFT - 2 - size), "");
    s_wrap (out, right);
}

static void s_help_entry (const config_entry_t *entry, config_text_t *out)
{
    const kv_option_t *row = entry->row;
    config_text_t left = {0};
    config_text_t right = {0};
    if (entry->alias)
        config_text_addf (&left, "%s, ", entry->alias);
    config_text_addf (&left, "%s%s", entry->flag ? entry->flag : row->name, s_placeholder (row));
    config_text_addf (&right, "%s (", row->help);
    s_details (entry, &right);
    config_text_addf (&right, ")");
    s_row (out, left.data, right.data);
    free (left.data);
    free (right.data);
}

char *config_help (const config_t *self, const char *usage)
{
    config_text_t out = {0};
    config_text_addf (&out, "%s", usage);
    for (size_t table = 0; table < self->table_count; table++) {
        config_text_addf (&out, "\n%s:\n", self->tables[table].title);
        for (size_t i = 0; i < self->entry_count; i++) {
            if (self->entries[i].table == table)
                s_help_entry (&self->entries[i], &out);
        }
    }
    config_text_addf (&out, "\nGeneral:\n");
    s_row (&out, "--help", "Show this text");
    s_row (&out, "--version", "Show the version");
    config_text_addf (&out,
                      "\nA flag outranks the environment, which outranks a file. Flags may be "
                      "written --flag VALUE or\n--flag=VALUE, in any case; of repeated flags "
                      "the last wins; -- ends them. Sizes take k, m\nor g, powers of 1024.\n");
    return config_text_take (&out);
}

/* Appends text for a cell of a Markdown table. */
static void s_cell (config_text_t *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            config_text_addf (out, "\\");
        config_text_addf (out, "%c", *text);
    }
}

static void s_code_cell (config_text_t *out, const char *text)
{
    config_text_addf (out, "%s", text && *text ? "`" : "");
    s_cell (out, text ? text : "");
    config_text_addf (out, "%s | ", text && *text ? "`" : "");
}

/* The cells all rows have: what is allowed, the default, what it means. */
static void s_common_cells (config_text_t *out, const kv_option_t *row, bool in_list)
{
    config_text_t allowed = {0};
    config_value_allowed (row, &allowed);
    s_cell (out, allowed.data);
    free (allowed.data);
    config_text_addf (out, " | ");
    if (row->preset && row->preset[0])
        s_code_cell (out, row->preset);
    else
        config_text_addf (out, "%s | ", s_preset (row, in_list));
    s_cell (out, row->help);
    if (row->note) {
        config_text_addf (out, ". No effect: ");
        s_cell (out, row->note);
    }
    config_text_addf (out, " |\n");
}

static void s_reference_entry (config_text_t *out, const config_entry_t *entry)
{
    config_text_addf (out, "| ");
    s_code_cell (out, entry->files ? entry->row->name : "");
    if (entry->alias) {
        config_text_addf (out, "`%s`, ", entry->alias);
    }
    s_code_cell (out, entry->flag);
    s_code_cell (out, entry->variable);
    s_common_cells (out, entry->row, false);
}

static void s_reference_fields (config_text_t *out, const config_entry_t *entry)
{
    config_text_addf (out,
                      "\nEach item of `%s` holds:\n\n| key | allowed | default | meaning |\n"
                      "|---|---|---|---|\n",
                      entry->row->name);
    for (const kv_option_t *field = entry->row->fields; field->name; field++) {
        config_text_addf (out, "| ");
        s_code_cell (out, field->name);
        s_common_cells (out, field, true);
    }
}

char *config_reference (const config_t *self, const char *heading)
{
    config_text_t out = {0};
    config_text_addf (&out,
                      "# %s\n\nMade from the option tables. A flag outranks the environment, which "
                      "outranks a file, which outranks the default.\n",
                      heading);
    for (size_t table = 0; table < self->table_count; table++) {
        config_text_addf (&out, "\n## %s\n\n", self->tables[table].title);
        config_text_addf (&out, "| in files | flag | environment | allowed | default | meaning |\n"
                                "|---|---|---|---|---|---|\n");
        for (size_t i = 0; i < self->entry_count; i++) {
            if (self->entries[i].table == table)
                s_reference_entry (&out, &self->entries[i]);
        }
        for (size_t i = 0; i < self->entry_count; i++) {
            if (self->entries[i].table == table && self->entries[i].fields > 0)
                s_reference_fields (&out, &self->entries[i]);
        }
    }
    return config_text_take (&out);
}
