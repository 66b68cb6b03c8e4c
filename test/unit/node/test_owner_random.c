/* Goal: what an owner calls committed is in the log of every later owner, and who is leased reads nothing that
 * is out of date, whatever is lost, killed and paused (R2 to R10). And once that ends, all goes on.
 * Method: four nodes, a shard, a coordinator as simple as can be, under a clock of their own. Logs are lists
 * of positions. Wires keep their order, and break. Every number comes from the seed. */
#include "node/owner.h"
#include "fixture.h"

#define MS(n) ((int64_t)(n)*1000)

enum {
    NODES = 4,
    RECORDS_MOST = 1 << 14,
    QUEUE_MOST = 256,
    RUNS = 60,
    STEPS = 12000,
    GRACE_MS = 350,
    LEASE_MS = 230,
    CALM_STEPS = 6000,
    UNHEARD_MS = 400
};

typedef enum { STREAM, ACK, DIFFERS, BEACON, GRANT } kind_t;

typedef struct {
    kind_t kind;
    member_t from;
    stream_head_t head;  /* STREAM */
    uint64_t records[8]; /* the positions behind head.previous */
    uint64_t epoch, received, durable, last;
    int64_t sent_us;         /* BEACON, GRANT */
    epoch_history_t history; /* DIFFERS, owned */
} message_t_;

/* One direction between two nodes. */
typedef struct {
    message_t_ messages[QUEUE_MOST];
    size_t first, count;
} wire_t;

typedef struct {
    member_t me;
    bool alive, paused;
    replica_t replica;
    uint64_t records[RECORDS_MOST]; /* by n */
    owner_t *owner;
    configuration_t known; /* the newest heard of; epoch 0: none */
    bool owns_soon;        /* `known` makes it the owner, once it has promised */
    bool serving;
    int64_t beacon_us;
} node_t_;

typedef struct {
    uint64_t random;
    int64_t now_us;
    node_t_ nodes[NODES];
    wire_t wires[NODES][NODES];
    configuration_t configuration; /* the coordinator's */
    int64_t owner_heard_us, changed_us;
    uint64_t acked; /* the highest position ever told to a client */
    bool calm;
    uint64_t promotions, cuts, reads, admissions;
} run_t;

static const owner_options_t s_options = {.lease_us = MS (LEASE_MS),
                                          .stall_us = MS (300),
                                          .steady_us = MS (400),
                                          .ask_us = MS (50),
                                          .expects_followers = true};

static bool s_chance (run_t *self, uint64_t in)
{
    return fixture_random (&self->random, in) == 0;
}

/* ---- wires -------------------------------------------------------------------------------------------- */

static void s_clear (wire_t *wire)
{
    for (size_t i = 0; i < wire->count; i++)
        epoch_history_free (&wire->messages[(wire->first + i) % QUEUE_MOST].history);
    wire->count = 0;
}

/* A connection breaks: what is on its way is lost, in both directions, and both ends know. */
static void s_break (run_t *self, uint32_t a, uint32_t b)
{
    s_clear (&self->wires[a][b]);
    s_clear (&self->wires[b][a]);
    if (self->nodes[a].owner)
        owner_on_connected (self->nodes[a].owner, b);
    if (self->nodes[b].owner)
        owner_on_connected (self->nodes[b].owner, a);
}

static void s_send (run_t *self, uint32_t from, uint32_t to, message_t_ message)
{
    wire_t *wire = &self->wires[from][to];
    message.from = self->nodes[from].me;
    if (wire->count == QUEUE_MOST)
        s_break (self, from, to);
    wire->messages[(wire->first + wire->count++) % QUEUE_MOST] = message;
}

/* ---- logs --------------------------------------------------------------------------------------------- */

static bool s_has (const node_t_ *node, uint64_t position)
{
    uint64_t n = position_n (position);
    return position == 0 || (n <= position_n (node->replica.last) && node->records[n] == position);
}

static void s_append (node_t_ *node, uint64_t position)
{
    replica_t *replica = &node->replica;
    assert_true (position_n (position) < RECORDS_MOST);
    bool opens = position_epoch (position) != position_epoch (replica->last);
    assert_int_equal (replica_append (replica, replica->last, position, opens), KV_OK);
    node->records[position_n (position)] = position;
}

