/* sim_command_draw - the half of sim_command that makes commands. */
#include "sim_command.h"

#include "schema/limits.h"

#include <inttypes.h>

static void s_name (const sim_seat_t *seat, sim_command_t *self, command_id_t id,
                    uint32_t arguments, writer_t *out)
{
    char name[KV_COMMAND_NAME_BYTES_MAX + 1];
    snprintf (name, sizeof name, "%s", command_spec (id)->name);
    if (sim_random_percent (seat->random, 10))
        name[0] = (char)(name[0] | 32);
    self->id = id;
    writer_array (out, 1 + arguments);
    writer_cstr (out, name);
}

static void s_number (const sim_seat_t *seat, int64_t number, writer_t *out)
{
    char text[24];
    snprintf (text, sizeof text, "%" PRId64, number);
    if (sim_random_percent (seat->random, 50))
        writer_int (out, number);
    else
        writer_cstr (out, text);
}

static void s_key (const sim_seat_t *seat, uint32_t key, uint32_t member, writer_t *out)
{
    writer_bin (out, kv_slice_text (seat->keys->keys[key].names[member]));
}

/* What all operations of the command have in common; writes are noted at once. */
static void s_note (const sim_seat_t *seat, sim_command_t *self, bool writes)
{
    bool ordered = self->shape == COMMAND_OF_KEYS || self->shape == COMMAND_OF_GROUP;
    self->writes = writes;
    self->op.answer = ANSWER_UNKNOWN;
    self->op.connection = ordered ? seat->connection : 0;
    self->op.order = ++*seat->order;
    self->op.invoked_us = seat->sent_us;
    self->op.answered_us = SIM_NEVER_US;
    for (uint32_t i = 0; writes && i < self->key_count; i++)
        self->numbers[i] = sim_oracle_add (seat->oracle, self->keys[i], &self->op);
}

/* A new token for all keys of the command, as bytes to write. */
static void s_token (const sim_seat_t *seat, sim_command_t *self, char text[SIM_TOKEN_BYTES + 1])
{
    uint32_t keys[SIM_KEYS_MAX];
    for (uint32_t i = 0; i < self->key_count; i++)
        keys[i] = self->keys[i];
    self->token = sim_oracle_token (seat->oracle, seat->connection, keys, self->key_count, text);
    self->op.value = sim_values_of (sim_oracle_values (seat->oracle), kv_slice_text (text));
}

static uint32_t s_pick (const sim_seat_t *seat, sim_command_t *self, sim_kind_t kind)
{
    uint32_t key = sim_keys_pick (seat->keys, seat->random, kind);
    self->keys[0] = (uint8_t)key;
    self->key_count = 1;
    return key;
}

static void s_one_key (const sim_seat_t *seat, sim_command_t *self, command_id_t id,
                       check_kind_t kind, writer_t *out)
{
    self->op.kind = kind;
    s_note (seat, self, command_spec (id)->flags == COMMAND_WRITE);
    s_name (seat, self, id, 1, out);
    s_key (seat, self->keys[0], 0, out);
}

/* ---- registers -------------------------------------------------------------------------------- */

static void s_set (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    char text[SIM_TOKEN_BYTES + 1];
    uint64_t draw = sim_random_below (seat->random, 8);
    self->op.kind = CHECK_SET;
    self->op.if_absent = draw == 0 || draw == 2;
    self->op.if_present = draw == 1;
    self->op.get = draw == 2 || draw == 3;
    uint32_t options = (self->op.if_absent || self->op.if_present) + (self->op.get ? 1U : 0U);
    s_token (seat, self, text);
    s_note (seat, self, true);
    s_name (seat, self, COMMAND_SET, 2 + options, out);
    s_key (seat, self->keys[0], 0, out);
    writer_cstr (out, text);
    if (self->op.if_absent || self->op.if_present)
        writer_cstr (out, self->op.if_absent ? "NX" : "xx");
    if (self->op.get)
        writer_cstr (out, "GET");
}

static void s_append (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    char text[SIM_TOKEN_BYTES + 1];
    self->op.kind = CHECK_APPEND;
    s_token (seat, self, text);
    s_note (seat, self, true);
    s_name (seat, self, COMMAND_APPEND, 2, out);
    s_key (seat, self->keys[0], 0, out);
    writer_bin (out, kv_slice_text (text));
}

/* Several registers at once, all different. */
static void s_pick_several (const sim_seat_t *seat, sim_command_t *self)
{
    uint32_t there = seat->keys->counts[KEY_REGISTER];
    uint32_t wanted = (uint32_t)sim_random_range (seat->random, 1, there < 4 ? there : 4);
    uint32_t first = (uint32_t)sim_random_below (seat->random, there);
    for (uint32_t i = 0; i < wanted; i++)
        self->keys[i] = (uint8_t)(seat->keys->first[KEY_REGISTER] + (first + i) % there);
    self->key_count = wanted;
}

