/* Goal: whatever happened to the files of a data directory, --check reports it exactly where recovery
 * refuses them (Y1); --repair leaves a directory that recovery takes, in a state that there was (B2), drops
 * no more than it must, keeps copies of everything it changes (B4), and may be interrupted (B5); what it
 * cannot repair it leaves alone. --dump prints what is there.
 *
 * Method: three directories: a log alone, a log that reaches back to its beginning beside a fuzzy snapshot,
 * and one that does not. Every 7th byte has a bit flipped, files are cut, sectors zeroed, segments removed,
 * records forged. The states are compared, entry by entry, with what the stream of records makes. */
#include "data_bed.h"

#include "node/data_check.h"
#include "node/data_dump.h"
#include "node/data_repair.h"
#include "schema/bytes.h"
#include "schema/crc32c.h"

#include <errno.h>

static const char s_snapshot[] = "snapshot.dat";

typedef struct {
    uint64_t cases, sound, repaired, lossless, impossible;
} tally_t;

static bool s_append (void *context, kv_slice_t bytes)
{
    writer_raw (context, bytes);
    return true;
}

static data_place_t s_place (files_t *files)
{
    return (data_place_t){
        .files = files, .snapshot_files = files, .snapshot = s_snapshot, .uuid = bed_uuid};
}

/* What the tool printed, as a string; the caller frees the writer. */
static uint64_t s_check (files_t *files, writer_t *text)
{
    data_place_t place = s_place (files);
    data_output_t out = {s_append, text};
    uint64_t faults = data_check (&place, &out);
    writer_raw (text, kv_slice ("", 1));
    return faults;
}

static void s_expect_text (const writer_t *text, const char *what)
{
    if (!strstr ((const char *)text->data, what))
        fail_msg ("no \"%s\" in:\n%s", what, (const char *)text->data);
}

/* ---- nothing is lost, nothing changed ------------------------------------------------------------------ */

typedef struct {
    files_t *was, *is, *aside;
} kept_t;

static void s_expect_kept_name (void *context, const char *name)
{
    kept_t *self = context;
    if (strcmp (name, "repair.tmp") == 0)
        return; /* what an interrupted repair was making */
    kv_slice_t was = fault_files_content (self->was, name);
    if (!kv_slice_equal (was, fault_files_content (self->is, name)) &&
        !(self->aside && kv_slice_equal (was, fault_files_content (self->aside, name))))
        fail_msg ("%s was changed, and there is no copy of it", name);
}

/* Every file of `was` is in `is`, or in `aside` (NULL: nowhere else). */
static void s_expect_kept (files_t *was, files_t *is, files_t *aside)
{
    file_error_t error;
    kept_t kept = {was, is, aside};
    assert_int_equal (files_list (was, s_expect_kept_name, &kept, &error), KV_OK);
}

static void s_expect_sound (const bed_t *bed, files_t *files, uint64_t *end_lsn)
{
    file_error_t error = {0};
    writer_t text = writer_make (SIZE_MAX);
    executor_t *executor = bed_recover (files, end_lsn, &error);
    if (!executor)
        fail_msg ("recovery refuses it: %s", error.text);
    bed_expect_state (bed, executor, *end_lsn);
    executor_destroy (&executor);
    if (s_check (files, &text) != 0)
        fail_msg ("recovery takes it, and check does not:\n%s", (const char *)text.data);
    writer_free (&text);
}

/* The tools on one damaged directory. Returns where the log ends afterwards; UINT64_MAX: it cannot be
 * repaired. */
