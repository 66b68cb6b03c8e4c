/* Goal: the log's format is what the header says, byte for byte; each kind of bad block is judged torn or
 * damaged by what is left of it, and nothing that is not ours is believed.
 * Method: bytes worked out elsewhere; one small segment, changed in one way at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/wal_log.h"
#include "schema/bytes.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT_BYTES = 4096 };

static const uint8_t s_uuid[WAL_UUID_BYTES] = {1, 2,  3,  4,  5,  6,  7,  8,
                                               9, 10, 11, 12, 13, 14, 15, 16};

/* A segment, and what the writer of its blocks knows. */
typedef struct {
    uint8_t bytes[SEGMENT_BYTES];
    uint64_t offset;
    wal_place_t place;
} bed_t;

static bed_t s_bed (void)
{
    bed_t bed = {.offset = WAL_SEGMENT_HEADER_BYTES, .place = {.seed = wal_seed (s_uuid)}};
    wal_header_t header = {.number = 1, .bytes = SEGMENT_BYTES};
    memcpy (header.uuid, s_uuid, sizeof s_uuid);
    wal_header_encode (&header, bed.bytes);
    return bed;
}

/* Where its header stands. */
static uint64_t s_write (bed_t *bed, size_t payload_bytes, uint64_t durable_lsn)
{
    uint64_t at = wal_align (bed->offset);
    uint8_t *payload = bed->bytes + at + WAL_BLOCK_HEADER_BYTES;
    memset (payload, 'x', payload_bytes);
    wal_block_encode (&bed->place, durable_lsn, kv_slice (payload, payload_bytes), bed->bytes + at);
    bed->offset = at + WAL_BLOCK_HEADER_BYTES + payload_bytes;
    return at;
}

/* Reads up to the first block that is none; how many there were. */
static size_t s_read (const bed_t *bed, size_t size, kv_status_t *status, bool *torn)
{
    uint64_t offset = WAL_SEGMENT_HEADER_BYTES;
    wal_place_t place = {0};
    wal_block_t block;
    size_t count = 0;
    while ((*status = wal_block_next (kv_slice (bed->bytes, size), &offset, &place, &block,
                                      torn)) == KV_OK)
        count++;
    return count;
}

static void s_expect (const bed_t *bed, size_t count, kv_status_t status, bool torn)
{
    kv_status_t found;
    bool found_torn;
    assert_int_equal (s_read (bed, SEGMENT_BYTES, &found, &found_torn), count);
    assert_int_equal (found, status);
    assert_int_equal (found_torn, torn);
}

static void test_wal_log_names (void **state)
{
    (void)state;
    static const char *const bad[] = {
        "wal-0000000000.log",  "wal-1.log",          "wal-0000000001.log~",
        "xwal-0000000001.log", "wal-000000000a.log", "wal--000000001.log",
        "wal-+000000001.log",  "wal- 000000001.log", "",
        "spare.tmp",           "wal-0000000001.LOG", "wal-00000000001.log"};
    char name[WAL_NAME_BYTES];
    uint64_t number;
    wal_segment_name (7, name);
    assert_string_equal (name, "wal-0000000007.log");
    wal_segment_name (UINT64_C (12345678901), name);
    assert_string_equal (name, "wal-12345678901.log");
    assert_true (wal_segment_number (name, &number));
    assert_int_equal (number, UINT64_C (12345678901));
    wal_segment_name (UINT64_MAX, name);
    assert_true (wal_segment_number (name, &number));
    assert_int_equal (number, UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (wal_segment_number (bad[i], &number))
            fail_msg ("\"%s\" was taken for a segment", bad[i]);
    }
}

static void s_hex (const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        (void)snprintf (out + 2 * i, 3, "%02x", bytes[i]);
}

