#include "config/config_engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Making and ending */

config_t *config_new (void)
{
    return config_alloc (1, sizeof (config_t));
}

void config_destroy (config_t **self)
{
    config_t *config = *self;
    if (!config)
        return;
    for (size_t i = 0; i < config->entry_count; i++) {
        config_entry_t *entry = &config->entries[i];
        config_value_clear (entry->row, entry->target); // E6
        free (entry->flag);
        free (entry->alias);
        free (entry->variable);
        free (entry->spots);
    }
    for (size_t i = 0; i < config->file_count; i++)
        free (config->files[i].path);
    free (config->entries);
    free (config->tables);
    free (config->foreign);
    free (config->error);
    free (config);
    *self = NULL;
}

/* Makes "--persistence-fsync" and "KVDB_PERSISTENCE_FSYNC" of the row's name. */
static void s_name_entry (config_entry_t *entry)
{
    const kv_option_t *row = entry->row;
    if (row->type == KV_OPTION_LIST)
        return;
    const char *name = strncmp (row->name, "kvdb.", 5) == 0 ? row->name + 5 : row->name;
    config_text_t flag = {0};
    config_text_t variable = {0};
    config_text_addf (&flag, "--");
    config_text_addf (&variable, "KVDB_");
    for (; *name; name++) {
        char lower = *name;
        char upper = *name;
        if (*name >= 'A' && *name <= 'Z')
            lower = (char)(*name + 32);
        if (*name >= 'a' && *name <= 'z')
            upper = (char)(*name - 32);
        bool mark = *name == '.' || *name == '_' || *name == '-';
        config_text_addf (&flag, "%c", mark ? '-' : lower);
        config_text_addf (&variable, "%c", mark ? '_' : upper);
    }
    entry->flag = config_text_take (&flag);
    entry->variable = config_text_take (&variable);
    if (row->alias) {
        config_text_t alias = {0};
        config_text_addf (&alias, "%s%s", row->alias[1] ? "--" : "-", row->alias);
        entry->alias = config_text_take (&alias);
    }
    if (row->command_line) {
        free (entry->variable);
        entry->variable = NULL;
    }
}

static bool s_same_flag (const char *a, const char *b)
{
    return a && b && (a[1] == '-' ? strcasecmp (a, b) : strcmp (a, b)) == 0;
}

/* O1, and that no two flags or variables have the same name. */
static void s_check_unique (const config_t *self, const config_entry_t *entry)
{
    KV_ASSERT (!s_same_flag (entry->flag, "--help"));
    KV_ASSERT (!s_same_flag (entry->flag, "--version"));
    for (size_t i = 0; i < self->entry_count; i++) {
        const config_entry_t *other = &self->entries[i];
        KV_ASSERT (strcmp (entry->row->name, other->row->name) != 0);
        KV_ASSERT (!s_same_flag (entry->flag, other->flag));
        KV_ASSERT (!s_same_flag (entry->flag, other->alias));
        KV_ASSERT (!s_same_flag (entry->alias, other->flag));
        KV_ASSERT (!s_same_flag (entry->alias, other->alias));
        if (entry->variable && other->variable)
            KV_ASSERT (strcmp (entry->variable, other->variable) != 0);
    }
}

void config_add (config_t *self, config_table_t table)
{
    KV_ASSERT (table.rows);
    KV_ASSERT (table.target);
    size_t count = config_row_count (table.rows);
    self->tables =
        config_grow (self->tables, self->table_count, self->table_count + 1, sizeof table);
    self->tables[self->table_count] = table;
    self->entries = config_grow (self->entries, self->entry_count, self->entry_count + count,
                                 sizeof (config_entry_t));
    for (size_t i = 0; i < count; i++) {
        const kv_option_t *row = &table.rows[i];
        config_row_check (row, false);
        config_entry_t entry = {.row = row,
                                .target = table.target,
                                .files = row->command_line ? 0 : table.files,
                                .table = self->table_count};
        if (row->type == KV_OPTION_LIST)
            entry.fields = config_row_count (row->fields);
        s_name_entry (&entry);
        s_check_unique (self, &entry);
        config_value_preset (row, table.target);
        self->entries[self->entry_count++] = entry;
    }
    self->table_count++;
}