static uint64_t s_one (const bed_t *bed, files_t *files, tally_t *tally)
{
    file_error_t error = {0};
    uint64_t end_lsn = 0;
    data_repair_t *repair;
    writer_t text = writer_make (SIZE_MAX);
    data_output_t out = {s_append, &text};
    data_place_t place = s_place (files);
    files_t *was = fault_files_copy (files, 1);
    files_t *aside = fault_files_new (1, 0);
    executor_t *executor = bed_recover (files, &end_lsn, &error);
    assert_int_equal (s_check (files, &text) == 0, executor != NULL); // Y1
    s_expect_kept (was, files, NULL);
    kv_status_t status = data_repair_new (&place, &repair, &error);
    assert_int_equal (status == KV_END, executor != NULL); // B1
    tally->cases++;
    if (executor) {
        bed_expect_state (bed, executor, end_lsn);
        tally->sound++;
    } else if (status == KV_OK) {
        data_repair_print (repair, &out);
        s_expect_kept (was, files, NULL); // B3
        if (data_repair_apply (repair, aside, &error))
            fail_msg ("%s", error.text);
        s_expect_sound (bed, files, &end_lsn);
        s_expect_kept (was, files, aside); // B4
        fault_files_power_loss (files, POWER_LOSE);
        fault_files_power_loss (aside, POWER_LOSE);
        s_expect_sound (bed, files, &end_lsn);
        s_expect_kept (was, files, aside);
        tally->repaired++;
        tally->lossless += end_lsn == bed->stream.size;
        data_repair_destroy (&repair);
    } else {
        assert_int_equal (status, KV_CORRUPT);
        assert_non_null (strstr (error.text, "restore"));
        tally->impossible++;
        end_lsn = UINT64_MAX;
    }
    s_expect_kept (was, files, aside);
    executor_destroy (&executor);
    files_destroy (&was);
    files_destroy (&aside);
    writer_free (&text);
    return end_lsn;
}

static void s_print (const char *what, const tally_t *tally)
{
    printf ("%s: %" PRIu64 " cases, %" PRIu64 " sound, %" PRIu64 " repaired (%" PRIu64
            " without a loss), %" PRIu64 " impossible\n",
            what, tally->cases, tally->sound, tally->repaired, tally->lossless, tally->impossible);
    assert_true (tally->cases == tally->sound + tally->repaired + tally->impossible);
}

/* ---- the directories ----------------------------------------------------------------------------------- */

static bed_t *s_log_alone (void)
{
    bed_t *bed = bed_new (fixture_seed ("log alone"));
    while (wal_current (bed->wal).number < 3)
        bed_work (bed, 10, true);
    bed_work (bed, 10, true);
    bed_work (bed, 10, false);
    return bed;
}

static bed_t *s_with_snapshot (bool retire)
{
    bed_t *bed = bed_new (fixture_seed (retire ? "snapshot" : "snapshot and whole log"));
    bed_work (bed, 60, true);
    bed_snapshot (bed, 1, retire);
    bed_work (bed, 30, true);
    return bed;
}

static uint64_t s_last_record (const bed_t *bed, uint64_t lsn)
{
    uint64_t end_lsn = 0;
    for (size_t i = 0; i < bed->count && bed->end_lsn[i] <= lsn; i++)
        end_lsn = bed->end_lsn[i];
    return end_lsn;
}

/* Where the last record ends that is before a bit flipped at `offset` of a segment: that of all, where the bit
 * is in no block and in nothing that would be taken for one. */
static uint64_t s_last_before (bed_t *bed, uint64_t number, uint64_t offset)
{
    char name[WAL_NAME_BYTES];
    wal_place_t place = {.lsn = WAL_ANY_LSN};
    wal_block_t block;
    bool torn;
    uint64_t at = WAL_SEGMENT_HEADER_BYTES;
    wal_segment_name (number, name);
    kv_slice_t bytes = fault_files_content (bed->files, name);
    while (wal_block_next (bytes, &at, &place, &block, &torn) == KV_OK) {
        uint64_t payload = (uint64_t)(block.payload.data - bytes.data);
        if (offset < payload - WAL_BLOCK_HEADER_BYTES)
            return bed->stream.size;
        if (offset < at)
            return s_last_record (bed, block.lsn + (offset > payload ? offset - payload : 0));
    }
    bool is_header = offset >= wal_align (at) && wal_align (at) + 32 <= bytes.size;
    return is_header && place.lsn != WAL_ANY_LSN ? s_last_record (bed, place.lsn)
                                                 : bed->stream.size;
}

