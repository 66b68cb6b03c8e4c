/* model_test - goal: the executor answers every sequence of commands as the plain model does.
 *
 *   model_test [--seed N] [--commands N]
 *
 * Method: batches of random commands, right and wrong ones, on few keys (so that they meet), with a
 * virtual clock that creeps, jumps ahead and jumps back; shards come and go, expired keys are removed
 * in the background at random. Each result is compared; every so often the whole content is, by SCAN
 * and by store_is_valid through executor_is_valid. The seed is printed and replays the run. */
#include "model.h"

#include "node/executor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS = 3,
    KEYS = 3000,    /* enough for tables that grow and buckets that overflow */
    HOT_KEYS = 100, /* every other key is one of these */
    BATCH_MOST = 40,
    MAX_VALUE_BYTES = 40000, /* so that values above the pool's largest class occur */
    CHECK_EVERY = 2000       /* commands between two looks at everything */
};

typedef struct {
    executor_t *executor;
    model_t *model;
    uint64_t random;
    int64_t now_ms;
    writer_t request, reply, expected;
    command_t command;
    uint64_t done;
    uint8_t key[600]; /* the last one written, unless it was of a wrong size */
    size_t key_bytes;
} test_t;

static uint64_t s_random (test_t *self, uint64_t below)
{
    self->random += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = self->random;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

static bool s_one_in (test_t *self, uint64_t n)
{
    return s_random (self, n) == 0;
}

static void s_write_word (test_t *self, const char *const *words, size_t count)
{
    char copy[32];
    snprintf (copy, sizeof copy, "%s", words[s_random (self, count)]);
    for (size_t i = 0; copy[i]; i++) {
        if (s_one_in (self, 4) && copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] | 32);
    }
    writer_cstr (&self->request, copy);
}

/* Short keys, binary ones, tagged ones, some long, now and then an empty or an overlong one. */
static void s_write_key (test_t *self)
{
    if (s_one_in (self, 400)) {
        size_t bytes = s_one_in (self, 2) ? 0 : 65537;
        uint8_t *at = writer_claim (&self->request, 5 + bytes);
        memset (at, 'x', 5 + bytes);
        memcpy (at, (uint8_t[]){0xc6, 0, (uint8_t)(bytes >> 16), 0, (uint8_t)bytes}, 5);
        return;
    }
    uint64_t n = s_random (self, s_one_in (self, 2) ? HOT_KEYS : KEYS);
    uint8_t *key = self->key;
    size_t size = 0;
    if (n % 7 == 0)
        size += (size_t)snprintf ((char *)key, sizeof self->key, "{t%" PRIu64 "}", n % 5);
    key[size++] = (uint8_t) "ab*[\\\0\xff"[n % 7];
    size += (size_t)snprintf ((char *)key + size, sizeof self->key - size, "%" PRIu64, n);
    while (n % 50 == 3 && size < 500)
        key[size++] = (uint8_t)n;
    writer_bin (&self->request, kv_slice (key, size));
    self->key_bytes = size;
}

static void s_write_number (test_t *self)
{
    static const char *const odd[] = {"9223372036854775807",
                                      "-9223372036854775808",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "9223372036854775",
                                      "-9223372036854775",
                                      "9223372036854776",
                                      "007",
                                      "-0",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.5",
                                      "",
                                      "-",
                                      "abc",
                                      "18446744073709551616",
                                      "0"};
    char text[32];
    int64_t small = (int64_t)s_random (self, 200) - 20;
    switch (s_random (self, 8)) {
    case 0: writer_cstr (&self->request, odd[s_random (self, sizeof odd / sizeof odd[0])]); break;
    case 1: writer_int (&self->request, small * 1000); break;
    case 2: writer_double (&self->request, (double)small / 2); break;
    case 3:
        snprintf (text, sizeof text, "%" PRId64, self->now_ms / 1000 + small);
        writer_cstr (&self->request, text);
        break;
    case 4: writer_int (&self->request, self->now_ms + small * 100); break;
    default: snprintf (text, sizeof text, "%" PRId64, small); writer_cstr (&self->request, text);
    }
}

