#include "node/data_tools.h"

#include "actors/files_disk.h"
#include "actors/identity.h"
#include "node/data_check.h"
#include "node/data_dump.h"
#include "node/data_repair.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_NOT_BEGUN = 2, ASIDE_BYTES = 64, ASIDE_MOST = 100 };

typedef struct {
    const char *directory;
    files_t *files,
        *own_files; /* owned; own_files: where the snapshot has a directory of its own */
    char *snapshot; /* owned */
    identity_t identity;
    char identity_fault[FILES_ERROR_BYTES]; /* "": it is good */
    data_place_t place;
    data_output_t out;
} tool_t;

static void s_complain (const char *text)
{
    fprintf (stderr, "kvdb-node: %s\n", text);
}

static bool s_write (void *context, kv_slice_t bytes)
{
    (void)context;
    return fwrite (bytes.data, 1, bytes.size, stdout) == bytes.size;
}

static int64_t s_written_ms (void *context, const char *name)
{
    const tool_t *self = context;
    char path[4096 + FILES_NAME_BYTES_MAX];
    struct stat status;
    snprintf (path, sizeof path, "%s/%s", self->directory, name);
    return stat (path, &status) == 0 ? (int64_t)status.st_mtime * 1000 : 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* On a file system that nobody can write to, nobody has to be kept out. */
static kv_status_t s_lock (files_t *files, const char *name, file_error_t *error)
{
    kv_status_t status = files_lock (files, name, error);
    return status && error->number == EROFS ? KV_OK : status;
}

static kv_status_t s_open_snapshot (tool_t *self, const char *path, file_error_t *error)
{
    const char *slash = path ? strrchr (path, '/') : NULL;
    char lock[FILES_NAME_BYTES_MAX + 1];
    self->snapshot = strdup (slash ? slash + 1 : path ? path : "snapshot.dat");
    KV_ASSERT (self->snapshot != NULL);
    if (!path)
        return KV_OK;
    char *directory =
        slash ? strndup (path, slash == path ? 1 : (size_t)(slash - path)) : strdup (".");
    KV_ASSERT (directory != NULL);
    kv_status_t status = files_disk_open_there (directory, &self->own_files, error);
    free (directory);
    if (status)
        return status;
    if ((size_t)snprintf (lock, sizeof lock, "%s.lock", self->snapshot) >= sizeof lock) {
        snprintf (error->text, sizeof error->text, "the snapshot file's name is too long");
        return KV_CONFIG;
    }
    return s_lock (self->own_files, lock, error); // L1
}

static void s_on_name (void *context, const char *name)
{
    bool *is_ours = context;
    uint64_t number;
    *is_ours = *is_ours || wal_segment_number (name, &number) || strcmp (name, "identity") == 0 ||
               strcmp (name, "snapshot.dat") == 0;
}

/* So that a mistyped name does not get a lock file, and is not called sound. */
static kv_status_t s_expect_data (tool_t *self, file_error_t *error)
{
    bool is_ours = false;
    kv_status_t status = files_list (self->files, s_on_name, &is_ours, error);
    if (status || is_ours)
        return status;
    snprintf (error->text, sizeof error->text,
              "%s holds no data of a node; name its data directory, the one with the file identity",
              self->directory);
    return KV_NOT_FOUND;
}

/* identity_load would make one that is not there. */
static void s_load_identity (tool_t *self)
{
    file_t *file;
    file_error_t error;
    kv_status_t status = files_open (self->files, "identity", FILE_READ, &file, &error);
    if (status == KV_OK) {
        file_close (&file);
        status = identity_load (self->directory, "identity", &self->identity, self->identity_fault,
                                sizeof self->identity_fault);
    } else {
        snprintf (
            self->identity_fault, sizeof self->identity_fault,
            "%s/identity is missing: a node would take the directory for a new one, and refuse "
            "the log and the snapshot as another's; restore a copy of the file",
            self->directory);
    }
    self->place.uuid = status == KV_OK ? self->identity.uuid : NULL;
}

static kv_status_t s_open (tool_t *self, const char *snapshot_path, file_error_t *error)
{
    kv_status_t status = files_disk_open_there (self->directory, &self->files, error);
    if (status == KV_OK)
        status = s_expect_data (self, error);
    if (status == KV_OK)
        status = s_lock (self->files, "lock", error); // L1
    if (status == KV_OK)
        status = s_open_snapshot (self, snapshot_path, error);
    if (status)
        return status;
    self->place = (data_place_t){.files = self->files,
                                 .snapshot_files = self->own_files ? self->own_files : self->files,
                                 .snapshot = self->snapshot,
                                 .written_ms = s_written_ms,
                                 .context = self};
    s_load_identity (self);
    return KV_OK;
}

/* ---- the tools ------------------------------------------------------------------------------- */

static int s_check (tool_t *self)
{
    file_error_t why = {0};
    data_repair_t *repair;
    uint64_t faults = data_check (&self->place, &self->out);
    data_say (&self->out, "lock      nobody uses the directory\n");
    if (self->identity_fault[0]) {
        data_say (&self->out, "fault     %s\n", self->identity_fault);
        return EXIT_BAD;
    }
    if (faults == 0) {
        data_say (&self->out, "sound     %s\n", self->directory);
        return EXIT_GOOD;
    }
    if (data_repair_new (&self->place, &repair, &why)) {
        data_say (&self->out, "repair    is not possible: %s\n", why.text);
        return EXIT_BAD;
    }
    data_say (&self->out,
              "repair    kvdb-node --repair %s would do this, copying what it changes:\n",
              self->directory);
    data_repair_print (repair, &self->out);
    data_repair_destroy (&repair);
    return EXIT_BAD;
}

/* Makes a directory that was not there: earlier copies are never written over. */
static kv_status_t s_open_aside (const tool_t *self, char name[ASIDE_BYTES], files_t **aside,
                                 file_error_t *error)
{
    char path[4096 + ASIDE_BYTES];
    char when[32];
    struct tm utc;
    time_t now = time (NULL);
    int made = -1;
    gmtime_r (&now, &utc);
    strftime (when, sizeof when, "%Y%m%dT%H%M%SZ", &utc);
    for (int i = 1; made != 0 && i <= ASIDE_MOST; i++) {
        snprintf (name, ASIDE_BYTES, i == 1 ? "repair-%s" : "repair-%s-%d", when, i);
        snprintf (path, sizeof path, "%s/%s", self->directory, name);
        made = mkdir (path, 0700);
        if (made != 0 && errno != EEXIST)
            break;
    }
    if (made == 0)
        return files_disk_open_there (path, aside, error);
    snprintf (error->text, sizeof error->text, "cannot make a directory in %s: %s", self->directory,
              strerror (errno));
    return KV_IO;
}

static int s_do_repair (tool_t *self, data_repair_t *repair)
{
    file_error_t error = {0};
    char name[ASIDE_BYTES];
    files_t *aside = NULL;
    kv_status_t status = s_open_aside (self, name, &aside, &error);
    if (status == KV_OK)
        status = data_repair_apply (repair, aside, &error);
    files_destroy (&aside);
    if (status) {
        s_complain (error.text);
        return EXIT_BAD;
    }
    data_say (&self->out, "repaired  %s; the files as they were are in %s/%s\n", self->directory,
              self->directory, name);
    return EXIT_GOOD;
}

static int s_repair (tool_t *self)
{
    file_error_t why = {0};
    data_repair_t *repair;
    kv_status_t status = data_repair_new (&self->place, &repair, &why);
    if (status == KV_END) {
        data_say (&self->out, "sound     %s: nothing is changed\n", self->directory);
        return EXIT_GOOD;
    }
    if (status) {
        s_complain (why.text);
        return EXIT_BAD;
    }
    data_repair_print (repair, &self->out);
    fflush (stdout); /* the plan is told before anything is done */
    int exit_status = s_do_repair (self, repair);
    data_repair_destroy (&repair);
    return exit_status;
}

static int s_dump (tool_t *self, bool log)
{
    file_error_t error = {0};
    uint8_t secret[STORE_SECRET_BYTES];
    random_bytes (secret, sizeof secret);
    kv_status_t status = log ? data_dump_log (&self->place, &self->out, &error)
                             : data_dump_state (&self->place, secret, &self->out, &error);
    if (status)
        s_complain (error.text);
    return status ? EXIT_BAD : EXIT_GOOD;
}

static int s_run (tool_t *self, data_tool_t tool)
{
    if (tool == DATA_CHECK)
        return s_check (self);
    if (self->identity_fault[0]) {
        s_complain (self->identity_fault);
        return EXIT_BAD;
    }
    return tool == DATA_REPAIR ? s_repair (self) : s_dump (self, tool == DATA_DUMP_LOG);
}

/* A tool is ended like any other program: by its signals, and when nobody reads what it prints. */
static void s_take_signals (void)
{
    sigset_t none;
    sigemptyset (&none);
    signal (SIGPIPE, SIG_DFL);
    sigprocmask (SIG_SETMASK, &none, NULL);
}

int data_tool_run (data_tool_t tool, const char *directory, const char *snapshot_path)
{
    tool_t self = {.directory = directory, .out = {.write = s_write}};
    file_error_t error = {0};
    s_take_signals ();
    int exit_status = EXIT_NOT_BEGUN;
    if (s_open (&self, snapshot_path, &error))
        s_complain (error.text);
    else
        exit_status = s_run (&self, tool);
    if (fflush (stdout) != 0 || ferror (stdout)) {
        s_complain ("what was found cannot be written to stdout");
        exit_status = EXIT_BAD;
    }
    files_destroy (&self.own_files);
    files_destroy (&self.files);
    free (self.snapshot);
    return exit_status;
}
