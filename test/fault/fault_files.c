#include "test/fault/fault_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECTOR_BYTES = 512 };

typedef struct {
    uint8_t *data; /* owned */
    size_t size, capacity;
} content_t;

typedef struct write write_t;
struct write {
    write_t *next;
    uint64_t sequence;
    uint64_t offset;
    size_t size; /* 0: the file was made `offset` long */
    uint8_t bytes[];
};

typedef struct inode inode_t;
struct inode {
    inode_t *next; /* of all there ever were */
    content_t seen, durable;
    write_t *first, *last; /* owned: since the last sync, oldest first */
};

typedef struct {
    char name[FILES_NAME_BYTES_MAX + 1];
    inode_t *inode; /* borrowed */
} name_t;

typedef struct {
    name_t *names; /* owned */
    size_t count, capacity;
} directory_t;

typedef struct {
    enum { CHANGE_LINK, CHANGE_RENAME, CHANGE_REMOVE } kind;
    name_t name;
    char to[FILES_NAME_BYTES_MAX + 1];
} change_t;

typedef struct {
    uint64_t after, count; /* operations until it begins; how many fail then, 0: all */
    int number;            /* errno; 0: none */
} fault_t;

typedef struct {
    inode_t *inode;
    uint64_t sequence;
} sync_t;

typedef struct {
    files_t base;
    uint64_t random, capacity, sequence;
    inode_t *inodes; /* owned */
    directory_t seen, durable;
    change_t *changes; /* owned: since the last sync of the directory */
    size_t change_count, change_capacity;
    fault_t faults[FAULT_OPERATIONS];
    uint64_t counts[FAULT_OPERATIONS];
    sync_t *syncs; /* owned: begun; the token is the index */
    size_t sync_count, settled;
    bool deferred, locked;
} disk_t;

typedef struct {
    file_t base;
    disk_t *disk; /* borrowed */
    inode_t *inode;
} open_t;

static const files_operations_t s_operations;

/* splitmix64 (Steele, Lea, Flood, 2014). */
static uint64_t s_random (disk_t *self, uint64_t below)
{
    self->random += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = self->random;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

/* An array grown to hold one more. */
static void *s_grow (void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? 2 * *capacity : 8;
    items = realloc (items, *capacity * item_bytes);
    KV_ASSERT (items != NULL);
    return items;
}

/* ---- faults ------------------------------------------------------------------------------------------ */

static kv_status_t s_fail (file_error_t *error, int number, const char *what, const char *name)
{
    error->number = number;
    snprintf (error->text, sizeof error->text, "cannot %s fault/%s: %s", what, name,
              strerror (number));
    return number == ENOSPC ? KV_DISK_FULL : number == ENOENT ? KV_NOT_FOUND : KV_IO;
}

/* Counts the operation; its errno if it is to fail. */
static int s_fault (disk_t *self, fault_operation_t operation)
{
    fault_t *fault = &self->faults[operation];
    self->counts[operation]++;
    if (fault->number == 0 || (fault->after > 0 && --fault->after > 0))
        return 0;
    int number = fault->number;
    if (fault->count > 0 && --fault->count == 0)
        fault->number = 0;
    return number;
}

void fault_files_fail (files_t *base, fault_operation_t operation, uint64_t nth, int number,
                       uint64_t count)
{
    ((disk_t *)base)->faults[operation] = (fault_t){.after = nth, .count = count, .number = number};
}

void fault_files_heal (files_t *base)
{
    memset (((disk_t *)base)->faults, 0, sizeof ((disk_t *)base)->faults);
}

void fault_files_set_capacity (files_t *base, uint64_t capacity)
{
    ((disk_t *)base)->capacity = capacity;
}

uint64_t fault_files_count (const files_t *base, fault_operation_t operation)
{
    return ((const disk_t *)base)->counts[operation];
}

/* ---- content ----------------------------------------------------------------------------------------- */

static void s_extend (content_t *self, size_t size)
{
    if (size <= self->size)
        return;
    if (size > self->capacity) {
        self->capacity = size < 2 * self->capacity ? 2 * self->capacity : size;
        self->data = realloc (self->data, self->capacity);
        KV_ASSERT (self->data != NULL);
    }
    memset (self->data + self->size, 0, size - self->size);
    self->size = size;
}

static void s_put (content_t *self, uint64_t offset, const uint8_t *bytes, size_t size)
{
    s_extend (self, (size_t)offset + size);
    if (size)
        memcpy (self->data + offset, bytes, size);
}

static void s_apply_write (content_t *self, const write_t *write)
{
    if (write->size)
        s_put (self, write->offset, write->bytes, write->size);
    else
        s_extend (self, (size_t)write->offset);
}

static void s_pop_write (inode_t *self)
{
    write_t *write = self->first;
    self->first = write->next;
    if (!self->first)
        self->last = NULL;
    free (write);
}

static void s_add_write (disk_t *disk, inode_t *self, uint64_t offset, kv_slice_t bytes)
{
    write_t *write = malloc (sizeof *write + bytes.size);
    KV_ASSERT (write != NULL);
    *write = (write_t){.sequence = ++disk->sequence, .offset = offset, .size = bytes.size};
    if (bytes.size)
        memcpy (write->bytes, bytes.data, bytes.size);
    if (self->last)
        self->last->next = write;
    else
        self->first = write;
    self->last = write;
    s_apply_write (&self->seen, write);
}

/* ---- names ------------------------------------------------------------------------------------------- */

static name_t *s_find (const directory_t *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp (self->names[i].name, name) == 0)
            return &self->names[i];
    }
    return NULL;
}

