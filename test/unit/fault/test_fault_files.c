/* Goal: the disk keeps over a loss of power what it must (K1, K4), loses and tears the rest in every way it
 * may (K2, K3) and in no other, and fails when it is told to. Method: the same steps on many disks, each
 * with chance of its own; every sector that is left is compared with all it may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test/fault/fault_files.h"
#include "test/unit/schema/random.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISKS = 400, SECTOR = 512 };

static file_t *s_open (files_t *files, const char *name, file_mode_t mode)
{
    file_t *file;
    file_error_t error;
    assert_int_equal (files_open (files, name, mode, &file, &error), KV_OK);
    return file;
}

static void s_write (file_t *file, uint64_t offset, const char *text)
{
    file_error_t error;
    assert_int_equal (file_write (file, offset, kv_slice_text (text), &error), KV_OK);
}

static void s_sync (file_t *file)
{
    file_error_t error;
    assert_int_equal (file_sync (file, &error), KV_OK);
}

static void s_sync_names (files_t *files)
{
    file_error_t error;
    assert_int_equal (files_sync_directory (files, &error), KV_OK);
}

/* Fills `size` bytes from `offset` on with `byte`. */
static void s_fill (file_t *file, uint64_t offset, int byte, size_t size)
{
    static uint8_t bytes[16 * SECTOR];
    file_error_t error;
    assert_true (size <= sizeof bytes);
    memset (bytes, byte, size);
    assert_int_equal (file_write (file, offset, kv_slice (bytes, size), &error), KV_OK);
}

static bool s_is (files_t *files, const char *name, const char *text)
{
    return kv_slice_equal (fault_files_content (files, name), kv_slice_text (text));
}

/* A file "a" with synced and named content "one". */
static files_t *s_disk (uint64_t seed)
{
    files_t *files = fault_files_new (seed, 0);
    file_t *file = s_open (files, "a", FILE_CREATE);
    s_write (file, 0, "one");
    s_sync (file);
    s_sync_names (files);
    file_close (&file);
    return files;
}

static void s_list_name (void *context, const char *name)
{
    char *names = context;
    names[strlen (names) + 1] = '\0';
    names[strlen (names)] = *name;
}

/* The first letters of all names, in order. */
static void s_list (files_t *files, char names[16])
{
    file_error_t error;
    memset (names, 0, 16);
    assert_int_equal (files_list (files, s_list_name, names, &error), KV_OK);
    for (size_t i = 0; names[i]; i++) {
        for (size_t j = i + 1; names[j]; j++) {
            char lower = names[i] < names[j] ? names[i] : names[j];
            names[j] = names[i] < names[j] ? names[j] : names[i];
            names[i] = lower;
        }
    }
}

/* ---- what a process sees ----------------------------------------------------------------------- */

static void test_what_was_written_is_read_and_gaps_are_zero (void **state)
{
    (void)state;
    file_error_t error;
    uint8_t out[16];
    size_t got;
    uint64_t bytes;
    files_t *files = s_disk (1);
    file_t *file = s_open (files, "a", FILE_WRITE);
    s_write (file, 5, "x");
    assert_int_equal (file_size (file, &bytes, &error), KV_OK);
    assert_int_equal (bytes, 6);
    assert_int_equal (file_read (file, 2, out, sizeof out, &got, &error), KV_OK);
    assert_int_equal (got, 4);
    assert_memory_equal (out, "e\0\0x", 4);
    assert_int_equal (file_read (file, 6, out, sizeof out, &got, &error), KV_OK);
    assert_int_equal (got, 0);
    assert_int_equal (file_allocate (file, 8, &error), KV_OK);
    assert_int_equal (file_allocate (file, 2, &error), KV_OK); /* never shorter */
    assert_true (kv_slice_equal (fault_files_content (files, "a"), kv_slice ("one\0\0x\0\0", 8)));
    file_t *other =
        s_open (files, "a", FILE_CREATE); /* empties it, for those who have it open too */
    assert_int_equal (file_size (file, &bytes, &error), KV_OK);
    assert_int_equal (bytes, 0);
    file_close (&other);
    file_close (&file);
    assert_null (file);
    files_destroy (&files);
    assert_null (files);
}

