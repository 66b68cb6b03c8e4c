#include "actors/gather.h"

#include "schema/limits.h"

#include <stdlib.h>

typedef struct {
    const command_spec_t *spec; /* NULL: settled on the spot */
    uint32_t waiting;           /* pieces without a result; 0: settled */
    uint32_t pieces;
    uint32_t value_count;
    kv_status_t failure; /* of the first piece that failed, OUTCOME_UNKNOWN before others */
    bool succeeded;      /* some piece did */
    bool is_local;       /* `result` is an offset into `local` */
    kv_slice_t result;   /* an encoded result: of the only piece, or the failure's */
    size_t local_offset;
    int64_t sum;        /* MERGE_SUM; MERGE_LEAST; MERGE_PICK: the weight of all parts so far */
    uint64_t joined;    /* MERGE_CONCAT: elements in all */
    kv_slice_t *values; /* owned. MERGE_BY_KEY: a value per key; MERGE_CONCAT: per piece;
                         * MERGE_PICK: the one picked */
} slot_t;

struct gather {
    uint64_t id;
    uint32_t commands;
    uint32_t unsettled;
    writer_t local; /* results made here */
    blob_t **kept;  /* owned references */
    size_t kept_count;
    size_t kept_capacity;
    slot_t slots[]; /* one per command */
};

gather_t *gather_new (uint64_t id, uint32_t commands)
{
    gather_t *self = calloc (1, sizeof *self + commands * sizeof (slot_t));
    KV_ASSERT (self != NULL);
    self->id = id;
    self->commands = commands;
    self->unsettled = commands;
    self->local = writer_make (SIZE_MAX);
    return self;
}

void gather_destroy (gather_t **self_p)
{
    gather_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->commands; i++)
        free (self->slots[i].values);
    for (size_t i = 0; i < self->kept_count; i++)
        blob_unref (&self->kept[i]);
    free (self->kept);
    writer_free (&self->local);
    free (self);
}

void gather_expect (gather_t *self, uint32_t command, const command_spec_t *spec, uint32_t pieces,
                    uint32_t keys)
{
    KV_ASSERT (command < self->commands);
    KV_ASSERT (pieces >= 1);
    slot_t *slot = &self->slots[command];
    KV_ASSERT (!slot->spec);
    slot->spec = spec;
    slot->waiting = pieces;
    slot->pieces = pieces;
    if (pieces == 1)
        return;
    if (spec->merge == MERGE_BY_KEY)
        slot->value_count = keys;
    if (spec->merge == MERGE_CONCAT)
        slot->value_count = pieces;
    if (spec->merge == MERGE_PICK)
        slot->value_count = 1;
    if (slot->value_count) {
        slot->values = calloc (slot->value_count, sizeof *slot->values);
        KV_ASSERT (slot->values != NULL);
    }
}

static void s_set_local (gather_t *self, slot_t *slot, kv_slice_t result)
{
    slot->is_local = true;
    slot->local_offset = self->local.size;
    slot->result.size = result.size;
    writer_raw (&self->local, result);
}

void gather_settle (gather_t *self, uint32_t command, kv_slice_t result)
{
    slot_t *slot = &self->slots[command];
    KV_ASSERT (command < self->commands && !slot->spec);
    s_set_local (self, slot, result);
    self->unsettled--;
}

void gather_keep (gather_t *self, blob_t *reply)
{
    if (self->kept_count == self->kept_capacity) {
        self->kept_capacity = self->kept_capacity ? 2 * self->kept_capacity : 4;
        self->kept = realloc (self->kept, self->kept_capacity * sizeof (blob_t *));
        KV_ASSERT (self->kept != NULL);
    }
    self->kept[self->kept_count++] = blob_ref (reply);
}

static void s_piece_done (gather_t *self, slot_t *slot)
{
    KV_ASSERT (slot->waiting > 0);
    if (--slot->waiting == 0)
        self->unsettled--; // G2
}

/* Whether this failure is the one to tell: the first, but an unknown outcome before any other. */
static bool s_failure_counts (const slot_t *slot, kv_status_t code)
{
    return slot->failure == KV_OK ||
           (code == KV_OUTCOME_UNKNOWN && slot->failure != KV_OUTCOME_UNKNOWN);
}

void gather_piece_failed (gather_t *self, const piece_t *piece, kv_status_t code, const char *text,
                          uint32_t retry_ms)
{
    slot_t *slot = &self->slots[piece->command];
    if (s_failure_counts (slot, code)) {
        writer_t result = writer_make (SIZE_MAX);
        if (retry_ms)
            result_retry (&result, code, text, retry_ms);
        else
            result_error (&result, code, text);
        s_set_local (self, slot, kv_slice (result.data, result.size));
        writer_free (&result);
        slot->failure = code;
    }
    s_piece_done (self, slot);
}

/* MERGE_BY_KEY: hands each value of the piece's array to its key. */
static kv_status_t s_values_by_key (slot_t *slot, const uint32_t *keys, const piece_t *piece,
                                    kv_slice_t value)
{
    reader_t at = reader_make (value);
    uint32_t count;
    if (reader_array (&at, &count) != KV_OK || count != piece->key_count)
        return KV_INTERNAL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = keys[piece->first_key + i];
        if (key >= slot->value_count || reader_skip (&at, &slot->values[key]) != KV_OK)
            return KV_INTERNAL;
    }
    return KV_OK;
}

/* MERGE_PICK: each part is [value, weight, 64 random bits]. Taking a part with probability weight by
 * weight of all so far leaves each with a chance in proportion to its own. */
