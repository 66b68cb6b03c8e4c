/* Goal: the benchmark counts right, its percentiles are as close as promised (B1-B3), its messages
 * are requests, and it ends whatever the server does (X3).
 * Method: known distributions; templates decoded by request.h; short runs against a fake server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "test/unit/client/fake_server.h"

#include "client/bench_client.h"

static void test_histogram_error_is_bounded (void **state)
{
    (void)state;
    bench_histogram_t *one = malloc (sizeof *one);
    assert_non_null (one);
    for (uint64_t ns = 1; ns < UINT64_C (1) << (BENCH_VALUE_BITS - 1); ns += 1 + ns / 1000) {
        memset (one, 0, sizeof *one);
        bench_histogram_add (one, ns, 1);
        one->max_ns = UINT64_MAX; /* so that it does not mend the bucket's value */
        uint64_t seen = bench_histogram_at (one, 500);
        assert_true (seen >= ns);
        assert_true (seen - ns <= ns / 128); // B1
    }
    memset (one, 0, sizeof *one);
    bench_histogram_add (one, UINT64_MAX, 1); // B3
    assert_true (bench_histogram_at (one, 1000) < UINT64_C (1) << BENCH_VALUE_BITS);
    assert_true (one->max_ns == UINT64_MAX);
    free (one);
}

static void test_histogram_percentiles (void **state)
{
    (void)state;
    bench_histogram_t *all = calloc (2, sizeof *all);
    assert_non_null (all);
    assert_int_equal (bench_histogram_at (all, 500), 0);
    for (uint64_t i = 1; i <= 100; i++)
        bench_histogram_add (&all[i % 2], i, 10);
    bench_histogram_merge (&all[0], &all[1]);
    assert_int_equal (all[0].total, 1000);
    assert_int_equal (bench_histogram_at (all, 0), 1);
    assert_int_equal (bench_histogram_at (all, 10), 1);
    assert_int_equal (bench_histogram_at (all, 500), 50);
    assert_int_equal (bench_histogram_at (all, 990), 99);
    assert_int_equal (bench_histogram_at (all, 999), 100);
    assert_int_equal (all[0].max_ns, 100); // B2
    free (all);
}

static void test_template_is_a_request (void **state)
{
    (void)state;
    bench_template_t *template = bench_template_new (BENCH_MIXED, 4, 10, true);
    size_t size = bench_template_bytes (template);
    uint8_t *bytes = malloc (size);
    assert_non_null (bytes);
    bench_template_ordered (template, bytes, UINT64_C (0x0102030405060708), 98, 100);
    request_t request;
    const char *why;
    assert_int_equal (request_decode (kv_slice (bytes, size), &request, &why), KV_OK);
    assert_true (request.id == UINT64_C (0x0102030405060708));
    assert_int_equal (request.command_count, 4);
    static const char *const keys[] = {"key:000000000098", "key:000000000099", "key:000000000000",
                                       "key:000000000001"};
    command_t command = command_make ();
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
        assert_int_equal (command.spec->id, i % 2 == 0 ? COMMAND_SET : COMMAND_GET);
        assert_int_equal (command.argc, i % 2 == 0 ? 3 : 2);
        assert_true (kv_slice_equal (command.argv[1], kv_slice_text (keys[i])));
    }
    uint64_t random = 1;
    bench_template_random (template, bytes, 1, &random, 1);
    assert_int_equal (request_decode (kv_slice (bytes, size), &request, &why), KV_OK);
    assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
    assert_true (kv_slice_equal (command.argv[1], kv_slice_text ("key:000000000000")));
    command_free (&command);
    free (bytes);
    bench_template_destroy (&template);
}

static void test_template_checks_replies (void **state)
{
    (void)state;
    writer_t out = writer_make (SIZE_MAX);
    uint64_t id;
    uint32_t errors;
    reply_begin (&out, 9, 2);
    result_nil (&out);
    result_error (&out, KV_BUSY, "BUSY");
    kv_slice_t reply = kv_slice (out.data, out.size);
    assert_true (bench_template_check (reply, 2, &id, &errors));
    assert_int_equal (id, 9);
    assert_int_equal (errors, 1);
    assert_false (bench_template_check (reply, 3, &id, &errors));
    assert_false (bench_template_check (kv_slice (out.data, out.size - 1), 2, &id, &errors));
    writer_reset (&out);
    reply_refuse (&out, 9, KV_TOO_LARGE, "ERR");
    reply = kv_slice (out.data, out.size);
    assert_true (bench_template_check (reply, 7, &id, &errors));
    assert_int_equal (errors, 7);
    writer_free (&out);
}

static bench_plan_t s_plan (const fake_server_t *server)
{
    return (bench_plan_t){.endpoint = server->endpoint,
                          .test = BENCH_GET,
                          .connections = 5,
                          .slots = 2,
                          .pipeline = 3,
                          .value_bytes = 4,
                          .requests = 3000,
                          .keyspace = 1000,
                          .timeout_ms = 20000,
                          .workers = 2};
}

