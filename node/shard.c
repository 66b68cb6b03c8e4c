#include "node/shard.h"

#include "node/snapshot_load.h"

#include <stdlib.h>

struct shard {
    store_t *store;
    uint64_t last;           /* H1 */
    uint64_t previous;       /* the record before it */
    uint64_t last_lsn;       /* behind it in the log */
    uint64_t settled;        /* H9 */
    uint64_t mark, mark_lsn; /* a position, and the lsn behind its record */
    uint64_t expired_count;
    uint64_t bytes; /* what it has in host->bytes */
    uint32_t id;
    bool is_open, is_changed;
    shard_t *next_open, *next_changed; /* in the host's lists */
    shard_host_t *host;                /* borrowed */
    uint8_t secret[STORE_SECRET_BYTES];
};

enum { EPOCH_BITS = 64 - POSITION_N_BITS };

static const uint64_t s_n_mask = (UINT64_C (1) << POSITION_N_BITS) - 1;

static void s_account (shard_t *self)
{
    uint64_t bytes = store_bytes (self->store);
    self->host->bytes += bytes - self->bytes; // H5
    self->bytes = bytes;
}

shard_t *shard_new (uint32_t id, uint64_t epoch, const uint8_t secret[STORE_SECRET_BYTES],
                    shard_host_t *host)
{
    KV_ASSERT (epoch >> EPOCH_BITS == 0);
    shard_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->store = store_new (secret, host->pool);
    self->last = epoch << POSITION_N_BITS;
    self->id = id;
    self->host = host;
    memcpy (self->secret, secret, sizeof self->secret);
    s_account (self);
    return self;
}

store_t *shard_retire (shard_t **self_p)
{
    shard_t *self = *self_p;
    KV_ASSERT (!self->is_open);
    shard_host_account (self->host); /* it is in that list no more */
    store_t *store = self->store;
    self->host->bytes -= self->bytes;
    self->host->entries -= store_count (store); // H6
    free (self);
    *self_p = NULL;
    return store;
}

void shard_destroy (shard_t **self_p)
{
    if (!*self_p)
        return;
    store_t *store = shard_retire (self_p);
    store_destroy (&store);
}

uint32_t shard_id (const shard_t *self)
{
    return self->id;
}

uint64_t shard_epoch (const shard_t *self)
{
    return self->last >> POSITION_N_BITS;
}

uint64_t shard_last (const shard_t *self)
{
    return self->last;
}

uint64_t shard_previous (const shard_t *self)
{
    return self->previous;
}

const store_t *shard_store (const shard_t *self)
{
    return self->store;
}

size_t shard_live_count (const shard_t *self, int64_t now_ms)
{
    return store_count (self->store) - store_due_count (self->store, now_ms);
}

/* ---- ticks ----------------------------------------------------------------------------------- */

static void s_tick (shard_host_t *self)
{
    self->clock++;
    self->tick_s[self->clock] = self->now_s;
    self->created = 0;
}

void shard_host_set_time (shard_host_t *self, int64_t now_ms)
{
    uint32_t now_s = (uint32_t)(now_ms / 1000);
    if (now_s == self->now_s)
        return;
    self->now_s = now_s;
    s_tick (self);
}

static void s_count_created (shard_host_t *self)
{
    self->entries++; // H6
    self->created++;
    uint64_t turn = self->entries > SHARD_TURN_LEAST ? self->entries : SHARD_TURN_LEAST;
    if (self->ticks_by_turnover && self->created * SHARD_TICKS_PER_TURN > turn)
        s_tick (self);
}

/* ---- records --------------------------------------------------------------------------------- */

static void s_note_change (shard_t *self)
{
    if (self->is_changed)
        return;
    self->is_changed = true;
    self->next_changed = self->host->changed;
    self->host->changed = self;
}

static void s_observe_lsn (shard_host_t *host, uint64_t lsn)
{
    if (lsn > host->observed)
        host->observed = lsn;
}

