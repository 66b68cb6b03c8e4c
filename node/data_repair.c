#include "node/data_repair.h"

#include "node/data_cut.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLICE_BYTES = 1024 * 1024 };

static const char s_new[] = "repair.tmp"; /* a segment in the making */

struct data_repair {
    const data_place_t *place; /* borrowed */
    data_survey_t *survey;     /* owned */
    data_cut_t cut;
    data_state_t *before, *after; /* owned */
    survey_content_t dropped;     /* start_lsn: cut_lsn */
};

static kv_status_t s_refuse (file_error_t *why, const char *format, ...) KV_PRINTF (2, 3);

static kv_status_t s_refuse (file_error_t *why, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    why->number = 0;
    vsnprintf (why->text, sizeof why->text, format, arguments);
    va_end (arguments);
    return KV_CORRUPT;
}

static const survey_segment_t *s_last (const data_repair_t *self)
{
    return &self->survey->segments[self->cut.plan.first + self->cut.plan.count - 1];
}

/* Whether so much of a snapshot can be read that it can be used, or that there is none. */
static bool s_has_usable (const data_state_t *state)
{
    return state->snapshot_status == KV_OK || state->snapshot_status == KV_NOT_FOUND;
}

/* ---- the plan ---------------------------------------------------------------------------------- */

/* Whether that would do. */
static kv_status_t s_try_plan (data_repair_t *self, file_error_t *why)
{
    free (self->after);
    self->after = data_cut_read (&self->cut, false);
    if (!data_is_sound (self->after)) {
        uint64_t end_lsn = self->after->snapshot_end_lsn;
        if (end_lsn > self->cut.cut_lsn && self->cut.plan.cut_offset)
            return s_refuse (why,
                             "the last good record of the log ends at lsn %" PRIu64
                             ", and the snapshot can be used only with the log up to %" PRIu64
                             "; restore a copy of the directory",
                             self->cut.cut_lsn, end_lsn);
        return s_refuse (why, "%s; restore a copy of the directory", self->after->log_error.text);
    }
    if (self->after->records == 0 && self->after->snapshot_status != KV_OK &&
        self->cut.plan.cut_offset)
        return s_refuse (why,
                         "no record of the log can be read, so nothing would be left; restore a "
                         "copy of the directory");
    return KV_OK;
}

static kv_status_t s_plan (data_repair_t *self, bool drops_snapshot, file_error_t *why)
{
    bool uses_snapshot = !drops_snapshot && self->before->snapshot_status == KV_OK;
    self->cut = (data_cut_t){.place = self->place,
                             .survey = self->survey,
                             .without_snapshot = drops_snapshot,
                             .start_lsn = uses_snapshot ? self->before->header.start_lsn : 0};
    kv_status_t status = data_cut_find (&self->cut, why);
    return status ? status : s_try_plan (self, why);
}

/* With the snapshot; and if that cannot be, without. */
static kv_status_t s_choose (data_repair_t *self, file_error_t *why)
{
    kv_status_t status = KV_CORRUPT;
    bool has_usable = s_has_usable (self->before);
    if (has_usable)
        status = s_plan (self, false, why);
    if (status != KV_CORRUPT || self->before->snapshot_status == KV_NOT_FOUND)
        return status;
    file_error_t unused = {0};
    file_error_t *other = has_usable ? &unused : why;
    status = s_plan (self, true, other);
    if (status == KV_IO)
        *why = *other;
    if (status == KV_CORRUPT && !has_usable)
        return s_refuse (
            why,
            "the snapshot %s/%s cannot be used, and without it the log would have to be "
            "whole from lsn 0 on, which it is not; restore a copy of the file",
            self->place->snapshot_files->path, self->place->snapshot);
    return status;
}

/* What a person has to see to. */
static kv_status_t s_check_foreign (const data_repair_t *self, file_error_t *why)
{
    const data_state_t *before = self->before;
    char name[WAL_NAME_BYTES];
    for (size_t i = 0; i < self->survey->count; i++) {
        const survey_segment_t *segment = &self->survey->segments[i];
        wal_segment_name (segment->number, name);
        if (segment->header == HEADER_FOREIGN)
            return s_refuse (why,
                             "%s/%s belongs to another data directory; move it to where it "
                             "belongs, and bring back ours",
                             self->place->files->path, name);
        if (segment->header == HEADER_VERSION)
            return s_refuse (why,
                             "%s/%s is of another version of KvDB; use the program that wrote it",
                             self->place->files->path, name);
    }
    if (before->is_foreign || before->snapshot_status == KV_BAD_VERSION ||
        before->snapshot_status == KV_IO)
        return s_refuse (why, "%s; bring back the right file", before->snapshot_error.text);
    return KV_OK;
}

