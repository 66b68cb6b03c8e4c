#include "sim_oracle.h"

#include "sim_trace.h"

#include "schema/command.h"
#include "schema/request.h"

#include <inttypes.h>
#include <stdlib.h>

enum { STEPS_MOST = 200000, NODES_MOST = 8 };

typedef struct {
    check_op_t *ops; /* owned */
    uint32_t count, capacity;
} history_t;

typedef struct {
    uint32_t connection;
    uint64_t keys;     /* a bit for each key it is written to */
    uint64_t executed; /* a bit for each key where it was */
    kv_status_t refused;
} token_t;

/* O3: the newest token of a connection that a shard has seen, and in which process. */
typedef struct {
    uint64_t incarnation;
    uint32_t token;
} newest_t;

struct sim_oracle {
    sim_oracle_options_t options;
    sim_values_t *values;
    sim_checker_t *checker;
    history_t histories[SIM_KEYS_MAX];
    token_t *tokens; /* owned; token t is tokens[t - 1] */
    uint32_t token_count, token_capacity;
    int64_t restarted_us[NODES_MOST]; /* of each node, the last time */
    newest_t **newest;                /* owned [connection]: owned [shards], or NULL */
    uint32_t newest_capacity;
    command_t command; /* scratch */
};

sim_oracle_t *sim_oracle_new (const sim_oracle_options_t *options)
{
    sim_oracle_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->values = sim_values_new ();
    self->checker = sim_checker_new (self->values);
    self->command = command_make ();
    return self;
}

void sim_oracle_destroy (sim_oracle_t **self_p)
{
    sim_oracle_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (int i = 0; i < SIM_KEYS_MAX; i++)
        free (self->histories[i].ops);
    for (uint32_t i = 0; i < self->newest_capacity; i++)
        free (self->newest[i]);
    free (self->newest);
    free (self->tokens);
    command_free (&self->command);
    sim_checker_destroy (&self->checker);
    sim_values_destroy (&self->values);
    free (self);
}

sim_values_t *sim_oracle_values (sim_oracle_t *self)
{
    return self->values;
}

/* ---- histories -------------------------------------------------------------------------------- */

uint32_t sim_oracle_add (sim_oracle_t *self, uint32_t key, const check_op_t *op)
{
    history_t *history = &self->histories[key];
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? 2 * history->capacity : 32;
        history->ops = realloc (history->ops, history->capacity * sizeof *history->ops);
        KV_ASSERT (history->ops != NULL);
    }
    history->ops[history->count] = *op;
    return history->count++;
}

check_op_t *sim_oracle_op (sim_oracle_t *self, uint32_t key, uint32_t number)
{
    KV_ASSERT (number < self->histories[key].count);
    return &self->histories[key].ops[number];
}

void sim_oracle_loss (sim_oracle_t *self, uint32_t node)
{
    int64_t now_us = sim_now (self->options.sim);
    check_op_t loss = {
        .kind = CHECK_LOSS, .answer = ANSWER_ANY, .invoked_us = now_us, .answered_us = now_us};
    for (uint32_t key = 0; key < self->options.keys->count; key++) {
        if (self->options.keys->keys[key].node == node)
            sim_oracle_add (self, key, &loss);
    }
}

void sim_oracle_set_back (sim_oracle_t *self, uint32_t key, const kv_slice_t *value,
                          int64_t expires_ms)
{
    int64_t now_us = sim_now (self->options.sim);
    check_op_t op = {.kind = value ? CHECK_SET : CHECK_LOSS,
                     .answer = ANSWER_ANY,
                     .expiry = expires_ms ? EXPIRY_ABSOLUTE : EXPIRY_NONE,
                     .amount = expires_ms,
                     .invoked_us = now_us,
                     .answered_us = now_us};
    if (value)
        op.value = sim_values_of (self->values, *value);
    sim_oracle_add (self, key, &op);
}

void sim_oracle_restarted (sim_oracle_t *self, uint32_t node)
{
    KV_ASSERT (node < NODES_MOST);
    self->restarted_us[node] = sim_now (self->options.sim);
}

bool sim_oracle_was_restarted (const sim_oracle_t *self, uint32_t node, int64_t since_us)
{
    KV_ASSERT (node < NODES_MOST);
    return self->restarted_us[node] >= since_us;
}

/* The operation shows that the key was there when it took place. */
static bool s_shows_presence (const check_op_t *op)
{
    switch (op->kind) {
    case CHECK_SET: return op->answer == ANSWER_OK || (op->answer == ANSWER_VALUE && op->get);
    case CHECK_GET: return op->answer == ANSWER_VALUE;
    case CHECK_EXISTS: return op->answer == ANSWER_NUMBER && op->number == 1;
    case CHECK_APPEND:
    case CHECK_ADD: return op->answer == ANSWER_NUMBER;
    case CHECK_LOSS:
    case CHECK_STRLEN:
    case CHECK_DEL:
    case CHECK_EXPIRE:
    case CHECK_PERSIST:
    case CHECK_TTL: return false;
    }
    return false;
}

