#include "broker/configurator_parts.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- a change ------------------------------------------------------------------------------- */

static uint64_t s_known_epoch (const configurator_t *self, const shard_configuration_t *shard)
{
    bool adopts = self->adopting && shard->foreign > shard->present.epoch;
    return adopts ? shard->foreign : shard->present.epoch;
}

/* Has it stored under the next epoch. False: there are no more epochs. */
static bool s_change (configurator_t *self, configuration_t *next, bool fence, const char *why)
{
    shard_configuration_t *shard = &self->shards[next->shard];
    KV_ASSERT (shard->next.epoch == 0); // D1
    KV_ASSERT (next->owner < next->count);
    KV_ASSERT (owner_of (next)->node != KV_SECONDARY); // D4
    next->epoch = s_known_epoch (self, shard) + 1;
    if (next->epoch > KV_EPOCH_MAX) {
        log_event (self->options.log, KV_LOG_ERROR, "event=epochs_used_up shard=%" PRIu32,
                   next->shard);
        return false;
    }
    shard->next = *next;
    shard->next_number = 0;
    shard->next_fence = fence;
    self->batch_open = true;
    log_event (self->options.log, KV_LOG_INFO,
               "event=configuration shard=%" PRIu32 " epoch=%" PRIu64 " owner=%" PRIu32
               " members=%" PRIu32 " why=%s",
               next->shard, next->epoch, owner_of (next)->node, next->count, why);
    return true;
}

/* The same members under another owner. */
static bool s_promote (configurator_t *self, uint32_t index, uint32_t owner, const char *why)
{
    configuration_t next = self->shards[index].present;
    next.owner = owner;
    next.planned = false;
    bool changed = s_change (self, &next, false, why);
    self->stats.failovers += changed;
    return changed;
}

static bool s_drop (configurator_t *self, uint32_t index, uint32_t member, const char *why)
{
    configuration_t next = self->shards[index].present;
    KV_ASSERT (member != next.owner);
    next.count--;
    for (uint32_t i = member; i < next.count; i++)
        next.members[i] = next.members[i + 1];
    next.owner -= next.owner > member;
    next.planned = false;
    return s_change (self, &next, false, why);
}

uint32_t rules_live_count (const configurator_t *self, const configuration_t *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++)
        count += is_live (self, &configuration->members[i]);
    return count;
}

bool rules_frozen (const configurator_t *self, const shard_configuration_t *shard)
{
    return shard->foreign > shard->present.epoch && !self->adopting;
}

/* ---- the first configuration (R10) ------------------------------------------------------------ */

static void s_bootstrap (configurator_t *self, uint32_t index, int64_t now_ms)
{
    configuration_t next = {.shard = index};
    for (uint32_t rank = 0; rank < self->wanted; rank++) {
        const peer_t *peer = &self->peers[configurator_placed (self, index, rank)];
        if (peer->reachable)
            next.members[next.count++] = peer->life;
    }
    bool waited = now_ms - self->started_ms >= self->options.bootstrap_wait_ms;
    if (next.count == self->wanted || (waited && next.count > 0))
        s_change (self, &next, false, "bootstrap");
}

/* ---- no member can own (R12, R13, R15) --------------------------------------------------------- */

static bool s_answered (const configurator_t *self, uint32_t node, uint32_t index)
{
    const peer_t *peer = &self->peers[node];
    return peer->reports && peer->reports[index].answered == self->shards[index].survey;
}

/* Asks all who are there, members or not: what they have may be forced, or go with S. */
static void s_survey (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    for (uint32_t node = 0; node < self->options.nodes; node++) {
        peer_t *peer = &self->peers[node];
        if (!peer->reachable || s_answered (self, node, index))
            continue;
        report_t *report = &peer->reports[index];
        if (report->asked == shard->survey && now_ms - report->asked_ms < self->options.repeat_ms)
            continue;
        report->asked = shard->survey;
        report->asked_ms = now_ms;
        configurator_effect_t *effect = configurator_push (self, CONFIGURATOR_SURVEY, index);
        effect->node = node;
        effect->number = shard->survey;
        effect->position = shard->based ? shard->base : 0;
    }
}

