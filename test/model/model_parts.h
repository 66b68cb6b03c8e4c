/* model_parts - what the files of the model share. */
#ifndef KVDB_TEST_MODEL_PARTS_H
#define KVDB_TEST_MODEL_PARTS_H

#include "model.h"

typedef __int128 wide_t;

typedef struct {
    uint8_t *key, *value;
    size_t key_bytes, value_bytes;
    wide_t deadline_ms; /* 0: never */
    int64_t used_s;     /* when it was last used */
    uint64_t version;   /* 0: not known; what the executor said since the last change */
    uint64_t floor;     /* the version is higher than this */
} item_t;

struct model {
    item_t *items;
    size_t count, capacity;
    item_t *away; /* those of shards that are not owned, as they were when that began */
    size_t away_count, away_capacity;
    uint32_t shards;
    bool *owned;
    size_t max_value_bytes;
};

/* The command at hand. */
typedef struct {
    model_t *model;
    const command_t *command;
    const kv_slice_t *argv;
    uint32_t argc;
    int64_t now_ms;
    writer_t *out;
} run_t;

/* The live item of a key, or NULL; run_peek is no use of it. */
item_t *run_get (run_t *run, kv_slice_t key);
item_t *run_peek (run_t *run, kv_slice_t key);
void run_delete (run_t *run, kv_slice_t key);
void run_put (run_t *run, kv_slice_t key, kv_slice_t value, wide_t deadline_ms);

/* It was changed: its version is another one now. */
void run_changed (run_t *run, item_t *item);

/* Redis's rule: the text is a number if it is what printing the number gives. */
bool run_number (kv_slice_t text, int64_t *number);

/* The argument as a number; false: the error has been written. */
bool run_argument (run_t *run, uint32_t index, int64_t *number);

/* True if a value of so many bytes is too large; the error has been written then. */
bool run_too_large (run_t *run, size_t bytes);

/* Writes a value, or nil for NULL. */
void run_write (run_t *run, const item_t *item, bool as_result);
bool run_word (kv_slice_t text, const char *word);
void run_syntax_error (run_t *run);

/* A deadline from an argument behind EX, PX, EXAT or PXAT; false: the error has been written. */
bool run_deadline (run_t *run, const char *unit, kv_slice_t amount, const char *command,
                   wide_t *deadline_ms);

/* True if the keys live in other shards than they may, or not here; the error has been written then. */
bool run_misplaced (run_t *run, const command_t *command);

/* In model_glob.c: Redis's patterns. */
bool model_glob (kv_slice_t pattern, kv_slice_t text);

/* In model_more.c. */
void run_expire (run_t *run, int unit_ms, bool absolute, const char *name);
void run_expire_time (run_t *run, bool seconds);
void run_getex (run_t *run);
void run_setex (run_t *run, const char *unit, const char *name);
void run_getset (run_t *run);
void run_getdel (run_t *run);
void run_delifeq (run_t *run);
void run_setnx (run_t *run);
void run_msetnx (run_t *run);
void run_getrange (run_t *run);
void run_setrange (run_t *run);
void run_add_float (run_t *run);
void run_rename (run_t *run, bool only_new);
void run_copy (run_t *run);
model_kind_t run_getver (run_t *run);
model_kind_t run_object (run_t *run);
model_kind_t run_memory (run_t *run);
void run_time (run_t *run);

#endif
