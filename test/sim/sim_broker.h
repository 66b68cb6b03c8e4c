/* sim_broker - the shell of a broker (broker/broker_actor.c) over the simulated network and clock;
 * router, coordinator and broker_commands in it are the real ones. One of these is one process.
 *
 *   S1  as the actor: nodes' messages and the verdicts on them, then clients', then connections that
 *       have ended, then ticks, then effects: the router's first, in rounds.
 *
 * Oracles that look into it, at every turn or at some:
 *   O1  router_is_valid; the bound on its memory.
 *   O2  nothing is sent to a node that has not been opened since it was held, lost or left (K1).
 *   O3  K6: who has which lanes in which state.
 *   O4  a node opens with another lane only after what it was sent on the former one is lost.
 *   O5  K5: a process that was told to stop does not open again.
 *   O6  K2: a process that has been heard within a grace is not replaced.
 *
 * Owner: the cluster. */
#ifndef KVDB_TEST_SIM_SIM_BROKER_H
#define KVDB_TEST_SIM_SIM_BROKER_H

#include "sim_clock.h"
#include "sim_network.h"

#include "broker/coordinator.h"

typedef struct sim_broker sim_broker_t;

typedef struct {
    sim_t *sim; /* borrowed, as are all the others */
    sim_network_t *network;
    const sim_clock_t *clock;
    uint32_t nodes; /* node1 .. */
    uint32_t shards;
    uint32_t beacon_ms, grace_ms, deadline_ms;
    int64_t max_value_bytes;
    uint64_t queue_bytes;
    uint32_t shard_queue_commands;
    uint64_t *losses; /* [nodes]: counted up when what a node had been sent was lost */
    sim_random_t random;
    /* A node's process, by its incarnation, was admitted in place of another, or first. */
    void (*admits) (void *context, uint32_t node, uint64_t incarnation);
    /* The process has ended by itself. */
    void (*ended) (void *context);
    void *context;
} sim_broker_options_t;

sim_broker_t *sim_broker_new (const sim_broker_options_t *options);

/* SIGKILL. */
void sim_broker_kill (sim_broker_t *self);

/* Only once the run is over: events may still name it. */
void sim_broker_destroy (sim_broker_t **self_p);

/* SIGTERM; SIGSTOP and SIGCONT. */
void sim_broker_terminate (sim_broker_t *self);
void sim_broker_pause (sim_broker_t *self, bool pause);
bool sim_broker_is_paused (const sim_broker_t *self);
bool sim_broker_is_alive (const sim_broker_t *self);

node_state_t sim_broker_node_state (const sim_broker_t *self, uint32_t node);

/* Requests that wait here. */
uint64_t sim_broker_waiting (const sim_broker_t *self);

#endif
