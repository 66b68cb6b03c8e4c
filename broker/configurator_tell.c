#include "broker/configurator_parts.h"

/* ---- telling --------------------------------------------------------------------------------------- */

static void s_configure (configurator_t *self, uint32_t index, uint32_t node)
{
    configurator_effect_t *effect = configurator_push (self, CONFIGURATOR_CONFIGURE, index);
    effect->node = node;
    effect->epoch = self->shards[index].present.epoch;
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
    if (done && notice->confirmed >= epoch)
        return;
    if (notice->told == epoch && now_ms - notice->told_ms < self->options.repeat_ms)
        return;
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

static void s_tell (configurator_t *self, uint32_t index, int64_t now_ms)
{
    shard_configuration_t *shard = &self->shards[index];
    if (shard->secondary_there && s_may_tell (self, index, KV_SECONDARY, now_ms))
        s_tell_one (self, index, KV_SECONDARY, now_ms);
    for (uint32_t i = 0; i < shard->present.count + self->wanted; i++) {
        uint32_t node = i < shard->present.count
                            ? shard->present.members[i].node
                            : configurator_placed (self, index, i - shard->present.count);
        if (node != KV_SECONDARY && s_may_tell (self, index, node, now_ms))
            s_tell_one (self, index, node, now_ms);
    }
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
    s_tell (self, index, now_ms);
    s_route (self, index, now_ms);
}

void tell_again (configurator_t *self, uint32_t index, uint32_t node, int64_t now_ms)
{
    if (s_may_tell (self, index, node, now_ms))
        s_configure (self, index, node);
}