/* The node with the highest log of those that answered, are there, and hold S's base if that is asked for. */
static uint32_t s_highest (const configurator_t *self, uint32_t index, bool holds)
{
    uint32_t best = CONFIGURATOR_NOBODY;
    for (uint32_t node = 0; node < self->options.nodes; node++) {
        if (!self->peers[node].reachable || !s_answered (self, node, index))
            continue;
        const report_t *report = &self->peers[node].reports[index];
        if (holds && !report->holds)
            continue;
        if (best == CONFIGURATOR_NOBODY || report->last > self->peers[best].reports[index].last)
            best = node;
    }
    return best;
}

/* A log chosen anew: from this node's life alone, and S. */
static bool s_rescue_with (configurator_t *self, uint32_t index, uint32_t node, bool secondary)
{
    configuration_t next = {.shard = index, .count = 1, .members = {self->peers[node].life}};
    if (secondary)
        next.members[next.count++] = self->options.secondary;
    bool changed = s_change (self, &next, secondary, secondary ? "log_and_secondary" : "highest");
    self->stats.rescues += changed;
    return changed;
}

/* The node whose data has that uuid, and has answered; NOBODY: it has not. */
static uint32_t s_heard_of (const configurator_t *self, uint32_t index, const uint8_t *uuid)
{
    for (uint32_t node = 0; node < self->options.nodes; node++)
        if (s_answered (self, node, index) &&
            memcmp (self->peers[node].life.uuid, uuid, KV_UUID_BYTES) == 0)
            return node;
    return CONFIGURATOR_NOBODY;
}

/* Takes the higher of two logs; of equals, the one that is there. */
static uint32_t s_higher (const configurator_t *self, uint32_t index, uint32_t a, uint32_t b)
{
    if (a == CONFIGURATOR_NOBODY)
        return b;
    uint64_t a_last = self->peers[a].reports[index].last;
    uint64_t b_last = self->peers[b].reports[index].last;
    if (a_last == b_last)
        return self->peers[a].reachable ? a : b;
    return a_last > b_last ? a : b;
}

/* The highest log of all members' data, or of all nodes when a foreign shard is adopted. NOBODY: `missing`
 * has not been heard of, or is the highest and not there. */
static uint32_t s_highest_of_all (configurator_t *self, uint32_t index, bool adopts)
{
    shard_configuration_t *shard = &self->shards[index];
    uint32_t best = CONFIGURATOR_NOBODY;
    uint32_t count = adopts ? self->options.nodes : shard->present.count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = i;
        if (!adopts) {
            node = s_heard_of (self, index, shard->present.members[i].uuid);
            shard->missing = shard->present.members[i].node;
        } else {
            shard->missing = i;
        }
        if (node == CONFIGURATOR_NOBODY || !s_answered (self, node, index))
            return CONFIGURATOR_NOBODY;
        best = s_higher (self, index, best, node);
    }
    shard->missing = best;
    return self->peers[best].reachable ? best : CONFIGURATOR_NOBODY;
}

static void s_rescue (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    bool adopts = shard->foreign > shard->present.epoch;
    bool secondary = !adopts && has_secondary (&shard->present);
    if (!shard->lost) {
        shard->lost = true;
        shard->survey = ++self->survey;
        log_event (self->options.log, KV_LOG_WARN,
                   "event=shard_lost shard=%" PRIu32 " epoch=%" PRIu64, index,
                   shard->present.epoch);
    }
    s_survey (self, index, now_ms);
    uint32_t node;
    if (secondary) {
        shard->missing = owner_of (&shard->present)->node;
        node = shard->based ? s_highest (self, index, true) : CONFIGURATOR_NOBODY;
    } else {
        node = s_highest_of_all (self, index, adopts);
    }
    if (node != CONFIGURATOR_NOBODY)
        s_rescue_with (self, index, node, secondary);
}

