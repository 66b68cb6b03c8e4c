/* Goal: kvdb.h stands alone, and its list of statuses is the table of the wire.
 * Method: this file includes nothing else of KvDB; every name is compared with the library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "client/kvdb.h"

static const struct {
    kv_status_t status;
    const char *name;
} s_listed[] = {
#define LISTED(name)                                                                               \
    {                                                                                              \
        KV_##name, #name                                                                           \
    }
    LISTED (OK),          LISTED (NOT_FOUND),     LISTED (END),           LISTED (ERR),
    LISTED (BAD_REQUEST), LISTED (BAD_VERSION),   LISTED (TOO_LARGE),     LISTED (UNKNOWN_COMMAND),
    LISTED (WRONG_ARITY), LISTED (SYNTAX),        LISTED (BAD_VALUE),     LISTED (WRONG_TYPE),
    LISTED (DENIED),      LISTED (NOT_SUPPORTED), LISTED (BUSY),          LISTED (UNAVAILABLE),
    LISTED (MOVED),       LISTED (RETRY),         LISTED (LOADING),       LISTED (OUTCOME_UNKNOWN),
    LISTED (DISK_FULL),   LISTED (TIMEOUT),       LISTED (OUT_OF_MEMORY), LISTED (IO),
    LISTED (CORRUPT),     LISTED (INTERNAL),      LISTED (CONFIG),        LISTED (CROSS_SHARD),
};

enum { LISTED_COUNT = sizeof s_listed / sizeof s_listed[0] };

static void test_header_statuses_are_those_of_the_table (void **state)
{
    (void)state;
    for (size_t i = 0; i < LISTED_COUNT; i++) {
        assert_string_equal (kv_status_name (s_listed[i].status), s_listed[i].name);
        assert_true (strlen (kv_status_meaning (s_listed[i].status)) > 0);
    }
}

static void test_header_statuses_are_complete (void **state)
{
    (void)state;
    size_t known = 0;
    for (int number = 0; number < 1000; number++)
        known += strcmp (kv_status_name ((kv_status_t)number), "UNLISTED") != 0;
    assert_int_equal (known, LISTED_COUNT);
}

static void test_header_options_have_defaults_and_grow (void **state)
{
    (void)state;
    kv_options_t options;
    kv_options_init (&options, sizeof options);
    assert_int_equal (options.size, sizeof options);
    assert_string_equal (options.host, "127.0.0.1");
    assert_int_equal (options.port, 7000);
    assert_int_equal (options.timeout_ms, 6000);
    assert_int_equal (options.deadline_ms, 5000);
    /* A program built against a header with two options more, and one with fewer. */
    struct {
        kv_options_t known;
        int later[2];
    } longer = {.later = {1, 1}};
    kv_options_init (&longer.known, sizeof longer);
    assert_int_equal (longer.later[1], 0);
    kv_client_t *client;
    assert_int_equal (kv_client_new (&longer.known, &client), KV_OK);
    kv_client_destroy (&client);
    kv_options_init (&options, offsetof (kv_options_t, timeout_ms));
    options.timeout_ms = -1; /* beyond what it knows */
    assert_int_equal (kv_client_new (&options, &client), KV_OK);
    kv_client_destroy (&client);
    assert_null (client);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_header_statuses_are_those_of_the_table),
        cmocka_unit_test (test_header_statuses_are_complete),
        cmocka_unit_test (test_header_options_have_defaults_and_grow),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
