#include "sim_network.h"

#include "sim_trace.h"

#include <stdlib.h>

enum { ENDS = 2, HANDSHAKE_US = 300 };

typedef struct message message_t;
struct message {
    message_t *next;
    int64_t due_us; /* SIM_NEVER_US: the flow is blocked */
    uint32_t connection;
    uint32_t count;
    blob_t *frames[];
};

typedef struct {
    message_t *first, *last;
} queue_t;

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
    queue_t flows[ENDS];
    int64_t last_due_us[ENDS];
    int64_t slow_us, slow_until_us;
} connection_t;

struct sim_wire {
    sim_network_t *network;
    uint32_t host;
    sim_port_t port;
    char name[32];
    sim_ears_t ears;
    connection_t *connection; /* the one it believes in */
    uint32_t connections;     /* so far */
    bool closed;
    bool calling; /* an attempt to connect is on its way */
    bool keeps;   /* what is sent without a connection */
    queue_t inbox, outbox;
};

struct sim_door {
    sim_network_t *network;
    sim_port_t port;
    sim_ears_t ears;
    queue_t inbox;
    uint32_t *gone; /* owned: indices of connections */
    size_t gone_at, gone_count, gone_capacity;
};

typedef struct {
    bool blocked[ENDS];
    bool frozen;
    uint64_t changes; /* of any of these: an older heartbeat check is void */
} host_t;

struct sim_network {
    sim_t *sim;
    sim_random_t random;
    int64_t latency_least_us, latency_most_us;
    sim_door_t *doors[SIM_DOORS];
    host_t hosts[SIM_HOSTS_MAX];
    uint32_t host_count;
    connection_t **connections; /* owned, all there were */
    uint32_t connection_count, connection_capacity;
    sim_wire_t **wires; /* owned, all there were */
    uint32_t wire_count, wire_capacity;
    size_t waiting;
};

static const char *s_door_name (sim_port_t port)
{
    return port == SIM_NODES_DOOR ? "broker.nodes" : "broker.clients";
}

/* ---- queues -------------------------------------------------------------------------------- */

static message_t *s_message (sim_network_t *self, blob_t **frames, size_t count)
{
    message_t *message = malloc (sizeof *message + count * sizeof (blob_t *));
    KV_ASSERT (message != NULL);
    *message = (message_t){.count = (uint32_t)count};
    for (size_t i = 0; i < count; i++) {
        message->frames[i] = frames[i];
        frames[i] = NULL;
    }
    self->waiting++;
    return message;
}

static void s_push (queue_t *queue, message_t *message)
{
    message->next = NULL;
    if (queue->first)
        queue->last->next = message;
    else
        queue->first = message;
    queue->last = message;
}

static message_t *s_pop (queue_t *queue)
{
    message_t *message = queue->first;
    if (message)
        queue->first = message->next;
    return message;
}

static void s_free_message (sim_network_t *self, message_t *message)
{
    for (uint32_t i = 0; i < message->count; i++)
        blob_unref (&message->frames[i]);
    free (message);
    self->waiting--;
}

static void s_empty (sim_network_t *self, queue_t *queue)
{
    message_t *message;
    while ((message = s_pop (queue)) != NULL)
        s_free_message (self, message);
}

/* Hands a message to its receiver. */
static bool s_take (sim_network_t *self, queue_t *queue, blob_t **frames, size_t *count,
                    uint32_t *connection)
{
    message_t *message = s_pop (queue);
    if (!message)
        return false;
    memcpy (frames, message->frames, message->count * sizeof (blob_t *));
    *count = message->count;
    *connection = message->connection;
    free (message);
    self->waiting--;
    return true;
}

/* ---- flows --------------------------------------------------------------------------------- */

static void s_arrive (void *context, uint64_t flow);

static void s_trace (connection_t *self, sim_flow_t flow, const char *what, message_t *message)
{
    const char *wire = self->wire->name;
    const char *door = s_door_name (self->wire->port);
    sim_trace_message (self->network->sim, flow == SIM_UP ? wire : door,
                       flow == SIM_UP ? door : wire, what, message->frames, message->count);
}

static void s_lose (connection_t *self, sim_flow_t flow, message_t *message)
{
    sim_count (self->network->sim, COUNT_MESSAGE_LOST);
    s_trace (self, flow, "lost:", message);
    s_free_message (self->network, message);
}

