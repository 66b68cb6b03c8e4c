/* broker_settings - what can be configured about a broker beside the cluster itself: its option
 * table. The rows named broker.* stand in the cluster file. */
#ifndef KVDB_BROKER_BROKER_SETTINGS_H
#define KVDB_BROKER_BROKER_SETTINGS_H

#include "schema/option.h"

#include <stdbool.h>

typedef struct {
    char *config; /* the cluster file */
    char *data;   /* the data directory; NULL: data/broker beside the cluster file */
    char *bind;   /* address to bind; NULL: broker.host */
    bool allow_unauthenticated;
    int64_t connections;
    int64_t deadline_ms;
    int64_t queue_bytes;
    int64_t shard_queue_commands;
    int64_t client_output_bytes;
    int64_t output_bytes;
} broker_settings_t;

extern const kv_option_t broker_settings_rows[];

#endif
