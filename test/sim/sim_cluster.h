/* sim_cluster - all that there is in a run: machines with nodes, a broker, clients; what can be done
 * to them; what must hold of all of them together.
 *
 *   machine   clock, disk, processes of one node: mostly one, sometimes a second that was started
 *             under the id of a living one, and what is left of former ones
 *
 *   M1  `current` is the process the broker admitted last, while it lives. The node's data are where that
 *       process has them: in the machine's directory (policies with a log), or in its memory, and then they
 *       are lost when it dies. When a process is admitted that has another place, all is lost, too:
 *       sim_oracle_loss. What a directory loses with the power, as its policy allows, is told to the
 *       histories when it has been recovered: sim_oracle_set_back. Nothing else is ever lost.
 *   M2  a process that was replaced is killed when it is admitted again, and a directory whose process was
 *       replaced is wiped before it is used again: this version of KvDB gives no promise on what they would
 *       bring back.
 *   M3  a second process either finds the directory locked, or has none, as one that was started elsewhere
 *       under the same id.
 *
 * Owner: sim_run. */
#ifndef KVDB_TEST_SIM_SIM_CLUSTER_H
#define KVDB_TEST_SIM_SIM_CLUSTER_H

#include "sim_broker.h"
#include "sim_client.h"
#include "sim_node.h"

enum { SIM_CLIENTS_MAX = 5, SIM_PROCESSES_MAX = 160 };

/* What a seed decides beforehand. */
typedef struct {
    uint32_t nodes, shards, clients;
    uint32_t beacon_ms, grace_ms;
    uint32_t deadline_least_ms, deadline_most_ms, deadline_default_ms;
    uint64_t queue_bytes;
    uint32_t shard_queue_commands;
    uint32_t requests, window; /* of each client */
    int64_t think_us;
    int64_t latency_least_us, latency_most_us;
    bool lanes_keep;        /* see sim_node.h */
    int64_t drift_ppm;      /* of any clock, at most */
    uint32_t faults;        /* a bit for each kind of sim_faults.h */
    int64_t fault_every_us; /* about */
    int64_t faults_end_us;
    flush_policy_t policy; /* of all nodes */
    int64_t interval_us;
    uint64_t segment_bytes, snapshot_log_bytes;
    int64_t sync_most_us; /* of a disk that is not slow */
    sim_mix_t mix;
} sim_config_t;

typedef struct sim_cluster sim_cluster_t;

sim_cluster_t *sim_cluster_new (sim_t *sim, const sim_config_t *config);
void sim_cluster_destroy (sim_cluster_t **self_p);

const sim_config_t *sim_cluster_config (const sim_cluster_t *self);
sim_network_t *sim_cluster_network (sim_cluster_t *self);

/* ---- machines ---- */

/* The living process of a machine that was started last; NULL: there is none. */
sim_node_t *sim_cluster_process (sim_cluster_t *self, uint32_t machine);

/* Starts a process; `second`: even if one lives. False: too many have been started. */
bool sim_cluster_start (sim_cluster_t *self, uint32_t machine, bool second);

/* Kills all its processes and, `with_machine`, takes its power away. */
void sim_cluster_kill (sim_cluster_t *self, uint32_t machine, bool with_machine);

/* Blocks what its processes, and those to come, send (SIM_UP) or receive (SIM_DOWN). */
void sim_cluster_block (sim_cluster_t *self, uint32_t machine, sim_flow_t flow, bool block);
void sim_cluster_jump (sim_cluster_t *self, uint32_t machine, int64_t by_ms);

/* Its disk: syncs take long; there is no space; the next sync fails. */
void sim_cluster_slow_disk (sim_cluster_t *self, uint32_t machine, bool slow);
void sim_cluster_fill_disk (sim_cluster_t *self, uint32_t machine, bool full);
void sim_cluster_fail_sync (sim_cluster_t *self, uint32_t machine);

/* Lets all its processes go on. */
void sim_cluster_resume (sim_cluster_t *self, uint32_t machine);

/* ---- the broker ---- */

/* NULL while there is none. */
sim_broker_t *sim_cluster_broker (sim_cluster_t *self);
void sim_cluster_kill_broker (sim_cluster_t *self);
void sim_cluster_start_broker (sim_cluster_t *self);
void sim_cluster_pause_broker (sim_cluster_t *self, bool pause);

/* ---- clients ---- */

sim_client_t *sim_cluster_client (sim_cluster_t *self, uint32_t index);

/* ---- the end ---- */

/* No more faults: a machine whose process ends is given another one soon. */
void sim_cluster_heal (sim_cluster_t *self);

/* A broker, every node is up, and nobody believes in a connection that is broken. */
bool sim_cluster_is_whole (const sim_cluster_t *self);
bool sim_cluster_clients_are_done (const sim_cluster_t *self);

/* Once all has come to rest: nothing waits anywhere, every structure is valid, every history has an
 * order. */
void sim_cluster_judge (sim_cluster_t *self);

#endif