/* T1: never before what was sent earlier. */
static void s_schedule (connection_t *self, sim_flow_t flow, message_t *message)
{
    sim_network_t *network = self->network;
    int64_t now_us = sim_now (network->sim);
    int64_t latency_us =
        sim_random_range (&network->random, network->latency_least_us, network->latency_most_us);
    if (now_us < self->slow_until_us)
        latency_us += self->slow_us;
    message->due_us = now_us + latency_us;
    if (message->due_us < self->last_due_us[flow])
        message->due_us = self->last_due_us[flow];
    self->last_due_us[flow] = message->due_us;
    sim_events_add (&network->sim->events, message->due_us, s_arrive, self, flow);
}

static void s_send (connection_t *self, sim_flow_t flow, message_t *message)
{
    if (self->broken) {
        s_lose (self, flow, message);
        return;
    }
    message->connection = self->index;
    s_trace (self, flow, "sends", message);
    s_push (&self->flows[flow], message);
    if (self->network->hosts[self->wire->host].blocked[flow])
        message->due_us = SIM_NEVER_US;
    else
        s_schedule (self, flow, message);
}

static void s_arrive (void *context, uint64_t number)
{
    connection_t *self = context;
    sim_flow_t flow = (sim_flow_t)number;
    queue_t *queue = &self->flows[flow];
    if (!queue->first || queue->first->due_us > sim_now (self->network->sim))
        return; /* it was lost meanwhile */
    message_t *message = s_pop (queue);
    if (!self->open[flow]) {
        s_lose (self, flow, message);
        return;
    }
    s_trace (self, flow, "arrives:", message);
    const sim_ears_t *ears = flow == SIM_UP ? &self->door->ears : &self->wire->ears;
    s_push (flow == SIM_UP ? &self->door->inbox : &self->wire->inbox, message);
    ears->wake (ears->context);
}

/* T2: keeps the first `keep` messages that are on their way. */
static void s_cut_flow (connection_t *self, sim_flow_t flow, uint64_t keep)
{
    queue_t tail = self->flows[flow];
    self->flows[flow] = (queue_t){0};
    for (; keep && tail.first && tail.first->due_us != SIM_NEVER_US; keep--)
        s_push (&self->flows[flow], s_pop (&tail));
    message_t *message;
    while ((message = s_pop (&tail)) != NULL)
        s_lose (self, flow, message);
}

/* ---- connections break ---------------------------------------------------------------------- */

static void s_call (sim_wire_t *self);

static void s_close_wire_end (connection_t *self)
{
    sim_wire_t *wire = self->wire;
    if (!self->open[SIM_DOWN])
        return;
    self->open[SIM_DOWN] = false;
    if (wire->closed || wire->connection != self)
        return;
    sim_trace (self->network->sim, wire->name, "", "learns that its connection has ended");
    wire->connection = NULL;
    if (wire->ears.gone)
        wire->ears.gone (wire->ears.context);
    s_call (wire);
}

static void s_close_door_end (connection_t *self)
{
    sim_door_t *door = self->door;
    if (!self->open[SIM_UP])
        return;
    self->open[SIM_UP] = false;
    if (!door)
        return;
    sim_trace (self->network->sim, s_door_name (door->port), "", "learns that %s has gone",
               self->wire->name);
    if (door->gone_count == door->gone_capacity) {
        door->gone_capacity = door->gone_capacity ? 2 * door->gone_capacity : 16;
        door->gone = realloc (door->gone, door->gone_capacity * sizeof *door->gone);
        KV_ASSERT (door->gone != NULL);
    }
    door->gone[door->gone_count++] = self->index;
    door->ears.wake (door->ears.context);
}

enum { NOTICE_FIN = 2 }; /* the notice is a message of the other end: a partition stops it */

static void s_notice (void *context, uint64_t number)
{
    connection_t *self = context;
    sim_flow_t end = (sim_flow_t)(number & 1);
    host_t *host = &self->network->hosts[self->wire->host];
    if (number & NOTICE_FIN && host->blocked[end]) {
        sim_events_add (&self->network->sim->events,
                        sim_now (self->network->sim) + SIM_HEARTBEAT_US, s_notice, self, end); // T3
        return;
    }
    if (end == SIM_UP)
        s_close_door_end (self);
    else if (host->frozen)
        self->deferred = true;
    else
        s_close_wire_end (self);
}

/* Tells an end, behind what still arrives there; or lets it find out by itself. */
static void s_tell (connection_t *self, sim_flow_t end, bool tell)
{
    sim_network_t *network = self->network;
    int64_t at_us =
        sim_now (network->sim) +
        (tell ? sim_random_range (&network->random, network->latency_least_us,
                                  network->latency_most_us)
              : sim_random_range (&network->random, SIM_HEARTBEAT_US / 3, SIM_HEARTBEAT_US));
    if (at_us < self->last_due_us[end])
        at_us = self->last_due_us[end];
    sim_events_add (&network->sim->events, at_us, s_notice, self,
                    (uint64_t)end | (tell ? NOTICE_FIN : 0));
}