static void s_on_log (run_t *self, node_t_ *node)
{
    if (node->owner)
        owner_on_log (node->owner, self->now_us);
}

/* ---- configurations ----------------------------------------------------------------------------------- */

static void s_stop_owning (node_t_ *node)
{
    owner_destroy (&node->owner);
    node->serving = false;
}

/* The node has promised the epoch of what it knows. */
static void s_act_on_known (run_t *self, node_t_ *node)
{
    const configuration_t *known = &node->known;
    if (!node->owns_soon || node->replica.promised != known->epoch ||
        node->replica.state != REPLICA_PLAIN || node->replica.seen != known->epoch)
        return;
    node->owns_soon = false;
    int64_t granted_us = node->replica.granted_us;
    int64_t serve_us =
        granted_us == INT64_MIN ? self->now_us + MS (GRACE_MS) : granted_us + MS (GRACE_MS);
    if (node->owner)
        owner_configure (node->owner, known, self->now_us);
    else
        node->owner = owner_new (&node->replica, known, serve_us, &s_options, self->now_us);
}

static void s_tell (run_t *self, node_t_ *node)
{
    const configuration_t *configuration = &self->configuration;
    if (configuration->epoch <= node->known.epoch)
        return;
    node->known = *configuration;
    node->owns_soon = member_equal (&configuration->members[configuration->owner], &node->me);
    (void)replica_see (&node->replica, configuration->epoch);
    if (node->owner && !node->owns_soon) {
        owner_configure (node->owner, configuration, self->now_us);
        assert_int_equal (owner_state (node->owner), OWNER_GONE);
        s_stop_owning (node);
    }
    s_act_on_known (self, node);
}

/* A learner, or whoever is not sure, says to the owner it knows of how far its log goes. */
static void s_say_differs (run_t *self, node_t_ *node)
{
    uint32_t to = node->known.members[node->known.owner].node;
    message_t_ message = {.kind = DIFFERS, .last = node->replica.last};
    if (node->known.epoch == 0 || to == node->me.node)
        return;
    epoch_history_copy (&message.history, &node->replica.history);
    s_send (self, node->me.node, to, message);
}

/* ---- the coordinator ---------------------------------------------------------------------------------- */

static const node_t_ *s_live (const run_t *self, const member_t *member)
{
    const node_t_ *node = &self->nodes[member->node];
    return node->alive && member_equal (&node->me, member) ? node : NULL;
}

static void s_remove (configuration_t *configuration, uint32_t index)
{
    configuration->count--;
    for (uint32_t i = index; i < configuration->count; i++)
        configuration->members[i] = configuration->members[i + 1];
    if (configuration->owner > index)
        configuration->owner--;
}

static void s_ask (run_t *self, const owner_effect_t *effect)
{
    configuration_t *configuration = &self->configuration;
    if (effect->epoch != configuration->epoch) // R7
        return;
    for (uint32_t i = 0; i < configuration->count; i++) {
        if (!member_equal (&configuration->members[i], &effect->member))
            continue;
        if (effect->kind == OWNER_ASK_ADMIT)
            return;
        s_remove (configuration, i);
        configuration->epoch++;
        self->changed_us = self->now_us;
        return;
    }
    configuration->epoch++; /* a joiner that is dropped is left out by an epoch without it */
    self->changed_us = self->now_us;
    if (effect->kind == OWNER_ASK_ADMIT && configuration->count < NODES) {
        configuration->members[configuration->count++] = effect->member;
        self->admissions++;
    }
}

/* R7: a live member of the last configuration. */
static bool s_promote_member (run_t *self)
{
    configuration_t *configuration = &self->configuration;
    for (uint32_t i = 0; i < configuration->count; i++) {
        if (i == configuration->owner || !s_live (self, &configuration->members[i]))
            continue;
        member_t chosen = configuration->members[i];
        s_remove (configuration, configuration->owner);
        for (uint32_t k = 0; k < configuration->count; k++) {
            if (member_equal (&configuration->members[k], &chosen))
                configuration->owner = k;
        }
        return true;
    }
    return false;
}

