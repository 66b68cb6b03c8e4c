/* Goal: the configurator does what configurator.h says: D1 to D10, one conversation for each rule behind it.
 * Method: the test is the store, the nodes and S; it reads effects as text:
 *   "STORE 1 {0 e2 1.1* 0.1};" "TELL 1 0e2;" "SURVEY 1 0 p7;" "ROUTE 0 1 e2;" "ROUTE 0 none 1;" "LEAVE 0;"
 * where {shard epoch members} and 1.2 is node 1 in its second life, * the owner, s S. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/configurator.h"

#include <stdio.h>

enum {
    GRACE = 350,
    WAIT = 2000,
    REPEAT = 100,
    MOVE_WAIT = 500,
    SPARE = 5000,
    HOME = 10000,
    HOME_MOST = 40000
};

typedef struct {
    configurator_t *configurator;
    configurator_options_t options;
    int64_t now_ms;
    uint64_t incarnation[8];
    char effects[16384];
} bed_t;

static bed_t s_bed;

static bed_t *s_make (uint32_t shards, uint32_t nodes)
{
    bed_t *bed = &s_bed;
    *bed = (bed_t){.now_ms = 1000};
    bed->options = (configurator_options_t){.shards = shards,
                                            .nodes = nodes,
                                            .replicas = 1,
                                            .has_secondary = true,
                                            .secondary = {.node = KV_SECONDARY, .incarnation = 1},
                                            .grace_ms = GRACE,
                                            .bootstrap_wait_ms = WAIT,
                                            .repeat_ms = REPEAT,
                                            .move_wait_ms = MOVE_WAIT,
                                            .rereplicate_after_ms = SPARE,
                                            .home_steady_ms = HOME,
                                            .home_steady_most_ms = HOME_MOST};
    bed->configurator = configurator_new (&bed->options);
    return bed;
}

static int s_teardown (void **state)
{
    (void)state;
    configurator_destroy (&s_bed.configurator);
    return 0;
}

/* ---- what is seen ------------------------------------------------------------------------------ */

static void s_print (bed_t *bed, const char *format, ...)
{
    size_t used = strlen (bed->effects);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (bed->effects + used, sizeof bed->effects - used, format, arguments);
    va_end (arguments);
}

static void s_print_configuration (bed_t *bed, const configuration_t *configuration)
{
    s_print (bed, " {%u e%u%s", configuration->shard, (unsigned)configuration->epoch,
             configuration->planned ? " planned" : "");
    for (uint32_t i = 0; i < configuration->count; i++) {
        const member_t *member = &configuration->members[i];
        if (member->node == KV_SECONDARY)
            s_print (bed, " s");
        else
            s_print (bed, " %u.%u", member->node, (unsigned)member->incarnation);
        s_print (bed, "%s", i == configuration->owner ? "*" : "");
    }
    s_print (bed, "}");
}

static const char *s_effects (bed_t *bed)
{
    configurator_effect_t effect;
    bed->effects[0] = '\0';
    while (configurator_next_effect (bed->configurator, &effect)) {
        char node[16] = "s";
        if (effect.node != KV_SECONDARY)
            snprintf (node, sizeof node, "%u", effect.node);
        switch (effect.kind) {
        case CONFIGURATOR_STORE:
            s_print (bed, "STORE %u", (unsigned)effect.number);
            for (size_t i = 0; i < effect.count; i++)
                s_print_configuration (bed, &effect.configurations[i]);
            s_print (bed, ";");
            break;
        case CONFIGURATOR_CONFIGURE:
            s_print (bed, "TELL %s %ue%u%s;", node, effect.shard,
                     (unsigned)effect.configurations[0].epoch, effect.learn ? "" : " no copy");
            break;
        case CONFIGURATOR_SURVEY:
            s_print (bed, "SURVEY %s %u p%u;", node, effect.shard, (unsigned)effect.position);
            break;
        case CONFIGURATOR_ROUTE:
            if (effect.node == CONFIGURATOR_NOBODY)
                s_print (bed, "ROUTE %u none %d;", effect.shard, (int)effect.missing);
            else
                s_print (bed, "ROUTE %u %u e%u;", effect.shard, effect.node,
                         (unsigned)effect.epoch);
            break;
        case CONFIGURATOR_LEAVE: s_print (bed, "LEAVE %u;", effect.shard); break;
        }
    }
    assert_true (configurator_is_valid (bed->configurator));
    return bed->effects;
}

#define SEEN(bed, text) assert_string_equal (s_effects (bed), text)

/* ---- what is said ------------------------------------------------------------------------------ */

static member_t s_life (bed_t *bed, uint32_t node)
{
    if (node == KV_SECONDARY)
        return bed->options.secondary;
    member_t member = {.node = node, .incarnation = bed->incarnation[node]};
    member.uuid[0] = (uint8_t)(node + 1);
    return member;
}

