/* bundle_io - collects the parts of one outgoing bundle and cuts them into frames (bundle.h).
 *
 * Parts up to BUNDLE_COPY_BYTES are copied behind each other; a larger one becomes a frame of its
 * own, uncopied: a frame costs libzmq more than copying a few KiB does.
 *
 * Owner: one thread. */
#ifndef KVDB_ACTORS_BUNDLE_IO_H
#define KVDB_ACTORS_BUNDLE_IO_H

#include "actors/blob.h"
#include "schema/bundle.h"
#include "schema/limits.h"

enum { BUNDLE_COPY_BYTES = 8 * 1024 };

typedef struct bundle_out bundle_out_t;

bundle_out_t *bundle_out_new (message_type_t type);
void bundle_out_destroy (bundle_out_t **self_p);

/* Adds a part; takes the reference over. False: the bundle is full; send it first. */
KV_CHECK_RESULT bool bundle_out_add (bundle_out_t *self, uint64_t tag, blob_t **part_p);

bool bundle_out_is_empty (const bundle_out_t *self);

/* Ends the bundle: head and frames, whose references the caller owns; then it is empty again.
 * `frames` has room for KV_BUNDLE_FRAMES_MAX. */
size_t bundle_out_finish (bundle_out_t *self, uint64_t epoch, blob_t *frames[KV_BUNDLE_FRAMES_MAX]);

/* The tags of the bundle that was finished last, until a part is added, and how many they are.
 * For taking back what could not be sent. */
uint64_t bundle_out_finished_tag (const bundle_out_t *self, uint32_t index);
uint32_t bundle_out_finished_count (const bundle_out_t *self);

#endif
