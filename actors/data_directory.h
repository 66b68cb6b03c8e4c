/* data_directory - the folder of a broker or a node, for one process at a time: opened, locked, and known by
 * its identity. A shell. Owner: the actor's thread. */
#ifndef KVDB_ACTORS_DATA_DIRECTORY_H
#define KVDB_ACTORS_DATA_DIRECTORY_H

#include "actors/files.h"
#include "actors/identity.h"

/* Makes the directory if it is not there (0700), takes its lock, and loads the identity NAME, or makes it.
 * The caller destroys *files_p, with which the lock goes. KV_BUSY: another process has it; KV_IO,
 * KV_CORRUPT; with a line in `why`. */
KV_CHECK_RESULT kv_status_t data_directory_open (const char *directory, const char *name,
                                                 files_t **files_p, identity_t *identity, char *why,
                                                 size_t why_bytes);

#endif
