/* Goal: replies leave when their policy allows it, syncs are asked for in time. Method: each policy with
 * the clock in hand; a random run of interval against a plain list of all writes. */
#include "node/flusher.h"
#include "fixture.h"

static void test_flusher_always_waits_for_the_disk (void **state)
{
    (void)state;
    uint64_t lsn = 0;
    flusher_t d = flusher_make (FLUSH_ALWAYS, 1000, 100);
    assert_false (flusher_ask (&d, 0, &lsn));
    assert_int_equal (flusher_releasable (&d, 0), 100);
    flusher_on_written (&d, 150, 1);
    assert_true (flusher_ask (&d, 1, &lsn));
    assert_int_equal (lsn, 150);
    assert_false (flusher_ask (&d, 1, &lsn)); /* nothing new */
    flusher_on_written (&d, 180, 2);
    assert_false (flusher_ask (&d, 2, &lsn)); /* one is under way */
    assert_int_equal (flusher_releasable (&d, 1000000), 100);
    flusher_on_durable (&d, 150, 3);
    assert_int_equal (flusher_releasable (&d, 3), 150);
    assert_true (flusher_ask (&d, 3, &lsn)); /* nobody was let go, so there is nobody to wait for */
    assert_int_equal (lsn, 180);
    flusher_on_durable (&d, 180, 4);
    assert_int_equal (flusher_releasable (&d, 4), 180);
    assert_int_equal (flusher_lag_us (&d, 4), 0);
}

static void s_hold (flusher_t *self, int count)
{
    for (int i = 0; i < count; i++)
        flusher_on_held (self);
}

static void test_flusher_always_waits_for_those_it_has_let_go (void **state)
{
    (void)state;
    uint64_t lsn = 0;
    flusher_t d = flusher_make (FLUSH_ALWAYS, 1000, 0);
    s_hold (&d, 3);
    flusher_on_written (&d, 30, 1000);
    assert_true (flusher_ask (&d, 1000, &lsn));
    s_hold (&d, 1); /* comes too late for it */
    flusher_on_written (&d, 40, 1100);
    flusher_on_durable (&d, 30, 1400);
    assert_false (flusher_ask (&d, 1450, &lsn)); /* three were let go, one is here */
    assert_int_equal (flusher_due_us (&d), 1500);
    s_hold (&d, 2);
    flusher_on_written (&d, 60, 1450);
    assert_true (flusher_ask (&d, 1450, &lsn));
    assert_int_equal (lsn, 60);
    assert_int_equal (flusher_due_us (&d), INT64_MAX);
    flusher_on_durable (&d, 60, 1850); /* it took 400 */
    s_hold (&d, 1);
    flusher_on_written (&d, 70, 1860);
    assert_false (flusher_ask (&d, 1949, &lsn));
    assert_true (flusher_ask (&d, 1950, &lsn)); /* the others have had their quarter */
    flusher_on_durable (&d, 70, 2300);
    s_hold (&d, 1);
    flusher_on_written (&d, 80, 2301);
    assert_true (flusher_ask (&d, 2301, &lsn)); /* who asks alone never waits */
}

static void test_flusher_interval_holds_replies_only_when_the_disk_is_late (void **state)
{
    (void)state;
    uint64_t lsn = 0;
    flusher_t d = flusher_make (FLUSH_INTERVAL, 1000, 0);
    flusher_on_written (&d, 10, 5000);
    assert_int_equal (flusher_releasable (&d, 5000), UINT64_MAX);
    assert_true (flusher_ask (&d, 5000, &lsn)); /* the last one is long ago */
    flusher_on_written (&d, 20, 5100);
    assert_false (flusher_ask (&d, 5400, &lsn)); /* one is under way */
    assert_false (flusher_ask (&d, 5900, &lsn));
    assert_int_equal (flusher_releasable (&d, 6000), UINT64_MAX);
    assert_int_equal (flusher_releasable (&d, 6001), 0); /* late */
    flusher_on_durable (&d, 10, 6001);
    assert_int_equal (flusher_releasable (&d, 6001), UINT64_MAX);
    assert_true (flusher_ask (&d, 6001, &lsn));
    assert_int_equal (lsn, 20);
    assert_int_equal (flusher_releasable (&d, 6101), 10); /* 20 was written at 5100 */
}