/* A new life that has seen no epoch above the ones told of. */
static void s_ready_with (bed_t *bed, uint32_t node, uint64_t promised)
{
    uint64_t all[64];
    for (uint32_t i = 0; i < bed->options.shards; i++)
        all[i] = promised;
    bed->incarnation[node]++;
    member_t life = s_life (bed, node);
    configurator_ready_t ready = {.node = node, .incarnation = life.incarnation, .promised = all};
    memcpy (ready.uuid, life.uuid, KV_UUID_BYTES);
    configurator_ready (bed->configurator, &ready, bed->now_ms);
}

static void s_ready (bed_t *bed, uint32_t node)
{
    s_ready_with (bed, node, 0);
}

static void s_stored (bed_t *bed, uint64_t number)
{
    configurator_stored (bed->configurator, number, bed->now_ms);
}

static void s_confirmed (bed_t *bed, uint32_t node, uint64_t epoch)
{
    configurator_confirmed (bed->configurator, node, 0, epoch, bed->now_ms);
}

static void s_opened (bed_t *bed, uint32_t node, uint64_t epoch)
{
    configurator_opened (bed->configurator, node, 0, epoch, bed->now_ms);
}

static void s_ask (bed_t *bed, configurator_ask_kind_t kind, uint32_t asker, uint64_t epoch,
                   member_t member)
{
    configurator_ask_t ask = {
        .kind = kind, .epoch = epoch, .asker = s_life (bed, asker), .member = member};
    configurator_ask (bed->configurator, &ask, bed->now_ms);
}

static void s_answered (bed_t *bed, uint32_t node, uint64_t number, uint64_t last, bool holds)
{
    configurator_answer_t answer = {.node = node,
                                    .incarnation = bed->incarnation[node],
                                    .number = number,
                                    .last = last,
                                    .holds = holds};
    configurator_answered (bed->configurator, &answer, bed->now_ms);
}

static void s_pass (bed_t *bed, int64_t ms)
{
    bed->now_ms += ms;
    configurator_tick (bed->configurator, bed->now_ms);
}

/* A shard 0 of nodes 0 and 1, of two or three, opened under epoch 1; all is told. */
static bed_t *s_make_open (uint32_t nodes)
{
    bed_t *bed = s_make (1, nodes);
    configurator_start (bed->configurator, bed->now_ms);
    for (uint32_t node = 0; node < nodes; node++)
        s_ready (bed, node);
    SEEN (bed, "ROUTE 0 none 0;STORE 1 {0 e1 0.1* 1.1};");
    s_stored (bed, 1);
    SEEN (bed, "TELL 0 0e1;TELL 1 0e1;");
    s_confirmed (bed, 1, 1);
    s_opened (bed, 0, 1);
    SEEN (bed, "ROUTE 0 0 e1;");
    s_pass (bed, GRACE);
    SEEN (bed, "");
    return bed;
}

/* ... and node 1 was lost, and dropped; S learns. Epoch 2. */
static bed_t *s_make_alone (uint32_t nodes)
{
    bed_t *bed = s_make_open (nodes);
    member_t lost = s_life (bed, 1);
    configurator_gone (bed->configurator, 1, bed->now_ms);
    SEEN (bed, "TELL s 0e1;");
    s_ask (bed, ASK_DROP, 0, 1, lost);
    SEEN (bed, "STORE 2 {0 e2 0.1*};");
    s_stored (bed, 2);
    SEEN (bed, "TELL s 0e2;TELL 0 0e2;");
    s_confirmed (bed, KV_SECONDARY, 2);
    s_opened (bed, 0, 2);
    SEEN (bed, "");
    return bed;
}

/* ... and S joined, with a base behind position 7. Epoch 3. */
static bed_t *s_make_with_secondary (uint32_t nodes)
{
    bed_t *bed = s_make_alone (nodes);
    configurator_based (bed->configurator, 0, 7);
    s_ask (bed, ASK_ADMIT, 0, 2, s_life (bed, KV_SECONDARY));
    SEEN (bed, "STORE 3 {0 e3 0.1* s};");
    s_stored (bed, 3);
    SEEN (bed, "TELL s 0e3;TELL 0 0e3;");
    s_confirmed (bed, KV_SECONDARY, 3);
    s_opened (bed, 0, 3);
    SEEN (bed, "");
    return bed;
}

/* ---- the first configuration (R10) --------------------------------------------------------------- */

