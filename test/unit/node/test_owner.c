/* Goal: an owner counts as committed, and as leased, what the rules say (W1 to W7 of owner.h), and asks for
 * what they say. Method: conversations with one owner whose other copies are spoken for by the test.
 * (Owners and copies together are run by test_owner_random.c.) */
#include "node/owner.h"
#include "fixture.h"

#define MS(n) ((int64_t)(n)*1000)

static const owner_options_t s_options = {.lease_us = MS (200),
                                          .stall_us = MS (300),
                                          .steady_us = MS (1000),
                                          .ask_us = MS (50),
                                          .expects_followers = true};

typedef struct {
    replica_t replica;
    owner_t *owner;
    int64_t now_us;
} bed_t;

static uint64_t s_at (uint64_t epoch, uint64_t n)
{
    return epoch << POSITION_N_BITS | n;
}

static member_t s_member (uint32_t node)
{
    return (member_t){.node = node, .incarnation = 100 + node};
}

/* Node 0 owns; nodes 1 .. count-1 are members. */
static configuration_t s_configuration (uint64_t epoch, uint32_t count)
{
    configuration_t configuration = {.shard = 3, .epoch = epoch, .count = count};
    for (uint32_t i = 0; i < count; i++)
        configuration.members[i] = s_member (i);
    return configuration;
}

/* Appends n records under that epoch; written at once, not synced. */
static void s_append (bed_t *bed, uint64_t epoch, uint32_t count)
{
    replica_t *replica = &bed->replica;
    while (count--) {
        uint64_t position = s_at (epoch, position_n (replica->last) + 1);
        bool opens = position_epoch (replica->last) != epoch;
        assert_int_equal (replica_append (replica, replica->last, position, opens), KV_OK);
    }
    replica_reached (replica, replica->last, 0);
    if (bed->owner)
        owner_on_log (bed->owner, bed->now_us);
}

static void s_sync (bed_t *bed)
{
    replica_reached (&bed->replica, 0, bed->replica.last);
    owner_on_log (bed->owner, bed->now_us);
}

static void s_promise (replica_t *replica, uint64_t epoch)
{
    assert_true (replica_see (replica, epoch));
    replica_promised (replica, epoch);
}

/* An owner under epoch 2, of a log 1|1 1|2, that has not opened it yet. */
static bed_t *s_bed (uint32_t members, int64_t serve_us)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    epoch_history_t none = {.opens = NULL};
    configuration_t configuration = s_configuration (2, members);
    bed->now_us = MS (1000);
    bed->replica = replica_make (3, 0, 0, &none);
    s_promise (&bed->replica, 1);
    s_append (bed, 1, 2);
    s_promise (&bed->replica, 2);
    bed->owner = owner_new (&bed->replica, &configuration, serve_us, &s_options, bed->now_us);
    return bed;
}

static void s_end (bed_t *bed)
{
    owner_effect_t effect;
    assert_true (owner_is_valid (bed->owner));
    assert_false (
        owner_next_effect (bed->owner, &effect)); /* each test has looked at all of them */
    owner_destroy (&bed->owner);
    replica_free (&bed->replica);
    free (bed);
}

static owner_effect_t s_expect (bed_t *bed, owner_effect_kind_t kind)
{
    owner_effect_t effect = {.kind = OWNER_OVER};
    assert_true (owner_next_effect (bed->owner, &effect));
    assert_int_equal (effect.kind, kind);
    return effect;
}

static void s_expect_none (bed_t *bed)
{
    owner_effect_t effect;
    assert_false (owner_next_effect (bed->owner, &effect));
    assert_true (owner_is_valid (bed->owner));
}

static void s_ack (bed_t *bed, uint32_t node, uint64_t epoch, uint64_t received, uint64_t durable)
{
    member_t member = s_member (node);
    owner_on_ack (bed->owner, &member, epoch, received, durable, false, bed->now_us);
}

static void s_grant (bed_t *bed, uint32_t node, uint64_t epoch, int64_t sent_us)
{
    member_t member = s_member (node);
    owner_on_grant (bed->owner, &member, epoch, sent_us, bed->now_us);
}

