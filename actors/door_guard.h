/* door_guard - what a door knows about its connections and peers, and its verdicts on them.
 *
 * A connection is a file descriptor that libzmq accepted; a peer is an identity that has sent at
 * least one message. Descriptors and identities are learnt from different sources (the socket's
 * monitor; the messages), at different times:
 *
 *   connection:  accepted ----> open ----> disconnected        by the monitor's events
 *   peer:        first message ----> met ----> gone            gone with its connection
 *
 *   G1  a peer that was met is reported gone exactly once.
 *   G2  a descriptor is shut down only while it is still the connection it was when accepted (its
 *       SO_COOKIE is the same).
 *   G3  through <= the bytes of a connection that came out as whole messages + 8 KiB: a connection
 *       is never believed to have less pending than it has, but for one read buffer of libzmq's.
 *   G4  bytes claimed for output are given back when libzmq frees them, from whatever thread, also
 *       after the guard is gone.
 *   G5  what a peer has been sent and nobody has claimed is less than DOOR_BILL_BYTES.
 *
 * G3: what is delivered is counted with its frame heads; heartbeats and encryption are not. Their
 * drift is taken out when a message arrives after the door ran dry after a look: its end lies
 * behind everything that libzmq had read at that look.
 *
 * A message of a connection that is closed already may name a descriptor that is in use again. Its
 * peer is then taken for one of the new connection: it is reported gone late, nobody too early.
 *
 * Owner: the thread of its door; door_account_release any. Linux only: TCP_INFO, SO_COOKIE. */
#ifndef KVDB_ACTORS_DOOR_GUARD_H
#define KVDB_ACTORS_DOOR_GUARD_H

#include "actors/log.h"
#include "schema/slice.h"

typedef struct door_guard door_guard_t;
typedef struct door_peer door_peer_t;
typedef struct door_account door_account_t;

enum { DOOR_LOOK_MS = 10, DOOR_LOOKS_MAX = 256, DOOR_BILL_BYTES = 2048 };

typedef struct {
    const char *name; /* of the door; borrowed */
    const log_t *log; /* borrowed */
    int64_t max_pending_bytes;
    int64_t max_stranger_bytes; /* the same of a connection without a trusted peer; 0: no less */
    int64_t max_output_bytes;
    int64_t max_total_output_bytes;
    int max_connections;
    uint16_t port; /* the door's own */
} door_guard_options_t;

door_guard_t *door_guard_new (const door_guard_options_t *options);
void door_guard_destroy (door_guard_t **self_p);

/* The monitor's events. */
void door_guard_accepted (door_guard_t *self, int fd);
void door_guard_disconnected (door_guard_t *self, int fd);

/* The peer of that identity, or NULL if it is unknown or gone. */
door_peer_t *door_guard_find (const door_guard_t *self, kv_slice_t identity);

/* The peer of an identity that has just sent a message through `fd` (-1: no longer known). Call
 * with all events told, so that the connection is known. NULL: too many peers to remember. */
door_peer_t *door_guard_meet (door_guard_t *self, kv_slice_t identity, int fd);

/* From now on the peer's connection may have max_pending_bytes pending. */
void door_guard_trust (door_guard_t *self, door_peer_t *peer);

/* A whole message of so many bytes on the wire came out. `peer` may be NULL. */
void door_guard_delivered (door_guard_t *self, door_peer_t *peer, uint64_t bytes);

/* There was nothing more to receive. */
void door_guard_dry (door_guard_t *self);

/* Judges up to DOOR_LOOKS_MAX connections, going round; does nothing until DOOR_LOOK_MS have
 * passed since the last time. */
void door_guard_look (door_guard_t *self, int64_t now_ms);

/* Sending said that the peer is not there. */
void door_guard_lost (door_guard_t *self, door_peer_t *peer);

/* KV_OK and an identity (at most 255 bytes), or KV_END. */
KV_CHECK_RESULT kv_status_t door_guard_next_gone (door_guard_t *self, uint8_t *identity,
                                                  size_t *identity_bytes);

/* Whether there is room for `bytes` more on the way to a peer (NULL: only the total is bounded). One
 * message fits however large it is if nothing else is on its way. */
bool door_guard_fits (const door_guard_t *self, const door_peer_t *peer, size_t bytes);

/* Puts on the peer's bill the bytes of a message that need not tell when it has gone out. More than
 * 0: the bill is due, and this message has to claim so many bytes and to tell. Messages to one peer
 * go out in order, so those before it have gone by then (G5). */
size_t door_guard_bill (door_peer_t *peer, size_t bytes);

/* Counts `bytes` that fit as on the way. Give them back with door_account_release. */
door_account_t *door_guard_claim (door_guard_t *self, door_peer_t *peer, size_t bytes);
void door_account_release (door_account_t *account, size_t bytes);

typedef struct {
    uint64_t connections, peers, accepted, refused, shut_down, output_bytes;
} door_guard_stats_t;
door_guard_stats_t door_guard_stats (const door_guard_t *self);

#endif
