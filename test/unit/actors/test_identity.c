/* Goal: a directory keeps its identity (I1), and what is not exactly an identity is refused and left
 * as it is (I2).
 * Method: a temporary directory; the file as written, and changed in every single byte, cut at every
 * place, and lengthened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1024 };

typedef struct {
    char root[128]; /* a new temporary directory */
    char why[512];
} fixture_t;

static int s_setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    const char *base = getenv ("TMPDIR");
    snprintf (self->root, sizeof self->root, "%s/kvdb-identity-XXXXXX", base ? base : "/tmp");
    *state = self;
    return mkdtemp (self->root) ? 0 : -1;
}

static int s_remove (const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found;
    (void)kind;
    (void)place;
    return remove (path);
}

static int s_teardown (void **state)
{
    fixture_t *self = *state;
    int rc = nftw (self->root, s_remove, 10, FTW_DEPTH | FTW_PHYS);
    free (self);
    return rc;
}

static kv_status_t s_load (fixture_t *self, const char *directory, identity_t *out)
{
    self->why[0] = '\0';
    return identity_load (directory, "identity", out, self->why, sizeof self->why);
}

static unsigned s_mode (const char *path)
{
    struct stat found;
    assert_int_equal (stat (path, &found), 0);
    return found.st_mode & 0777;
}

static size_t s_read (const char *path, char text[FILE_BYTES_MAX])
{
    FILE *file = fopen (path, "rb");
    assert_non_null (file);
    size_t size = fread (text, 1, FILE_BYTES_MAX, file);
    fclose (file);
    return size;
}

static void s_write (const char *path, const char *text, size_t size)
{
    FILE *file = fopen (path, "wb");
    assert_non_null (file);
    assert_int_equal (fwrite (text, 1, size, file), size);
    fclose (file);
}

static void test_made_once_and_loaded_again (void **state)
{
    fixture_t *self = *state;
    char directory[256];
    char path[300];
    snprintf (directory, sizeof directory, "%s/data/node1/", self->root);
    identity_t made, loaded;
    assert_int_equal (s_load (self, directory, &made), KV_OK);
    assert_true (made.created);
    assert_false (made.has_cluster);
    snprintf (path, sizeof path, "%s/data", self->root);
    assert_int_equal (s_mode (path), 0700);
    assert_int_equal (s_mode (directory), 0700);
    snprintf (path, sizeof path, "%s/identity", directory);
    assert_int_equal (s_mode (path), 0600);
    assert_int_equal (s_load (self, directory, &loaded), KV_OK);
    assert_false (loaded.created);
    assert_memory_equal (loaded.uuid, made.uuid, KV_UUID_BYTES);
    snprintf (path, sizeof path, "%s/identity.tmp", directory);
    assert_int_equal (access (path, F_OK), -1);
}

static void test_cluster_is_remembered (void **state)
{
    fixture_t *self = *state;
    identity_t identity, loaded;
    assert_int_equal (s_load (self, self->root, &identity), KV_OK);
    identity.has_cluster = true;
    random_bytes (identity.cluster_id, sizeof identity.cluster_id);
    assert_int_equal (
        identity_save (self->root, "identity", &identity, self->why, sizeof self->why), KV_OK);
    assert_int_equal (s_load (self, self->root, &loaded), KV_OK);
    assert_true (loaded.has_cluster);
    assert_memory_equal (loaded.cluster_id, identity.cluster_id, KV_UUID_BYTES);
    assert_memory_equal (loaded.uuid, identity.uuid, KV_UUID_BYTES);
}

static void test_identities_differ (void **state)
{
    (void)state;
    identity_t first, second;
    identity_make (&first);
    identity_make (&second);
    assert_memory_not_equal (first.uuid, second.uuid, KV_UUID_BYTES);
    assert_true (first.created);
}

