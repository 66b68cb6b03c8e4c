#include "actors/wal_reader.h"

#include "schema/limits.h"
#include "schema/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEGMENTS_MOST = 1 << 20 };

#define SEGMENT_BYTES_MOST (UINT64_C (2) << 30)

/* In place of an lsn, while it is not known. */
#define NO_BLOCK UINT64_MAX
#define BAD_BLOCK (UINT64_MAX - 1)

struct wal_reader {
    wal_reader_options_t options;
    uint8_t uuid[WAL_UUID_BYTES];
    bool knows_uuid;
    wal_segment_info_t *segments; /* owned, in order of their numbers */
    size_t segment_count, segment_capacity;
    size_t listed_count; /* those and, if the last file holds nothing, that one */
    size_t at;           /* the segment in hand: an index; segment_count: none any more */
    size_t first;        /* the segment reading began with */
    uint8_t *bytes;      /* owned: of the segment in hand */
    uint64_t size, offset;
    wal_place_t place;
    bool begun;      /* a block was read */
    kv_slice_t rest; /* of the block's payload */
    writer_t
        carry; /* a record that goes over several blocks, and what follows it in the last one */
    size_t carry_used; /* what of it has been returned */
    bool lost;         /* looking for a block that begins with a record */
    uint64_t record_lsn;
    uint64_t done_bytes, all_bytes;
    wal_end_t end;
    bool ended;
};

/* ---- faults ---------------------------------------------------------------------------------------- */

static kv_status_t s_damage (const wal_reader_t *self, file_error_t *error, uint64_t number,
                             uint64_t offset, const char *what)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name (number, name);
    error->number = 0;
    snprintf (error->text, sizeof error->text, "%s/%s at %" PRIu64 ": %s",
              self->options.files->path, name, offset, what);
    return KV_CORRUPT;
}

static const char s_shorter[] = "the file ends here, and was longer when it was made";

static const wal_segment_info_t *s_segment (const wal_reader_t *self)
{
    return &self->segments[self->at];
}

/* ---- segments ---------------------------------------------------------------------------------------- */

static void s_collect (void *context, const char *name)
{
    wal_reader_t *self = context;
    uint64_t number;
    if (!wal_segment_number (name, &number) || self->segment_count == SEGMENTS_MOST)
        return;
    if (self->segment_count == self->segment_capacity) {
        self->segment_capacity = self->segment_capacity ? 2 * self->segment_capacity : 16;
        self->segments = realloc (self->segments, self->segment_capacity * sizeof *self->segments);
        KV_ASSERT (self->segments != NULL);
    }
    self->segments[self->segment_count++] = (wal_segment_info_t){.number = number};
}

