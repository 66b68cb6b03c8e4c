#include "actors/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static kv_status_t s_fail (char *why, size_t why_bytes, const char *what, const char *path)
{
    int number = errno;
    snprintf (why, why_bytes, "cannot %s %s: %s", what, path, strerror (number));
    errno = number;
    return KV_IO;
}

static int s_sync_directory (const char *path)
{
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync (fd);
    int error = errno;
    close (fd);
    errno = error;
    return rc;
}

/* Makes one directory and sees to it that its parent remembers. */
static int s_make_one (char *path)
{
    if (mkdir (path, 0700) != 0)
        return errno == EEXIST ? 0 : -1;
    char *slash = strrchr (path, '/');
    if (!slash)
        return s_sync_directory (".");
    if (slash == path)
        return s_sync_directory ("/");
    *slash = '\0';
    int rc = s_sync_directory (path);
    *slash = '/';
    return rc;
}

kv_status_t small_file_make_directory (const char *directory, char *why, size_t why_bytes)
{
    char path[PATH_MAX];
    int size = snprintf (path, sizeof path, "%s", directory);
    errno = ENAMETOOLONG;
    if (size <= 0 || (size_t)size >= sizeof path)
        return s_fail (why, why_bytes, "create the directory", directory);
    while (size > 1 && path[size - 1] == '/')
        path[--size] = '\0';
    for (char *slash = strchr (path + 1, '/'); slash; slash = strchr (slash + 1, '/')) {
        *slash = '\0';
        int rc = s_make_one (path);
        *slash = '/';
        if (rc != 0)
            return s_fail (why, why_bytes, "create the directory", directory);
    }
    struct stat found;
    if (s_make_one (path) != 0 || stat (path, &found) != 0)
        return s_fail (why, why_bytes, "create the directory", directory);
    errno = ENOTDIR;
    return S_ISDIR (found.st_mode) ? KV_OK
                                   : s_fail (why, why_bytes, "create the directory", directory);
}

static int s_write_file (const char *path, const char *text, size_t size)
{
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    ssize_t wrote = write (fd, text, size);
    int rc = wrote == (ssize_t)size ? fsync (fd) : -1;
    int error = wrote >= 0 && wrote < (ssize_t)size ? ENOSPC : errno;
    close (fd);
    errno = error;
    return rc;
}

/* DIRECTORY/NAME; false, with errno set, if it is too long. */
static bool s_join (char path[PATH_MAX], const char *directory, const char *name)
{
    int size = snprintf (path, PATH_MAX, "%s/%s", directory, name);
    errno = ENAMETOOLONG;
    return size > 0 && size < PATH_MAX;
}

kv_status_t small_file_replace (const char *directory, const char *name, kv_slice_t text, char *why,
                                size_t why_bytes)
{
    char path[PATH_MAX];
    char temporary[PATH_MAX + 8];
    if (!s_join (path, directory, name))
        return s_fail (why, why_bytes, "write", directory);
    kv_status_t status = small_file_make_directory (directory, why, why_bytes);
    if (status)
        return status;
    snprintf (temporary, sizeof temporary, "%s.tmp", path);
    if (s_write_file (temporary, (const char *)text.data, text.size) != 0)
        return s_fail (why, why_bytes, "write", temporary);
    if (rename (temporary, path) != 0)
        return s_fail (why, why_bytes, "replace", path);
    if (s_sync_directory (directory) != 0)
        return s_fail (why, why_bytes, "sync the directory", directory);
    return KV_OK; // F1
}

kv_status_t small_file_read (const char *directory, const char *name, char *text, size_t text_bytes,
                             char *why, size_t why_bytes)
{
    char path[PATH_MAX];
    if (!s_join (path, directory, name))
        return s_fail (why, why_bytes, "read", directory);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? KV_NOT_FOUND : s_fail (why, why_bytes, "read", path);
    ssize_t size = read (fd, text, text_bytes);
    int error = errno;
    close (fd);
    errno = error;
    if (size < 0)
        return s_fail (why, why_bytes, "read", path);
    if ((size_t)size == text_bytes || memchr (text, '\0', (size_t)size))
        return KV_CORRUPT;
    text[size] = '\0';
    return KV_OK;
}
