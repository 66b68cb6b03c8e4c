/* wal_bench - what the log costs the thread that writes it, and how long a sync through the actor takes.
 *
 *   wal_bench DIRECTORY [ROUNDS]
 *
 * Method: drains of 4 KiB and of 64 KiB, each one wal_write, on a real disk; the time is that of the call,
 * without a sync. Then drains of 4 KiB with a sync each: bare fdatasync of a file that was written before,
 * the keeper in this thread, and the actor, asked and awaited. Figures are medians and 99th percentiles. */
#include "actors/clock.h"
#include "actors/files_disk.h"
#include "actors/wal_actor.h"
#include "actors/wal_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <czmq.h>

enum { SEGMENT_BYTES = 64 * 1024 * 1024, ROUNDS = 2000, ROUNDS_MAX = 100000, VALUE_BYTES = 1000 };

typedef struct {
    files_t *files;
    wal_t *wal;
    wal_keeper_t *keeper; /* or the actor's */
    wal_actor_t *actor;
    double took_us[ROUNDS_MAX];
    int rounds;
    uint64_t position; /* of the last record */
} bench_t;

static const uint8_t s_uuid[WAL_UUID_BYTES] = "wal_bench";

static double s_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void s_check (kv_status_t status, const file_error_t *error)
{
    if (status == KV_OK)
        return;
    fprintf (stderr, "wal_bench: %s\n", error->text);
    exit (1);
}

