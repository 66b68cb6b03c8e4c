/* Goal: a bundle gives back the parts that were put into it, and B1 and B2 are enforced.
 * Method: random parts laid out over frames in every way B1 allows; then frames, sizes and heads
 * that do not fit each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/bundle.h"
#include "schema/limits.h"
#include "test/unit/schema/golden.h"
#include "test/unit/schema/random.h"

enum { PARTS_MAX = 60 };

/* Frames made at random of `count` parts: part i is `sizes[i]` times the byte i. */
typedef struct {
    writer_t frames[PARTS_MAX + 1];
    kv_slice_t slices[PARTS_MAX + 1];
    size_t frame_count;
    size_t sizes[PARTS_MAX];
    size_t places[PARTS_MAX]; /* which frame */
    uint32_t count;
} layout_t;

static void s_lay_out (layout_t *self, random_t *random, message_type_t type)
{
    *self = (layout_t){.count = random_below (random, PARTS_MAX)};
    for (size_t i = 0; i <= PARTS_MAX; i++)
        self->frames[i] = writer_make (SIZE_MAX);
    bundle_head_begin (&self->frames[0], type, 12, self->count);
    size_t frame = self->count ? 1 : 0;
    for (uint32_t i = 0; i < self->count; i++) {
        self->sizes[i] = 1 + random_below (random, 40);
        bundle_head_part (&self->frames[0], 1000 + i, self->sizes[i]);
        if (i > 0 && random_below (random, 4) == 0)
            frame++;
        self->places[i] = frame;
        uint8_t *at = writer_claim (&self->frames[frame], self->sizes[i]);
        memset (at, (int)i, self->sizes[i]);
    }
    self->frame_count = frame + 1;
    for (size_t i = 0; i < self->frame_count; i++)
        self->slices[i] = golden_exact (kv_slice (self->frames[i].data, self->frames[i].size));
}

static void s_clear (layout_t *self)
{
    for (size_t i = 0; i < self->frame_count; i++)
        free ((void *)(uintptr_t)self->slices[i].data);
    for (size_t i = 0; i <= PARTS_MAX; i++)
        writer_free (&self->frames[i]);
}

static void test_bundle_gives_back_its_parts (void **state)
{
    (void)state;
    random_t random = random_make ("layouts");
    for (int round = 0; round < 2000; round++) {
        layout_t layout;
        message_type_t type = round % 2 ? MESSAGE_REQUESTS : MESSAGE_REPLIES;
        s_lay_out (&layout, &random, type);
        bundle_t bundle;
        assert_int_equal (bundle_open (&bundle, layout.slices, layout.frame_count), KV_OK);
        assert_int_equal (bundle.type, type);
        assert_int_equal (bundle.epoch, 12);
        assert_int_equal (bundle.part_count, layout.count);
        uint64_t tag;
        kv_slice_t part;
        size_t frame;
        for (uint32_t i = 0; i < layout.count; i++) {
            assert_int_equal (bundle_next (&bundle, &tag, &part, &frame), KV_OK);
            assert_int_equal (tag, 1000 + i);
            assert_int_equal (part.size, layout.sizes[i]);
            assert_int_equal (frame, layout.places[i]);
            for (size_t at = 0; at < part.size; at++)
                assert_int_equal (part.data[at], i);
        }
        assert_int_equal (bundle_next (&bundle, &tag, &part, &frame), KV_END);
        s_clear (&layout);
    }
}

static void test_bundle_that_lost_or_gained_bytes_is_refused (void **state)
{
    (void)state;
    random_t random = random_make ("damage");
    for (int round = 0; round < 2000; round++) {
        layout_t layout;
        s_lay_out (&layout, &random, MESSAGE_REQUESTS);
        bundle_t bundle;
        if (layout.count == 0) {
            s_clear (&layout);
            continue;
        }
        /* A byte less or more in any frame of parts: the sum of the parts is not that of the frames. */
        size_t frame = 1 + random_below (&random, (uint32_t)layout.frame_count - 1);
        kv_slice_t before = layout.slices[frame];
        layout.slices[frame].size--;
        assert_int_equal (bundle_open (&bundle, layout.slices, layout.frame_count),
                          KV_BAD_REQUEST); // B2
        writer_raw (&layout.frames[frame], kv_slice ("x", 1));
        layout.slices[frame] = kv_slice (layout.frames[frame].data, layout.frames[frame].size);
        assert_int_equal (bundle_open (&bundle, layout.slices, layout.frame_count),
                          KV_BAD_REQUEST); // B2
        layout.slices[frame] = before;
        /* A frame less, or one more. */
        assert_int_equal (bundle_open (&bundle, layout.slices, layout.frame_count - 1),
                          KV_BAD_REQUEST);
        kv_slice_t frames[PARTS_MAX + 2];
        memcpy (frames, layout.slices, layout.frame_count * sizeof frames[0]);
        frames[layout.frame_count] = kv_slice ("x", 1);
        assert_int_equal (bundle_open (&bundle, frames, layout.frame_count + 1), KV_BAD_REQUEST);
        s_clear (&layout);
    }
}

