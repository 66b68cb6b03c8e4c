/* Goal: a client that many threads share gives each its own replies, merges their calls, ends them all
 * when it is destroyed; what was submitted is called back exactly once, whatever happens; kv_fd is
 * readable when kv_process has something to do.
 * Method: the fake server in a thread; echoes name the thread and the call. Run under
 * ThreadSanitizer too (preset tsan). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "test/unit/client/fake_server.h"

#include "client/kvdb.h"

enum { THREADS = 8, CALLS = 300, LONG_MS = 20000, SHORT_MS = 200 };

static kv_client_t *s_connect (int port, int timeout_ms, int shared, int window)
{
    kv_options_t options;
    kv_client_t *client;
    kv_options_init (&options, sizeof options);
    options.port = port;
    options.timeout_ms = timeout_ms;
    options.shared = shared;
    options.window = window;
    assert_int_equal (kv_client_new (&options, &client), KV_OK);
    return client;
}

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- Threads that call --- */

typedef struct {
    kv_client_t *client;
    unsigned index;
    const char *name; /* of the command; ECHO gets an argument */
    unsigned calls;
    unsigned right, ended, wrong; /* cmocka's asserts are for the main thread only */
    pthread_t thread;
} caller_t;

static void s_call_once (caller_t *self, unsigned n)
{
    char text[32];
    kv_reply_t *reply = NULL;
    snprintf (text, sizeof text, "%u:%u", self->index, n);
    const char *argv[] = {self->name, text};
    kv_status_t status;
    if (n % 3) {
        status = kv_call (self->client, 2, argv, NULL, &reply);
    } else {
        kv_batch_t *batch = kv_batch_new ();
        status = kv_batch_add (batch, 2, argv, NULL);
        if (status == KV_OK)
            status = kv_execute (self->client, batch, &reply);
        kv_batch_destroy (&batch);
    }
    const kv_reply_t *value = status == KV_OK && n % 3 == 0 ? kv_reply_item (reply, 0) : reply;
    if (status == KV_OK && strcmp (kv_reply_data (value, NULL), text) == 0)
        self->right++;
    else if (status == KV_END && kv_client_error (self->client)[0])
        self->ended++;
    else
        self->wrong++;
    kv_reply_destroy (&reply);
}

static void *s_caller (void *argument)
{
    caller_t *self = argument;
    for (unsigned n = 0; n < self->calls; n++)
        s_call_once (self, n);
    return NULL;
}

static void s_start (caller_t *callers, kv_client_t *client, const char *name, unsigned calls)
{
    for (unsigned i = 0; i < THREADS; i++) {
        callers[i] = (caller_t){.client = client, .index = i, .name = name, .calls = calls};
        assert_int_equal (pthread_create (&callers[i].thread, NULL, s_caller, &callers[i]), 0);
    }
}

static void s_join (caller_t *callers)
{
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join (callers[i].thread, NULL);
}

static void test_shared_each_thread_gets_its_own (void **state)
{
    fake_server_t *server = *state;
    for (int window = 0; window < 3; window++) {
        caller_t callers[THREADS];
        kv_client_t *client = s_connect (server->port, LONG_MS, 1, window);
        s_start (callers, client, "ECHO", CALLS);
        s_join (callers);
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal (callers[i].right, CALLS);
        kv_client_destroy (&client);
    }
}

static void test_shared_calls_are_merged (void **state)
{
    fake_server_t *server = *state;
    caller_t callers[THREADS];
    kv_client_t *client = s_connect (server->port, LONG_MS, 1, 1);
    unsigned before = atomic_load (&server->messages);
    s_start (callers, client, "ECHO", CALLS);
    s_join (callers);
    unsigned messages = atomic_load (&server->messages) - before;
    print_message ("%u calls in %u messages\n", THREADS * CALLS, messages);
    assert_true (messages < THREADS * CALLS * 9 / 10);
    kv_client_destroy (&client);
}

