#include "broker/coordinator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    JOIN_GRACES = 5,           /* how long after READY a node may take to attach its data lane */
    REFUSALS_LOGGED = 10,      /* lines on refusals in REFUSALS_PERIOD_MS */
    REFUSALS_PERIOD_MS = 10000 /* whoever knocks cannot fill the log */
};

struct coordinator {
    coordinator_options_t options;
    node_t nodes[KV_NODES_MAX];
    uint32_t node_count;
    coordinator_effect_t *effects; /* a queue: effects[effect_at..effect_count) */
    size_t effect_at, effect_count, effect_capacity;
    int64_t refusals_since_ms; /* start of the period that refusals_logged counts in */
    uint32_t refusals_logged;
    coordinator_stats_t stats;
};

/* ---- the states of a node ------------------------------------------------------------------ */

typedef enum {
    EVENT_READY,
    EVENT_ATTACH,
    EVENT_HEARD,
    EVENT_SILENT,
    EVENT_STOP,
    EVENT_LEFT
} node_event_t;

typedef struct {
    node_state_t next;
    enum { DO_NOTHING, DO_OPEN, DO_HOLD, DO_LOSE, DO_LEAVE, IGNORE } action;
} transition_t;

enum { STATES = NODE_DOWN + 1, EVENTS = EVENT_LEFT + 1 };

#define STEP(event, next, action) [EVENT_##event] = {NODE_##next, action}

static const transition_t s_transitions[STATES][EVENTS] = {
    [NODE_ABSENT] = {STEP (READY, JOINING, DO_NOTHING), STEP (ATTACH, ABSENT, IGNORE),
                     STEP (HEARD, ABSENT, IGNORE), STEP (SILENT, ABSENT, IGNORE),
                     STEP (STOP, ABSENT, IGNORE), STEP (LEFT, ABSENT, IGNORE)},
    [NODE_JOINING] = {STEP (READY, JOINING, DO_NOTHING), STEP (ATTACH, UP, DO_OPEN),
                      STEP (HEARD, JOINING, DO_NOTHING), STEP (SILENT, DOWN, DO_LEAVE),
                      STEP (STOP, STOPPING, DO_NOTHING), STEP (LEFT, DOWN, DO_LEAVE)},
    [NODE_UP] = {STEP (READY, JOINING, DO_LOSE), STEP (ATTACH, UP, IGNORE),
                 STEP (HEARD, UP, DO_NOTHING), STEP (SILENT, SUSPECT, DO_HOLD),
                 STEP (STOP, STOPPING, DO_HOLD), STEP (LEFT, DOWN, DO_LEAVE)},
    [NODE_SUSPECT] = {STEP (READY, JOINING, DO_LOSE), STEP (ATTACH, SUSPECT, IGNORE),
                      STEP (HEARD, UP, DO_OPEN), STEP (SILENT, SUSPECT, DO_NOTHING),
                      STEP (STOP, STOPPING, DO_NOTHING), STEP (LEFT, DOWN, DO_LEAVE)},
    [NODE_STOPPING] = {STEP (READY, JOINING, DO_LOSE), STEP (ATTACH, STOPPING, IGNORE),
                       STEP (HEARD, STOPPING, DO_NOTHING), STEP (SILENT, STOPPING, DO_NOTHING),
                       STEP (STOP, STOPPING, DO_NOTHING), STEP (LEFT, DOWN, DO_LEAVE)},
    [NODE_DOWN] = {STEP (READY, JOINING, DO_NOTHING), STEP (ATTACH, DOWN, IGNORE),
                   STEP (HEARD, DOWN, IGNORE), STEP (SILENT, DOWN, IGNORE),
                   STEP (STOP, DOWN, IGNORE), STEP (LEFT, DOWN, IGNORE)},
};

const char *node_state_name (node_state_t state)
{
    static const char *const names[] = {"absent", "joining", "up", "suspect", "stopping", "down"};
    KV_ASSERT ((unsigned)state < STATES);
    return names[state];
}

static coordinator_effect_t *s_push (coordinator_t *self)
{
    if (self->effect_count == self->effect_capacity) {
        self->effect_capacity = self->effect_capacity ? 2 * self->effect_capacity : 32;
        self->effects = realloc (self->effects, self->effect_capacity * sizeof *self->effects);
        KV_ASSERT (self->effects != NULL);
    }
    coordinator_effect_t *effect = &self->effects[self->effect_count++];
    *effect = (coordinator_effect_t){0};
    return effect;
}

