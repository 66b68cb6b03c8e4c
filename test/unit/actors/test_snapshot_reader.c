/* Goal: a snapshot is read as it was written, or told as damaged, with its name and the place; never
 * anything else, whatever happened to its bytes.
 *
 * Method: small snapshots on a disk in memory, cut at every byte and flipped at every bit; each chunk
 * that comes out before the damage is found must be one that went in. Files that are whole but against
 * the format's rules (N1..N3). A file of many megabytes, with a chunk larger than the read buffer. */
#include "actors/snapshot_reader.h"
#include "schema/crc32c.h"
#include "test/fault/fault_files.h"
#include "../schema/random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const char s_name[] = "snapshot.kvs";

/* A file under construction. */
typedef struct {
    writer_t bytes;
    uint32_t chunks;
    uint64_t entries;
} draft_t;

static draft_t s_draft (uint32_t shards)
{
    draft_t draft = {.bytes = writer_make (SIZE_MAX)};
    snapshot_header_t header = {.start_lsn = 100, .entries = 7, .shards = shards, .made_ms = 5};
    snapshot_header_encode (&header, writer_claim (&draft.bytes, SNAPSHOT_HEADER_BYTES));
    return draft;
}

static void s_add (draft_t *draft, snapshot_kind_t kind, uint32_t shard, writer_t *chunk)
{
    snapshot_chunk_seal (chunk->data, chunk->size, kind, draft->chunks++, shard);
    writer_raw (&draft->bytes, kv_slice (chunk->data, chunk->size));
    writer_free (chunk);
}

static void s_add_shard (draft_t *draft, uint32_t shard)
{
    writer_t chunk = writer_make (1000);
    snapshot_chunk_begin (&chunk);
    snapshot_shard_write (&chunk, 1000 + shard, 3);
    s_add (draft, SNAPSHOT_SHARD, shard, &chunk);
}

static void s_add_entries (draft_t *draft, uint32_t shard, size_t count, size_t value_bytes)
{
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_chunk_begin (&chunk);
    uint8_t *value = calloc (1, value_bytes + 1);
    assert_non_null (value);
    for (size_t i = 0; i < count; i++) {
        char key[32];
        int size = snprintf (key, sizeof key, "%u:%zu", shard, i);
        memset (value, (int)(draft->entries + i), value_bytes);
        snapshot_entry_t entry = {.key = kv_slice (key, (size_t)size),
                                  .value = kv_slice (value, value_bytes),
                                  .version = i,
                                  .expires_ms = i % 2 ? 12345 : 0};
        snapshot_entry_write (&chunk, &entry);
    }
    free (value);
    draft->entries += count;
    s_add (draft, SNAPSHOT_ENTRIES, shard, &chunk);
}

typedef struct {
    uint64_t end_lsn, entries, chunks;
} end_t;

static void s_add_end (draft_t *draft, end_t end)
{
    writer_t chunk = writer_make (1000);
    snapshot_chunk_begin (&chunk);
    snapshot_end_write (&chunk, end.end_lsn, end.entries, end.chunks);
    s_add (draft, SNAPSHOT_END, 0, &chunk);
}

static end_t s_end (const draft_t *draft)
{
    return (end_t){.end_lsn = 200, .entries = draft->entries, .chunks = draft->chunks};
}

/* Two shards, a few entries, an empty chunk. */
static draft_t s_small (void)
{
    draft_t draft = s_draft (4);
    s_add_shard (&draft, 0);
    s_add_entries (&draft, 0, 3, 5);
    s_add_shard (&draft, 3);
    s_add_entries (&draft, 3, 1, 0);
    s_add_entries (&draft, 0, 2, 9);
    s_add_entries (&draft, 3, 0, 0);
    s_add_end (&draft, s_end (&draft));
    return draft;
}