/* Opened, acknowledged and serving. */
static bed_t *s_serving (uint32_t members)
{
    bed_t *bed = s_bed (members, 0);
    s_expect (bed, OWNER_OPEN);
    s_append (bed, 2, 1);
    assert_int_equal (s_expect (bed, OWNER_SYNC).position, s_at (2, 3));
    s_sync (bed);
    for (uint32_t node = 1; node < members; node++) {
        s_ack (bed, node, 2, s_at (2, 3), s_at (2, 3));
        s_grant (bed, node, 2, bed->now_us);
    }
    s_expect (bed, OWNER_SERVE);
    assert_int_equal (owner_state (bed->owner), OWNER_SERVING);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    return bed;
}

/* Time passes in steps; those nodes are heard all the while. */
static void s_pass (bed_t *bed, int64_t by_us, uint32_t heard_from, uint32_t heard_to,
                    uint64_t epoch)
{
    for (int64_t end_us = bed->now_us + by_us; bed->now_us < end_us;) {
        bed->now_us += MS (10);
        for (uint32_t node = heard_from; node < heard_to; node++)
            s_grant (bed, node, epoch, bed->now_us);
        owner_tick (bed->owner, bed->now_us);
    }
}

static void test_nothing_is_committed_before_the_open_record_is_everywhere (void **state)
{
    (void)state;
    bed_t *bed = s_bed (3, 0);
    assert_int_equal (s_expect (bed, OWNER_OPEN).epoch, 2);
    s_ack (bed, 1, 2, s_at (1, 2), s_at (1, 2));
    s_ack (bed, 2, 2, s_at (1, 2), s_at (1, 2));
    s_append (bed, 2, 1);
    s_expect (bed, OWNER_SYNC);
    assert_int_equal (owner_committed (bed->owner), 0);
    s_ack (bed, 1, 2, s_at (2, 3), 0);
    s_ack (bed, 2, 2, s_at (2, 3), 0);
    assert_int_equal (owner_committed (bed->owner), 0); /* R8: it is not durable here */
    s_expect_none (bed);
    s_sync (bed);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    assert_int_equal (owner_secured (bed->owner), 0);
    s_expect (bed, OWNER_SERVE);
    s_end (bed);
}

static void test_who_was_promoted_serves_after_its_grace (void **state)
{
    (void)state;
    bed_t *bed = s_bed (2, MS (1350));
    s_expect (bed, OWNER_OPEN);
    s_append (bed, 2, 1);
    s_expect (bed, OWNER_SYNC);
    s_sync (bed);
    s_ack (bed, 1, 2, s_at (2, 3), 0);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    s_pass (bed, MS (340), 1, 2, 2);
    s_expect_none (bed); // W7
    s_pass (bed, MS (10), 1, 2, 2);
    s_expect (bed, OWNER_SERVE);
    s_end (bed);
}

static void test_committed_is_what_all_members_have (void **state)
{
    (void)state;
    bed_t *bed = s_serving (3);
    s_append (bed, 2, 5); /* 2|4 .. 2|8 */
    s_ack (bed, 1, 2, s_at (2, 7), s_at (2, 6));
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    s_ack (bed, 2, 2, s_at (2, 5), s_at (2, 4));
    assert_int_equal (owner_committed (bed->owner), s_at (2, 5));
    assert_int_equal (owner_secured (bed->owner), s_at (2, 3)); /* it is not durable here */
    s_sync (bed);
    assert_int_equal (owner_secured (bed->owner), s_at (2, 4));
    assert_int_equal (bed->replica.committed, s_at (2, 5));
    s_end (bed);
}

static void test_what_another_epoch_or_another_life_says_counts_for_nothing (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    s_append (bed, 2, 1);
    s_ack (bed, 1, 1, s_at (2, 4), s_at (2, 4)); // W3
    s_ack (bed, 1, 3, s_at (2, 4), s_at (2, 4));
    s_ack (bed, 1, 2, s_at (1, 4), s_at (1, 4)); /* no position of this log */
    s_ack (bed, 1, 2, s_at (2, 9), s_at (2, 9));
    member_t reborn = s_member (1);
    reborn.incarnation++;
    owner_on_ack (bed->owner, &reborn, 2, s_at (2, 4), s_at (2, 4), false, bed->now_us);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    s_ack (bed, 1, 2, s_at (2, 4), 0);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 4));
    s_end (bed);
}