static void s_several (const sim_seat_t *seat, sim_command_t *self, command_id_t id,
                       check_kind_t kind, writer_t *out)
{
    char text[SIM_TOKEN_BYTES + 1];
    bool pairs = id == COMMAND_MSET;
    s_pick_several (seat, self);
    self->op.kind = kind;
    if (pairs)
        s_token (seat, self, text);
    s_note (seat, self, command_spec (id)->flags == COMMAND_WRITE);
    s_name (seat, self, id, self->key_count * (pairs ? 2 : 1), out);
    for (uint32_t i = 0; i < self->key_count; i++) {
        s_key (seat, self->keys[i], 0, out);
        if (pairs)
            writer_cstr (out, text);
    }
    uint32_t shard = sim_command_shard (seat, self);
    if (shard == UINT32_MAX)
        sim_count (seat->sim, COUNT_ROUTED_SPLIT);
}

static void s_draw_register (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    s_pick (seat, self, KEY_REGISTER);
    switch (sim_random_below (seat->random, 16)) {
    case 0:
    case 1:
    case 2: s_one_key (seat, self, COMMAND_GET, CHECK_GET, out); return;
    case 3:
    case 4:
    case 5:
    case 6: s_set (seat, self, out); return;
    case 7:
    case 8: s_append (seat, self, out); return;
    case 9: s_one_key (seat, self, COMMAND_STRLEN, CHECK_STRLEN, out); return;
    case 10: s_several (seat, self, COMMAND_DEL, CHECK_DEL, out); return;
    case 11: s_several (seat, self, COMMAND_UNLINK, CHECK_DEL, out); return;
    case 12: s_several (seat, self, COMMAND_EXISTS, CHECK_EXISTS, out); return;
    case 13: s_several (seat, self, COMMAND_MSET, CHECK_SET, out); return;
    case 14: s_several (seat, self, COMMAND_MGET, CHECK_GET, out); return;
    default: break;
    }
    self->op.amount = 1; /* of a register it is mostly refused */
    s_one_key (seat, self, COMMAND_INCR, CHECK_ADD, out);
}

/* ---- the other kinds of keys -------------------------------------------------------------------- */

static void s_draw_counter (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    int64_t amount = sim_random_range (seat->random, -50, 50);
    uint64_t draw = sim_random_below (seat->random, 10);
    uint32_t key = s_pick (seat, self, KEY_COUNTER);
    if (draw < 5) {
        bool up = draw < 3;
        self->op.amount = up ? 1 : -1;
        s_one_key (seat, self, up ? COMMAND_INCR : COMMAND_DECR, CHECK_ADD, out);
    } else if (draw < 7) {
        bool up = draw == 5;
        self->op.kind = CHECK_ADD;
        self->op.amount = up ? amount : -amount;
        s_note (seat, self, true);
        s_name (seat, self, up ? COMMAND_INCRBY : COMMAND_DECRBY, 2, out);
        s_key (seat, key, 0, out);
        s_number (seat, amount, out);
    } else if (draw == 7) {
        self->op.kind = CHECK_SET;
        self->op.value = sim_values_of_number (sim_oracle_values (seat->oracle), amount);
        s_note (seat, self, true);
        s_name (seat, self, COMMAND_SET, 2, out);
        s_key (seat, key, 0, out);
        s_number (seat, amount, out);
    } else {
        s_one_key (seat, self, COMMAND_GET, CHECK_GET, out);
    }
}

static void s_group (const sim_seat_t *seat, sim_command_t *self, command_id_t id,
                     check_kind_t kind, writer_t *out)
{
    char text[SIM_TOKEN_BYTES + 1];
    bool pairs = id == COMMAND_MSET;
    self->shape = COMMAND_OF_GROUP;
    self->op.kind = kind;
    if (pairs)
        s_token (seat, self, text);
    s_note (seat, self, command_spec (id)->flags == COMMAND_WRITE);
    s_name (seat, self, id, SIM_GROUP_KEYS * (pairs ? 2 : 1), out);
    for (uint32_t i = 0; i < SIM_GROUP_KEYS; i++) {
        s_key (seat, self->keys[0], i, out);
        if (pairs)
            writer_cstr (out, text);
    }
}

