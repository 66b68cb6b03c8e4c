/* Goal: a snapshot's bytes mean one thing, and whatever else is there is told as damage.
 *
 * Method: round trips with random entries; every cut and every flipped bit of a header and of chunks;
 * payloads with fields that go against the format under a CRC that is right. Decoders get copies of the
 * exact size, so that sanitizers see a read past the end. */
#include "actors/snapshot_file.h"
#include "schema/crc32c.h"
#include "../schema/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static kv_status_t s_chunk_decode (const uint8_t *data, size_t size, snapshot_chunk_t *chunk)
{
    uint8_t *copy = malloc (size ? size : 1);
    assert_non_null (copy);
    memcpy (copy, data, size);
    kv_status_t status = snapshot_chunk_decode (kv_slice (copy, size), chunk);
    free (copy);
    return status;
}

static snapshot_header_t s_header (random_t *random)
{
    snapshot_header_t header = {.start_lsn = random_next (random),
                                .entries = random_next (random),
                                .shards = 1 + random_below (random, KV_SHARDS_MAX),
                                .made_ms = (int64_t)(random_next (random) >> 1)};
    for (int i = 0; i < SNAPSHOT_UUID_BYTES; i++)
        header.uuid[i] = (uint8_t)random_below (random, 256);
    return header;
}

static void test_header_comes_back (void **state)
{
    (void)state;
    random_t random = random_make ("header");
    for (int round = 0; round < 1000; round++) {
        snapshot_header_t header = s_header (&random);
        snapshot_header_t same;
        uint8_t bytes[SNAPSHOT_HEADER_BYTES];
        snapshot_header_encode (&header, bytes);
        assert_int_equal (snapshot_header_decode (kv_slice (bytes, sizeof bytes), &same), KV_OK);
        assert_memory_equal (same.uuid, header.uuid, SNAPSHOT_UUID_BYTES);
        assert_true (same.start_lsn == header.start_lsn && same.entries == header.entries);
        assert_true (same.shards == header.shards && same.made_ms == header.made_ms);
    }
}

/* The form is for ever: files written by this version must stay readable. */
static void test_bytes_are_as_documented (void **state)
{
    (void)state;
    snapshot_header_t header = {
        .start_lsn = 0x0102030405060708, .entries = 3, .shards = 64, .made_ms = 0x1112131415161718};
    memset (header.uuid, 0xaa, sizeof header.uuid);
    uint8_t bytes[SNAPSHOT_HEADER_BYTES];
    snapshot_header_encode (&header, bytes);
    assert_memory_equal (bytes, "KVDBSNP\n\1\0\0\0", 12);
    assert_memory_equal (bytes + 32, "\x08\7\6\5\4\3\2\1\3\0\0\0\0\0\0\0\x40\0\0\0", 20);
    assert_memory_equal (bytes + 52, "\x18\x17\x16\x15\x14\x13\x12\x11\0\0\0\0", 12);
    writer_t out = writer_make (SIZE_MAX);
    snapshot_chunk_begin (&out);
    snapshot_entry_t entry = {.key = kv_slice_text ("key"),
                              .value = kv_slice_text ("value"),
                              .version = 0x0a0b,
                              .expires_ms = 0x0c0d};
    snapshot_entry_write (&out, &entry);
    entry.expires_ms = 0;
    snapshot_entry_write (&out, &entry);
    snapshot_chunk_seal (out.data, out.size, SNAPSHOT_ENTRIES, 7, 258);
    static const uint8_t wanted[] = "\x34\0\0\0\7\0\0\0\2\0\2\1"
                                    "\x0b\x0a\0\0\0\0\0\0\5\0\0\x80\2\0\x0d\x0c\0\0\0\0\0\0keyvalue"
                                    "\x0b\x0a\0\0\0\0\0\0\5\0\0\0\2\0keyvalue";
    assert_int_equal (out.size, sizeof wanted - 1 + 4);
    assert_memory_equal (out.data + 4, wanted, sizeof wanted - 1);
    uint32_t crc = crc32c (0, kv_slice (out.data + 4, out.size - 4));
    for (int i = 0; i < 4; i++)
        assert_int_equal (out.data[i], crc >> (8 * i) & 0xff);
    writer_free (&out);
}