/* H7; `entry` is what a command has found, or NULL. */
static void s_observe (shard_t *self, const entry_t *entry)
{
    if (self->last_lsn <= self->host->durable_lsn)
        return;
    if (!entry || entry_version (entry) > self->mark)
        s_observe_lsn (self->host, self->last_lsn);
    else if (entry_version (entry) > self->settled && self->mark_lsn > self->host->durable_lsn)
        s_observe_lsn (self->host, self->mark_lsn);
}

/* A record has its place in the log. */
static void s_logged (shard_t *self, uint64_t lsn)
{
    shard_host_t *host = self->host;
    if (self->mark_lsn <= host->durable_lsn) {
        self->settled = self->mark; // H9
        self->mark = self->last;
        self->mark_lsn = lsn;
    }
    self->last_lsn = lsn;
    host->end_lsn = lsn;
    s_observe_lsn (host, lsn);
}

bool shard_host_has_room (const shard_host_t *self, uint64_t bytes)
{
    if (!self->sink)
        return true;
    return self->sink->room (self->sink->context) >= bytes + self->open_bytes + self->kept_room;
}

void shard_host_observe_all (shard_host_t *self)
{
    if (self->end_lsn > self->durable_lsn)
        s_observe_lsn (self, self->end_lsn);
}

/* The position of the open record, which it opens if need be. */
static uint64_t s_position (shard_t *self)
{
    if (self->is_open)
        return self->last;
    KV_ASSERT ((self->last & s_n_mask) < s_n_mask);
    KV_ASSERT (!self->host->no_log); // H8
    self->is_open = true;
    self->next_open = self->host->open;
    self->host->open = self;
    self->host->open_bytes += RECORD_HEADER_BYTES;
    s_note_change (self);
    self->previous = self->last;
    return ++self->last; // H1: n is the low part, and never carries into the epoch
}

void shard_host_end (shard_host_t *self)
{
    while (self->open) {
        shard_t *shard = self->open;
        self->open = shard->next_open;
        shard->is_open = false;
        shard->next_open = NULL;
        if (self->sink)
            s_logged (shard, self->sink->end (self->sink->context, shard)); // H4
    }
    self->open_bytes = 0;
}

void shard_host_account (shard_host_t *self)
{
    while (self->changed) {
        shard_t *shard = self->changed;
        self->changed = shard->next_changed;
        shard->is_changed = false;
        s_account (shard);
    }
}

static bool s_is_heard (const shard_t *self)
{
    return self->host->sink != NULL;
}

static void s_tell (const shard_t *self, effect_t effect)
{
    self->host->open_bytes += record_effect_bytes (effect.key.size, effect.value.size);
    self->host->sink->effect (self->host->sink->context, self, &effect); // H4
}

/* ---- effects --------------------------------------------------------------------------------- */

static bool s_is_expired (const shard_t *self, const entry_t *entry, int64_t now_ms)
{
    int64_t expires_ms = store_expires_ms (self->store, entry);
    return expires_ms != 0 && expires_ms <= now_ms;
}

static void s_touch (const shard_t *self, entry_t *entry)
{
    /* Most reads come within the second of the one before, and need not write. */
    if (entry_clock (entry) != self->host->clock)
        entry_set_clock (entry, self->host->clock);
}

/* H3, as far as H8 allows it. */
static void s_delete_expired (shard_t *self, entry_t *entry)
{
    if (self->host->no_log) {
        self->host->blocked = true;
        return;
    }
    shard_delete (self, entry);
    self->expired_count++;
}

entry_t *shard_peek (shard_t *self, kv_slice_t key, uint64_t hash, int64_t now_ms)
{
    entry_t *entry = store_find (self->store, key, hash);
    if (entry && s_is_expired (self, entry, now_ms)) {
        s_delete_expired (self, entry);
        entry = NULL;
    }
    s_observe (self, entry);
    return entry;
}

