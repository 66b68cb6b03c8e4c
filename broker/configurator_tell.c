#include "broker/configurator_parts.h"

/* ---- telling --------------------------------------------------------------------------------------- */

static void s_configure (configurator_t *self, uint32_t index, uint32_t node)
{
    configurator_effect_t *effect = configurator_push (self, CONFIGURATOR_CONFIGURE, index);
    effect->node = node;
    effect->epoch = self->shards[index].present.epoch;
    effect->learn =
        node == KV_SECONDARY || node == self->shards[index].spare || is_placed (self, index, node);
}

static void s_tell_one (configurator_t *self, uint32_t index, uint32_t node, int64_t now_ms)
{
    const shard_configuration_t *shard = &self->shards[index];
    notice_t *notice = &self->shards[index].secondary;
    bool done = false;
    if (node != KV_SECONDARY) {
        if (!self->peers[node].reachable)
            return;
        notice = &self->peers[node].reports[index].notice;
        done = owner_of (&shard->present)->node != node || shard->opened;
    } else {
        done = true;
    }
    uint64_t epoch = shard->present.epoch;
    bool recent = notice->told == epoch && now_ms - notice->told_ms < self->options.repeat_ms;
    if (!notice->again && (recent || (done && notice->confirmed >= epoch)))
        return;
    if (notice->again)
        notice->confirmed = 0;
    notice->again = false;
    notice->told = epoch;
    notice->told_ms = now_ms;
    s_configure (self, index, node);
}

/* Only the former owner is told yet (D8). */
static bool s_is_reserved (const configurator_t *self, const shard_configuration_t *shard,
                           int64_t now_ms)
{
    return shard->present.planned && !shard->opened && is_live (self, &shard->former) &&
           now_ms - shard->stored_ms < self->options.move_wait_ms;
}

/* Only S is told yet (D7). */
static bool s_is_fencing (const shard_configuration_t *shard)
{
    return shard->fence && shard->secondary.confirmed < shard->present.epoch;
}

static bool s_may_tell (const configurator_t *self, uint32_t index, uint32_t node, int64_t now_ms)
{
    const shard_configuration_t *shard = &self->shards[index];
    if (shard->present.epoch == 0)
        return false;
    if (s_is_fencing (shard))
        return node == KV_SECONDARY;
    return !s_is_reserved (self, shard, now_ms) || node == shard->former.node;
}

/* Members, who is to learn, and who was told before: it may think that it is a member, or learns. */
static bool s_is_recipient (const configurator_t *self, uint32_t index, uint32_t node)
{
    const shard_configuration_t *shard = &self->shards[index];
    const peer_t *peer = &self->peers[node];
    return peer->reachable && (peer->reports[index].notice.told || node == shard->spare ||
                               member_index (&shard->present, node) < shard->present.count ||
                               is_placed (self, index, node));
}

static void s_tell (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    if (shard->secondary_there && s_may_tell (self, index, KV_SECONDARY, now_ms))
        s_tell_one (self, index, KV_SECONDARY, now_ms);
    for (uint32_t node = 0; node < self->options.nodes; node++)
        if (s_is_recipient (self, index, node) && s_may_tell (self, index, node, now_ms))
            s_tell_one (self, index, node, now_ms);
}

/* The next node round that could stand in; NOBODY: there is none. */
static uint32_t s_find_spare (const configurator_t *self, uint32_t index)
{
    const configuration_t *present = &self->shards[index].present;
    for (uint32_t rank = self->wanted; rank < self->options.nodes; rank++) {
        uint32_t node = configurator_placed (self, index, rank);
        if (self->peers[node].reachable && member_index (present, node) == present->count)
            return node;
    }
    return CONFIGURATOR_NOBODY;
}

static void s_keep_spare (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    const configuration_t *present = &shard->present;
    if (!shard->opened)
        return;
    bool was_lacking = shard->lacking;
    shard->lacking = rules_live_count (self, present) < self->wanted;
    if (!was_lacking)
        shard->lacking_ms = now_ms;
    uint32_t spare = shard->spare;
    bool there = spare != CONFIGURATOR_NOBODY && self->peers[spare].reachable;
    bool stands = there && member_index (present, spare) < present->count;
    if (stands || (there && shard->lacking))
        return;
    shard->spare = CONFIGURATOR_NOBODY;
    if (spare != CONFIGURATOR_NOBODY) /* it is told to stop */
        self->peers[spare].reports[index].notice.again = true;
    if (shard->lacking && now_ms - shard->lacking_ms >= self->options.rereplicate_after_ms)
        shard->spare = s_find_spare (self, index);
    if (shard->spare != CONFIGURATOR_NOBODY)
        self->peers[shard->spare].reports[index].notice.again = true;
}

/* S learns while copies are missing, and leaves when none is. */
static void s_keep_secondary (configurator_t *self, uint32_t index)
{
    shard_configuration_t *shard = &self->shards[index];
    if (!shard->opened || has_secondary (&shard->present))
        return;
    bool wanted = self->options.has_secondary && self->room &&
                  rules_live_count (self, &shard->present) < self->wanted;
    if (shard->secondary_there && !wanted && !shard->next.epoch) {
        configurator_push (self, CONFIGURATOR_LEAVE, index);
        shard->secondary = (notice_t){0};
        shard->based = false;
    }
    shard->secondary_there = wanted || (shard->secondary_there && shard->next.epoch);
}

/* ---- routes ---------------------------------------------------------------------------------------- */

static void s_route (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    member_t to = {.node = CONFIGURATOR_NOBODY};
    uint32_t missing = configurator_placed (self, index, 0);
    if (shard->present.epoch) {
        const member_t *owner = owner_of (&shard->present);
        missing = shard->lost ? shard->missing : owner->node;
        bool had =
            member_equal (owner, &shard->routed); /* an epoch of the same owner, not opened yet */
        if ((shard->opened || had) && is_live (self, owner))
            to = *owner;
        else if (s_is_reserved (self, shard, now_ms) &&
                 member_equal (&shard->former, &shard->routed))
            to = shard->former;
    }
    bool same = member_equal (&to, &shard->routed) &&
                (to.node != CONFIGURATOR_NOBODY || missing == shard->routed_missing);
    if (same && shard->was_routed)
        return;
    shard->was_routed = true;
    shard->routed = to;
    shard->routed_missing = missing;
    configurator_effect_t *effect = configurator_push (self, CONFIGURATOR_ROUTE, index);
    effect->node = to.node;
    effect->missing = to.node == CONFIGURATOR_NOBODY ? missing : CONFIGURATOR_NOBODY;
    effect->epoch = shard->present.epoch;
}

void tell_review (configurator_t *self, uint32_t index, int64_t now_ms)
{
    s_keep_secondary (self, index);
    s_keep_spare (self, index, now_ms);
    s_tell (self, index, now_ms);
    s_route (self, index, now_ms);
}

void tell_again (configurator_t *self, uint32_t index, uint32_t node, int64_t now_ms)
{
    if (s_may_tell (self, index, node, now_ms))
        s_configure (self, index, node);
}
