#include "sim_checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    sim_value_t value; /* 0: absent */
    bool expires;
    int64_t least_ms, most_ms; /* if it expires: when, at the least and at the most */
} key_state_t;

enum { MEMO_FIRST = 256 };

struct sim_checker {
    sim_values_t *values; /* borrowed */
    uint64_t *memo;       /* owned: open addressing; 0: free */
    size_t memo_slots, memo_count;
    bool *done; /* owned [count]: has taken place, or never will */
    size_t done_capacity;
    check_op_t *ops; /* borrowed during a run */
    size_t count;
    uint64_t steps, steps_most;
    size_t furthest; /* the most operations that took place in any order */
    size_t stuck;
    bool expired;
};

/* ---- what an operation does to a key ---------------------------------------------------------- */

static bool s_is_number (const check_op_t *op, int64_t number)
{
    return op->answer <= ANSWER_ANY || (op->answer == ANSWER_NUMBER && op->number == number);
}

static bool s_is_value (const check_op_t *op, sim_value_t value)
{
    if (op->answer <= ANSWER_ANY)
        return true;
    return value ? op->answer == ANSWER_VALUE && op->answer_value == value
                 : op->answer == ANSWER_NIL;
}

static void s_set_expiry (const check_op_t *op, check_expiry_t expiry, key_state_t *state)
{
    switch (expiry) {
    case EXPIRY_NONE: state->expires = false; return;
    case EXPIRY_KEEP: return;
    case EXPIRY_RELATIVE:
        state->expires = true;
        state->least_ms = op->wall_least_ms + op->amount;
        state->most_ms = op->wall_most_ms + op->amount;
        return;
    case EXPIRY_ABSOLUTE:
        state->expires = true;
        state->least_ms = state->most_ms = op->amount;
        return;
    }
}

static bool s_do_set (const check_op_t *op, key_state_t *state)
{
    bool wanted = state->value ? !op->if_absent : !op->if_present;
    bool fits = op->get
                    ? s_is_value (op, state->value)
                    : op->answer <= ANSWER_ANY || op->answer == (wanted ? ANSWER_OK : ANSWER_NIL);
    if (!fits)
        return false;
    if (!wanted)
        return true;
    if (!state->value)
        state->expires = false;
    state->value = op->value;
    s_set_expiry (op, op->expiry, state);
    return true;
}

static bool s_do_add (sim_values_t *values, const check_op_t *op, key_state_t *state)
{
    int64_t before = 0;
    if (state->value && !sim_values_number (values, state->value, &before))
        return op->answer <= ANSWER_ANY || op->answer == ANSWER_BAD_VALUE;
    if (!s_is_number (op, before + op->amount))
        return false;
    if (!state->value)
        state->expires = false;
    state->value = sim_values_of_number (values, before + op->amount);
    return true;
}

static bool s_do_append (sim_values_t *values, const check_op_t *op, key_state_t *state)
{
    sim_value_t joined = sim_values_join (values, state->value, op->value);
    if (!s_is_number (op, (int64_t)sim_values_bytes (values, joined).size))
        return false;
    if (!state->value)
        state->expires = false;
    state->value = joined;
    return true;
}

static bool s_do_ttl (const check_op_t *op, const key_state_t *state)
{
    if (op->answer <= ANSWER_ANY)
        return true;
    if (op->answer != ANSWER_NUMBER)
        return false;
    if (!state->value || !state->expires)
        return op->number == (state->value ? -1 : -2);
    int64_t least_ms = state->least_ms - op->wall_most_ms;
    int64_t most_ms = state->most_ms - op->wall_least_ms;
    int64_t slack_ms = op->in_seconds ? 500 : 0;
    int64_t number_ms = op->in_seconds ? op->number * 1000 : op->number;
    return op->number >= 0 && number_ms + slack_ms >= least_ms && number_ms - slack_ms <= most_ms;
}

/* False: the answer cannot have come from this state. */
static bool s_do (sim_checker_t *self, const check_op_t *op, key_state_t *state)
{
    switch (op->kind) {
    case CHECK_LOSS: state->value = 0; return true;
    case CHECK_GET: return s_is_value (op, state->value);
    case CHECK_STRLEN:
        return s_is_number (op, (int64_t)sim_values_bytes (self->values, state->value).size);
    case CHECK_EXISTS: return s_is_number (op, state->value != 0);
    case CHECK_SET: return s_do_set (op, state);
    case CHECK_APPEND: return s_do_append (self->values, op, state);
    case CHECK_ADD: return s_do_add (self->values, op, state);
    case CHECK_DEL: {
        bool fits = s_is_number (op, state->value != 0);
        state->value = 0;
        return fits;
    }
    case CHECK_EXPIRE: {
        bool fits = s_is_number (op, state->value != 0);
        s_set_expiry (op, EXPIRY_RELATIVE, state);
        return fits;
    }
    case CHECK_PERSIST: {
        bool fits = s_is_number (op, state->value && state->expires);
        state->expires = false;
        return fits;
    }
    case CHECK_TTL: return s_do_ttl (op, state);
    }
    KV_UNREACHABLE ("a kind of operation");
}

