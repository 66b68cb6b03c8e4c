#include "node/data_survey.h"

#include "schema/record.h"
#include "schema/writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEGMENTS_MOST = 1 << 20 };

#define SEGMENT_BYTES_MOST (UINT64_C (2) << 30)

/* ---- records in blocks ------------------------------------------------------------------------- */

/* Counts whole records in blocks that come one after the other, but for what is missing. */
typedef struct {
    writer_t carry; /* of the record under way */
    uint64_t next_lsn;
    bool lost; /* where a record begins is not known */
} counter_t;

static void s_count_records (counter_t *self, const wal_block_t *block, survey_content_t *content)
{
    record_t record;
    if (block->restarts || block->lsn != self->next_lsn) {
        writer_reset (&self->carry);
        self->lost = !block->restarts && block->lsn > 0;
    }
    writer_raw (&self->carry, block->payload);
    self->next_lsn = block->lsn + block->payload.size;
    size_t at = 0;
    while (at < self->carry.size) {
        kv_status_t status =
            record_decode (kv_slice (self->carry.data + at, self->carry.size - at), &record);
        if (status == KV_OK) {
            content->records++;
            self->lost = false;
            at += record.bytes;
        } else if (status == KV_END && !self->lost) {
            break;
        } else { /* a record may begin anywhere */
            self->lost = true;
            at++;
        }
    }
    if (at && at < self->carry.size)
        memmove (self->carry.data, self->carry.data + at, self->carry.size - at);
    writer_cut (&self->carry, self->carry.size - at);
}

/* ---- one segment ------------------------------------------------------------------------------- */

typedef struct {
    data_survey_t *survey; /* lists the regions; NULL: they are only counted */
    uint64_t number;
    survey_content_t *content;
    counter_t counter;
} scan_t;

static void s_on_region (scan_t *self, uint64_t from, uint64_t to)
{
    data_survey_t *survey = self->survey;
    self->content->bad_regions++;
    self->content->bad_bytes += to - from;
    if (survey && survey->region_count < SURVEY_REGIONS_MOST)
        survey->regions[survey->region_count++] = (survey_region_t){self->number, from, to - from};
}

static void s_on_block (scan_t *self, const wal_block_t *block)
{
    survey_content_t *content = self->content;
    uint64_t end_lsn = block->lsn + block->payload.size;
    if (content->blocks == 0 || block->lsn < content->start_lsn)
        content->start_lsn = block->lsn;
    if (end_lsn > content->end_lsn)
        content->end_lsn = end_lsn;
    content->blocks++;
    content->payload_bytes += block->payload.size;
    s_count_records (&self->counter, block, content);
}

/* The next place at or behind `at` where a block may begin that is not all zero; the end if there is none. */
static uint64_t s_skip_zeros (kv_slice_t segment, uint64_t at)
{
    for (; at < segment.size; at += WAL_BLOCK_ALIGNMENT) {
        uint64_t end =
            at + WAL_BLOCK_ALIGNMENT < segment.size ? at + WAL_BLOCK_ALIGNMENT : segment.size;
        for (uint64_t i = at; i < end; i++) {
            if (segment.data[i])
                return at;
        }
    }
    return segment.size;
}

/* J1. A bad region goes from its first byte to its last one before the next good block. */
static void s_scan (scan_t *self, kv_slice_t segment, uint64_t from)
{
    uint64_t at = wal_align (from);
    uint64_t bad_from = 0;
    uint64_t bad_to = 0; /* 0: there is none under way */
    while (at < segment.size) {
        wal_place_t place = {.lsn = WAL_ANY_LSN};
        wal_block_t block;
        bool torn;
        uint64_t next = at;
        kv_status_t status = wal_block_next (segment, &next, &place, &block, &torn);
        if (status == KV_OK) {
            if (bad_to)
                s_on_region (self, bad_from, bad_to);
            bad_to = 0;
            s_on_block (self, &block);
            at = wal_align (next);
            continue;
        }
        next = s_skip_zeros (segment, at);
        if (next == at) {
            bad_from = bad_to ? bad_from : at;
            next = at + WAL_BLOCK_ALIGNMENT;
            bad_to = next < segment.size ? next : segment.size;
        }
        at = next;
    }
    if (bad_to)
        s_on_region (self, bad_from, bad_to);
    writer_free (&self->counter.carry);
}

kv_status_t data_survey_read (files_t *files, uint64_t number, uint8_t **bytes, size_t *size,
                              file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    file_t *file;
    uint64_t file_bytes = 0;
    *bytes = NULL;
    *size = 0;
    wal_segment_name (number, name);
    kv_status_t status = files_open (files, name, FILE_READ, &file, error);
    if (status)
        return KV_IO;
    status = file_size (file, &file_bytes, error);
    if (status == KV_OK) {
        *bytes = malloc ((size_t)file_bytes + 1);
        KV_ASSERT (*bytes != NULL);
        status = file_read (file, 0, *bytes, (size_t)file_bytes, size, error);
    }
    file_close (&file);
    return status;
}

