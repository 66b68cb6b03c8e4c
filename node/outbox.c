#include "node/outbox.h"

#include "actors/wire.h"
#include "node/reply_lane.h"
#include "schema/limits.h"
#include "schema/request.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    UNSENT_BYTES_MAX = 64 * 1024 * 1024, /* of replies that libzmq has not sent, and held ones */
    DIRECT_MOST = 1024                   /* replies for the direct door that are ready */
};

typedef struct {
    blob_t *envelope, *body; /* owned */
} direct_t;

struct outbox {
    reply_lane_t *lane;
    direct_t direct[DIRECT_MOST]; /* ready */
    size_t direct_count;
    reply_gate_t *held, *synced, *saves;
};

outbox_t *outbox_new (void)
{
    outbox_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->lane = reply_lane_new ();
    self->held = reply_gate_new ();
    self->synced = reply_gate_new ();
    self->saves = reply_gate_new ();
    return self;
}

void outbox_destroy (outbox_t **self_p)
{
    outbox_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->direct_count; i++) {
        blob_unref (&self->direct[i].envelope);
        blob_unref (&self->direct[i].body);
    }
    reply_lane_destroy (&self->lane);
    reply_gate_destroy (&self->held);
    reply_gate_destroy (&self->synced);
    reply_gate_destroy (&self->saves);
    free (self);
}

/* ---- in ---------------------------------------------------------------------------------------- */

writer_t *outbox_writer (outbox_t *self)
{
    return reply_lane_writer (self->lane);
}

void outbox_add (outbox_t *self, uint64_t tag, size_t start)
{
    (void)start;
    reply_lane_add (self->lane, tag);
}

static void s_hold (outbox_t *self, reply_gate_t *gate, uint64_t tag, size_t start, uint64_t until)
{
    writer_t *out = outbox_writer (self);
    reply_gate_hold (gate, until, &(reply_route_t){.tag = tag},
                     kv_slice (out->data + start, out->size - start));
    writer_cut (out, start);
}

void outbox_hold (outbox_t *self, uint64_t tag, size_t start, uint64_t lsn)
{
    s_hold (self, self->held, tag, start, lsn);
}

void outbox_hold_synced (outbox_t *self, uint64_t tag, size_t start, uint64_t lsn)
{
    s_hold (self, self->synced, tag, start, lsn);
}

void outbox_hold_save (outbox_t *self, uint64_t tag, size_t start, uint64_t snapshot)
{
    s_hold (self, self->saves, tag, start, snapshot);
}

void outbox_add_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply)
{
    KV_ASSERT (self->direct_count < DIRECT_MOST);
    self->direct[self->direct_count++] =
        (direct_t){.envelope = blob_copy (envelope), .body = blob_from_writer (reply)};
}

static void s_hold_direct (reply_gate_t *gate, kv_slice_t envelope, writer_t *reply, uint64_t until)
{
    reply_gate_hold (gate, until, &(reply_route_t){.envelope = envelope},
                     kv_slice (reply->data, reply->size));
    writer_free (reply);
}

void outbox_hold_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply, uint64_t lsn)
{
    s_hold_direct (self->held, envelope, reply, lsn);
}

void outbox_hold_synced_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply, uint64_t lsn)
{
    s_hold_direct (self->synced, envelope, reply, lsn);
}

void outbox_hold_save_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply,
                              uint64_t snapshot)
{
    s_hold_direct (self->saves, envelope, reply, snapshot);
}

/* ---- out --------------------------------------------------------------------------------------- */

static void s_send_lane (outbox_t *self, const outbox_target_t *target)
{
    blob_t *frames[2];
    size_t count = reply_lane_finish (self->lane, target->epoch, frames);
    if (count > 0 && wire_send (target->data, frames, count))
        log_event (target->log, KV_LOG_WARN, "event=replies_dropped");
}

/* Takes over the body. */
static void s_send_one (const outbox_target_t *target, kv_slice_t envelope, blob_t *body)
{
    if (!target->door) {
        blob_unref (&body);
        return;
    }
    /* A client that is gone or does not read is the door's to count. */
    kv_status_t status = door_send (target->door, envelope, body);
    (void)status;
}

static void s_send_direct (outbox_t *self, const outbox_target_t *target)
{
    for (size_t i = 0; i < self->direct_count; i++) {
        direct_t *reply = &self->direct[i];
        s_send_one (target, blob_bytes (reply->envelope), reply->body);
        blob_unref (&reply->envelope);
    }
    self->direct_count = 0;
}

void outbox_send (outbox_t *self, const outbox_target_t *target)
{
    s_send_lane (self, target);
    s_send_direct (self, target);
}

/* A held reply becomes ready. */
static void s_ready (outbox_t *self, const reply_route_t *route, kv_slice_t reply,
                     const outbox_target_t *target)
{
    if (route->envelope.size) {
        s_send_one (target, route->envelope, blob_copy (reply));
        return;
    }
    if (outbox_is_due (self) || reply.size > KV_REPLY_BYTES_MAX - outbox_writer (self)->size)
        outbox_send (self, target);
    writer_raw (outbox_writer (self), reply);
    KV_ASSERT (!outbox_writer (self)->overflow);
    reply_lane_add (self->lane, route->tag);
}

static void s_release (outbox_t *self, reply_gate_t *gate, uint64_t reached,
                       const outbox_target_t *target)
{
    reply_route_t route;
    kv_slice_t reply;
    while (reply_gate_next (gate, reached, &route, &reply))
        s_ready (self, &route, reply, target);
}

void outbox_release (outbox_t *self, uint64_t lsn, const outbox_target_t *target)
{
    s_release (self, self->held, lsn, target);
}

void outbox_release_synced (outbox_t *self, uint64_t lsn, const outbox_target_t *target)
{
    s_release (self, self->synced, lsn, target);
}

/* The reply that tells of a snapshot that failed, in place of the one that was made. */
static void s_refuse (kv_slice_t reply, const char *fault, writer_t *out)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    reader_t at = reader_make (reply);
    uint32_t count;
    uint64_t version, id;
    bool ok = reader_array (&at, &count) == KV_OK && reader_uint (&at, &version) == KV_OK &&
              reader_uint (&at, &id) == KV_OK;
    KV_ASSERT (ok); /* the executor made it */
    snprintf (text, sizeof text,
              "IO the snapshot failed: %.300s; everything else that was asked for has been done",
              fault);
    reply_refuse (out, id, KV_IO, text);
}

void outbox_release_saves (outbox_t *self, uint64_t snapshot, const char *fault,
                           const outbox_target_t *target)
{
    reply_route_t route;
    kv_slice_t reply;
    while (reply_gate_next (self->saves, snapshot, &route, &reply)) {
        writer_t refusal = writer_make (2 * KV_ERROR_TEXT_BYTES_MAX);
        if (*fault) {
            s_refuse (reply, fault, &refusal);
            reply = kv_slice (refusal.data, refusal.size);
        }
        s_ready (self, &route, reply, target);
        writer_free (&refusal);
    }
}

bool outbox_is_due (const outbox_t *self)
{
    return reply_lane_is_full (self->lane) || self->direct_count == DIRECT_MOST;
}

bool outbox_is_full (const outbox_t *self)
{
    return reply_lane_unsent_bytes (self->lane) + reply_gate_bytes (self->held) +
               reply_gate_bytes (self->synced) >=
           UNSENT_BYTES_MAX;
}

bool outbox_is_clear (const outbox_t *self)
{
    return reply_gate_bytes (self->held) == 0 && reply_gate_bytes (self->synced) == 0 &&
           reply_gate_bytes (self->saves) == 0;
}