/* Whether a byte is in a block that ends before the snapshot's start: nothing in it is needed. */
static bool s_is_before_snapshot (bed_t *bed, uint64_t number, uint64_t offset)
{
    char name[WAL_NAME_BYTES];
    wal_place_t place = {.lsn = WAL_ANY_LSN};
    wal_block_t block;
    bool torn;
    uint64_t at = WAL_SEGMENT_HEADER_BYTES;
    wal_segment_name (number, name);
    kv_slice_t bytes = fault_files_content (bed->files, name);
    while (wal_block_next (bytes, &at, &place, &block, &torn) == KV_OK) {
        if (offset < at)
            return place.lsn <= bed->snapshot_start;
    }
    return false;
}

static void test_flipped_bits_of_a_log (void **state)
{
    (void)state;
    tally_t tally = {0};
    bed_t *bed = s_log_alone ();
    uint64_t last = wal_current (bed->wal).number;
    bed_stop (bed);
    assert_true (last >= 3);
    for (uint64_t number = 1; number <= last; number++) {
        for (uint64_t at = number % 7; at < BED_SEGMENT_BYTES; at += 7) {
            char name[WAL_NAME_BYTES];
            files_t *files = fault_files_copy (bed->files, 1);
            wal_segment_name (number, name);
            fault_files_flip (files, name, at, (unsigned)(at % 8));
            uint64_t end_lsn = s_one (bed, files, &tally);
            uint64_t expected = s_last_before (bed, number, at);
            if (end_lsn == UINT64_MAX)
                assert_true (expected == 0); /* the very first record */
            else if (end_lsn != expected)
                fail_msg ("byte %" PRIu64 " of %s: lsn %" PRIu64 " instead of %" PRIu64, at, name,
                          end_lsn, expected);
            files_destroy (&files);
        }
    }
    s_print ("log, flipped", &tally);
    assert_true (tally.repaired > 1000);
    assert_true (tally.lossless > 100);
    bed_destroy (bed);
}

/* Where a snapshot needs the log behind it, a cut before its end can only be had without it. */
static void s_flip_all (bed_t *bed, tally_t *of_log, tally_t *of_snapshot)
{
    uint64_t last = wal_current (bed->wal).number;
    for (uint64_t number = 1; number <= last; number++) {
        char name[WAL_NAME_BYTES];
        wal_segment_name (number, name);
        for (uint64_t at = number % 7; fault_files_content (bed->files, name).size > at; at += 7) {
            files_t *files = fault_files_copy (bed->files, 1);
            fault_files_flip (files, name, at, (unsigned)(at % 8));
            uint64_t end_lsn = s_one (bed, files, of_log);
            uint64_t expected = s_last_before (bed, number, at);
            if (s_is_before_snapshot (bed, number, at))
                assert_true (end_lsn == bed->stream.size);
            else if (end_lsn == UINT64_MAX)
                assert_true (expected < bed->snapshot_end);
            else if (end_lsn < expected)
                fail_msg ("byte %" PRIu64 " of %s: lsn %" PRIu64 " instead of %" PRIu64, at, name,
                          end_lsn, expected);
            files_destroy (&files);
        }
    }
    for (uint64_t at = 0; at < fault_files_content (bed->files, s_snapshot).size; at += 7) {
        files_t *files = fault_files_copy (bed->files, 1);
        fault_files_flip (files, s_snapshot, at, (unsigned)(at % 8));
        (void)s_one (bed, files, of_snapshot);
        files_destroy (&files);
    }
    s_print ("log beside a snapshot, flipped", of_log);
    s_print ("snapshot, flipped", of_snapshot);
    assert_true (of_snapshot->sound == 0);
}