static int s_by_number (const void *a, const void *b)
{
    const wal_segment_info_t *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static kv_status_t s_check_header (wal_reader_t *self, kv_slice_t head, wal_segment_info_t *segment,
                                   file_error_t *error)
{
    wal_header_t header;
    if (head.size < WAL_SEGMENT_HEADER_BYTES)
        return s_damage (self, error, segment->number, head.size, s_shorter);
    kv_status_t status = wal_header_decode (head, &header);
    if (status == KV_BAD_VERSION) {
        s_damage (self, error, segment->number, 8,
                  "the file's format is of another version of KvDB");
        return KV_BAD_VERSION;
    }
    if (status)
        return s_damage (self, error, segment->number, 0, "the file's header is damaged");
    if (header.number != segment->number)
        return s_damage (self, error, segment->number, 16, "the file bears another one's name");
    if (header.bytes < segment->bytes || header.bytes < WAL_SEGMENT_BYTES_MIN ||
        header.bytes > SEGMENT_BYTES_MOST)
        return s_damage (self, error, segment->number, 24,
                         "the file has not the length it was made with");
    if (header.bytes > segment->bytes)
        return s_damage (self, error, segment->number, segment->bytes, s_shorter);
    if (self->knows_uuid && memcmp (header.uuid, self->uuid, WAL_UUID_BYTES) != 0)
        return s_damage (self, error, segment->number, 32,
                         "the file belongs to another data directory");
    memcpy (self->uuid, header.uuid, WAL_UUID_BYTES);
    self->knows_uuid = true;
    return KV_OK;
}

/* Whether a file as long as a segment has nothing in it. KV_OK: so it is; KV_CORRUPT. */
static kv_status_t s_is_blank (file_t *file, uint64_t bytes, file_error_t *error)
{
    uint8_t piece[4096];
    size_t got;
    if (bytes < WAL_SEGMENT_BYTES_MIN)
        return KV_CORRUPT;
    for (uint64_t at = 0; at < bytes; at += got) {
        kv_status_t status = file_read (file, at, piece, sizeof piece, &got, error);
        if (status)
            return status;
        for (size_t i = 0; i < got; i++) {
            if (piece[i])
                return KV_CORRUPT;
        }
        if (got == 0)
            break;
    }
    return KV_OK;
}

/* Size, header, and where its blocks begin: `first` is of wal_first_lsn. KV_END: the last file, and it
 * is blank. */
static kv_status_t s_look (wal_reader_t *self, wal_segment_info_t *segment, kv_status_t *first,
                           file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    uint8_t head[WAL_HEAD_BYTES];
    size_t got = 0;
    file_t *file;
    wal_segment_name (segment->number, name);
    kv_status_t status = files_open (self->options.files, name, FILE_READ, &file, error);
    if (status)
        return status;
    status = file_size (file, &segment->bytes, error);
    if (status == KV_OK)
        status = file_read (file, 0, head, sizeof head, &got, error);
    if (status == KV_OK)
        status = s_check_header (self, kv_slice (head, got), segment, error);
    if (status == KV_OK)
        *first = wal_first_lsn (kv_slice (head, got), &segment->start_lsn);
    bool is_last = segment == self->segments + self->segment_count - 1;
    if (status == KV_CORRUPT && is_last) {
        file_error_t unread;
        kv_status_t blank = s_is_blank (file, segment->bytes, &unread);
        if (blank == KV_IO)
            *error = unread;
        status = blank == KV_OK ? KV_END : blank;
    }
    file_close (&file);
    return status;
}

/* Where the blocks of a segment end that lies before the start: where the next ones begin. */
static void s_survey_ends (wal_reader_t *self)
{
    uint64_t end_lsn = self->segment_count ? self->segments[self->first].start_lsn : 0;
    for (size_t i = self->first; i > 0; i--) {
        self->segments[i - 1].end_lsn = end_lsn;
        if (self->segments[i - 1].start_lsn < BAD_BLOCK)
            end_lsn = self->segments[i - 1].start_lsn;
    }
    for (size_t i = self->first; i < self->segment_count; i++) {
        self->all_bytes += self->segments[i].bytes;
        self->segments[i].was_read = true;
    }
}

/* Looks at all segments, and finds the one in which reading is to begin. */
static kv_status_t s_survey (wal_reader_t *self, file_error_t *error)
{
    bool knows_start = self->options.start_lsn != WAL_ANY_LSN;
    self->listed_count = self->segment_count;
    for (size_t i = 0; i < self->segment_count; i++) {
        wal_segment_info_t *segment = &self->segments[i];
        kv_status_t first;
        if (i > 0 && segment->number != segment[-1].number + 1)
            return s_damage (self, error, segment[-1].number + 1, 0, "the file is missing");
        kv_status_t status = s_look (self, segment, &first, error);
        if (status == KV_END) {
            self->segment_count--;
            break;
        }
        if (status)
            return status;
        if (first)
            segment->start_lsn = first == KV_END ? NO_BLOCK : BAD_BLOCK;
        else if (knows_start && segment->start_lsn <= self->options.start_lsn)
            self->first = i;
    }
    s_survey_ends (self);
    return KV_OK;
}

static kv_status_t s_read_segment (wal_reader_t *self, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    const wal_segment_info_t *segment = s_segment (self);
    file_t *file;
    size_t got = 0;
    wal_segment_name (segment->number, name);
    kv_status_t status = files_open (self->options.files, name, FILE_READ, &file, error);
    if (status)
        return status;
    uint64_t bytes; /* no more than there are, whatever the header says */
    status = file_size (file, &bytes, error);
    if (status == KV_OK) {
        bytes = bytes < segment->bytes ? bytes : segment->bytes;
        self->bytes = realloc (self->bytes, (size_t)bytes + 1);
        KV_ASSERT (self->bytes != NULL);
        status = file_read (file, 0, self->bytes, (size_t)bytes, &got, error);
    }
    file_close (&file);
    self->size = got;
    self->offset = WAL_SEGMENT_HEADER_BYTES;
    /* Once more: what it said may have changed since. */
    wal_segment_info_t again = {.number = segment->number, .bytes = got};
    return status ? status : s_check_header (self, kv_slice (self->bytes, got), &again, error);
}

kv_status_t wal_reader_open (const wal_reader_options_t *options, wal_reader_t **self_p,
                             file_error_t *error)
{
    wal_reader_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self_p = self;
    self->options = *options;
    self->carry = writer_make (SIZE_MAX);
    self->place.lsn = WAL_ANY_LSN;
    if (options->uuid) {
        memcpy (self->uuid, options->uuid, WAL_UUID_BYTES);
        self->knows_uuid = true;
    }
    kv_status_t status = files_list (options->files, s_collect, self, error);
    if (status == KV_OK && self->segment_count > 1)
        qsort (self->segments, self->segment_count, sizeof *self->segments, s_by_number);
    if (status == KV_OK)
        status = s_survey (self, error);
    self->at = self->first;
    if (status == KV_OK && self->segment_count)
        status = s_read_segment (self, error);
    if (status)
        wal_reader_destroy (self_p);
    return status;
}

void wal_reader_destroy (wal_reader_t **self_p)
{
    wal_reader_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    writer_free (&self->carry);
    free (self->segments);
    free (self->bytes);
    free (self);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* In the segment in hand: bytes that are not zero. */
static uint64_t s_count_bytes (const wal_reader_t *self, uint64_t from)
{
    uint64_t count = 0;
    for (uint64_t i = from; i < self->size; i++)
        count += self->bytes[i] != 0;
    return count;
}

/* More was durable than there is: what is missing should stand here, or at the next one's beginning. */
static kv_status_t s_hole (const wal_reader_t *self, size_t at, uint64_t offset,
                           file_error_t *error)
{
    const wal_segment_info_t *segment = &self->segments[at];
    bool is_full = wal_align (offset) + WAL_BLOCK_HEADER_BYTES >= segment->bytes;
    if (is_full && at + 1 < self->segment_count) {
        segment++;
        offset = WAL_SEGMENT_HEADER_BYTES;
    }
    return s_damage (self, error, segment->number, offset,
                     "what stood here was on the disk once, and is gone");
}

/* What is in the segment in hand from `offset` on, and in all behind it: no block may say that more was
 * durable than there is. The bytes that are not zero are counted. */
static kv_status_t s_search_behind (wal_reader_t *self, uint64_t offset, file_error_t *error)
{
    uint64_t end_lsn = self->place.lsn;
    size_t ends_in = self->at;
    uint64_t from = offset;
    for (;;) {
        kv_slice_t bytes = kv_slice (self->bytes, (size_t)self->size);
        if (wal_durable_claim (bytes, from) > end_lsn)
            return s_hole (self, ends_in, offset, error);
        self->end.torn_bytes += s_count_bytes (self, from);
        if (++self->at == self->segment_count)
            return KV_OK;
        kv_status_t status = s_read_segment (self, error);
        if (status)
            return status;
        from = WAL_SEGMENT_HEADER_BYTES;
    }
}

static kv_status_t s_finish (wal_reader_t *self, file_error_t *error)
{
    const wal_segment_info_t *segment = s_segment (self);
    uint64_t offset = self->offset;
    bool knows_start = self->options.start_lsn != WAL_ANY_LSN;
    /* Without a block the log goes on where the snapshot was made; what came before was retired. */
    if (!self->begun) {
        self->record_lsn = knows_start ? self->options.start_lsn : 0;
        self->place = (wal_place_t){.lsn = self->record_lsn};
    }
    self->end = (wal_end_t){.segment = segment->number,
                            .offset = offset,
                            .place = self->place,
                            .record_lsn = self->record_lsn,
                            .segment_count = self->segment_count};
    kv_status_t status = s_search_behind (self, offset, error);
    if (status)
        return status;
    self->ended = true;
    for (size_t i = 0; i < self->segment_count; i++) {
        if (self->segments[i].start_lsn >= BAD_BLOCK)
            self->segments[i].start_lsn = self->segments[i].end_lsn;
    }
    bool has_start = !knows_start || self->options.start_lsn <= self->place.lsn;
    /* A record that was void already when that lsn was told lies before it (W5). */
    bool has_reached =
        self->options.must_reach <= self->record_lsn || self->options.must_reach == self->place.lsn;
    if (!has_start || !has_reached)
        return s_damage (self, error, self->end.segment, offset,
                         "the log ends here, and the snapshot was made when it was longer");
    return KV_END;
}

/* ---- blocks ---------------------------------------------------------------------------------------------- */

static kv_status_t s_next_segment (wal_reader_t *self, file_error_t *error)
{
    self->done_bytes += self->size;
    self->at++;
    return s_read_segment (self, error);
}

/* The log's first block has come. */
static kv_status_t s_begin (wal_reader_t *self, const wal_block_t *block, file_error_t *error)
{
    uint64_t start = self->options.start_lsn;
    self->begun = true;
    self->lost = start == WAL_ANY_LSN && block->lsn > 0 && !block->restarts;
    self->record_lsn = start == WAL_ANY_LSN ? block->lsn : start;
    if (start == WAL_ANY_LSN || block->lsn <= start)
        return KV_OK;
    return s_damage (
        self, error, s_segment (self)->number, WAL_SEGMENT_HEADER_BYTES,
        start ? "the log begins here, and the snapshot was made before"
              : "the log begins here, so there must have been a snapshot, which is gone");
}

/* Nothing stands here: whether the next segment goes on where this one stops. If the header it begins
 * with is damaged, that will show there: a header is in one sector, and never torn. */
static bool s_goes_on (const wal_reader_t *self)
{
    if (!self->begun || self->at + 1 == self->segment_count)
        return false;
    uint64_t next_lsn = s_segment (self)[1].start_lsn;
    return next_lsn == self->place.lsn || next_lsn == BAD_BLOCK;
}

/* A block of the segment in hand, or of the one after it. KV_END: the log ends here. */
static kv_status_t s_block (wal_reader_t *self, wal_block_t *block, file_error_t *error)
{
    for (;;) {
        bool torn;
        uint64_t offset = self->offset;
        kv_slice_t bytes = kv_slice (self->bytes, (size_t)self->size);
        kv_status_t status = wal_block_next (bytes, &self->offset, &self->place, block, &torn);
        if (status == KV_OK)
            return KV_OK;
        if (status == KV_CORRUPT && !torn)
            return s_damage (self, error, s_segment (self)->number, wal_align (offset),
                             "a block is damaged that was whole once");
        if (status == KV_CORRUPT || !s_goes_on (self))
            return s_finish (self, error);
        status = s_next_segment (self, error);
        if (status)
            return status;
    }
}

/* What is left of a block moves to where its record can go on: the block's bytes are about to go. */
static void s_carry_rest (wal_reader_t *self)
{
    size_t left = self->carry.size - self->carry_used;
    if (left && self->carry_used)
        memmove (self->carry.data, self->carry.data + self->carry_used, left);
    writer_cut (&self->carry, left);
    self->carry_used = 0;
    writer_raw (&self->carry, self->rest);
    KV_ASSERT (!self->carry.overflow);
    self->rest = kv_slice (NULL, 0);
}

/* A record begins here, whatever was before. */
static void s_restart (wal_reader_t *self, uint64_t lsn)
{
    writer_reset (&self->carry); // W5
    self->record_lsn = lsn;
    self->lost = false;
}

/* The next block's payload becomes the rest, or is added to what is carried. */
static kv_status_t s_more (wal_reader_t *self, file_error_t *error)
{
    wal_block_t block;
    s_carry_rest (self);
    kv_status_t status = s_block (self, &block, error);
    if (status)
        return status;
    self->segments[self->at].end_lsn = block.lsn + block.payload.size; /* so far */
    if (!self->begun && (status = s_begin (self, &block, error)) != KV_OK)
        return status;
    bool is_first =
        self->offset == WAL_SEGMENT_HEADER_BYTES + WAL_BLOCK_HEADER_BYTES + block.payload.size;
    if ((block.restarts || (self->lost && !is_first)) && block.lsn >= self->record_lsn) // W5, W6
        s_restart (self, block.lsn);
    if (self->lost)
        self->record_lsn = block.lsn + block.payload.size;
    /* Of the first blocks, what lies before the start is passed over. */
    uint64_t from = self->record_lsn > block.lsn ? self->record_lsn - block.lsn : 0;
    if (self->carry.size) {
        writer_raw (&self->carry, block.payload);
        KV_ASSERT (!self->carry.overflow);
    } else if (from < block.payload.size) {
        self->rest = kv_slice (block.payload.data + from, block.payload.size - (size_t)from);
    }
    return KV_OK;
}

/* ---- records ------------------------------------------------------------------------------------------------ */

/* What has not been returned yet. */
static kv_slice_t s_pending (const wal_reader_t *self)
{
    return self->carry_used < self->carry.size
               ? kv_slice (self->carry.data + self->carry_used, self->carry.size - self->carry_used)
               : self->rest;
}

static void s_use (wal_reader_t *self, size_t bytes)
{
    self->record_lsn += bytes;
    if (self->carry_used < self->carry.size)
        self->carry_used += bytes;
    else
        self->rest = kv_slice (self->rest.data + bytes, self->rest.size - bytes);
}

kv_status_t wal_reader_next (wal_reader_t *self, record_t *record, uint64_t *end_lsn,
                             file_error_t *error)
{
    if (self->segment_count == 0 || self->ended) {
        uint64_t start = self->options.start_lsn;
        bool had_more = self->options.must_reach > 0 || (start > 0 && start != WAL_ANY_LSN);
        if (!self->ended && had_more) {
            error->number = 0;
            snprintf (error->text, sizeof error->text,
                      "%s: there is a snapshot, and its log is gone, the files wal-*.log",
                      self->options.files->path);
            return KV_CORRUPT;
        }
        self->ended = true;
        return KV_END;
    }
    for (;;) {
        kv_slice_t pending = s_pending (self);
        kv_status_t status = pending.size ? record_decode (pending, record) : KV_END;
        if (status == KV_OK) {
            s_use (self, record->bytes);
            *end_lsn = self->record_lsn;
            return KV_OK;
        }
        if (status == KV_CORRUPT)
            return s_damage (self, error, s_segment (self)->number, self->offset,
                             "the block before this is whole, and the record in it is not");
        status = s_more (self, error);
        if (status)
            return status;
    }
}

wal_end_t wal_reader_end (const wal_reader_t *self)
{
    KV_ASSERT (self->ended);
    return self->end;
}

const wal_segment_info_t *wal_reader_segments (const wal_reader_t *self, size_t *count)
{
    *count = self->listed_count;
    return self->segments;
}

void wal_reader_progress (const wal_reader_t *self, uint64_t *done_bytes, uint64_t *all_bytes)
{
    *done_bytes = self->ended ? self->all_bytes : self->done_bytes + self->offset;
    *all_bytes = self->all_bytes;
}
