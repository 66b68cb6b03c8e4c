#include "actors/replica.h"

replica_t replica_make (uint32_t shard, uint64_t promised, uint64_t last, epoch_history_t *history)
{
    uint64_t epoch = position_epoch (last);
    if (promised < epoch)
        promised = epoch;
    replica_t self = {.shard = shard,
                      .promised = promised,
                      .seen = promised,
                      .last = last,
                      .received = last,
                      .durable = last,
                      .granted_us = INT64_MIN,
                      .history = *history};
    *history = (epoch_history_t){.opens = NULL};
    KV_ASSERT (replica_is_valid (&self));
    return self;
}

void replica_free (replica_t *self)
{
    epoch_history_free (&self->history);
    *self = (replica_t){.granted_us = INT64_MIN};
}

bool replica_see (replica_t *self, uint64_t epoch)
{
    if (epoch <= self->seen)
        return false;
    self->seen = epoch;
    self->matched = false; // C3: whatever it matched was of an owner that is over
    if (self->state == REPLICA_PLAIN)
        self->state = REPLICA_PROMISING;
    return true;
}

void replica_promised (replica_t *self, uint64_t epoch)
{
    if (epoch <= self->promised)
        return;
    KV_ASSERT (epoch <= self->seen);
    self->promised = epoch;
    self->acked_received = self->acked_durable = 0;
    if (self->state == REPLICA_PROMISING && self->promised == self->seen)
        self->state = REPLICA_PLAIN;
}

/* All of the log is the owner's; what the owner knows to be committed is so. */
static void s_match (replica_t *self, const stream_head_t *head)
{
    self->matched = true;
    replica_commit (self, head->committed);
}

/* The owner has heard how this very log ends, and names what of it is its own (C4). */
static bool s_is_cut (const replica_t *self, const stream_head_t *head)
{
    return head->cut_from != 0 && head->cut_from == self->last && head->previous < self->last &&
           head->previous >= self->committed && // C5
           epoch_history_has (&self->history, self->last, head->previous);
}

static stream_verdict_t s_judge_unmatched (replica_t *self, const stream_head_t *head)
{
    if (s_is_cut (self, head)) {
        self->state = REPLICA_CUTTING;
        self->cut_to = head->previous;
        self->cut_epoch = head->epoch;
        return STREAM_CUT;
    }
    if (head->previous != self->last && head->last != self->last)
        return STREAM_DIFFERS;
    s_match (self, head);
    return head->last > self->last ? STREAM_TAKE : STREAM_KNOWN;
}

stream_verdict_t replica_judge (replica_t *self, const stream_head_t *head)
{
    if (head->epoch < self->seen)
        return STREAM_OLD; // C2
    if (replica_see (self, head->epoch))
        return STREAM_PROMISE;
    if (self->state != REPLICA_PLAIN)
        return STREAM_LATER;
    if (!self->matched)
        return s_judge_unmatched (self, head);
    if (head->previous > self->last)
        return STREAM_DIFFERS; /* something before it was lost */
    replica_commit (self, head->committed);
    return head->last > self->last ? STREAM_TAKE : STREAM_KNOWN;
}

kv_status_t replica_append (replica_t *self, uint64_t previous, uint64_t position, bool opens)
{
    if (previous != self->last || position <= previous ||
        position_n (position) != position_n (previous) + 1)
        return KV_CORRUPT;
    if (opens != (position_epoch (position) != position_epoch (previous)))
        return KV_CORRUPT; // E1 of epoch_history.h: an epoch begins with its open, and only there
    if (position_epoch (position) > self->promised)
        return KV_CORRUPT; // C2
    if (opens && epoch_history_add (&self->history, position, previous) != KV_OK)
        return KV_CORRUPT;
    self->last = position;
    if (self->matched)
        replica_commit (self, self->told_committed);
    return KV_OK;
}

/* The most of what is known and what is told, within the log: what was told may have been cut since. */
static uint64_t s_reach (const replica_t *self, uint64_t known, uint64_t told)
{
    return told > known && epoch_history_has (&self->history, self->last, told) ? told : known;
}

void replica_reached (replica_t *self, uint64_t received, uint64_t durable)
{
    self->received = s_reach (self, self->received, received);
    self->durable = s_reach (self, self->durable, durable);
    KV_ASSERT (self->durable <= self->received); // C1
}

/* Nothing is known of what was cut. */
static void s_lower (uint64_t *position, uint64_t to)
{
    if (*position > to)
        *position = to;
}

void replica_was_cut (replica_t *self)
{
    KV_ASSERT (self->state == REPLICA_CUTTING);
    self->last = self->cut_to;
    self->received = self->durable =
        self->last; /* what stands before a durable record is durable */
    epoch_history_cut (&self->history, self->last);
    s_lower (&self->acked_received, self->last);
    s_lower (&self->acked_durable, self->last);
    self->cut_to = 0;
    self->matched = self->cut_epoch == self->seen; /* what is left is that owner's */
    self->state = self->promised == self->seen ? REPLICA_PLAIN : REPLICA_PROMISING;
}

void replica_rebase (replica_t *self, uint64_t last, epoch_history_t *history, uint64_t committed)
{
    KV_ASSERT (self->state == REPLICA_PLAIN);
    epoch_history_free (&self->history);
    self->history = *history;
    *history = (epoch_history_t){.opens = NULL};
    self->last = self->received = self->durable = last;
    self->acked_received = self->acked_durable = 0;
    self->committed = self->told_committed = 0;
    self->matched = true;
    replica_commit (self, committed);
}

void replica_own (replica_t *self)
{
    KV_ASSERT (self->state == REPLICA_PLAIN);
    self->matched = true;
}

void replica_commit (replica_t *self, uint64_t committed)
{
    KV_ASSERT (self->matched);
    if (committed > self->told_committed)
        self->told_committed = committed;
    if (committed > self->last)
        committed = self->last;
    if (committed > self->committed)
        self->committed = committed; // C5
}

bool replica_grant (replica_t *self, uint64_t epoch, int64_t now_us)
{
    if (self->state == REPLICA_PROMISING || epoch != self->promised || epoch != self->seen)
        return false; // C6
    self->granted_us = now_us;
    return true;
}

bool replica_ack (replica_t *self, bool again, uint64_t *received, uint64_t *durable)
{
    if (!self->matched || self->state != REPLICA_PLAIN)
        return false; // C3
    bool moved = self->received > self->acked_received || self->durable > self->acked_durable;
    if (!moved && !again)
        return false;
    *received = self->acked_received = self->received;
    *durable = self->acked_durable = self->durable;
    return true;
}

bool replica_is_valid (const replica_t *self)
{
    const epoch_history_t *history = &self->history;
    if (self->durable > self->received || self->received > self->last)
        return false; // C1
    if (self->committed > self->last || self->promised > self->seen)
        return false; // C5, C2
    if (self->matched && self->state == REPLICA_PROMISING)
        return false;
    return epoch_history_has (history, self->last, self->last) &&
           epoch_history_has (history, self->last, self->received) &&
           epoch_history_has (history, self->last, self->durable) &&
           epoch_history_has (history, self->last, self->committed) &&
           position_epoch (self->last) <= self->seen;
}
