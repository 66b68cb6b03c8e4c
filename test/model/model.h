/* model - what the node's commands mean, written as plainly as possible: an array of keys, searched
 * from the front, and big numbers where the real thing guards against overflow. It shares no code
 * with node/ but the encoders of results, so that a result can be compared byte by byte.
 *
 * Owner: the model test. */
#ifndef KVDB_TEST_MODEL_H
#define KVDB_TEST_MODEL_H

#include "schema/command.h"
#include "schema/request.h"

typedef struct model model_t;

/* What a command's result is compared by. */
typedef enum {
    MODEL_EXACT,  /* the bytes the model wrote */
    MODEL_KEYS,   /* KEYS: the set of keys the model wrote, in any order */
    MODEL_SCAN,   /* SCAN that succeeds: its form, and that each key is one that matches */
    MODEL_ALL,    /* ALL: the set of keys and values the model wrote, in any order */
    MODEL_RANDOM, /* RANDOMKEY: any live key, or nil if there is none */
    MODEL_LEARN,  /* GETVER, OBJECT VERSION: model_learn is to be told the version */
    MODEL_INT,    /* an integer above 0 */
    MODEL_ANY     /* INFO, HELP, COMMAND: success; SAVE and its kin: an error */
} model_kind_t;

model_t *model_new (uint32_t shards, size_t max_value_bytes);
void model_destroy (model_t **self_p);

void model_own (model_t *self, uint32_t shard);
void model_disown (model_t *self, uint32_t shard); /* what it holds is there again with model_own */

/* Forgets what has expired. The executor's answers never depend on when this is done; the test does
 * it, in both, before it sets the clock back. */
void model_purge (model_t *self, int64_t now_ms);

/* Runs a command that command_read has decoded; writes the result that is due. */
model_kind_t model_run (model_t *self, const command_t *command, int64_t now_ms, writer_t *out);

/* Live keys: how many, and one of them. */
size_t model_count (model_t *self, int64_t now_ms);
kv_slice_t model_key (model_t *self, size_t index);

/* Tells the version of a key (0: absent), as the executor has it. False if that cannot be: it is not the
 * one it had before, and the key was not changed, or it is no higher than that, and it was. */
bool model_learn (model_t *self, kv_slice_t key, uint64_t version, int64_t now_ms);

/* The version it was told last, 0 if the key is absent or was changed since. */
uint64_t model_version (const model_t *self, kv_slice_t key);

/* The value of a key; empty if absent. */
kv_slice_t model_value (model_t *self, kv_slice_t key, int64_t now_ms);

/* Whether a live key matches a pattern; for MODEL_SCAN. */
bool model_has (model_t *self, kv_slice_t key, kv_slice_t pattern, int64_t now_ms);

#endif