static void test_first_waits_for_home_and_followers (void **state)
{
    (void)state;
    bed_t *bed = s_make (2, 3);
    configurator_start (bed->configurator, bed->now_ms);
    SEEN (bed, "ROUTE 0 none 0;ROUTE 1 none 1;");
    assert_int_equal (configurator_state (bed->configurator, 0), SHARD_NONE);
    s_ready (bed, 0);
    SEEN (bed, "");
    s_ready (bed, 1);
    SEEN (bed, "STORE 1 {0 e1 0.1* 1.1};");
    assert_null (configurator_present (bed->configurator, 0)); // D2
    s_pass (bed, WAIT);
    SEEN (bed, "STORE 2 {1 e1 1.1*};");
    s_stored (bed, 2);
    SEEN (bed, "TELL 0 0e1;TELL 1 0e1;TELL 1 1e1;");
}

static void test_changes_of_one_wake_up_share_a_number (void **state)
{
    (void)state;
    bed_t *bed = s_make (3, 3);
    configurator_start (bed->configurator, bed->now_ms);
    for (uint32_t node = 0; node < 3; node++)
        s_ready (bed, node);
    SEEN (bed, "ROUTE 0 none 0;ROUTE 1 none 1;ROUTE 2 none 2;"
               "STORE 1 {0 e1 0.1* 1.1} {1 e1 1.1* 2.1} {2 e1 2.1* 0.1};");
}

static void test_followers_of_one_home_go_round_all_others (void **state)
{
    (void)state;
    bed_t *bed = s_make (64, 4);
    uint32_t counts[4][4] = {{0}};
    for (uint32_t shard = 0; shard < 64; shard++)
        counts[configurator_placed (bed->configurator, shard, 0)]
              [configurator_placed (bed->configurator, shard, 1)]++;
    for (uint32_t home = 0; home < 4; home++)
        for (uint32_t other = 0; other < 4; other++)
            assert_true (home == other ? counts[home][other] == 0 : counts[home][other] >= 5);
}

static void test_a_lone_node_is_its_own_cluster (void **state)
{
    (void)state;
    bed_t *bed = s_make (1, 1);
    configurator_start (bed->configurator, bed->now_ms);
    s_ready (bed, 0);
    SEEN (bed, "ROUTE 0 none 0;STORE 1 {0 e1 0.1*};");
    s_stored (bed, 1);
    s_opened (bed, 0, 1);
    SEEN (bed, "TELL 0 0e1;ROUTE 0 0 e1;");
}

static void test_a_configuration_is_repeated_until_learnt_and_opened (void **state)
{
    (void)state;
    bed_t *bed = s_make (1, 2);
    configurator_start (bed->configurator, bed->now_ms);
    s_ready (bed, 0);
    s_ready (bed, 1);
    s_stored (bed, 1);
    s_effects (bed);
    s_stored (bed, 1);
    SEEN (bed, "TELL 0 0e1;TELL 1 0e1;");
    s_pass (bed, REPEAT - 1);
    SEEN (bed, "");
    s_pass (bed, 1);
    SEEN (bed, "TELL 0 0e1;TELL 1 0e1;");
    s_confirmed (bed, 0, 1);
    s_confirmed (bed, 1, 1);
    s_pass (bed, REPEAT);
    SEEN (bed, "TELL 0 0e1;");
    s_opened (bed, 1, 1);
    SEEN (bed, ""); /* not its owner */
    s_opened (bed, 0, 1);
    SEEN (bed, "ROUTE 0 0 e1;");
    s_pass (bed, REPEAT);
    SEEN (bed, "");
}

/* ---- failover (R7, R11) ------------------------------------------------------------------------- */

static void test_a_silent_owner_is_replaced_and_kept (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (3);
    configurator_silent (bed->configurator, 0, bed->now_ms);
    SEEN (bed, "TELL s 0e1;ROUTE 0 none 0;STORE 2 {0 e2 0.1 1.1*};"); // D6
    s_stored (bed, 2);
    SEEN (bed, "TELL s 0e2;TELL 1 0e2;ROUTE 0 none 1;");
    s_opened (bed, 1, 2);
    SEEN (bed, "ROUTE 0 1 e2;");
    configurator_heard (bed->configurator, 0, bed->now_ms);
    SEEN (bed, "LEAVE 0;TELL 0 0e2;");
    assert_int_equal (configurator_stats (bed->configurator).failovers, 1);
}

static void test_who_is_gone_comes_back_by_ready_alone (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (3);
    configurator_gone (bed->configurator, 0, bed->now_ms);
    SEEN (bed, "TELL s 0e1;ROUTE 0 none 0;STORE 2 {0 e2 0.1 1.1*};");
    configurator_heard (bed->configurator, 0, bed->now_ms); /* a late message of its former life */
    SEEN (bed, "");                                         // D10
    s_ready_with (bed, 0, 1);
    SEEN (bed, "TELL 0 0e1;");
}

