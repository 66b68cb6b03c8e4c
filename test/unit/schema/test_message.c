/* Goal: the control messages between broker and node survive the wire, and nothing else is let in.
 * Method: each message is written, read back field by field, cut at every place, changed at every
 * byte, and lengthened by fields of a later version, which must be passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/limits.h"
#include "schema/message.h"
#include "test/unit/schema/golden.h"

static const char s_uuid[] = "0123456789abcdef";

static kv_slice_t s_text (const char *text)
{
    return kv_slice_text (text);
}

static message_t s_ready (void)
{
    return (message_t){.type = MESSAGE_READY,
                       .ready = {.node_id = s_text ("node1"),
                                 .cluster_id = s_text (s_uuid),
                                 .data_uuid = s_text (s_uuid),
                                 .incarnation = UINT64_MAX,
                                 .wire_min = 1,
                                 .wire_max = 2,
                                 .disk_min = 3,
                                 .disk_max = 4,
                                 .host = s_text ("::1"),
                                 .port = 8001,
                                 .peer_endpoint = s_text ("tcp://[::1]:40000"),
                                 .epoch = 70000}};
}

enum { SAMPLE_COUNT = 9 };

/* One of each message that has a body of its own. */
static void s_sample (unsigned which, writer_t *out)
{
    message_t message = {0};
    switch (which) {
    case 0: message = s_ready (); break;
    case 1:
        message.type = MESSAGE_ATTACH;
        message.attach = (message_attach_t){s_text ("node1"), 7};
        break;
    case 2:
        message.type = MESSAGE_WELCOME;
        message.welcome = (message_welcome_t){s_text (s_uuid), 64, 50, 350};
        break;
    case 3:
    case 4:
        message.type = which == 3 ? MESSAGE_REFUSED : MESSAGE_DISCONNECT;
        message.reason = (message_reason_t){KV_DENIED, s_text ("another cluster")};
        break;
    case 5:
    case 6:
        message.type = which == 5 ? MESSAGE_BEACON : MESSAGE_BEACON_ACK;
        message.beacon = (message_beacon_t){1, 2, 3, UINT64_MAX};
        break;
    case 7: message.type = MESSAGE_SHUTDOWN; break;
    default:
        message_shards_begin (out, 9, 2);
        writer_cstr (out, "node1");
        writer_cstr (out, "tcp://127.0.0.1:8001");
        writer_cstr (out, "node2");
        writer_cstr (out, "");
        message_shards_owners (out, 3);
        for (uint64_t shard = 0; shard < 3; shard++) {
            writer_uint (out, 5 + shard);
            writer_uint (out, shard % 2);
        }
        return;
    }
    message_encode (out, &message);
}

static void test_message_ready_is_read_back (void **state)
{
    (void)state;
    writer_t out = writer_make (SIZE_MAX);
    message_t sent = s_ready ();
    message_t got;
    message_encode (&out, &sent);
    assert_int_equal (message_decode (kv_slice (out.data, out.size), &got), KV_OK);
    assert_int_equal (got.type, MESSAGE_READY);
    assert_true (kv_slice_equal (got.ready.node_id, sent.ready.node_id));
    assert_true (kv_slice_equal (got.ready.cluster_id, sent.ready.cluster_id));
    assert_true (kv_slice_equal (got.ready.data_uuid, sent.ready.data_uuid));
    assert_true (got.ready.incarnation == UINT64_MAX);
    assert_int_equal (got.ready.wire_min, 1);
    assert_int_equal (got.ready.wire_max, 2);
    assert_int_equal (got.ready.disk_min, 3);
    assert_int_equal (got.ready.disk_max, 4);
    assert_true (kv_slice_equal (got.ready.host, sent.ready.host));
    assert_int_equal (got.ready.port, 8001);
    assert_int_equal (got.ready.epoch, 70000);
    assert_true (kv_slice_equal (got.ready.peer_endpoint, sent.ready.peer_endpoint));
    writer_free (&out);
}

