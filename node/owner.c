#include "node/owner.h"

#include <stdlib.h>

struct owner {
    replica_t *replica; /* borrowed */
    configuration_t configuration;
    configuration_t next; /* HOLDING: who has the shard after this one */
    owner_options_t options;
    owner_state_t state;
    bool taking;      /* between OWNER_SERVE and OWNER_HOLD or OWNER_OVER */
    uint64_t open;    /* the epoch's open record; 0: it is not in the log yet */
    int64_t serve_us; // W7
    uint64_t committed, secured;
    uint64_t reach;
    uint64_t
        safe_position; /* W6: this must be durable before the drop is asked for; 0: nothing is to be */
    int64_t drop_asked_us, admit_asked_us;
    owner_copy_t copies[OWNER_COPIES_MAX];
    uint32_t copy_count;
    owner_effect_t *effects; /* owned ring */
    size_t effect_first, effect_count, effect_capacity;
};

enum { FIRST_EFFECTS = 16 };

static const member_t *s_me (const owner_t *self)
{
    return &self->configuration.members[self->configuration.owner];
}

static void s_add_effect (owner_t *self, owner_effect_t effect)
{
    if (self->effect_first + self->effect_count == self->effect_capacity) {
        size_t capacity =
            self->effect_count * 2 > FIRST_EFFECTS ? self->effect_count * 2 : FIRST_EFFECTS;
        owner_effect_t *effects = malloc (capacity * sizeof *effects);
        KV_ASSERT (effects);
        for (size_t i = 0; i < self->effect_count; i++)
            effects[i] = self->effects[self->effect_first + i];
        free (self->effects);
        self->effects = effects;
        self->effect_first = 0;
        self->effect_capacity = capacity;
    }
    effect.epoch = self->configuration.epoch;
    self->effects[self->effect_first + self->effect_count++] = effect;
}

static void s_add (owner_t *self, owner_effect_kind_t kind)
{
    s_add_effect (self, (owner_effect_t){.kind = kind});
}

static void s_add_member (owner_t *self, owner_effect_kind_t kind, const member_t *member)
{
    s_add_effect (self, (owner_effect_t){.kind = kind, .member = *member});
}

static void s_add_sync (owner_t *self, uint64_t position)
{
    s_add_effect (self, (owner_effect_t){.kind = OWNER_SYNC, .position = position});
}

bool owner_next_effect (owner_t *self, owner_effect_t *out)
{
    if (self->effect_count == 0) {
        self->effect_first = 0;
        return false;
    }
    *out = self->effects[self->effect_first++];
    self->effect_count--;
    return true;
}

/* ---- copies ------------------------------------------------------------------------------------------- */

static owner_copy_t *s_find (owner_t *self, const member_t *member)
{
    for (uint32_t i = 0; i < self->copy_count; i++) {
        if (member_equal (&self->copies[i].member, member))
            return &self->copies[i];
    }
    return NULL;
}

static bool s_is_required (const owner_copy_t *copy)
{
    return copy->part != PART_LEARNER; // W4
}

/* Room for a copy of that node: a former life of it that counts for nothing makes it, or who was not heard
 * for longest. */
static owner_copy_t *s_room (owner_t *self, uint32_t node)
{
    owner_copy_t *oldest = NULL;
    for (uint32_t i = 0; i < self->copy_count; i++) {
        owner_copy_t *copy = &self->copies[i];
        if (s_is_required (copy))
            continue;
        if (copy->member.node == node)
            return copy;
        if (!oldest || copy->heard_us < oldest->heard_us)
            oldest = copy;
    }
    if (self->copy_count < OWNER_COPIES_MAX)
        return &self->copies[self->copy_count++];
    return oldest; /* members and joiners are KV_MEMBERS_MAX at most, so there is one */
}

static owner_copy_t *s_add_copy (owner_t *self, const member_t *member, owner_part_t part,
                                 int64_t now_us)
{
    owner_copy_t *copy = s_room (self, member->node);
    *copy = (owner_copy_t){.member = *member,
                           .part = part,
                           .state = COPY_ASKED,
                           .leased_until_us = INT64_MIN,
                           .heard_us = now_us,
                           .steady_us = now_us,
                           .progress_us = now_us,
                           .asked_us = INT64_MIN};
    return copy;
}

