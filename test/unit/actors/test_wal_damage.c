/* Goal: a log that is cut, zeroed or has a bit flipped, anywhere, gives back its records from the first one
 * on, or is refused with file and offset; never another record, and never fewer than were known to be on
 * the disk. Method: a log of three small segments; every byte, every bit. */
#include "wal_bed.h"

typedef enum { CUT, ZERO, FLIP } damage_t;

typedef struct {
    uint64_t cases, whole, prefix, refused;
} tally_t;

/* Reads all of a damaged log: how many records, or -1 if it is refused. */
static int64_t s_read (const bed_t *bed, files_t *files, file_error_t *error)
{
    wal_reader_t *reader;
    record_t record;
    uint64_t end_lsn;
    int64_t count = 0;
    wal_reader_options_t options = {.files = files, .uuid = bed_uuid, .start_lsn = 0};
    kv_status_t status = wal_reader_open (&options, &reader, error);
    while (status == KV_OK &&
           (status = wal_reader_next (reader, &record, &end_lsn, error)) == KV_OK) {
        assert_true ((size_t)count < bed->count);
        assert_int_equal (record.position, bed->records[count].position);
        assert_int_equal (end_lsn, bed->records[count].end_lsn);
        bed_check_record (&record);
        count++;
    }
    wal_reader_destroy (&reader);
    if (status == KV_END)
        return count;
    assert_true (status == KV_CORRUPT || status == KV_BAD_VERSION);
    return -1;
}

static void s_damage (files_t *files, const char *name, damage_t damage, uint64_t at)
{
    file_error_t error;
    file_t *file;
    switch (damage) {
    case CUT: fault_files_cut (files, name, at); return;
    case FLIP: fault_files_flip (files, name, at / 8, at % 8); return;
    case ZERO: {
        static const uint8_t zeros[4096];
        assert_int_equal (files_open (files, name, FILE_WRITE, &file, &error), KV_OK);
        assert_int_equal (file_write (file, at, kv_slice (zeros, sizeof zeros - at), &error),
                          KV_OK);
        file_close (&file);
        return;
    }
    }
}

static void s_one (const bed_t *bed, uint64_t number, damage_t damage, uint64_t at, tally_t *tally)
{
    char name[WAL_NAME_BYTES];
    file_error_t error = {0};
    files_t *files = fault_files_copy (bed->files, 1);
    wal_segment_name (number, name);
    s_damage (files, name, damage, at);
    int64_t count = s_read (bed, files, &error);
    tally->cases++;
    if (count < 0) {
        tally->refused++;
        if (!strstr (error.text, name) || !strstr (error.text, " at "))
            fail_msg ("no file and offset in: %s", error.text);
    } else if ((size_t)count == bed->count) {
        tally->whole++;
    } else {
        tally->prefix++;
        assert_true (bed->records[count].end_lsn > bed->told_lsn);
        if (damage == FLIP)
            fail_msg ("bit %" PRIu64 " of %s: %" PRId64 " of %zu records, and no word", at, name,
                      count, bed->count);
    }
    files_destroy (&files);
}

/* Three segments; what is in the last one was never synced. */
static bed_t *s_log (void)
{
    bed_t *bed = bed_new_sized (1, 0, WAL_SEGMENT_BYTES_MIN);
    while (wal_current (bed->wal).number < 3) {
        assert_true (bed_append (bed, 100 + bed->count * 13 % 200));
        bed_write (bed);
        if (wal_current (bed->wal).number == 2)
            assert_int_equal (bed_sync (bed), KV_OK);
    }
    for (int i = 0; i < 7; i++) {
        assert_true (bed_append (bed, 300));
        bed_write (bed);
    }
    assert_int_equal (wal_current (bed->wal).number, 3);
    return bed;
}

static void s_everywhere (damage_t damage, uint64_t places, const char *what, tally_t *tally)
{
    bed_t *bed = s_log ();
    for (uint64_t number = 1; number <= 3; number++) {
        for (uint64_t at = 0; at < places; at++)
            s_one (bed, number, damage, at, tally);
    }
    printf ("%s: %" PRIu64 " cases, %" PRIu64 " whole, %" PRIu64 " a first part, %" PRIu64
            " refused\n",
            what, tally->cases, tally->whole, tally->prefix, tally->refused);
    bed_destroy (bed);
}

static void test_wal_cut_at_every_byte (void **state)
{
    (void)state;
    tally_t tally = {0};
    s_everywhere (CUT, WAL_SEGMENT_BYTES_MIN, "cut", &tally);
    assert_int_equal (tally.refused, tally.cases); /* no file of ours ever becomes shorter */
}

static void test_wal_zero_from_every_byte (void **state)
{
    (void)state;
    tally_t tally = {0};
    s_everywhere (ZERO, WAL_SEGMENT_BYTES_MIN, "zero", &tally);
    assert_true (tally.prefix > 1000);  /* the last segment's tail may be torn */
    assert_true (tally.refused > 4000); /* the others were on the disk */
}

static void test_wal_every_bit_flipped (void **state)
{
    (void)state;
    tally_t tally = {0};
    s_everywhere (FLIP, (uint64_t)WAL_SEGMENT_BYTES_MIN * 8, "flip", &tally);
    assert_int_equal (tally.prefix, 0);
    assert_true (tally.refused > 50000);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_wal_cut_at_every_byte),
        cmocka_unit_test (test_wal_zero_from_every_byte),
        cmocka_unit_test (test_wal_every_bit_flipped),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