entry_t *shard_find (shard_t *self, kv_slice_t key, uint64_t hash, int64_t now_ms)
{
    entry_t *entry = shard_peek (self, key, hash, now_ms);
    if (entry)
        s_touch (self, entry);
    return entry;
}

uint16_t shard_age (const shard_t *self, const entry_t *entry)
{
    return (uint16_t)(self->host->clock - entry_clock (entry));
}

int64_t shard_idle_s (const shard_t *self, const entry_t *entry)
{
    int64_t idle_s = (int64_t)self->host->now_s - self->host->tick_s[entry_clock (entry)];
    return idle_s > 0 ? idle_s : 0; /* the wall clock may have been set back */
}

entry_t *shard_put (shard_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                    int64_t expires_ms)
{
    size_t before = store_count (self->store);
    entry_t *entry = store_put (self->store, key, hash, value, expires_ms, s_position (self)); // H2
    if (store_count (self->store) > before)
        s_count_created (self->host);
    s_touch (self, entry);
    if (s_is_heard (self))
        s_tell (self, (effect_t){.kind = EFFECT_PUT,
                                 .key = entry_key (entry),
                                 .value = entry_value (entry),
                                 .expires_ms = expires_ms});
    return entry;
}

entry_t *shard_set_value (shard_t *self, entry_t *entry, kv_slice_t value)
{
    entry = store_resize_value (self->store, entry, value.size, s_position (self)); // H2
    if (value.size)
        memcpy (entry_value_data (entry), value.data, value.size);
    s_touch (self, entry);
    if (s_is_heard (self))
        s_tell (self, (effect_t){.kind = EFFECT_PUT,
                                 .key = entry_key (entry),
                                 .value = value,
                                 .expires_ms = store_expires_ms (self->store, entry)});
    return entry;
}

entry_t *shard_write (shard_t *self, entry_t *entry, size_t offset, kv_slice_t bytes)
{
    size_t before = entry_value (entry).size;
    size_t end = offset + bytes.size;
    entry = store_resize_value (self->store, entry, end > before ? end : before,
                                s_position (self)); // H2
    if (offset > before)
        memset (entry_value_data (entry) + before, 0, offset - before);
    if (bytes.size)
        memcpy (entry_value_data (entry) + offset, bytes.data, bytes.size);
    s_touch (self, entry);
    if (s_is_heard (self))
        s_tell (self, (effect_t){.kind = EFFECT_WRITE,
                                 .key = entry_key (entry),
                                 .value = bytes,
                                 .offset = offset});
    return entry;
}

entry_t *shard_set_expiry (shard_t *self, entry_t *entry, int64_t expires_ms)
{
    entry = store_set_expiry (self->store, entry, expires_ms, s_position (self)); // H2
    s_touch (self, entry);
    if (s_is_heard (self))
        s_tell (
            self,
            (effect_t){.kind = EFFECT_EXPIRE, .key = entry_key (entry), .expires_ms = expires_ms});
    return entry;
}

void shard_delete (shard_t *self, entry_t *entry)
{
    (void)s_position (self);
    if (s_is_heard (self))
        s_tell (self, (effect_t){.kind = EFFECT_DELETE, .key = entry_key (entry)});
    store_remove (self->store, entry);
    self->host->entries--; // H6
}

store_t *shard_clear (shard_t *self)
{
    (void)s_position (self);
    if (s_is_heard (self))
        s_tell (self, (effect_t){.kind = EFFECT_CLEAR});
    store_t *old = self->store;
    self->host->entries -= store_count (old); // H6
    self->store = store_new (self->secret, self->host->pool);
    return old;
}

void shard_open_epoch (shard_t *self, uint64_t epoch)
{
    KV_ASSERT (!self->is_open);
    KV_ASSERT (epoch > shard_epoch (self));
    KV_ASSERT (epoch >> EPOCH_BITS == 0);
    uint64_t previous = self->last;
    self->last = epoch << POSITION_N_BITS | position_n (previous); // H1
    (void)s_position (self);
    self->previous = previous;
    if (s_is_heard (self))
        s_tell (self, (effect_t){.kind = EFFECT_OPEN});
}