void config_foreign (config_t *self, const char *prefix, unsigned files)
{
    self->foreign = config_grow (self->foreign, self->foreign_count, self->foreign_count + 1,
                                 sizeof (config_foreign_t));
    self->foreign[self->foreign_count++] = (config_foreign_t){prefix, files};
}

/* Errors and positions */

static void s_add_spot (config_text_t *out, config_spot_t spot)
{
    config_text_addf (out, "%s", spot.origin ? spot.origin : "default");
    if (spot.line > 0)
        config_text_addf (out, ":%u:%u", spot.line, spot.column);
}

/* Makes the error of spot and message, unless there is one (E2). */
static kv_status_t s_fail (config_t *self, config_spot_t spot, const char *message)
{
    if (self->error)
        return KV_CONFIG;
    config_text_t raw = {0};
    config_text_t line = {0};
    s_add_spot (&raw, spot);
    config_text_addf (&raw, ": %s", message);
    config_text_escape (&line, kv_slice (raw.data, raw.size));
    free (raw.data);
    self->error = config_text_take (&line);
    return KV_CONFIG;
}

/* The formatted text; the caller frees it. */
static char *s_format (const char *format, va_list arguments)
{
    char *text = NULL;
    int bytes = vasprintf (&text, format, arguments);
    KV_ASSERT (bytes >= 0);
    return text;
}

kv_status_t config_fail (config_t *self, config_spot_t spot, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    char *message = s_format (format, arguments);
    va_end (arguments);
    kv_status_t status = s_fail (self, spot, message);
    free (message);
    return status;
}

const char *config_error (const config_t *self)
{
    return self->error;
}

/* The entry of that name; asking for one that does not exist is a defect of the caller. */
static config_entry_t *s_entry (const config_t *self, const char *name)
{
    size_t index = 0;
    bool found = config_find (self, name, &index);
    KV_ASSERT (found);
    return &self->entries[index];
}

static config_spot_t s_spot (const config_t *self, const char *name, size_t item, const char *field)
{
    const config_entry_t *entry = s_entry (self, name);
    if (entry->row->type != KV_OPTION_LIST || item == CONFIG_NO_ITEM)
        return entry->spot;
    const kv_option_list_t *list = config_member (entry->row, entry->target);
    KV_ASSERT (item < list->count);
    const config_spot_t *spots = &entry->spots[item * (1 + entry->fields)];
    for (size_t i = 0; field && i < entry->fields; i++) {
        if (strcmp (entry->row->fields[i].name, field) == 0)
            return spots[1 + i].origin ? spots[1 + i] : spots[0];
    }
    KV_ASSERT (!field);
    return spots[0];
}

char *config_position (const config_t *self, const char *name, size_t item, const char *field)
{
    config_text_t text = {0};
    s_add_spot (&text, s_spot (self, name, item, field));
    return config_text_take (&text);
}

kv_status_t config_reject (config_t *self, const char *name, size_t item, const char *field,
                           const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    char *message = s_format (format, arguments);
    va_end (arguments);
    config_spot_t spot = s_spot (self, name, item, field);
    if (!spot.origin)
        spot.origin = name;
    kv_status_t status = s_fail (self, spot, message);
    free (message);
    return status;
}

kv_status_t config_require (config_t *self, const char *name)
{
    if (self->error)
        return KV_CONFIG;
    const config_entry_t *entry = s_entry (self, name);
    if (entry->source != CONFIG_DEFAULT || entry->row->preset)
        return KV_OK;
    config_text_t allowed = {0};
    config_value_allowed (entry->row, &allowed);
    config_spot_t spot = {entry->flag ? entry->flag : name, 0, 0};
    for (size_t i = 0; i < self->file_count; i++) {
        if (self->files[i].files & entry->files)
            spot = (config_spot_t){self->files[i].path, 1, 1};
    }
    if (spot.line > 0)
        config_fail (self, spot, "%s is missing; give it as %s", name, allowed.data);
    else
        config_fail (self, spot, "missing; give %s", allowed.data);
    free (allowed.data);
    return KV_CONFIG;
}