bool rules_force (configurator_t *self, uint32_t index)
{
    shard_configuration_t *shard = &self->shards[index];
    if (!shard->lost || shard->next.epoch || rules_frozen (self, shard))
        return false;
    uint32_t node = s_highest (self, index, false);
    if (node == CONFIGURATOR_NOBODY || !s_rescue_with (self, index, node, false))
        return false;
    log_event (self->options.log, KV_LOG_ERROR,
               "event=shard_forced shard=%" PRIu32 " owner=%" PRIu32 " missing=%" PRIu32, index,
               node, shard->missing);
    self->stats.forced++;
    return true;
}

/* ---- one shard --------------------------------------------------------------------------------- */

/* A member of the last configuration that may own it: the home before others. count: none. */
static uint32_t s_candidate (const configurator_t *self, const configuration_t *present)
{
    uint32_t found = present->count;
    uint32_t home = configurator_placed (self, present->shard, 0);
    for (uint32_t i = 0; i < present->count; i++) {
        const member_t *member = &present->members[i];
        if (i != present->owner && is_live (self, member) &&
            (found == present->count || member->node == home))
            found = i;
    }
    return found;
}

static void s_replace (configurator_t *self, uint32_t index, int64_t now_ms)
{
    const configuration_t *present = &self->shards[index].present;
    uint32_t candidate = s_candidate (self, present);
    if (candidate < present->count)
        s_promote (self, index, candidate, "owner_lost");
    else
        s_rescue (self, index, now_ms);
}

/* Who leaves since there are enough others: S, then a node that is not placed for the shard, though it was
 * promoted as the one with the log. count: nobody. */
static uint32_t s_surplus (const configurator_t *self, const configuration_t *present)
{
    uint32_t live = rules_live_count (self, present);
    if (live >= self->wanted && has_secondary (present))
        return member_index (present, KV_SECONDARY);
    uint32_t at = 0;
    while (at < present->count &&
           (at == present->owner || is_placed (self, present->shard, present->members[at].node)))
        at++;
    bool enough =
        at < present->count && live - is_live (self, &present->members[at]) >= self->wanted;
    return enough ? at : present->count;
}

static void s_trim (configurator_t *self, uint32_t index)
{
    const shard_configuration_t *shard = &self->shards[index];
    uint32_t surplus = s_surplus (self, &shard->present);
    if (shard->opened && surplus < shard->present.count)
        s_drop (self, index, surplus, "complete");
}

void rules_review (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    bool waited = now_ms - self->started_ms >= self->options.grace_ms; // D5
    if (shard->next.epoch || rules_frozen (self, shard))
        return;
    if (shard->foreign > shard->present.epoch) {
        if (waited)
            s_rescue (self, index, now_ms);
    } else if (shard->present.epoch == 0) {
        s_bootstrap (self, index, now_ms);
    } else if (is_live (self, owner_of (&shard->present))) {
        shard->lost = false;
        s_trim (self, index);
    } else if (waited) {
        s_replace (self, index, now_ms);
    }
}

/* ---- what is asked for (R7) --------------------------------------------------------------------- */

/* S may have been told to leave since it was asked for: then it has no base. */
static bool s_may_join (const configurator_t *self, const configurator_ask_t *ask)
{
    if (ask->member.node != KV_SECONDARY)
        return is_live (self, &ask->member);
    const shard_configuration_t *shard = &self->shards[ask->shard];
    return self->options.has_secondary && shard->secondary_there && shard->based &&
           member_equal (&ask->member, &self->options.secondary);
}

static bool s_admit (configurator_t *self, const configurator_ask_t *ask)
{
    configuration_t next = self->shards[ask->shard].present;
    uint32_t at = member_index (&next, ask->member.node);
    if (at == next.owner || at == KV_MEMBERS_MAX || !s_may_join (self, ask))
        return false;
    if (at < next.count && member_equal (&next.members[at], &ask->member))
        return false;
    next.members[at] = ask->member;
    next.count += at == next.count;
    next.planned = false;
    return s_change (self, &next, false, "admitted");
}

