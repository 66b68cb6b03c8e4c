/* fuzz_executor - goal: no bytes make the executor misbehave, and every reply is well formed.
 *
 * Method: the input is one message, run twice (so that what the first run stored is met) with the
 * clock moved on in between, against an executor that owns half of the shards and, for messages of an
 * odd length, has little memory. The reply decodes and
 * has one result per command (X1); afterwards every invariant holds. */
#include "node/executor.h"

enum {
    MEMORY_BYTES_FEW = 16 * 1024,
    SHARDS = 4,
    OWNED = 2,
    VALUE_BYTES_MAX = 1 << 16,
    REPLY_BYTES_MAX = 1 << 20
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

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    executor_options_t options = {
        .shards = SHARDS, .max_value_bytes = VALUE_BYTES_MAX, .node_id = "fuzz", .version = "fuzz"};
    if (size % 2 == 1) {
        options.max_memory = MEMORY_BYTES_FEW;
        options.max_memory_policy = (eviction_policy_t)(size / 2 % 3);
    }
    executor_t *executor = executor_new (&options);
    for (uint32_t i = 0; i < OWNED; i++)
        KV_ASSERT (executor_own (executor, i, 1) == KV_OK);
    kv_slice_t body = kv_slice (data, size);
    writer_t reply = writer_make (REPLY_BYTES_MAX);
    int64_t now_ms = 1700000000000;
    for (int round = 0; round < 2; round++) {
        writer_reset (&reply);
        if (executor_run (executor, body, now_ms, &reply) == KV_OK)
            s_check_reply (body, &reply);
        else
            KV_ASSERT (reply.size == 0);
        now_ms += 1000;
        (void)executor_tick (executor, now_ms, 10);
    }
    KV_ASSERT (executor_is_valid (executor));
    writer_free (&reply);
    executor_destroy (&executor);
    return 0;
}