static void test_message_shards_are_read_back (void **state)
{
    (void)state;
    writer_t out = writer_make (SIZE_MAX);
    s_sample (8, &out);
    message_t got;
    assert_int_equal (message_decode (kv_slice (out.data, out.size), &got), KV_OK);
    assert_int_equal (got.shards.epoch, 9);
    assert_int_equal (got.shards.node_count, 2);
    assert_int_equal (got.shards.shard_count, 3);
    kv_slice_t text;
    for (int i = 0; i < 4; i++)
        assert_int_equal (reader_bytes (&got.shards.nodes, &text), KV_OK);
    assert_int_equal (reader_left (&got.shards.nodes), 0);
    for (uint64_t shard = 0; shard < 3; shard++) {
        uint64_t epoch, owner;
        assert_int_equal (reader_uint (&got.shards.shards, &epoch), KV_OK);
        assert_int_equal (reader_uint (&got.shards.shards, &owner), KV_OK);
        assert_int_equal (epoch, 5 + shard);
        assert_int_equal (owner, shard % 2);
    }
    assert_int_equal (reader_left (&got.shards.shards), 0);
    writer_free (&out);
}

static void test_message_short_ones_are_read_back (void **state)
{
    (void)state;
    for (unsigned which = 1; which < 8; which++) {
        writer_t out = writer_make (SIZE_MAX);
        message_t got;
        s_sample (which, &out);
        assert_int_equal (message_decode (kv_slice (out.data, out.size), &got), KV_OK);
        switch (got.type) {
        case MESSAGE_ATTACH: assert_int_equal (got.attach.incarnation, 7); break;
        case MESSAGE_WELCOME:
            assert_int_equal (got.welcome.shards, 64);
            assert_int_equal (got.welcome.beacon_ms, 50);
            assert_int_equal (got.welcome.grace_ms, 350);
            break;
        case MESSAGE_REFUSED:
        case MESSAGE_DISCONNECT:
            assert_int_equal (got.reason.code, KV_DENIED);
            assert_true (kv_slice_equal (got.reason.text, s_text ("another cluster")));
            break;
        case MESSAGE_BEACON:
        case MESSAGE_BEACON_ACK:
            assert_int_equal (got.beacon.sequence, 1);
            assert_int_equal (got.beacon.sent_ms, 2);
            assert_int_equal (got.beacon.keys, 3);
            assert_true (got.beacon.bytes == UINT64_MAX);
            break;
        default: assert_int_equal (got.type, MESSAGE_SHUTDOWN);
        }
        writer_free (&out);
    }
}

static void test_message_cut_anywhere_is_refused (void **state)
{
    (void)state;
    for (unsigned which = 0; which < SAMPLE_COUNT; which++) {
        writer_t out = writer_make (SIZE_MAX);
        s_sample (which, &out);
        for (size_t size = 0; size < out.size; size++) {
            kv_slice_t part = golden_exact (kv_slice (out.data, size));
            message_t got;
            assert_int_equal (message_decode (part, &got), KV_BAD_REQUEST);
            free ((void *)(uintptr_t)part.data);
        }
        writer_free (&out);
    }
}

/* Slices of whatever is accepted must lie within the message; a sanitizer reads them. */
static unsigned s_touch (kv_slice_t slice)
{
    unsigned sum = 0;
    for (size_t i = 0; i < slice.size; i++)
        sum += slice.data[i];
    return sum;
}

static unsigned s_touch_all (const message_t *message)
{
    switch (message->type) {
    case MESSAGE_READY:
        return s_touch (message->ready.node_id) + s_touch (message->ready.cluster_id) +
               s_touch (message->ready.data_uuid) + s_touch (message->ready.host) +
               s_touch (message->ready.peer_endpoint);
    case MESSAGE_ATTACH: return s_touch (message->attach.node_id);
    case MESSAGE_WELCOME: return s_touch (message->welcome.cluster_id);
    case MESSAGE_REFUSED:
    case MESSAGE_DISCONNECT: return s_touch (message->reason.text);
    default: return 0;
    }
}

