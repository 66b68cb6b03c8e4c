/* Goal: a door serves well-behaved peers whatever the others do, and what the others can cost stays
 * bounded (O1-O5 of door.h).
 * Method: real sockets on loopback with ephemeral ports. The test's thread owns the door and echoes;
 * well-behaved peers are libzmq sockets of a second context, the others speak raw ZMTP (zmtp.h),
 * from a thread of their own where they must block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/clock.h"
#include "actors/door.h"
#include "schema/limits.h"
#include "test/unit/actors/zmtp.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <zmq.h>

enum { MIB = 1024 * 1024, PATIENCE_MS = 20000, GONE_MAX = 4096, PEERS_MAX = 16 };

typedef struct {
    void *context; /* the door's */
    void *outside; /* the peers' */
    void *peers[PEERS_MAX];
    size_t peer_count;
    log_t log;
    int warnings;
    door_options_t options;
    door_t *door;
    bool mute;           /* do not echo */
    size_t reply_bytes;  /* 0: echo; else replies of that size */
    door_message_t last; /* its body has been sent back */
    size_t received;
    kv_status_t worst; /* of the sends */
    uint64_t output_peak;
    uint8_t gone[GONE_MAX][DOOR_IDENTITY_BYTES_MAX];
    size_t gone_bytes[GONE_MAX];
    size_t gone_count;
} fixture_t;

static void s_log (void *context, log_level_t level, const char *line)
{
    fixture_t *self = context;
    self->warnings += level >= KV_LOG_WARN;
    assert_non_null (strstr (line, "event="));
}

static int s_setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    self->context = zmq_ctx_new ();
    self->outside = zmq_ctx_new ();
    zmq_ctx_set (self->context, 10, 0); /* ZMQ_ZERO_COPY_RECV, as process_begin does */
    self->log = (log_t){s_log, self, KV_LOG_DEBUG};
    self->options = (door_options_t){.context = self->context,
                                     .name = "test",
                                     .endpoint = "tcp://127.0.0.1:*",
                                     .max_frame_bytes = MIB,
                                     .max_pending_bytes = 4 * MIB,
                                     .max_output_bytes = 2 * MIB,
                                     .max_total_output_bytes = 16 * MIB,
                                     .max_connections = 3000,
                                     .inproc_high_water_mark = 1000,
                                     .log = &self->log};
    *state = self;
    return 0;
}

static int s_teardown (void **state)
{
    fixture_t *self = *state;
    for (size_t i = 0; i < self->peer_count; i++) {
        if (self->peers[i])
            zmq_close (self->peers[i]);
    }
    door_close (&self->door, 0);
    zmq_ctx_term (self->outside);
    zmq_ctx_term (self->context);
    free (self);
    return 0;
}

static void s_open (fixture_t *self)
{
    char why[256] = "";
    kv_status_t status = door_open (&self->options, &self->door, why, sizeof why);
    assert_string_equal (why, "");
    assert_int_equal (status, KV_OK);
}

/* Receives until the door is dry. */
static void s_receive (fixture_t *self)
{
    while (door_receive (self->door, &self->last) == KV_OK) {
        self->received++;
        kv_slice_t envelope = kv_slice (self->last.envelope, self->last.envelope_bytes);
        if (self->mute) {
            blob_unref (&self->last.body);
            continue;
        }
        if (self->reply_bytes) {
            blob_unref (&self->last.body);
            self->last.body = blob_take (calloc (1, self->reply_bytes), self->reply_bytes);
        }
        kv_status_t status = door_send (self->door, envelope, self->last.body);
        if (status)
            self->worst = status;
        uint64_t output = door_stats (self->door).output_bytes;
        if (output > self->output_peak)
            self->output_peak = output;
    }
}

/* One turn of the door's owner. */
static void s_turn (fixture_t *self)
{
    zmq_pollitem_t items[] = {{door_socket (self->door), 0, ZMQ_POLLIN, 0},
                              {door_monitor (self->door), 0, ZMQ_POLLIN, 0}};
    zmq_poll (items, 2, 2);
    door_tend (self->door);
    s_receive (self);
    size_t at = self->gone_count;
    while (at < GONE_MAX &&
           door_next_gone (self->door, self->gone[at], &self->gone_bytes[at]) == KV_OK)
        at = ++self->gone_count;
}

