#include "model.h"

#include "schema/limits.h"
#include "schema/slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef __int128 wide_t;

typedef struct {
    uint8_t *key, *value;
    size_t key_bytes, value_bytes;
    wide_t deadline_ms; /* 0: never */
} item_t;

struct model {
    item_t *items;
    size_t count, capacity;
    uint32_t shards;
    bool *owned;
    size_t max_value_bytes;
};

/* The command at hand. */
typedef struct {
    model_t *model;
    const kv_slice_t *argv;
    uint32_t argc;
    int64_t now_ms;
    writer_t *out;
} run_t;

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
    free (self->items);
    free (self->owned);
    free (self);
    *self_p = NULL;
}

static kv_slice_t s_key (const item_t *item)
{
    return kv_slice (item->key, item->key_bytes);
}

void model_own (model_t *self, uint32_t shard)
{
    self->owned[shard] = true;
}

void model_disown (model_t *self, uint32_t shard)
{
    self->owned[shard] = false;
    for (size_t i = self->count; i-- > 0;) {
        if (kv_shard_of (s_key (&self->items[i]), self->shards) == shard)
            s_remove (self, i);
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

static item_t *s_get (run_t *run, kv_slice_t key)
{
    size_t i = s_find (run->model, key, run->now_ms);
    return i < run->model->count ? &run->model->items[i] : NULL;
}

static void s_delete (run_t *run, kv_slice_t key)
{
    size_t i = s_find (run->model, key, run->now_ms);
    if (i < run->model->count)
        s_remove (run->model, i);
}

static void s_put (run_t *run, kv_slice_t key, kv_slice_t value, wide_t deadline_ms)
{
    model_t *self = run->model;
    uint8_t *copy = s_copy (value);
    s_delete (run, key);
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 64;
        self->items = realloc (self->items, self->capacity * sizeof *self->items);
    }
    KV_ASSERT (self->items != NULL);
    self->items[self->count++] = (item_t){.key = s_copy (key),
                                          .key_bytes = key.size,
                                          .value = copy,
                                          .value_bytes = value.size,
                                          .deadline_ms = deadline_ms};
}

/* Redis's rule: the text is a number if it is what printing the number gives. */
static bool s_number (kv_slice_t text, int64_t *number)
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

static bool s_argument (run_t *run, uint32_t index, int64_t *number)
{
    bool good = s_number (run->argv[index], number);
    if (!good)
        result_error (run->out, KV_BAD_VALUE, s_not_integer);
    return good;
}

static bool s_too_large (run_t *run, size_t bytes)
{
    if (bytes <= run->model->max_value_bytes)
        return false;
    result_errorf (run->out, KV_TOO_LARGE, "ERR the value has %zu bytes; %zu are allowed", bytes,
                   run->model->max_value_bytes);
    return true;
}

static void s_write (run_t *run, const item_t *item, bool as_result)
{
    if (as_result)
        result_value (run->out);
    if (item)
        writer_bin (run->out, kv_slice (item->value, item->value_bytes));
    else
        writer_nil (run->out);
}

static bool s_word (kv_slice_t text, const char *word)
{
    return kv_slice_is_word (text, word);
}

typedef struct {
    bool nx, xx, get, keep;
    uint32_t units; /* different ones of EX PX EXAT PXAT given */
    const char *unit;
    kv_slice_t amount;
} set_t;

static bool s_parse_set (run_t *run, set_t *set)
{
    static const char *const units[] = {"EX", "PX", "EXAT", "PXAT"};
    for (uint32_t i = 3; i < run->argc; i++) {
        kv_slice_t word = run->argv[i];
        const char *unit = NULL;
        for (int u = 0; u < 4; u++)
            unit = s_word (word, units[u]) ? units[u] : unit;
        if (s_word (word, "NX"))
            set->nx = true;
        else if (s_word (word, "XX"))
            set->xx = true;
        else if (s_word (word, "GET"))
            set->get = true;
        else if (s_word (word, "KEEPTTL"))
            set->keep = true;
        else if (unit && i + 1 < run->argc) {
            set->units += set->unit != unit;
            set->unit = unit;
            set->amount = run->argv[++i];
        } else
            return false;
    }
    return !(set->nx && set->xx) && set->units <= 1 && !(set->keep && set->unit);
}

static void s_run_set (run_t *run)
{
    set_t set = {0};
    int64_t amount = 0;
    if (s_too_large (run, run->argv[2].size))
        return;
    if (!s_parse_set (run, &set)) {
        result_error (run->out, KV_SYNTAX, "ERR syntax error");
        return;
    }
    wide_t deadline_ms = 0;
    if (set.unit) {
        if (!s_number (set.amount, &amount)) {
            result_error (run->out, KV_BAD_VALUE, s_not_integer);
            return;
        }
        bool seconds = set.unit[0] == 'E';
        bool absolute = set.unit[2] == 'A';
        deadline_ms = (wide_t)amount * (seconds ? 1000 : 1) + (absolute ? 0 : run->now_ms);
        if (amount <= 0 || deadline_ms > INT64_MAX) {
            result_error (run->out, KV_BAD_VALUE, "ERR invalid expire time in 'set' command");
            return;
        }
    }
    item_t *old = s_get (run, run->argv[1]);
    bool apply = old ? !set.nx : !set.xx;
    if (set.get)
        s_write (run, old, true);
    else if (apply)
        result_text (run->out, "OK");
    else
        result_nil (run->out);
    if (apply)
        s_put (run, run->argv[1], run->argv[2], set.keep && old ? old->deadline_ms : deadline_ms);
}

static void s_run_add (run_t *run, wide_t amount)
{
    item_t *old = s_get (run, run->argv[1]);
    int64_t before = 0;
    if (old && !s_number (kv_slice (old->value, old->value_bytes), &before)) {
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
    s_put (run, run->argv[1], kv_slice (text, (size_t)size), old ? old->deadline_ms : 0);
    result_int (run->out, (int64_t)after);
}

static void s_run_add_argument (run_t *run, bool negative)
{
    int64_t amount;
    if (!s_argument (run, 2, &amount))
        return;
    if (negative && amount == INT64_MIN)
        result_error (run->out, KV_BAD_VALUE, "ERR decrement would overflow");
    else
        s_run_add (run, negative ? -(wide_t)amount : amount);
}

static void s_run_append (run_t *run)
{
    item_t *old = s_get (run, run->argv[1]);
    size_t before = old ? old->value_bytes : 0;
    size_t bytes = before + run->argv[2].size;
    if (s_too_large (run, bytes))
        return;
    uint8_t *joined = malloc (bytes + 1);
    KV_ASSERT (joined != NULL);
    if (old)
        memcpy (joined, old->value, before);
    if (run->argv[2].size)
        memcpy (joined + before, run->argv[2].data, run->argv[2].size);
    s_put (run, run->argv[1], kv_slice (joined, bytes), old ? old->deadline_ms : 0);
    free (joined);
    result_int (run->out, (int64_t)bytes);
}

static void s_run_expire (run_t *run, int unit_ms)
{
    int64_t amount;
    if (!s_argument (run, 2, &amount))
        return;
    wide_t relative_ms = (wide_t)amount * unit_ms;
    wide_t deadline_ms = relative_ms + run->now_ms;
    if (relative_ms > INT64_MAX || relative_ms < INT64_MIN || deadline_ms > INT64_MAX) {
        result_errorf (run->out, KV_BAD_VALUE, "ERR invalid expire time in '%s' command",
                       unit_ms == 1 ? "pexpire" : "expire");
        return;
    }
    item_t *item = s_get (run, run->argv[1]);
    result_int (run->out, item ? 1 : 0);
    if (item && deadline_ms <= run->now_ms)
        s_delete (run, run->argv[1]);
    else if (item)
        item->deadline_ms = deadline_ms;
}

static void s_run_ttl (run_t *run, bool seconds)
{
    item_t *item = s_get (run, run->argv[1]);
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
    item_t *item = s_get (run, run->argv[1]);
    result_int (run->out, item && item->deadline_ms ? 1 : 0);
    if (item)
        item->deadline_ms = 0;
}

static void s_run_mset (run_t *run)
{
    for (uint32_t i = 2; i < run->argc; i += 2) {
        if (s_too_large (run, run->argv[i].size))
            return;
    }
    for (uint32_t i = 1; i < run->argc; i += 2)
        s_put (run, run->argv[i], run->argv[i + 1], 0);
    result_text (run->out, "OK");
}

static void s_run_mget (run_t *run)
{
    result_value (run->out);
    writer_array (run->out, run->argc - 1);
    for (uint32_t i = 1; i < run->argc; i++)
        s_write (run, s_get (run, run->argv[i]), false);
}

static void s_run_count (run_t *run, bool and_delete)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < run->argc; i++) {
        count += s_get (run, run->argv[i]) != NULL;
        if (and_delete)
            s_delete (run, run->argv[i]);
    }
    result_int (run->out, count);
}

