/* Goal: no input crashes the engine, every refusal is one well-formed line (E3), targets stay valid
 * (E4), and all four sources agree on what a value means.
 * Method: mutants of good files, and generated configurations written in each notation and read
 * back. The seed is printed; KVDB_TEST_SEED=N repeats a run. */
#include "test/unit/config/sample_tables.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MUTANTS = 20000, CONFIGURATIONS = 1500, TEXT_BYTES_MAX = 2048 };

/* xorshift64* (Marsaglia; Vigna). */
typedef struct {
    uint64_t state;
} random_t;

static uint64_t s_random (random_t *self, uint64_t below)
{
    self->state ^= self->state >> 12;
    self->state ^= self->state << 25;
    self->state ^= self->state >> 27;
    return ((self->state * UINT64_C (2685821657736338717)) >> 16) % below;
}

static uint64_t s_seed (void)
{
    const char *given = getenv ("KVDB_TEST_SEED");
    uint64_t seed = given ? strtoull (given, NULL, 10) : (uint64_t)time (NULL);
    print_message ("KVDB_TEST_SEED=%" PRIu64 "\n", seed);
    return seed * 2 + 1;
}

static const char *const s_yaml_seeds[] = {
    "# c\nbroker: {host: a, port: 7000}\nnodes:\n  - id: node1\n    port: 8081\n    useGrpc: "
    "true\n  - {id: node2, host: \"h\\u00e9\", port: 1, peer: {port: 2}}\n",
    "kvdb:\n  persistence:\n    filepath: data/x\n    fsync: always\n    autoFlushInterval: 2\n"
    "  max_memory: 64m\n  comment: 'it''s'\nreplicas: 2\nclient.tuning: [1, {a: b}]\n"};

static const char *const s_properties_seeds[] = {
    "# c\r\nkvdb.persistence.filepath=data/x\\\r\n  y\nkvdb.persistence.fsync : never\n! d\n"
    "kvdb.comment = \\u00e9\\ud83d\\ude00 \\:\nreplicas 2\n",
    "kvdb.max_memory=64m\nkvdb.persistence.enableAutoFlush=true\n"
    "kvdb.persistence.autoFlushInterval=2\nbroker.port:7000\nbroker.x=1"};

/* Pieces that mean something to a parser, so that mutants get beyond its first lines. */
static const char *const s_pieces[] = {":",           ": ",
                                       "\n",          "\r",
                                       "- ",          "{",
                                       "}",           "[",
                                       "]",           ",",
                                       "&a ",         "*a",
                                       "!!x ",        "\"",
                                       "'",           "\\",
                                       "\\u",         "\\ud83d",
                                       "#",           "---\n",
                                       "...",         "? ",
                                       "|\n",         "> ",
                                       "%",           "\t",
                                       "  ",          "\\\n",
                                       "=",           "<<: ",
                                       "null",        "~",
                                       "broker",      "replicas",
                                       "id:",         "\xc3",
                                       "\xc2\x85",    "\xe2\x80\xa8",
                                       "99999999999", "-"};

static size_t s_mutate (random_t *random, char *text, size_t size)
{
    uint64_t edits = s_random (random, 4);
    for (; edits > 0; edits--) {
        size_t at = s_random (random, size + 1);
        uint64_t kind = s_random (random, 4);
        if (kind == 0 && at < size) {
            text[at] =
                (char)(s_random (random, 8) ? 32 + s_random (random, 95) : s_random (random, 256));
        } else if (kind == 1 && at < size) { /* cut a piece out */
            size_t cut = 1 + s_random (random, size - at < 12 ? size - at : 12);
            memmove (text + at, text + at + cut, size - at - cut);
            size -= cut;
        } else {
            const char *piece = s_pieces[s_random (random, sizeof s_pieces / sizeof s_pieces[0])];
            size_t length = strlen (piece);
            size_t from = kind == 3 ? s_random (random, size + 1) : 0;
            if (kind == 3) /* repeat a piece of the text itself */
                length = size - from < 40 ? size - from : 40;
            if (size + length > TEXT_BYTES_MAX)
                continue;
            char copy[64];
            memcpy (copy, kind == 3 ? text + from : piece, length);
            memmove (text + at + length, text + at, size - at);
            memcpy (text + at, copy, length);
            size += length;
        }
    }
    return size;
}

