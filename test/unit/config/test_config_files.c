/* Goal: what the two file formats accept, and the exact line for everything they refuse.
 * Method: tables of (text, expected) pairs, read from memory or, for faults of a file itself, from
 * a temporary folder. */
#include "test/unit/config/sample_tables.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *text;
    const char *error; /* NULL: accepted */
    unsigned files;    /* 0: all kinds */
} bad_t;

static void s_check (const char *path, const bad_t *bad)
{
    sample_t sample;
    sample_start (&sample);
    unsigned files = bad->files ? bad->files : SAMPLE_CLUSTER | SAMPLE_NODE;
    kv_status_t status = config_load_bytes (sample.config, path, kv_slice_text (bad->text), files);
    const char *error = config_error (sample.config);
    if (bad->error) {
        assert_int_equal (status, KV_CONFIG);
        assert_string_equal (error, bad->error);
        assert_true (sample_error_is_valid (error, path));
    } else {
        if (error)
            print_error ("%s\nfor: %s\n", error, bad->text);
        assert_int_equal (status, KV_OK);
        assert_null (error);
    }
    assert_true (sample_is_valid (&sample)); // E4
    sample_stop (&sample);
}

static void test_yaml_refusals (void **state)
{
    (void)state;
    static const bad_t cases[] = {
        {"prot: 1\nbroker: {host: a}",
         "c.yaml:1:1: unknown key \"prot\"; --help lists those that are allowed", 0},
        {"replica: 1", "c.yaml:1:1: unknown key \"replica\"; did you mean replicas?", 0},
        {"broker:\n  host: a\n  host: b",
         "c.yaml:3:3: broker.host is given twice, first on line 2; allowed is once", 0},
        {"broker: {host: a}\nbroker: {port: 1}",
         "c.yaml:2:1: broker is given twice, first on line 1; allowed is once", 0},
        {"broker: {host: a}\nbroker.host: b",
         "c.yaml:2:1: broker.host is given twice, first on line 1; allowed is once", 0},
        {"replicas: 1\n\"replicas\": 1",
         "c.yaml:2:1: replicas is given twice, first on line 1; allowed is once", 0},
        {"broker: &b\n  port: 1",
         "c.yaml:1:9: an anchor (&) is not supported; allowed is the value alone", 0},
        {"replicas: &r 1",
         "c.yaml:1:11: an anchor (&) is not supported; allowed is the value alone", 0},
        {"broker: *b", "c.yaml:1:9: an alias (*) is not supported; allowed is the value itself", 0},
        {"replicas: !!int 1", "c.yaml:1:11: a tag (!) is not supported; allowed is the value alone",
         0},
        {"<<: {replicas: 1}", "c.yaml:1:1: unknown key \"<<\"; --help lists those that are allowed",
         0},
        {"replicas: 1\n---\nreplicas: 2",
         "c.yaml:2:1: a second document begins; allowed is one in a file", 0},
        {"? [a]\n: 1", "c.yaml:1:3: the key is a mapping or a list; allowed is a name", 0},
        {"{a: b}: 1", "c.yaml:1:1: the key is a mapping or a list; allowed is a name", 0},
        {"broker:\n  port: seven",
         "c.yaml:2:9: broker.port: \"seven\" is not a whole number; allowed is a number from 1 to "
         "65535",
         0},
        {"broker.port: 70000",
         "c.yaml:1:14: broker.port: \"70000\" is out of range; allowed is a number from 1 to 65535",
         0},
        {"broker.port: 99999999999999999999",
         "c.yaml:1:14: broker.port: \"99999999999999999999\" is out of range; allowed is a number "
         "from 1 to 65535",
         0},
        {"broker.port: 18446744073709558616", /* 2^64 + 7000 */
         "c.yaml:1:14: broker.port: \"18446744073709558616\" is out of range; allowed is a number "
         "from "
         "1 to 65535",
         0},
        {"kvdb.max_memory: 17179869185g", /* 2^64 + 1 g */
         "c.yaml:1:18: kvdb.max_memory: \"17179869185g\" is out of range; allowed is a size from "
         "1m to 1024g",
         0},
        {"broker: {port: -}",
         "c.yaml:1:16: broker.port: \"-\" is not a whole number; allowed is a number from 1 to "
         "65535",
         0},
        {"replicas: - 1",
         "c.yaml:1:11: not valid YAML, block sequence entries are not allowed in this context; "
         "allowed is `key: value`, indented by spaces",
         0},
        {"broker.port:",
         "c.yaml:1:13: broker.port has no value; allowed is a number from 1 to 65535", 0},
        {"broker.port: ~",
         "c.yaml:1:14: broker.port has no value; allowed is a number from 1 to 65535", 0},
        {"broker.host: ''",
         "c.yaml:1:14: broker.host: \"\" is empty; allowed is text of 1 to 255 bytes", 0},
        {"broker.host: [a, b]",
         "c.yaml:1:14: broker.host is not a single value; allowed is text of 1 to 255 bytes", 0},
        {"broker: 7",
         "c.yaml:1:9: broker is not a mapping; allowed are its keys, indented below it", 0},
        {"broker.host: |\n  a\n",
         "c.yaml:1:14: broker.host: \"a\\x0a\" is not on one line: it holds a control character; "
         "allowed is text of 1 to 255 bytes",
         0},
        {"broker.host: \"a\\0b\"",
         "c.yaml:1:14: broker.host: \"a\\x00b\" is not on one line: it holds a control character; "
         "allowed is text of 1 to 255 bytes",
         0},
        {"\"broker\\0\": 1", "c.yaml:1:1: the key holds a control character; allowed is a name", 0},
        {"- a", "c.yaml:1:1: the file is not a mapping; allowed is `key: value`", 0},
        {"just words", "c.yaml:1:1: the file is not a mapping; allowed is `key: value`", 0},
        {"---\n...\n", "c.yaml:2:1: the file is not a mapping; allowed is `key: value`", 0},
        {"broker:\n\tport: 1",
         "c.yaml:2:1: not valid YAML, found character that cannot start any "
         "token; allowed is `key: value`, indented by spaces",
         0},
        {"replicas: {",
         "c.yaml:1:11: replicas is not a single value; allowed is a number from 0 to "
         "8",
         0},
        {"kvdb: {persistence: {fsync: sometimes}}",
         "c.yaml:1:29: kvdb.persistence.fsync: \"sometimes\" is not one of the choices; allowed is "
         "always, interval, never or off",
         0},
        {"kvdb.persistence.enableAutoFlush: maybe",
         "c.yaml:1:35: kvdb.persistence.enableAutoFlush: \"maybe\" is neither true nor false; "
         "allowed is true or false",
         0},
        {"kvdb.max_memory: 1t",
         "c.yaml:1:18: kvdb.max_memory: \"1t\" is not a size; allowed is a size from 1m to 1024g",
         0},
        {"kvdb.max_memory: 99999999999g",
         "c.yaml:1:18: kvdb.max_memory: \"99999999999g\" is out of range; allowed is a size from "
         "1m "
         "to 1024g",
         0},
        {"kvdb.comment: 0123456789012345678901234567890123456789x",
         "c.yaml:1:15: kvdb.comment: \"0123456789012345678901234567890123456789x\" is too long; "
         "allowed is text of up to 40 bytes",
         0},
        {"config: x",
         "c.yaml:1:1: config has no place in a file; allowed is the flag --config only", 0},
        {"kvdb.legacy: yes",
         "c.yaml:1:1: kvdb.legacy has no place in this file; allowed is it in "
         "another one of the program's files",
         SAMPLE_CLUSTER},
        {"broker.queue: 1",
         "c.yaml:1:1: unknown key \"broker.queue\"; --help lists those that are allowed",
         SAMPLE_NODE},
        {"broker:\n  queue: {a: [{b: [1, {c: [[[[1]]]]}]}]}",
         "c.yaml:2:28: nested too deeply; at most 8 levels are allowed", SAMPLE_CLUSTER},
        {"broker: {queue: *a}",
         "c.yaml:1:17: an alias (*) is not supported; allowed is the value itself", SAMPLE_CLUSTER},
        {"broker: {queue: 1, queue: 2}",
         "c.yaml:1:20: broker.queue is given twice, first on line 1; allowed is once",
         SAMPLE_CLUSTER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        s_check ("c.yaml", &cases[i]);
}

static void test_yaml_list_refusals (void **state)
{
    (void)state;
    static const bad_t cases[] = {
        {"nodes:\n  - id: a\n    port: 1\n    prot: 2",
         "c.yaml:4:5: unknown key nodes[0].prot; allowed are id, host, port, useGrpc, peer.host, "
         "peer.port",
         0},
        {"nodes:\n  - id: a\n    port: 1\n    id: b",
         "c.yaml:4:5: nodes[0].id is given twice, first on line 2; allowed is once", 0},
        {"nodes: [{id: a, port: 1}, {id: b}]",
         "c.yaml:1:27: nodes[1].port is missing; give it as a number from 1 to 65535", 0},
        {"nodes: [{port: 1}]",
         "c.yaml:1:9: nodes[0].id is missing; give it as text of 1 to 63 bytes", 0},
        {"nodes: [{id: a, port: x}]",
         "c.yaml:1:23: nodes[0].port: \"x\" is not a whole number; allowed is a number from 1 to "
         "65535",
         0},
        {"nodes: []", "c.yaml:1:8: nodes has too few items; allowed are 1 to 4", 0},
        {"nodes: [{id: a, port: 1}, {id: a, port: 1}, {id: a, port: 1}, {id: a, port: 1}, {id: a}]",
         "c.yaml:1:81: nodes has too many items; at most 4 are allowed", 0},
        {"nodes: 3",
         "c.yaml:1:8: nodes is not a list; allowed is a list of items, each `- key: value`", 0},
        {"nodes:",
         "c.yaml:1:7: nodes is not a list; allowed is a list of items, each `- key: value`", 0},
        {"nodes: {id: a}",
         "c.yaml:1:8: nodes is not a list; allowed is a list of items, each `- key: value`", 0},
        {"nodes: [a]", "c.yaml:1:9: the item is not a mapping; allowed is `- key: value`", 0},
        {"nodes: [[{id: a}]]", "c.yaml:1:9: the item is not a mapping; allowed is `- key: value`",
         0},
        {"nodes: [{id: a, port: 1, peer: {host: x}, peer: {port: 1}}]",
         "c.yaml:1:43: nodes[0].peer is given twice, first on line 1; allowed is once", 0},
        {"nodes: [{id: a, port: 1, peer: {host: x}, peer.host: y}]",
         "c.yaml:1:43: nodes[0].peer.host is given twice, first on line 1; allowed is once", 0},
        {"nodes: [{id: a, port: 1, peer: 7}]",
         "c.yaml:1:32: peer is not a mapping; allowed are its keys, indented below it", 0},
        {"nodes: [{id: {a: b}}]",
         "c.yaml:1:14: id is not a single value; allowed is text of 1 to 63 bytes", 0},
        {"nodes: [{id: a, port: 1}]\nnodes: [{id: a, port: 1}]",
         "c.yaml:2:1: nodes is given twice, first on line 1; allowed is once", 0},
        {"nodes.id: a", "c.yaml:1:1: unknown key \"nodes.id\"; did you mean nodes?", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        s_check ("c.yaml", &cases[i]);
}

static void test_properties_refusals (void **state)
{
    (void)state;
    static const bad_t cases[] = {
        {"# fine\nkvdb.persistance.fsync=always",
         "n.properties:2:1: unknown key \"kvdb.persistance.fsync\"; did you mean "
         "kvdb.persistence.fsync?",
         0},
        {"replicas=1\n\nreplicas=1",
         "n.properties:3:1: replicas is given twice, first on line 1; allowed is once", 0},
        {"replicas",
         "n.properties:1:1: replicas has no value; allowed is `key=value` or `key: value`", 0},
        {"replicas   ",
         "n.properties:1:1: replicas has no value; allowed is `key=value` or `key: value`", 0},
        {"replicas=", "n.properties:1:10: replicas: \"\" is empty; allowed is a number from 0 to 8",
         0},
        {"  broker.port = x",
         "n.properties:1:17: broker.port: \"x\" is not a whole number; allowed is a number from 1 "
         "to "
         "65535",
         0},
        {"broker.port = \\\r\n   x",
         "n.properties:2:4: broker.port: \"x\" is not a whole number; allowed is a number from 1 "
         "to "
         "65535",
         0},
        {"=1", "n.properties:1:1: unknown key \"\"; --help lists those that are allowed", 0},
        {"replicas==1",
         "n.properties:1:10: replicas: \"=1\" is not a whole number; allowed is a number from 0 to "
         "8",
         0},
        {"kvdb.comment=\\u12g4",
         "n.properties:1:14: \\u is not followed by four digits; allowed is "
         "\\uXXXX, hexadecimal",
         0},
        {"kvdb.comment=\\ud83d",
         "n.properties:1:14: half a surrogate pair; allowed are two \\uXXXX "
         "that belong together",
         0},
        {"kvdb.comment=\\ud83d\\u0041",
         "n.properties:1:14: half a surrogate pair; allowed are two "
         "\\uXXXX that belong together",
         0},
        {"kvdb.comment=\\ude00",
         "n.properties:1:14: half a surrogate pair; allowed are two \\uXXXX "
         "that belong together",
         0},
        {"kvdb.comment=a\\u0000b",
         "n.properties:1:14: kvdb.comment: \"a\\x00b\" is not on one line: it holds a control "
         "character; allowed is text of up to 40 bytes",
         0},
        {"kvdb.comment=a\\nb",
         "n.properties:1:14: kvdb.comment: \"a\\x0ab\" is not on one line: it holds a control "
         "character; allowed is text of up to 40 bytes",
         0},
        {"kvdb\\u0000=1", "n.properties:1:5: the key holds a control character; allowed is a name",
         0},
        {"kvdb.comment=\\",
         "n.properties:1:14: a backslash ends the file; allowed is a line after "
         "it",
         0},
        {"nodes=a", "n.properties:1:1: nodes is a list; allowed is it in a YAML file", 0},
        {"kvdb.persistence=a",
         "n.properties:1:1: kvdb.persistence is the beginning of a key; "
         "allowed is a whole one",
         0},
        {"id=node1", "n.properties:1:1: id has no place in a file; allowed is the flag --id only",
         0},
        {"caf\xc3\xa9 \x01",
         "n.properties:1:6: character U+0001 is not text; allowed is UTF-8 text", 0},
        {"# a\r# b\r\n\x01",
         "n.properties:3:1: character U+0001 is not text; allowed is UTF-8 text", 0},
        {"# \xc0\xaf", "n.properties:1:3: byte 0xc0 is not UTF-8; allowed is UTF-8 text", 0},
        {"# \xe0\x80\xaf", "n.properties:1:3: byte 0xe0 is not UTF-8; allowed is UTF-8 text", 0},
        {"\xc3(", "n.properties:1:1: byte 0xc3 is not UTF-8; allowed is UTF-8 text", 0},
        {"# \xed\xa0\x80", "n.properties:1:3: byte 0xed is not UTF-8; allowed is UTF-8 text", 0},
        {"\n\n  \t\n",
         "n.properties:1:1: the file is empty; allowed are settings, or at least a "
         "comment",
         0},
        {"", "n.properties:1:1: the file is empty; allowed are settings, or at least a comment", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        s_check ("n.properties", &cases[i]);
}

static void test_acceptance (void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *text;
        const char *name;
        const char *value;
    } cases[] = {
        {"c.yaml", "broker: {port: 7100}", "broker.port", "7100"},
        {"c.yml", "broker.port: 7100", "broker.port", "7100"},
        {"C.YAML",
         "\xef\xbb\xbf"
         "broker: {port: \"7100\"}",
         "broker.port", "7100"},
        {"c.yaml", "kvdb:\n  persistence.fsync: Always", "kvdb.persistence.fsync", "always"},
        {"c.yaml", "kvdb: {persistence: {fsync: off}}", "kvdb.persistence.fsync", "off"},
        {"c.yaml", "kvdb: {persistence: }", "kvdb.persistence.fsync", "interval"},
        {"c.yaml", "# nothing but a comment\n", "broker.port", "7000"},
        {"c.yaml", "{}", "broker.port", "7000"},
        {"c.yaml", "%YAML 1.1\n---\nreplicas: 0\n...\n", "replicas", "0"},
        {"c.yaml", "replicas: +3", "replicas", "3"},
        {"c.yaml", "kvdb.comment: 'it''s: a # b'", "kvdb.comment", "it's: a # b"},
        {"c.yaml", "kvdb.comment: \"\\u00e9\"", "kvdb.comment", "\xc3\xa9"},
        {"c.yaml", "kvdb.comment: 'null'", "kvdb.comment", "null"},
        {"c.yaml", "kvdb.comment: ''", "kvdb.comment", ""},
        {"c.yaml", "kvdb.offset: -9223372036854775808", "kvdb.offset", "-9223372036854775808"},
        {"c.yaml", "kvdb.offset: 9223372036854775807", "kvdb.offset", "9223372036854775807"},
        {"c.yaml", "kvdb.max_memory: 64M", "kvdb.max_memory", "67108864"},
        {"c.yaml", "broker: {queue: [1, {a: b}], host: h}", "broker.host", "h"},
        {"c.yaml", "broker.queue: {a: 1}\nclient: {tuning: {x: 1}}\nreplicas: 2", "replicas", "2"},
        {"c.yaml", "nodes: [{id: a, port: 1}, {id: b, port: 2, peer: {port: 3}}]", "nodes",
         "2 items"},
        {"n.properties", "broker.port=7100", "broker.port", "7100"},
        {"n.properties", "broker.port: 7100\r\nreplicas 2\r\n", "replicas", "2"},
        {"n.properties", "  ! a\n# b \\\nbroker.port\t=\t7100  ", "broker.port", "7100"},
        {"n.properties", "broker.\\\n   port = 71\\\n   00", "broker.port", "7100"},
        {"n.properties", "broker.port=7100\rreplicas=2", "replicas", "2"},
        {"n.properties", "kvdb.comment = a b\\ \\ ", "kvdb.comment", "a b  "},
        {"n.properties", "kvdb.comment = a b   ", "kvdb.comment", "a b"},
        {"n.properties", "kvdb.comment = \\  x", "kvdb.comment", "  x"},
        {"n.properties", "kvdb.comment=C:\\\\x\\:y\\=z\\#", "kvdb.comment", "C:\\x:y=z#"},
        {"n.properties", "kvdb.comment==x", "kvdb.comment", "=x"},
        {"n.properties", "kvdb.comment = : x", "kvdb.comment", ": x"},
        {"n.properties", "kvdb.comment : = x", "kvdb.comment", "= x"},
        {"n.properties", "kvdb.comment=\\ud83d\\uDE00 \\u00e9\\u20AC", "kvdb.comment",
         "\xf0\x9f\x98\x80 \xc3\xa9\xe2\x82\xac"},
        {"n.properties", "kvdb.\\u0063omment=x", "kvdb.comment", "x"},
        {"n.properties", "kvdb.comment=", "kvdb.comment", ""},
        {"n.properties", "broker.other=1\nreplicas=2", "replicas", "2"},
        {"n.properties", "kvdb.max_memory=2g", "kvdb.max_memory", "2147483648"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        s_check (cases[i].path, &(bad_t){cases[i].text, NULL, 0});
        sample_t sample;
        sample_start (&sample);
        assert_int_equal (
            config_load_bytes (sample.config, cases[i].path, kv_slice_text (cases[i].text), 3),
            KV_OK);
        size_t index;
        assert_true (config_find (sample.config, cases[i].name, &index));
        char *value = config_value (sample.config, index);
        assert_string_equal (value, cases[i].value);
        free (value);
        sample_stop (&sample);
    }
}

/* Goal: the original's files load as they are, with the meaning they had. */
static void test_original_files (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (
        config_load (sample.config, "test/golden/original/cluster-config.yaml", SAMPLE_CLUSTER),
        KV_OK);
    assert_int_equal (config_load (sample.config,
                                   "test/golden/original/node1/application.properties",
                                   SAMPLE_NODE),
                      KV_OK);
    const sample_item_t *items = sample.cluster.nodes.items;
    assert_int_equal (sample.cluster.nodes.count, 2);
    assert_string_equal (items[0].id, "node1");
    assert_string_equal (items[1].id, "node2");
    assert_string_equal (items[1].host, "127.0.0.1");
    assert_int_equal (items[0].port, 8081);
    assert_int_equal (items[1].port, 8082);
    assert_true (items[1].use_grpc);
    assert_string_equal (sample.node.file_path, "test/golden/original/node1/data/kvstore.dat");
    assert_true (sample.node.auto_flush);
    assert_int_equal (sample.node.auto_flush_s, 2);
    char *notice = config_notice (sample.config, 0);
    assert_string_equal (notice, "test/golden/original/cluster-config.yaml:5:14: nodes[0].useGrpc "
                                 "has no effect: all traffic is ZeroMQ (and 1 more)");
    free (notice);
    assert_null (config_notice (sample.config, 1));
    sample_stop (&sample);
}

static void test_sample_files (void **state)
{
    (void)state;
    static const char *const nodes[] = {"config/samples/node.yaml",
                                        "config/samples/node.properties",
                                        "test/golden/original/node2/application.properties"};
    for (size_t i = 0; i < 3; i++) {
        sample_t sample;
        sample_start (&sample);
        kv_status_t status =
            config_load (sample.config, "config/samples/cluster.yaml", SAMPLE_CLUSTER);
        if (status == KV_OK)
            status = config_load (sample.config, nodes[i], SAMPLE_NODE);
        if (status != KV_OK)
            print_error ("%s\n", config_error (sample.config));
        assert_int_equal (status, KV_OK);
        sample_stop (&sample);
    }
}

/* The error for a file given by path; the caller frees it. */
static char *s_file_error (const char *path)
{
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (config_load (sample.config, path, 3), KV_CONFIG);
    char *error = strdup (config_error (sample.config));
    sample_stop (&sample);
    return error;
}

static void s_expect_file_error (const char *path, const char *rest)
{
    char *error = s_file_error (path);
    assert_true (strncmp (error, path, strlen (path)) == 0);
    assert_string_equal (error + strlen (path), rest);
    free (error);
}

/* A file of `size` bytes of comment lines, each `line` bytes long. */
static void s_write_comments (const char *path, size_t size, size_t line)
{
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    for (size_t i = 0; i < size; i++)
        fputc ((i + 1) % line == 0 ? '\n' : '#', file);
    assert_int_equal (fclose (file), 0);
}

static void test_file_faults (void **state)
{
    (void)state;
    char folder[] = "/tmp/kvdb-config-XXXXXX";
    char path[100];
    assert_non_null (mkdtemp (folder));
    snprintf (path, sizeof path, "%s/none.yaml", folder);
    s_expect_file_error (path, ":1:1: cannot be read: No such file or directory; allowed is a "
                               "readable file");
    snprintf (path, sizeof path, "%s/pipe.yaml", folder);
    assert_int_equal (mkfifo (path, 0600), 0);
    s_expect_file_error (path, ":1:1: cannot be read: not a regular file; allowed is a readable "
                               "file");
    unlink (path);
    snprintf (path, sizeof path, "%s/big.yaml", folder);
    s_write_comments (path, CONFIG_FILE_BYTES_MAX + 1, 64);
    s_expect_file_error (path, ":1:1: the file is too big; at most 1048576 bytes are allowed");
    s_write_comments (path, CONFIG_FILE_BYTES_MAX, CONFIG_LINE_BYTES_MAX + 1);
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (config_load (sample.config, path, 3), KV_OK);
    sample_stop (&sample);
    s_write_comments (path, 3 * CONFIG_LINE_BYTES_MAX, CONFIG_LINE_BYTES_MAX + 2);
    s_expect_file_error (path, ":1:4097: the line is too long; at most 4096 bytes are allowed");
    unlink (path);
    s_expect_file_error (folder, ":1:1: cannot be read: not a regular file; allowed is a readable "
                                 "file");
    snprintf (path, sizeof path, "%s/file.json", folder);
    s_write_comments (path, 10, 20);
    s_expect_file_error (path, ":1:1: the format is unknown; allowed are .yaml, .yml and "
                               ".properties");
    unlink (path);
    assert_int_equal (rmdir (folder), 0);
}

/* Goal: bytes that C strings cannot hold, and bounds that need long input. */
static void test_bytes_and_bounds (void **state)
{
    (void)state;
    sample_t sample;
    sample_start (&sample);
    assert_int_equal (config_load_bytes (sample.config, "z.yaml", kv_slice ("a: \0", 4), 3),
                      KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "z.yaml:1:4: character U+0000 is not text; allowed is UTF-8 text");
    sample_stop (&sample);

    char *text = malloc (200000);
    assert_non_null (text);
    size_t size = 0;
    for (int i = 0; i <= CONFIG_KEYS_MAX; i++)
        size += (size_t)sprintf (text + size, "broker.k%d: 1\n", i);
    sample_start (&sample);
    assert_int_equal (config_load_bytes (sample.config, "z.yaml", kv_slice (text, size), 3),
                      KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "z.yaml:4097:1: too many keys; at most 4096 are allowed in a file");
    sample_stop (&sample);

    memset (text, 'k', 1000);
    strcpy (text + 300, ": 1");
    sample_start (&sample);
    assert_int_equal (config_load_bytes (sample.config, "z.yaml", kv_slice_text (text), 3),
                      KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "z.yaml:1:1: the key is too long; at most 255 bytes are allowed");
    sample_stop (&sample);
    sample_start (&sample);
    assert_int_equal (config_load_bytes (sample.config, "z.properties", kv_slice_text (text), 3),
                      KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "z.properties:1:256: the key is too long; at most 255 bytes are allowed");
    sample_stop (&sample);

    /* Continued lines add up, though each is short enough. */
    size = (size_t)sprintf (text, "kvdb.comment=");
    for (int i = 0; i < 100; i++)
        size += (size_t)sprintf (text + size, "%060d\\\n", 0);
    sample_start (&sample);
    assert_int_equal (config_load_bytes (sample.config, "z.properties", kv_slice (text, size), 3),
                      KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "z.properties:69:17: the value is too long; at most 4096 bytes are "
                         "allowed");
    sample_stop (&sample);

    memset (text, '[', 100000);
    sample_start (&sample);
    assert_int_equal (config_load_bytes (sample.config, "z.yaml", kv_slice (text, 4000), 3),
                      KV_CONFIG);
    sample_stop (&sample);
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_yaml_refusals),       cmocka_unit_test (test_yaml_list_refusals),
        cmocka_unit_test (test_properties_refusals), cmocka_unit_test (test_acceptance),
        cmocka_unit_test (test_original_files),      cmocka_unit_test (test_sample_files),
        cmocka_unit_test (test_file_faults),         cmocka_unit_test (test_bytes_and_bounds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
