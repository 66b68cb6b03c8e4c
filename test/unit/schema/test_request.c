/* Goal: requests and replies are what PROTOCOL.md says; what request_decode accepts can be read (Q1).
 * Method: messages written with request.h's own functions are read back field by field; damaged
 * ones, byte by byte, must be refused or remain readable to the end. The golden vectors hold the
 * single kinds of malformed messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/command.h"
#include "schema/limits.h"
#include "schema/request.h"
#include "test/unit/schema/golden.h"
#include "test/unit/schema/random.h"

static void s_command (writer_t *out, const char *name, const char *key, kv_slice_t value)
{
    writer_array (out, 3);
    writer_cstr (out, name);
    writer_bin (out, kv_slice_text (key));
    writer_bin (out, value);
}

static void s_build (writer_t *out)
{
    request_begin (out, 77, 3, true);
    s_command (out, "SET", "k1", kv_slice_text ("v1"));
    writer_array (out, 2);
    writer_cstr (out, "GET");
    writer_int (out, -3);
    s_command (out, "APPEND", "k2", kv_slice ("\0\xff", 2));
    writer_map (out, 5);
    writer_cstr (out, "deadline_ms");
    writer_uint (out, 1500);
    writer_cstr (out, "session");
    writer_bin (out, kv_slice_text ("0123456789abcdef"));
    writer_cstr (out, "seq");
    writer_uint (out, 9);
    writer_cstr (out, "epoch");
    writer_uint (out, UINT64_MAX);
    writer_cstr (out, "durability");
    writer_cstr (out, "fsync");
}

static void test_request_fields_are_read_back (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build (&body);
    request_t request;
    const char *why;
    assert_int_equal (request_decode (kv_slice (body.data, body.size), &request, &why), KV_OK);
    assert_true (request.has_id);
    assert_int_equal (request.id, 77);
    assert_int_equal (request.command_count, 3);
    assert_int_equal (request.deadline_ms, 1500);
    assert_true (request.has_session);
    assert_memory_equal (request.session, "0123456789abcdef", KV_SESSION_BYTES);
    assert_int_equal (request.sequence, 9);
    assert_true (request.epoch == UINT64_MAX);
    assert_int_equal (request.durability, DURABILITY_FSYNC);
    /* The options as encoded are the tail of the message. */
    assert_ptr_equal (request.options.data + request.options.size, body.data + body.size);
    assert_int_equal (request.options.data[0], 0x85);
    assert_ptr_equal (request.commands.end, request.options.data);
    command_t command = command_make ();
    assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
    assert_int_equal (command.spec->id, COMMAND_SET);
    assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
    assert_true (kv_slice_equal (command.argv[1], kv_slice_text ("-3")));
    assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
    assert_true (kv_slice_equal (command.argv[2], kv_slice ("\0\xff", 2)));
    assert_int_equal (reader_left (&request.commands), 0);
    command_free (&command);
    writer_free (&body);
}

static void test_request_without_options_has_defaults (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    request_begin (&body, 0, 1, false);
    writer_array (&body, 1);
    writer_cstr (&body, "PING");
    request_t request;
    const char *why;
    assert_int_equal (request_decode (kv_slice (body.data, body.size), &request, &why), KV_OK);
    assert_int_equal (request.options.size, 0);
    assert_int_equal (request.deadline_ms, 0);
    assert_false (request.has_session);
    assert_int_equal (request.epoch, 0);
    assert_int_equal (request.durability, DURABILITY_DEFAULT);
    writer_free (&body);
}

/* Q1: whatever is accepted can be read command by command, to the last byte. */
static void s_check_readable (kv_slice_t body)
{
    request_t request;
    const char *why = NULL;
    if (request_decode (body, &request, &why) != KV_OK)
        return;
    command_t command = command_make ();
    for (uint32_t i = 0; i < request.command_count; i++)
        assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
    assert_int_equal (reader_left (&request.commands), 0);
    command_free (&command);
}

static void test_request_with_any_byte_changed_is_refused_or_readable (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build (&body);
    kv_slice_t exact = golden_exact (kv_slice (body.data, body.size));
    uint8_t *bytes = (uint8_t *)(uintptr_t)exact.data;
    for (size_t i = 0; i < exact.size; i++) {
        uint8_t before = bytes[i];
        for (unsigned value = 0; value < 256; value++) {
            bytes[i] = (uint8_t)value;
            s_check_readable (exact);
        }
        bytes[i] = before;
    }
    free (bytes);
    writer_free (&body);
}

static void test_request_with_several_bytes_changed_is_refused_or_readable (void **state)
{
    (void)state;
    random_t random = random_make ("changed requests");
    writer_t body = writer_make (SIZE_MAX);
    s_build (&body);
    for (int round = 0; round < 50000; round++) {
        kv_slice_t exact = golden_exact (kv_slice (body.data, body.size));
        uint8_t *bytes = (uint8_t *)(uintptr_t)exact.data;
        for (uint32_t n = 1 + random_below (&random, 4); n > 0; n--)
            bytes[random_below (&random, (uint32_t)exact.size)] = (uint8_t)random_next (&random);
        s_check_readable (exact);
        free (bytes);
    }
    writer_free (&body);
}