static void test_wal_log_bytes_are_as_documented (void **state)
{
    (void)state;
    char hex[200];
    uint8_t out[WAL_SEGMENT_HEADER_BYTES];
    wal_header_t header = {.number = 7, .bytes = 4096};
    memcpy (header.uuid, s_uuid, sizeof s_uuid);
    wal_header_encode (&header, out);
    s_hex (out, 48, hex);
    assert_string_equal (hex, "4b56444257414c0a010000005c2f7740070000000000000000100000000000000102"
                              "030405060708090a0b0c0d0e0f10");
    for (size_t i = 48; i < sizeof out; i++)
        assert_int_equal (out[i], 0);
    wal_place_t place = {.lsn = 1000,
                         .link = 0x11223344,
                         .durable_lsn = 800,
                         .seed = wal_seed (s_uuid),
                         .restarts = true};
    wal_block_encode (&place, 900, kv_slice_text ("payload"), out);
    s_hex (out, WAL_BLOCK_HEADER_BYTES, hex);
    assert_string_equal (hex, "c45012ba7069e3f40700008044332211e8030000000000008403000000000000");
    assert_int_equal (place.lsn, 1007);
    assert_int_equal (place.durable_lsn, 900);
    assert_int_equal (place.link, bytes_get32 (out));
    assert_false (place.restarts);
}

static void test_wal_log_header_is_refused_with_any_byte_changed (void **state)
{
    (void)state;
    wal_header_t header;
    for (size_t i = 0; i < WAL_SEGMENT_HEADER_BYTES; i++) {
        bed_t bed = s_bed ();
        bed.bytes[i] ^= 1;
        assert_int_equal (wal_header_decode (kv_slice (bed.bytes, SEGMENT_BYTES), &header),
                          KV_CORRUPT);
    }
    bed_t bed = s_bed ();
    assert_int_equal (wal_header_decode (kv_slice (bed.bytes, SEGMENT_BYTES), &header), KV_OK);
    assert_int_equal (header.number, 1);
    assert_int_equal (header.bytes, SEGMENT_BYTES);
    assert_memory_equal (header.uuid, s_uuid, sizeof s_uuid);
    assert_int_equal (wal_header_decode (kv_slice (bed.bytes, 511), &header), KV_CORRUPT);
}

static void test_wal_log_blocks_follow_each_other (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    bed.place.restarts = true;
    s_write (&bed, 1, 0);
    s_write (&bed, 600, 1);
    s_write (&bed, 31, 1);
    uint64_t offset = WAL_SEGMENT_HEADER_BYTES;
    wal_place_t place = {0};
    wal_block_t block;
    bool torn;
    kv_slice_t segment = kv_slice (bed.bytes, SEGMENT_BYTES);
    assert_int_equal (wal_block_next (segment, &offset, &place, &block, &torn), KV_OK);
    assert_true (block.restarts);
    assert_int_equal (block.lsn, 0);
    assert_int_equal (wal_block_next (segment, &offset, &place, &block, &torn), KV_OK);
    assert_false (block.restarts);
    assert_int_equal (block.lsn, 1);
    assert_int_equal (block.payload.size, 600);
    assert_int_equal (wal_block_next (segment, &offset, &place, &block, &torn), KV_OK);
    assert_int_equal (offset, bed.offset);
    assert_int_equal (place.lsn, bed.place.lsn);
    assert_int_equal (place.link, bed.place.link);
    assert_int_equal (place.seed, bed.place.seed);
    assert_int_equal (wal_block_next (segment, &offset, &place, &block, &torn), KV_END);
}

/* W1, W2: a block with the right CRCs that stands where another one belongs. */
static void test_wal_log_block_of_another_place_is_damage (void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        bed_t bed = s_bed ();
        s_write (&bed, 100, 0);
        s_write (&bed, 100, 100);
        switch (what) {
        case 0: bed.place.lsn += 1; break;
        case 1: bed.place.link ^= 1; break;
        case 2: bed.place.durable_lsn = 0; break;
        default: bed.place.seed ^= 1; break; // W7
        }
        s_write (&bed, 100, what == 2 ? 50 : bed.place.durable_lsn);
        s_expect (&bed, 2, KV_CORRUPT, false);
    }
}

/* What a sector holds that was never written is zero. */
static void test_wal_log_block_with_an_empty_sector_is_torn (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    s_write (&bed, 100, 0);
    uint64_t at = s_write (&bed, 1500, 0);
    for (uint64_t sector = at / WAL_SECTOR_BYTES; sector <= (bed.offset - 1) / WAL_SECTOR_BYTES;
         sector++) {
        bed_t torn = bed;
        uint64_t from = sector * WAL_SECTOR_BYTES;
        memset (torn.bytes + (from < at ? at : from), 0,
                (size_t)(from < at ? from + WAL_SECTOR_BYTES - at : WAL_SECTOR_BYTES));
        /* With its header gone, it was not written at all. */
        s_expect (&torn, 1, from <= at ? KV_END : KV_CORRUPT, from > at);
        if (from > at) {
            torn.bytes[from] = 1; /* something is left in each sector */
            s_expect (&torn, 1, KV_CORRUPT, false);
        }
    }
    bed.bytes[at + 8] ^= 1; /* a header is never torn */
    s_expect (&bed, 1, KV_CORRUPT, false);
}