static int s_by_size (const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void s_print (bench_t *self, const char *what)
{
    qsort (self->took_us, (size_t)self->rounds, sizeof *self->took_us, s_by_size);
    printf ("%-44s p50 %8.1f us   p99 %8.1f us\n", what, self->took_us[self->rounds / 2],
            self->took_us[self->rounds * 99 / 100]);
}

static void s_make_room (bench_t *self, uint64_t bytes)
{
    file_error_t error;
    wal_segment_t segment;
    kv_status_t status;
    while (wal_room (self->wal) < bytes) {
        while ((status = wal_keeper_prepare (self->keeper, &segment, &error)) == KV_OK)
            continue;
        s_check (status == KV_END ? KV_OK : status, &error);
        wal_add_segment (self->wal, &segment);
    }
}

static void s_append (bench_t *self, size_t bytes)
{
    static const uint8_t value[VALUE_BYTES];
    s_make_room (self, bytes);
    size_t end = wal_buffer (self->wal)->size + bytes;
    while (wal_buffer (self->wal)->size + VALUE_BYTES + 100 < end) {
        effect_t effect = {.kind = EFFECT_PUT,
                           .key = kv_slice_text ("a key of some size"),
                           .value = kv_slice (value, sizeof value)};
        self->position++;
        size_t start = record_begin (wal_buffer (self->wal), 0, self->position - 1, self->position);
        record_effect (wal_buffer (self->wal), &effect);
        record_end (wal_buffer (self->wal), start, 1);
    }
}

static void s_write (bench_t *self)
{
    wal_segment_t sealed;
    uint64_t end_lsn;
    file_error_t error;
    s_check (wal_write (self->wal, &error), &error);
    while (wal_next_sealed (self->wal, &sealed, &end_lsn))
        wal_keeper_seal (self->keeper, sealed.number, end_lsn);
}

static void s_bench_write (bench_t *self, size_t bytes, const char *what)
{
    file_error_t error;
    for (int i = 0; i < self->rounds; i++) {
        s_append (self, bytes);
        double began_us = s_now_us ();
        s_write (self);
        self->took_us[i] = s_now_us () - began_us;
        /* Now and then, so that the page cache's write-back is not measured. */
        if (i % 256 == 255)
            s_check (wal_keeper_sync (self->keeper, wal_written_lsn (self->wal),
                                      wal_current (self->wal).number, &error),
                     &error);
    }
    s_print (self, what);
}

static void s_bench_bare (bench_t *self)
{
    static uint8_t bytes[4096];
    file_error_t error;
    file_t *file;
    s_check (files_open (self->files, "bare.tmp", FILE_CREATE, &file, &error), &error);
    memset (bytes, 0, sizeof bytes);
    for (int i = 0; i < self->rounds; i++)
        s_check (file_write (file, (uint64_t)i * 4096, kv_slice (bytes, 4096), &error), &error);
    s_check (file_sync (file, &error), &error);
    for (int i = 0; i < self->rounds; i++) {
        bytes[0] = (uint8_t)(i + 1);
        double began_us = s_now_us ();
        s_check (file_write (file, (uint64_t)i * 4096, kv_slice (bytes, 4096), &error), &error);
        s_check (file_sync (file, &error), &error);
        self->took_us[i] = s_now_us () - began_us;
    }
    file_close (&file);
    s_check (files_remove (self->files, "bare.tmp", &error), &error);
    s_print (self, "write and fdatasync, 4 KiB, written before");
}

static void s_bench_keeper (bench_t *self)
{
    file_error_t error;
    for (int i = 0; i < self->rounds; i++) {
        s_append (self, 4096);
        double began_us = s_now_us ();
        s_write (self);
        s_check (wal_keeper_sync (self->keeper, wal_written_lsn (self->wal),
                                  wal_current (self->wal).number, &error),
                 &error);
        self->took_us[i] = s_now_us () - began_us;
    }
    s_print (self, "wal_write and wal_keeper_sync, 4 KiB");
}

static void s_bench_actor (bench_t *self)
{
    wal_message_t message;
    self->actor = wal_actor_new (&self->keeper);
    if (!self->actor)
        exit (1);
    for (int i = 0; i < self->rounds; i++) {
        s_append (self, 4096);
        double began_us = s_now_us ();
        file_error_t error;
        s_check (wal_write (self->wal, &error), &error);
        message = (wal_message_t){.type = WAL_SYNC,
                                  .lsn = wal_written_lsn (self->wal),
                                  .number = wal_current (self->wal).number};
        wal_actor_send (self->actor, &message);
        while (wal_actor_receive (self->actor, &message) != KV_OK) {
            zmq_pollitem_t item = {wal_actor_socket (self->actor), 0, ZMQ_POLLIN, 0};
            zmq_poll (&item, 1, -1);
        }
        if (message.type != WAL_DURABLE)
            exit (1);
        self->took_us[i] = s_now_us () - began_us;
    }
    s_print (self, "wal_write, and a SYNC through the actor");
    wal_actor_destroy (&self->actor);
}

static void s_find_last (void *context, const char *name)
{
    uint64_t number;
    uint64_t *last = context;
    if (wal_segment_number (name, &number) && number > *last)
        *last = number;
}

static void s_end (bench_t *self)
{
    char name[WAL_NAME_BYTES];
    file_error_t error;
    uint64_t last = 0;
    wal_destroy (&self->wal);
    wal_keeper_destroy (&self->keeper);
    s_check (files_list (self->files, s_find_last, &last, &error), &error);
    for (uint64_t number = last; number > 0; number--) {
        wal_segment_name (number, name);
        s_check (files_remove (self->files, name, &error), &error);
    }
    files_destroy (&self->files);
}

int main (int argc, char **argv)
{
    static bench_t bench;
    file_error_t error;
    wal_segment_t current;
    wal_place_t place;
    wal_end_t end = {0};
    bench.rounds = argc > 2 ? atoi (argv[2]) : ROUNDS;
    if (argc < 2 || argc > 3 || bench.rounds < 100 || bench.rounds > ROUNDS_MAX) {
        fprintf (stderr, "usage: wal_bench DIRECTORY [ROUNDS]   a new directory; 100..%d\n",
                 ROUNDS_MAX);
        return 2;
    }
    s_check (files_disk_open (argv[1], &bench.files, &error), &error);
    wal_keeper_options_t options = {.files = bench.files, .segment_bytes = SEGMENT_BYTES};
    memcpy (options.uuid, s_uuid, WAL_UUID_BYTES);
    s_check (wal_keeper_open (&options, &end, NULL, 0, &bench.keeper, &current, &place, &error),
             &error);
    bench.wal = wal_new (place);
    s_bench_write (&bench, 4096, "wal_write, 4 KiB");
    s_bench_write (&bench, 64 * 1024, "wal_write, 64 KiB");
    s_bench_bare (&bench);
    s_bench_keeper (&bench);
    s_make_room (&bench, (uint64_t)bench.rounds * (4096 + WAL_WRITE_COST_BYTES));
    s_bench_actor (&bench);
    s_end (&bench);
    return 0;
}
