/* Goal: what ties the sources together: precedence, paths, positions, notices, enumeration, and the
 * texts made of the tables.
 * Method: the sample tables, filled from every source; for precedence all orders of calls. */
#include "test/unit/config/sample_tables.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static char *s_words (const char *text)
{
    return (char *)(uintptr_t)text;
}

static kv_status_t s_load (sample_t *sample, const char *path, const char *text, unsigned files)
{
    return config_load_bytes (sample->config, path, kv_slice_text (text), files);
}

/* Sets broker.port from one source: 1 a file, 2 the environment, 3 a flag; 0 nothing. */
static void s_give (sample_t *sample, int source)
{
    char *environment[] = {s_words ("KVDB_BROKER_PORT=2"), NULL};
    char *argv[] = {s_words ("program"), s_words ("--port=3"), NULL};
    kv_status_t status = KV_OK;
    if (source == 1)
        status = s_load (sample, "f.yaml", "broker.port: 1", SAMPLE_CLUSTER);
    else if (source == 2)
        status = config_environment (sample->config, environment);
    else if (source == 3)
        status = config_flags (sample->config, 2, argv, NULL);
    assert_int_equal (status, KV_OK);
}

/* E1: the highest source wins in every order, repetitions and absences included. */
static void test_precedence_in_every_order (void **state)
{
    (void)state;
    static const char *const positions[] = {"default", "f.yaml:1:14", "KVDB_BROKER_PORT", "--port"};
    for (int order = 0; order < 256; order++) {
        sample_t sample;
        int highest = 0;
        sample_start (&sample);
        for (int digit = 0; digit < 4; digit++) {
            int source = (order >> (2 * digit)) & 3;
            s_give (&sample, source);
            highest = source > highest ? source : highest;
        }
        size_t index;
        assert_true (config_find (sample.config, "broker.port", &index));
        assert_int_equal (sample.cluster.broker_port, highest == 0 ? 7000 : highest);
        assert_int_equal (config_source (sample.config, index), highest);
        char *position = config_position (sample.config, "broker.port", CONFIG_NO_ITEM, NULL);
        assert_string_equal (position, positions[highest]);
        free (position);
        sample_stop (&sample);
    }
}

static void test_a_later_file_replaces_an_earlier_one (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (
        s_load (&sample, "a.yaml", "nodes: [{id: a, port: 1}, {id: b, port: 2}]\nreplicas: 2", 1),
        KV_OK);
    assert_int_equal (s_load (&sample, "b.yaml", "nodes: [{id: c, port: 3}]", 1), KV_OK);
    const sample_item_t *items = sample.cluster.nodes.items;
    assert_int_equal (sample.cluster.nodes.count, 1);
    assert_string_equal (items[0].id, "c");
    assert_int_equal (sample.cluster.replicas, 2);
    sample_stop (&sample);
}

/* A value outranked by a flag is still checked, and a broken list leaves the old one alone (E4). */
static void test_a_bad_value_is_an_error_even_when_outranked (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    s_give (&sample, 3);
    assert_int_equal (s_load (&sample, "a.yaml", "nodes: [{id: a, port: 1}]", 1), KV_OK);
    assert_int_equal (s_load (&sample, "b.yaml", "nodes: [{id: b, port: 1}, {id: c}]", 1),
                      KV_CONFIG);
    const char *error = config_error (sample.config);
    assert_string_equal (error, "b.yaml:1:27: nodes[1].port is missing; give it as a number from 1 "
                                "to 65535");
    const sample_item_t *items = sample.cluster.nodes.items;
    assert_string_equal (items[0].id, "a");
    assert_int_equal (s_load (&sample, "c.yaml", "replicas: 2", 1), KV_CONFIG); // E2
    assert_ptr_equal (config_error (sample.config), error);
    assert_int_equal (sample.cluster.replicas, 1);
    sample_stop (&sample);
    sample_start (&sample);
    s_give (&sample, 3);
    assert_int_equal (s_load (&sample, "a.yaml", "broker.port: x", 1), KV_CONFIG);
    assert_int_equal (sample.cluster.broker_port, 3);
    sample_stop (&sample);
}

