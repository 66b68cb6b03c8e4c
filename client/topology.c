#include "client/topology.h"

#include <stdio.h>
#include <stdlib.h>

/* Finds a key's value in an encoded map; empty if it is not there, or this is no map. */
static kv_slice_t s_find (kv_slice_t map, const char *key)
{
    reader_t at = reader_make (map);
    uint32_t count;
    kv_slice_t name;
    kv_slice_t value;
    if (map.size == 0 || reader_map (&at, &count) != KV_OK)
        return kv_slice (NULL, 0);
    for (uint32_t i = 0; i < count; i++) {
        if (reader_skip (&at, &name) != KV_OK || reader_skip (&at, &value) != KV_OK)
            break;
        reader_t name_at = reader_make (name);
        kv_slice_t text;
        if (reader_bytes (&name_at, &text) == KV_OK && kv_slice_equal (text, kv_slice_text (key)))
            return value;
    }
    return kv_slice (NULL, 0);
}

static bool s_find_number (kv_slice_t map, const char *key, uint64_t most, uint64_t *out)
{
    reader_t at = reader_make (s_find (map, key));
    return reader_uint (&at, out) == KV_OK && *out <= most;
}

/* A text that fits into `room` bytes with its NUL, and has none in it. */
static bool s_find_text (kv_slice_t map, const char *key, char *out, size_t room)
{
    reader_t at = reader_make (s_find (map, key));
    kv_slice_t text;
    out[0] = '\0';
    if (reader_bytes (&at, &text) != KV_OK || text.size >= room)
        return false;
    if (text.size && memchr (text.data, '\0', text.size))
        return false;
    snprintf (out, room, "%.*s", (int)text.size, (const char *)text.data);
    return true;
}

static bool s_read_node (kv_slice_t node, topology_endpoint_t endpoint)
{
    char host[KV_HOST_BYTES_MAX + 1];
    uint64_t port;
    endpoint[0] = '\0';
    if (!s_find_text (node, "host", host, sizeof host) ||
        !s_find_number (node, "port", UINT16_MAX, &port))
        return false;
    if (host[0] == '\0' || port == 0)
        return true; /* never seen: it has no door yet */
    bool bare6 = strchr (host, ':') && host[0] != '[';
    snprintf (endpoint, sizeof (topology_endpoint_t), bare6 ? "tcp://[%s]:%u" : "tcp://%s:%u", host,
              (unsigned)port);
    return true;
}

static bool s_read_nodes (topology_t *self, kv_slice_t nodes)
{
    reader_t at = reader_make (nodes);
    if (reader_array (&at, &self->nodes) != KV_OK || self->nodes == 0 || self->nodes > KV_NODES_MAX)
        return false;
    self->endpoints = calloc (self->nodes, sizeof *self->endpoints);
    KV_ASSERT (self->endpoints != NULL);
    for (uint32_t i = 0; i < self->nodes; i++) {
        kv_slice_t node;
        if (reader_skip (&at, &node) != KV_OK || !s_read_node (node, self->endpoints[i]))
            return false;
    }
    return true;
}

static bool s_read_owners (topology_t *self, kv_slice_t owners)
{
    reader_t at = reader_make (owners);
    uint32_t count;
    if (reader_array (&at, &count) != KV_OK || count != self->shards)
        return false;
    self->owners = calloc (count, sizeof *self->owners);
    KV_ASSERT (self->owners != NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t owner;
        if (reader_uint (&at, &owner) != KV_OK || owner >= self->nodes)
            return false;
        self->owners[i] = (uint16_t)owner;
    }
    return true;
}

kv_status_t topology_read (kv_slice_t value, topology_t *out)
{
    uint64_t shards;
    *out = (topology_t){0};
    if (s_find_number (value, "epoch", UINT64_MAX, &out->epoch) &&
        s_find_number (value, "shards", KV_SHARDS_MAX, &shards) && shards > 0) {
        out->shards = (uint32_t)shards;
        if (s_read_nodes (out, s_find (value, "nodes")) &&
            s_read_owners (out, s_find (value, "owners")))
            return KV_OK;
    }
    topology_free (out);
    return KV_CORRUPT;
}

void topology_free (topology_t *self)
{
    free (self->endpoints);
    free (self->owners);
    *self = (topology_t){0};
}

kv_status_t topology_moved (kv_slice_t details, moved_t *out)
{
    uint64_t shard;
    *out = (moved_t){0};
    if (!s_find_number (details, "shard", KV_SHARDS_MAX - 1, &shard))
        return KV_CORRUPT;
    out->shard = (uint32_t)shard;
    bool known = s_find_text (details, "endpoint", out->endpoint, sizeof out->endpoint) &&
                 s_find_number (details, "epoch", UINT64_MAX, &out->epoch);
    if (!known)
        out->endpoint[0] = '\0';
    return KV_OK;
}

uint32_t topology_retry_ms (kv_slice_t details)
{
    uint64_t retry_ms;
    return s_find_number (details, "retry_ms", KV_DEADLINE_MS_MAX, &retry_ms) ? (uint32_t)retry_ms
                                                                              : 0;
}
