/* Goal: the log gives back what was put into it, in order and from the beginning on, at least as far as
 * anybody was told that it is safe; a disk that fails is told of, and costs nothing that was safe.
 * Method: writer, keeper and reader together on a disk that loses power, tears, fills up and fails, against
 * the list of all records. */
#include "wal_bed.h"

#include <errno.h>

static uint64_t s_seed (const char *test)
{
    const char *text = getenv ("KVDB_TEST_SEED");
    uint64_t seed = text ? strtoull (text, NULL, 10) : 20260101;
    printf ("%s: KVDB_TEST_SEED=%" PRIu64 "\n", test, seed);
    return seed;
}

static void test_wal_gives_back_what_was_written (void **state)
{
    (void)state;
    bed_t *bed = bed_new (1, 0);
    for (size_t i = 0; i < 300; i++) {
        assert_true (bed_append (bed, i * 3));
        if (i % 7 == 0)
            bed_write (bed);
    }
    bed_write (bed);
    assert_int_equal (wal_appended_lsn (bed->wal), wal_written_lsn (bed->wal));
    bed_stop (bed); /* the process dies: nothing was ever synced */
    size_t count = bed->count;
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed->count, count);
    assert_true (wal_keeper_segments (bed->keeper) > 1);
    bed_destroy (bed);
}

static void test_wal_record_larger_than_segments_goes_over_several (void **state)
{
    (void)state;
    bed_t *bed = bed_new (2, 0);
    assert_true (bed_append (bed, 10));
    bed_write (bed);
    assert_true (bed_append (bed, 5 * BED_SEGMENT_BYTES));
    assert_true (bed_append (bed, 10));
    bed_write (bed);
    assert_int_equal (bed_sync (bed), KV_OK);
    bed_stop (bed);
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed->count, 3);
    bed_destroy (bed);
}

/* A record of which a part is there is void; what is written afterwards is read behind it (W5). */
static void test_wal_goes_on_behind_a_record_cut_short (void **state)
{
    (void)state;
    bed_t *bed = bed_new (3, 0);
    assert_true (bed_append (bed, 100));
    bed_write (bed);
    assert_true (bed_append (bed, 3 * BED_SEGMENT_BYTES));
    fault_files_fail (bed->files, FAULT_WRITE, 3, EIO, 0); /* two of its blocks get there */
    assert_int_equal (wal_write (bed->wal, &bed->error), KV_IO);
    fault_files_heal (bed->files);
    bed_stop (bed);
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed->count, 1);
    for (int i = 0; i < 3; i++) {
        assert_true (bed_append (bed, 200));
        bed_write (bed);
        bed_stop (bed);
        assert_int_equal (bed_recover (bed), KV_OK);
        assert_int_equal (bed->count, 2 + i);
    }
    bed_destroy (bed);
}

/* Where the log stands behind a void record was told, and nothing written there: that far it reaches. */
static void test_wal_end_behind_a_void_record_is_reached (void **state)
{
    (void)state;
    bed_t *bed = bed_new (13, 0);
    assert_true (bed_append (bed, 100));
    bed_write (bed);
    assert_true (bed_append (bed, 3 * BED_SEGMENT_BYTES));
    fault_files_fail (bed->files, FAULT_WRITE, 3, EIO, 0);
    assert_int_equal (wal_write (bed->wal, &bed->error), KV_IO);
    fault_files_heal (bed->files);
    bed_stop (bed);
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed_sync (bed), KV_OK);
    assert_true (bed->told_lsn > bed->records[0].end_lsn);
    bed_stop (bed);
    if (bed_recover (bed))
        fail_msg ("%s", bed->error.text);
    assert_int_equal (bed->count, 1);
    bed_destroy (bed);
}

