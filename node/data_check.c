#include "node/data_check.h"

#include "node/data_survey.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHARDS_PER_LINE = 8 };

typedef struct {
    const data_place_t *place;
    const data_output_t *out;
    data_survey_t *survey; /* owned */
    data_state_t *state;   /* owned */
    bool is_sound;
    uint64_t faults, header_faults;
} check_t;

static void s_fault (check_t *self, const char *format, ...) KV_PRINTF (2, 3);

/* What recovery does not mind is only noted. */
static void s_fault (check_t *self, const char *format, ...)
{
    char text[DATA_LINE_BYTES / 2];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    data_say (self->out, "%s %s\n", self->is_sound ? "note     " : "fault    ", text);
    self->faults += !self->is_sound;
}

/* ---- what is there ----------------------------------------------------------------------------- */

static void s_print_snapshot (const check_t *self)
{
    const data_state_t *state = self->state;
    const char *name = self->place->snapshot;
    char made[DATA_TIME_BYTES];
    if (state->snapshot_status == KV_NOT_FOUND)
        data_say (self->out, "snapshot  %s: there is none\n", name);
    else if (state->snapshot_status == KV_OK)
        data_say (self->out,
                  "snapshot  %s: %" PRIu64 " entries, %" PRIu64 " bytes, made %s, lsn %" PRIu64
                  " to %" PRIu64 ", %" PRIu32 " shards\n",
                  name, state->entries, state->snapshot_bytes,
                  data_time_text (state->header.made_ms, made), state->header.start_lsn,
                  state->snapshot_end_lsn, state->header.shards);
    else
        data_say (self->out, "snapshot  %s: damaged\n", name);
}

/* Given its space, and nothing written to it yet. */
static bool s_is_spare (const survey_segment_t *segment)
{
    return segment->header == HEADER_GOOD && segment->found.blocks == 0 &&
           segment->found.bad_regions == 0;
}

static void s_print_segment (const check_t *self, const survey_segment_t *segment)
{
    const survey_content_t *found = &segment->found;
    char name[WAL_NAME_BYTES];
    bool is_old = self->state->first_number > segment->number;
    wal_segment_name (segment->number, name);
    data_say (self->out, "segment   %s: %" PRIu64 " bytes, ", name, segment->bytes);
    if (found->blocks)
        data_say (self->out, "lsn %" PRIu64 " to %" PRIu64 " in %" PRIu64 " blocks%s\n",
                  found->start_lsn, found->end_lsn, found->blocks,
                  is_old ? "; before the snapshot" : "");
    else
        data_say (self->out, "empty\n");
}

/* A node keeps many spare ones ahead: a row of them is one line. */
static void s_print_segments (const check_t *self)
{
    const survey_segment_t *segments = self->survey->segments;
    size_t count = self->survey->count;
    for (size_t i = 0, next; i < count; i = next) {
        char name[WAL_NAME_BYTES], last[WAL_NAME_BYTES];
        for (next = i + 1; next < count && s_is_spare (&segments[i]) &&
                           s_is_spare (&segments[next]) &&
                           segments[next].bytes == segments[i].bytes;)
            next++;
        wal_segment_name (segments[i].number, name);
        wal_segment_name (segments[next - 1].number, last);
        if (next > i + 1)
            data_say (self->out, "segment   %s to %s: %" PRIu64 " bytes each, empty\n", name, last,
                      segments[i].bytes);
        else
            s_print_segment (self, &segments[i]);
    }
}

static void s_print_shards (const check_t *self)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < KV_SHARDS_MAX; i++) {
        uint64_t last = self->state->last[i];
        if (last == 0)
            continue;
        data_say (self->out, "%s %" PRIu32 ":%" PRIu64 "/%" PRIu64,
                  count % SHARDS_PER_LINE ? ""
                  : count                 ? "\nshards   "
                                          : "shards   ",
                  i, position_epoch (last), position_n (last));
        count++;
    }
    if (count)
        data_say (self->out, "\n");
}

static void s_print_log (const check_t *self)
{
    const data_state_t *state = self->state;
    if (self->survey->count == 0)
        data_say (self->out, "log       there is none\n");
    else if (state->records)
        data_say (self->out, "log       %" PRIu64 " records%s, lsn %" PRIu64 " to %" PRIu64 "\n",
                  state->records, state->log_status == KV_END ? "" : " up to the first fault",
                  state->first_lsn, state->record_lsn);
    else
        data_say (self->out, "log       no records%s\n",
                  state->log_status == KV_END ? "" : " up to the first fault");
    s_print_shards (self);
    if (state->log_status != KV_END)
        return;
    uint64_t part = state->end.place.lsn > state->end.record_lsn
                        ? state->end.place.lsn - state->end.record_lsn
                        : 0;
    if (state->end.torn_bytes || part)
        data_say (self->out,
                  "tail      %" PRIu64 " bytes that are torn, %" PRIu64
                  " of a record without its end: never reported as written, and dropped at the "
                  "next start\n",
                  state->end.torn_bytes, part);
}