/* The class at p, behind its '['; sets `next` to what follows. */
static bool s_class (kv_slice_t p, uint8_t byte, kv_slice_t *next)
{
    size_t i = p.size && p.data[0] == '^' ? 1 : 0;
    bool negated = i == 1;
    bool hit = false;
    while (i < p.size && p.data[i] != ']') {
        size_t left = p.size - i;
        if (p.data[i] == '\\' && left >= 2) {
            hit = hit || p.data[i + 1] == byte;
            i += 2;
        } else if (left >= 3 && p.data[i + 1] == '-') {
            int a = p.data[i];
            int b = p.data[i + 2];
            hit = hit || (a <= byte && byte <= b) || (b <= byte && byte <= a);
            i += 3;
        } else {
            hit = hit || p.data[i] == byte;
            i++;
        }
    }
    i += i < p.size;
    *next = kv_slice (p.data + i, p.size - i);
    return hit != negated;
}

static kv_slice_t s_from (kv_slice_t bytes, size_t index)
{
    return kv_slice (bytes.data + index, bytes.size - index);
}

/* By recursion, trying everything: for short patterns. */
static bool s_glob (kv_slice_t p, kv_slice_t text)
{
    if (p.size == 0)
        return text.size == 0;
    if (p.data[0] == '*') {
        for (size_t i = 0; i <= text.size; i++) {
            if (s_glob (s_from (p, 1), s_from (text, i)))
                return true;
        }
        return false;
    }
    if (text.size == 0)
        return false;
    kv_slice_t next = s_from (p, 1);
    bool hit;
    if (p.data[0] == '[')
        hit = s_class (next, text.data[0], &next);
    else if (p.data[0] == '\\' && p.size >= 2) {
        hit = p.data[1] == text.data[0];
        next = s_from (p, 2);
    } else
        hit = p.data[0] == '?' || p.data[0] == text.data[0];
    return hit && s_glob (next, s_from (text, 1));
}

