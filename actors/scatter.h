/* scatter - takes a request apart: commands into pieces, each for one shard.
 *
 *   P1  a piece concerns one shard; what a command does within one shard stays one piece, and so
 *       stays atomic there.
 *   P2  the pieces of a scatter stand in the order of the commands they come from.
 *   P3  a command whose keys all live on one shard is one piece and travels as it was sent.
 * *   P4  a command whose keys must live in one shard and do not is no piece but CROSS_SHARD.
 *
 * A command for every node (KEYS, DBSIZE, FLUSHALL) gets a piece per node that owns shards, under
 * the name of the lowest of them: it goes where that shard's owner is. RANDOMKEY then asks each for a
 * key and its weight, among which gather picks.
 *
 * The broker and a client that knows the topology share this. Pure. Owner: one thread. */
#ifndef KVDB_ACTORS_SCATTER_H
#define KVDB_ACTORS_SCATTER_H

#include "actors/shard_map.h"
#include "schema/command.h"

typedef struct {
    uint32_t command; /* index in the batch */
    uint32_t shard;
    const command_spec_t *spec;
    kv_slice_t raw;     /* the encoded command it was cut from; borrowed from the request */
    uint32_t first_key; /* into scatter->keys, if key_count > 0 */
    uint32_t key_count; /* keys of a command that was split; 0: the whole command */
} piece_t;

typedef struct {
    piece_t *pieces; /* owned */
    uint32_t count;
    uint32_t capacity;
    uint32_t *keys; /* owned: of split commands, which keys (0, 1, ...) each piece has */
    uint32_t key_count;
    uint32_t key_capacity;
} scatter_t;

void scatter_free (scatter_t *self);

/* Forgets the pieces, keeps the memory. */
void scatter_reset (scatter_t *self);

/* Appends the pieces of a command that command_check accepted and whose that
 * command_is_local has not claimed. `text` receives what is wrong: KV_CROSS_SHARD for keys of several
 * shards where they must live in one, KV_BAD_VALUE for a scan cursor that names no shard,
 * KV_TOO_LARGE for a value of a split command above max_value_bytes (a command that is split must
 * not fail on one shard for what could be seen before). */
KV_CHECK_RESULT kv_status_t scatter_command (scatter_t *self, uint32_t index,
                                             const command_t *command, const shard_map_t *map,
                                             int64_t max_value_bytes, char *text,
                                             size_t text_bytes);

/* Appends a piece that goes to no shard but waits for a node, whose index stands in its `shard`. */
void scatter_wait (scatter_t *self, uint32_t index, const command_t *command, uint32_t node);

/* Appends the encoded command of one piece. `keys` is the scatter's list of keys; `command` is the
 * one the piece was cut from, and is looked at only if piece->key_count > 0. */
void scatter_encode (const uint32_t *keys, const piece_t *piece, const command_t *command,
                     writer_t *out);

#endif
