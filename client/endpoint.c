#include "client/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Characters of names and addresses; ';' and '/' mean something to ZeroMQ, and may not come in. */
static bool s_is_host (const char *text, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_:%";
    return size > 0 && size <= KV_HOST_BYTES_MAX && strspn (text, allowed) >= size;
}

/* Whether something accepts connections at the address. */
static bool s_answers (const struct addrinfo *address)
{
    int fd = socket (address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool answers = connect (fd, address->ai_addr, address->ai_addrlen) == 0;
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    if (!answers && poll (&item, 1, ENDPOINT_PROBE_MS) == 1) {
        int error = 1;
        socklen_t size = sizeof error;
        answers = getsockopt (fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    }
    close (fd);
    return answers;
}

/* Whether the name is to be looked up as IPv6. A name that has no address now is left to ZeroMQ,
 * which looks again at each try. */
static bool s_prefers_ipv6 (const char *name, int port)
{
    char service[16];
    snprintf (service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo (name, service, &hints, &list) != 0)
        return false;
    bool has_ipv4 = false;
    bool has_ipv6 = false;
    for (const struct addrinfo *at = list; at; at = at->ai_next) {
        has_ipv4 |= at->ai_family == AF_INET;
        has_ipv6 |= at->ai_family == AF_INET6;
    }
    bool ipv6 = has_ipv6 && !has_ipv4;
    int tried = 0;
    if (has_ipv4 && has_ipv6) {
        for (const struct addrinfo *at = list; at && tried < ENDPOINT_ADDRESSES_MAX;
             at = at->ai_next, tried++) {
            if (!s_answers (at))
                continue;
            ipv6 = at->ai_family == AF_INET6;
            break;
        }
    }
    freeaddrinfo (list);
    return ipv6;
}

typedef enum { HOST_WRONG, HOST_NAME, HOST_IPV4, HOST_IPV6 } host_kind_t;

/* What `host` is; without brackets in `name`. */
static host_kind_t s_read_host (const char *host, char name[KV_HOST_BYTES_MAX + 1])
{
    size_t size = strlen (host);
    bool bracketed = size > 2 && host[0] == '[' && host[size - 1] == ']';
    if (bracketed) {
        host++;
        size -= 2;
    }
    if (!s_is_host (host, size))
        return HOST_WRONG;
    memcpy (name, host, size);
    name[size] = '\0';
    if (strchr (name, ':')) {
        struct in6_addr ipv6;
        char address[KV_HOST_BYTES_MAX + 1];
        snprintf (address, sizeof address, "%.*s", (int)strcspn (name, "%"), name);
        return inet_pton (AF_INET6, address, &ipv6) == 1 ? HOST_IPV6 : HOST_WRONG;
    }
    struct in_addr ipv4;
    if (bracketed)
        return HOST_WRONG;
    return inet_pton (AF_INET, name, &ipv4) == 1 ? HOST_IPV4 : HOST_NAME;
}

kv_status_t endpoint_make (const char *host, int port, endpoint_t *out)
{
    char name[KV_HOST_BYTES_MAX + 1];
    host_kind_t kind = s_read_host (host, name);
    if (kind == HOST_WRONG || port < 1 || port > UINT16_MAX)
        return KV_CONFIG;
    out->ipv6 = kind == HOST_IPV6 || (kind == HOST_NAME && s_prefers_ipv6 (name, port));
    snprintf (out->text, sizeof out->text, kind == HOST_IPV6 ? "tcp://[%s]:%d" : "tcp://%s:%d",
              name, port);
    return KV_OK;
}

const char *endpoint_lookup (const char *host)
{
    char name[KV_HOST_BYTES_MAX + 1];
    if (s_read_host (host, name) != HOST_NAME)
        return NULL;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int code = getaddrinfo (name, NULL, &hints, &list);
    if (code != 0)
        return gai_strerror (code);
    freeaddrinfo (list);
    return NULL;
}

kv_status_t endpoint_split (const char *text, char *host, int *port)
{
    const char *colon = strrchr (text, ':');
    if (!colon || colon == text || (size_t)(colon - text) > KV_HOST_BYTES_MAX)
        return KV_CONFIG;
    size_t digits = strspn (colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0')
        return KV_CONFIG;
    long number = strtol (colon + 1, NULL, 10);
    if (number < 1 || number > UINT16_MAX)
        return KV_CONFIG;
    memcpy (host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    /* "::1" alone is an address without a port, not host ":" and port 1. */
    if (host[0] != '[' && strchr (host, ':'))
        return KV_CONFIG;
    *port = (int)number;
    return KV_OK;
}