static void test_an_owner_that_restarts_is_another_life (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (3);
    s_ready_with (bed, 0, 1);
    SEEN (bed, "TELL s 0e1;TELL 0 0e1;ROUTE 0 none 0;STORE 2 {0 e2 0.1 1.1*};"); // D10
    s_stored (bed, 2);
    s_opened (bed, 1, 2);
    s_effects (bed);
    s_ask (bed, ASK_ADMIT, 1, 2, s_life (bed, 0));
    SEEN (bed, "STORE 3 {0 e3 0.2 1.1*};");
}

static void test_the_first_to_ask_wins (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (2);
    member_t nobody = {0};
    s_ask (bed, ASK_REPLACE, 1, 1, nobody);
    SEEN (bed, "STORE 2 {0 e2 0.1 1.1*};");
    s_ask (bed, ASK_DROP, 0, 1, s_life (bed, 1));
    SEEN (bed, "TELL 0 0e1;"); /* what is stored; never what is not yet */
    s_stored (bed, 2);
    SEEN (bed, "TELL 0 0e2;TELL 1 0e2;ROUTE 0 none 1;");
    s_ask (bed, ASK_DROP, 0, 1, s_life (bed, 1));
    SEEN (bed, "TELL 0 0e2;");
    s_ask (bed, ASK_DROP, 0, 2, s_life (bed, 1));
    SEEN (bed, "TELL 0 0e2;"); /* not the owner */
    s_ask (bed, ASK_REPLACE, 1, 2, nobody);
    SEEN (bed, "TELL 1 0e2;"); /* it is the owner */
    assert_int_equal (configurator_stats (bed->configurator).refusals, 4);
}

static void test_askings_of_a_former_life_change_nothing (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (3);
    member_t former = s_life (bed, 1);
    s_ready_with (bed, 1, 1);
    SEEN (bed, "TELL s 0e1;TELL 1 0e1;");
    configurator_ask_t ask = {.kind = ASK_REPLACE, .epoch = 1, .asker = former};
    configurator_ask (bed->configurator, &ask, bed->now_ms);
    SEEN (bed, "TELL 1 0e1;");
    s_ask (bed, ASK_ADMIT, 0, 1, former); /* it is a member; its life is over */
    SEEN (bed, "TELL 0 0e1;");
    s_ask (bed, ASK_ADMIT, 0, 1, s_life (bed, 1)); /* in its former life's place: never alone */
    SEEN (bed, "STORE 2 {0 e2 0.1* 1.2};");
}

static void test_who_dies_while_it_is_stored_is_replaced_next (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (2);
    configurator_silent (bed->configurator, 0, bed->now_ms);
    s_effects (bed);
    configurator_heard (bed->configurator, 0, bed->now_ms);
    configurator_gone (bed->configurator, 1, bed->now_ms);
    s_effects (bed);
    s_stored (bed, 2);
    SEEN (bed, "TELL s 0e2;TELL 0 0e2;ROUTE 0 none 1;STORE 3 {0 e3 0.1* 1.1};");
}

/* ---- S (R12) -------------------------------------------------------------------------------------- */

static void test_s_joins_after_a_loss_and_leaves_when_complete (void **state)
{
    (void)state;
    bed_t *bed = s_make_with_secondary (2);
    s_ready_with (bed, 1, 1);
    SEEN (bed, "TELL 1 0e3;"); /* to learn */
    s_ask (bed, ASK_ADMIT, 0, 3, s_life (bed, 1));
    SEEN (bed, "STORE 4 {0 e4 0.1* s 1.2};");
    s_stored (bed, 4);
    SEEN (bed, "TELL s 0e4;TELL 0 0e4;TELL 1 0e4;");
    s_confirmed (bed, 1, 4);
    s_confirmed (bed, KV_SECONDARY, 4);
    s_opened (bed, 0, 4);
    SEEN (bed, "STORE 5 {0 e5 0.1* 1.2};");
    s_stored (bed, 5);
    SEEN (bed, "TELL s 0e5;TELL 0 0e5;TELL 1 0e5;");
    s_opened (bed, 0, 5);
    SEEN (bed, "LEAVE 0;"); /* stored and opened */
}

static void test_who_did_not_join_is_left_out_by_an_epoch (void **state)
{
    (void)state;
    bed_t *bed = s_make_alone (2);
    s_ready_with (bed, 1, 1);
    s_ask (bed, ASK_ADMIT, 0, 2, s_life (bed, KV_SECONDARY));
    SEEN (bed, "TELL 1 0e2;TELL 0 0e2;"); /* it has no base */
    s_ask (bed, ASK_DROP, 0, 1, s_life (bed, KV_SECONDARY));
    SEEN (bed, "TELL 0 0e2;"); /* asked under a former epoch */
    s_ask (bed, ASK_DROP, 0, 2, s_life (bed, KV_SECONDARY));
    SEEN (bed, "STORE 3 {0 e3 0.1*};");
    s_stored (bed, 3);
    SEEN (bed, "TELL s 0e3;TELL 0 0e3;TELL 1 0e3;"); /* the route stays: it is the same owner */
    s_opened (bed, 0, 3);
    SEEN (bed, "");
}