/* Blocks are judged by what their segment's header says: one that is bad is made again, in memory. False:
 * what there is cannot be judged. */
static bool s_make_header (const data_survey_t *self, const survey_segment_t *segment,
                           uint8_t *bytes, size_t size)
{
    wal_header_t header = {.number = segment->number, .bytes = size};
    switch (segment->header) {
    case HEADER_GOOD:
    case HEADER_SHORT:
    case HEADER_RENAMED:
    case HEADER_FOREIGN: return true;
    case HEADER_DAMAGED:
    case HEADER_LENGTH: break;
    case HEADER_BLANK:
    case HEADER_VERSION:
    case HEADER_HUGE: return false;
    }
    memcpy (header.uuid, self->uuid, WAL_UUID_BYTES);
    wal_header_encode (&header, bytes);
    return self->knows_uuid;
}

kv_status_t data_survey_from (const data_survey_t *self, size_t index, uint64_t offset,
                              survey_content_t *content, file_error_t *error)
{
    uint8_t *bytes;
    size_t size;
    const survey_segment_t *segment = &self->segments[index];
    *content = (survey_content_t){0};
    kv_status_t status = data_survey_read (self->files, segment->number, &bytes, &size, error);
    if (status == KV_OK && s_make_header (self, segment, bytes, size)) {
        scan_t scan = {.number = segment->number,
                       .content = content,
                       .counter = {.carry = writer_make (SIZE_MAX)}};
        s_scan (&scan, kv_slice (bytes, size), offset);
    }
    free (bytes);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static survey_header_t s_judge_header (data_survey_t *self, survey_segment_t *segment,
                                       kv_slice_t bytes)
{
    wal_header_t header;
    if (bytes.size < WAL_SEGMENT_HEADER_BYTES || s_skip_zeros (bytes, 0) == bytes.size)
        return HEADER_BLANK;
    kv_status_t status = wal_header_decode (bytes, &header);
    if (status == KV_BAD_VERSION)
        return HEADER_VERSION;
    if (status)
        return HEADER_DAMAGED;
    if (!self->knows_uuid)
        memcpy (self->uuid, header.uuid, WAL_UUID_BYTES);
    self->knows_uuid = true;
    if (memcmp (header.uuid, self->uuid, WAL_UUID_BYTES) != 0)
        return HEADER_FOREIGN;
    if (header.number != segment->number)
        return HEADER_RENAMED;
    if (header.bytes < bytes.size || header.bytes > SEGMENT_BYTES_MOST)
        return HEADER_LENGTH;
    segment->bytes = header.bytes;
    segment->missing_bytes = header.bytes - bytes.size;
    return segment->missing_bytes ? HEADER_SHORT : HEADER_GOOD;
}

static kv_status_t s_look (data_survey_t *self, survey_segment_t *segment, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    uint8_t *bytes = NULL;
    size_t size = 0;
    file_t *file;
    wal_segment_name (segment->number, name);
    kv_status_t status = files_open (self->files, name, FILE_READ, &file, error);
    if (status)
        return KV_IO;
    status = file_size (file, &segment->bytes, error);
    file_close (&file);
    segment->header = HEADER_HUGE;
    if (status || segment->bytes > SEGMENT_BYTES_MOST)
        return status;
    status = data_survey_read (self->files, segment->number, &bytes, &size, error);
    if (status == KV_OK)
        segment->header = s_judge_header (self, segment, kv_slice (bytes, size));
    if (status == KV_OK && s_make_header (self, segment, bytes, size)) {
        scan_t scan = {.survey = self,
                       .number = segment->number,
                       .content = &segment->found,
                       .counter = {.carry = writer_make (SIZE_MAX)}};
        s_scan (&scan, kv_slice (bytes, size), WAL_SEGMENT_HEADER_BYTES);
    }
    free (bytes);
    return status;
}

static void s_collect (void *context, const char *name)
{
    data_survey_t *self = context;
    uint64_t number;
    if (!wal_segment_number (name, &number) || self->count == SEGMENTS_MOST)
        return;
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->segments = realloc (self->segments, self->capacity * sizeof *self->segments);
        KV_ASSERT (self->segments != NULL);
    }
    self->segments[self->count++] = (survey_segment_t){.number = number};
}

static int s_by_number (const void *a, const void *b)
{
    const survey_segment_t *x = a;
    const survey_segment_t *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

kv_status_t data_survey_new (files_t *files, const uint8_t *uuid, data_survey_t **self_p,
                             file_error_t *error)
{
    data_survey_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self_p = self;
    self->files = files;
    self->knows_uuid = uuid != NULL;
    if (uuid)
        memcpy (self->uuid, uuid, WAL_UUID_BYTES);
    kv_status_t status = files_list (files, s_collect, self, error);
    if (self->count > 1)
        qsort (self->segments, self->count, sizeof *self->segments, s_by_number);
    for (size_t i = 0; i < self->count && status == KV_OK; i++)
        status = s_look (self, &self->segments[i], error);
    return status;
}

void data_survey_destroy (data_survey_t **self_p)
{
    data_survey_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->segments);
    free (self);
}
