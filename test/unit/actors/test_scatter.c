/* Goal: P1-P3 of scatter.h: pieces concern one shard, stand in order, and together they are the
 * command, each key once and with its value.
 * Method: random commands over random maps; every piece is encoded, read again and compared key by
 * key. Then cursors and values that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/scatter.h"
#include "schema/limits.h"
#include "test/unit/actors/batch.h"

enum { MAX_VALUE = 1000 };

/* Reads one encoded command. */
static void s_read (command_t *command, kv_slice_t bytes)
{
    reader_t at = reader_make (bytes);
    const char *why = NULL;
    char text[256];
    assert_int_equal (command_read (command, &at, &why), KV_OK);
    assert_int_equal (reader_left (&at), 0);
    assert_int_equal (command_check (command, text, sizeof text), KV_OK);
}

static void s_check_piece (const scatter_t *scatter, const piece_t *piece, const command_t *whole,
                           const shard_map_t *map, bool *seen)
{
    writer_t bytes = writer_make (SIZE_MAX);
    command_t part = command_make ();
    scatter_encode (scatter->keys, piece, whole, &bytes);
    s_read (&part, kv_slice (bytes.data, bytes.size));
    assert_ptr_equal (part.spec, whole->spec);
    assert_ptr_equal (piece->spec, whole->spec);
    bool pairs = whole->spec->keys == KEYS_PAIRS;
    uint32_t keys = command_key_count (&part);
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t at = command_key_index (&part, i);
        assert_int_equal (kv_shard_of (part.argv[at], map->shards), piece->shard); // P1
        if (piece->key_count == 0)
            continue;
        uint32_t key = scatter->keys[piece->first_key + i];
        assert_false (seen[key]);
        seen[key] = true;
        uint32_t in_whole = command_key_index (whole, key);
        assert_true (kv_slice_equal (part.argv[at], whole->argv[in_whole]));
        if (pairs)
            assert_true (kv_slice_equal (part.argv[at + 1], whole->argv[in_whole + 1]));
    }
    if (whole->spec->merge == MERGE_PICK && part.argc == 2)
        assert_true (kv_slice_is_word (part.argv[1], "WEIGHTED"));
    else if (piece->key_count == 0)
        assert_true (kv_slice_equal (kv_slice (bytes.data, bytes.size), whole->raw)); // P3
    else
        assert_int_equal (keys, piece->key_count);
    command_free (&part);
    writer_free (&bytes);
}

static void s_check_pieces (const scatter_t *scatter, uint32_t first, uint32_t index,
                            const command_t *whole, const shard_map_t *map)
{
    uint32_t keys = command_key_count (whole);
    uint32_t pieces = scatter->count - first;
    bool *seen = calloc (keys + 1, sizeof *seen);
    bool *used = calloc (map->shards, sizeof *used);
    for (uint32_t i = first; i < scatter->count; i++) {
        const piece_t *piece = &scatter->pieces[i];
        assert_int_equal (piece->command, index); // P2
        assert_false (used[piece->shard]);        // P1: one piece per shard
        used[piece->shard] = true;
        assert_int_equal (piece->key_count > 0, pieces > 1 && keys > 0); // P3
        s_check_piece (scatter, piece, whole, map, seen);
    }
    for (uint32_t i = 0; i < keys && pieces > 1; i++)
        assert_true (seen[i]);
    if (whole->spec->keys == KEYS_EVERY) {
        uint32_t owners = 0;
        for (uint32_t node = 0; node < map->nodes; node++) {
            owners += shard_map_count (map, node) > 0;
            if (shard_map_count (map, node) > 0)
                assert_true (used[map->first_shards[node]]);
        }
        assert_int_equal (pieces, owners);
    }
    free (seen);
    free (used);
}

static void test_random_commands_over_random_maps (void **state)
{
    (void)state;
    random_t random = random_make ("scatter");
    scatter_t scatter = {.count = 0};
    command_t command = command_make ();
    char text[256];
    for (int round = 0; round < 300; round++) {
        shard_map_t *map =
            shard_map_new (1 + random_below (&random, 200), 1 + random_below (&random, 8));
        for (int move = 0; move < 20; move++)
            shard_map_assign (map, random_below (&random, map->shards),
                              random_below (&random, map->nodes));
        scatter_reset (&scatter);
        writer_t bytes = writer_make (SIZE_MAX);
        for (uint32_t index = 0; index < 30; index++) {
            writer_reset (&bytes);
            batch_write_command (&bytes, &random, random_below (&random, 10) ? 5 : 300,
                                 map->shards);
            s_read (&command, kv_slice (bytes.data, bytes.size));
            bool local = command_is_local (&command);
            uint32_t first = scatter.count;
            if (!local)
                assert_int_equal (
                    scatter_command (&scatter, index, &command, map, MAX_VALUE, text, sizeof text),
                    KV_OK);
            s_check_pieces (&scatter, first, index, &command, map);
        }
        writer_free (&bytes);
        shard_map_destroy (&map);
    }
    command_free (&command);
    scatter_free (&scatter);
}

