/* The half of sim_command that judges answers; sim_command_draw.c makes commands. */
#include "sim_command.h"

#include "schema/limits.h"

#include <inttypes.h>

static void s_wrong (const sim_seat_t *seat, const sim_command_t *self, const char *why)
{
    sim_fail (seat->sim, "answer", "%s #%u of connection %u: %s", command_spec (self->id)->name,
              self->op.order, seat->connection, why);
}

/* The value of a successful result as an answer. False: it is none that a key can give. */
static bool s_read_value (const sim_seat_t *seat, kv_slice_t value, check_op_t *op)
{
    reader_t at = reader_make (value);
    kv_slice_t bytes;
    switch (reader_peek (&at)) {
    case READER_NIL: op->answer = ANSWER_NIL; return true;
    case READER_INT: op->answer = ANSWER_NUMBER; return reader_int (&at, &op->number) == KV_OK;
    case READER_TEXT:
        op->answer = ANSWER_OK;
        return reader_bytes (&at, &bytes) == KV_OK && kv_slice_is_word (bytes, "OK");
    case READER_BIN:
        op->answer = ANSWER_VALUE;
        if (reader_bytes (&at, &bytes) != KV_OK)
            return false;
        op->answer_value = sim_values_of (sim_oracle_values (seat->oracle), bytes);
        return true;
    case READER_BOOL:
    case READER_DOUBLE:
    case READER_ARRAY:
    case READER_MAP:
    case READER_EXT:
    case READER_INVALID: return false;
    }
    return false;
}

/* ---- what was not executed, or not surely ------------------------------------------------------ */

static void s_set_all (const sim_seat_t *seat, const sim_command_t *self, check_answer_t answer)
{
    for (uint32_t i = 0; self->writes && i < self->key_count; i++)
        sim_oracle_op (seat->oracle, self->keys[i], self->numbers[i])->answer = answer;
}

/* True if the status says that the command had no effect. */
static bool s_had_no_effect (const sim_seat_t *seat, const sim_command_t *self, kv_status_t status)
{
    if (seat->mix->calm)
        s_wrong (seat, self, kv_status_name (status));
    switch (status) {
    case KV_BUSY: sim_count (seat->sim, COUNT_RESULT_BUSY); return true;
    case KV_UNAVAILABLE: sim_count (seat->sim, COUNT_RESULT_UNAVAILABLE); return true;
    case KV_DISK_FULL: sim_count (seat->sim, COUNT_RESULT_DISK_FULL); return true;
    case KV_TOO_LARGE: return true; /* more than the queues may ever hold */
    default: return false;
    }
}

static void s_failed (const sim_seat_t *seat, sim_command_t *self, const result_t *result)
{
    if (result->status == KV_BAD_VALUE && self->op.kind == CHECK_ADD && self->key_count == 1) {
        check_op_t *op = sim_oracle_op (seat->oracle, self->keys[0], self->numbers[0]);
        op->answer = ANSWER_BAD_VALUE;
        op->answered_us = sim_now (seat->sim);
        return;
    }
    if (s_had_no_effect (seat, self, result->status)) {
        s_set_all (seat, self, ANSWER_NO_EFFECT);
        if (self->token)
            sim_oracle_refused (seat->oracle, self->token, result->status);
        return;
    }
    if (result->status == KV_OUTCOME_UNKNOWN && self->writes) {
        sim_count (seat->sim, COUNT_RESULT_UNKNOWN);
        if (seat->mix->gentle)
            s_wrong (seat, self, "of unknown outcome, though nodes only stopped in good order");
        return;
    }
    char why[128];
    snprintf (why, sizeof why, "an unexpected %s: %.*s", kv_status_name (result->status),
              (int)(result->text.size < 80 ? result->text.size : 80),
              (const char *)result->text.data);
    s_wrong (seat, self, why);
}

/* ---- commands of keys ---------------------------------------------------------------------------- */

static void s_note_read (const sim_seat_t *seat, const sim_command_t *self, uint32_t key,
                         check_op_t op, const uint64_t *losses_before, const uint64_t *losses_now)
{
    uint32_t node = seat->keys->keys[key].node;
    op.answered_us = sim_now (seat->sim);
    op.may_move = losses_before[node] != losses_now[node];
    op.order = self->op.order;
    sim_oracle_add (seat->oracle, key, &op);
}

