/* Goal: a copy takes from an owner's stream what follows its log and nothing else, cuts nothing that the
 * owner has or that is committed, and acknowledges only what it shares with the owner. Method: conversations;
 * a random run of three copies, one of them the owner of each epoch, with plain lists as their logs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/replica.h"
#include "test/unit/schema/random.h"

static uint64_t s_at (uint64_t epoch, uint64_t n)
{
    return epoch << POSITION_N_BITS | n;
}

static replica_t s_empty (void)
{
    epoch_history_t none = {.opens = NULL};
    return replica_make (3, 0, 0, &none);
}

/* Appends records to the log until its n is `n`, all under one epoch. */
static void s_fill (replica_t *self, uint64_t epoch, uint64_t n)
{
    while (position_n (self->last) < n) {
        uint64_t position = s_at (epoch, position_n (self->last) + 1);
        bool opens = position_epoch (self->last) != epoch;
        assert_int_equal (replica_append (self, self->last, position, opens), KV_OK);
    }
    replica_reached (self, self->last, self->last);
    assert_true (replica_is_valid (self));
}

static void s_promise (replica_t *self, uint64_t epoch)
{
    assert_true (replica_see (self, epoch));
    replica_promised (self, epoch);
}

/* A copy whose log is 1|1 .. 1|5, of an owner that is over; epoch 2 is promised. */
static replica_t s_former (void)
{
    replica_t self = s_empty ();
    s_promise (&self, 1);
    s_fill (&self, 1, 5);
    s_promise (&self, 2);
    return self;
}

static stream_verdict_t s_judge (replica_t *self, uint64_t epoch, uint64_t previous, uint64_t last)
{
    stream_head_t head = {.shard = 3, .epoch = epoch, .previous = previous, .last = last};
    stream_verdict_t verdict = replica_judge (self, &head);
    assert_true (replica_is_valid (self));
    return verdict;
}

static void test_new_epoch_is_promised_before_anything_else (void **state)
{
    (void)state;
    replica_t self = s_former ();
    assert_int_equal (s_judge (&self, 3, s_at (1, 5), s_at (3, 6)), STREAM_PROMISE);
    assert_int_equal (s_judge (&self, 3, s_at (1, 5), s_at (3, 6)), STREAM_LATER);
    assert_int_equal (s_judge (&self, 2, s_at (1, 5), s_at (2, 6)), STREAM_OLD); // C2
    assert_false (replica_grant (&self, 2, 10));
    assert_false (replica_grant (&self, 3, 10));
    replica_promised (&self, 3);
    assert_int_equal (s_judge (&self, 3, s_at (1, 5), s_at (3, 6)), STREAM_TAKE);
    assert_true (replica_grant (&self, 3, 10));
    assert_int_equal (self.granted_us, 10);
    replica_free (&self);
}

static void test_promise_that_is_overtaken_by_a_higher_one (void **state)
{
    (void)state;
    replica_t self = s_former ();
    assert_true (replica_see (&self, 3));
    assert_true (replica_see (&self, 5));
    assert_false (replica_see (&self, 4));
    replica_promised (&self, 3);
    assert_int_equal (s_judge (&self, 3, s_at (1, 5), s_at (1, 5)), STREAM_OLD);
    assert_int_equal (s_judge (&self, 5, s_at (1, 5), s_at (1, 5)), STREAM_LATER);
    replica_promised (&self, 5);
    assert_int_equal (s_judge (&self, 5, s_at (1, 5), s_at (1, 5)), STREAM_KNOWN);
    replica_free (&self);
}

static void test_nothing_is_acknowledged_before_the_logs_were_compared (void **state)
{
    (void)state;
    uint64_t received;
    uint64_t durable;
    replica_t self = s_former ();
    assert_false (replica_ack (&self, true, &received, &durable)); // C3
    assert_int_equal (s_judge (&self, 2, s_at (1, 3), s_at (1, 3)), STREAM_DIFFERS);
    assert_false (replica_ack (&self, true, &received, &durable));
    assert_int_equal (s_judge (&self, 2, s_at (1, 5), s_at (2, 7)), STREAM_TAKE);
    assert_true (replica_ack (&self, false, &received, &durable));
    assert_int_equal (received, s_at (1, 5));
    assert_int_equal (replica_append (&self, s_at (1, 5), s_at (2, 6), true), KV_OK);
    assert_false (replica_ack (&self, false, &received, &durable)); /* appended, not written */
    replica_reached (&self, s_at (2, 6), s_at (1, 5));
    assert_true (replica_ack (&self, false, &received, &durable));
    assert_int_equal (received, s_at (2, 6));
    assert_int_equal (durable, s_at (1, 5));
    assert_true (replica_ack (&self, true, &received, &durable));
    replica_free (&self);
}