/* R13: all who were members are back, as other lives: the one that has most. */
static bool s_promote_any (run_t *self)
{
    configuration_t *configuration = &self->configuration;
    const node_t_ *best = NULL;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const node_t_ *node = &self->nodes[configuration->members[i].node];
        if (!node->alive)
            return false;
        if (!best || node->replica.last > best->replica.last)
            best = node;
    }
    configuration->members[0] = best->me;
    configuration->owner = 0;
    configuration->count = 1;
    return true;
}

static void s_coordinate (run_t *self)
{
    configuration_t *configuration = &self->configuration;
    const node_t_ *owner = s_live (self, &configuration->members[configuration->owner]);
    if (owner && !owner->paused)
        self->owner_heard_us = self->now_us;
    bool silent = self->now_us - self->owner_heard_us > MS (UNHEARD_MS);
    if (silent && self->now_us - self->changed_us > MS (UNHEARD_MS)) {
        if (s_promote_member (self) || (!owner && s_promote_any (self))) {
            configuration->epoch++;
            self->promotions++;
            self->changed_us = self->owner_heard_us = self->now_us;
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        if (self->nodes[i].alive && !self->nodes[i].paused && (self->calm || s_chance (self, 4)))
            s_tell (self, &self->nodes[i]);
    }
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

static void s_serve_clients (run_t *self, node_t_ *node)
{
    uint64_t committed = owner_committed (node->owner);
    if (!node->serving)
        return;
    if (owner_is_leased (node->owner, self->now_us)) { /* a read: R4 */
        assert_true (s_has (node, self->acked));
        self->reads++;
    }
    if (committed > self->acked && position_epoch (committed)) {
        assert_true (s_has (node, self->acked)); /* nothing that was told is missing */
        self->acked = committed;
    }
}

static void s_effects (run_t *self, node_t_ *node)
{
    owner_effect_t effect;
    while (node->owner && owner_next_effect (node->owner, &effect)) {
        if (effect.kind == OWNER_OPEN && effect.epoch == node->replica.promised)
            s_append (node,
                      effect.epoch << POSITION_N_BITS | (position_n (node->replica.last) + 1));
        else if (effect.kind == OWNER_ASK_ADMIT || effect.kind == OWNER_ASK_DROP)
            s_ask (self, &effect);
        else if (effect.kind == OWNER_SERVE) {
            if (effect.epoch == self->configuration.epoch) /* no later owner lacks what was told */
                assert_true (s_has (node, self->acked));
            node->serving = true;
        } else
            assert_int_equal (effect.kind, OWNER_SYNC);
        s_on_log (self, node);
    }
}

static void s_stream (run_t *self, node_t_ *node)
{
    stream_head_t head;
    for (uint32_t i = 0; i < owner_copy_count (node->owner); i++) {
        const member_t *to = &owner_copy (node->owner, i)->member;
        if (!owner_stream (node->owner, i, self->now_us, &head))
            continue;
        message_t_ message = {.kind = STREAM};
        uint64_t n = position_n (head.previous);
        uint64_t last_n = position_n (head.last);
        if (last_n > n + 8)
            last_n = n + 8;
        for (uint64_t k = n + 1; k <= last_n; k++)
            message.records[k - n - 1] = node->records[k];
        head.last = last_n > n ? node->records[last_n] : head.previous;
        message.head = head;
        s_send (self, node->me.node, to->node, message);
        owner_sent (node->owner, i, head.last, self->now_us);
    }
}

static void s_beacons (run_t *self, node_t_ *node)
{
    if (self->now_us - node->beacon_us < MS (50))
        return;
    node->beacon_us = self->now_us;
    for (uint32_t i = 0; node->owner && i < owner_copy_count (node->owner); i++) {
        message_t_ message = {.kind = BEACON,
                              .epoch = owner_configuration (node->owner)->epoch,
                              .sent_us = self->now_us};
        s_send (self, node->me.node, owner_copy (node->owner, i)->member.node, message);
    }
    if (!node->owner && !node->replica.matched)
        s_say_differs (self, node);
}

static void s_on_stream (run_t *self, node_t_ *node, const message_t_ *message)
{
    replica_t *replica = &node->replica;
    if (node->owner && message->head.epoch > replica->seen)
        s_stop_owning (node); /* somebody else owns it by now */
    switch (replica_judge (replica, &message->head)) {
    case STREAM_OLD:
    case STREAM_LATER:
    case STREAM_PROMISE: return;
    case STREAM_CUT: self->cuts++; return;
    case STREAM_DIFFERS: s_say_differs (self, node); return;
    case STREAM_KNOWN: break;
    case STREAM_TAKE:
        for (uint32_t k = 0; k < 8 && message->records[k]; k++) {
            if (position_n (message->records[k]) > position_n (replica->last))
                s_append (node, message->records[k]);
        }
        break;
    }
    uint64_t received;
    uint64_t durable;
    message_t_ ack = {.kind = ACK, .epoch = replica->promised};
    if (replica_ack (replica, true, &received, &durable)) {
        ack.received = received;
        ack.durable = durable;
        s_send (self, node->me.node, message->from.node, ack);
    }
}

static void s_receive (run_t *self, node_t_ *node, const message_t_ *message)
{
    message_t_ grant = {.kind = GRANT, .epoch = message->epoch, .sent_us = message->sent_us};
    switch (message->kind) {
    case STREAM: s_on_stream (self, node, message); return;
    case BEACON:
        if (!node->owner && replica_grant (&node->replica, message->epoch, self->now_us))
            s_send (self, node->me.node, message->from.node, grant);
        return;
    case ACK:
        if (node->owner)
            owner_on_ack (node->owner, &message->from, message->epoch, message->received,
                          message->durable, false, self->now_us);
        return;
    case DIFFERS:
        if (node->owner)
            owner_on_differs (node->owner, &message->from, message->last, &message->history,
                              self->now_us);
        return;
    case GRANT:
        if (node->owner)
            owner_on_grant (node->owner, &message->from, message->epoch, message->sent_us,
                            self->now_us);
        return;
    }
}

static void s_deliver (run_t *self, uint32_t from, uint32_t to)
{
    wire_t *wire = &self->wires[from][to];
    if (wire->count == 0 || !self->nodes[to].alive || self->nodes[to].paused)
        return;
    message_t_ message = wire->messages[wire->first];
    wire->first = (wire->first + 1) % QUEUE_MOST;
    wire->count--;
    s_receive (self, &self->nodes[to], &message);
    epoch_history_free (&message.history);
}

static void s_disk (run_t *self, node_t_ *node)
{
    replica_t *replica = &node->replica;
    bool syncs = self->calm || s_chance (self, 2);
    replica_reached (replica, replica->last, syncs ? replica->last : 0);
    if (syncs && replica->state == REPLICA_CUTTING)
        replica_was_cut (replica);
    if (syncs)
        replica_promised (replica, replica->seen);
    s_on_log (self, node);
    s_act_on_known (self, node);
    uint64_t received;
    uint64_t durable;
    message_t_ ack = {.kind = ACK, .epoch = replica->promised};
    const configuration_t *known = &node->known;
    if (!node->owner && known->epoch == replica->promised &&
        replica_ack (replica, false, &received, &durable)) {
        ack.received = received;
        ack.durable = durable;
        s_send (self, node->me.node, known->members[known->owner].node, ack);
    }
}

static void s_turn (run_t *self, node_t_ *node)
{
    if (!node->alive || node->paused)
        return;
    s_disk (self, node);
    if (node->owner) {
        if (node->serving && s_chance (self, 3) &&
            position_epoch (node->replica.last) == owner_configuration (node->owner)->epoch) {
            s_append (node, node->replica.last + 1);
            s_on_log (self, node);
        }
        owner_tick (node->owner, self->now_us);
        s_effects (self, node);
        assert_true (owner_is_valid (node->owner));
        s_serve_clients (self, node);
        s_stream (self, node);
    }
    s_beacons (self, node);
    assert_true (replica_is_valid (&node->replica));
}

/* SIGKILL, and a start: what was received is there. */
static void s_kill (run_t *self, node_t_ *node)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (i != node->me.node)
            s_break (self, node->me.node, i);
    }
    s_stop_owning (node);
    node->alive = node->paused = false;
}