static void test_flipped_bits_beside_a_snapshot (void **state)
{
    (void)state;
    tally_t of_log = {0};
    tally_t of_snapshot = {0};
    bed_t *bed = s_with_snapshot (true);
    s_flip_all (bed, &of_log, &of_snapshot);
    assert_true (of_log.repaired > 300);
    assert_true (of_log.impossible > 10); /* between the snapshot's start and its end */
    assert_true (of_log.lossless > 70);   /* before its start */
    assert_true (of_snapshot.repaired == 0);
    bed_destroy (bed);
}

static void test_flipped_bits_beside_a_snapshot_that_is_not_needed (void **state)
{
    (void)state;
    tally_t of_log = {0};
    tally_t of_snapshot = {0};
    bed_t *bed = s_with_snapshot (false);
    s_flip_all (bed, &of_log, &of_snapshot);
    assert_true (of_log.repaired > 300);
    assert_true (of_log.sound > 500); /* what lies before the snapshot is not read */
    assert_true (of_snapshot.lossless == of_snapshot.cases - of_snapshot.impossible);
    assert_true (of_snapshot.lossless > 100);
    bed_destroy (bed);
}

/* ---- files that are cut, zeroed, gone -------------------------------------------------------------------- */

static void s_zero (files_t *files, const char *name, uint64_t offset)
{
    static const uint8_t zeros[WAL_SECTOR_BYTES];
    file_error_t error;
    file_t *file;
    assert_int_equal (files_open (files, name, FILE_WRITE, &file, &error), KV_OK);
    assert_int_equal (file_write (file, offset, kv_slice (zeros, sizeof zeros), &error), KV_OK);
    assert_int_equal (file_sync (file, &error), KV_OK);
    file_close (&file);
}

static void test_files_cut_and_zeroed (void **state)
{
    (void)state;
    tally_t cut = {0};
    tally_t zeroed = {0};
    bed_t *bed = s_log_alone ();
    uint64_t last = wal_current (bed->wal).number;
    for (uint64_t number = 1; number <= last; number++) {
        char name[WAL_NAME_BYTES];
        wal_segment_name (number, name);
        for (uint64_t at = 0; at < BED_SEGMENT_BYTES; at += 61) {
            files_t *files = fault_files_copy (bed->files, 1);
            fault_files_cut (files, name, at);
            (void)s_one (bed, files, &cut);
            files_destroy (&files);
        }
        for (uint64_t at = 0; at < BED_SEGMENT_BYTES; at += WAL_SECTOR_BYTES) {
            files_t *files = fault_files_copy (bed->files, 1);
            s_zero (files, name, at);
            (void)s_one (bed, files, &zeroed);
            files_destroy (&files);
        }
    }
    s_print ("log, cut", &cut);
    s_print ("log, zeroed", &zeroed);
    assert_int_equal (cut.sound, 0); /* whatever is missing */
    assert_true (cut.repaired > 100);
    assert_true (zeroed.repaired > 10);
    bed_destroy (bed);
}

static void test_segments_gone (void **state)
{
    (void)state;
    tally_t tally = {0};
    file_error_t error;
    bed_t *beds[] = {s_log_alone (), s_with_snapshot (false), s_with_snapshot (true)};
    for (size_t i = 0; i < sizeof beds / sizeof *beds; i++) {
        uint64_t last = wal_current (beds[i]->wal).number;
        for (uint64_t number = 1; number <= last; number++) {
            char name[WAL_NAME_BYTES];
            files_t *files = fault_files_copy (beds[i]->files, 1);
            wal_segment_name (number, name);
            kv_status_t status = files_remove (files, name, &error);
            assert_true (status == KV_OK || (status == KV_NOT_FOUND && i == 2));
            (void)s_one (beds[i], files, &tally);
            files_destroy (&files);
        }
        bed_destroy (beds[i]);
    }
    s_print ("segments gone", &tally);
    assert_true (tally.repaired > 3);
    assert_true (tally.impossible >= 2);
}