static void test_cut_is_only_for_who_was_asked_about_this_very_log (void **state)
{
    (void)state;
    replica_t self = s_former ();
    stream_head_t head = {.epoch = 2, .previous = s_at (1, 3), .last = s_at (1, 3)};
    head.cut_from = s_at (1, 4);
    assert_int_equal (replica_judge (&self, &head), STREAM_DIFFERS); // C4
    head.cut_from = s_at (1, 5);
    assert_int_equal (replica_judge (&self, &head), STREAM_CUT);
    assert_int_equal (replica_judge (&self, &head), STREAM_LATER);
    replica_was_cut (&self);
    assert_int_equal (self.last, s_at (1, 3));
    assert_true (self.matched);
    s_fill (&self, 2, 5);                                          /* 2|4 2|5 */
    assert_int_equal (replica_judge (&self, &head), STREAM_KNOWN); /* the same again, late */
    assert_int_equal (self.last, s_at (2, 5));
    replica_free (&self);
}

static void test_cut_below_what_is_committed_is_refused (void **state)
{
    (void)state;
    replica_t self = s_empty ();
    s_promise (&self, 1);
    s_fill (&self, 1, 5);
    stream_head_t head = {
        .epoch = 1, .previous = s_at (1, 5), .last = s_at (1, 5), .committed = s_at (1, 4)};
    assert_int_equal (replica_judge (&self, &head), STREAM_KNOWN);
    assert_int_equal (self.committed, s_at (1, 4));
    s_promise (&self, 2);
    head = (stream_head_t){.epoch = 2, .previous = s_at (1, 3), .last = s_at (1, 3)};
    head.cut_from = s_at (1, 5);
    assert_int_equal (replica_judge (&self, &head), STREAM_DIFFERS); // C5
    head.previous = head.last = s_at (1, 4);
    assert_int_equal (replica_judge (&self, &head), STREAM_CUT);
    replica_free (&self);
}

static void test_epoch_seen_during_a_cut_leaves_the_rest_unmatched (void **state)
{
    (void)state;
    replica_t self = s_former ();
    stream_head_t head = {
        .epoch = 2, .previous = s_at (1, 3), .last = s_at (1, 3), .cut_from = s_at (1, 5)};
    assert_int_equal (replica_judge (&self, &head), STREAM_CUT);
    assert_true (replica_see (&self, 3));
    replica_promised (&self, 3);
    replica_was_cut (&self);
    assert_int_equal (self.state, REPLICA_PLAIN);
    assert_false (self.matched);
    assert_int_equal (s_judge (&self, 3, s_at (1, 5), s_at (1, 5)), STREAM_DIFFERS);
    replica_free (&self);
}

static void test_what_is_committed_is_known_as_far_as_the_log_goes (void **state)
{
    (void)state;
    replica_t self = s_former ();
    stream_head_t head = {
        .epoch = 2, .previous = s_at (1, 5), .last = s_at (2, 8), .committed = s_at (2, 7)};
    assert_int_equal (replica_judge (&self, &head), STREAM_TAKE);
    assert_int_equal (self.committed, s_at (1, 5));
    s_fill (&self, 2, 6);
    assert_int_equal (self.committed, s_at (2, 6));
    s_fill (&self, 2, 8);
    assert_int_equal (self.committed, s_at (2, 7));
    replica_free (&self);
}

static void test_record_that_does_not_follow_is_refused (void **state)
{
    (void)state;
    replica_t self = s_former ();
    assert_int_equal (replica_append (&self, s_at (1, 4), s_at (1, 5), false), KV_CORRUPT);
    assert_int_equal (replica_append (&self, s_at (1, 5), s_at (1, 7), false), KV_CORRUPT);
    assert_int_equal (replica_append (&self, s_at (1, 5), s_at (2, 6), false), KV_CORRUPT);
    assert_int_equal (replica_append (&self, s_at (1, 5), s_at (1, 6), true), KV_CORRUPT);
    assert_int_equal (replica_append (&self, s_at (1, 5), s_at (3, 6), true), KV_CORRUPT); // C2
    assert_int_equal (self.last, s_at (1, 5));
    assert_int_equal (replica_append (&self, s_at (1, 5), s_at (2, 6), true), KV_OK);
    replica_free (&self);
}