bool sim_oracle_is_present (const sim_oracle_t *self, uint32_t key, int64_t from_us)
{
    const history_t *history = &self->histories[key];
    if (self->options.keys->keys[key].kind == KEY_VOLATILE)
        return false;
    int64_t shown_us = -1; /* the latest invocation of what shows it */
    for (uint32_t i = 0; i < history->count; i++) {
        const check_op_t *op = &history->ops[i];
        if (s_shows_presence (op) && op->answered_us <= from_us && op->invoked_us > shown_us)
            shown_us = op->invoked_us;
    }
    if (shown_us < 0)
        return false;
    for (uint32_t i = 0; i < history->count; i++) {
        const check_op_t *op = &history->ops[i];
        bool removes = op->kind == CHECK_LOSS || op->kind == CHECK_DEL;
        if (removes && op->answer != ANSWER_NO_EFFECT && op->answered_us >= shown_us)
            return false;
    }
    return true;
}

bool sim_oracle_may_be_present (const sim_oracle_t *self, uint32_t key)
{
    const history_t *history = &self->histories[key];
    for (uint32_t i = 0; i < history->count; i++) {
        const check_op_t *op = &history->ops[i];
        bool makes = op->kind == CHECK_SET || op->kind == CHECK_APPEND || op->kind == CHECK_ADD;
        if (makes && op->answer != ANSWER_NO_EFFECT)
            return true;
    }
    return false;
}

/* L3 of the checker: what the clock of the key's machine showed meanwhile. */
static void s_set_wall (const sim_oracle_t *self, uint32_t key)
{
    const sim_clock_t *clock = &self->options.clocks[self->options.keys->keys[key].node];
    const history_t *history = &self->histories[key];
    int64_t now_us = sim_now (self->options.sim);
    for (uint32_t i = 0; i < history->count; i++) {
        check_op_t *op = &history->ops[i];
        int64_t least_ms;
        int64_t to_us = op->answered_us < now_us ? op->answered_us : now_us;
        sim_clock_wall_bounds (clock, op->invoked_us, to_us, &op->wall_least_ms, &op->wall_most_ms);
        sim_clock_wall_bounds (clock, 0, to_us, &least_ms, &op->wall_top_ms);
    }
}

static void s_report (const sim_oracle_t *self, uint32_t key, size_t stuck)
{
    const history_t *history = &self->histories[key];
    const char *name = self->options.keys->keys[key].names[0];
    char text[400];
    for (uint32_t i = 0; self->options.sim->trace && i < history->count; i++) {
        sim_check_describe (&history->ops[i], self->values, text, sizeof text);
        sim_trace (self->options.sim, "history", name, "%s%s", text, i == stuck ? "   <--" : "");
    }
    sim_check_describe (&history->ops[stuck], self->values, text, sizeof text);
    sim_fail (self->options.sim, "linearizability",
              "no order of the %u operations on %s explains what they answered; the search got to: "
              "%s",
              history->count, name, text);
}

void sim_oracle_judge (sim_oracle_t *self)
{
    sim_t *sim = self->options.sim;
    for (uint32_t key = 0; key < self->options.keys->count && !sim->failed; key++) {
        history_t *history = &self->histories[key];
        bool expired;
        size_t stuck;
        if (history->count == 0)
            continue;
        if (self->options.keys->keys[key].kind == KEY_VOLATILE)
            s_set_wall (self, key);
        sim_count (sim, COUNT_HISTORIES);
        for (uint32_t i = 0; i < history->count; i++) {
            if (history->ops[i].kind == CHECK_LOSS) {
                sim_count (sim, COUNT_HISTORY_LOSS);
                break;
            }
        }
        check_verdict_t verdict = sim_checker_run (self->checker, history->ops, history->count,
                                                   STEPS_MOST, &expired, &stuck);
        if (verdict == CHECK_VIOLATED)
            s_report (self, key, stuck);
        if (verdict == CHECK_UNDECIDED)
            sim_count (sim, COUNT_HISTORY_UNDECIDED);
        if (verdict == CHECK_PASSED && expired)
            sim_count (sim, COUNT_KEY_EXPIRED);
    }
}

/* ---- tokens ----------------------------------------------------------------------------------- */

