/* store_bench - what the node's core costs: memory per entry, table operations, whole requests.
 *
 *   store_bench [--keys N] [--shards N] [--value-bytes N]
 *   store_bench load [--keys N] [--shards N] [--value-bytes N]     snapshots only: walking and loading
 *
 * Method: N keys of 16 bytes go into a table each once, in random order. Memory is the growth of the
 * process's resident set, less keys and values themselves. Lookups go to keys drawn at random,
 * prepared beforehand. Requests hold 64 commands each and are encoded beforehand; the reply's buffer
 * is reused, as the node's actor does. All times are the thread's processor time, so that other
 * programs on the machine disturb them only by what they do to the caches. */
#include "node/entry_pool.h"
#include "node/executor.h"
#include "node/record_maker.h"
#include "node/snapshot_load.h"
#include "node/snapshot_walk.h"
#include "schema/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_BYTES = 16,
    DRAWS = 1000000, /* lookups per measurement */
    WINDOW = 16,
    BATCH = 64, /* commands of a request */
    SLOW_NS = 100000,
    VALUE_BYTES_MAX = 4096,
    LOG_BYTES = 1 << 18, /* about what a wake-up of a busy node logs */
    LOG_ROOM_BYTES = 1 << 26
};

static const uint8_t s_secret[STORE_SECRET_BYTES] = {7, 1, 9, 3};
static const uint8_t s_value[VALUE_BYTES_MAX];

typedef struct {
    uint64_t keys;
    uint32_t shards;
    size_t value_bytes;
} options_t;

static uint64_t s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C (1000000000) + (uint64_t)now.tv_nsec;
}

static size_t s_resident_bytes (void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    if (file) {
        if (fscanf (file, "%lu %lu", &total, &resident) != 2)
            resident = 0;
        fclose (file);
    }
    return resident * (size_t)sysconf (_SC_PAGESIZE);
}