static void s_write_value (test_t *self)
{
    if (s_one_in (self, 3)) {
        s_write_number (self);
        return;
    }
    size_t size = s_random (self, s_one_in (self, 50) ? MAX_VALUE_BYTES + 2000 : 200);
    uint8_t *value = malloc (size + 1);
    KV_ASSERT (value != NULL);
    memset (value, (int)s_random (self, 256), size);
    for (size_t i = 0; i < size && i < 8; i++)
        value[i] = (uint8_t)s_random (self, 256);
    writer_bin (&self->request, kv_slice (value, size));
    free (value);
}

/* Decimal numbers with a point, as INCRBYFLOAT takes them, and other texts. */
static void s_write_float (test_t *self)
{
    static const char *const odd[] = {"1e5",   "-1.5e-3", "1e4932", "1e4933", "-1e4932", "1e-5000",
                                      "inf",   "-inf",    "nan",    "0x10",   "+1",      " 1",
                                      "1 ",    ".5",      "5.",     "1e",     "",        "-0",
                                      "3.0e0", "1e-17",   "abc"};
    char text[64];
    if (s_one_in (self, 4)) {
        writer_cstr (&self->request, odd[s_random (self, sizeof odd / sizeof odd[0])]);
        return;
    }
    snprintf (text, sizeof text, "%.*f", (int)s_random (self, 6),
              ((double)s_random (self, 20001) - 10000) / 64);
    writer_cstr (&self->request, text);
}

/* The value the last key has, so that comparisons succeed, or any. */
static void s_write_present_value (test_t *self)
{
    if (s_one_in (self, 3))
        s_write_value (self);
    else
        writer_bin (&self->request,
                    model_value (self->model, kv_slice (self->key, self->key_bytes), self->now_ms));
}

static void s_write_pattern (test_t *self)
{
    static const char *const parts[] = {"*", "?", "a",  "b",     "1",     "2",   "[ab]", "[^a]",
                                        "*", "*", "[*", "[0-3]", "[9-5]", "\\*", "\\",   "[a-"};
    char text[64] = "";
    size_t size = 0;
    uint64_t count = s_random (self, 5);
    for (uint64_t i = 0; i < count; i++) {
        const char *part = parts[s_random (self, sizeof parts / sizeof parts[0])];
        size += (size_t)snprintf (text + size, sizeof text - size, "%s", part);
    }
    writer_cstr (&self->request, s_one_in (self, 3) ? "*" : text);
}

static void s_write_cursor (test_t *self)
{
    if (s_one_in (self, 10))
        s_write_number (self);
    else
        writer_uint (&self->request,
                     s_random (self, SHARDS) | (s_random (self, UINT64_C (1) << 48) << 14));
}

static void s_write_set_option (test_t *self)
{
    static const char *const plain[] = {"NX", "XX", "GET", "KEEPTTL", "GET", "NX", "FOO"};
    s_write_word (self, plain, s_one_in (self, 10) ? 7 : 6);
}

/* SET's and GETEX's options: the argument count has been drawn, so they may come out wrong. */
static void s_write_set_options (test_t *self, uint32_t count)
{
    static const char *const units[] = {"EX", "PX", "EXAT", "PXAT"};
    for (uint32_t i = 0; i < count; i++) {
        bool has_next = i + 1 < count;
        if (has_next && s_one_in (self, 2)) {
            s_write_word (self, units, 4);
            s_write_number (self);
            i++;
        } else if (has_next && s_one_in (self, 4)) {
            s_write_word (self, &(const char *){"IFEQ"}, 1);
            s_write_present_value (self);
            i++;
        } else if (has_next && s_one_in (self, 10)) {
            s_write_word (self, &(const char *){"IFVER"}, 1);
            s_write_number (self);
            i++;
        } else if (s_one_in (self, 30)) {
            s_write_word (self, units, 4);
        } else {
            s_write_set_option (self);
        }
    }
}

static void s_write_getex_options (test_t *self, uint32_t count)
{
    static const char *const words[] = {"PERSIST", "EX", "PX", "EXAT", "PXAT", "NX"};
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 < count && !s_one_in (self, 8)) {
            s_write_word (self, words + 1, 4);
            s_write_number (self);
            i++;
        } else {
            s_write_word (self, words, s_one_in (self, 10) ? 6 : 1);
        }
    }
}