static void test_wal_retires_segments_and_uses_one_again (void **state)
{
    (void)state;
    bed_t *bed = bed_new (4, 0);
    while (wal_current (bed->wal).number < 6) {
        assert_true (bed_append (bed, 1000));
        bed_write (bed);
    }
    assert_int_equal (bed_sync (bed), KV_OK);
    uint64_t segments = wal_keeper_segments (bed->keeper);
    uint64_t lsn = bed->records[bed->count / 2].end_lsn;
    assert_int_equal (wal_keeper_retire (bed->keeper, lsn, &bed->error), KV_OK);
    assert_true (wal_keeper_segments (bed->keeper) < segments);
    assert_non_null (fault_files_content (bed->files, "spare.tmp").data);
    assert_int_equal (bed_prepare (bed), KV_END);
    assert_null (fault_files_content (bed->files, "spare.tmp").data);
    /* What is retired is gone: the log does not reach back to its beginning. */
    bed_stop (bed);
    assert_int_equal (bed_recover (bed), KV_CORRUPT);
    assert_non_null (strstr (bed->error.text, "there must have been a snapshot"));
    /* From there on all of it is there. */
    wal_reader_t *reader;
    record_t record;
    uint64_t end_lsn;
    size_t at = bed->count / 2 + 1;
    wal_reader_options_t options = {.files = bed->files, .uuid = bed_uuid, .start_lsn = lsn};
    assert_int_equal (wal_reader_open (&options, &reader, &bed->error), KV_OK);
    while (wal_reader_next (reader, &record, &end_lsn, &bed->error) == KV_OK)
        assert_int_equal (record.position, bed->records[at++].position);
    assert_int_equal (at, bed->count);
    wal_reader_destroy (&reader);
    bed_destroy (bed);
}

static void test_wal_without_a_snapshot_begins_with_its_first_whole_record (void **state)
{
    (void)state;
    bed_t *bed = bed_new (5, 0);
    while (wal_current (bed->wal).number < 4) {
        assert_true (bed_append (bed, 700));
        bed_write (bed);
    }
    assert_int_equal (bed_sync (bed), KV_OK);
    assert_int_equal (files_remove (bed->files, "wal-0000000001.log", &bed->error), KV_OK);
    wal_reader_t *reader;
    record_t record;
    uint64_t end_lsn;
    uint64_t last = 0;
    wal_reader_options_t options = {.files = bed->files, .start_lsn = WAL_ANY_LSN};
    assert_int_equal (wal_reader_open (&options, &reader, &bed->error), KV_OK);
    while (wal_reader_next (reader, &record, &end_lsn, &bed->error) == KV_OK) {
        bed_check_record (&record);
        assert_true (last == 0 || record.position == last + 1);
        last = record.position;
    }
    assert_int_equal (last, bed->position);
    wal_reader_destroy (&reader);
    bed_destroy (bed);
}

/* Whoever reads from the first whole record on is given no record that a value holds. */
static void test_wal_record_within_a_value_is_not_found (void **state)
{
    (void)state;
    bed_t *bed = bed_new_sized (10, 0, WAL_SEGMENT_BYTES_MIN);
    writer_t inner = writer_make (SIZE_MAX);
    for (size_t i = 0; i < 200; i++)
        bed_encode (&inner, 999999, 1 + i % 3);
    while (wal_room (bed->wal) < inner.size + 1000)
        assert_int_equal (bed_prepare (bed), KV_END);
    size_t start = record_begin (wal_buffer (bed->wal), 0, 0, 1);
    effect_t effect = {.kind = EFFECT_PUT,
                       .key = kv_slice_text ("key"),
                       .value = kv_slice (inner.data, inner.size)};
    record_effect (wal_buffer (bed->wal), &effect);
    record_end (wal_buffer (bed->wal), start, 1);
    bed_write (bed);
    assert_true (wal_current (bed->wal).number >= 3);
    assert_true (bed_append (bed, 10));
    assert_true (bed_append (bed, 10));
    bed_write (bed);
    assert_int_equal (files_remove (bed->files, "wal-0000000001.log", &bed->error), KV_OK);
    wal_reader_t *reader;
    record_t record;
    uint64_t end_lsn;
    size_t count = 0;
    wal_reader_options_t options = {.files = bed->files, .start_lsn = WAL_ANY_LSN};
    assert_int_equal (wal_reader_open (&options, &reader, &bed->error), KV_OK);
    kv_status_t status;
    for (; (status = wal_reader_next (reader, &record, &end_lsn, &bed->error)) == KV_OK; count++)
        assert_int_equal (record.position, bed->records[count].position);
    assert_int_equal (status, KV_END);
    assert_int_equal (count, 2);
    wal_reader_destroy (&reader);
    writer_free (&inner);
    bed_destroy (bed);
}

