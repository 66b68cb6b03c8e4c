#include "model_parts.h"

#include "schema/limits.h"
#include "schema/slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

model_t *model_new (uint32_t shards, size_t max_value_bytes)
{
    model_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->owned = calloc (shards, sizeof *self->owned);
    KV_ASSERT (self->owned != NULL);
    self->shards = shards;
    self->max_value_bytes = max_value_bytes;
    return self;
}

static uint8_t *s_copy (kv_slice_t bytes)
{
    uint8_t *copy = malloc (bytes.size + 1);
    KV_ASSERT (copy != NULL);
    if (bytes.size)
        memcpy (copy, bytes.data, bytes.size);
    return copy;
}

static void s_remove (model_t *self, size_t index)
{
    free (self->items[index].key);
    free (self->items[index].value);
    self->items[index] = self->items[--self->count];
}

void model_destroy (model_t **self_p)
{
    model_t *self = *self_p;
    for (size_t i = 0; i < self->count; i++) {
        free (self->items[i].key);
        free (self->items[i].value);
    }
    for (size_t i = 0; i < self->away_count; i++) {
        free (self->away[i].key);
        free (self->away[i].value);
    }
    free (self->items);
    free (self->away);
    free (self->owned);
    free (self);
    *self_p = NULL;
}

static kv_slice_t s_key (const item_t *item)
{
    return kv_slice (item->key, item->key_bytes);
}

static item_t *s_append (item_t **items, size_t *count, size_t *capacity)
{
    if (*count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        *items = realloc (*items, *capacity * sizeof **items);
        KV_ASSERT (*items != NULL);
    }
    return &(*items)[(*count)++];
}

void model_own (model_t *self, uint32_t shard)
{
    self->owned[shard] = true;
    for (size_t i = self->away_count; i-- > 0;) {
        if (kv_shard_of (s_key (&self->away[i]), self->shards) != shard)
            continue;
        *s_append (&self->items, &self->count, &self->capacity) = self->away[i];
        self->away[i] = self->away[--self->away_count];
    }
}

void model_disown (model_t *self, uint32_t shard)
{
    self->owned[shard] = false;
    for (size_t i = self->count; i-- > 0;) {
        if (kv_shard_of (s_key (&self->items[i]), self->shards) != shard)
            continue;
        *s_append (&self->away, &self->away_count, &self->away_capacity) = self->items[i];
        self->items[i] = self->items[--self->count];
    }
}

void model_purge (model_t *self, int64_t now_ms)
{
    for (size_t i = self->count; i-- > 0;) {
        if (self->items[i].deadline_ms && self->items[i].deadline_ms <= now_ms)
            s_remove (self, i);
    }
}

size_t model_count (model_t *self, int64_t now_ms)
{
    model_purge (self, now_ms);
    return self->count;
}

kv_slice_t model_key (model_t *self, size_t index)
{
    return s_key (&self->items[index]);
}

/* The index of a live key, or count. */
static size_t s_find (model_t *self, kv_slice_t key, int64_t now_ms)
{
    model_purge (self, now_ms);
    size_t i = 0;
    while (i < self->count && !kv_slice_equal (s_key (&self->items[i]), key))
        i++;
    return i;
}

item_t *run_peek (run_t *run, kv_slice_t key)
{
    size_t i = s_find (run->model, key, run->now_ms);
    return i < run->model->count ? &run->model->items[i] : NULL;
}

item_t *run_get (run_t *run, kv_slice_t key)
{
    item_t *item = run_peek (run, key);
    if (item)
        item->used_s = run->now_ms / 1000;
    return item;
}

void run_changed (run_t *run, item_t *item)
{
    if (item->version)
        item->floor = item->version;
    item->version = 0;
    item->used_s = run->now_ms / 1000;
}

bool model_learn (model_t *self, kv_slice_t key, uint64_t version, int64_t now_ms)
{
    size_t i = s_find (self, key, now_ms);
    if (i == self->count)
        return version == 0;
    item_t *item = &self->items[i];
    bool new = item->version == 0 && version > item->floor;
    if (new)
        item->version = version;
    return new || item->version == version;
}