static void test_lease_runs_from_when_the_beacon_was_sent_and_from_all (void **state)
{
    (void)state;
    bed_t *bed = s_serving (3);
    int64_t sent_us = bed->now_us;
    bed->now_us += MS (100);
    s_grant (bed, 1, 2, sent_us + MS (90));
    s_grant (bed, 2, 2, sent_us + MS (20));
    assert_true (owner_is_leased (bed->owner, sent_us + MS (219)));
    assert_false (owner_is_leased (bed->owner, sent_us + MS (220))); // W5: node 2's
    s_grant (bed, 2, 1, sent_us + MS (90));                          // W3
    assert_false (owner_is_leased (bed->owner, sent_us + MS (220)));
    s_grant (bed, 2, 2, sent_us + MS (90));
    assert_true (owner_is_leased (bed->owner, sent_us + MS (220)));
    s_grant (bed, 2, 2, sent_us + MS (500)); /* not sent yet: it is not believed */
    assert_false (owner_is_leased (bed->owner, sent_us + MS (290)));
    s_end (bed);
}

static void test_silent_member_is_dropped_once_the_log_is_durable (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    s_append (bed, 2, 2);
    s_pass (bed, MS (290), 0, 0, 2);
    s_expect_none (bed);
    s_pass (bed, MS (60), 0, 0, 2);
    assert_int_equal (s_expect (bed, OWNER_SYNC).position, s_at (2, 5)); // W6
    s_expect_none (bed);
    s_sync (bed);
    s_pass (bed, MS (10), 0, 0, 2);
    owner_effect_t ask = s_expect (bed, OWNER_ASK_DROP);
    assert_int_equal (ask.member.node, 1);
    assert_int_equal (ask.epoch, 2);
    s_pass (bed, MS (100), 0, 0, 2);
    s_expect (bed, OWNER_ASK_DROP); /* again, until it is answered */
    s_expect (bed, OWNER_ASK_DROP);
    s_expect_none (bed);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    s_end (bed);
}

static void test_alone_commits_what_is_durable (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    s_promise (&bed->replica, 3);
    configuration_t alone = s_configuration (3, 1);
    owner_configure (bed->owner, &alone, bed->now_us);
    assert_true (owner_is_alone (bed->owner));
    s_expect (bed, OWNER_OPEN);
    s_append (bed, 3, 2);
    s_expect (bed, OWNER_SYNC);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    s_sync (bed);
    assert_int_equal (owner_committed (bed->owner), s_at (3, 5)); // R11
    s_append (bed, 3, 1);
    assert_int_equal (owner_committed (bed->owner), s_at (3, 5));
    s_sync (bed);
    assert_int_equal (owner_committed (bed->owner), s_at (3, 6));
    assert_true (owner_is_leased (bed->owner, bed->now_us)); /* of nobody */
    s_end (bed);                                             /* it was serving all the while */
}

static void test_member_that_acknowledges_nothing_is_dropped_though_it_is_heard (void **state)
{
    (void)state;
    bed_t *bed = s_serving (3);
    s_pass (bed, MS (1000), 1, 3, 2);
    s_expect_none (bed); /* nothing is outstanding */
    s_append (bed, 2, 1);
    s_ack (bed, 1, 2, s_at (2, 4), 0);
    s_pass (bed, MS (290), 1, 3, 2);
    s_expect_none (bed);
    s_pass (bed, MS (20), 1, 3, 2);
    assert_int_equal (s_expect (bed, OWNER_ASK_DROP).member.node, 2);
    s_end (bed);
}