/* A write whose answer says something of each of its keys. */
static void s_write_answered (const sim_seat_t *seat, sim_command_t *self, check_op_t answer)
{
    bool whole = self->key_count == 1 || answer.answer == ANSWER_OK;
    for (uint32_t i = 0; i < self->key_count; i++) {
        check_op_t *op = sim_oracle_op (seat->oracle, self->keys[i], self->numbers[i]);
        op->answer = whole ? answer.answer : ANSWER_ANY;
        op->number = answer.number;
        op->answer_value = answer.answer_value;
        op->answered_us = sim_now (seat->sim);
    }
    if (self->token)
        sim_oracle_succeeded (seat->oracle, self->token);
}

/* The values of MGET; `op` receives each in turn. */
static void s_values_answered (const sim_seat_t *seat, sim_command_t *self, reader_t at,
                               const uint64_t *losses_before, const uint64_t *losses_now)
{
    uint32_t count;
    if (reader_array (&at, &count) != KV_OK || count != self->key_count) {
        s_wrong (seat, self, "not a value for each key");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        check_op_t op = self->op;
        kv_slice_t value;
        if (reader_skip (&at, &value) != KV_OK || !s_read_value (seat, value, &op)) {
            s_wrong (seat, self, "not a value");
            return;
        }
        s_note_read (seat, self, self->keys[i], op, losses_before, losses_now);
    }
}

static void s_keys_answered (const sim_seat_t *seat, sim_command_t *self, kv_slice_t value,
                             const uint64_t *losses_before, const uint64_t *losses_now)
{
    check_op_t op = self->op;
    if (self->id == COMMAND_MGET) {
        s_values_answered (seat, self, reader_make (value), losses_before, losses_now);
        return;
    }
    if (!s_read_value (seat, value, &op)) {
        s_wrong (seat, self, "not a value of the kind");
        return;
    }
    bool counts = self->op.kind == CHECK_DEL || self->op.kind == CHECK_EXISTS;
    if (counts && (op.answer != ANSWER_NUMBER || op.number < 0 || op.number > self->key_count))
        s_wrong (seat, self, "more keys than it names");
    if (self->writes)
        s_write_answered (seat, self, op);
    else if (self->key_count == 1)
        s_note_read (seat, self, self->keys[0], op, losses_before, losses_now);
}

/* All members of a group are the same, or something was not atomic. */
static bool s_group_value (const sim_seat_t *seat, const sim_command_t *self, kv_slice_t value,
                           check_op_t *op)
{
    reader_t at = reader_make (value);
    uint32_t count;
    if (reader_peek (&at) == READER_INT) {
        if (reader_int (&at, &op->number) != KV_OK || op->number % SIM_GROUP_KEYS != 0)
            return false;
        op->answer = ANSWER_NUMBER;
        op->number /= SIM_GROUP_KEYS;
        return true;
    }
    if (reader_peek (&at) == READER_TEXT)
        return s_read_value (seat, value, op);
    if (reader_array (&at, &count) != KV_OK || count != SIM_GROUP_KEYS)
        return false;
    sim_count (seat->sim, COUNT_GROUP_READ);
    for (uint32_t i = 0; i < count; i++) {
        check_op_t member = self->op;
        kv_slice_t element;
        if (reader_skip (&at, &element) != KV_OK || !s_read_value (seat, element, &member))
            return false;
        if (i && (member.answer != op->answer || member.answer_value != op->answer_value))
            return false;
        op->answer = member.answer;
        op->answer_value = member.answer_value;
    }
    return true;
}

static void s_group_answered (const sim_seat_t *seat, sim_command_t *self, kv_slice_t value,
                              const uint64_t *losses_before, const uint64_t *losses_now)
{
    check_op_t op = self->op;
    if (!s_group_value (seat, self, value, &op))
        s_wrong (seat, self, "a group of keys is not all the same: torn within a shard");
    else if (self->writes)
        s_write_answered (seat, self, op);
    else
        s_note_read (seat, self, self->keys[0], op, losses_before, losses_now);
}

/* ---- lists of keys -------------------------------------------------------------------------------- */

typedef struct {
    uint64_t found[SIM_GROUP_KEYS]; /* by member */
    bool twice;
} found_t;