/* What would be appended there is before the start of the next recovery: it would be passed over. */
static void test_wal_log_that_ends_before_its_start_is_refused (void **state)
{
    (void)state;
    bed_t *bed = bed_new (11, 0);
    for (int i = 0; i < 3; i++) {
        assert_true (bed_append (bed, 700));
        bed_write (bed);
    }
    bed_stop (bed);
    bed->start_lsn = bed->records[1].end_lsn;
    bed->first = 2;
    file_t *file;
    uint64_t bytes = fault_files_content (bed->files, "wal-0000000001.log").size;
    fault_files_cut (bed->files, "wal-0000000001.log", WAL_SEGMENT_HEADER_BYTES + 900);
    assert_int_equal (files_open (bed->files, "wal-0000000001.log", FILE_WRITE, &file, &bed->error),
                      KV_OK);
    assert_int_equal (file_allocate (file, bytes, &bed->error), KV_OK); /* zeros from there on */
    file_close (&file);
    assert_int_equal (bed_recover (bed), KV_CORRUPT);
    assert_non_null (strstr (bed->error.text, "the log ends here, and the snapshot was made"));
    files_destroy (&bed->files);
    free (bed);
}

/* The last file may be blank: it holds nothing then, and goes. Any other may not, and none may be shorter
 * than a segment can be. */
static void test_wal_blank_last_file_holds_nothing (void **state)
{
    (void)state;
    static const uint64_t sizes[] = {
        0, 1, 512, WAL_SEGMENT_BYTES_MIN - 1, WAL_SEGMENT_BYTES_MIN, 3 * WAL_SEGMENT_BYTES_MIN};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bed_t *bed = bed_new_sized (12, 0, WAL_SEGMENT_BYTES_MIN);
        while (wal_current (bed->wal).number < 3) {
            assert_true (bed_append (bed, 700));
            bed_write (bed);
        }
        bed_stop (bed);
        char name[WAL_NAME_BYTES];
        uint64_t last = 3;
        wal_segment_name (last, name);
        while (fault_files_content (bed->files, name).data)
            wal_segment_name (++last, name);
        file_t *file;
        assert_int_equal (files_open (bed->files, name, FILE_CREATE, &file, &bed->error), KV_OK);
        assert_int_equal (file_allocate (file, sizes[i], &bed->error), KV_OK);
        file_close (&file);
        size_t count = bed->count;
        if (sizes[i] < WAL_SEGMENT_BYTES_MIN) {
            assert_int_equal (bed_recover (bed), KV_CORRUPT);
            assert_non_null (strstr (bed->error.text, name));
            files_destroy (&bed->files);
            free (bed);
            continue;
        }
        assert_int_equal (bed_recover (bed), KV_OK);
        assert_int_equal (bed->count, count);
        assert_null (fault_files_content (bed->files, name).data);
        while (wal_current (bed->wal).number <= last) {
            assert_true (bed_append (bed, 700));
            bed_write (bed);
        }
        bed_stop (bed);
        fault_files_cut (bed->files, name, 0); /* it is not the last one now */
        assert_int_equal (bed_recover (bed), KV_CORRUPT);
        assert_non_null (strstr (bed->error.text, name));
        files_destroy (&bed->files);
        free (bed);
    }
}

