/* Goal: our codec and msgpack-c agree on every document.
 * Method: random documents are packed by msgpack-c, at times in wider forms than needed, and must
 * be accepted, measured and printed by the cursor; what our writer makes of them must unpack in
 * msgpack-c to the same object, and be byte for byte what msgpack-c packs from it. Damaged ones
 * that the cursor still accepts, msgpack-c must accept with the same length. (Not the other way
 * round: for a count that lies, msgpack-c asks for gigabytes before it looks at what is there.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/limits.h"
#include "test/unit/schema/golden.h"
#include "test/unit/schema/random.h"

#include <msgpack.h>

enum { DOCUMENTS = 3000 };

static void s_pack_string (msgpack_packer *packer, random_t *random)
{
    char bytes[700];
    size_t size = random_below (random, random_below (random, 4) ? 40 : sizeof bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)random_next (random);
    if (random_below (random, 2))
        msgpack_pack_str_with_body (packer, bytes, size);
    else
        msgpack_pack_bin_with_body (packer, bytes, size);
}

static void s_pack_number (msgpack_packer *packer, random_t *random)
{
    uint64_t bits = random_next (random) >> random_below (random, 64);
    switch (random_below (random, 5)) {
    case 0: msgpack_pack_uint64 (packer, bits); break;
    case 1: msgpack_pack_int64 (packer, (int64_t)(0 - (bits >> 1))); break;
    case 2: msgpack_pack_fix_int32 (packer, (int32_t)bits); break;
    case 3: msgpack_pack_double (packer, (double)bits / 3); break;
    default: msgpack_pack_float (packer, (float)bits / 3); break;
    }
}

static void s_pack (msgpack_packer *packer, random_t *random, unsigned depth)
{
    uint32_t kind = random_below (random, depth < KV_DEPTH_MAX ? 8 : 6);
    uint32_t count = random_below (random, random_below (random, 8) ? 6 : 40);
    switch (kind) {
    case 0: msgpack_pack_nil (packer); break;
    case 1:
        if (random_below (random, 2))
            msgpack_pack_true (packer);
        else
            msgpack_pack_false (packer);
        break;
    case 2:
    case 3: s_pack_number (packer, random); break;
    case 4:
    case 5: s_pack_string (packer, random); break;
    case 6:
        msgpack_pack_array (packer, count);
        for (uint32_t i = 0; i < count; i++)
            s_pack (packer, random, depth + 1);
        break;
    default:
        msgpack_pack_map (packer, count);
        for (uint32_t i = 0; i < 2 * count; i++)
            s_pack (packer, random, depth + 1);
    }
}

/* A top-level element of some size: an array, so that depth is really reached. */
static void s_document (msgpack_sbuffer *buffer, random_t *random)
{
    msgpack_packer packer;
    msgpack_sbuffer_clear (buffer);
    msgpack_packer_init (&packer, buffer, msgpack_sbuffer_write);
    msgpack_pack_array (&packer, 3);
    for (int i = 0; i < 3; i++)
        s_pack (&packer, random, 1 + random_below (random, KV_DEPTH_MAX - 1));
}

static void s_check (const msgpack_sbuffer *buffer)
{
    kv_slice_t exact = golden_exact (kv_slice (buffer->data, buffer->size));
    reader_t at = reader_make (exact);
    assert_int_equal (reader_skip (&at, NULL), KV_OK);
    assert_int_equal (reader_left (&at), 0);

    writer_t ours = writer_make (SIZE_MAX);
    at = reader_make (exact);
    golden_rewrite (&ours, &at);
    assert_int_equal (reader_left (&at), 0);
    msgpack_unpacked before, after;
    msgpack_unpacked_init (&before);
    msgpack_unpacked_init (&after);
    size_t offset = 0;
    assert_int_equal (msgpack_unpack_next (&before, (const char *)exact.data, exact.size, &offset),
                      MSGPACK_UNPACK_SUCCESS);
    offset = 0;
    assert_int_equal (msgpack_unpack_next (&after, (const char *)ours.data, ours.size, &offset),
                      MSGPACK_UNPACK_SUCCESS);
    assert_int_equal (offset, ours.size);

    /* msgpack-c packs a double that is whole as an integer only if asked; floats become doubles in
     * ours, so what is compared is our encoding against msgpack-c's of what it read from it. */
    msgpack_sbuffer again;
    msgpack_packer packer;
    msgpack_sbuffer_init (&again);
    msgpack_packer_init (&packer, &again, msgpack_sbuffer_write);
    msgpack_pack_object (&packer, after.data);
    assert_int_equal (again.size, ours.size);
    assert_memory_equal (again.data, ours.data, ours.size);

    /* Both documents print alike. */
    writer_t text[2] = {writer_make (SIZE_MAX), writer_make (SIZE_MAX)};
    at = reader_make (exact);
    golden_print (&text[0], &at);
    at = reader_make (kv_slice (ours.data, ours.size));
    golden_print (&text[1], &at);
    assert_int_equal (text[0].size, text[1].size);
    assert_memory_equal (text[0].data, text[1].data, text[0].size);
    writer_free (&text[0]);
    writer_free (&text[1]);
    msgpack_sbuffer_destroy (&again);
    msgpack_unpacked_destroy (&before);
    msgpack_unpacked_destroy (&after);
    writer_free (&ours);
    free ((void *)(uintptr_t)exact.data);
}

static void test_cross_msgpack_documents_agree (void **state)
{
    (void)state;
    random_t random = random_make ("documents");
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init (&buffer);
    for (int i = 0; i < DOCUMENTS; i++) {
        s_document (&buffer, &random);
        s_check (&buffer);
    }
    msgpack_sbuffer_destroy (&buffer);
}

static void test_cross_msgpack_damaged_documents_agree (void **state)
{
    (void)state;
    random_t random = random_make ("damaged documents");
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init (&buffer);
    size_t accepted = 0;
    for (int i = 0; i < DOCUMENTS; i++) {
        s_document (&buffer, &random);
        size_t size = buffer.size < 400 ? buffer.size : 400;
        for (uint32_t n = random_below (&random, 4); n > 0; n--)
            buffer.data[random_below (&random, (uint32_t)size)] = (char)random_next (&random);
        reader_t at = reader_make (kv_slice (buffer.data, size));
        if (reader_skip (&at, NULL) != KV_OK)
            continue;
        accepted++;
        msgpack_unpacked result;
        msgpack_unpacked_init (&result);
        size_t offset = 0;
        assert_int_equal (msgpack_unpack_next (&result, buffer.data, size, &offset),
                          MSGPACK_UNPACK_SUCCESS);
        assert_int_equal (offset, size - reader_left (&at));
        msgpack_unpacked_destroy (&result);
    }
    msgpack_sbuffer_destroy (&buffer);
    assert_true (accepted > DOCUMENTS / 20);
    assert_true (accepted < DOCUMENTS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_cross_msgpack_documents_agree),
        cmocka_unit_test (test_cross_msgpack_damaged_documents_agree),
    };
    return cmocka_run_group_tests_name ("schema.cross_msgpack", tests, NULL, NULL);
}
