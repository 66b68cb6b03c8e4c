/* fuzz_router - goal: whatever a client or a node sends, the router neither crashes nor breaks an
 * invariant, and answers each request it does not drop exactly once.
 *
 * Input: 2 bytes n, then n bytes: a client's message; then, until the end, replies: a byte that
 * says which part is answered, 2 bytes m, and m bytes: a list of results that is put behind the
 * head the part's request asks for, or, if the byte's top bit is set, a whole reply as it is.
 * Three nodes; 0 and 1 are open from the start. */
#include "broker/router.h"
#include "schema/request.h"

#include <stdlib.h>

enum { NODES = 3, SHARDS = 5, PARTS_MAX = 16 };

typedef struct {
    uint32_t node;
    uint64_t tag, id;
    uint32_t commands;
} part_in_flight_t;

typedef struct {
    router_t *router;
    part_in_flight_t parts[PARTS_MAX];
    size_t part_count;
    unsigned answers;
} bed_t;

static router_local_t s_local (void *context, const command_t *command, writer_t *result,
                               uint32_t *node)
{
    (void)context;
    if (command->spec->id == COMMAND_SHUTDOWN) {
        *node = (uint32_t)(command->argv[1].size % NODES);
        return ROUTER_LOCAL_WAITS;
    }
    result_text (result, "OK");
    return ROUTER_LOCAL_DONE;
}

static const char *s_node_name (void *context, uint32_t node)
{
    (void)context;
    KV_ASSERT (node < NODES);
    return "node";
}

static void s_drain (bed_t *bed)
{
    router_effect_t effect;
    while (router_next_effect (bed->router, &effect)) {
        if (effect.kind == ROUTER_TO_CLIENT) {
            bed->answers++;
        } else {
            request_t request;
            const char *why;
            kv_status_t status = request_decode (blob_bytes (effect.body), &request, &why);
            KV_ASSERT (status == KV_OK);
            KV_ASSERT (effect.node < NODES);
            if (bed->part_count < PARTS_MAX)
                bed->parts[bed->part_count++] =
                    (part_in_flight_t){effect.node, effect.tag, request.id, request.command_count};
        }
        blob_unref (&effect.body);
    }
    KV_ASSERT (router_is_valid (bed->router));
}

/* The next two bytes of the input as a size, that many bytes at most. */
static kv_slice_t s_take (const uint8_t **at, const uint8_t *end)
{
    size_t left = (size_t)(end - *at);
    if (left < 2)
        return kv_slice (NULL, 0);
    size_t size = (size_t)(*at)[0] << 8 | (*at)[1];
    *at += 2;
    if (size > left - 2)
        size = left - 2;
    kv_slice_t bytes = kv_slice (*at, size);
    *at += size;
    return bytes;
}

static void s_reply (bed_t *bed, uint8_t which, kv_slice_t bytes)
{
    if (bed->part_count == 0)
        return;
    const part_in_flight_t *part = &bed->parts[(which & 0x7f) % bed->part_count];
    writer_t out = writer_make (SIZE_MAX);
    if (!(which & 0x80))
        reply_begin (&out, part->id, part->commands);
    writer_raw (&out, bytes);
    blob_t *frame = blob_from_writer (&out);
    router_reply (bed->router, part->node, part->tag, frame, blob_bytes (frame));
    blob_unref (&frame);
    s_drain (bed);
}

static void s_end (bed_t *bed)
{
    for (uint32_t node = 0; node < NODES; node++)
        router_node_open (bed->router, node);
    s_drain (bed);
    router_node_lost (bed->router, 0);
    s_drain (bed);
    router_node_left (bed->router, 1);
    s_drain (bed);
    router_tick (bed->router, 10000);
    s_drain (bed);
    router_stats_t stats = router_stats (bed->router);
    if (stats.waiting_requests > 0) { /* the client's own deadline is a long one */
        router_tick (bed->router, 4000 * 1000);
        s_drain (bed);
        stats = router_stats (bed->router);
    }
    KV_ASSERT (stats.waiting_requests == 0);
    KV_ASSERT (stats.waiting_bytes == 0);
    KV_ASSERT (bed->answers + stats.dropped_requests == 1); // N1
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    bed_t bed = {0};
    shard_map_t *map = shard_map_new (SHARDS, NODES);
    router_options_t options = {.map = map,
                                .max_value_bytes = 256,
                                .queue_bytes = 1 << 20,
                                .shard_queue_commands = 32,
                                .deadline_ms = 5000,
                                .local = s_local,
                                .node_name = s_node_name};
    bed.router = router_new (&options, 0);
    router_node_open (bed.router, 0);
    router_node_open (bed.router, 1);
    const uint8_t *at = data;
    const uint8_t *end = data + size;
    kv_slice_t request = size ? s_take (&at, end) : kv_slice (NULL, 0);
    router_request (bed.router, kv_slice ("client", 6), blob_copy (request), 0);
    s_drain (&bed);
    while (size && at < end) {
        uint8_t which = *at++;
        s_reply (&bed, which, s_take (&at, end));
    }
    s_end (&bed);
    router_destroy (&bed.router);
    shard_map_destroy (&map);
    return 0;
}