/* Ends what can be sent. What is on its way survives whole, or a random part of it. */
static void s_break (connection_t *self, bool up_survives, bool down_survives)
{
    if (self->broken)
        return;
    self->broken = true;
    const bool survives[ENDS] = {up_survives, down_survives};
    for (int flow = 0; flow < ENDS; flow++) {
        uint64_t keep = sim_random_below (&self->network->random, 4);
        s_cut_flow (self, (sim_flow_t)flow, survives[flow] ? UINT64_MAX : keep);
    }
}

/* No sign of life from the other end for too long. */
static void s_heartbeat_fails (connection_t *self, sim_flow_t end)
{
    sim_count (self->network->sim, COUNT_HEARTBEAT_CLOSED);
    s_break (self, false, false);
    if (end == SIM_UP)
        s_close_door_end (self);
    else
        s_close_wire_end (self);
    s_tell (self, end == SIM_UP ? SIM_DOWN : SIM_UP, true);
}

/* ---- connecting ----------------------------------------------------------------------------- */

static void s_connect (sim_wire_t *wire, sim_door_t *door)
{
    sim_network_t *self = wire->network;
    connection_t *connection = calloc (1, sizeof *connection);
    KV_ASSERT (connection != NULL);
    if (self->connection_count == self->connection_capacity) {
        self->connection_capacity = self->connection_capacity ? 2 * self->connection_capacity : 32;
        self->connections =
            realloc (self->connections, self->connection_capacity * sizeof (connection_t *));
        KV_ASSERT (self->connections != NULL);
    }
    *connection = (connection_t){.network = self,
                                 .wire = wire,
                                 .door = door,
                                 .index = self->connection_count,
                                 .number = ++wire->connections,
                                 .open = {true, true}};
    uint32_t name = connection->index + 1;
    for (int i = 0; i < 4; i++)
        connection->identity[1 + i] = (uint8_t)(name >> (24 - 8 * i));
    self->connections[self->connection_count++] = connection;
    wire->connection = connection;
    sim_trace (self->sim, wire->name, s_door_name (wire->port), "connects, identity %u", name);
    if (wire->connections > 1)
        sim_count (self->sim, COUNT_RECONNECTED);
    message_t *message;
    while ((message = s_pop (&wire->outbox)) != NULL)
        s_send (connection, SIM_UP, message);
    wire->ears.wake (wire->ears.context);
}

static void s_attempt (void *context, uint64_t number)
{
    (void)number;
    sim_wire_t *wire = context;
    sim_network_t *self = wire->network;
    wire->calling = false;
    const host_t *host = &self->hosts[wire->host];
    if (wire->closed || wire->connection || host->frozen)
        return;
    sim_door_t *door = self->doors[wire->port];
    if (door && !host->blocked[SIM_UP] && !host->blocked[SIM_DOWN])
        s_connect (wire, door);
    else
        s_call (wire);
}

static void s_call (sim_wire_t *wire)
{
    sim_network_t *self = wire->network;
    if (wire->calling || wire->closed)
        return;
    wire->calling = true;
    int64_t most_us = wire->connections ? SIM_RECONNECT_US : HANDSHAKE_US;
    sim_events_add (&self->sim->events,
                    sim_now (self->sim) + sim_random_range (&self->random, HANDSHAKE_US, most_us),
                    s_attempt, wire, 0);
}

/* ---- doors ---------------------------------------------------------------------------------- */

sim_door_t *sim_door_open (sim_network_t *self, sim_port_t port, sim_ears_t ears)
{
    KV_ASSERT (self->doors[port] == NULL);
    sim_door_t *door = calloc (1, sizeof *door);
    KV_ASSERT (door != NULL);
    *door = (sim_door_t){.network = self, .port = port, .ears = ears};
    self->doors[port] = door;
    return door;
}

void sim_door_shut (sim_door_t **self_p, bool graceful)
{
    sim_door_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    sim_network_t *network = self->network;
    for (uint32_t i = 0; i < network->connection_count; i++) {
        connection_t *connection = network->connections[i];
        if (connection->door != self)
            continue;
        connection->open[SIM_UP] = false;
        connection->door = NULL;
        s_break (connection, true, graceful);
        if (connection->open[SIM_DOWN])
            s_tell (connection, SIM_DOWN, true);
    }
    network->doors[self->port] = NULL;
    s_empty (network, &self->inbox);
    free (self->gone);
    free (self);
}

