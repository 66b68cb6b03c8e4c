#include "schema/message.h"

#include "schema/limits.h"

const char *message_name (message_type_t type)
{
    switch (type) {
#define KV_MESSAGE(name, number, meaning)                                                          \
    case MESSAGE_##name:                                                                           \
        return #name;
#include "schema/messages.def"
#undef KV_MESSAGE
    }
    return "UNLISTED";
}

enum { MESSAGE_VERSION = 1, HEAD_FIELDS = 2 };

static void s_head (writer_t *out, message_type_t type, uint32_t fields)
{
    writer_array (out, HEAD_FIELDS + fields);
    writer_uint (out, MESSAGE_VERSION);
    writer_uint (out, type);
}

static void s_encode_ready (writer_t *out, const message_ready_t *ready)
{
    s_head (out, MESSAGE_READY, 12);
    writer_text (out, ready->node_id);
    writer_bin (out, ready->cluster_id);
    writer_bin (out, ready->data_uuid);
    writer_uint (out, ready->incarnation);
    writer_uint (out, ready->wire_min);
    writer_uint (out, ready->wire_max);
    writer_uint (out, ready->disk_min);
    writer_uint (out, ready->disk_max);
    writer_text (out, ready->host);
    writer_uint (out, ready->port);
    writer_text (out, ready->peer_endpoint);
    writer_uint (out, ready->epoch);
}

void message_encode (writer_t *out, const message_t *message)
{
    switch (message->type) {
    case MESSAGE_READY: s_encode_ready (out, &message->ready); return;
    case MESSAGE_ATTACH:
        s_head (out, MESSAGE_ATTACH, 2);
        writer_text (out, message->attach.node_id);
        writer_uint (out, message->attach.incarnation);
        return;
    case MESSAGE_WELCOME:
        s_head (out, MESSAGE_WELCOME, 4);
        writer_bin (out, message->welcome.cluster_id);
        writer_uint (out, message->welcome.shards);
        writer_uint (out, message->welcome.beacon_ms);
        writer_uint (out, message->welcome.grace_ms);
        return;
    case MESSAGE_REFUSED:
    case MESSAGE_DISCONNECT:
        s_head (out, message->type, 2);
        writer_uint (out, message->reason.code);
        writer_text (out, message->reason.text);
        return;
    case MESSAGE_BEACON:
    case MESSAGE_BEACON_ACK:
        s_head (out, message->type, 4);
        writer_uint (out, message->beacon.sequence);
        writer_uint (out, message->beacon.sent_ms);
        writer_uint (out, message->beacon.keys);
        writer_uint (out, message->beacon.bytes);
        return;
    case MESSAGE_SHUTDOWN: s_head (out, MESSAGE_SHUTDOWN, 0); return;
    case MESSAGE_SHARDS:
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES: break;
    }
    KV_UNREACHABLE ("a message that message_encode can write");
}

void message_shards_begin (writer_t *out, uint64_t epoch, uint32_t node_count)
{
    s_head (out, MESSAGE_SHARDS, 3);
    writer_uint (out, epoch);
    writer_array (out, 2 * node_count);
}

void message_shards_owners (writer_t *out, uint32_t shard_count)
{
    writer_array (out, 2 * shard_count);
}

kv_status_t message_head (reader_t *at, message_type_t *type, uint32_t *fields)
{
    uint32_t count;
    uint64_t version;
    uint64_t number;
    if (reader_array (at, &count) != KV_OK || count < HEAD_FIELDS)
        return KV_BAD_REQUEST;
    if (reader_uint (at, &version) != KV_OK || reader_uint (at, &number) != KV_OK)
        return KV_BAD_REQUEST;
    if (version != MESSAGE_VERSION)
        return KV_BAD_VERSION;
    if (number > INT32_MAX)
        return KV_BAD_REQUEST;
    *type = (message_type_t)number;
    *fields = count - HEAD_FIELDS;
    return KV_OK;
}

/* Reads fields one by one and remembers the first that failed, so that a decoder reads as a list. */
typedef struct {
    reader_t *at;
    uint32_t left;
    kv_status_t status;
} fields_t;

static bool s_next (fields_t *fields)
{
    if (fields->status == KV_OK && fields->left == 0)
        fields->status = KV_BAD_REQUEST;
    if (fields->status != KV_OK)
        return false;
    fields->left--;
    return true;
}

static void s_uint (fields_t *fields, uint64_t *value)
{
    if (s_next (fields))
        fields->status = reader_uint (fields->at, value);
}

static void s_bytes (fields_t *fields, kv_slice_t *value, size_t most)
{
    if (!s_next (fields))
        return;
    fields->status = reader_bytes (fields->at, value);
    if (fields->status == KV_OK && value->size > most)
        fields->status = KV_BAD_REQUEST;
}

/* A UUID, or nothing where `optional`. */
static void s_uuid (fields_t *fields, kv_slice_t *value, bool optional)
{
    s_bytes (fields, value, KV_UUID_BYTES);
    bool empty = fields->status == KV_OK && value->size == 0;
    if (fields->status == KV_OK && value->size != KV_UUID_BYTES && !(empty && optional))
        fields->status = KV_BAD_REQUEST;
}

