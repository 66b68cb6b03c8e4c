/* client_core - what the files of a client share: its sockets, its lock, and who drives them.
 *
 *   exchange (pure)  <-- messages -->  links, one per place   <-- epoll
 *
 * With `shared` there is no thread of the library's own. One of the threads that wait is the driver:
 * it waits for the sockets, takes in what comes and wakes those whose reply it is; the others are
 * passengers, and sleep. A thread that comes sends its message itself, under the lock, before it
 * falls asleep. So a lone caller hands nothing over, and of several each is woken once.
 *
 *   caller: lock, send --- no driver ---> DRIVING --- its reply came ---> gone; wakes a passenger
 *             |                             ^                              to drive, if there is one
 *             +------- a driver ---> PASSENGER --- woken: drive
 *                                        +-------- woken: its reply came ---> gone
 *
 *   H1  sockets, exchange and lists are touched under the lock only; the driver gives it up while it
 *       waits for the epoll set, and callbacks run without it.
 *   H2  whoever has used a socket leaves it drained, so that a sleeping driver misses no edge.
 *   H3  while anyone waits there is a driver, or a passenger has been woken to become it.
 *   H4  a passenger is on the list or has been woken, once.
 *   H5  kv_fd is readable if callbacks are ready or sockets or timers want attention. */
#ifndef KVDB_CLIENT_CLIENT_CORE_H
#define KVDB_CLIENT_CLIENT_CORE_H

#include "client/endpoint.h"
#include "client/exchange.h"
#include "client/link.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { ERROR_BYTES = 512 };

typedef enum {
    CALL_WAITED,   /* a thread waits for it in kv_call or kv_execute */
    CALL_SENT,     /* kv_send; kv_receive takes it */
    CALL_SUBMITTED /* kv_submit; it has a callback */
} call_kind_t;

typedef struct waiter waiter_t;

/* A batch on its way, and whose it is. */
typedef struct call {
    flight_t flight;   /* first, so that a flight leads to its call */
    struct call *next; /* CALL_SENT: in the order of sending; CALL_SUBMITTED: with callbacks due */
    call_kind_t kind;
    waiter_t *waiter; /* CALL_WAITED: the thread, while it sleeps */
    kv_callback_t *callback;
    void *context;
} call_t;

/* A thread that waits; on its stack. */
struct waiter {
    sem_t wake;
    waiter_t *previous, *next; /* passengers; next: those to be woken, too */
    call_t *call;              /* NULL: for any callback */
    bool listed;
};

typedef enum {
    CHECK_CLEAN, /* drained */
    CHECK_LAZY,  /* to be drained before anyone waits for something from there */
    CHECK_DUE
} check_t;

typedef struct {
    link_t *link; /* NULL: not wanted yet */
    check_t check;
    bool watch;    /* its monitor has something */
    bool open;     /* as the exchange was told */
    bool given_up; /* its endpoint is none; nothing will ever go there */
} seat_t;

struct kv_client {
    exchange_t *exchange;
    seat_t seats[EXCHANGE_PLACES_MAX]; /* by place */
    uint32_t seat_count;
    void *context;
    bool owns_context;
    endpoint_t endpoint; /* the seed's */
    int timeout_ms;
    uint32_t deadline_ms; /* 0: the server's default */
    int64_t reply_bytes_max;
    bool direct, stop_on_signal, shared;
    kv_status_t broken; /* KV_OK, or why its sockets cannot be used any more */
    size_t in_flight_max;
    size_t in_flight; /* calls of kv_send and kv_submit */
    size_t submitted; /* of these, those whose callback has not been taken up */
    call_t *first_sent, *last_sent;
    call_t *first_ready, *last_ready; /* callbacks due */
    kv_batch_t *single;               /* for kv_call, unless shared */
    int epoll;                        /* all links, and wake */
    int wake;                         /* eventfd: the driver has something to look at */

    /* kv_fd; -1 until asked for */
    int outer; /* epoll of epoll, ready and timer */
    int ready; /* eventfd: callbacks are due */
    int timer; /* timerfd */
    bool ready_set;
    int64_t timer_ms; /* when it goes off; INT64_MAX: never */

    /* shared */
    pthread_mutex_t lock;
    atomic_int inside; /* threads in a call */
    bool closing;
    bool driving;
    int64_t driver_until_ms; /* while it waits: when it looks again by itself; else INT64_MIN */
    waiter_t *first_passenger, *last_passenger;
    waiter_t *woken; /* off the list, not yet posted */
    char error[ERROR_BYTES];
};

/* client.c */
int64_t client_now_ms (void);
kv_status_t client_fail (kv_client_t *self, kv_status_t status, const char *format, ...)
    KV_PRINTF (3, 4);

/* client_drive.c */

/* Every call with a client stands between these two. */
void drive_enter (kv_client_t *self);
void drive_leave (kv_client_t *self);

/* The same in two steps: between them the client lives, and others may use it. */
void drive_release (kv_client_t *self);
void drive_exit (kv_client_t *self);

/* Sends what can be sent and takes in what is there, without waiting. */
void drive_turn (kv_client_t *self);

/* What is waited for: met or not. `call` is NULL where it is about callbacks. */
typedef bool drive_met_t (const kv_client_t *self, const call_t *call);

/* Waits until it is met (KV_OK), `until_ms` has come, a signal or the client's end (KV_END), or the
 * sockets broke (KV_IO). */
KV_CHECK_RESULT kv_status_t drive_until (kv_client_t *self, call_t *call, drive_met_t *met,
                                         int64_t until_ms);

/* Opens the seed's link. */
KV_CHECK_RESULT kv_status_t drive_open_seed (kv_client_t *self);

/* Callbacks due are on self->first_ready; this keeps kv_fd true to it. */
void drive_show_ready (kv_client_t *self);

/* Wakes everybody, for the client's end. */
void drive_wake_all (kv_client_t *self);

/* client_calls.c: ends all calls, for the client's end; callbacks are called. */
void calls_end_all (kv_client_t *self);

#endif