static void s_write_copy_options (test_t *self, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 < count && s_one_in (self, 2)) {
            s_write_word (self, &(const char *){"DB"}, 1);
            writer_cstr (&self->request, s_one_in (self, 4) ? "1" : "0");
            i++;
        } else {
            s_write_word (self, (const char *const[]){"REPLACE", "DB", "FOO"},
                          s_one_in (self, 10) ? 3 : 1);
        }
    }
}

static void s_write_scan_options (test_t *self, uint32_t count)
{
    static const char *const words[] = {"MATCH", "COUNT", "TYPE"};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t which = s_random (self, s_one_in (self, 10) ? 3 : 2);
        s_write_word (self, words + which, 1);
        if (++i == count)
            return;
        if (which == 0)
            s_write_pattern (self);
        else
            s_write_number (self);
    }
}

static uint32_t s_argument_count (test_t *self, const command_spec_t *spec)
{
    uint32_t most = spec->most ? spec->most : spec->least + 8;
    if (s_one_in (self, 60))
        most += 2;
    uint32_t least = s_one_in (self, 60) && spec->least > 1 ? spec->least - 1 : spec->least;
    uint32_t count = least + (uint32_t)s_random (self, most - least + 1);
    bool pairs = spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER;
    if (spec->keys == KEYS_PAIRS_TOGETHER && !s_one_in (self, 4))
        count = 3 + 2 * (uint32_t)s_random (self, 2);
    if (pairs && !s_one_in (self, 30))
        count |= 1;
    if (spec->keys == KEYS_SECOND && !s_one_in (self, 10))
        count = 3;
    return count;
}

static bool s_is_key (const command_spec_t *spec, uint32_t index)
{
    switch (spec->keys) {
    case KEYS_FIRST: return index == 1;
    case KEYS_SECOND: return index == 2;
    case KEYS_ALL: return true;
    case KEYS_TWO_TOGETHER: return index <= 2;
    case KEYS_PAIRS:
    case KEYS_PAIRS_TOGETHER: return index % 2 == 1;
    default: return false;
    }
}

static bool s_is_value (const command_spec_t *spec, uint32_t index)
{
    switch (spec->id) {
    case COMMAND_SET:
    case COMMAND_APPEND:
    case COMMAND_ECHO:
    case COMMAND_GETSET:
    case COMMAND_SETNX: return true;
    case COMMAND_SETEX:
    case COMMAND_PSETEX:
    case COMMAND_SETRANGE: return index == 3;
    default: return spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER;
    }
}

/* Words in the place of an argument, if the command has such. */
static bool s_write_some_word (test_t *self, const command_spec_t *spec, uint32_t index)
{
    static const char *const object[] = {"ENCODING", "REFCOUNT", "IDLETIME", "IDLETIME",
                                         "VERSION",  "FREQ",     "HELP",     "FOO"};
    static const char *const flags[] = {"NX", "XX", "GT", "LT", "FOO"};
    bool odd = s_one_in (self, 20);
    switch (spec->id) {
    case COMMAND_FLUSHALL:
    case COMMAND_DROP: s_write_word (self, (const char *const[]){"SYNC", "ASYNC", "FOO"}, 3); break;
    case COMMAND_OBJECT: s_write_word (self, object, odd ? 8 : 6); break;
    case COMMAND_RANDOMKEY:
    case COMMAND_MEMORY:
        s_write_word (self, (const char *const[]){"USAGE", "WEIGHTED", "SAMPLES", "HELP"}, 4);
        break;
    case COMMAND_COMMAND:
        s_write_word (
            self, (const char *const[]){"COUNT", "LIST", "INFO", "DOCS", "GETKEYS", "GET", "FOO"},
            7);
        break;
    case COMMAND_EXPIRE:
    case COMMAND_EXPIREAT:
    case COMMAND_PEXPIRE:
    case COMMAND_PEXPIREAT:
        if (index < 3)
            return false;
        s_write_word (self, flags, odd ? 5 : 4);
        break;
    default: return false;
    }
    return true;
}

