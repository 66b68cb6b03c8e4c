/* Goal: the interface's rules hold on a real directory, and every failure says what and where. Method: a
 * folder under the system's temporary one; a limit of file sizes cuts writes short, and two functions of
 * the system are ours, to refuse when they are told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/files_disk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char root[64], path[96]; /* the directory is to be made */
    files_t *files;
    file_error_t error;
} bed_t;

static int s_set_up (void **state)
{
    bed_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    snprintf (self->root, sizeof self->root, "/tmp/kvdb-files-XXXXXX");
    assert_non_null (mkdtemp (self->root));
    snprintf (self->path, sizeof self->path, "%s/a/b", self->root);
    assert_int_equal (files_disk_open (self->path, &self->files, &self->error), KV_OK);
    *state = self;
    return 0;
}

static void s_remove (void *context, const char *name)
{
    bed_t *self = context;
    assert_int_equal (files_remove (self->files, name, &self->error), KV_OK);
}

static int s_tear_down (void **state)
{
    bed_t *self = *state;
    char a[80];
    assert_int_equal (files_list (self->files, s_remove, self, &self->error), KV_OK);
    files_destroy (&self->files);
    snprintf (a, sizeof a, "%s/a", self->root);
    assert_int_equal (rmdir (self->path), 0);
    assert_int_equal (rmdir (a), 0);
    assert_int_equal (rmdir (self->root), 0);
    free (self);
    return 0;
}

static file_t *s_open (bed_t *self, const char *name, file_mode_t mode)
{
    file_t *file;
    assert_int_equal (files_open (self->files, name, mode, &file, &self->error), KV_OK);
    return file;
}

static void test_files_disk_reads_what_it_wrote (void **state)
{
    bed_t *self = *state;
    char out[16];
    size_t got;
    uint64_t bytes;
    file_t *file = s_open (self, "one", FILE_CREATE);
    assert_int_equal (file_write (file, 3, kv_slice_text ("hello"), &self->error), KV_OK);
    assert_int_equal (file_size (file, &bytes, &self->error), KV_OK);
    assert_int_equal (bytes, 8);
    assert_int_equal (file_sync (file, &self->error), KV_OK);
    assert_int_equal (file_read (file, 0, out, sizeof out, &got, &self->error), KV_OK);
    assert_int_equal (got, 8);
    assert_memory_equal (out, "\0\0\0hello", 8);
    assert_int_equal (file_allocate (file, 5000, &self->error), KV_OK);
    assert_int_equal (file_allocate (file, 100, &self->error), KV_OK); /* never shorter */
    assert_int_equal (file_size (file, &bytes, &self->error), KV_OK);
    assert_int_equal (bytes, 5000);
    file_close (&file);
    assert_null (file);
    file = s_open (self, "one", FILE_WRITE);
    assert_int_equal (file_read (file, 4998, out, sizeof out, &got, &self->error), KV_OK);
    assert_int_equal (got, 2);
    file_close (&file);
    file = s_open (self, "one", FILE_CREATE);
    assert_int_equal (file_size (file, &bytes, &self->error), KV_OK);
    assert_int_equal (bytes, 0);
    file_close (&file);
}

static void test_files_disk_keeps_others_out (void **state)
{
    bed_t *self = *state;
    struct stat status;
    char path[128];
    file_t *file = s_open (self, "one", FILE_CREATE);
    file_close (&file);
    snprintf (path, sizeof path, "%s/one", self->path);
    assert_int_equal (stat (path, &status), 0);
    assert_int_equal (status.st_mode & 0777, 0600);
    assert_int_equal (stat (self->path, &status), 0);
    assert_int_equal (status.st_mode & 0777, 0700);
}

static void s_count (void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
}

static void test_files_disk_names (void **state)
{
    bed_t *self = *state;
    file_t *file = s_open (self, "one", FILE_CREATE);
    file_close (&file);
    file = s_open (self, "two", FILE_CREATE);
    file_close (&file);
    assert_int_equal (files_rename (self->files, "one", "two", &self->error), KV_OK);
    assert_int_equal (files_sync_directory (self->files, &self->error), KV_OK);
    int count = 0;
    assert_int_equal (files_list (self->files, s_count, &count, &self->error), KV_OK);
    assert_int_equal (count, 1);
    assert_int_equal (files_remove (self->files, "two", &self->error), KV_OK);
    assert_int_equal (files_open (self->files, "two", FILE_READ, &file, &self->error),
                      KV_NOT_FOUND);
    assert_null (file);
    assert_int_equal (self->error.number, ENOENT);
    assert_non_null (strstr (self->error.text, "a/b/two: No such file"));
    assert_int_equal (files_remove (self->files, "two", &self->error), KV_NOT_FOUND);
    assert_int_equal (files_rename (self->files, "two", "one", &self->error), KV_NOT_FOUND);
}