uint64_t model_version (const model_t *self, kv_slice_t key)
{
    for (size_t i = 0; i < self->count; i++) {
        if (kv_slice_equal (s_key (&self->items[i]), key))
            return self->items[i].version;
    }
    return 0;
}

kv_slice_t model_value (model_t *self, kv_slice_t key, int64_t now_ms)
{
    size_t i = s_find (self, key, now_ms);
    if (i == self->count)
        return kv_slice ("", 0);
    return kv_slice (self->items[i].value, self->items[i].value_bytes);
}

void run_delete (run_t *run, kv_slice_t key)
{
    size_t i = s_find (run->model, key, run->now_ms);
    if (i < run->model->count)
        s_remove (run->model, i);
}

void run_put (run_t *run, kv_slice_t key, kv_slice_t value, wide_t deadline_ms)
{
    model_t *self = run->model;
    uint8_t *copy = s_copy (value);
    uint8_t *key_copy = s_copy (key);
    item_t old = {0};
    if (run_peek (run, key))
        old = *run_peek (run, key);
    run_delete (run, key);
    *s_append (&self->items, &self->count, &self->capacity) = (item_t){.key = key_copy,
                                                                       .key_bytes = key.size,
                                                                       .value = copy,
                                                                       .value_bytes = value.size,
                                                                       .deadline_ms = deadline_ms,
                                                                       .version = old.version,
                                                                       .floor = old.floor};
    run_changed (run, &self->items[self->count - 1]);
}

bool run_number (kv_slice_t text, int64_t *number)
{
    char copy[32] = {0};
    char again[32];
    if (text.size == 0 || text.size > 24 || memchr (text.data, '\0', text.size))
        return false;
    memcpy (copy, text.data, text.size);
    errno = 0;
    long long read = strtoll (copy, NULL, 10);
    if (errno)
        return false;
    snprintf (again, sizeof again, "%lld", read);
    *number = read;
    return strcmp (copy, again) == 0;
}

static const char s_not_integer[] = "ERR value is not an integer or out of range";

bool run_argument (run_t *run, uint32_t index, int64_t *number)
{
    bool good = run_number (run->argv[index], number);
    if (!good)
        result_error (run->out, KV_BAD_VALUE, s_not_integer);
    return good;
}

bool run_too_large (run_t *run, size_t bytes)
{
    if (bytes <= run->model->max_value_bytes)
        return false;
    result_errorf (run->out, KV_TOO_LARGE, "ERR the value has %zu bytes; %zu are allowed", bytes,
                   run->model->max_value_bytes);
    return true;
}

void run_write (run_t *run, const item_t *item, bool as_result)
{
    if (as_result)
        result_value (run->out);
    if (item)
        writer_bin (run->out, kv_slice (item->value, item->value_bytes));
    else
        writer_nil (run->out);
}

bool run_word (kv_slice_t text, const char *word)
{
    return kv_slice_is_word (text, word);
}

void run_syntax_error (run_t *run)
{
    result_error (run->out, KV_SYNTAX, "ERR syntax error");
}

bool run_deadline (run_t *run, const char *unit, kv_slice_t amount, const char *command,
                   wide_t *deadline_ms)
{
    int64_t number;
    if (!run_number (amount, &number)) {
        result_error (run->out, KV_BAD_VALUE, s_not_integer);
        return false;
    }
    bool seconds = unit[0] == 'E';
    bool absolute = unit[2] == 'A';
    *deadline_ms = (wide_t)number * (seconds ? 1000 : 1) + (absolute ? 0 : run->now_ms);
    if (number > 0 && *deadline_ms <= INT64_MAX)
        return true;
    result_errorf (run->out, KV_BAD_VALUE, "ERR invalid expire time in '%s' command", command);
    return false;
}

typedef struct {
    bool nx, xx, get, keep, broken;
    const char *compare; /* IFEQ or IFVER */
    kv_slice_t operand;
    const char *unit;
    kv_slice_t amount;
} set_t;

