/* Goal: the checker accepts every history that has an order and refuses every one that has none.
 * Method: small histories, good and bad ones side by side; then random histories made by executing
 * operations at a hidden moment (always good), and the same with one answer falsified, judged by
 * trying every order there is. */
#include "test_sim.h"

#include "sim_checker.h"
#include "sim_random.h"

#include <stdio.h>

enum { STEPS = 1000000, OPS_MOST = 24 };

typedef struct {
    sim_values_t *values;
    sim_checker_t *checker;
    check_op_t ops[OPS_MOST];
    size_t count;
} bed_t;

static void s_begin (bed_t *bed)
{
    *bed = (bed_t){.count = 0};
    bed->values = sim_values_new ();
    bed->checker = sim_checker_new (bed->values);
}

static void s_end (bed_t *bed)
{
    sim_checker_destroy (&bed->checker);
    sim_values_destroy (&bed->values);
}

static check_verdict_t s_judge (bed_t *bed)
{
    bool expired;
    return sim_checker_run (bed->checker, bed->ops, bed->count, STEPS, &expired, NULL);
}

static sim_value_t s_value (bed_t *bed, const char *text)
{
    return text ? sim_values_of (bed->values, kv_slice_text (text)) : 0;
}

static check_op_t *s_op (bed_t *bed, check_kind_t kind, int64_t from_us, int64_t to_us)
{
    check_op_t *op = &bed->ops[bed->count++];
    *op = (check_op_t){.kind = kind,
                       .answer = to_us < 0 ? ANSWER_UNKNOWN : ANSWER_ANY,
                       .invoked_us = from_us,
                       .answered_us = to_us < 0 ? SIM_NEVER_US : to_us,
                       .wall_least_ms = from_us,
                       .wall_most_ms = to_us < 0 ? 1000 : to_us,
                       .wall_top_ms = to_us < 0 ? 1000 : to_us};
    return op;
}

/* A negative end: of unknown outcome. */
static check_op_t *s_set (bed_t *bed, const char *text, int64_t from_us, int64_t to_us)
{
    check_op_t *op = s_op (bed, CHECK_SET, from_us, to_us);
    op->value = s_value (bed, text);
    if (to_us >= 0)
        op->answer = ANSWER_OK;
    return op;
}

static check_op_t *s_get (bed_t *bed, const char *text, int64_t from_us, int64_t to_us)
{
    check_op_t *op = s_op (bed, CHECK_GET, from_us, to_us);
    op->answer = text ? ANSWER_VALUE : ANSWER_NIL;
    op->answer_value = s_value (bed, text);
    return op;
}

static check_op_t *s_number (bed_t *bed, check_kind_t kind, int64_t amount, int64_t number,
                             int64_t from_us, int64_t to_us)
{
    check_op_t *op = s_op (bed, kind, from_us, to_us);
    op->amount = amount;
    op->number = number;
    if (to_us >= 0)
        op->answer = ANSWER_NUMBER;
    return op;
}

static void s_expect (bed_t *bed, check_verdict_t verdict)
{
    assert_int_equal (s_judge (bed), verdict);
    bed->count = 0;
}

static void test_reads_and_writes_one_after_the_other (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_set (&bed, "a", 1, 2);
    s_get (&bed, "a", 3, 4);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, 2);
    s_get (&bed, NULL, 3, 4); /* lost */
    s_expect (&bed, CHECK_VIOLATED);
    s_set (&bed, "a", 1, 2);
    s_set (&bed, "b", 3, 4);
    s_get (&bed, "a", 5, 6); /* stale */
    s_expect (&bed, CHECK_VIOLATED);
    s_get (&bed, "a", 1, 2); /* from the future */
    s_set (&bed, "a", 3, 4);
    s_expect (&bed, CHECK_VIOLATED);
    s_end (&bed);
}

