/* Goal: what bundle_out collects comes out of bundle_open and bundle_next part by part, within B1,
 * B2 and the bounds; and no damage to the frames is taken for something else.
 * Method: random parts of all sizes, several bundles one after the other from one collector; then
 * frames cut, dropped, lengthened and overwritten at random, each in a block of its exact size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/bundle_io.h"
#include "schema/limits.h"
#include "test/unit/schema/random.h"

typedef struct {
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    kv_slice_t slices[KV_BUNDLE_FRAMES_MAX];
    size_t count;
} frames_t;

static uint64_t s_tag (uint32_t part)
{
    return UINT64_C (1) << 40 | part;
}

static blob_t *s_part (random_t *random, uint32_t index, uint32_t largest)
{
    uint32_t size = 1 + random_below (random, largest);
    uint8_t *bytes = malloc (size);
    memset (bytes, (int)(index % 251), size);
    return blob_take (bytes, size);
}

static uint32_t s_largest (random_t *random)
{
    static const uint32_t sizes[] = {20, 20, 20, 500, BUNDLE_COPY_BYTES, 3 * BUNDLE_COPY_BYTES};
    return sizes[random_below (random, 6)];
}

/* Collects parts until the bundle is full or `most` are in. */
static uint32_t s_fill (bundle_out_t *out, random_t *random, uint32_t most, size_t sizes[])
{
    uint32_t count = 0;
    while (count < most) {
        blob_t *part = s_part (random, count, s_largest (random));
        sizes[count] = blob_bytes (part).size;
        if (!bundle_out_add (out, s_tag (count), &part)) {
            assert_non_null (part); /* it is still ours */
            blob_unref (&part);
            break;
        }
        assert_null (part);
        assert_false (bundle_out_is_empty (out));
        count++;
    }
    return count;
}

static void s_finish (bundle_out_t *out, frames_t *frames)
{
    frames->count = bundle_out_finish (out, 7, frames->frames);
    assert_true (bundle_out_is_empty (out));
    assert_true (frames->count <= KV_BUNDLE_FRAMES_MAX);
    for (size_t i = 0; i < frames->count; i++)
        frames->slices[i] = blob_bytes (frames->frames[i]);
}

static void s_free (frames_t *frames)
{
    for (size_t i = 0; i < frames->count; i++)
        blob_unref (&frames->frames[i]);
}

static void s_check (const frames_t *frames, message_type_t type, uint32_t count,
                     const size_t sizes[])
{
    bundle_t bundle;
    assert_int_equal (bundle_open (&bundle, frames->slices, frames->count), KV_OK);
    assert_int_equal (bundle.type, type);
    assert_int_equal (bundle.epoch, 7);
    assert_int_equal (bundle.part_count, count);
    uint64_t tag = 0;
    kv_slice_t part;
    size_t frame;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal (bundle_next (&bundle, &tag, &part, &frame), KV_OK);
        assert_true (tag == s_tag (i));
        assert_int_equal (part.size, sizes[i]);
        assert_true (frame < frames->count);
        assert_true (part.data >= frames->slices[frame].data);
        assert_true (part.data + part.size <=
                     frames->slices[frame].data + frames->slices[frame].size); // B1
        for (size_t at = 0; at < part.size; at++)
            assert_true (part.data[at] == i % 251);
        if (part.size > BUNDLE_COPY_BYTES)
            assert_int_equal (part.size, frames->slices[frame].size); /* a frame of its own */
    }
    assert_int_equal (bundle_next (&bundle, &tag, &part, &frame), KV_END);
}

static void test_random_parts_come_back (void **state)
{
    (void)state;
    random_t random = random_make ("bundle_io");
    bundle_out_t *out = bundle_out_new (MESSAGE_REPLIES);
    size_t *sizes = calloc (KV_BUNDLE_PARTS_MAX, sizeof *sizes);
    for (int round = 0; round < 400; round++) {
        frames_t frames;
        uint32_t count = s_fill (out, &random, 1 + random_below (&random, 80), sizes);
        s_finish (out, &frames);
        s_check (&frames, MESSAGE_REPLIES, count, sizes);
        s_free (&frames);
    }
    (void)s_fill (out, &random, 50, sizes); /* freed with the collector */
    bundle_out_destroy (&out);
    assert_null (out);
    bundle_out_destroy (&out);
    free (sizes);
}