static void s_draw_group (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    s_pick (seat, self, KEY_GROUP);
    switch (sim_random_below (seat->random, 8)) {
    case 0: s_group (seat, self, COMMAND_DEL, CHECK_DEL, out); return;
    case 1: s_group (seat, self, COMMAND_EXISTS, CHECK_EXISTS, out); return;
    case 2:
    case 3:
    case 4: s_group (seat, self, COMMAND_MSET, CHECK_SET, out); return;
    default: s_group (seat, self, COMMAND_MGET, CHECK_GET, out); return;
    }
}

static void s_draw_anchor (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    char text[SIM_TOKEN_BYTES + 1];
    s_pick (seat, self, KEY_ANCHOR);
    if (sim_random_percent (seat->random, 25)) {
        s_one_key (seat, self, COMMAND_GET, CHECK_GET, out);
        return;
    }
    self->op.kind = CHECK_SET;
    s_token (seat, self, text);
    s_note (seat, self, true);
    s_name (seat, self, COMMAND_SET, 2, out);
    s_key (seat, self->keys[0], 0, out);
    writer_cstr (out, text);
}

static void s_set_expiring (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    static const char *const words[] = {"PX", "EX", "PXAT", "KEEPTTL"};
    char text[SIM_TOKEN_BYTES + 1];
    uint64_t draw = sim_random_below (seat->random, 4);
    int64_t amount = draw == 1 ? 1 : sim_random_scale (seat->random, 1, 1000);
    self->op.kind = CHECK_SET;
    self->op.expiry = draw == 3 ? EXPIRY_KEEP : draw == 2 ? EXPIRY_ABSOLUTE : EXPIRY_RELATIVE;
    if (draw == 2)
        amount += SIM_WALL_ZERO_MS + seat->sent_us / 1000 - 200;
    self->op.amount = draw == 1 ? 1000 * amount : amount;
    s_token (seat, self, text);
    s_note (seat, self, true);
    s_name (seat, self, COMMAND_SET, draw == 3 ? 3 : 4, out);
    s_key (seat, self->keys[0], 0, out);
    writer_cstr (out, text);
    writer_cstr (out, words[draw]);
    if (draw != 3)
        s_number (seat, amount, out);
}

static void s_draw_volatile (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    s_pick (seat, self, KEY_VOLATILE);
    uint64_t draw = sim_random_below (seat->random, 12);
    switch (draw) {
    case 0:
    case 1: {
        int64_t amount =
            draw ? sim_random_scale (seat->random, 1, 1000) : sim_random_range (seat->random, 0, 2);
        self->op.kind = CHECK_EXPIRE;
        self->op.amount = draw ? amount : 1000 * amount;
        s_note (seat, self, true);
        s_name (seat, self, draw ? COMMAND_PEXPIRE : COMMAND_EXPIRE, 2, out);
        s_key (seat, self->keys[0], 0, out);
        s_number (seat, amount, out);
        return;
    }
    case 2: s_one_key (seat, self, COMMAND_PERSIST, CHECK_PERSIST, out); return;
    case 3:
        self->op.in_seconds = true;
        s_one_key (seat, self, COMMAND_TTL, CHECK_TTL, out);
        return;
    case 4: s_one_key (seat, self, COMMAND_PTTL, CHECK_TTL, out); return;
    case 5: s_append (seat, self, out); return;
    case 6:
    case 7:
    case 8: s_one_key (seat, self, COMMAND_GET, CHECK_GET, out); return;
    default: s_set_expiring (seat, self, out); return;
    }
}

/* ---- commands for all nodes, or for the broker alone -------------------------------------------- */

void sim_command_list (const sim_seat_t *seat, sim_command_t *self, command_id_t id, writer_t *out)
{
    *self = (sim_command_t){.shape = COMMAND_LISTS};
    s_note (seat, self, false);
    s_name (seat, self, id, id == COMMAND_KEYS ? 1 : 0, out);
    if (id == COMMAND_KEYS)
        writer_cstr (out, "*");
}

void sim_command_scan (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    sim_scan_t *scan = seat->scan;
    *self = (sim_command_t){.shape = COMMAND_SCANS};
    if (!scan->walking)
        *scan = (sim_scan_t){.walking = true, .cursor = "0", .since_us = seat->sent_us};
    scan->asked = true;
    s_note (seat, self, false);
    bool count = sim_random_percent (seat->random, 70);
    s_name (seat, self, COMMAND_SCAN, count ? 3 : 1, out);
    writer_cstr (out, scan->cursor);
    if (count) {
        writer_cstr (out, "COUNT");
        s_number (seat, sim_random_scale (seat->random, 1, 64), out);
    }
}

static void s_flush (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    self->shape = COMMAND_OF_ALL;
    self->op.kind = CHECK_DEL;
    self->key_count = seat->keys->count;
    for (uint32_t i = 0; i < self->key_count; i++)
        self->keys[i] = (uint8_t)i;
    s_note (seat, self, true);
    s_name (seat, self, COMMAND_FLUSHALL, 0, out);
}

