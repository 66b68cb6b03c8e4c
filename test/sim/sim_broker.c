#include "sim_broker.h"

#include "sim_trace.h"

#include "actors/bundle_io.h"
#include "broker/broker_commands.h"

#include <stdlib.h>

/* As in broker/broker_actor.c. */
enum { POLL_MS = 10, STOP_MS = 1000 };

enum { IDLE_POLL_MS = 20, WAKE_US_MOST = 80, VALID_EVERY = 8 };

enum { STATES = NODE_DOWN + 1, LONGEST_REQUEST_BYTES = 1 << 20 };

struct sim_broker {
    sim_broker_options_t options;
    sim_random_t random;
    sim_door_t *clients, *nodes;
    shard_map_t *map;
    coordinator_t *coordinator;
    router_t *router;
    broker_view_t view;
    bundle_out_t *bundles[KV_NODES_MAX]; /* owned; made when first needed */
    int64_t now_ms, stop_ms;
    bool paused, ended;
    int64_t turn_us;
    uint64_t turn_number;
    uint64_t turns;
    struct {
        node_state_t state; /* as last seen */
        uint64_t incarnation;
        int64_t heard_ms;
        lane_t control;
        bool open;        /* O2: what the router was told last */
        bool lost;        /* O4: since it opened */
        lane_t data;      /* O4: when it opened */
        uint64_t stopped; /* O5: the incarnation that was told to; 0: none */
    } seen[KV_NODES_MAX];
    uint64_t refusals;
};

/* ---- what the oracles and the table of transitions see ----------------------------------------- */

static const int s_transition_counts[STATES][STATES] = {
    [NODE_ABSENT] = {[NODE_JOINING] = COUNT_ABSENT_JOINING},
    [NODE_JOINING] = {[NODE_UP] = COUNT_JOINING_UP,
                      [NODE_DOWN] = COUNT_JOINING_DOWN,
                      [NODE_JOINING] = COUNT_JOINING_JOINING,
                      [NODE_STOPPING] = COUNT_JOINING_STOPPING},
    [NODE_UP] = {[NODE_JOINING] = COUNT_UP_JOINING,
                 [NODE_SUSPECT] = COUNT_UP_SUSPECT,
                 [NODE_STOPPING] = COUNT_UP_STOPPING,
                 [NODE_DOWN] = COUNT_UP_DOWN},
    [NODE_SUSPECT] = {[NODE_UP] = COUNT_SUSPECT_UP,
                      [NODE_JOINING] = COUNT_SUSPECT_JOINING,
                      [NODE_STOPPING] = COUNT_SUSPECT_STOPPING,
                      [NODE_DOWN] = COUNT_SUSPECT_DOWN},
    [NODE_STOPPING] = {[NODE_JOINING] = COUNT_STOPPING_JOINING, [NODE_DOWN] = COUNT_STOPPING_DOWN},
    [NODE_DOWN] = {[NODE_JOINING] = COUNT_DOWN_JOINING},
};

static kv_slice_t s_lane_slice (const lane_t *lane)
{
    return kv_slice (lane->bytes, lane->size);
}

/* O3 */
static void s_check_lanes (sim_broker_t *self, uint32_t index)
{
    const node_t *node = coordinator_node (self->coordinator, index);
    bool there = node->state != NODE_ABSENT && node->state != NODE_DOWN;
    bool attached = there && node->state != NODE_JOINING;
    if ((node->control.size > 0) != there || (node->data.size > 0) != attached)
        sim_fail (self->options.sim, "K6", "%s is %s with %s control and %s data lane", node->id,
                  node_state_name (node->state), node->control.size ? "a" : "no",
                  node->data.size ? "a" : "no");
}

/* O6 */
static void s_check_replaced (sim_broker_t *self, uint32_t index)
{
    node_state_t was = self->seen[index].state;
    bool there = was != NODE_ABSENT && was != NODE_DOWN;
    int64_t silent_ms = self->now_ms - self->seen[index].heard_ms;
    if (there && silent_ms <= (int64_t)self->options.grace_ms)
        sim_fail (self->options.sim, "K2", "a process of node %u is replaced, heard %lld ms ago",
                  index + 1, (long long)silent_ms);
}