static void s_apply (coordinator_t *self, uint32_t index, node_event_t event)
{
    node_t *node = &self->nodes[index];
    const transition_t *step = &s_transitions[node->state][event];
    if (step->action == IGNORE)
        return;
    if (step->next != node->state)
        log_event (self->options.log, KV_LOG_INFO,
                   "event=node_%s node=%s was=%s incarnation=%016" PRIx64,
                   node_state_name (step->next), node->id, node_state_name (node->state),
                   node->incarnation);
    node->state = step->next;
    if (step->action == DO_NOTHING)
        return;
    coordinator_effect_t *effect = s_push (self);
    effect->node = index;
    switch (step->action) {
    case DO_OPEN: effect->kind = COORDINATOR_OPEN; break;
    case DO_HOLD: effect->kind = COORDINATOR_HOLD; break;
    case DO_LOSE: effect->kind = COORDINATOR_LOST; break;
    case DO_LEAVE: effect->kind = COORDINATOR_LEFT; break;
    case DO_NOTHING:
    case IGNORE: KV_UNREACHABLE ("handled above");
    }
    self->stats.joins += step->action == DO_OPEN;
    self->stats.silences += step->action == DO_HOLD;
    self->stats.departures += step->action == DO_LEAVE;
}

/* ---- life ---------------------------------------------------------------------------------- */

coordinator_t *coordinator_new (const coordinator_options_t *options)
{
    coordinator_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    return self;
}

void coordinator_destroy (coordinator_t **self_p)
{
    coordinator_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = self->effect_at; i < self->effect_count; i++)
        blob_unref (&self->effects[i].body);
    free (self->effects);
    free (self);
}

uint32_t coordinator_add_node (coordinator_t *self, const char *id, const char *host, uint16_t port)
{
    KV_ASSERT (self->node_count < KV_NODES_MAX);
    node_t *node = &self->nodes[self->node_count];
    snprintf (node->id, sizeof node->id, "%s", id);
    snprintf (node->host, sizeof node->host, "%s", host);
    node->port = port;
    return self->node_count++;
}

uint32_t coordinator_node_count (const coordinator_t *self)
{
    return self->node_count;
}

const node_t *coordinator_node (const coordinator_t *self, uint32_t node)
{
    KV_ASSERT (node < self->node_count);
    return &self->nodes[node];
}

bool coordinator_find (const coordinator_t *self, kv_slice_t id, uint32_t *node)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        if (kv_slice_equal (id, kv_slice_text (self->nodes[i].id))) {
            *node = i;
            return true;
        }
    }
    return false;
}

bool coordinator_next_effect (coordinator_t *self, coordinator_effect_t *out)
{
    if (self->effect_at == self->effect_count) {
        self->effect_at = self->effect_count = 0;
        return false;
    }
    *out = self->effects[self->effect_at++];
    return true;
}

/* ---- what is sent -------------------------------------------------------------------------- */

static lane_t s_lane (kv_slice_t identity)
{
    lane_t lane = {.size = (uint8_t)identity.size};
    KV_ASSERT (identity.size <= sizeof lane.bytes);
    memcpy (lane.bytes, identity.data, identity.size);
    return lane;
}

static bool s_is_lane (const lane_t *lane, kv_slice_t identity)
{
    return lane->size > 0 && kv_slice_equal (kv_slice (lane->bytes, lane->size), identity);
}

/* Takes the message. */
static void s_send (coordinator_t *self, const lane_t *lane, blob_t **message)
{
    coordinator_effect_t *effect = s_push (self);
    effect->kind = COORDINATOR_SEND;
    effect->lane = *lane;
    effect->body = *message;
    *message = NULL;
}

static void s_send_message (coordinator_t *self, const lane_t *lane, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    blob_t *body = blob_from_writer (&out);
    s_send (self, lane, &body);
}

static void s_send_reason (coordinator_t *self, const lane_t *lane, message_type_t type,
                           kv_status_t code, const char *text)
{
    message_t message = {.type = type, .reason = {code, kv_slice_text (text)}};
    s_send_message (self, lane, &message);
}

static void s_send_welcome (coordinator_t *self, const lane_t *lane)
{
    message_t message = {
        .type = MESSAGE_WELCOME,
        .welcome = {.cluster_id = kv_slice (self->options.cluster_id, KV_UUID_BYTES),
                    .shards = self->options.map->shards,
                    .beacon_ms = self->options.beacon_ms,
                    .grace_ms = self->options.grace_ms}};
    s_send_message (self, lane, &message);
}

