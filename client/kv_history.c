#include "client/kv_history.h"

#include "schema/status.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- The path --- */

static char *s_join (const char *folder, const char *name)
{
    size_t size = strlen (folder) + strlen (name) + 2;
    char *path = malloc (size);
    KV_ASSERT (path != NULL);
    snprintf (path, size, "%s/%s", folder, name);
    return path;
}

char *kv_history_path (const char *given, const char *state_home, const char *home)
{
    if (given)
        return *given ? strdup (given) : NULL;
    if (state_home && *state_home == '/') {
        char *folder = s_join (state_home, "kvdb");
        mkdir (state_home, 0700);
        mkdir (folder, 0700);
        char *path = s_join (folder, "history");
        free (folder);
        return path;
    }
    return home && *home ? s_join (home, ".kvdb_history") : NULL;
}

/* --- Files --- */

/* Opens a regular file (F5), at most as open to others as F2 allows; -1 if that fails. */
static int s_open (const char *path, int flags)
{
    int fd = open (path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    struct stat about;
    if (fd < 0)
        return -1;
    if (fstat (fd, &about) != 0 || !S_ISREG (about.st_mode)) {
        close (fd);
        return -1;
    }
    if ((about.st_mode & 077) != 0 && about.st_uid == geteuid () && fchmod (fd, 0600) != 0) {
        close (fd);
        return -1;
    }
    return fd;
}

static bool s_write (int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write (fd, data, size);
        if (wrote <= 0)
            return false;
        data += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

/* The end of the file, HISTORY_FILE_BYTES at most, ended by a newline and a NUL; NULL if it cannot
 * be read. `whole`: it does not have more. */
static char *s_read (const char *path, size_t *size, bool *whole)
{
    int fd = s_open (path, O_RDONLY);
    if (fd < 0)
        return NULL;
    off_t end = lseek (fd, 0, SEEK_END);
    off_t start = end > HISTORY_FILE_BYTES ? end - HISTORY_FILE_BYTES : 0;
    char *data = malloc (HISTORY_FILE_BYTES + 2);
    KV_ASSERT (data != NULL);
    *whole = start == 0;
    *size = 0;
    while (*size < HISTORY_FILE_BYTES) {
        ssize_t got = pread (fd, data + *size, HISTORY_FILE_BYTES - *size, start + (off_t)*size);
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    close (fd);
    data[(*size)++] = '\n';
    data[*size] = '\0';
    return data;
}

/* --- Lines --- */

/* Bytes of a printable UTF-8 character at the start, 0 if there is none. */
static size_t s_character (const uint8_t *at, size_t left)
{
    if (at[0] < 0x80)
        return at[0] >= ' ' && at[0] != 0x7f ? 1 : 0;
    size_t size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || left < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    bool control = at[0] == 0xc2 && at[1] < 0xa0;
    return control ? 0 : size;
}

static bool s_is_kept (kv_slice_t line)
{
    if (line.size == 0 || line.size > HISTORY_LINE_BYTES || line.data[0] == ' ')
        return false;
    for (size_t i = 0; i < line.size;) {
        size_t size = s_character (line.data + i, line.size - i);
        if (size == 0) // F4
            return false;
        i += size;
    }
    return true;
}

/* Writes the kept lines of `data` beside the file and puts them in its place. */
static void s_rewrite (const char *path, const char *data, size_t size)
{
    char *beside = malloc (strlen (path) + 32);
    KV_ASSERT (beside != NULL);
    sprintf (beside, "%s.%ld", path, (long)getpid ());
    int fd = s_open (beside, O_WRONLY | O_CREAT | O_EXCL);
    if (fd >= 0) {
        bool written = s_write (fd, data, size);
        if (close (fd) != 0 || !written || rename (beside, path) != 0)
            unlink (beside);
    }
    free (beside);
}

/* Drops what is not kept from `data`, in place; returns its new size and counts the lines. */
static size_t s_sift (char *data, size_t size, size_t *count)
{
    size_t kept = 0;
    *count = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr (data + at, '\n', size - at);
        KV_ASSERT (end != NULL);
        size_t length = (size_t)(end - data) - at;
        if (s_is_kept (kv_slice (data + at, length))) {
            memmove (data + kept, data + at, length + 1);
            kept += length + 1;
            ++*count;
        }
        at += length + 1;
    }
    return kept;
}

void kv_history_load (const char *path, void (*line) (void *context, const char *text),
                      void *context)
{
    size_t size;
    size_t count;
    bool whole;
    char *data = s_read (path, &size, &whole);
    if (!data)
        return;
    char *at = data;
    if (!whole) /* it begins within a line */
        at = (char *)memchr (data, '\n', size) + 1;
    size = s_sift (at, size - (size_t)(at - data), &count);
    char *end = at + size;
    bool over = count > 2 * HISTORY_LINES || !whole; // F3
    for (; count > HISTORY_LINES; count--)
        at = (char *)memchr (at, '\n', (size_t)(end - at)) + 1;
    if (over)
        s_rewrite (path, at, (size_t)(end - at));
    while (at < end) {
        char *stop = memchr (at, '\n', (size_t)(end - at));
        *stop = '\0';
        line (context, at);
        at = stop + 1;
    }
    free (data);
}

bool kv_history_add (const char *path, kv_slice_t line)
{
    if (!s_is_kept (line))
        return false;
    int fd = path ? s_open (path, O_RDWR | O_CREAT | O_APPEND) : -1;
    if (fd < 0)
        return true;
    char text[HISTORY_LINE_BYTES + 2];
    size_t size = 0;
    off_t end = lseek (fd, 0, SEEK_END);
    if (end > 0 && pread (fd, text, 1, end - 1) == 1 && text[0] != '\n')
        text[size++] = '\n'; /* the last line was torn */
    memcpy (text + size, line.data, line.size);
    size += line.size;
    text[size++] = '\n';
    (void)s_write (fd, text, size); // F1
    close (fd);
    return true;
}