static void test_a_spare_node_stands_in_and_leaves (void **state)
{
    (void)state;
    bed_t *bed = s_make_with_secondary (3);
    s_confirmed (bed, 0, 3);
    s_pass (bed, SPARE - 1);
    SEEN (bed, "");
    s_pass (bed, 1);
    SEEN (bed, "TELL 2 0e3;");
    s_ask (bed, ASK_ADMIT, 0, 3, s_life (bed, 2));
    SEEN (bed, "STORE 4 {0 e4 0.1* s 2.1};");
    s_stored (bed, 4);
    s_opened (bed, 0, 4);
    SEEN (bed, "TELL s 0e4;TELL 0 0e4;TELL 2 0e4;STORE 5 {0 e5 0.1* 2.1};");
    s_stored (bed, 5);
    s_opened (bed, 0, 5);
    SEEN (bed, "TELL s 0e5;TELL 0 0e5;TELL 2 0e5;LEAVE 0;");
    s_confirmed (bed, 2, 5);
    s_ready_with (bed, 1, 1);
    SEEN (bed, "TELL 1 0e5;");
    s_ask (bed, ASK_ADMIT, 0, 5, s_life (bed, 1));
    SEEN (bed, "STORE 6 {0 e6 0.1* 2.1 1.2};");
    s_stored (bed, 6);
    s_opened (bed, 0, 6);
    SEEN (bed, "TELL 0 0e6;TELL 1 0e6;TELL 2 0e6;STORE 7 {0 e7 0.1* 1.2};");
    s_stored (bed, 7);
    s_opened (bed, 0, 7);
    SEEN (bed, "TELL 0 0e7;TELL 1 0e7;TELL 2 0e7;TELL 2 0e7 no copy;");
}

static void test_a_full_s_is_dropped_and_not_asked_again (void **state)
{
    (void)state;
    bed_t *bed = s_make_with_secondary (2);
    configurator_room (bed->configurator, false, bed->now_ms);
    SEEN (bed, "");
    s_ask (bed, ASK_DROP, 0, 3, s_life (bed, KV_SECONDARY));
    SEEN (bed, "STORE 4 {0 e4 0.1*};");
    s_stored (bed, 4);
    SEEN (bed, "TELL s 0e4;TELL 0 0e4;");
    s_opened (bed, 0, 4);
    SEEN (bed, "LEAVE 0;");
    configurator_room (bed->configurator, true, bed->now_ms);
    SEEN (bed, "TELL s 0e4;");
}

static void test_a_log_that_holds_the_base_goes_on_with_s (void **state)
{
    (void)state;
    bed_t *bed = s_make_with_secondary (3);
    configurator_gone (bed->configurator, 0, bed->now_ms);
    SEEN (bed, "SURVEY 2 0 p7;ROUTE 0 none 0;");
    s_answered (bed, 2, 1, 100, false);
    SEEN (bed, "");
    s_ready_with (bed, 1, 1);
    SEEN (bed, "SURVEY 1 0 p7;TELL 1 0e3;");
    s_answered (bed, 1, 1, 9, true);
    SEEN (bed, "STORE 4 {0 e4 1.2* s};");
    s_stored (bed, 4);
    SEEN (bed, "TELL s 0e4;ROUTE 0 none 1;"); // D7
    s_ask (bed, ASK_REPLACE, 1, 3, s_life (bed, 1));
    s_pass (bed, REPEAT);
    SEEN (bed, "TELL s 0e4;");
    s_confirmed (bed, KV_SECONDARY, 4);
    SEEN (bed, "TELL 1 0e4;");
    s_opened (bed, 1, 4);
    SEEN (bed, "ROUTE 0 1 e4;");
}

static void test_a_restarted_owner_goes_on_with_s (void **state)
{
    (void)state;
    bed_t *bed = s_make_with_secondary (2);
    s_ready_with (bed, 0, 3);
    SEEN (bed, "SURVEY 0 0 p7;TELL 0 0e3;ROUTE 0 none 0;");
    s_answered (bed, 0, 1, 8, true);
    SEEN (bed, "STORE 4 {0 e4 0.2* s};");
}

/* ---- no live member (R13) -------------------------------------------------------------------------- */

