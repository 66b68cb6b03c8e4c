/* door - a bound ROUTER socket that outsiders may connect to, and what protects us from them.
 *
 * libzmq queues whatever a peer sends before anyone can look at it: frames of a message that never
 * ends pile up unseen, and replies a peer never reads pile up behind it. The door keeps both
 * bounded:
 *
 *   O1  a frame is max_frame_bytes at most (ZMQ_MAXMSGSIZE, set before bind).
 *   O2  a connection of which libzmq has read more than max_pending_bytes that have not come out as
 *       whole messages, though the door ran dry, is shut down; above twice as much, and 256 MiB, it
 *       is shut down whether or not the door ran dry: a client that sends faster than it is served
 *       has whole messages waiting. (TCP_INFO's bytes received, against what was delivered.)
 *       Until a peer of it is trusted, a connection's bound is max_stranger_bytes, if that is set.
 *   O3  replies that a peer has not read are max_output_bytes at most per peer, and
 *       max_total_output_bytes over all; what would go over is dropped and counted. One reply of
 *       any size passes when nothing else is on its way. A reply counts with what it takes up in
 *       memory: its bytes and 256 more, or 64 if it has 33 bytes at most. There is no bound on the
 *       number of replies: a peer that reads could miss one because a thread had to wait for the
 *       processor.
 *   O4  at most max_connections are open; further ones are shut down at once.
 *   O5  sending never blocks: a peer that is gone, or whose queue is full, is reported.
 *
 * An inproc door is for threads of this process, which are trusted: nobody is reported gone there,
 * and of O1-O5 only O5 and the total of O3 hold, small replies not counted.
 *
 * There is no high-water mark for what comes in: libzmq 4.3.4 aborts the process when a connection
 * ends whose input such a mark has stopped and a heartbeat is due (libzmq issues 3937, 4767). O2 is
 * what bounds it. Three limits of libzmq remain, all out of reach from outside of it:
 *   - an empty frame takes 64 bytes of memory for 2 on the wire: O2 bounds memory at 32 times its
 *     number;
 *   - a peer that chooses an identity that is taken is never heard, but what it sent stays until the
 *     door is closed (ZMQ_ROUTER_HANDOVER is worse: it leaves the loser's connection open for ever);
 *   - a peer that chooses the identity that libzmq would give to the next one makes libzmq abort.
 *     process_begin sees to it that they cannot be foretold; guessing takes many connections.
 * Only authentication keeps those out.
 *
 * A peer is named by the identity libzmq gave its connection. An envelope is every frame before
 * the last of a message (identity, further addresses, the empty delimiter of a REQ peer), packed
 * as (2 bytes length, bytes) per frame; a reply goes back to it frame by frame.
 *
 * Owner: exactly one thread (the actor that polls door_socket and door_monitor). */
#ifndef KVDB_ACTORS_DOOR_H
#define KVDB_ACTORS_DOOR_H

#include "actors/blob.h"
#include "actors/log.h"

typedef struct door door_t;

enum { DOOR_ENVELOPE_BYTES_MAX = 4096, DOOR_IDENTITY_BYTES_MAX = 255 };

typedef struct {
    void *context;        /* the libzmq context; borrowed */
    const char *name;     /* for log lines: "clients", "nodes"; borrowed */
    const char *endpoint; /* "tcp://127.0.0.1:7000", "tcp://[::1]:*", "tcp://host:7000",
                           * "inproc://name" */
    int64_t max_frame_bytes;
    int64_t max_pending_bytes;      /* O2; more than max_frame_bytes */
    int64_t max_stranger_bytes;     /* O2; 0: everybody is trusted */
    int64_t max_output_bytes;       /* O3 */
    int64_t max_total_output_bytes; /* O3 */
    int max_connections;            /* O4 */
    int inproc_high_water_mark;     /* messages on their way to one peer over inproc; 0: no bound */
    const log_t *log;               /* borrowed */
} door_options_t;

/* Creates, sets every option, binds. KV_IO (address in use, no such host, no permission...) or
 * KV_CONFIG (not an endpoint) with a one-line reason in `why` (may be NULL). */
KV_CHECK_RESULT kv_status_t door_open (const door_options_t *options, door_t **out, char *why,
                                       size_t why_bytes);

/* Stops listening at once; queued replies go out in the background, for at most linger_ms (the end
 * of the context waits for them). */
void door_close (door_t **self_p, int linger_ms);

/* The bound endpoint with its real port. */
const char *door_endpoint (const door_t *self);

/* Sockets to poll for input: the ROUTER, and the monitor of its connections. */
void *door_socket (door_t *self);
void *door_monitor (door_t *self);

typedef struct {
    uint8_t envelope[DOOR_ENVELOPE_BYTES_MAX];
    size_t envelope_bytes;
    blob_t *body; /* the last frame; the receiver owns the reference */
} door_message_t;

/* The next message, without waiting. KV_END: none there now. Messages with too many frames
 * (KV_CLIENT_FRAMES_MAX) or an over-long envelope are taken out, counted and passed over. Small
 * bodies are copied out of libzmq's receive block, large ones handed on as they are. */
KV_CHECK_RESULT kv_status_t door_receive (door_t *self, door_message_t *out);

/* The next message with all its frames after the identity (room for DOOR_IDENTITY_BYTES_MAX) as
 * blobs, for the nodes' door: frames[] has room for `most`; the receiver owns the references.
 * KV_END: none there now. Messages of more frames are passed over. */
KV_CHECK_RESULT kv_status_t door_receive_frames (door_t *self, uint8_t *identity,
                                                 size_t *identity_bytes, blob_t **frames,
                                                 size_t most, size_t *count);

/* This peer is no stranger (O2): it has shown who it is. Nothing happens if it is not there. */
void door_trust (door_t *self, kv_slice_t identity);

/* Sends one body to an envelope; takes the reference over whatever happens. KV_UNAVAILABLE: the
 * peer is gone; KV_BUSY: it does not read (O3). KV_OK does not mean that it has arrived. */
KV_CHECK_RESULT kv_status_t door_send (door_t *self, kv_slice_t envelope, blob_t *body);

/* Sends frames to an identity, all or none; takes the references over and sets them to NULL. Same
 * statuses. Not counted under O3: between broker and nodes the requests themselves are bounded. */
KV_CHECK_RESULT kv_status_t door_send_frames (door_t *self, kv_slice_t identity, blob_t **frames,
                                              size_t count);

/* Call when door_monitor is readable, and every 20 ms or so: learns of closed connections, shuts
 * down those that break O2 or O4. Cheap: it looks at some of the connections each 10 ms. */
void door_tend (door_t *self);

/* The next peer whose connection has ended, or KV_END. Each peer that has sent a message is reported
 * once; call until KV_END after each door_tend. A message may still come out of a connection that
 * has ended: its peer is then reported again. */
KV_CHECK_RESULT kv_status_t door_next_gone (door_t *self, uint8_t *identity,
                                            size_t *identity_bytes);

typedef struct {
    uint64_t connections, accepted, refused; /* now; ever; over O4 */
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t dropped_in;   /* malformed envelopes */
    uint64_t dropped_out;  /* messages: peers gone or not reading */
    uint64_t shut_down;    /* O2 */
    uint64_t output_bytes; /* handed to libzmq and not yet sent */
} door_stats_t;
door_stats_t door_stats (const door_t *self);

#endif