/* A word with one behind it; sets where that goes. */
static bool s_parse_pair (run_t *run, uint32_t i, set_t *set)
{
    static const char *const words[] = {"EX", "PX", "EXAT", "PXAT", "IFEQ", "IFVER"};
    for (int w = 0; w < 6 && i + 1 < run->argc; w++) {
        if (!run_word (run->argv[i], words[w]))
            continue;
        if (w < 4) {
            set->broken = set->broken || (set->unit && set->unit != words[w]);
            set->unit = words[w];
            set->amount = run->argv[i + 1];
        } else {
            set->broken = set->broken || set->compare;
            set->compare = words[w];
            set->operand = run->argv[i + 1];
        }
        return true;
    }
    return false;
}

static bool s_parse_set (run_t *run, set_t *set)
{
    for (uint32_t i = 3; i < run->argc; i++) {
        kv_slice_t word = run->argv[i];
        if (run_word (word, "NX"))
            set->nx = true;
        else if (run_word (word, "XX"))
            set->xx = true;
        else if (run_word (word, "GET"))
            set->get = true;
        else if (run_word (word, "KEEPTTL"))
            set->keep = true;
        else if (s_parse_pair (run, i, set))
            i++;
        else
            return false;
    }
    int conditions = set->nx + set->xx + (set->compare != NULL);
    return !set->broken && conditions <= 1 && !(set->keep && set->unit);
}

/* Whether IFEQ or IFVER lets it. A version that is not known is none that could be given. */
static bool s_compares (const set_t *set, const item_t *old, uint64_t version)
{
    if (strcmp (set->compare, "IFVER") == 0)
        return old ? old->version && old->version == version : version == 0;
    return old && kv_slice_equal (kv_slice (old->value, old->value_bytes), set->operand);
}

static void s_run_set (run_t *run)
{
    set_t set = {0};
    int64_t version = 0;
    wide_t deadline_ms = 0;
    if (run_too_large (run, run->argv[2].size))
        return;
    if (!s_parse_set (run, &set)) {
        run_syntax_error (run);
        return;
    }
    if (set.unit && !run_deadline (run, set.unit, set.amount, "set", &deadline_ms))
        return;
    bool versioned = set.compare && strcmp (set.compare, "IFVER") == 0;
    bool huge = versioned && kv_slice_equal (set.operand, kv_slice_text ("9223372036854775808"));
    if (versioned && !huge && (!run_number (set.operand, &version) || version < 0)) {
        result_error (run->out, KV_BAD_VALUE, s_not_integer);
        return;
    }
    uint64_t wanted = huge ? UINT64_C (1) << 63 : (uint64_t)version;
    item_t *old = run_get (run, run->argv[1]);
    bool apply = old ? !set.nx : !set.xx;
    apply = apply && (!set.compare || s_compares (&set, old, wanted));
    if (set.get)
        run_write (run, old, true);
    else if (apply)
        result_text (run->out, "OK");
    else
        result_nil (run->out);
    if (apply)
        run_put (run, run->argv[1], run->argv[2], set.keep && old ? old->deadline_ms : deadline_ms);
}

static void s_run_add (run_t *run, wide_t amount)
{
    item_t *old = run_get (run, run->argv[1]);
    int64_t before = 0;
    if (old && !run_number (kv_slice (old->value, old->value_bytes), &before)) {
        result_error (run->out, KV_BAD_VALUE, s_not_integer);
        return;
    }
    wide_t after = before + amount;
    if (after > INT64_MAX || after < INT64_MIN) {
        result_error (run->out, KV_BAD_VALUE, "ERR increment or decrement would overflow");
        return;
    }
    char text[32];
    int size = snprintf (text, sizeof text, "%lld", (long long)after);
    run_put (run, run->argv[1], kv_slice (text, (size_t)size), old ? old->deadline_ms : 0);
    result_int (run->out, (int64_t)after);
}

static void s_run_add_argument (run_t *run, bool negative)
{
    int64_t amount;
    if (!run_argument (run, 2, &amount))
        return;
    if (negative && amount == INT64_MIN)
        result_error (run->out, KV_BAD_VALUE, "ERR decrement would overflow");
    else
        s_run_add (run, negative ? -(wide_t)amount : amount);
}

