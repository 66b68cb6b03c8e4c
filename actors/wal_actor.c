#include "actors/wal_actor.h"

#include "actors/clock.h"
#include "actors/parcel.h"
#include "actors/process.h"

#include <czmq.h>

struct wal_actor {
    zactor_t *thread;
    void *socket; /* of the pipe, owner's end */
};

/* The thread's own. */
typedef struct {
    wal_keeper_t *keeper; /* owned */
    void *pipe;
    uint64_t wanted_bytes; /* of spare segments; what is still to be prepared */
    bool preparing;        /* a segment is half made */
    bool full, failed, ended;
    int64_t retry_ms; /* when to try again, while full */
    bool sync_wanted; /* T1: the SYNCs that have come, as one */
    uint64_t sync_lsn, sync_number;
} keeping_t;

static void s_tell (const keeping_t *self, wal_message_t message)
{
    parcel_send (self->pipe, &message, sizeof message);
}

static void s_fail (keeping_t *self, const file_error_t *error)
{
    if (!self->failed)
        s_tell (self, (wal_message_t){.type = WAL_FAILED, .error = *error});
    self->failed = true; // T3
}

/* ---- preparing --------------------------------------------------------------------------------------- */

static void s_ready (keeping_t *self, const wal_segment_t *segment)
{
    uint64_t usable = segment->bytes - segment->offset;
    self->preparing = false;
    self->full = false;
    self->wanted_bytes -= usable < self->wanted_bytes ? usable : self->wanted_bytes;
    s_tell (self, (wal_message_t){.type = WAL_SEGMENT, .segment = *segment});
}

/* One slice (T2). */
static void s_prepare (keeping_t *self)
{
    file_error_t error;
    wal_segment_t segment;
    switch (wal_keeper_prepare (self->keeper, &segment, &error)) {
    case KV_OK: self->preparing = true; return;
    case KV_END: s_ready (self, &segment); return;
    case KV_DISK_FULL:
        self->preparing = false;
        if (!self->full)
            s_tell (self, (wal_message_t){.type = WAL_FULL, .error = error});
        self->full = true;
        self->retry_ms = clock_ms () + WAL_RETRY_MS;
        return;
    default: s_fail (self, &error); return;
    }
}

static bool s_prepares (const keeping_t *self)
{
    return !self->failed && self->wanted_bytes > 0 &&
           (!self->full || self->preparing || clock_ms () >= self->retry_ms);
}

/* ---- syncing ----------------------------------------------------------------------------------------- */

static void s_sync (keeping_t *self)
{
    file_error_t error;
    int64_t began_us = clock_us ();
    self->sync_wanted = false;
    if (wal_keeper_sync (self->keeper, self->sync_lsn, self->sync_number, &error)) {
        s_fail (self, &error);
        return;
    }
    s_tell (self, (wal_message_t){.type = WAL_DURABLE,
                                  .lsn = self->sync_lsn,
                                  .took_us = clock_us () - began_us});
}

static void s_retire (keeping_t *self, uint64_t lsn)
{
    file_error_t error;
    if (wal_keeper_retire (self->keeper, lsn, &error)) {
        s_fail (self, &error);
        return;
    }
    s_tell (self,
            (wal_message_t){.type = WAL_RETIRED, .number = wal_keeper_segments (self->keeper)});
}

/* ---- messages ---------------------------------------------------------------------------------------- */

static void s_hear (keeping_t *self, const wal_message_t *message)
{
    if (self->failed)
        return; // T3
    switch (message->type) {
    case WAL_PREPARE:
        if (message->bytes > self->wanted_bytes)
            self->wanted_bytes = message->bytes;
        wal_keeper_set_prewrite (self->keeper, message->prewrite);
        return;
    case WAL_SEAL: wal_keeper_seal (self->keeper, message->number, message->lsn); return;
    case WAL_SYNC:
        self->sync_wanted = true;
        self->sync_lsn = message->lsn;
        self->sync_number = message->number;
        return;
    case WAL_RETIRE: s_retire (self, message->lsn); return;
    case WAL_SEGMENT:
    case WAL_FULL:
    case WAL_DURABLE:
    case WAL_RETIRED:
    case WAL_FAILED: break;
    }
    KV_UNREACHABLE ("a message from the actor, not to it");
}

/* All that has come (T1). */
static void s_hear_all (keeping_t *self)
{
    wal_message_t message;
    kv_status_t status;
    while ((status = parcel_receive (self->pipe, &message, sizeof message)) == KV_OK)
        s_hear (self, &message);
    self->ended = status == KV_END;
}

static int s_patience_ms (const keeping_t *self)
{
    if (s_prepares (self))
        return 0;
    return self->full && !self->failed ? WAL_RETRY_MS : -1;
}

static void s_run (zsock_t *pipe, void *argument)
{
    keeping_t self = {.keeper = argument, .pipe = zsock_resolve (pipe)};
    process_block_signals ();
    zsock_signal (pipe, 0);
    while (!self.ended) {
        zmq_pollitem_t item = {self.pipe, 0, ZMQ_POLLIN, 0};
        zmq_poll (&item, 1, s_patience_ms (&self));
        s_hear_all (&self);
        if (self.sync_wanted && !self.failed && !self.ended)
            s_sync (&self);
        if (!self.ended && s_prepares (&self))
            s_prepare (&self);
    }
    wal_keeper_destroy (&self.keeper);
}

/* ---- the owner's end --------------------------------------------------------------------------------- */

wal_actor_t *wal_actor_new (wal_keeper_t **keeper_p)
{
    zactor_t *thread = zactor_new (s_run, *keeper_p);
    if (!thread)
        return NULL;
    *keeper_p = NULL;
    wal_actor_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->thread = thread;
    self->socket = zsock_resolve (thread);
    return self;
}

void wal_actor_destroy (wal_actor_t **self_p)
{
    wal_actor_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zactor_destroy (&self->thread);
    free (self);
}

void *wal_actor_socket (const wal_actor_t *self)
{
    return self->socket;
}

void wal_actor_send (wal_actor_t *self, const wal_message_t *message)
{
    parcel_send (self->socket, message, sizeof *message);
}

kv_status_t wal_actor_receive (wal_actor_t *self, wal_message_t *message)
{
    kv_status_t status = parcel_receive (self->socket, message, sizeof *message);
    return status == KV_OK ? KV_OK : KV_NOT_FOUND;
}
