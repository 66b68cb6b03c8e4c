/* node_settings - what can be configured about a node: its option table. The rows named kvdb.*
 * stand in the node's own file (YAML, or the properties of the original). */
#ifndef KVDB_NODE_NODE_SETTINGS_H
#define KVDB_NODE_NODE_SETTINGS_H

#include "schema/option.h"

#include <stdbool.h>

typedef struct {
    char *config;  /* the node's file */
    char *cluster; /* the cluster file */
    char *id;
    char *data;   /* the data directory; NULL: data/ID beside the node's file */
    char *broker; /* HOST:PORT; NULL: as the cluster file has it */
    char *check;  /* a data directory, for data_tools.h; so are the next two */
    char *repair;
    char *dump;
    bool dump_log;
    char *bind; /* address to bind the direct door; NULL: the node's host in the cluster file */
    bool allow_unauthenticated;
    int64_t connections;
    int64_t client_output_bytes;
    int64_t output_bytes;
    int64_t max_memory;    /* bytes; 0: no bound */
    int max_memory_policy; /* eviction_policy_t */
    char *filepath;        /* the snapshot; NULL: snapshot.dat in the data directory */
    int filetype;
    bool enable_auto_flush;
    int64_t auto_flush_interval; /* seconds */
    int fsync;                   /* flush_policy_t */
    int64_t segment_bytes;
    int64_t snapshot_log_bytes;
    int64_t snapshot_interval; /* seconds */
} node_settings_t;

extern const kv_option_t node_settings_rows[];

#endif
