/* config_list - a list value while it is read; it takes the old list's place only when complete.
 *
 *   begin -> (item -> (key -> set)* -> item_end)* -> commit -> free
 *
 *   T1  spots holds 1 + fields spots for each of the items, the item's own first; a field's spot
 *       has an origin if and only if the field was given. */
#ifndef KVDB_CONFIG_LIST_H
#define KVDB_CONFIG_LIST_H

#include "config/config_load.h"

typedef struct {
    config_load_t *load;
    config_entry_t *entry;
    char *items; /* owned until the commit */
    size_t count;
    size_t capacity;
    config_spot_t *spots; /* owned until the commit (T1) */
} config_list_t;

config_list_t config_list_begin (config_load_t *load, config_entry_t *entry);
void config_list_free (config_list_t *self);

/* Each gives KV_OK or KV_CONFIG. */

/* Starts another item. */
kv_status_t config_list_item (config_list_t *self, config_spot_t spot);

/* Resolves a key of the current item: `field` is the row's index for CONFIG_KEY_VALUE. */
kv_status_t config_list_key (config_list_t *self, const char *path, config_spot_t spot,
                             config_key_t *kind, size_t *field);

kv_status_t config_list_set (config_list_t *self, size_t field, kv_slice_t text,
                             config_spot_t spot);

/* Gives the fields left out their presets. */
kv_status_t config_list_item_end (config_list_t *self);

/* Checks the number of items and puts the list in place, unless a higher source has set it. */
kv_status_t config_list_commit (config_list_t *self, config_spot_t spot);

#endif