static void s_run_append (run_t *run)
{
    item_t *old = run_get (run, run->argv[1]);
    size_t before = old ? old->value_bytes : 0;
    size_t bytes = before + run->argv[2].size;
    if (run_too_large (run, bytes))
        return;
    uint8_t *joined = malloc (bytes + 1);
    KV_ASSERT (joined != NULL);
    if (old)
        memcpy (joined, old->value, before);
    if (run->argv[2].size)
        memcpy (joined + before, run->argv[2].data, run->argv[2].size);
    run_put (run, run->argv[1], kv_slice (joined, bytes), old ? old->deadline_ms : 0);
    free (joined);
    result_int (run->out, (int64_t)bytes);
}

static void s_run_ttl (run_t *run, bool seconds)
{
    item_t *item = run_peek (run, run->argv[1]);
    wide_t left_ms = item && item->deadline_ms ? item->deadline_ms - run->now_ms : -1;
    if (!item)
        result_int (run->out, -2);
    else if (left_ms < 0)
        result_int (run->out, -1);
    else
        result_int (run->out, (int64_t)(seconds ? (left_ms + 500) / 1000 : left_ms));
}

static void s_run_persist (run_t *run)
{
    item_t *item = run_get (run, run->argv[1]);
    bool expires = item && item->deadline_ms;
    result_int (run->out, expires ? 1 : 0);
    if (!expires)
        return;
    item->deadline_ms = 0;
    run_changed (run, item);
}

static void s_run_mset (run_t *run)
{
    for (uint32_t i = 2; i < run->argc; i += 2) {
        if (run_too_large (run, run->argv[i].size))
            return;
    }
    for (uint32_t i = 1; i < run->argc; i += 2)
        run_put (run, run->argv[i], run->argv[i + 1], 0);
    result_text (run->out, "OK");
}

static void s_run_mget (run_t *run)
{
    result_value (run->out);
    writer_array (run->out, run->argc - 1);
    for (uint32_t i = 1; i < run->argc; i++)
        run_write (run, run_get (run, run->argv[i]), false);
}

static void s_run_count (run_t *run, bool and_touch, bool and_delete)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < run->argc; i++) {
        item_t *item = and_touch ? run_get (run, run->argv[i]) : run_peek (run, run->argv[i]);
        count += item != NULL;
        if (and_delete)
            run_delete (run, run->argv[i]);
    }
    result_int (run->out, count);
}

bool model_has (model_t *self, kv_slice_t key, kv_slice_t pattern, int64_t now_ms)
{
    return s_find (self, key, now_ms) < self->count && model_glob (pattern, key);
}

static model_kind_t s_run_all (run_t *run)
{
    model_t *self = run->model;
    model_purge (self, run->now_ms);
    result_value (run->out);
    size_t array = writer_array32 (run->out);
    for (size_t i = 0; i < self->count; i++) {
        writer_bin (run->out, s_key (&self->items[i]));
        writer_bin (run->out, kv_slice (self->items[i].value, self->items[i].value_bytes));
    }
    writer_patch_array32 (run->out, array, 2 * (uint32_t)self->count);
    return MODEL_ALL;
}

static model_kind_t s_run_random_key (run_t *run)
{
    if (run->argc == 2 && !run_word (run->argv[1], "WEIGHTED")) {
        run_syntax_error (run);
        return MODEL_EXACT;
    }
    return MODEL_RANDOM;
}

static void s_run_keys (run_t *run)
{
    model_t *self = run->model;
    model_purge (self, run->now_ms);
    result_value (run->out);
    size_t array = writer_array32 (run->out);
    uint32_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (!model_glob (run->argv[1], s_key (&self->items[i])))
            continue;
        writer_bin (run->out, s_key (&self->items[i]));
        count++;
    }
    writer_patch_array32 (run->out, array, count);
}

static void s_moved (run_t *run, uint32_t shard)
{
    char text[96];
    snprintf (text, sizeof text, "MOVED %u to a node unknown here; ask the broker", shard);
    writer_array (run->out, 3);
    writer_uint (run->out, KV_MOVED);
    writer_cstr (run->out, text);
    writer_map (run->out, 1);
    writer_cstr (run->out, "shard");
    writer_uint (run->out, shard);
}