/* W3: what it has acknowledged was under another epoch, or may be lost. */
static void s_ask_again (owner_copy_t *copy)
{
    copy->state = COPY_ASKED;
    copy->cut_from = 0;
    copy->asked_us = INT64_MIN;
}

static void s_heard (const owner_t *self, owner_copy_t *copy, int64_t now_us)
{
    if (now_us - copy->heard_us > self->options.stall_us)
        copy->steady_us = now_us;
    copy->heard_us = now_us;
}

/* ---- configurations ----------------------------------------------------------------------------------- */

/* Gives every copy its part, and each member a copy. */
static void s_assign_parts (owner_t *self, int64_t now_us)
{
    const configuration_t *configuration = &self->configuration;
    for (uint32_t i = 0; i < self->copy_count; i++) {
        owner_copy_t *copy = &self->copies[i];
        copy->part = PART_LEARNER;
        copy->received = copy->durable = copy->told_committed = 0;
        copy->progress_us = now_us;
        s_ask_again (copy);
    }
    for (uint32_t i = 0; i < configuration->count; i++) {
        const member_t *member = &configuration->members[i];
        if (i == configuration->owner)
            continue;
        owner_copy_t *copy = s_find (self, member);
        if (!copy)
            copy = s_add_copy (self, member, PART_MEMBER, now_us);
        copy->part = PART_MEMBER;
    }
}

static void s_open (owner_t *self, int64_t now_us)
{
    KV_ASSERT (self->replica->promised == self->configuration.epoch);
    replica_own (self->replica);
    self->state = OWNER_OPENING;
    self->open = 0;
    self->safe_position = 0;
    self->drop_asked_us = self->admit_asked_us = INT64_MIN;
    s_assign_parts (self, now_us);
    s_add (self, OWNER_OPEN);
}

owner_t *owner_new (replica_t *replica, const configuration_t *configuration, int64_t serve_us,
                    const owner_options_t *options, int64_t now_us)
{
    owner_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self);
    self->replica = replica;
    self->configuration = *configuration;
    self->options = *options;
    self->serve_us = serve_us;
    s_open (self, now_us);
    return self;
}

void owner_destroy (owner_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->effects);
    free (*self_p);
    *self_p = NULL;
}

static void s_end (owner_t *self)
{
    self->state = OWNER_GONE;
    self->taking = false;
    s_add (self, OWNER_OVER);
}

/* All that was taken is committed: the next owner may be told. */
static void s_relinquish (owner_t *self)
{
    for (uint32_t i = 0; i < self->next.count; i++) {
        if (!member_equal (&self->next.members[i], s_me (self)))
            s_add_member (self, OWNER_RELINQUISH, &self->next.members[i]);
    }
    s_end (self);
}

static void s_hold (owner_t *self, const configuration_t *next)
{
    self->next = *next;
    self->state = OWNER_HOLDING;
    self->taking = false;
    s_add (self, OWNER_HOLD);
}

static void s_advance (owner_t *self, int64_t now_us);

void owner_configure (owner_t *self, const configuration_t *configuration, int64_t now_us)
{
    uint64_t newest = self->state == OWNER_HOLDING ? self->next.epoch : self->configuration.epoch;
    if (self->state == OWNER_GONE || configuration->epoch <= newest)
        return;
    if (member_equal (&configuration->members[configuration->owner], s_me (self))) {
        self->configuration = *configuration;
        s_open (self, now_us);
    } else if (configuration->planned && self->state == OWNER_SERVING)
        s_hold (self, configuration);
    else
        s_end (self);
    s_advance (self, now_us);
}

/* ---- committed, secured ------------------------------------------------------------------------------- */

bool owner_is_alone (const owner_t *self)
{
    return self->options.expects_followers && self->configuration.count == 1;
}