static void test_message_with_any_byte_changed_is_refused_or_sound (void **state)
{
    (void)state;
    for (unsigned which = 0; which < SAMPLE_COUNT; which++) {
        writer_t out = writer_make (SIZE_MAX);
        s_sample (which, &out);
        kv_slice_t exact = golden_exact (kv_slice (out.data, out.size));
        uint8_t *bytes = (uint8_t *)(uintptr_t)exact.data;
        for (size_t i = 0; i < exact.size; i++) {
            uint8_t before = bytes[i];
            for (unsigned value = 0; value < 256; value++) {
                message_t got;
                bytes[i] = (uint8_t)value;
                if (message_decode (exact, &got) == KV_OK)
                    assert_true (s_touch_all (&got) < UINT32_MAX);
            }
            bytes[i] = before;
        }
        free (bytes);
        writer_free (&out);
    }
}

static void test_message_fields_of_later_versions_are_passed_over (void **state)
{
    (void)state;
    for (unsigned which = 0; which < SAMPLE_COUNT; which++) {
        writer_t out = writer_make (SIZE_MAX);
        s_sample (which, &out);
        assert_int_equal (out.data[0] & 0xf0, 0x90);
        out.data[0]++;
        message_t got;
        assert_int_equal (message_decode (kv_slice (out.data, out.size), &got), KV_BAD_REQUEST);
        writer_map (&out, 0);
        assert_int_equal (message_decode (kv_slice (out.data, out.size), &got), KV_OK);
        writer_nil (&out); /* behind the end */
        assert_int_equal (message_decode (kv_slice (out.data, out.size), &got), KV_BAD_REQUEST);
        writer_free (&out);
    }
}

static kv_status_t s_decode_ready (message_ready_t ready)
{
    writer_t out = writer_make (SIZE_MAX);
    message_t message = {.type = MESSAGE_READY, .ready = ready};
    message_encode (&out, &message);
    kv_status_t status = message_decode (kv_slice (out.data, out.size), &message);
    writer_free (&out);
    return status;
}

static void test_message_ready_has_bounds (void **state)
{
    (void)state;
    char longest[KV_ENDPOINT_BYTES_MAX + 2];
    memset (longest, 'n', sizeof longest);
    message_ready_t ready = s_ready ().ready;
    assert_int_equal (s_decode_ready (ready), KV_OK);
    ready.cluster_id = kv_slice (NULL, 0);
    assert_int_equal (s_decode_ready (ready), KV_OK); /* has not joined yet */
    ready.cluster_id = kv_slice (s_uuid, 15);
    assert_int_equal (s_decode_ready (ready), KV_BAD_REQUEST);
    ready = s_ready ().ready;
    ready.data_uuid = kv_slice (NULL, 0);
    assert_int_equal (s_decode_ready (ready), KV_BAD_REQUEST);
    ready = s_ready ().ready;
    ready.node_id = kv_slice (NULL, 0);
    assert_int_equal (s_decode_ready (ready), KV_BAD_REQUEST);
    ready.node_id = kv_slice (longest, KV_NODE_ID_BYTES_MAX);
    assert_int_equal (s_decode_ready (ready), KV_OK);
    ready.node_id = kv_slice (longest, KV_NODE_ID_BYTES_MAX + 1);
    assert_int_equal (s_decode_ready (ready), KV_BAD_REQUEST);
    ready = s_ready ().ready;
    ready.host = kv_slice (longest, KV_HOST_BYTES_MAX + 1);
    assert_int_equal (s_decode_ready (ready), KV_BAD_REQUEST);
    ready = s_ready ().ready;
    ready.peer_endpoint = kv_slice (longest, KV_ENDPOINT_BYTES_MAX + 1);
    assert_int_equal (s_decode_ready (ready), KV_BAD_REQUEST);
}

