/* Goal: hosts as people write them become endpoints; what ZeroMQ would misread is refused.
 * Method: tables of texts; that names work is seen in test_client, where a server listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "client/endpoint.h"

static void test_endpoint_literals (void **state)
{
    (void)state;
    static const struct {
        const char *host;
        const char *text;
        bool ipv6;
    } rows[] = {
        {"127.0.0.1", "tcp://127.0.0.1:7000", false},
        {"::1", "tcp://[::1]:7000", true},
        {"[::1]", "tcp://[::1]:7000", true},
        {"fe80::1%eth0", "tcp://[fe80::1%eth0]:7000", true},
        {"no-such-host.invalid", "tcp://no-such-host.invalid:7000", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        endpoint_t endpoint;
        assert_int_equal (endpoint_make (rows[i].host, 7000, &endpoint), KV_OK);
        assert_string_equal (endpoint.text, rows[i].text);
        assert_int_equal (endpoint.ipv6, rows[i].ipv6);
    }
}

static void test_endpoint_lookup_says_why_a_name_has_no_address (void **state)
{
    (void)state;
    static const char *const found[] = {"127.0.0.1", "::1", "[::1]", "localhost", "a b", ""};
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++)
        assert_null (endpoint_lookup (found[i]));
    assert_non_null (endpoint_lookup ("no-such-host.invalid"));
}

static void test_endpoint_wrong_hosts_are_refused (void **state)
{
    (void)state;
    char longest[KV_HOST_BYTES_MAX + 2];
    memset (longest, 'a', sizeof longest);
    longest[KV_HOST_BYTES_MAX + 1] = '\0';
    const char *const hosts[] = {"",        "a b",  "a;b",    "tcp://a", "a/b", "[localhost]", ":",
                                 "1:2:3:x", "[::1", "a:7000", "*",       "a@b", longest};
    endpoint_t endpoint;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        assert_int_equal (endpoint_make (hosts[i], 7000, &endpoint), KV_CONFIG);
    assert_int_equal (endpoint_make ("127.0.0.1", 0, &endpoint), KV_CONFIG);
    assert_int_equal (endpoint_make ("127.0.0.1", 65536, &endpoint), KV_CONFIG);
}

static void test_endpoint_split_takes_host_and_port (void **state)
{
    (void)state;
    char host[KV_HOST_BYTES_MAX + 1];
    int port;
    assert_int_equal (endpoint_split ("node1:8081", host, &port), KV_OK);
    assert_string_equal (host, "node1");
    assert_int_equal (port, 8081);
    assert_int_equal (endpoint_split ("[::1]:8082", host, &port), KV_OK);
    assert_string_equal (host, "[::1]");
    assert_int_equal (port, 8082);
    const char *const wrong[] = {"",    "node1", ":8081", "node1:", "node1:0", "node1:65536",
                                 "::1", "a:1x",  "a:-1",  "a: 1",   "a:123456"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal (endpoint_split (wrong[i], host, &port), KV_CONFIG);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_endpoint_literals),
        cmocka_unit_test (test_endpoint_lookup_says_why_a_name_has_no_address),
        cmocka_unit_test (test_endpoint_wrong_hosts_are_refused),
        cmocka_unit_test (test_endpoint_split_takes_host_and_port),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
