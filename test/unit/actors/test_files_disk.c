/* Goal: the interface's rules hold on a real directory, and every failure says what and where. Method: a
 * folder under the system's temporary one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/files_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
    snprintf (pid, sizeof pid, "process %ld ", (long)getpid ());
    assert_non_null (strstr (self->error.text, pid));
    files_destroy (&self->files);
    assert_int_equal (files_lock (other, "lock", &self->error), KV_OK);
    self->files = other;
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
        cmocka_unit_test_setup_teardown (test_files_disk_failures_are_told, s_set_up, s_tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
