/* zmtp - a peer that speaks just enough ZMTP 3.0 (RFC 23, NULL mechanism) to misbehave in ways that
 * libzmq's own sockets do not: messages without end, pings without number, replies left unread.
 *
 * Plain blocking sockets; nothing here asserts, so it may run on any thread. */
#ifndef KVDB_TEST_UNIT_ACTORS_ZMTP_H
#define KVDB_TEST_UNIT_ACTORS_ZMTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ZMTP_MORE = 1, ZMTP_COMMAND = 4 };

/* The port of "tcp://127.0.0.1:PORT". */
static inline uint16_t zmtp_port (const char *endpoint)
{
    return (uint16_t)atoi (strrchr (endpoint, ':') + 1);
}

/* A TCP connection to that port on loopback, or -1. */
static inline int zmtp_dial (uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons (port)};
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd >= 0)
        setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd >= 0 && connect (fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close (fd);
        return -1;
    }
    return fd;
}

/* False: the connection was closed. */
static inline bool zmtp_write (int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t wrote = send (fd, at, size, MSG_NOSIGNAL);
        if (wrote <= 0)
            return false;
        at += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

static inline bool zmtp_frame (int fd, uint8_t flags, const void *bytes, size_t size)
{
    uint8_t head[9] = {flags};
    size_t head_bytes = 2;
    if (size <= 255)
        head[1] = (uint8_t)size;
    else {
        head[0] = flags | 2;
        head_bytes = 9;
        for (int i = 0; i < 8; i++)
            head[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    }
    if (size > 64)
        return zmtp_write (fd, head, head_bytes) && zmtp_write (fd, bytes, size);
    uint8_t frame[9 + 64];
    memcpy (frame, head, head_bytes);
    memcpy (frame + head_bytes, bytes, size);
    return zmtp_write (fd, frame, head_bytes + size);
}

static inline bool zmtp_read (int fd, uint8_t *bytes, size_t size)
{
    return recv (fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* Greeting and READY, as a DEALER; `identity` may be NULL. Waits for the other side's READY: libzmq
 * takes nothing before it has sent that. */
static inline bool zmtp_handshake (int fd, const char *identity)
{
    uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    uint8_t ready[300];
    size_t at = 0;
    memcpy (ready, "\5READY\13Socket-Type\0\0\0\6DEALER", 6 + 12 + 4 + 6);
    at = 6 + 12 + 4 + 6;
    if (identity) {
        size_t size = strlen (identity);
        memcpy (ready + at, "\10Identity\0\0\0", 9 + 3);
        at += 9 + 3;
        ready[at++] = (uint8_t)size;
        memcpy (ready + at, identity, size);
        at += size;
    }
    return zmtp_write (fd, greeting, sizeof greeting) && zmtp_frame (fd, ZMTP_COMMAND, ready, at) &&
           zmtp_read (fd, greeting, sizeof greeting) && zmtp_read (fd, ready, 2) &&
           zmtp_read (fd, ready + 2, ready[1]);
}

/* A connected DEALER, or -1. */
static inline int zmtp_connect (uint16_t port, const char *identity)
{
    int fd = zmtp_dial (port);
    if (fd >= 0 && !zmtp_handshake (fd, identity)) {
        close (fd);
        return -1;
    }
    return fd;
}

/* Throws away what has arrived. False: the other side has closed the connection. */
static inline bool zmtp_discard (int fd)
{
    static _Thread_local uint8_t nothing[65536];
    ssize_t got;
    do
        got = recv (fd, nothing, sizeof nothing, MSG_DONTWAIT);
    while (got > 0);
    return got < 0;
}

#endif