static void test_log_begins_anew_behind_a_base (void **state)
{
    (void)state;
    replica_t self = s_former ();
    epoch_history_t history = {.opens = NULL};
    assert_int_equal (epoch_history_add (&history, s_at (1, 1), 0), KV_OK);
    assert_int_equal (epoch_history_add (&history, s_at (2, 4), s_at (1, 3)), KV_OK);
    replica_rebase (&self, s_at (2, 90), &history, s_at (2, 88));
    assert_true (replica_is_valid (&self));
    assert_int_equal (self.committed, s_at (2, 88));
    assert_int_equal (s_judge (&self, 2, s_at (2, 90), s_at (2, 91)), STREAM_TAKE);
    replica_free (&self);
}

/* ---- the random run ----------------------------------------------------------------------------------- */

enum { COPIES = 3, STEPS = 200000, RECORDS_MOST = 1 << 16 };

typedef struct {
    replica_t replica;
    uint64_t records[RECORDS_MOST]; /* by n, from 1 on */
    uint64_t acked;                 /* as the present owner knows it */
    uint64_t differs;               /* the last position it has told the owner of; 0: nothing */
    epoch_history_t told;           /* with that */
} copy_t;

typedef struct {
    random_t random;
    copy_t copies[COPIES];
    uint32_t owner;
    uint64_t epoch, committed;
    uint64_t cuts, takes;
} run_t;

static bool s_in_log (const copy_t *copy, uint64_t position)
{
    uint64_t n = position_n (position);
    return position == 0 || (n <= position_n (copy->replica.last) && copy->records[n] == position);
}

/* C3 by a walk: all of the copy's log is in the owner's. */
static bool s_is_part (const copy_t *copy, const copy_t *owner)
{
    for (uint64_t n = 1; n <= position_n (copy->replica.last); n++) {
        if (!s_in_log (owner, copy->records[n]))
            return false;
    }
    return true;
}

static void s_append (copy_t *copy, uint64_t position)
{
    replica_t *replica = &copy->replica;
    bool opens = position_epoch (replica->last) != position_epoch (position);
    assert_true (position_n (position) < RECORDS_MOST);
    assert_int_equal (replica_append (replica, replica->last, position, opens), KV_OK);
    copy->records[position_n (position)] = position;
}

static void s_owner_writes (run_t *self)
{
    copy_t *owner = &self->copies[self->owner];
    uint64_t more = random_below (&self->random, 4);
    while (more--)
        s_append (owner, s_at (self->epoch, position_n (owner->replica.last) + 1));
    replica_reached (&owner->replica, owner->replica.last, 0);
}

/* Any copy may be next: each has all that is committed, as all are members. */
static void s_next_owner (run_t *self)
{
    self->owner = random_below (&self->random, COPIES);
    self->epoch++;
    copy_t *owner = &self->copies[self->owner];
    replica_t *replica = &owner->replica;
    (void)replica_see (replica, self->epoch);
    replica_promised (replica, self->epoch);
    if (replica->state == REPLICA_CUTTING)
        replica_was_cut (replica);
    assert_true (s_in_log (owner, self->committed));
    replica_own (replica);
    s_append (owner, s_at (self->epoch, position_n (replica->last) + 1));
    replica_reached (replica, replica->last, replica->last);
    for (uint32_t i = 0; i < COPIES; i++) {
        self->copies[i].acked = 0;
        self->copies[i].differs = 0;
    }
}

static void s_commit (run_t *self)
{
    copy_t *owner = &self->copies[self->owner];
    uint64_t least = owner->replica.received;
    for (uint32_t i = 0; i < COPIES; i++) {
        if (i != self->owner && self->copies[i].acked < least)
            least = self->copies[i].acked;
    }
    if (position_epoch (least) != self->epoch || least <= self->committed) // R8
        return;
    assert_true (s_in_log (owner, self->committed)); /* what was committed stays */
    self->committed = least;
    replica_commit (&owner->replica, least);
}

/* A head from the owner: anything it may have sent, now or a while ago. */
static stream_head_t s_head (run_t *self, copy_t *copy)
{
    const copy_t *owner = &self->copies[self->owner];
    stream_head_t head = {.epoch = self->epoch, .committed = owner->replica.committed};
    uint64_t last_n = position_n (owner->replica.last);
    if (copy->differs) {
        uint64_t fork = epoch_history_fork (&owner->replica.history, owner->replica.last,
                                            &copy->told, copy->differs);
        head.cut_from = fork < copy->differs ? copy->differs : 0;
        head.previous = fork;
    } else
        head.previous = owner->records[random_below (&self->random, (uint32_t)last_n + 1)];
    uint64_t n = position_n (head.previous);
    head.last = head.cut_from
                    ? head.previous
                    : owner->records[n + random_below (&self->random, (uint32_t)(last_n - n) + 1)];
    return head;
}