uint32_t sim_oracle_token (sim_oracle_t *self, uint32_t connection, const uint32_t *keys,
                           uint32_t key_count, char text[SIM_TOKEN_BYTES + 1])
{
    if (self->token_count == self->token_capacity) {
        self->token_capacity = self->token_capacity ? 2 * self->token_capacity : 128;
        self->tokens = realloc (self->tokens, self->token_capacity * sizeof *self->tokens);
        KV_ASSERT (self->tokens != NULL);
    }
    KV_ASSERT (self->token_count < SIM_TOKENS_MAX - 1);
    token_t *token = &self->tokens[self->token_count++];
    *token = (token_t){.connection = connection};
    for (uint32_t i = 0; i < key_count; i++)
        token->keys |= UINT64_C (1) << keys[i];
    snprintf (text, SIM_TOKEN_BYTES + 1, "<%05x>", self->token_count & 0xfffff);
    return self->token_count;
}

void sim_oracle_refused (sim_oracle_t *self, uint32_t number, kv_status_t status)
{
    token_t *token = &self->tokens[number - 1];
    token->refused = status;
    if (token->executed)
        sim_fail (self->options.sim, "refused", "the write of <%05x> was answered %s, and executed",
                  number, kv_status_name (status));
}

void sim_oracle_succeeded (sim_oracle_t *self, uint32_t number)
{
    const token_t *token = &self->tokens[number - 1];
    if (token->executed != token->keys)
        sim_fail (self->options.sim, "executed",
                  "the write of <%05x> was answered with success, and not executed", number);
}

/* The token that a value is, or 0. */
static uint32_t s_token_of (const sim_oracle_t *self, kv_slice_t value)
{
    if (value.size != SIM_TOKEN_BYTES || value.data[0] != '<')
        return 0;
    uint32_t number = 0;
    for (size_t i = 1; i < SIM_TOKEN_BYTES - 1; i++) {
        uint8_t c = value.data[i];
        number = number * 16 + (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return number <= self->token_count ? number : 0;
}

/* O3 */
static void s_check_order (sim_oracle_t *self, uint64_t incarnation, uint32_t number,
                           uint32_t shard)
{
    uint32_t connection = self->tokens[number - 1].connection;
    if (connection >= self->newest_capacity) {
        uint32_t capacity = 2 * connection + 16;
        self->newest = realloc (self->newest, capacity * sizeof *self->newest);
        KV_ASSERT (self->newest != NULL);
        for (uint32_t i = self->newest_capacity; i < capacity; i++)
            self->newest[i] = NULL;
        self->newest_capacity = capacity;
    }
    if (!self->newest[connection]) {
        self->newest[connection] = calloc (self->options.shards, sizeof (newest_t));
        KV_ASSERT (self->newest[connection] != NULL);
    }
    newest_t *newest = &self->newest[connection][shard];
    if (newest->incarnation == incarnation && newest->token > number)
        sim_fail (self->options.sim, "order",
                  "<%05x> is executed behind <%05x>, which its connection sent later", number,
                  newest->token);
    *newest = (newest_t){incarnation, number};
}

static void s_executes (sim_oracle_t *self, uint64_t incarnation, kv_slice_t name, kv_slice_t value)
{
    uint32_t key, member;
    uint32_t number = s_token_of (self, value);
    if (number == 0 || !sim_keys_find (self->options.keys, name, &key, &member) || member > 0)
        return;
    token_t *token = &self->tokens[number - 1];
    uint64_t bit = UINT64_C (1) << key;
    if (token->executed & bit)
        sim_fail (self->options.sim, "twice", "the write of <%05x> is executed a second time",
                  number); // O1
    if (token->refused)
        sim_fail (self->options.sim, "refused", "the write of <%05x>, answered %s, is executed",
                  number, kv_status_name (token->refused)); // O2
    if (!(token->keys & bit))
        sim_fail (self->options.sim, "garbled", "<%05x> is written to another key", number);
    token->executed |= bit;
    s_check_order (self, incarnation, number, self->options.keys->keys[key].shard);
}

/* A command that was refused was not executed. */
static bool s_is_refusal (kv_status_t status)
{
    return status == KV_DISK_FULL || status == KV_BUSY || status == KV_MOVED ||
           status == KV_LOADING;
}

void sim_oracle_ran (sim_oracle_t *self, uint64_t incarnation, kv_slice_t body, kv_slice_t bytes)
{
    request_t request;
    reply_t reply;
    result_t result;
    const char *why;
    command_t *command = &self->command;
    if (request_decode (body, &request, &why) != KV_OK || reply_decode (bytes, &reply) != KV_OK ||
        reply.count != request.command_count)
        return;
    for (uint32_t i = 0; i < request.command_count; i++) {
        if (command_read (command, &request.commands, &why) != KV_OK ||
            result_next (&reply, &result) != KV_OK)
            return;
        if (!command->spec || command->spec->flags != COMMAND_WRITE || command->argc < 3 ||
            s_is_refusal (result.status))
            continue;
        uint32_t most = command->spec->keys == KEYS_PAIRS ? command->argc : 3;
        for (uint32_t k = 1; k + 1 < most; k += 2)
            s_executes (self, incarnation, command->argv[k], command->argv[k + 1]);
    }
}
