/* fuzz_message - any bytes as a control message between broker and node.
 *
 * Asserted: strings are within their bounds and within the input; an accepted message written again
 * is accepted, and written a third time it is the same bytes. */
#include "schema/limits.h"
#include "schema/message.h"

#include <stdlib.h>

static void s_check_string (kv_slice_t string, size_t most, kv_slice_t input)
{
    KV_ASSERT (string.size <= most);
    if (string.size == 0)
        return;
    KV_ASSERT (string.data >= input.data);
    KV_ASSERT (string.data + string.size <= input.data + input.size);
}

static void s_check_shards (const message_shards_t *shards)
{
    reader_t at = shards->nodes;
    KV_ASSERT (shards->node_count <= KV_NODES_MAX && shards->shard_count <= KV_SHARDS_MAX);
    for (uint32_t i = 0; i < 2 * shards->node_count; i++) {
        kv_slice_t string;
        kv_status_t status = reader_bytes (&at, &string);
        KV_ASSERT (status == KV_OK);
    }
    KV_ASSERT (reader_left (&at) == 0);
    at = shards->shards;
    for (uint32_t i = 0; i < 2 * shards->shard_count; i++) {
        uint64_t number;
        kv_status_t status = reader_uint (&at, &number);
        KV_ASSERT (status == KV_OK);
    }
    KV_ASSERT (reader_left (&at) == 0);
}

static void s_check (const message_t *message, kv_slice_t input)
{
    const message_ready_t *ready = &message->ready;
    switch (message->type) {
    case MESSAGE_READY:
        KV_ASSERT (ready->node_id.size > 0);
        s_check_string (ready->node_id, KV_NODE_ID_BYTES_MAX, input);
        s_check_string (ready->host, KV_HOST_BYTES_MAX, input);
        s_check_string (ready->peer_endpoint, KV_ENDPOINT_BYTES_MAX, input);
        KV_ASSERT (ready->data_uuid.size == KV_UUID_BYTES);
        KV_ASSERT (ready->cluster_id.size == 0 || ready->cluster_id.size == KV_UUID_BYTES);
        return;
    case MESSAGE_ATTACH:
        KV_ASSERT (message->attach.node_id.size > 0);
        s_check_string (message->attach.node_id, KV_NODE_ID_BYTES_MAX, input);
        return;
    case MESSAGE_WELCOME:
        KV_ASSERT (message->welcome.cluster_id.size == KV_UUID_BYTES);
        KV_ASSERT (message->welcome.shards >= 1 && message->welcome.shards <= KV_SHARDS_MAX);
        return;
    case MESSAGE_REFUSED:
    case MESSAGE_DISCONNECT:
        s_check_string (message->reason.text, KV_ERROR_TEXT_BYTES_MAX, input);
        return;
    case MESSAGE_SHARDS: s_check_shards (&message->shards); return;
    case MESSAGE_BEACON:
    case MESSAGE_BEACON_ACK:
    case MESSAGE_SHUTDOWN: return;
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES: break;
    }
    KV_UNREACHABLE ("no control message");
}

static void s_write (writer_t *out, const message_t *message)
{
    if (message->type != MESSAGE_SHARDS) {
        message_encode (out, message);
        return;
    }
    const message_shards_t *shards = &message->shards;
    message_shards_begin (out, shards->epoch, shards->node_count);
    writer_raw (out, kv_slice (shards->nodes.at, reader_left (&shards->nodes)));
    message_shards_owners (out, shards->shard_count);
    writer_raw (out, kv_slice (shards->shards.at, reader_left (&shards->shards)));
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    kv_slice_t input = kv_slice (data, size);
    message_t message;
    kv_status_t status = message_decode (input, &message);
    if (status != KV_OK) {
        KV_ASSERT (status == KV_BAD_REQUEST || status == KV_BAD_VERSION);
        return 0;
    }
    s_check (&message, input);
    writer_t second = writer_make (SIZE_MAX);
    writer_t third = writer_make (SIZE_MAX);
    message_t again;
    s_write (&second, &message);
    status = message_decode (kv_slice (second.data, second.size), &again);
    KV_ASSERT (status == KV_OK && again.type == message.type);
    s_write (&third, &again);
    KV_ASSERT (
        kv_slice_equal (kv_slice (second.data, second.size), kv_slice (third.data, third.size)));
    writer_free (&second);
    writer_free (&third);
    return 0;
}
