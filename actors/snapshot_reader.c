#include "actors/snapshot_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    READ_BYTES = 1024 * 1024, /* of one read */
    BUFFER_BYTES =
        2 * READ_BYTES /* a chunk larger than that makes it grow, for as long as it is read */
};

_Static_assert(READ_BYTES >= 2 * SNAPSHOT_CHUNK_BYTES, "an ordinary chunk comes with one read");

struct snapshot_reader {
    files_t *files; /* borrowed, for the path in messages */
    file_t *file;   /* owned */
    char name[FILES_NAME_BYTES_MAX + 1];
    uint64_t file_bytes;
    snapshot_header_t header;
    uint8_t *buffer;   /* owned: bytes of the file from `offset` on */
    size_t room, held; /* bytes of the buffer; those with content */
    size_t used;       /* bytes at the buffer's beginning that have been handed out */
    uint64_t offset;   /* in the file, of the buffer's first byte */
    uint64_t chunks;   /* read so far (N2) */
    uint64_t entries;  /* in them */
    uint64_t end_lsn;  /* of the end chunk */
    bool ended;        /* N3 */
    uint8_t shard_seen[KV_SHARDS_MAX / 8]; /* bit: its chunk of kind SHARD has come (N1) */
};

/* Says what is wrong, and where; KV_CORRUPT. */
static kv_status_t s_damaged (const snapshot_reader_t *self, uint64_t offset, const char *what,
                              file_error_t *error)
{
    error->number = 0;
    (void)snprintf (error->text, sizeof error->text,
                    "%s/%s at %" PRIu64 ": the snapshot is damaged, %s", self->files->path,
                    self->name, offset, what);
    return KV_CORRUPT;
}

/* The offset in the file of what is to be handed out next. */
static uint64_t s_at (const snapshot_reader_t *self)
{
    return self->offset + self->used;
}

/* Has `bytes` of what comes next in the buffer, which the file is long enough for; and as much more as
 * one read gives. */
static kv_status_t s_fill (snapshot_reader_t *self, size_t bytes, file_error_t *error)
{
    if (self->held - self->used >= bytes)
        return KV_OK;
    memmove (self->buffer, self->buffer + self->used, self->held - self->used);
    self->offset += self->used;
    self->held -= self->used;
    self->used = 0;
    size_t room = bytes > BUFFER_BYTES ? bytes : BUFFER_BYTES;
    if (room > self->room || self->room > 2 * room) {
        uint8_t *buffer = realloc (self->buffer, room);
        KV_ASSERT (buffer != NULL);
        self->buffer = buffer;
        self->room = room;
    }
    while (self->held < bytes) {
        size_t left = self->room - self->held;
        size_t wanted = bytes - self->held > READ_BYTES ? bytes - self->held : READ_BYTES;
        size_t got;
        kv_status_t status =
            file_read (self->file, self->offset + self->held, self->buffer + self->held,
                       wanted < left ? wanted : left, &got, error);
        if (status)
            return status;
        if (got == 0)
            return s_damaged (self, self->offset + self->held, "it became shorter", error);
        self->held += got;
    }
    return KV_OK;
}

static kv_status_t s_read_header (snapshot_reader_t *self, file_error_t *error)
{
    if (self->file_bytes < SNAPSHOT_HEADER_BYTES)
        return s_damaged (self, self->file_bytes, "it ends within its header", error);
    kv_status_t status = s_fill (self, SNAPSHOT_HEADER_BYTES, error);
    if (status)
        return status;
    status = snapshot_header_decode (kv_slice (self->buffer, SNAPSHOT_HEADER_BYTES), &self->header);
    self->used = SNAPSHOT_HEADER_BYTES;
    if (status == KV_CORRUPT)
        return s_damaged (self, 0, "its header fails its checks", error);
    if (status == KV_BAD_VERSION) {
        error->number = 0;
        (void)snprintf (
            error->text, sizeof error->text,
            "%s/%s has another format version than this program's, which is %d; use the "
            "program that wrote it, or a newer one",
            self->files->path, self->name, SNAPSHOT_VERSION);
    }
    return status;
}

kv_status_t snapshot_reader_open (files_t *files, const char *name, snapshot_reader_t **self_p,
                                  file_error_t *error)
{
    *self_p = NULL;
    KV_ASSERT (strlen (name) <= FILES_NAME_BYTES_MAX);
    snapshot_reader_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->files = files;
    memcpy (self->name, name, strlen (name) + 1);
    kv_status_t status = files_open (files, name, FILE_READ, &self->file, error);
    if (status == KV_OK)
        status = file_size (self->file, &self->file_bytes, error);
    if (status == KV_OK) {
        self->room = BUFFER_BYTES;
        self->buffer = malloc (self->room);
        KV_ASSERT (self->buffer != NULL);
        status = s_read_header (self, error);
    }
    if (status)
        snapshot_reader_destroy (&self);
    *self_p = self;
    return status;
}

void snapshot_reader_destroy (snapshot_reader_t **self_p)
{
    snapshot_reader_t *self = *self_p;
    if (!self)
        return;
    file_close (&self->file);
    free (self->buffer);
    free (self);
    *self_p = NULL;
}

