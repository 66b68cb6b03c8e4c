/* SCAN, KEYS and ALL.
 *
 * A cursor on the wire is decimal text of (place in the store's order << 14 | shard), so that a
 * broker can tell from it which node to ask. When a shard's walk is over, the next shard's begins;
 * after the last one the cursor is 0, which begins a walk when it is sent. */
#include "node/call.h"
#include "node/decimal.h"
#include "node/glob.h"
#include "schema/limits.h"

enum {
    CURSOR_SHARD_BITS = 14,
    CURSOR_STORE_BITS = 48,
    COUNT_DEFAULT = 10,
    VISITS_PER_COUNT = 10, /* sparse tables: buckets visited for each key asked for */
    VISITS_MAX = 4096,     /* buckets in one call: well under a millisecond */
    PATTERN_BYTES_MAX = 1024
};

_Static_assert(KV_SHARDS_MAX <= 1 << CURSOR_SHARD_BITS, "a cursor can name any shard");
_Static_assert(CURSOR_SHARD_BITS + CURSOR_STORE_BITS < 63, "a cursor is a positive int64");

/* What goes through the visits of a walk. */
typedef struct {
    writer_t *out;
    const store_t *store;
    kv_slice_t pattern;
    bool match; /* there is a pattern */
    int64_t now_ms;
    bool values;     /* each key is followed by its value */
    uint32_t keys;   /* written; with their values, if those are wanted */
    uint64_t passed; /* visited, written or not */
} walk_t;

static void s_visit (void *context, const entry_t *entry)
{
    walk_t *walk = context;
    walk->passed++;
    int64_t expires_ms = store_expires_ms (walk->store, entry);
    if (expires_ms && expires_ms <= walk->now_ms)
        return;
    kv_slice_t key = entry_key (entry);
    if (walk->match && !glob_match (walk->pattern, key))
        return;
    writer_bin (walk->out, key);
    walk->keys++;
    if (!walk->values)
        return;
    writer_bin (walk->out, entry_value (entry));
    walk->keys++;
}

/* Sets the pattern; false if it is too long, in which case the error has been written. */
static bool s_set_pattern (call_t *call, walk_t *walk, kv_slice_t pattern)
{
    if (pattern.size > PATTERN_BYTES_MAX) {
        result_errorf (call->out, KV_TOO_LARGE, "ERR the pattern has %zu bytes; %d are allowed",
                       pattern.size, PATTERN_BYTES_MAX);
        return false;
    }
    walk->pattern = pattern;
    walk->match = !kv_slice_equal (pattern, kv_slice_text ("*"));
    return true;
}

/* Writes all that the walk asks for, of all shards. */
static void s_walk_all (call_t *call, walk_t walk)
{
    walk.out = call->out;
    walk.now_ms = call->now_ms;
    result_value (call->out);
    size_t array = writer_array32 (call->out);
    for (uint32_t i = 0; i < call_shard_count (call); i++) {
        if (!call_shard (call, i))
            continue;
        walk.store = shard_store (call_shard (call, i));
        uint64_t cursor = 0;
        do
            cursor = store_scan (walk.store, cursor, s_visit, &walk);
        while (cursor && !call->out->overflow);
    }
    writer_patch_array32 (call->out, array, walk.keys);
}

void command_keys (call_t *call)
{
    walk_t walk = {0};
    if (s_set_pattern (call, &walk, call_argument (call, 1)))
        s_walk_all (call, walk);
}

void command_all (call_t *call)
{
    s_walk_all (call, (walk_t){.values = true});
}

/* False if the options are wrong; the error has been written then. */
static bool s_read_scan_options (call_t *call, walk_t *walk, uint64_t *count)
{
    uint32_t argc = call->command->argc;
    for (uint32_t i = 2; i < argc; i += 2) {
        kv_slice_t word = call_argument (call, i);
        bool has_next = i + 1 < argc;
        if (has_next && kv_slice_is_word (word, "COUNT")) {
            int64_t number;
            if (!call_integer (call, i + 1, &number))
                return false;
            if (number < 1) {
                call_syntax_error (call);
                return false;
            }
            *count = (uint64_t)number;
        } else if (has_next && kv_slice_is_word (word, "MATCH")) {
            if (!s_set_pattern (call, walk, call_argument (call, i + 1)))
                return false;
        } else {
            call_syntax_error (call);
            return false;
        }
    }
    return true;
}

static void s_write_cursor (writer_t *out, uint64_t place, uint32_t shard)
{
    char text[DECIMAL_TEXT_BYTES];
    size_t size = decimal_write (text, (int64_t)(place << CURSOR_SHARD_BITS | shard));
    writer_bin (out, kv_slice (text, size));
}

/* Walks until enough was passed or visited; returns the place to go on from, 0: the shard's end. */
static uint64_t s_walk (walk_t *walk, uint64_t place, uint64_t count)
{
    uint64_t visits = count < VISITS_MAX / VISITS_PER_COUNT ? count * VISITS_PER_COUNT : VISITS_MAX;
    do
        place = store_scan (walk->store, place, s_visit, walk);
    while (place && walk->passed < count && --visits);
    return place;
}

void command_scan (call_t *call)
{
    int64_t cursor;
    bool valid = decimal_read (call_argument (call, 1), &cursor) && cursor >= 0;
    uint64_t place = valid ? (uint64_t)cursor >> CURSOR_SHARD_BITS : 0;
    uint32_t shard = valid ? (uint32_t)((uint64_t)cursor & ((1U << CURSOR_SHARD_BITS) - 1)) : 0;
    if (!valid || place >> CURSOR_STORE_BITS || shard >= call_shard_count (call)) {
        result_error (call->out, KV_BAD_VALUE, "ERR invalid cursor");
        return;
    }
    walk_t walk = {.now_ms = call->now_ms};
    uint64_t count = COUNT_DEFAULT;
    if (!s_read_scan_options (call, &walk, &count))
        return;
    if (!call_shard (call, shard)) {
        call_moved (call, shard);
        return;
    }
    /* The keys are collected apart because the cursor comes before them. */
    writer_t keys = writer_make (call->out->limit);
    size_t array = writer_array32 (&keys);
    walk.out = &keys;
    walk.store = shard_store (call_shard (call, shard));
    place = s_walk (&walk, place, count);
    writer_patch_array32 (&keys, array, walk.keys);
    uint32_t last = call_shard_count (call) - 1;
    uint32_t next = place ? shard : shard < last ? shard + 1 : 0;
    result_value (call->out);
    writer_array (call->out, 2);
    s_write_cursor (call->out, place, next);
    if (keys.overflow)
        call->out->overflow = true; // W2 of the writer: what does not fit there does not fit here
    else
        writer_raw (call->out, kv_slice (keys.data, keys.size));
    writer_free (&keys);
}