/* ---- the search ------------------------------------------------------------------------------- */

static uint64_t s_mix (uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t s_op_hash (size_t index)
{
    return s_mix (index * 2 + 1);
}

static uint64_t s_state_hash (const key_state_t *state)
{
    if (!state->value)
        return 1;
    uint64_t hash = s_mix (state->value + UINT64_C (0x51ed270b27b4f3cf));
    if (state->expires)
        hash = s_mix (s_mix (hash ^ (uint64_t)state->least_ms) ^ (uint64_t)state->most_ms);
    return hash;
}

static void s_memo_grow (sim_checker_t *self)
{
    uint64_t *old = self->memo;
    size_t old_slots = self->memo_slots;
    self->memo_slots *= 2;
    self->memo = calloc (self->memo_slots, sizeof *self->memo);
    KV_ASSERT (self->memo != NULL);
    for (size_t i = 0; i < old_slots; i++) {
        size_t at = old[i] & (self->memo_slots - 1);
        while (old[i] && self->memo[at])
            at = (at + 1) & (self->memo_slots - 1);
        if (old[i])
            self->memo[at] = old[i];
    }
    free (old);
}

/* False: it has been there. Two different places with one 64-bit hash are not to be expected. */
static bool s_memo_add (sim_checker_t *self, uint64_t hash)
{
    hash = hash ? hash : 1;
    size_t at = hash & (self->memo_slots - 1);
    for (; self->memo[at]; at = (at + 1) & (self->memo_slots - 1)) {
        if (self->memo[at] == hash)
            return false;
    }
    self->memo[at] = hash;
    if (++self->memo_count * 2 > self->memo_slots)
        s_memo_grow (self);
    return true;
}

typedef struct {
    size_t low;    /* all before it are done */
    size_t known;  /* operations left whose outcome is known */
    size_t taken;  /* that took place */
    uint64_t hash; /* of those that are done */
    key_state_t state;
} place_t;

static bool s_search (sim_checker_t *self, place_t place);

/* L2: 1 if the operation at `index` must wait for one that was sent before it; else marks those of
 * unknown outcome that can no longer take place, and returns how many in *killed. */
static bool s_kill_earlier (sim_checker_t *self, const place_t *place, size_t index,
                            size_t killed[], size_t *killed_count)
{
    const check_op_t *op = &self->ops[index];
    *killed_count = 0;
    if (op->connection == 0)
        return true;
    for (size_t i = place->low; i < index; i++) {
        const check_op_t *other = &self->ops[i];
        if (self->done[i] || other->connection != op->connection || other->may_move ||
            other->order >= op->order)
            continue;
        if (other->answer != ANSWER_UNKNOWN)
            return false;
        killed[(*killed_count)++] = i;
    }
    return true;
}

static bool s_only_reads (check_kind_t kind)
{
    return kind == CHECK_GET || kind == CHECK_STRLEN || kind == CHECK_EXISTS || kind == CHECK_TTL;
}

/* Lets the operation take place here, with the key as it is or as having expired. What expired is not
 * removed by a read: with the wall clock set back it may be there again (L3). */
static bool s_try_as (sim_checker_t *self, const place_t *place, size_t index, bool as_expired)
{
    const check_op_t *op = &self->ops[index];
    place_t next = *place;
    if (as_expired)
        next.state.value = 0;
    if (!s_do (self, op, &next.state))
        return false;
    if (as_expired && s_only_reads (op->kind))
        next.state = place->state;
    next.known -= op->answer != ANSWER_UNKNOWN;
    next.taken++;
    while (next.low < self->count && self->done[next.low])
        next.low++;
    if (!s_search (self, next))
        return false;
    self->expired = self->expired || as_expired;
    return true;
}

enum { KILLED_MOST = 256 };

static bool s_try (sim_checker_t *self, const place_t *place, size_t index)
{
    const check_op_t *op = &self->ops[index];
    size_t killed[KILLED_MOST];
    size_t killed_count;
    if (!s_kill_earlier (self, place, index, killed, &killed_count))
        return false;
    place_t next = *place;
    next.hash ^= s_op_hash (index);
    self->done[index] = true;
    for (size_t i = 0; i < killed_count; i++) {
        self->done[killed[i]] = true;
        next.hash ^= s_op_hash (killed[i]);
    }
    bool expires = place->state.value && place->state.expires && op->kind != CHECK_LOSS;
    bool may_live = !expires || op->wall_least_ms < place->state.most_ms;
    bool may_be_gone = expires && op->wall_top_ms >= place->state.least_ms; // L3
    bool found = (may_live && s_try_as (self, &next, index, false)) ||
                 (may_be_gone && s_try_as (self, &next, index, true));
    self->done[index] = false;
    for (size_t i = 0; i < killed_count; i++)
        self->done[killed[i]] = false;
    return found;
}

/* True: from here all that is known can be explained. */
static bool s_search (sim_checker_t *self, place_t place)
{
    if (place.known == 0)
        return true;
    if (++self->steps > self->steps_most)
        return false;
    if (!s_memo_add (self, place.hash ^ s_state_hash (&place.state)))
        return false;
    int64_t first_answer_us = SIM_NEVER_US;
    size_t end = place.low;
    size_t first = place.low;
    for (; end < self->count && self->ops[end].invoked_us <= first_answer_us; end++) {
        if (!self->done[end] && self->ops[end].answered_us < first_answer_us) {
            first_answer_us = self->ops[end].answered_us;
            first = end;
        }
    }
    if (place.taken >= self->furthest) {
        self->furthest = place.taken;
        self->stuck = first;
    }
    for (int unknown = 0; unknown < 2; unknown++) {
        for (size_t i = place.low; i < end; i++) {
            if (self->done[i] || (self->ops[i].answer == ANSWER_UNKNOWN) != unknown)
                continue;
            if (s_try (self, &place, i))
                return true;
        }
    }
    return false;
}

static int s_compare (const void *a, const void *b)
{
    const check_op_t *x = a;
    const check_op_t *y = b;
    if (x->invoked_us != y->invoked_us)
        return x->invoked_us < y->invoked_us ? -1 : 1;
    if (x->connection != y->connection)
        return x->connection < y->connection ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

check_verdict_t sim_checker_run (sim_checker_t *self, check_op_t *ops, size_t count,
                                 uint64_t steps_most, bool *expired, size_t *stuck)
{
    qsort (ops, count, sizeof *ops, s_compare);
    if (count > self->done_capacity) {
        self->done_capacity = 2 * count;
        self->done = realloc (self->done, self->done_capacity * sizeof *self->done);
        KV_ASSERT (self->done != NULL);
    }
    place_t place = {.low = 0};
    for (size_t i = 0; i < count; i++) {
        self->done[i] = ops[i].answer == ANSWER_NO_EFFECT;
        place.known += ops[i].answer != ANSWER_NO_EFFECT && ops[i].answer != ANSWER_UNKNOWN;
    }
    while (place.low < count && self->done[place.low])
        place.low++;
    if (self->memo_slots > MEMO_FIRST) {
        self->memo_slots = MEMO_FIRST;
        free (self->memo);
        self->memo = malloc (self->memo_slots * sizeof *self->memo);
        KV_ASSERT (self->memo != NULL);
    }
    memset (self->memo, 0, self->memo_slots * sizeof *self->memo);
    self->memo_count = 0;
    self->ops = ops;
    self->count = count;
    self->steps = 0;
    self->steps_most = steps_most;
    self->furthest = 0;
    self->stuck = 0;
    self->expired = false;
    bool found = count <= KILLED_MOST && s_search (self, place);
    *expired = self->expired;
    if (stuck)
        *stuck = self->stuck;
    if (found)
        return CHECK_PASSED;
    return self->steps > steps_most || count > KILLED_MOST ? CHECK_UNDECIDED : CHECK_VIOLATED;
}

sim_checker_t *sim_checker_new (sim_values_t *values)
{
    sim_checker_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->values = values;
    self->memo_slots = MEMO_FIRST;
    self->memo = calloc (self->memo_slots, sizeof *self->memo);
    KV_ASSERT (self->memo != NULL);
    return self;
}

void sim_checker_destroy (sim_checker_t **self_p)
{
    sim_checker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->memo);
    free (self->done);
    free (self);
}

/* ---- in words --------------------------------------------------------------------------------- */

static const char *const s_kinds[] = {"LOSS", "GET", "STRLEN", "EXISTS",  "SET", "APPEND",
                                      "ADD",  "DEL", "EXPIRE", "PERSIST", "TTL"};

void sim_check_describe (const check_op_t *op, const sim_values_t *values, char *text,
                         size_t text_bytes)
{
    static const char *const answers[] = {"unknown", "any", "nil",       "OK",
                                          "",        "",    "bad value", "no effect"};
    char answer[64];
    kv_slice_t value = sim_values_bytes (values, op->value);
    kv_slice_t answered = sim_values_bytes (values, op->answer_value);
    if (op->answer == ANSWER_NUMBER)
        snprintf (answer, sizeof answer, "%" PRId64, op->number);
    else if (op->answer == ANSWER_VALUE)
        snprintf (answer, sizeof answer, "'%.*s'", (int)(answered.size < 48 ? answered.size : 48),
                  (const char *)answered.data);
    else
        snprintf (answer, sizeof answer, "%s", answers[op->answer]);
    int size = (int)(value.size < 48 ? value.size : 48);
    snprintf (text, text_bytes, "%.6f..%.6f connection %u #%u %s %.*s %" PRId64 " -> %s%s",
              (double)op->invoked_us / 1e6,
              op->answered_us == SIM_NEVER_US ? -1.0 : (double)op->answered_us / 1e6,
              op->connection, op->order, s_kinds[op->kind], size,
              size ? (const char *)value.data : "", op->amount, answer,
              op->may_move ? " (sent again)" : "");
}