static void test_header_of_another_form_is_refused (void **state)
{
    (void)state;
    random_t random = random_make ("header flips");
    snapshot_header_t header = s_header (&random);
    uint8_t bytes[SNAPSHOT_HEADER_BYTES];
    snapshot_header_encode (&header, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal (snapshot_header_decode (kv_slice (bytes, sizeof bytes), &header),
                          KV_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal (snapshot_header_decode (kv_slice (bytes, size), &header), KV_CORRUPT);
}

/* Changes a byte of a header and makes its CRC right again. */
static kv_status_t s_header_with (size_t offset, uint8_t byte)
{
    snapshot_header_t header = {.shards = 1};
    uint8_t bytes[SNAPSHOT_HEADER_BYTES];
    snapshot_header_encode (&header, bytes);
    bytes[offset] = byte;
    uint32_t crc = crc32c (crc32c (0, kv_slice (bytes, 12)), kv_slice (bytes + 16, 48));
    for (int i = 0; i < 4; i++)
        bytes[12 + i] = (uint8_t)(crc >> (8 * i));
    return snapshot_header_decode (kv_slice (bytes, sizeof bytes), &header);
}

static void test_header_fields_are_checked_under_a_right_crc (void **state)
{
    (void)state;
    assert_int_equal (s_header_with (48, 1), KV_OK);
    assert_int_equal (s_header_with (8, 2), KV_BAD_VERSION);
    assert_int_equal (s_header_with (0, 'k'), KV_CORRUPT);
    assert_int_equal (s_header_with (48, 0), KV_CORRUPT); /* no shards */
    assert_int_equal (s_header_with (50, 1), KV_CORRUPT); /* 65537 shards */
    assert_int_equal (s_header_with (63, 1), KV_CORRUPT);
}

enum { ENTRIES = 300 };

static void test_entries_come_back (void **state)
{
    (void)state;
    random_t random = random_make ("entries");
    writer_t out = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_chunk_begin (&out);
    uint8_t *noise = malloc (KV_KEY_BYTES_MAX);
    assert_non_null (noise);
    for (size_t i = 0; i < KV_KEY_BYTES_MAX; i++)
        noise[i] = (uint8_t)random_below (&random, 256);
    snapshot_entry_t entries[ENTRIES];
    for (int i = 0; i < ENTRIES; i++) {
        size_t key_bytes = i == 9 ? KV_KEY_BYTES_MAX : 1 + random_below (&random, 100);
        size_t value_bytes = random_below (&random, i % 9 ? 100 : 60000);
        entries[i] = (snapshot_entry_t){.key = kv_slice (noise, key_bytes),
                                        .value = kv_slice (noise + i, i == 5 ? 0 : value_bytes),
                                        .version = random_next (&random)};
        entries[i].expires_ms = i % 3 ? 0 : 1 + (int64_t)(random_next (&random) >> 1);
        size_t before = out.size;
        snapshot_entry_write (&out, &entries[i]);
        assert_int_equal (out.size - before,
                          snapshot_entry_bytes (key_bytes, entries[i].value.size, i % 3 == 0));
    }
    snapshot_chunk_seal (out.data, out.size, SNAPSHOT_ENTRIES, 5, KV_SHARDS_MAX - 1);
    snapshot_chunk_t chunk;
    assert_int_equal (snapshot_chunk_decode (kv_slice (out.data, out.size), &chunk), KV_OK);
    assert_int_equal (chunk.bytes, out.size);
    assert_int_equal (chunk.kind, SNAPSHOT_ENTRIES);
    assert_int_equal (chunk.number, 5);
    assert_int_equal (chunk.shard, KV_SHARDS_MAX - 1);
    kv_slice_t at = chunk.payload;
    snapshot_entry_t entry;
    for (int i = 0; i < ENTRIES; i++) {
        assert_int_equal (snapshot_entry_next (&at, &entry), KV_OK);
        assert_true (kv_slice_equal (entry.key, entries[i].key));
        assert_true (kv_slice_equal (entry.value, entries[i].value));
        assert_true (entry.version == entries[i].version);
        assert_true (entry.expires_ms == entries[i].expires_ms);
    }
    assert_int_equal (snapshot_entry_next (&at, &entry), KV_END);
    free (noise);
    writer_free (&out);
}

static void test_shard_and_end_come_back (void **state)
{
    (void)state;
    writer_t out = writer_make (1000);
    snapshot_chunk_t chunk;
    uint64_t a;
    uint64_t b;
    uint64_t c;
    snapshot_chunk_begin (&out);
    snapshot_shard_write (&out, UINT64_MAX - 1, 12);
    snapshot_chunk_seal (out.data, out.size, SNAPSHOT_SHARD, 0, 3);
    assert_int_equal (snapshot_chunk_decode (kv_slice (out.data, out.size), &chunk), KV_OK);
    assert_int_equal (chunk.kind, SNAPSHOT_SHARD);
    assert_int_equal (snapshot_shard_read (chunk.payload, &a, &b), KV_OK);
    assert_true (a == UINT64_MAX - 1 && b == 12);
    assert_int_equal (snapshot_end_read (chunk.payload, &a, &b, &c), KV_CORRUPT);
    writer_reset (&out);
    snapshot_chunk_begin (&out);
    snapshot_end_write (&out, UINT64_MAX - 2, 13, 14);
    snapshot_chunk_seal (out.data, out.size, SNAPSHOT_END, UINT32_MAX, 0);
    assert_int_equal (snapshot_chunk_decode (kv_slice (out.data, out.size), &chunk), KV_OK);
    assert_int_equal (chunk.kind, SNAPSHOT_END);
    assert_int_equal (chunk.number, UINT32_MAX);
    assert_int_equal (snapshot_end_read (chunk.payload, &a, &b, &c), KV_OK);
    assert_true (a == UINT64_MAX - 2 && b == 13 && c == 14);
    assert_int_equal (snapshot_shard_read (chunk.payload, &a, &b), KV_CORRUPT);
    writer_free (&out);
}

static writer_t s_small_chunk (void)
{
    writer_t out = writer_make (1000);
    snapshot_chunk_begin (&out);
    snapshot_entry_t entry = {.key = kv_slice_text ("some key"),
                              .value = kv_slice_text ("some value"),
                              .version = 77,
                              .expires_ms = 99};
    snapshot_entry_write (&out, &entry);
    snapshot_chunk_seal (out.data, out.size, SNAPSHOT_ENTRIES, 1, 2);
    return out;
}

static void test_chunk_cut_anywhere_is_not_all_there (void **state)
{
    (void)state;
    writer_t out = s_small_chunk ();
    for (size_t size = 0; size < out.size; size++) {
        snapshot_chunk_t chunk;
        assert_int_equal (s_chunk_decode (out.data, size, &chunk), KV_END);
        assert_int_equal (chunk.bytes, size < SNAPSHOT_CHUNK_HEADER_BYTES ? 0 : out.size);
    }
    writer_free (&out);
}

static void test_chunk_with_a_flipped_bit_is_never_taken (void **state)
{
    (void)state;
    writer_t out = s_small_chunk ();
    for (size_t bit = 0; bit < out.size * 8; bit++) {
        snapshot_chunk_t chunk;
        out.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        kv_status_t status = s_chunk_decode (out.data, out.size, &chunk);
        bool in_length = bit / 8 >= 4 && bit / 8 < 8;
        assert_true (status == KV_CORRUPT || (in_length && status == KV_END));
        if (status == KV_END)
            assert_in_range (chunk.bytes, out.size + 1, SNAPSHOT_CHUNK_BYTES_MAX);
        out.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    writer_free (&out);
}

typedef struct {
    int kind;
    size_t payload_bytes;
    uint8_t spare;
    uint32_t shard;
    kv_status_t status;
} odd_t;

static void test_chunk_fields_are_checked_under_a_right_crc (void **state)
{
    (void)state;
    static const odd_t odd[] = {
        {SNAPSHOT_SHARD, 16, 0, 0, KV_OK},
        {SNAPSHOT_SHARD, 15, 0, 0, KV_CORRUPT},
        {SNAPSHOT_SHARD, 17, 0, 0, KV_CORRUPT},
        {SNAPSHOT_SHARD, 16, 1, 0, KV_CORRUPT},
        {SNAPSHOT_ENTRIES, 0, 0, 9, KV_OK},
        {SNAPSHOT_ENTRIES, 0, 0, KV_SHARDS_MAX, KV_CORRUPT},
        {SNAPSHOT_END, 24, 0, 0, KV_OK},
        {SNAPSHOT_END, 24, 0, 1, KV_CORRUPT},
        {SNAPSHOT_END, 23, 0, 0, KV_CORRUPT},
        {SNAPSHOT_END, 25, 0, 0, KV_CORRUPT},
        {0, 16, 0, 0, KV_CORRUPT},
        {4, 16, 0, 0, KV_CORRUPT},
        {255, 24, 0, 0, KV_CORRUPT},
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        uint8_t bytes[64] = {0};
        size_t size = SNAPSHOT_CHUNK_HEADER_BYTES + odd[i].payload_bytes;
        snapshot_chunk_seal (bytes, size, SNAPSHOT_ENTRIES, 0, 0);
        bytes[12] = (uint8_t)odd[i].kind;
        bytes[13] = odd[i].spare;
        bytes[14] = (uint8_t)odd[i].shard;
        bytes[15] = (uint8_t)(odd[i].shard >> 8);
        uint32_t crc = crc32c (0, kv_slice (bytes + 4, size - 4));
        for (int k = 0; k < 4; k++)
            bytes[k] = (uint8_t)(crc >> (8 * k));
        snapshot_chunk_t chunk;
        assert_int_equal (s_chunk_decode (bytes, size, &chunk), odd[i].status);
    }
}

static void test_chunk_larger_than_any_is_damage (void **state)
{
    (void)state;
    uint8_t bytes[SNAPSHOT_CHUNK_HEADER_BYTES] = {0};
    uint32_t most = SNAPSHOT_CHUNK_BYTES_MAX - SNAPSHOT_CHUNK_HEADER_BYTES;
    snapshot_chunk_t chunk;
    for (uint32_t more = 0; more < 2; more++) {
        for (int i = 0; i < 4; i++)
            bytes[4 + i] = (uint8_t)((most + more) >> (8 * i));
        kv_status_t wanted = more ? KV_CORRUPT : KV_END;
        assert_int_equal (s_chunk_decode (bytes, sizeof bytes, &chunk), wanted);
    }
    assert_int_equal (chunk.bytes, 0);
}

/* One entry of 14 or 22 bytes of header, and `rest` bytes behind. */
static kv_status_t s_entry (uint32_t value_field, uint16_t key_field, int64_t expires_ms,
                            size_t bytes)
{
    uint8_t *copy = calloc (1, bytes ? bytes : 1);
    assert_non_null (copy);
    uint8_t header[22] = {0};
    for (int i = 0; i < 4; i++)
        header[8 + i] = (uint8_t)(value_field >> (8 * i));
    header[12] = (uint8_t)key_field;
    header[13] = (uint8_t)(key_field >> 8);
    for (int i = 0; i < 8; i++)
        header[14 + i] = (uint8_t)((uint64_t)expires_ms >> (8 * i));
    memcpy (copy, header, bytes < sizeof header ? bytes : sizeof header);
    kv_slice_t at = kv_slice (copy, bytes);
    snapshot_entry_t entry;
    kv_status_t status = snapshot_entry_next (&at, &entry);
    free (copy);
    return status;
}

static void test_entry_that_goes_against_the_format_is_damage (void **state)
{
    (void)state;
    const uint32_t expires = UINT32_C (1) << 31;
    assert_int_equal (s_entry (0, 0, 0, 0), KV_END);
    assert_int_equal (s_entry (0, 0, 0, 15), KV_OK);
    assert_int_equal (s_entry (1, 0, 0, 15), KV_CORRUPT);
    assert_int_equal (s_entry (1, 0, 0, 16), KV_OK);
    assert_int_equal (s_entry (0, 65535, 0, 14 + 65536), KV_OK);
    assert_int_equal (s_entry (0, 65535, 0, 14 + 65535), KV_CORRUPT);
    for (size_t bytes = 1; bytes < 15; bytes++)
        assert_int_equal (s_entry (0, 0, 0, bytes), KV_CORRUPT);
    assert_int_equal (s_entry (expires, 0, 1, 23), KV_OK);
    for (size_t bytes = 1; bytes < 23; bytes++)
        assert_int_equal (s_entry (expires, 0, 1, bytes), KV_CORRUPT);
    assert_int_equal (s_entry (expires, 0, 0, 23), KV_CORRUPT);
    assert_int_equal (s_entry (expires, 0, -1, 23), KV_CORRUPT);
    assert_int_equal (s_entry (expires, 0, INT64_MAX, 23), KV_OK);
    /* Lengths beyond a value's, which are flags that nobody has. */
    assert_int_equal (s_entry ((uint32_t)KV_VALUE_BYTES_MAX + 1, 0, 0, 100), KV_CORRUPT);
    assert_int_equal (s_entry (UINT32_C (1) << 30, 0, 0, 100), KV_CORRUPT);
}

/* Whatever the bytes: entries lie within them, one behind the other. */
static void test_entries_of_noise_stay_within_it (void **state)
{
    (void)state;
    random_t random = random_make ("noise");
    uint64_t taken = 0;
    for (int round = 0; round < 20000; round++) {
        size_t size = random_below (&random, 200);
        uint8_t *bytes = malloc (size + 1);
        assert_non_null (bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(random_below (&random, 4) ? 0 : random_below (&random, 256));
        uint8_t *exact = malloc (size ? size : 1);
        assert_non_null (exact);
        memcpy (exact, bytes, size);
        kv_slice_t at = kv_slice (exact, size);
        snapshot_entry_t entry;
        while (snapshot_entry_next (&at, &entry) == KV_OK) {
            assert_true (entry.key.data >= exact && entry.key.size >= 1);
            assert_true (entry.value.data == entry.key.data + entry.key.size);
            assert_true (entry.value.data + entry.value.size == at.data);
            assert_true (at.data + at.size == exact + size);
            taken++;
        }
        free (exact);
        free (bytes);
    }
    assert_true (taken > 1000); /* else the noise says nothing */
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_header_comes_back),
        cmocka_unit_test (test_bytes_are_as_documented),
        cmocka_unit_test (test_header_of_another_form_is_refused),
        cmocka_unit_test (test_header_fields_are_checked_under_a_right_crc),
        cmocka_unit_test (test_entries_come_back),
        cmocka_unit_test (test_shard_and_end_come_back),
        cmocka_unit_test (test_chunk_cut_anywhere_is_not_all_there),
        cmocka_unit_test (test_chunk_with_a_flipped_bit_is_never_taken),
        cmocka_unit_test (test_chunk_fields_are_checked_under_a_right_crc),
        cmocka_unit_test (test_chunk_larger_than_any_is_damage),
        cmocka_unit_test (test_entry_that_goes_against_the_format_is_damage),
        cmocka_unit_test (test_entries_of_noise_stay_within_it),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