static void s_build_reply (writer_t *out)
{
    reply_begin (out, 78, 7);
    result_nil (out);
    result_int (out, -1);
    result_bytes (out, kv_slice_text ("value"));
    result_text (out, "OK");
    result_error (out, KV_ERR, "ERR no");
    result_retry (out, KV_BUSY, "BUSY later", 20);
    result_value (out);
    writer_array (out, 1);
    writer_nil (out);
}

static void test_reply_results_are_read_back (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build_reply (&body);
    reply_t reply;
    assert_int_equal (reply_decode (kv_slice (body.data, body.size), &reply), KV_OK);
    assert_int_equal (reply.id, 78);
    assert_int_equal (reply.count, 7);
    const struct {
        kv_status_t status;
        const char *value, *text, *details;
    } wanted[] = {
        {KV_OK, "\xc0", "", ""},          {KV_OK, "\xff", "", ""},
        {KV_OK, "\xc4\x05value", "", ""}, {KV_OK, "\xa2OK", "", ""},
        {KV_ERR, "", "ERR no", ""},       {KV_BUSY, "", "BUSY later", "\x81\xa8retry_ms\x14"},
        {KV_OK, "\x91\xc0", "", ""},
    };
    result_t result;
    const uint8_t *at = reply.results.at;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_int_equal (result_next (&reply, &result), KV_OK);
        assert_int_equal (result.status, wanted[i].status);
        assert_true (kv_slice_equal (result.value, kv_slice_text (wanted[i].value)));
        assert_true (kv_slice_equal (result.text, kv_slice_text (wanted[i].text)));
        assert_true (kv_slice_equal (result.details, kv_slice_text (wanted[i].details)));
        assert_ptr_equal (result.raw.data, at);
        at += result.raw.size;
    }
    assert_int_equal (result_next (&reply, &result), KV_END);
    writer_free (&body);
}

static void test_reply_with_any_byte_changed_is_refused_or_readable (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build_reply (&body);
    kv_slice_t exact = golden_exact (kv_slice (body.data, body.size));
    uint8_t *bytes = (uint8_t *)(uintptr_t)exact.data;
    for (size_t i = 0; i < exact.size; i++) {
        uint8_t before = bytes[i];
        for (unsigned value = 0; value < 256; value++) {
            bytes[i] = (uint8_t)value;
            reply_t reply;
            result_t result;
            kv_status_t status = reply_decode (exact, &reply);
            uint32_t results = 0;
            while (status == KV_OK && (status = result_next (&reply, &result)) == KV_OK)
                results++;
            if (status == KV_END)
                assert_int_equal (results, reply.count);
        }
        bytes[i] = before;
    }
    free (bytes);
    writer_free (&body);
}

static void test_reply_that_refuses_has_one_error (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    reply_refuse (&body, UINT64_MAX, KV_BAD_VERSION, "ERR this server speaks protocol version 1");
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (kv_slice (body.data, body.size), &reply), KV_OK);
    assert_true (reply.id == UINT64_MAX);
    assert_int_equal (reply.count, 1);
    assert_int_equal (result_next (&reply, &result), KV_OK);
    assert_int_equal (result.status, KV_BAD_VERSION);
    assert_int_equal (result_next (&reply, &result), KV_END);
    writer_free (&body);
}

static void test_error_text_is_printable_and_bounded (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    char longest[2000];
    memset (longest, 'e', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    reply_begin (&body, 1, 3);
    result_error (&body, KV_ERR, "ERR a\n\xff\x01z~\x7f");
    result_error (&body, KV_ERR, longest);
    result_errorf (&body, KV_ERR, "ERR %d %s", 7, longest);
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (kv_slice (body.data, body.size), &reply), KV_OK);
    assert_int_equal (result_next (&reply, &result), KV_OK);
    assert_true (kv_slice_equal (result.text, kv_slice_text ("ERR a???z~?")));
    for (int i = 0; i < 2; i++) {
        assert_int_equal (result_next (&reply, &result), KV_OK);
        assert_true (result.text.size <= KV_ERROR_TEXT_BYTES_MAX);
        assert_true (result.text.size >= KV_ERROR_TEXT_BYTES_MAX - 1);
    }
    writer_free (&body);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_request_fields_are_read_back),
        cmocka_unit_test (test_request_without_options_has_defaults),
        cmocka_unit_test (test_request_with_any_byte_changed_is_refused_or_readable),
        cmocka_unit_test (test_request_with_several_bytes_changed_is_refused_or_readable),
        cmocka_unit_test (test_reply_results_are_read_back),
        cmocka_unit_test (test_reply_with_any_byte_changed_is_refused_or_readable),
        cmocka_unit_test (test_reply_that_refuses_has_one_error),
        cmocka_unit_test (test_error_text_is_printable_and_bounded),
    };
    return cmocka_run_group_tests_name ("schema.request", tests, NULL, NULL);
}