/* P4, and that nothing is left of what was refused. */
static void test_keys_that_must_live_together_and_do_not (void **state)
{
    (void)state;
    static const char *const commands[][5] = {{"RENAME", "foo", "bar"},
                                              {"COPY", "foo", "bar"},
                                              {"MSETNX", "{t}a", "1", "b", "2"},
                                              {"RANDOMKEY", "WEIGHTED"}};
    shard_map_t *map = shard_map_new (64, 3);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        scatter_t scatter = {.count = 0};
        command_t command = command_make ();
        writer_t bytes = writer_make (SIZE_MAX);
        char text[256] = "";
        uint32_t count = 0;
        while (count < 5 && commands[i][count])
            count++;
        writer_array (&bytes, count);
        for (uint32_t word = 0; word < count; word++)
            writer_cstr (&bytes, commands[i][word]);
        s_read (&command, kv_slice (bytes.data, bytes.size));
        kv_status_t status =
            scatter_command (&scatter, 0, &command, map, MAX_VALUE, text, sizeof text);
        assert_int_equal (status, count == 2 ? KV_SYNTAX : KV_CROSS_SHARD);
        assert_int_equal (strncmp (text, "CROSSSLOT ", 10) == 0, status == KV_CROSS_SHARD);
        assert_int_equal (scatter.count, 0);
        writer_free (&bytes);
        command_free (&command);
        scatter_free (&scatter);
    }
    shard_map_destroy (&map);
}

static kv_status_t s_scan (const char *cursor, uint32_t shards, uint32_t *shard)
{
    shard_map_t *map = shard_map_new (shards, 1);
    scatter_t scatter = {.count = 0};
    command_t command = command_make ();
    writer_t bytes = writer_make (SIZE_MAX);
    char text[256] = "";
    writer_array (&bytes, 2);
    writer_cstr (&bytes, "SCAN");
    writer_cstr (&bytes, cursor);
    s_read (&command, kv_slice (bytes.data, bytes.size));
    kv_status_t status = scatter_command (&scatter, 0, &command, map, MAX_VALUE, text, sizeof text);
    assert_int_equal (scatter.count, status == KV_OK);
    assert_int_equal (text[0] != '\0', status != KV_OK);
    if (status == KV_OK)
        *shard = scatter.pieces[0].shard;
    writer_free (&bytes);
    command_free (&command);
    scatter_free (&scatter);
    shard_map_destroy (&map);
    return status;
}

static void test_scan_cursors (void **state)
{
    (void)state;
    static const struct {
        const char *cursor;
        uint32_t shards;
        int shard; /* -1: refused */
    } cases[] = {
        {"0", 64, 0},
        {"63", 64, 63},
        {"64", 64, -1},
        {"16384", 64, 0},
        {"16447", 64, 63},
        {"18446744073709551615", KV_SHARDS_MAX, 16383},
        {"18446744073709551616", KV_SHARDS_MAX, -1},
        {"99999999999999999999", KV_SHARDS_MAX, -1},
        {"000000000000000000000", 64, -1},
        {"", 64, -1},
        {"-1", 64, -1},
        {"1x", 64, -1},
        {" 1", 64, -1},
        {"/", 64, -1},
        {":", 64, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t shard = UINT32_MAX;
        kv_status_t status = s_scan (cases[i].cursor, cases[i].shards, &shard);
        assert_int_equal (status, cases[i].shard < 0 ? KV_BAD_VALUE : KV_OK);
        if (cases[i].shard >= 0)
            assert_int_equal (shard, cases[i].shard);
    }
}

/* A value that one shard would refuse must not let the others be written. */
static void test_split_command_with_a_large_value_is_refused_whole (void **state)
{
    (void)state;
    shard_map_t *map = shard_map_new (64, 3);
    scatter_t scatter = {.count = 0};
    command_t command = command_make ();
    writer_t bytes = writer_make (SIZE_MAX);
    char large[MAX_VALUE + 1] = {0};
    for (size_t size = MAX_VALUE; size <= MAX_VALUE + 1; size++) {
        char text[256] = "";
        writer_reset (&bytes);
        writer_array (&bytes, 5);
        writer_cstr (&bytes, "mset");
        writer_cstr (&bytes, "a");
        writer_cstr (&bytes, "1");
        writer_cstr (&bytes, "b");
        writer_bin (&bytes, kv_slice (large, size));
        s_read (&command, kv_slice (bytes.data, bytes.size));
        scatter_reset (&scatter);
        kv_status_t status =
            scatter_command (&scatter, 0, &command, map, MAX_VALUE, text, sizeof text);
        assert_int_equal (status, size > MAX_VALUE ? KV_TOO_LARGE : KV_OK);
        assert_int_equal (scatter.count, size > MAX_VALUE ? 0 : 2);
    }
    writer_free (&bytes);
    command_free (&command);
    scatter_free (&scatter);
    shard_map_destroy (&map);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_commands_over_random_maps),
        cmocka_unit_test (test_keys_that_must_live_together_and_do_not),
        cmocka_unit_test (test_scan_cursors),
        cmocka_unit_test (test_split_command_with_a_large_value_is_refused_whole),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
