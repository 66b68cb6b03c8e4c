#include "node/snapshotter.h"

#include "actors/clock.h"
#include "node/snapshot_walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEP_ENTRIES = 256, SECOND_MS = 1000 };

struct snapshotter {
    snapshotter_options_t options;
    snapshot_actor_t *actor; /* owned */
    snapshot_walk_t *walk;   /* owned */
    uint32_t *shards;        /* owned: those of the snapshot under way */
    size_t shard_count;
    writer_t chunk;         /* in the making */
    uint64_t ahead_bytes;   /* sent, and not written yet */
    uint64_t under_way_lsn; /* start lsn of the one under way */
    uint64_t walked;        /* entries of it */
    bool walk_is_over;
    snapshotter_status_t status;
    char fault[FILES_ERROR_BYTES];
};

snapshotter_t *snapshotter_new (const snapshotter_options_t *options)
{
    snapshot_actor_t *actor = snapshot_actor_new (options->files, options->name);
    if (!actor)
        return NULL;
    snapshotter_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->actor = actor;
    self->walk = snapshot_walk_new ();
    self->shards = calloc (options->shards, sizeof *self->shards);
    KV_ASSERT (self->shards != NULL);
    self->chunk = writer_make (SIZE_MAX);
    self->status.begun_ms = clock_ms ();
    return self;
}

void snapshotter_destroy (snapshotter_t **self_p)
{
    snapshotter_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    snapshot_actor_destroy (&self->actor);
    snapshot_walk_destroy (&self->walk);
    writer_free (&self->chunk);
    free (self->shards);
    free (self);
}

void *snapshotter_socket (const snapshotter_t *self)
{
    return snapshot_actor_socket (self->actor);
}

snapshotter_status_t snapshotter_status (const snapshotter_t *self)
{
    snapshotter_status_t status = self->status;
    status.fault = self->fault;
    return status;
}

void snapshotter_recovered (snapshotter_t *self, uint64_t start_lsn, uint64_t bytes,
                            uint64_t entries)
{
    self->status.start_lsn = start_lsn;
    self->status.bytes = bytes;
    self->status.entries = entries;
}

/* One that has begun does not hold what was executed since: the next one will (M1). */
uint64_t snapshotter_want (snapshotter_t *self)
{
    self->status.wanted = self->status.begun + 1;
    return self->status.wanted;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static const store_t *s_store_of (void *context, uint32_t shard)
{
    const snapshotter_t *self = context;
    const shard_t *there = executor_shard (self->options.executor, shard);
    return there ? shard_store (there) : NULL;
}

/* The chunks that name the shards (N1). */
static uint64_t s_send_shards (snapshotter_t *self)
{
    uint64_t entries = 0;
    self->shard_count = 0;
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_t *shard = executor_shard (self->options.executor, i);
        if (!shard)
            continue;
        self->shards[self->shard_count++] = i;
        entries += store_count (shard_store (shard));
    }
    return entries;
}

static void s_begin (snapshotter_t *self, const snapshotter_turn_t *turn)
{
    snapshot_header_t header = {.start_lsn = turn->appended_lsn,
                                .entries = s_send_shards (self),
                                .shards = self->options.shards,
                                .made_ms = turn->wall_ms};
    memcpy (header.uuid, self->options.uuid, SNAPSHOT_UUID_BYTES);
    self->status.begun++;
    self->status.begun_ms = turn->now_ms;
    self->status.state = SNAPSHOTTER_WALKING;
    self->under_way_lsn = turn->appended_lsn;
    self->walked = 0;
    self->walk_is_over = false;
    snapshot_actor_begin (self->actor, &header);
    for (size_t i = 0; i < self->shard_count; i++) {
        const shard_t *shard = executor_shard (self->options.executor, self->shards[i]);
        writer_t chunk = writer_make (SIZE_MAX);
        snapshot_chunk_begin (&chunk);
        snapshot_shard_write (&chunk, shard_last (shard), store_count (shard_store (shard)));
        snapshot_actor_chunk (self->actor, SNAPSHOT_SHARD, self->shards[i], &chunk);
    }
    snapshot_walk_options_t walk = {.shards = self->shards,
                                    .count = self->shard_count,
                                    .store_of = s_store_of,
                                    .context = self};
    snapshot_walk_begin (self->walk, &walk);
    log_event (self->options.log, KV_LOG_INFO,
               "event=snapshot_begins number=%" PRIu64 " entries=%" PRIu64 " lsn=%" PRIu64,
               self->status.begun, header.entries, header.start_lsn);
}