static files_t *s_disk (const draft_t *draft)
{
    files_t *files = fault_files_new (1, 0);
    file_error_t error;
    file_t *file;
    assert_int_equal (files_open (files, s_name, FILE_CREATE, &file, &error), KV_OK);
    kv_slice_t bytes = kv_slice (draft->bytes.data, draft->bytes.size);
    assert_int_equal (file_write (file, 0, bytes, &error), KV_OK);
    file_close (&file);
    return files;
}

/* Whether a chunk that came out is the one that stands at this place of the draft. */
static void s_check_chunk (const draft_t *draft, size_t *at, const snapshot_chunk_t *chunk)
{
    snapshot_chunk_t wanted;
    kv_slice_t rest = kv_slice (draft->bytes.data + *at, draft->bytes.size - *at);
    assert_int_equal (snapshot_chunk_decode (rest, &wanted), KV_OK);
    assert_int_equal (chunk->kind, wanted.kind);
    assert_int_equal (chunk->shard, wanted.shard);
    assert_true (kv_slice_equal (chunk->payload, wanted.payload));
    *at += wanted.bytes;
}

/* Reads all of the file, which may be a damaged form of the draft. */
static kv_status_t s_read (files_t *files, const draft_t *draft, file_error_t *error)
{
    memset (error, 0, sizeof *error);
    snapshot_reader_t *reader;
    kv_status_t status = snapshot_reader_open (files, s_name, &reader, error);
    if (status) {
        assert_null (reader);
        return status;
    }
    assert_true (snapshot_reader_header (reader)->start_lsn == 100);
    snapshot_chunk_t chunk;
    size_t at = SNAPSHOT_HEADER_BYTES;
    while ((status = snapshot_reader_next (reader, &chunk, error)) == KV_OK) {
        s_check_chunk (draft, &at, &chunk);
        uint64_t done;
        uint64_t all;
        snapshot_reader_progress (reader, &done, &all);
        assert_true (done == at && all >= done);
    }
    if (status == KV_END) {
        assert_true (snapshot_reader_end_lsn (reader) == 200);
        assert_int_equal (snapshot_reader_next (reader, &chunk, error), KV_END);
    } else {
        assert_int_equal (snapshot_reader_next (reader, &chunk, error), status); /* it stays so */
    }
    snapshot_reader_destroy (&reader);
    assert_null (reader);
    return status;
}

static void s_expect_damage (files_t *files, const draft_t *draft, const char *what)
{
    file_error_t error;
    kv_status_t status = s_read (files, draft, &error);
    if (status != KV_CORRUPT)
        fail_msg ("%s: %s", what, kv_status_name (status));
    assert_non_null (strstr (error.text, s_name));
    assert_non_null (strstr (error.text, " at "));
}

static void test_reader_reads_what_was_written (void **state)
{
    (void)state;
    draft_t draft = s_small ();
    files_t *files = s_disk (&draft);
    file_error_t error;
    assert_int_equal (s_read (files, &draft, &error), KV_END);
    files_destroy (&files);
    writer_free (&draft.bytes);
}

static void test_reader_refuses_a_file_cut_at_any_byte (void **state)
{
    (void)state;
    draft_t draft = s_small ();
    files_t *files = s_disk (&draft);
    for (size_t bytes = draft.bytes.size; bytes-- > 0;) {
        fault_files_cut (files, s_name, bytes);
        char what[64];
        (void)snprintf (what, sizeof what, "cut to %zu bytes", bytes);
        s_expect_damage (files, &draft, what);
    }
    files_destroy (&files);
    writer_free (&draft.bytes);
}

static void test_reader_refuses_a_file_with_any_bit_flipped (void **state)
{
    (void)state;
    draft_t draft = s_small ();
    files_t *files = s_disk (&draft);
    for (size_t bit = 0; bit < draft.bytes.size * 8; bit++) {
        fault_files_flip (files, s_name, bit / 8, (unsigned)(bit % 8));
        char what[64];
        (void)snprintf (what, sizeof what, "bit %zu of byte %zu", bit % 8, bit / 8);
        s_expect_damage (files, &draft, what);
        fault_files_flip (files, s_name, bit / 8, (unsigned)(bit % 8));
    }
    file_error_t error;
    assert_int_equal (s_read (files, &draft, &error), KV_END);
    files_destroy (&files);
    writer_free (&draft.bytes);
}

