/* Goal: what a program gives an actor is copied, completed and checked as kvdb_broker.h and
 * kvdb_node.h say, and the defaults are those of the option tables.
 * Method: valid options, and one thing wrong at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/cluster_options.h"
#include "broker/broker_options.h"
#include "broker/broker_settings.h"
#include "node/node_options.h"
#include "node/node_settings.h"
#include "schema/limits.h"

static kv_broker_node_t s_nodes[] = {{.id = "n1"}, {.id = "n2", .host = "::1", .port = 8082}};
static const kv_broker_options_t s_broker = {.client_endpoint = "tcp://127.0.0.1:*",
                                             .node_endpoint = "inproc://nodes",
                                             .nodes = s_nodes,
                                             .node_count = 2};
static const kv_node_options_t s_node = {.id = "n1", .broker_endpoint = "tcp://broker:7001"};

static char s_why[256];

static void s_broker_fails (const kv_broker_options_t *given, const char *why)
{
    broker_options_t *options;
    assert_int_equal (broker_options_new (given, &options, s_why, sizeof s_why), KV_CONFIG);
    assert_null (options);
    if (!strstr (s_why, why))
        fail_msg ("\"%s\" is not in \"%s\"", why, s_why);
}

static void s_node_fails (const kv_node_options_t *given, const char *why)
{
    node_options_t *options;
    assert_int_equal (node_options_new (given, &options, s_why, sizeof s_why), KV_CONFIG);
    assert_null (options);
    if (!strstr (s_why, why))
        fail_msg ("\"%s\" is not in \"%s\"", why, s_why);
}

/* The default of a row, as the programs read it. */
static int64_t s_preset (const kv_option_t *rows, const char *name)
{
    while (rows->name && strcmp (rows->name, name) != 0)
        rows++;
    assert_non_null (rows->preset);
    char *unit;
    int64_t value = strtoll (rows->preset, &unit, 10);
    int shift = *unit == 'k' ? 10 : *unit == 'm' ? 20 : *unit == 'g' ? 30 : 0;
    return value << shift;
}

static void test_defaults_of_the_broker_are_those_of_the_tables (void **state)
{
    (void)state;
    const kv_option_t *cluster = cluster_options_rows;
    const kv_option_t *broker = broker_settings_rows;
    broker_options_t *options;
    assert_int_equal (broker_options_new (&s_broker, &options, s_why, sizeof s_why), KV_OK);
    const kv_broker_options_t *set = &options->set;
    assert_int_equal (set->shards, s_preset (cluster, "shards"));
    assert_int_equal (set->replicas, s_preset (cluster, "replicas"));
    assert_int_equal (set->max_value_bytes, s_preset (cluster, "max_value_bytes"));
    assert_int_equal (set->beacon_ms, s_preset (cluster, "beacon_ms"));
    assert_int_equal (set->lease_ms, s_preset (cluster, "lease_ms"));
    assert_int_equal (set->grace_ms, s_preset (cluster, "grace_ms"));
    assert_int_equal (set->deadline_ms, s_preset (broker, "broker.deadline_ms"));
    assert_int_equal (set->queue_bytes, s_preset (broker, "broker.queue_bytes"));
    assert_int_equal (set->shard_queue_commands, s_preset (broker, "broker.shard_queue_commands"));
    assert_int_equal (set->client_output_bytes, s_preset (broker, "broker.client_output_bytes"));
    assert_int_equal (set->output_bytes, s_preset (broker, "broker.output_bytes"));
    assert_int_equal (set->connections, s_preset (broker, "broker.connections"));
    assert_string_equal (set->nodes[0].host, "127.0.0.1");
    assert_null (set->data_dir);
    broker_options_destroy (&options);
    assert_null (options);
}

static void test_defaults_of_the_node_are_those_of_the_tables (void **state)
{
    (void)state;
    node_options_t *options;
    assert_int_equal (node_options_new (&s_node, &options, s_why, sizeof s_why), KV_OK);
    const kv_node_options_t *set = &options->set;
    assert_int_equal (set->shards, s_preset (cluster_options_rows, "shards"));
    assert_int_equal (set->max_value_bytes, s_preset (cluster_options_rows, "max_value_bytes"));
    assert_int_equal (set->connections, s_preset (node_settings_rows, "kvdb.direct.connections"));
    assert_int_equal (set->client_output_bytes,
                      s_preset (node_settings_rows, "kvdb.direct.client_output_bytes"));
    assert_int_equal (set->output_bytes, s_preset (node_settings_rows, "kvdb.direct.output_bytes"));
    assert_string_equal (set->host, "127.0.0.1");
    assert_null (set->direct_endpoint);
    node_options_destroy (&options);
    assert_null (options);
}

