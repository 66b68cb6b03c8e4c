/* Goal: K1-K4 of cluster_options.h; each fault is told with its place and what to do.
 * Method: a good file's worth of options, made wrong in one place at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/cluster_options.h"
#include "schema/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    cluster_options_t options;
    cluster_node_t nodes[3];
    char ids[3][128];
    char hosts[3][300];
    char broker_host[300];
} sample_t;

static void s_make (sample_t *self)
{
    *self = (sample_t){.options = {.nodes = {.items = self->nodes, .count = 3},
                                   .broker_host = self->broker_host,
                                   .broker_port = 7000,
                                   .shards = 64,
                                   .max_value_bytes = 1024 * 1024,
                                   .beacon_ms = KV_BEACON_MS_DEFAULT,
                                   .lease_ms = KV_LEASE_MS_DEFAULT,
                                   .grace_ms = KV_GRACE_MS_DEFAULT},
                       .broker_host = "127.0.0.1"};
    for (int i = 0; i < 3; i++) {
        snprintf (self->ids[i], sizeof self->ids[i], "node%d", i + 1);
        snprintf (self->hosts[i], sizeof self->hosts[i], "127.0.0.1");
        self->nodes[i] =
            (cluster_node_t){.id = self->ids[i], .host = self->hosts[i], .port = 8081 + i};
    }
}

static void s_good (const sample_t *sample)
{
    cluster_fault_t fault = {.text = ""};
    kv_status_t status = cluster_options_check (&sample->options, &fault);
    assert_string_equal (fault.text, "");
    assert_int_equal (status, KV_OK);
}

static void s_bad (const sample_t *sample, const char *name, size_t item, const char *field,
                   const char *hint)
{
    cluster_fault_t fault;
    assert_int_equal (cluster_options_check (&sample->options, &fault), KV_CONFIG);
    assert_string_equal (fault.name, name);
    assert_int_equal (fault.item, item);
    if (field)
        assert_string_equal (fault.field, field);
    else
        assert_null (fault.field);
    if (!strstr (fault.text, hint))
        fail_msg ("no \"%s\" in: %s", hint, fault.text);
}

static void test_node_ids (void **state)
{
    (void)state;
    static const char *const good[] = {"a", "7", "node-1.eu_West", "Z"};
    static const char *const bad[] = {"",    ".",    "-a",  "_a",       "a b",
                                      "a/b", "../x", "a\n", "n\xc3\xb6"};
    sample_t sample;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        s_make (&sample);
        strcpy (sample.ids[1], good[i]);
        s_good (&sample);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        s_make (&sample);
        strcpy (sample.ids[1], bad[i]);
        s_bad (&sample, "nodes", 1, "id", "is no node id"); // K1
    }
    s_make (&sample);
    memset (sample.ids[1], 'x', KV_NODE_ID_BYTES_MAX);
    s_good (&sample);
    sample.ids[1][KV_NODE_ID_BYTES_MAX] = 'x';
    s_bad (&sample, "nodes", 1, "id", "is no node id");
    strcpy (sample.ids[1], "Broker");
    memset (sample.ids[1] + 6, 0, sizeof sample.ids[1] - 6);
    s_bad (&sample, "nodes", 1, "id", "another id");
    strcpy (sample.ids[1], "node3");
    s_bad (&sample, "nodes", 2, "id", "ids must differ");
}

static void test_doors_must_differ (void **state)
{
    (void)state;
    sample_t sample;
    s_make (&sample);
    sample.nodes[2].port = 8081;
    s_bad (&sample, "nodes", 2, "port", "node1 and node3"); // K3
    strcpy (sample.hosts[2], "10.0.0.3");
    s_good (&sample);
    sample.nodes[0].port = 7000;
    s_bad (&sample, "nodes", 0, "port", "the broker uses 7000 for clients and 7001 for nodes");
    sample.nodes[0].port = 7001;
    s_bad (&sample, "nodes", 0, "port", "choose another port");
    strcpy (sample.broker_host, "broker.example.org");
    s_good (&sample);
}

static void test_hosts (void **state)
{
    (void)state;
    static const char *const good[] = {"::1", "[fe80::1%eth0]", "n1.example.org", "10.0.0.1"};
    static const char *const bad[] = {"a b", "a/b", "tcp://a", "a;b", "a\n"};
    sample_t sample;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        s_make (&sample);
        strcpy (sample.hosts[0], good[i]);
        strcpy (sample.broker_host, good[i]);
        s_good (&sample);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        s_make (&sample);
        strcpy (sample.hosts[0], bad[i]);
        s_bad (&sample, "nodes", 0, "host", "is no host");
        s_make (&sample);
        strcpy (sample.broker_host, bad[i]);
        s_bad (&sample, "broker.host", SIZE_MAX, NULL, "is no host");
    }
}

static void test_sizes (void **state)
{
    (void)state;
    sample_t sample;
    s_make (&sample);
    sample.options.nodes.count = 0;
    s_bad (&sample, "nodes", SIZE_MAX, NULL, "list at least one"); // K2
    s_make (&sample);
    sample.options.shards = 3;
    s_good (&sample);
    sample.options.shards = 2;
    s_bad (&sample, "shards", SIZE_MAX, NULL, "3 nodes cannot share 2 shards"); // K2
    s_make (&sample);
    sample.options.replicas = 1;
    s_bad (&sample, "replicas", SIZE_MAX, NULL, "set replicas: 0");
    sample.options.nodes.count = 1;
    s_bad (&sample, "replicas", SIZE_MAX, NULL, "at least 2 nodes"); // K2
}

static void test_times (void **state)
{
    (void)state;
    sample_t sample;
    s_make (&sample);
    sample.options.beacon_ms = 83;
    s_good (&sample);
    sample.options.beacon_ms = 84;
    s_bad (&sample, "lease_ms", SIZE_MAX, NULL, "raise it to 252"); // K4
    s_make (&sample);
    sample.options.grace_ms = KV_LEASE_MS_DEFAULT;
    s_bad (&sample, "grace_ms", SIZE_MAX, NULL, "not more than lease_ms"); // K4
    sample.options.grace_ms++;
    s_good (&sample);
}

/* The rows hold to O2 and O3 of option.h, and their presets to the defaults in limits.h. */
static void test_rows (void **state)
{
    (void)state;
    static const struct {
        const char *name;
        long preset;
    } defaults[] = {{"shards", KV_SHARDS_DEFAULT},
                    {"beacon_ms", KV_BEACON_MS_DEFAULT},
                    {"lease_ms", KV_LEASE_MS_DEFAULT},
                    {"grace_ms", KV_GRACE_MS_DEFAULT},
                    {"broker.port", 7000},
                    {"replicas", 0}};
    size_t found = 0;
    for (const kv_option_t *row = cluster_options_rows; row->name; row++) {
        assert_true (row->offset < sizeof (cluster_options_t));
        assert_non_null (row->help);
        assert_true (row->min <= row->max);
        if (row->type == KV_OPTION_NUMBER) {
            long preset = strtol (row->preset, NULL, 10);
            assert_true (preset >= row->min && preset <= row->max); // O3
        }
        for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
            if (strcmp (row->name, defaults[i].name) == 0) {
                assert_int_equal (strtol (row->preset, NULL, 10), defaults[i].preset);
                found++;
            }
        }
        if (strcmp (row->name, "max_value_bytes") == 0) {
            assert_string_equal (row->preset, "64m");
            assert_int_equal (KV_VALUE_BYTES_DEFAULT, 64 * 1024 * 1024);
        }
    }
    assert_int_equal (found, sizeof defaults / sizeof defaults[0]);
}

static void test_endpoints (void **state)
{
    (void)state;
    char text[40];
    assert_true (cluster_endpoint ("127.0.0.1", 7000, text, sizeof text));
    assert_string_equal (text, "tcp://127.0.0.1:7000");
    assert_true (cluster_endpoint ("::1", 7001, text, sizeof text));
    assert_string_equal (text, "tcp://[::1]:7001");
    assert_true (cluster_endpoint ("[::1]", 7001, text, sizeof text));
    assert_string_equal (text, "tcp://[::1]:7001");
    assert_false (
        cluster_endpoint ("a-host-name-that-is-rather-long.example.org", 1, text, sizeof text));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_node_ids),  cmocka_unit_test (test_doors_must_differ),
        cmocka_unit_test (test_hosts),     cmocka_unit_test (test_sizes),
        cmocka_unit_test (test_times),     cmocka_unit_test (test_rows),
        cmocka_unit_test (test_endpoints),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
