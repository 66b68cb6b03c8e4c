#include "node/data_view.h"

#include <stdlib.h>

typedef struct {
    files_t base;
    files_t *files;          /* borrowed */
    const data_plan_t *plan; /* borrowed */
} view_t;

typedef struct {
    file_t base;
    file_t *file; /* owned */
    const data_plan_t *plan;
    size_t index; /* of the segment; SIZE_MAX: it is none */
} view_file_t;

static const files_operations_t s_operations;

/* ---- the plan -------------------------------------------------------------------------------- */

bool data_plan_mends (const survey_segment_t *segment)
{
    return segment->header == HEADER_DAMAGED || segment->header == HEADER_LENGTH;
}

bool data_plan_lengthens (const survey_segment_t *segment)
{
    return segment->header == HEADER_SHORT;
}

static bool s_is_last (const data_plan_t *self, size_t index)
{
    return index + 1 == self->first + self->count;
}

bool data_plan_changes (const data_plan_t *self, size_t index)
{
    const survey_segment_t *segment = &self->survey->segments[index];
    return data_plan_mends (segment) || data_plan_lengthens (segment) ||
           (s_is_last (self, index) && self->cut_offset > 0) ||
           (index == self->first && self->shift > 0);
}

/* Puts `piece`, whose place is `at`, over the bytes from `offset` on. */
static void s_overlay (uint64_t offset, uint8_t *bytes, size_t size, uint64_t at, kv_slice_t piece)
{
    uint64_t from = at > offset ? at : offset;
    uint64_t end = at + piece.size < offset + size ? at + piece.size : offset + size;
    if (from < end)
        memcpy (bytes + (from - offset), piece.data + (from - at), (size_t)(end - from));
}

/* Makes of bytes that a segment has from `offset` on what the plan wants there. */
static void s_patch (const data_plan_t *self, size_t index, uint64_t offset, uint8_t *bytes,
                     size_t size)
{
    const survey_segment_t *segment = &self->survey->segments[index];
    if (data_plan_mends (segment)) {
        uint8_t header[WAL_SEGMENT_HEADER_BYTES];
        wal_header_t fields = {.number = segment->number, .bytes = segment->bytes};
        memcpy (fields.uuid, self->uuid, WAL_UUID_BYTES);
        wal_header_encode (&fields, header);
        s_overlay (offset, bytes, size, 0, kv_slice (header, sizeof header));
    }
    if (!s_is_last (self, index) || self->cut_offset == 0)
        return;
    if (self->block_offset)
        s_overlay (offset, bytes, size, self->block_offset,
                   kv_slice (self->block, sizeof self->block));
    uint64_t from = self->cut_offset > offset ? self->cut_offset : offset;
    if (from < offset + size)
        memset (bytes + (from - offset), 0, (size_t)(offset + size - from));
}

/* ---- the view -------------------------------------------------------------------------------- */

/* The segment of that name; SIZE_MAX: it is another file. False: it does not stay. */
static bool s_find (const view_t *self, const char *name, size_t *index)
{
    uint64_t number;
    const data_plan_t *plan = self->plan;
    *index = SIZE_MAX;
    if (!wal_segment_number (name, &number))
        return true;
    if (plan->count == 0)
        return false;
    uint64_t first = plan->survey->segments[plan->first].number; /* and on without a gap */
    if (number < first || number - first >= plan->count)
        return false;
    *index = plan->first + (size_t)(number - first);
    return true;
}

static kv_status_t s_open (files_t *base, const char *name, file_mode_t mode, file_t **file_p,
                           file_error_t *error)
{
    view_t *self = (view_t *)base;
    size_t index;
    KV_ASSERT (mode == FILE_READ);
    *file_p = NULL;
    if (!s_find (self, name, &index))
        return KV_NOT_FOUND; // O2
    view_file_t *file = calloc (1, sizeof *file);
    KV_ASSERT (file != NULL);
    *file = (view_file_t){.base = {&s_operations}, .plan = self->plan, .index = index};
    kv_status_t status = files_open (self->files, name, mode, &file->file, error);
    if (status)
        free (file);
    else
        *file_p = &file->base;
    return status;
}

