/* Goal: the commands a broker answers by itself, and the shape of what they answer.
 * Method: a real coordinator with three nodes, of which n1 is up; results are decoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/broker_commands.h"
#include "schema/request.h"

#include <stdio.h>
#include <stdlib.h>

/* Clients see 77 of it: the rest is the process's secret. */
#define INCARNATION ((UINT64_C (77) << 43) + 12345)

typedef struct {
    shard_map_t *map;
    coordinator_t *coordinator;
    router_t *router;
    broker_view_t view;
    command_t command;
    writer_t request, result;
    uint32_t node;
} bed_t;

static void s_say (bed_t *bed, const char *lane, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    coordinator_message (bed->coordinator, kv_slice_text (lane), kv_slice (out.data, out.size),
                         900);
    writer_free (&out);
}

static void s_bring_up (bed_t *bed)
{
    message_t ready = {.type = MESSAGE_READY,
                       .ready = {.node_id = kv_slice_text ("n1"),
                                 .data_uuid = kv_slice ("0123456789abcdef", KV_UUID_BYTES),
                                 .incarnation = INCARNATION,
                                 .wire_min = 1,
                                 .wire_max = 1,
                                 .disk_min = 1,
                                 .disk_max = 1}};
    message_t attach = {.type = MESSAGE_ATTACH,
                        .attach = {.node_id = kv_slice_text ("n1"), .incarnation = INCARNATION}};
    message_t beacon = {.type = MESSAGE_BEACON, .beacon = {.keys = 11, .bytes = 1234}};
    s_say (bed, "control", &ready);
    s_say (bed, "data", &attach);
    s_say (bed, "control", &beacon);
}

static int s_setup (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    bed->map = shard_map_new (8, 3);
    coordinator_options_t options = {.beacon_ms = 50, .grace_ms = 350, .map = bed->map};
    bed->coordinator = coordinator_new (&options);
    coordinator_add_node (bed->coordinator, "n0", "host0", 7100);
    coordinator_add_node (bed->coordinator, "n1", "host1", 7101);
    coordinator_add_node (bed->coordinator, "n2", "host2", 7102);
    router_options_t router = {.map = bed->map,
                               .max_value_bytes = 1024,
                               .queue_bytes = 1 << 20,
                               .shard_queue_commands = 100,
                               .deadline_ms = 5000,
                               .local = broker_local_command,
                               .node_name = broker_node_name,
                               .context = &bed->view};
    bed->router = router_new (&router, 0);
    bed->view = (broker_view_t){.coordinator = bed->coordinator,
                                .router = bed->router,
                                .map = bed->map,
                                .cluster_id = "cluster-of-tests",
                                .replicas = 2,
                                .max_value_bytes = 4096,
                                .version = "1.2.3",
                                .started_ms = 500,
                                .now_ms = 3600,
                                .doors_info = "clients_connected:4\r\n"};
    bed->command = command_make ();
    bed->request = writer_make (SIZE_MAX);
    bed->result = writer_make (SIZE_MAX);
    s_bring_up (bed);
    *state = bed;
    return 0;
}

static int s_teardown (void **state)
{
    bed_t *bed = *state;
    router_destroy (&bed->router);
    coordinator_destroy (&bed->coordinator);
    shard_map_destroy (&bed->map);
    command_free (&bed->command);
    writer_free (&bed->request);
    writer_free (&bed->result);
    free (bed);
    return 0;
}

/* Runs a command; `argument` and `other` may be NULL. Its result is in `result`, decoded. */
static router_local_t s_run (bed_t *bed, const char *name, const char *argument, const char *other,
                             result_t *result)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    const char *why;
    writer_reset (&bed->request);
    writer_array (&bed->request, 1U + (argument != NULL) + (other != NULL));
    writer_cstr (&bed->request, name);
    if (argument)
        writer_bin (&bed->request, kv_slice_text (argument));
    if (other)
        writer_bin (&bed->request, kv_slice_text (other));
    reader_t at = reader_make (kv_slice (bed->request.data, bed->request.size));
    assert_int_equal (command_read (&bed->command, &at, &why), KV_OK);
    assert_int_equal (command_check (&bed->command, text, sizeof text), KV_OK);
    writer_reset (&bed->result);
    router_local_t local =
        broker_local_command (&bed->view, &bed->command, &bed->result, &bed->node);
    if (local == ROUTER_LOCAL_WAITS)
        return local;
    reply_t reply = {.count = 1,
                     .results = reader_make (kv_slice (bed->result.data, bed->result.size))};
    assert_int_equal (result_next (&reply, result), KV_OK);
    assert_int_equal (reader_left (&reply.results), 0); /* exactly one result */
    return local;
}

static kv_slice_t s_bytes (const result_t *result)
{
    reader_t at = reader_make (result->value);
    kv_slice_t bytes;
    assert_int_equal (result->status, KV_OK);
    assert_int_equal (reader_bytes (&at, &bytes), KV_OK);
    return bytes;
}