static void test_all_members_data_is_waited_for_and_the_highest_wins (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (3);
    configurator_gone (bed->configurator, 0, bed->now_ms);
    configurator_gone (bed->configurator, 1, bed->now_ms);
    s_effects (bed);
    s_stored (bed, 2); /* 1 had been promoted, and is gone */
    SEEN (bed, "SURVEY 2 0 p0;TELL s 0e2;");
    assert_int_equal (configurator_state (bed->configurator, 0), SHARD_LOST);
    s_answered (bed, 2, 1, 1000, false); /* was never a member */
    SEEN (bed, "");
    s_ready_with (bed, 0, 1);
    SEEN (bed, "SURVEY 0 0 p0;TELL 0 0e2;");
    s_answered (bed, 0, 1, 90, false);
    SEEN (bed, "ROUTE 0 none 1;"); /* whom to bring back */
    s_ready_with (bed, 1, 1);
    s_effects (bed);
    s_answered (bed, 1, 1, 91, false);
    SEEN (bed, "STORE 3 {0 e3 1.2*};");
    assert_int_equal (configurator_stats (bed->configurator).rescues, 1);
}

static void test_a_wiped_node_has_not_reported (void **state)
{
    (void)state;
    bed_t *bed = s_make_alone (3);
    configurator_gone (bed->configurator, 0, bed->now_ms);
    s_effects (bed);
    uint64_t none = 0;
    configurator_ready_t wiped = {
        .node = 0, .incarnation = ++bed->incarnation[0], .promised = &none, .uuid = {99}};
    configurator_ready (bed->configurator, &wiped, bed->now_ms);
    s_effects (bed);
    s_answered (bed, 0, 1, 0, false);
    s_answered (bed, 2, 1, 50, false);
    SEEN (bed, "");
    assert_int_equal (configurator_force (bed->configurator, 0, bed->now_ms), KV_OK);
    SEEN (bed, "STORE 3 {0 e3 2.1*};");
    assert_int_equal (configurator_stats (bed->configurator).forced, 1);
    assert_int_equal (configurator_force (bed->configurator, 0, bed->now_ms), KV_UNAVAILABLE);
}

static void test_answers_of_a_former_loss_do_not_count (void **state)
{
    (void)state;
    bed_t *bed = s_make_alone (3);
    configurator_silent (bed->configurator, 0, bed->now_ms);
    SEEN (bed, "SURVEY 2 0 p0;ROUTE 0 none 0;");
    configurator_heard (bed->configurator, 0, bed->now_ms);
    SEEN (bed, "ROUTE 0 0 e2;"); /* its life goes on */
    s_ready_with (bed, 0, 2);
    SEEN (bed, "SURVEY 0 0 p0;SURVEY 2 0 p0;TELL 0 0e2;ROUTE 0 none 0;");
    s_answered (bed, 0, 1, 5, false);
    SEEN (bed, "");
    s_answered (bed, 0, 2, 5, false);
    SEEN (bed, "STORE 3 {0 e3 0.2*};");
}

/* ---- the coordinator's restart (R15) ---------------------------------------------------------------- */

static configuration_t s_stored_before (bed_t *bed, uint64_t epoch)
{
    configuration_t stored = {.epoch = epoch, .count = 2};
    bed->incarnation[0] = bed->incarnation[1] = 1;
    stored.members[0] = s_life (bed, 0);
    stored.members[1] = s_life (bed, 1);
    bed->incarnation[0] = bed->incarnation[1] = 0;
    return stored;
}

static void test_after_a_start_nobody_is_replaced_for_a_grace (void **state)
{
    (void)state;
    bed_t *bed = s_make (1, 2);
    configuration_t stored = s_stored_before (bed, 5);
    assert_int_equal (configurator_load (bed->configurator, &stored), KV_OK);
    configurator_start (bed->configurator, bed->now_ms);
    s_ready_with (bed, 1, 5);
    s_ask (bed, ASK_REPLACE, 1, 5, s_life (bed, 1));
    SEEN (bed, "ROUTE 0 none 0;TELL 1 0e5;TELL 1 0e5;"); // D5
    s_pass (bed, GRACE - 1);
    SEEN (bed, "TELL 1 0e5;");
    s_pass (bed, 1);
    SEEN (bed, "STORE 1 {0 e6 0.1 1.1*};");
}

static void test_after_a_start_an_owner_that_serves_goes_on (void **state)
{
    (void)state;
    bed_t *bed = s_make (1, 2);
    configuration_t stored = s_stored_before (bed, 5);
    assert_int_equal (configurator_load (bed->configurator, &stored), KV_OK);
    stored.epoch = 4; /* later in the log, and older: not taken */
    assert_int_equal (configurator_load (bed->configurator, &stored), KV_OK);
    stored.shard = 1;
    assert_int_equal (configurator_load (bed->configurator, &stored), KV_CONFIG);
    configurator_start (bed->configurator, bed->now_ms);
    s_ready_with (bed, 0, 5);
    SEEN (bed, "ROUTE 0 none 0;TELL 0 0e5;");
    s_opened (bed, 0, 5); /* it says so again */
    SEEN (bed, "TELL s 0e5;ROUTE 0 0 e5;");
}

