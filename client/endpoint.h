/* endpoint - from a host as people write it to an endpoint as ZeroMQ reads it.
 *
 *   "127.0.0.1"          -> tcp://127.0.0.1:7000
 *   "::1" or "[::1]"     -> tcp://[::1]:7000, IPv6
 *   "localhost"          -> tcp://localhost:7000; ZeroMQ looks it up again at each connection
 *
 * ZeroMQ takes one address of a name, and an IPv4 one only if it was told so. A name that has
 * addresses of both families is therefore tried here once: the family that answers is used. */
#ifndef KVDB_CLIENT_ENDPOINT_H
#define KVDB_CLIENT_ENDPOINT_H

#include "schema/limits.h"
#include "schema/status.h"

typedef struct {
    char text[KV_ENDPOINT_BYTES_MAX + 1];
    bool ipv6; /* the value for ZMQ_IPV6 */
} endpoint_t;

/* KV_CONFIG if `host` is neither name nor address, or the port not in 1..65535. Resolves names, and
 * for those of both families waits for a connection, ENDPOINT_PROBE_MS at most per address. */
KV_CHECK_RESULT kv_status_t endpoint_make (const char *host, int port, endpoint_t *out);

enum { ENDPOINT_PROBE_MS = 250, ENDPOINT_ADDRESSES_MAX = 4 };

/* Looks a name up, for those who would rather not wait for one that has no address. Returns why it has
 * none, in the resolver's words (static text); NULL if it has one, is an address, or no host. */
const char *endpoint_lookup (const char *host);

/* Splits "HOST:PORT" or "[V6]:PORT" into `host` (of KV_HOST_BYTES_MAX + 1 bytes) and `port`. */
KV_CHECK_RESULT kv_status_t endpoint_split (const char *text, char *host, int *port);

#endif
