/* embed - a broker, two nodes and a client in one process, over inproc.
 *
 *     embed             starts them, writes and reads keys of every shard, stops them
 *     embed --cycles N  does so N times, and fails if memory, descriptors or threads grow
 *     embed --faults    shows how a failed start is told
 *
 * The program keeps its own handler of SIGINT all along, and shows that it does. */
#include <kvdb.h>
#include <kvdb_broker.h>
#include <kvdb_node.h>

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

enum {
    NODES = 2,
    KEYS = 2000, /* of 64 shards; none is left out */
    START_MS = 10000,
    WARM_UP = 5, /* cycles before the first measurement */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    RESIDENT_GROWTH_KIB = 65536 /* sanitizers hold back what is freed */
#else
    RESIDENT_GROWTH_KIB = 4096
#endif
};

static volatile sig_atomic_t s_interrupts;

static void s_on_interrupt (int signal)
{
    (void)signal;
    s_interrupts++;
}

/* --- The cluster --------------------------------------------------------------------------- */

typedef struct {
    zactor_t *broker;
    zactor_t *nodes[NODES];
    kv_client_t *client;
} cluster_t;

static const char *const s_ids[NODES] = {"node1", "node2"};

static void s_log (void *program, kv_log_level_t level, const char *line)
{
    if (level >= KV_LOG_WARN)
        fprintf (stderr, "%s: %s\n", (const char *)program, line);
}

static char s_program[] = "embed";

/* The first word of an actor: true if it is READY. */
static bool s_await (zactor_t *actor, const char *name)
{
    char *word = NULL;
    char *text = NULL;
    zsock_set_rcvtimeo (zactor_sock (actor), START_MS);
    zstr_recvx (actor, &word, &text, NULL);
    bool ready = word && streq (word, "READY");
    if (!ready)
        fprintf (stderr, "embed: %s: %s %s\n", name, word ? word : "no word", text ? text : "");
    zstr_free (&word);
    zstr_free (&text);
    return ready;
}

static bool s_start (cluster_t *self)
{
    kv_broker_node_t nodes[NODES] = {{.id = s_ids[0]}, {.id = s_ids[1]}};
    kv_broker_options_t broker = {.client_endpoint = "inproc://kvdb",
                                  .node_endpoint = "inproc://kvdb-nodes",
                                  .nodes = nodes,
                                  .node_count = NODES,
                                  .log = s_log,
                                  .log_context = s_program};
    self->broker = zactor_new (kv_broker_actor, &broker);
    if (!self->broker || !s_await (self->broker, "broker"))
        return false;
    for (int i = 0; i < NODES; i++) {
        kv_node_options_t node = {.id = s_ids[i],
                                  .broker_endpoint = "inproc://kvdb-nodes",
                                  .log = s_log,
                                  .log_context = s_program};
        self->nodes[i] = zactor_new (kv_node_actor, &node);
    }
    for (int i = 0; i < NODES; i++) {
        if (!self->nodes[i] || !s_await (self->nodes[i], s_ids[i]))
            return false;
    }
    kv_options_t options;
    kv_options_init (&options, sizeof options);
    options.endpoint = "inproc://kvdb";
    options.zmq_context = zsys_init (); /* inproc joins sockets of one context: czmq's */
    return kv_client_new (&options, &self->client) == KV_OK;
}

/* In any order; `turn` picks one, to show it. */
static void s_stop (cluster_t *self, int turn)
{
    for (int i = 0; i < NODES + 2; i++) {
        int which = (i + turn) % (NODES + 2);
        if (which < NODES)
            zactor_destroy (&self->nodes[which]);
        else if (which == NODES)
            zactor_destroy (&self->broker);
        else
            kv_client_destroy (&self->client);
    }
}

/* --- What is done with it ------------------------------------------------------------------ */

/* One batch of KEYS commands: SET key:i value:i, or GET key:i. Returns how many replies are right. */
static int s_pass (kv_client_t *client, bool write)
{
    char key[32];
    char value[32];
    kv_batch_t *batch = kv_batch_new ();
    kv_reply_t *replies = NULL;
    kv_status_t status = KV_OK;
    for (int i = 0; i < KEYS && status == KV_OK; i++) {
        snprintf (key, sizeof key, "key:%d", i);
        snprintf (value, sizeof value, "value:%d", i);
        const char *const command[] = {write ? "SET" : "GET", key, value};
        status = kv_batch_add (batch, write ? 3 : 2, command, NULL);
    }
    if (status == KV_OK)
        status = kv_send (client, batch, NULL);
    if (status == KV_OK)
        status = kv_receive (client, -1, NULL, &replies);
    if (status)
        fprintf (stderr, "embed: %s\n", kv_client_error (client));
    int right = 0;
    for (int i = 0; status == KV_OK && i < KEYS; i++) {
        const kv_reply_t *reply = kv_reply_item (replies, (size_t)i);
        snprintf (value, sizeof value, write ? "OK" : "value:%d", i);
        right +=
            kv_reply_kind (reply) != KV_REPLY_ERROR && streq (kv_reply_data (reply, NULL), value);
    }
    kv_reply_destroy (&replies);
    kv_batch_destroy (&batch);
    return right;
}

static bool s_work (cluster_t *self, bool tell)
{
    int written = s_pass (self->client, true);
    int read = s_pass (self->client, false);
    if (tell)
        printf ("%d of %d keys written, %d read back, on %d nodes\n", written, KEYS, read, NODES);
    return written == KEYS && read == KEYS;
}