/* Turns until the condition holds, for PATIENCE_MS at most. */
#define UNTIL(self, condition)                                                                     \
    do {                                                                                           \
        int64_t until_ms = clock_ms () + PATIENCE_MS;                                              \
        bool held;                                                                                 \
        while (!(held = (condition)) && clock_ms () < until_ms)                                    \
            s_turn (self);                                                                         \
        assert_true (held);                                                                        \
    } while (0)

/* Peers are closed at the end of the test, also of one that fails. */
static void *s_peer_of (fixture_t *self, void *context, int type)
{
    int zero = 0;
    void *peer = zmq_socket (context, type);
    KV_ASSERT (self->peer_count < PEERS_MAX);
    self->peers[self->peer_count++] = peer;
    zmq_setsockopt (peer, ZMQ_LINGER, &zero, sizeof zero);
    return peer;
}

static void *s_peer (fixture_t *self, int type)
{
    void *peer = s_peer_of (self, self->outside, type);
    assert_int_equal (zmq_connect (peer, door_endpoint (self->door)), 0);
    return peer;
}

static void s_hang_up (fixture_t *self, void *peer)
{
    for (size_t i = 0; i < self->peer_count; i++) {
        if (self->peers[i] == peer)
            self->peers[i] = NULL;
    }
    zmq_close (peer);
}

/* Sends `size` bytes and waits until they have come back. */
static void s_echo (fixture_t *self, void *peer, size_t size)
{
    uint8_t *sent = malloc (size + 1);
    uint8_t *got = calloc (1, size + 1);
    for (size_t i = 0; i < size; i++)
        sent[i] = (uint8_t)(i * 7 + size);
    assert_int_equal (zmq_send (peer, sent, size, 0), size);
    int bytes = -1;
    UNTIL (self, (bytes = zmq_recv (peer, got, size + 1, ZMQ_DONTWAIT)) >= 0);
    assert_int_equal (bytes, size);
    assert_memory_equal (sent, got, size);
    free (sent);
    free (got);
}

static size_t s_open_files (void)
{
    size_t count = 0;
    DIR *directory = opendir ("/proc/self/fd");
    while (readdir (directory))
        count++;
    closedir (directory);
    return count;
}

static size_t s_resident_kib (void)
{
    size_t total = 0, resident = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    int fields = fscanf (file, "%zu %zu", &total, &resident);
    fclose (file);
    return fields == 2 ? resident * 4 : 0;
}

static void test_echo_to_dealer_and_req (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    static const size_t sizes[] = {0, 1, 33, 34, 255, 256, 1024, 1025, 9000, 100000, MIB};
    const int types[] = {ZMQ_DEALER, ZMQ_REQ};
    for (size_t type = 0; type < 2; type++) {
        void *peer = s_peer (self, types[type]);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            s_echo (self, peer, sizes[i]);
        s_hang_up (self, peer);
    }
    UNTIL (self, door_stats (self->door).connections == 0);
    door_stats_t stats = door_stats (self->door);
    assert_int_equal (stats.messages_in, 22);
    assert_int_equal (stats.messages_out, 22);
    assert_int_equal (stats.accepted, 2);
    assert_int_equal (stats.shut_down, 0);
    UNTIL (self, door_stats (self->door).output_bytes == 0);
}

static void test_proxied_envelope_comes_back (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    void *peer = s_peer (self, ZMQ_DEALER);
    const char *frames[] = {"first", "", "\1\2\3", "", "body"};
    for (size_t i = 0; i < 5; i++)
        zmq_send (peer, frames[i], strlen (frames[i]), i < 4 ? ZMQ_SNDMORE : 0);
    char got[16];
    int bytes = -1;
    UNTIL (self, (bytes = zmq_recv (peer, got, sizeof got, ZMQ_DONTWAIT)) >= 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal (bytes, strlen (frames[i]));
        assert_memory_equal (got, frames[i], strlen (frames[i]));
        bytes = i < 4 ? zmq_recv (peer, got, sizeof got, 0) : 0;
    }
}