static void s_node_id (fields_t *fields, kv_slice_t *value)
{
    s_bytes (fields, value, KV_NODE_ID_BYTES_MAX);
    if (fields->status == KV_OK && value->size == 0)
        fields->status = KV_BAD_REQUEST;
}

static void s_decode_ready (fields_t *fields, message_ready_t *ready)
{
    s_node_id (fields, &ready->node_id);
    s_uuid (fields, &ready->cluster_id, true);
    s_uuid (fields, &ready->data_uuid, false);
    s_uint (fields, &ready->incarnation);
    s_uint (fields, &ready->wire_min);
    s_uint (fields, &ready->wire_max);
    s_uint (fields, &ready->disk_min);
    s_uint (fields, &ready->disk_max);
    s_bytes (fields, &ready->host, KV_HOST_BYTES_MAX);
    s_uint (fields, &ready->port);
    s_bytes (fields, &ready->peer_endpoint, KV_ENDPOINT_BYTES_MAX);
    s_uint (fields, &ready->epoch);
}

static kv_status_t s_epoch (reader_t *at)
{
    uint64_t epoch;
    kv_status_t status = reader_uint (at, &epoch);
    return status == KV_OK && epoch > KV_EPOCH_MAX ? KV_BAD_REQUEST : status;
}

/* A flat array of pairs, each checked: two strings, or an epoch and a whole number. */
static void s_pairs (fields_t *fields, bool strings, uint32_t most, uint32_t *count, reader_t *out)
{
    uint32_t elements;
    if (!s_next (fields))
        return;
    fields->status = reader_array (fields->at, &elements);
    if (fields->status == KV_OK && (elements % 2 != 0 || elements / 2 > most))
        fields->status = KV_BAD_REQUEST;
    if (fields->status != KV_OK)
        return;
    const uint8_t *start = fields->at->at;
    for (uint32_t i = 0; i < elements && fields->status == KV_OK; i++) {
        kv_slice_t text;
        uint64_t number;
        if (strings)
            fields->status = reader_bytes (fields->at, &text);
        else
            fields->status = i % 2 == 0 ? s_epoch (fields->at) : reader_uint (fields->at, &number);
    }
    *count = elements / 2;
    *out = (reader_t){start, fields->at->at};
}

static void s_decode_shards (fields_t *fields, message_shards_t *shards)
{
    s_uint (fields, &shards->epoch);
    s_pairs (fields, true, KV_NODES_MAX, &shards->node_count, &shards->nodes);
    s_pairs (fields, false, KV_SHARDS_MAX, &shards->shard_count, &shards->shards);
}

static void s_decode_welcome (fields_t *fields, message_welcome_t *welcome)
{
    s_uuid (fields, &welcome->cluster_id, false);
    s_uint (fields, &welcome->shards);
    s_uint (fields, &welcome->beacon_ms);
    s_uint (fields, &welcome->grace_ms);
    bool sane = welcome->shards >= 1 && welcome->shards <= KV_SHARDS_MAX &&
                welcome->beacon_ms >= 1 && welcome->beacon_ms <= KV_DEADLINE_MS_MAX;
    if (fields->status == KV_OK && !sane)
        fields->status = KV_BAD_REQUEST;
}

static void s_decode_fields (fields_t *fields, message_t *out)
{
    switch (out->type) {
    case MESSAGE_READY: s_decode_ready (fields, &out->ready); return;
    case MESSAGE_ATTACH:
        s_node_id (fields, &out->attach.node_id);
        s_uint (fields, &out->attach.incarnation);
        return;
    case MESSAGE_WELCOME: s_decode_welcome (fields, &out->welcome); return;
    case MESSAGE_REFUSED:
    case MESSAGE_DISCONNECT:
        s_uint (fields, &out->reason.code);
        s_bytes (fields, &out->reason.text, KV_ERROR_TEXT_BYTES_MAX);
        return;
    case MESSAGE_SHARDS: s_decode_shards (fields, &out->shards); return;
    case MESSAGE_BEACON:
    case MESSAGE_BEACON_ACK:
        s_uint (fields, &out->beacon.sequence);
        s_uint (fields, &out->beacon.sent_ms);
        s_uint (fields, &out->beacon.keys);
        s_uint (fields, &out->beacon.bytes);
        return;
    case MESSAGE_SHUTDOWN: return;
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES: break;
    }
    fields->status = KV_BAD_REQUEST; /* a bundle's head, or a number that is not listed */
}

kv_status_t message_decode (kv_slice_t bytes, message_t *out)
{
    *out = (message_t){0};
    reader_t at = reader_make (bytes);
    fields_t fields = {.at = &at};
    kv_status_t status = message_head (&at, &out->type, &fields.left);
    if (status)
        return status;
    s_decode_fields (&fields, out);
    for (; fields.status == KV_OK && fields.left > 0; fields.left--)
        fields.status = reader_skip (&at, NULL);
    if (fields.status == KV_OK && reader_left (&at) != 0)
        return KV_BAD_REQUEST;
    return fields.status;
}