static void s_try_mutant (random_t *random, const char *path, const char *seed_text,
                          size_t *accepted)
{
    char text[TEXT_BYTES_MAX];
    size_t size = strlen (seed_text);
    memcpy (text, seed_text, size);
    size = s_mutate (random, text, size);
    sample_t sample;
    sample_start (&sample);
    unsigned files = s_random (random, 10) > 0 ? 3 : 1 + (unsigned)s_random (random, 2);
    kv_status_t status = config_load_bytes (sample.config, path, kv_slice (text, size), files);
    bool valid = sample_is_valid (&sample);
    const char *error = config_error (sample.config);
    if (status == KV_OK) {
        valid = valid && !error;
        ++*accepted;
        for (size_t i = 0; i < config_count (sample.config); i++)
            free (config_value (sample.config, i));
        free (config_notice (sample.config, 0));
    } else {
        valid = valid && status == KV_CONFIG && error && sample_error_is_valid (error, path);
    }
    if (!valid)
        print_error ("error: %s\ninput: %.*s\n", error ? error : "none", (int)size, text);
    assert_true (valid);
    sample_stop (&sample);
}

static void test_mutants (void **state)
{
    (void)state;
    random_t random = {s_seed ()};
    size_t accepted = 0;
    for (int i = 0; i < MUTANTS; i++) {
        s_try_mutant (&random, "m.yaml", s_yaml_seeds[i & 1], &accepted);
        s_try_mutant (&random, "m.properties", s_properties_seeds[i & 1], &accepted);
    }
    print_message ("%d mutants, %zu accepted\n", 2 * MUTANTS, accepted);
    /* A quarter has no edit at all: the unharmed are accepted, most others are not. */
    assert_in_range (accepted, MUTANTS / 4, MUTANTS);
}

typedef struct {
    int64_t port;
    int64_t interval;
    int64_t memory_m;
    int64_t offset;
    int fsync;
    bool flush;
    char comment[41];
} wanted_t;

static const char *const s_fsyncs[] = {"always", "interval", "never", "off"};

static wanted_t s_invent (random_t *random)
{
    static const char letters[] = "ab:=#!\\'\"{}[],&*%@ -?|>~\xc3\xa9";
    wanted_t wanted = {.port = (int64_t)(1 + s_random (random, 65535)),
                       .interval = (int64_t)(1 + s_random (random, 3600)),
                       .memory_m = (int64_t)(1 + s_random (random, 1 << 20)),
                       .offset = (int64_t)(s_random (random, UINT64_MAX) << s_random (random, 17)),
                       .fsync = (int)s_random (random, 4),
                       .flush = s_random (random, 2) == 1};
    size_t size = s_random (random, 20);
    for (size_t i = 0; i < size; i++) {
        size_t pick = s_random (random, sizeof letters - 2); /* é goes in as two bytes */
        wanted.comment[strlen (wanted.comment)] = letters[pick];
        if (letters[pick] == '\xc3')
            wanted.comment[strlen (wanted.comment)] = '\xa9';
    }
    return wanted;
}

/* The comment with a backslash before each character that is in `marks`. */
static const char *s_escape (const char *text, const char *marks, char *out)
{
    char *at = out;
    for (; *text; text++) {
        if (strchr (marks, *text))
            *at++ = '\\';
        *at++ = *text;
    }
    *at = '\0';
    return out;
}