/* splitmix64 (Steele, Lea, Flood, 2014). */
static uint64_t s_mix (uint64_t x)
{
    x += UINT64_C (0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Key number n: 16 digits, as people's keys are text. */
static void s_make_key (uint64_t n, uint8_t key[KEY_BYTES])
{
    uint64_t mixed = s_mix (n);
    for (int i = 0; i < KEY_BYTES; i++)
        key[i] = (uint8_t) "0123456789abcdef"[mixed >> (4 * i) & 15];
}

static uint8_t *s_make_draws (uint64_t keys)
{
    uint8_t *draws = malloc ((size_t)DRAWS * KEY_BYTES);
    KV_ASSERT (draws != NULL);
    for (uint64_t i = 0; i < DRAWS; i++)
        s_make_key (s_mix (i * 31 + 5) % keys, draws + i * KEY_BYTES);
    return draws;
}

static void s_print (const char *what, double number, const char *unit)
{
    printf ("%-44s %9.1f %s\n", what, number, unit);
}

/* How long single inserts take, if they are timed. */
typedef struct {
    uint64_t worst_ns;
    uint64_t slow; /* those above SLOW_NS */
} latency_t;

static void s_insert_all (store_t *store, const options_t *options, latency_t *latency)
{
    for (uint64_t i = 0; i < options->keys; i++) {
        uint8_t bytes[KEY_BYTES];
        s_make_key (i, bytes);
        kv_slice_t key = kv_slice (bytes, KEY_BYTES);
        uint64_t start = latency ? s_now_ns () : 0;
        store_put (store, key, store_hash (store, key), kv_slice (s_value, options->value_bytes), 0,
                   i);
        if (!latency)
            continue;
        uint64_t took = s_now_ns () - start;
        latency->slow += took > SLOW_NS;
        latency->worst_ns = took > latency->worst_ns ? took : latency->worst_ns;
    }
}

static uint64_t s_look_up (const store_t *store, const uint8_t *draws, bool batched)
{
    uint64_t sum = 0;
    uint64_t hashes[WINDOW];
    for (size_t i = 0; i < DRAWS; i += WINDOW) {
        for (size_t j = 0; batched && j < WINDOW; j++) {
            hashes[j] = store_hash (store, kv_slice (draws + (i + j) * KEY_BYTES, KEY_BYTES));
            store_prefetch_bucket (store, hashes[j]);
        }
        for (size_t j = 0; batched && j < WINDOW; j++)
            store_prefetch_entry (store, hashes[j]);
        for (size_t j = 0; j < WINDOW; j++) {
            kv_slice_t key = kv_slice (draws + (i + j) * KEY_BYTES, KEY_BYTES);
            uint64_t hash = batched ? hashes[j] : store_hash (store, key);
            const entry_t *entry = store_find (store, key, hash);
            KV_ASSERT (entry != NULL);
            sum += entry_value (entry).data[0] + entry_version (entry);
        }
    }
    return sum;
}

static void s_count_visit (void *context, const entry_t *entry)
{
    *(uint64_t *)context += entry_key (entry).size / KEY_BYTES;
}

static void s_bench_scan (const store_t *store, uint64_t keys)
{
    uint64_t seen = 0;
    uint64_t worst_ns = 0;
    uint64_t cursor = 0;
    uint64_t start = s_now_ns ();
    do
        cursor = store_scan (store, cursor, s_count_visit, &seen);
    while (cursor);
    s_print ("scan", (double)(s_now_ns () - start) / (double)keys, "ns/entry");
    KV_ASSERT (seen == keys);
    do {
        uint64_t step = s_now_ns ();
        cursor = store_scan (store, cursor, s_count_visit, &seen);
        uint64_t took = s_now_ns () - step;
        worst_ns = took > worst_ns ? took : worst_ns;
    } while (cursor);
    s_print ("scan, worst step", (double)worst_ns / 1000, "us");
}

static void s_remove_all (store_t *store, const options_t *options)
{
    uint64_t start = s_now_ns ();
    for (uint64_t i = 0; i < options->keys; i++) {
        uint8_t bytes[KEY_BYTES];
        s_make_key (i, bytes);
        kv_slice_t key = kv_slice (bytes, KEY_BYTES);
        entry_t *entry = store_find (store, key, store_hash (store, key));
        KV_ASSERT (entry != NULL);
        store_remove (store, entry);
    }
    s_print ("find and remove", (double)(s_now_ns () - start) / (double)options->keys, "ns");
}

static void s_bench_store (const options_t *options, const uint8_t *draws)
{
    printf ("one table, %" PRIu64 " keys of %d + %zu bytes\n", options->keys, KEY_BYTES,
            options->value_bytes);
    double keys = (double)options->keys;
    size_t before = s_resident_bytes ();
    entry_pool_t *pool = entry_pool_new ();
    store_t *store = store_new (s_secret, pool);
    uint64_t start = s_now_ns ();
    s_insert_all (store, options, NULL);
    s_print ("insert", (double)(s_now_ns () - start) / keys, "ns");
    size_t grown = s_resident_bytes () - before;
    double payload = (double)(KEY_BYTES + options->value_bytes);
    s_print ("overhead, resident set", (double)grown / keys - payload, "bytes/entry");
    s_print ("overhead, as the store accounts for it", (double)store_bytes (store) / keys - payload,
             "bytes/entry");
    for (int round = 0; round < 2; round++) {
        start = s_now_ns ();
        uint64_t sum = s_look_up (store, draws, round == 1);
        double took = (double)(s_now_ns () - start) / DRAWS;
        s_print (round ? "lookup, windows of 16, prefetched" : "lookup, single", took, "ns");
        KV_ASSERT (sum != 1);
    }
    s_bench_scan (store, options->keys);
    s_remove_all (store, options);
    double left = (double)s_resident_bytes () - (double)before;
    s_print ("resident after removing all", left / 1048576, "MiB");
    store_destroy (&store);
    entry_pool_destroy (&pool);
    latency_t latency = {0};
    pool = entry_pool_new ();
    store = store_new (s_secret, pool);
    s_insert_all (store, options, &latency);
    s_print ("insert, worst single one", (double)latency.worst_ns / 1000, "us");
    s_print ("inserts that took more than 100 us", (double)latency.slow, "");
    store_destroy (&store);
    entry_pool_destroy (&pool);
}

/* Encodes one request of BATCH commands on the keys from `draws`. */
static void s_encode (writer_t *out, const uint8_t *draws, const char *name, size_t value_bytes)
{
    request_begin (out, 1, BATCH, false);
    for (int i = 0; i < BATCH; i++) {
        writer_array (out, value_bytes ? 3 : 2);
        writer_cstr (out, name);
        writer_bin (out, kv_slice (draws + (size_t)i * KEY_BYTES, KEY_BYTES));
        if (value_bytes)
            writer_bin (out, kv_slice (s_value, value_bytes));
    }
}

typedef struct {
    uint8_t *bytes; /* all requests, one behind the other */
    size_t *ends;
    size_t count;
} requests_t;

static requests_t s_make_requests (const uint8_t *draws, const char *name, size_t value_bytes)
{
    requests_t self = {.count = DRAWS / BATCH};
    self.ends = malloc (self.count * sizeof *self.ends);
    KV_ASSERT (self.ends != NULL);
    writer_t out = writer_make (SIZE_MAX);
    for (size_t i = 0; i < self.count; i++) {
        s_encode (&out, draws + i * BATCH * KEY_BYTES, name, value_bytes);
        self.ends[i] = out.size;
    }
    size_t size;
    self.bytes = writer_take (&out, &size);
    return self;
}

static void s_run_requests (executor_t *executor, const requests_t *requests, const char *what)
{
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    double best = 1e9;
    for (int round = 0; round < 3; round++) {
        uint64_t start = s_now_ns ();
        for (size_t i = 0; i < requests->count; i++) {
            size_t from = i ? requests->ends[i - 1] : 0;
            writer_reset (&reply);
            kv_slice_t body = kv_slice (requests->bytes + from, requests->ends[i] - from);
            kv_status_t status = executor_run (executor, body, 1000000, &reply);
            KV_ASSERT (status == KV_OK);
        }
        double took = (double)(s_now_ns () - start) / (double)(requests->count * BATCH);
        best = took < best ? took : best;
    }
    KV_ASSERT (executor_stats (executor).errors == 0);
    s_print (what, best, "ns/command");
    writer_free (&reply);
}

static void s_free_requests (requests_t *requests)
{
    free (requests->bytes);
    free (requests->ends);
}

static void s_fill (executor_t *executor, const options_t *options)
{
    writer_t request = writer_make (SIZE_MAX);
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    for (uint64_t i = 0; i < options->keys; i += BATCH) {
        uint8_t keys[BATCH * KEY_BYTES];
        for (uint64_t j = 0; j < BATCH; j++)
            s_make_key ((i + j) % options->keys, keys + j * KEY_BYTES);
        writer_reset (&request);
        writer_reset (&reply);
        s_encode (&request, keys, "SET", options->value_bytes);
        kv_slice_t body = kv_slice (request.data, request.size);
        kv_status_t status = executor_run (executor, body, 1000000, &reply);
        KV_ASSERT (status == KV_OK);
    }
    writer_free (&request);
    writer_free (&reply);
}

/* A log that goes nowhere: what records, and waiting for them, cost the node's thread, but for write(2). */
typedef struct {
    record_maker_t *maker;
    writer_t bytes;
    uint64_t lsn;
} bench_log_t;

static void s_log_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    record_maker_effect (((bench_log_t *)context)->maker, shard, effect);
}

static uint64_t s_log_end (void *context, const shard_t *shard)
{
    bench_log_t *self = context;
    if (self->bytes.size > LOG_BYTES)
        writer_reset (&self->bytes);
    size_t before = self->bytes.size;
    record_maker_end (self->maker, shard, &self->bytes);
    return self->lsn += self->bytes.size - before;
}

static uint64_t s_log_room (void *context)
{
    (void)context;
    return LOG_ROOM_BYTES;
}

/* The same with a log, nothing of which is durable yet. */
static void s_bench_logged (executor_t *executor, const options_t *options, const uint8_t *draws)
{
    bench_log_t log = {.maker = record_maker_new (options->shards),
                       .bytes = writer_make (SIZE_MAX)};
    shard_sink_t sink = {s_log_effect, s_log_end, s_log_room, &log};
    executor_set_sink (executor, &sink);
    requests_t sets = s_make_requests (draws, "SET", options->value_bytes);
    s_run_requests (executor, &sets, "SET, overwriting, with a log");
    s_free_requests (&sets);
    requests_t gets = s_make_requests (draws, "GET", 0);
    s_run_requests (executor, &gets, "GET, with a log");
    s_free_requests (&gets);
    KV_ASSERT (executor_gate (executor) > 0);
    executor_set_sink (executor, NULL);
    record_maker_destroy (&log.maker);
    writer_free (&log.bytes);
}

static void s_bench_executor (const options_t *options, const uint8_t *draws)
{
    printf ("executor, %" PRIu64 " keys, %" PRIu32 " shards, batches of %d\n", options->keys,
            options->shards, BATCH);
    executor_options_t settings = {.shards = options->shards,
                                   .max_value_bytes = KV_VALUE_BYTES_DEFAULT,
                                   .node_id = "bench",
                                   .version = KVDB_VERSION};
    memcpy (settings.secret, s_secret, sizeof settings.secret);
    size_t before = s_resident_bytes ();
    executor_t *executor = executor_new (&settings);
    for (uint32_t i = 0; i < options->shards; i++)
        KV_ASSERT (executor_own (executor, i, 1) == KV_OK);
    uint64_t start = s_now_ns ();
    s_fill (executor, options);
    s_print ("fill by SET", (double)(s_now_ns () - start) / (double)options->keys, "ns/command");
    double grown = (double)(s_resident_bytes () - before) / (double)options->keys;
    s_print ("overhead, resident set", grown - (double)(KEY_BYTES + options->value_bytes),
             "bytes/entry");
    requests_t gets = s_make_requests (draws, "GET", 0);
    s_run_requests (executor, &gets, "GET");
    s_free_requests (&gets);
    requests_t sets = s_make_requests (draws, "SET", options->value_bytes);
    s_run_requests (executor, &sets, "SET, overwriting");
    s_free_requests (&sets);
    s_bench_logged (executor, options, draws);
    executor_destroy (&executor);
}

/* The shards' tables, as snapshots see them. */
typedef struct {
    entry_pool_t *pool;
    uint32_t shards;
    uint32_t ids[KV_SHARDS_MAX];
    store_t *stores[KV_SHARDS_MAX];
} tables_t;

static tables_t *s_tables_new (uint32_t shards)
{
    tables_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->shards = shards;
    self->pool = entry_pool_new ();
    for (uint32_t i = 0; i < shards; i++) {
        self->ids[i] = i;
        self->stores[i] = store_new (s_secret, self->pool);
    }
    return self;
}

static void s_tables_free (tables_t *self)
{
    for (uint32_t i = 0; i < self->shards; i++)
        store_destroy (&self->stores[i]);
    entry_pool_destroy (&self->pool);
    free (self);
}

static const store_t *s_table_of (void *context, uint32_t shard)
{
    return ((tables_t *)context)->stores[shard];
}

static void s_fill_tables (tables_t *tables, const options_t *options, bool expiring)
{
    for (uint64_t i = 0; i < options->keys; i++) {
        uint8_t bytes[KEY_BYTES];
        s_make_key (i, bytes);
        kv_slice_t key = kv_slice (bytes, KEY_BYTES);
        store_t *store = tables->stores[i % tables->shards];
        int64_t expires_ms = expiring ? (int64_t)(s_mix (i) >> 20) + 1 : 0;
        store_put (store, key, store_hash (store, key), kv_slice (s_value, options->value_bytes),
                   expires_ms, i);
    }
}

/* All entries as chunks of a snapshot, in memory. */
typedef struct {
    writer_t *chunks; /* a shard's in a row */
    uint32_t *shards;
    size_t count, room;
    uint64_t entries;
} chunks_t;

static void s_keep (chunks_t *self, uint32_t shard, writer_t *chunk)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->chunks = realloc (self->chunks, self->room * sizeof *self->chunks);
        self->shards = realloc (self->shards, self->room * sizeof *self->shards);
        KV_ASSERT (self->chunks != NULL && self->shards != NULL);
    }
    self->shards[self->count] = shard;
    self->chunks[self->count] = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    writer_raw (&self->chunks[self->count++], kv_slice (chunk->data, chunk->size));
}

