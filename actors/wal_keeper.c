#include "actors/wal_keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char s_spare[] = "spare.tmp";

/* A segment under its name. */
typedef struct {
    uint64_t number, bytes, end_lsn;
    file_t *file; /* NULL: closed, as it is sealed and synced */
    bool is_sealed, is_dirty;
} kept_t;

struct wal_keeper {
    wal_keeper_options_t options;
    kept_t *kept; /* owned, in order of their numbers */
    size_t count, capacity;
    uint64_t next_number;
    bool prewrite;     /* segments are written full of zeros */
    bool has_spare;    /* a retired file waits under the name of s_spare */
    file_t *preparing; /* s_spare, in the making; or NULL */
    uint64_t prepared; /* bytes of it that are zero */
    uint8_t *zeros;    /* owned, WAL_SLICE_BYTES */
};

static kept_t *s_add (wal_keeper_t *self, uint64_t number, uint64_t bytes, file_t *file)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->kept = realloc (self->kept, self->capacity * sizeof *self->kept);
        KV_ASSERT (self->kept != NULL);
    }
    kept_t *kept = &self->kept[self->count++];
    *kept = (kept_t){.number = number, .bytes = bytes, .file = file};
    self->next_number = number + 1; // P3
    return kept;
}

static kept_t *s_find (wal_keeper_t *self, uint64_t number)
{
    KV_ASSERT (self->count > 0);
    uint64_t first = self->kept[0].number;
    KV_ASSERT (number >= first);
    KV_ASSERT (number - first < self->count); // P3
    return &self->kept[number - first];
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static kv_status_t s_sync_name (wal_keeper_t *self, const char *name, file_error_t *error)
{
    file_t *file;
    kv_status_t status = files_open (self->options.files, name, FILE_WRITE, &file, error);
    if (status)
        return status;
    status = file_sync (file, error);
    file_close (&file);
    return status;
}

/* Removes the segments behind the log's end, the last one first: what is left has no gap. */
static kv_status_t s_remove_behind (wal_keeper_t *self, uint64_t last,
                                    const wal_segment_info_t *segments, size_t count,
                                    file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    for (size_t i = count; i > 0 && segments[i - 1].number > last; i--) {
        wal_segment_name (segments[i - 1].number, name);
        kv_status_t status = files_remove (self->options.files, name, error);
        if (status)
            return status;
    }
    return files_sync_directory (self->options.files, error);
}

static kv_status_t s_write_zeros (wal_keeper_t *self, file_t *file, uint64_t from, uint64_t to,
                                  file_error_t *error)
{
    while (from < to) {
        size_t bytes = to - from < WAL_SLICE_BYTES ? (size_t)(to - from) : WAL_SLICE_BYTES;
        kv_status_t status = file_write (file, from, kv_slice (self->zeros, bytes), error);
        if (status)
            return status;
        from += bytes;
    }
    return file_sync (file, error);
}

/* The segment that the log goes on in: zero behind the end. */
static kv_status_t s_open_current (wal_keeper_t *self, const wal_end_t *end, uint64_t bytes,
                                   wal_segment_t *current, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    file_t *file;
    wal_segment_name (end->segment, name);
    kv_status_t status = files_open (self->options.files, name, FILE_WRITE, &file, error);
    if (status)
        return status;
    status = end->torn_bytes ? s_write_zeros (self, file, end->offset, bytes, error)
                             : file_sync (file, error);
    if (status) {
        file_close (&file);
        return status;
    }
    (void)s_add (self, end->segment, bytes, file);
    *current = (wal_segment_t){
        .number = end->segment, .bytes = bytes, .file = file, .offset = end->offset};
    return KV_OK;
}

/* The segments before it, synced: how they came to be on the disk is not known. */
static kv_status_t s_adopt (wal_keeper_t *self, const wal_end_t *end,
                            const wal_segment_info_t *segments, size_t count,
                            wal_segment_t *current, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    for (size_t i = 0; i < count && segments[i].number < end->segment; i++) {
        wal_segment_name (segments[i].number, name);
        kv_status_t status = s_sync_name (self, name, error);
        if (status)
            return status;
        kept_t *kept = s_add (self, segments[i].number, segments[i].bytes, NULL);
        kept->is_sealed = true;
        kept->end_lsn = segments[i].end_lsn;
    }
    for (size_t i = 0; i < count; i++) {
        if (segments[i].number == end->segment)
            return s_open_current (self, end, segments[i].bytes, current, error);
    }
    return KV_OK;
}

kv_status_t wal_keeper_open (const wal_keeper_options_t *options, const wal_end_t *end,
                             const wal_segment_info_t *segments, size_t count,
                             wal_keeper_t **self_p, wal_segment_t *current, wal_place_t *place,
                             file_error_t *error)
{
    KV_ASSERT (options->segment_bytes >= WAL_SEGMENT_BYTES_MIN);
    wal_keeper_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self_p = self;
    self->options = *options;
    self->zeros = calloc (1, WAL_SLICE_BYTES);
    KV_ASSERT (self->zeros != NULL);
    self->next_number = 1;
    self->prewrite = true;
    *current = (wal_segment_t){0};
    *place = end->place;
    place->seed = wal_seed (options->uuid);
    kv_status_t status = files_remove (options->files, s_spare, error);
    if (status == KV_OK || status == KV_NOT_FOUND)
        status = s_remove_behind (self, end->segment, segments, count, error);
    if (status == KV_OK)
        status = s_adopt (self, end, segments, count, current, error);
    if (status)
        wal_keeper_destroy (self_p);
    return status;
}

void wal_keeper_destroy (wal_keeper_t **self_p)
{
    wal_keeper_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        file_close (&self->kept[i].file);
    file_close (&self->preparing);
    free (self->kept);
    free (self->zeros);
    free (self);
}

/* ---- preparing --------------------------------------------------------------------------------------- */

static kv_status_t s_begin (wal_keeper_t *self, file_error_t *error)
{
    file_mode_t mode = self->has_spare ? FILE_WRITE : FILE_CREATE;
    kv_status_t status = files_open (self->options.files, s_spare, mode, &self->preparing, error);
    if (status)
        return status;
    self->has_spare = false; /* it is in the making now */
    self->prepared = self->prewrite || mode == FILE_WRITE ? 0 : self->options.segment_bytes;
    return file_allocate (self->preparing, self->options.segment_bytes, error);
}

void wal_keeper_set_prewrite (wal_keeper_t *self, bool prewrite)
{
    self->prewrite = prewrite;
}

/* P1 */
static kv_status_t s_name (wal_keeper_t *self, wal_segment_t *segment, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    uint8_t bytes[WAL_SEGMENT_HEADER_BYTES];
    uint64_t number = self->next_number;
    wal_header_t header = {.number = number, .bytes = self->options.segment_bytes};
    memcpy (header.uuid, self->options.uuid, WAL_UUID_BYTES);
    wal_header_encode (&header, bytes);
    wal_segment_name (number, name);
    kv_status_t status = file_write (self->preparing, 0, kv_slice (bytes, sizeof bytes), error);
    if (status == KV_OK)
        status = file_sync (self->preparing, error);
    if (status == KV_OK)
        status = files_rename (self->options.files, s_spare, name, error);
    if (status == KV_OK)
        status = files_sync_directory (self->options.files, error);
    if (status)
        return status;
    (void)s_add (self, number, header.bytes, self->preparing);
    *segment = (wal_segment_t){.number = number,
                               .bytes = header.bytes,
                               .file = self->preparing,
                               .offset = WAL_SEGMENT_HEADER_BYTES};
    self->preparing = NULL;
    return KV_END;
}

static kv_status_t s_slice (wal_keeper_t *self, file_error_t *error)
{
    uint64_t left = self->options.segment_bytes - self->prepared;
    size_t bytes = left < WAL_SLICE_BYTES ? (size_t)left : WAL_SLICE_BYTES;
    kv_status_t status =
        file_write (self->preparing, self->prepared, kv_slice (self->zeros, bytes), error);
    if (status == KV_OK)
        status = file_sync (self->preparing, error);
    if (status == KV_OK)
        self->prepared += bytes;
    return status;
}

/* P5: the space it took is free again. */
static void s_give_up (wal_keeper_t *self)
{
    file_error_t unused;
    file_close (&self->preparing);
    kv_status_t status = files_remove (self->options.files, s_spare, &unused);
    (void)status; /* then it is used again */
    self->has_spare = false;
}

kv_status_t wal_keeper_prepare (wal_keeper_t *self, wal_segment_t *segment, file_error_t *error)
{
    kv_status_t status;
    if (!self->preparing)
        status = s_begin (self, error);
    else if (self->prepared < self->options.segment_bytes)
        status = s_slice (self, error);
    else
        status = s_name (self, segment, error);
    if (status == KV_DISK_FULL)
        s_give_up (self);
    return status;
}

/* ---- syncing and retiring ------------------------------------------------------------------------------ */

void wal_keeper_seal (wal_keeper_t *self, uint64_t number, uint64_t end_lsn)
{
    kept_t *kept = s_find (self, number);
    kept->is_sealed = true;
    kept->is_dirty = true;
    kept->end_lsn = end_lsn;
}

static kv_status_t s_sync (kept_t *kept, file_error_t *error)
{
    kv_status_t status = file_sync (kept->file, error);
    if (status)
        return status;
    kept->is_dirty = false;
    if (kept->is_sealed)
        file_close (&kept->file);
    return KV_OK;
}

kv_status_t wal_keeper_sync (wal_keeper_t *self, uint64_t lsn, uint64_t number, file_error_t *error)
{
    (void)lsn;
    for (kept_t *kept = self->kept; kept <= s_find (self, number); kept++) {
        bool is_clean = kept->is_sealed && !kept->is_dirty;
        kv_status_t status = is_clean ? KV_OK : s_sync (kept, error); // P2
        if (status)
            return status;
    }
    return KV_OK;
}

static kv_status_t s_retire (wal_keeper_t *self, kept_t *kept, file_error_t *error)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name (kept->number, name);
    file_close (&kept->file);
    bool is_of_use =
        kept->bytes == self->options.segment_bytes && !self->has_spare && !self->preparing; // P4
    if (is_of_use) {
        kv_status_t status = files_rename (self->options.files, name, s_spare, error);
        self->has_spare = status == KV_OK;
        if (status != KV_DISK_FULL)
            return status;
    }
    return files_remove (self->options.files, name, error);
}

kv_status_t wal_keeper_retire (wal_keeper_t *self, uint64_t lsn, file_error_t *error)
{
    size_t gone = 0;
    kv_status_t status = KV_OK;
    while (status == KV_OK && gone < self->count && self->kept[gone].is_sealed &&
           !self->kept[gone].is_dirty && self->kept[gone].end_lsn <= lsn) {
        status = s_retire (self, &self->kept[gone], error);
        gone++;
    }
    if (gone == 0)
        return KV_OK;
    self->count -= gone;
    if (self->count > 0)
        memmove (self->kept, self->kept + gone, self->count * sizeof *self->kept);
    return status ? status : files_sync_directory (self->options.files, error); // P4
}

uint64_t wal_keeper_segments (const wal_keeper_t *self)
{
    return self->count;
}