static void s_write_argument (test_t *self, const command_spec_t *spec, uint32_t index)
{
    if (s_is_key (spec, index))
        s_write_key (self);
    else if (spec->id == COMMAND_KEYS)
        s_write_pattern (self);
    else if (spec->keys == KEYS_CURSOR)
        s_write_cursor (self);
    else if (spec->id == COMMAND_MEMORY && index > 3)
        s_write_number (self);
    else if (s_write_some_word (self, spec, index))
        return;
    else if (spec->id == COMMAND_DELIFEQ)
        s_write_present_value (self);
    else if (spec->id == COMMAND_INCRBYFLOAT)
        s_write_float (self);
    else if (s_is_value (spec, index))
        s_write_value (self);
    else
        s_write_number (self);
}

/* The options that a command ends with, from where they begin. False: it has none there. */
static bool s_write_options (test_t *self, command_id_t id, uint32_t index, uint32_t count)
{
    if (id == COMMAND_SET && index == 3)
        s_write_set_options (self, count);
    else if (id == COMMAND_GETEX && index == 2)
        s_write_getex_options (self, count);
    else if (id == COMMAND_COPY && index == 3)
        s_write_copy_options (self, count);
    else if (id == COMMAND_SCAN && index == 2)
        s_write_scan_options (self, count);
    else
        return false;
    return true;
}

static command_id_t s_draw_command (test_t *self)
{
    command_id_t id = (command_id_t)s_random (self, COMMAND_COUNT);
    bool rare = id == COMMAND_KEYS || id == COMMAND_INFO || id == COMMAND_HELP ||
                id == COMMAND_ALL || id == COMMAND_COMMAND;
    bool drop = id == COMMAND_FLUSHALL || id == COMMAND_DROP;
    if ((rare && !s_one_in (self, 10)) || (drop && !s_one_in (self, 400)))
        id = s_one_in (self, 2) ? COMMAND_SET : COMMAND_MSET;
    return id;
}

static void s_write_command (test_t *self)
{
    command_id_t id = s_draw_command (self);
    const command_spec_t *spec = command_spec (id);
    uint32_t count = s_argument_count (self, spec);
    writer_array (&self->request, count);
    if (s_one_in (self, 300))
        writer_cstr (&self->request, "NOSUCH");
    else
        s_write_word (self, &spec->name, 1);
    for (uint32_t i = 1; i < count; i++) {
        if (s_write_options (self, id, i, count - i))
            return;
        s_write_argument (self, spec, i);
    }
}

static void s_fail (const test_t *self, const char *what, kv_slice_t got)
{
    printf ("command %" PRIu64 " (%.*s): %s\n  got      ", self->done,
            (int)self->command.argv[0].size, (const char *)self->command.argv[0].data, what);
    for (size_t i = 0; i < got.size && i < 200; i++)
        printf ("%02x", got.data[i]);
    printf ("\n  expected ");
    for (size_t i = 0; i < self->expected.size && i < 200; i++)
        printf ("%02x", self->expected.data[i]);
    printf ("\n");
    fflush (stdout);
    exit (1);
}

static void s_require (const test_t *self, bool holds, const char *what, kv_slice_t got)
{
    if (!holds)
        s_fail (self, what, got);
}

/* Both are results that hold an array of keys. Nothing is returned twice without a change between. */
static void s_compare_keys (test_t *self, kv_slice_t got, kv_slice_t pattern)
{
    uint32_t head;
    uint32_t count = 0;
    int64_t code;
    reader_t at = reader_make (got);
    bool form = reader_array (&at, &head) == KV_OK && reader_int (&at, &code) == KV_OK &&
                code == KV_OK && reader_array (&at, &count) == KV_OK;
    s_require (self, form, "KEYS did not return an array", got);
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key;
        form = reader_bytes (&at, &key) == KV_OK;
        s_require (self, form && model_has (self->model, key, pattern, self->now_ms),
                   "KEYS returned a key it should not", got);
    }
    s_require (self, got.size == self->expected.size, "KEYS returned another set of keys", got);
}

