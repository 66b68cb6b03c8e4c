#include "broker/placement.h"

#include "actors/small_file.h"
#include "schema/limits.h"
#include "schema/writer.h"

#include <stdio.h>

enum { FILE_BYTES_MAX = 64 + KV_NODES_MAX * (KV_NODE_ID_BYTES_MAX + 1) };

/* The one text that stands for a placement; the caller frees it. */
static writer_t s_print (const kv_broker_options_t *options)
{
    char head[64];
    writer_t text = writer_make (FILE_BYTES_MAX);
    snprintf (head, sizeof head, "kvdb-placement 1\nshards %u\n", options->shards);
    writer_raw (&text, kv_slice_text (head));
    for (size_t i = 0; i < options->node_count; i++) {
        writer_raw (&text, kv_slice_text (options->nodes[i].id));
        writer_raw (&text, kv_slice_text ("\n"));
    }
    KV_ASSERT (!text.overflow);
    return text;
}

kv_status_t placement_keep (const char *directory, const kv_broker_options_t *options, char *why,
                            size_t why_bytes)
{
    char stored[FILE_BYTES_MAX + 1];
    writer_t wanted = s_print (options);
    kv_slice_t text = kv_slice (wanted.data, wanted.size);
    kv_status_t status =
        small_file_read (directory, "placement", stored, sizeof stored, why, why_bytes);
    bool differs =
        status == KV_CORRUPT || (status == KV_OK && !kv_slice_equal (text, kv_slice_text (stored)));
    if (status == KV_NOT_FOUND) {
        status = small_file_replace (directory, "placement", text, why, why_bytes);
    } else if (differs) {
        snprintf (why, why_bytes,
                  "the cluster was made with other nodes, another order of them or other shards, "
                  "and shards cannot be moved yet: give it those of %s/placement, or an empty data "
                  "directory to begin a new cluster",
                  directory);
        status = KV_CONFIG;
    }
    writer_free (&wanted);
    return status;
}
