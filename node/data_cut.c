#include "node/data_cut.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- which segments ---------------------------------------------------------------------------- */

static bool s_is_usable (const survey_segment_t *segment)
{
    return segment->header == HEADER_GOOD || segment->header == HEADER_SHORT ||
           data_plan_mends (segment);
}

static bool s_is_joined (const data_survey_t *survey, size_t left)
{
    const survey_segment_t *segment = &survey->segments[left];
    return s_is_usable (segment) && s_is_usable (segment + 1) &&
           segment->number + 1 == segment[1].number;
}

/* The segments without a gap around the one in which `start_lsn` lies. KV_CORRUPT: the log does not reach
 * back so far. */
static kv_status_t s_select (data_cut_t *self, file_error_t *why)
{
    uint64_t start_lsn = self->start_lsn;
    const data_survey_t *survey = self->survey;
    size_t at = SIZE_MAX;
    for (size_t i = 0; i < survey->count; i++) {
        const survey_segment_t *segment = &survey->segments[i];
        bool holds = segment->found.blocks && segment->found.start_lsn <= start_lsn;
        if (s_is_usable (segment) && (holds || (at == SIZE_MAX && segment->number == 1)))
            at = i;
    }
    self->plan = (data_plan_t){.survey = survey, .uuid = self->place->uuid};
    if (at == SIZE_MAX) {
        why->number = 0;
        snprintf (why->text, sizeof why->text,
                  "what is left of the log does not reach back to lsn %" PRIu64
                  ", where it would have to begin%s; restore a copy of the directory",
                  start_lsn, start_lsn ? "" : " without a snapshot");
        return KV_CORRUPT;
    }
    self->start = at;
    size_t first = at;
    size_t last = at;
    while (first > 0 && s_is_joined (survey, first - 1))
        first--;
    while (last + 1 < survey->count && s_is_joined (survey, last))
        last++;
    self->plan.first = first;
    self->plan.count = last - first + 1;
    return KV_OK;
}

/* ---- where to cut ------------------------------------------------------------------------------ */

/* The segment that reading began with, as an index. */
static size_t s_first (const data_cut_t *self, uint64_t first_number)
{
    size_t first = self->plan.first;
    while (self->survey->segments[first].number < first_number)
        first++;
    return first;
}

static void s_cut_at (data_cut_t *self, size_t index, uint64_t offset)
{
    self->plan.count = index - self->plan.first + 1;
    self->plan.cut_offset = self->rest_offset = offset;
    self->plan.block_offset = 0;
}

/* The block at `at` keeps the first bytes of its payload, under a header that says so. */
static void s_cut_block (data_cut_t *self, size_t index, const uint8_t *bytes, uint64_t at,
                         kv_slice_t payload, size_t left)
{
    size_t whole = WAL_BLOCK_HEADER_BYTES + payload.size;
    uint8_t *copy = malloc (whole);
    KV_ASSERT (copy != NULL);
    memcpy (copy, bytes + at, whole);
    wal_block_shorten (wal_seed (self->place->uuid), copy, left);
    s_cut_at (self, index, at + WAL_BLOCK_HEADER_BYTES + left);
    self->plan.block_offset = at;
    memcpy (self->plan.block, copy, sizeof self->plan.block);
    self->rest_offset = at + whole;
    free (copy);
}

/* Where the log's blocks end, as far as they follow each other: index, offset and place. */
static kv_status_t s_find_end (const data_cut_t *self, files_t *view, size_t *index,
                               uint64_t *offset, wal_place_t *place, file_error_t *error)
{
    size_t end = self->plan.first + self->plan.count;
    *place = (wal_place_t){.lsn = WAL_ANY_LSN};
    for (size_t i = *index; i < end; i++) {
        uint8_t *bytes;
        size_t size;
        uint64_t at = WAL_SEGMENT_HEADER_BYTES;
        wal_block_t block;
        bool torn;
        kv_status_t status =
            data_survey_read (view, self->survey->segments[i].number, &bytes, &size, error);
        kv_slice_t all = kv_slice (bytes, size);
        while (status == KV_OK)
            status = wal_block_next (all, &at, place, &block, &torn);
        free (bytes);
        if (status == KV_IO)
            return status;
        *index = i;
        *offset = at;
        if (status == KV_CORRUPT)
            break;
    }
    return KV_OK;
}

/* A block's damage need not have hit all its records: it gets a header that says that its payload is right
 * as it is, so that reading shows which of them are good. False: its header is damaged, or there is none. */
static bool s_trust_block (data_cut_t *self, uint64_t first_number, file_error_t *error)
{
    const data_plan_t before = self->plan;
    files_t *view = data_view_new (self->place->files, &before);
    size_t index = s_first (self, first_number);
    uint64_t offset = WAL_SEGMENT_HEADER_BYTES;
    wal_place_t place;
    uint8_t *bytes = NULL;
    size_t size = 0;
    size_t left = 0;
    if (s_find_end (self, view, &index, &offset, &place, error) == KV_OK &&
        data_survey_read (view, self->survey->segments[index].number, &bytes, &size, error) ==
            KV_OK)
        left = wal_block_remains (kv_slice (bytes, size), &offset, &place);
    if (left)
        s_cut_block (self, index, bytes, offset,
                     kv_slice (bytes + offset + WAL_BLOCK_HEADER_BYTES, left), left);
    free (bytes);
    files_destroy (&view);
    return left > 0;
}

/* Of what lies before the start nothing is needed: where that is damaged, the segment can begin with the
 * block that the start is in. False: that block is not good, or is the first one anyway. */
