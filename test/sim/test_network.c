/* Goal: the network does what its header says, T1..T5, and no more. Method: one wire and one door;
 * numbered messages both ways; breaks, partitions and frozen hosts. */
#include "test_sim.h"

#include "sim_network.h"

enum { HEARD_MAX = 512, RUNS = 200 };

typedef struct {
    sim_coverage_t coverage;
    sim_t sim;
    sim_network_t *network;
    sim_door_t *door;
    sim_wire_t *wire;
    uint32_t host;
    uint8_t identity[SIM_IDENTITY_BYTES]; /* of the newest message's sender */
    uint32_t at_door[HEARD_MAX], at_wire[HEARD_MAX];
    size_t at_door_count, at_wire_count;
    size_t gone_at_door, gone_at_wire;
} bed_t;

static uint32_t s_number (blob_t **frames, size_t count)
{
    uint32_t number = 0;
    assert_int_equal (count, 1);
    memcpy (&number, blob_bytes (frames[0]).data, sizeof number);
    blob_unref (&frames[0]);
    return number;
}

static void s_door_wakes (void *context)
{
    bed_t *bed = context;
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    uint8_t identity[SIM_IDENTITY_BYTES];
    while (sim_door_receive (bed->door, bed->identity, frames, &count))
        bed->at_door[bed->at_door_count++] = s_number (frames, count);
    while (sim_door_next_gone (bed->door, identity))
        bed->gone_at_door++;
}

static void s_wire_wakes (void *context)
{
    bed_t *bed = context;
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    while (bed->wire && sim_wire_receive (bed->wire, frames, &count))
        bed->at_wire[bed->at_wire_count++] = s_number (frames, count);
}

static void s_wire_gone (void *context)
{
    bed_t *bed = context;
    bed->gone_at_wire++;
}

static void s_open_door (bed_t *bed)
{
    sim_ears_t ears = {.wake = s_door_wakes, .context = bed};
    bed->door = sim_door_open (bed->network, SIM_NODES_DOOR, ears);
}

static void s_pass (bed_t *bed, int64_t us)
{
    int64_t until_us = bed->sim.events.now_us + us;
    while (bed->sim.events.count && bed->sim.events.heap[0].at_us <= until_us)
        sim_events_step (&bed->sim.events);
    bed->sim.events.now_us = until_us;
}

static void s_begin (bed_t *bed, uint64_t seed)
{
    *bed = (bed_t){.sim = {.random = sim_random_make (seed)}};
    bed->sim.coverage = &bed->coverage;
    bed->network = sim_network_new (&bed->sim);
    s_open_door (bed);
    bed->host = sim_network_add_host (bed->network);
    sim_ears_t ears = {.wake = s_wire_wakes, .gone = s_wire_gone, .context = bed};
    bed->wire = sim_wire_open (bed->network, bed->host, SIM_NODES_DOOR, "wire", ears);
    s_pass (bed, 10000);
    assert_int_equal (sim_wire_connection (bed->wire), 1);
}

static void s_end (bed_t *bed)
{
    sim_wire_close (&bed->wire, SIM_WIRE_DIES);
    sim_door_shut (&bed->door, false);
    sim_network_destroy (&bed->network);
    sim_events_free (&bed->sim.events);
}

static void s_send_up (bed_t *bed, uint32_t number)
{
    blob_t *frame = blob_copy (kv_slice (&number, sizeof number));
    sim_wire_send (bed->wire, &frame, 1);
    assert_null (frame);
}

static kv_status_t s_send_down (bed_t *bed, uint32_t number)
{
    blob_t *frame = blob_copy (kv_slice (&number, sizeof number));
    return sim_door_send (bed->door, kv_slice (bed->identity, sizeof bed->identity), &frame, 1);
}

/* T1, T2: the first few numbers, in order. */
static void s_check_prefix (const uint32_t *heard, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal (heard[i], i + 1);
}

static void test_messages_arrive_in_order_both_ways (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed, 1);
    sim_network_set_latency (bed.network, 10, 5000);
    for (uint32_t i = 1; i <= 100; i++)
        s_send_up (&bed, i);
    s_pass (&bed, 100000);
    assert_int_equal (bed.at_door_count, 100);
    for (uint32_t i = 1; i <= 100; i++)
        assert_int_equal (s_send_down (&bed, i), KV_OK);
    s_pass (&bed, 100000);
    assert_int_equal (bed.at_wire_count, 100);
    s_check_prefix (bed.at_door, 100);
    s_check_prefix (bed.at_wire, 100);
    assert_int_equal (sim_network_waiting (bed.network), 0);
    s_end (&bed);
}

static void test_a_drop_loses_a_tail_and_the_wire_connects_anew (void **state)
{
    (void)state;
    size_t all = 0, none = 0;
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        bed_t bed;
        s_begin (&bed, seed);
        for (uint32_t i = 1; i <= 3; i++)
            s_send_up (&bed, i);
        assert_true (sim_wire_drop (bed.wire, seed % 2, seed / 2 % 2));
        assert_false (sim_wire_drop (bed.wire, true, true));
        s_send_up (&bed, 99);                /* into a connection that is no more */
        s_pass (&bed, 2 * SIM_HEARTBEAT_US); // T3
        s_check_prefix (bed.at_door, bed.at_door_count);
        all += bed.at_door_count == 3;
        none += bed.at_door_count == 0;
        assert_int_equal (bed.gone_at_door, 1);
        assert_int_equal (bed.gone_at_wire, 1);
        assert_int_equal (sim_wire_connection (bed.wire), 2);
        assert_true (sim_network_is_settled (bed.network));
        s_end (&bed);
    }
    assert_true (all > 0 && none > 0);
}

