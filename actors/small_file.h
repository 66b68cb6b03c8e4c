/* small_file - files of a few lines that must be there whole or not at all: identities, placements.
 *
 *   F1  a file is replaced as a whole (temporary file, fsync, rename, fsync of the directory): after
 *       a crash it is the old one or the new one.
 *
 * Thread-safe for different files. */
#ifndef KVDB_ACTORS_SMALL_FILE_H
#define KVDB_ACTORS_SMALL_FILE_H

#include "schema/slice.h"
#include "schema/status.h"

/* Writes DIRECTORY/NAME (0600), making the directory (0700, with its parents) if it is not there.
 * KV_IO with a line in `why`. */
KV_CHECK_RESULT kv_status_t small_file_replace (const char *directory, const char *name,
                                                kv_slice_t text, char *why, size_t why_bytes);

/* Reads DIRECTORY/NAME as a string. KV_NOT_FOUND; KV_IO with a line in `why`; KV_CORRUPT if it does
 * not fit in text_bytes or holds a NUL. */
KV_CHECK_RESULT kv_status_t small_file_read (const char *directory, const char *name, char *text,
                                             size_t text_bytes, char *why, size_t why_bytes);

/* Makes the directory (0700, with its parents) if it is not there; its parents remember it durably.
 * KV_IO with a line in `why`, and errno as the system left it. */
KV_CHECK_RESULT kv_status_t small_file_make_directory (const char *directory, char *why,
                                                       size_t why_bytes);

#endif