static kv_status_t s_load_wanted (sample_t *sample, const wanted_t *w, int notation)
{
    char text[TEXT_BYTES_MAX];
    char comment[100];
    static const char *const formats[] = {
        "broker: {port: %" PRId64 "}\nkvdb:\n  persistence:\n    autoFlushInterval: %" PRId64
        "\n    fsync: %s\n    enableAutoFlush: %s\n  max_memory: %" PRId64 "m\n  offset: %" PRId64
        "\n  comment: \"%s\"\n",
        "broker.port = %" PRId64 "\nkvdb.persistence.autoFlushInterval: %" PRId64
        "\nkvdb.persistence.fsync %s\nkvdb.persistence.enableAutoFlush=%s\n"
        "kvdb.max_memory=%" PRId64 "m\nkvdb.offset=%" PRId64 "\nkvdb.comment=%s"};
    s_escape (w->comment, notation == 0 ? "\\\"" : "\\ :=#!", comment);
    snprintf (text, sizeof text, notation == 0 ? formats[0] : formats[1], w->port, w->interval,
              s_fsyncs[w->fsync], w->flush ? "yes" : "off", w->memory_m, w->offset, comment);
    return config_load_bytes (sample->config, notation == 0 ? "g.yaml" : "g.properties",
                              kv_slice_text (text), 3);
}

static kv_status_t s_give_wanted (sample_t *sample, const wanted_t *w, bool flags)
{
    char words[8][100];
    char *list[9] = {words[0], words[1], words[2], words[3],
                     words[4], words[5], words[6], words[7]};
    const char *const names[2][7] = {
        {"KVDB_BROKER_PORT", "KVDB_PERSISTENCE_AUTOFLUSHINTERVAL", "KVDB_PERSISTENCE_FSYNC",
         "KVDB_PERSISTENCE_ENABLEAUTOFLUSH", "KVDB_MAX_MEMORY", "KVDB_OFFSET", "KVDB_COMMENT"},
        {"--port", "--persistence-autoFlushInterval", "--persistence-fsync",
         "--persistence-enableAutoFlush", "--max-memory", "--offset", "--comment"}};
    const char *const *name = names[flags ? 1 : 0];
    snprintf (words[0], 100, "program");
    snprintf (words[1], 100, "%s=%" PRId64, name[0], w->port);
    snprintf (words[2], 100, "%s=%" PRId64, name[1], w->interval);
    snprintf (words[3], 100, "%s=%s", name[2], s_fsyncs[w->fsync]);
    snprintf (words[4], 100, "%s=%d", name[3], w->flush);
    snprintf (words[5], 100, "%s=%" PRId64 "M", name[4], w->memory_m);
    snprintf (words[6], 100, "%s=%" PRId64, name[5], w->offset);
    snprintf (words[7], 100, "%s=%s", name[6], w->comment);
    if (flags)
        return config_flags (sample->config, 8, list, NULL);
    return config_environment (sample->config, list);
}

static void test_all_notations_agree (void **state)
{
    (void)state;
    random_t random = {s_seed ()};
    for (int i = 0; i < 4 * CONFIGURATIONS; i++) {
        wanted_t wanted = s_invent (&random);
        int notation = i % 4;
        sample_t sample;
        sample_start (&sample);
        kv_status_t status = notation < 2 ? s_load_wanted (&sample, &wanted, notation)
                                          : s_give_wanted (&sample, &wanted, notation == 3);
        if (status != KV_OK)
            print_error ("%s\ncomment: %s\n", config_error (sample.config), wanted.comment);
        assert_int_equal (status, KV_OK);
        assert_int_equal (sample.cluster.broker_port, wanted.port);
        assert_int_equal (sample.node.auto_flush_s, wanted.interval);
        assert_int_equal (sample.node.fsync, wanted.fsync);
        assert_int_equal (sample.node.auto_flush, wanted.flush);
        assert_int_equal (sample.node.max_memory_bytes, wanted.memory_m << 20);
        assert_true (sample.node.offset == wanted.offset);
        assert_string_equal (sample.node.comment, wanted.comment);
        sample_stop (&sample);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_mutants),
        cmocka_unit_test (test_all_notations_agree),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
