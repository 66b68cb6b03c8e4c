/* snapshot_walk - goes through the tables of a list of shards in bounded steps and puts their entries
 * into chunks for a snapshot, while commands run between the steps.
 *
 *   begin --> step, step, ... --> over
 *               |  due: send the chunk, hand in an empty one
 *
 *   V1  a key that is there from begin to the end is in the chunks at least once, each time with a
 *       value, a version and an expiry that it had at that moment; the last time is the youngest. Of a
 *       large value (V4) each byte is what it was at that moment or later, and if the key has gone or its
 *       value become shorter meanwhile, what is left is zero: whatever has changed it is a record behind
 *       the snapshot's start, and absolute, so replaying the log makes it exact.
 *   V2  a chunk has entries of one shard only.
 *   V3  a chunk is due once it has SNAPSHOT_CHUNK_BYTES, or its shard ends. It is never larger than
 *       twice that, except for an entry that is larger than SNAPSHOT_CHUNK_BYTES: that one is alone.
 *   V4  such an entry's value is copied in pieces of SNAPSHOT_PIECE_BYTES, one a step.
 *
 * Keys that come or go meanwhile may be in the chunks or not: the log says what became of them (N4 of
 * snapshot_file.h). The table of a shard may be replaced by another between two steps.
 *
 * What a step costs: about 70 ns for an entry of 80 bytes, cache misses included, and never more than
 * two chunks of copying. A large value takes its own size in memory besides, until it is written.
 *
 * Pure. Owner: the node's thread. */
#ifndef KVDB_NODE_SNAPSHOT_WALK_H
#define KVDB_NODE_SNAPSHOT_WALK_H

#include "actors/snapshot_file.h"
#include "node/store.h"

typedef struct snapshot_walk snapshot_walk_t;

/* Fresh memory may cost the system ten times what copying costs: then, too, a piece takes well under a
 * millisecond. */
enum { SNAPSHOT_PIECE_BYTES = 64 * 1024 };

/* The table of a shard as it is now, valid for one step; NULL: the shard is gone, skip it. */
typedef const store_t *(snapshot_store_fn)(void *context, uint32_t shard);

typedef struct {
    const uint32_t *shards; /* borrowed until the walk is over */
    size_t count;
    snapshot_store_fn *store_of;
    void *context; /* of store_of */
} snapshot_walk_options_t;

typedef struct {
    bool due;       /* send the chunk, of kind ENTRIES, before the next step */
    bool over;      /* all shards have been gone through; what is due still is to be sent */
    uint32_t shard; /* of the chunk, if due */
    size_t entries; /* appended by this step */
} snapshot_step_t;

snapshot_walk_t *snapshot_walk_new (void);
void snapshot_walk_destroy (snapshot_walk_t **self_p);

/* Starts from the beginning, whether the last walk was over or not. */
void snapshot_walk_begin (snapshot_walk_t *self, const snapshot_walk_options_t *options);

/* Appends about `budget` entries (1 or more) to the chunk. An empty writer is begun as a chunk; its
 * limit is SNAPSHOT_CHUNK_BYTES_MAX or more. */
snapshot_step_t snapshot_walk_step (snapshot_walk_t *self, size_t budget, writer_t *chunk);

#endif