static void test_wal_missing_and_foreign_files_are_told (void **state)
{
    (void)state;
    bed_t *bed = bed_new (6, 0);
    while (wal_current (bed->wal).number < 4) {
        assert_true (bed_append (bed, 700));
        bed_write (bed);
    }
    bed_stop (bed);
    files_t *whole = bed->files;
    bed->files = fault_files_copy (whole, 1);
    assert_int_equal (files_remove (bed->files, "wal-0000000002.log", &bed->error), KV_OK);
    assert_int_equal (bed_recover (bed), KV_CORRUPT);
    assert_non_null (strstr (bed->error.text, "wal-0000000002.log at 0: the file is missing"));
    files_destroy (&bed->files);
    bed->files = fault_files_copy (whole, 1);
    wal_reader_t *reader;
    wal_reader_options_t options = {
        .files = bed->files, .uuid = (const uint8_t *)"another data dir", .start_lsn = 0};
    assert_int_equal (wal_reader_open (&options, &reader, &bed->error), KV_CORRUPT);
    assert_non_null (strstr (bed->error.text, "belongs to another data directory"));
    files_destroy (&whole);
    bed_destroy (bed);
}

static void test_wal_full_disk_leaves_everything_as_it_was (void **state)
{
    (void)state;
    bed_t *bed = bed_new (7, 3 * BED_SEGMENT_BYTES + 1000);
    while (bed_append (bed, 900))
        bed_write (bed);
    assert_int_equal (bed_prepare (bed), KV_DISK_FULL);
    assert_non_null (strstr (bed->error.text, "No space"));
    assert_null (fault_files_content (bed->files, "spare.tmp").data);
    while (wal_room (bed->wal) > 100) { /* what is left can be used to the last bytes */
        if (!bed_append (bed, 1))
            break;
        bed_write (bed);
    }
    assert_int_equal (bed_sync (bed), KV_OK);
    size_t count = bed->count;
    bed_stop (bed);
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed->count, count);
    fault_files_set_capacity (bed->files, 0);
    assert_true (bed_append (bed, 900));
    bed_write (bed);
    bed_stop (bed);
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed->count, count + 1);
    bed_destroy (bed);
}

/* A retired segment is zeroed while its old name may still be on the disk. */
static void test_wal_retired_segments_survive_power_loss_at_any_step (void **state)
{
    (void)state;
    for (int steps = 0; steps < 6; steps++) {
        for (power_mode_t mode = POWER_LOSE; mode <= POWER_TEAR; mode++) {
            bed_t *bed = bed_new (100 + (uint64_t)steps, 0);
            while (wal_current (bed->wal).number < 5) {
                assert_true (bed_append (bed, 1000));
                bed_write (bed);
            }
            assert_int_equal (bed_sync (bed), KV_OK);
            assert_int_equal (bed_retire (bed), KV_OK);
            assert_true (wal_keeper_segments (bed->keeper) < 5);
            assert_non_null (fault_files_content (bed->files, "spare.tmp").data);
            wal_segment_t segment;
            for (int i = 0; i < steps; i++) {
                if (wal_keeper_prepare (bed->keeper, &segment, &bed->error) == KV_END)
                    wal_add_segment (bed->wal, &segment);
            }
            bed_stop (bed);
            fault_files_power_loss (bed->files, mode);
            if (bed_recover (bed))
                fail_msg ("%d steps: %s", steps, bed->error.text);
            bed_destroy (bed);
        }
    }
}

