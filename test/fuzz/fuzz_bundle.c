/* fuzz_bundle - any bytes as the frames of a bundle, taken as far as a broker or a node takes them.
 *
 * The input is cut into frames: 2 bytes length (big-endian), bytes; what is cut short ends there.
 *
 * Asserted: the parts of an accepted bundle lie within its frames, none overlaps another, together
 * they are all of them (B1, B2); put into a bundle again, they come out the same. */
#include "actors/bundle_io.h"
#include "schema/limits.h"

#include <stdlib.h>

static size_t s_cut (const uint8_t *data, size_t size, kv_slice_t *frames, size_t most)
{
    size_t count = 0;
    while (size >= 2 && count < most) {
        size_t bytes = (size_t)data[0] << 8 | data[1];
        if (bytes > size - 2)
            bytes = size - 2;
        frames[count++] = kv_slice (data + 2, bytes);
        data += 2 + bytes;
        size -= 2 + bytes;
    }
    return count;
}

static void s_again (bundle_t bundle, message_type_t type)
{
    bundle_out_t *out = bundle_out_new (type);
    bundle_t first = bundle;
    uint64_t tag;
    uint64_t same_tag;
    kv_slice_t part;
    kv_slice_t same;
    while (bundle_next (&bundle, &tag, &part, NULL) == KV_OK) {
        blob_t *blob = blob_copy (part);
        bool added = bundle_out_add (out, tag, &blob);
        KV_ASSERT (added); /* no part is large enough to run out of frames */
    }
    blob_t *blobs[KV_BUNDLE_FRAMES_MAX];
    kv_slice_t frames[KV_BUNDLE_FRAMES_MAX];
    size_t count = bundle_out_finish (out, first.epoch, blobs);
    for (size_t i = 0; i < count; i++)
        frames[i] = blob_bytes (blobs[i]);
    bundle_t again;
    kv_status_t status = bundle_open (&again, frames, count);
    KV_ASSERT (status == KV_OK);
    KV_ASSERT (again.epoch == first.epoch && again.part_count == first.part_count);
    while (bundle_next (&first, &tag, &part, NULL) == KV_OK) {
        status = bundle_next (&again, &same_tag, &same, NULL);
        KV_ASSERT (status == KV_OK);
        KV_ASSERT (tag == same_tag && kv_slice_equal (part, same));
    }
    for (size_t i = 0; i < count; i++)
        blob_unref (&blobs[i]);
    bundle_out_destroy (&out);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    kv_slice_t frames[KV_BUNDLE_FRAMES_MAX];
    size_t count = s_cut (data, size < 60000 ? size : 60000, frames, KV_BUNDLE_FRAMES_MAX);
    bundle_t bundle;
    kv_status_t status = bundle_open (&bundle, frames, count);
    if (status != KV_OK) {
        KV_ASSERT (status == KV_BAD_REQUEST || status == KV_BAD_VERSION);
        return 0;
    }
    KV_ASSERT (bundle.type == MESSAGE_REQUESTS || bundle.type == MESSAGE_REPLIES);
    bundle_t walk = bundle;
    uint64_t tag;
    kv_slice_t part;
    size_t frame = 0;
    size_t last_frame = 1;
    size_t offset = 0;
    uint32_t parts = 0;
    while ((status = bundle_next (&walk, &tag, &part, &frame)) == KV_OK) {
        for (; last_frame < frame; last_frame++, offset = 0)
            KV_ASSERT (offset == frames[last_frame].size);    // B2
        KV_ASSERT (part.data == frames[frame].data + offset); // B1
        KV_ASSERT (part.size > 0 && part.size <= frames[frame].size - offset);
        offset += part.size;
        parts++;
    }
    KV_ASSERT (status == KV_END && parts == bundle.part_count);
    for (; last_frame < count; last_frame++, offset = 0)
        KV_ASSERT (offset == frames[last_frame].size); // B2
    if (parts > 0)
        s_again (bundle, bundle.type);
    return 0;
}
