/* Goal: a log with a file that was cut is refused; one that is zero from somewhere on, or has a bit flipped,
 * anywhere, gives back its records from the first one on, or is refused with file and offset; never another
 * record, and never fewer than were known to be on the disk. Method: a log of three small segments; every
 * byte, every bit. What zeros must give follows from the list of its blocks. Nothing here is random. */
#include "wal_bed.h"

#include "schema/bytes.h"

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

/* A bit is flipped: nothing is lost, or the log is refused. */
static void s_flip (const bed_t *bed, uint64_t number, uint64_t bit, tally_t *tally)
{
    char name[WAL_NAME_BYTES];
    file_error_t error = {0};
    files_t *files = fault_files_copy (bed->files, 1);
    wal_segment_name (number, name);
    fault_files_flip (files, name, bit / 8, bit % 8);
    int64_t count = s_read (bed, files, &error);
    tally->cases++;
    tally->refused += count < 0;
    tally->whole += (size_t)count == bed->count;
    if (count < 0 && (!strstr (error.text, name) || !strstr (error.text, " at ")))
        fail_msg ("no file and offset in: %s", error.text);
    if (count >= 0 && (size_t)count < bed->count)
        fail_msg ("bit %" PRIu64 " of %s: %" PRId64 " of %zu records, and no word", bit, name,
                  count, bed->count);
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

static void s_print (const char *what, const tally_t *tally)
{
    printf ("%s: %" PRIu64 " cases, %" PRIu64 " whole, %" PRIu64 " a first part, %" PRIu64
            " refused\n",
            what, tally->cases, tally->whole, tally->prefix, tally->refused);
}

/* ---- cuts ---------------------------------------------------------------------------------------- */

/* A block of the whole log. */
typedef struct {
    uint64_t number, start, end, end_lsn, durable_lsn;
} known_t;

enum { KNOWN_MOST = 256 };

static size_t s_blocks (const bed_t *bed, known_t *known)
{
    char name[WAL_NAME_BYTES];
    size_t count = 0;
    wal_place_t place = {0};
    for (uint64_t number = 1; number <= 3; number++) {
        wal_segment_name (number, name);
        kv_slice_t bytes = fault_files_content (bed->files, name);
        uint64_t offset = WAL_SEGMENT_HEADER_BYTES;
        wal_block_t block;
        bool torn;
        while (wal_block_next (bytes, &offset, &place, &block, &torn) == KV_OK) {
            assert_true (count < KNOWN_MOST);
            uint64_t start = offset - block.payload.size - WAL_BLOCK_HEADER_BYTES;
            known[count++] =
                (known_t){number, start, offset, place.lsn, bytes_get64 (bytes.data + start + 24)};
        }
    }
    assert_int_equal (place.lsn, bed->records[bed->count - 1].end_lsn);
    return count;
}

/* Whether a segment that is zero from `at` on has lost something between `from` and `to`. */
static bool s_loses (const bed_t *bed, uint64_t number, uint64_t at, uint64_t from, uint64_t to)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name (number, name);
    kv_slice_t bytes = fault_files_content (bed->files, name);
    for (uint64_t i = at > from ? at : from; i < to; i++) {
        if (bytes.data[i])
            return true;
    }
    return false;
}

/* Whether a block that has lost something may be torn: it has no header any more, or the whole one and a
 * sector's part that is empty now. */
static bool s_may_be_torn (const known_t *block, uint64_t at, bool loses_header)
{
    uint64_t payload = block->start + WAL_BLOCK_HEADER_BYTES;
    uint64_t sector = (block->end - 1) / WAL_SECTOR_BYTES * WAL_SECTOR_BYTES;
    if (loses_header)
        return at <= block->start;
    return at <= (sector > payload ? sector : payload);
}

