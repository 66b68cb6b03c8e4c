#include "actors/files_disk.h"

#include "actors/small_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCKS_MAX = 4, ZEROS_BYTES = 64 * 1024 };

typedef struct {
    files_t base;
    char *path; /* owned */
    int fd;     /* of the directory */
    int locks[LOCKS_MAX];
    int lock_count;
} disk_t;

typedef struct {
    file_t base;
    int fd;
    char *path; /* owned; for messages */
} disk_file_t;

/* ---- errors ------------------------------------------------------------------------------------ */

static kv_status_t s_status (int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT: return KV_DISK_FULL;
    case ENOENT: return KV_NOT_FOUND;
    default: return KV_IO;
    }
}

static kv_status_t s_fail (file_error_t *error, int number, const char *format, ...)
    KV_PRINTF (3, 4);

/* "cannot FORMAT: reason". */
static kv_status_t s_fail (file_error_t *error, int number, const char *format, ...)
{
    char what[FILES_ERROR_BYTES - 128];
    char reason[96];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (what, sizeof what, format, arguments);
    va_end (arguments);
    error->number = number;
    snprintf (error->text, sizeof error->text, "cannot %s: %s", what,
              strerror_r (number, reason, sizeof reason));
    return s_status (number);
}

/* ---- files --------------------------------------------------------------------------------------- */

static const files_operations_t s_operations;

static char *s_join (const disk_t *self, const char *name)
{
    size_t bytes = strlen (self->path) + strlen (name) + 2;
    char *path = malloc (bytes);
    KV_ASSERT (path != NULL);
    snprintf (path, bytes, "%s/%s", self->path, name);
    return path;
}

static kv_status_t s_open (files_t *base, const char *name, file_mode_t mode, file_t **file_p,
                           file_error_t *error)
{
    static const int flags[] = {
        [FILE_READ] = O_RDONLY, [FILE_WRITE] = O_RDWR, [FILE_CREATE] = O_RDWR | O_CREAT | O_TRUNC};
    disk_t *self = (disk_t *)base;
    *file_p = NULL;
    int fd = openat (self->fd, name, flags[mode] | O_CLOEXEC, 0600);
    if (fd < 0)
        return s_fail (error, errno, "%s %s/%s", mode == FILE_CREATE ? "create" : "open",
                       self->path, name);
    disk_file_t *file = calloc (1, sizeof *file);
    KV_ASSERT (file != NULL);
    *file = (disk_file_t){.base = {&s_operations}, .fd = fd, .path = s_join (self, name)};
    *file_p = &file->base;
    return KV_OK;
}

/* The file's path, for messages: it may have another name than the one it was opened by. errno stays. */
static const char *s_path (const disk_file_t *self, char path[FILES_ERROR_BYTES])
{
    char link[32];
    snprintf (link, sizeof link, "/proc/self/fd/%d", self->fd);
    int number = errno;
    ssize_t size = readlink (link, path, FILES_ERROR_BYTES - 1);
    errno = number;
    if (size <= 0)
        return self->path;
    path[size] = '\0';
    return path;
}

static void s_close (file_t *base)
{
    disk_file_t *self = (disk_file_t *)base;
    close (self->fd); /* what mattered was synced: there is nothing to be learnt here */
    free (self->path);
    free (self);
}

static kv_status_t s_size (file_t *base, uint64_t *bytes, file_error_t *error)
{
    disk_file_t *self = (disk_file_t *)base;
    char path[FILES_ERROR_BYTES];
    struct stat status;
    if (fstat (self->fd, &status) != 0)
        return s_fail (error, errno, "look at %s", s_path (self, path));
    *bytes = (uint64_t)status.st_size;
    return KV_OK;
}

static kv_status_t s_read (file_t *base, uint64_t offset, void *out, size_t bytes, size_t *got,
                           file_error_t *error)
{
    disk_file_t *self = (disk_file_t *)base;
    char path[FILES_ERROR_BYTES];
    uint8_t *at = out;
    *got = 0;
    while (*got < bytes) {
        ssize_t count = pread (self->fd, at + *got, bytes - *got, (off_t)(offset + *got));
        if (count == 0)
            break;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return s_fail (error, errno, "read %s at %" PRIu64, s_path (self, path), offset + *got);
        *got += (size_t)count;
    }
    return KV_OK;
}

static kv_status_t s_write (file_t *base, uint64_t offset, kv_slice_t bytes, file_error_t *error)
{
    disk_file_t *self = (disk_file_t *)base;
    char path[FILES_ERROR_BYTES];
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t count =
            pwrite (self->fd, bytes.data + done, bytes.size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return s_fail (error, count < 0 ? errno : EIO, "write %s at %" PRIu64,
                           s_path (self, path), offset + done);
        done += (size_t)count;
    }
    return KV_OK;
}

/* For file systems that cannot reserve space otherwise. */
static kv_status_t s_fill (disk_file_t *self, uint64_t from, uint64_t to, file_error_t *error)
{
    static const uint8_t zeros[ZEROS_BYTES];
    while (from < to) {
        size_t bytes = to - from < ZEROS_BYTES ? (size_t)(to - from) : ZEROS_BYTES;
        kv_status_t status = s_write (&self->base, from, kv_slice (zeros, bytes), error);
        if (status)
            return status;
        from += bytes;
    }
    return KV_OK;
}