/* The log was put back from an older copy than the snapshot, which nothing was written during: going on behind
 * it, the node would number records as if they were in the snapshot. */
static void test_a_log_that_ends_before_its_snapshot (void **state)
{
    (void)state;
    tally_t tally = {0};
    file_error_t error;
    bed_t *bed = bed_new (fixture_seed ("older log"));
    bed_work (bed, 20, true);
    files_t *older = fault_files_copy (bed->files, 1);
    uint64_t end_lsn = bed->stream.size;
    bed_work (bed, 5, true);
    bed_snapshot (bed, 0, false);
    assert_true (bed->snapshot_start == bed->snapshot_end);
    kv_slice_t snapshot = fault_files_content (bed->files, s_snapshot);
    file_t *file;
    assert_int_equal (files_open (older, s_snapshot, FILE_CREATE, &file, &error), KV_OK);
    assert_int_equal (file_write (file, 0, snapshot, &error), KV_OK);
    assert_int_equal (file_sync (file, &error), KV_OK);
    assert_int_equal (files_sync_directory (older, &error), KV_OK);
    file_close (&file);
    assert_true (s_one (bed, older, &tally) == end_lsn);
    assert_true (tally.repaired == 1); /* the log goes back to its beginning */
    files_destroy (&older);
    bed_destroy (bed);
}

/* ---- what is told ---------------------------------------------------------------------------------------- */

static void test_check_tells_what_is_there (void **state)
{
    (void)state;
    bed_t *bed = s_with_snapshot (true);
    writer_t text = writer_make (SIZE_MAX);
    char line[256];
    assert_int_equal (s_check (bed->files, &text), 0);
    s_expect_text (&text, "snapshot  snapshot.dat: ");
    s_expect_text (&text, "made 2023-11-14T22:13:20Z");
    snprintf (line, sizeof line, "lsn %" PRIu64 " to %" PRIu64 ", 4 shards", bed->snapshot_start,
              bed->snapshot_end);
    s_expect_text (&text, line);
    snprintf (line, sizeof line, "records, lsn %" PRIu64 " to %zu\n", bed->snapshot_start,
              bed->stream.size);
    s_expect_text (&text, line);
    uint64_t last = shard_last (executor_shard (bed->server.executor, 2));
    snprintf (line, sizeof line, " 2:1/%" PRIu64, position_n (last));
    s_expect_text (&text, line);
    assert_null (strstr ((const char *)text.data, "fault"));
    writer_free (&text);
    bed_destroy (bed);
}

/* Each of several faults is told, with its place. */
static void test_check_tells_every_fault (void **state)
{
    (void)state;
    bed_t *bed = s_log_alone ();
    writer_t text = writer_make (SIZE_MAX);
    fault_files_flip (bed->files, "wal-0000000001.log", WAL_HEAD_BYTES, 3);
    fault_files_flip (bed->files, "wal-0000000002.log", WAL_SEGMENT_HEADER_BYTES + 4, 3);
    fault_files_flip (bed->files, "wal-0000000003.log", WAL_HEAD_BYTES, 3);
    assert_int_equal (s_check (bed->files, &text), 3);
    s_expect_text (&text, "fault     fault/wal-0000000001.log at 512: ");
    s_expect_text (&text, "fault     fault/wal-0000000002.log at 512: ");
    s_expect_text (&text, "fault     fault/wal-0000000003.log at 512: ");
    writer_reset (&text);
    fault_files_flip (bed->files, "wal-0000000002.log", 3, 3);
    assert_int_equal (s_check (bed->files, &text), 4);
    s_expect_text (&text, "fault     fault/wal-0000000002.log at 0: ");
    writer_free (&text);
    bed_destroy (bed);
}