static void test_bundle_is_full_at_its_bounds (void **state)
{
    (void)state;
    bundle_out_t *out = bundle_out_new (MESSAGE_REQUESTS);
    size_t *sizes = calloc (KV_BUNDLE_PARTS_MAX + 1, sizeof *sizes);
    frames_t frames;
    uint32_t count = 0;
    for (;; count++) {
        blob_t *part = blob_copy (kv_slice (&(uint8_t){(uint8_t)(count % 251)}, 1));
        sizes[count] = 1;
        bool added = bundle_out_add (out, s_tag (count), &part);
        blob_unref (&part);
        if (!added)
            break;
    }
    assert_int_equal (count, KV_BUNDLE_PARTS_MAX);
    s_finish (out, &frames);
    assert_int_equal (frames.count, 2);
    s_check (&frames, MESSAGE_REQUESTS, count, sizes);
    s_free (&frames);

    random_t random = random_make ("bundle_io bounds");
    for (int round = 0; round < 20; round++) { /* large parts: frames run out first */
        for (count = 0;; count++) {
            blob_t *part = s_part (&random, count, random_below (&random, 3) ? 30000 : 10);
            sizes[count] = blob_bytes (part).size;
            bool added = bundle_out_add (out, s_tag (count), &part);
            blob_unref (&part);
            if (!added)
                break;
        }
        assert_true (count >= KV_BUNDLE_FRAMES_MAX / 2 - 2);
        s_finish (out, &frames);
        s_check (&frames, MESSAGE_REQUESTS, count, sizes);
        s_free (&frames);
    }
    bundle_out_destroy (&out);
    free (sizes);
}

/* Opens frames in blocks of their exact size and walks them; counts those that were accepted. */
static bool s_open (const frames_t *frames)
{
    kv_slice_t exact[KV_BUNDLE_FRAMES_MAX];
    void *blocks[KV_BUNDLE_FRAMES_MAX];
    for (size_t i = 0; i < frames->count; i++) {
        size_t size = frames->slices[i].size;
        blocks[i] = malloc (size ? size : 1);
        if (size)
            memcpy (blocks[i], frames->slices[i].data, size);
        exact[i] = kv_slice (blocks[i], size);
    }
    bundle_t bundle;
    kv_status_t status = bundle_open (&bundle, exact, frames->count);
    assert_true (status == KV_OK || status == KV_BAD_REQUEST || status == KV_BAD_VERSION);
    size_t bytes = 0;
    uint64_t tag;
    kv_slice_t part;
    uint32_t parts = status == KV_OK ? bundle.part_count : 0;
    for (uint32_t i = 0; i < parts; i++) {
        assert_int_equal (bundle_next (&bundle, &tag, &part, NULL), KV_OK);
        bytes += part.size;
    }
    for (size_t i = 1; status == KV_OK && i < frames->count; i++)
        bytes -= exact[i].size;
    assert_int_equal (bytes, 0); // B2
    for (size_t i = 0; i < frames->count; i++)
        free (blocks[i]);
    return status == KV_OK;
}

static void test_damaged_frames (void **state)
{
    (void)state;
    random_t random = random_make ("bundle_io damage");
    bundle_out_t *out = bundle_out_new (MESSAGE_REPLIES);
    size_t *sizes = calloc (KV_BUNDLE_PARTS_MAX, sizeof *sizes);
    for (int round = 0; round < 2000; round++) {
        frames_t frames;
        (void)s_fill (out, &random, 1 + random_below (&random, 20), sizes);
        s_finish (out, &frames);
        frames_t damaged = frames;
        size_t victim = random_below (&random, (uint32_t)frames.count);
        kv_slice_t *slice = &damaged.slices[victim];
        uint8_t *copy = malloc (slice->size + 1);
        memcpy (copy, slice->data, slice->size);
        copy[slice->size] = 0;
        size_t size = slice->size;
        switch (random_below (&random, 4)) {
        case 0: /* cut short: never the whole */
            *slice = kv_slice (copy, random_below (&random, (uint32_t)size));
            assert_false (s_open (&damaged));
            break;
        case 1: /* a frame is missing */
            damaged.count--;
            memmove (slice, slice + 1, (frames.count - victim - 1) * sizeof *slice);
            assert_false (s_open (&damaged));
            break;
        case 2: /* a byte too many, in the head or in a frame of parts */
            *slice = kv_slice (copy, size + 1);
            assert_false (s_open (&damaged));
            break;
        default: /* any bytes changed */
            for (int i = 0; i < 3; i++)
                copy[random_below (&random, (uint32_t)size)] ^= (uint8_t)random_next (&random);
            *slice = kv_slice (copy, size);
            (void)s_open (&damaged);
            break;
        }
        free (copy);
        s_free (&frames);
    }
    bundle_out_destroy (&out);
    free (sizes);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_parts_come_back),
        cmocka_unit_test (test_bundle_is_full_at_its_bounds),
        cmocka_unit_test (test_damaged_frames),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