static void test_names (void **state)
{
    (void)state;
    char names[16];
    file_error_t error;
    file_t *file;
    files_t *files = s_disk (1);
    file = s_open (files, "b", FILE_CREATE);
    s_write (file, 0, "two");
    file_close (&file);
    s_list (files, names);
    assert_string_equal (names, "ab");
    assert_int_equal (files_rename (files, "b", "a", &error), KV_OK);
    s_list (files, names);
    assert_string_equal (names, "a");
    assert_true (s_is (files, "a", "two"));
    assert_int_equal (files_rename (files, "b", "a", &error), KV_NOT_FOUND);
    assert_int_equal (files_remove (files, "b", &error), KV_NOT_FOUND);
    assert_int_equal (files_open (files, "b", FILE_READ, &file, &error), KV_NOT_FOUND);
    assert_null (file);
    assert_int_equal (error.number, ENOENT);
    assert_string_equal (error.text, "cannot open fault/b: No such file or directory");
    assert_int_equal (files_remove (files, "a", &error), KV_OK);
    assert_null (fault_files_content (files, "a").data);
    assert_int_equal (files_lock (files, "lock", &error), KV_OK);
    assert_int_equal (files_lock (files, "lock", &error), KV_BUSY);
    fault_files_power_loss (files, POWER_LOSE);
    assert_int_equal (files_lock (files, "lock", &error), KV_OK);
    files_destroy (&files);
}

/* ---- K1, K2: content ----------------------------------------------------------------------------- */

enum { WRITES_MOST = 6, BYTES_MOST = 6 * SECTOR };

/* What reading saw after each step since the last sync, state 0 being the synced one. */
typedef struct {
    uint8_t bytes[WRITES_MOST + 1][BYTES_MOST];
    size_t sizes[WRITES_MOST + 1];
    size_t count;
} history_t;

static void s_remember (history_t *self, files_t *files)
{
    kv_slice_t content = fault_files_content (files, "a");
    assert_true (content.size <= BYTES_MOST && self->count <= WRITES_MOST);
    memset (self->bytes[self->count], 0, BYTES_MOST);
    if (content.size)
        memcpy (self->bytes[self->count], content.data, content.size);
    self->sizes[self->count++] = content.size;
}

/* Each sector is as it was after some step, or the test fails; `mixed`: not all after the same one. */
static void s_check_sectors (const history_t *self, kv_slice_t content, bool *mixed)
{
    bool all_of_one = false;
    uint8_t padded[BYTES_MOST] = {0};
    assert_true (content.size <= BYTES_MOST);
    if (content.size)
        memcpy (padded, content.data, content.size);
    for (size_t at = 0; at < BYTES_MOST; at += SECTOR) {
        bool found = false;
        for (size_t i = 0; i < self->count && !found; i++)
            found = memcmp (padded + at, self->bytes[i] + at, SECTOR) == 0;
        assert_true (found); // K2
    }
    for (size_t i = 0; i < self->count; i++)
        all_of_one = all_of_one || memcmp (padded, self->bytes[i], BYTES_MOST) == 0;
    *mixed = !all_of_one;
}

static void s_random_write (files_t *files, random_t *random, int byte)
{
    file_t *file = s_open (files, "a", FILE_WRITE);
    uint64_t offset = random_below (random, BYTES_MOST - 1);
    s_fill (file, offset, byte, 1 + random_below (random, (uint32_t)(BYTES_MOST - offset - 1)));
    file_close (&file);
}