static void s_compare_scan (test_t *self, kv_slice_t got)
{
    kv_slice_t pattern = kv_slice_text ("*");
    for (uint32_t i = 2; i + 1 < self->command.argc; i += 2) {
        if (kv_slice_is_word (self->command.argv[i], "MATCH"))
            pattern = self->command.argv[i + 1];
    }
    uint32_t head;
    uint32_t pair;
    uint32_t count = 0;
    int64_t code;
    kv_slice_t cursor;
    reader_t at = reader_make (got);
    bool form = reader_array (&at, &head) == KV_OK && reader_int (&at, &code) == KV_OK &&
                code == KV_OK && reader_array (&at, &pair) == KV_OK && pair == 2 &&
                reader_bytes (&at, &cursor) == KV_OK && reader_array (&at, &count) == KV_OK;
    s_require (self, form, "SCAN did not return [cursor, keys]", got);
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key;
        form = reader_bytes (&at, &key) == KV_OK;
        s_require (self, form && model_has (self->model, key, pattern, self->now_ms),
                   "SCAN returned a key it should not", got);
    }
}

/* A result whose value is an array of pairs; the model's has the same pairs in another order, so their
 * bytes, sorted out, are the same: each pair is looked up. */
static void s_compare_all (test_t *self, kv_slice_t got)
{
    uint32_t head;
    uint32_t count = 0;
    int64_t code;
    reader_t at = reader_make (got);
    bool form = reader_array (&at, &head) == KV_OK && reader_int (&at, &code) == KV_OK &&
                code == KV_OK && reader_array (&at, &count) == KV_OK && count % 2 == 0;
    s_require (self, form, "ALL did not return pairs", got);
    for (uint32_t i = 0; i < count; i += 2) {
        kv_slice_t key;
        kv_slice_t value;
        form = reader_bytes (&at, &key) == KV_OK && reader_bytes (&at, &value) == KV_OK;
        bool same = form && model_has (self->model, key, kv_slice_text ("*"), self->now_ms) &&
                    kv_slice_equal (value, model_value (self->model, key, self->now_ms));
        s_require (self, same, "ALL returned a pair it should not", got);
    }
    s_require (self, got.size == self->expected.size, "ALL returned other pairs", got);
}

/* RANDOMKEY: key, or [key, weight, random]. */
static void s_compare_random (test_t *self, const result_t *result)
{
    reader_t at = reader_make (result->value);
    kv_slice_t key;
    uint32_t count;
    uint64_t weight = model_count (self->model, self->now_ms);
    bool any = weight > 0;
    bool form = result->status == KV_OK;
    if (self->command.argc == 2)
        form = form && reader_array (&at, &count) == KV_OK && count == 3;
    if (any)
        form = form && reader_bytes (&at, &key) == KV_OK &&
               model_has (self->model, key, kv_slice_text ("*"), self->now_ms);
    else
        form = form && reader_nil (&at) == KV_OK;
    if (self->command.argc == 2)
        form = form && reader_uint (&at, &weight) == KV_OK &&
               weight == model_count (self->model, self->now_ms);
    s_require (self, form, "RANDOMKEY returned no live key", result->raw);
}

/* GETVER or OBJECT VERSION of a key whose version the model does not know. */
static void s_learn (test_t *self, const result_t *result)
{
    bool getver = self->command.spec->id == COMMAND_GETVER;
    kv_slice_t key = self->command.argv[getver ? 1 : 2];
    kv_slice_t value = {0};
    uint64_t version = 0;
    uint32_t count = 0;
    reader_t at = reader_make (result->value);
    bool form = result->status == KV_OK;
    if (getver)
        form = form && reader_array (&at, &count) == KV_OK && count == 2 &&
               reader_bytes (&at, &value) == KV_OK &&
               kv_slice_equal (value, model_value (self->model, key, self->now_ms));
    form = form && reader_uint (&at, &version) == KV_OK;
    s_require (self, form && model_learn (self->model, key, version, self->now_ms),
               "not a version that it can have", result->raw);
}

static bool s_is_positive (const result_t *result)
{
    int64_t number;
    reader_t at = reader_make (result->value);
    return result->status == KV_OK && reader_int (&at, &number) == KV_OK && number > 0;
}