static bool s_has (kv_slice_t text, const char *part)
{
    return memmem (text.data, text.size, part, strlen (part)) != NULL;
}

static void test_ping_and_echo (void **state)
{
    result_t result;
    s_run (*state, "ping", NULL, NULL, &result);
    assert_true (kv_slice_equal (s_bytes (&result), kv_slice_text ("PONG")));
    s_run (*state, "PING", "hello", NULL, &result);
    assert_true (kv_slice_equal (s_bytes (&result), kv_slice_text ("hello")));
    s_run (*state, "ECHO", "", NULL, &result);
    assert_int_equal (s_bytes (&result).size, 0);
}

static void test_help (void **state)
{
    result_t result;
    s_run (*state, "HELP", NULL, NULL, &result);
    for (int id = 0; id < COMMAND_COUNT; id++)
        assert_true (s_has (s_bytes (&result), command_spec ((command_id_t)id)->name));
    s_run (*state, "HELP", "mget", NULL, &result);
    assert_true (s_has (s_bytes (&result), "MGET"));
    assert_false (s_has (s_bytes (&result), "DBSIZE"));
    s_run (*state, "HELP", "@expiry", NULL, &result);
    assert_true (s_has (s_bytes (&result), "PERSIST"));
    s_run (*state, "HELP", "nonsense", NULL, &result);
    assert_int_equal (result.status, KV_UNKNOWN_COMMAND);
}

static void test_info_has_the_sections_asked_for (void **state)
{
    result_t result;
    static const char *const titles[] = {"# Server\r\n", "# Clients\r\n", "# Stats\r\n",
                                         "# Cluster\r\n"};
    static const char *const all[] = {NULL, "all", "Everything", "default"};
    for (size_t i = 0; i < 4; i++) {
        s_run (*state, "INFO", all[i], NULL, &result);
        for (size_t title = 0; title < 4; title++)
            assert_true (s_has (s_bytes (&result), titles[title]));
    }
    s_run (*state, "INFO", "cluster", "server", &result);
    assert_true (s_has (s_bytes (&result), titles[0]));
    assert_false (s_has (s_bytes (&result), titles[1]));
    assert_false (s_has (s_bytes (&result), titles[2]));
    assert_true (s_has (s_bytes (&result), titles[3]));
    s_run (*state, "INFO", "nonsense", NULL, &result);
    assert_int_equal (s_bytes (&result).size, 0);
}

static void test_info_says_what_is_true (void **state)
{
    bed_t *bed = *state;
    result_t result;
    s_run (bed, "INFO", NULL, NULL, &result);
    kv_slice_t text = s_bytes (&result);
    assert_true (s_has (text, "used_memory_of_nodes:1234\r\n"));
    assert_true (s_has (text, "keys:11\r\ndb0:keys=11\r\n"));
    assert_false (s_has (text, "# Commandstats")); /* only for those who ask for it */
    assert_true (s_has (text, "kvdb_version:1.2.3\r\n"));
    assert_true (s_has (text, "uptime_in_seconds:3\r\n"));
    assert_true (s_has (text, "max_value_bytes:4096\r\n"));
    assert_true (s_has (text, "clients_connected:4\r\n"));
    assert_true (s_has (text, "total_requests_received:0\r\n"));
    assert_true (s_has (text, "cluster_shards:8\r\ncluster_replicas:2\r\ncluster_epoch:2\r\n"));
    assert_true (s_has (text, "node0:id=n0,state=absent,shards=3,keys=0,bytes=0\r\n"));
    assert_true (s_has (text, "node1:id=n1,state=up,shards=3,keys=11,bytes=1234\r\n"));
    assert_true (s_has (text, "node2:id=n2,state=absent,shards=2,keys=0,bytes=0\r\n"));
    bed->view.doors_info = NULL;
    s_run (bed, "INFO", "commandstats", NULL, &result);
    assert_true (kv_slice_equal (s_bytes (&result), kv_slice_text ("# Commandstats\r\n")));
    s_run (bed, "INFO", "clients", NULL, &result);
    assert_true (kv_slice_equal (s_bytes (&result), kv_slice_text ("# Clients\r\n")));
    coordinator_gone (bed->coordinator, kv_slice_text ("control"));
    s_run (bed, "INFO", NULL, NULL, &result); /* a node that is gone holds nothing */
    assert_true (s_has (s_bytes (&result), "node1:id=n1,state=down"));
    assert_true (s_has (s_bytes (&result), "used_memory_of_nodes:0\r\n"));
    assert_true (s_has (s_bytes (&result), "keys:0\r\n"));
}

/* ---- TOPOLOGY ------------------------------------------------------------------------------------- */

