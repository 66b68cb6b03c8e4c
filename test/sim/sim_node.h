/* sim_node - the shell of a node (node/node_actor.c) over the simulated network, clock and disk; the
 * executor in it is the real one. One of these is one process, from its start to its end.
 *
 *   S1  as the actor: control lane first, then the data lane, then one bundle of replies, then timers.
 *   S2  what a paused process is sent waits; it does nothing.
 *   S3  the data of a process ends with it; its identity is on the machine's disk.
 *
 * Owner: the cluster. */
#ifndef KVDB_TEST_SIM_SIM_NODE_H
#define KVDB_TEST_SIM_SIM_NODE_H

#include "sim_clock.h"
#include "sim_network.h"

#include "actors/files.h"

typedef struct sim_node sim_node_t;

typedef struct {
    sim_t *sim; /* borrowed, as are all the others */
    sim_network_t *network;
    const sim_clock_t *clock;
    files_t *disk;
    const char *id;   /* of the node */
    const char *name; /* of the process, for the trace */
    uint32_t shards;
    int64_t max_value_bytes;
    bool lanes_keep; /* what is sent without a connection: sim_wire_set_keeps */
    sim_random_t random;
    /* A request is about to be run: for the oracles. */
    void (*runs) (void *context, uint64_t incarnation, kv_slice_t body);
    /* The process has ended by itself. */
    void (*ended) (void *context, sim_node_t *node, bool failed);
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

/* Its two lanes, for faults; NULL once it has ended. */
sim_wire_t *sim_node_lane (sim_node_t *self, bool data);

/* executor_is_valid; true once it has ended. */
bool sim_node_is_valid (const sim_node_t *self);

#endif
