/* Goal: broker and nodes run within another program as kvdb_broker.h and kvdb_node.h say: over
 * inproc, started and stopped in any order, without taking anything of the process (E1-E3).
 * Method: the test is that program. What it must keep (handlers, masks, threads, descriptors) is
 * read before and after; the masks of the actors' threads are read from /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/handover.h"
#include "broker/kvdb_broker.h"
#include "client/kvdb.h"
#include "node/kvdb_node.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

enum { NODES = 2, WAIT_MS = 20000, STOP_MS_MAX = 1500, KEYS = 200, SIGNALS = 64, WHO = NODES + 2 };

static const char s_clients[] = "inproc://clients";
static const char s_nodes[] = "inproc://nodes";
static const char *const s_ids[NODES] = {"n1", "n2"};

typedef struct {
    zactor_t *broker;
    zactor_t *nodes[NODES];
    kv_client_t *client;
} cluster_t;

/* ---- the cluster ------------------------------------------------------------------------------- */

/* The next word of an actor, which must be `word`; its text (in `text`, if not NULL). */
static void s_expect (zactor_t *actor, const char *word, char *text, size_t bytes)
{
    char *said = NULL;
    char *more = NULL;
    zsock_set_rcvtimeo (zactor_sock (actor), WAIT_MS);
    zstr_recvx (actor, &said, &more, NULL);
    if (!said || !streq (said, word))
        fail_msg ("%s %s, not %s", said ? said : "nothing", more ? more : "", word);
    if (text)
        snprintf (text, bytes, "%s", more ? more : "");
    zstr_free (&said);
    zstr_free (&more);
}

/* Once there, an actor has copied its options: what they are in may be used for something else. */
static zactor_t *s_new (zactor_fn *actor, void *options)
{
    zactor_t *self = zactor_new (actor, options);
    assert_non_null (self);
    if (options)
        handover_take (options); // E2
    return self;
}

static zactor_t *s_broker (const char *client_endpoint, const char *data_dir)
{
    kv_broker_node_t nodes[NODES] = {{.id = s_ids[0]}, {.id = s_ids[1]}};
    kv_broker_options_t options = {.client_endpoint = client_endpoint,
                                   .node_endpoint = s_nodes,
                                   .nodes = nodes,
                                   .node_count = NODES,
                                   .data_dir = data_dir};
    zactor_t *broker = s_new (kv_broker_actor, &options);
    memset (nodes, 0xff, sizeof nodes); // E2
    memset (&options, 0xff, sizeof options);
    return broker;
}

static zactor_t *s_node (int index, const char *direct_endpoint)
{
    char id[8];
    snprintf (id, sizeof id, "%s", s_ids[index]);
    kv_node_options_t options = {
        .id = id, .broker_endpoint = s_nodes, .direct_endpoint = direct_endpoint};
    zactor_t *node = s_new (kv_node_actor, &options);
    memset (id, 'x', sizeof id); // E2
    memset (&options, 0xff, sizeof options);
    return node;
}

static kv_client_t *s_client (const char *endpoint)
{
    kv_options_t options;
    kv_client_t *client;
    kv_options_init (&options, sizeof options);
    options.endpoint = endpoint;
    options.zmq_context = zsys_init ();
    assert_int_equal (kv_client_new (&options, &client), KV_OK);
    return client;
}

static void s_start (cluster_t *self)
{
    self->broker = s_broker (s_clients, NULL);
    s_expect (self->broker, "READY", NULL, 0);
    for (int i = 0; i < NODES; i++) {
        self->nodes[i] = s_node (i, NULL);
        s_expect (self->nodes[i], "READY", NULL, 0);
    }
    self->client = s_client (s_clients);
}

static void s_stop_one (cluster_t *self, int which)
{
    if (which < NODES)
        zactor_destroy (&self->nodes[which]);
    else if (which == NODES)
        zactor_destroy (&self->broker);
    else
        kv_client_destroy (&self->client);
}

static void s_stop (cluster_t *self)
{
    for (int which = 0; which < WHO; which++)
        s_stop_one (self, which);
}

/* Sets keys of all nodes to `round`, or expects them to be it. */
static void s_pass (kv_client_t *client, int round, bool write)
{
    char key[32], value[32];
    snprintf (value, sizeof value, "%d", round);
    for (int i = 0; i < KEYS; i++) {
        kv_reply_t *reply;
        snprintf (key, sizeof key, "key:%d", i);
        const char *const command[] = {write ? "SET" : "GET", key, value};
        if (kv_call (client, write ? 3 : 2, command, NULL, &reply) != KV_OK)
            fail_msg ("%s", kv_client_error (client));
        assert_string_equal (kv_reply_data (reply, NULL), write ? "OK" : value);
        kv_reply_destroy (&reply);
    }
}

