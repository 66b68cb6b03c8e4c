#include "broker/configurator_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { OTHERS_MAX = KV_MEMBERS_MAX - 3 /* beside an owner, S, and one who joins */ };

/* ---- life ---------------------------------------------------------------------------------------- */

configurator_t *configurator_new (const configurator_options_t *options)
{
    KV_ASSERT (options->nodes >= 1);
    KV_ASSERT (options->nodes <= KV_NODES_MAX);
    KV_ASSERT (options->shards >= 1);
    KV_ASSERT (options->shards <= KV_SHARDS_MAX);
    KV_ASSERT (!options->has_secondary || options->secondary.node == KV_SECONDARY);
    configurator_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->room = true;
    uint32_t others = options->nodes - 1 < OTHERS_MAX ? options->nodes - 1 : OTHERS_MAX;
    self->wanted = 1 + (options->replicas < others ? options->replicas : others);
    self->peers = calloc (options->nodes, sizeof *self->peers);
    self->shards = calloc (options->shards, sizeof *self->shards);
    self->batch = calloc (options->shards, sizeof *self->batch);
    KV_ASSERT (self->peers && self->shards && self->batch);
    for (uint32_t i = 0; i < options->shards; i++) {
        self->shards[i].former.node = CONFIGURATOR_NOBODY;
        self->shards[i].spare = CONFIGURATOR_NOBODY;
        self->shards[i].routed.node = CONFIGURATOR_NOBODY;
    }
    return self;
}

void configurator_destroy (configurator_t **self_p)
{
    configurator_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t node = 0; node < self->options.nodes; node++)
        free (self->peers[node].reports);
    free (self->peers);
    free (self->shards);
    free (self->batch);
    free (self->effects);
    free (self);
}

/* The home, then its followers: those of the k-th shard of one home begin k nodes further round. */
uint32_t configurator_placed (const configurator_t *self, uint32_t shard, uint32_t rank)
{
    uint32_t nodes = self->options.nodes;
    uint32_t home = shard % nodes;
    if (rank == 0)
        return home;
    return (home + 1 + (shard / nodes + rank - 1) % (nodes - 1)) % nodes;
}

/* ---- effects --------------------------------------------------------------------------------------- */

configurator_effect_t *configurator_push (configurator_t *self, configurator_effect_kind_t kind,
                                          uint32_t shard)
{
    if (self->effect_count == self->effect_capacity) {
        self->effect_capacity = self->effect_capacity ? 2 * self->effect_capacity : 32;
        self->effects = realloc (self->effects, self->effect_capacity * sizeof *self->effects);
        KV_ASSERT (self->effects != NULL);
    }
    configurator_effect_t *effect = &self->effects[self->effect_count++];
    *effect = (configurator_effect_t){.kind = kind, .shard = shard};
    return effect;
}

/* All changes that have no number yet get the next one. */
static void s_store (configurator_t *self, configurator_effect_t *out)
{
    self->batch_open = false;
    self->number++;
    *out = (configurator_effect_t){
        .kind = CONFIGURATOR_STORE, .number = self->number, .configurations = self->batch};
    for (uint32_t i = 0; i < self->options.shards; i++) {
        shard_configuration_t *shard = &self->shards[i];
        if (!shard->next.epoch || shard->next_number)
            continue;
        shard->next_number = self->number;
        self->batch[out->count++] = shard->next;
    }
}

bool configurator_next_effect (configurator_t *self, configurator_effect_t *out)
{
    while (self->effect_at < self->effect_count) {
        *out = self->effects[self->effect_at++];
        if (out->kind != CONFIGURATOR_CONFIGURE)
            return true;
        const configuration_t *present = &self->shards[out->shard].present;
        out->configurations = present;
        out->count = 1;
        if (out->epoch == present->epoch) /* else a later one is told in its own way: D7, D8 */
            return true;
    }
    self->effect_at = self->effect_count = 0;
    if (!self->batch_open)
        return false;
    s_store (self, out);
    return true;
}

/* ---- after each event -------------------------------------------------------------------------- */

static void s_review (configurator_t *self, uint32_t index, int64_t now_ms)
{
    if (!self->started)
        return;
    rules_review (self, index, now_ms);
    tell_review (self, index, now_ms);
}

static void s_review_all (configurator_t *self, int64_t now_ms)
{
    for (uint32_t i = 0; i < self->options.shards; i++)
        s_review (self, i, now_ms);
}

/* ---- the coordinator's own disk -------------------------------------------------------------------- */

kv_status_t configurator_load (configurator_t *self, const configuration_t *stored)
{
    KV_ASSERT (!self->started);
    if (stored->shard >= self->options.shards || stored->count > KV_MEMBERS_MAX ||
        stored->owner >= stored->count || stored->epoch == 0 || stored->epoch > KV_EPOCH_MAX)
        return KV_CONFIG;
    for (uint32_t i = 0; i < stored->count; i++)
        if (stored->members[i].node != KV_SECONDARY &&
            stored->members[i].node >= self->options.nodes)
            return KV_CONFIG;
    if (owner_of (stored)->node == KV_SECONDARY)
        return KV_CONFIG;
    shard_configuration_t *shard = &self->shards[stored->shard];
    if (stored->epoch > shard->present.epoch) {
        shard->present = *stored;
        shard->secondary_there = has_secondary (stored);
        shard->fence =
            shard->secondary_there; /* whether it was a log chosen anew is not known (D7) */
    }
    return KV_OK;
}