/* Drops a member. Of one who was to join, and is none, the owner is rid by the next epoch alone (R10). */
static bool s_leave_out (configurator_t *self, const configurator_ask_t *ask)
{
    configuration_t same = self->shards[ask->shard].present;
    for (uint32_t i = 0; i < same.count; i++)
        if (member_equal (&same.members[i], &ask->member))
            return i != same.owner && s_drop (self, ask->shard, i, "asked");
    same.planned = false;
    return s_change (self, &same, false, "not_joined");
}

bool rules_ask (configurator_t *self, const configurator_ask_t *ask, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[ask->shard];
    const configuration_t *present = &shard->present;
    if (shard->next.epoch || rules_frozen (self, shard) || present->epoch == 0 ||
        ask->epoch != present->epoch)
        return false;
    uint32_t asker = member_index (present, ask->asker.node);
    if (asker == present->count || !member_equal (&present->members[asker], &ask->asker) ||
        !is_live (self, &ask->asker))
        return false;
    if (ask->kind == ASK_REPLACE)
        return asker != present->owner &&
               now_ms - self->started_ms >= self->options.grace_ms && // D5
               s_promote (self, ask->shard, asker, "asked");
    if (asker != present->owner)
        return false;
    if (ask->kind == ASK_ADMIT)
        return s_admit (self, ask);
    return s_leave_out (self, ask);
}

/* ---- going home (R18, R10) ----------------------------------------------------------------------- */

/* Whether it has been in contact for long enough; flaps are forgotten with the longest contact asked for. */
static bool s_is_steady (configurator_t *self, uint32_t node, int64_t now_ms)
{
    peer_t *peer = &self->peers[node];
    if (!peer->reachable)
        return false;
    int64_t most = self->options.home_steady_most_ms;
    int64_t steady = now_ms - peer->steady_ms;
    if (steady >= most)
        peer->flaps = 0;
    int64_t needed = self->options.home_steady_ms;
    for (uint32_t i = 0; i < peer->flaps && needed < most; i++)
        needed *= 2;
    return steady >= (needed < most ? needed : most);
}

/* The index of the home among the members, if the shard can be handed over now; count: it cannot. */
static uint32_t s_home_member (const configurator_t *self, uint32_t index, uint32_t home)
{
    const shard_configuration_t *shard = &self->shards[index];
    const configuration_t *present = &shard->present;
    uint32_t at = member_index (present, home);
    uint32_t live = rules_live_count (self, present) + has_secondary (present);
    bool can = shard->opened && !shard->next.epoch && !rules_frozen (self, shard) &&
               at != present->owner && live == present->count;
    return can ? at : present->count;
}

/* Whose moves are on their way; NOBODY: nobody's. */
static uint32_t s_moving (const configurator_t *self)
{
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_configuration_t *shard = &self->shards[i];
        if (shard->next.epoch && shard->next.planned)
            return owner_of (&shard->next)->node;
        if (shard->present.planned && !shard->opened && !shard->lost)
            return owner_of (&shard->present)->node;
    }
    return CONFIGURATOR_NOBODY;
}

void rules_go_home (configurator_t *self, int64_t now_ms)
{
    uint32_t moving = s_moving (self);
    bool steady[KV_NODES_MAX];
    for (uint32_t node = 0; node < self->options.nodes; node++)
        steady[node] = s_is_steady (self, node, now_ms);
    for (uint32_t i = 0; i < self->options.shards; i++) {
        uint32_t home = configurator_placed (self, i, 0);
        if (!steady[home] || (moving != CONFIGURATOR_NOBODY && moving != home))
            continue;
        configuration_t next = self->shards[i].present;
        uint32_t at = s_home_member (self, i, home);
        if (at == next.count)
            continue;
        next.owner = at;
        next.planned = true;
        if (!s_change (self, &next, false, "home"))
            continue;
        moving = home;
        self->stats.moves++;
    }
}
