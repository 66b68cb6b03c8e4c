#include "node/flusher.h"

#include <string.h>

enum { SYNCS_PER_INTERVAL = 2, STRETCHES_PER_INTERVAL = 16 };

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

flusher_t flusher_make (flush_policy_t policy, int64_t interval_ms, uint64_t lsn)
{
    KV_ASSERT (policy != FLUSH_OFF);
    KV_ASSERT (interval_ms >= 1);
    return (flusher_t){
        .policy = policy,
        .interval_ms = interval_ms,
        .written = lsn,
        .durable = lsn,
        .asked = lsn,
        .wanted = lsn,
    };
}

void flusher_on_written (flusher_t *self, uint64_t lsn, int64_t now_ms)
{
    KV_ASSERT (lsn >= self->written);
    if (lsn == self->written)
        return;
    self->written = lsn;
    flusher_mark_t *last = self->mark_count ? &self->marks[self->mark_count - 1] : NULL;
    int64_t stretch_ms = self->interval_ms / STRETCHES_PER_INTERVAL;
    bool within = last && now_ms - last->first_ms <= stretch_ms;
    if (within || self->mark_count == FLUSHER_MARKS)
        last->lsn = lsn; // Y3: a longer stretch looks older than its end is
    else
        self->marks[self->mark_count++] = (flusher_mark_t){now_ms, lsn};
}

void flusher_on_durable (flusher_t *self, uint64_t lsn)
{
    KV_ASSERT (lsn <= self->written); // Y1
    if (lsn <= self->durable)
        return;
    self->durable = lsn;
    if (self->asked < lsn)
        self->asked = lsn;
    uint32_t gone = 0;
    while (gone < self->mark_count && self->marks[gone].lsn <= lsn)
        gone++;
    self->mark_count -= gone;
    memmove (self->marks, self->marks + gone, self->mark_count * sizeof self->marks[0]);
}

void flusher_demand (flusher_t *self, uint64_t lsn)
{
    KV_ASSERT (lsn <= self->written);
    if (lsn > self->wanted)
        self->wanted = lsn;
}

static bool s_is_due (const flusher_t *self, int64_t now_ms)
{
    if (self->wanted > self->asked)
        return true;
    switch (self->policy) {
    case FLUSH_ALWAYS: return true;
    case FLUSH_INTERVAL:
        return self->asked <= self->durable &&
               now_ms - self->asked_ms >= self->interval_ms / SYNCS_PER_INTERVAL;
    case FLUSH_NEVER:
    case FLUSH_OFF: break;
    }
    return false;
}

bool flusher_ask (flusher_t *self, int64_t now_ms, uint64_t *lsn)
{
    if (self->written == self->asked || !s_is_due (self, now_ms))
        return false;
    self->asked = self->written;
    self->asked_ms = now_ms;
    *lsn = self->written;
    return true;
}

int64_t flusher_lag_ms (const flusher_t *self, int64_t now_ms)
{
    return self->mark_count ? now_ms - self->marks[0].first_ms : 0;
}

uint64_t flusher_releasable (const flusher_t *self, int64_t now_ms)
{
    switch (self->policy) {
    case FLUSH_ALWAYS: return self->durable;
    case FLUSH_INTERVAL:
        return flusher_lag_ms (self, now_ms) > self->interval_ms ? self->durable : UINT64_MAX;
    case FLUSH_NEVER:
    case FLUSH_OFF: break;
    }
    return UINT64_MAX;
}
