/* config - fills the structs that option tables describe (schema/option.h) from files, environment
 * and flags, and makes help, reference and CONFIG GET of the same rows.
 *
 *      rows + struct      rows + struct      ...       added by the main, once
 *            ^                  ^
 *   preset  <  file  <  environment  <  flag           the order of precedence
 *
 *   E1  The order of the calls does not matter between sources: a value never replaces one of a
 *       higher source, though it is checked all the same. (Flags are read first: they name the
 *       files.) Of two files, and of two equal flags, the later one wins.
 *   E2  The first error stays. After it every call that can fail does nothing and gives KV_CONFIG.
 *   E3  An error is one line of printable UTF-8, `WHERE: what is wrong; what is allowed`, WHERE
 *       being FILE:LINE:COLUMN, --flag or KVDB_VARIABLE. Lines and columns count from 1, columns
 *       in characters. A fault of a file as a whole stands at 1:1.
 *   E4  Whatever stands in a target has passed its row's check, even after an error.
 *   E5  Memory is bounded by the CONFIG_ constants below and by the rows' maxima.
 *   E6  The targets' texts and lists belong to the config_t: config_destroy frees them.
 *
 * A table is added with a set of file kinds (bits the main chooses). A file is loaded with such a
 * set as well, and knows the rows of the tables that share a bit with it:
 *
 *   node:    CLUSTER = 1, NODE = 2;  cluster.yaml -> CLUSTER, node1.yaml -> NODE
 *   broker:  CLUSTER = 1;            cluster.yaml -> CLUSTER, shared by its two tables
 *
 * What stands in a shared file for another program is declared with config_foreign.
 *
 * Naming: row `kvdb.persistence.fsync` is flag --persistence-fsync and variable
 * KVDB_PERSISTENCE_FSYNC: a leading `kvdb.` is dropped, dots and underscores become dashes in the
 * flag and underscores in the variable. Flags are matched in any case. A row's alias is a second
 * flag, with one dash if it is a single character (whose case then counts).
 *
 * Owner: one thread. Out of memory aborts. A defect in a table (O1-O3 of option.h) aborts too. */
#ifndef KVDB_CONFIG_CONFIG_H
#define KVDB_CONFIG_CONFIG_H

#include "schema/option.h"
#include "schema/slice.h"
#include "schema/status.h"

enum {
    CONFIG_FILE_BYTES_MAX = 1024 * 1024,
    CONFIG_LINE_BYTES_MAX = 4096, /* also of a properties line with its continuations */
    CONFIG_PATH_BYTES_MAX = 4095, /* of a path after it was resolved */
    CONFIG_KEY_BYTES_MAX = 255,   /* of a whole dotted name */
    CONFIG_KEYS_MAX = 4096,       /* in one file, items of lists apart */
    CONFIG_DEPTH_MAX = 8,         /* of mappings and sequences in YAML */
    CONFIG_FILES_MAX = 64         /* loaded into one config_t */
};

#define CONFIG_NO_ITEM SIZE_MAX

typedef struct config config_t;

typedef enum {
    CONFIG_DEFAULT, /* the row's preset, or unset if it has none */
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_FLAG
} config_source_t;

typedef struct {
    const kv_option_t *rows; /* borrowed until config_destroy */
    void *target;            /* the struct the rows describe; borrowed until config_destroy */
    unsigned files;          /* bits: the kinds of file that may hold these rows; 0: none */
    const char *title;       /* heading in help and reference; borrowed */
} config_table_t;

/* Making and ending */

config_t *config_new (void);

/* Frees the texts and lists in all targets, and sets those members to NULL and 0 (E6). */
void config_destroy (config_t **self);

/* Sets every member that a row describes to its preset, or to zero without one; what the members
 * held before is overwritten, not freed. */
void config_add (config_t *self, config_table_t table);

/* Keys at or below `prefix` ("broker") that no row knows are for another program: in files of
 * these kinds they are passed over instead of refused. `prefix` is borrowed. */
void config_foreign (config_t *self, const char *prefix, unsigned files);

/* Reading. Each gives KV_OK or KV_CONFIG; the latter leaves its reason in config_error. */

/* Reads argv[1] and on up to the first that is no flag, or past "--"; `operand` receives its index
 * (argc if there is none). With `operand` NULL anything but flags is an error. Ends early, with
 * KV_OK, at --help or --version. */
KV_CHECK_RESULT kv_status_t config_flags (config_t *self, int argc, char *const *argv,
                                          int *operand);
bool config_wants_help (const config_t *self);
bool config_wants_version (const config_t *self);

/* Reads `environment` (an array as environ, ended by NULL). Unknown variables are left alone. */
KV_CHECK_RESULT kv_status_t config_environment (config_t *self, char *const *environment);

/* Reads a .yaml, .yml or .properties file. Relative paths in it count from its folder. */
KV_CHECK_RESULT kv_status_t config_load (config_t *self, const char *path, unsigned files);

/* The same for bytes at hand; `path` gives the format, the folder and the name in errors. */
KV_CHECK_RESULT kv_status_t config_load_bytes (config_t *self, const char *path, kv_slice_t bytes,
                                               unsigned files);

/* Checking, for the mains and modules */

/* Fails unless the row has a preset or got a value. */
KV_CHECK_RESULT kv_status_t config_require (config_t *self, const char *name);

/* Makes a finding of the caller's own the error, at the position of the value it is about (see
 * config_position). The text follows E3: "what is wrong; what is allowed". Gives KV_CONFIG. */
kv_status_t config_reject (config_t *self, const char *name, size_t item, const char *field,
                           const char *format, ...) KV_PRINTF (5, 6);

/* The error (E3), or NULL. Valid until config_destroy. */
const char *config_error (const config_t *self);

/* "FILE:LINE:COLUMN", "--flag", "KVDB_VARIABLE" or "default": where the value came from. For a
 * list: `item` is an index into it or CONFIG_NO_ITEM, `field` a name in the item or NULL (the item
 * itself; also the answer for a field left to its preset). The caller frees it. */
char *config_position (const config_t *self, const char *name, size_t item, const char *field);

/* The n-th notice on values that were set but have no effect (a row's `note`), or NULL past the
 * last: "FILE:5:5: nodes[0].useGrpc has no effect: WHY". The caller frees it. */
char *config_notice (const config_t *self, size_t n);

/* Looking at values, for CONFIG GET: all rows in the order they were added. */

size_t config_count (const config_t *self);
bool config_find (const config_t *self, const char *name, size_t *index);
const kv_option_t *config_row (const config_t *self, size_t index);
config_source_t config_source (const config_t *self, size_t index);

/* "default", "file", "environment" or "flag". Static text. */
const char *config_source_name (config_source_t source);

/* The current value as text that would be read back as the same value (a list: "2 items"; unset:
 * ""). Reads the target, so it shows later changes of it as well. The caller frees it. */
char *config_value (const config_t *self, size_t index);

/* Texts made of the tables; the caller frees them. */

/* For --help: `usage` (whole lines), then every flag with what it takes. 100 columns at most. */
char *config_help (const config_t *self, const char *usage);

/* A Markdown page: a table of rows for each added table, fields of list items included. */
char *config_reference (const config_t *self, const char *heading);

/* `path` as seen from the folder of `file`: absolute ones as they are. The caller frees it. */
char *config_beside (const char *file, const char *path);

#endif