static void test_shared_destroy_ends_the_calls_of_others (void **state)
{
    fake_server_t *server = *state;
    caller_t callers[THREADS];
    kv_client_t *client = s_connect (server->port, LONG_MS, 1, 1);
    kv_client_t *seen = client;
    const char *const ping[] = {"PING"};
    kv_reply_t *reply;
    assert_int_equal (kv_call (client, 1, ping, NULL, &reply), KV_OK);
    kv_reply_destroy (&reply);
    s_start (callers, client, "DROP", 1); /* never answered */
    usleep (SHORT_MS * 1000);
    int64_t start_ms = s_now_ms ();
    kv_client_destroy (&client);
    assert_true (s_now_ms () - start_ms < LONG_MS / 2);
    s_join (callers);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_ptr_equal (callers[i].client, seen);
        assert_int_equal (callers[i].ended, 1);
    }
}

static void test_shared_refuses_what_has_an_order (void **state)
{
    fake_server_t *server = *state;
    kv_client_t *client = s_connect (server->port, LONG_MS, 1, 1);
    kv_batch_t *batch = kv_batch_new ();
    const char *const ping[] = {"PING"};
    assert_int_equal (kv_batch_add (batch, 1, ping, NULL), KV_OK);
    assert_int_equal (kv_send (client, batch, NULL), KV_NOT_SUPPORTED);
    kv_batch_destroy (&batch);
    kv_client_destroy (&client);
    kv_options_t options;
    kv_options_init (&options, sizeof options);
    options.shared = options.stop_on_signal = 1;
    assert_int_equal (kv_client_new (&options, &client), KV_CONFIG);
}

/* --- Callbacks --- */

typedef struct {
    kv_client_t *client;
    atomic_uint called, ok, timeouts, ended, other;
    uint64_t last;  /* ticket */
    unsigned again; /* submit so many more from the callback */
} tally_t;

static void s_count (void *context, uint64_t ticket, kv_status_t status, kv_reply_t *replies);

static uint64_t s_submit (tally_t *tally, const char *name)
{
    kv_batch_t *batch = kv_batch_new ();
    const char *const argv[] = {name};
    uint64_t ticket = 0;
    kv_status_t status = kv_batch_add (batch, 1, argv, NULL);
    if (status == KV_OK)
        status = kv_submit (tally->client, batch, s_count, tally, &ticket);
    if (status)
        atomic_fetch_add (&tally->other, 1);
    kv_batch_destroy (&batch);
    return ticket;
}

static void s_count (void *context, uint64_t ticket, kv_status_t status, kv_reply_t *replies)
{
    tally_t *tally = context;
    atomic_fetch_add (&tally->called, 1);
    if (status == KV_OK && kv_reply_count (replies) == 1)
        atomic_fetch_add (&tally->ok, 1);
    else if (status == KV_TIMEOUT && !replies)
        atomic_fetch_add (&tally->timeouts, 1);
    else if (status == KV_END && !replies)
        atomic_fetch_add (&tally->ended, 1);
    else
        atomic_fetch_add (&tally->other, 1);
    tally->last = ticket;
    kv_reply_destroy (&replies);
    if (tally->again > 0) {
        tally->again--;
        s_submit (tally, "PING");
    }
}

static void test_submit_calls_back_once (void **state)
{
    fake_server_t *server = *state;
    tally_t tally = {.client = s_connect (server->port, LONG_MS, 0, 0), .again = 20};
    size_t called;
    assert_int_equal (kv_process (tally.client, 0, &called), KV_NOT_FOUND);
    for (int i = 0; i < 10; i++)
        s_submit (&tally, "PING");
    assert_int_equal (kv_in_flight (tally.client), 10);
    while (kv_process (tally.client, -1, &called) == KV_OK)
        assert_true (called > 0);
    assert_int_equal (tally.ok, 30);
    assert_int_equal (tally.called, 30);
    assert_int_equal (kv_in_flight (tally.client), 0);
    kv_client_destroy (&tally.client);
}

static void test_submit_cancel_and_destroy_call_back (void **state)
{
    fake_server_t *server = *state;
    tally_t tally = {.client = s_connect (server->port, LONG_MS, 0, 0)};
    uint64_t done = s_submit (&tally, "PING");
    assert_int_equal (kv_process (tally.client, -1, NULL), KV_OK);
    assert_int_equal (kv_cancel (tally.client, done), KV_NOT_FOUND);
    uint64_t dropped = s_submit (&tally, "DROP");
    s_submit (&tally, "DROP");
    assert_int_equal (kv_process (tally.client, 20, NULL), KV_END);
    assert_int_equal (kv_cancel (tally.client, dropped), KV_OK);
    assert_int_equal (tally.ended, 1);
    assert_int_equal (tally.last, dropped);
    assert_int_equal (kv_cancel (tally.client, dropped), KV_NOT_FOUND);
    kv_client_destroy (&tally.client);
    assert_int_equal (tally.ended, 2);
    assert_int_equal (tally.called, 3);
}

