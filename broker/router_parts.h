/* router_parts - what is on its way: requests, and their parts. A part is the batch that one
 * request has at one node.
 *
 *   A1  a tag names one part: 32 bits of slot, 32 bits of the slot's generation. It comes back
 *       after 2^32 parts in one slot, long after anybody could answer the first.
 *   A2  a part is in its request's list and in the table, or in neither.
 *
 * Pure. Owner: the router. */
#ifndef KVDB_BROKER_ROUTER_PARTS_H
#define KVDB_BROKER_ROUTER_PARTS_H

#include "actors/gather.h"
#include "actors/timer_wheel.h"

typedef struct part part_t;
typedef struct pending pending_t;
typedef struct part_table part_table_t;

typedef enum {
    PIECE_HELD,  /* its shard's node is not open */
    PIECE_SENT,  /* in a part in flight */
    PIECE_WAITS, /* SHUTDOWN: until the node whose index stands in `shard` has left */
    PIECE_DONE
} piece_state_t;

/* A request on its way. */
struct pending {
    wheel_timer_t timer;        /* its deadline; first, so that a timer leads to its request */
    pending_t *previous, *next; /* all live requests, oldest first */
    uint64_t id;
    uint64_t bytes;     /* what it counts for under N4 */
    blob_t *body;       /* owned; NULL once finished */
    blob_t *reply;      /* owned; set once finished */
    kv_slice_t options; /* as encoded, within body */
    gather_t *gather;   /* owned; NULL while the request may travel whole */
    part_t *parts;      /* in flight */
    uint32_t commands;
    uint32_t piece_count;
    uint32_t undone;     /* pieces that are not DONE */
    uint32_t held;       /* pieces that are HELD */
    uint32_t waits;      /* pieces that WAIT */
    piece_t *pieces;     /* of this allocation */
    uint8_t *states;     /* piece_state_t of each; of this allocation */
    uint32_t *keys;      /* owned; see scatter_t */
    kv_slice_t envelope; /* of this allocation */
};

struct part {
    uint64_t tag;
    pending_t *pending;
    part_t *next; /* of the same request */
    uint32_t node;
    uint32_t count;
    bool whole;        /* the request's own body: its pieces are all of the request's */
    uint32_t pieces[]; /* unless whole: indices into pending->pieces, rising */
};

/* The index of the part's n-th piece in pending->pieces. */
static inline uint32_t part_piece (const part_t *self, uint32_t n)
{
    return self->whole ? n : self->pieces[n];
}

/* Copies the envelope and the scatter's pieces; takes the body over. Every piece is HELD or, if it
 * goes to no shard, WAITS. */
pending_t *pending_new (kv_slice_t envelope, blob_t *body, const scatter_t *scatter);
void pending_destroy (pending_t **self_p);

/* Makes the gather that a request needs once it does not travel whole. */
void pending_need_gather (pending_t *self);

/* Announces every command's pieces to the gather. */
void pending_expect (pending_t *self);

/* The reply of a request whose pieces are all done, put together. */
blob_t *pending_gather_reply (const pending_t *self);

/* Sets the reply, takes it over, and releases what the request held for it. */
void pending_finish (pending_t *self, blob_t *reply);

/* Generations begin at `first_generation`: a random one keeps replies to an earlier broker's tags
 * from matching. */
part_table_t *part_table_new (uint32_t first_generation);
void part_table_destroy (part_table_t **self_p);

/* A part with all of the request's pieces, which goes out as it came. */
part_t *part_table_add_whole (part_table_t *self, pending_t *pending, uint32_t node);

/* A part with room for `room` pieces, none set yet. Both are in the table and in the request's
 * list. */
part_t *part_table_add (part_table_t *self, pending_t *pending, uint32_t node, uint32_t room);

/* The part in flight under that tag, or NULL. */
part_t *part_table_find (const part_table_t *self, uint64_t tag);

/* Takes it out of the table and the request's list, and frees it. */
void part_table_remove (part_table_t *self, part_t **part_p);

size_t part_table_count (const part_table_t *self);

#endif