/* Reads an array of names. */
static bool s_read_names (const sim_seat_t *seat, sim_command_t *self, reader_t *at, found_t *out)
{
    uint32_t count;
    *out = (found_t){.twice = false};
    if (reader_array (at, &count) != KV_OK)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t name;
        uint32_t key, member;
        if (reader_bytes (at, &name) != KV_OK || !sim_keys_find (seat->keys, name, &key, &member)) {
            s_wrong (seat, self, "a key that nobody has written");
            return false;
        }
        if (!sim_oracle_may_be_present (seat->oracle, key))
            s_wrong (seat, self, "a key that has not been written");
        out->twice = out->twice || (out->found[member] >> key & 1);
        out->found[member] |= UINT64_C (1) << key;
    }
    return true;
}

static uint32_t s_found_members (const sim_seat_t *seat, const uint64_t *found, uint32_t key)
{
    uint32_t members = 0;
    for (uint32_t i = 0; i < seat->keys->keys[key].name_count; i++)
        members += (uint32_t)(found[i] >> key & 1);
    return members;
}

static void s_keys_listed (const sim_seat_t *seat, sim_command_t *self, kv_slice_t value)
{
    static const uint64_t none[SIM_NODES_MAX] = {0};
    reader_t at = reader_make (value);
    found_t found;
    if (!s_read_names (seat, self, &at, &found) || found.twice) {
        s_wrong (seat, self, "not a list of different keys");
        return;
    }
    for (uint32_t key = 0; key < seat->keys->count; key++) {
        uint32_t names = seat->keys->keys[key].name_count;
        uint32_t members = s_found_members (seat, found.found, key);
        if (members != 0 && members != names)
            s_wrong (seat, self, "part of a group of keys");
        if (sim_oracle_is_present (seat->oracle, key, self->op.invoked_us)) {
            sim_count (seat->sim, COUNT_KEYS_KEY_EXPECTED);
            if (members == 0)
                s_wrong (seat, self, "a key is missing that was there all the time");
        }
        check_op_t op = self->op;
        op.kind = CHECK_EXISTS;
        op.answer = ANSWER_NUMBER;
        op.number = members > 0;
        s_note_read (seat, self, key, op, none, none);
    }
}

static void s_size_told (const sim_seat_t *seat, sim_command_t *self, kv_slice_t value)
{
    reader_t at = reader_make (value);
    int64_t least = 0;
    int64_t size;
    for (uint32_t key = 0; key < seat->keys->count; key++) {
        if (sim_oracle_is_present (seat->oracle, key, self->op.invoked_us))
            least += seat->keys->keys[key].name_count;
    }
    if (reader_int (&at, &size) != KV_OK || size < least || size > seat->keys->names) {
        char why[96];
        snprintf (why, sizeof why, "%" PRId64 " keys; at least %" PRId64 " are there, at most %u",
                  size, least, seat->keys->names);
        s_wrong (seat, self, why);
    }
}

/* ---- SCAN ---------------------------------------------------------------------------------------- */

static void s_walk_ends (const sim_seat_t *seat, sim_command_t *self)
{
    sim_scan_t *scan = seat->scan;
    scan->walking = false;
    scan->done = true;
    sim_count (seat->sim, COUNT_SCAN_WALKED);
    for (uint32_t key = 0; key < seat->keys->count; key++) {
        if (!sim_oracle_is_present (seat->oracle, key, scan->since_us) ||
            sim_oracle_was_restarted (seat->oracle, seat->keys->keys[key].node, scan->since_us))
            continue;
        sim_count (seat->sim, COUNT_SCAN_KEY_EXPECTED);
        if (s_found_members (seat, scan->found, key) != seat->keys->keys[key].name_count)
            sim_fail (seat->sim, "scan", "SCAN #%u: %s was there all the time and was not returned",
                      self->op.order, seat->keys->keys[key].names[0]);
    }
}

static void s_step_answered (const sim_seat_t *seat, sim_command_t *self, kv_slice_t value,
                             const uint64_t *losses_before, const uint64_t *losses_now)
{
    sim_scan_t *scan = seat->scan;
    reader_t at = reader_make (value);
    uint32_t count;
    kv_slice_t cursor;
    found_t found;
    if (reader_array (&at, &count) != KV_OK || count != 2 || reader_bytes (&at, &cursor) != KV_OK ||
        cursor.size >= sizeof scan->cursor || !s_read_names (seat, self, &at, &found)) {
        s_wrong (seat, self, "not a cursor and names");
        return;
    }
    memcpy (scan->cursor, cursor.data, cursor.size);
    scan->cursor[cursor.size] = '\0';
    for (int member = 0; member < SIM_GROUP_KEYS; member++)
        scan->found[member] |= found.found[member];
    for (uint32_t key = 0; key < seat->keys->count; key++) {
        check_op_t op = self->op;
        op.kind = CHECK_EXISTS;
        op.answer = ANSWER_NUMBER;
        op.number = 1;
        if (found.found[0] >> key & 1)
            s_note_read (seat, self, key, op, losses_before, losses_now);
    }
    if (strcmp (scan->cursor, "0") == 0)
        s_walk_ends (seat, self);
}