/* Walks all tables; `kept` NULL: only to measure it, the chunk's memory being used again. */
static void s_walk_tables (tables_t *tables, const char *what, chunks_t *kept)
{
    enum { BUDGET = 1000 };
    snapshot_walk_t *walk = snapshot_walk_new ();
    snapshot_walk_begin (walk, &(snapshot_walk_options_t){.shards = tables->ids,
                                                          .count = tables->shards,
                                                          .store_of = s_table_of,
                                                          .context = tables});
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_step_t step = {0};
    uint64_t entries = 0;
    uint64_t worst_ns = 0;
    uint64_t total_ns = 0;
    while (!step.over) {
        uint64_t start = s_now_ns ();
        step = snapshot_walk_step (walk, BUDGET, &chunk);
        uint64_t took = s_now_ns () - start;
        total_ns += took;
        worst_ns = took > worst_ns ? took : worst_ns;
        entries += step.entries;
        if (!step.due)
            continue;
        if (kept)
            s_keep (kept, step.shard, &chunk);
        writer_reset (&chunk);
    }
    if (kept)
        kept->entries = entries;
    s_print (what, (double)total_ns / (double)entries, "ns/entry");
    s_print ("  its worst step", (double)worst_ns / 1000, "us");
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
}

static void s_load_tables (const chunks_t *chunks, uint32_t shards, const char *what)
{
    tables_t *tables = s_tables_new (shards);
    uint64_t loaded = 0;
    uint64_t start = s_now_ns ();
    for (uint32_t i = 0; i < shards; i++)
        store_reserve (tables->stores[i], (size_t)(chunks->entries / shards));
    s_print ("reserve", (double)(s_now_ns () - start) / 1000, "us");
    for (size_t i = 0; i < chunks->count; i++) {
        kv_slice_t payload = kv_slice (chunks->chunks[i].data + SNAPSHOT_CHUNK_HEADER_BYTES,
                                       chunks->chunks[i].size - SNAPSHOT_CHUNK_HEADER_BYTES);
        kv_status_t status = snapshot_load (tables->stores[chunks->shards[i]], payload, &loaded);
        KV_ASSERT (status == KV_OK);
    }
    double took = (double)(s_now_ns () - start);
    KV_ASSERT (loaded == chunks->entries);
    s_print (what, took / (double)loaded, "ns/entry");
    s_print ("  that is", (double)loaded / took * 1000, "million entries/s");
    s_tables_free (tables);
}