/* The log's last segment holds nothing that is durable, and all before it are retired. */
static void test_wal_whose_only_segment_lost_its_blocks_goes_on_at_the_snapshot (void **state)
{
    (void)state;
    bed_t *bed = bed_new (9, 0);
    while (wal_room (bed->wal) < 2 * BED_SEGMENT_BYTES - 2000)
        assert_int_equal (bed_prepare (bed), KV_END);
    size_t usable = BED_SEGMENT_BYTES - WAL_SEGMENT_HEADER_BYTES - WAL_BLOCK_HEADER_BYTES;
    size_t around = RECORD_HEADER_BYTES + EFFECT_HEADER_BYTES + 8;
    assert_true (bed_append (bed, usable - around)); /* the first segment to its last byte */
    bed_write (bed);
    assert_int_equal (bed_sync (bed), KV_OK);
    assert_true (bed_append (bed, 700));
    bed_write (bed);
    assert_int_equal (wal_current (bed->wal).number, 2);
    uint64_t told_lsn = bed->told_lsn;
    file_error_t error;
    file_t *file;
    assert_int_equal (files_open (bed->files, "wal-0000000001.log", FILE_WRITE, &file, &error),
                      KV_OK);
    assert_int_equal (file_sync (file, &error), KV_OK);
    file_close (&file);
    bed_stop (bed);
    assert_int_equal (files_remove (bed->files, "wal-0000000001.log", &error), KV_OK);
    assert_int_equal (files_sync_directory (bed->files, &error), KV_OK);
    bed->first = 1;
    bed->start_lsn = told_lsn;
    fault_files_power_loss (bed->files, POWER_LOSE);
    for (size_t i = 0; i < 3; i++) {
        if (bed_recover (bed))
            fail_msg ("%s", bed->error.text);
        assert_int_equal (bed->count, 1 + i);
        assert_int_equal (wal_written_lsn (bed->wal), i ? bed->records[i].end_lsn : told_lsn);
        assert_true (bed_append (bed, 700));
        bed_write (bed);
        bed_stop (bed);
    }
    assert_int_equal (bed_recover (bed), KV_OK);
    bed_destroy (bed);
}

/* Each operation fails once, at each of its first places: no success is told that is none, and what was
 * told is there afterwards. */
static void test_wal_failing_operations_are_told (void **state)
{
    (void)state;
    for (fault_operation_t operation = FAULT_OPEN; operation < FAULT_OPERATIONS; operation++) {
        bool failed = true;
        for (uint64_t nth = 1; failed && nth < 60; nth++) {
            bed_t *bed = bed_new (8 + nth, 0);
            fault_files_fail (bed->files, operation, nth, EIO, 1);
            kv_status_t status = KV_OK;
            for (int i = 0; i < 80 && status == KV_OK; i++) {
                while (status == KV_OK && wal_room (bed->wal) < 4000)
                    status = bed_prepare (bed) == KV_END ? KV_OK : KV_IO;
                if (status)
                    break;
                assert_true (bed_append (bed, 3000));
                status = wal_write (bed->wal, &bed->error);
                bed_seal (bed);
                if (status == KV_OK && i % 3 == 0)
                    status = bed_sync (bed);
            }
            failed = status != KV_OK;
            fault_files_heal (bed->files);
            bed_stop (bed);
            fault_files_power_loss (bed->files, POWER_LOSE);
            assert_int_equal (bed_recover (bed), KV_OK);
            bed_destroy (bed);
        }
    }
}

/* A sync that has begun, as it runs in the keeper's thread: what is written meanwhile is not in it. */
typedef struct {
    uint64_t lsn, begun;
    bool under_way;
} two_step_t;

static void s_begin_sync (bed_t *bed, two_step_t *sync)
{
    sync->lsn = wal_written_lsn (bed->wal);
    fault_files_defer (bed->files, true);
    assert_int_equal (
        wal_keeper_sync (bed->keeper, sync->lsn, wal_current (bed->wal).number, &bed->error),
        KV_OK);
    fault_files_defer (bed->files, false);
    sync->begun = fault_files_begun (bed->files);
    sync->under_way = true;
}

static void s_end_sync (bed_t *bed, two_step_t *sync)
{
    fault_files_settle (bed->files, sync->begun);
    wal_set_durable (bed->wal, sync->lsn);
    bed->told_lsn = sync->lsn;
    sync->under_way = false;
}

