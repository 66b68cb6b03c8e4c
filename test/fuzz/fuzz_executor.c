/* fuzz_executor - goal: no bytes make the executor misbehave, and every reply is well formed.
 *
 * Method: the input is one message, run twice (so that what the first run stored is met) with the
 * clock moved on in between, against an executor that owns half of the shards and, for messages of an
 * odd length, has little memory. The reply decodes and has one result per command (X1); afterwards every
 * invariant holds. What is logged takes no more room than there is, which for some lengths is little
 * (A2 of wal.h), nor than executor_bound says; another executor that reads the log has the same keys. */
#include "node/executor.h"
#include "node/record_maker.h"

enum {
    MEMORY_BYTES_FEW = 16 * 1024,
    SHARDS = 4,
    OWNED = 2,
    VALUE_BYTES_MAX = 1 << 16,
    REPLY_BYTES_MAX = 1 << 20,
    ROOM_BYTES_FEW = 1000
};

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void s_check_reply (kv_slice_t body, const writer_t *out)
{
    request_t request;
    reply_t reply;
    const char *why;
    kv_status_t decoded = request_decode (body, &request, &why);
    kv_status_t status = reply_decode (kv_slice (out->data, out->size), &reply);
    KV_ASSERT (status == KV_OK);
    KV_ASSERT (reply.id == request.id);
    uint32_t results = 0;
    result_t result = {0};
    kv_status_t last = KV_OK;
    while (result_next (&reply, &result) == KV_OK) {
        results++;
        last = result.status;
    }
    KV_ASSERT (results == reply.count);
    bool refused = results == 1 && last != KV_OK;
    KV_ASSERT (refused || (decoded == KV_OK && results == request.command_count)); // X1
}

typedef struct {
    record_maker_t *maker;
    writer_t bytes;
    uint64_t room;
} fuzz_log_t;

static void s_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    record_maker_effect (((fuzz_log_t *)context)->maker, shard, effect);
}

static uint64_t s_end (void *context, const shard_t *shard)
{
    fuzz_log_t *self = context;
    size_t before = self->bytes.size;
    record_maker_end (self->maker, shard, &self->bytes);
    KV_ASSERT (self->bytes.size - before <= self->room); // A2
    self->room -= self->bytes.size - before;
    return self->bytes.size;
}

static uint64_t s_room (void *context)
{
    return ((fuzz_log_t *)context)->room;
}

/* Another executor reads the log. */
static void s_check_log (const fuzz_log_t *self, const executor_t *executor,
                         const executor_options_t *options)
{
    executor_t *other = executor_new (options);
    for (size_t at = 0; at < self->bytes.size;) {
        record_t record;
        kv_slice_t rest = kv_slice (self->bytes.data + at, self->bytes.size - at);
        KV_ASSERT (record_decode (rest, &record) == KV_OK);
        KV_ASSERT (shard_apply (executor_restore (other, record.shard), &record) == KV_OK);
        at += record.bytes;
    }
    for (uint32_t i = 0; i < OWNED; i++) {
        const shard_t *a = executor_shard (executor, i);
        const shard_t *b = executor_shard (other, i);
        KV_ASSERT (shard_last (a) == shard_last (b));
        KV_ASSERT (store_count (shard_store (a)) == store_count (shard_store (b)));
    }
    KV_ASSERT (executor_is_valid (other));
    executor_destroy (&other);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    executor_options_t options = {
        .shards = SHARDS, .max_value_bytes = VALUE_BYTES_MAX, .node_id = "fuzz", .version = "fuzz"};
    if (size % 2 == 1) {
        options.max_memory = MEMORY_BYTES_FEW;
        options.max_memory_policy = (eviction_policy_t)(size / 2 % 3);
    }
    executor_t *executor = executor_new (&options);
    fuzz_log_t log = {
        .maker = record_maker_new (SHARDS), .bytes = writer_make (SIZE_MAX), .room = UINT64_MAX};
    shard_sink_t sink = {s_effect, s_end, s_room, &log};
    executor_set_sink (executor, &sink);
    for (uint32_t i = 0; i < OWNED; i++)
        KV_ASSERT (executor_own (executor, i, 1) == KV_OK);
    kv_slice_t body = kv_slice (data, size);
    writer_t reply = writer_make (REPLY_BYTES_MAX);
    int64_t now_ms = 1700000000000;
    for (int round = 0; round < 2; round++) {
        writer_reset (&reply);
        if (size % 3 == (size_t)round)
            log.room = OWNED * SHARD_KEPT_BYTES + size % ROOM_BYTES_FEW;
        uint64_t bound = executor_bound (executor, body);
        size_t before = log.bytes.size;
        if (executor_run (executor, body, now_ms, &reply) == KV_OK)
            s_check_reply (body, &reply);
        else
            KV_ASSERT (reply.size == 0);
        /* Evictions, which are the executor's own idea, are not in it. */
        KV_ASSERT (options.max_memory || log.bytes.size == before ||
                   log.bytes.size - before + OWNED * SHARD_KEPT_BYTES <= bound);
        KV_ASSERT (executor_gate (executor) <= log.bytes.size);
        now_ms += 1000;
        (void)executor_tick (executor, now_ms, 10);
    }
    KV_ASSERT (executor_is_valid (executor));
    s_check_log (&log, executor, &options);
    executor_set_sink (executor, NULL);
    record_maker_destroy (&log.maker);
    writer_free (&log.bytes);
    writer_free (&reply);
    executor_destroy (&executor);
    return 0;
}