kv_status_t config_set_entry (config_t *self, config_entry_t *entry, config_source_t source,
                              const config_setting_t *setting, kv_slice_t text)
{
    bool replace = config_may_replace (entry, source);
    kv_status_t status = config_value_set (self, setting, replace ? entry->target : NULL, text);
    if (status == KV_OK && replace) {
        entry->source = source;
        entry->spot = setting->spot;
    }
    return status;
}

/* Notices: one per row with a note, and one per such field of a list. */

static char *s_notice (config_spot_t spot, const char *name, const char *note, size_t more)
{
    config_text_t raw = {0};
    config_text_t line = {0};
    s_add_spot (&raw, spot);
    config_text_addf (&raw, ": %s has no effect: %s", name, note);
    if (more > 0)
        config_text_addf (&raw, " (and %zu more)", more);
    config_text_escape (&line, kv_slice (raw.data, raw.size));
    free (raw.data);
    return config_text_take (&line);
}

/* The notice on one field in all items of a list; NULL if it is set nowhere. */
static char *s_field_notice (const config_entry_t *entry, size_t field)
{
    const kv_option_t *row = &entry->row->fields[field];
    kv_option_list_t *list = config_member (entry->row, entry->target);
    size_t first = 0;
    size_t count = 0;
    for (size_t i = list->count; i-- > 0;) {
        char *item = (char *)list->items + i * entry->row->item_bytes;
        bool set = entry->spots[i * (1 + entry->fields) + 1 + field].origin != NULL;
        if (set && !config_value_is_preset (row, item)) {
            first = i;
            count++;
        }
    }
    if (count == 0)
        return NULL;
    config_text_t name = {0};
    config_text_addf (&name, "%s[%zu].%s", entry->row->name, first, row->name);
    config_spot_t spot = entry->spots[first * (1 + entry->fields) + 1 + field];
    char *notice = s_notice (spot, name.data, row->note, count - 1);
    free (name.data);
    return notice;
}

char *config_notice (const config_t *self, size_t n)
{
    for (size_t i = 0; i < self->entry_count; i++) {
        const config_entry_t *entry = &self->entries[i];
        const kv_option_t *row = entry->row;
        bool set = entry->source != CONFIG_DEFAULT && !config_value_is_preset (row, entry->target);
        if (row->note && set && n-- == 0)
            return s_notice (entry->spot, row->name, row->note, 0);
        for (size_t field = 0; field < entry->fields; field++) {
            char *notice = row->fields[field].note ? s_field_notice (entry, field) : NULL;
            if (notice && n-- == 0)
                return notice;
            free (notice);
        }
    }
    return NULL;
}

/* Looking at values */

size_t config_count (const config_t *self)
{
    return self->entry_count;
}

bool config_find (const config_t *self, const char *name, size_t *index)
{
    for (size_t i = 0; i < self->entry_count; i++) {
        if (strcmp (self->entries[i].row->name, name) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

const kv_option_t *config_row (const config_t *self, size_t index)
{
    KV_ASSERT (index < self->entry_count);
    return self->entries[index].row;
}

config_source_t config_source (const config_t *self, size_t index)
{
    KV_ASSERT (index < self->entry_count);
    return self->entries[index].source;
}

const char *config_source_name (config_source_t source)
{
    switch (source) {
    case CONFIG_DEFAULT: return "default";
    case CONFIG_FILE: return "file";
    case CONFIG_ENVIRONMENT: return "environment";
    case CONFIG_FLAG: return "flag";
    }
    return "unlisted";
}

char *config_value (const config_t *self, size_t index)
{
    KV_ASSERT (index < self->entry_count);
    const config_entry_t *entry = &self->entries[index];
    config_text_t text = {0};
    /* Unset is empty: a member that is zero for want of a preset is no value. */
    if (entry->row->preset || entry->source != CONFIG_DEFAULT || entry->row->type >= KV_OPTION_TEXT)
        config_value_print (entry->row, entry->target, &text);
    return config_text_take (&text);
}

char *config_beside (const char *file, const char *path)
{
    const char *slash = strrchr (file, '/');
    config_text_t text = {0};
    if (path[0] != '/' && slash)
        config_text_add (&text, kv_slice (file, (size_t)(slash - file) + 1));
    config_text_add (&text, kv_slice_text (path));
    return config_text_take (&text);
}