static void test_higher_epochs_are_refused_until_adopted (void **state)
{
    (void)state;
    bed_t *bed = s_make (1, 3);
    configurator_start (bed->configurator, bed->now_ms);
    s_ready_with (bed, 0, 9);
    s_ready_with (bed, 1, 8);
    s_pass (bed, WAIT);
    SEEN (bed, "ROUTE 0 none 0;");
    assert_int_equal (configurator_state (bed->configurator, 0), SHARD_FOREIGN);
    assert_int_equal (configurator_force (bed->configurator, 0, bed->now_ms), KV_UNAVAILABLE);
    configurator_adopt (bed->configurator, bed->now_ms);
    SEEN (bed, "SURVEY 0 0 p0;SURVEY 1 0 p0;");
    s_answered (bed, 0, 1, 20, false);
    s_answered (bed, 1, 1, 30, false);
    SEEN (bed, ""); /* any node may have been a member */
    s_ready (bed, 2);
    SEEN (bed, "SURVEY 2 0 p0;");
    s_answered (bed, 2, 1, 0, false);
    SEEN (bed, "STORE 1 {0 e10 1.1*};"); // D1
}

/* ---- going home (R18) --------------------------------------------------------------------------------- */

/* Shards 0 and 2 of two nodes, both owned by 1 under epoch 3, with 0 back as a member. */
static bed_t *s_make_away (uint32_t shards)
{
    bed_t *bed = s_make (shards, 2);
    bed->options.has_secondary = false;
    configurator_destroy (&bed->configurator);
    bed->configurator = configurator_new (&bed->options);
    configuration_t stored = s_stored_before (bed, 3);
    stored.owner = 1;
    for (stored.shard = 0; stored.shard < shards; stored.shard++)
        assert_int_equal (configurator_load (bed->configurator, &stored), KV_OK);
    configurator_start (bed->configurator, bed->now_ms);
    s_ready_with (bed, 0, 3);
    s_ready_with (bed, 1, 3);
    for (uint32_t shard = 0; shard < shards; shard++) {
        configurator_confirmed (bed->configurator, 0, shard, 3, bed->now_ms);
        configurator_opened (bed->configurator, 1, shard, 3, bed->now_ms);
    }
    s_effects (bed);
    return bed;
}

static void test_a_move_is_told_to_the_former_owner_alone (void **state)
{
    (void)state;
    bed_t *bed = s_make_away (1);
    s_pass (bed, HOME - 1);
    SEEN (bed, "");
    s_pass (bed, 1);
    SEEN (bed, "STORE 1 {0 e4 planned 0.1* 1.1};");
    s_stored (bed, 1);
    SEEN (bed, "TELL 1 0e4;"); // D8, and the route stays: D9
    s_confirmed (bed, 1, 4);
    s_pass (bed, MOVE_WAIT - 1);
    SEEN (bed, "");
    s_opened (bed, 0, 4);
    SEEN (bed, "ROUTE 0 0 e4;");
    assert_int_equal (configurator_stats (bed->configurator).moves, 1);
}

static void test_a_move_that_takes_too_long_is_told_to_all (void **state)
{
    (void)state;
    bed_t *bed = s_make_away (1);
    s_pass (bed, HOME);
    s_effects (bed);
    s_stored (bed, 1);
    s_confirmed (bed, 1, 4);
    SEEN (bed, "TELL 1 0e4;");
    s_pass (bed, MOVE_WAIT);
    SEEN (bed, "TELL 0 0e4;ROUTE 0 none 0;");
}

static void test_a_move_whose_former_owner_dies_goes_on (void **state)
{
    (void)state;
    bed_t *bed = s_make_away (1);
    s_pass (bed, HOME);
    s_effects (bed);
    s_stored (bed, 1);
    SEEN (bed, "TELL 1 0e4;");
    configurator_gone (bed->configurator, 1, bed->now_ms);
    SEEN (bed, "TELL 0 0e4;ROUTE 0 none 0;");
    s_opened (bed, 0, 4);
    SEEN (bed, "ROUTE 0 0 e4;");
}