static blob_t *s_shards (const coordinator_t *self)
{
    const shard_map_t *map = self->options.map;
    writer_t out = writer_make (SIZE_MAX);
    message_shards_begin (&out, map->epoch, self->node_count);
    for (uint32_t i = 0; i < self->node_count; i++) {
        char endpoint[KV_ENDPOINT_BYTES_MAX];
        const node_t *node = &self->nodes[i];
        bool ipv6 = strchr (node->host, ':') != NULL;
        snprintf (endpoint, sizeof endpoint, ipv6 ? "tcp://[%s]:%u" : "tcp://%s:%u", node->host,
                  node->port);
        if (node->port == 0)
            endpoint[0] = '\0'; /* it has no direct door */
        writer_cstr (&out, node->id);
        writer_cstr (&out, endpoint);
    }
    message_shards_owners (&out, map->shards);
    for (uint32_t shard = 0; shard < map->shards; shard++) {
        writer_uint (&out, map->epochs[shard]);
        writer_uint (&out, map->owners[shard]);
    }
    return blob_from_writer (&out);
}

static void s_send_shards (coordinator_t *self, const lane_t *lane)
{
    blob_t *shards = s_shards (self);
    s_send (self, lane, &shards);
}

/* The others: an epoch has risen, and they name it to clients (MOVED). */
static void s_send_shards_to_others (coordinator_t *self, uint32_t joined)
{
    blob_t *shards = s_shards (self);
    for (uint32_t i = 0; i < self->node_count; i++) {
        blob_t *copy = NULL;
        if (i == joined || self->nodes[i].control.size == 0)
            continue;
        copy = blob_ref (shards);
        s_send (self, &self->nodes[i].control, &copy);
    }
    blob_unref (&shards);
}

/* ---- what is received ---------------------------------------------------------------------- */

/* An id that has not been recognised may hold anything: it goes to the log in printable form. */
static void s_printable (kv_slice_t id, char text[KV_NODE_ID_BYTES_MAX + 1])
{
    size_t size = id.size < KV_NODE_ID_BYTES_MAX ? id.size : KV_NODE_ID_BYTES_MAX;
    for (size_t i = 0; i < size; i++) {
        bool prints = id.data[i] > ' ' && id.data[i] <= '~';
        text[i] = '?';
        if (prints)
            memcpy (&text[i], &id.data[i], 1);
    }
    text[size] = '\0';
}

static void s_log_refusal (coordinator_t *self, const message_ready_t *ready, kv_status_t code,
                           const char *text, int64_t now_ms)
{
    char id[KV_NODE_ID_BYTES_MAX + 1];
    if (now_ms - self->refusals_since_ms >= REFUSALS_PERIOD_MS) {
        self->refusals_since_ms = now_ms;
        self->refusals_logged = 0;
    }
    if (self->refusals_logged == REFUSALS_LOGGED)
        return; /* counted all the same */
    self->refusals_logged++;
    s_printable (ready->node_id, id);
    log_event (self->options.log, code == KV_RETRY ? KV_LOG_INFO : KV_LOG_WARN,
               "event=node_refused node=%s code=%s reason=\"%s\"", id, kv_status_name (code), text);
}

/* Something else than a process of this cluster that could join; `text` says why. */
static kv_status_t s_check_ready (const coordinator_t *self, const message_ready_t *ready,
                                  const char **text)
{
    uint32_t index;
    kv_slice_t cluster = kv_slice (self->options.cluster_id, KV_UUID_BYTES);
    *text = "the cluster file of this broker lists no node with that id"; // K3
    if (!coordinator_find (self, ready->node_id, &index))
        return KV_CONFIG;
    *text = "the node's data directory belongs to another cluster"; // K3
    if (ready->cluster_id.size && !kv_slice_equal (ready->cluster_id, cluster))
        return KV_CONFIG;
    *text = "the node speaks no protocol version that this broker speaks";
    if (ready->wire_min > KV_WIRE_VERSION_MAX || ready->wire_max < KV_WIRE_VERSION_MIN ||
        ready->wire_min > ready->wire_max)
        return KV_BAD_VERSION;
    *text = "the epoch of the node's data is none that was ever given";
    return ready->epoch < KV_EPOCH_MAX ? KV_OK : KV_CORRUPT;
}