static kv_status_t s_count_dropped (data_repair_t *self, file_error_t *error)
{
    survey_content_t *dropped = &self->dropped;
    size_t end = self->cut.plan.first + self->cut.plan.count;
    dropped->start_lsn = self->after->end.record_lsn;
    if (self->cut.plan.cut_offset) {
        survey_content_t rest;
        uint64_t shift = self->cut.plan.count == 1 ? self->cut.plan.shift : 0;
        kv_status_t status =
            data_survey_from (self->survey, end - 1, self->cut.rest_offset + shift, &rest, error);
        if (status)
            return status;
        uint64_t in_block = self->cut.rest_offset - self->cut.plan.cut_offset;
        *dropped = rest;
        dropped->start_lsn = self->cut.cut_lsn;
        dropped->payload_bytes += in_block;
        if (dropped->end_lsn < self->cut.cut_lsn + in_block)
            dropped->end_lsn = self->cut.cut_lsn + in_block;
    }
    for (size_t i = end; i < self->survey->count; i++) {
        const survey_content_t *found = &self->survey->segments[i].found;
        dropped->blocks += found->blocks;
        dropped->payload_bytes += found->payload_bytes;
        dropped->records += found->records;
        dropped->bad_regions += found->bad_regions;
        dropped->bad_bytes += found->bad_bytes;
        if (found->end_lsn > dropped->end_lsn)
            dropped->end_lsn = found->end_lsn;
    }
    return KV_OK;
}

kv_status_t data_repair_new (const data_place_t *place, data_repair_t **self_p, file_error_t *why)
{
    KV_ASSERT (place->uuid != NULL);
    data_repair_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self_p = self;
    self->place = place;
    data_read_options_t options = {.place = place};
    self->before = data_read (&options);
    kv_status_t status = data_is_sound (self->before) ? KV_END : KV_OK; // B1
    if (status == KV_OK)
        status = data_survey_new (place->files, place->uuid, &self->survey, why);
    if (status == KV_OK)
        status = s_check_foreign (self, why);
    if (status == KV_OK)
        status = s_choose (self, why);
    if (status == KV_OK)
        status = s_count_dropped (self, why);
    if (status)
        data_repair_destroy (self_p);
    return status;
}

void data_repair_destroy (data_repair_t **self_p)
{
    data_repair_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    data_survey_destroy (&self->survey);
    free (self->before);
    free (self->after);
    free (self);
}

/* ---- telling ----------------------------------------------------------------------------------- */

static int64_t s_written_ms (const data_repair_t *self, uint64_t number)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name (number, name);
    return self->place->written_ms ? self->place->written_ms (self->place->context, name) : 0;
}

static bool s_stays (const data_repair_t *self, size_t index)
{
    return index >= self->cut.plan.first && index < self->cut.plan.first + self->cut.plan.count;
}

static bool s_is_empty (const survey_segment_t *segment)
{
    return segment->found.blocks == 0 && segment->found.bad_regions == 0;
}

/* A row of empty ones is one line. Returns how many segments that was. */
static size_t s_print_aside (const data_repair_t *self, size_t index, const data_output_t *out)
{
    const survey_segment_t *segment = &self->survey->segments[index];
    const survey_content_t *found = &segment->found;
    const char *why = index < self->cut.plan.first ? "nothing needs it any more" : "behind the cut";
    char name[WAL_NAME_BYTES];
    size_t end = index + 1;
    wal_segment_name (segment->number, name);
    while (s_is_empty (segment) && end < self->survey->count && !s_stays (self, end) &&
           s_is_empty (&self->survey->segments[end]))
        end++;
    data_say (out, "aside     %s", name);
    wal_segment_name (self->survey->segments[end - 1].number, name);
    if (end - index > 1)
        data_say (out, " to %s: empty\n", name);
    else if (found->blocks)
        data_say (out, ": %s; lsn %" PRIu64 " to %" PRIu64 "\n", why, found->start_lsn,
                  found->end_lsn);
    else
        data_say (out, ": %s; %s\n", why,
                  s_is_empty (segment) ? "empty" : "no block in it can be read");
    return end - index;
}