static void test_malformed_envelope_is_passed_over (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    void *peer = s_peer (self, ZMQ_DEALER);
    char *large = calloc (1, DOOR_ENVELOPE_BYTES_MAX);
    for (int i = 0; i < KV_CLIENT_FRAMES_MAX - 1;
         i++) /* one more than allowed, with the identity */
        zmq_send (peer, "x", 1, ZMQ_SNDMORE);
    zmq_send (peer, "body", 4, 0);
    zmq_send (peer, large, DOOR_ENVELOPE_BYTES_MAX, ZMQ_SNDMORE);
    zmq_send (peer, "body", 4, 0);
    UNTIL (self, door_stats (self->door).dropped_in == 2);
    assert_int_equal (self->received, 0);
    s_echo (self, peer, 100);
    for (int i = 0; i < KV_CLIENT_FRAMES_MAX - 2; i++)
        zmq_send (peer, "x", 1, ZMQ_SNDMORE);
    zmq_send (peer, "body", 4, 0);
    UNTIL (self, self->received == 2);
    free (large);
}

static void test_oversized_frame_costs_only_its_sender (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    void *good = s_peer (self, ZMQ_DEALER);
    s_echo (self, good, 10);
    int bad = zmtp_connect (zmtp_port (door_endpoint (self->door)), NULL);
    assert_true (zmtp_frame (bad, 0, "x", 1));
    UNTIL (self, self->received == 2);
    uint8_t head[9] = {2, [6] = 0x10, [8] = 1}; /* a frame of MIB + 1 bytes */
    assert_true (zmtp_write (bad, head, sizeof head));
    UNTIL (self, !zmtp_discard (bad));
    UNTIL (self, self->gone_count == 1);
    s_echo (self, good, MIB);
    assert_int_equal (door_stats (self->door).connections, 1);
    close (bad);
}

typedef struct {
    uint16_t port;
    size_t frame_bytes;
    uint64_t limit;
    atomic_ullong sent;
    atomic_bool ended;
} attack_t;

/* Sends a message without end until it is stopped. */
static void *s_endless (void *argument)
{
    attack_t *self = argument;
    int fd = zmtp_connect (self->port, NULL);
    size_t per_write = self->frame_bytes < 1000 ? 20000 : 1;
    size_t wire = self->frame_bytes + (self->frame_bytes > 255 ? 9 : 2);
    uint8_t *burst = calloc (per_write, wire);
    for (size_t i = 0; i < per_write; i++) {
        uint8_t *at = burst + i * wire;
        at[0] = ZMTP_MORE | (self->frame_bytes > 255 ? 2 : 0);
        if (self->frame_bytes <= 255)
            at[1] = (uint8_t)self->frame_bytes;
        else
            for (int byte = 0; byte < 8; byte++)
                at[1 + byte] = (uint8_t)((uint64_t)self->frame_bytes >> (56 - 8 * byte));
    }
    while (self->sent < self->limit && zmtp_write (fd, burst, per_write * wire))
        self->sent += per_write * wire;
    free (burst);
    close (fd);
    self->ended = true;
    return NULL;
}

static void s_survive_endless (fixture_t *self, size_t frame_bytes)
{
    void *good = s_peer (self, ZMQ_DEALER);
    s_echo (self, good, 10);
    attack_t attack = {.port = zmtp_port (door_endpoint (self->door)),
                       .frame_bytes = frame_bytes,
                       .limit = (uint64_t)2048 * MIB};
    size_t before_kib = s_resident_kib ();
    size_t peak_kib = before_kib;
    pthread_t thread;
    uint64_t shut_down = door_stats (self->door).shut_down;
    pthread_create (&thread, NULL, s_endless, &attack);
    while (!attack.ended) {
        s_echo (self, good, 1000);
        size_t now_kib = s_resident_kib ();
        peak_kib = now_kib > peak_kib ? now_kib : peak_kib;
    }
    pthread_join (thread, NULL);
    s_echo (self, good, 1000);
    assert_int_equal (door_stats (self->door).shut_down, shut_down + 1);
    print_message ("frames of %zu bytes: shut down after %.1f MiB, memory grew by %.1f MiB\n",
                   frame_bytes, (double)attack.sent / MIB, (double)(peak_kib - before_kib) / 1024);
    assert_true (attack.sent < (uint64_t)512 * MIB);
}

static void test_endless_multipart_is_shut_down (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    s_survive_endless (self, 65536);
    s_survive_endless (self, 1000);
    s_survive_endless (self, 0);
    assert_int_equal (self->warnings, 3);
}