static void test_wal_log_block_beyond_the_end_of_its_file_is_torn (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    s_write (&bed, 100, 0);
    uint64_t at = s_write (&bed, 1500, 0);
    for (uint64_t size = WAL_SEGMENT_HEADER_BYTES; size <= bed.offset; size++) {
        kv_status_t status;
        bool torn;
        size_t count = s_read (&bed, (size_t)size, &status, &torn);
        assert_int_equal (count, size == bed.offset ? 2 : size >= 512 + 32 + 100 ? 1 : 0);
        bool has_header = count == 0 ? size >= 512 + 32 : size >= at + 32;
        assert_int_equal (status, count < 2 && has_header ? KV_CORRUPT : KV_END);
        assert_int_equal (torn, status == KV_CORRUPT);
    }
}

static void test_wal_log_claims_need_a_header_of_ours_only (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    s_write (&bed, 100, 0);
    s_write (&bed, 100, 40);
    uint64_t at = s_write (&bed, 700, 200);
    kv_slice_t segment = kv_slice (bed.bytes, SEGMENT_BYTES);
    assert_int_equal (wal_durable_claim (segment, WAL_SEGMENT_HEADER_BYTES), 200);
    assert_int_equal (wal_durable_claim (segment, bed.offset), 0);
    memset (bed.bytes + at + WAL_BLOCK_HEADER_BYTES, 0, 700); /* torn, and still believed */
    assert_int_equal (wal_durable_claim (segment, WAL_SEGMENT_HEADER_BYTES), 200);
    bed.bytes[at + 9] ^= 1;
    assert_int_equal (wal_durable_claim (segment, WAL_SEGMENT_HEADER_BYTES), 40);
    /* A value that looks like a block: W7. */
    uint8_t other[WAL_UUID_BYTES] = {9};
    bed.place = (wal_place_t){.lsn = 1000000, .seed = wal_seed (other)};
    s_write (&bed, 64, 999999);
    bed.place = (wal_place_t){.lsn = 1000000};
    s_write (&bed, 64, 999999);
    assert_int_equal (wal_durable_claim (segment, WAL_SEGMENT_HEADER_BYTES), 40);
}

static void test_wal_log_first_lsn (void **state)
{
    (void)state;
    uint64_t lsn = 0;
    bed_t bed = s_bed ();
    assert_int_equal (wal_first_lsn (kv_slice (bed.bytes, WAL_HEAD_BYTES), &lsn), KV_END);
    bed.place.lsn = 77;
    s_write (&bed, 10, 0);
    assert_int_equal (wal_first_lsn (kv_slice (bed.bytes, WAL_HEAD_BYTES - 1), &lsn), KV_END);
    assert_int_equal (wal_first_lsn (kv_slice (bed.bytes, WAL_HEAD_BYTES), &lsn), KV_OK);
    assert_int_equal (lsn, 77);
    bed.bytes[WAL_SEGMENT_HEADER_BYTES + 20] ^= 1;
    assert_int_equal (wal_first_lsn (kv_slice (bed.bytes, WAL_HEAD_BYTES), &lsn), KV_CORRUPT);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_wal_log_names),
        cmocka_unit_test (test_wal_log_bytes_are_as_documented),
        cmocka_unit_test (test_wal_log_header_is_refused_with_any_byte_changed),
        cmocka_unit_test (test_wal_log_blocks_follow_each_other),
        cmocka_unit_test (test_wal_log_block_of_another_place_is_damage),
        cmocka_unit_test (test_wal_log_block_with_an_empty_sector_is_torn),
        cmocka_unit_test (test_wal_log_block_beyond_the_end_of_its_file_is_torn),
        cmocka_unit_test (test_wal_log_claims_need_a_header_of_ours_only),
        cmocka_unit_test (test_wal_log_first_lsn),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
