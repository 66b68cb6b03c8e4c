#include "actors/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 256, HEX_BYTES = 2 * KV_UUID_BYTES };

static const char s_form[] = "kvdb-identity 1\nuuid %s\ncluster %s\n";

void random_bytes (void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom (at, size, 0);
        KV_ASSERT (got > 0 || errno == EINTR);
        at += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
    }
}

void identity_make (identity_t *out)
{
    *out = (identity_t){.created = true};
    random_bytes (out->uuid, sizeof out->uuid);
}

static uint64_t s_checksum (const char *text, size_t size)
{
    uint64_t hash = UINT64_C (0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C (0x100000001b3);
    return hash;
}

static void s_to_hex (const uint8_t *bytes, char text[HEX_BYTES + 1])
{
    for (size_t i = 0; i < KV_UUID_BYTES; i++)
        snprintf (text + 2 * i, 3, "%02x", bytes[i]);
}

static int s_digit (char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool s_from_hex (const char *text, uint8_t *bytes)
{
    for (size_t i = 0; i < KV_UUID_BYTES; i++) {
        int high = s_digit (text[2 * i]);
        int low = high < 0 ? -1 : s_digit (text[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return text[HEX_BYTES] == '\0';
}

/* The one text that stands for an identity. Returns its length. */
static size_t s_print (const identity_t *identity, char text[FILE_BYTES_MAX])
{
    char uuid[HEX_BYTES + 1];
    char cluster[HEX_BYTES + 1] = "-";
    s_to_hex (identity->uuid, uuid);
    if (identity->has_cluster)
        s_to_hex (identity->cluster_id, cluster);
    int size = snprintf (text, FILE_BYTES_MAX, s_form, uuid, cluster);
    uint64_t checksum = s_checksum (text, (size_t)size);
    size +=
        snprintf (text + size, FILE_BYTES_MAX - (size_t)size, "check %016" PRIx64 "\n", checksum);
    KV_ASSERT (size < FILE_BYTES_MAX);
    return (size_t)size;
}

/* I2: what is read is printed again, and must come out as it was. */
static bool s_parse (const char *text, identity_t *out)
{
    char uuid[HEX_BYTES + 1];
    char cluster[HEX_BYTES + 1];
    *out = (identity_t){.created = false};
    if (sscanf (text, "kvdb-identity 1 uuid %32s cluster %32s", uuid, cluster) != 2 ||
        strlen (uuid) != HEX_BYTES || !s_from_hex (uuid, out->uuid))
        return false;
    out->has_cluster = strcmp (cluster, "-") != 0;
    if (out->has_cluster &&
        (strlen (cluster) != HEX_BYTES || !s_from_hex (cluster, out->cluster_id)))
        return false;
    char expected[FILE_BYTES_MAX];
    s_print (out, expected);
    return strcmp (text, expected) == 0;
}

static kv_status_t s_fail (char *why, size_t why_bytes, const char *what, const char *path)
{
    snprintf (why, why_bytes, "cannot %s %s: %s", what, path, strerror (errno));
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

static kv_status_t s_make_directory (const char *directory, char *why, size_t why_bytes)
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

kv_status_t identity_save (const char *directory, const char *name, const identity_t *identity,
                           char *why, size_t why_bytes)
{
    char path[PATH_MAX];
    char temporary[PATH_MAX + 8];
    char text[FILE_BYTES_MAX];
    int size = snprintf (path, sizeof path, "%s/%s", directory, name);
    errno = ENAMETOOLONG;
    if (size < 0 || (size_t)size >= sizeof path)
        return s_fail (why, why_bytes, "write", directory);
    snprintf (temporary, sizeof temporary, "%s.tmp", path);
    if (s_write_file (temporary, text, s_print (identity, text)) != 0)
        return s_fail (why, why_bytes, "write", temporary);
    if (rename (temporary, path) != 0)
        return s_fail (why, why_bytes, "replace", path);
    if (s_sync_directory (directory) != 0)
        return s_fail (why, why_bytes, "sync the directory", directory);
    return KV_OK; // I1
}

/* Reads a whole small file as a string. KV_NOT_FOUND, KV_IO; KV_CORRUPT if it is no such string. */
static kv_status_t s_read_file (const char *path, char text[FILE_BYTES_MAX])
{
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? KV_NOT_FOUND : KV_IO;
    ssize_t size = read (fd, text, FILE_BYTES_MAX);
    int error = errno;
    close (fd);
    errno = error;
    if (size < 0)
        return KV_IO;
    if (size == FILE_BYTES_MAX || memchr (text, '\0', (size_t)size))
        return KV_CORRUPT;
    text[size] = '\0';
    return KV_OK;
}

kv_status_t identity_load (const char *directory, const char *name, identity_t *out, char *why,
                           size_t why_bytes)
{
    char path[PATH_MAX];
    char text[FILE_BYTES_MAX];
    int size = snprintf (path, sizeof path, "%s/%s", directory, name);
    errno = ENAMETOOLONG;
    if (size < 0 || (size_t)size >= sizeof path)
        return s_fail (why, why_bytes, "read", directory);
    kv_status_t status = s_read_file (path, text);
    if (status == KV_IO)
        return s_fail (why, why_bytes, "read", path);
    if (status == KV_NOT_FOUND) {
        identity_make (out);
        status = s_make_directory (directory, why, why_bytes);
        return status ? status : identity_save (directory, name, out, why, why_bytes);
    }
    if (status == KV_OK && s_parse (text, out))
        return KV_OK;
    snprintf (why, why_bytes,
              "%s is damaged; restore it from a backup, or, if the data in that directory is not "
              "needed, move the directory away to start as a new member",
              path);
    return KV_CORRUPT; // I2
}
