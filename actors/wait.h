/* wait - waits for several libzmq sockets at once, for microseconds, at the price of one system call.
 *
 * zmq_poll asks each socket what it has before and after it sleeps, and again when it wakes: some thirty
 * system calls for seven sockets, and its patience is counted in milliseconds. Here the sockets' descriptors
 * (ZMQ_FD) go to ppoll as they are, and the sockets are asked only before one really sleeps.
 *
 *   T1  A descriptor tells of changes only, and a send may take the change in passing. So before it sleeps
 *       each socket is asked for its state (ZMQ_EVENTS); who is not asked, since there is no patience, must
 *       be tried by the owner anyway.
 *
 * Owner: the sockets' thread. */
#ifndef KVDB_ACTORS_WAIT_H
#define KVDB_ACTORS_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAIT_SOCKETS_MAX = 16 };

typedef struct {
    void *socket; /* libzmq's */
    bool wanted;  /* in: whether something to read in it ends the wait */
    bool ready;   /* out: there is something to read in it, or may be */
} wait_item_t;

/* Waits until one of `count` sockets is ready, but `patience_us` at most; 0 or less: not at all. */
void wait_for (wait_item_t *items, size_t count, int64_t patience_us);

#endif