static void test_concurrent_reads_agree_on_an_order (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_set (&bed, "a", 1, 10);
    s_get (&bed, NULL, 2, 3);
    s_get (&bed, "a", 4, 5);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, 10);
    s_get (&bed, "a", 2, 3);
    s_get (&bed, NULL, 4, 5); /* seen, then not */
    s_expect (&bed, CHECK_VIOLATED);
    s_set (&bed, "a", 1, 10);
    s_set (&bed, "b", 1, 10);
    s_get (&bed, "a", 11, 12);
    s_get (&bed, "b", 13, 14); /* the last of the two was one of them, not both */
    s_expect (&bed, CHECK_VIOLATED);
    s_end (&bed);
}

static void test_an_unknown_outcome_may_take_place_late_once_or_never (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_set (&bed, "a", 1, -1);
    s_get (&bed, NULL, 2, 3);
    s_get (&bed, "a", 8, 9); // L1
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, -1);
    s_get (&bed, NULL, 8, 9);
    s_expect (&bed, CHECK_PASSED);
    s_number (&bed, CHECK_ADD, 1, 0, 1, -1);
    s_number (&bed, CHECK_ADD, 1, 2, 2, 3);
    s_expect (&bed, CHECK_PASSED);
    s_number (&bed, CHECK_ADD, 1, 0, 1, -1);
    s_number (&bed, CHECK_ADD, 1, 3, 2, 3); /* it took place twice */
    s_expect (&bed, CHECK_VIOLATED);
    s_set (&bed, "a", 5, -1);
    s_get (&bed, "a", 1, 2); /* before it was sent */
    s_expect (&bed, CHECK_VIOLATED);
    s_end (&bed);
}

static void test_what_was_refused_has_no_effect (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_set (&bed, "a", 1, 2)->answer = ANSWER_NO_EFFECT;
    s_get (&bed, NULL, 3, 4);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, 2)->answer = ANSWER_NO_EFFECT;
    s_get (&bed, "a", 3, 4);
    s_expect (&bed, CHECK_VIOLATED);
    s_end (&bed);
}

/* L2: two writes of one connection, in flight at once, the first of them sent first. */
static void s_pair (bed_t *bed, const char *seen, bool first_is_unknown, bool may_move)
{
    check_op_t *first = s_set (bed, "a", 1, first_is_unknown ? -1 : 10);
    check_op_t *second = s_set (bed, "b", 1, 10);
    first->connection = second->connection = 1;
    first->order = 1;
    second->order = 2;
    first->may_move = may_move;
    s_get (bed, seen, 20, 21);
}

static void test_one_connection_is_served_in_the_order_sent (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_pair (&bed, "b", false, false);
    s_expect (&bed, CHECK_PASSED);
    s_pair (&bed, "a", false, false);
    s_expect (&bed, CHECK_VIOLATED);
    s_pair (&bed, "a", true, false); /* unknown, but no later than the second */
    s_expect (&bed, CHECK_VIOLATED);
    s_pair (&bed, "b", true, false);
    s_expect (&bed, CHECK_PASSED);
    s_pair (&bed, "a", false, true);
    s_expect (&bed, CHECK_PASSED);
    s_end (&bed);
}

static void test_lost_data_is_gone_at_that_moment (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_set (&bed, "a", 1, 2);
    s_op (&bed, CHECK_LOSS, 5, 5); // L4
    s_get (&bed, NULL, 6, 7);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, 2);
    s_op (&bed, CHECK_LOSS, 5, 5);
    s_get (&bed, "a", 6, 7); /* back from the dead */
    s_expect (&bed, CHECK_VIOLATED);
    s_set (&bed, "a", 1, 2);
    s_get (&bed, NULL, 3, 4); /* too early */
    s_op (&bed, CHECK_LOSS, 5, 5);
    s_expect (&bed, CHECK_VIOLATED);
    s_set (&bed, "a", 4, -1);
    s_op (&bed, CHECK_LOSS, 5, 5);
    s_get (&bed, "a", 6, 7); /* it may have waited */
    s_expect (&bed, CHECK_PASSED);
    s_end (&bed);
}