static void s_compare (test_t *self, const result_t *result)
{
    kv_slice_t expected;
    writer_reset (&self->expected);
    model_kind_t kind = model_run (self->model, &self->command, self->now_ms, &self->expected);
    expected = kv_slice (self->expected.data, self->expected.size);
    switch (kind) {
    case MODEL_EXACT:
        s_require (self, kv_slice_equal (expected, result->raw), "another result", result->raw);
        break;
    case MODEL_KEYS: s_compare_keys (self, result->raw, self->command.argv[1]); break;
    case MODEL_SCAN: s_compare_scan (self, result->raw); break;
    case MODEL_ALL: s_compare_all (self, result->raw); break;
    case MODEL_RANDOM: s_compare_random (self, result); break;
    case MODEL_LEARN: s_learn (self, result); break;
    case MODEL_INT: s_require (self, s_is_positive (result), "no size", result->raw); break;
    case MODEL_ANY: {
        bool refused = self->command.spec->id == COMMAND_SAVE;
        s_require (self, (result->status == KV_OK) != refused || self->command.argc > 1,
                   "an error, or none", result->raw);
    }
    }
}

static void s_run (test_t *self)
{
    kv_slice_t body = kv_slice (self->request.data, self->request.size);
    writer_reset (&self->reply);
    kv_status_t status = executor_run (self->executor, body, self->now_ms, &self->reply);
    KV_ASSERT (status == KV_OK);
    request_t request;
    reply_t reply;
    const char *why;
    status = request_decode (body, &request, &why);
    KV_ASSERT (status == KV_OK);
    status = reply_decode (kv_slice (self->reply.data, self->reply.size), &reply);
    KV_ASSERT (status == KV_OK);
    KV_ASSERT (reply.count == request.command_count); // X1
    for (uint32_t i = 0; i < request.command_count; i++) {
        result_t result;
        status = command_read (&self->command, &request.commands, &why);
        KV_ASSERT (status == KV_OK);
        status = result_next (&reply, &result);
        KV_ASSERT (status == KV_OK);
        s_compare (self, &result);
        self->done++;
    }
}

static void s_run_batch (test_t *self)
{
    uint32_t count = 1 + (uint32_t)s_random (self, BATCH_MOST);
    bool options = s_one_in (self, 3);
    writer_reset (&self->request);
    request_begin (&self->request, self->done, count, options);
    for (uint32_t i = 0; i < count; i++)
        s_write_command (self);
    if (options) {
        writer_map (&self->request, 1);
        writer_cstr (&self->request, "durability");
        writer_cstr (&self->request, s_one_in (self, 2) ? "local" : "replicated");
    }
    s_run (self);
}

/* Learns a key's version, then sets the key if it has that version, or another. */
static void s_run_versions (test_t *self)
{
    writer_reset (&self->request);
    request_begin (&self->request, 1, 1, false);
    writer_array (&self->request, 2);
    writer_cstr (&self->request, "GETVER");
    s_write_key (self);
    s_run (self);
    uint64_t version = model_version (self->model, kv_slice (self->key, self->key_bytes));
    writer_reset (&self->request);
    request_begin (&self->request, 1, 1, false);
    writer_array (&self->request, 5);
    writer_cstr (&self->request, "SET");
    writer_bin (&self->request, kv_slice (self->key, self->key_bytes));
    s_write_value (self);
    writer_cstr (&self->request, "IFVER");
    writer_uint (&self->request, s_one_in (self, 3) ? version + 1 : version);
    s_run (self);
}

static void s_move_clock (test_t *self)
{
    uint64_t dice = s_random (self, 400);
    if (dice < 200) {
        self->now_ms += (int64_t)s_random (self, 50);
    } else if (dice < 396) {
        /* To a round number, so that deadlines and halves of seconds are met exactly. */
        self->now_ms += 100 + (int64_t)s_random (self, 1000);
        self->now_ms -= self->now_ms % 100;
    } else if (dice < 398) {
        self->now_ms += (int64_t)s_random (self, 10000000);
    } else {
        /* What has expired by now must not come back, so it has to be gone everywhere. */
        while (executor_tick (self->executor, self->now_ms, 1000))
            continue;
        model_purge (self->model, self->now_ms);
        self->now_ms -= (int64_t)s_random (self, 100000);
    }
}