static model_kind_t s_run_scan (run_t *run)
{
    int64_t cursor;
    int64_t count = 1;
    bool good = run_number (run->argv[1], &cursor) && cursor >= 0 && cursor < INT64_C (1) << 62;
    if (!good || cursor % 16384 >= run->model->shards) {
        result_error (run->out, KV_BAD_VALUE, "ERR invalid cursor");
        return MODEL_EXACT;
    }
    for (uint32_t i = 2; i < run->argc; i += 2) {
        bool counts = run_word (run->argv[i], "COUNT");
        bool known = (counts || run_word (run->argv[i], "MATCH")) && i + 1 < run->argc;
        if (known && counts && !run_argument (run, i + 1, &count))
            return MODEL_EXACT;
        if (!known || count < 1) {
            result_error (run->out, KV_SYNTAX, "ERR syntax error");
            return MODEL_EXACT;
        }
    }
    if (run->model->owned[cursor % 16384])
        return MODEL_SCAN;
    s_moved (run, (uint32_t)(cursor % 16384));
    return MODEL_EXACT;
}

static void s_run_flush (run_t *run)
{
    bool known =
        run->argc == 1 || run_word (run->argv[1], "SYNC") || run_word (run->argv[1], "ASYNC");
    if (run->argc > 2 || !known) {
        result_error (run->out, KV_SYNTAX, "ERR syntax error");
        return;
    }
    for (size_t i = run->model->count; i-- > 0;)
        s_remove (run->model, i);
    result_text (run->out, "OK");
}

static bool s_crosses (run_t *run, const command_t *command)
{
    if (!command_keys_together (command->spec))
        return false;
    uint32_t first = 0;
    bool crosses = false;
    for (uint32_t i = 0; i < command_key_count (command); i++) {
        kv_slice_t key = run->argv[command_key_index (command, i)];
        uint32_t shard = kv_shard_of (key, run->model->shards);
        first = i == 0 ? shard : first;
        crosses = crosses || shard != first;
    }
    char text[KV_ERROR_TEXT_BYTES_MAX];
    command_cross_shard (command, text, sizeof text);
    if (crosses)
        result_error (run->out, KV_CROSS_SHARD, text);
    return crosses;
}

/* True if the command has a key in a shard that is not owned; the error has been written then. */
static bool s_has_moved (run_t *run, const command_t *command)
{
    for (uint32_t i = 0; i < command_key_count (command); i++) {
        kv_slice_t key = run->argv[command_key_index (command, i)];
        uint32_t shard = kv_shard_of (key, run->model->shards);
        if (!run->model->owned[shard]) {
            s_moved (run, shard);
            return true;
        }
    }
    return false;
}

/* COPY looks at its options before it looks where its keys are. */
static bool s_places_first (const command_t *command)
{
    return command->spec->id != COMMAND_COPY;
}

bool run_misplaced (run_t *run, const command_t *command)
{
    return s_crosses (run, command) || s_has_moved (run, command);
}

static model_kind_t s_dispatch_more (run_t *run, command_id_t id)
{
    switch (id) {
    case COMMAND_COPY: run_copy (run); break;
    case COMMAND_DELIFEQ: run_delifeq (run); break;
    case COMMAND_EXPIRE: run_expire (run, 1000, false, "expire"); break;
    case COMMAND_EXPIREAT: run_expire (run, 1000, true, "expireat"); break;
    case COMMAND_EXPIRETIME: run_expire_time (run, true); break;
    case COMMAND_GETDEL: run_getdel (run); break;
    case COMMAND_GETEX: run_getex (run); break;
    case COMMAND_GETRANGE: run_getrange (run); break;
    case COMMAND_GETSET: run_getset (run); break;
    case COMMAND_GETVER: return run_getver (run);
    case COMMAND_INCRBYFLOAT: run_add_float (run); break;
    case COMMAND_MEMORY: return run_memory (run);
    case COMMAND_MSETNX: run_msetnx (run); break;
    case COMMAND_OBJECT: return run_object (run);
    case COMMAND_PEXPIRE: run_expire (run, 1, false, "pexpire"); break;
    case COMMAND_PEXPIREAT: run_expire (run, 1, true, "pexpireat"); break;
    case COMMAND_PEXPIRETIME: run_expire_time (run, false); break;
    case COMMAND_PSETEX: run_setex (run, "PX", "psetex"); break;
    case COMMAND_RENAME: run_rename (run, false); break;
    case COMMAND_RENAMENX: run_rename (run, true); break;
    case COMMAND_SETEX: run_setex (run, "EX", "setex"); break;
    case COMMAND_SETNX: run_setnx (run); break;
    case COMMAND_SETRANGE: run_setrange (run); break;
    case COMMAND_TIME: run_time (run); break;
    default: return MODEL_ANY; /* COMMAND, HELP, INFO, SAVE, BGSAVE, LASTSAVE */
    }
    return MODEL_EXACT;
}

