/* Goal: the disk keeps what it must keep over a crash (K1), and does lose, in every way it may
 * (K2, K3). Method: the same steps on many disks, each with chance of its own. */
#include "test_sim.h"

#include "sim_disk.h"
#include "sim_identity.h"

enum { DISKS = 300 };

static kv_slice_t s_read (const sim_disk_t *disk, const char *name)
{
    kv_slice_t bytes = {0};
    assert_int_equal (sim_disk_read (disk, name, &bytes), KV_OK);
    return bytes;
}

static bool s_is (kv_slice_t bytes, const char *text)
{
    return kv_slice_equal (bytes, kv_slice_text (text));
}

static void s_append (sim_disk_t *disk, const char *name, const char *text)
{
    assert_int_equal (sim_disk_append (disk, name, kv_slice_text (text)), KV_OK);
}

/* A file with synced and named content "one". */
static sim_disk_t *s_disk (uint64_t seed)
{
    sim_disk_t *disk = sim_disk_new (sim_random_make (seed));
    assert_int_equal (sim_disk_create (disk, "a"), KV_OK);
    s_append (disk, "a", "one");
    assert_int_equal (sim_disk_fsync (disk, "a"), KV_OK);
    sim_disk_sync_directory (disk);
    return disk;
}

static void test_what_was_written_can_be_read_and_gaps_are_zero (void **state)
{
    (void)state;
    kv_slice_t bytes;
    sim_disk_t *disk = s_disk (1);
    assert_true (s_is (s_read (disk, "a"), "one"));
    assert_int_equal (sim_disk_write (disk, "a", 5, kv_slice_text ("x")), KV_OK);
    assert_true (kv_slice_equal (s_read (disk, "a"), kv_slice ("one\0\0x", 6)));
    assert_int_equal (sim_disk_read (disk, "b", &bytes), KV_NOT_FOUND);
    assert_int_equal (sim_disk_fsync (disk, "b"), KV_NOT_FOUND);
    assert_int_equal (sim_disk_rename (disk, "b", "c"), KV_NOT_FOUND);
    assert_int_equal (sim_disk_remove (disk, "b"), KV_NOT_FOUND);
    assert_int_equal (sim_disk_write (disk, "a", SIM_DISK_FILE_BYTES_MAX, kv_slice_text ("x")),
                      KV_TOO_LARGE);
    sim_disk_destroy (&disk);
    assert_null (disk);
}

static void test_crash_keeps_synced_data_and_loses_keeps_or_tears_the_rest (void **state)
{
    (void)state;
    int lost = 0, kept = 0, torn = 0;
    for (uint64_t seed = 0; seed < DISKS; seed++) {
        sim_disk_t *disk = s_disk (seed);
        s_append (disk, "a", "two");
        sim_disk_crash (disk);
        kv_slice_t bytes = s_read (disk, "a");
        assert_true (bytes.size >= 3 && memcmp (bytes.data, "one", 3) == 0); // K1
        assert_true (memcmp (bytes.data + 3, "two", bytes.size - 3) == 0);
        lost += bytes.size == 3;
        kept += bytes.size == 6;
        torn += bytes.size == 4 || bytes.size == 5;
        sim_disk_destroy (&disk);
    }
    assert_true (lost > DISKS / 10 && kept > DISKS / 10 && torn > DISKS / 10); // K2
}

static void test_a_later_write_may_survive_an_earlier_one (void **state)
{
    (void)state;
    int holes = 0;
    for (uint64_t seed = 0; seed < DISKS; seed++) {
        sim_disk_t *disk = s_disk (seed);
        s_append (disk, "a", "two");
        s_append (disk, "a", "three");
        sim_disk_crash (disk);
        kv_slice_t bytes = s_read (disk, "a");
        holes += bytes.size > 6 && memcmp (bytes.data + 3, "\0\0\0", 3) == 0;
        sim_disk_destroy (&disk);
    }
    assert_true (holes > 0);
}

