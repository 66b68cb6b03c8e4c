#include "actors/wait.h"

#include "schema/status.h"

#include <poll.h>
#include <time.h>
#include <zmq.h>

/* It has messages now; what had been told to its thread is taken in. */
static bool s_has_messages (void *socket)
{
    int events = 0;
    size_t bytes = sizeof events;
    return zmq_getsockopt (socket, ZMQ_EVENTS, &events, &bytes) == 0 && events & ZMQ_POLLIN;
}

/* T1 */
static bool s_ask_all (wait_item_t *items, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        items[i].ready = items[i].wanted && s_has_messages (items[i].socket);
        any = any || items[i].ready;
    }
    return any;
}

static int s_descriptor (void *socket)
{
    int fd = -1;
    size_t bytes = sizeof fd;
    int failed = zmq_getsockopt (socket, ZMQ_FD, &fd, &bytes);
    return failed ? -1 : fd; /* the context ends: its next use will tell */
}

void wait_for (wait_item_t *items, size_t count, int64_t patience_us)
{
    struct pollfd fds[WAIT_SOCKETS_MAX];
    KV_ASSERT (count <= WAIT_SOCKETS_MAX);
    if (patience_us > 0 && s_ask_all (items, count))
        return;
    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = items[i].wanted ? s_descriptor (items[i].socket) : -1,
                                 .events = POLLIN};
    int64_t sleep_us = patience_us > 0 ? patience_us : 0;
    struct timespec most = {.tv_sec = sleep_us / 1000000, .tv_nsec = sleep_us % 1000000 * 1000};
    int found = ppoll (fds, count, &most, NULL);
    for (size_t i = 0; i < count; i++)
        items[i].ready = found > 0 && fds[i].revents != 0;
}