static void test_full_disk_is_reason_enough (void **state)
{
    (void)state;
    bed_t *bed = s_serving (3);
    member_t member = s_member (2);
    owner_on_ack (bed->owner, &member, 2, s_at (2, 3), 0, true, bed->now_us);
    owner_tick (bed->owner, bed->now_us);
    assert_int_equal (s_expect (bed, OWNER_ASK_DROP).member.node, 2);
    s_end (bed);
}

/* A learner whose log is empty says so. */
static void s_learn (bed_t *bed, uint32_t node)
{
    member_t member = s_member (node);
    epoch_history_t none = {.opens = NULL};
    owner_on_differs (bed->owner, &member, 0, &none, bed->now_us);
}

static void test_joiner_is_required_from_when_it_is_asked_for (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    stream_head_t head;
    s_learn (bed, 7);
    assert_true (owner_stream (bed->owner, 1, bed->now_us, &head));
    assert_int_equal (head.previous, 0);
    assert_int_equal (head.last, s_at (2, 3));
    owner_sent (bed->owner, 1, head.last, bed->now_us);
    s_ack (bed, 7, 2, s_at (2, 3), 0);
    for (int i = 0; i < 99; i++) {
        s_grant (bed, 7, 2, bed->now_us);
        s_pass (bed, MS (10), 1, 2, 2);
    }
    s_expect_none (bed); /* R10: not steady for long enough */
    s_append (bed, 2, 1);
    s_ack (bed, 1, 2, s_at (2, 4), 0);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 4)); /* a learner counts for nothing */
    s_ack (bed, 7, 2, s_at (2, 4), 0);
    s_grant (bed, 7, 2, bed->now_us);
    s_pass (bed, MS (20), 1, 2, 2);
    assert_int_equal (s_expect (bed, OWNER_ASK_ADMIT).member.node, 7);
    s_append (bed, 2, 1);
    s_ack (bed, 1, 2, s_at (2, 5), 0);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 4)); // W4
    assert_false (owner_is_leased (bed->owner, bed->now_us + MS (200)));
    bool dropped = false;
    for (int i = 0; i < 40; i++) { /* it falls silent: it is not forgotten, but dropped */
        owner_effect_t effect;
        s_pass (bed, MS (10), 1, 2, 2);
        while (owner_next_effect (bed->owner, &effect)) {
            assert_true (effect.kind == OWNER_ASK_ADMIT || effect.kind == OWNER_ASK_DROP);
            assert_int_equal (effect.member.node, 7);
            dropped = dropped || effect.kind == OWNER_ASK_DROP;
        }
    }
    assert_true (dropped);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 4));
    s_end (bed);
}

static void test_copy_whose_log_parts_from_this_one_is_told_where_to_cut (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    member_t member = s_member (5);
    epoch_history_t history = {.opens = NULL};
    stream_head_t head;
    assert_int_equal (epoch_history_add (&history, s_at (1, 1), 0), KV_OK);
    owner_on_differs (bed->owner, &member, s_at (1, 9), &history, bed->now_us);
    assert_true (owner_stream (bed->owner, 1, bed->now_us, &head));
    assert_int_equal (head.previous, s_at (1, 2));
    assert_int_equal (head.last, s_at (1, 2));
    assert_int_equal (head.cut_from, s_at (1, 9));
    owner_sent (bed->owner, 1, head.last, bed->now_us);
    assert_false (owner_stream (bed->owner, 1, bed->now_us, &head)); /* not twice at once */
    assert_true (owner_stream (bed->owner, 1, bed->now_us + MS (50), &head));
    s_ack (bed, 5, 2, s_at (1, 2), s_at (1, 2));
    assert_true (owner_stream (bed->owner, 1, bed->now_us, &head));
    assert_int_equal (head.cut_from, 0);
    assert_int_equal (head.previous, s_at (1, 2));
    assert_int_equal (head.last, s_at (2, 3));
    epoch_history_free (&history);
    s_end (bed);
}