/* Removes a data directory and what is in it. */
static void s_remove (const char *folder)
{
    zdir_t *files = zdir_new (folder, NULL);
    assert_non_null (files);
    zdir_remove (files, true);
    zdir_destroy (&files);
    assert_int_not_equal (access (folder, F_OK), 0);
}

typedef struct {
    struct sigaction handlers[SIGNALS + 1];
    sigset_t mask;
} signals_t;

static void s_read_signals (signals_t *out)
{
    memset (out, 0, sizeof *out);
    for (int i = 1; i <= SIGNALS; i++)
        (void)sigaction (i, NULL, &out->handlers[i]); /* two of them are not for programs */
    assert_int_equal (pthread_sigmask (SIG_SETMASK, NULL, &out->mask), 0);
}

static void s_signals_equal (const signals_t *one, const signals_t *other)
{
    for (int i = 1; i <= SIGNALS; i++) {
        assert_ptr_equal (one->handlers[i].sa_handler, other->handlers[i].sa_handler);
        assert_int_equal (one->handlers[i].sa_flags, other->handlers[i].sa_flags);
        assert_int_equal (sigismember (&one->mask, i), sigismember (&other->mask, i));
    }
}

static int s_entries (const char *directory)
{
    int count = 0;
    DIR *open = opendir (directory);
    assert_non_null (open);
    while (readdir (open))
        count++;
    closedir (open);
    return count;
}

/* How many there are, once nothing of an earlier test ends any more. */
static int s_quiet (const char *directory)
{
    int count = s_entries (directory);
    for (int still = 0; still < 100; still++) {
        zclock_sleep (1);
        int now = s_entries (directory);
        if (now != count)
            still = 0;
        count = now;
    }
    return count;
}

/* Waits for what ends a moment after it was told to. */
static void s_settles (const char *directory, int wanted)
{
    for (int i = 0; i < 5000 && s_entries (directory) > wanted; i++)
        zclock_sleep (1);
    assert_true (s_entries (directory) <= wanted);
}

