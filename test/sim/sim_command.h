/* sim_command - one command of a client's batch: drawn, encoded, noted for the oracles, and judged
 * by its answer.
 *
 * Writes enter the histories when they are sent, reads when they are answered. Owner: the client. */
#ifndef KVDB_TEST_SIM_SIM_COMMAND_H
#define KVDB_TEST_SIM_SIM_COMMAND_H

#include "sim_oracle.h"

#include "schema/command.h"
#include "schema/request.h"

enum { SIM_NODES_MAX = 7, SIM_SHARDS_MAX = 128 };

typedef struct {
    bool flushes;                /* FLUSHALL may be sent */
    bool shutdowns;              /* SHUTDOWN may be */
    bool calm;                   /* nothing fails: every result is a success */
    bool gentle;                 /* nodes are only stopped in good order: no outcome is unknown */
    uint32_t weights[KEY_KINDS]; /* how often each kind of key is used */
    uint32_t nodes, shards;
} sim_mix_t;

/* A walk with SCAN. */
typedef struct {
    bool walking, asked; /* one step at a time */
    char cursor[24];
    int64_t since_us;
    uint64_t found[SIM_GROUP_KEYS]; /* by member, a bit for each key */
    bool done;                      /* the last walk that ended was whole */
} sim_scan_t;

/* What a command needs to know of where it comes from. */
typedef struct {
    sim_t *sim; /* borrowed, as are all the others */
    const sim_keys_t *keys;
    sim_oracle_t *oracle;
    const sim_mix_t *mix;
    sim_random_t *random;
    sim_scan_t *scan;
    uint32_t connection; /* of the whole run's */
    uint32_t *order;     /* of sending, counted up */
    int64_t sent_us;
} sim_seat_t;

typedef struct {
    command_id_t id;
    enum {
        COMMAND_OF_KEYS,
        COMMAND_OF_GROUP,
        COMMAND_OF_ALL, /* FLUSHALL */
        COMMAND_LISTS,  /* KEYS, DBSIZE */
        COMMAND_SCANS,
        COMMAND_LOCAL,
        COMMAND_WRONG /* must be refused */
    } shape;
    bool writes;
    uint32_t token; /* 0: none */
    uint32_t key_count;
    uint8_t keys[SIM_KEYS_MAX];
    uint32_t numbers[SIM_KEYS_MAX]; /* of writes: in the keys' histories */
    check_op_t op;                  /* what it does to each of its keys */
    uint32_t echo;                  /* what ECHO is to return */
} sim_command_t;

/* Draws a command and appends it, encoded. */
void sim_command_draw (const sim_seat_t *seat, sim_command_t *self, writer_t *out);

/* Commands of the last look at everything: GET of one key, or all members of a group. */
void sim_command_read (const sim_seat_t *seat, sim_command_t *self, uint32_t key, writer_t *out);
void sim_command_list (const sim_seat_t *seat, sim_command_t *self, command_id_t id, writer_t *out);
void sim_command_scan (const sim_seat_t *seat, sim_command_t *self, writer_t *out);

/* Judges the result. `losses_before` and `losses_now`: how often each node had lost what it was
 * sent, when the command was sent and now. */
void sim_command_answer (const sim_seat_t *seat, sim_command_t *self, const result_t *result,
                         const uint64_t *losses_before, const uint64_t *losses_now);

/* No answer will come. */
void sim_command_abandon (const sim_seat_t *seat, sim_command_t *self);

/* The shard, if all its keys are of one; else UINT32_MAX. */
uint32_t sim_command_shard (const sim_seat_t *seat, const sim_command_t *self);

#endif
