/* config_engine - the private state of config_t and what the engine's files share.
 *
 *   config.c             tables, errors, positions, notices, values      (public calls)
 *   config_value.c       one value: parse, store, print, what is allowed
 *   config_load.c        a file: bytes checked, keys resolved
 *   config_list.c        a list being built, item by item
 *   config_yaml.c, config_properties.c    one file format each; they call load and list
 *   config_flags.c       flags and environment                           (public calls)
 *   config_help.c        help and reference                              (public calls)
 *   config_text.c        memory, text, UTF-8, nearest names
 *
 *   G1  An entry's target holds a value of `source`; `spot` says where it came from.
 *   G2  A spot's origin is owned by the config_t (a file's path, an entry's flag or variable). */
#ifndef KVDB_CONFIG_ENGINE_H
#define KVDB_CONFIG_ENGINE_H

#include "config/config.h"
#include "config/config_text.h"

/* Where a value or a fault stands. */
typedef struct {
    const char *origin; /* NULL: nowhere */
    uint32_t line;      /* from 1; 0: the origin alone says it */
    uint32_t column;
} config_spot_t;

/* One row of one table. */
typedef struct {
    const kv_option_t *row;
    void *target;
    unsigned files;
    size_t table;           /* index into config_t's tables */
    char *flag;             /* "--persistence-fsync"; NULL for a list */
    char *alias;            /* "--port" or "-c", or NULL */
    char *variable;         /* "KVDB_PERSISTENCE_FSYNC"; NULL for a list or a command line row */
    config_source_t source; /* G1 */
    config_spot_t spot;
    size_t fields;        /* LIST: rows in row->fields */
    config_spot_t *spots; /* LIST: per item 1 + fields spots, the item's own first; owned */
} config_entry_t;

typedef struct {
    const char *prefix;
    unsigned files;
} config_foreign_t;

typedef struct {
    char *path; /* owned */
    unsigned files;
} config_file_t;

struct config {
    config_table_t *tables;
    size_t table_count;
    config_entry_t *entries;
    size_t entry_count;
    config_foreign_t *foreign;
    size_t foreign_count;
    config_file_t files[CONFIG_FILES_MAX]; /* loaded so far, in this order */
    size_t file_count;
    char *error; /* NULL: none */
    bool wants_help;
    bool wants_version;
};

/* A value to be set: which row, from where. */
typedef struct {
    const kv_option_t *row;
    const char *label; /* the name in messages: "broker.port", "nodes[1].port", "--port" */
    config_spot_t spot;
    const char *folder_of; /* a file whose folder relative paths count from, or NULL */
} config_setting_t;

/* config.c */

/* Records the error if it is the first (E2); gives KV_CONFIG. */
kv_status_t config_fail (config_t *self, config_spot_t spot, const char *format, ...)
    KV_PRINTF (3, 4);

/* The entry's value comes from `source`; may a new one from `source` take its place? (E1) */
static inline bool config_may_replace (const config_entry_t *entry, config_source_t source)
{
    return source >= entry->source;
}

/* Checks text for an entry and, unless a higher source has set it, stores it. */
kv_status_t config_set_entry (config_t *self, config_entry_t *entry, config_source_t source,
                              const config_setting_t *setting, kv_slice_t text);

/* config_value.c */

/* Parses text for the row and stores it in the struct at `base`, freeing what the member held.
 * With `base` NULL it only checks. */
kv_status_t config_value_set (config_t *self, const config_setting_t *setting, void *base,
                              kv_slice_t text);

/* The member set to the row's preset, or zero; what it held is overwritten. */
void config_value_preset (const kv_option_t *row, void *base);

/* Frees what the member holds and zeroes it. */
void config_value_clear (const kv_option_t *row, void *base);

/* Frees what all members of the items hold, and the items. */
void config_items_free (const kv_option_t *row, void *items, size_t count);

void config_value_print (const kv_option_t *row, const void *base, config_text_t *out);

/* True if the member's value is the one the preset stands for; false without a preset. */
bool config_value_is_preset (const kv_option_t *row, const void *base);

/* What may stand there: "a number from 1 to 1000 ms", "always, interval or never". */
void config_value_allowed (const kv_option_t *row, config_text_t *out);

/* Aborts unless the row is one the engine can work with (O3 of option.h). */
void config_row_check (const kv_option_t *row, bool in_list);

size_t config_row_count (const kv_option_t *rows);

/* The address of the row's member in the struct. */
static inline void *config_member (const kv_option_t *row, void *base)
{
    return (char *)base + row->offset;
}

#endif
