/* files_disk - the files of a real directory (POSIX). See files.h. */
#ifndef KVDB_ACTORS_FILES_DISK_H
#define KVDB_ACTORS_FILES_DISK_H

#include "actors/files.h"

/* Makes the directory (0700, with its parents) if it is not there, and opens it; the caller destroys.
 * KV_IO, KV_DISK_FULL. */
KV_CHECK_RESULT kv_status_t files_disk_open (const char *directory, files_t **files_p,
                                             file_error_t *error);

/* Opens a directory that must be there, and never makes one: for tools that only look. */
KV_CHECK_RESULT kv_status_t files_disk_open_there (const char *directory, files_t **files_p,
                                                   file_error_t *error);

#endif