static void test_torn_sectors_are_each_as_after_some_write (void **state)
{
    (void)state;
    random_t random = random_make ("tears");
    int mixed = 0, lost = 0, whole = 0;
    for (int disk = 0; disk < DISKS; disk++) {
        files_t *files = fault_files_new (random_next (&random), 0);
        file_t *file = s_open (files, "a", FILE_CREATE);
        int byte = 1;
        s_sync_names (files);
        for (uint32_t i = random_below (&random, 3); i > 0; i--)
            s_random_write (files, &random, byte++);
        s_sync (file);
        file_close (&file);
        history_t history = {.count = 0};
        s_remember (&history, files);
        for (uint32_t i = 1 + random_below (&random, WRITES_MOST); i > 0; i--) {
            s_random_write (files, &random, byte++);
            s_remember (&history, files);
        }
        bool is_mixed;
        fault_files_power_loss (files, POWER_TEAR);
        kv_slice_t content = fault_files_content (files, "a");
        s_check_sectors (&history, content, &is_mixed);
        assert_true (content.size >= history.sizes[0]); // K1
        mixed += is_mixed;
        lost += content.size == history.sizes[0] &&
                (content.size == 0 || memcmp (content.data, history.bytes[0], content.size) == 0);
        whole += memcmp (content.data ? content.data : history.bytes[0],
                         history.bytes[history.count - 1], content.size) == 0 &&
                 content.size == history.sizes[history.count - 1];
        files_destroy (&files);
    }
    printf ("torn %d, lost %d, whole %d of %d\n", mixed, lost, whole, DISKS);
    assert_true (mixed > DISKS / 4 && lost > DISKS / 10 && whole > DISKS / 100);
}

static void test_every_sector_is_lost_on_its_own (void **state)
{
    (void)state;
    enum { SECTORS = 4 };
    random_t random = random_make ("sectors");
    int seen[1 << SECTORS] = {0};
    for (int disk = 0; disk < DISKS; disk++) {
        files_t *files = fault_files_new (random_next (&random), 0);
        file_t *file = s_open (files, "a", FILE_CREATE);
        s_fill (file, 0, 'o', SECTORS * SECTOR);
        s_sync (file);
        s_sync_names (files);
        s_fill (file, 0, 'n', SECTORS * SECTOR);
        file_close (&file);
        fault_files_power_loss (files, POWER_TEAR);
        kv_slice_t content = fault_files_content (files, "a");
        assert_int_equal (content.size, SECTORS * SECTOR);
        unsigned which = 0;
        for (unsigned i = 0; i < SECTORS; i++) {
            const uint8_t *sector = content.data + (size_t)i * SECTOR;
            which |= (sector[0] == 'n' ? 1U : 0U) << i;
            for (size_t j = 1; j < SECTOR; j++)
                assert_int_equal (sector[j], sector[0]);
        }
        seen[which]++;
        files_destroy (&files);
    }
    for (unsigned i = 0; i < 1 << SECTORS; i++) {
        if (seen[i] == 0)
            fail_msg ("sectors %x never survived alone", i);
    }
}

static void test_losing_keeps_just_what_was_synced (void **state)
{
    (void)state;
    files_t *files = s_disk (3);
    file_t *file = s_open (files, "a", FILE_WRITE);
    file_t *other = s_open (files, "b", FILE_CREATE);
    s_write (file, 0, "two");
    s_write (file, 700, "three");
    s_write (other, 0, "four");
    s_sync (other);
    file_close (&file);
    file_close (&other);
    assert_int_equal (fault_files_content (files, "a").size, 705); // K4
    fault_files_power_loss (files, POWER_LOSE);
    assert_true (s_is (files, "a", "one"));
    assert_null (fault_files_content (files, "b").data); /* its name was not synced */
    fault_files_power_loss (files, POWER_LOSE);
    assert_true (s_is (files, "a", "one"));
    files_destroy (&files);
}

static void test_emptied_file_is_the_old_one_or_has_nothing_of_it (void **state)
{
    (void)state;
    random_t random = random_make ("emptied");
    int old = 0, empty = 0, torn = 0, whole = 0;
    for (int disk = 0; disk < DISKS; disk++) {
        files_t *files = fault_files_new (random_next (&random), 0);
        file_t *file = s_open (files, "a", FILE_CREATE);
        s_fill (file, 0, 'o', 5 * SECTOR);
        s_sync (file);
        s_sync_names (files);
        file_close (&file);
        file = s_open (files, "a", FILE_CREATE);
        s_fill (file, 0, 'n', 3 * SECTOR);
        bool synced = random_below (&random, 2);
        if (synced)
            s_sync (file);
        file_close (&file);
        fault_files_power_loss (files, random_below (&random, 8) ? POWER_TEAR : POWER_LOSE);
        kv_slice_t content = fault_files_content (files, "a");
        size_t news = 0, olds = 0;
        for (size_t i = 0; i < content.size; i++) {
            news += content.data[i] == 'n';
            olds += content.data[i] == 'o';
        }
        assert_true (olds == 0 || (olds == 5 * SECTOR && content.size == olds));
        assert_true (!synced || (news == 3 * SECTOR && content.size == news)); // K1
        old += olds > 0;
        empty += content.size == 0;
        torn += news > 0 && news < 3 * SECTOR;
        whole += !synced && news == 3 * SECTOR;
        files_destroy (&files);
    }
    assert_true (old > 0 && empty > 0 && torn > 0 && whole > 0);
}

