/* router_parts - what is in flight: a part is the batch that one request has at one node.
 *
 *   A1  a tag names one part for ever: 32 bits of slot, 32 bits of the slot's generation.
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
    blob_t *body;       /* owned; NULL once finished */
    blob_t *reply;      /* owned; set once finished */
    kv_slice_t options; /* as encoded, within body */
    gather_t *gather;   /* owned; NULL while the request may travel whole */
    part_t *parts;      /* in flight */
    uint32_t commands;
    uint32_t piece_count;
    uint32_t undone;     /* pieces that are not DONE */
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
    bool whole; /* the request's own body: the reply is passed on as it is */
    uint32_t count;
    uint32_t pieces[]; /* indices into pending->pieces, rising */
};

/* Copies the envelope and the scatter's pieces; takes the body over. All pieces are HELD. */
pending_t *pending_new (kv_slice_t envelope, blob_t *body, const scatter_t *scatter);
void pending_destroy (pending_t **self_p);

/* Makes the gather that a request needs once it does not travel whole. */
void pending_need_gather (pending_t *self);

/* Announces every command's pieces to the gather. */
void pending_expect (pending_t *self);

part_table_t *part_table_new (void);
void part_table_destroy (part_table_t **self_p);

/* A part with room for `count` pieces, none set yet, in the table and in the request's list. */
part_t *part_table_add (part_table_t *self, pending_t *pending, uint32_t node, uint32_t count);

/* The part in flight under that tag, or NULL. */
part_t *part_table_find (const part_table_t *self, uint64_t tag);

/* Takes it out of the table and the request's list, and frees it. */
void part_table_remove (part_table_t *self, part_t **part_p);

size_t part_table_count (const part_table_t *self);

#endif
