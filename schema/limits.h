/* limits - every bound in one place; nothing in KvDB grows past one of these.
 *
 * Plain numbers are hard limits of the protocol or of a structure. Those named _DEFAULT can be set
 * in the configuration, within the range its option table gives. */
#ifndef KVDB_SCHEMA_LIMITS_H
#define KVDB_SCHEMA_LIMITS_H

#include <stdint.h>

enum {
    /* Data model */
    KV_SLOTS = 16384,
    KV_SHARDS_DEFAULT = 64,
    KV_SHARDS_MAX = KV_SLOTS,
    KV_NODES_MAX = 256,
    KV_KEY_BYTES_MAX = 64 * 1024,
    KV_VALUE_BYTES_DEFAULT = 64 * 1024 * 1024,
    KV_VALUE_BYTES_MAX = 512 * 1024 * 1024 - 1,
    KV_NODE_ID_BYTES_MAX = 63,
    KV_HOST_BYTES_MAX = 255,
    KV_ENDPOINT_BYTES_MAX = 300,
    KV_EPOCH_MAX = (1 << 24) - 1, /* what a position has room for */

    /* Wire */
    KV_DEPTH_MAX = 8,              /* nesting of arrays and maps in one message */
    KV_BATCH_COMMANDS_MAX = 65536, /* commands in one request */
    KV_COMMAND_ARGS_MAX = 1048576, /* elements of one command, its name included */
    KV_COMMAND_NAME_BYTES_MAX = 16,
    KV_MESSAGE_SLACK_BYTES = 1024 * 1024, /* what a request may hold beside one largest value */
    KV_REPLY_BYTES_MAX = 640 * 1024 * 1024,
    KV_BUNDLE_FRAMES_MAX = 64, /* frames of one message between broker and node */
    KV_CLIENT_FRAMES_MAX = 18, /* address frames, delimiter and body of a client's message */
    KV_BUNDLE_PARTS_MAX = 4096,
    KV_ERROR_TEXT_BYTES_MAX = 512,
    KV_MESSAGES_PER_DRAIN_MAX = 256, /* messages taken from one socket per wake-up */

    /* Time, milliseconds */
    KV_DEADLINE_MS_DEFAULT = 5000,
    KV_DEADLINE_MS_MAX = 3600 * 1000,
    KV_BEACON_MS_DEFAULT = 50,
    KV_LEASE_MS_DEFAULT = 250,
    KV_GRACE_MS_DEFAULT = 350,

    /* Log and snapshots */
    KV_FLUSH_INTERVAL_MS_DEFAULT = 1000,
    KV_FLUSH_INTERVAL_MS_MAX = 3600 * 1000,
    KV_SNAPSHOT_INTERVAL_S_DEFAULT = 3600,

    /* Broker queues */
    KV_SHARD_QUEUE_COMMANDS_DEFAULT = 65536, /* waiting and in flight, per shard */
    KV_CONNECTIONS_DEFAULT = 10000,
};

_Static_assert(KV_SHARDS_DEFAULT <= KV_SHARDS_MAX, "a default within its range");
_Static_assert(KV_GRACE_MS_DEFAULT > KV_LEASE_MS_DEFAULT, "grace outlives the lease, with drift");
_Static_assert(KV_LEASE_MS_DEFAULT >= 4 * KV_BEACON_MS_DEFAULT, "a lost beacon loses no lease");
_Static_assert(KV_REPLY_BYTES_MAX > KV_VALUE_BYTES_MAX + KV_MESSAGE_SLACK_BYTES,
               "the largest value can be read back");

#define KV_QUEUE_BYTES_DEFAULT (UINT64_C (1) << 30) /* all requests a broker holds */
#define KV_SEGMENT_BYTES_DEFAULT (UINT64_C (16) << 20)
#define KV_SNAPSHOT_LOG_BYTES_DEFAULT (UINT64_C (256) << 20)
#define KV_CLIENT_OUTPUT_BYTES_DEFAULT (UINT64_C (256) << 20) /* replies one client has not read */
#define KV_OUTPUT_BYTES_DEFAULT (UINT64_C (1) << 30)          /* replies no client has read */

#endif