/* ---- what is wrong ----------------------------------------------------------------------------- */

static void s_check_headers (check_t *self)
{
    static const char *const texts[] = {
        [HEADER_GOOD] = NULL,
        [HEADER_DAMAGED] = "at 0: the file's header is damaged",
        [HEADER_LENGTH] = "at 24: the file is longer than it was made",
        [HEADER_SHORT] = "at 24: the file is shorter than it was made; records may be missing",
        [HEADER_BLANK] = "at 0: there is nothing in the file",
        [HEADER_RENAMED] = "at 16: the file bears another one's name",
        [HEADER_FOREIGN] = "at 32: the file belongs to another data directory",
        [HEADER_VERSION] = "at 8: the file's format is of another version of KvDB",
        [HEADER_HUGE] = "at 0: no file of the log is so long"};
    const char *path = self->place->files->path;
    char name[WAL_NAME_BYTES];
    uint64_t before = self->faults;
    for (size_t i = 0; i < self->survey->count; i++) {
        const survey_segment_t *segment = &self->survey->segments[i];
        if (i > 0 && segment->number != segment[-1].number + 1) {
            wal_segment_name (segment[-1].number + 1, name);
            s_fault (self, "%s/%s at 0: the file is missing%s", path, name,
                     segment->number > segment[-1].number + 2 ? ", and so are those up to the next"
                                                              : "");
        }
        wal_segment_name (segment->number, name);
        bool is_last = i + 1 == self->survey->count;
        bool is_whole = segment->bytes >= WAL_SEGMENT_BYTES_MIN;
        if (segment->header == HEADER_BLANK && is_last && is_whole)
            data_say (self->out, "note      %s/%s %s\n", path, name, texts[segment->header]);
        else if (texts[segment->header])
            s_fault (self, "%s/%s %s", path, name, texts[segment->header]);
    }
    self->header_faults = self->faults - before;
}

/* Whether a region lies behind the log's end, so that it is the torn tail. */
static bool s_is_tail (const check_t *self, const survey_region_t *region)
{
    const wal_end_t *end = &self->state->end;
    return self->state->log_status == KV_END &&
           (region->segment > end->segment ||
            (region->segment == end->segment && region->offset >= end->offset));
}

static void s_check_regions (check_t *self)
{
    const data_survey_t *survey = self->survey;
    char name[WAL_NAME_BYTES], where[WAL_NAME_BYTES + 32];
    uint64_t count = 0;
    for (size_t i = 0; i < survey->region_count; i++) {
        const survey_region_t *region = &survey->regions[i];
        wal_segment_name (region->segment, name);
        snprintf (where, sizeof where, "%s at %" PRIu64 ":", name, region->offset);
        bool is_told = self->header_faults == 0 && strstr (self->state->log_error.text, where);
        if (s_is_tail (self, region) || is_told)
            continue;
        bool is_old = self->state->first_number > region->segment;
        bool was_sound = self->is_sound;
        self->is_sound = self->is_sound || is_old;
        s_fault (self, "%s/%s %" PRIu64 " bytes are no block%s", self->place->files->path, where,
                 region->bytes, is_old ? "; nothing needs them any more" : "");
        self->is_sound = was_sound;
    }
    for (size_t i = 0; i < survey->count; i++)
        count += survey->segments[i].found.bad_regions;
    if (count > survey->region_count)
        data_say (self->out, "note      %" PRIu64 " more such places\n",
                  count - survey->region_count);
}

static void s_check_log (check_t *self)
{
    const data_state_t *state = self->state;
    s_check_headers (self);
    /* A header's fault is all that reading has come to, and it is told already. */
    if (state->log_status != KV_END && self->header_faults == 0)
        s_fault (self, "%s", state->log_error.text);
    s_check_regions (self);
}

uint64_t data_check (const data_place_t *place, const data_output_t *out)
{
    file_error_t error = {0};
    check_t self = {.place = place, .out = out};
    data_read_options_t options = {.place = place};
    kv_status_t status = data_survey_new (place->files, place->uuid, &self.survey, &error);
    self.state = data_read (&options);
    self.is_sound = status == KV_OK && data_is_sound (self.state);
    s_print_snapshot (&self);
    s_print_segments (&self);
    s_print_log (&self);
    if (status)
        s_fault (&self, "%s", error.text);
    if (self.state->snapshot_status != KV_OK && self.state->snapshot_status != KV_NOT_FOUND)
        s_fault (&self, "%s", self.state->snapshot_error.text);
    s_check_log (&self);
    KV_ASSERT (self.is_sound == (self.faults == 0));
    data_survey_destroy (&self.survey);
    free (self.state);
    return self.faults;
}
