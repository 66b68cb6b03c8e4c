/* files - the files of one directory, as an interface that is passed in: the real ones (files_disk.h),
 * or a disk that a test breaks on purpose (test/fault/fault_files.h).
 *
 *   G1  names are plain names in that directory, without '/'.
 *   G2  what was written is seen by every later read at once; it survives the machine once file_sync
 *       has returned KV_OK, and under its name once files_sync_directory has.
 *   G3  a write is whole or fails; a failed one may have been done in part.
 *   G4  after file_allocate, writes within those bytes need no more space (where the file system
 *       writes in place).
 *   G5  a failed file_sync is never repeated by whoever asked (R20).
 *
 * Every failure puts a line into `error`: operation, path and the system's reason. Different files may
 * be used by different threads, and one file be written by one thread while another one syncs it. */
#ifndef KVDB_ACTORS_FILES_H
#define KVDB_ACTORS_FILES_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct files files_t;
typedef struct file file_t;

enum { FILES_NAME_BYTES_MAX = 255, FILES_ERROR_BYTES = 512 };

typedef struct {
    int number; /* errno, or 0 */
    char text[FILES_ERROR_BYTES];
} file_error_t;

typedef enum {
    FILE_READ,  /* must be there */
    FILE_WRITE, /* must be there; may be read as well */
    FILE_CREATE /* is made (0600); one that is there is emptied */
} file_mode_t;

typedef void (files_visit_fn) (void *context, const char *name);

/* The operations of an implementation; their users call the functions below. */
typedef struct {
    void (*destroy) (files_t *self);
    kv_status_t (*open) (files_t *self, const char *name, file_mode_t mode, file_t **file_p,
                         file_error_t *error);
    void (*close) (file_t *file);
    kv_status_t (*size) (file_t *file, uint64_t *bytes, file_error_t *error);
    kv_status_t (*read) (file_t *file, uint64_t offset, void *out, size_t bytes, size_t *got,
                         file_error_t *error);
    kv_status_t (*write) (file_t *file, uint64_t offset, kv_slice_t bytes, file_error_t *error);
    kv_status_t (*allocate) (file_t *file, uint64_t bytes, file_error_t *error);
    kv_status_t (*sync) (file_t *file, file_error_t *error);
    kv_status_t (*rename) (files_t *self, const char *from, const char *to, file_error_t *error);
    kv_status_t (*remove) (files_t *self, const char *name, file_error_t *error);
    kv_status_t (*list) (files_t *self, files_visit_fn *visit, void *context, file_error_t *error);
    kv_status_t (*sync_directory) (files_t *self, file_error_t *error);
    kv_status_t (*lock) (files_t *self, const char *name, file_error_t *error);
} files_operations_t;

/* An implementation's own struct begins with one of these. */
struct files {
    const files_operations_t *operations;
    const char *path; /* of the directory, for messages */
};
struct file {
    const files_operations_t *operations;
};

static inline void files_destroy (files_t **self_p)
{
    if (*self_p)
        (*self_p)->operations->destroy (*self_p);
    *self_p = NULL;
}

/* KV_NOT_FOUND; KV_DISK_FULL: no room for another file; KV_IO. */
KV_CHECK_RESULT static inline kv_status_t
files_open (files_t *self, const char *name, file_mode_t mode, file_t **file_p, file_error_t *error)
{
    return self->operations->open (self, name, mode, file_p, error);
}

static inline void file_close (file_t **file_p)
{
    if (*file_p)
        (*file_p)->operations->close (*file_p);
    *file_p = NULL;
}

KV_CHECK_RESULT static inline kv_status_t file_size (file_t *file, uint64_t *bytes,
                                                     file_error_t *error)
{
    return file->operations->size (file, bytes, error);
}

/* Reads up to `bytes`; `got` is less only at the end of the file. KV_IO. */
KV_CHECK_RESULT static inline kv_status_t file_read (file_t *file, uint64_t offset, void *out,
                                                     size_t bytes, size_t *got, file_error_t *error)
{
    return file->operations->read (file, offset, out, bytes, got, error);
}

/* G3. KV_DISK_FULL, KV_IO. */
KV_CHECK_RESULT static inline kv_status_t file_write (file_t *file, uint64_t offset,
                                                      kv_slice_t bytes, file_error_t *error)
{
    return file->operations->write (file, offset, bytes, error);
}

/* Makes the file at least so long, new bytes being zero (G4). KV_DISK_FULL, KV_IO. */
KV_CHECK_RESULT static inline kv_status_t file_allocate (file_t *file, uint64_t bytes,
                                                         file_error_t *error)
{
    return file->operations->allocate (file, bytes, error);
}

/* G2, G5. KV_IO, whatever the reason. */
KV_CHECK_RESULT static inline kv_status_t file_sync (file_t *file, file_error_t *error)
{
    return file->operations->sync (file, error);
}

/* Replaces what `to` names. KV_NOT_FOUND, KV_DISK_FULL, KV_IO. */
KV_CHECK_RESULT static inline kv_status_t files_rename (files_t *self, const char *from,
                                                        const char *to, file_error_t *error)
{
    return self->operations->rename (self, from, to, error);
}

/* KV_NOT_FOUND, KV_IO. */
KV_CHECK_RESULT static inline kv_status_t files_remove (files_t *self, const char *name,
                                                        file_error_t *error)
{
    return self->operations->remove (self, name, error);
}

/* Visits the names of all plain files, in no order; `visit` must not change the directory. */
KV_CHECK_RESULT static inline kv_status_t files_list (files_t *self, files_visit_fn *visit,
                                                      void *context, file_error_t *error)
{
    return self->operations->list (self, visit, context, error);
}

KV_CHECK_RESULT static inline kv_status_t files_sync_directory (files_t *self, file_error_t *error)
{
    return self->operations->sync_directory (self, error);
}

/* Takes the lock file of that name, making it, until files_destroy or the end of the process. KV_BUSY:
 * somebody else has it (another process, or another files_t of this one). */
KV_CHECK_RESULT static inline kv_status_t files_lock (files_t *self, const char *name,
                                                      file_error_t *error)
{
    return self->operations->lock (self, name, error);
}

#endif