static void s_expect_refusal (draft_t *draft, const char *what)
{
    files_t *files = s_disk (draft);
    s_expect_damage (files, draft, what);
    files_destroy (&files);
    writer_free (&draft->bytes);
}

static void test_reader_refuses_what_breaks_the_rules (void **state)
{
    (void)state;
    draft_t draft = s_draft (4);
    s_add_entries (&draft, 0, 3, 5);
    s_add_shard (&draft, 0);
    s_add_end (&draft, s_end (&draft));
    s_expect_refusal (&draft, "entries before their shard"); // N1

    draft = s_draft (4);
    s_add_shard (&draft, 2);
    s_add_shard (&draft, 2);
    s_add_end (&draft, s_end (&draft));
    s_expect_refusal (&draft, "a shard twice"); // N1

    draft = s_draft (4);
    s_add_shard (&draft, 4);
    s_add_end (&draft, s_end (&draft));
    s_expect_refusal (&draft, "a shard beyond the last");

    draft = s_draft (4);
    s_add_shard (&draft, 2);
    draft.chunks++;
    s_add_shard (&draft, 3);
    s_add_end (&draft, (end_t){.end_lsn = 200, .chunks = 2});
    s_expect_refusal (&draft, "a gap in the numbers"); // N2

    draft = s_draft (4);
    s_add_end (&draft, s_end (&draft));
    s_add_shard (&draft, 3);
    s_expect_refusal (&draft, "a chunk behind the end"); // N2

    draft = s_draft (4);
    s_add_shard (&draft, 1);
    s_add_entries (&draft, 1, 2, 2);
    draft.bytes.data[draft.bytes.size - 30]++;
    s_add_end (&draft, s_end (&draft));
    s_expect_refusal (&draft, "a CRC that is not right");
}

static void test_reader_refuses_an_end_that_does_not_add_up (void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 4; wrong++) {
        draft_t draft = s_draft (4);
        s_add_shard (&draft, 1);
        s_add_entries (&draft, 1, 2, 2);
        end_t end = s_end (&draft);
        end.entries += wrong == 1;
        end.chunks += wrong == 2;
        end.end_lsn = wrong == 3 ? 99 : end.end_lsn;
        s_add_end (&draft, end);
        if (wrong)
            s_expect_refusal (&draft, "an end that does not add up");
        else
            writer_free (&draft.bytes);
    }
}

/* The length is judged before memory is taken for it. */
static void test_reader_sees_that_a_chunk_cannot_be_so_long (void **state)
{
    (void)state;
    draft_t draft = s_small ();
    draft.bytes.data[SNAPSHOT_HEADER_BYTES + 7] = 0x10; /* 256 MiB */
    files_t *files = s_disk (&draft);
    file_error_t error;
    assert_int_equal (s_read (files, &draft, &error), KV_CORRUPT);
    assert_non_null (strstr (
        error.text, " at 64: the snapshot is damaged, the chunk there reaches beyond the end"));
    files_destroy (&files);
    writer_free (&draft.bytes);
}

/* A chunk of entries whose CRC is right and whose last entry is short of a byte. */
static void test_reader_refuses_entries_that_do_not_fill_their_chunk (void **state)
{
    (void)state;
    draft_t draft = s_draft (4);
    s_add_shard (&draft, 1);
    writer_t chunk = writer_make (1000);
    snapshot_chunk_begin (&chunk);
    snapshot_entry_t entry = {.key = kv_slice_text ("key"), .value = kv_slice_text ("value")};
    snapshot_entry_write (&chunk, &entry);
    writer_cut (&chunk, chunk.size - 1);
    size_t offset = draft.bytes.size + SNAPSHOT_CHUNK_HEADER_BYTES;
    s_add (&draft, SNAPSHOT_ENTRIES, 1, &chunk);
    draft.entries = 1;
    s_add_end (&draft, s_end (&draft));
    files_t *files = s_disk (&draft);
    file_error_t error;
    assert_int_equal (s_read (files, &draft, &error), KV_CORRUPT);
    char place[64];
    (void)snprintf (place, sizeof place, " at %zu:", offset);
    assert_non_null (strstr (error.text, place)); /* of the entry itself */
    files_destroy (&files);
    writer_free (&draft.bytes);
}