static kv_status_t s_allocate (file_t *base, uint64_t bytes, file_error_t *error)
{
    disk_file_t *self = (disk_file_t *)base;
    char path[FILES_ERROR_BYTES];
    uint64_t size = 0;
    kv_status_t status = s_size (base, &size, error);
    if (status || size >= bytes)
        return status;
    int number;
    do
        number = posix_fallocate (self->fd, (off_t)size, (off_t)(bytes - size));
    while (number == EINTR);
    if (number == EOPNOTSUPP || number == EINVAL)
        return s_fill (self, size, bytes, error);
    return number ? s_fail (error, number, "reserve %llu bytes for %s", (unsigned long long)bytes,
                            s_path (self, path))
                  : KV_OK;
}

static kv_status_t s_sync (file_t *base, file_error_t *error)
{
    disk_file_t *self = (disk_file_t *)base;
    char path[FILES_ERROR_BYTES];
    if (fdatasync (self->fd) == 0)
        return KV_OK;
    (void)s_fail (error, errno, "sync %s", s_path (self, path));
    return KV_IO; // G5
}

/* ---- the directory ------------------------------------------------------------------------------- */

static kv_status_t s_rename (files_t *base, const char *from, const char *to, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    if (renameat (self->fd, from, self->fd, to) == 0)
        return KV_OK;
    return s_fail (error, errno, "rename %s/%s to %s", self->path, from, to);
}

static kv_status_t s_remove (files_t *base, const char *name, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    if (unlinkat (self->fd, name, 0) == 0)
        return KV_OK;
    return s_fail (error, errno, "remove %s/%s", self->path, name);
}

static bool s_is_plain (const disk_t *self, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_REG;
    return fstatat (self->fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG (status.st_mode);
}

static kv_status_t s_list (files_t *base, files_visit_fn *visit, void *context, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    int fd = openat (self->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir (fd);
    if (!directory) {
        int number = errno;
        if (fd >= 0)
            close (fd);
        return s_fail (error, number, "list %s", self->path);
    }
    const struct dirent *entry;
    while (errno = 0, (entry = readdir (directory)) != NULL) {
        if (s_is_plain (self, entry))
            visit (context, entry->d_name);
    }
    int number = errno;
    closedir (directory);
    return number ? s_fail (error, number, "list %s", self->path) : KV_OK;
}

static kv_status_t s_sync_directory (files_t *base, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    if (fsync (self->fd) == 0)
        return KV_OK;
    (void)s_fail (error, errno, "sync the directory %s", self->path);
    return KV_IO;
}

/* ---- locks --------------------------------------------------------------------------------------- */

/* Tells of the process that has the lock: it has written its number, unless its disk was full. */
static kv_status_t s_busy (const disk_t *self, const char *name, int fd, file_error_t *error)
{
    char text[32] = "";
    char owner[48] = "";
    ssize_t count = pread (fd, text, sizeof text - 1, 0);
    long pid = count > 0 ? strtol (text, NULL, 10) : 0;
    if (pid > 0)
        snprintf (owner, sizeof owner, ", process %ld,", pid);
    error->number = EWOULDBLOCK;
    snprintf (
        error->text, sizeof error->text,
        "another process%s uses %s (it has locked %s there); end it, or give another directory",
        owner, self->path, name);
    return KV_BUSY;
}

static kv_status_t s_lock (files_t *base, const char *name, file_error_t *error)
{
    disk_t *self = (disk_t *)base;
    KV_ASSERT (self->lock_count < LOCKS_MAX);
    int fd = openat (self->fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return s_fail (error, errno, "create the lock file %s/%s", self->path, name);
    if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
        int number = errno;
        kv_status_t status = number == EWOULDBLOCK
                                 ? s_busy (self, name, fd, error)
                                 : s_fail (error, number, "lock %s/%s", self->path, name);
        close (fd);
        return status;
    }
    self->locks[self->lock_count++] = fd;
    char text[32];
    int size = snprintf (text, sizeof text, "%ld\n", (long)getpid ());
    /* For the message above only: a disk without room for it does not matter. */
    if (ftruncate (fd, 0) == 0)
        (void)!pwrite (fd, text, (size_t)size, 0);
    return KV_OK;
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void s_destroy (files_t *base)
{
    disk_t *self = (disk_t *)base;
    for (int i = 0; i < self->lock_count; i++)
        close (self->locks[i]);
    close (self->fd);
    free (self->path);
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

kv_status_t files_disk_open_there (const char *directory, files_t **files_p, file_error_t *error)
{
    *files_p = NULL;
    int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return s_fail (error, errno, "open the directory %s", directory);
    disk_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->path = strdup (directory);
    KV_ASSERT (self->path != NULL);
    self->base = (files_t){&s_operations, self->path};
    self->fd = fd;
    *files_p = &self->base;
    return KV_OK;
}

kv_status_t files_disk_open (const char *directory, files_t **files_p, file_error_t *error)
{
    *files_p = NULL;
    if (small_file_make_directory (directory, error->text, sizeof error->text)) {
        error->number = errno;
        return s_status (error->number) == KV_DISK_FULL ? KV_DISK_FULL : KV_IO;
    }
    return files_disk_open_there (directory, files_p, error);
}
