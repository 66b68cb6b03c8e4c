#include "sim_connection.h"

#include "sim_trace.h"

#include <stdlib.h>

const char *sim_door_name (sim_port_t port)
{
    return port == SIM_NODES_DOOR ? "broker.nodes" : "broker.clients";
}

/* ---- queues -------------------------------------------------------------------------------- */

sim_message_t *sim_message_new (sim_network_t *self, blob_t **frames, size_t count)
{
    sim_message_t *message = malloc (sizeof *message + count * sizeof (blob_t *));
    KV_ASSERT (message != NULL);
    *message = (sim_message_t){.count = (uint32_t)count};
    for (size_t i = 0; i < count; i++) {
        message->frames[i] = frames[i];
        frames[i] = NULL;
    }
    self->waiting++;
    return message;
}

void sim_queue_push (sim_queue_t *queue, sim_message_t *message)
{
    message->next = NULL;
    if (queue->first)
        queue->last->next = message;
    else
        queue->first = message;
    queue->last = message;
}

sim_message_t *sim_queue_pop (sim_queue_t *queue)
{
    sim_message_t *message = queue->first;
    if (message)
        queue->first = message->next;
    return message;
}

void sim_message_free (sim_network_t *self, sim_message_t *message)
{
    for (uint32_t i = 0; i < message->count; i++)
        blob_unref (&message->frames[i]);
    free (message);
    self->waiting--;
}

void sim_queue_empty (sim_network_t *self, sim_queue_t *queue)
{
    sim_message_t *message;
    while ((message = sim_queue_pop (queue)) != NULL)
        sim_message_free (self, message);
}

/* Hands a message to its receiver. */
bool sim_queue_take (sim_network_t *self, sim_queue_t *queue, blob_t **frames, size_t *count,
                     uint32_t *connection)
{
    sim_message_t *message = sim_queue_pop (queue);
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

static void s_trace (sim_connection_t *self, sim_flow_t flow, const char *what,
                     sim_message_t *message)
{
    const char *wire = self->wire->name;
    const char *door = sim_door_name (self->wire->port);
    sim_trace_message (self->network->sim, flow == SIM_UP ? wire : door,
                       flow == SIM_UP ? door : wire, what, message->frames, message->count);
}

static void s_lose (sim_connection_t *self, sim_flow_t flow, sim_message_t *message)
{
    sim_count (self->network->sim, COUNT_MESSAGE_LOST);
    s_trace (self, flow, "lost:", message);
    sim_message_free (self->network, message);
}

/* T1: never before what was sent earlier. */
void sim_connection_schedule (sim_connection_t *self, sim_flow_t flow, sim_message_t *message)
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

void sim_connection_send (sim_connection_t *self, sim_flow_t flow, sim_message_t *message)
{
    if (self->broken) {
        s_lose (self, flow, message);
        return;
    }
    message->connection = self->index;
    s_trace (self, flow, "sends", message);
    sim_queue_push (&self->flows[flow], message);
    if (self->network->hosts[self->wire->host].blocked[flow])
        message->due_us = SIM_NEVER_US;
    else
        sim_connection_schedule (self, flow, message);
}

static void s_arrive (void *context, uint64_t number)
{
    sim_connection_t *self = context;
    sim_flow_t flow = (sim_flow_t)number;
    sim_queue_t *queue = &self->flows[flow];
    if (!queue->first || queue->first->due_us > sim_now (self->network->sim))
        return; /* it was lost meanwhile */
    sim_message_t *message = sim_queue_pop (queue);
    if (!self->open[flow]) {
        s_lose (self, flow, message);
        return;
    }
    s_trace (self, flow, "arrives:", message);
    const sim_ears_t *ears = flow == SIM_UP ? &self->door->ears : &self->wire->ears;
    sim_queue_push (flow == SIM_UP ? &self->door->inbox : &self->wire->inbox, message);
    ears->wake (ears->context);
}

/* T2: keeps the first `keep` messages that are on their way. */
static void s_cut_flow (sim_connection_t *self, sim_flow_t flow, uint64_t keep)
{
    sim_queue_t tail = self->flows[flow];
    self->flows[flow] = (sim_queue_t){0};
    for (; keep && tail.first && tail.first->due_us != SIM_NEVER_US; keep--)
        sim_queue_push (&self->flows[flow], sim_queue_pop (&tail));
    sim_message_t *message;
    while ((message = sim_queue_pop (&tail)) != NULL)
        s_lose (self, flow, message);
}

/* ---- connections break ---------------------------------------------------------------------- */

void sim_connection_close_wire_end (sim_connection_t *self)
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
    sim_wire_call (wire);
}

static void s_close_door_end (sim_connection_t *self)
{
    sim_door_t *door = self->door;
    if (!self->open[SIM_UP])
        return;
    self->open[SIM_UP] = false;
    if (!door)
        return;
    sim_trace (self->network->sim, sim_door_name (door->port), "", "learns that %s has gone",
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
    sim_connection_t *self = context;
    sim_flow_t end = (sim_flow_t)(number & 1);
    sim_host_t *host = &self->network->hosts[self->wire->host];
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
        sim_connection_close_wire_end (self);
}

/* Tells an end, behind what still arrives there; or lets it find out by itself. */
void sim_connection_tell (sim_connection_t *self, sim_flow_t end, bool tell)
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
void sim_connection_break (sim_connection_t *self, bool up_survives, bool down_survives)
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
void sim_connection_heartbeat_fails (sim_connection_t *self, sim_flow_t end)
{
    sim_count (self->network->sim, COUNT_HEARTBEAT_CLOSED);
    sim_connection_break (self, false, false);
    if (end == SIM_UP)
        s_close_door_end (self);
    else
        sim_connection_close_wire_end (self);
    sim_connection_tell (self, end == SIM_UP ? SIM_DOWN : SIM_UP, true);
}

/* ---- connecting ----------------------------------------------------------------------------- */

void sim_connection_open (sim_wire_t *wire, sim_door_t *door)
{
    sim_network_t *self = wire->network;
    sim_connection_t *connection = calloc (1, sizeof *connection);
    KV_ASSERT (connection != NULL);
    if (self->connection_count == self->connection_capacity) {
        self->connection_capacity = self->connection_capacity ? 2 * self->connection_capacity : 32;
        self->connections =
            realloc (self->connections, self->connection_capacity * sizeof (sim_connection_t *));
        KV_ASSERT (self->connections != NULL);
    }
    *connection = (sim_connection_t){.network = self,
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
    sim_trace (self->sim, wire->name, sim_door_name (wire->port), "connects, identity %u", name);
    if (wire->connections > 1)
        sim_count (self->sim, COUNT_RECONNECTED);
    sim_message_t *message;
    while ((message = sim_queue_pop (&wire->outbox)) != NULL)
        sim_connection_send (connection, SIM_UP, message);
    wire->ears.wake (wire->ears.context);
}