static void s_change_owner (test_t *self)
{
    uint32_t shard = (uint32_t)s_random (self, SHARDS);
    if (s_one_in (self, 50)) {
        executor_disown (self->executor, shard);
        model_disown (self->model, shard);
    }
    shard = (uint32_t)s_random (self, SHARDS);
    executor_own (self->executor, shard, 1 + self->done);
    model_own (self->model, shard);
}

/* Walks all shards by SCAN; each live key comes up, exactly once as nothing changes meanwhile. */
static void s_check_scan (test_t *self)
{
    uint64_t cursor = 0;
    size_t seen = 0;
    do {
        writer_reset (&self->request);
        request_begin (&self->request, 1, 1, false);
        writer_array (&self->request, 4);
        writer_cstr (&self->request, "SCAN");
        writer_uint (&self->request, cursor);
        writer_cstr (&self->request, "COUNT");
        writer_uint (&self->request, 1 + s_random (self, 30));
        s_run (self);
        reply_t reply;
        result_t result;
        kv_status_t status = reply_decode (kv_slice (self->reply.data, self->reply.size), &reply);
        KV_ASSERT (status == KV_OK);
        status = result_next (&reply, &result);
        KV_ASSERT (status == KV_OK);
        if (result.status == KV_MOVED) {
            cursor = cursor + 1 < SHARDS ? cursor + 1 : 0;
            continue;
        }
        reader_t at = reader_make (result.value);
        uint32_t count;
        kv_slice_t text;
        char number[32] = {0};
        bool form = reader_array (&at, &count) == KV_OK && reader_bytes (&at, &text) == KV_OK &&
                    text.size < sizeof number && reader_array (&at, &count) == KV_OK;
        KV_ASSERT (form);
        memcpy (number, text.data, text.size);
        cursor = strtoull (number, NULL, 10);
        seen += count;
    } while (cursor);
    KV_ASSERT (seen == model_count (self->model, self->now_ms));
}

static test_t s_set_up (uint64_t seed)
{
    executor_options_t options = {
        .shards = SHARDS, .max_value_bytes = MAX_VALUE_BYTES, .node_id = "n1", .version = "test"};
    memcpy (options.secret, &seed, sizeof seed);
    test_t self = {.random = seed, .now_ms = INT64_C (1700000000000)};
    self.executor = executor_new (&options);
    self.model = model_new (SHARDS, MAX_VALUE_BYTES);
    self.request = writer_make (SIZE_MAX);
    self.reply = writer_make (SIZE_MAX);
    self.expected = writer_make (SIZE_MAX);
    self.command = command_make ();
    for (uint32_t i = 0; i < SHARDS; i++) {
        executor_own (self.executor, i, 1);
        model_own (self.model, i);
    }
    return self;
}

static void s_tear_down (test_t *self)
{
    executor_destroy (&self->executor);
    model_destroy (&self->model);
    writer_free (&self->request);
    writer_free (&self->reply);
    writer_free (&self->expected);
    command_free (&self->command);
}

int main (int argc, char **argv)
{
    uint64_t seed = 1;
    uint64_t commands = 30000;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp (argv[i], "--seed") == 0)
            seed = strtoull (argv[i + 1], NULL, 10);
        else if (strcmp (argv[i], "--commands") == 0)
            commands = strtoull (argv[i + 1], NULL, 10);
    }
    const char *scale = getenv ("KVDB_TEST_SCALE");
    if (scale && strcmp (scale, "full") == 0 && commands < 1000000)
        commands = 1000000;
    printf ("model_test --seed %" PRIu64 " --commands %" PRIu64 "\n", seed, commands);
    fflush (stdout);
    test_t test = s_set_up (seed);
    uint64_t check_at = CHECK_EVERY;
    while (test.done < commands) {
        s_move_clock (&test);
        if (s_one_in (&test, 10))
            (void)executor_tick (test.executor, test.now_ms, s_random (&test, 20));
        if (s_one_in (&test, 10))
            s_change_owner (&test);
        s_run_batch (&test);
        if (s_one_in (&test, 3))
            s_run_versions (&test);
        if (test.done >= check_at) {
            s_check_scan (&test);
            KV_ASSERT (executor_is_valid (test.executor)); // S1..S4, P1..P3
            check_at = test.done + CHECK_EVERY;
        }
    }
    s_tear_down (&test);
    printf ("ok\n");
    return 0;
}