/* Blocked signals of each thread but this one, as many as there are. */
static int s_other_masks (uint64_t *masks, int most)
{
    int count = 0;
    DIR *open = opendir ("/proc/self/task");
    assert_non_null (open);
    for (struct dirent *entry; (entry = readdir (open)) != NULL;) {
        char path[sizeof entry->d_name + 32], line[256];
        if (atoi (entry->d_name) == 0 || atoi (entry->d_name) == (int)getpid ())
            continue;
        snprintf (path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen (path, "r");
        while (status && fgets (line, sizeof line, status)) {
            if (strncmp (line, "SigBlk:", 7) == 0 && count < most)
                masks[count++] = strtoull (line + 7, NULL, 16);
        }
        if (status)
            fclose (status);
    }
    closedir (open);
    return count;
}

static volatile sig_atomic_t s_handled;

static void s_on_signal (int number)
{
    (void)number;
    s_handled++;
}

static void test_signals_of_the_program_stay_its_own (void **state)
{
    (void)state; // E3
    signals_t before, while_running, after;
    uint64_t masks[64];
    cluster_t cluster = {0};
    s_read_signals (&before);
    s_start (&cluster);
    s_pass (cluster.client, 1, true);
    s_read_signals (&while_running);
    s_signals_equal (&before, &while_running);
    /* No other thread takes SIGINT, SIGTERM or SIGUSR1: they are this one's. */
    int threads = s_other_masks (masks, 64);
    assert_true (threads >= NODES + 1);
    uint64_t wanted = UINT64_C (1) << (SIGINT - 1) | UINT64_C (1) << (SIGTERM - 1) |
                      UINT64_C (1) << (SIGUSR1 - 1);
    for (int i = 0; i < threads; i++)
        assert_true ((masks[i] & wanted) == wanted);
    for (int i = 0; i < 100; i++) {
        assert_int_equal (kill (getpid (), i % 2 ? SIGINT : SIGTERM), 0);
        s_pass (cluster.client, 1, false);
    }
    assert_int_equal (s_handled, 100);
    s_stop (&cluster);
    s_read_signals (&after);
    s_signals_equal (&before, &after);
}

/* ---- starting and stopping --------------------------------------------------------------------- */

/* The order-th permutation of WHO things. */
static void s_permutation (int order, int out[WHO])
{
    int left[WHO];
    for (int i = 0; i < WHO; i++)
        left[i] = i;
    for (int n = WHO; n > 0; n--) {
        int pick = order % n;
        order /= n;
        out[WHO - n] = left[pick];
        memmove (left + pick, left + pick + 1, (size_t)(n - pick - 1) * sizeof *left);
    }
}

static void test_every_order_of_stopping_is_quick_and_leaves_nothing (void **state)
{
    (void)state;
    int threads = s_quiet ("/proc/self/task");
    int descriptors = s_quiet ("/proc/self/fd");
    for (int order = 0; order < 24; order++) {
        int who[WHO];
        cluster_t cluster = {0};
        s_permutation (order, who);
        s_start (&cluster);
        s_pass (cluster.client, order, true);
        s_pass (cluster.client, order, false);
        int64_t begun_ms = zclock_mono ();
        for (int i = 0; i < WHO; i++)
            s_stop_one (&cluster, who[i]);
        int64_t took_ms = zclock_mono () - begun_ms;
        if (took_ms > STOP_MS_MAX)
            fail_msg ("order %d took %d ms", order, (int)took_ms);
    }
    s_settles ("/proc/self/task", threads);
    s_settles ("/proc/self/fd", descriptors);
}

static void test_nodes_find_the_broker_that_comes_back (void **state)
{
    (void)state;
    char folder[] = "/tmp/kvdb-embed-XXXXXX";
    cluster_t cluster = {0};
    assert_non_null (mkdtemp (folder));
    cluster.broker = s_broker (s_clients, folder);
    for (int i = 0; i < NODES; i++)
        cluster.nodes[i] = s_node (i, NULL);
    for (int i = 0; i < NODES; i++)
        s_expect (cluster.nodes[i], "READY", NULL, 0);
    cluster.client = s_client (s_clients);
    s_pass (cluster.client, 7, true);
    for (int round = 0; round < 4; round++) {
        kv_client_destroy (&cluster.client);
        zactor_destroy (&cluster.broker);
        if (round > 1)
            zclock_sleep (300); /* nodes call, and nobody is there */
        cluster.broker = s_broker (s_clients, folder);
        s_expect (cluster.broker, "READY", NULL, 0);
        cluster.client = s_client (s_clients);
        s_pass (cluster.client, 7, false);
    }
    s_stop (&cluster);
    s_remove (folder);
}

static void test_a_node_that_comes_back_serves (void **state)
{
    (void)state;
    cluster_t cluster = {0};
    s_start (&cluster);
    for (int round = 0; round < 5; round++) {
        int which = round % NODES;
        zactor_destroy (&cluster.nodes[which]);
        cluster.nodes[which] = s_node (which, NULL);
        s_expect (cluster.nodes[which], "READY", NULL, 0);
        s_pass (cluster.client, round, true);
        s_pass (cluster.client, round, false);
    }
    s_stop (&cluster);
}

static void test_nodes_may_come_before_their_broker (void **state)
{
    (void)state;
    cluster_t cluster = {0};
    for (int i = 0; i < NODES; i++)
        cluster.nodes[i] = s_node (i, NULL);
    zclock_sleep (150);
    cluster.broker = s_broker (s_clients, NULL);
    s_expect (cluster.broker, "READY", NULL, 0);
    for (int i = 0; i < NODES; i++)
        s_expect (cluster.nodes[i], "READY", NULL, 0);
    cluster.client = s_client (s_clients);
    s_pass (cluster.client, 3, true);
    s_stop (&cluster);
}

static void test_a_node_without_a_broker_stops_at_once (void **state)
{
    (void)state;
    static const char *const endpoints[] = {"tcp://127.0.0.1:1", "inproc://nobody"};
    for (size_t i = 0; i < 2; i++) {
        kv_node_options_t options = {.id = "n1", .broker_endpoint = endpoints[i]};
        zactor_t *node = s_new (kv_node_actor, &options);
        zclock_sleep (50);
        int64_t begun_ms = zclock_mono ();
        zactor_destroy (&node);
        assert_true (zclock_mono () - begun_ms < 500);
    }
}

static void test_a_node_that_was_told_to_stop_says_so (void **state)
{
    (void)state;
    static const char *const command[] = {"SHUTDOWN", "n1"};
    cluster_t cluster = {0};
    kv_reply_t *reply;
    s_start (&cluster);
    assert_int_equal (kv_call (cluster.client, 2, command, NULL, &reply), KV_OK);
    assert_int_not_equal (kv_reply_kind (reply), KV_REPLY_ERROR);
    kv_reply_destroy (&reply);
    s_expect (cluster.nodes[0], "STOPPED", NULL, 0);
    zactor_destroy (&cluster.nodes[0]);
    s_stop (&cluster);
}

/* ---- doors ------------------------------------------------------------------------------------- */

static void test_clients_over_tcp_and_nodes_over_inproc (void **state)
{
    (void)state;
    cluster_t cluster = {0};
    char endpoint[128];
    cluster.broker = s_broker ("tcp://127.0.0.1:*", NULL);
    s_expect (cluster.broker, "READY", endpoint, sizeof endpoint);
    assert_int_equal (strncmp (endpoint, "tcp://127.0.0.1:", 16), 0);
    assert_true (atoi (endpoint + 16) > 0);
    cluster.nodes[0] = s_node (0, "inproc://direct");
    cluster.nodes[1] = s_node (1, "tcp://127.0.0.1:*");
    for (int i = 0; i < NODES; i++)
        s_expect (cluster.nodes[i], "READY", NULL, 0);
    cluster.client = s_client (endpoint);
    s_pass (cluster.client, 4, true);
    s_pass (cluster.client, 4, false);
    static const char *const command[] = {"PING"};
    kv_client_t *direct = s_client ("inproc://direct");
    kv_reply_t *reply;
    assert_int_equal (kv_call (direct, 1, command, NULL, &reply), KV_OK);
    assert_string_equal (kv_reply_data (reply, NULL), "PONG");
    kv_reply_destroy (&reply);
    kv_client_destroy (&direct);
    s_stop (&cluster);
}

static void test_a_cluster_is_known_again_by_its_folder (void **state)
{
    (void)state;
    char folder[] = "/tmp/kvdb-embed-XXXXXX", other[] = "/tmp/kvdb-embed-XXXXXX";
    char why[256];
    assert_non_null (mkdtemp (folder));
    assert_non_null (mkdtemp (other));
    kv_node_options_t options = {.id = "n1", .broker_endpoint = s_nodes, .data_dir = other};
    for (int round = 0; round < 2; round++) {
        zactor_t *broker = s_broker (s_clients, folder);
        s_expect (broker, "READY", NULL, 0);
        zactor_t *node = s_new (kv_node_actor, &options);
        s_expect (node, "READY", NULL, 0);
        zactor_destroy (&node);
        zactor_destroy (&broker);
    }
    zactor_t *broker = s_broker (s_clients, NULL); /* another cluster */
    s_expect (broker, "READY", NULL, 0);
    zactor_t *node = s_new (kv_node_actor, &options);
    s_expect (node, "FAILED", why, sizeof why);
    assert_non_null (strstr (why, "another cluster"));
    zactor_destroy (&node);
    zactor_destroy (&broker);
    s_remove (folder);
    s_remove (other);
}

static void test_failures_are_told_and_the_process_lives_on (void **state)
{
    (void)state; // E1
    char why[256];
    int threads = s_quiet ("/proc/self/task");
    zactor_t *first = s_broker (s_clients, NULL);
    s_expect (first, "READY", NULL, 0);
    zactor_t *second = s_broker (s_clients, NULL); /* the name is taken */
    s_expect (second, "FAILED", why, sizeof why);
    assert_non_null (strstr (why, "in use"));
    zactor_destroy (&second);
    zactor_t *nothing = s_new (kv_broker_actor, NULL);
    s_expect (nothing, "FAILED", why, sizeof why);
    zactor_destroy (&nothing);
    nothing = s_new (kv_node_actor, NULL);
    s_expect (nothing, "FAILED", why, sizeof why);
    zactor_destroy (&nothing);
    kv_node_options_t stranger = {.id = "n9", .broker_endpoint = s_nodes};
    zactor_t *node = s_new (kv_node_actor, &stranger);
    s_expect (node, "FAILED", why, sizeof why);
    assert_non_null (strstr (why, "lists no node with that id"));
    zactor_destroy (&node);
    kv_node_options_t uneven = {.id = "n1", .broker_endpoint = s_nodes, .shards = 32};
    node = s_new (kv_node_actor, &uneven);
    s_expect (node, "FAILED", why, sizeof why);
    assert_non_null (strstr (why, "64 shards"));
    zactor_destroy (&node);
    zactor_destroy (&first);
    s_settles ("/proc/self/task", threads);
}

int main (void)
{
    zsys_handler_set (NULL);
    struct sigaction action = {.sa_handler = s_on_signal};
    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
    zsys_init ();
    zsock_t *first = zsock_new (ZMQ_PAIR); /* the context's own threads and descriptors are there */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_signals_of_the_program_stay_its_own),
        cmocka_unit_test (test_every_order_of_stopping_is_quick_and_leaves_nothing),
        cmocka_unit_test (test_nodes_find_the_broker_that_comes_back),
        cmocka_unit_test (test_a_node_that_comes_back_serves),
        cmocka_unit_test (test_nodes_may_come_before_their_broker),
        cmocka_unit_test (test_a_node_that_was_told_to_stop_says_so),
        cmocka_unit_test (test_clients_over_tcp_and_nodes_over_inproc),
        cmocka_unit_test (test_a_cluster_is_known_again_by_its_folder),
        cmocka_unit_test (test_failures_are_told_and_the_process_lives_on),
        cmocka_unit_test (test_a_node_without_a_broker_stops_at_once),
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);
    zsock_destroy (&first);
    zsys_shutdown ();
    return failed;
}
