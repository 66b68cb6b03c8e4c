/* blob - bytes with an owner count, handed from hand to hand without copying.
 *
 *   B1  the bytes never change once the blob exists.
 *   B2  the release function runs exactly once, when the last reference goes.
 *
 * The count is atomic: libzmq drops its reference from its own thread. Everything else about a
 * blob is immutable, so any thread may read one it holds. */
#ifndef KVDB_ACTORS_BLOB_H
#define KVDB_ACTORS_BLOB_H

#include "schema/slice.h"
#include "schema/writer.h"

typedef struct blob blob_t;

/* Takes over bytes that came from malloc. */
blob_t *blob_take (uint8_t *data, size_t size);

/* Takes over what a writer holds; the writer is empty afterwards. */
blob_t *blob_from_writer (writer_t *writer);

blob_t *blob_copy (kv_slice_t bytes);

/* Wraps bytes that live in `owner`; `release (owner)` frees them at the end. */
blob_t *blob_wrap (kv_slice_t bytes, void *owner, void (*release) (void *owner));

/* One more reference to the same bytes. */
blob_t *blob_ref (blob_t *self);

/* Drops a reference and sets the pointer to NULL; takes NULL. */
void blob_unref (blob_t **self_p);

kv_slice_t blob_bytes (const blob_t *self);

#endif