static void test_paths (void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"conf/sub/n.yaml", "data/x", "conf/sub/data/x"},
        {"/etc/kvdb/n.yaml", "../x", "/etc/kvdb/../x"},
        {"conf/n.yaml", "/abs/x", "/abs/x"},
        {"n.yaml", "data/x", "data/x"},
        {"/n.yaml", "x", "/x"},
        {"conf/n.yaml", "\"\"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        sample_t sample;
        sample_start (&sample);
        snprintf (text, sizeof text, "kvdb.persistence.filepath: %s", cases[i][1]);
        assert_int_equal (s_load (&sample, cases[i][0], text, SAMPLE_NODE), KV_OK);
        assert_string_equal (sample.node.file_path, cases[i][2]);
        sample_stop (&sample);
    }
    /* The sum of folder and path is bounded too. */
    char folder[CONFIG_PATH_BYTES_MAX];
    memset (folder, 'd', sizeof folder);
    strcpy (folder + sizeof folder - 8, "/n.yaml");
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (s_load (&sample, folder, "kvdb.persistence.filepath: 0123456789", 2),
                      KV_CONFIG);
    assert_non_null (strstr (config_error (sample.config), "is too long with its folder"));
    sample_stop (&sample);
}

static void test_positions_and_rejection (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (s_load (&sample, "d/c.yaml",
                              "# two\nnodes:\n  - id: a\n    port: 1\n  - port: 2\n    peer:\n"
                              "      port: 9\n    id: a\n",
                              SAMPLE_CLUSTER),
                      KV_OK);
    static const struct {
        size_t item;
        const char *field;
        const char *position;
    } cases[] = {
        {CONFIG_NO_ITEM, NULL, "d/c.yaml:3:3"},
        {0, NULL, "d/c.yaml:3:5"},
        {0, "id", "d/c.yaml:3:9"},
        {1, "port", "d/c.yaml:5:11"},
        {1, "peer.port", "d/c.yaml:7:13"},
        {1, "id", "d/c.yaml:8:9"},
        {1, "host", "d/c.yaml:5:5"}, /* left to its preset: the item's place */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *position = config_position (sample.config, "nodes", cases[i].item, cases[i].field);
        assert_string_equal (position, cases[i].position);
        free (position);
    }
    assert_int_equal (config_reject (sample.config, "nodes", 1, "id",
                                     "the id %s is taken; every node needs its own", "a"),
                      KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "d/c.yaml:8:9: the id a is taken; every node needs its own");
    sample_stop (&sample);
}

static void test_required_values (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (config_require (sample.config, "broker.port"), KV_OK);
    assert_int_equal (config_require (sample.config, "config"), KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "--config: missing; give a path of 1 to 4000 bytes");
    sample_stop (&sample);
    sample_start (&sample);
    assert_int_equal (s_load (&sample, "n.yaml", "{}", SAMPLE_NODE), KV_OK);
    assert_int_equal (s_load (&sample, "c.yaml", "replicas: 1", SAMPLE_CLUSTER), KV_OK);
    assert_int_equal (config_require (sample.config, "nodes"), KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "c.yaml:1:1: nodes is missing; give it as a list of 1 to 4 items with the "
                         "keys id, host, port, useGrpc, peer.host, peer.port");
    sample_stop (&sample);
}

static void test_notices_only_for_what_differs_from_the_preset (void **state)
{
    (void)state;
    char *argv[] = {s_words ("program"), s_words ("--legacy"), NULL};
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (
        s_load (&sample, "c.yaml", "nodes: [{id: a, port: 1, useGrpc: no}, {id: b, port: 1}]", 1),
        KV_OK);
    assert_int_equal (s_load (&sample, "n.yaml", "kvdb.legacy: off", 2), KV_OK);
    assert_null (config_notice (sample.config, 0));
    assert_int_equal (s_load (&sample, "c.yaml",
                              "nodes: [{id: a, port: 1, useGrpc: no}, "
                              "{id: b, port: 1, useGrpc: on}]",
                              1),
                      KV_OK);
    assert_int_equal (config_flags (sample.config, 2, argv, NULL), KV_OK);
    char *first = config_notice (sample.config, 0);
    char *second = config_notice (sample.config, 1);
    assert_string_equal (first, "c.yaml:1:66: nodes[1].useGrpc has no effect: all traffic is "
                                "ZeroMQ");
    assert_string_equal (second, "--legacy: kvdb.legacy has no effect: it went with the old "
                                 "format");
    assert_null (config_notice (sample.config, 2));
    free (first);
    free (second);
    sample_stop (&sample);
}