/* A signal is handled by the program's handler, whatever runs in the process. */
static bool s_check_handler (const char *when, bool tell)
{
    struct sigaction now;
    sigaction (SIGINT, NULL, &now);
    sig_atomic_t before = s_interrupts;
    kill (getpid (), SIGINT);
    for (int i = 0; i < 1000 && s_interrupts == before; i++)
        usleep (1000);
    bool ours = now.sa_handler == s_on_interrupt && s_interrupts == before + 1;
    if (tell || !ours)
        printf ("SIGINT %s: %s\n", when, ours ? "handled by the program's handler" : "LOST");
    return ours;
}

static bool s_once (int turn, bool tell)
{
    cluster_t cluster = {0};
    bool good = s_start (&cluster);
    if (good && tell)
        printf ("started a broker, %d nodes and a client\n", NODES);
    good = good && s_check_handler ("while they run", tell) && s_work (&cluster, tell);
    s_stop (&cluster, turn);
    if (tell)
        puts ("stopped them");
    return good && s_check_handler ("afterwards", tell);
}

/* --- 100 times ----------------------------------------------------------------------------- */

typedef struct {
    int descriptors, threads;
    long resident_kib;
} usage_t;

static int s_entries (const char *directory)
{
    int count = 0;
    DIR *open = opendir (directory);
    while (open && readdir (open))
        count++;
    if (open)
        closedir (open);
    return count - 2; /* . and .. */
}

static usage_t s_usage (void)
{
    usage_t usage = {.descriptors = s_entries ("/proc/self/fd"),
                     .threads = s_entries ("/proc/self/task")};
    char line[128];
    FILE *status = fopen ("/proc/self/status", "r");
    while (status && fgets (line, sizeof line, status))
        (void)sscanf (line, "VmRSS: %ld", &usage.resident_kib);
    if (status)
        fclose (status);
    return usage;
}

/* ZeroMQ closes sockets, and threads end, a moment after they were told to. */
static usage_t s_settled (const usage_t *wanted)
{
    usage_t usage = s_usage ();
    for (int i = 0; i < 2000; i++) {
        if (usage.descriptors <= wanted->descriptors && usage.threads <= wanted->threads)
            break;
        usleep (1000);
        usage = s_usage ();
    }
    return usage;
}

static bool s_cycles (int cycles)
{
    usage_t first = {0};
    int64_t begun_ms = zclock_mono ();
    for (int i = 0; i < cycles; i++) {
        if (!s_once (i, false)) {
            printf ("cycle %d failed\n", i + 1);
            return false;
        }
        if (i + 1 == WARM_UP) {
            usleep (200 * 1000);
            first = s_usage ();
        }
    }
    int64_t took_ms = zclock_mono () - begun_ms;
    usage_t last = s_settled (&first);
    printf ("%d cycles in %d ms\n", cycles, (int)took_ms);
    printf ("descriptors %d -> %d, threads %d -> %d, resident %ld -> %ld KiB\n", first.descriptors,
            last.descriptors, first.threads, last.threads, first.resident_kib, last.resident_kib);
    return last.descriptors <= first.descriptors && last.threads <= first.threads &&
           last.resident_kib <= first.resident_kib + RESIDENT_GROWTH_KIB;
}

/* --- Failed starts ------------------------------------------------------------------------- */

/* True if the actor says FAILED, and goes. */
static bool s_fails (zactor_fn *actor, void *options, const char *what)
{
    zactor_t *self = zactor_new (actor, options);
    char *word = NULL;
    char *text = NULL;
    zsock_set_rcvtimeo (zactor_sock (self), START_MS);
    zstr_recvx (self, &word, &text, NULL);
    bool failed = word && streq (word, "FAILED") && text;
    printf ("%s: %s %s\n", what, word ? word : "no word", text ? text : "");
    zstr_free (&word);
    zstr_free (&text);
    zactor_destroy (&self);
    return failed;
}

static bool s_faults (void)
{
    zsock_t *taken = zsock_new (ZMQ_ROUTER);
    int port = zsock_bind (taken, "tcp://127.0.0.1:*");
    char endpoint[64];
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
    kv_broker_node_t nodes[] = {{.id = "node1"}, {.id = "node1"}};
    kv_broker_options_t broker = {.client_endpoint = endpoint,
                                  .node_endpoint = "inproc://kvdb-nodes",
                                  .nodes = nodes,
                                  .node_count = 1};
    kv_node_options_t node = {.id = "node1", .broker_endpoint = "inproc://kvdb-nodes"};
    bool good = s_fails (kv_broker_actor, &broker, "a port in use");
    broker.client_endpoint = "tcp://0.0.0.0:*";
    good = s_fails (kv_broker_actor, &broker, "open to anybody") && good;
    broker.client_endpoint = "inproc://kvdb";
    broker.node_count = 2;
    good = s_fails (kv_broker_actor, &broker, "a node named twice") && good;
    broker.node_count = 1;
    broker.data_dir = "/dev/null/data";
    good = s_fails (kv_broker_actor, &broker, "a bad folder") && good;
    good = s_fails (kv_broker_actor, NULL, "no options") && good;
    node.shards = 99999;
    good = s_fails (kv_node_actor, &node, "too many shards") && good;
    node.shards = 0;
    node.direct_endpoint = endpoint;
    good = s_fails (kv_node_actor, &node, "a direct door's port in use") && good;
    zsock_destroy (&taken);
    return good;
}

int main (int argc, char **argv)
{
    zsys_handler_set (NULL); /* before anything else of czmq's: it would take SIGINT and SIGTERM */
    struct sigaction action = {.sa_handler = s_on_interrupt};
    sigaction (SIGINT, &action, NULL);
    bool good;
    if (argc == 3 && streq (argv[1], "--cycles"))
        good = s_cycles (atoi (argv[2]));
    else if (argc == 2 && streq (argv[1], "--faults"))
        good = s_faults () && s_once (0, true);
    else
        good = s_once (0, true);
    zsys_shutdown ();
    return good ? 0 : 1;
}