/* The plan's numbers. */
static void test_repair_tells_what_is_dropped (void **state)
{
    (void)state;
    bed_t *bed = bed_new (fixture_seed ("dropped"));
    writer_t text = writer_make (SIZE_MAX);
    data_output_t out = {s_append, &text};
    data_place_t place = s_place (bed->files);
    data_repair_t *repair;
    file_error_t error;
    char line[256];
    bed_work (bed, 1, true);
    uint64_t kept = bed->stream.size;
    size_t count = bed->count;
    uint64_t at = wal_current (bed->wal).offset;
    bed_work (bed, 10, true);
    fault_files_flip (bed->files, "wal-0000000001.log", wal_align (at), 1);
    assert_int_equal (data_repair_new (&place, &repair, &error), KV_OK);
    data_repair_print (repair, &out);
    writer_raw (&text, kv_slice ("", 1));
    snprintf (line, sizeof line,
              "cut       wal-0000000001.log at %" PRIu64 ", lsn %" PRIu64 ": from there on zero\n",
              at, kept);
    s_expect_text (&text, line);
    snprintf (line, sizeof line, "dropped   from lsn %" PRIu64 " to %zu: ", kept, bed->stream.size);
    s_expect_text (&text, line);
    snprintf (line, sizeof line, "left      %zu records, lsn 0 to %" PRIu64 "\n", count, kept);
    s_expect_text (&text, line);
    data_repair_destroy (&repair);
    writer_free (&text);
    bed_destroy (bed);
}

/* ---- what is foreign ------------------------------------------------------------------------------------- */

static void test_repair_leaves_foreign_files_alone (void **state)
{
    (void)state;
    static const uint8_t other[WAL_UUID_BYTES] = "another one";
    bed_t *bed = s_with_snapshot (false);
    data_place_t place = s_place (bed->files);
    data_repair_t *repair;
    file_error_t error;
    place.uuid = other;
    assert_int_equal (data_repair_new (&place, &repair, &error), KV_CORRUPT);
    assert_null (repair);
    assert_non_null (strstr (error.text, "belongs to another data directory"));
    bed_destroy (bed);
}

/* ---- records that are whole and do not follow ------------------------------------------------------------ */

/* Takes the `previous` of a record in the middle of a block for another one; all CRCs are right. */
static void s_forge (bed_t *bed, uint64_t number, uint64_t block_at, size_t record_at)
{
    char name[WAL_NAME_BYTES];
    file_error_t error;
    file_t *file;
    wal_segment_name (number, name);
    kv_slice_t bytes = fault_files_content (bed->files, name);
    size_t size = bytes_get32 (bytes.data + block_at + 8) & INT32_MAX;
    uint8_t *block = malloc (WAL_BLOCK_HEADER_BYTES + size);
    assert_non_null (block);
    memcpy (block, bytes.data + block_at, WAL_BLOCK_HEADER_BYTES + size);
    uint8_t *record = block + WAL_BLOCK_HEADER_BYTES + record_at;
    size_t record_size = bytes_get32 (record + 4);
    bytes_put64 (record + 16, bytes_get64 (record + 16) - 1);
    bytes_put32 (record, crc32c (0, kv_slice (record + 4, record_size - 4)));
    wal_block_shorten (wal_seed (bed_uuid), block, size); /* only its CRCs are made again */
    assert_int_equal (files_open (bed->files, name, FILE_WRITE, &file, &error), KV_OK);
    assert_int_equal (
        file_write (file, block_at, kv_slice (block, WAL_BLOCK_HEADER_BYTES + size), &error),
        KV_OK);
    assert_int_equal (file_sync (file, &error), KV_OK);
    file_close (&file);
    free (block);
}

static void test_a_record_that_does_not_follow_is_cut_within_its_block (void **state)
{
    (void)state;
    tally_t tally = {0};
    bed_t *bed = bed_new (fixture_seed ("forged"));
    bed_work (bed, 3, true);
    uint64_t block_at = wal_align (wal_current (bed->wal).offset);
    uint64_t lsn = bed->stream.size;
    server_ask (&bed->server, "SET a 1");
    server_ask (&bed->server, "SET a 2");
    uint64_t kept = bed->stream.size;
    server_ask (&bed->server, "SET a 3");
    server_ask (&bed->server, "SET a 4");
    bed_write (bed, true);
    assert_int_equal (wal_current (bed->wal).number, 1);
    s_forge (bed, 1, block_at, (size_t)(kept - lsn));
    assert_true (s_one (bed, bed->files, &tally) == kept);
    assert_true (tally.repaired == 1);
    bed_destroy (bed);
}

