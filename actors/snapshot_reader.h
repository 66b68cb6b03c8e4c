/* snapshot_reader - reads a snapshot file chunk by chunk: for recovery and for the tools. Every fault
 * is KV_CORRUPT with file and offset in the error's text (N1-N3 of snapshot_file.h); what to do is recovery's
 * to say.
 *
 * It looks at each entry (what it hands out, snapshot_entry_next takes) and still reads 5 GB/s from the
 * page cache: no thread of its own is needed. Memory: one chunk, and at least 2 MiB. Owner: one thread. */
#ifndef KVDB_ACTORS_SNAPSHOT_READER_H
#define KVDB_ACTORS_SNAPSHOT_READER_H

#include "actors/files.h"
#include "actors/snapshot_file.h"

typedef struct snapshot_reader snapshot_reader_t;

/* KV_NOT_FOUND: there is no such file. KV_CORRUPT, KV_BAD_VERSION, KV_IO. */
KV_CHECK_RESULT kv_status_t snapshot_reader_open (files_t *files, const char *name,
                                                  snapshot_reader_t **self_p, file_error_t *error);
void snapshot_reader_destroy (snapshot_reader_t **self_p);

const snapshot_header_t *snapshot_reader_header (const snapshot_reader_t *self);

/* The next chunk of kind SHARD or ENTRIES, its payload valid until the next call. KV_END: the file was
 * valid to its last byte. KV_CORRUPT, KV_IO. */
KV_CHECK_RESULT kv_status_t snapshot_reader_next (snapshot_reader_t *self, snapshot_chunk_t *chunk,
                                                  file_error_t *error);

uint64_t snapshot_reader_end_lsn (const snapshot_reader_t *self); /* after KV_END */
void snapshot_reader_progress (const snapshot_reader_t *self, uint64_t *done_bytes,
                               uint64_t *all_bytes);

#endif
