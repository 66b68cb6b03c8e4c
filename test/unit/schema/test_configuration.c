/* Goal: a configuration comes back as it was written, and nothing that breaks G1 to G3 is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/configuration.h"

static member_t s_member (uint32_t node)
{
    member_t member = {.node = node, .incarnation = UINT64_MAX - node};
    memset (member.uuid, (int)node, KV_UUID_BYTES);
    return member;
}

static configuration_t s_sample (void)
{
    configuration_t sample = {.shard = 63, .epoch = KV_EPOCH_MAX, .owner = 1, .count = 3};
    sample.members[0] = s_member (7);
    sample.members[1] = s_member (0);
    sample.members[2] = s_member (KV_SECONDARY);
    return sample;
}

/* KV_OK: it is taken, and all of it was read. */
static kv_status_t s_pass (const configuration_t *in, configuration_t *out)
{
    writer_t bytes = writer_make (4096);
    configuration_encode (&bytes, in);
    reader_t at = reader_make (kv_slice (bytes.data, bytes.size));
    kv_status_t status = configuration_decode (&at, out);
    assert_int_equal (reader_left (&at), status == KV_OK ? 0 : bytes.size);
    writer_free (&bytes);
    return status;
}

static void test_configuration_comes_back (void **state)
{
    (void)state;
    configuration_t in = s_sample ();
    in.planned = true;
    configuration_t out;
    assert_int_equal (s_pass (&in, &out), KV_OK);
    assert_int_equal (out.shard, 63);
    assert_int_equal (out.epoch, KV_EPOCH_MAX);
    assert_int_equal (out.owner, 1);
    assert_true (out.planned);
    assert_int_equal (out.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true (member_equal (&out.members[i], &in.members[i]));
    assert_true (configuration_member (&out, KV_SECONDARY) == &out.members[2]);
    assert_null (configuration_member (&out, 1));
}

static void test_configuration_that_breaks_a_rule_is_refused (void **state)
{
    (void)state;
    configuration_t out;
    configuration_t in = s_sample ();
    in.epoch = 0;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST); // G1
    in = s_sample ();
    in.epoch = (uint64_t)KV_EPOCH_MAX + 1;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST); // G1
    in = s_sample ();
    in.owner = 3;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST); // G2
    in = s_sample ();
    in.members[0].node = 0;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST); // G2
    in = s_sample ();
    in.owner = 2;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST); // G3
    in = s_sample ();
    in.count = 0;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST); // G2
    in = s_sample ();
    in.shard = KV_SHARDS_MAX;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST);
    in = s_sample ();
    in.members[0].node = KV_NODES_MAX;
    assert_int_equal (s_pass (&in, &out), KV_BAD_REQUEST);
}

static void test_configuration_cut_anywhere_is_refused (void **state)
{
    (void)state;
    configuration_t in = s_sample ();
    configuration_t out;
    writer_t bytes = writer_make (4096);
    configuration_encode (&bytes, &in);
    for (size_t size = 0; size < bytes.size; size++) {
        reader_t at = reader_make (kv_slice (bytes.data, size));
        assert_int_equal (configuration_decode (&at, &out), KV_BAD_REQUEST);
        assert_int_equal (reader_left (&at), size);
    }
    writer_free (&bytes);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_configuration_comes_back),
        cmocka_unit_test (test_configuration_that_breaks_a_rule_is_refused),
        cmocka_unit_test (test_configuration_cut_anywhere_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