static void test_a_name_is_durable_only_once_its_directory_is_synced (void **state)
{
    (void)state;
    int there = 0;
    kv_slice_t bytes;
    for (uint64_t seed = 0; seed < DISKS; seed++) {
        sim_disk_t *disk = s_disk (seed);
        assert_int_equal (sim_disk_create (disk, "b"), KV_OK);
        s_append (disk, "b", "two");
        assert_int_equal (sim_disk_fsync (disk, "b"), KV_OK);
        sim_disk_crash (disk);
        there += sim_disk_read (disk, "b", &bytes) == KV_OK;
        assert_true (s_is (s_read (disk, "a"), "one"));
        sim_disk_destroy (&disk);
    }
    assert_in_range (there, 1, DISKS - 1);
}

static void test_changes_of_names_survive_in_order (void **state)
{
    (void)state;
    kv_slice_t bytes;
    for (uint64_t seed = 0; seed < DISKS; seed++) {
        sim_disk_t *disk = s_disk (seed);
        assert_int_equal (sim_disk_rename (disk, "a", "b"), KV_OK);
        assert_int_equal (sim_disk_rename (disk, "b", "c"), KV_OK);
        sim_disk_crash (disk);
        int names = 0;
        for (const char *name = "abc"; *name; name++) {
            char text[2] = {*name, '\0'};
            if (sim_disk_read (disk, text, &bytes) != KV_OK)
                continue;
            names++;
            assert_true (s_is (bytes, "one")); // K3: one of the three, never none
        }
        assert_int_equal (names, 1);
        sim_disk_destroy (&disk);
    }
}

static void test_rename_replaces_and_remove_removes (void **state)
{
    (void)state;
    kv_slice_t bytes;
    sim_disk_t *disk = s_disk (1);
    assert_int_equal (sim_disk_create (disk, "b"), KV_OK);
    s_append (disk, "b", "two");
    assert_int_equal (sim_disk_rename (disk, "b", "a"), KV_OK);
    assert_true (s_is (s_read (disk, "a"), "two"));
    assert_int_equal (sim_disk_rename (disk, "a", "a"), KV_OK);
    assert_true (s_is (s_read (disk, "a"), "two"));
    assert_int_equal (sim_disk_remove (disk, "a"), KV_OK);
    assert_int_equal (sim_disk_read (disk, "a", &bytes), KV_NOT_FOUND);
    sim_disk_destroy (&disk);
}

/* Whatever moment the power fails at, an identity is whole: the old one or the new one. */
static void test_identity_is_never_torn (void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < DISKS; seed++) {
        sim_random_t random = sim_random_make (seed);
        sim_disk_t *disk = sim_disk_new (sim_random_make (seed));
        sim_identity_t first, second;
        assert_int_equal (sim_identity_load (disk, &random, &first), KV_OK);
        second = first;
        second.has_cluster = true;
        /* The steps of sim_identity_save, as far as they get. */
        assert_int_equal (sim_disk_create (disk, "identity.new"), KV_OK);
        s_append (disk, "identity.new", "half of it");
        if (seed % 2)
            assert_int_equal (sim_identity_save (disk, &second), KV_OK);
        sim_disk_crash (disk);
        sim_identity_t found;
        assert_int_equal (sim_identity_load (disk, &random, &found), KV_OK);
        assert_memory_equal (found.uuid, first.uuid, sizeof found.uuid);
        assert_int_equal (found.has_cluster, seed % 2);
        sim_disk_destroy (&disk);
    }
}

int test_disk (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_what_was_written_can_be_read_and_gaps_are_zero),
        cmocka_unit_test (test_crash_keeps_synced_data_and_loses_keeps_or_tears_the_rest),
        cmocka_unit_test (test_a_later_write_may_survive_an_earlier_one),
        cmocka_unit_test (test_a_name_is_durable_only_once_its_directory_is_synced),
        cmocka_unit_test (test_changes_of_names_survive_in_order),
        cmocka_unit_test (test_rename_replaces_and_remove_removes),
        cmocka_unit_test (test_identity_is_never_torn),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