static bool s_shift (data_cut_t *self, file_error_t *error)
{
    uint8_t *bytes;
    size_t size;
    uint64_t found = 0;
    uint64_t found_lsn = 0;
    files_t *view = data_view_new (self->place->files, &self->plan);
    kv_status_t status =
        data_survey_read (view, self->survey->segments[self->start].number, &bytes, &size, error);
    files_destroy (&view);
    if (status) {
        free (bytes);
        return false;
    }
    for (uint64_t at = WAL_SEGMENT_HEADER_BYTES; at < size;) {
        wal_place_t place = {.lsn = WAL_ANY_LSN};
        wal_block_t block;
        bool torn;
        uint64_t next = at;
        bool is_good =
            wal_block_next (kv_slice (bytes, size), &next, &place, &block, &torn) == KV_OK;
        if (is_good && block.lsn <= self->start_lsn && block.lsn >= found_lsn) {
            found = at;
            found_lsn = block.lsn;
        }
        at = is_good ? wal_align (next) : at + WAL_BLOCK_ALIGNMENT;
    }
    free (bytes);
    if (found <= WAL_SEGMENT_HEADER_BYTES)
        return false;
    self->plan.count -= self->start - self->plan.first;
    self->plan.first = self->start;
    self->plan.shift = found - WAL_SEGMENT_HEADER_BYTES;
    return true;
}

/* Looks for cut_lsn in a segment. True: it is there, or before it. `trusted`: see s_trust_block. */
static bool s_cut_in (data_cut_t *self, size_t index, kv_slice_t bytes, wal_place_t *place,
                      uint64_t trusted)
{
    uint64_t offset = WAL_SEGMENT_HEADER_BYTES;
    wal_block_t block;
    bool torn;
    for (;;) {
        uint64_t at = wal_align (offset);
        if (wal_block_next (bytes, &offset, place, &block, &torn))
            return false;
        if (self->cut_lsn <= block.lsn)
            return true; /* where the block before it ends */
        bool is_within = self->cut_lsn < place->lsn;
        size_t left = is_within ? (size_t)(self->cut_lsn - block.lsn) : block.payload.size;
        if (is_within || at == trusted)
            s_cut_block (self, index, bytes.data, at, block.payload, left);
        else
            s_cut_at (self, index, offset);
        if (is_within)
            return true;
    }
}

/* Cuts where cut_lsn is. The plan is, up to then, one in which reading comes so far. */
static kv_status_t s_find_cut (data_cut_t *self, uint64_t first_number, file_error_t *error)
{
    const data_plan_t before = self->plan;
    size_t end = before.first + before.count;
    size_t first = s_first (self, first_number);
    wal_place_t place = {.lsn = WAL_ANY_LSN};
    kv_status_t status = KV_OK;
    bool found = false;
    files_t *view = data_view_new (self->place->files, &before);
    s_cut_at (self, first, WAL_SEGMENT_HEADER_BYTES);
    for (size_t i = first; i < end && !found && status == KV_OK; i++) {
        uint8_t *bytes;
        size_t size;
        uint64_t trusted = i + 1 == end ? before.block_offset : 0;
        status = data_survey_read (view, self->survey->segments[i].number, &bytes, &size, error);
        found = status == KV_OK && s_cut_in (self, i, kv_slice (bytes, size), &place, trusted);
        free (bytes);
    }
    files_destroy (&view);
    return status;
}

/* ---- how far ------------------------------------------------------------------------------- */

data_state_t *data_cut_read (const data_cut_t *self, bool any_end)
{
    data_place_t place = *self->place;
    place.files = data_view_new (self->place->files, &self->plan);
    data_read_options_t options = {
        .place = &place, .without_snapshot = self->without_snapshot, .any_end = any_end};
    data_state_t *state = data_read (&options);
    files_destroy (&place.files);
    return state;
}

/* How far the log can be read as planned so far. */
static kv_status_t s_measure (data_cut_t *self, uint64_t *first_number, file_error_t *why)
{
    data_state_t *state = data_cut_read (self, true);
    kv_status_t status = state->log_status;
    self->cut_lsn = state->record_lsn;
    *first_number = state->first_number;
    if (status == KV_IO)
        *why = state->log_error;
    free (state);
    return status;
}

/* Without what is before the start, if the log can be read further that way. */
static kv_status_t s_try_shift (data_cut_t *self, uint64_t *first_number, file_error_t *why)
{
    const data_plan_t before = self->plan;
    if (!s_shift (self, why))
        return KV_CORRUPT;
    kv_status_t status = s_measure (self, first_number, why);
    if (status != KV_CORRUPT || self->cut_lsn > self->start_lsn)
        return status;
    self->plan = before;
    return s_measure (self, first_number, why);
}

/* Cuts the log behind its last record before the first fault, if there is one. */
static kv_status_t s_plan_cut (data_cut_t *self, file_error_t *why)
{
    uint64_t first_number;
    kv_status_t status = s_measure (self, &first_number, why);
    if (status == KV_CORRUPT && self->cut_lsn == self->start_lsn)
        status = s_try_shift (self, &first_number, why);
    if (status != KV_CORRUPT)
        return status == KV_END ? KV_OK : status;
    if (s_trust_block (self, first_number, why))
        status = s_measure (self, &first_number, why);
    return status == KV_IO ? status : s_find_cut (self, first_number, why);
}

kv_status_t data_cut_find (data_cut_t *self, file_error_t *why)
{
    kv_status_t status = s_select (self, why);
    return status ? status : s_plan_cut (self, why);
}
