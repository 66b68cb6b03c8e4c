/* Goal: held replies come out whole, in order, and not before their number is reached. Method: small
 * cases; a random run against a plain array. */
#include "node/reply_gate.h"
#include "fixture.h"

static void s_hold (reply_gate_t *gate, uint64_t until, uint64_t tag, const char *envelope,
                    const char *reply)
{
    reply_route_t route = {.tag = tag, .envelope = kv_slice_text (envelope)};
    reply_gate_hold (gate, until, &route, kv_slice_text (reply));
}

static void test_reply_gate_keeps_the_order (void **state)
{
    (void)state;
    reply_gate_t *gate = reply_gate_new ();
    reply_route_t route;
    kv_slice_t reply;
    assert_false (reply_gate_next (gate, UINT64_MAX, &route, &reply));
    s_hold (gate, 10, 1, "", "one");
    s_hold (gate, 5, 2, "who", "two");
    assert_false (reply_gate_next (gate, 9, &route, &reply)); /* V1: the second waits for it, too */
    assert_true (reply_gate_next (gate, 10, &route, &reply));
    assert_int_equal (route.tag, 1);
    assert_int_equal (route.envelope.size, 0);
    assert_true (kv_slice_equal (reply, kv_slice_text ("one")));
    assert_true (reply_gate_next (gate, 5, &route, &reply));
    assert_true (kv_slice_equal (route.envelope, kv_slice_text ("who")));
    assert_true (kv_slice_equal (reply, kv_slice_text ("two")));
    assert_int_equal (reply_gate_bytes (gate), 0);
    assert_false (reply_gate_next (gate, UINT64_MAX, &route, &reply));
    reply_gate_destroy (&gate);
}

enum { STEPS = 20000 };

/* What the n-th reply is. */
static kv_slice_t s_reply (uint64_t n, uint8_t *bytes)
{
    size_t size = n % 97 == 0 ? 100000 : n % 50;
    memset (bytes, (int)(n % 251), size);
    return kv_slice (bytes, size);
}

static void test_reply_gate_random_run (void **state)
{
    (void)state;
    static uint64_t until[STEPS];
    static uint8_t bytes[100000];
    uint64_t random = fixture_seed (__func__);
    reply_gate_t *gate = reply_gate_new ();
    uint64_t in = 0;
    uint64_t out = 0;
    uint64_t reached = 0;
    while (out < STEPS) {
        if (in < STEPS && fixture_random (&random, 2)) {
            until[in] = reached + fixture_random (&random, 20);
            reply_route_t route = {.tag = in};
            reply_gate_hold (gate, until[in], &route, s_reply (in, bytes));
            in++;
        }
        if (fixture_random (&random, 4) == 0)
            reached += fixture_random (&random, 10);
        reply_route_t route;
        kv_slice_t reply;
        while (reply_gate_next (gate, reached, &route, &reply)) {
            assert_true (until[out] <= reached);
            assert_int_equal (route.tag, out);
            assert_true (kv_slice_equal (reply, s_reply (out, bytes)));
            out++;
        }
        assert_true (out == in || until[out] > reached);
        assert_int_equal (reply_gate_bytes (gate) == 0, out == in);
    }
    reply_gate_destroy (&gate);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reply_gate_keeps_the_order),
        cmocka_unit_test (test_reply_gate_random_run),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
