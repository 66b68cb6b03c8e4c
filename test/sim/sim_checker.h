/* sim_checker - is there an order of what was done to one key that explains all it answered?
 *
 * A depth-first search over the orders that real time and the order of sending allow (Wing and Gong,
 * 1993), which remembers the (operations left, state) it has been in (Lowe, 2017). An operation takes
 * place at one moment between its invocation and its answer.
 *
 *   L1  of unknown outcome: it takes place once at most, at any time after its invocation.
 *   L2  of two operations of one connection the one that was sent first takes place first, unless
 *       may_move says that it was sent again. One of unknown outcome that has not taken place by
 *       then never does.
 *   L3  data that expires does so by the wall clock of the machine that has it, of which only
 *       bounds are known: what may have expired may be there or not; a read that does not find it need
 *       not have removed it (there may be no space to log that, or it was a list of keys).
 *   L4  CHECK_LOSS: the key's memory is gone, at that very moment.
 *
 * A key here may be a group of keys that are only ever written and read together. Values are small
 * numbers, given out by a table of strings. Owner: one run. */
#ifndef KVDB_TEST_SIM_SIM_CHECKER_H
#define KVDB_TEST_SIM_SIM_CHECKER_H

#include "sim_values.h"

typedef enum {
    CHECK_LOSS,
    CHECK_GET,
    CHECK_STRLEN,
    CHECK_EXISTS,
    CHECK_SET,
    CHECK_APPEND,
    CHECK_ADD,
    CHECK_DEL,
    CHECK_EXPIRE,
    CHECK_PERSIST,
    CHECK_TTL
} check_kind_t;

typedef enum {
    ANSWER_UNKNOWN, /* L1 */
    ANSWER_ANY,     /* it took place; what it answered is not known */
    ANSWER_NIL,
    ANSWER_OK,
    ANSWER_NUMBER,    /* in `number` */
    ANSWER_VALUE,     /* in `answer_value` */
    ANSWER_BAD_VALUE, /* refused: not a number */
    ANSWER_NO_EFFECT  /* refused; not part of the history */
} check_answer_t;

typedef enum { EXPIRY_NONE, EXPIRY_RELATIVE, EXPIRY_ABSOLUTE, EXPIRY_KEEP } check_expiry_t;

typedef struct {
    check_kind_t kind;
    check_answer_t answer;
    bool if_absent, if_present, get; /* SET */
    bool in_seconds;                 /* TTL */
    bool may_move;                   /* L2 */
    check_expiry_t expiry;           /* SET */
    uint32_t connection;             /* 0: of none, not ordered by L2 */
    uint32_t order;                  /* of sending, within the connection */
    sim_value_t value;               /* SET, APPEND */
    sim_value_t answer_value;
    int64_t amount; /* ADD: what is added; SET, EXPIRE: milliseconds */
    int64_t number;
    int64_t invoked_us, answered_us;     /* answered_us: SIM_NEVER_US if it was not */
    int64_t wall_least_ms, wall_most_ms; /* L3: between invocation and answer */
    int64_t wall_top_ms;                 /* the most that clock has shown by the answer */
} check_op_t;

typedef enum { CHECK_PASSED, CHECK_VIOLATED, CHECK_UNDECIDED } check_verdict_t;

typedef struct sim_checker sim_checker_t;

sim_checker_t *sim_checker_new (sim_values_t *values);
void sim_checker_destroy (sim_checker_t **self_p);

/* Judges a history; sorts it. UNDECIDED after `steps_most` steps. `expired` is set if the order that
 * was found has a key in it that had expired. `stuck` (may be NULL) receives the index of the
 * operation that no order could explain, when VIOLATED: the earliest that was never reached. */
check_verdict_t sim_checker_run (sim_checker_t *self, check_op_t *ops, size_t count,
                                 uint64_t steps_most, bool *expired, size_t *stuck);

/* In words, for the report. */
void sim_check_describe (const check_op_t *op, const sim_values_t *values, char *text,
                         size_t text_bytes);

#endif