static void test_files_disk_lock_is_for_one (void **state)
{
    bed_t *self = *state;
    files_t *other;
    char pid[32];
    assert_int_equal (files_disk_open (self->path, &other, &self->error), KV_OK);
    assert_int_equal (files_lock (self->files, "lock", &self->error), KV_OK);
    assert_int_equal (files_lock (other, "lock", &self->error), KV_BUSY);
    snprintf (pid, sizeof pid, "process %ld, uses ", (long)getpid ());
    assert_non_null (strstr (self->error.text, pid));
    files_destroy (&self->files);
    assert_int_equal (files_lock (other, "lock", &self->error), KV_OK);
    self->files = other;
}

static void test_files_disk_lock_of_an_unknown_process (void **state)
{
    bed_t *self = *state;
    files_t *other;
    file_t *file;
    assert_int_equal (files_disk_open_there (self->path, &other, &self->error), KV_OK);
    assert_int_equal (files_lock (self->files, "lock", &self->error), KV_OK);
    assert_int_equal (files_lock (other, "lock.2", &self->error), KV_OK); /* another lock */
    file = s_open (self, "lock", FILE_CREATE);                            /* its number is gone */
    file_close (&file);
    assert_int_equal (files_lock (other, "lock", &self->error), KV_BUSY);
    assert_int_equal (self->error.number, EWOULDBLOCK);
    assert_non_null (strstr (self->error.text, "another process uses "));
    assert_non_null (strstr (self->error.text, self->path));
    files_destroy (&other);
}

static void test_files_disk_lists_plain_files_only (void **state)
{
    bed_t *self = *state;
    char folder[128], link[128];
    int count = 0;
    snprintf (folder, sizeof folder, "%s/folder", self->path);
    snprintf (link, sizeof link, "%s/link", self->path);
    assert_int_equal (mkdir (folder, 0700), 0);
    assert_int_equal (symlink ("folder", link), 0);
    file_t *file = s_open (self, "one", FILE_CREATE);
    file_close (&file);
    for (int i = 0; i < 2; i++) { /* listing starts at the first name each time */
        assert_int_equal (files_list (self->files, s_count, &count, &self->error), KV_OK);
        assert_int_equal (count, i + 1);
    }
    assert_int_equal (files_remove (self->files, "folder", &self->error), KV_IO);
    assert_int_equal (unlink (link), 0);
    assert_int_equal (rmdir (folder), 0);
}

/* ---- failures ------------------------------------------------------------------------------------ */

static struct {
    int allocate, sync; /* the errno to refuse with; 0: work */
    int interrupts;     /* of so many allocations */
} s_system;

/* In place of the C library's. */
int posix_fallocate (int fd, off_t offset, off_t bytes)
{
    if (s_system.interrupts > 0 && s_system.interrupts--)
        return EINTR;
    if (s_system.allocate)
        return s_system.allocate;
    return ftruncate (fd, offset + bytes) == 0 ? 0 : errno;
}

int fdatasync (int fd)
{
    errno = s_system.sync;
    return s_system.sync ? -1 : fsync (fd);
}

static void test_files_disk_allocates_where_the_system_cannot (void **state)
{
    bed_t *self = *state;
    uint8_t out[200000];
    size_t got;
    static const int refusals[] = {EOPNOTSUPP, EINVAL, 0};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        file_t *file = s_open (self, "one", FILE_CREATE);
        s_system.allocate = refusals[i];
        s_system.interrupts = 2;
        assert_int_equal (file_write (file, 0, kv_slice_text ("hello"), &self->error), KV_OK);
        assert_int_equal (file_allocate (file, 150000, &self->error), KV_OK);
        assert_int_equal (s_system.interrupts, 0);
        assert_int_equal (file_read (file, 0, out, sizeof out, &got, &self->error), KV_OK);
        assert_int_equal (got, 150000);
        assert_memory_equal (out, "hello", 5);
        for (size_t at = 5; at < got; at++)
            assert_int_equal (out[at], 0);
        file_close (&file);
    }
    file_t *file = s_open (self, "one", FILE_CREATE);
    s_system.allocate = ENOSPC;
    assert_int_equal (file_allocate (file, 150000, &self->error), KV_DISK_FULL);
    assert_non_null (strstr (self->error.text, "cannot reserve 150000 bytes for "));
    assert_non_null (strstr (self->error.text, "/one: No space left"));
    s_system.allocate = 0;
    file_close (&file);
}

