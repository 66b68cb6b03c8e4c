/* outbox - replies on their way out of a node: to the broker in bundles, to clients at the direct door
 * one by one; none before what it tells of is as safe as was asked for.
 *
 *                       waits for nothing
 *   outbox_add ------------------------------------> ready --outbox_send--> lane, door
 *       |   waits for an lsn                           ^
 *       +-----------------------> held (reply_gate) ---+ outbox_release
 *       |   waits for an lsn to be durable             |
 *       +-----------------------> synced (reply_gate) -+ outbox_release_synced
 *       |   waits for a snapshot                       |
 *       +-----------------------> saves (reply_gate) --+ outbox_release_saves
 *
 *   O1  outbox_send is called only after the log was written (Q1 of persistence.h).
 *   O2  what is held and ready has no bound here: its user runs no request while outbox_is_full.
 *
 * Owner: the node's thread. */
#ifndef KVDB_NODE_OUTBOX_H
#define KVDB_NODE_OUTBOX_H

#include "actors/door.h"
#include "actors/log.h"
#include "node/reply_gate.h"
#include "schema/writer.h"

typedef struct outbox outbox_t;

/* Where things go; borrowed for each call, as sockets change when the broker comes back. */
typedef struct {
    void *data;     /* the broker's DEALER socket */
    door_t *door;   /* or NULL */
    uint64_t epoch; /* bundles bear it */
    const log_t *log;
} outbox_target_t;

outbox_t *outbox_new (void);
void outbox_destroy (outbox_t **self_p);

/* Where the executor appends the next reply to the broker. */
writer_t *outbox_writer (outbox_t *self);

/* What was appended to the writer from `start` on is the reply to the request with that tag. */
void outbox_add (outbox_t *self, uint64_t tag, size_t start);
void outbox_hold (outbox_t *self, uint64_t tag, size_t start, uint64_t lsn);
void outbox_hold_synced (outbox_t *self, uint64_t tag, size_t start, uint64_t lsn);
void outbox_hold_save (outbox_t *self, uint64_t tag, size_t start, uint64_t snapshot);

/* The same for a reply at the direct door, whose writer is emptied. */
void outbox_add_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply);
void outbox_hold_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply, uint64_t lsn);
void outbox_hold_synced_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply, uint64_t lsn);
void outbox_hold_save_direct (outbox_t *self, kv_slice_t envelope, writer_t *reply,
                              uint64_t snapshot);

/* Makes ready what waits for no more than `lsn`; bundles that fill up, and what is for the direct door, are
 * sent at once (O1). */
void outbox_release (outbox_t *self, uint64_t lsn, const outbox_target_t *target);

/* Likewise what waits until that is durable, as its request asked for. */
void outbox_release_synced (outbox_t *self, uint64_t lsn, const outbox_target_t *target);

/* Likewise for snapshots up to that number; `fault` is "", or why there is none: then the replies are
 * errors. */
void outbox_release_saves (outbox_t *self, uint64_t snapshot, const char *fault,
                           const outbox_target_t *target);

/* O1. Sends what is ready. */
void outbox_send (outbox_t *self, const outbox_target_t *target);

/* Time for outbox_send, in the middle of a drain. */
bool outbox_is_due (const outbox_t *self);
bool outbox_is_full (const outbox_t *self); // O2

/* Nothing waits for anything. */
bool outbox_is_clear (const outbox_t *self);

#endif