/* After every call of the coordinator. */
static void s_look (sim_broker_t *self)
{
    sim_t *sim = self->options.sim;
    for (uint32_t i = 0; i < self->options.nodes; i++) {
        const node_t *node = coordinator_node (self->coordinator, i);
        s_check_lanes (self, i);
        node_state_t was = self->seen[i].state;
        bool anew = node->incarnation != self->seen[i].incarnation;
        bool rejoins =
            !kv_slice_equal (s_lane_slice (&node->control), s_lane_slice (&self->seen[i].control));
        if (was != node->state || anew || rejoins) {
            bool again = was == NODE_JOINING && node->state == NODE_JOINING;
            int which = s_transition_counts[was][node->state];
            if (which && (was != node->state || again))
                sim_count (sim, (sim_count_t)which);
            sim_trace (sim, "broker", "", "has %s as %s, was %s", node->id,
                       node_state_name (node->state), node_state_name (was));
        }
        if (anew)
            s_check_replaced (self, i);
        self->seen[i].state = node->state;
        self->seen[i].heard_ms = node->heard_ms;
        self->seen[i].incarnation = node->incarnation;
        self->seen[i].control = node->control;
        if (anew)
            self->options.admits (self->options.context, i, node->incarnation);
    }
    uint64_t refusals = coordinator_stats (self->coordinator).refusals;
    sim->coverage->counts[COUNT_READY_REFUSED] += refusals - self->refusals;
    self->refusals = refusals;
}