static void s_unlink (directory_t *self, const char *name)
{
    name_t *there = s_find (self, name);
    if (there)
        *there = self->names[--self->count];
}

static void s_link (directory_t *self, const name_t *name)
{
    s_unlink (self, name->name);
    self->names = s_grow (self->names, self->count, &self->capacity, sizeof *self->names);
    self->names[self->count++] = *name;
}

static void s_apply_change (directory_t *self, const change_t *change)
{
    name_t *there;
    switch (change->kind) {
    case CHANGE_LINK: s_link (self, &change->name); return;
    case CHANGE_RENAME: {
        there = s_find (self, change->name.name);
        KV_ASSERT (there != NULL);
        name_t renamed = {.inode = there->inode};
        memcpy (renamed.name, change->to, sizeof renamed.name);
        s_unlink (self, change->name.name);
        s_link (self, &renamed);
        return;
    }
    case CHANGE_REMOVE: s_unlink (self, change->name.name); return;
    }
}

static void s_copy_directory (directory_t *to, const directory_t *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        to->names = s_grow (to->names, to->count, &to->capacity, sizeof *to->names);
        to->names[to->count++] = from->names[i];
    }
}

static void s_set_name (char *to, const char *name)
{
    size_t size = strlen (name);
    KV_ASSERT (size <= FILES_NAME_BYTES_MAX);
    memcpy (to, name, size + 1);
}

static void s_change (disk_t *self, change_t change)
{
    self->changes =
        s_grow (self->changes, self->change_count, &self->change_capacity, sizeof *self->changes);
    self->changes[self->change_count++] = change;
    s_apply_change (&self->seen, &change);
}

static inode_t *s_new_inode (disk_t *self)
{
    inode_t *inode = calloc (1, sizeof *inode);
    KV_ASSERT (inode != NULL);
    inode->next = self->inodes;
    self->inodes = inode;
    return inode;
}

/* Whether so many bytes more are there. */
static bool s_has_room (const disk_t *self, uint64_t more)
{
    uint64_t used = 0;
    for (size_t i = 0; i < self->seen.count; i++)
        used += self->seen.names[i].inode->seen.size;
    return self->capacity == 0 || used + more <= self->capacity;
}

/* ---- the interface ----------------------------------------------------------------------------------- */

