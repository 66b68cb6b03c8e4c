/* sim_keys - the keys of a run: few, so that clients meet on them, and of several kinds, so that
 * each kind of command can be judged.
 *
 *   REGISTER  strings: SET, APPEND, DEL...    COUNTER   numbers: INCR and its kin
 *   GROUP     three keys of one shard, only ever written, read and deleted all three at once: what
 *             MSET, MGET and DEL do within a shard is atomic iff they are always equal
 *   ANCHOR    set, never deleted: what SCAN and KEYS must find
 *   VOLATILE  keys with a time to live
 *
 * A key's name holds its number: "{tag}r#07". Owner: one run. */
#ifndef KVDB_TEST_SIM_SIM_KEYS_H
#define KVDB_TEST_SIM_SIM_KEYS_H

#include "sim_random.h"

#include "schema/slice.h"

typedef enum {
    KEY_REGISTER,
    KEY_COUNTER,
    KEY_GROUP,
    KEY_ANCHOR,
    KEY_VOLATILE,
    KEY_KINDS
} sim_kind_t;

enum { SIM_KEYS_MAX = 40, SIM_GROUP_KEYS = 3 };

typedef struct {
    sim_kind_t kind;
    char names[SIM_GROUP_KEYS][24]; /* of a group: three; else the first alone */
    uint32_t name_count;
    uint32_t shard, node;
} sim_key_t;

typedef struct {
    sim_key_t keys[SIM_KEYS_MAX];
    uint32_t count;
    uint32_t names; /* in all */
    uint32_t first[KEY_KINDS], counts[KEY_KINDS];
} sim_keys_t;

void sim_keys_make (sim_keys_t *self, sim_random_t *random, uint32_t shards, uint32_t nodes);

/* A random key of a kind, by its index; UINT32_MAX if there is none of that kind. */
uint32_t sim_keys_pick (const sim_keys_t *self, sim_random_t *random, sim_kind_t kind);

/* The index of the key of that name, and which of its names it is. False: it is none of ours. */
bool sim_keys_find (const sim_keys_t *self, kv_slice_t name, uint32_t *key, uint32_t *member);

#endif
