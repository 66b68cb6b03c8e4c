/* bundle - many requests, or many replies, in one message between broker and node: libzmq's cost
 * is per message, so each side sends one bundle per peer and wake-up.
 *
 *   frame 0     [1, REQUESTS | REPLIES, epoch, [tag, bytes, tag, bytes, ...]]
 *   frame 1..   the parts, each a whole request or reply of request.h, back to back
 *
 *   B1  a part lies within one frame: it follows its predecessor if it fits in what is left of
 *       that frame, else the predecessor ended its frame and the part begins the next one.
 *   B2  the frames hold the parts and nothing else.
 *
 * So small parts share a frame at the cost of a copy, and a large one is a frame of its own that
 * is handed on uncopied. A tag is the sender's own; a reply bears the tag of its request. */
#ifndef KVDB_SCHEMA_BUNDLE_H
#define KVDB_SCHEMA_BUNDLE_H

#include "schema/message.h"

/* Starts the head; the caller appends tag and bytes of each part with bundle_head_part. */
void bundle_head_begin (writer_t *out, message_type_t type, uint64_t epoch, uint32_t parts);
void bundle_head_part (writer_t *out, uint64_t tag, size_t bytes);

typedef struct {
    message_type_t type;
    uint64_t epoch;
    uint32_t part_count;
    reader_t parts;           /* tag, bytes, ... */
    const kv_slice_t *frames; /* borrowed */
    size_t frame_count;
    size_t frame;  /* where the next part is */
    size_t offset; /* within that frame */
} bundle_t;

/* Opens a bundle of frames[0..frame_count), head included, and checks B1 and B2 for all of it.
 * KV_BAD_REQUEST, KV_BAD_VERSION. */
KV_CHECK_RESULT kv_status_t bundle_open (bundle_t *self, const kv_slice_t *frames,
                                         size_t frame_count);

/* The next part; `frame` receives the index of its frame (may be NULL). KV_END after the last. */
KV_CHECK_RESULT kv_status_t bundle_next (bundle_t *self, uint64_t *tag, kv_slice_t *part,
                                         size_t *frame);

#endif
