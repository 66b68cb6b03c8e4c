#include "config/config_list.h"

#include <inttypes.h>
#include <stdlib.h>

config_list_t config_list_begin (config_load_t *load, config_entry_t *entry)
{
    KV_ASSERT (entry->row->type == KV_OPTION_LIST);
    return (config_list_t){.load = load, .entry = entry};
}

void config_list_free (config_list_t *self)
{
    config_items_free (self->entry->row, self->items, self->count);
    free (self->spots);
    self->items = NULL;
    self->count = 0;
    self->spots = NULL;
}

static char *s_item (const config_list_t *self)
{
    return self->items + (self->count - 1) * self->entry->row->item_bytes;
}

static config_spot_t *s_spots (const config_list_t *self)
{
    return self->spots + (self->count - 1) * (1 + self->entry->fields);
}

kv_status_t config_list_item (config_list_t *self, config_spot_t spot)
{
    const kv_option_t *row = self->entry->row;
    if ((int64_t)self->count == row->max)
        return config_fail (self->load->config, spot,
                            "%s has too many items; at most %" PRId64 " are allowed", row->name,
                            row->max);
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 8;
        size_t spots = 1 + self->entry->fields;
        self->items = config_grow (self->items, self->count, capacity, row->item_bytes);
        self->spots = config_grow (self->spots, self->count * spots, capacity * spots,
                                   sizeof (config_spot_t));
        self->capacity = capacity;
    }
    self->count++;
    s_spots (self)[0] = spot;
    return KV_OK;
}

/* "nodes[1].port", cut if it is too long. */
static config_shown_t s_label (const config_list_t *self, const char *path)
{
    config_text_t text = {0};
    config_text_addf (&text, "%s[%zu].%s", self->entry->row->name, self->count - 1, path);
    config_shown_t shown = config_shown (kv_slice (text.data, text.size));
    free (text.data);
    return shown;
}

kv_status_t config_list_key (config_list_t *self, const char *path, config_spot_t spot,
                             config_key_t *kind, size_t *field)
{
    config_t *config = self->load->config;
    const kv_option_t *fields = self->entry->row->fields;
    bool group = false;
    for (size_t i = 0; i < self->entry->fields; i++) {
        config_spot_t *first = &s_spots (self)[1 + i];
        if (strcmp (fields[i].name, path) == 0) {
            if (first->origin)
                return config_fail (config, spot,
                                    "%s is given twice, first on line %u; allowed is once",
                                    s_label (self, path).text, first->line);
            *kind = CONFIG_KEY_VALUE;
            *field = i;
            return KV_OK;
        }
        group = group || config_is_group_of (path, fields[i].name);
    }
    if (group) {
        *kind = CONFIG_KEY_GROUP;
        config_text_t whole = {0};
        config_text_addf (&whole, "%s[%zu].%s", self->entry->row->name, self->count - 1, path);
        kv_status_t status = config_load_once (self->load, whole.data, spot);
        free (whole.data);
        return status;
    }
    config_text_t allowed = {0};
    for (size_t i = 0; i < self->entry->fields; i++)
        config_text_addf (&allowed, "%s%s", i == 0 ? "" : ", ", fields[i].name);
    config_fail (config, spot, "unknown key %s; allowed are %s", s_label (self, path).text,
                 allowed.data);
    free (allowed.data);
    return KV_CONFIG;
}

kv_status_t config_list_set (config_list_t *self, size_t field, kv_slice_t text, config_spot_t spot)
{
    const kv_option_t *row = &self->entry->row->fields[field];
    config_shown_t label = s_label (self, row->name);
    config_setting_t setting = {row, label.text, spot, self->load->file};
    kv_status_t status = config_value_set (self->load->config, &setting, s_item (self), text);
    s_spots (self)[1 + field] = spot; // T1
    return status;
}

kv_status_t config_list_item_end (config_list_t *self)
{
    for (size_t i = 0; i < self->entry->fields; i++) {
        const kv_option_t *row = &self->entry->row->fields[i];
        if (s_spots (self)[1 + i].origin)
            continue;
        if (!row->preset) {
            config_text_t allowed = {0};
            config_value_allowed (row, &allowed);
            config_fail (self->load->config, s_spots (self)[0], "%s is missing; give it as %s",
                         s_label (self, row->name).text, allowed.data);
            free (allowed.data);
            return KV_CONFIG;
        }
        config_value_preset (row, s_item (self));
    }
    return KV_OK;
}

kv_status_t config_list_commit (config_list_t *self, config_spot_t spot)
{
    config_entry_t *entry = self->entry;
    if ((int64_t)self->count < entry->row->min)
        return config_fail (self->load->config, spot,
                            "%s has too few items; allowed are %" PRId64 " to %" PRId64,
                            entry->row->name, entry->row->min, entry->row->max);
    KV_ASSERT (config_may_replace (entry, CONFIG_FILE)); /* lists have no flag, no variable */
    config_value_clear (entry->row, entry->target);
    free (entry->spots);
    *(kv_option_list_t *)config_member (entry->row, entry->target) =
        (kv_option_list_t){self->items, self->count};
    entry->spots = self->spots;
    entry->spot = spot;
    entry->source = CONFIG_FILE;
    self->items = NULL;
    self->count = 0;
    self->spots = NULL;
    return KV_OK;
}
