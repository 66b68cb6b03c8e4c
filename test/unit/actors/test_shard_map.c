/* Goal: M1, M2 and the index of lowest shards hold from the home placement on, through any moves.
 * Method: every small size, and random moves on larger ones, against plain counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/shard_map.h"
#include "schema/limits.h"
#include "test/unit/schema/random.h"

static void s_check (const shard_map_t *map)
{
    for (uint32_t node = 0; node < map->nodes; node++) {
        uint32_t count = 0;
        uint32_t first = map->shards;
        for (uint32_t shard = map->shards; shard-- > 0;) {
            if (map->owners[shard] == node) {
                count++;
                first = shard;
            }
        }
        assert_int_equal (shard_map_count (map, node), count);
        assert_int_equal (map->first_shards[node], first);
    }
    for (uint32_t shard = 0; shard < map->shards; shard++) {
        assert_true (map->owners[shard] < map->nodes); // M1
        assert_true (map->epochs[shard] <= map->epoch);
    }
}

static void test_home_placement (void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 20; shards++) {
        for (uint32_t nodes = 1; nodes <= 22; nodes++) {
            shard_map_t *map = shard_map_new (shards, nodes);
            for (uint32_t shard = 0; shard < shards; shard++) {
                assert_int_equal (map->owners[shard], shard % nodes);
                assert_int_equal (map->epochs[shard], 1);
            }
            assert_int_equal (map->epoch, 1);
            s_check (map);
            shard_map_destroy (&map);
            assert_null (map);
        }
    }
    shard_map_t *most = shard_map_new (KV_SHARDS_MAX, KV_NODES_MAX);
    s_check (most);
    shard_map_destroy (&most);
    shard_map_destroy (&most);
}

static void test_random_moves (void **state)
{
    (void)state;
    random_t random = random_make ("shard_map");
    for (int round = 0; round < 20; round++) {
        uint32_t shards = 1 + random_below (&random, 200);
        uint32_t nodes = 1 + random_below (&random, 12);
        shard_map_t *map = shard_map_new (shards, nodes);
        for (uint64_t move = 0; move < 200; move++) {
            uint32_t shard = random_below (&random, shards);
            uint32_t node = random_below (&random, nodes);
            shard_map_assign (map, shard, node);
            assert_int_equal (map->owners[shard], node);
            assert_int_equal (map->epoch, 2 + move); // M2
            assert_int_equal (map->epochs[shard], map->epoch);
            s_check (map);
        }
        shard_map_destroy (&map);
    }
}

static void test_renewal_is_above_all_epochs (void **state)
{
    (void)state;
    shard_map_t *map = shard_map_new (7, 3);
    shard_map_renew (map, 1, 0);
    assert_int_equal (map->epoch, 2); // M2
    shard_map_renew (map, 0, 41);
    assert_int_equal (map->epoch, 42);
    shard_map_renew (map, 1, 5);
    assert_int_equal (map->epoch, 43);
    const uint64_t epochs[] = {42, 43, 1, 42, 43, 1, 42};
    for (uint32_t shard = 0; shard < 7; shard++)
        assert_int_equal (map->epochs[shard], epochs[shard]);
    s_check (map);
    shard_map_learn (map, 3, 0, 17);
    assert_int_equal (shard_map_least_epoch (map, 0), 17);
    assert_int_equal (shard_map_least_epoch (map, 1), 43);
    assert_int_equal (shard_map_least_epoch (map, 2), 1);
    shard_map_destroy (&map);
    map = shard_map_new (1, 3);
    assert_true (shard_map_least_epoch (map, 2) == UINT64_MAX);
    shard_map_renew (map, 2, 8); /* who owns nothing */
    assert_int_equal (map->epoch, 9);
    assert_int_equal (map->epochs[0], 1);
    shard_map_destroy (&map);
}

static void test_learnt_placement_is_indexed (void **state)
{
    (void)state;
    const uint16_t owners[] = {2, 2, 0, 3};
    shard_map_t *map = shard_map_new (4, 4);
    shard_map_load (map, owners, 9);
    assert_int_equal (map->epoch, 9);
    assert_int_equal (map->epochs[3], 9);
    assert_int_equal (map->first_shards[2], 0);
    assert_int_equal (map->first_shards[0], 2);
    assert_int_equal (map->first_shards[1], 4); /* owns nothing */
    shard_map_learn (map, 0, 1, 12);
    assert_int_equal (map->owners[0], 1);
    assert_int_equal (map->epochs[0], 12);
    assert_int_equal (map->first_shards[1], 0);
    assert_int_equal (map->first_shards[2], 1);
    shard_map_destroy (&map);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_home_placement),
        cmocka_unit_test (test_random_moves),
        cmocka_unit_test (test_renewal_is_above_all_epochs),
        cmocka_unit_test (test_learnt_placement_is_indexed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