static void s_step (snapshotter_t *self)
{
    snapshot_step_t step = snapshot_walk_step (self->walk, STEP_ENTRIES, &self->chunk);
    self->walked += step.entries;
    self->walk_is_over = step.over;
    if (!step.due)
        return;
    snapshot_actor_chunk (self->actor, SNAPSHOT_ENTRIES, step.shard, &self->chunk);
}

/* True: the time is over, and the walk is not. */
static bool s_walk (snapshotter_t *self, const snapshotter_turn_t *turn)
{
    int64_t now_us = clock_us ();
    bool waits = false;
    while (!self->walk_is_over && now_us < turn->until_us) {
        waits = !snapshot_actor_has_room (self->actor); // M3
        if (waits)
            break;
        s_step (self);
        int64_t then_us = now_us;
        now_us = clock_us ();
        if ((uint64_t)(now_us - then_us) > self->status.longest_step_us)
            self->status.longest_step_us = (uint64_t)(now_us - then_us);
    }
    if (self->walk_is_over) {
        self->status.state = SNAPSHOTTER_SETTLING;
        self->status.end_lsn = turn->appended_lsn;
    }
    return !self->walk_is_over && !waits;
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void s_end (snapshotter_t *self, const char *fault)
{
    self->status.state = SNAPSHOTTER_IDLE;
    self->status.ended = self->status.begun;
    self->status.took_ms = clock_ms () - self->status.begun_ms;
    writer_reset (&self->chunk);
    snprintf (self->fault, sizeof self->fault, "%s", fault);
}

static void s_done (snapshotter_t *self, uint64_t bytes, int64_t wall_ms)
{
    s_end (self, "");
    self->status.done++;
    self->status.start_lsn = self->under_way_lsn;
    self->status.bytes = bytes;
    self->status.entries = self->walked;
    self->status.made_ms = wall_ms;
    log_event (self->options.log, KV_LOG_INFO,
               "event=snapshot_done number=%" PRIu64 " entries=%" PRIu64 " bytes=%" PRIu64
               " took_ms=%" PRId64,
               self->status.ended, self->walked, bytes, self->status.took_ms);
}

static void s_failed (snapshotter_t *self, const char *fault)
{
    s_end (self, fault);
    self->status.failed++;
    log_event (self->options.log, KV_LOG_ERROR,
               "event=snapshot_failed number=%" PRIu64 " reason=\"%s\"", self->status.ended, fault);
}

static void s_hear (snapshotter_t *self, int64_t wall_ms)
{
    snapshot_event_t event;
    while (snapshot_actor_receive (self->actor, &event) == KV_OK) {
        switch (event.type) {
        case SNAPSHOT_WRITTEN: break;
        case SNAPSHOT_DONE: s_done (self, event.bytes, wall_ms); break;
        case SNAPSHOT_FAILED: s_failed (self, event.error.text); break;
        }
    }
}

bool snapshotter_tend (snapshotter_t *self, const snapshotter_turn_t *turn)
{
    s_hear (self, turn->wall_ms);
    switch (self->status.state) {
    case SNAPSHOTTER_IDLE:
        if (self->status.wanted <= self->status.begun)
            return false;
        s_begin (self, turn);
        return true;
    case SNAPSHOTTER_WALKING: return s_walk (self, turn);
    case SNAPSHOTTER_SETTLING:
        if (turn->durable_lsn < self->status.end_lsn)
            return false;
        snapshot_actor_finish (self->actor, self->status.end_lsn, self->walked); // M2
        self->status.state = SNAPSHOTTER_FINISHING;
        return false;
    case SNAPSHOTTER_FINISHING: break;
    }
    return false;
}