static void s_step (bed_t *bed, two_step_t *sync)
{
    size_t value = (size_t)bed_random (bed, 20) == 0 ? (size_t)bed_random (bed, 100000)
                                                     : (size_t)bed_random (bed, 300);
    assert_true (bed_append (bed, value));
    if (bed_random (bed, 2))
        bed_write (bed);
    if (sync->under_way && bed_random (bed, 3) == 0)
        s_end_sync (bed, sync);
    if (!sync->under_way && bed_random (bed, 4) == 0 && wal_current (bed->wal).number)
        s_begin_sync (bed, sync);
    if (bed_random (bed, 12) == 0) {
        wal_keeper_set_prewrite (bed->keeper, bed_random (bed, 2) == 0);
        assert_int_equal (bed_retire (bed), KV_OK);
    }
}

/* Writes, syncs in two steps, retiring, and losses of power, again and again on one disk. */
static void s_live_and_die (uint64_t seed, uint64_t *retired, uint64_t *lost)
{
    bed_t *bed = bed_new_sized (seed, 0, seed % 2 ? WAL_SEGMENT_BYTES_MIN : BED_SEGMENT_BYTES);
    for (int life = 0; life < 4; life++) {
        two_step_t sync = {0};
        size_t first = bed->first;
        for (uint64_t step = bed_random (bed, 40); step > 0; step--)
            s_step (bed, &sync);
        size_t before = bed->count;
        bed_stop (bed);
        /* What was appended and never written is gone with the process. */
        if (bed_random (bed, 4))
            fault_files_power_loss (bed->files, bed_random (bed, 4) ? POWER_TEAR : POWER_LOSE);
        kv_status_t status = bed_recover (bed);
        if (status)
            fail_msg ("seed %" PRIu64 ", life %d: %s", seed, life, bed->error.text);
        *retired += bed->first - first;
        *lost += before - bed->count;
    }
    bed_destroy (bed);
}

static void test_wal_survives_power_losses (void **state)
{
    (void)state;
    const char *rounds = getenv ("KVDB_WAL_ROUNDS");
    uint64_t count = rounds ? strtoull (rounds, NULL, 10) : 300;
    uint64_t seed = s_seed (__func__);
    uint64_t retired = 0, lost = 0;
    for (uint64_t i = 0; i < count; i++)
        s_live_and_die (seed + i, &retired, &lost);
    printf ("%" PRIu64 " disks, 4 lives each: %" PRIu64
            " records lost that nobody was told of, %" PRIu64 " retired\n",
            count, lost, retired);
    assert_true (count < 100 || (lost > 0 && retired > 0));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_wal_gives_back_what_was_written),
        cmocka_unit_test (test_wal_record_larger_than_segments_goes_over_several),
        cmocka_unit_test (test_wal_goes_on_behind_a_record_cut_short),
        cmocka_unit_test (test_wal_end_behind_a_void_record_is_reached),
        cmocka_unit_test (test_wal_retires_segments_and_uses_one_again),
        cmocka_unit_test (test_wal_without_a_snapshot_begins_with_its_first_whole_record),
        cmocka_unit_test (test_wal_record_within_a_value_is_not_found),
        cmocka_unit_test (test_wal_log_that_ends_before_its_start_is_refused),
        cmocka_unit_test (test_wal_blank_last_file_holds_nothing),
        cmocka_unit_test (test_wal_missing_and_foreign_files_are_told),
        cmocka_unit_test (test_wal_full_disk_leaves_everything_as_it_was),
        cmocka_unit_test (test_wal_retired_segments_survive_power_loss_at_any_step),
        cmocka_unit_test (test_wal_whose_only_segment_lost_its_blocks_goes_on_at_the_snapshot),
        cmocka_unit_test (test_wal_failing_operations_are_told),
        cmocka_unit_test (test_wal_survives_power_losses),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