static model_kind_t s_dispatch (run_t *run, command_id_t id)
{
    switch (id) {
    case COMMAND_APPEND: s_run_append (run); break;
    case COMMAND_ALL: return s_run_all (run);
    case COMMAND_DBSIZE:
    case COMMAND_SIZE: result_int (run->out, (int64_t)model_count (run->model, run->now_ms)); break;
    case COMMAND_DECR: s_run_add (run, -1); break;
    case COMMAND_DECRBY: s_run_add_argument (run, true); break;
    case COMMAND_DEL:
    case COMMAND_UNLINK: s_run_count (run, true, true); break;
    case COMMAND_ECHO: result_bytes (run->out, run->argv[1]); break;
    case COMMAND_EXISTS: s_run_count (run, false, false); break;
    case COMMAND_TOUCH: s_run_count (run, true, false); break;
    case COMMAND_TYPE:
        result_text (run->out, run_peek (run, run->argv[1]) ? "string" : "none");
        break;
    case COMMAND_RANDOMKEY: return s_run_random_key (run);
    case COMMAND_DROP:
    case COMMAND_FLUSHALL: s_run_flush (run); break;
    case COMMAND_GET: run_write (run, run_get (run, run->argv[1]), true); break;
    case COMMAND_INCR: s_run_add (run, 1); break;
    case COMMAND_INCRBY: s_run_add_argument (run, false); break;
    case COMMAND_KEYS: s_run_keys (run); return MODEL_KEYS;
    case COMMAND_MGET: s_run_mget (run); break;
    case COMMAND_MSET: s_run_mset (run); break;
    case COMMAND_PERSIST: s_run_persist (run); break;
    case COMMAND_PING:
        if (run->argc == 2)
            result_bytes (run->out, run->argv[1]);
        else
            result_text (run->out, "PONG");
        break;
    case COMMAND_PTTL: s_run_ttl (run, false); break;
    case COMMAND_SCAN: return s_run_scan (run);
    case COMMAND_SET: s_run_set (run); break;
    case COMMAND_STRLEN: {
        item_t *item = run_get (run, run->argv[1]);
        result_int (run->out, item ? (int64_t)item->value_bytes : 0);
        break;
    }
    case COMMAND_TTL: s_run_ttl (run, true); break;
    default: return s_dispatch_more (run, id);
    }
    return MODEL_EXACT;
}

model_kind_t model_run (model_t *self, const command_t *command, int64_t now_ms, writer_t *out)
{
    run_t run = {self, command, command->argv, command->argc, now_ms, out};
    char text[KV_ERROR_TEXT_BYTES_MAX];
    kv_status_t status = command_check (command, text, sizeof text);
    if (status) {
        result_error (out, status, text);
        return MODEL_EXACT;
    }
    if (command->spec->keys == KEYS_COORDINATOR) {
        result_errorf (out, KV_NOT_SUPPORTED, "ERR '%s' is served by the broker",
                       command->spec->name);
        return MODEL_EXACT;
    }
    if (s_places_first (command) && run_misplaced (&run, command))
        return MODEL_EXACT;
    return s_dispatch (&run, command->spec->id);
}
