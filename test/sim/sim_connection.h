/* sim_connection - the inside of sim_network: messages, flows, and connections while they last.
 *
 * Only sim_connection.c and sim_network.c include this. */
#ifndef KVDB_TEST_SIM_SIM_CONNECTION_H
#define KVDB_TEST_SIM_SIM_CONNECTION_H

#include "sim_network.h"

enum { ENDS = 2, HANDSHAKE_US = 300 };

typedef struct sim_message sim_message_t;
struct sim_message {
    sim_message_t *next;
    int64_t due_us; /* SIM_NEVER_US: the flow is blocked */
    uint32_t connection;
    uint32_t count;
    blob_t *frames[];
};

typedef struct {
    sim_message_t *first, *last;
} sim_queue_t;

/* Ends are named by the flow that leads to them: SIM_UP ends at the door, SIM_DOWN at the wire. */
typedef struct {
    sim_network_t *network;
    sim_wire_t *wire;
    sim_door_t *door; /* NULL once it was shut */
    uint32_t index;   /* in network->connections */
    uint32_t number;  /* of its wire's */
    uint8_t identity[SIM_IDENTITY_BYTES];
    bool open[ENDS];
    bool broken;   /* nothing that is sent gets through any more */
    bool deferred; /* the wire's notice waits for its host to be thawed */
    bool reported;
    sim_queue_t flows[ENDS];
    int64_t last_due_us[ENDS];
    int64_t slow_us, slow_until_us;
} sim_connection_t;

struct sim_wire {
    sim_network_t *network;
    uint32_t host;
    sim_port_t port;
    char name[32];
    sim_ears_t ears;
    sim_connection_t *connection; /* the one it believes in */
    uint32_t connections;         /* so far */
    bool closed;
    bool calling; /* an attempt to connect is on its way */
    bool keeps;   /* what is sent without a connection */
    sim_queue_t inbox, outbox;
};

struct sim_door {
    sim_network_t *network;
    sim_port_t port;
    sim_ears_t ears;
    sim_queue_t inbox;
    uint32_t *gone; /* owned: indices of connections */
    size_t gone_at, gone_count, gone_capacity;
};

typedef struct {
    bool blocked[ENDS];
    bool frozen;
    uint64_t changes; /* of any of these: an older heartbeat check is void */
} sim_host_t;

struct sim_network {
    sim_t *sim;
    sim_random_t random;
    int64_t latency_least_us, latency_most_us;
    sim_door_t *doors[SIM_DOORS];
    sim_host_t hosts[SIM_HOSTS_MAX];
    uint32_t host_count;
    sim_connection_t **connections; /* owned, all there were */
    uint32_t connection_count, connection_capacity;
    sim_wire_t **wires; /* owned, all there were */
    uint32_t wire_count, wire_capacity;
    size_t waiting;
};

/* A message that takes over the frames' references and sets them to NULL. */
sim_message_t *sim_message_new (sim_network_t *self, blob_t **frames, size_t count);
void sim_message_free (sim_network_t *self, sim_message_t *message);

void sim_queue_push (sim_queue_t *queue, sim_message_t *message);
sim_message_t *sim_queue_pop (sim_queue_t *queue);
void sim_queue_empty (sim_network_t *self, sim_queue_t *queue);

/* Hands the first message to its receiver; false: there is none. */
bool sim_queue_take (sim_network_t *self, sim_queue_t *queue, blob_t **frames, size_t *count,
                     uint32_t *connection);

const char *sim_door_name (sim_port_t port);

/* Connects a wire to a door and sends what was kept for it. */
void sim_connection_open (sim_wire_t *wire, sim_door_t *door);

void sim_connection_send (sim_connection_t *self, sim_flow_t flow, sim_message_t *message);

/* Lets a message that was blocked go on (T1). */
void sim_connection_schedule (sim_connection_t *self, sim_flow_t flow, sim_message_t *message);

/* Ends what can be sent. What is on its way survives whole, or a random part of it (T2). */
void sim_connection_break (sim_connection_t *self, bool up_survives, bool down_survives);

/* Tells an end, behind what still arrives there; or lets it find out by itself (T3). */
void sim_connection_tell (sim_connection_t *self, sim_flow_t end, bool tell);
void sim_connection_close_wire_end (sim_connection_t *self);

/* There was no sign of life at this end for too long. */
void sim_connection_heartbeat_fails (sim_connection_t *self, sim_flow_t end);

/* Has a wire that has no connection try to get one; in sim_network.c. */
void sim_wire_call (sim_wire_t *wire);

#endif
