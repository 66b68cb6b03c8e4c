/* fuzz_reader - any bytes, walked with the cursor in every way it offers.
 *
 * Asserted besides what the sanitizers watch (D1): a reading that fails leaves the cursor (D4), no
 * count exceeds the bytes left (D2), a walk by hand ends where reader_skip does, and what the
 * writer makes of an accepted element is read back, encoded again, as the same bytes. */
#include "schema/limits.h"
#include "schema/reader.h"
#include "schema/writer.h"

#include <stdlib.h>

/* Walks one element by hand, within KV_DEPTH_MAX, and appends its shortest encoding. */
static bool s_walk (reader_t *at, unsigned depth, writer_t *out)
{
    int64_t integer;
    uint64_t large;
    double real;
    bool truth;
    uint32_t count;
    kv_slice_t bytes;
    reader_type_t type = reader_peek (at);
    if (reader_nil (at) == KV_OK)
        writer_nil (out);
    else if (reader_bool (at, &truth) == KV_OK)
        writer_bool (out, truth);
    else if (reader_int (at, &integer) == KV_OK)
        writer_int (out, integer);
    else if (reader_uint (at, &large) == KV_OK)
        writer_uint (out, large);
    else if (reader_double (at, &real) == KV_OK)
        writer_double (out, real);
    else if (reader_bytes (at, &bytes) == KV_OK) {
        if (type == READER_BIN)
            writer_bin (out, bytes);
        else
            writer_text (out, bytes);
    } else if (type == READER_ARRAY || type == READER_MAP) {
        reader_t start = *at;
        bool is_map = type == READER_MAP;
        kv_status_t status = is_map ? reader_map (at, &count) : reader_array (at, &count);
        if (status) {
            KV_ASSERT (at->at == start.at); // D4
            return false;
        }
        size_t elements = is_map ? 2 * (size_t)count : count;
        KV_ASSERT (elements <= reader_left (at)); // D2
        if (depth == KV_DEPTH_MAX)
            return false; // D3
        if (is_map)
            writer_map (out, count);
        else
            writer_array (out, count);
        for (size_t i = 0; i < elements; i++) {
            if (!s_walk (at, depth + 1, out))
                return false;
        }
    } else if (type == READER_EXT) {
        if (reader_skip (at, &bytes) != KV_OK)
            return false;
        writer_raw (out, bytes);
    } else
        return false;
    return true;
}

static void s_check_rewritten (const writer_t *first)
{
    writer_t second = writer_make (SIZE_MAX);
    reader_t at = reader_make (kv_slice (first->data, first->size));
    bool walked = s_walk (&at, 0, &second);
    KV_ASSERT (walked);
    KV_ASSERT (reader_left (&at) == 0);
    KV_ASSERT (
        kv_slice_equal (kv_slice (first->data, first->size), kv_slice (second.data, second.size)));
    writer_free (&second);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    reader_t at = reader_make (kv_slice (data, size));
    while (reader_left (&at)) {
        reader_t by_hand = at;
        reader_t skipped = at;
        kv_slice_t element;
        writer_t out = writer_make (SIZE_MAX);
        bool walked = s_walk (&by_hand, 0, &out);
        kv_status_t status = reader_skip (&skipped, &element);
        KV_ASSERT (walked == (status == KV_OK));
        if (walked) {
            KV_ASSERT (by_hand.at == skipped.at);
            KV_ASSERT (element.data == at.at);
            KV_ASSERT (element.data + element.size == skipped.at);
            s_check_rewritten (&out);
        } else
            KV_ASSERT (skipped.at == at.at); // D4
        writer_free (&out);
        at.at = walked ? skipped.at : at.at + 1;
    }
    return 0;
}