/* ---- recovery -------------------------------------------------------------------------------- */

void shard_set_last (shard_t *self, uint64_t last)
{
    self->last = last;
    self->mark = last;
}

void shard_reserve (shard_t *self, size_t entries)
{
    store_reserve (self->store, entries);
    s_note_change (self);
}

kv_status_t shard_load (shard_t *self, kv_slice_t payload, uint64_t *entries)
{
    size_t before = store_count (self->store);
    kv_status_t status = snapshot_load (self->store, payload, entries);
    self->host->entries += store_count (self->store) - before; // H6
    s_note_change (self);
    return status;
}

static void s_apply_write (shard_t *self, const effect_t *effect, uint64_t hash)
{
    entry_t *entry = store_find (self->store, effect->key, hash);
    if (!entry)
        entry = store_put (self->store, effect->key, hash, kv_slice (NULL, 0), 0, self->last);
    size_t before = entry_value (entry).size;
    size_t end = effect->offset + effect->value.size;
    entry = store_resize_value (self->store, entry, end > before ? end : before, self->last); // H2
    if (effect->offset > before)
        memset (entry_value_data (entry) + before, 0, effect->offset - before);
    if (effect->value.size)
        memcpy (entry_value_data (entry) + effect->offset, effect->value.data, effect->value.size);
}

static void s_apply_clear (shard_t *self)
{
    store_destroy (&self->store);
    self->store = store_new (self->secret, self->host->pool);
}

static void s_apply (shard_t *self, const effect_t *effect)
{
    entry_t *entry;
    uint64_t hash = effect->key.size ? store_hash (self->store, effect->key) : 0;
    switch (effect->kind) {
    case EFFECT_PUT:
        store_put (self->store, effect->key, hash, effect->value, effect->expires_ms, self->last);
        return;
    case EFFECT_WRITE: s_apply_write (self, effect, hash); return;
    case EFFECT_EXPIRE:
        entry = store_find (self->store, effect->key, hash);
        if (entry)
            store_set_expiry (self->store, entry, effect->expires_ms, self->last);
        return;
    case EFFECT_DELETE:
        entry = store_find (self->store, effect->key, hash);
        if (entry)
            store_remove (self->store, entry);
        return;
    case EFFECT_CLEAR: s_apply_clear (self); return;
    case EFFECT_OPEN: return;
    }
}

kv_status_t shard_apply (shard_t *self, const record_t *record)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    KV_ASSERT (!self->is_open);
    if (!record_follows (record, self->last))
        return KV_CORRUPT;
    size_t before = store_count (self->store);
    self->previous = self->last;
    self->last = record->position; // H1: record_decode has seen to it (D1)
    self->mark = self->last;
    while (effect_next (&at, &effect) == KV_OK)
        s_apply (self, &effect);
    self->host->entries = self->host->entries - before + store_count (self->store); // H6
    s_note_change (self);
    return KV_OK;
}

/* Whether the log has space for the record: what this key takes, not what any may take. */
static bool s_may_delete (const shard_t *self, const entry_t *entry)
{
    return shard_host_has_room (self->host, RECORD_HEADER_BYTES +
                                                record_effect_bytes (entry_key (entry).size, 0));
}

size_t shard_expire (shard_t *self, int64_t now_ms, size_t budget)
{
    size_t done = 0;
    while (done < budget) {
        int64_t expires_ms;
        entry_t *entry = store_next_to_expire (self->store, &expires_ms);
        if (!entry || expires_ms > now_ms || !s_may_delete (self, entry))
            break;
        shard_delete (self, entry);
        done++;
    }
    self->expired_count += done;
    return done;
}

uint64_t shard_expired_count (const shard_t *self)
{
    return self->expired_count;
}
