/* Goal: what the shell adds to INFO is what it was given. Method: one known state. */
#include "node/node_info.h"
#include "fixture.h"

static void test_node_info_says_what_it_was_given (void **state)
{
    (void)state;
    node_info_t info = {.process_id = 42,
                        .port = 8081,
                        .started_ms = 1000,
                        .rated_ms = 1000,
                        .now_ms = 1000 + INT64_C (90000) * 1000 + 999,
                        .connections = 3,
                        .accepted = 5,
                        .refused = 1};
    char text[NODE_INFO_BYTES];
    node_info_write (&info, text);
    assert_non_null (strstr (text, "# Server\nprocess_id:42\ntcp_port:8081\n"));
    assert_non_null (strstr (text, "uptime_in_seconds:90000\nuptime_in_days:1\n"));
    assert_non_null (strstr (text, "# Clients\nconnected_clients:3\n"));
    assert_non_null (strstr (text, "total_connections_received:5\nrejected_connections:1\n"));
}

static void test_node_info_rate_is_that_of_the_last_second (void **state)
{
    (void)state;
    node_info_t info = {.started_ms = 0};
    info.now_ms = 999;
    node_info_rate (&info, 5000);
    assert_int_equal (info.commands_per_s, 0);
    info.now_ms = 2000;
    node_info_rate (&info, 5000);
    assert_int_equal (info.commands_per_s, 2500);
    info.now_ms = 2999;
    node_info_rate (&info, 9000);
    assert_int_equal (info.commands_per_s, 2500);
    info.now_ms = 3000;
    node_info_rate (&info, 9000);
    assert_int_equal (info.commands_per_s, 4000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_node_info_says_what_it_was_given),
        cmocka_unit_test (test_node_info_rate_is_that_of_the_last_second),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