/* O1 */
static void s_check_router (sim_broker_t *self)
{
    sim_t *sim = self->options.sim;
    if (self->turns++ % VALID_EVERY == 0 && !router_is_valid (self->router))
        sim_fail (sim, "router", "router_is_valid is false");
    router_stats_t stats = router_stats (self->router);
    if (stats.waiting_bytes > self->options.queue_bytes + LONGEST_REQUEST_BYTES)
        sim_fail (sim, "queues", "%llu bytes wait, %llu may",
                  (unsigned long long)stats.waiting_bytes,
                  (unsigned long long)self->options.queue_bytes);
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void s_flush_node (sim_broker_t *self, uint32_t node)
{
    if (!self->bundles[node] || bundle_out_is_empty (self->bundles[node]))
        return;
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count = bundle_out_finish (self->bundles[node], self->map->epoch, frames);
    lane_t lane = coordinator_node (self->coordinator, node)->data;
    kv_status_t status = KV_UNAVAILABLE;
    if (lane.size)
        status = sim_door_send (self->nodes, s_lane_slice (&lane), frames, count);
    else
        for (size_t i = 0; i < count; i++)
            blob_unref (&frames[i]);
    if (status == KV_OK)
        return;
    sim_count (self->options.sim, COUNT_ROUTER_UNSENT);
    sim_trace (self->options.sim, "broker", "", "cannot send to node %u, holds it", node + 1);
    router_node_hold (self->router, node);
    self->seen[node].open = false;
    uint32_t parts = bundle_out_finished_count (self->bundles[node]);
    for (uint32_t i = 0; i < parts; i++)
        router_unsent (self->router, bundle_out_finished_tag (self->bundles[node], i));
    coordinator_gone (self->coordinator, s_lane_slice (&lane));
    s_look (self);
}

static void s_to_node (sim_broker_t *self, const router_effect_t *effect)
{
    uint32_t node = effect->node;
    if (!self->seen[node].open)
        sim_fail (self->options.sim, "K1", "a request for node %u, which is not open", node + 1);
    if (!self->bundles[node])
        self->bundles[node] = bundle_out_new (MESSAGE_REQUESTS);
    blob_t *body = effect->body;
    if (!bundle_out_add (self->bundles[node], effect->tag, &body)) {
        s_flush_node (self, node);
        bool added = bundle_out_add (self->bundles[node], effect->tag, &body);
        KV_ASSERT (added);
    }
}

/* An envelope is every frame before the last, as actors/door.h packs them. */
static void s_to_client (sim_broker_t *self, const router_effect_t *effect)
{
    const uint8_t *at = effect->envelope.data;
    size_t size = (size_t)at[0] << 8 | at[1];
    kv_slice_t identity = kv_slice (at + 2, size);
    bool delimiter = effect->envelope.size > 2 + size;
    blob_t *frames[2] = {delimiter ? blob_copy (kv_slice (NULL, 0)) : effect->body, effect->body};
    kv_status_t status = sim_door_send (self->clients, identity, frames, delimiter ? 2 : 1);
    (void)status; /* the client is gone */
}

static void s_flush_router (sim_broker_t *self)
{
    router_effect_t effect;
    while (router_next_effect (self->router, &effect)) {
        if (effect.kind == ROUTER_TO_NODE)
            s_to_node (self, &effect);
        else
            s_to_client (self, &effect);
    }
    for (uint32_t node = 0; node < self->options.nodes; node++)
        s_flush_node (self, node);
}

/* O4, O5 */
static void s_check_open (sim_broker_t *self, uint32_t index)
{
    sim_t *sim = self->options.sim;
    const node_t *node = coordinator_node (self->coordinator, index);
    bool anew =
        self->seen[index].data.size > 0 &&
        !kv_slice_equal (s_lane_slice (&node->data), s_lane_slice (&self->seen[index].data));
    if (anew && !self->seen[index].lost && node->data.size)
        sim_fail (sim, "lanes", "%s opens with another lane, what it was sent is not lost",
                  node->id);
    if (self->seen[index].stopped && node->incarnation == self->seen[index].stopped)
        sim_fail (sim, "K5", "%s, which was told to stop, opens again", node->id);
    self->seen[index].data = node->data;
    self->seen[index].lost = false;
}

static void s_verdict (sim_broker_t *self, const coordinator_effect_t *effect)
{
    sim_t *sim = self->options.sim;
    uint32_t node = effect->node;
    bool open = effect->kind == COORDINATOR_OPEN;
    self->seen[node].open = open;
    switch (effect->kind) {
    case COORDINATOR_OPEN:
        sim_count (sim, COUNT_ROUTER_OPEN);
        s_check_open (self, node);
        router_node_open (self->router, node);
        return;
    case COORDINATOR_HOLD:
        sim_count (sim, COUNT_ROUTER_HOLD);
        router_node_hold (self->router, node);
        return;
    case COORDINATOR_LOST:
        sim_count (sim, COUNT_ROUTER_LOST);
        self->options.losses[node]++;
        self->seen[node].lost = true;
        router_node_lost (self->router, node);
        return;
    case COORDINATOR_LEFT:
        sim_count (sim, COUNT_ROUTER_LEFT);
        self->options.losses[node]++;
        self->seen[node].lost = true;
        router_node_left (self->router, node);
        return;
    case COORDINATOR_SEND: KV_UNREACHABLE ("no verdict");
    }
}

/* What the coordinator sends, as far as the oracles and the counts care. [1, number, ...]: each a
 * byte. */
static void s_note_sent (sim_broker_t *self, const coordinator_effect_t *effect)
{
    kv_slice_t message = blob_bytes (effect->body);
    uint8_t number = message.size > 2 ? message.data[2] : 0;
    if (number == MESSAGE_DISCONNECT)
        sim_count (self->options.sim, COUNT_SENT_AWAY);
    for (uint32_t i = 0; number == MESSAGE_SHUTDOWN && i < self->options.nodes; i++) {
        const node_t *node = coordinator_node (self->coordinator, i);
        if (kv_slice_equal (s_lane_slice (&node->data), s_lane_slice (&effect->lane)))
            self->seen[i].stopped = node->incarnation;
    }
}

static void s_flush_coordinator (sim_broker_t *self)
{
    coordinator_effect_t effect;
    while (coordinator_next_effect (self->coordinator, &effect)) {
        if (effect.kind != COORDINATOR_SEND) {
            s_verdict (self, &effect);
            continue;
        }
        s_note_sent (self, &effect);
        if (sim_door_send (self->nodes, s_lane_slice (&effect.lane), &effect.body, 1)) {
            coordinator_gone (self->coordinator, s_lane_slice (&effect.lane));
            s_look (self);
        }
    }
}

static void s_flush (sim_broker_t *self)
{
    for (int round = 0; round < 3; round++) {
        s_flush_router (self);
        s_flush_coordinator (self);
    }
    s_flush_router (self);
}

/* ---- receiving --------------------------------------------------------------------------------- */

static void s_take_replies (sim_broker_t *self, uint32_t node, bundle_t *bundle, blob_t **frames)
{
    uint64_t tag;
    kv_slice_t part;
    size_t frame;
    while (bundle_next (bundle, &tag, &part, &frame) == KV_OK)
        router_reply (self->router, node, tag, frames[frame], part);
}

static void s_node_message (sim_broker_t *self, kv_slice_t identity, blob_t **frames, size_t count)
{
    kv_slice_t slices[KV_BUNDLE_FRAMES_MAX];
    bundle_t bundle;
    uint32_t node;
    for (size_t i = 0; i < count; i++)
        slices[i] = blob_bytes (frames[i]);
    if (count == 1) {
        coordinator_message (self->coordinator, identity, slices[0], self->now_ms);
        s_look (self);
        return;
    }
    bool known = coordinator_data (self->coordinator, identity, &node, self->now_ms);
    s_look (self);
    if (!known)
        return;
    if (bundle_open (&bundle, slices, count) == KV_OK && bundle.type == MESSAGE_REPLIES)
        s_take_replies (self, node, &bundle, frames);
    else
        sim_fail (self->options.sim, "codec", "the broker cannot open a node's bundle");
}

static bool s_drain_nodes (sim_broker_t *self)
{
    uint8_t identity[SIM_IDENTITY_BYTES];
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX; i++) {
        if (!sim_door_receive (self->nodes, identity, frames, &count))
            break;
        s_node_message (self, kv_slice (identity, sizeof identity), frames, count);
        for (size_t f = 0; f < count; f++)
            blob_unref (&frames[f]);
    }
    return i == KV_MESSAGES_PER_DRAIN_MAX;
}

