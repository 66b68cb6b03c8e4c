/* direct_client - what the integration tests let libkvdb do with direct access:
 *
 *     direct_client PORT load FILE       SET every line of FILE under its first field, with callbacks
 *     direct_client PORT read FILE       GET every one, from several threads that share the client
 *     direct_client PORT hammer SECONDS THREADS
 *                                        INCR of each thread's own counters, and check what comes
 *     direct_client PORT call CMD ARG... one command; prints the reply's text, or ERROR code text
 *
 * The last line of load, read and hammer tells the outcome as "word=number" pairs. Exit status 0 if
 * nothing was wrong, 1 otherwise. An INCR may count one higher for each outcome that was unknown, and
 * start anew where a node lost its data, but never higher: nothing is executed twice. */
#include "client/kvdb.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 50, READERS = 4, COUNTERS = 16, LINE_BYTES = 4096 };

static kv_client_t *s_open (int port, int shared)
{
    kv_options_t options;
    kv_client_t *client;
    kv_options_init (&options, sizeof options);
    options.port = port;
    options.access = KV_DIRECT;
    options.shared = shared;
    if (kv_client_new (&options, &client) != KV_OK) {
        fputs ("direct_client: no client\n", stderr);
        exit (1);
    }
    return client;
}

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- load --- */

typedef struct {
    size_t written, failed;
} load_t;

static void s_loaded (void *context, uint64_t ticket, kv_status_t status, kv_reply_t *replies)
{
    (void)ticket;
    load_t *load = context;
    if (status)
        load->failed++;
    for (size_t i = 0; i < (replies ? kv_reply_count (replies) : 0); i++) {
        const kv_reply_t *reply = kv_reply_item (replies, i);
        if (kv_reply_kind (reply) == KV_REPLY_TEXT)
            load->written++;
        else {
            load->failed++;
            fprintf (stderr, "SET: %s\n", kv_reply_data (reply, NULL));
        }
    }
    kv_reply_destroy (&replies);
}

static void s_submit (kv_client_t *client, kv_batch_t *batch, load_t *load)
{
    kv_status_t status;
    while ((status = kv_submit (client, batch, s_loaded, load, NULL)) == KV_BUSY) {
        struct pollfd item = {.fd = kv_fd (client), .events = POLLIN};
        if (poll (&item, 1, 10000) != 1)
            break;
        if (kv_process (client, 0, NULL) == KV_NOT_FOUND)
            break;
    }
    if (status)
        load->failed++;
    kv_batch_clear (batch);
}

static int s_load (int port, FILE *file)
{
    char line[LINE_BYTES];
    load_t load = {0};
    kv_client_t *client = s_open (port, 0);
    kv_batch_t *batch = kv_batch_new ();
    if (kv_fd (client) < 0)
        return 1;
    while (fgets (line, sizeof line, file)) {
        const char *argv[] = {"SET", line, line};
        size_t lens[] = {3, strcspn (line, ";"), strcspn (line, "\n")};
        if (kv_batch_add (batch, 3, argv, lens) != KV_OK)
            load.failed++;
        if (kv_batch_count (batch) == BATCH)
            s_submit (client, batch, &load);
    }
    if (kv_batch_count (batch))
        s_submit (client, batch, &load);
    while (kv_process (client, -1, NULL) == KV_OK)
        continue;
    kv_batch_destroy (&batch);
    kv_client_destroy (&client);
    printf ("written=%zu failed=%zu\n", load.written, load.failed);
    return load.failed != 0;
}

/* --- read --- */

typedef struct {
    kv_client_t *client;
    char *text;
    unsigned index;
    size_t same, different;
} reader_state_t;

static void *s_reader (void *argument)
{
    reader_state_t *self = argument;
    unsigned number = 0;
    for (const char *line = self->text; *line; number++) {
        size_t size = strcspn (line, "\n");
        const char *argv[] = {"GET", line};
        size_t lens[] = {3, strcspn (line, ";")};
        kv_reply_t *reply = NULL;
        if (number % READERS == self->index) {
            size_t got = 0;
            kv_status_t status = kv_call (self->client, 2, argv, lens, &reply);
            const char *data = status ? "" : kv_reply_data (reply, &got);
            if (got == size && memcmp (data, line, size) == 0)
                self->same++;
            else
                self->different++;
            kv_reply_destroy (&reply);
        }
        line += size + (line[size] == '\n');
    }
    return NULL;
}

static int s_read (int port, FILE *file)
{
    reader_state_t readers[READERS] = {0};
    pthread_t threads[READERS];
    size_t same = 0;
    size_t different = 0;
    if (fseek (file, 0, SEEK_END) != 0)
        return 1;
    long size = ftell (file);
    rewind (file);
    char *text = size > 0 ? calloc (1, (size_t)size + 1) : NULL;
    if (!text || fread (text, 1, (size_t)size, file) != (size_t)size)
        return 1;
    kv_client_t *client = s_open (port, 1);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (reader_state_t){.client = client, .text = text, .index = i};
        if (pthread_create (&threads[i], NULL, s_reader, &readers[i]) != 0)
            abort ();
    }
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join (threads[i], NULL);
        same += readers[i].same;
        different += readers[i].different;
    }
    kv_client_destroy (&client);
    free (text);
    printf ("same=%zu different=%zu\n", same, different);
    return different != 0;
}

/* --- hammer --- */

typedef struct {
    kv_client_t *client;
    unsigned index;
    int64_t start_ms, until_ms; /* the start makes the keys those of this run */
    int64_t last[COUNTERS];     /* the last value known */
    int64_t unknown[COUNTERS];  /* outcomes unknown since */
    size_t ok, unavailable, outcome_unknown, no_reply, other, wrong;
    int64_t longest_ms;
} hammer_t;

