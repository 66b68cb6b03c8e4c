/* sim_node - the shell of a node (node/node_actor.c) over the simulated network, clock and disk; executor,
 * log, recovery and gates in it are the real ones. One of these is one process, from its start to its end.
 *
 *   S1  as the actor: control lane first, then loading, the data lane, one bundle of replies, timers, the
 *       disk.
 *   S2  what a paused process is sent waits; it does nothing.
 *   S3  with a data directory and a policy other than off the data of a process are in its log
 *       (sim_log.h), and the next process in that directory has them; otherwise they end with it.
 *   S4  a directory has one process at a time: who finds it locked ends at once.
 *
 * Three parts: sim_node_control (the control lane: transport and who owns what), sim_node_requests (the
 * service: requests and replies) and sim_log (the disk); sim_node.c joins them. Owner: the cluster. */
#ifndef KVDB_TEST_SIM_SIM_NODE_H
#define KVDB_TEST_SIM_SIM_NODE_H

#include "sim_clock.h"
#include "sim_log.h"
#include "sim_network.h"

typedef struct sim_node sim_node_t;

/* Its data directory, and how it uses it. */
typedef struct {
    files_t
        *files; /* NULL: it has none, and its identity ends with it, too; borrowed, as the others */
    sim_journal_t *journal;
    const sim_pace_t *pace;
    flush_policy_t policy;
    int64_t interval_us;
    uint64_t segment_bytes, snapshot_log_bytes;
} sim_directory_t;

typedef enum {
    SIM_END_STOPPED,    /* it was asked to */
    SIM_END_LOCKED_OUT, /* S4 */
    SIM_END_DISK,       /* its disk failed (R20) */
    SIM_END_GAVE_UP     /* anything else */
} sim_end_t;

typedef struct {
    sim_t *sim; /* borrowed, as are all the others */
    sim_network_t *network;
    const sim_clock_t *clock;
    sim_directory_t directory;
    const char *id;   /* of the node */
    const char *name; /* of the process, for the trace */
    uint32_t shards;
    int64_t max_value_bytes;
    bool lanes_keep; /* what is sent without a connection: sim_wire_set_keeps */
    sim_random_t random;
    /* A request was run: for the oracles. */
    void (*ran) (void *context, uint64_t incarnation, kv_slice_t body, kv_slice_t reply);
    /* It has loaded what its directory holds, and has lost that much. */
    void (*recovered) (void *context, const executor_t *executor, const sim_journal_loss_t *loss);
    /* The process has ended by itself. */
    void (*ended) (void *context, sim_node_t *node, sim_end_t how);
    void *context;
} sim_node_options_t;

/* Starts a process. */
sim_node_t *sim_node_new (const sim_node_options_t *options);

/* Only once the run is over: events may still name it. */
void sim_node_destroy (sim_node_t **self_p);

/* SIGKILL, or the machine's end (the disk is the caller's to crash); SIGTERM; SIGSTOP and SIGCONT. */
void sim_node_kill (sim_node_t *self, bool with_machine);
void sim_node_terminate (sim_node_t *self);
void sim_node_pause (sim_node_t *self, bool pause);

bool sim_node_is_alive (const sim_node_t *self);
bool sim_node_is_paused (const sim_node_t *self);
bool sim_node_is_serving (const sim_node_t *self);
uint64_t sim_node_incarnation (const sim_node_t *self);
uint32_t sim_node_host (const sim_node_t *self);
const char *sim_node_name (const sim_node_t *self);

/* Its data outlive it (S3). */
bool sim_node_has_log (const sim_node_t *self);

/* Its two lanes, for faults; NULL once it has ended. */
sim_wire_t *sim_node_lane (sim_node_t *self, bool data);

/* executor_is_valid; true once it has ended. */
bool sim_node_is_valid (const sim_node_t *self);

#endif
