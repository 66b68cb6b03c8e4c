/* sim_client - one client: a connection at a time, batches in flight on it, no retries.
 *
 * Oracles:
 *   A1  a request on a connection that lives is answered exactly once, within its deadline and some
 *       slack; a reply that nobody waits for is a second one.
 *   A2  the reply has one result per command, or one error for all.
 *   A3  behind a BUSY for a shard the request's later commands for that shard are refused, too.
 *
 * A client whose connection ends gives up what it has in flight: the outcome is unknown. Owner: the
 * cluster. */
#ifndef KVDB_TEST_SIM_SIM_CLIENT_H
#define KVDB_TEST_SIM_SIM_CLIENT_H

#include "sim_command.h"
#include "sim_network.h"

typedef struct sim_client sim_client_t;

typedef struct {
    sim_t *sim; /* borrowed, as are all the others */
    sim_network_t *network;
    const sim_keys_t *keys;
    sim_oracle_t *oracle;
    const sim_mix_t *mix;
    const char *name;
    sim_random_t random;
    uint32_t *connections; /* how many there were in the run; counted up */
    uint32_t requests;     /* it sends so many */
    uint32_t window;       /* in flight at once */
    int64_t think_us;      /* between requests, about */
    uint32_t deadline_least_ms, deadline_most_ms;
    uint32_t deadline_default_ms; /* of the broker, for requests that name none */
    bool look_by_one;             /* the last look's commands, not in one batch */
    bool delimiter;               /* as a REQ socket: an empty frame before the body */
    const uint64_t *losses;       /* [SIM_NODES_MAX]: how often each node lost what it was sent */
    /* When the broker was last not itself. */
    int64_t (*disturbed_us) (void *context);
    void *context;
} sim_client_options_t;

sim_client_t *sim_client_new (const sim_client_options_t *options);

/* Only once the run is over: events may still name it. */
void sim_client_destroy (sim_client_t **self_p);

/* Everything sent, and answered or given up. */
bool sim_client_is_done (const sim_client_t *self);

/* Its connection, for faults. */
sim_wire_t *sim_client_wire (sim_client_t *self);

/* Sends nothing more of its own: the last look is told to it. */
void sim_client_stop (sim_client_t *self);

/* The last look at everything: reads all keys, lists them, walks them. All must succeed. Ends with
 * sim_client_has_looked; call while the client is done and connected. False: not connected. */
bool sim_client_look (sim_client_t *self);
bool sim_client_has_looked (const sim_client_t *self);

#endif