static bool s_drain_clients (sim_broker_t *self)
{
    uint8_t envelope[2 + SIM_IDENTITY_BYTES + 2] = {0, SIM_IDENTITY_BYTES};
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    int i = 0;
    for (; i < KV_MESSAGES_PER_DRAIN_MAX; i++) {
        if (!sim_door_receive (self->clients, envelope + 2, frames, &count))
            break;
        KV_ASSERT (count <= 2); /* perhaps a delimiter, which is empty, and the body */
        size_t size = 2 + SIM_IDENTITY_BYTES + (count == 2 ? 2 : 0);
        if (count == 2)
            blob_unref (&frames[0]);
        router_request (self->router, kv_slice (envelope, size), frames[count - 1], self->now_ms);
    }
    return i == KV_MESSAGES_PER_DRAIN_MAX;
}

static void s_take_gone (sim_broker_t *self)
{
    uint8_t identity[SIM_IDENTITY_BYTES];
    while (sim_door_next_gone (self->clients, identity))
        continue;
    while (sim_door_next_gone (self->nodes, identity)) {
        coordinator_gone (self->coordinator, kv_slice (identity, sizeof identity));
        s_look (self);
    }
}

/* ---- turns ------------------------------------------------------------------------------------- */

static void s_turn (void *context, uint64_t number);

static void s_turn_at (sim_broker_t *self, int64_t at_us)
{
    if (at_us >= self->turn_us)
        return;
    self->turn_us = at_us;
    sim_events_add (&self->options.sim->events, at_us, s_turn, self, ++self->turn_number);
}

static void s_wake (void *context)
{
    sim_broker_t *self = context;
    int64_t after_us = sim_random_range (&self->random, 1, WAKE_US_MOST);
    s_turn_at (self, sim_now (self->options.sim) + after_us);
}

static void s_end (sim_broker_t *self, bool graceful)
{
    router_stats_t stats = router_stats (self->router);
    uint64_t *counts = self->options.sim->coverage->counts;
    counts[COUNT_ROUTED_WHOLE] += stats.forwarded_whole;
    counts[COUNT_READ_RESENT] += stats.resent_pieces;
    counts[COUNT_REQUEST_EXPIRED] += stats.expired_requests;
    counts[COUNT_REPLY_LATE] += stats.late_replies;
    counts[COUNT_REQUEST_DROPPED] += stats.dropped_requests;
    self->ended = true;
    sim_trace (self->options.sim, "broker", "", graceful ? "stops" : "ends");
    if (!router_is_valid (self->router))
        sim_fail (self->options.sim, "router", "router_is_valid is false at the end");
    for (size_t i = 0; i < KV_NODES_MAX; i++)
        bundle_out_destroy (&self->bundles[i]);
    router_destroy (&self->router);
    coordinator_destroy (&self->coordinator);
    shard_map_destroy (&self->map);
    sim_door_shut (&self->clients, graceful);
    sim_door_shut (&self->nodes, graceful);
}