static kv_status_t s_open (const writer_t *head, kv_slice_t frame)
{
    kv_slice_t frames[2] = {kv_slice (head->data, head->size), frame};
    bundle_t bundle;
    return bundle_open (&bundle, frames, frame.size ? 2 : 1);
}

static void test_bundle_heads_are_checked (void **state)
{
    (void)state;
    const kv_slice_t none = {0};
    writer_t head = writer_make (SIZE_MAX);
    bundle_t bundle;
    assert_int_equal (bundle_open (&bundle, NULL, 0), KV_BAD_REQUEST);

    bundle_head_begin (&head, MESSAGE_REQUESTS, 1, 0);
    assert_int_equal (s_open (&head, none), KV_OK);
    for (size_t size = 0; size < head.size; size++) {
        kv_slice_t part = golden_exact (kv_slice (head.data, size));
        assert_int_equal (bundle_open (&bundle, &part, 1), KV_BAD_REQUEST);
        free ((void *)(uintptr_t)part.data);
    }
    head.data[1] = 2;
    assert_int_equal (s_open (&head, none), KV_BAD_VERSION);
    head.data[1] = 1;
    head.data[2] = MESSAGE_BEACON;
    assert_int_equal (s_open (&head, none), KV_BAD_REQUEST);

    /* A part of no bytes, one larger than its frame, and sizes that would wrap around. */
    const uint64_t sizes[] = {0, 4, UINT32_MAX, UINT64_MAX, UINT64_MAX - 2};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        writer_reset (&head);
        bundle_head_begin (&head, MESSAGE_REPLIES, 1, 2);
        bundle_head_part (&head, 1, 1);
        bundle_head_part (&head, 2, sizes[i]);
        assert_int_equal (s_open (&head, kv_slice ("abc", 3)), KV_BAD_REQUEST);
    }

    /* An odd number of elements; more parts than allowed. */
    writer_reset (&head);
    writer_raw (&head, kv_slice ("\x94\x01\x0a\x01\x91\x01", 6));
    assert_int_equal (s_open (&head, none), KV_BAD_REQUEST);
    writer_reset (&head);
    writer_raw (&head, kv_slice ("\x94\x01\x0a\x01", 4));
    writer_array (&head, 2 * (KV_BUNDLE_PARTS_MAX + 1));
    for (int i = 0; i < 2 * (KV_BUNDLE_PARTS_MAX + 1); i++)
        writer_uint (&head, 1);
    uint8_t *bytes = calloc (1, KV_BUNDLE_PARTS_MAX + 1);
    assert_int_equal (s_open (&head, kv_slice (bytes, KV_BUNDLE_PARTS_MAX + 1)), KV_BAD_REQUEST);
    free (bytes);
    writer_free (&head);
}

static void test_bundle_of_as_many_parts_as_allowed (void **state)
{
    (void)state;
    writer_t head = writer_make (SIZE_MAX);
    bundle_head_begin (&head, MESSAGE_REQUESTS, 1, KV_BUNDLE_PARTS_MAX);
    for (uint64_t i = 0; i < KV_BUNDLE_PARTS_MAX; i++)
        bundle_head_part (&head, i, 1);
    uint8_t *bytes = calloc (1, KV_BUNDLE_PARTS_MAX);
    assert_int_equal (s_open (&head, kv_slice (bytes, KV_BUNDLE_PARTS_MAX)), KV_OK);
    free (bytes);
    writer_free (&head);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_bundle_gives_back_its_parts),
        cmocka_unit_test (test_bundle_that_lost_or_gained_bytes_is_refused),
        cmocka_unit_test (test_bundle_heads_are_checked),
        cmocka_unit_test (test_bundle_of_as_many_parts_as_allowed),
    };
    return cmocka_run_group_tests_name ("schema.bundle", tests, NULL, NULL);
}