/* Of two peers that choose the same identity the first keeps it, and it and others go on. */
static void test_second_of_two_twins_is_not_heard (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    uint16_t port = zmtp_port (door_endpoint (self->door));
    void *good = s_peer (self, ZMQ_DEALER);
    s_echo (self, good, 10);
    void *first = s_peer_of (self, self->outside, ZMQ_DEALER);
    zmq_setsockopt (first, ZMQ_ROUTING_ID, "twin", 4);
    assert_int_equal (zmq_connect (first, door_endpoint (self->door)), 0);
    s_echo (self, first, 10);
    for (int i = 0; i < 20; i++) {
        int twin = zmtp_connect (port, "twin");
        assert_true (zmtp_frame (twin, 0, "not heard", 9));
        s_echo (self, first, 100);
        s_echo (self, good, 100);
        close (twin);
    }
    UNTIL (self, door_stats (self->door).connections == 2);
    assert_int_equal (self->received, 42);
    assert_int_equal (self->gone_count, 0);
    s_hang_up (self, first);
    UNTIL (self, self->gone_count == 1);
    assert_int_equal (self->gone_bytes[0], 4);
    assert_memory_equal (self->gone[0], "twin", 4);
    int64_t end_ms = clock_ms () + 200; /* libzmq frees the identity a moment later */
    while (clock_ms () < end_ms)
        s_turn (self);
    int heir = zmtp_connect (port, "twin");
    assert_true (zmtp_frame (heir, 0, "heard", 5));
    UNTIL (self, self->received == 43);
    close (heir);
    UNTIL (self, self->gone_count == 2);
}

/* A high-water mark for input together with heartbeats made libzmq abort here. */
static void test_sender_that_leaves_while_nobody_receives (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    uint16_t port = zmtp_port (door_endpoint (self->door));
    int fd = zmtp_connect (port, NULL);
    uint8_t ping[] = "\4PING\0\0................";
    for (int i = 0; i < 5000; i++)
        assert_true (zmtp_frame (fd, 0, "x", 1) &&
                     zmtp_frame (fd, ZMTP_COMMAND, ping, sizeof ping - 1));
    close (fd);
    int64_t end_ms = clock_ms () + 6000; /* longer than the interval of heartbeats */
    while (clock_ms () < end_ms)
        usleep (100 * 1000);
    self->mute = true;
    UNTIL (self, self->received > 1000 && self->gone_count >= 1);
    self->mute = false;
    s_echo (self, s_peer (self, ZMQ_DEALER), 10);
}

static void test_peer_that_never_reads_is_bounded (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    void *good = s_peer (self, ZMQ_DEALER);
    int deaf = zmtp_connect (zmtp_port (door_endpoint (self->door)), NULL);
    self->reply_bytes = 100 * 1000;
    for (int i = 0; i < 900; i++)
        assert_true (zmtp_frame (deaf, 0, "give me much", 12));
    UNTIL (self, self->received == 900);
    assert_int_equal (self->worst, KV_BUSY);
    assert_true (self->output_peak <= (uint64_t)self->options.max_output_bytes);
    assert_true (self->output_peak > MIB);
    assert_true (door_stats (self->door).dropped_out > 0);
    self->reply_bytes = 0;
    s_echo (self, good, MIB);
    close (deaf);
    UNTIL (self, self->gone_count == 1);
    UNTIL (self, door_stats (self->door).output_bytes == 0);
}

/* They live inside libzmq's messages and do not tell when they are gone; one in many tells for all. */
static void test_small_replies_are_bounded_by_their_bytes_alone (void **state)
{
    enum { SMALL = 30, WITHIN = 30000, MORE = 10000, OVER = 1000000 };
    fixture_t *self = *state;
    s_open (self);
    int deaf = zmtp_connect (zmtp_port (door_endpoint (self->door)), NULL);
    self->reply_bytes = SMALL;
    for (int i = 0; i < WITHIN; i++)
        assert_true (zmtp_frame (deaf, 0, "x", 1));
    UNTIL (self, self->received == WITHIN);
    assert_int_equal (self->worst, KV_OK);
    for (size_t sent = WITHIN; self->worst == KV_OK && sent < OVER;) {
        for (size_t end = sent + MORE; sent < end; sent++)
            assert_true (zmtp_frame (deaf, 0, "x", 1));
        UNTIL (self, self->received == sent);
    }
    assert_int_equal (self->worst, KV_BUSY);
    assert_true (door_stats (self->door).dropped_out > 0);
    assert_true (self->output_peak <= (uint64_t)self->options.max_output_bytes);
    assert_true (self->output_peak > MIB);
    close (deaf);
    UNTIL (self, self->gone_count == 1);
    UNTIL (self, door_stats (self->door).output_bytes == 0);
}