/* How many records a log gives whose segment `number` is zero from `at` on; -1: it must be refused. */
static int64_t s_expect (const bed_t *bed, const known_t *known, uint64_t number, uint64_t at)
{
    uint64_t lsn = 0, claim = 0;
    bool ended = false;
    if (s_loses (bed, number, at, 0, WAL_SEGMENT_HEADER_BYTES) && (number < 3 || at > 0))
        return -1;
    for (const known_t *block = known; block->number; block++) {
        uint64_t payload = block->start + WAL_BLOCK_HEADER_BYTES;
        bool is_hit = block->number == number;
        bool loses_header = is_hit && s_loses (bed, number, at, block->start, payload);
        bool loses = is_hit && s_loses (bed, number, at, block->start, block->end);
        if (loses && !ended && !s_may_be_torn (block, at, loses_header))
            return -1;
        ended = ended || loses;
        if (!ended)
            lsn = block->end_lsn;
        if (!loses_header && block->durable_lsn > claim)
            claim = block->durable_lsn;
    }
    if (claim > lsn)
        return -1;
    int64_t count = 0;
    while ((size_t)count < bed->count && bed->records[count].end_lsn <= lsn)
        count++;
    return count;
}

/* It has its length again, and nothing in what it had lost. */
static void s_lengthen (files_t *files, const char *name)
{
    file_error_t error;
    file_t *file;
    assert_int_equal (files_open (files, name, FILE_WRITE, &file, &error), KV_OK);
    assert_int_equal (file_allocate (file, WAL_SEGMENT_BYTES_MIN, &error), KV_OK);
    assert_int_equal (file_sync (file, &error), KV_OK);
    file_close (&file);
}

/* The log goes on behind the cut, and is read again. */
static void s_go_on (const bed_t *bed, bed_t *copy, files_t *files)
{
    memcpy (copy, bed, sizeof *copy);
    copy->files = files;
    copy->told_lsn = 0;
    for (int life = 0; life < 2; life++) {
        assert_int_equal (bed_recover (copy), KV_OK);
        assert_true (bed_append (copy, 300));
        bed_write (copy);
        bed_stop (copy);
    }
    size_t count = copy->count;
    assert_int_equal (bed_recover (copy), KV_OK);
    assert_int_equal (copy->count, count);
    bed_stop (copy);
}

/* A file that has become shorter is refused, whatever it has lost; one that was filled up with zeros is
 * judged by them. */
static void test_wal_cut_at_every_byte (void **state)
{
    (void)state;
    tally_t tally = {0};
    file_error_t error;
    char name[WAL_NAME_BYTES];
    known_t known[KNOWN_MOST + 1] = {0};
    bed_t *bed = s_log ();
    bed_t *copy = malloc (sizeof *copy);
    assert_non_null (copy);
    s_blocks (bed, known);
    for (uint64_t number = 1; number <= 3; number++) {
        wal_segment_name (number, name);
        for (uint64_t at = 0; at < WAL_SEGMENT_BYTES_MIN; at++) {
            files_t *files = fault_files_copy (bed->files, 1);
            fault_files_cut (files, name, at);
            assert_int_equal (s_read (bed, files, &error), -1);
            if (!strstr (error.text, name) || !strstr (error.text, " at "))
                fail_msg ("no file and offset in: %s", error.text);
            s_lengthen (files, name);
            int64_t expected = s_expect (bed, known, number, at);
            int64_t count = s_read (bed, files, &error);
            if (count != expected)
                fail_msg ("%s cut at %" PRIu64 ": %" PRId64 " records, not %" PRId64, name, at,
                          count, expected);
            if (count < 0 && (!strstr (error.text, name) || !strstr (error.text, " at ")))
                fail_msg ("no file and offset in: %s", error.text);
            if (count >= 0 && (number == 3 || at % 16 == 0))
                s_go_on (bed, copy, files);
            tally.cases++;
            tally.refused += count < 0;
            tally.whole += (size_t)count == bed->count;
            tally.prefix += count >= 0 && (size_t)count < bed->count;
            files_destroy (&files);
        }
    }
    s_print ("zero", &tally);
    assert_true (tally.prefix > 1000);  /* in the last segment, and what was never synced */
    assert_true (tally.refused > 7000); /* what was on the disk */
    free (copy);
    bed_destroy (bed);
}

static void test_wal_every_bit_flipped (void **state)
{
    (void)state;
    tally_t tally = {0};
    bed_t *bed = s_log ();
    for (uint64_t number = 1; number <= 3; number++) {
        for (uint64_t bit = 0; bit < (uint64_t)WAL_SEGMENT_BYTES_MIN * 8; bit++)
            s_flip (bed, number, bit, &tally);
    }
    s_print ("flip", &tally);
    assert_true (tally.refused > 50000);
    bed_destroy (bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_wal_cut_at_every_byte),
        cmocka_unit_test (test_wal_every_bit_flipped),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