static void test_conditions_of_set (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_set (&bed, "a", 1, 2)->if_absent = true;
    check_op_t *second = s_set (&bed, "b", 3, 4);
    second->if_absent = true;
    second->answer = ANSWER_NIL;
    s_get (&bed, "a", 5, 6);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, 2)->if_present = true; /* OK, though there was nothing */
    s_expect (&bed, CHECK_VIOLATED);
    s_set (&bed, "a", 1, 2);
    check_op_t *swap = s_set (&bed, "b", 3, 4);
    swap->get = true;
    swap->answer = ANSWER_VALUE;
    swap->answer_value = s_value (&bed, "a");
    s_get (&bed, "b", 5, 6);
    s_expect (&bed, CHECK_PASSED);
    s_end (&bed);
}

static void test_numbers_lengths_and_deletes (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    s_number (&bed, CHECK_ADD, 5, 5, 1, 2);
    s_number (&bed, CHECK_ADD, -7, -2, 3, 4);
    s_get (&bed, "-2", 5, 6);
    s_number (&bed, CHECK_STRLEN, 0, 2, 7, 8);
    s_number (&bed, CHECK_DEL, 0, 1, 9, 10);
    s_number (&bed, CHECK_DEL, 0, 0, 11, 12);
    s_number (&bed, CHECK_EXISTS, 0, 0, 13, 14);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "text", 1, 2);
    s_number (&bed, CHECK_ADD, 1, 0, 3, 4)->answer = ANSWER_BAD_VALUE;
    check_op_t *append = s_number (&bed, CHECK_APPEND, 0, 6, 5, 6);
    append->value = s_value (&bed, "ed");
    s_get (&bed, "texted", 7, 8);
    s_expect (&bed, CHECK_PASSED);
    s_number (&bed, CHECK_DEL, 0, 1, 1, 2); /* there was nothing */
    s_expect (&bed, CHECK_VIOLATED);
    s_end (&bed);
}

/* Times here are milliseconds of the wall clock and microseconds alike. */
static void test_what_expires_is_there_before_and_gone_after (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed);
    for (int round = 0; round < 6; round++) {
        check_op_t *set = s_set (&bed, "a", 10, 20); /* expires between 110 and 120 */
        set->expiry = EXPIRY_RELATIVE;
        set->amount = 100;
        switch (round) {
        case 0: s_get (&bed, "a", 100, 105); break;
        case 1: s_get (&bed, NULL, 100, 105); break; /* too early */
        case 2: s_get (&bed, "a", 112, 113); break;
        case 3: s_get (&bed, NULL, 112, 113); break;
        case 4: s_get (&bed, "a", 125, 130); break; /* too late */
        default: s_get (&bed, NULL, 125, 130); break;
        }
        s_expect (&bed, round == 1 || round == 4 ? CHECK_VIOLATED : CHECK_PASSED); // L3
    }
    check_op_t *set = s_set (&bed, "a", 10, 20);
    set->expiry = EXPIRY_RELATIVE;
    set->amount = 100;
    s_number (&bed, CHECK_TTL, 0, 60, 40, 60);
    s_number (&bed, CHECK_PERSIST, 0, 1, 61, 62);
    s_number (&bed, CHECK_TTL, 0, -1, 70, 71);
    s_get (&bed, "a", 500, 501);
    s_expect (&bed, CHECK_PASSED);
    s_set (&bed, "a", 1, 2);
    s_number (&bed, CHECK_EXPIRE, -5, 1, 3, 4);
    s_get (&bed, NULL, 5, 6);
    s_number (&bed, CHECK_TTL, 0, -2, 7, 8);
    s_expect (&bed, CHECK_PASSED);
    s_end (&bed);
}

static void test_a_history_too_tangled_is_undecided_not_wrong (void **state)
{
    (void)state;
    bed_t bed;
    bool expired;
    s_begin (&bed);
    for (int i = 0; i < 12; i++)
        s_number (&bed, CHECK_ADD, 1 << i, 0, 1, -1);
    s_get (&bed, "nothing", 10, 11);
    assert_int_equal (sim_checker_run (bed.checker, bed.ops, bed.count, 100, &expired, NULL),
                      CHECK_UNDECIDED);
    assert_int_equal (s_judge (&bed), CHECK_VIOLATED);
    s_end (&bed);
}