void configurator_start (configurator_t *self, int64_t now_ms)
{
    KV_ASSERT (!self->started);
    self->started = true;
    self->started_ms = now_ms;
    for (uint32_t i = 0; i < self->options.shards; i++)
        self->shards[i].stored_ms = now_ms;
    s_review_all (self, now_ms);
}

static void s_take_stored (shard_configuration_t *shard, int64_t now_ms)
{
    shard->former = (member_t){.node = CONFIGURATOR_NOBODY};
    if (shard->next.planned)
        shard->former = *owner_of (&shard->present);
    shard->present = shard->next;
    shard->next.epoch = 0;
    shard->fence = shard->next_fence;
    shard->secondary_there = shard->secondary_there || has_secondary (&shard->present);
    shard->opened = false;
    shard->lost = false;
    shard->stored_ms = now_ms;
}

void configurator_stored (configurator_t *self, uint64_t number, int64_t now_ms)
{
    for (uint32_t i = 0; i < self->options.shards; i++) {
        shard_configuration_t *shard = &self->shards[i];
        if (!shard->next.epoch || !shard->next_number || shard->next_number > number)
            continue;
        s_take_stored (shard, now_ms);
        self->stats.changes++;
        s_review (self, i, now_ms);
    }
}

void configurator_based (configurator_t *self, uint32_t index, uint64_t previous)
{
    KV_ASSERT (index < self->options.shards);
    self->shards[index].based = true;
    self->shards[index].base = previous;
    self->shards[index].secondary_there = true;
}