const snapshot_header_t *snapshot_reader_header (const snapshot_reader_t *self)
{
    return &self->header;
}

/* Reads the chunk that comes next, whole and with a right CRC. */
static kv_status_t s_read_chunk (snapshot_reader_t *self, snapshot_chunk_t *chunk,
                                 file_error_t *error)
{
    uint64_t left = self->file_bytes - s_at (self);
    if (left < SNAPSHOT_CHUNK_HEADER_BYTES)
        return s_damaged (self, s_at (self), "it ends before its end chunk", error);
    size_t wanted = SNAPSHOT_CHUNK_HEADER_BYTES;
    for (;;) {
        kv_status_t status = s_fill (self, wanted, error);
        if (status)
            return status;
        kv_slice_t bytes = kv_slice (self->buffer + self->used, self->held - self->used);
        status = snapshot_chunk_decode (bytes, chunk);
        if (status == KV_OK)
            return KV_OK;
        if (status == KV_CORRUPT)
            return s_damaged (self, s_at (self), "the chunk there fails its checks", error);
        if (chunk->bytes > left)
            return s_damaged (self, s_at (self), "the chunk there reaches beyond the end", error);
        wanted = chunk->bytes;
    }
}

static kv_status_t s_check_shard (snapshot_reader_t *self, const snapshot_chunk_t *chunk,
                                  file_error_t *error)
{
    uint8_t *seen = &self->shard_seen[chunk->shard / 8];
    uint8_t bit = (uint8_t)(1U << chunk->shard % 8);
    if (*seen & bit)
        return s_damaged (self, s_at (self), "a shard begins twice", error); // N1
    *seen |= bit;
    return KV_OK;
}

static kv_status_t s_check_entries (snapshot_reader_t *self, const snapshot_chunk_t *chunk,
                                    file_error_t *error)
{
    if (!(self->shard_seen[chunk->shard / 8] >> chunk->shard % 8 & 1))
        return s_damaged (self, s_at (self), "entries of a shard that has not begun", error); // N1
    kv_slice_t at = chunk->payload;
    snapshot_entry_t entry;
    kv_status_t status;
    while ((status = snapshot_entry_next (&at, &entry)) == KV_OK)
        self->entries++;
    if (status == KV_END)
        return KV_OK;
    size_t into = chunk->bytes - at.size;
    return s_damaged (self, s_at (self) + into, "an entry that cannot be", error);
}

static kv_status_t s_check_end (snapshot_reader_t *self, const snapshot_chunk_t *chunk,
                                file_error_t *error)
{
    uint64_t entries;
    uint64_t chunks;
    kv_status_t status = snapshot_end_read (chunk->payload, &self->end_lsn, &entries, &chunks);
    KV_ASSERT (status == KV_OK); /* snapshot_chunk_decode has seen to its size */
    if (chunks != self->chunks || entries != self->entries)
        return s_damaged (self, s_at (self), "it has not what its end chunk counts", error);
    if (self->end_lsn < self->header.start_lsn)
        return s_damaged (self, s_at (self), "it ends before it starts", error); // N4
    if (s_at (self) + chunk->bytes != self->file_bytes)
        return s_damaged (self, s_at (self) + chunk->bytes, "bytes behind its end chunk", error);
    return KV_OK; // N2
}

static kv_status_t s_check_chunk (snapshot_reader_t *self, const snapshot_chunk_t *chunk,
                                  file_error_t *error)
{
    if (chunk->number != (uint32_t)self->chunks)
        return s_damaged (self, s_at (self), "a chunk out of its order", error); // N2
    if (chunk->kind != SNAPSHOT_END && chunk->shard >= self->header.shards)
        return s_damaged (self, s_at (self), "a shard that the cluster does not have", error);
    switch (chunk->kind) {
    case SNAPSHOT_SHARD: return s_check_shard (self, chunk, error);
    case SNAPSHOT_ENTRIES: return s_check_entries (self, chunk, error);
    case SNAPSHOT_END: return s_check_end (self, chunk, error);
    }
    KV_UNREACHABLE ("snapshot_chunk_decode knows the kinds");
}

kv_status_t snapshot_reader_next (snapshot_reader_t *self, snapshot_chunk_t *chunk,
                                  file_error_t *error)
{
    if (self->ended)
        return KV_END;
    kv_status_t status = s_read_chunk (self, chunk, error);
    if (status == KV_OK)
        status = s_check_chunk (self, chunk, error);
    if (status)
        return status;
    self->used += chunk->bytes;
    self->chunks++;
    self->ended = chunk->kind == SNAPSHOT_END;
    return self->ended ? KV_END : KV_OK;
}

uint64_t snapshot_reader_end_lsn (const snapshot_reader_t *self)
{
    KV_ASSERT (self->ended);
    return self->end_lsn;
}

void snapshot_reader_progress (const snapshot_reader_t *self, uint64_t *done_bytes,
                               uint64_t *all_bytes)
{
    *done_bytes = s_at (self);
    *all_bytes = self->file_bytes;
}
