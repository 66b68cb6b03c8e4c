/* snapshot_bench - a whole snapshot to a disk and back: how long, and how much memory meanwhile.
 *
 *   snapshot_bench DIRECTORY [--keys N] [--shards N] [--value-bytes N]
 *
 * Method: N keys of 16 bytes in the tables of a node. Writing: steps of a thousand entries as the node's
 * thread makes them, whenever the actor has room, until the file is durable; wall-clock time, and the
 * growth of the highest resident set. Reading: the reader alone, then reader and tables. The file is in
 * the page cache then, so that the disk has no part in it. */
#include "actors/files_disk.h"
#include "actors/snapshot_actor.h"
#include "actors/snapshot_reader.h"
#include "node/entry_pool.h"
#include "node/snapshot_load.h"
#include "node/snapshot_walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <czmq.h>

enum { KEY_BYTES = 16, VALUE_BYTES_MAX = 64 * 1024 * 1024, BUDGET = 1000 };

static const uint8_t s_secret[STORE_SECRET_BYTES] = {7, 1, 9, 3};
static const char s_name[] = "snapshot.bench";

typedef struct {
    entry_pool_t *pool;
    uint32_t shards;
    uint64_t keys;
    size_t value_bytes;
    uint32_t ids[KV_SHARDS_MAX];
    store_t *stores[KV_SHARDS_MAX];
} tables_t;