static void test_total_output_is_bounded_over_all_peers (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    enum { PEERS = 30 };
    int deaf[PEERS];
    self->reply_bytes = 100 * 1000;
    for (int i = 0; i < PEERS; i++) {
        deaf[i] = zmtp_connect (zmtp_port (door_endpoint (self->door)), NULL);
        for (int n = 0; n < 100; n++)
            assert_true (zmtp_frame (deaf[i], 0, "give me much", 12));
    }
    UNTIL (self, self->received == PEERS * 100);
    assert_true (self->output_peak <= (uint64_t)self->options.max_total_output_bytes);
    for (int i = 0; i < PEERS; i++)
        close (deaf[i]);
    UNTIL (self, self->gone_count == PEERS);
    UNTIL (self, door_stats (self->door).output_bytes == 0);
}

/* The one exception of O3. */
static void test_reply_larger_than_the_bound_passes_alone (void **state)
{
    fixture_t *self = *state;
    self->options.max_output_bytes = MIB / 2;
    s_open (self);
    void *peer = s_peer (self, ZMQ_DEALER);
    s_echo (self, peer, MIB);
}

static void test_thousand_connections_leave_nothing (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    uint16_t port = zmtp_port (door_endpoint (self->door));
    void *good = s_peer (self, ZMQ_DEALER);
    s_echo (self, good, 10);
    size_t files = s_open_files ();
    for (size_t i = 0; i < 1000; i++) {
        int fd = zmtp_connect (port, NULL);
        assert_true (fd >= 0);
        assert_true (zmtp_frame (fd, 0, "hello", 5));
        if (i % 3 == 0) /* some are gone before their message is seen, some are not */
            UNTIL (self, self->received >= i + 2);
        close (fd);
    }
    UNTIL (self, self->received == 1001);
    UNTIL (self, self->gone_count == 1000);
    UNTIL (self, s_open_files () <= files);
    assert_int_equal (door_stats (self->door).connections, 1);
    for (size_t i = 0; i < 1000; i++) { /* each was another one: reported once */
        assert_int_equal (self->gone_bytes[i], 5);
        for (size_t n = 0; n < i; n++)
            assert_memory_not_equal (self->gone[i], self->gone[n], 5);
    }
    s_echo (self, good, 10);
}

static void test_gone_peer_is_named_and_cannot_be_sent_to (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    void *peer = s_peer (self, ZMQ_DEALER);
    s_echo (self, peer, 10);
    door_message_t message = self->last;
    assert_int_equal (self->gone_count, 0);
    s_hang_up (self, peer);
    UNTIL (self, self->gone_count == 1);
    assert_int_equal (self->gone_bytes[0], message.envelope_bytes - 2);
    assert_memory_equal (self->gone[0], message.envelope + 2, self->gone_bytes[0]);
    kv_slice_t envelope = kv_slice (message.envelope, message.envelope_bytes);
    blob_t *body = blob_copy (kv_slice_text ("a reply for nobody, longer than a small message"));
    assert_int_equal (door_send (self->door, envelope, body), KV_UNAVAILABLE);
    blob_t *frames[2] = {blob_copy (kv_slice_text ("a")), blob_copy (kv_slice_text ("b"))};
    kv_slice_t identity = kv_slice (self->gone[0], self->gone_bytes[0]);
    assert_int_equal (door_send_frames (self->door, identity, frames, 2), KV_UNAVAILABLE);
    assert_null (frames[0]);
    assert_int_equal (door_stats (self->door).dropped_out, 2);
    s_turn (self);
    assert_int_equal (self->gone_count, 1);
}