bool sim_door_receive (sim_door_t *self, uint8_t identity[SIM_IDENTITY_BYTES], blob_t **frames,
                       size_t *count)
{
    uint32_t connection;
    if (!s_take (self->network, &self->inbox, frames, count, &connection))
        return false;
    memcpy (identity, self->network->connections[connection]->identity, SIM_IDENTITY_BYTES);
    return true;
}

kv_status_t sim_door_send (sim_door_t *self, kv_slice_t identity, blob_t **frames, size_t count)
{
    uint32_t name = 0;
    KV_ASSERT (identity.size == SIM_IDENTITY_BYTES);
    for (int i = 0; i < 4; i++)
        name = name << 8 | identity.data[1 + i];
    KV_ASSERT (name >= 1 && name <= self->network->connection_count);
    connection_t *connection = self->network->connections[name - 1];
    if (connection->door == self && connection->open[SIM_UP]) {
        s_send (connection, SIM_DOWN, s_message (self->network, frames, count));
        return KV_OK;
    }
    for (size_t i = 0; i < count; i++)
        blob_unref (&frames[i]);
    return KV_UNAVAILABLE; // T5
}

bool sim_door_next_gone (sim_door_t *self, uint8_t identity[SIM_IDENTITY_BYTES])
{
    if (self->gone_at == self->gone_count) {
        self->gone_at = self->gone_count = 0;
        return false;
    }
    uint32_t index = self->gone[self->gone_at++];
    memcpy (identity, self->network->connections[index]->identity, SIM_IDENTITY_BYTES);
    return true;
}

/* ---- wires ---------------------------------------------------------------------------------- */

sim_wire_t *sim_wire_open (sim_network_t *self, uint32_t host, sim_port_t port, const char *name,
                           sim_ears_t ears)
{
    KV_ASSERT (host < self->host_count);
    sim_wire_t *wire = calloc (1, sizeof *wire);
    KV_ASSERT (wire != NULL);
    *wire = (sim_wire_t){.network = self, .host = host, .port = port, .ears = ears, .keeps = true};
    snprintf (wire->name, sizeof wire->name, "%s", name);
    if (self->wire_count == self->wire_capacity) {
        self->wire_capacity = self->wire_capacity ? 2 * self->wire_capacity : 32;
        self->wires = realloc (self->wires, self->wire_capacity * sizeof (sim_wire_t *));
        KV_ASSERT (self->wires != NULL);
    }
    self->wires[self->wire_count++] = wire;
    s_call (wire);
    return wire;
}

void sim_wire_close (sim_wire_t **self_p, sim_wire_end_t how)
{
    sim_wire_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->closed = true;
    connection_t *connection = self->connection;
    self->connection = NULL;
    s_empty (self->network, &self->inbox);
    s_empty (self->network, &self->outbox);
    if (!connection)
        return;
    connection->open[SIM_DOWN] = false;
    s_break (connection, how == SIM_WIRE_LINGERS, false);
    if (connection->open[SIM_UP])
        s_tell (connection, SIM_UP, how != SIM_WIRE_VANISHES);
}

void sim_wire_send (sim_wire_t *self, blob_t **frames, size_t count)
{
    message_t *message = s_message (self->network, frames, count);
    if (self->connection) {
        s_send (self->connection, SIM_UP, message);
    } else if (self->keeps) {
        s_push (&self->outbox, message);
    } else {
        sim_count (self->network->sim, COUNT_MESSAGE_LOST);
        s_free_message (self->network, message);
    }
}

void sim_wire_set_keeps (sim_wire_t *self, bool keeps)
{
    self->keeps = keeps;
}

bool sim_wire_receive (sim_wire_t *self, blob_t **frames, size_t *count)
{
    uint32_t connection;
    return s_take (self->network, &self->inbox, frames, count, &connection);
}

uint32_t sim_wire_connection (const sim_wire_t *self)
{
    return self->connection ? self->connection->number : 0;
}

bool sim_wire_is_sound (const sim_wire_t *self, uint32_t connection)
{
    const host_t *host = &self->network->hosts[self->host];
    return self->connection && self->connection->number == connection &&
           !self->connection->broken && !host->blocked[SIM_UP] && !host->blocked[SIM_DOWN];
}

/* ---- faults --------------------------------------------------------------------------------- */

bool sim_wire_drop (sim_wire_t *self, bool tell_wire, bool tell_door)
{
    connection_t *connection = self->connection;
    if (!connection || connection->broken)
        return false;
    s_break (connection, false, false);
    s_tell (connection, SIM_DOWN, tell_wire);
    s_tell (connection, SIM_UP, tell_door);
    return true;
}