static void test_options_are_copied_to_the_last_text (void **state)
{
    (void)state; // E2
    char text[] = "inproc://a", id[] = "n1", host[] = "h1", folder[] = "data";
    kv_broker_node_t node = {.id = id, .host = host, .port = 9};
    kv_broker_options_t given = {.client_endpoint = text,
                                 .node_endpoint = text,
                                 .nodes = &node,
                                 .node_count = 1,
                                 .data_dir = folder,
                                 .shards = 5};
    broker_options_t *options;
    assert_int_equal (broker_options_new (&given, &options, s_why, sizeof s_why), KV_OK);
    memset (text, 'x', sizeof text);
    memset (id, 'x', sizeof id);
    memset (host, 'x', sizeof host);
    memset (folder, 'x', sizeof folder);
    memset (&node, 0xff, sizeof node);
    memset (&given, 0xff, sizeof given);
    assert_string_equal (options->set.client_endpoint, "inproc://a");
    assert_string_equal (options->set.node_endpoint, "inproc://a");
    assert_string_equal (options->set.nodes[0].id, "n1");
    assert_string_equal (options->set.nodes[0].host, "h1");
    assert_int_equal (options->set.nodes[0].port, 9);
    assert_string_equal (options->set.data_dir, "data");
    assert_int_equal (options->set.shards, 5);
    broker_options_destroy (&options);
}

static void test_what_is_wrong_with_a_brokers_endpoints_is_said (void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "tcp:/", "tcp://", "tcp://h", "tcp://h:", "tcp://:70", "inproc://", "ipc://x", "7000"};
    s_broker_fails (NULL, "options are required");
    kv_broker_options_t given = s_broker;
    given.client_endpoint = NULL;
    s_broker_fails (&given, "client_endpoint is required");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        given = s_broker;
        given.node_endpoint = bad[i];
        s_broker_fails (&given, "node_endpoint is \"");
    }
    char endless[KV_ENDPOINT_BYTES_MAX + 16] = "inproc://";
    memset (endless + strlen (endless), 'e', sizeof endless - strlen (endless) - 1);
    given = s_broker;
    given.client_endpoint = endless;
    s_broker_fails (&given, "client_endpoint is longer");
}

static void test_a_door_for_everybody_must_be_asked_for (void **state)
{
    (void)state;
    static const char *const open[] = {"tcp://*:7000", "tcp://0.0.0.0:7000", "tcp://[::]:7000",
                                       "tcp://host:7000", "tcp://128.0.0.1:1"};
    static const char *const own[] = {"tcp://127.0.0.1:7000", "tcp://[::1]:*",
                                      "tcp://localhost:7000", "inproc://host:7000"};
    broker_options_t *options;
    kv_broker_options_t given = s_broker;
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        given.client_endpoint = open[i];
        given.allow_unauthenticated = false;
        s_broker_fails (&given, "no loopback address");
        given.allow_unauthenticated = true;
        assert_int_equal (broker_options_new (&given, &options, s_why, sizeof s_why), KV_OK);
        broker_options_destroy (&options);
    }
    given.allow_unauthenticated = false;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        given.client_endpoint = own[i];
        assert_int_equal (broker_options_new (&given, &options, s_why, sizeof s_why), KV_OK);
        broker_options_destroy (&options);
    }
    kv_node_options_t node = s_node;
    node.direct_endpoint = "tcp://*:8081";
    s_node_fails (&node, "direct_endpoint is tcp://*:8081, which is no loopback");
}

