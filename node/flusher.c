#include "node/flusher.h"

#include <string.h>

enum {
    SYNCS_PER_INTERVAL = 2,
    STRETCHES_PER_INTERVAL = 16,
    PATIENCE =
        4 /* under always: a sync is put off for one part in so many of what the last one took */
};

static const char *const s_names[] = {
    [FLUSH_ALWAYS] = "always",
    [FLUSH_INTERVAL] = "interval",
    [FLUSH_NEVER] = "never",
    [FLUSH_OFF] = "off",
};

bool flush_policy_read (const char *name, flush_policy_t *policy)
{
    for (int i = FLUSH_ALWAYS; i <= FLUSH_OFF; i++) {
        if (strcmp (name, s_names[i]) == 0) {
            *policy = (flush_policy_t)i;
            return true;
        }
    }
    return false;
}

const char *flush_policy_name (flush_policy_t policy)
{
    KV_ASSERT (policy >= FLUSH_ALWAYS);
    KV_ASSERT (policy <= FLUSH_OFF);
    return s_names[policy];
}

flusher_t flusher_make (flush_policy_t policy, int64_t interval_us, uint64_t lsn)
{
    KV_ASSERT (policy != FLUSH_OFF);
    KV_ASSERT (interval_us >= 1);
    return (flusher_t){
        .policy = policy,
        .interval_us = interval_us,
        .written = lsn,
        .durable = lsn,
        .asked = lsn,
        .wanted = lsn,
    };
}

void flusher_on_written (flusher_t *self, uint64_t lsn, int64_t now_us)
{
    KV_ASSERT (lsn >= self->written);
    if (lsn == self->written)
        return;
    self->written = lsn;
    flusher_mark_t *last = self->mark_count ? &self->marks[self->mark_count - 1] : NULL;
    int64_t stretch_us = self->interval_us / STRETCHES_PER_INTERVAL;
    bool within = last && now_us - last->first_us <= stretch_us;
    if (within || self->mark_count == FLUSHER_MARKS)
        last->lsn = lsn; // Y3: a longer stretch looks older than its end is
    else
        self->marks[self->mark_count++] = (flusher_mark_t){now_us, lsn};
}

void flusher_on_durable (flusher_t *self, uint64_t lsn, int64_t now_us)
{
    KV_ASSERT (lsn <= self->written); // Y1
    if (lsn <= self->durable)
        return;
    self->durable = lsn;
    if (self->asked < lsn)
        self->asked = lsn;
    if (lsn == self->asked) {
        self->group = self->asked_held - self->let_go;
        self->let_go = self->asked_held;
        self->took_us = now_us - self->asked_us;
        self->durable_us = now_us;
    }
    uint32_t gone = 0;
    while (gone < self->mark_count && self->marks[gone].lsn <= lsn)
        gone++;
    self->mark_count -= gone;
    memmove (self->marks, self->marks + gone, self->mark_count * sizeof self->marks[0]);
}

void flusher_on_held (flusher_t *self)
{
    self->held++;
}

int64_t flusher_due_us (const flusher_t *self)
{
    bool is_put_off =
        self->policy == FLUSH_ALWAYS && self->written > self->asked && self->asked <= self->durable;
    return is_put_off ? self->durable_us + self->took_us / PATIENCE : INT64_MAX;
}

void flusher_demand (flusher_t *self, uint64_t lsn)
{
    KV_ASSERT (lsn <= self->written);
    if (lsn > self->wanted)
        self->wanted = lsn;
}

static bool s_group_is_complete (const flusher_t *self)
{
    return self->held - self->asked_held >= self->group;
}

static bool s_is_due (const flusher_t *self, int64_t now_us)
{
    if (self->wanted > self->asked)
        return true;
    switch (self->policy) {
    case FLUSH_ALWAYS:
        return self->asked <= self->durable &&
               (s_group_is_complete (self) ||
                now_us - self->durable_us >= self->took_us / PATIENCE);
    case FLUSH_INTERVAL:
        return self->asked <= self->durable &&
               now_us - self->asked_us >= self->interval_us / SYNCS_PER_INTERVAL;
    case FLUSH_NEVER:
    case FLUSH_OFF: break;
    }
    return false;
}

bool flusher_ask (flusher_t *self, int64_t now_us, uint64_t *lsn)
{
    if (self->written == self->asked || !s_is_due (self, now_us))
        return false;
    self->asked = self->written;
    self->asked_held = self->held;
    self->asked_us = now_us;
    *lsn = self->written;
    return true;
}

int64_t flusher_lag_us (const flusher_t *self, int64_t now_us)
{
    return self->mark_count ? now_us - self->marks[0].first_us : 0;
}

uint64_t flusher_releasable (const flusher_t *self, int64_t now_us)
{
    switch (self->policy) {
    case FLUSH_ALWAYS: return self->durable;
    case FLUSH_INTERVAL:
        return flusher_lag_us (self, now_us) > self->interval_us ? self->durable : UINT64_MAX;
    case FLUSH_NEVER:
    case FLUSH_OFF: break;
    }
    return UINT64_MAX;
}
