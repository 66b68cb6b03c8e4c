/* sim_disk - the files of one machine, as a disk with a cache under a journalling file system.
 *
 *   file       what reading sees:  all writes, in order
 *              durable:            as of the last fsync
 *   directory  likewise: names are made, renamed and removed at once, durable after
 *              sim_disk_sync_directory
 *
 *   K1  what was fsynced is there after any crash, under the name it durably had.
 *   K2  of the writes since the last fsync each survives a crash whole, in part (a first part of
 *       it), or not at all; independently of each other.
 *   K3  of the changes of names since the last sync the first few survive, in order.
 *   K4  a process that dies loses nothing that it has written; only a crash of the machine does.
 *
 * Owner: the run. */
#ifndef KVDB_TEST_SIM_SIM_DISK_H
#define KVDB_TEST_SIM_SIM_DISK_H

#include "sim_random.h"

#include "schema/slice.h"
#include "schema/status.h"

typedef struct sim_disk sim_disk_t;

enum { SIM_DISK_NAME_BYTES_MAX = 63, SIM_DISK_FILES_MAX = 64, SIM_DISK_FILE_BYTES_MAX = 1 << 24 };

sim_disk_t *sim_disk_new (sim_random_t random);
void sim_disk_destroy (sim_disk_t **self_p);

/* Makes an empty file, or empties the one there is. KV_IO: no room for another name. */
KV_CHECK_RESULT kv_status_t sim_disk_create (sim_disk_t *self, const char *name);

/* KV_NOT_FOUND if there is no such file; KV_TOO_LARGE beyond SIM_DISK_FILE_BYTES_MAX. A gap before
 * the offset is filled with zeros. */
KV_CHECK_RESULT kv_status_t sim_disk_write (sim_disk_t *self, const char *name, size_t offset,
                                            kv_slice_t bytes);
KV_CHECK_RESULT kv_status_t sim_disk_append (sim_disk_t *self, const char *name, kv_slice_t bytes);

/* The whole content; valid until the file changes. KV_NOT_FOUND. */
KV_CHECK_RESULT kv_status_t sim_disk_read (const sim_disk_t *self, const char *name,
                                           kv_slice_t *bytes);
KV_CHECK_RESULT kv_status_t sim_disk_fsync (sim_disk_t *self, const char *name);

/* Replaces what `to` names. KV_NOT_FOUND if nothing is named `from`. */
KV_CHECK_RESULT kv_status_t sim_disk_rename (sim_disk_t *self, const char *from, const char *to);
KV_CHECK_RESULT kv_status_t sim_disk_remove (sim_disk_t *self, const char *name);
void sim_disk_sync_directory (sim_disk_t *self);

/* The machine loses power (K1-K3). */
void sim_disk_crash (sim_disk_t *self);

#endif