static void s_turn (void *context, uint64_t number)
{
    sim_broker_t *self = context;
    if (number != self->turn_number || self->ended)
        return;
    self->turn_us = SIM_NEVER_US;
    if (self->paused)
        return;
    self->now_ms = sim_clock_local_ms (self->options.clock, sim_now (self->options.sim));
    self->view.now_ms = self->now_ms;
    bool more = s_drain_nodes (self);
    s_flush_coordinator (self);
    if (!self->stop_ms)
        more = s_drain_clients (self) || more;
    s_take_gone (self);
    coordinator_tick (self->coordinator, self->now_ms);
    s_look (self);
    router_tick (self->router, self->now_ms);
    s_flush (self);
    s_check_router (self);
    if (self->stop_ms &&
        (router_stats (self->router).waiting_requests == 0 || self->now_ms >= self->stop_ms)) {
        s_end (self, true);
        self->options.ended (self->options.context);
        return;
    }
    if (more)
        s_wake (self);
    /* While nothing waits, ticks only serve to notice silence: fewer will do. */
    int64_t poll_ms = router_stats (self->router).waiting_requests ? POLL_MS : IDLE_POLL_MS;
    s_turn_at (self, sim_clock_when_us (self->options.clock, self->now_ms + poll_ms));
}

/* ---- life -------------------------------------------------------------------------------------- */

static void s_build_coordinator (sim_broker_t *self)
{
    const sim_broker_options_t *options = &self->options;
    coordinator_options_t coordinator = {
        .beacon_ms = options->beacon_ms, .grace_ms = options->grace_ms, .map = self->map};
    memset (coordinator.cluster_id, 7, sizeof coordinator.cluster_id);
    self->coordinator = coordinator_new (&coordinator);
    for (uint32_t i = 0; i < options->nodes; i++) {
        char id[16];
        snprintf (id, sizeof id, "node%u", i + 1);
        coordinator_add_node (self->coordinator, id, "localhost", (uint16_t)(7001 + i));
    }
    memcpy (self->view.cluster_id, coordinator.cluster_id, KV_UUID_BYTES);
}

static void s_build (sim_broker_t *self)
{
    const sim_broker_options_t *options = &self->options;
    self->map = shard_map_new (options->shards, options->nodes);
    s_build_coordinator (self);
    router_options_t router = {.map = self->map,
                               .max_value_bytes = options->max_value_bytes,
                               .queue_bytes = options->queue_bytes,
                               .shard_queue_commands = options->shard_queue_commands,
                               .deadline_ms = options->deadline_ms,
                               .local = broker_local_command,
                               .node_name = broker_node_name,
                               .context = &self->view};
    self->router = router_new (&router, self->now_ms);
    self->view.coordinator = self->coordinator;
    self->view.router = self->router;
    self->view.map = self->map;
    self->view.version = "simulated";
    self->view.started_ms = self->now_ms;
}

sim_broker_t *sim_broker_new (const sim_broker_options_t *options)
{
    sim_broker_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->random = options->random;
    self->turn_us = SIM_NEVER_US;
    self->now_ms = sim_clock_local_ms (options->clock, sim_now (options->sim));
    s_build (self);
    sim_ears_t ears = {.wake = s_wake, .context = self};
    self->clients = sim_door_open (options->network, SIM_CLIENTS_DOOR, ears);
    self->nodes = sim_door_open (options->network, SIM_NODES_DOOR, ears);
    sim_count (options->sim, COUNT_BROKER_START);
    sim_trace (options->sim, "broker", "", "starts");
    s_wake (self);
    return self;
}

void sim_broker_kill (sim_broker_t *self)
{
    if (!self->ended)
        s_end (self, false);
}

void sim_broker_destroy (sim_broker_t **self_p)
{
    sim_broker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    sim_broker_kill (self);
    free (self);
}

void sim_broker_terminate (sim_broker_t *self)
{
    if (self->stop_ms || self->paused || self->ended)
        return;
    self->stop_ms = sim_clock_local_ms (self->options.clock, sim_now (self->options.sim)) + STOP_MS;
    sim_trace (self->options.sim, "broker", "", "is asked to stop");
    s_wake (self);
}

void sim_broker_pause (sim_broker_t *self, bool pause)
{
    if (self->paused == pause || self->ended)
        return;
    self->paused = pause;
    sim_trace (self->options.sim, "broker", "", pause ? "is paused" : "goes on");
    if (!pause)
        s_wake (self);
}

bool sim_broker_is_paused (const sim_broker_t *self)
{
    return self->paused && !self->ended;
}

bool sim_broker_is_alive (const sim_broker_t *self)
{
    return !self->ended;
}

node_state_t sim_broker_node_state (const sim_broker_t *self, uint32_t node)
{
    return self->seen[node].state;
}

uint64_t sim_broker_waiting (const sim_broker_t *self)
{
    return self->ended ? 0 : router_stats (self->router).waiting_requests;
}