static void test_files_disk_failed_sync_is_told (void **state)
{
    bed_t *self = *state;
    static const int reasons[] = {EIO, ENOSPC, ENOENT};
    file_t *file = s_open (self, "one", FILE_CREATE);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        s_system.sync = reasons[i];
        assert_int_equal (file_sync (file, &self->error), KV_IO); /* whatever the reason */
        assert_int_equal (self->error.number, reasons[i]);
        assert_non_null (strstr (self->error.text, "cannot sync "));
        assert_non_null (strstr (self->error.text, "/one: "));
    }
    s_system.sync = 0;
    file_close (&file);
}

static void test_files_disk_write_that_is_cut_short_goes_on (void **state)
{
    bed_t *self = *state;
    static uint8_t bytes[8000];
    struct rlimit before, limit;
    uint64_t size;
    file_t *file = s_open (self, "one", FILE_CREATE);
    assert_int_equal (getrlimit (RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 5000;
    signal (SIGXFSZ, SIG_IGN);
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &limit), 0);
    kv_status_t status = file_write (file, 0, kv_slice (bytes, sizeof bytes), &self->error);
    assert_int_equal (setrlimit (RLIMIT_FSIZE, &before), 0);
    assert_int_equal (status, KV_IO);
    assert_int_equal (self->error.number, EFBIG);
    assert_non_null (strstr (self->error.text, "/one at 5000: ")); /* where it could not go on */
    assert_int_equal (file_size (file, &size, &self->error), KV_OK);
    assert_int_equal (size, 5000);
    file_close (&file);
}

static void test_files_disk_a_failure_names_the_file_as_it_is_called_now (void **state)
{
    bed_t *self = *state;
    char path[128];
    file_close (&(file_t *){s_open (self, "before", FILE_CREATE)});
    file_t *file = s_open (self, "before", FILE_READ);
    assert_int_equal (files_rename (self->files, "before", "after", &self->error), KV_OK);
    assert_int_equal (file_write (file, 7, kv_slice_text ("x"), &self->error), KV_IO);
    assert_int_equal (self->error.number, EBADF);
    snprintf (path, sizeof path, "cannot write %s/after at 7: ", self->path);
    assert_memory_equal (self->error.text, path, strlen (path));
    file_close (&file);
}

static void test_files_disk_failures_are_told (void **state)
{
    bed_t *self = *state;
    files_t *none;
    assert_int_equal (files_disk_open_there ("/tmp/kvdb-there-is-none", &none, &self->error),
                      KV_NOT_FOUND);
    assert_null (none);
    assert_int_equal (files_disk_open ("/proc/none", &none, &self->error), KV_IO);
    assert_non_null (strstr (self->error.text, "/proc/none"));
    assert_int_equal (self->error.number, ENOENT);
    assert_int_equal (files_disk_open ("/dev/null/x", &none, &self->error), KV_IO);
    assert_int_equal (self->error.number, ENOTDIR);
    /* A disk that is full, as far as one can have it here. */
    assert_int_equal (files_disk_open_there ("/dev", &none, &self->error), KV_OK);
    file_t *full;
    assert_int_equal (files_open (none, "full", FILE_WRITE, &full, &self->error), KV_OK);
    assert_int_equal (file_write (full, 0, kv_slice_text ("x"), &self->error), KV_DISK_FULL);
    assert_int_equal (self->error.number, ENOSPC);
    assert_non_null (strstr (self->error.text, "/dev/full at 0: No space left"));
    file_close (&full);
    files_destroy (&none);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_files_disk_reads_what_it_wrote, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_keeps_others_out, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_names, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_lock_is_for_one, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_lock_of_an_unknown_process, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_lists_plain_files_only, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_allocates_where_the_system_cannot,
                                         s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_failed_sync_is_told, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_write_that_is_cut_short_goes_on, s_set_up,
                                         s_tear_down),
        cmocka_unit_test_setup_teardown (
            test_files_disk_a_failure_names_the_file_as_it_is_called_now, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown (test_files_disk_failures_are_told, s_set_up, s_tear_down),
    };
    return cmocka_run_group_tests_name ("actors.files_disk", tests, NULL, NULL);
}