static void test_allocated_bytes_are_zero_after_a_loss (void **state)
{
    (void)state;
    file_error_t error;
    for (uint64_t seed = 0; seed < DISKS; seed++) {
        files_t *files = s_disk (seed);
        file_t *file = s_open (files, "a", FILE_WRITE);
        assert_int_equal (file_allocate (file, 4096, &error), KV_OK);
        s_sync (file);
        s_write (file, 1024, "new");
        file_close (&file);
        fault_files_power_loss (files, POWER_TEAR);
        kv_slice_t content = fault_files_content (files, "a");
        assert_int_equal (content.size, 4096); // K1
        assert_memory_equal (content.data, "one", 3);
        for (size_t i = 3; i < content.size; i++)
            assert_true (content.data[i] == 0 || (i >= 1024 && i < 1027));
        files_destroy (&files);
    }
}

/* ---- K3: names ----------------------------------------------------------------------------------- */

static void test_changes_of_names_survive_in_order (void **state)
{
    (void)state;
    static const char *const allowed[] = {"a", "ab", "abc", "ac", "c"};
    enum { ALLOWED = sizeof allowed / sizeof allowed[0] };
    random_t random = random_make ("names");
    int seen[ALLOWED] = {0};
    char names[16];
    file_error_t error;
    for (int disk = 0; disk < DISKS; disk++) {
        bool lose = random_below (&random, 8) == 0;
        files_t *files = s_disk (random_next (&random));
        file_t *file = s_open (files, "b", FILE_CREATE);
        s_write (file, 0, "two");
        s_sync (file);
        file_close (&file);
        file = s_open (files, "c", FILE_CREATE);
        file_close (&file);
        assert_int_equal (files_rename (files, "b", "a", &error), KV_OK);
        assert_int_equal (files_remove (files, "a", &error), KV_OK);
        fault_files_power_loss (files, lose ? POWER_LOSE : POWER_TEAR);
        s_list (files, names);
        size_t which = 0;
        while (which < ALLOWED && strcmp (names, allowed[which]) != 0)
            which++;
        assert_true (which < ALLOWED && (!lose || which == 0)); // K3
        seen[which]++;
        if (names[0] == 'a')
            assert_true (s_is (files, "a", which == 3 ? "two" : "one")); // K1
        files_destroy (&files);
    }
    for (size_t i = 0; i < ALLOWED; i++)
        assert_true (seen[i] > 0);
}

static void test_synced_names_stay (void **state)
{
    (void)state;
    char names[16];
    file_error_t error;
    for (uint64_t seed = 0; seed < 50; seed++) {
        files_t *files = s_disk (seed);
        assert_int_equal (files_rename (files, "a", "b", &error), KV_OK);
        s_sync_names (files);
        fault_files_power_loss (files, POWER_TEAR);
        s_list (files, names);
        assert_string_equal (names, "b");
        assert_true (s_is (files, "b", "one"));
        files_destroy (&files);
    }
}

/* ---- syncs in two steps -------------------------------------------------------------------------- */

static void test_sync_covers_what_was_written_before_its_beginning (void **state)
{
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        files_t *files = s_disk (1);
        file_t *file = s_open (files, "a", FILE_WRITE);
        s_write (file, 3, "two");
        uint64_t token = fault_files_sync_begin (file);
        s_write (file, 6, "three");
        file_close (&file); /* that does not end it */
        if (ended)
            fault_files_sync_end (files, token);
        fault_files_power_loss (files, POWER_LOSE);
        assert_true (s_is (files, "a", ended ? "onetwo" : "one"));
        files_destroy (&files);
    }
}