static void s_judge (hammer_t *self, unsigned counter, kv_status_t status, const kv_reply_t *reply)
{
    int64_t *last = &self->last[counter];
    int64_t *unknown = &self->unknown[counter];
    kv_status_t code = status ? status : kv_reply_code (reply);
    if (status == KV_OK && kv_reply_kind (reply) == KV_REPLY_INT) {
        int64_t value = kv_reply_int (reply);
        bool next = value > *last && value <= *last + 1 + *unknown;
        bool anew = value >= 1 && value <= 1 + *unknown;
        if (!next && !anew) {
            fprintf (stderr, "counter %u: %" PRId64 " after %" PRId64 " and %" PRId64 " unknown\n",
                     counter, value, *last, *unknown);
            self->wrong++;
        }
        *last = value;
        *unknown = 0;
        self->ok++;
    } else if (code == KV_UNAVAILABLE || code == KV_RETRY || code == KV_MOVED)
        self->unavailable++;
    else if (code == KV_OUTCOME_UNKNOWN || code == KV_TIMEOUT) {
        (*unknown)++;
        self->outcome_unknown++;
    } else {
        fprintf (stderr, "%s: %s\n", kv_status_name (code),
                 status ? kv_client_error (self->client) : kv_reply_data (reply, NULL));
        self->other++;
    }
}

static void *s_hammer_thread (void *argument)
{
    hammer_t *self = argument;
    for (unsigned n = 0; s_now_ms () < self->until_ms; n++) {
        char key[64];
        kv_reply_t *reply = NULL;
        unsigned counter = n % COUNTERS;
        snprintf (key, sizeof key, "hammer:%" PRId64 ":%u:%u", self->start_ms, self->index,
                  counter);
        const char *argv[] = {"INCR", key};
        int64_t called_ms = s_now_ms ();
        kv_status_t status = kv_call (self->client, 2, argv, NULL, &reply);
        int64_t took_ms = s_now_ms () - called_ms;
        if (took_ms > self->longest_ms)
            self->longest_ms = took_ms;
        s_judge (self, counter, status, reply);
        kv_reply_destroy (&reply);
    }
    return NULL;
}

static int s_hammer (int port, int seconds, unsigned count)
{
    hammer_t *hammers = calloc (count, sizeof *hammers);
    pthread_t *threads = calloc (count, sizeof *threads);
    hammer_t sum = {0};
    int64_t start_ms = s_now_ms ();
    kv_client_t *client = s_open (port, 1);
    if (!hammers || !threads)
        return 1;
    for (unsigned i = 0; i < count; i++) {
        hammers[i].client = client;
        hammers[i].index = i;
        hammers[i].start_ms = start_ms;
        hammers[i].until_ms = start_ms + seconds * 1000;
        if (pthread_create (&threads[i], NULL, s_hammer_thread, &hammers[i]) != 0)
            abort ();
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join (threads[i], NULL);
        sum.ok += hammers[i].ok;
        sum.unavailable += hammers[i].unavailable;
        sum.outcome_unknown += hammers[i].outcome_unknown;
        sum.other += hammers[i].other;
        sum.wrong += hammers[i].wrong;
        if (hammers[i].longest_ms > sum.longest_ms)
            sum.longest_ms = hammers[i].longest_ms;
    }
    kv_client_destroy (&client);
    free (hammers);
    free (threads);
    printf ("ok=%zu unavailable=%zu unknown=%zu other=%zu wrong=%zu longest_ms=%" PRId64 "\n",
            sum.ok, sum.unavailable, sum.outcome_unknown, sum.other, sum.wrong, sum.longest_ms);
    return sum.wrong != 0 || sum.other != 0;
}

/* --- call --- */

static int s_call (int port, int argc, char **argv)
{
    kv_client_t *client = s_open (port, 0);
    kv_reply_t *reply;
    const char *words[64];
    for (int i = 0; i < argc; i++)
        words[i] = argv[i];
    kv_status_t status = kv_call (client, (size_t)argc, words, NULL, &reply);
    if (status)
        printf ("FAILED %s %s\n", kv_status_name (status), kv_client_error (client));
    else if (kv_reply_kind (reply) == KV_REPLY_ERROR)
        printf ("ERROR %s %s\n", kv_status_name (kv_reply_code (reply)),
                kv_reply_data (reply, NULL));
    else if (kv_reply_kind (reply) == KV_REPLY_INT)
        printf ("%" PRId64 "\n", kv_reply_int (reply));
    else if (kv_reply_kind (reply) == KV_REPLY_ARRAY)
        printf ("array of %zu\n", kv_reply_count (reply));
    else
        printf ("%s\n", kv_reply_data (reply, NULL));
    kv_reply_destroy (&reply);
    kv_client_destroy (&client);
    return status != KV_OK;
}

int main (int argc, char **argv)
{
    if (argc >= 4 && argc < 64 && strcmp (argv[2], "call") == 0)
        return s_call (atoi (argv[1]), argc - 3, argv + 3);
    if (argc == 5 && strcmp (argv[2], "hammer") == 0)
        return s_hammer (atoi (argv[1]), atoi (argv[3]), (unsigned)atoi (argv[4]));
    FILE *file = argc == 4 ? fopen (argv[3], "r") : NULL;
    if (!file) {
        fputs ("usage: direct_client PORT load|read FILE | hammer SECONDS THREADS | call CMD...\n",
               stderr);
        return 2;
    }
    int code = strcmp (argv[2], "load") == 0 ? s_load (atoi (argv[1]), file)
                                             : s_read (atoi (argv[1]), file);
    fclose (file);
    return code;
}
