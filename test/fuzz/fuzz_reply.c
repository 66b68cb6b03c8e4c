/* fuzz_reply - any bytes as a reply, taken as far as a client or a broker takes it.
 *
 * Asserted: results lie back to back, as many as announced, and their parts lie within them; an
 * accepted reply written again result by result decodes to the same results. */
#include "schema/request.h"

#include <stdlib.h>

static bool s_within (kv_slice_t part, kv_slice_t whole)
{
    return part.data >= whole.data && part.data + part.size <= whole.data + whole.size;
}

static void s_check_result (const result_t *result)
{
    KV_ASSERT (result->raw.size >= 2);
    if (result->status == KV_OK) {
        KV_ASSERT (s_within (result->value, result->raw));
        KV_ASSERT (result->value.size > 0);
        KV_ASSERT (result->details.size == 0);
        return;
    }
    KV_ASSERT (s_within (result->text, result->raw));
    if (result->details.size) {
        KV_ASSERT (s_within (result->details, result->raw));
        reader_t details = reader_make (result->details);
        KV_ASSERT (reader_peek (&details) == READER_MAP);
    }
}

/* False if a result is malformed. Appends each as raw bytes under a head of our own. */
static bool s_read (reply_t reply, writer_t *out)
{
    uint32_t count = 0;
    const uint8_t *at = reply.results.at;
    reply_begin (out, reply.id, reply.count);
    for (;;) {
        result_t result;
        kv_status_t status = result_next (&reply, &result);
        if (status == KV_BAD_REQUEST) {
            KV_ASSERT (reply.results.at == at); // D4
            return false;
        }
        if (status == KV_END)
            break;
        KV_ASSERT (status == KV_OK);
        KV_ASSERT (result.raw.data == at);
        s_check_result (&result);
        writer_raw (out, result.raw);
        at += result.raw.size;
        count++;
    }
    KV_ASSERT (count == reply.count);
    return true;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    reply_t reply;
    kv_status_t status = reply_decode (kv_slice (data, size), &reply);
    if (status != KV_OK) {
        KV_ASSERT (status == KV_BAD_REQUEST || status == KV_BAD_VERSION);
        return 0;
    }
    writer_t first = writer_make (SIZE_MAX);
    writer_t second = writer_make (SIZE_MAX);
    if (s_read (reply, &first)) {
        reply_t again;
        status = reply_decode (kv_slice (first.data, first.size), &again);
        KV_ASSERT (status == KV_OK);
        KV_ASSERT (again.id == reply.id);
        bool read = s_read (again, &second);
        KV_ASSERT (read);
        KV_ASSERT (kv_slice_equal (kv_slice (first.data, first.size),
                                   kv_slice (second.data, second.size)));
    }
    writer_free (&first);
    writer_free (&second);
    return 0;
}
