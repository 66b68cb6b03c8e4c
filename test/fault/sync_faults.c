/* sync_faults - a disk that fails or hangs when it is to sync or write, under a real process: loaded with
 * LD_PRELOAD, it stands between the process and fsync, fdatasync and pwrite.
 *
 * SYNC_FAULTS names a file that the test and the process both map: what the test wants of the disk, and
 * what the process has done. It is read at each call, so the test may change its mind while the process
 * runs. Without SYNC_FAULTS nothing is changed.
 *
 *   8 bytes each, in the machine's order:
 *     0  fail_syncs        so many of the syncs of log files to come fail with EIO, and do nothing
 *     1  fail_writes       so many of the writes to log files to come fail with EIO, and do nothing
 *     2  fail_other_syncs  so many of the syncs of other files and of directories to come fail with EIO
 *     3  slow_syncs        so many of the syncs of log files to come wait before they begin ...
 *     4  delay_ms          ... for so long, or until the test makes this 0
 *     5  hanging           those that wait now
 *     6  failed            calls that were made to fail
 *     7  late_syncs        syncs of log files that have begun after a call of one had been made to fail
 *     8  log_syncs         syncs of log files that have succeeded
 *     9  log_writes        writes to log files
 *    10  written[256]      for each descriptor: writes to a log file through it
 *   266  synced[256]       ... and of those, how many are behind a sync that has succeeded
 *
 * A log file is one whose name begins with "wal-". The counters are atomic; two threads may sync. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__ ((visibility ("default")))

enum { DESCRIPTORS = 256, STEP_MS = 5 };

typedef struct {
    _Atomic int64_t fail_syncs, fail_writes, fail_other_syncs, slow_syncs, delay_ms;
    _Atomic int64_t hanging, failed, late_syncs, log_syncs, log_writes;
    _Atomic int64_t written[DESCRIPTORS], synced[DESCRIPTORS];
} control_t;

_Static_assert(sizeof (control_t) == 8 * (10 + 2 * DESCRIPTORS), "the layout above");

static control_t *s_control;

__attribute__ ((constructor)) static void s_begin (void)
{
    const char *path = getenv ("SYNC_FAULTS");
    int fd = path ? open (path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap (NULL, sizeof (control_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close (fd);
    if (map != MAP_FAILED)
        s_control = map;
}

static bool s_is_log (int fd)
{
    char link[64];
    char path[4096];
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink (link, path, sizeof path - 1);
    if (fd < 0 || fd >= DESCRIPTORS || size < 0)
        return false;
    path[size] = '\0';
    const char *slash = strrchr (path, '/');
    return slash && strncmp (slash + 1, "wal-", 4) == 0;
}

/* One of those that were ordered. */
static bool s_takes (_Atomic int64_t *count)
{
    int64_t left = atomic_load (count);
    while (left > 0) {
        if (atomic_compare_exchange_weak (count, &left, left - 1))
            return true;
    }
    return false;
}

static int s_fail (void)
{
    atomic_fetch_add (&s_control->failed, 1);
    errno = EIO;
    return -1;
}

static int64_t s_clock_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / (1000 * 1000);
}

static void s_hang (void)
{
    struct timespec step = {.tv_nsec = STEP_MS * 1000 * 1000};
    int64_t began_ms = s_clock_ms ();
    atomic_fetch_add (&s_control->hanging, 1);
    while (s_clock_ms () - began_ms < atomic_load (&s_control->delay_ms))
        nanosleep (&step, NULL);
    atomic_fetch_sub (&s_control->hanging, 1);
}

static int s_sync (long call, int fd)
{
    if (!s_control)
        return (int)syscall (call, fd);
    bool is_log = s_is_log (fd);
    int64_t written = is_log ? atomic_load (&s_control->written[fd]) : 0;
    if (is_log && atomic_load (&s_control->failed))
        atomic_fetch_add (&s_control->late_syncs, 1);
    if (is_log && s_takes (&s_control->slow_syncs))
        s_hang ();
    if (s_takes (is_log ? &s_control->fail_syncs : &s_control->fail_other_syncs))
        return s_fail ();
    int result = (int)syscall (call, fd);
    if (result == 0 && is_log) {
        atomic_store (&s_control->synced[fd], written);
        atomic_fetch_add (&s_control->log_syncs, 1);
    }
    return result;
}

PUBLIC int fdatasync (int fd)
{
    return s_sync (SYS_fdatasync, fd);
}

PUBLIC int fsync (int fd)
{
    return s_sync (SYS_fsync, fd);
}

PUBLIC ssize_t pwrite (int fd, const void *bytes, size_t size, off_t offset)
{
    if (s_control && s_is_log (fd)) {
        if (s_takes (&s_control->fail_writes))
            return s_fail ();
        atomic_fetch_add (&s_control->log_writes, 1);
        atomic_fetch_add (&s_control->written[fd], 1);
    }
    return syscall (SYS_pwrite64, fd, bytes, size, offset);
}