static kv_status_t s_open (files_t *base, const char *name, file_mode_t mode, file_t **file_p,
                           file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    *file_p = NULL;
    int number = s_fault (self, FAULT_OPEN);
    name_t *there = s_find (&self->seen, name);
    if (number == 0 && !there && mode != FILE_CREATE)
        number = ENOENT;
    if (number)
        return s_fail (error, number, "open", name);
    inode_t *inode = there ? there->inode : NULL;
    if (mode == FILE_CREATE) {
        inode = s_new_inode (self);
        change_t change = {.kind = CHANGE_LINK, .name = {.inode = inode}};
        s_set_name (change.name.name, name);
        s_change (self, change);
    }
    open_t *file = calloc (1, sizeof *file);
    KV_ASSERT (file != NULL);
    *file = (open_t){.base = {&s_operations}, .disk = self, .inode = inode};
    *file_p = &file->base;
    return KV_OK;
}

static void s_close (file_t *base)
{
    free (base);
}

static kv_status_t s_size (file_t *base, uint64_t *bytes, file_error_t *error)
{
    (void)error;
    *bytes = ((open_t *)base)->inode->seen.size;
    return KV_OK;
}

static kv_status_t s_read (file_t *base, uint64_t offset, void *out, size_t bytes, size_t *got,
                           file_error_t *error)
{
    open_t *self = (open_t *)base;
    int number = s_fault (self->disk, FAULT_READ);
    *got = 0;
    if (number)
        return s_fail (error, number, "read", "");
    const content_t *seen = &self->inode->seen;
    if (offset >= seen->size)
        return KV_OK;
    *got = bytes < seen->size - offset ? bytes : seen->size - (size_t)offset;
    memcpy (out, seen->data + offset, *got);
    return KV_OK;
}

static kv_status_t s_write (file_t *base, uint64_t offset, kv_slice_t bytes, file_error_t *error)
{
    open_t *self = (open_t *)base;
    int number = s_fault (self->disk, FAULT_WRITE);
    uint64_t end = offset + bytes.size;
    uint64_t size = self->inode->seen.size;
    if (number == 0 && end > size && !s_has_room (self->disk, end - size))
        number = ENOSPC;
    if (number) {
        size_t part = (size_t)s_random (self->disk, bytes.size + 1);
        if (part && offset + part <= size)
            s_add_write (self->disk, self->inode, offset, kv_slice (bytes.data, part));
        return s_fail (error, number, "write", "");
    }
    if (bytes.size)
        s_add_write (self->disk, self->inode, offset, bytes);
    return KV_OK;
}

static kv_status_t s_allocate (file_t *base, uint64_t bytes, file_error_t *error)
{
    open_t *self = (open_t *)base;
    int number = s_fault (self->disk, FAULT_ALLOCATE);
    uint64_t size = self->inode->seen.size;
    if (number == 0 && bytes > size && !s_has_room (self->disk, bytes - size))
        number = ENOSPC;
    if (number)
        return s_fail (error, number, "reserve space for", "");
    if (bytes > size)
        s_add_write (self->disk, self->inode, bytes, kv_slice (NULL, 0));
    return KV_OK;
}

/* What was written up to `sequence` is durable. */
static void s_settle (inode_t *inode, uint64_t sequence)
{
    while (inode->first && inode->first->sequence <= sequence) {
        s_apply_write (&inode->durable, inode->first);
        s_pop_write (inode);
    }
}

static kv_status_t s_sync (file_t *base, file_error_t *error)
{
    open_t *self = (open_t *)base;
    int number = s_fault (self->disk, FAULT_SYNC);
    if (number) {
        (void)s_fail (error, number, "sync", "");
        return KV_IO;
    }
    if (self->disk->deferred)
        (void)fault_files_sync_begin (base);
    else
        s_settle (self->inode, self->disk->sequence);
    return KV_OK;
}

void fault_files_defer (files_t *base, bool defer)
{
    ((disk_t *)base)->deferred = defer;
}

uint64_t fault_files_begun (const files_t *base)
{
    return ((const disk_t *)base)->sync_count;
}

