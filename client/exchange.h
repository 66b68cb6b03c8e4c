/* exchange - batches on their way: which message each travels in, and what came back for it. Pure: no
 * socket, no thread, no clock.
 *
 *   flight = a batch that waits for its replies          part = a message in flight
 *   place  = where messages go: 0 is the seed (the broker, or the one server that was named); with
 *            `direct` each node's own door is one more, learnt from TOPOLOGY and from MOVED
 *
 *   via the broker: flight --whole--> part --> place 0
 *   direct:         flight --scatter--> pieces --runs--> one part for each place --> gather --> reply
 *
 *   a piece:  HELD --sent--> SENT --result--> DONE
 *              ^               |  MOVED, RETRY, LOADING, BUSY if asked: not executed
 *              +---------------+  connection lost, and it only reads
 *                              |  connection lost or deadline passed, and it writes: OUTCOME_UNKNOWN
 *
 *   E1  a flight is live, or done once; after exchange_remove it is neither.
 *   E2  what may have been executed and writes is never sent again.
 *   E3  pieces for one shard leave in the order of their flights' tickets, and are on their way to one
 *       place only. After one was sent back, those behind it wait until no piece of the shard is on
 *       its way. (What is on its way behind one that is sent back overtakes it if the server takes
 *       the second and not the first: it refused for a moment, or became the owner in between.)
 *   E4  ids of parts and tickets come from one counter and are never used twice; a reply that bears
 *       no living part's id, or comes from another place than its part went to, is dropped.
 *   E5  with `window` > 0 at most so many parts younger than SLOW_MS are on their way to a place;
 *       what comes meanwhile waits, and leaves together in one message. A part with a slow command
 *       in it so delays others by SLOW_MS at most, once.
 *   E6  a request that was refused as a whole and was made of several flights goes out again as one
 *       request for each: none of it was executed, and only one of them may be to blame.
 *
 * Keyless commands go to the seed, which is the broker; without it to any node that is there.
 * Owner: one thread at a time (the client's lock). */
#ifndef KVDB_CLIENT_EXCHANGE_H
#define KVDB_CLIENT_EXCHANGE_H

#include "actors/gather.h"
#include "client/batch.h"
#include "schema/limits.h"

typedef struct exchange exchange_t;
typedef struct flight flight_t;
typedef struct part part_t;

enum {
    EXCHANGE_SEED = 0,
    EXCHANGE_PLACES_MAX = KV_NODES_MAX + 1,
    EXCHANGE_HOPS_MAX = 16, /* MOVED that a piece follows before the user gets it */
    EXCHANGE_SLOW_MS = 5
};

typedef struct {
    const char *seed; /* its endpoint; for messages. Copied */
    bool direct;
    bool retry_busy;      /* direct: BUSY is tried again until the deadline */
    uint32_t window;      /* E5; 0: no bound, and every flight travels by itself */
    uint32_t deadline_ms; /* to ask servers for; 0: their default */
    int64_t timeout_ms;   /* from exchange_add until a flight is given up */
} exchange_options_t;

typedef enum { TRAVEL_HELD, TRAVEL_SENT, TRAVEL_DONE } travel_state_t;

typedef struct {
    int64_t retry_ms; /* HELD: not before */
    uint16_t place;   /* SENT: where to */
    uint8_t state;    /* travel_state_t */
    uint8_t hops;
} travel_t;

/* A batch on its way; part of a struct of the caller's. Of these fields the caller reads `done` and
 * the outcome. */
struct flight {
    flight_t *previous, *next;                 /* live, by ticket */
    flight_t *previous_waiting, *next_waiting; /* those with something to send, by ticket */
    flight_t *next_done;
    uint64_t ticket;
    int64_t expires_ms;
    writer_t encoded; /* owned; the request, until it has a ticket */
    blob_t *request;  /* the whole request under the ticket as id */
    kv_slice_t body;  /* its commands, within request */
    uint32_t commands;
    uint32_t parts; /* in flight, with something of this flight in them */
    bool live, waiting;
    bool fresh; /* request has not been sent as it is */
    bool alone; /* E6 */
    bool done;

    /* direct */
    bool routed; /* cut into pieces */
    bool plain;  /* piece n is the whole of command n, for all n */
    uint32_t piece_count, undone, held;
    piece_t *pieces;   /* owned */
    travel_t *travels; /* owned [piece_count] */
    uint32_t *keys;    /* owned; see scatter_t */
    gather_t *gather;  /* owned; NULL while the reply may come in one part */

    /* The outcome. KV_OK: a whole reply, or `result_count` results of one. */
    kv_status_t status;
    blob_t *reply;      /* owned */
    kv_slice_t results; /* within reply; empty: the reply is all this flight's */
    uint32_t result_count;
};

exchange_t *exchange_new (const exchange_options_t *options);

/* All flights must have been removed or be done. */
void exchange_destroy (exchange_t **self_p);

/* Makes a flight of a batch, which is copied. Belongs to no exchange yet. */
void flight_prepare (flight_t *flight, const kv_batch_t *batch, uint32_t deadline_ms);

/* Sets it on its way under the next ticket. Borrows it until it is done or removed. */
void exchange_add (exchange_t *self, flight_t *flight, int64_t now_ms);

/* Gives a live flight up: whatever comes for it is dropped. Nothing happens to others. */
void exchange_remove (exchange_t *self, flight_t *flight);

/* A live flight by its ticket, and the oldest of all; or NULL. */
flight_t *exchange_find (const exchange_t *self, uint64_t ticket);
flight_t *exchange_oldest (const exchange_t *self);

/* Frees what a flight holds; it must not be live. */
void flight_clear (flight_t *flight);

/* The next flight that is done, each once, or NULL. */
flight_t *exchange_next_done (exchange_t *self);

/* --- Places, for whoever owns the sockets --- */

uint32_t exchange_place_count (const exchange_t *self);
const char *exchange_endpoint (const exchange_t *self, uint32_t place);

/* Whether something waits for the place to open. */
bool exchange_wants (const exchange_t *self, uint32_t place);

/* Whether messages can be handed over there; at first they cannot. */
void exchange_set_open (exchange_t *self, uint32_t place, bool open);

/* The connection broke: what was sent there, and not answered, will never be (direct only). */
void exchange_lost (exchange_t *self, uint32_t place, int64_t now_ms);

/* The next message to send, or NULL. The part stays the exchange's; its place and message are for
 * the caller, who takes a reference to the message or calls exchange_unsent. */
part_t *exchange_next_part (exchange_t *self, int64_t now_ms);
uint32_t part_place (const part_t *part);
blob_t *part_message (const part_t *part);

/* The part could not be handed over: its contents wait again, with those of all parts behind it for
 * its place, which is closed. */
void exchange_unsent (exchange_t *self, part_t *part);

/* Parts on their way to the place. */
uint32_t exchange_in_flight (const exchange_t *self, uint32_t place);

/* A message that came from the place. Takes the reference. */
void exchange_reply (exchange_t *self, uint32_t place, blob_t *reply, int64_t now_ms);

/* --- Time --- */

/* Ends flights whose time is over, and asks again for what is late. */
void exchange_tick (exchange_t *self, int64_t now_ms);

/* When exchange_tick and exchange_next_part have something to do next; INT64_MAX: never. */
int64_t exchange_next_ms (const exchange_t *self);

/* Direct: whether the topology is known. */
bool exchange_is_routing (const exchange_t *self);

#endif