static void s_print_change (const data_repair_t *self, size_t index, const data_output_t *out)
{
    const survey_segment_t *segment = &self->survey->segments[index];
    char name[WAL_NAME_BYTES];
    wal_segment_name (segment->number, name);
    if (data_plan_mends (segment))
        data_say (out, "header    %s: made again, which loses nothing\n", name);
    if (data_plan_lengthens (segment))
        data_say (
            out,
            "length    %s: %" PRIu64
            " bytes are missing at its end, and will be zero; what they held cannot be told\n",
            name, segment->missing_bytes);
    if (index == self->cut.plan.first && self->cut.plan.shift)
        data_say (out,
                  "header    %s: %" PRIu64 " bytes behind it go, which lie before the snapshot\n",
                  name, self->cut.plan.shift);
    if (segment == s_last (self) && self->cut.plan.cut_offset)
        data_say (out, "cut       %s at %" PRIu64 ", lsn %" PRIu64 ": from there on zero\n", name,
                  self->cut.plan.cut_offset, self->cut.cut_lsn);
}

/* The files' times are all there is: records have none. */
static void s_print_when (const data_repair_t *self, const data_output_t *out)
{
    char text[DATA_TIME_BYTES];
    size_t end = self->cut.plan.first + self->cut.plan.count;
    int64_t since_ms = self->after->snapshot_status == KV_OK ? self->after->header.made_ms : 0;
    int64_t until_ms = s_written_ms (self, s_last (self)->number);
    if (self->cut.plan.count > 1) {
        int64_t before_ms = s_written_ms (self, s_last (self)->number - 1);
        since_ms = before_ms > since_ms ? before_ms : since_ms;
    }
    for (size_t i = end; i < self->survey->count; i++) {
        int64_t written_ms = s_written_ms (self, self->survey->segments[i].number);
        until_ms = written_ms > until_ms ? written_ms : until_ms;
    }
    if (since_ms)
        data_say (out, ", written after %s", data_time_text (since_ms, text));
    if (until_ms)
        data_say (out, ", the last of it at %s", data_time_text (until_ms, text));
}

static bool s_lengthens (const data_repair_t *self)
{
    for (size_t i = 0; i < self->survey->count; i++) {
        if (s_stays (self, i) && data_plan_lengthens (&self->survey->segments[i]))
            return true;
    }
    return false;
}

static void s_print_dropped (const data_repair_t *self, const data_output_t *out)
{
    const survey_content_t *dropped = &self->dropped;
    if (dropped->end_lsn <= dropped->start_lsn && dropped->bad_bytes == 0) {
        data_say (out, "dropped   nothing%s\n", s_lengthens (self) ? " that can be told" : "");
        return;
    }
    data_say (out, "dropped   from lsn %" PRIu64, dropped->start_lsn);
    if (dropped->end_lsn > dropped->start_lsn)
        data_say (out, " to %" PRIu64, dropped->end_lsn);
    data_say (out,
              ": %" PRIu64 " records that can be told, %" PRIu64 " bytes of blocks, %" PRIu64
              " bytes that cannot be read",
              dropped->records, dropped->payload_bytes, dropped->bad_bytes);
    s_print_when (self, out);
    data_say (out, "\n");
}

void data_repair_print (const data_repair_t *self, const data_output_t *out)
{
    const data_state_t *after = self->after;
    for (size_t i = 0; i < self->survey->count;) {
        if (s_stays (self, i))
            s_print_change (self, i++, out);
        else
            i += s_print_aside (self, i, out);
    }
    if (self->cut.without_snapshot)
        data_say (out, "aside     %s: cannot be used; the log goes back to its beginning\n",
                  self->place->snapshot);
    s_print_dropped (self, out);
    data_say (out, "left      ");
    if (after->snapshot_status == KV_OK)
        data_say (out, "the snapshot, %" PRIu64 " entries, and ", after->entries);
    data_say (out, "%" PRIu64 " records, lsn %" PRIu64 " to %" PRIu64 "\n", after->records,
              after->start_lsn, after->end.record_lsn);
}

/* ---- doing ------------------------------------------------------------------------------------- */

/* B4. `bytes` is a buffer of SLICE_BYTES. */
static kv_status_t s_copy_content (file_t *from, file_t *to, uint8_t *bytes, file_error_t *error)
{
    uint64_t offset = 0;
    for (;;) {
        size_t got;
        kv_status_t status = file_read (from, offset, bytes, SLICE_BYTES, &got, error);
        if (status == KV_OK && got == 0)
            return file_sync (to, error);
        if (status == KV_OK)
            status = file_write (to, offset, kv_slice (bytes, got), error);
        if (status)
            return status;
        offset += got;
    }
}