static uint64_t s_least (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void s_count (owner_t *self)
{
    uint64_t received = owner_is_alone (self) ? self->replica->durable : self->replica->received;
    uint64_t durable = self->replica->durable;
    if (self->open == 0 || durable < self->open) // R8
        return;
    for (uint32_t i = 0; i < self->copy_count; i++) {
        const owner_copy_t *copy = &self->copies[i];
        if (!s_is_required (copy))
            continue;
        received = s_least (received, copy->received);
        durable = s_least (durable, copy->durable);
    }
    if (received >= self->open && received > self->committed)
        self->committed = received;
    if (durable >= self->open && durable > self->secured)
        self->secured = durable;
    if (self->replica->matched) /* else a later epoch is being promised; then it is told again */
        replica_commit (self->replica, self->committed);
}

/* What follows from what is known now. */
static void s_advance (owner_t *self, int64_t now_us)
{
    if (self->state == OWNER_GONE)
        return;
    s_count (self);
    bool is_open = self->open != 0 && self->committed >= self->open;
    if (self->state == OWNER_OPENING && is_open && now_us >= self->serve_us) {
        self->state = OWNER_SERVING;
        if (!self->taking)
            s_add (self, OWNER_SERVE);
        self->taking = true;
    }
    if (self->state == OWNER_HOLDING && self->committed == self->replica->last)
        s_relinquish (self);
}

void owner_on_log (owner_t *self, int64_t now_us)
{
    const epoch_history_t *history = &self->replica->history;
    if (self->state == OWNER_GONE)
        return;
    if (self->open == 0 && history->count) {
        uint64_t newest = history->opens[history->count - 1].position;
        if (position_epoch (newest) == self->configuration.epoch) {
            self->open = newest;
            s_add_sync (self, newest); // R8
        }
    }
    for (uint32_t i = 0; i < self->copy_count; i++) {
        owner_copy_t *copy = &self->copies[i];
        if (copy->received == copy->sent) /* nothing was outstanding until now */
            copy->progress_us = now_us;
    }
    s_advance (self, now_us);
}

/* ---- what copies say ---------------------------------------------------------------------------------- */

void owner_on_differs (owner_t *self, const member_t *member, uint64_t last,
                       const epoch_history_t *history, int64_t now_us)
{
    const replica_t *mine = self->replica;
    if (self->state == OWNER_GONE || member_equal (member, s_me (self)))
        return;
    owner_copy_t *copy = s_find (self, member);
    if (!copy)
        copy = s_add_copy (self, member, PART_LEARNER, now_us);
    s_heard (self, copy, now_us);
    uint64_t fork = epoch_history_fork (&mine->history, mine->last, history, last);
    if (fork < self->reach) {
        if (copy->state != COPY_LACKING)
            s_add_member (self, OWNER_BASE, member);
        copy->state = COPY_LACKING;
        return;
    }
    copy->state = COPY_STREAMING;
    copy->sent = fork;
    copy->cut_from = fork < last ? last : 0;
    copy->asked_us = INT64_MIN;
}

void owner_on_ack (owner_t *self, const member_t *member, uint64_t epoch, uint64_t received,
                   uint64_t durable, bool disk_full, int64_t now_us)
{
    const replica_t *mine = self->replica;
    owner_copy_t *copy = s_find (self, member);
    if (self->state == OWNER_GONE || !copy || epoch != self->configuration.epoch || // W3
        durable > received || !epoch_history_has (&mine->history, mine->last, received) ||
        !epoch_history_has (&mine->history, mine->last, durable))
        return;
    s_heard (self, copy, now_us);
    copy->disk_full = disk_full;
    if (copy->state != COPY_STREAMING || copy->cut_from) {
        copy->state = COPY_STREAMING;
        copy->cut_from = 0;
        copy->sent = received;
    }
    if (received > copy->sent)
        copy->sent = received;
    if (received > copy->received || copy->received == 0)
        copy->progress_us = now_us;
    if (received > copy->received)
        copy->received = received;
    if (durable > copy->durable)
        copy->durable = durable;
    s_advance (self, now_us);
}

void owner_on_grant (owner_t *self, const member_t *member, uint64_t epoch, int64_t sent_us,
                     int64_t now_us)
{
    owner_copy_t *copy = s_find (self, member);
    if (self->state == OWNER_GONE || !copy || epoch != self->configuration.epoch ||
        sent_us > now_us)
        return; // W3
    s_heard (self, copy, now_us);
    if (sent_us + self->options.lease_us > copy->leased_until_us)
        copy->leased_until_us = sent_us + self->options.lease_us; // W5
}

void owner_on_connected (owner_t *self, uint32_t node)
{
    for (uint32_t i = 0; i < self->copy_count; i++) {
        if (self->copies[i].member.node == node && self->copies[i].state != COPY_LACKING)
            s_ask_again (&self->copies[i]);
    }
}

void owner_based (owner_t *self, const member_t *member)
{
    owner_copy_t *copy = s_find (self, member);
    if (copy && copy->state == COPY_LACKING)
        s_ask_again (copy);
}

void owner_set_reach (owner_t *self, uint64_t previous)
{
    self->reach = previous;
}

/* ---- time --------------------------------------------------------------------------------------------- */

static bool s_is_due (int64_t last_us, int64_t every_us, int64_t now_us)
{
    return last_us == INT64_MIN || now_us - last_us >= every_us;
}

/* R7: not heard, full, or it acknowledges nothing of what it was sent. */
static bool s_has_failed (const owner_t *self, const owner_copy_t *copy, int64_t now_us)
{
    int64_t stall_us = self->options.stall_us;
    bool outstanding = self->open != 0 && copy->received < self->replica->last;
    return copy->disk_full || now_us - copy->heard_us >= stall_us ||
           (outstanding && now_us - copy->progress_us >= stall_us);
}

static bool s_would_be_alone (const owner_t *self, const owner_copy_t *dropped)
{
    uint32_t members = 0;
    for (uint32_t i = 0; i < self->copy_count; i++)
        members += self->copies[i].part == PART_MEMBER && &self->copies[i] != dropped;
    return self->options.expects_followers && members == 0;
}

/* W6: true once everything logged by the time the drop was first wanted is durable. */
static bool s_is_safe (owner_t *self, const owner_copy_t *dropped)
{
    if (!s_would_be_alone (self, dropped))
        return true;
    if (self->safe_position == 0) {
        self->safe_position = self->replica->last;
        s_add_sync (self, self->safe_position);
    }
    return self->replica->durable >= self->safe_position;
}

static void s_drop (owner_t *self, int64_t now_us)
{
    for (uint32_t i = 0; i < self->copy_count; i++) {
        owner_copy_t *copy = &self->copies[i];
        if (!s_is_required (copy) || !s_has_failed (self, copy, now_us))
            continue;
        if (s_is_safe (self, copy) &&
            s_is_due (self->drop_asked_us, self->options.ask_us, now_us)) {
            self->drop_asked_us = now_us;
            s_add_member (self, OWNER_ASK_DROP, &copy->member);
        }
        return; /* one at a time: what follows depends on the answer */
    }
    self->safe_position = 0;
}

/* R10 */
static bool s_may_join (const owner_t *self, const owner_copy_t *copy, int64_t now_us)
{
    return copy->part == PART_LEARNER && copy->state == COPY_STREAMING && !copy->cut_from &&
           copy->received >= self->committed && copy->received != 0 &&
           now_us - copy->heard_us < self->options.stall_us &&
           now_us - copy->steady_us >= self->options.steady_us && copy->leased_until_us > now_us &&
           !copy->disk_full;
}

static void s_admit (owner_t *self, int64_t now_us)
{
    owner_copy_t *joiner = NULL;
    for (uint32_t i = 0; i < self->copy_count && !joiner; i++) {
        if (self->copies[i].part == PART_JOINER)
            joiner = &self->copies[i];
    }
    for (uint32_t i = 0; i < self->copy_count && !joiner; i++) {
        if (self->configuration.count < KV_MEMBERS_MAX &&
            s_may_join (self, &self->copies[i], now_us))
            joiner = &self->copies[i];
    }
    if (!joiner || !s_is_due (self->admit_asked_us, self->options.ask_us, now_us))
        return;
    joiner->part = PART_JOINER; // W4
    self->admit_asked_us = now_us;
    s_add_member (self, OWNER_ASK_ADMIT, &joiner->member);
}

/* What it was sent may be lost: it is asked how far it got. */
static void s_probe (owner_t *self, int64_t now_us)
{
    for (uint32_t i = 0; i < self->copy_count; i++) {
        owner_copy_t *copy = &self->copies[i];
        if (copy->state == COPY_STREAMING && copy->received < copy->sent &&
            copy->asked_us != INT64_MIN && now_us - copy->asked_us >= self->options.ask_us)
            s_ask_again (copy);
    }
}

void owner_tick (owner_t *self, int64_t now_us)
{
    s_advance (self, now_us);
    if (self->state == OWNER_GONE)
        return;
    s_drop (self, now_us);
    s_probe (self, now_us);
    if (self->state == OWNER_SERVING)
        s_admit (self, now_us);
}

/* ---- streams ------------------------------------------------------------------------------------------ */

bool owner_stream (const owner_t *self, uint32_t index, int64_t now_us, stream_head_t *head)
{
    KV_ASSERT (index < self->copy_count);
    const owner_copy_t *copy = &self->copies[index];
    const replica_t *mine = self->replica;
    if (self->state == OWNER_GONE || self->open == 0 || copy->state == COPY_LACKING)
        return false;
    if (copy->part == PART_LEARNER && now_us - copy->heard_us >= self->options.stall_us)
        return false; /* it says when it is there again */
    bool asks = copy->state == COPY_ASKED || copy->cut_from;
    bool is_due = s_is_due (copy->asked_us, self->options.ask_us, now_us);
    *head = (stream_head_t){.shard = mine->shard,
                            .epoch = self->configuration.epoch,
                            .previous = copy->sent,
                            .last = asks ? copy->sent : mine->last,
                            .cut_from = copy->cut_from,
                            .committed = self->committed,
                            .durable = mine->durable};
    if (copy->state == COPY_ASKED)
        head->previous = head->last = mine->last;
    if (asks)
        return is_due;
    return head->last > copy->sent || (self->committed > copy->told_committed && is_due);
}

void owner_sent (owner_t *self, uint32_t index, uint64_t last, int64_t now_us)
{
    KV_ASSERT (index < self->copy_count);
    owner_copy_t *copy = &self->copies[index];
    copy->asked_us = now_us;
    copy->told_committed = self->committed;
    if (copy->state == COPY_STREAMING && !copy->cut_from) {
        KV_ASSERT (last >= copy->sent);
        if (copy->received == copy->sent)
            copy->progress_us = now_us;
        copy->sent = last;
    }
}

/* ---- what may be answered ----------------------------------------------------------------------------- */

owner_state_t owner_state (const owner_t *self)
{
    return self->state;
}

const configuration_t *owner_configuration (const owner_t *self)
{
    return &self->configuration;
}

uint64_t owner_committed (const owner_t *self)
{
    return self->committed;
}

uint64_t owner_secured (const owner_t *self)
{
    return self->secured;
}

bool owner_is_leased (const owner_t *self, int64_t now_us)
{
    if (self->state == OWNER_GONE)
        return false;
    for (uint32_t i = 0; i < self->copy_count; i++) {
        if (s_is_required (&self->copies[i]) && self->copies[i].leased_until_us <= now_us)
            return false;
    }
    return true;
}

uint32_t owner_copy_count (const owner_t *self)
{
    return self->copy_count;
}

const owner_copy_t *owner_copy (const owner_t *self, uint32_t copy)
{
    KV_ASSERT (copy < self->copy_count);
    return &self->copies[copy];
}

bool owner_is_valid (const owner_t *self)
{
    const replica_t *mine = self->replica;
    if (self->secured > self->committed || self->committed > mine->last)
        return false; // W1, W2
    for (uint32_t i = 0; i < self->copy_count; i++) {
        const owner_copy_t *copy = &self->copies[i];
        if (copy->durable > copy->received || copy->received > mine->last)
            return false;
        if (self->state == OWNER_SERVING && copy->part == PART_MEMBER &&
            copy->received < self->committed)
            return false;
    }
    return self->state != OWNER_SERVING || (self->open && self->committed >= self->open);
}
