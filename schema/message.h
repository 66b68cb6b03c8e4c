/* message - the control messages between broker and node: one struct each, one codec for all.
 *
 *   [1, number, field...] with the fields in the order of the structs below; a decoder passes over
 *   further fields that a later version may add.
 *
 * Slices of a decoded message borrow from its bytes. */
#ifndef KVDB_SCHEMA_MESSAGE_H
#define KVDB_SCHEMA_MESSAGE_H

#include "schema/reader.h"
#include "schema/writer.h"

enum {
    KV_WIRE_VERSION_MIN = 1,
    KV_WIRE_VERSION_MAX = 1,
    KV_DISK_VERSION_MIN = 1,
    KV_DISK_VERSION_MAX = 1,
    KV_UUID_BYTES = 16
};

typedef enum {
#define KV_MESSAGE(name, number, meaning) MESSAGE_##name = (number),
#include "schema/messages.def"
#undef KV_MESSAGE
} message_type_t;

typedef struct {
    kv_slice_t node_id;
    kv_slice_t cluster_id; /* 16 bytes, or empty: this data directory has not joined a cluster */
    kv_slice_t data_uuid;  /* 16 bytes, one per data directory */
    uint64_t incarnation;  /* random, one per process start */
    uint64_t wire_min, wire_max; /* protocol versions the node speaks */
    uint64_t disk_min, disk_max; /* disk formats it reads and writes */
    kv_slice_t host;             /* where its direct door is advertised */
    uint64_t port;               /* 0: no direct door */
    kv_slice_t peer_endpoint;    /* its peers' door; empty: none */
    uint64_t epoch;              /* the highest of its data; 0: it has none */
} message_ready_t;

typedef struct {
    kv_slice_t node_id;
    uint64_t incarnation;
} message_attach_t;

typedef struct {
    kv_slice_t cluster_id; /* 16 bytes */
    uint64_t shards;
    uint64_t beacon_ms;
    uint64_t grace_ms;
} message_welcome_t;

typedef struct {
    uint64_t code; /* a kv_status_t */
    kv_slice_t text;
} message_reason_t; /* REFUSED, DISCONNECT */

typedef struct {
    uint64_t epoch; /* of the whole assignment; rises with every change */
    uint32_t node_count;
    reader_t nodes; /* node_count times: id, endpoint (two strings) */
    uint32_t shard_count;
    reader_t shards; /* shard_count times, in shard order: epoch, index of the owner in `nodes` */
} message_shards_t;

typedef struct {
    uint64_t sequence;
    uint64_t sent_ms;     /* the sender's monotonic clock */
    uint64_t keys, bytes; /* gauges of a node; 0 in a BEACON_ACK */
} message_beacon_t;       /* BEACON, BEACON_ACK */

typedef struct {
    message_type_t type;
    union {
        message_ready_t ready;
        message_attach_t attach;
        message_welcome_t welcome;
        message_reason_t reason;
        message_shards_t shards;
        message_beacon_t beacon;
    };
} message_t;

const char *message_name (message_type_t type);

/* Appends the message. SHARDS is written by message_shards_begin instead; REQUESTS and REPLIES by
 * bundle.h. */
void message_encode (writer_t *out, const message_t *message);

/* Starts SHARDS: the caller appends node_count times (id, endpoint), calls
 * message_shards_owners, and appends shard_count times (epoch, owner's index). */
void message_shards_begin (writer_t *out, uint64_t epoch, uint32_t node_count);
void message_shards_owners (writer_t *out, uint32_t shard_count);

/* Reads the head [version, number] common to control messages and bundles. KV_BAD_REQUEST,
 * KV_BAD_VERSION. `fields` receives how many elements follow. */
KV_CHECK_RESULT kv_status_t message_head (reader_t *at, message_type_t *type, uint32_t *fields);

/* Decodes and checks any control message. KV_BAD_REQUEST or KV_BAD_VERSION. */
KV_CHECK_RESULT kv_status_t message_decode (kv_slice_t bytes, message_t *out);

#endif