static void test_flusher_never_syncs_on_demand_only (void **state)
{
    (void)state;
    uint64_t lsn = 0;
    flusher_t d = flusher_make (FLUSH_NEVER, 1000, 0);
    flusher_on_written (&d, 10, 0);
    assert_false (flusher_ask (&d, 1000000, &lsn));
    assert_int_equal (flusher_releasable (&d, 1000000), UINT64_MAX);
    flusher_demand (&d, 10);
    assert_true (flusher_ask (&d, 1000000, &lsn));
    assert_int_equal (lsn, 10);
    assert_false (flusher_ask (&d, 1000001, &lsn));
}

static void test_flusher_demand_does_not_wait_for_the_interval (void **state)
{
    (void)state;
    uint64_t lsn = 0;
    flusher_t d = flusher_make (FLUSH_INTERVAL, 1000, 0);
    flusher_on_written (&d, 10, 5000);
    assert_true (flusher_ask (&d, 5000, &lsn));
    flusher_on_written (&d, 20, 5001);
    flusher_demand (&d, 20);
    assert_true (flusher_ask (&d, 5001, &lsn));
    assert_int_equal (lsn, 20);
}

static void test_flusher_policies_have_names (void **state)
{
    (void)state;
    for (int i = FLUSH_ALWAYS; i <= FLUSH_OFF; i++) {
        flush_policy_t policy;
        assert_true (flush_policy_read (flush_policy_name ((flush_policy_t)i), &policy));
        assert_int_equal (policy, i);
    }
    flush_policy_t policy;
    assert_false (flush_policy_read ("Always", &policy));
}

typedef struct {
    int64_t ms;
    uint64_t lsn;
} written_t;

/* The truth, from all writes: does anything older than the interval still lack the disk? */
static bool s_is_late (const written_t *all, size_t count, uint64_t durable, int64_t late_us)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].lsn > durable)
            return all[i].ms < late_us;
    }
    return false;
}

/* Y3: it may hold replies a little too early, by a stretch of time, and never too late. */
static void test_flusher_interval_never_lets_more_than_an_interval_go (void **state)
{
    (void)state;
    enum { STEPS = 20000, INTERVAL = 160 };
    static written_t all[STEPS];
    uint64_t random = fixture_seed (__func__);
    uint64_t durable = 0;
    uint64_t asked = 0;
    uint64_t held = 0;
    size_t count = 0;
    int64_t now_us = 1000;
    flusher_t d = flusher_make (FLUSH_INTERVAL, INTERVAL, 0);
    for (int i = 0; i < STEPS; i++) {
        now_us += (int64_t)fixture_random (&random, 8);
        if (fixture_random (&random, 3)) {
            all[count] = (written_t){now_us, d.written + 1 + fixture_random (&random, 100)};
            flusher_on_written (&d, all[count].lsn, now_us);
            count++;
        }
        uint64_t lsn;
        if (flusher_ask (&d, now_us, &lsn))
            asked = lsn;
        if (asked > durable && fixture_random (&random, 60) == 0) {
            durable = asked;
            flusher_on_durable (&d, durable, now_us);
        }
        bool holds = flusher_releasable (&d, now_us) != UINT64_MAX;
        held += holds;
        if (s_is_late (all, count, durable, now_us - INTERVAL))
            assert_true (holds);
        if (!s_is_late (all, count, durable, now_us - INTERVAL + INTERVAL / 16 + 1))
            assert_false (holds);
    }
    assert_true (held > 0);
    assert_true (held < STEPS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_flusher_always_waits_for_the_disk),
        cmocka_unit_test (test_flusher_always_waits_for_those_it_has_let_go),
        cmocka_unit_test (test_flusher_interval_holds_replies_only_when_the_disk_is_late),
        cmocka_unit_test (test_flusher_never_syncs_on_demand_only),
        cmocka_unit_test (test_flusher_demand_does_not_wait_for_the_interval),
        cmocka_unit_test (test_flusher_policies_have_names),
        cmocka_unit_test (test_flusher_interval_never_lets_more_than_an_interval_go),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