/* ---- the broker's own ------------------------------------------------------------------------------ */

static void s_local_answered (const sim_seat_t *seat, sim_command_t *self, const result_t *result)
{
    reader_t at = reader_make (result->value);
    kv_slice_t text = {0};
    char echo[16];
    uint32_t pairs = 0;
    bool fits = true;
    snprintf (echo, sizeof echo, "%u", self->echo);
    switch (self->id) {
    case COMMAND_PING:
        fits = reader_bytes (&at, &text) == KV_OK && kv_slice_is_word (text, "PONG");
        break;
    case COMMAND_ECHO:
        fits = reader_bytes (&at, &text) == KV_OK && kv_slice_equal (text, kv_slice_text (echo));
        break;
    case COMMAND_TOPOLOGY: fits = reader_map (&at, &pairs) == KV_OK && pairs == 8; break;
    default: fits = reader_bytes (&at, &text) == KV_OK && text.size > 0; break;
    }
    if (!fits)
        s_wrong (seat, self, "not what it should answer");
}

/* ---- answers --------------------------------------------------------------------------------------- */

static void s_refused_answered (const sim_seat_t *seat, sim_command_t *self, const result_t *result)
{
    bool blames = result->status == KV_UNKNOWN_COMMAND || result->status == KV_WRONG_ARITY ||
                  result->status == KV_BAD_VALUE;
    if (self->shape != COMMAND_WRONG || !blames)
        s_wrong (seat, self, "wrong, and yet accepted");
    else
        sim_count (seat->sim, COUNT_RESULT_REFUSED);
}

static bool s_is_shutdown_error (const sim_seat_t *seat, const sim_command_t *self,
                                 kv_status_t status)
{
    if (self->id != COMMAND_SHUTDOWN || self->shape != COMMAND_LOCAL)
        return false;
    if (status == KV_TIMEOUT)
        sim_count (seat->sim, COUNT_RESULT_TIMEOUT);
    return status == KV_TIMEOUT || status == KV_UNAVAILABLE || status == KV_TOO_LARGE;
}

void sim_command_answer (const sim_seat_t *seat, sim_command_t *self, const result_t *result,
                         const uint64_t *losses_before, const uint64_t *losses_now)
{
    if (self->shape == COMMAND_SCANS)
        seat->scan->asked = false;
    if (self->shape == COMMAND_WRONG) {
        s_refused_answered (seat, self, result);
        return;
    }
    if (result->status != KV_OK) {
        if (!s_is_shutdown_error (seat, self, result->status))
            s_failed (seat, self, result);
        return;
    }
    sim_count (seat->sim, COUNT_RESULT_OK);
    switch (self->shape) {
    case COMMAND_OF_KEYS:
        s_keys_answered (seat, self, result->value, losses_before, losses_now);
        return;
    case COMMAND_OF_GROUP:
        s_group_answered (seat, self, result->value, losses_before, losses_now);
        return;
    case COMMAND_OF_ALL:
        for (uint32_t i = 0; i < self->key_count; i++) {
            check_op_t *op = sim_oracle_op (seat->oracle, self->keys[i], self->numbers[i]);
            op->answer = ANSWER_ANY;
            op->answered_us = sim_now (seat->sim);
        }
        return;
    case COMMAND_LISTS:
        if (self->id == COMMAND_KEYS)
            s_keys_listed (seat, self, result->value);
        else
            s_size_told (seat, self, result->value);
        return;
    case COMMAND_SCANS:
        s_step_answered (seat, self, result->value, losses_before, losses_now);
        return;
    case COMMAND_LOCAL: s_local_answered (seat, self, result); return;
    case COMMAND_WRONG: return;
    }
}

void sim_command_abandon (const sim_seat_t *seat, sim_command_t *self)
{
    if (self->shape == COMMAND_SCANS)
        seat->scan->asked = false;
}