/* K2: somebody else answers to this id, and there is no sign yet that he is gone. */
static bool s_is_taken (const coordinator_t *self, const node_t *node, const message_ready_t *ready,
                        int64_t now_ms)
{
    bool there = node->state != NODE_ABSENT && node->state != NODE_DOWN;
    bool same = node->incarnation == ready->incarnation;
    return there && !same && now_ms - node->heard_ms <= (int64_t)self->options.grace_ms;
}

static void s_leave (coordinator_t *self, uint32_t index)
{
    node_t *node = &self->nodes[index];
    node->control = node->data = (lane_t){0};
    s_apply (self, index, EVENT_LEFT);
}

/* A READY that is a repetition, sent before our WELCOME arrived, changes nothing. Any other means
 * that what the node had been sent is lost; if it comes from a new process, the former has ended. */
static void s_join (coordinator_t *self, uint32_t index, kv_slice_t identity,
                    const message_ready_t *ready, int64_t now_ms)
{
    node_t *node = &self->nodes[index];
    bool same = node->incarnation == ready->incarnation;
    bool there = node->state != NODE_ABSENT && node->state != NODE_DOWN;
    node->heard_ms = now_ms;
    if (there && same && s_is_lane (&node->control, identity)) {
        s_apply (self, index, EVENT_HEARD);
        return;
    }
    if (there && !same)
        s_leave (self, index);
    node->told_to_stop = node->told_to_stop && same;
    node->control = s_lane (identity);
    node->data = (lane_t){0};
    node->incarnation = ready->incarnation;
    memcpy (node->data_uuid, ready->data_uuid.data, KV_UUID_BYTES);
    node->ready_ms = now_ms;
    s_apply (self, index, EVENT_READY);
}

/* K7. A process may have been given an epoch by the broker before, and tell of it only now. */
static void s_renew (coordinator_t *self, uint32_t index, bool is_new, uint64_t epoch)
{
    shard_map_t *map = self->options.map;
    if (!is_new && epoch <= shard_map_least_epoch (map, index))
        return;
    shard_map_renew (map, index, epoch);
    s_send_shards_to_others (self, index);
}

static void s_ready (coordinator_t *self, kv_slice_t identity, const message_ready_t *ready,
                     int64_t now_ms)
{
    lane_t lane = s_lane (identity);
    uint32_t index = 0;
    const char *text;
    kv_status_t status = s_check_ready (self, ready, &text);
    bool known = status == KV_OK && coordinator_find (self, ready->node_id, &index);
    if (known && s_is_taken (self, &self->nodes[index], ready, now_ms)) {
        status = KV_RETRY;
        text = "another process answers to this node id";
    }
    if (status) {
        self->stats.refusals++;
        s_log_refusal (self, ready, status, text, now_ms);
        s_send_reason (self, &lane, MESSAGE_REFUSED, status, text);
        return;
    }
    bool is_new = self->nodes[index].incarnation != ready->incarnation;
    s_join (self, index, identity, ready, now_ms);
    s_renew (self, index, is_new, ready->epoch);
    s_send_welcome (self, &lane);
    s_send_shards (self, &lane);
}

static void s_send_shutdown (coordinator_t *self, const node_t *node)
{
    message_t message = {.type = MESSAGE_SHUTDOWN};
    s_send_message (self, &node->data, &message);
}

static void s_attach (coordinator_t *self, kv_slice_t identity, const message_attach_t *attach,
                      int64_t now_ms)
{
    uint32_t index;
    bool known = coordinator_find (self, attach->node_id, &index) &&
                 self->nodes[index].incarnation == attach->incarnation &&
                 self->nodes[index].state == NODE_JOINING; // K6
    if (!known)
        return; /* a node that has lost its data lane says READY first */
    node_t *node = &self->nodes[index];
    node->heard_ms = now_ms;
    node->data = s_lane (identity);
    if (!node->told_to_stop) {
        s_apply (self, index, EVENT_ATTACH);
        return;
    }
    /* The same process was told on a lane that has ended: it may not have heard. */
    s_apply (self, index, EVENT_STOP);
    s_send_shutdown (self, node);
}

static bool s_by_control (const coordinator_t *self, kv_slice_t identity, uint32_t *index)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        if (s_is_lane (&self->nodes[i].control, identity)) {
            *index = i;
            return true;
        }
    }
    return false;
}

static void s_beacon (coordinator_t *self, uint32_t index, const message_beacon_t *beacon)
{
    node_t *node = &self->nodes[index];
    node->keys = beacon->keys;
    node->bytes = beacon->bytes;
    message_t answer = {.type = MESSAGE_BEACON_ACK,
                        .beacon = {.sequence = beacon->sequence, .sent_ms = beacon->sent_ms}};
    s_send_message (self, &node->control, &answer);
}