static double s_now_s (clockid_t clock)
{
    struct timespec now;
    clock_gettime (clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double s_highest_mib (void)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static void s_print (const char *what, double number, const char *unit)
{
    printf ("%-44s %9.3f %s\n", what, number, unit);
}

static void s_check (kv_status_t status, const file_error_t *error)
{
    if (status == KV_OK)
        return;
    fprintf (stderr, "snapshot_bench: %s\n", error->text);
    exit (1);
}

static void s_new_stores (tables_t *self)
{
    self->pool = entry_pool_new ();
    for (uint32_t i = 0; i < self->shards; i++) {
        self->ids[i] = i;
        self->stores[i] = store_new (s_secret, self->pool);
    }
}

static void s_free_stores (tables_t *self)
{
    for (uint32_t i = 0; i < self->shards; i++)
        store_destroy (&self->stores[i]);
    entry_pool_destroy (&self->pool);
}

/* Random values: a file of zeros might be written faster. */
static void s_fill (tables_t *self)
{
    size_t words = (self->value_bytes + 7) / 8;
    uint64_t *value = calloc (words, sizeof *value);
    KV_ASSERT (value != NULL);
    uint64_t random = 1;
    for (uint64_t i = 0; i < self->keys; i++) {
        uint64_t key[2];
        for (size_t word = 0; word < words; word++)
            value[word] = random = random * UINT64_C (6364136223846793005) + 1442695040888963407;
        key[0] = value[0] >> 13;
        key[1] = i;
        store_t *store = self->stores[i % self->shards];
        kv_slice_t bytes = kv_slice (key, KEY_BYTES);
        store_put (store, bytes, store_hash (store, bytes), kv_slice (value, self->value_bytes), 0,
                   i);
    }
    free (value);
}

static const store_t *s_store_of (void *context, uint32_t shard)
{
    return ((tables_t *)context)->stores[shard];
}

/* Handles what the actor says, waiting for it if asked to; true once the file is done. */
static bool s_receive (snapshot_actor_t *actor, bool wait)
{
    if (wait) {
        zmq_pollitem_t item = {snapshot_actor_socket (actor), 0, ZMQ_POLLIN, 0};
        zmq_poll (&item, 1, -1);
    }
    snapshot_event_t event;
    while (snapshot_actor_receive (actor, &event) == KV_OK) {
        if (event.type == SNAPSHOT_FAILED)
            s_check (KV_IO, &event.error);
        if (event.type == SNAPSHOT_DONE)
            return true;
    }
    return false;
}

/* The node's thread's part; returns the processor time it took. */
static double s_walk (tables_t *tables, snapshot_actor_t *actor)
{
    snapshot_walk_t *walk = snapshot_walk_new ();
    snapshot_walk_begin (walk, &(snapshot_walk_options_t){.shards = tables->ids,
                                                          .count = tables->shards,
                                                          .store_of = s_store_of,
                                                          .context = tables});
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    for (uint32_t i = 0; i < tables->shards; i++) {
        snapshot_chunk_begin (&chunk);
        snapshot_shard_write (&chunk, 1, store_count (tables->stores[i]));
        snapshot_actor_chunk (actor, SNAPSHOT_SHARD, i, &chunk);
    }
    snapshot_step_t step = {0};
    double worst_s = 0;
    double own_s = 0;
    while (!step.over) {
        (void)s_receive (actor, !snapshot_actor_has_room (actor));
        if (!snapshot_actor_has_room (actor))
            continue;
        double start = s_now_s (CLOCK_THREAD_CPUTIME_ID);
        step = snapshot_walk_step (walk, BUDGET, &chunk);
        if (step.due)
            snapshot_actor_chunk (actor, SNAPSHOT_ENTRIES, step.shard, &chunk);
        double took = s_now_s (CLOCK_THREAD_CPUTIME_ID) - start;
        worst_s = took > worst_s ? took : worst_s;
        own_s += took;
    }
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
    s_print ("  worst step", worst_s * 1e6, "us");
    return own_s;
}

static void s_write (tables_t *tables, files_t *files)
{
    snapshot_actor_t *actor = snapshot_actor_new (files, s_name);
    double before_mib = s_highest_mib ();
    double start = s_now_s (CLOCK_MONOTONIC);
    snapshot_header_t header = {.shards = tables->shards, .entries = tables->keys};
    snapshot_actor_begin (actor, &header);
    double own_s = s_walk (tables, actor);
    double walked = s_now_s (CLOCK_MONOTONIC) - start;
    snapshot_actor_finish (actor, 0, tables->keys);
    while (!s_receive (actor, true))
        continue;
    double took = s_now_s (CLOCK_MONOTONIC) - start;
    s_print ("  processor time of the node's thread", own_s, "s");
    s_print ("  walked after", walked, "s");
    s_print ("snapshot, until durable", took, "s");
    s_print ("  growth of the highest resident set", s_highest_mib () - before_mib, "MiB");
    s_print ("  of", before_mib, "MiB");
    snapshot_actor_destroy (&actor);
}

static void s_read (tables_t *tables, files_t *files, bool load)
{
    file_error_t error;
    double start = s_now_s (CLOCK_MONOTONIC);
    snapshot_reader_t *reader;
    s_check (snapshot_reader_open (files, s_name, &reader, &error), &error);
    snapshot_chunk_t chunk;
    uint64_t entries = 0;
    kv_status_t status;
    while ((status = snapshot_reader_next (reader, &chunk, &error)) == KV_OK) {
        uint64_t last;
        uint64_t count;
        store_t *store = load ? tables->stores[chunk.shard] : NULL;
        if (chunk.kind == SNAPSHOT_SHARD) {
            s_check (snapshot_shard_read (chunk.payload, &last, &count), &error);
            if (load)
                store_reserve (store, (size_t)count);
        } else if (load) {
            s_check (snapshot_load (store, chunk.payload, &entries), &error);
        }
    }
    s_check (status == KV_END ? KV_OK : status, &error);
    double took = s_now_s (CLOCK_MONOTONIC) - start;
    uint64_t done;
    uint64_t all;
    snapshot_reader_progress (reader, &done, &all);
    s_print (load ? "reading and loading" : "reading", took, "s");
    s_print ("  that is", (double)all / took / 1e9, "GB/s");
    s_print ("  or", (double)tables->keys / took / 1e6, "million entries/s");
    snapshot_reader_destroy (&reader);
}

static uint64_t s_number (const char *text, uint64_t most)
{
    char *end;
    unsigned long long number = strtoull (text, &end, 10);
    if (*end || number == 0 || number > most) {
        fprintf (stderr, "snapshot_bench: %s is not a number from 1 to %" PRIu64 "\n", text, most);
        exit (2);
    }
    return number;
}

int main (int argc, char **argv)
{
    tables_t *tables = calloc (1, sizeof *tables);
    KV_ASSERT (tables != NULL);
    tables->shards = KV_SHARDS_DEFAULT;
    tables->keys = 5000000;
    tables->value_bytes = 64;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp (argv[i], "--keys") == 0)
            tables->keys = s_number (argv[i + 1], UINT64_C (1) << 32);
        else if (strcmp (argv[i], "--shards") == 0)
            tables->shards = (uint32_t)s_number (argv[i + 1], KV_SHARDS_MAX);
        else if (strcmp (argv[i], "--value-bytes") == 0)
            tables->value_bytes = s_number (argv[i + 1], VALUE_BYTES_MAX);
        else
            argc = 0; /* falls through to the usage line */
    }
    if (argc < 2 || argc % 2 != 0) {
        fprintf (stderr, "usage: snapshot_bench DIRECTORY [--keys N] [--shards N] "
                         "[--value-bytes N]\n");
        return 2;
    }
    files_t *files;
    file_error_t error;
    s_check (files_disk_open (argv[1], &files, &error), &error);
    printf ("%" PRIu64 " keys of %d + %zu bytes, %" PRIu32 " shards\n", tables->keys, KEY_BYTES,
            tables->value_bytes, tables->shards);
    s_new_stores (tables);
    s_fill (tables);
    for (int round = 0; round < 3; round++)
        s_write (tables, files);
    s_free_stores (tables);
    for (int round = 0; round < 3; round++)
        s_read (tables, files, false);
    for (int round = 0; round < 2; round++) {
        s_new_stores (tables);
        s_read (tables, files, true);
        s_free_stores (tables);
    }
    s_check (files_remove (files, s_name, &error), &error);
    files_destroy (&files);
    free (tables);
    return 0;
}