static void test_message_shards_have_epochs_that_a_position_can_hold (void **state)
{
    (void)state;
    for (uint64_t over = 0; over < 2; over++) {
        writer_t out = writer_make (SIZE_MAX);
        message_t got;
        message_shards_begin (&out, 9, 0);
        message_shards_owners (&out, 2);
        for (uint64_t shard = 0; shard < 2; shard++) {
            writer_uint (&out, KV_EPOCH_MAX + shard * over);
            writer_uint (&out, UINT64_MAX);
        }
        assert_int_equal (message_decode (kv_slice (out.data, out.size), &got),
                          over ? KV_BAD_REQUEST : KV_OK);
        writer_free (&out);
    }
}

static void s_expect (const char *bytes, size_t size, kv_status_t wanted)
{
    message_t got;
    assert_int_equal (message_decode (kv_slice (bytes, size), &got), wanted);
}

static void test_message_heads_are_checked (void **state)
{
    (void)state;
    s_expect ("\x92\x01\x09", 3, KV_OK);
    s_expect ("\x92\x02\x09", 3, KV_BAD_VERSION);
    s_expect ("\x92\x01\x0a", 3, KV_BAD_REQUEST); /* the head of a bundle */
    s_expect ("\x92\x01\x0b", 3, KV_BAD_REQUEST);
    s_expect ("\x92\x01\x63", 3, KV_BAD_REQUEST); /* not listed */
    s_expect ("\x92\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 11, KV_BAD_REQUEST);
    s_expect ("\x91\x01", 2, KV_BAD_REQUEST);
    s_expect ("\x92\xa1\x31\x09", 4, KV_BAD_REQUEST);
    s_expect ("\x01", 1, KV_BAD_REQUEST);
    s_expect ("", 0, KV_BAD_REQUEST);
}

static void test_message_welcome_must_make_sense (void **state)
{
    (void)state;
    const struct {
        uint64_t shards, beacon_ms;
        kv_status_t wanted;
    } cases[] = {
        {1, 1, KV_OK},           {KV_SHARDS_MAX, 50, KV_OK},
        {0, 50, KV_BAD_REQUEST}, {KV_SHARDS_MAX + 1, 50, KV_BAD_REQUEST},
        {64, 0, KV_BAD_REQUEST}, {64, UINT64_MAX, KV_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        writer_t out = writer_make (SIZE_MAX);
        message_t message = {.type = MESSAGE_WELCOME,
                             .welcome = {.cluster_id = s_text (s_uuid),
                                         .shards = cases[i].shards,
                                         .beacon_ms = cases[i].beacon_ms,
                                         .grace_ms = 350}};
        message_encode (&out, &message);
        assert_int_equal (message_decode (kv_slice (out.data, out.size), &message),
                          cases[i].wanted);
        writer_free (&out);
    }
}

static void test_message_names_exist (void **state)
{
    (void)state;
    assert_string_equal (message_name (MESSAGE_READY), "READY");
    assert_string_equal (message_name (MESSAGE_REPLIES), "REPLIES");
    assert_string_equal (message_name ((message_type_t)99), "UNLISTED");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_message_ready_is_read_back),
        cmocka_unit_test (test_message_shards_are_read_back),
        cmocka_unit_test (test_message_shards_have_epochs_that_a_position_can_hold),
        cmocka_unit_test (test_message_short_ones_are_read_back),
        cmocka_unit_test (test_message_cut_anywhere_is_refused),
        cmocka_unit_test (test_message_with_any_byte_changed_is_refused_or_sound),
        cmocka_unit_test (test_message_fields_of_later_versions_are_passed_over),
        cmocka_unit_test (test_message_ready_has_bounds),
        cmocka_unit_test (test_message_heads_are_checked),
        cmocka_unit_test (test_message_welcome_must_make_sense),
        cmocka_unit_test (test_message_names_exist),
    };
    return cmocka_run_group_tests_name ("schema.message", tests, NULL, NULL);
}
