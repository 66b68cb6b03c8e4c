#include "model_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t test_random (test_t *self, uint64_t below)
{
    self->random += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = self->random;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

bool test_one_in (test_t *self, uint64_t n)
{
    return test_random (self, n) == 0;
}

static void s_write_word (test_t *self, const char *const *words, size_t count)
{
    char copy[32];
    snprintf (copy, sizeof copy, "%s", words[test_random (self, count)]);
    for (size_t i = 0; copy[i]; i++) {
        if (test_one_in (self, 4) && copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] | 32);
    }
    writer_cstr (&self->request, copy);
}

/* Short keys, binary ones, tagged ones, some long, now and then an empty or an overlong one. */
void test_write_key (test_t *self)
{
    if (test_one_in (self, 400)) {
        size_t bytes = test_one_in (self, 2) ? 0 : 65537;
        uint8_t *at = writer_claim (&self->request, 5 + bytes);
        memset (at, 'x', 5 + bytes);
        memcpy (at, (uint8_t[]){0xc6, 0, (uint8_t)(bytes >> 16), 0, (uint8_t)bytes}, 5);
        return;
    }
    uint64_t n = test_random (self, test_one_in (self, 2) ? HOT_KEYS : KEYS);
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
    int64_t small = (int64_t)test_random (self, 200) - 20;
    switch (test_random (self, 8)) {
    case 0:
        writer_cstr (&self->request, odd[test_random (self, sizeof odd / sizeof odd[0])]);
        break;
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

void test_write_value (test_t *self)
{
    if (test_one_in (self, 3)) {
        s_write_number (self);
        return;
    }
    size_t size = test_random (self, test_one_in (self, 50) ? MAX_VALUE_BYTES + 2000 : 200);
    uint8_t *value = malloc (size + 1);
    KV_ASSERT (value != NULL);
    memset (value, (int)test_random (self, 256), size);
    for (size_t i = 0; i < size && i < 8; i++)
        value[i] = (uint8_t)test_random (self, 256);
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
    if (test_one_in (self, 4)) {
        writer_cstr (&self->request, odd[test_random (self, sizeof odd / sizeof odd[0])]);
        return;
    }
    snprintf (text, sizeof text, "%.*f", (int)test_random (self, 6),
              ((double)test_random (self, 20001) - 10000) / 64);
    writer_cstr (&self->request, text);
}

/* The value the last key has, so that comparisons succeed, or any. */
static void s_write_present_value (test_t *self)
{
    if (test_one_in (self, 3))
        test_write_value (self);
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
    uint64_t count = test_random (self, 5);
    for (uint64_t i = 0; i < count; i++) {
        const char *part = parts[test_random (self, sizeof parts / sizeof parts[0])];
        size += (size_t)snprintf (text + size, sizeof text - size, "%s", part);
    }
    writer_cstr (&self->request, test_one_in (self, 3) ? "*" : text);
}

static void s_write_cursor (test_t *self)
{
    if (test_one_in (self, 10))
        s_write_number (self);
    else
        writer_uint (&self->request,
                     test_random (self, SHARDS) | (test_random (self, UINT64_C (1) << 48) << 14));
}

static void s_write_set_option (test_t *self)
{
    static const char *const plain[] = {"NX", "XX", "GET", "KEEPTTL", "GET", "NX", "FOO"};
    s_write_word (self, plain, test_one_in (self, 10) ? 7 : 6);
}

/* SET's and GETEX's options: the argument count has been drawn, so they may come out wrong. */
static void s_write_set_options (test_t *self, uint32_t count)
{
    static const char *const units[] = {"EX", "PX", "EXAT", "PXAT"};
    for (uint32_t i = 0; i < count; i++) {
        bool has_next = i + 1 < count;
        if (has_next && test_one_in (self, 2)) {
            s_write_word (self, units, 4);
            s_write_number (self);
            i++;
        } else if (has_next && test_one_in (self, 4)) {
            s_write_word (self, &(const char *){"IFEQ"}, 1);
            s_write_present_value (self);
            i++;
        } else if (has_next && test_one_in (self, 10)) {
            s_write_word (self, &(const char *){"IFVER"}, 1);
            s_write_number (self);
            i++;
        } else if (test_one_in (self, 30)) {
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
        if (i + 1 < count && !test_one_in (self, 8)) {
            s_write_word (self, words + 1, 4);
            s_write_number (self);
            i++;
        } else {
            s_write_word (self, words, test_one_in (self, 10) ? 6 : 1);
        }
    }
}

static void s_write_copy_options (test_t *self, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 < count && test_one_in (self, 2)) {
            s_write_word (self, &(const char *){"DB"}, 1);
            writer_cstr (&self->request, test_one_in (self, 4) ? "1" : "0");
            i++;
        } else {
            s_write_word (self, (const char *const[]){"REPLACE", "DB", "FOO"},
                          test_one_in (self, 10) ? 3 : 1);
        }
    }
}

static void s_write_scan_options (test_t *self, uint32_t count)
{
    static const char *const words[] = {"MATCH", "COUNT", "TYPE"};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t which = test_random (self, test_one_in (self, 10) ? 3 : 2);
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
    if (test_one_in (self, 60))
        most += 2;
    uint32_t least = test_one_in (self, 60) && spec->least > 1 ? spec->least - 1 : spec->least;
    uint32_t count = least + (uint32_t)test_random (self, most - least + 1);
    bool pairs = spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER;
    if (spec->keys == KEYS_PAIRS_TOGETHER && !test_one_in (self, 4))
        count = 3 + 2 * (uint32_t)test_random (self, 2);
    if (pairs && !test_one_in (self, 30))
        count |= 1;
    if (spec->keys == KEYS_SECOND && !test_one_in (self, 10))
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
    bool odd = test_one_in (self, 20);
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
        test_write_key (self);
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
        test_write_value (self);
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
    command_id_t id = (command_id_t)test_random (self, COMMAND_COUNT);
    bool rare = id == COMMAND_KEYS || id == COMMAND_INFO || id == COMMAND_HELP ||
                id == COMMAND_ALL || id == COMMAND_COMMAND;
    bool drop = id == COMMAND_FLUSHALL || id == COMMAND_DROP;
    if ((rare && !test_one_in (self, 10)) || (drop && !test_one_in (self, 400)))
        id = test_one_in (self, 2) ? COMMAND_SET : COMMAND_MSET;
    return id;
}

void test_write_command (test_t *self)
{
    command_id_t id = s_draw_command (self);
    const command_spec_t *spec = command_spec (id);
    uint32_t count = s_argument_count (self, spec);
    writer_array (&self->request, count);
    if (test_one_in (self, 300))
        writer_cstr (&self->request, "NOSUCH");
    else
        s_write_word (self, &spec->name, 1);
    for (uint32_t i = 1; i < count; i++) {
        if (s_write_options (self, id, i, count - i))
            return;
        s_write_argument (self, spec, i);
    }
}