static void test_frames_go_both_ways (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    void *peer = s_peer (self, ZMQ_DEALER);
    uint8_t *large = calloc (1, 50000);
    for (int i = 0; i < 5; i++) /* too many for room for four */
        zmq_send (peer, large, 50000, i < 4 ? ZMQ_SNDMORE : 0);
    zmq_send (peer, "head", 4, ZMQ_SNDMORE);
    zmq_send (peer, large, 50000, 0);
    uint8_t identity[DOOR_IDENTITY_BYTES_MAX];
    size_t identity_bytes = 0, count = 0;
    blob_t *frames[4];
    int64_t end_ms = clock_ms () + PATIENCE_MS;
    while (count == 0 && clock_ms () < end_ms) {
        if (door_receive_frames (self->door, identity, &identity_bytes, frames, 4, &count) != KV_OK)
            count = 0;
        door_tend (self->door);
    }
    assert_int_equal (count, 2);
    assert_int_equal (door_stats (self->door).dropped_in, 1);
    assert_true (kv_slice_equal (blob_bytes (frames[0]), kv_slice_text ("head")));
    assert_int_equal (blob_bytes (frames[1]).size, 50000);
    kv_slice_t name = kv_slice (identity, identity_bytes);
    assert_int_equal (door_send_frames (self->door, name, frames, 2), KV_OK);
    assert_null (frames[0]);
    int bytes = -1;
    UNTIL (self, (bytes = zmq_recv (peer, large, 50000, ZMQ_DONTWAIT)) >= 0);
    assert_int_equal (bytes, 4);
    assert_int_equal (zmq_recv (peer, large, 50000, 0), 50000);
    free (large);
}

static void test_max_connections_shuts_out_further_ones (void **state)
{
    fixture_t *self = *state;
    self->options.max_connections = 10;
    s_open (self);
    uint16_t port = zmtp_port (door_endpoint (self->door));
    int fds[10];
    for (size_t i = 0; i < 10; i++) {
        fds[i] = zmtp_connect (port, NULL);
        assert_true (zmtp_frame (fds[i], 0, "hello", 5));
    }
    UNTIL (self, self->received == 10);
    for (int i = 0; i < 5; i++) {
        int late = zmtp_dial (port);
        assert_true (late >= 0);
        UNTIL (self, !zmtp_discard (late));
        close (late);
    }
    assert_int_equal (door_stats (self->door).refused, 5);
    assert_int_equal (self->warnings, 1); /* on the edge only */
    close (fds[0]);
    UNTIL (self, door_stats (self->door).connections == 9);
    void *peer = s_peer (self, ZMQ_DEALER);
    s_echo (self, peer, 10);
    for (size_t i = 1; i < 10; i++) {
        assert_true (zmtp_discard (fds[i]));
        close (fds[i]);
    }
}

/* G3: pings are no part of messages; without taking their drift out they would add up. */
static void test_many_pings_are_not_held_against_a_peer (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    int fd = zmtp_connect (zmtp_port (door_endpoint (self->door)), NULL);
    uint8_t ping[] = "\4PING\0\0................";
    for (size_t round = 0; round < 20; round++) {
        for (size_t sent = 0; sent < MIB; sent += sizeof ping + 1) {
            assert_true (zmtp_frame (fd, ZMTP_COMMAND, ping, sizeof ping - 1));
            if (sent % 16384 < 30) {
                assert_true (zmtp_discard (fd));
                s_turn (self);
            }
        }
        int64_t end_ms = clock_ms () + 50; /* let it be looked at and run dry */
        for (int turns = 0; turns < 20 || clock_ms () < end_ms; turns++)
            s_turn (self);
        assert_true (zmtp_frame (fd, 0, "hello", 5));
        end_ms = clock_ms () + PATIENCE_MS;
        while (self->received == round && clock_ms () < end_ms)
            s_receive (self); /* with no look just before, on however slow a machine */
        assert_int_equal (self->received, round + 1);
    }
    assert_int_equal (door_stats (self->door).shut_down, 0);
    assert_true (zmtp_discard (fd));
    close (fd);
}

static void s_refused (fixture_t *self, const char *endpoint, kv_status_t expected,
                       const char *hint)
{
    char why[256] = "";
    door_t *door = NULL;
    self->options.endpoint = endpoint;
    assert_int_equal (door_open (&self->options, &door, why, sizeof why), expected);
    assert_null (door);
    assert_non_null (strstr (why, endpoint));
    assert_non_null (strstr (why, hint));
    assert_int_equal (door_open (&self->options, &door, NULL, 0), expected);
}

