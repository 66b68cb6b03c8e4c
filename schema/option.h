/* option - how a module declares what can be configured about it: a table of rows.
 *
 * A module owns one table and one plain struct that the table describes; it never parses anything.
 * config/ holds the engine that fills such structs from files, environment and flags, and that
 * makes --help and the reference page of the same rows. The mains bring the two together.
 *
 *   O1  A row's `name` is unique in all tables that one program loads.
 *   O2  `offset` addresses a member of the C type that `type` names (see below).
 *   O3  `preset` is valid text for the row: the engine parses it like any other value.
 */
#ifndef KVDB_SCHEMA_OPTION_H
#define KVDB_SCHEMA_OPTION_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    KV_OPTION_BOOL,   /* bool: true|false, yes|no, on|off, 1|0 */
    KV_OPTION_NUMBER, /* int64_t, within min..max, in `unit` */
    KV_OPTION_BYTES,  /* int64_t: a number with an optional k, m, g (powers of 1024), min..max */
    KV_OPTION_TEXT,   /* char *: owned by the struct, freed by the engine; min..max bytes long */
    KV_OPTION_PATH, /* char *: as TEXT; a relative path in a file counts from that file's folder */
    KV_OPTION_CHOICE, /* int: the index of the word in `choices` ("always|interval|never|off") */
    KV_OPTION_LIST /* kv_option_list_t: a YAML sequence of mappings, each described by `fields` */
} kv_option_type_t;

typedef struct {
    void *items;  /* an array of structs, owned by the struct it stands in, freed by the engine */
    size_t count; /* structs in it */
} kv_option_list_t;

typedef struct kv_option kv_option_t;
struct kv_option {
    const char *name;  /* dotted, as in the file: "kvdb.persistence.fsync", "broker.port" */
    const char *alias; /* a second, short flag name ("port"), or NULL */
    kv_option_type_t type;
    size_t offset;       /* of the member in the module's struct */
    int64_t min, max;    /* NUMBER, BYTES: the value; TEXT, PATH: bytes; LIST: items */
    const char *choices; /* CHOICE only */
    const char *preset;  /* the default as text; NULL: required within a list item, else unset */
    const char *unit;    /* "ms", "bytes", ... or NULL */
    const char *help;    /* one sentence, no full stop */
    const kv_option_t *fields; /* LIST only: the rows of an item, ended by a row without a name */
    size_t item_bytes;         /* LIST only: sizeof the item's struct */
    const char *note; /* if not NULL: the value has no effect, and this says why (it is logged) */
    int command_line; /* 1: a flag of the program only, neither in files nor in the environment */
};

/* A table ends with a row without a name. */
#define KV_OPTION_END                                                                              \
    {                                                                                              \
        .name = NULL                                                                               \
    }

#endif