/* The damaged file is refused with its name and what to do, and stays. */
static void s_refused (fixture_t *self, const char *path, const char *text, size_t size)
{
    char after[FILE_BYTES_MAX];
    identity_t identity;
    s_write (path, text, size);
    assert_int_equal (s_load (self, self->root, &identity), KV_CORRUPT);
    assert_non_null (strstr (self->why, path));
    assert_non_null (strstr (self->why, "is damaged; "));
    assert_int_equal (s_read (path, after), size);
    assert_memory_equal (after, text, size);
}

static void test_damaged_file_is_refused (void **state)
{
    fixture_t *self = *state;
    char path[300];
    char text[FILE_BYTES_MAX];
    char damaged[FILE_BYTES_MAX];
    identity_t identity;
    snprintf (path, sizeof path, "%s/identity", self->root);
    assert_int_equal (s_load (self, self->root, &identity), KV_OK);
    identity.has_cluster = true;
    assert_int_equal (
        identity_save (self->root, "identity", &identity, self->why, sizeof self->why), KV_OK);
    size_t size = s_read (path, text);
    for (size_t i = 0; i < size; i++) {
        memcpy (damaged, text, size);
        damaged[i] ^= 1;
        s_refused (self, path, damaged, size);
        s_refused (self, path, text, i); /* cut */
    }
    memcpy (damaged, text, size);
    damaged[size] = '\n';
    s_refused (self, path, damaged, size + 1);
    memset (damaged, 'a', sizeof damaged);
    s_refused (self, path, damaged, sizeof damaged);
    s_write (path, text, size);
    assert_int_equal (s_load (self, self->root, &identity), KV_OK);
}

static void test_faults_are_told (void **state)
{
    fixture_t *self = *state;
    char path[300];
    identity_t identity;
    snprintf (path, sizeof path, "%s/file", self->root);
    s_write (path, "x", 1);
    assert_int_equal (s_load (self, path, &identity), KV_IO); /* the directory is a file */
    assert_non_null (strstr (self->why, path));
    snprintf (path, sizeof path, "%s/file/below", self->root);
    assert_int_equal (s_load (self, path, &identity), KV_IO);
    snprintf (path, sizeof path, "%s/identity", self->root);
    assert_int_equal (mkdir (path, 0700), 0);
    assert_int_equal (s_load (self, self->root, &identity), KV_IO); /* the file is a directory */
    assert_int_equal (
        identity_save (self->root, "identity", &identity, self->why, sizeof self->why), KV_IO);
    char *long_path = malloc (10000);
    memset (long_path, 'x', 9999);
    long_path[9999] = '\0';
    assert_int_equal (s_load (self, long_path, &identity), KV_IO);
    free (long_path);
}

/* What a crash in the middle of a save may leave does not matter. */
static void test_left_over_temporary_file (void **state)
{
    fixture_t *self = *state;
    char path[300];
    identity_t identity, loaded;
    assert_int_equal (s_load (self, self->root, &identity), KV_OK);
    snprintf (path, sizeof path, "%s/identity.tmp", self->root);
    s_write (path, "half a", 6);
    assert_int_equal (s_load (self, self->root, &loaded), KV_OK);
    assert_memory_equal (loaded.uuid, identity.uuid, KV_UUID_BYTES);
    assert_int_equal (
        identity_save (self->root, "identity", &identity, self->why, sizeof self->why), KV_OK);
    assert_int_equal (s_load (self, self->root, &loaded), KV_OK);
}

#define IDENTITY_TEST(name) cmocka_unit_test_setup_teardown (name, s_setup, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        IDENTITY_TEST (test_made_once_and_loaded_again),
        IDENTITY_TEST (test_cluster_is_remembered),
        cmocka_unit_test (test_identities_differ),
        IDENTITY_TEST (test_damaged_file_is_refused),
        IDENTITY_TEST (test_faults_are_told),
        IDENTITY_TEST (test_left_over_temporary_file),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
