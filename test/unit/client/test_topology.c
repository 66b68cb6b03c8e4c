/* Goal: what servers say about owners is read if it has its form, and nothing else can hurt.
 * Method: one map written by hand; every prefix of it, and every byte of it changed, must be refused or
 * read within bounds (AddressSanitizer watches). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "client/topology.h"
#include "schema/writer.h"

static writer_t s_topology (void)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", ""};
    writer_t out = writer_make (SIZE_MAX);
    writer_map (&out, 5);
    writer_cstr (&out, "new");
    writer_array (&out, 1);
    writer_nil (&out);
    writer_cstr (&out, "epoch");
    writer_uint (&out, 7);
    writer_cstr (&out, "shards");
    writer_uint (&out, 4);
    writer_cstr (&out, "nodes");
    writer_array (&out, 3);
    for (uint32_t i = 0; i < 3; i++) {
        writer_map (&out, 2);
        writer_cstr (&out, "port");
        writer_uint (&out, 8001 + i);
        writer_cstr (&out, "host");
        writer_cstr (&out, hosts[i]);
    }
    writer_cstr (&out, "owners");
    writer_array (&out, 4);
    for (uint32_t i = 0; i < 4; i++)
        writer_uint (&out, i % 3);
    return out;
}

static void test_topology_is_read (void **state)
{
    (void)state;
    topology_t topology;
    writer_t text = s_topology ();
    assert_int_equal (topology_read (kv_slice (text.data, text.size), &topology), KV_OK);
    assert_int_equal (topology.epoch, 7);
    assert_int_equal (topology.shards, 4);
    assert_int_equal (topology.nodes, 3);
    assert_string_equal (topology.endpoints[0], "tcp://127.0.0.1:8001");
    assert_string_equal (topology.endpoints[1], "tcp://[::1]:8002");
    assert_string_equal (topology.endpoints[2], "");
    assert_int_equal (topology.owners[2], 2);
    assert_int_equal (topology.owners[3], 0);
    topology_free (&topology);
    writer_free (&text);
}

static void test_topology_damaged_is_refused_or_sound (void **state)
{
    (void)state;
    writer_t text = s_topology ();
    for (size_t size = 0; size < text.size; size++) {
        topology_t topology;
        uint8_t *copy = malloc (size + 1); /* no more than that may be read */
        assert_non_null (copy);
        memcpy (copy, text.data, size);
        assert_int_equal (topology_read (kv_slice (copy, size), &topology), KV_CORRUPT);
        free (copy);
    }
    for (size_t at = 0; at < text.size; at++) {
        for (unsigned value = 0; value < 256; value++) {
            topology_t topology;
            uint8_t before = text.data[at];
            text.data[at] = (uint8_t)value;
            if (topology_read (kv_slice (text.data, text.size), &topology) == KV_OK) {
                for (uint32_t i = 0; i < topology.shards; i++)
                    assert_true (topology.owners[i] < topology.nodes);
                topology_free (&topology);
            }
            text.data[at] = before;
        }
    }
    writer_free (&text);
}

static void test_topology_details_are_read (void **state)
{
    (void)state;
    moved_t moved;
    writer_t out = writer_make (SIZE_MAX);
    assert_int_equal (topology_moved (kv_slice (NULL, 0), &moved), KV_CORRUPT);
    writer_map (&out, 3);
    writer_cstr (&out, "shard");
    writer_uint (&out, 12);
    writer_cstr (&out, "endpoint");
    writer_cstr (&out, "tcp://127.0.0.1:8002");
    writer_cstr (&out, "epoch");
    writer_uint (&out, 4);
    assert_int_equal (topology_moved (kv_slice (out.data, out.size), &moved), KV_OK);
    assert_int_equal (moved.shard, 12);
    assert_int_equal (moved.epoch, 4);
    assert_string_equal (moved.endpoint, "tcp://127.0.0.1:8002");
    assert_int_equal (topology_retry_ms (kv_slice (out.data, out.size)), 0);
    writer_reset (&out);
    writer_map (&out, 1);
    writer_cstr (&out, "retry_ms");
    writer_uint (&out, 50);
    assert_int_equal (topology_retry_ms (kv_slice (out.data, out.size)), 50);
    writer_free (&out);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_topology_is_read),
        cmocka_unit_test (test_topology_damaged_is_refused_or_sound),
        cmocka_unit_test (test_topology_details_are_read),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
