/* batch - random commands for the tests of scatter and gather, and a stand-in for the nodes: what a
 * command answers depends on its keys only, so that a whole command and its pieces put together
 * must say the same. */
#ifndef KVDB_TEST_UNIT_ACTORS_BATCH_H
#define KVDB_TEST_UNIT_ACTORS_BATCH_H

#include "actors/shard_map.h"
#include "schema/command.h"
#include "schema/request.h"
#include "schema/slot.h"
#include "test/unit/schema/random.h"

#include <stdio.h>

/* What the stand-in's nodes answer is made from. */
static inline uint64_t batch_hash (kv_slice_t bytes)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

/* Some keys repeat, some share a {tag}, some are of odd bytes. */
static inline void batch_write_key (writer_t *out, random_t *random)
{
    char key[64];
    uint32_t number = random_below (random, 40);
    switch (random_below (random, 4)) {
    case 0: snprintf (key, sizeof key, "{tag%u}key%u", number % 5, number); break;
    case 1: snprintf (key, sizeof key, "key\xff%u\x01", number); break;
    default: snprintf (key, sizeof key, "key%u", number); break;
    }
    writer_bin (out, kv_slice_text (key));
}

static inline void batch_write_tagged_key (writer_t *out, random_t *random, uint32_t tag)
{
    char key[64];
    snprintf (key, sizeof key, "{tag%u}key%u", tag, random_below (random, 40));
    writer_bin (out, kv_slice_text (key));
}

/* A random valid command; of its keys there are up to `keys`. SCAN's cursor names a shard. */
static inline void batch_write_command (writer_t *out, random_t *random, uint32_t keys,
                                        uint32_t shards)
{
    const command_spec_t *spec = command_spec ((command_id_t)random_below (random, COMMAND_COUNT));
    uint32_t count = 1 + random_below (random, keys);
    uint32_t arguments = spec->least - 1;
    if (spec->keys == KEYS_ALL)
        arguments = count;
    if (spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER)
        arguments = 2 * count;
    if (spec->keys == KEYS_SECOND)
        arguments = 1 + random_below (random, 2);
    bool pairs = spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER;
    uint32_t tag = random_below (random, 5);
    writer_array (out, 1 + arguments);
    writer_cstr (out, spec->name);
    for (uint32_t i = 0; i < arguments; i++) {
        char cursor[24];
        snprintf (cursor, sizeof cursor, "%u", random_below (random, shards));
        if (spec->keys == KEYS_CURSOR && i == 0)
            writer_cstr (out, cursor);
        else if (pairs && i % 2 == 1)
            writer_int (out, random_below (random, 1000)); /* a value; C2 of command.h */
        else if (command_keys_together (spec))
            batch_write_tagged_key (out, random, tag);
        else if (spec->keys == KEYS_SECOND && i == 0)
            writer_cstr (out, arguments == 1               ? "HELP"
                              : spec->id == COMMAND_MEMORY ? "USAGE"
                                                           : "VERSION");
        else
            batch_write_key (out, random);
    }
}

/* Writes what a node answers to a command; for KEYS_EVERY, what the owner of `shard` answers. */
static inline void batch_execute (const command_t *command, uint32_t shard, writer_t *out)
{
    const command_spec_t *spec = command->spec;
    uint32_t keys = command_key_count (command);
    int64_t sum = 0;
    char name[32];
    switch (spec->merge) {
    case MERGE_LEAST: result_int (out, 1000 - (int64_t)shard); return;
    case MERGE_SUM:
        sum = keys ? 0 : 100 + shard;
        for (uint32_t i = 0; i < keys; i++)
            sum += (int64_t)(batch_hash (command->argv[command_key_index (command, i)]) % 3);
        result_int (out, sum);
        return;
    case MERGE_ALL_OK:
        result_text (out, spec->id == COMMAND_BGSAVE ? COMMAND_BGSAVE_TEXT : "OK");
        return;
    case MERGE_BY_KEY:
        result_value (out);
        writer_array (out, keys);
        for (uint32_t i = 0; i < keys; i++) {
            kv_slice_t key = command->argv[command_key_index (command, i)];
            if (batch_hash (key) % 3 == 0)
                writer_nil (out);
            else
                writer_bin (out, key);
        }
        return;
    case MERGE_CONCAT:
        result_value (out);
        writer_array (out, shard % 4);
        for (uint32_t i = 0; i < shard % 4; i++) {
            snprintf (name, sizeof name, "shard%u.%u", shard, i);
            writer_cstr (out, name);
        }
        return;
    case MERGE_PICK: /* every node has the same key to offer */
        if (command->argc == 1) {
            result_bytes (out, kv_slice_text ("picked"));
            return;
        }
        result_value (out);
        writer_array (out, 3);
        writer_bin (out, kv_slice_text ("picked"));
        writer_uint (out, 1 + shard % 4);
        writer_uint (out, batch_hash (kv_slice (&shard, sizeof shard)));
        return;
    case MERGE_NONE:
        if (command->argc > 1 && batch_hash (command->argv[1]) % 5 == 0)
            result_retry (out, KV_BUSY, "BUSY come back", 10);
        else
            result_bytes (out, command->raw);
        return;
    }
}

#endif