void configurator_room (configurator_t *self, bool room, int64_t now_ms)
{
    self->room = room;
    s_review_all (self, now_ms);
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

static void s_appear (peer_t *peer, int64_t now_ms)
{
    peer->gone = false;
    if (!peer->reachable)
        peer->steady_ms = now_ms;
    peer->reachable = true;
}

static void s_disappear (configurator_t *self, uint32_t node, bool gone, int64_t now_ms)
{
    KV_ASSERT (node < self->options.nodes);
    peer_t *peer = &self->peers[node];
    peer->flaps += peer->reachable;
    peer->gone = peer->gone || gone;
    if (!peer->reachable)
        return;
    peer->reachable = false;
    s_review_all (self, now_ms);
}

/* Epochs that were never stored here: this store is empty, or older than the data (R15). */
static void s_meet (configurator_t *self, uint32_t index, uint32_t node, uint64_t promised)
{
    shard_configuration_t *shard = &self->shards[index];
    if (promised <= shard->present.epoch || promised <= shard->foreign)
        return;
    shard->foreign = promised < KV_EPOCH_MAX ? promised : KV_EPOCH_MAX;
    if (!self->adopting)
        log_event (self->options.log, KV_LOG_ERROR,
                   "event=foreign_epoch shard=%" PRIu32 " node=%" PRIu32 " epoch=%" PRIu64
                   " known=%" PRIu64 " remedy=\"bring the coordinator's data back, or --adopt\"",
                   index, node, promised, shard->present.epoch);
}

void configurator_ready (configurator_t *self, const configurator_ready_t *ready, int64_t now_ms)
{
    KV_ASSERT (ready->node < self->options.nodes);
    peer_t *peer = &self->peers[ready->node];
    member_t life = {.node = ready->node, .incarnation = ready->incarnation};
    memcpy (life.uuid, ready->uuid, KV_UUID_BYTES);
    bool same = peer->known && member_equal (&peer->life, &life);
    if (!peer->reports)
        peer->reports = calloc (self->options.shards, sizeof *peer->reports);
    KV_ASSERT (peer->reports != NULL);
    if (!same && peer->reachable) {
        peer->flaps++;
        peer->reachable = false;
    }
    peer->life = life;
    peer->known = true;
    s_appear (peer, now_ms);
    for (uint32_t i = 0; i < self->options.shards; i++) {
        if (same)
            peer->reports[i].notice = (notice_t){0};
        else
            peer->reports[i] = (report_t){0};
        peer->reports[i].promised = ready->promised[i];
        s_meet (self, i, ready->node, ready->promised[i]);
    }
    s_review_all (self, now_ms);
}

void configurator_heard (configurator_t *self, uint32_t node, int64_t now_ms)
{
    KV_ASSERT (node < self->options.nodes);
    peer_t *peer = &self->peers[node];
    if (!peer->known || peer->gone || peer->reachable)
        return; // D10
    s_appear (peer, now_ms);
    s_review_all (self, now_ms);
}

void configurator_silent (configurator_t *self, uint32_t node, int64_t now_ms)
{
    s_disappear (self, node, false, now_ms);
}

void configurator_gone (configurator_t *self, uint32_t node, int64_t now_ms)
{
    s_disappear (self, node, true, now_ms);
}

void configurator_ask (configurator_t *self, const configurator_ask_t *ask, int64_t now_ms)
{
    if (ask->shard >= self->options.shards || ask->asker.node >= self->options.nodes)
        return;
    if (rules_ask (self, ask, now_ms))
        return;
    self->stats.refusals++;
    tell_again (self, ask->shard, ask->asker.node, now_ms);
}

void configurator_confirmed (configurator_t *self, uint32_t node, uint32_t index, uint64_t epoch,
                             int64_t now_ms)
{
    if (index >= self->options.shards || (node >= self->options.nodes && node != KV_SECONDARY))
        return;
    notice_t *notice = &self->shards[index].secondary;
    if (node != KV_SECONDARY) {
        if (!self->peers[node].reports)
            return;
        notice = &self->peers[node].reports[index].notice;
    }
    if (epoch > notice->confirmed && epoch <= self->shards[index].present.epoch)
        notice->confirmed = epoch;
    s_review (self, index, now_ms);
}

void configurator_opened (configurator_t *self, uint32_t node, uint32_t index, uint64_t epoch,
                          int64_t now_ms)
{
    if (index >= self->options.shards)
        return;
    shard_configuration_t *shard = &self->shards[index];
    if (epoch != shard->present.epoch || epoch == 0 || shard->opened ||
        !is_live (self, owner_of (&shard->present)) || owner_of (&shard->present)->node != node)
        return;
    shard->opened = true;
    shard->fence = false;
    configurator_confirmed (self, node, index, epoch, now_ms);
}

void configurator_answered (configurator_t *self, const configurator_answer_t *answer,
                            int64_t now_ms)
{
    if (answer->shard >= self->options.shards || answer->node >= self->options.nodes)
        return;
    peer_t *peer = &self->peers[answer->node];
    if (!peer->reports || peer->life.incarnation != answer->incarnation)
        return;
    if (answer->number != self->shards[answer->shard].survey)
        return; /* of a former loss */
    report_t *report = &peer->reports[answer->shard];
    report->answered = answer->number;
    report->last = answer->last;
    report->holds = answer->holds;
    s_review (self, answer->shard, now_ms);
}

/* ---- the operator, time ---------------------------------------------------------------------------- */

kv_status_t configurator_force (configurator_t *self, uint32_t shard, int64_t now_ms)
{
    if (shard >= self->options.shards || !rules_force (self, shard))
        return KV_UNAVAILABLE;
    s_review (self, shard, now_ms);
    return KV_OK;
}

void configurator_adopt (configurator_t *self, int64_t now_ms)
{
    self->adopting = true;
    s_review_all (self, now_ms);
}

void configurator_tick (configurator_t *self, int64_t now_ms)
{
    if (!self->started)
        return;
    s_review_all (self, now_ms);
    rules_go_home (self, now_ms);
}

/* ---- how it stands --------------------------------------------------------------------------------- */

shard_state_t configurator_state (const configurator_t *self, uint32_t index)
{
    KV_ASSERT (index < self->options.shards);
    const shard_configuration_t *shard = &self->shards[index];
    if (shard->next.epoch)
        return SHARD_STORING;
    if (rules_frozen (self, shard))
        return SHARD_FOREIGN;
    if (shard->lost)
        return SHARD_LOST;
    if (shard->present.epoch == 0)
        return SHARD_NONE;
    return shard->opened ? SHARD_OPEN : SHARD_OPENING;
}

const char *shard_state_name (shard_state_t state)
{
    static const char *const names[] = {"none", "storing", "opening", "open", "lost", "foreign"};
    KV_ASSERT ((unsigned)state <= SHARD_FOREIGN);
    return names[state];
}

const configuration_t *configurator_present (const configurator_t *self, uint32_t shard)
{
    KV_ASSERT (shard < self->options.shards);
    return self->shards[shard].present.epoch ? &self->shards[shard].present : NULL;
}

configurator_stats_t configurator_stats (const configurator_t *self)
{
    return self->stats;
}

static bool s_is_valid (const configuration_t *configuration)
{
    if (configuration->epoch > KV_EPOCH_MAX || configuration->count > KV_MEMBERS_MAX ||
        configuration->owner >= configuration->count ||
        owner_of (configuration)->node == KV_SECONDARY) // D4
        return false;
    for (uint32_t i = 0; i < configuration->count; i++)
        if (member_index (configuration, configuration->members[i].node) != i) // G2
            return false;
    return true;
}

bool configurator_is_valid (const configurator_t *self)
{
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_configuration_t *shard = &self->shards[i];
        if (shard->present.epoch && !s_is_valid (&shard->present))
            return false;
        if (shard->next.epoch &&
            (!s_is_valid (&shard->next) || shard->next.epoch <= shard->present.epoch)) // D1
            return false;
    }
    return true;
}
