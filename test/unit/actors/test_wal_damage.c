/* Goal: a log that is cut, zeroed or has a bit flipped, anywhere, gives back its records from the first one
 * on, or is refused with file and offset; never another record, and never fewer than were known to be on
 * the disk. Method: a log of three small segments; every byte, every bit. What a cut must give follows
 * from the list of its blocks. Nothing here is random. */
#include "wal_bed.h"

#include "schema/bytes.h"

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

static void s_print (const char *what, const tally_t *tally)
{
    printf ("%s: %" PRIu64 " cases, %" PRIu64 " whole, %" PRIu64 " a first part, %" PRIu64
            " refused\n",
            what, tally->cases, tally->whole, tally->prefix, tally->refused);
}

static void s_everywhere (damage_t damage, uint64_t places, const char *what, tally_t *tally)
{
    bed_t *bed = s_log ();
    for (uint64_t number = 1; number <= 3; number++) {
        for (uint64_t at = 0; at < places; at++)
            s_one (bed, number, damage, at, tally);
    }
    s_print (what, tally);
    bed_destroy (bed);
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

/* How many records a log gives whose segment `number` is cut at `at`; -1: it must be refused. */
static int64_t s_expect (const bed_t *bed, const known_t *known, uint64_t number, uint64_t at)
{
    uint64_t lsn = 0, claim = 0;
    bool ended = false;
    if (at < WAL_SEGMENT_HEADER_BYTES && number < 3)
        return -1;
    for (size_t i = 0; known[i].number; i++) {
        bool is_there = known[i].number != number || known[i].end <= at;
        bool has_header =
            known[i].number != number || known[i].start + WAL_BLOCK_HEADER_BYTES <= at;
        ended = ended || !is_there;
        if (!ended)
            lsn = known[i].end_lsn;
        if (has_header && known[i].durable_lsn > claim)
            claim = known[i].durable_lsn;
    }
    if (claim > lsn)
        return -1;
    int64_t count = 0;
    while ((size_t)count < bed->count && bed->records[count].end_lsn <= lsn)
        count++;
    return count;
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
    s_print ("cut", &tally);
    assert_true (tally.prefix >
                 3000); /* in the last segment, and what was written since the last sync */
    assert_true (tally.refused > 7000); /* what was on the disk */
    free (copy);
    bed_destroy (bed);
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