static void s_close (file_t *base)
{
    view_file_t *self = (view_file_t *)base;
    file_close (&self->file);
    free (self);
}

static kv_status_t s_size (file_t *base, uint64_t *bytes, file_error_t *error)
{
    const view_file_t *self = (view_file_t *)base;
    const survey_segment_t *segment =
        self->index == SIZE_MAX ? NULL : &self->plan->survey->segments[self->index];
    kv_status_t status = file_size (self->file, bytes, error);
    if (status == KV_OK && segment && data_plan_lengthens (segment))
        *bytes = segment->bytes;
    return status;
}

/* From where the file ends to where it will: zeros. */
static kv_status_t s_fill_up (view_file_t *self, uint64_t offset, uint8_t *out, size_t bytes,
                              size_t *got, file_error_t *error)
{
    uint64_t size;
    kv_status_t status = s_size (&self->base, &size, error);
    if (status || offset + *got >= size)
        return status;
    size_t wanted = bytes < size - offset ? bytes : (size_t)(size - offset);
    memset (out + *got, 0, wanted - *got);
    *got = wanted;
    return KV_OK;
}

/* What is behind the header comes from further behind; the end is filled up with zeros. */
static kv_status_t s_read_shifted (view_file_t *self, uint64_t offset, uint8_t *out, size_t bytes,
                                   size_t *got, file_error_t *error)
{
    uint64_t size;
    size_t head = 0;
    size_t rest = 0;
    *got = 0;
    kv_status_t status = s_size (&self->base, &size, error);
    if (status || offset >= size)
        return status;
    size_t wanted = bytes < size - offset ? bytes : (size_t)(size - offset);
    if (offset < WAL_SEGMENT_HEADER_BYTES) {
        size_t left = (size_t)(WAL_SEGMENT_HEADER_BYTES - offset);
        status = file_read (self->file, offset, out, left < wanted ? left : wanted, &head, error);
    }
    if (status == KV_OK && head < wanted)
        status = file_read (self->file, offset + head + self->plan->shift, out + head,
                            wanted - head, &rest, error);
    if (status)
        return status;
    memset (out + head + rest, 0, wanted - head - rest);
    *got = wanted;
    return KV_OK;
}

static kv_status_t s_read (file_t *base, uint64_t offset, void *out, size_t bytes, size_t *got,
                           file_error_t *error)
{
    view_file_t *self = (view_file_t *)base;
    bool is_shifted = self->plan->shift > 0 && self->index == self->plan->first;
    kv_status_t status = is_shifted ? s_read_shifted (self, offset, out, bytes, got, error)
                                    : file_read (self->file, offset, out, bytes, got, error);
    if (status == KV_OK && *got < bytes && self->index != SIZE_MAX)
        status = s_fill_up (self, offset, out, bytes, got, error);
    if (status == KV_OK && self->index != SIZE_MAX)
        s_patch (self->plan, self->index, offset, out, *got);
    return status;
}

typedef struct {
    const view_t *view;
    files_visit_fn *visit;
    void *context;
} listing_t;

static void s_on_name (void *context, const char *name)
{
    const listing_t *self = context;
    size_t index;
    if (s_find (self->view, name, &index))
        self->visit (self->context, name);
}

static kv_status_t s_list (files_t *base, files_visit_fn *visit, void *context, file_error_t *error)
{
    const view_t *self = (const view_t *)base;
    listing_t listing = {.view = self, .visit = visit, .context = context};
    return files_list (self->files, s_on_name, &listing, error);
}

static void s_destroy (files_t *base)
{
    free (base);
}

static const files_operations_t s_operations = {
    .destroy = s_destroy,
    .open = s_open,
    .close = s_close,
    .size = s_size,
    .read = s_read,
    .list = s_list,
};

files_t *data_view_new (files_t *files, const data_plan_t *plan)
{
    view_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self = (view_t){.base = {&s_operations, files->path}, .files = files, .plan = plan};
    return &self->base;
}
