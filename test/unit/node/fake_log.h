/* fake_log - a log in memory, for tests of what goes to one: it holds the records, has as much room as the
 * test says, and is durable up to where the test says.
 *
 *   the lsn is the number of bytes of all records so far
 *   A2  a record never takes more than the room there was (R20)
 *
 * A reader makes the same shards of it, as recovery does. */
#ifndef KVDB_TEST_UNIT_NODE_FAKE_LOG_H
#define KVDB_TEST_UNIT_NODE_FAKE_LOG_H

#include "node/executor.h"
#include "node/record_maker.h"
#include "fixture.h"

typedef struct {
    record_maker_t *maker;
    writer_t bytes;
    uint64_t room; /* UINT64_MAX: endless */
    uint64_t records;
    shard_sink_t sink;
} fake_log_t;

static void fake_log_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    fake_log_t *self = context;
    record_maker_effect (self->maker, shard, effect);
}

static uint64_t fake_log_end (void *context, const shard_t *shard)
{
    fake_log_t *self = context;
    size_t before = self->bytes.size;
    record_maker_end (self->maker, shard, &self->bytes);
    uint64_t spent = self->bytes.size - before;
    assert_true (spent <= self->room); // A2
    if (self->room != UINT64_MAX)
        self->room -= spent;
    self->records++;
    return self->bytes.size;
}

static uint64_t fake_log_room (void *context)
{
    const fake_log_t *self = context;
    return self->room;
}

/* `self` must stay where it is. */
static inline void fake_log_open (fake_log_t *self, uint32_t shards)
{
    *self = (fake_log_t){
        .maker = record_maker_new (shards), .bytes = writer_make (SIZE_MAX), .room = UINT64_MAX};
    self->sink = (shard_sink_t){fake_log_effect, fake_log_end, fake_log_room, self};
}

static inline void fake_log_close (fake_log_t *self)
{
    record_maker_destroy (&self->maker);
    writer_free (&self->bytes);
}

/* Reads the records from an lsn on into an executor that owns nothing. */
static inline void fake_log_replay (const fake_log_t *self, size_t lsn, executor_t *executor)
{
    while (lsn < self->bytes.size) {
        record_t record;
        kv_slice_t rest = kv_slice (self->bytes.data + lsn, self->bytes.size - lsn);
        assert_int_equal (record_decode (rest, &record), KV_OK);
        shard_t *shard = executor_restore (executor, record.shard);
        assert_int_equal (shard_apply (shard, &record), KV_OK);
        lsn += record.bytes;
    }
}

#endif