static void test_enumeration (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (s_load (&sample, "n.yaml", "kvdb.max_memory: 1m", SAMPLE_NODE), KV_OK);
    config_t *config = sample.config;
    assert_int_equal (config_count (config), 15);
    assert_string_equal (config_row (config, 0)->name, "nodes");
    size_t index;
    assert_false (config_find (config, "nonsense", &index));
    assert_true (config_find (config, "kvdb.max_memory", &index));
    assert_string_equal (config_source_name (config_source (config, index)), "file");
    sample.node.max_memory_bytes = 5 << 20; /* as a later CONFIG SET would */
    char *value = config_value (config, index);
    assert_string_equal (value, "5242880");
    free (value);
    assert_true (config_find (config, "kvdb.comment", &index));
    value = config_value (config, index);
    assert_string_equal (value, "");
    free (value);
    sample_stop (&sample);
}

/* Every row and its traits are in both texts; help keeps to its width. */
static void test_help_and_reference_show_every_row (void **state)
{
    (void)state;
    static const char *const help_parts[] = {"usage: program\n",
                                             "--port, --broker-port NUMBER",
                                             "-r, --replicas NUMBER",
                                             "KVDB_PERSISTENCE_FSYNC",
                                             "always, interval, never or off",
                                             "default 1 s",
                                             "from 1m to 1024g",
                                             "--legacy ",
                                             "--config PATH",
                                             "Cluster:",
                                             "Node:",
                                             "in a YAML file",
                                             "--help",
                                             "--version"};
    static const char *const reference_parts[] = {
        "# Options\n",
        "## Cluster\n",
        ("| `broker.port` | `--port`, `--broker-port` | `KVDB_BROKER_PORT` | a number from 1 to "
         "65535 | `7000` | Port for clients |"),
        "|  | `--id` |  | text of 1 to 63 bytes | unset | Name of this node |",
        "| `port` | a number from 1 to 65535 | required | Its direct door |",
        "No effect: all traffic is ZeroMQ |"};
    sample_t sample;
    sample_start (&sample);
    char *help = config_help (sample.config, "usage: program\n");
    char *reference = config_reference (sample.config, "Options");
    for (size_t i = 0; i < sizeof help_parts / sizeof help_parts[0]; i++) {
        if (!strstr (help, help_parts[i]))
            print_error ("no \"%s\" in:\n%s", help_parts[i], help);
        assert_non_null (strstr (help, help_parts[i]));
    }
    for (size_t i = 0; i < sizeof reference_parts / sizeof reference_parts[0]; i++) {
        if (!strstr (reference, reference_parts[i]))
            print_error ("no \"%s\" in:\n%s", reference_parts[i], reference);
        assert_non_null (strstr (reference, reference_parts[i]));
    }
    for (const char *line = help; *line; line += strcspn (line, "\n") + 1)
        assert_true (strcspn (line, "\n") <= 100);
    for (const char *at = strchr (help, '\n'); at > help; at = strchr (at + 1, '\n'))
        assert_true (at[-1] != ' ');
    free (help);
    free (reference);
    sample_stop (&sample);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_precedence_in_every_order),
        cmocka_unit_test (test_a_later_file_replaces_an_earlier_one),
        cmocka_unit_test (test_a_bad_value_is_an_error_even_when_outranked),
        cmocka_unit_test (test_paths),
        cmocka_unit_test (test_positions_and_rejection),
        cmocka_unit_test (test_required_values),
        cmocka_unit_test (test_notices_only_for_what_differs_from_the_preset),
        cmocka_unit_test (test_enumeration),
        cmocka_unit_test (test_help_and_reference_show_every_row),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
