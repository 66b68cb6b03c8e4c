/* exchange_parts - what the files of the exchange share: see exchange.h. */
#ifndef KVDB_CLIENT_EXCHANGE_PARTS_H
#define KVDB_CLIENT_EXCHANGE_PARTS_H

#include "actors/shard_map.h"
#include "client/exchange.h"
#include "client/topology.h"

enum {
    BUCKETS = 256,
    MERGE_BYTES_MAX = 256 * 1024, /* flights are not merged beyond it */
    MERGE_COMMANDS_MAX = 4096,
    ASK_MS = 1000,    /* for the reply to TOPOLOGY */
    REFRESH_MS = 200, /* from one TOPOLOGY to the next, at least */
    RETRY_MS = 20,    /* where the server gives no retry_ms */
    RETRY_MS_MAX = 100,
    KEYLESS = UINT32_MAX /* a piece's shard, if it has none */
};

/* Neighbouring pieces of one flight in one part. */
typedef struct {
    flight_t *flight; /* NULL: given up */
    uint32_t first;   /* piece; via the broker: 0 */
    uint32_t count;   /* pieces; via the broker: the commands */
} run_t;

struct part {
    uint64_t id;
    part_t *next_in_bucket;
    part_t *previous, *next; /* of its place, oldest first */
    part_t *next_out;        /* to be sent */
    uint32_t place;
    uint32_t commands;
    size_t bytes;
    int64_t sent_ms;
    bool asks;       /* TOPOLOGY, for the exchange itself */
    blob_t *message; /* owned until sent */
    run_t *runs;     /* owned, unless it is &only */
    uint32_t run_count, run_capacity;
    run_t only;
};

typedef struct {
    char *endpoint; /* owned */
    bool open;
    int64_t wanted_ms; /* since when something waits for it to open; 0: nothing does */
    part_t *oldest, *newest;
    uint32_t part_count;
    part_t *building; /* owned; what planning puts together */
} place_t;

/* E3 */
typedef struct {
    uint32_t sent;       /* pieces on their way */
    uint16_t place;      /* where to; all to the same */
    bool bounced;        /* one was sent back, and has not left again */
    uint64_t stuck_pass; /* the planning in which a piece could not leave */
} shard_state_t;

struct exchange {
    exchange_options_t options;
    place_t *places[EXCHANGE_PLACES_MAX];
    uint32_t place_count;
    part_t *buckets[BUCKETS]; /* by id */
    flight_t *first, *last;
    flight_t *first_waiting, *last_waiting;
    flight_t *first_done, *last_done;
    part_t *first_out, *last_out;
    uint64_t next_id;
    uint64_t pass;   /* number of the planning */
    bool dirty;      /* planning may find something to send */
    int64_t plan_ms; /* and will, at this time */

    /* direct */
    shard_map_t *map; /* NULL: not known yet. Node n of it is place n + 1 */
    shard_state_t *shards;
    scatter_t scatter; /* scratch */
    command_t command; /* scratch */
    writer_t scratch;
    part_t *asked; /* TOPOLOGY on its way */
    bool refresh;  /* the map may be old */
    int64_t refresh_ms;
    uint16_t touched[EXCHANGE_PLACES_MAX]; /* places with a part being built */
    uint32_t touched_count;
};

/* exchange_flights.c */
void exchange_finish (exchange_t *self, flight_t *flight, kv_status_t status);
void exchange_wait (exchange_t *self, flight_t *flight);
void exchange_stop_waiting (exchange_t *self, flight_t *flight);

/* exchange.c */
void exchange_enlist (exchange_t *self, uint32_t place, flight_t *flight, uint32_t first,
                      uint32_t count, size_t bytes);
void exchange_seal (exchange_t *self, uint32_t place, int64_t now_ms);
void exchange_seal_all (exchange_t *self, int64_t now_ms);
void exchange_launch (exchange_t *self, part_t *part, int64_t now_ms);
void exchange_end_part (exchange_t *self, part_t **part_p);
bool exchange_is_full (exchange_t *self, uint32_t place, int64_t now_ms);

/* exchange_direct.c */
void direct_plan (exchange_t *self, int64_t now_ms);
void direct_write_run (exchange_t *self, const run_t *run, writer_t *out);
void direct_take_back (exchange_t *self, const run_t *run);
void direct_let_go (exchange_t *self, const run_t *run);
void direct_results (exchange_t *self, const run_t *run, blob_t *body, reply_t *reply, bool refused,
                     int64_t now_ms);
void direct_lost (exchange_t *self, const run_t *run, const char *endpoint);
void direct_expire (exchange_t *self, flight_t *flight);
void direct_ask (exchange_t *self, int64_t now_ms);
void direct_topology (exchange_t *self, kv_slice_t body);

#endif