/* ---- random histories ------------------------------------------------------------------------- */

/* What a key holds, by the plainest of models: 0, or the number of the SET that wrote it. */
static bool s_explains (const check_op_t *ops, size_t count, uint32_t done, sim_value_t value)
{
    bool all = true;
    int64_t first_us = SIM_NEVER_US;
    for (size_t i = 0; i < count; i++) {
        if (done >> i & 1 || ops[i].answer == ANSWER_UNKNOWN)
            continue;
        all = false;
        first_us = ops[i].answered_us < first_us ? ops[i].answered_us : first_us;
    }
    if (all)
        return true;
    for (size_t i = 0; i < count; i++) {
        const check_op_t *op = &ops[i];
        if (done >> i & 1 || op->invoked_us > first_us)
            continue;
        sim_value_t after = op->kind == CHECK_SET ? op->value : value;
        if (op->kind == CHECK_GET && op->answer_value != value)
            continue;
        if (s_explains (ops, count, done | UINT32_C (1) << i, after))
            return true;
    }
    return false;
}

static void s_random_history (bed_t *bed, sim_random_t *random)
{
    sim_value_t value = 0;
    bed->count = 0;
    for (int i = 0; i < 9; i++) {
        /* It takes place at 10 * i, and its interval reaches into those of its neighbours. */
        int64_t from_us = 10 * i - sim_random_range (random, 0, 25);
        int64_t to_us = 10 * i + sim_random_range (random, 0, 25);
        char text[16];
        snprintf (text, sizeof text, "%d", i);
        if (sim_random_percent (random, 50)) {
            bool unknown = sim_random_percent (random, 30);
            s_set (bed, text, from_us, unknown ? -1 : to_us);
            if (!unknown || sim_random_percent (random, 50))
                value = s_value (bed, text);
        } else {
            check_op_t *op = s_get (bed, NULL, from_us, to_us);
            op->answer = value ? ANSWER_VALUE : ANSWER_NIL;
            op->answer_value = value;
        }
    }
}

static void test_random_histories_are_judged_as_by_trying_every_order (void **state)
{
    (void)state;
    sim_random_t random = sim_random_make (11);
    int violated = 0, passed = 0;
    for (int round = 0; round < 3000; round++) {
        bed_t bed;
        s_begin (&bed);
        s_random_history (&bed, &random);
        assert_int_equal (s_judge (&bed), CHECK_PASSED);
        size_t victim = (size_t)sim_random_below (&random, bed.count);
        if (bed.ops[victim].kind == CHECK_GET) {
            bed.ops[victim].answer = ANSWER_VALUE;
            bed.ops[victim].answer_value =
                s_value (&bed, sim_random_percent (&random, 50) ? "1" : "4");
        }
        bool good = s_explains (bed.ops, bed.count, 0, 0);
        assert_int_equal (s_judge (&bed), good ? CHECK_PASSED : CHECK_VIOLATED);
        violated += !good;
        passed += good;
        s_end (&bed);
    }
    assert_true (violated > 300 && passed > 300);
}

int test_checker (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reads_and_writes_one_after_the_other),
        cmocka_unit_test (test_concurrent_reads_agree_on_an_order),
        cmocka_unit_test (test_an_unknown_outcome_may_take_place_late_once_or_never),
        cmocka_unit_test (test_what_was_refused_has_no_effect),
        cmocka_unit_test (test_one_connection_is_served_in_the_order_sent),
        cmocka_unit_test (test_lost_data_is_gone_at_that_moment),
        cmocka_unit_test (test_conditions_of_set),
        cmocka_unit_test (test_numbers_lengths_and_deletes),
        cmocka_unit_test (test_what_expires_is_there_before_and_gone_after),
        cmocka_unit_test (test_a_history_too_tangled_is_undecided_not_wrong),
        cmocka_unit_test (test_random_histories_are_judged_as_by_trying_every_order),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
