/* sim_network - what libzmq and TCP do to messages, under virtual time.
 *
 *   wire (a DEALER that connects and reconnects by itself)
 *     |  connection 1: dropped          each connection: two ends, two flows
 *     |  connection 2: ====up====> door     up: wire to door, down: door to wire
 *     |                <===down===          each with an identity of its own at the door
 *
 *   T1  a flow delivers in the order sent, each message once at most.
 *   T2  what is lost when a connection breaks is a tail of a flow, never something from its middle.
 *   T3  an end that is not told goes on believing in its connection until heartbeats fail:
 *       SIM_HEARTBEAT_US at the latest.
 *   T4  what was delivered stays with the receiver, whatever becomes of the connection.
 *   T5  sending to an identity whose end here is closed is refused (ROUTER_MANDATORY).
 *
 * A host is a process with wires; all doors are in one process. A host can be blocked in one
 * direction (a partition: what is sent waits, as TCP would send it again) and frozen (SIGSTOP: its
 * wires neither notice nor reconnect until it is thawed). Owner: the run. */
#ifndef KVDB_TEST_SIM_SIM_NETWORK_H
#define KVDB_TEST_SIM_SIM_NETWORK_H

#include "sim.h"

#include "schema/limits.h"

typedef struct sim_network sim_network_t;
typedef struct sim_wire sim_wire_t;
typedef struct sim_door sim_door_t;

enum {
    SIM_HOSTS_MAX = 2048,
    SIM_IDENTITY_BYTES = 5,
    SIM_HEARTBEAT_US = 900 * 1000,
    SIM_RECONNECT_US = 120 * 1000 /* between attempts, at most */
};

typedef enum { SIM_UP, SIM_DOWN } sim_flow_t;

/* Which door a wire connects to. */
typedef enum { SIM_CLIENTS_DOOR, SIM_NODES_DOOR, SIM_DOORS } sim_port_t;

typedef struct {
    void (*wake) (void *context); /* there is something to receive */
    void (*gone) (void *context); /* a wire's connection has ended; may be NULL */
    void *context;
} sim_ears_t;

sim_network_t *sim_network_new (sim_t *sim);
void sim_network_destroy (sim_network_t **self_p);

/* A new host's number. */
uint32_t sim_network_add_host (sim_network_t *self);

/* Latency of every message from now on: usually least .. most. */
void sim_network_set_latency (sim_network_t *self, int64_t least_us, int64_t most_us);

/* ---- the end that is connected to ---- */

/* Opens the door of a port; there is one at most. `ears` is copied. */
sim_door_t *sim_door_open (sim_network_t *self, sim_port_t port, sim_ears_t ears);

/* Its process has ended: what it has sent arrives if `graceful`, else perhaps. Sets it to NULL. */
void sim_door_shut (sim_door_t **self_p, bool graceful);

/* The next message; the receiver owns the frames' references. False: there is none. */
bool sim_door_receive (sim_door_t *self, uint8_t identity[SIM_IDENTITY_BYTES], blob_t **frames,
                       size_t *count);

/* As door_send_frames: takes the references over and sets them to NULL; KV_UNAVAILABLE if nobody
 * has that identity, or its end is closed. */
KV_CHECK_RESULT kv_status_t sim_door_send (sim_door_t *self, kv_slice_t identity, blob_t **frames,
                                           size_t count);

/* The next connection that has ended; false: there is none. */
bool sim_door_next_gone (sim_door_t *self, uint8_t identity[SIM_IDENTITY_BYTES]);

/* ---- the end that connects ---- */

/* `name` is for the trace; it is copied. It connects as soon as it can. What is sent while it has no
 * connection is kept for the next one, or lost: sim_wire_set_keeps. */
sim_wire_t *sim_wire_open (sim_network_t *self, uint32_t host, sim_port_t port, const char *name,
                           sim_ears_t ears);

/* libzmq without ZMQ_IMMEDIATE keeps (the default here), with it does not. */
void sim_wire_set_keeps (sim_wire_t *self, bool keeps);

typedef enum {
    SIM_WIRE_LINGERS, /* an orderly exit: what it has sent arrives */
    SIM_WIRE_DIES,    /* a killed process: its last words may be lost, the peer is told */
    SIM_WIRE_VANISHES /* a machine without power: nobody is told */
} sim_wire_end_t;

/* Its process has ended. Sets it to NULL. */
void sim_wire_close (sim_wire_t **self_p, sim_wire_end_t how);

/* Takes the references over and sets them to NULL. */
void sim_wire_send (sim_wire_t *self, blob_t **frames, size_t count);
bool sim_wire_receive (sim_wire_t *self, blob_t **frames, size_t *count);

/* The number of the connection it believes in, rising from 1; 0: none. */
uint32_t sim_wire_connection (const sim_wire_t *self);

/* Whether all that was sent on that connection of it had a chance so far: not broken, not blocked. */
bool sim_wire_is_sound (const sim_wire_t *self, uint32_t connection);

/* ---- faults ---- */

/* Breaks its connection, if it has one. False: it has none. */
bool sim_wire_drop (sim_wire_t *self, bool tell_wire, bool tell_door);

/* Messages on its connection take so much longer until the time is over. */
void sim_wire_slow (sim_wire_t *self, int64_t by_us, int64_t until_us);

void sim_network_block (sim_network_t *self, uint32_t host, sim_flow_t flow, bool block);
void sim_network_freeze (sim_network_t *self, uint32_t host, bool freeze);

/* No end believes in a connection that is broken. */
bool sim_network_is_settled (const sim_network_t *self);

/* Messages sent and not yet received, for the bound on queues. */
size_t sim_network_waiting (const sim_network_t *self);

#endif