void sim_wire_slow (sim_wire_t *self, int64_t by_us, int64_t until_us)
{
    if (!self->connection)
        return;
    self->connection->slow_us = by_us;
    self->connection->slow_until_us = until_us;
}

/* T3 for what a partition or a frozen peer keeps silent. */
static void s_check_heartbeat (void *context, uint64_t changes)
{
    connection_t *self = context;
    const host_t *host = &self->network->hosts[self->wire->host];
    if (host->changes != changes || self->broken)
        return;
    if (host->blocked[SIM_UP] || host->frozen)
        s_heartbeat_fails (self, SIM_UP);
    else if (host->blocked[SIM_DOWN])
        s_heartbeat_fails (self, SIM_DOWN);
}

static void s_watch_heartbeats (sim_network_t *self, uint32_t host)
{
    for (uint32_t i = 0; i < self->connection_count; i++) {
        connection_t *connection = self->connections[i];
        if (connection->wire->host != host || connection->broken)
            continue;
        int64_t after_us = sim_random_range (&self->random, SIM_HEARTBEAT_US / 3, SIM_HEARTBEAT_US);
        sim_events_add (&self->sim->events, sim_now (self->sim) + after_us, s_check_heartbeat,
                        connection, self->hosts[host].changes);
    }
}

static void s_release (sim_network_t *self, uint32_t host, sim_flow_t flow)
{
    for (uint32_t i = 0; i < self->connection_count; i++) {
        connection_t *connection = self->connections[i];
        if (connection->wire->host != host)
            continue;
        for (message_t *m = connection->flows[flow].first; m; m = m->next) {
            if (m->due_us == SIM_NEVER_US)
                s_schedule (connection, flow, m);
        }
    }
}

void sim_network_block (sim_network_t *self, uint32_t host, sim_flow_t flow, bool block)
{
    host_t *there = &self->hosts[host];
    if (there->blocked[flow] == block)
        return;
    there->blocked[flow] = block;
    there->changes++;
    if (!block)
        s_release (self, host, flow);
    if (there->blocked[SIM_UP] || there->blocked[SIM_DOWN] || there->frozen)
        s_watch_heartbeats (self, host);
}

void sim_network_freeze (sim_network_t *self, uint32_t host, bool freeze)
{
    host_t *there = &self->hosts[host];
    if (there->frozen == freeze)
        return;
    there->frozen = freeze;
    there->changes++;
    if (freeze) {
        s_watch_heartbeats (self, host);
        return;
    }
    for (uint32_t i = 0; i < self->connection_count; i++) {
        if (self->connections[i]->wire->host == host && self->connections[i]->deferred)
            s_close_wire_end (self->connections[i]);
    }
    for (uint32_t i = 0; i < self->wire_count; i++) {
        if (self->wires[i]->host == host && !self->wires[i]->closed && !self->wires[i]->connection)
            s_call (self->wires[i]);
    }
}

bool sim_network_is_settled (const sim_network_t *self)
{
    for (uint32_t i = 0; i < self->connection_count; i++) {
        const connection_t *connection = self->connections[i];
        if (connection->broken && (connection->open[SIM_UP] || connection->open[SIM_DOWN]))
            return false;
    }
    return true;
}

size_t sim_network_waiting (const sim_network_t *self)
{
    return self->waiting;
}

/* ---- life ---------------------------------------------------------------------------------- */

sim_network_t *sim_network_new (sim_t *sim)
{
    sim_network_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->sim = sim;
    self->random = sim_random_fork (&sim->random, 1);
    self->latency_least_us = 50;
    self->latency_most_us = 500;
    return self;
}

uint32_t sim_network_add_host (sim_network_t *self)
{
    KV_ASSERT (self->host_count < SIM_HOSTS_MAX);
    return self->host_count++;
}

void sim_network_set_latency (sim_network_t *self, int64_t least_us, int64_t most_us)
{
    self->latency_least_us = least_us;
    self->latency_most_us = most_us;
}

void sim_network_destroy (sim_network_t **self_p)
{
    sim_network_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (int port = 0; port < SIM_DOORS; port++)
        sim_door_shut (&self->doors[port], false);
    for (uint32_t i = 0; i < self->wire_count; i++) {
        s_empty (self, &self->wires[i]->inbox);
        s_empty (self, &self->wires[i]->outbox);
        free (self->wires[i]);
    }
    for (uint32_t i = 0; i < self->connection_count; i++) {
        s_empty (self, &self->connections[i]->flows[SIM_UP]);
        s_empty (self, &self->connections[i]->flows[SIM_DOWN]);
        free (self->connections[i]);
    }
    free (self->wires);
    free (self->connections);
    free (self);
}