static void s_start (node_t_ *node)
{
    replica_t *old = &node->replica;
    epoch_history_t history = old->history;
    uint64_t promised = old->promised;
    uint64_t last = old->received;
    epoch_history_cut (&history, last);
    node->replica = replica_make (0, promised, last, &history);
    node->me.incarnation++;
    node->known = (configuration_t){.epoch = 0};
    node->owns_soon = false;
    node->alive = true;
}

static void s_fault (run_t *self)
{
    node_t_ *node = &self->nodes[fixture_random (&self->random, NODES)];
    uint32_t other = (uint32_t)fixture_random (&self->random, NODES);
    switch (fixture_random (&self->random, 6)) {
    case 0:
        if (node->alive)
            s_kill (self, node);
        return;
    case 1:
    case 2:
        if (!node->alive)
            s_start (node);
        return;
    case 3: node->paused = node->alive && s_chance (self, 2); return;
    case 4: node->paused = false; return;
    default:
        if (other != node->me.node)
            s_break (self, node->me.node, other);
        return;
    }
}

static void s_step (run_t *self)
{
    self->now_us += 500 + (int64_t)fixture_random (&self->random, 1500);
    for (uint32_t i = 0; i < 6; i++)
        s_deliver (self, (uint32_t)fixture_random (&self->random, NODES),
                   (uint32_t)fixture_random (&self->random, NODES));
    s_turn (self, &self->nodes[fixture_random (&self->random, NODES)]);
    if (s_chance (self, 5))
        s_coordinate (self);
    if (!self->calm && s_chance (self, 120))
        s_fault (self);
}