static void test_what_is_wrong_with_a_list_of_nodes_is_said (void **state)
{
    (void)state;
    kv_broker_node_t nodes[] = {{.id = "n1"}, {.id = "n2"}};
    kv_broker_options_t given = s_broker;
    given.nodes = NULL;
    s_broker_fails (&given, "list 1 to 256");
    given.nodes = nodes;
    given.node_count = 0;
    s_broker_fails (&given, "0 nodes are given");
    given.node_count = KV_NODES_MAX + 1;
    s_broker_fails (&given, "257 nodes are given");
    given.node_count = 2;
    nodes[1].id = NULL;
    s_broker_fails (&given, "nodes[1].id is required");
    nodes[1].id = "n 2";
    s_broker_fails (&given, "nodes[1].id: ");
    nodes[1].id = "n1";
    s_broker_fails (&given, "nodes[1].id: two nodes");
    nodes[1].id = "n2";
    nodes[1].host = "a;b";
    s_broker_fails (&given, "nodes[1].host: ");
    nodes[0] = nodes[1] = (kv_broker_node_t){.id = "n1", .host = "h", .port = 8081};
    nodes[1].id = "n2";
    s_broker_fails (&given, "nodes[1].port: ");
    char endless[KV_HOST_BYTES_MAX + 2];
    memset (endless, 'h', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    nodes[1].host = endless;
    s_broker_fails (&given, "nodes[1].host is longer");
}

static void test_numbers_out_of_their_range_are_refused (void **state)
{
    (void)state;
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        kv_broker_options_t given = s_broker;                                                      \
        given.field = (value);                                                                     \
        s_broker_fails (&given, #field " is ");                                                    \
    } while (0)
    BAD (shards, 16385);
    BAD (replicas, 3);
    BAD (max_value_bytes, 1023);
    BAD (max_value_bytes, -1);
    BAD (max_value_bytes, (int64_t)KV_VALUE_BYTES_MAX + 1);
    BAD (beacon_ms, 4);
    BAD (lease_ms, 19);
    BAD (grace_ms, 900001);
    BAD (deadline_ms, KV_DEADLINE_MS_MAX + 1);
    BAD (queue_bytes, 1024);
    BAD (queue_bytes, UINT64_MAX);
    BAD (shard_queue_commands, 15);
    BAD (client_output_bytes, 1);
    BAD (output_bytes, INT64_MAX);
    BAD (connections, -1);
    BAD (connections, 100001);
#undef BAD
    kv_broker_options_t given = s_broker;
    given.shards = 1;
    s_broker_fails (&given, "shards: 2 nodes cannot share 1 shards");
    given = s_broker;
    given.replicas = 1;
    s_broker_fails (&given, "replicas: ");
    given = s_broker;
    given.beacon_ms = 100;
    s_broker_fails (&given, "lease_ms: ");
    kv_node_options_t node = s_node;
    node.shards = 16385;
    s_node_fails (&node, "shards is 16385; it is 1 to 16384, or 0 for 64");
    node = s_node;
    node.connections = -5;
    s_node_fails (&node, "connections is -5");
}

static void test_what_is_wrong_with_a_node_is_said (void **state)
{
    (void)state;
    s_node_fails (NULL, "options are required");
    kv_node_options_t given = s_node;
    given.id = NULL;
    s_node_fails (&given, "id is required");
    given.id = "../n1";
    s_node_fails (&given, "id is \"../n1\"");
    given = s_node;
    given.broker_endpoint = "broker:7001";
    s_node_fails (&given, "broker_endpoint is \"broker:7001\"");
    given = s_node;
    given.host = "a b";
    s_node_fails (&given, "host is \"a b\"");
}

static void test_the_first_fault_is_told (void **state)
{
    (void)state; // A1
    kv_broker_options_t given = {.shards = 99999};
    s_broker_fails (&given, "client_endpoint is required");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_defaults_of_the_broker_are_those_of_the_tables),
        cmocka_unit_test (test_defaults_of_the_node_are_those_of_the_tables),
        cmocka_unit_test (test_options_are_copied_to_the_last_text),
        cmocka_unit_test (test_what_is_wrong_with_a_brokers_endpoints_is_said),
        cmocka_unit_test (test_a_door_for_everybody_must_be_asked_for),
        cmocka_unit_test (test_what_is_wrong_with_a_list_of_nodes_is_said),
        cmocka_unit_test (test_numbers_out_of_their_range_are_refused),
        cmocka_unit_test (test_what_is_wrong_with_a_node_is_said),
        cmocka_unit_test (test_the_first_fault_is_told),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