static void test_bench_runs_exactly_the_requests (void **state)
{
    (void)state;
    fake_server_t server;
    fake_server_start (&server, "tcp://127.0.0.1:*", NULL);
    bench_plan_t plan = s_plan (&server);
    bench_result_t *result = malloc (sizeof *result);
    assert_non_null (result);
    bench_run (&plan, result);
    assert_false (result->lost);
    assert_int_equal (result->replies, 3000);
    assert_int_equal (result->latencies.total, 3000);
    assert_int_equal (result->errors, 0);
    assert_int_equal (atomic_load (&server.commands), 3000 + 5); // X2: a PING each
    assert_true (result->elapsed_ns > 0);
    plan.requests = UINT64_MAX / 2;
    plan.duration_ms = 100;
    bench_run (&plan, result);
    assert_false (result->lost);
    assert_true (result->replies > 0);
    assert_true (result->elapsed_ns >= 100 * INT64_C (1000000));
    free (result);
    fake_server_stop (&server);
}

static void test_bench_counts_a_doubled_reply_once (void **state)
{
    (void)state;
    fake_server_t server;
    fake_server_start (&server, "tcp://127.0.0.1:*", NULL);
    atomic_store (&server.doubled, true);
    bench_plan_t plan = s_plan (&server);
    bench_result_t *result = malloc (sizeof *result);
    assert_non_null (result);
    bench_run (&plan, result);
    assert_false (result->lost);
    assert_int_equal (result->replies, 3000);
    /* Each counted reply belongs to a batch that was executed before the end (X1). */
    assert_int_equal (atomic_load (&server.commands), 3000 + 5);
    free (result);
    fake_server_stop (&server);
}

static void test_bench_ends_without_a_server (void **state)
{
    (void)state;
    fake_server_t server;
    fake_server_start (&server, "tcp://127.0.0.1:*", NULL);
    fake_server_stop (&server);
    bench_plan_t plan = s_plan (&server);
    plan.timeout_ms = 200;
    bench_result_t *result = malloc (sizeof *result);
    assert_non_null (result);
    bench_run (&plan, result);
    assert_true (result->lost);
    assert_int_equal (result->replies, 0);
    free (result);
}

static void *s_stop_later (void *argument)
{
    usleep (200000);
    fake_server_stop (argument);
    return NULL;
}

static void test_bench_ends_when_the_server_does (void **state)
{
    (void)state;
    fake_server_t server;
    pthread_t stopper;
    fake_server_start (&server, "tcp://127.0.0.1:*", NULL);
    bench_plan_t plan = s_plan (&server);
    plan.requests = UINT64_MAX / 2;
    plan.timeout_ms = 500;
    bench_result_t *result = malloc (sizeof *result);
    assert_non_null (result);
    assert_int_equal (pthread_create (&stopper, NULL, s_stop_later, &server), 0);
    bench_run (&plan, result);
    pthread_join (stopper, NULL);
    assert_true (result->lost); // X3
    assert_true (result->replies > 0);
    assert_true (result->errors > 0);
    free (result);
}

static void test_bench_client_runs_exactly_the_requests (void **state)
{
    (void)state;
    fake_server_t server;
    fake_server_start (&server, "tcp://127.0.0.1:*", NULL);
    bench_plan_t plan = s_plan (&server);
    bench_result_t *result = malloc (sizeof *result);
    assert_non_null (result);
    static const uint32_t pipelines[] = {1, 10};
    for (uint32_t callers = 0; callers < 4; callers++) {
        bench_access_t access = {.host = "127.0.0.1", .port = server.port, .callers = callers};
        plan.pipeline = pipelines[callers % 2];
        unsigned before = atomic_load (&server.commands);
        bench_client_run (&plan, &access, result);
        assert_false (result->lost);
        assert_int_equal (result->errors, 0);
        assert_int_equal (result->replies, plan.requests);
        assert_int_equal (result->latencies.total, plan.requests);
        /* And a DBSIZE for each handle (Y1). */
        assert_int_equal (atomic_load (&server.commands) - before,
                          plan.requests + plan.connections);
    }
    fake_server_stop (&server);
    bench_access_t access = {.host = "127.0.0.1", .port = server.port, .callers = 2};
    plan.timeout_ms = 200;
    bench_client_run (&plan, &access, result);
    assert_true (result->lost);
    free (result);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_histogram_error_is_bounded),
        cmocka_unit_test (test_histogram_percentiles),
        cmocka_unit_test (test_template_is_a_request),
        cmocka_unit_test (test_template_checks_replies),
        cmocka_unit_test (test_bench_runs_exactly_the_requests),
        cmocka_unit_test (test_bench_counts_a_doubled_reply_once),
        cmocka_unit_test (test_bench_ends_without_a_server),
        cmocka_unit_test (test_bench_ends_when_the_server_does),
        cmocka_unit_test (test_bench_client_runs_exactly_the_requests),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