void fault_files_settle (files_t *base, uint64_t begun)
{
    disk_t *self = (disk_t *)base;
    for (; self->settled < begun && self->settled < self->sync_count; self->settled++)
        fault_files_sync_end (base, self->settled);
}

uint64_t fault_files_sync_begin (file_t *base)
{
    open_t *file = (open_t *)base;
    disk_t *self = file->disk;
    self->syncs = realloc (self->syncs, (self->sync_count + 1) * sizeof *self->syncs);
    KV_ASSERT (self->syncs != NULL);
    self->syncs[self->sync_count] = (sync_t){file->inode, self->sequence};
    return self->sync_count++;
}

void fault_files_sync_end (files_t *base, uint64_t token)
{
    disk_t *self = (disk_t *)base;
    KV_ASSERT (token < self->sync_count);
    s_settle (self->syncs[token].inode, self->syncs[token].sequence);
}

static kv_status_t s_rename (files_t *base, const char *from, const char *to, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    int number = s_fault (self, FAULT_RENAME);
    if (number == 0 && !s_find (&self->seen, from))
        number = ENOENT;
    if (number)
        return s_fail (error, number, "rename", from);
    change_t change = {.kind = CHANGE_RENAME};
    s_set_name (change.name.name, from);
    s_set_name (change.to, to);
    s_change (self, change);
    return KV_OK;
}

static kv_status_t s_remove (files_t *base, const char *name, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    int number = s_fault (self, FAULT_REMOVE);
    if (number == 0 && !s_find (&self->seen, name))
        number = ENOENT;
    if (number)
        return s_fail (error, number, "remove", name);
    change_t change = {.kind = CHANGE_REMOVE};
    s_set_name (change.name.name, name);
    s_change (self, change);
    return KV_OK;
}

static kv_status_t s_list (files_t *base, files_visit_fn *visit, void *context, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    int number = s_fault (self, FAULT_LIST);
    if (number)
        return s_fail (error, number, "list", "");
    for (size_t i = 0; i < self->seen.count; i++)
        visit (context, self->seen.names[i].name);
    return KV_OK;
}

static kv_status_t s_sync_directory (files_t *base, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    int number = s_fault (self, FAULT_SYNC_DIRECTORY);
    if (number) {
        (void)s_fail (error, number, "sync the directory", "");
        return KV_IO;
    }
    s_copy_directory (&self->durable, &self->seen);
    self->change_count = 0;
    return KV_OK;
}

static kv_status_t s_lock (files_t *base, const char *name, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    if (self->locked) {
        (void)s_fail (error, EWOULDBLOCK, "lock", name);
        return KV_BUSY;
    }
    self->locked = true;
    return KV_OK;
}

/* ---- power loss -------------------------------------------------------------------------------------- */

/* One sector of one write: it survives unless an earlier write to that sector was lost (K2). */
static void s_tear_write (disk_t *self, content_t *content, const write_t *write, uint8_t *dead)
{
    uint64_t at = write->offset;
    uint64_t end = write->offset + write->size;
    while (at < end) {
        uint64_t sector = at / SECTOR_BYTES;
        uint64_t next = (sector + 1) * SECTOR_BYTES;
        uint64_t stop = next < end ? next : end;
        dead[sector] = dead[sector] || s_random (self, 4) == 0;
        if (!dead[sector])
            s_put (content, at, write->bytes + (at - write->offset), (size_t)(stop - at));
        at = stop;
    }
}

static void s_crash_inode (disk_t *self, inode_t *inode, power_mode_t mode)
{
    uint8_t *dead = calloc (1, inode->seen.size / SECTOR_BYTES + 1);
    KV_ASSERT (dead != NULL);
    bool lost_all = mode == POWER_LOSE || s_random (self, 4) == 0;
    for (const write_t *write = inode->first; write && !lost_all; write = write->next) {
        if (write->size)
            s_tear_write (self, &inode->durable, write, dead);
        else if (s_random (self, 2))
            s_extend (&inode->durable, (size_t)write->offset);
    }
    while (inode->first)
        s_pop_write (inode);
    inode->seen.size = 0;
    s_put (&inode->seen, 0, inode->durable.data, inode->durable.size);
    free (dead);
}