static void s_run (run_t *self, uint64_t seed)
{
    *self = (run_t){.random = seed};
    self->configuration = (configuration_t){.epoch = 1, .count = 2};
    for (uint32_t i = 0; i < NODES; i++) {
        epoch_history_t none = {.opens = NULL};
        node_t_ *node = &self->nodes[i];
        node->replica = replica_make (0, 0, 0, &none);
        node->me = (member_t){.node = i, .incarnation = 1};
        node->alive = true;
        if (i < 2)
            self->configuration.members[i] = node->me;
    }
    for (uint32_t step = 0; step < STEPS; step++)
        s_step (self);
}

/* All are there, and all is heard: it goes on, and everyone is admitted. */
static void s_calm_down (run_t *self)
{
    self->calm = true;
    for (uint32_t i = 0; i < NODES; i++) {
        self->nodes[i].paused = false;
        if (!self->nodes[i].alive)
            s_start (&self->nodes[i]);
    }
    for (uint32_t step = 0; step < CALM_STEPS; step++)
        s_step (self);
    uint64_t before = self->acked;
    for (uint32_t step = 0; step < CALM_STEPS / 10; step++)
        s_step (self);
    assert_true (self->acked > before);
    assert_int_equal (self->configuration.count, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        assert_true (s_has (&self->nodes[i], self->acked));
}

static void s_free (run_t *self)
{
    for (uint32_t i = 0; i < NODES; i++) {
        owner_destroy (&self->nodes[i].owner);
        replica_free (&self->nodes[i].replica);
        for (uint32_t k = 0; k < NODES; k++)
            s_clear (&self->wires[i][k]);
    }
}

static void test_random_clusters_lose_nothing_that_was_told (void **state)
{
    (void)state;
    uint64_t seed = fixture_seed (__func__);
    run_t *self = malloc (sizeof *self);
    assert_non_null (self);
    uint64_t promotions = 0;
    uint64_t cuts = 0;
    uint64_t reads = 0;
    uint64_t admissions = 0;
    for (uint64_t i = 0; i < RUNS; i++) {
        s_run (self, seed + i);
        s_calm_down (self);
        promotions += self->promotions;
        cuts += self->cuts;
        reads += self->reads;
        admissions += self->admissions;
        s_free (self);
    }
    free (self);
    printf ("%" PRIu64 " promotions, %" PRIu64 " cuts, %" PRIu64 " reads, %" PRIu64 " admissions\n",
            promotions, cuts, reads, admissions);
    assert_true (promotions > RUNS && cuts > 10 && reads > 1000 && admissions > RUNS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_clusters_lose_nothing_that_was_told),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