static void s_draw_wide (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    uint64_t draw = sim_random_below (seat->random, 10);
    if (draw == 0 && seat->mix->flushes)
        s_flush (seat, self, out);
    else if (draw <= 2)
        sim_command_list (seat, self, COMMAND_KEYS, out);
    else if (draw == 3 || seat->scan->asked)
        sim_command_list (seat, self, COMMAND_DBSIZE, out);
    else
        sim_command_scan (seat, self, out);
}

static void s_draw_wrong (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    self->shape = COMMAND_WRONG;
    s_note (seat, self, false);
    switch (sim_random_below (seat->random, 3)) {
    case 0:
        writer_array (out, 2);
        writer_cstr (out, "NONSENSE");
        writer_cstr (out, "x");
        return;
    case 1: s_name (seat, self, COMMAND_GET, 0, out); return;
    default: break;
    }
    s_name (seat, self, COMMAND_GET, 1, out);
    writer_cstr (out, ""); /* an empty key */
}

static void s_draw_local (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    static const command_id_t bare[] = {COMMAND_PING, COMMAND_HELP, COMMAND_INFO, COMMAND_TOPOLOGY};
    self->shape = COMMAND_LOCAL;
    s_note (seat, self, false);
    uint64_t draw = sim_random_below (seat->random, 20);
    if (draw < 3 && seat->mix->shutdowns) {
        char id[16];
        snprintf (id, sizeof id, "node%u",
                  1 + (unsigned)sim_random_below (seat->random, seat->mix->nodes));
        s_name (seat, self, COMMAND_SHUTDOWN, 1, out);
        writer_cstr (out, id);
    } else if (draw < 8) {
        self->echo = (uint32_t)sim_random_below (seat->random, 1000);
        s_name (seat, self, COMMAND_ECHO, 1, out);
        writer_int (out, self->echo);
    } else if (draw < 12) {
        s_name (seat, self, bare[draw - 8], 0, out);
    } else {
        s_name (seat, self, COMMAND_PING, 0, out);
    }
}

/* ---- draws ---------------------------------------------------------------------------------------- */

void sim_command_draw (const sim_seat_t *seat, sim_command_t *self, writer_t *out)
{
    static void (*const draws[KEY_KINDS]) (const sim_seat_t *, sim_command_t *, writer_t *) = {
        s_draw_register, s_draw_counter, s_draw_group, s_draw_anchor, s_draw_volatile};
    *self = (sim_command_t){.shape = COMMAND_OF_KEYS};
    sim_count (seat->sim, COUNT_COMMANDS);
    uint64_t other = sim_random_below (seat->random, 32);
    if (other < 3) {
        s_draw_wide (seat, self, out);
        return;
    }
    if (other < 5) {
        s_draw_local (seat, self, out);
        return;
    }
    if (other == 5 && sim_random_percent (seat->random, 30)) {
        s_draw_wrong (seat, self, out);
        return;
    }
    uint32_t all = 0;
    for (int kind = 0; kind < KEY_KINDS; kind++)
        all += seat->keys->counts[kind] ? seat->mix->weights[kind] : 0;
    uint32_t draw = (uint32_t)sim_random_below (seat->random, all);
    for (int kind = 0; kind < KEY_KINDS; kind++) {
        uint32_t weight = seat->keys->counts[kind] ? seat->mix->weights[kind] : 0;
        if (draw < weight) {
            draws[kind](seat, self, out);
            return;
        }
        draw -= weight;
    }
    KV_UNREACHABLE ("there is a register at least");
}

void sim_command_read (const sim_seat_t *seat, sim_command_t *self, uint32_t key, writer_t *out)
{
    *self = (sim_command_t){.shape = COMMAND_OF_KEYS, .key_count = 1};
    self->keys[0] = (uint8_t)key;
    if (seat->keys->keys[key].kind == KEY_GROUP)
        s_group (seat, self, COMMAND_MGET, CHECK_GET, out);
    else
        s_one_key (seat, self, COMMAND_GET, CHECK_GET, out);
}

uint32_t sim_command_shard (const sim_seat_t *seat, const sim_command_t *self)
{
    bool of_keys = self->shape == COMMAND_OF_KEYS || self->shape == COMMAND_OF_GROUP;
    uint32_t shard = of_keys ? seat->keys->keys[self->keys[0]].shard : UINT32_MAX;
    for (uint32_t i = 1; i < self->key_count; i++) {
        if (seat->keys->keys[self->keys[i]].shard != shard)
            return UINT32_MAX;
    }
    return shard;
}