void coordinator_message (coordinator_t *self, kv_slice_t identity, kv_slice_t bytes,
                          int64_t now_ms)
{
    message_t message;
    uint32_t index;
    if (message_decode (bytes, &message) != KV_OK) {
        self->stats.malformed++;
        return;
    }
    if (message.type == MESSAGE_READY) {
        s_ready (self, identity, &message.ready, now_ms);
        return;
    }
    if (message.type == MESSAGE_ATTACH) {
        s_attach (self, identity, &message.attach, now_ms);
        return;
    }
    if (message.type == MESSAGE_DISCONNECT && coordinator_data (self, identity, &index, now_ms)) {
        s_leave (self, index); /* its last word, behind its last reply */
        return;
    }
    if (!s_by_control (self, identity, &index)) {
        lane_t lane = s_lane (identity);
        s_send_reason (self, &lane, MESSAGE_DISCONNECT, KV_RETRY,
                       "this broker does not know the connection; say READY");
        return;
    }
    self->nodes[index].heard_ms = now_ms; // K4
    if (message.type == MESSAGE_DISCONNECT) {
        kv_status_t status = coordinator_stop (self, index); /* it asks to be let go */
        if (status)
            s_leave (self, index);
        return;
    }
    s_apply (self, index, EVENT_HEARD);
    if (message.type == MESSAGE_BEACON)
        s_beacon (self, index, &message.beacon);
    else
        self->stats.malformed++; /* a message only a broker sends */
}

bool coordinator_data (coordinator_t *self, kv_slice_t identity, uint32_t *node, int64_t now_ms)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        if (s_is_lane (&self->nodes[i].data, identity)) {
            self->nodes[i].heard_ms = now_ms; // K4
            s_apply (self, i, EVENT_HEARD);
            *node = i;
            return true;
        }
    }
    return false;
}

void coordinator_gone (coordinator_t *self, kv_slice_t identity)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        node_t *node = &self->nodes[i];
        if (!s_is_lane (&node->control, identity) && !s_is_lane (&node->data, identity))
            continue;
        /* A node that stops ends both lanes at once, and its last replies are on the data lane. */
        if (node->state == NODE_STOPPING && !s_is_lane (&node->data, identity))
            continue;
        /* One lane without the other is of no use: the node is told, and says READY again. */
        if (s_is_lane (&node->data, identity))
            s_send_reason (self, &node->control, MESSAGE_DISCONNECT, KV_RETRY,
                           "the data lane has ended; say READY");
        s_leave (self, i);
    }
}

kv_status_t coordinator_stop (coordinator_t *self, uint32_t index)
{
    KV_ASSERT (index < self->node_count);
    node_t *node = &self->nodes[index];
    if (node->data.size == 0)
        return KV_UNAVAILABLE;
    if (node->told_to_stop)
        return KV_OK; /* once is enough, however many ask */
    node->told_to_stop = true;
    s_apply (self, index, EVENT_STOP);
    s_send_shutdown (self, node);
    return KV_OK;
}

/* A node that is there but has not attached in time is told to begin again. */
static void s_tick_joining (coordinator_t *self, uint32_t index, int64_t now_ms)
{
    node_t *node = &self->nodes[index];
    int64_t grace_ms = (int64_t)self->options.grace_ms;
    bool late = now_ms - node->ready_ms > JOIN_GRACES * grace_ms;
    if (late)
        s_send_reason (self, &node->control, MESSAGE_DISCONNECT, KV_RETRY,
                       "the data lane has not been attached; say READY");
    if (late || now_ms - node->heard_ms > grace_ms)
        s_leave (self, index); /* it will be told to say READY again when it speaks */
}

void coordinator_close (coordinator_t *self)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        if (self->nodes[i].control.size)
            s_send_reason (self, &self->nodes[i].control, MESSAGE_DISCONNECT, KV_RETRY,
                           "the broker stops; say READY to the next");
    }
}

void coordinator_tick (coordinator_t *self, int64_t now_ms)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        const node_t *node = &self->nodes[i];
        bool silent = now_ms - node->heard_ms > (int64_t)self->options.grace_ms;
        if (silent && node->state == NODE_UP)
            s_apply (self, i, EVENT_SILENT);
        if (node->state == NODE_JOINING)
            s_tick_joining (self, i, now_ms);
    }
}

coordinator_stats_t coordinator_stats (const coordinator_t *self)
{
    return self->stats;
}
