#include "sim_disk.h"

#include <stdlib.h>

typedef struct write write_t;
struct write {
    write_t *next;
    size_t offset, size;
    uint8_t bytes[];
};

typedef struct {
    uint8_t *data; /* owned */
    size_t size, capacity;
} content_t;

typedef struct file file_t;
struct file {
    file_t *next; /* of all files, named or not */
    content_t seen, durable;
    write_t *first, *last; /* owned: since the last fsync, oldest first */
    bool emptied;          /* since the last fsync, before these writes */
};

typedef struct {
    char name[SIM_DISK_NAME_BYTES_MAX + 1];
    file_t *file; /* borrowed */
} name_t;

typedef struct {
    name_t names[SIM_DISK_FILES_MAX];
    uint32_t count;
} directory_t;

typedef struct {
    enum { CHANGE_LINK, CHANGE_RENAME, CHANGE_REMOVE } kind;
    name_t name; /* the file is the one that is linked */
    char to[SIM_DISK_NAME_BYTES_MAX + 1];
} change_t;

struct sim_disk {
    sim_random_t random;
    file_t *files; /* owned; freed only with the disk: names come back after a crash */
    directory_t seen, durable;
    change_t *changes; /* owned: since the last sync, oldest first */
    size_t change_count, change_capacity;
};

/* ---- content -------------------------------------------------------------------------------- */

static void s_put (content_t *self, size_t offset, const uint8_t *bytes, size_t size)
{
    size_t end = offset + size;
    if (end > self->capacity) {
        self->capacity = end < 64 ? 64 : 2 * end;
        self->data = realloc (self->data, self->capacity);
        KV_ASSERT (self->data != NULL);
    }
    if (offset > self->size)
        memset (self->data + self->size, 0, offset - self->size);
    if (size)
        memcpy (self->data + offset, bytes, size);
    self->size = end > self->size ? end : self->size;
}

static void s_copy (content_t *self, const content_t *from)
{
    self->size = 0;
    s_put (self, 0, from->data, from->size);
}

static void s_forget_writes (file_t *file)
{
    while (file->first) {
        write_t *write = file->first;
        file->first = write->next;
        free (write);
    }
    file->last = NULL;
    file->emptied = false;
}

/* ---- names ---------------------------------------------------------------------------------- */

static name_t *s_find (const directory_t *directory, const char *name)
{
    for (uint32_t i = 0; i < directory->count; i++) {
        if (strcmp (directory->names[i].name, name) == 0)
            return (name_t *)&directory->names[i];
    }
    return NULL;
}

static void s_unlink (directory_t *directory, const char *name)
{
    name_t *there = s_find (directory, name);
    if (there)
        *there = directory->names[--directory->count];
}

static void s_apply (directory_t *directory, const change_t *change)
{
    name_t *there = s_find (directory, change->name.name);
    switch (change->kind) {
    case CHANGE_LINK:
        KV_ASSERT (!there && directory->count < SIM_DISK_FILES_MAX);
        directory->names[directory->count++] = change->name;
        return;
    case CHANGE_RENAME: {
        if (strcmp (change->name.name, change->to) == 0)
            return;
        s_unlink (directory, change->to);
        there = s_find (directory, change->name.name); /* unlinking moves names */
        KV_ASSERT (there != NULL);
        memcpy (there->name, change->to, sizeof there->name);
        return;
    }
    case CHANGE_REMOVE: s_unlink (directory, change->name.name); return;
    }
}

static void s_change (sim_disk_t *self, change_t change)
{
    if (self->change_count == self->change_capacity) {
        self->change_capacity = self->change_capacity ? 2 * self->change_capacity : 8;
        self->changes = realloc (self->changes, self->change_capacity * sizeof *self->changes);
        KV_ASSERT (self->changes != NULL);
    }
    self->changes[self->change_count++] = change;
    s_apply (&self->seen, &change);
}

static void s_set_name (char *to, const char *name)
{
    size_t size = strlen (name);
    KV_ASSERT (size <= SIM_DISK_NAME_BYTES_MAX);
    memcpy (to, name, size + 1);
}

/* ---- what a process does --------------------------------------------------------------------- */

kv_status_t sim_disk_create (sim_disk_t *self, const char *name)
{
    name_t *there = s_find (&self->seen, name);
    if (there) {
        s_forget_writes (there->file);
        there->file->emptied = true;
        there->file->seen.size = 0;
        return KV_OK;
    }
    if (self->seen.count == SIM_DISK_FILES_MAX)
        return KV_IO;
    file_t *file = calloc (1, sizeof *file);
    KV_ASSERT (file != NULL);
    file->next = self->files;
    self->files = file;
    change_t change = {.kind = CHANGE_LINK, .name = {.file = file}};
    s_set_name (change.name.name, name);
    s_change (self, change);
    return KV_OK;
}

