/* wal_bed - a log on a disk that can be broken, and the list of all records that were ever put into it:
 * what recovery may give back, and must. */
#ifndef KVDB_TEST_UNIT_ACTORS_WAL_BED_H
#define KVDB_TEST_UNIT_ACTORS_WAL_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/wal_keeper.h"
#include "actors/wal_reader.h"
#include "test/fault/fault_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BED_RECORDS_MOST = 4096, BED_SEGMENT_BYTES = 64 * 1024 };

typedef struct {
    uint64_t position; /* names the record: its content follows from it */
    uint64_t end_lsn;
} bed_record_t;

typedef struct {
    files_t *files;
    wal_t *wal;
    wal_keeper_t *keeper;
    uint64_t random, segment_bytes, position;
    bed_record_t records[BED_RECORDS_MOST]; /* of the log as it would be read */
    size_t count;
    uint64_t told_lsn;  /* durable, as far as anybody was told */
    uint64_t start_lsn; /* where the next recovery begins, as if there were a snapshot */
    size_t first;       /* the record that begins there */
    file_error_t error;
} bed_t;

static const uint8_t bed_uuid[WAL_UUID_BYTES] = "a data directory";

static inline uint64_t bed_random (bed_t *self, uint64_t below)
{
    self->random += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = self->random;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

/* The record with that position: its value's size and bytes follow from it. No run of 512 zero bytes. */
static inline void bed_encode (writer_t *out, uint64_t position, size_t value_bytes)
{
    uint8_t key[8];
    uint8_t *value = malloc (value_bytes + 1);
    assert_non_null (value);
    memcpy (key, &position, sizeof key);
    for (size_t i = 0; i < value_bytes; i++)
        value[i] = (uint8_t)(1 + (position * 7 + i) % 255);
    size_t start = record_begin (out, (uint32_t)(position % 5), position - 1, position);
    effect_t effect = {.kind = EFFECT_PUT,
                       .key = kv_slice (key, sizeof key),
                       .value = kv_slice (value, value_bytes)};
    record_effect (out, &effect);
    record_end (out, start, 1);
    free (value);
}

/* Whether a record read is the one with its position, to the last byte. */
static inline void bed_check_record (const record_t *record)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    assert_int_equal (record->effect_count, 1);
    assert_int_equal (record->shard, record->position % 5);
    assert_int_equal (effect_next (&at, &effect), KV_OK);
    assert_memory_equal (effect.key.data, &record->position, 8);
    for (size_t i = 0; i < effect.value.size; i++)
        assert_int_equal (effect.value.data[i], 1 + (record->position * 7 + i) % 255);
}

static inline kv_status_t bed_prepare (bed_t *self)
{
    wal_segment_t segment;
    kv_status_t status;
    while ((status = wal_keeper_prepare (self->keeper, &segment, &self->error)) == KV_OK)
        continue;
    if (status == KV_END)
        wal_add_segment (self->wal, &segment);
    return status;
}

/* Reads the log from start_lsn on and opens it. The records must be a first part of those known, reaching
 * `told_lsn` at least; the list is cut to them. */
static inline kv_status_t bed_recover (bed_t *self)
{
    wal_reader_t *reader;
    record_t record;
    uint64_t end_lsn;
    size_t count = self->first;
    wal_reader_options_t options = {.files = self->files,
                                    .uuid = bed_uuid,
                                    .start_lsn = self->start_lsn,
                                    .must_reach = self->told_lsn};
    kv_status_t status = wal_reader_open (&options, &reader, &self->error);
    if (status)
        return status;
    while ((status = wal_reader_next (reader, &record, &end_lsn, &self->error)) == KV_OK) {
        assert_true (count < self->count);
        assert_int_equal (record.position, self->records[count].position);
        assert_int_equal (end_lsn, self->records[count].end_lsn);
        bed_check_record (&record);
        count++;
    }
    if (status == KV_END) {
        size_t segments;
        wal_end_t end = wal_reader_end (reader);
        const wal_segment_info_t *infos = wal_reader_segments (reader, &segments);
        assert_true (count == self->count || self->records[count].end_lsn > self->told_lsn);
        self->count = count;
        wal_keeper_options_t keeper = {.files = self->files, .segment_bytes = self->segment_bytes};
        wal_segment_t current;
        wal_place_t place;
        memcpy (keeper.uuid, bed_uuid, WAL_UUID_BYTES);
        status = wal_keeper_open (&keeper, &end, infos, segments, &self->keeper, &current, &place,
                                  &self->error);
        if (status == KV_OK) {
            self->wal = wal_new (place);
            self->told_lsn =
                count > self->first ? self->records[count - 1].end_lsn : self->start_lsn;
            if (current.number)
                wal_add_segment (self->wal, &current);
        }
    }
    wal_reader_destroy (&reader);
    return status;
}

static inline void bed_stop (bed_t *self)
{
    wal_destroy (&self->wal);
    wal_keeper_destroy (&self->keeper);
}

static inline bed_t *bed_new_sized (uint64_t seed, uint64_t capacity, uint64_t segment_bytes)
{
    bed_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->random = seed;
    self->segment_bytes = segment_bytes;
    self->files = fault_files_new (seed, capacity);
    assert_int_equal (bed_recover (self), KV_OK);
    return self;
}

static inline bed_t *bed_new (uint64_t seed, uint64_t capacity)
{
    return bed_new_sized (seed, capacity, BED_SEGMENT_BYTES);
}

static inline void bed_destroy (bed_t *self)
{
    bed_stop (self);
    files_destroy (&self->files);
    free (self);
}

/* Appends a record; segments are prepared as needed. False: there is no room for it. */
static inline bool bed_append (bed_t *self, size_t value_bytes)
{
    size_t bytes = RECORD_HEADER_BYTES + record_effect_bytes (8, value_bytes);
    while (wal_room (self->wal) < bytes) {
        if (bed_prepare (self) != KV_END)
            return false;
    }
    assert_true (self->count < BED_RECORDS_MOST);
    bed_encode (wal_buffer (self->wal), ++self->position, value_bytes);
    self->records[self->count++] = (bed_record_t){self->position, wal_appended_lsn (self->wal)};
    return true;
}

/* What was told durable is in a snapshot, and its log is retired. */
static inline kv_status_t bed_retire (bed_t *self)
{
    while (self->first < self->count && self->records[self->first].end_lsn <= self->told_lsn)
        self->start_lsn = self->records[self->first++].end_lsn;
    return wal_keeper_retire (self->keeper, self->start_lsn, &self->error);
}

static inline void bed_seal (bed_t *self)
{
    wal_segment_t sealed;
    uint64_t end_lsn;
    while (wal_next_sealed (self->wal, &sealed, &end_lsn))
        wal_keeper_seal (self->keeper, sealed.number, end_lsn);
}

static inline void bed_write (bed_t *self)
{
    assert_int_equal (wal_write (self->wal, &self->error), KV_OK);
    bed_seal (self);
}

static inline kv_status_t bed_sync (bed_t *self)
{
    uint64_t lsn = wal_written_lsn (self->wal);
    wal_segment_t current = wal_current (self->wal);
    kv_status_t status = wal_keeper_sync (self->keeper, lsn, current.number, &self->error);
    if (status == KV_OK) {
        wal_set_durable (self->wal, lsn);
        self->told_lsn = lsn;
    }
    return status;
}

#endif