static void test_open_says_why_it_cannot (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    s_refused (self, door_endpoint (self->door), KV_IO, "in use");
    s_refused (self, "tcp://203.0.113.7:7000", KV_IO, "no such address");
    s_refused (self, "tcp://no-such-host.invalid:7000", KV_IO, "no such address");
    s_refused (self, "tcp://127.0.0.1:70000", KV_CONFIG, "not an endpoint");
    s_refused (self, "tcp://127.0.0.1", KV_CONFIG, "not an endpoint");
    s_refused (self, "tcp://:7000", KV_CONFIG, "not an endpoint");
    s_refused (self, "ipc:///tmp/door", KV_CONFIG, "not an endpoint");
    s_refused (self, "", KV_CONFIG, "not an endpoint");
}

static void test_names_and_version_six_addresses (void **state)
{
    fixture_t *self = *state;
    self->options.endpoint = "tcp://localhost:*";
    s_open (self);
    void *peer = s_peer (self, ZMQ_DEALER);
    s_echo (self, peer, 10);
    s_hang_up (self, peer);
    door_close (&self->door, 0);
    self->options.endpoint = "tcp://[::1]:*";
    if (door_open (&self->options, &self->door, NULL, 0) != KV_OK) {
        print_message ("this machine has no IPv6\n");
        return;
    }
    int one = 1;
    peer = s_peer_of (self, self->outside, ZMQ_DEALER);
    zmq_setsockopt (peer, ZMQ_IPV6, &one, sizeof one);
    assert_int_equal (zmq_connect (peer, door_endpoint (self->door)), 0);
    s_echo (self, peer, 10);
    s_hang_up (self, peer);
    UNTIL (self, self->gone_count >= 1);
}

static void test_inproc_echo (void **state)
{
    fixture_t *self = *state;
    self->options.endpoint = "inproc://test-door";
    s_open (self);
    void *peer = s_peer_of (self, self->context, ZMQ_DEALER);
    assert_int_equal (zmq_connect (peer, door_endpoint (self->door)), 0);
    s_echo (self, peer, 10);
    s_echo (self, peer, 100000);
}

/* G4, under the sanitizers: what is still on its way when the door closes is freed. */
static void test_close_with_replies_in_flight (void **state)
{
    fixture_t *self = *state;
    s_open (self);
    int deaf = zmtp_connect (zmtp_port (door_endpoint (self->door)), NULL);
    self->reply_bytes = 100 * 1000;
    for (int i = 0; i < 100; i++)
        assert_true (zmtp_frame (deaf, 0, "give me much", 12));
    UNTIL (self, self->received == 100);
    door_close (&self->door, 50);
    close (deaf);
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown (name, s_setup, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        DOOR_TEST (test_echo_to_dealer_and_req),
        DOOR_TEST (test_proxied_envelope_comes_back),
        DOOR_TEST (test_malformed_envelope_is_passed_over),
        DOOR_TEST (test_oversized_frame_costs_only_its_sender),
        DOOR_TEST (test_endless_multipart_is_shut_down),
        DOOR_TEST (test_second_of_two_twins_is_not_heard),
        DOOR_TEST (test_sender_that_leaves_while_nobody_receives),
        DOOR_TEST (test_peer_that_never_reads_is_bounded),
        DOOR_TEST (test_small_replies_are_bounded_by_their_bytes_alone),
        DOOR_TEST (test_total_output_is_bounded_over_all_peers),
        DOOR_TEST (test_reply_larger_than_the_bound_passes_alone),
        DOOR_TEST (test_thousand_connections_leave_nothing),
        DOOR_TEST (test_gone_peer_is_named_and_cannot_be_sent_to),
        DOOR_TEST (test_frames_go_both_ways),
        DOOR_TEST (test_max_connections_shuts_out_further_ones),
        DOOR_TEST (test_many_pings_are_not_held_against_a_peer),
        DOOR_TEST (test_open_says_why_it_cannot),
        DOOR_TEST (test_names_and_version_six_addresses),
        DOOR_TEST (test_inproc_echo),
        DOOR_TEST (test_close_with_replies_in_flight),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