static kv_status_t s_pick (slot_t *slot, kv_slice_t part)
{
    reader_t at = reader_make (part);
    uint32_t count;
    uint64_t weight;
    uint64_t draw;
    kv_slice_t value;
    if (reader_array (&at, &count) != KV_OK || count != 3 || reader_skip (&at, &value) != KV_OK ||
        reader_uint (&at, &weight) != KV_OK || reader_uint (&at, &draw) != KV_OK ||
        weight > INT64_MAX || __builtin_add_overflow (slot->sum, (int64_t)weight, &slot->sum))
        return KV_INTERNAL;
    if (weight > 0 && (uint64_t)((unsigned __int128)draw * (uint64_t)slot->sum >> 64) < weight)
        slot->values[0] = value;
    return KV_OK;
}

static kv_status_t s_merge (slot_t *slot, const uint32_t *keys, const piece_t *piece,
                            kv_slice_t value)
{
    reader_t at = reader_make (value);
    uint32_t count;
    int64_t number;
    switch (slot->spec->merge) {
    case MERGE_SUM:
        if (reader_int (&at, &number) != KV_OK)
            return KV_INTERNAL;
        return __builtin_add_overflow (slot->sum, number, &slot->sum) ? KV_INTERNAL : KV_OK;
    case MERGE_LEAST:
        if (reader_int (&at, &number) != KV_OK)
            return KV_INTERNAL;
        if (!slot->succeeded || number < slot->sum)
            slot->sum = number;
        return KV_OK;
    case MERGE_ALL_OK: return KV_OK;
    case MERGE_BY_KEY: return s_values_by_key (slot, keys, piece, value);
    case MERGE_CONCAT:
        if (reader_array (&at, &count) != KV_OK)
            return KV_INTERNAL;
        slot->joined += count;
        /* In the order of arrival: a set has no other. */
        slot->values[slot->pieces - slot->waiting] = kv_slice (at.at, reader_left (&at));
        return KV_OK;
    case MERGE_PICK: return s_pick (slot, value);
    case MERGE_NONE: break;
    }
    KV_UNREACHABLE ("a command that may be split");
}

void gather_piece (gather_t *self, const uint32_t *keys, const piece_t *piece,
                   const result_t *result)
{
    slot_t *slot = &self->slots[piece->command];
    KV_ASSERT (piece->command < self->commands && slot->spec);
    kv_status_t status = result->status;
    if (slot->pieces == 1) {
        slot->result = result->raw;
        slot->is_local = false;
        s_piece_done (self, slot);
        return;
    }
    if (status == KV_OK && s_merge (slot, keys, piece, result->value) != KV_OK) {
        gather_piece_failed (self, piece, KV_INTERNAL, "ERR a node answered out of form", 0);
        return;
    }
    if (status == KV_OK) {
        slot->succeeded = true;
    } else if (s_failure_counts (slot, status)) {
        slot->failure = status;
        slot->result = result->raw;
        slot->is_local = false;
    }
    s_piece_done (self, slot);
}

bool gather_is_complete (const gather_t *self)
{
    return self->unsettled == 0;
}

/* What each part says, too. */
static const char *s_all_ok (const command_spec_t *spec)
{
    return spec->id == COMMAND_BGSAVE ? COMMAND_BGSAVE_TEXT : "OK";
}

static void s_write_merged (const slot_t *slot, writer_t *out)
{
    switch (slot->spec->merge) {
    case MERGE_SUM:
    case MERGE_LEAST: result_int (out, slot->sum); return;
    case MERGE_ALL_OK: result_text (out, s_all_ok (slot->spec)); return;
    case MERGE_PICK:
        if (!slot->values[0].size) {
            result_nil (out);
            return;
        }
        result_value (out);
        writer_raw (out, slot->values[0]);
        return;
    case MERGE_BY_KEY:
    case MERGE_CONCAT: break;
    case MERGE_NONE: KV_UNREACHABLE ("a command that may be split");
    }
    uint64_t elements = slot->spec->merge == MERGE_CONCAT ? slot->joined : slot->value_count;
    if (elements > UINT32_MAX) {
        out->overflow = true;
        return;
    }
    result_value (out);
    writer_array (out, (uint32_t)elements);
    for (uint32_t i = 0; i < slot->value_count; i++)
        writer_raw (out, slot->values[i]);
}

static void s_write_slot (const gather_t *self, const slot_t *slot, writer_t *out)
{
    bool merged = slot->spec && slot->pieces > 1;
    if (merged && slot->failure == KV_OK) {
        s_write_merged (slot, out);
        return;
    }
    bool in_part = merged && slot->spec->flags == COMMAND_WRITE && slot->succeeded;
    if (in_part && slot->failure != KV_OUTCOME_UNKNOWN) { // G3
        result_errorf (
            out, KV_OUTCOME_UNKNOWN,
            "OUTCOME_UNKNOWN the command took effect on some shards and failed on others: %s",
            kv_status_meaning (slot->failure));
        return;
    }
    kv_slice_t result = slot->result;
    if (slot->is_local)
        result.data = self->local.data + slot->local_offset;
    writer_raw (out, result);
}

void gather_write (const gather_t *self, writer_t *out)
{
    KV_ASSERT (gather_is_complete (self));
    reply_begin (out, self->id, self->commands);
    for (uint32_t i = 0; i < self->commands; i++) {
        size_t start = out->size;
        s_write_slot (self, &self->slots[i], out);
        if (!out->overflow)
            continue;
        writer_cut (out, start);
        result_error (out, KV_TOO_LARGE, "ERR the reply is over its limit; ask for less at once");
        if (out->overflow) {
            /* Not even the refusals fit: the whole request gets one. */
            writer_cut (out, 0);
            reply_refuse (out, self->id, KV_TOO_LARGE, "ERR the reply is over its limit");
            return;
        }
    }
}
