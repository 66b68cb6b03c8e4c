/* config_load - one file on its way in: its bytes checked, its keys resolved, its values set.
 *
 *   bytes -> config_load_bytes: size, UTF-8, control characters, line lengths
 *         -> format (config_yaml_read, config_properties_read): keys and values with their spots
 *         -> config_load_key: duplicate? row, group of rows, foreign or unknown?
 *         -> config_load_value, or a config_list
 *
 *   L1  A key is seen at most once in a file, written dotted or nested. */
#ifndef KVDB_CONFIG_LOAD_H
#define KVDB_CONFIG_LOAD_H

#include "config/config_engine.h"

/* A key that was seen (L1). */
typedef struct {
    char *path; /* owned */
    uint32_t hash;
    uint32_t line;
} config_seen_t;

typedef struct {
    config_t *config;
    const char *file; /* its path, owned by the config_t */
    unsigned files;
    kv_slice_t bytes;
    config_seen_t *seen; /* owned */
    size_t seen_count;
    size_t seen_capacity;
} config_load_t;

typedef enum {
    CONFIG_KEY_VALUE,  /* a row's name */
    CONFIG_KEY_GROUP,  /* the dotted beginning of some row's name */
    CONFIG_KEY_FOREIGN /* for another program */
} config_key_t;

static inline config_spot_t config_load_spot (const config_load_t *self, size_t line, size_t column)
{
    return (config_spot_t){self->file, (uint32_t)line, (uint32_t)column};
}

/* Records the key (L1) and says what it is. `entry` receives the row's entry, NULL for others.
 * KV_CONFIG for a duplicate or unknown key. */
kv_status_t config_load_key (config_load_t *self, const char *path, config_spot_t spot,
                             config_key_t *kind, config_entry_t **entry);

/* Only the record of it (L1): for groups within list items. */
kv_status_t config_load_once (config_load_t *self, const char *path, config_spot_t spot);

/* Sets the entry, which is not a list, from the file. */
kv_status_t config_load_value (config_load_t *self, config_entry_t *entry, kv_slice_t text,
                               config_spot_t spot);

/* The formats. KV_OK or KV_CONFIG. */
kv_status_t config_yaml_read (config_load_t *load);
kv_status_t config_properties_read (config_load_t *load);

/* True if `path` is `whole`'s beginning up to one of its dots. */
bool config_is_group_of (const char *path, const char *whole);

#endif
