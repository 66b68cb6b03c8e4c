/* identity - who a data directory is: a random UUID made once, and the cluster it has joined.
 *
 *   kvdb-identity 1
 *   uuid 0123456789abcdef0123456789abcdef
 *   cluster 0123456789abcdef0123456789abcdef       or: cluster -
 *   check 0123456789abcdef                         FNV-1a, 64 bits, of the lines above
 *
 *   I1  the file is replaced as a whole (temporary file, fsync, rename, fsync of the directory):
 *       after a crash it is the old one or the new one.
 *   I2  a file that is not exactly of this form is never taken for an identity, and never
 *       overwritten by identity_load.
 *
 * It identifies a data directory: where the directory is copied, two nodes claim to be one.
 * Owner: any one thread. */
#ifndef KVDB_ACTORS_IDENTITY_H
#define KVDB_ACTORS_IDENTITY_H

#include "schema/message.h"

typedef struct {
    uint8_t uuid[KV_UUID_BYTES];
    uint8_t cluster_id[KV_UUID_BYTES]; /* if has_cluster */
    bool has_cluster;
    bool created; /* identity_load made it just now: the directory is new */
} identity_t;

/* Random bytes from the operating system, fit for secrets. */
void random_bytes (void *out, size_t size);

/* A new identity, in memory only. */
void identity_make (identity_t *out);

/* Loads DIRECTORY/NAME; if it is not there, makes the directory (0700, with its parents) and the
 * file (0600). KV_IO, or KV_CORRUPT (I2), with a line in `why` that says what to do. */
KV_CHECK_RESULT kv_status_t identity_load (const char *directory, const char *name, identity_t *out,
                                           char *why, size_t why_bytes);

/* Replaces DIRECTORY/NAME (I1). KV_IO with a line in `why`. */
KV_CHECK_RESULT kv_status_t identity_save (const char *directory, const char *name,
                                           const identity_t *identity, char *why, size_t why_bytes);

#endif