static kv_status_t s_copy (files_t *files, const char *name, files_t *to_files, const char *to_name,
                           file_error_t *error)
{
    file_t *from;
    file_t *to = NULL;
    kv_status_t status = files_open (files, name, FILE_READ, &from, error);
    if (status)
        return status;
    uint8_t *bytes = malloc (SLICE_BYTES);
    KV_ASSERT (bytes != NULL);
    status = files_open (to_files, to_name, FILE_CREATE, &to, error);
    if (status == KV_OK)
        status = s_copy_content (from, to, bytes, error);
    free (bytes);
    file_close (&to);
    file_close (&from);
    return status;
}

static kv_status_t s_copy_all (const data_repair_t *self, files_t *aside, file_error_t *error)
{
    const data_place_t *place = self->place;
    char name[WAL_NAME_BYTES];
    kv_status_t status = KV_OK;
    for (size_t i = 0; i < self->survey->count && status == KV_OK; i++) {
        wal_segment_name (self->survey->segments[i].number, name);
        if (!s_stays (self, i) || data_plan_changes (&self->cut.plan, i))
            status = s_copy (place->files, name, aside, name, error);
    }
    if (status == KV_OK && self->cut.without_snapshot &&
        self->before->snapshot_status != KV_NOT_FOUND)
        status = s_copy (place->snapshot_files, place->snapshot, aside, place->snapshot, error);
    if (status == KV_OK)
        status = files_sync_directory (aside, error);
    return status ? status : files_sync_directory (place->files, error);
}

/* From both ends towards what stays: what is left never has a gap that was not there. */
static kv_status_t s_remove_all (const data_repair_t *self, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    kv_status_t status = KV_OK;
    for (size_t i = self->survey->count; i-- > 0 && status == KV_OK && !s_stays (self, i);) {
        wal_segment_name (self->survey->segments[i].number, name);
        status = files_remove (self->place->files, name, error);
    }
    for (size_t i = 0; i < self->cut.plan.first && status == KV_OK; i++) {
        wal_segment_name (self->survey->segments[i].number, name);
        status = files_remove (self->place->files, name, error);
    }
    return status ? status : files_sync_directory (self->place->files, error);
}

/* O1. The new file takes the old one's place as a whole. */
static kv_status_t s_change (const data_repair_t *self, size_t index, files_t *view,
                             file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    files_t *files = self->place->files;
    wal_segment_name (self->survey->segments[index].number, name);
    kv_status_t status = s_copy (view, name, files, s_new, error);
    if (status == KV_OK)
        status = files_rename (files, s_new, name, error);
    if (status) {
        file_error_t unused;
        kv_status_t removed = files_remove (files, s_new, &unused);
        (void)removed; /* the next repair begins it anew */
    }
    return status;
}

static kv_status_t s_change_all (const data_repair_t *self, file_error_t *error)
{
    kv_status_t status = KV_OK;
    files_t *view = data_view_new (self->place->files, &self->cut.plan);
    for (size_t i = 0; i < self->survey->count && status == KV_OK; i++) {
        if (s_stays (self, i) && data_plan_changes (&self->cut.plan, i))
            status = s_change (self, i, view, error);
    }
    files_destroy (&view);
    return status ? status : files_sync_directory (self->place->files, error);
}

kv_status_t data_repair_apply (data_repair_t *self, files_t *aside, file_error_t *error)
{
    const data_place_t *place = self->place;
    kv_status_t status = s_copy_all (self, aside, error);
    if (status == KV_OK)
        status = s_remove_all (self, error);
    if (status == KV_OK)
        status = s_change_all (self, error);
    if (status == KV_OK && self->cut.without_snapshot &&
        self->before->snapshot_status != KV_NOT_FOUND)
        status = files_remove (place->snapshot_files, place->snapshot, error);
    if (status == KV_OK)
        status = files_sync_directory (place->snapshot_files, error);
    if (status)
        return status;
    data_read_options_t options = {.place = place};
    free (self->after);
    self->after = data_read (&options);
    if (data_is_sound (self->after))
        return KV_OK;
    return s_refuse (error, "the directory is still damaged: %s; the copies are as it was before",
                     self->after->log_error.text);
}