bool model_has (model_t *self, kv_slice_t key, kv_slice_t pattern, int64_t now_ms)
{
    return s_find (self, key, now_ms) < self->count && s_glob (pattern, key);
}

static void s_run_keys (run_t *run)
{
    model_t *self = run->model;
    model_purge (self, run->now_ms);
    result_value (run->out);
    size_t array = writer_array32 (run->out);
    uint32_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (!s_glob (run->argv[1], s_key (&self->items[i])))
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
    bool good = s_number (run->argv[1], &cursor) && cursor >= 0 && cursor < INT64_C (1) << 62;
    if (!good || cursor % 16384 >= run->model->shards) {
        result_error (run->out, KV_BAD_VALUE, "ERR invalid cursor");
        return MODEL_EXACT;
    }
    for (uint32_t i = 2; i < run->argc; i += 2) {
        bool counts = s_word (run->argv[i], "COUNT");
        bool known = (counts || s_word (run->argv[i], "MATCH")) && i + 1 < run->argc;
        if (known && counts && !s_argument (run, i + 1, &count))
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
    if (run->argc == 2 && !s_word (run->argv[1], "SYNC") && !s_word (run->argv[1], "ASYNC")) {
        result_error (run->out, KV_SYNTAX, "ERR syntax error");
        return;
    }
    for (size_t i = run->model->count; i-- > 0;)
        s_remove (run->model, i);
    result_text (run->out, "OK");
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

static model_kind_t s_dispatch (run_t *run, command_id_t id)
{
    switch (id) {
    case COMMAND_APPEND: s_run_append (run); break;
    case COMMAND_DBSIZE:
        result_int (run->out, (int64_t)model_count (run->model, run->now_ms));
        break;
    case COMMAND_DECR: s_run_add (run, -1); break;
    case COMMAND_DECRBY: s_run_add_argument (run, true); break;
    case COMMAND_DEL:
    case COMMAND_UNLINK: s_run_count (run, true); break;
    case COMMAND_ECHO: result_bytes (run->out, run->argv[1]); break;
    case COMMAND_EXISTS: s_run_count (run, false); break;
    case COMMAND_EXPIRE: s_run_expire (run, 1000); break;
    case COMMAND_FLUSHALL: s_run_flush (run); break;
    case COMMAND_GET: s_write (run, s_get (run, run->argv[1]), true); break;
    case COMMAND_INCR: s_run_add (run, 1); break;
    case COMMAND_INCRBY: s_run_add_argument (run, false); break;
    case COMMAND_KEYS: s_run_keys (run); return MODEL_KEYS;
    case COMMAND_MGET: s_run_mget (run); break;
    case COMMAND_MSET: s_run_mset (run); break;
    case COMMAND_PERSIST: s_run_persist (run); break;
    case COMMAND_PEXPIRE: s_run_expire (run, 1); break;
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
        item_t *item = s_get (run, run->argv[1]);
        result_int (run->out, item ? (int64_t)item->value_bytes : 0);
        break;
    }
    case COMMAND_TTL: s_run_ttl (run, true); break;
    case COMMAND_HELP:
    case COMMAND_INFO:
    case COMMAND_SHUTDOWN:
    case COMMAND_TOPOLOGY:
    case COMMAND_COUNT: return MODEL_ANY;
    }
    return MODEL_EXACT;
}

model_kind_t model_run (model_t *self, const command_t *command, int64_t now_ms, writer_t *out)
{
    run_t run = {self, command->argv, command->argc, now_ms, out};
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
    if (s_has_moved (&run, command))
        return MODEL_EXACT;
    return s_dispatch (&run, command->spec->id);
}