static void s_bench_snapshot (const options_t *options, bool expiring)
{
    printf ("snapshot, %" PRIu64 " keys of %d + %zu bytes%s, %" PRIu32 " shards\n", options->keys,
            KEY_BYTES, options->value_bytes, expiring ? ", all expiring" : "", options->shards);
    tables_t *tables = s_tables_new (options->shards);
    s_fill_tables (tables, options, expiring);
    chunks_t chunks = {0};
    s_walk_tables (tables, "walk, cold", NULL);
    s_walk_tables (tables, "walk, kept", &chunks);
    s_tables_free (tables);
    for (int round = 0; round < 2; round++)
        s_load_tables (&chunks, options->shards, round ? "load, again" : "load");
    for (size_t i = 0; i < chunks.count; i++)
        writer_free (&chunks.chunks[i]);
    free (chunks.chunks);
    free (chunks.shards);
}

static uint64_t s_number (const char *text, uint64_t most)
{
    char *end;
    unsigned long long number = strtoull (text, &end, 10);
    if (*end || number == 0 || number > most) {
        fprintf (stderr, "store_bench: %s is not a number from 1 to %" PRIu64 "\n", text, most);
        exit (2);
    }
    return number;
}

int main (int argc, char **argv)
{
    options_t options = {.keys = 5000000, .shards = KV_SHARDS_DEFAULT, .value_bytes = 64};
    bool only_snapshots = argc > 1 && strcmp (argv[1], "load") == 0;
    if (only_snapshots) {
        argv++;
        argc--;
    }
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp (argv[i], "--keys") == 0)
            options.keys = s_number (argv[i + 1], UINT64_C (1) << 32);
        else if (strcmp (argv[i], "--shards") == 0)
            options.shards = (uint32_t)s_number (argv[i + 1], KV_SHARDS_MAX);
        else if (strcmp (argv[i], "--value-bytes") == 0)
            options.value_bytes = s_number (argv[i + 1], VALUE_BYTES_MAX);
        else
            argc = 0; /* falls through to the usage line */
    }
    if (argc % 2 == 0) {
        fprintf (stderr, "usage: store_bench [load] [--keys N] [--shards N] [--value-bytes N]\n");
        return 2;
    }
    if (only_snapshots) {
        s_bench_snapshot (&options, false);
        s_bench_snapshot (&options, true);
        return 0;
    }
    uint8_t *draws = s_make_draws (options.keys);
    s_bench_store (&options, draws);
    s_bench_executor (&options, draws);
    free (draws);
    options.keys = 100000;
    draws = s_make_draws (options.keys);
    s_bench_executor (&options, draws);
    free (draws);
    return 0;
}