/* What is waited for must make the descriptor readable, and nothing else for long. */
static void s_expect_readable (tally_t *tally, unsigned called)
{
    int64_t until_ms = s_now_ms () + LONG_MS;
    while (atomic_load (&tally->called) < called && s_now_ms () < until_ms) {
        struct pollfd item = {.fd = kv_fd (tally->client), .events = POLLIN};
        assert_int_equal (poll (&item, 1, LONG_MS), 1);
        while (kv_process (tally->client, 0, NULL) == KV_OK)
            continue;
    }
    assert_int_equal (tally->called, called);
}

static void test_fd_tells_of_replies_and_timeouts (void **state)
{
    fake_server_t *server = *state;
    tally_t tally = {.client = s_connect (server->port, SHORT_MS, 0, 0)};
    assert_true (kv_fd (tally.client) >= 0);
    for (unsigned i = 1; i <= 50; i++) {
        s_submit (&tally, "PING");
        if (i % 2)
            s_expect_readable (&tally, i);
    }
    s_expect_readable (&tally, 50);
    assert_int_equal (tally.ok, 50);
    s_submit (&tally, "DROP");
    s_expect_readable (&tally, 51);
    assert_int_equal (tally.timeouts, 1);
    /* A call in between takes the reply in; the descriptor must tell of it all the same. */
    const char *const argv[] = {"PING"};
    kv_reply_t *reply;
    s_submit (&tally, "PING");
    assert_int_equal (kv_call (tally.client, 1, argv, NULL, &reply), KV_OK);
    kv_reply_destroy (&reply);
    s_expect_readable (&tally, 52);
    struct pollfd item = {.fd = kv_fd (tally.client), .events = POLLIN};
    while (poll (&item, 1, 50) == 1)
        assert_int_equal (kv_process (tally.client, 0, NULL), KV_NOT_FOUND);
    kv_client_destroy (&tally.client);
}

static void *s_processor (void *argument)
{
    tally_t *tally = argument;
    while (kv_process (tally->client, 1000, NULL) == KV_OK)
        continue;
    return NULL;
}

static void test_shared_callbacks_and_calls_together (void **state)
{
    fake_server_t *server = *state;
    caller_t callers[THREADS];
    pthread_t processors[2];
    tally_t tally = {.client = s_connect (server->port, LONG_MS, 1, 1)};
    s_start (callers, tally.client, "ECHO", CALLS);
    for (int i = 0; i < 60; i++)
        s_submit (&tally, "PING");
    for (int i = 0; i < 2; i++)
        assert_int_equal (pthread_create (&processors[i], NULL, s_processor, &tally), 0);
    for (int i = 0; i < 2; i++)
        pthread_join (processors[i], NULL);
    s_join (callers);
    while (kv_process (tally.client, -1, NULL) == KV_OK)
        continue;
    assert_int_equal (tally.ok, 60);
    assert_int_equal (tally.called, 60);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal (callers[i].right, CALLS);
    kv_client_destroy (&tally.client);
}

static int s_set_up (void **state)
{
    fake_server_t *server = malloc (sizeof *server);
    if (!server)
        return -1;
    fake_server_start (server, "tcp://127.0.0.1:*", NULL);
    *state = server;
    return 0;
}

static int s_tear_down (void **state)
{
    fake_server_stop (*state);
    free (*state);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_shared_each_thread_gets_its_own),
        cmocka_unit_test (test_shared_calls_are_merged),
        cmocka_unit_test (test_shared_destroy_ends_the_calls_of_others),
        cmocka_unit_test (test_shared_refuses_what_has_an_order),
        cmocka_unit_test (test_submit_calls_back_once),
        cmocka_unit_test (test_submit_cancel_and_destroy_call_back),
        cmocka_unit_test (test_fd_tells_of_replies_and_timeouts),
        cmocka_unit_test (test_shared_callbacks_and_calls_together),
    };
    return cmocka_run_group_tests (tests, s_set_up, s_tear_down);
}
