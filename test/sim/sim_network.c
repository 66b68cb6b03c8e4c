#include "sim_connection.h"

#include "sim_trace.h"

#include <stdlib.h>

/* ---- connecting ----------------------------------------------------------------------------- */

static void s_attempt (void *context, uint64_t number)
{
    (void)number;
    sim_wire_t *wire = context;
    sim_network_t *self = wire->network;
    wire->calling = false;
    const sim_host_t *host = &self->hosts[wire->host];
    if (wire->closed || wire->connection || host->frozen)
        return;
    sim_door_t *door = self->doors[wire->port];
    if (door && !host->blocked[SIM_UP] && !host->blocked[SIM_DOWN])
        sim_connection_open (wire, door);
    else
        sim_wire_call (wire);
}

void sim_wire_call (sim_wire_t *wire)
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
        sim_connection_t *connection = network->connections[i];
        if (connection->door != self)
            continue;
        connection->open[SIM_UP] = false;
        connection->door = NULL;
        sim_connection_break (connection, true, graceful);
        if (connection->open[SIM_DOWN])
            sim_connection_tell (connection, SIM_DOWN, true);
    }
    network->doors[self->port] = NULL;
    sim_queue_empty (network, &self->inbox);
    free (self->gone);
    free (self);
}

bool sim_door_receive (sim_door_t *self, uint8_t identity[SIM_IDENTITY_BYTES], blob_t **frames,
                       size_t *count)
{
    uint32_t connection;
    if (!sim_queue_take (self->network, &self->inbox, frames, count, &connection))
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
    sim_connection_t *connection = self->network->connections[name - 1];
    if (connection->door == self && connection->open[SIM_UP]) {
        sim_connection_send (connection, SIM_DOWN, sim_message_new (self->network, frames, count));
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
    sim_wire_call (wire);
    return wire;
}

void sim_wire_close (sim_wire_t **self_p, sim_wire_end_t how)
{
    sim_wire_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->closed = true;
    sim_connection_t *connection = self->connection;
    self->connection = NULL;
    sim_queue_empty (self->network, &self->inbox);
    sim_queue_empty (self->network, &self->outbox);
    if (!connection)
        return;
    connection->open[SIM_DOWN] = false;
    sim_connection_break (connection, how == SIM_WIRE_LINGERS, false);
    if (connection->open[SIM_UP])
        sim_connection_tell (connection, SIM_UP, how != SIM_WIRE_VANISHES);
}

void sim_wire_send (sim_wire_t *self, blob_t **frames, size_t count)
{
    sim_message_t *message = sim_message_new (self->network, frames, count);
    if (self->connection) {
        sim_connection_send (self->connection, SIM_UP, message);
    } else if (self->keeps) {
        sim_queue_push (&self->outbox, message);
    } else {
        sim_count (self->network->sim, COUNT_MESSAGE_LOST);
        sim_message_free (self->network, message);
    }
}

void sim_wire_set_keeps (sim_wire_t *self, bool keeps)
{
    self->keeps = keeps;
}

bool sim_wire_receive (sim_wire_t *self, blob_t **frames, size_t *count)
{
    uint32_t connection;
    return sim_queue_take (self->network, &self->inbox, frames, count, &connection);
}

uint32_t sim_wire_connection (const sim_wire_t *self)
{
    return self->connection ? self->connection->number : 0;
}

bool sim_wire_is_sound (const sim_wire_t *self, uint32_t connection)
{
    const sim_host_t *host = &self->network->hosts[self->host];
    return self->connection && self->connection->number == connection &&
           !self->connection->broken && !host->blocked[SIM_UP] && !host->blocked[SIM_DOWN];
}

/* ---- faults --------------------------------------------------------------------------------- */

bool sim_wire_drop (sim_wire_t *self, bool tell_wire, bool tell_door)
{
    sim_connection_t *connection = self->connection;
    if (!connection || connection->broken)
        return false;
    sim_connection_break (connection, false, false);
    sim_connection_tell (connection, SIM_DOWN, tell_wire);
    sim_connection_tell (connection, SIM_UP, tell_door);
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
    sim_connection_t *self = context;
    const sim_host_t *host = &self->network->hosts[self->wire->host];
    if (host->changes != changes || self->broken)
        return;
    if (host->blocked[SIM_UP] || host->frozen)
        sim_connection_heartbeat_fails (self, SIM_UP);
    else if (host->blocked[SIM_DOWN])
        sim_connection_heartbeat_fails (self, SIM_DOWN);
}

static void s_watch_heartbeats (sim_network_t *self, uint32_t host)
{
    for (uint32_t i = 0; i < self->connection_count; i++) {
        sim_connection_t *connection = self->connections[i];
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
        sim_connection_t *connection = self->connections[i];
        if (connection->wire->host != host)
            continue;
        for (sim_message_t *m = connection->flows[flow].first; m; m = m->next) {
            if (m->due_us == SIM_NEVER_US)
                sim_connection_schedule (connection, flow, m);
        }
    }
}

void sim_network_block (sim_network_t *self, uint32_t host, sim_flow_t flow, bool block)
{
    sim_host_t *there = &self->hosts[host];
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
    sim_host_t *there = &self->hosts[host];
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
            sim_connection_close_wire_end (self->connections[i]);
    }
    for (uint32_t i = 0; i < self->wire_count; i++) {
        if (self->wires[i]->host == host && !self->wires[i]->closed && !self->wires[i]->connection)
            sim_wire_call (self->wires[i]);
    }
}

bool sim_network_is_settled (const sim_network_t *self)
{
    for (uint32_t i = 0; i < self->connection_count; i++) {
        const sim_connection_t *connection = self->connections[i];
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
        sim_queue_empty (self, &self->wires[i]->inbox);
        sim_queue_empty (self, &self->wires[i]->outbox);
        free (self->wires[i]);
    }
    for (uint32_t i = 0; i < self->connection_count; i++) {
        sim_queue_empty (self, &self->connections[i]->flows[SIM_UP]);
        sim_queue_empty (self, &self->connections[i]->flows[SIM_DOWN]);
        free (self->connections[i]);
    }
    free (self->wires);
    free (self->connections);
    free (self);
}