static void test_copy_that_lacks_what_is_gone_gets_a_base (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    member_t member = s_member (7);
    stream_head_t head;
    owner_set_reach (bed->owner, s_at (1, 2));
    s_learn (bed, 7);
    assert_int_equal (s_expect (bed, OWNER_BASE).member.node, 7);
    s_learn (bed, 7);
    s_expect_none (bed);
    assert_false (owner_stream (bed->owner, 1, bed->now_us, &head));
    owner_based (bed->owner, &member);
    assert_true (owner_stream (bed->owner, 1, bed->now_us, &head)); /* it is asked */
    assert_int_equal (head.previous, head.last);
    s_end (bed);
}

static void test_lost_message_is_noticed_by_asking (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    stream_head_t head;
    s_append (bed, 2, 3);
    assert_true (owner_stream (bed->owner, 0, bed->now_us, &head));
    assert_int_equal (head.previous, s_at (2, 3));
    owner_sent (bed->owner, 0, s_at (2, 5), bed->now_us);
    assert_true (owner_stream (bed->owner, 0, bed->now_us, &head));
    assert_int_equal (head.previous, s_at (2, 5));
    owner_sent (bed->owner, 0, s_at (2, 6), bed->now_us);
    assert_false (owner_stream (bed->owner, 0, bed->now_us, &head));
    s_pass (bed, MS (60), 1, 2, 2);
    assert_true (owner_stream (bed->owner, 0, bed->now_us, &head));
    assert_int_equal (head.previous, s_at (2, 6));
    assert_int_equal (head.last, s_at (2, 6));
    owner_on_connected (bed->owner, 1);
    assert_int_equal (owner_copy (bed->owner, 0)->state, COPY_ASKED);
    s_end (bed);
}

static void test_planned_move_hands_over_what_is_committed (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    s_append (bed, 2, 1);
    configuration_t next = s_configuration (3, 2);
    next.owner = 1;
    next.planned = true;
    owner_configure (bed->owner, &next, bed->now_us);
    s_expect (bed, OWNER_HOLD);
    s_expect_none (bed);
    s_ack (bed, 1, 2, s_at (2, 4), 0);
    assert_int_equal (s_expect (bed, OWNER_RELINQUISH).member.node, 1);
    s_expect (bed, OWNER_OVER);
    assert_int_equal (owner_state (bed->owner), OWNER_GONE);
    assert_false (owner_is_leased (bed->owner, bed->now_us));
    s_end (bed);
}

static void test_who_is_replaced_is_over_at_once (void **state)
{
    (void)state;
    bed_t *bed = s_serving (2);
    s_append (bed, 2, 1);
    configuration_t next = s_configuration (3, 2);
    next.owner = 1;
    owner_configure (bed->owner, &next, bed->now_us);
    s_expect (bed, OWNER_OVER);
    s_ack (bed, 1, 2, s_at (2, 4), 0);
    assert_int_equal (owner_committed (bed->owner), s_at (2, 3));
    configuration_t again = s_configuration (4, 2);
    owner_configure (bed->owner, &again, bed->now_us); /* that is another owner's life */
    s_end (bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_nothing_is_committed_before_the_open_record_is_everywhere),
        cmocka_unit_test (test_who_was_promoted_serves_after_its_grace),
        cmocka_unit_test (test_committed_is_what_all_members_have),
        cmocka_unit_test (test_what_another_epoch_or_another_life_says_counts_for_nothing),
        cmocka_unit_test (test_lease_runs_from_when_the_beacon_was_sent_and_from_all),
        cmocka_unit_test (test_silent_member_is_dropped_once_the_log_is_durable),
        cmocka_unit_test (test_alone_commits_what_is_durable),
        cmocka_unit_test (test_member_that_acknowledges_nothing_is_dropped_though_it_is_heard),
        cmocka_unit_test (test_full_disk_is_reason_enough),
        cmocka_unit_test (test_joiner_is_required_from_when_it_is_asked_for),
        cmocka_unit_test (test_copy_whose_log_parts_from_this_one_is_told_where_to_cut),
        cmocka_unit_test (test_copy_that_lacks_what_is_gone_gets_a_base),
        cmocka_unit_test (test_lost_message_is_noticed_by_asking),
        cmocka_unit_test (test_planned_move_hands_over_what_is_committed),
        cmocka_unit_test (test_who_is_replaced_is_over_at_once),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
