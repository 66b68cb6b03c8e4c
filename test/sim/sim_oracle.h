/* sim_oracle - what is right and what is wrong in what clients saw and nodes did.
 *
 *   from outside: each key's history has an order that explains it (sim_checker.h). A loss of data that
 *   the flush policy allows is an event of that history; one that it does not allow is none, and leaves a
 *   history without an order.
 *   from inside, by tokens, which make each written value unique:
 *   O1  no write is executed twice.
 *   O2  what was refused (BUSY, UNAVAILABLE...) was not and is never executed; what was answered
 *       with success was, in full.
 *   O3  what one connection sends to one shard is executed in the order sent (N2).
 *
 * Owner: one run. */
#ifndef KVDB_TEST_SIM_SIM_ORACLE_H
#define KVDB_TEST_SIM_SIM_ORACLE_H

#include "sim.h"
#include "sim_checker.h"
#include "sim_clock.h"
#include "sim_keys.h"

typedef struct sim_oracle sim_oracle_t;

enum { SIM_TOKEN_BYTES = 7, SIM_TOKENS_MAX = 1 << 20 };

typedef struct {
    sim_t *sim; /* borrowed, as are all the others */
    const sim_keys_t *keys;
    const sim_clock_t *clocks; /* of the nodes */
    uint32_t shards;
} sim_oracle_options_t;

sim_oracle_t *sim_oracle_new (const sim_oracle_options_t *options);
void sim_oracle_destroy (sim_oracle_t **self_p);

sim_values_t *sim_oracle_values (sim_oracle_t *self);

/* ---- histories ---- */

/* An operation on a key: writes when they are sent, reads when they are answered. Returns its
 * number within the key's history. */
uint32_t sim_oracle_add (sim_oracle_t *self, uint32_t key, const check_op_t *op);

/* The operation of that number; valid until the next one is added. */
check_op_t *sim_oracle_op (sim_oracle_t *self, uint32_t key, uint32_t number);

/* All data of a node are gone, now. */
void sim_oracle_loss (sim_oracle_t *self, uint32_t node);

/* A key is set back, now, to what it was before the last writes, which are lost: to a value, or to being
 * absent (NULL); `expires_ms` as in the store. */
void sim_oracle_set_back (sim_oracle_t *self, uint32_t key, const kv_slice_t *value,
                          int64_t expires_ms);

/* A new process has a node's data, now: cursors of SCAN that the one before gave mean nothing to it. */
void sim_oracle_restarted (sim_oracle_t *self, uint32_t node);
bool sim_oracle_was_restarted (const sim_oracle_t *self, uint32_t node, int64_t since_us);

/* Whether the key was surely there all the time between two moments, the later of which is now. */
bool sim_oracle_is_present (const sim_oracle_t *self, uint32_t key, int64_t from_us);

/* Whether it may have been there at any time since then. */
bool sim_oracle_may_be_present (const sim_oracle_t *self, uint32_t key);

/* The end of the run: judges every history. */
void sim_oracle_judge (sim_oracle_t *self);

/* ---- tokens ---- */

/* A new token for a write to these keys; `text` receives what is to be written. */
uint32_t sim_oracle_token (sim_oracle_t *self, uint32_t connection, const uint32_t *keys,
                           uint32_t key_count, char text[SIM_TOKEN_BYTES + 1]);

/* What became of it. */
void sim_oracle_refused (sim_oracle_t *self, uint32_t token, kv_status_t status);
void sim_oracle_succeeded (sim_oracle_t *self, uint32_t token);

/* A node's process has run a request. */
void sim_oracle_ran (sim_oracle_t *self, uint64_t incarnation, kv_slice_t body, kv_slice_t reply);

#endif
