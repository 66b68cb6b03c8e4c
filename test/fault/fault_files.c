#include "test/fault/fault_files.h"

#include "test/fault/fault_inode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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
    uint64_t losses; /* of power, so far */
    bool deferred, locked;
} disk_t;

typedef struct {
    file_t base;
    disk_t *disk; /* borrowed */
    inode_t *inode;
    uint64_t losses;  /* of the disk, when it was opened */
    bool sync_failed; /* G5 */
    char name[FILES_NAME_BYTES_MAX + 1];
} open_t;

static const files_operations_t s_operations;

static uint64_t s_random (disk_t *self, uint64_t below)
{
    return fault_random (&self->random, below);
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

/* The same of a file that is open: one of before the power was lost is of no use. */
static int s_file_fault (open_t *self, fault_operation_t operation)
{
    int number = s_fault (self->disk, operation);
    return self->losses == self->disk->losses ? number : EIO;
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
    inode_t *inode = inode_new ();
    inode->next = self->inodes;
    self->inodes = inode;
    return inode;
}

/* How many bytes more there is room for. */
static uint64_t s_room (const disk_t *self)
{
    uint64_t used = 0;
    for (size_t i = 0; i < self->seen.count; i++)
        used += self->seen.names[i].inode->seen.size;
    if (self->capacity == 0)
        return UINT64_MAX;
    return used < self->capacity ? self->capacity - used : 0;
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
    if (mode == FILE_CREATE && there) {
        inode_empty (inode, ++self->sequence);
    } else if (mode == FILE_CREATE) {
        inode = s_new_inode (self);
        change_t change = {.kind = CHANGE_LINK, .name = {.inode = inode}};
        s_set_name (change.name.name, name);
        s_change (self, change);
    }
    open_t *file = calloc (1, sizeof *file);
    KV_ASSERT (file != NULL);
    *file = (open_t){.base = {&s_operations}, .disk = self, .inode = inode, .losses = self->losses};
    s_set_name (file->name, name);
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
    int number = s_file_fault (self, FAULT_READ);
    *got = 0;
    if (number)
        return s_fail (error, number, "read", self->name);
    const content_t *seen = &self->inode->seen;
    if (offset >= seen->size)
        return KV_OK;
    *got = bytes < seen->size - offset ? bytes : seen->size - (size_t)offset;
    memcpy (out, seen->data + offset, *got);
    return KV_OK;
}

/* What a write that fails has done: a first part of it, as far as there is room. */
static void s_write_part (open_t *self, uint64_t offset, kv_slice_t bytes, uint64_t room)
{
    uint64_t size = self->inode->seen.size;
    uint64_t most = room < UINT64_MAX - size ? size + room : UINT64_MAX; /* the file may become */
    size_t part = (size_t)s_random (self->disk, bytes.size + 1);
    if (offset < most && part > most - offset)
        part = (size_t)(most - offset);
    if (offset < most)
        inode_write (self->inode, ++self->disk->sequence, offset, kv_slice (bytes.data, part));
}

static kv_status_t s_write (file_t *base, uint64_t offset, kv_slice_t bytes, file_error_t *error)
{
    open_t *self = (open_t *)base;
    int number = s_file_fault (self, FAULT_WRITE);
    uint64_t end = offset + bytes.size;
    uint64_t size = self->inode->seen.size;
    uint64_t room = s_room (self->disk);
    if (number == 0 && end > size && end - size > room)
        number = ENOSPC;
    if (number == 0)
        inode_write (self->inode, ++self->disk->sequence, offset, bytes);
    else if (self->losses == self->disk->losses)
        s_write_part (self, offset, bytes, room);
    return number ? s_fail (error, number, "write", self->name) : KV_OK; // G3
}

static kv_status_t s_allocate (file_t *base, uint64_t bytes, file_error_t *error)
{
    open_t *self = (open_t *)base;
    int number = s_file_fault (self, FAULT_ALLOCATE);
    uint64_t size = self->inode->seen.size;
    if (number == 0 && bytes > size && bytes - size > s_room (self->disk))
        number = ENOSPC;
    if (number)
        return s_fail (error, number, "reserve space for", self->name);
    if (bytes > size)
        inode_extend (self->inode, ++self->disk->sequence, bytes);
    return KV_OK;
}

static kv_status_t s_sync (file_t *base, file_error_t *error)
{
    open_t *self = (open_t *)base;
    KV_ASSERT (!self->sync_failed); // G5
    int number = s_file_fault (self, FAULT_SYNC);
    if (number) {
        self->sync_failed = true;
        (void)s_fail (error, number, "sync", self->name);
        return KV_IO;
    }
    if (self->disk->deferred)
        (void)fault_files_sync_begin (base);
    else
        inode_settle (self->inode, self->disk->sequence);
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
    inode_settle (self->syncs[token].inode, self->syncs[token].sequence);
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

void fault_files_unlock (files_t *base)
{
    ((disk_t *)base)->locked = false;
}

/* ---- power loss -------------------------------------------------------------------------------------- */

void fault_files_power_loss (files_t *base, power_mode_t mode)
{
    disk_t *self = (disk_t *)base;
    size_t kept = mode == POWER_LOSE ? 0 : (size_t)s_random (self, self->change_count + 1);
    for (size_t i = 0; i < kept; i++)
        s_apply_change (&self->durable, &self->changes[i]); // K3
    self->change_count = 0;
    s_copy_directory (&self->seen, &self->durable);
    for (inode_t *inode = self->inodes; inode; inode = inode->next)
        inode_crash (inode, mode == POWER_TEAR, &self->random); // K2
    self->losses++;
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
    inode_settle (inode, UINT64_MAX);
    KV_ASSERT (offset < inode->seen.size);
    inode->seen.data[offset] ^= (uint8_t)(1U << bit);
    inode->durable.data[offset] ^= (uint8_t)(1U << bit);
}

void fault_files_cut (files_t *base, const char *name, uint64_t bytes)
{
    inode_t *inode = s_named (base, name);
    inode_settle (inode, UINT64_MAX);
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
        inode_set (name.inode, kv_slice (content->data, content->size));
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
        inode_destroy (&inode);
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