static void test_deferred_syncs_settle_in_order (void **state)
{
    (void)state;
    for (uint64_t settled = 0; settled < 3; settled++) {
        static const char *const left[] = {"one", "one2", "one23"};
        files_t *files = s_disk (1);
        file_t *file = s_open (files, "a", FILE_WRITE);
        fault_files_defer (files, true);
        s_write (file, 3, "2");
        s_sync (file);
        assert_int_equal (fault_files_begun (files), 1);
        s_write (file, 4, "3");
        s_sync (file);
        assert_int_equal (fault_files_begun (files), 2);
        s_write (file, 5, "4");
        fault_files_settle (files, settled);
        file_close (&file);
        fault_files_power_loss (files, POWER_LOSE);
        assert_true (s_is (files, "a", left[settled]));
        fault_files_settle (files, 2); /* of before the loss: there is nothing left */
        assert_true (s_is (files, "a", left[settled]));
        files_destroy (&files);
    }
}

/* ---- faults -------------------------------------------------------------------------------------- */

static void test_faults_come_when_asked_for (void **state)
{
    (void)state;
    file_error_t error;
    files_t *files = s_disk (1);
    file_t *file = s_open (files, "a", FILE_WRITE);
    uint64_t writes = fault_files_count (files, FAULT_WRITE);
    fault_files_fail (files, FAULT_WRITE, 2, EIO, 2);
    for (int i = 1; i <= 5; i++) {
        kv_status_t status = file_write (file, 0, kv_slice_text ("x"), &error);
        assert_int_equal (status, i == 2 || i == 3 ? KV_IO : KV_OK);
    }
    assert_string_equal (error.text, "cannot write fault/a: Input/output error");
    assert_int_equal (fault_files_count (files, FAULT_WRITE) - writes, 5);
    fault_files_fail (files, FAULT_ALLOCATE, 1, ENOSPC, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal (file_allocate (file, 10, &error), KV_DISK_FULL);
    fault_files_heal (files);
    assert_int_equal (file_allocate (file, 10, &error), KV_OK);
    file_close (&file);
    files_destroy (&files);
}

static kv_status_t s_do (files_t *files, file_t *file, fault_operation_t operation,
                         file_error_t *error)
{
    uint8_t byte;
    size_t got;
    char names[16] = "";
    file_t *other = NULL;
    kv_status_t status;
    switch (operation) {
    case FAULT_OPEN:
        status = files_open (files, "a", FILE_READ, &other, error);
        file_close (&other);
        return status;
    case FAULT_READ: return file_read (file, 0, &byte, 1, &got, error);
    case FAULT_WRITE: return file_write (file, 0, kv_slice_text ("x"), error);
    case FAULT_ALLOCATE: return file_allocate (file, 1, error);
    case FAULT_SYNC: return file_sync (file, error);
    case FAULT_RENAME: return files_rename (files, "a", "a", error);
    case FAULT_REMOVE: return files_remove (files, "b", error);
    case FAULT_LIST: return files_list (files, s_list_name, names, error);
    case FAULT_SYNC_DIRECTORY: return files_sync_directory (files, error);
    case FAULT_OPERATIONS: break;
    }
    fail ();
    return KV_INTERNAL;
}

static void test_every_operation_can_fail_and_says_so (void **state)
{
    (void)state;
    for (int operation = 0; operation < FAULT_OPERATIONS; operation++) {
        file_error_t error = {0};
        files_t *files = s_disk (1);
        file_t *file = s_open (files, "a", FILE_WRITE);
        file_t *other = s_open (files, "b", FILE_CREATE);
        fault_files_fail (files, (fault_operation_t)operation, 1, EIO, 1);
        assert_int_equal (s_do (files, file, (fault_operation_t)operation, &error), KV_IO);
        assert_int_equal (error.number, EIO);
        assert_non_null (strstr (error.text, "cannot "));
        assert_non_null (strstr (error.text, "fault/"));
        if (operation != FAULT_SYNC)
            assert_int_equal (s_do (files, file, (fault_operation_t)operation, &error), KV_OK);
        file_close (&other);
        file_close (&file);
        files_destroy (&files);
    }
}

static void test_failed_write_has_been_done_in_part (void **state)
{
    (void)state;
    random_t random = random_make ("parts");
    int seen[5] = {0};
    for (int disk = 0; disk < DISKS; disk++) {
        file_error_t error;
        files_t *files = s_disk (random_next (&random));
        file_t *file = s_open (files, "a", FILE_WRITE);
        fault_files_fail (files, FAULT_WRITE, 1, EIO, 1);
        assert_int_equal (file_write (file, 1, kv_slice_text ("NEWS"), &error), KV_IO);
        file_close (&file);
        static const char *const parts[] = {"one", "oNe", "oNE", "oNEW", "oNEWS"};
        size_t which = 0;
        while (which < 5 && !s_is (files, "a", parts[which]))
            which++;
        assert_true (which < 5);
        seen[which]++;
        files_destroy (&files);
    }
    for (int i = 0; i < 5; i++)
        assert_true (seen[i] > DISKS / 20);
}

static void test_failed_sync_makes_nothing_durable (void **state)
{
    (void)state;
    file_error_t error;
    files_t *files = s_disk (1);
    file_t *file = s_open (files, "a", FILE_WRITE);
    s_write (file, 0, "two");
    fault_files_fail (files, FAULT_SYNC, 1, ENOSPC, 1);
    assert_int_equal (file_sync (file, &error), KV_IO); /* whatever the reason */
    assert_int_equal (error.number, ENOSPC);
    file_close (&file);
    fault_files_power_loss (files, POWER_LOSE);
    assert_true (s_is (files, "a", "one"));
    files_destroy (&files);
}

static void test_sync_that_is_repeated_is_a_defect (void **state)
{
    (void)state;
    file_error_t error;
    files_t *files = s_disk (1);
    file_t *file = s_open (files, "a", FILE_WRITE);
    fault_files_fail (files, FAULT_SYNC, 1, EIO, 1);
    assert_int_equal (file_sync (file, &error), KV_IO);
    fflush (NULL);
    pid_t child = fork ();
    if (child == 0) {
        signal (SIGABRT, SIG_DFL); /* cmocka would go on */
        (void)!freopen ("/dev/null", "w", stderr);
        _exit (file_sync (file, &error) == KV_OK ? 0 : 1); // G5
    }
    int end;
    assert_int_equal (waitpid (child, &end, 0), child);
    assert_true (WIFSIGNALED (end) && WTERMSIG (end) == SIGABRT);
    file_close (&file);
    files_destroy (&files);
}

static void test_capacity_bounds_what_is_there (void **state)
{
    (void)state;
    file_error_t error;
    files_t *files = fault_files_new (5, 1000);
    file_t *file = s_open (files, "a", FILE_CREATE);
    assert_int_equal (file_allocate (file, 1001, &error), KV_DISK_FULL);
    assert_int_equal (error.number, ENOSPC);
    assert_int_equal (file_allocate (file, 600, &error), KV_OK);
    s_fill (file, 0, 'x', 600); /* G4 */
    file_t *other = s_open (files, "b", FILE_CREATE);
    s_fill (other, 0, 'y', 400);
    assert_int_equal (file_write (other, 400, kv_slice_text ("z"), &error), KV_DISK_FULL);
    assert_int_equal (fault_files_content (files, "b").size, 400);
    fault_files_set_capacity (files, 1005);
    for (int i = 0; i < 50; i++) {
        assert_int_equal (file_write (other, 390, kv_slice ("0123456789abcdefghijk", 21), &error),
                          KV_DISK_FULL);
        assert_true (fault_files_content (files, "b").size <= 405); /* a part of it may be there */
    }
    assert_int_equal (fault_files_content (files, "b").size, 405);
    fault_files_set_capacity (files, 100); /* what is there stays */
    s_fill (file, 0, 'z', 600);
    file_close (&file);
    assert_int_equal (files_remove (files, "a", &error), KV_OK);
    assert_int_equal (files_remove (files, "b", &error), KV_OK);
    file_close (&other);
    file = s_open (files, "c", FILE_CREATE);
    s_fill (file, 0, 'x', 100);
    file_close (&file);
    files_destroy (&files);
}

static void test_file_of_before_the_loss_is_of_no_use (void **state)
{
    (void)state;
    file_error_t error;
    files_t *files = s_disk (1);
    file_t *file = s_open (files, "a", FILE_WRITE);
    fault_files_power_loss (files, POWER_TEAR);
    assert_int_equal (file_write (file, 0, kv_slice_text ("two"), &error), KV_IO);
    assert_int_equal (file_allocate (file, 100, &error), KV_IO);
    assert_int_equal (file_sync (file, &error), KV_IO);
    file_close (&file);
    assert_true (s_is (files, "a", "one"));
    files_destroy (&files);
}

/* ---- what a test does to files --------------------------------------------------------------------- */

static void test_damage_is_there_for_good (void **state)
{
    (void)state;
    files_t *files = s_disk (1);
    fault_files_flip (files, "a", 1, 0);
    assert_true (s_is (files, "a", "ooe"));
    fault_files_power_loss (files, POWER_LOSE);
    assert_true (s_is (files, "a", "ooe"));
    fault_files_cut (files, "a", 2);
    fault_files_power_loss (files, POWER_LOSE);
    assert_true (s_is (files, "a", "oo"));
    files_destroy (&files);
}

static void test_copy_is_durable_and_stands_alone (void **state)
{
    (void)state;
    file_error_t error;
    files_t *files = s_disk (1);
    file_t *file = s_open (files, "b", FILE_CREATE);
    s_write (file, 0, "two");
    file_close (&file);
    assert_int_equal (files_lock (files, "lock", &error), KV_OK);
    fault_files_fail (files, FAULT_OPEN, 1, EIO, 0);
    files_t *copy = fault_files_copy (files, 2);
    files_destroy (&files);
    assert_int_equal (files_lock (copy, "lock", &error), KV_OK);
    fault_files_power_loss (copy, POWER_LOSE);
    assert_true (s_is (copy, "a", "one") && s_is (copy, "b", "two"));
    file = s_open (copy, "b", FILE_WRITE);
    file_close (&file);
    files_destroy (&copy);
}

static uint64_t s_hash_of_a_run (uint64_t seed)
{
    uint64_t hash = 0;
    files_t *files = fault_files_new (seed, 0);
    random_t random = {seed};
    file_t *file = s_open (files, "a", FILE_CREATE);
    file_close (&file);
    s_sync_names (files);
    for (int i = 0; i < 20; i++) {
        s_random_write (files, &random, i + 1);
        if (i % 3 == 0)
            fault_files_power_loss (files, POWER_TEAR);
    }
    kv_slice_t content = fault_files_content (files, "a");
    for (size_t i = 0; i < content.size; i++)
        hash = hash * 31 + content.data[i];
    files_destroy (&files);
    return hash;
}

static void test_the_same_calls_give_the_same (void **state)
{
    (void)state;
    assert_true (s_hash_of_a_run (5) == s_hash_of_a_run (5));
    assert_true (s_hash_of_a_run (5) != s_hash_of_a_run (6));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_what_was_written_is_read_and_gaps_are_zero),
        cmocka_unit_test (test_names),
        cmocka_unit_test (test_torn_sectors_are_each_as_after_some_write),
        cmocka_unit_test (test_every_sector_is_lost_on_its_own),
        cmocka_unit_test (test_losing_keeps_just_what_was_synced),
        cmocka_unit_test (test_emptied_file_is_the_old_one_or_has_nothing_of_it),
        cmocka_unit_test (test_allocated_bytes_are_zero_after_a_loss),
        cmocka_unit_test (test_changes_of_names_survive_in_order),
        cmocka_unit_test (test_synced_names_stay),
        cmocka_unit_test (test_sync_covers_what_was_written_before_its_beginning),
        cmocka_unit_test (test_deferred_syncs_settle_in_order),
        cmocka_unit_test (test_faults_come_when_asked_for),
        cmocka_unit_test (test_every_operation_can_fail_and_says_so),
        cmocka_unit_test (test_failed_write_has_been_done_in_part),
        cmocka_unit_test (test_failed_sync_makes_nothing_durable),
        cmocka_unit_test (test_sync_that_is_repeated_is_a_defect),
        cmocka_unit_test (test_capacity_bounds_what_is_there),
        cmocka_unit_test (test_file_of_before_the_loss_is_of_no_use),
        cmocka_unit_test (test_damage_is_there_for_good),
        cmocka_unit_test (test_copy_is_durable_and_stands_alone),
        cmocka_unit_test (test_the_same_calls_give_the_same),
    };
    return cmocka_run_group_tests_name ("fault.files", tests, NULL, NULL);
}