static void test_one_node_at_a_time_goes_home (void **state)
{
    (void)state;
    bed_t *bed = s_make (4, 2);
    bed->options.has_secondary = false;
    configurator_destroy (&bed->configurator);
    bed->configurator = configurator_new (&bed->options);
    configuration_t stored = s_stored_before (bed, 3);
    for (stored.shard = 0; stored.shard < 4; stored.shard++) {
        stored.owner = 1 - stored.shard % 2; /* each with the other */
        assert_int_equal (configurator_load (bed->configurator, &stored), KV_OK);
    }
    configurator_start (bed->configurator, bed->now_ms);
    s_ready_with (bed, 0, 3);
    s_ready_with (bed, 1, 3);
    for (uint32_t shard = 0; shard < 4; shard++) {
        configurator_confirmed (bed->configurator, shard % 2, shard, 3, bed->now_ms);
        configurator_opened (bed->configurator, 1 - shard % 2, shard, 3, bed->now_ms);
    }
    s_effects (bed);
    s_pass (bed, HOME);
    SEEN (bed, "STORE 1 {0 e4 planned 0.1* 1.1} {2 e4 planned 0.1* 1.1};");
    s_stored (bed, 1);
    configurator_opened (bed->configurator, 0, 0, 4, bed->now_ms);
    configurator_confirmed (bed->configurator, 1, 0, 4, bed->now_ms);
    configurator_confirmed (bed->configurator, 0, 0, 4, bed->now_ms);
    configurator_confirmed (bed->configurator, 1, 2, 4, bed->now_ms);
    s_effects (bed);
    s_pass (bed, 1);
    SEEN (bed, "");
    configurator_opened (bed->configurator, 0, 2, 4, bed->now_ms);
    s_effects (bed);
    s_pass (bed, 1);
    SEEN (bed, "STORE 2 {1 e4 planned 0.1 1.1*} {3 e4 planned 0.1 1.1*};");
}

static void test_each_flap_doubles_the_wait (void **state)
{
    (void)state;
    bed_t *bed = s_make_away (1);
    configurator_silent (bed->configurator, 0, bed->now_ms);
    configurator_heard (bed->configurator, 0, bed->now_ms);
    s_pass (bed, 2 * HOME - 1);
    SEEN (bed, "");
    for (uint32_t i = 0; i < 9; i++) {
        configurator_silent (bed->configurator, 0, bed->now_ms);
        configurator_heard (bed->configurator, 0, bed->now_ms);
    }
    s_pass (bed, HOME_MOST - 1);
    SEEN (bed, "");
    s_pass (bed, 1);
    SEEN (bed, "STORE 1 {0 e4 planned 0.1* 1.1};");
}

static void test_what_makes_no_sense_is_left_alone (void **state)
{
    (void)state;
    bed_t *bed = s_make_open (2);
    configurator_ask_t ask = {.kind = ASK_DROP, .shard = 7, .asker = s_life (bed, 0)};
    configurator_ask (bed->configurator, &ask, bed->now_ms);
    ask = (configurator_ask_t){.kind = ASK_DROP, .asker = {.node = 77}};
    configurator_ask (bed->configurator, &ask, bed->now_ms);
    configurator_confirmed (bed->configurator, 9, 0, 1, bed->now_ms);
    configurator_confirmed (bed->configurator, 0, 9, 1, bed->now_ms);
    configurator_opened (bed->configurator, 0, 9, 1, bed->now_ms);
    configurator_opened (bed->configurator, 0, 0, 2, bed->now_ms);
    s_answered (bed, 0, 12, 4, true);
    configurator_heard (bed->configurator, 1, bed->now_ms);
    SEEN (bed, "");
    s_ask (bed, ASK_DROP, 0, 1, s_life (bed, 0)); /* itself */
    SEEN (bed, "TELL 0 0e1;");
}

#define T(name) cmocka_unit_test_teardown (name, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        T (test_first_waits_for_home_and_followers),
        T (test_changes_of_one_wake_up_share_a_number),
        T (test_followers_of_one_home_go_round_all_others),
        T (test_a_lone_node_is_its_own_cluster),
        T (test_a_configuration_is_repeated_until_learnt_and_opened),
        T (test_a_silent_owner_is_replaced_and_kept),
        T (test_who_is_gone_comes_back_by_ready_alone),
        T (test_an_owner_that_restarts_is_another_life),
        T (test_the_first_to_ask_wins),
        T (test_askings_of_a_former_life_change_nothing),
        T (test_who_dies_while_it_is_stored_is_replaced_next),
        T (test_s_joins_after_a_loss_and_leaves_when_complete),
        T (test_who_did_not_join_is_left_out_by_an_epoch),
        T (test_a_spare_node_stands_in_and_leaves),
        T (test_a_full_s_is_dropped_and_not_asked_again),
        T (test_a_log_that_holds_the_base_goes_on_with_s),
        T (test_a_restarted_owner_goes_on_with_s),
        T (test_all_members_data_is_waited_for_and_the_highest_wins),
        T (test_a_wiped_node_has_not_reported),
        T (test_answers_of_a_former_loss_do_not_count),
        T (test_after_a_start_nobody_is_replaced_for_a_grace),
        T (test_after_a_start_an_owner_that_serves_goes_on),
        T (test_higher_epochs_are_refused_until_adopted),
        T (test_a_move_is_told_to_the_former_owner_alone),
        T (test_a_move_that_takes_too_long_is_told_to_all),
        T (test_a_move_whose_former_owner_dies_goes_on),
        T (test_one_node_at_a_time_goes_home),
        T (test_each_flap_doubles_the_wait),
        T (test_what_makes_no_sense_is_left_alone),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