static void s_stream (run_t *self, copy_t *copy)
{
    replica_t *replica = &copy->replica;
    copy_t *owner = &self->copies[self->owner];
    stream_head_t head = s_head (self, copy);
    stream_verdict_t verdict = replica_judge (replica, &head);
    if (verdict == STREAM_DIFFERS) {
        copy->differs = replica->last;
        epoch_history_copy (&copy->told, &replica->history);
    }
    if (verdict == STREAM_CUT) {
        self->cuts++;
        assert_false (s_in_log (owner, copy->records[position_n (replica->cut_to) + 1])); // C4
        assert_true (replica->cut_to >= self->committed || s_in_log (copy, replica->cut_to));
    }
    if (verdict == STREAM_TAKE) {
        self->takes++;
        assert_true (s_is_part (copy, owner));
        for (uint64_t n = position_n (replica->last) + 1; n <= position_n (head.last); n++)
            s_append (copy, owner->records[n]);
        if (random_below (&self->random, 2))
            replica_reached (replica, replica->last, 0);
    }
    if (replica->matched)
        copy->differs = 0;
}

static void s_disk (run_t *self, copy_t *copy)
{
    replica_t *replica = &copy->replica;
    replica_reached (replica, replica->last, replica->last);
    if (replica->state == REPLICA_CUTTING && random_below (&self->random, 2))
        replica_was_cut (replica);
    else
        replica_promised (replica, replica->seen);
}

/* SIGKILL: what was received is there, and nobody knows whose it is. */
static void s_restart (copy_t *copy)
{
    replica_t *old = &copy->replica;
    uint64_t promised = old->promised;
    uint64_t last = old->received;
    epoch_history_t history = old->history;
    old->history = (epoch_history_t){.opens = NULL};
    epoch_history_cut (&history, last);
    copy->replica = replica_make (3, promised, last, &history);
    copy->differs = 0;
}

static void s_ack (run_t *self, copy_t *copy)
{
    uint64_t received;
    uint64_t durable;
    if (copy->replica.seen != self->epoch ||
        !replica_ack (&copy->replica, true, &received, &durable))
        return;
    assert_true (s_is_part (copy, &self->copies[self->owner])); // C3
    assert_true (durable <= received && received <= copy->replica.last);
    copy->acked = received;
}

static void s_step (run_t *self)
{
    uint32_t other = (self->owner + 1 + random_below (&self->random, COPIES - 1)) % COPIES;
    copy_t *copy = &self->copies[other];
    switch (random_below (&self->random, 40)) {
    case 0: s_next_owner (self); break;
    case 1: s_restart (copy); break;
    case 2: (void)replica_see (&copy->replica, self->epoch); break;
    case 3:
    case 4:
    case 5: s_owner_writes (self); break;
    case 6:
    case 7:
    case 8:
    case 9: s_disk (self, copy); break;
    case 10:
    case 11:
    case 12:
    case 13: s_ack (self, copy); break;
    case 14: s_commit (self); break;
    default: s_stream (self, copy); break;
    }
    for (uint32_t i = 0; i < COPIES; i++) {
        assert_true (replica_is_valid (&self->copies[i].replica));
        assert_true (s_in_log (&self->copies[i], self->copies[i].replica.committed));
        assert_true (self->copies[i].replica.committed <= self->committed);
    }
}

static void test_random_run_loses_nothing_committed (void **state)
{
    (void)state;
    run_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->random = random_make (__func__);
    for (uint32_t i = 0; i < COPIES; i++)
        self->copies[i].replica = s_empty ();
    s_next_owner (self);
    for (uint32_t step = 0; step < STEPS; step++)
        s_step (self);
    assert_true (self->cuts > 100 && self->takes > 1000 && position_n (self->committed) > 1000);
    for (uint32_t i = 0; i < COPIES; i++) {
        replica_free (&self->copies[i].replica);
        epoch_history_free (&self->copies[i].told);
    }
    free (self);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_new_epoch_is_promised_before_anything_else),
        cmocka_unit_test (test_promise_that_is_overtaken_by_a_higher_one),
        cmocka_unit_test (test_nothing_is_acknowledged_before_the_logs_were_compared),
        cmocka_unit_test (test_cut_is_only_for_who_was_asked_about_this_very_log),
        cmocka_unit_test (test_cut_below_what_is_committed_is_refused),
        cmocka_unit_test (test_epoch_seen_during_a_cut_leaves_the_rest_unmatched),
        cmocka_unit_test (test_what_is_committed_is_known_as_far_as_the_log_goes),
        cmocka_unit_test (test_record_that_does_not_follow_is_refused),
        cmocka_unit_test (test_log_begins_anew_behind_a_base),
        cmocka_unit_test (test_random_run_loses_nothing_committed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