static void test_reader_refuses_another_version (void **state)
{
    (void)state;
    draft_t draft = s_small ();
    uint8_t *header = draft.bytes.data;
    header[8] = SNAPSHOT_VERSION + 1;
    uint32_t crc = crc32c (crc32c (0, kv_slice (header, 12)), kv_slice (header + 16, 48));
    for (int i = 0; i < 4; i++)
        header[12 + i] = (uint8_t)(crc >> (8 * i));
    files_t *files = s_disk (&draft);
    file_error_t error;
    assert_int_equal (s_read (files, &draft, &error), KV_BAD_VERSION);
    assert_non_null (strstr (error.text, s_name));
    files_destroy (&files);
    writer_free (&draft.bytes);
}

static void test_reader_tells_absence_and_faults_of_the_disk (void **state)
{
    (void)state;
    draft_t draft = s_small ();
    files_t *files = fault_files_new (1, 0);
    file_error_t error;
    assert_int_equal (s_read (files, &draft, &error), KV_NOT_FOUND);
    files_destroy (&files);
    files = s_disk (&draft);
    fault_files_fail (files, FAULT_READ, 1, EIO, 1);
    assert_int_equal (s_read (files, &draft, &error), KV_IO);
    assert_int_equal (error.number, EIO);
    fault_files_heal (files);
    assert_int_equal (s_read (files, &draft, &error), KV_END);
    files_destroy (&files);
    writer_free (&draft.bytes);
}

/* Chunks of all sizes, ones larger than the reader's buffer too, at all places of its pieces. */
static void test_reader_reads_large_files (void **state)
{
    (void)state;
    random_t random = random_make ("large files");
    for (int round = 0; round < 4; round++) {
        draft_t draft = s_draft (4);
        s_add_shard (&draft, 1);
        while (draft.bytes.size < 12 * 1024 * 1024) {
            uint32_t kind = random_below (&random, 20);
            size_t value_bytes = kind == 0   ? random_below (&random, 5 * 1024 * 1024)
                                 : kind < 10 ? random_below (&random, 500000)
                                             : random_below (&random, 3000);
            s_add_entries (&draft, 1, 1 + random_below (&random, 3), value_bytes);
        }
        s_add_end (&draft, s_end (&draft));
        files_t *files = s_disk (&draft);
        file_error_t error;
        assert_int_equal (s_read (files, &draft, &error), KV_END);
        /* A flip in its later part is found there, a cut as well. */
        size_t at = 10 * 1024 * 1024 + random_below (&random, 1000000);
        fault_files_flip (files, s_name, at, 3);
        s_expect_damage (files, &draft, "a flip far behind");
        fault_files_flip (files, s_name, at, 3);
        fault_files_cut (files, s_name, at);
        s_expect_damage (files, &draft, "a cut far behind");
        files_destroy (&files);
        writer_free (&draft.bytes);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reader_reads_what_was_written),
        cmocka_unit_test (test_reader_refuses_a_file_cut_at_any_byte),
        cmocka_unit_test (test_reader_refuses_a_file_with_any_bit_flipped),
        cmocka_unit_test (test_reader_refuses_what_breaks_the_rules),
        cmocka_unit_test (test_reader_refuses_an_end_that_does_not_add_up),
        cmocka_unit_test (test_reader_sees_that_a_chunk_cannot_be_so_long),
        cmocka_unit_test (test_reader_refuses_entries_that_do_not_fill_their_chunk),
        cmocka_unit_test (test_reader_refuses_another_version),
        cmocka_unit_test (test_reader_tells_absence_and_faults_of_the_disk),
        cmocka_unit_test (test_reader_reads_large_files),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