void fault_files_power_loss (files_t *base, power_mode_t mode)
{
    disk_t *self = (disk_t *)base;
    size_t kept = mode == POWER_LOSE ? 0 : (size_t)s_random (self, self->change_count + 1);
    for (size_t i = 0; i < kept; i++)
        s_apply_change (&self->durable, &self->changes[i]); // K3
    self->change_count = 0;
    s_copy_directory (&self->seen, &self->durable);
    for (inode_t *inode = self->inodes; inode; inode = inode->next)
        s_crash_inode (self, inode, mode);
    self->sync_count = 0;
    self->settled = 0;
    self->locked = false;
}

/* ---- what a test does to a file ------------------------------------------------------------------------ */

static inode_t *s_named (files_t *base, const char *name)
{
    const name_t *there = s_find (&((disk_t *)base)->seen, name);
    KV_ASSERT (there != NULL);
    return there->inode;
}

void fault_files_flip (files_t *base, const char *name, uint64_t offset, unsigned bit)
{
    inode_t *inode = s_named (base, name);
    s_settle (inode, UINT64_MAX);
    KV_ASSERT (offset < inode->seen.size);
    inode->seen.data[offset] ^= (uint8_t)(1U << bit);
    inode->durable.data[offset] ^= (uint8_t)(1U << bit);
}

void fault_files_cut (files_t *base, const char *name, uint64_t bytes)
{
    inode_t *inode = s_named (base, name);
    s_settle (inode, UINT64_MAX);
    KV_ASSERT (bytes <= inode->seen.size);
    inode->seen.size = (size_t)bytes;
    inode->durable.size = (size_t)bytes;
}

kv_slice_t fault_files_content (files_t *base, const char *name)
{
    const name_t *there = s_find (&((disk_t *)base)->seen, name);
    return there ? kv_slice (there->inode->seen.data, there->inode->seen.size) : kv_slice (NULL, 0);
}

files_t *fault_files_copy (files_t *base, uint64_t seed)
{
    disk_t *self = (disk_t *)base;
    files_t *copy = fault_files_new (seed, self->capacity);
    for (size_t i = 0; i < self->seen.count; i++) {
        name_t name = self->seen.names[i];
        const content_t *content = &name.inode->seen;
        name.inode = s_new_inode ((disk_t *)copy);
        s_put (&name.inode->seen, 0, content->data, content->size);
        s_put (&name.inode->durable, 0, content->data, content->size);
        s_link (&((disk_t *)copy)->seen, &name);
        s_link (&((disk_t *)copy)->durable, &name);
    }
    return copy;
}

/* ---- life -------------------------------------------------------------------------------------------- */

files_t *fault_files_new (uint64_t seed, uint64_t capacity)
{
    disk_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->base = (files_t){&s_operations, "fault"};
    self->random = seed;
    self->capacity = capacity;
    return &self->base;
}

static void s_destroy (files_t *base)
{
    disk_t *self = (disk_t *)base;
    while (self->inodes) {
        inode_t *inode = self->inodes;
        self->inodes = inode->next;
        while (inode->first)
            s_pop_write (inode);
        free (inode->seen.data);
        free (inode->durable.data);
        free (inode);
    }
    free (self->seen.names);
    free (self->durable.names);
    free (self->changes);
    free (self->syncs);
    free (self);
}

static const files_operations_t s_operations = {
    .destroy = s_destroy,
    .open = s_open,
    .close = s_close,
    .size = s_size,
    .read = s_read,
    .write = s_write,
    .allocate = s_allocate,
    .sync = s_sync,
    .rename = s_rename,
    .remove = s_remove,
    .list = s_list,
    .sync_directory = s_sync_directory,
    .lock = s_lock,
};