kv_status_t sim_disk_write (sim_disk_t *self, const char *name, size_t offset, kv_slice_t bytes)
{
    name_t *there = s_find (&self->seen, name);
    if (!there)
        return KV_NOT_FOUND;
    if (offset > SIM_DISK_FILE_BYTES_MAX || bytes.size > SIM_DISK_FILE_BYTES_MAX - offset)
        return KV_TOO_LARGE;
    file_t *file = there->file;
    write_t *write = malloc (sizeof *write + bytes.size);
    KV_ASSERT (write != NULL);
    *write = (write_t){.offset = offset, .size = bytes.size};
    if (bytes.size)
        memcpy (write->bytes, bytes.data, bytes.size);
    if (file->last)
        file->last->next = write;
    else
        file->first = write;
    file->last = write;
    s_put (&file->seen, offset, write->bytes, write->size);
    return KV_OK;
}

kv_status_t sim_disk_append (sim_disk_t *self, const char *name, kv_slice_t bytes)
{
    const name_t *there = s_find (&self->seen, name);
    return there ? sim_disk_write (self, name, there->file->seen.size, bytes) : KV_NOT_FOUND;
}

kv_status_t sim_disk_read (const sim_disk_t *self, const char *name, kv_slice_t *bytes)
{
    const name_t *there = s_find (&self->seen, name);
    if (!there)
        return KV_NOT_FOUND;
    *bytes = kv_slice (there->file->seen.data, there->file->seen.size);
    return KV_OK;
}

kv_status_t sim_disk_fsync (sim_disk_t *self, const char *name)
{
    name_t *there = s_find (&self->seen, name);
    if (!there)
        return KV_NOT_FOUND;
    s_copy (&there->file->durable, &there->file->seen);
    s_forget_writes (there->file);
    return KV_OK;
}

kv_status_t sim_disk_rename (sim_disk_t *self, const char *from, const char *to)
{
    if (!s_find (&self->seen, from))
        return KV_NOT_FOUND;
    change_t change = {.kind = CHANGE_RENAME};
    s_set_name (change.name.name, from);
    s_set_name (change.to, to);
    s_change (self, change);
    return KV_OK;
}

kv_status_t sim_disk_remove (sim_disk_t *self, const char *name)
{
    if (!s_find (&self->seen, name))
        return KV_NOT_FOUND;
    change_t change = {.kind = CHANGE_REMOVE};
    s_set_name (change.name.name, name);
    s_change (self, change);
    return KV_OK;
}

void sim_disk_sync_directory (sim_disk_t *self)
{
    self->durable = self->seen;
    self->change_count = 0;
}

/* ---- what happens to the machine ------------------------------------------------------------- */

/* K2 */
static void s_crash_file (sim_disk_t *self, file_t *file)
{
    content_t content = {0};
    bool emptied = file->emptied && sim_random_percent (&self->random, 50);
    if (!emptied)
        s_copy (&content, &file->durable);
    for (const write_t *write = file->first; write; write = write->next) {
        size_t survives = write->size;
        switch (sim_random_below (&self->random, 3)) {
        case 0: continue;
        case 1: survives = (size_t)sim_random_below (&self->random, write->size + 1); break;
        default: break;
        }
        s_put (&content, write->offset, write->bytes, survives);
    }
    s_forget_writes (file);
    s_copy (&file->seen, &content);
    s_copy (&file->durable, &content);
    free (content.data);
}

void sim_disk_crash (sim_disk_t *self)
{
    size_t kept = (size_t)sim_random_below (&self->random, self->change_count + 1);
    for (size_t i = 0; i < kept; i++)
        s_apply (&self->durable, &self->changes[i]); // K3
    self->change_count = 0;
    self->seen = self->durable;
    for (file_t *file = self->files; file; file = file->next)
        s_crash_file (self, file);
}

sim_disk_t *sim_disk_new (sim_random_t random)
{
    sim_disk_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->random = random;
    return self;
}

void sim_disk_destroy (sim_disk_t **self_p)
{
    sim_disk_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->files) {
        file_t *file = self->files;
        self->files = file->next;
        s_forget_writes (file);
        free (file->seen.data);
        free (file->durable.data);
        free (file);
    }
    free (self->changes);
    free (self);
}