/* ---- interrupted repairs ----------------------------------------------------------------------------------- */

/* One operation fails, and power is lost; then it is repaired again. Returns whether anything failed. */
static bool s_interrupted (bed_t *bed, fault_operation_t operation, uint64_t nth, uint64_t expected)
{
    file_error_t error;
    data_repair_t *repair;
    files_t *files = fault_files_copy (bed->files, nth);
    fault_files_flip (files, "wal-0000000002.log", WAL_HEAD_BYTES, 1);
    fault_files_flip (files, "wal-0000000003.log", 5, 1);
    files_t *was = fault_files_copy (files, 1);
    files_t *aside = fault_files_new (nth, 0);
    data_place_t place = s_place (files);
    assert_int_equal (data_repair_new (&place, &repair, &error), KV_OK);
    fault_files_fail (files, operation, nth, EIO, 0);
    bool failed = data_repair_apply (repair, aside, &error) != KV_OK;
    data_repair_destroy (&repair);
    fault_files_heal (files);
    fault_files_power_loss (files, POWER_TEAR);
    fault_files_power_loss (aside, POWER_TEAR);
    s_expect_kept (was, files, aside); // B4
    tally_t tally = {0};
    assert_true (s_one (bed, files, &tally) == expected); // B5
    files_destroy (&aside);
    files_destroy (&was);
    files_destroy (&files);
    return failed;
}

static void test_repairs_that_are_interrupted (void **state)
{
    (void)state;
    static const fault_operation_t operations[] = {FAULT_OPEN, FAULT_READ,   FAULT_WRITE,
                                                   FAULT_SYNC, FAULT_REMOVE, FAULT_SYNC_DIRECTORY};
    bed_t *bed = s_log_alone ();
    uint64_t failures = 0;
    uint64_t expected = s_last_before (bed, 2, WAL_HEAD_BYTES);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        for (uint64_t nth = 1; s_interrupted (bed, operations[i], nth, expected); nth++)
            failures++;
    }
    printf ("%" PRIu64 " interrupted repairs\n", failures);
    assert_true (failures > 20);
    bed_destroy (bed);
}

static void test_a_disk_without_room_for_copies_changes_nothing (void **state)
{
    (void)state;
    bed_t *bed = s_log_alone ();
    file_error_t error;
    data_repair_t *repair;
    fault_files_flip (bed->files, "wal-0000000002.log", WAL_HEAD_BYTES, 1);
    files_t *was = fault_files_copy (bed->files, 1);
    files_t *aside = fault_files_new (1, 3000);
    data_place_t place = s_place (bed->files);
    assert_int_equal (data_repair_new (&place, &repair, &error), KV_OK);
    assert_int_equal (data_repair_apply (repair, aside, &error), KV_DISK_FULL);
    s_expect_kept (was, bed->files, NULL);
    data_repair_destroy (&repair);
    files_destroy (&was);
    files_destroy (&aside);
    bed_destroy (bed);
}

/* ---- dumps --------------------------------------------------------------------------------------------------- */

static uint64_t s_count_lines (const writer_t *text)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < text->size; i++)
        lines += text->data[i] == '\n';
    return lines;
}