static void s_key (reader_t *at, const char *name)
{
    kv_slice_t key;
    assert_int_equal (reader_bytes (at, &key), KV_OK);
    assert_true (kv_slice_equal (key, kv_slice_text (name)));
}

static void s_text (reader_t *at, const char *key, const char *expected)
{
    kv_slice_t text;
    s_key (at, key);
    assert_int_equal (reader_bytes (at, &text), KV_OK);
    assert_true (kv_slice_equal (text, kv_slice_text (expected)));
}

static void s_number (reader_t *at, const char *key, int64_t expected)
{
    int64_t number;
    s_key (at, key);
    assert_int_equal (reader_int (at, &number), KV_OK);
    assert_int_equal (number, expected);
}

static void test_topology_has_every_key (void **state)
{
    result_t result;
    uint32_t count;
    s_run (*state, "TOPOLOGY", NULL, NULL, &result);
    assert_int_equal (result.status, KV_OK);
    reader_t at = reader_make (result.value);
    assert_int_equal (reader_map (&at, &count), KV_OK);
    assert_int_equal (count, 8);
    s_text (&at, "cluster", "cluster-of-tests");
    s_number (&at, "epoch", 2); /* a node has joined */
    s_number (&at, "shards", 8);
    s_number (&at, "replicas", 2);
    s_text (&at, "version", "1.2.3");
    s_number (&at, "uptime_ms", 3100);
    s_key (&at, "nodes");
    assert_int_equal (reader_array (&at, &count), KV_OK);
    assert_int_equal (count, 3);
    for (int i = 0; i < 3; i++) {
        char text[16];
        bool up = i == 1;
        assert_int_equal (reader_map (&at, &count), KV_OK);
        assert_int_equal (count, 9);
        snprintf (text, sizeof text, "n%d", i);
        s_text (&at, "id", text);
        snprintf (text, sizeof text, "host%d", i);
        s_text (&at, "host", text);
        s_number (&at, "port", 7100 + i);
        s_text (&at, "state", up ? "up" : "absent");
        s_number (&at, "incarnation", up ? 77 : 0);
        s_number (&at, "shards", i < 2 ? 3 : 2);
        s_number (&at, "beacon_age_ms", up ? 2700 : -1);
        s_number (&at, "keys", up ? 11 : 0);
        s_number (&at, "bytes", up ? 1234 : 0);
    }
    s_key (&at, "owners");
    assert_int_equal (reader_array (&at, &count), KV_OK);
    assert_int_equal (count, 8);
    for (int64_t shard = 0; shard < 8; shard++) {
        int64_t owner;
        assert_int_equal (reader_int (&at, &owner), KV_OK);
        assert_int_equal (owner, shard % 3);
    }
    assert_int_equal (reader_left (&at), 0);
}

/* ---- SHUTDOWN ------------------------------------------------------------------------------------- */

static void test_shutdown_waits_for_a_node_that_is_there (void **state)
{
    bed_t *bed = *state;
    result_t result;
    assert_int_equal (s_run (bed, "SHUTDOWN", "n1", NULL, &result), ROUTER_LOCAL_WAITS);
    assert_int_equal (bed->node, 1);
    assert_int_equal (bed->result.size, 0);
    assert_int_equal (coordinator_node (bed->coordinator, 1)->state, NODE_STOPPING);
    assert_int_equal (s_run (bed, "SHUTDOWN", "n1", NULL, &result), ROUTER_LOCAL_WAITS);
}

static void test_shutdown_of_what_cannot_be_stopped (void **state)
{
    result_t result;
    char long_id[2000];
    memset (long_id, 'x', sizeof long_id);
    long_id[sizeof long_id - 1] = '\0';
    assert_int_equal (s_run (*state, "SHUTDOWN", "n0", NULL, &result), ROUTER_LOCAL_DONE);
    assert_int_equal (result.status, KV_UNAVAILABLE);
    s_run (*state, "SHUTDOWN", "N1", NULL, &result); /* ids are exact */
    assert_int_equal (result.status, KV_BAD_VALUE);
    s_run (*state, "SHUTDOWN", long_id, NULL, &result);
    assert_int_equal (result.status, KV_BAD_VALUE);
    assert_true (result.text.size < 200);
    s_run (*state, "SHUTDOWN", "", NULL, &result);
    assert_int_equal (result.status, KV_BAD_VALUE);
}

static void test_node_names (void **state)
{
    bed_t *bed = *state;
    assert_string_equal (broker_node_name (&bed->view, 2), "n2");
}

#define CASE(test) cmocka_unit_test_setup_teardown (test, s_setup, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        CASE (test_ping_and_echo),
        CASE (test_help),
        CASE (test_info_has_the_sections_asked_for),
        CASE (test_info_says_what_is_true),
        CASE (test_topology_has_every_key),
        CASE (test_shutdown_waits_for_a_node_that_is_there),
        CASE (test_shutdown_of_what_cannot_be_stopped),
        CASE (test_node_names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