static void test_an_end_that_is_told_learns_soon_the_other_late (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed, 5);
    s_send_up (&bed, 1);
    s_pass (&bed, 10000);
    assert_true (sim_wire_drop (bed.wire, false, true));
    s_pass (&bed, 10000);
    assert_int_equal (bed.gone_at_door, 1);
    assert_int_equal (bed.gone_at_wire, 0);
    assert_int_equal (s_send_down (&bed, 1), KV_UNAVAILABLE); // T5
    assert_false (sim_network_is_settled (bed.network));
    s_pass (&bed, 2 * SIM_HEARTBEAT_US);
    assert_int_equal (bed.gone_at_wire, 1);
    s_end (&bed);
}

static void test_a_short_partition_delays_a_long_one_closes (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed, 6);
    s_send_up (&bed, 1);
    s_pass (&bed, 10000);
    sim_network_block (bed.network, bed.host, SIM_UP, true);
    s_send_up (&bed, 2);
    assert_int_equal (s_send_down (&bed, 1), KV_OK);
    s_pass (&bed, SIM_HEARTBEAT_US / 4);
    assert_int_equal (bed.at_door_count, 1);
    assert_int_equal (bed.at_wire_count, 1); /* one way only */
    sim_network_block (bed.network, bed.host, SIM_UP, false);
    s_pass (&bed, 10000);
    assert_int_equal (bed.at_door_count, 2);
    assert_int_equal (bed.gone_at_door, 0);
    sim_network_block (bed.network, bed.host, SIM_UP, true);
    s_pass (&bed, 3 * SIM_HEARTBEAT_US);
    assert_int_equal (bed.gone_at_door, 1);
    assert_int_equal (sim_wire_connection (bed.wire), 0); /* and no new one while it lasts */
    sim_network_block (bed.network, bed.host, SIM_UP, false);
    s_pass (&bed, 2 * SIM_RECONNECT_US);
    assert_int_equal (sim_wire_connection (bed.wire), 2);
    s_end (&bed);
}

static void test_a_frozen_host_notices_when_it_is_thawed (void **state)
{
    (void)state;
    bed_t bed;
    s_begin (&bed, 7);
    s_send_up (&bed, 1);
    s_pass (&bed, 10000);
    sim_network_freeze (bed.network, bed.host, true);
    assert_int_equal (s_send_down (&bed, 1), KV_OK);
    s_pass (&bed, 3 * SIM_HEARTBEAT_US);
    assert_int_equal (bed.gone_at_door, 1); /* no heartbeats */
    assert_int_equal (bed.gone_at_wire, 0);
    assert_int_equal (bed.at_wire_count, 1); // T4
    sim_network_freeze (bed.network, bed.host, false);
    assert_int_equal (bed.gone_at_wire, 1);
    s_pass (&bed, 2 * SIM_RECONNECT_US);
    assert_int_equal (sim_wire_connection (bed.wire), 2);
    s_end (&bed);
}

static void test_what_is_sent_without_a_connection_is_kept_or_lost (void **state)
{
    (void)state;
    for (int keeps = 0; keeps < 2; keeps++) {
        bed_t bed;
        s_begin (&bed, 8);
        sim_wire_set_keeps (bed.wire, keeps);
        sim_door_shut (&bed.door, true);
        s_pass (&bed, 10000);
        assert_int_equal (bed.gone_at_wire, 1);
        s_send_up (&bed, 1);
        s_open_door (&bed);
        s_pass (&bed, 3 * SIM_RECONNECT_US);
        assert_int_equal (bed.at_door_count, keeps);
        assert_int_equal (sim_wire_connection (bed.wire), 2);
        s_end (&bed);
    }
}

static void test_an_orderly_end_loses_nothing_a_machine_s_end_is_not_told (void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        bed_t bed;
        s_begin (&bed, seed);
        for (uint32_t i = 1; i <= 20; i++)
            s_send_up (&bed, i);
        sim_wire_close (&bed.wire, seed % 2 ? SIM_WIRE_LINGERS : SIM_WIRE_VANISHES);
        s_pass (&bed, 20000);
        assert_int_equal (bed.gone_at_door, seed % 2);
        if (seed % 2)
            assert_int_equal (bed.at_door_count, 20);
        s_check_prefix (bed.at_door, bed.at_door_count);
        s_pass (&bed, 2 * SIM_HEARTBEAT_US);
        assert_int_equal (bed.gone_at_door, 1);
        s_end (&bed);
    }
}

int test_network (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_messages_arrive_in_order_both_ways),
        cmocka_unit_test (test_a_drop_loses_a_tail_and_the_wire_connects_anew),
        cmocka_unit_test (test_an_end_that_is_told_learns_soon_the_other_late),
        cmocka_unit_test (test_a_short_partition_delays_a_long_one_closes),
        cmocka_unit_test (test_a_frozen_host_notices_when_it_is_thawed),
        cmocka_unit_test (test_what_is_sent_without_a_connection_is_kept_or_lost),
        cmocka_unit_test (test_an_orderly_end_loses_nothing_a_machine_s_end_is_not_told),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