static void test_dump_prints_keys_and_records (void **state)
{
    (void)state;
    static const uint8_t secret[STORE_SECRET_BYTES];
    bed_t *bed = s_with_snapshot (false);
    writer_t text = writer_make (SIZE_MAX);
    data_output_t out = {s_append, &text};
    data_place_t place = s_place (bed->files);
    file_error_t error;
    server_ask (&bed->server, "SET gr\xc3\xbc\xc3\x9f\x65 \"a \\ \x01\"");
    server_ask (&bed->server, "SET \xff\xfe \xff");
    bed_write (bed, true);
    assert_int_equal (data_dump_state (&place, secret, &out, &error), KV_OK);
    uint64_t keys = executor_stats (bed->server.executor).keys;
    assert_true (s_count_lines (&text) == keys);
    writer_raw (&text, kv_slice ("", 1));
    s_expect_text (&text, "{\"key\": \"gr\xc3\xbc\xc3\x9f\x65\", \"value\": \"a \\\\ \\u0001\", "
                          "\"expires_ms\": 0, \"version\": ");
    s_expect_text (&text, "{\"key_base64\": \"//4=\", \"value_base64\": \"/w==\", ");
    writer_reset (&text);
    assert_int_equal (data_dump_log (&place, &out, &error), KV_OK);
    assert_true (s_count_lines (&text) == bed->count);
    writer_raw (&text, kv_slice ("", 1));
    s_expect_text (&text, "\"previous\": 0, \"lsn\": 0, \"effects\": [{\"kind\": \"open\"}]}");
    s_expect_text (&text,
                   "{\"kind\": \"put\", \"key_base64\": \"//4=\", \"value_base64\": \"/w==\", "
                   "\"expires_ms\": 0}]}");
    writer_free (&text);
    bed_destroy (bed);
}

static void test_dump_of_a_damaged_directory (void **state)
{
    (void)state;
    static const uint8_t secret[STORE_SECRET_BYTES];
    bed_t *bed = s_log_alone ();
    writer_t text = writer_make (SIZE_MAX);
    data_output_t out = {s_append, &text};
    data_place_t place = s_place (bed->files);
    file_error_t error;
    fault_files_flip (bed->files, "wal-0000000002.log", WAL_HEAD_BYTES, 1);
    assert_int_equal (data_dump_state (&place, secret, &out, &error), KV_CORRUPT);
    assert_int_equal (text.size, 0); /* never a part of the state */
    assert_int_equal (data_dump_log (&place, &out, &error), KV_CORRUPT);
    assert_true (s_count_lines (&text) > 5); /* but the records before the damage */
    assert_true (s_count_lines (&text) < bed->count);
    writer_free (&text);
    bed_destroy (bed);
}

static void test_times_are_told_as_dates (void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00Z"},
                {951782399999, "2000-02-28T23:59:59Z"},
                {951782400000, "2000-02-29T00:00:00Z"},
                {951868800000, "2000-03-01T00:00:00Z"},
                {4107542400000, "2100-03-01T00:00:00Z"},
                {-1000, "1969-12-31T23:59:59Z"}};
    char text[DATA_TIME_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal (data_time_text (rows[i].ms, text), rows[i].text);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_flipped_bits_of_a_log),
        cmocka_unit_test (test_flipped_bits_beside_a_snapshot),
        cmocka_unit_test (test_flipped_bits_beside_a_snapshot_that_is_not_needed),
        cmocka_unit_test (test_files_cut_and_zeroed),
        cmocka_unit_test (test_segments_gone),
        cmocka_unit_test (test_a_log_that_ends_before_its_snapshot),
        cmocka_unit_test (test_check_tells_what_is_there),
        cmocka_unit_test (test_check_tells_every_fault),
        cmocka_unit_test (test_repair_tells_what_is_dropped),
        cmocka_unit_test (test_repair_leaves_foreign_files_alone),
        cmocka_unit_test (test_a_record_that_does_not_follow_is_cut_within_its_block),
        cmocka_unit_test (test_repairs_that_are_interrupted),
        cmocka_unit_test (test_a_disk_without_room_for_copies_changes_nothing),
        cmocka_unit_test (test_dump_prints_keys_and_records),
        cmocka_unit_test (test_dump_of_a_damaged_directory),
        cmocka_unit_test (test_times_are_told_as_dates),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
