#include "client/client_core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 32,
    QUEUE_LEAST = 1024, /* messages on their way to a server */
    WAKE_MARK = UINT32_MAX
};

/* --- Links --- */

static void s_break (kv_client_t *self, kv_status_t status)
{
    if (self->broken == KV_OK && status != KV_OK)
        self->broken = status;
}

static bool s_watch_fd (const kv_client_t *self, int fd, uint32_t mark)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = mark};
    return fd < 0 || epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The seed's connection is looked after only if its loss must be known: where routing depends on it. */
static kv_status_t s_open (kv_client_t *self, uint32_t place, const endpoint_t *endpoint)
{
    seat_t *seat = &self->seats[place];
    bool tcp = strncmp (endpoint->text, "tcp://", 6) == 0;
    link_options_t options = {.context = self->context,
                              .endpoint = endpoint,
                              .queue = self->in_flight_max > QUEUE_LEAST ? (int)self->in_flight_max
                                                                         : QUEUE_LEAST,
                              .reply_bytes_max = self->reply_bytes_max,
                              .monitored = self->direct && tcp};
    kv_status_t status = link_new (&options, &seat->link);
    if (status)
        return status;
    if (!s_watch_fd (self, link_fd (seat->link), 2 * place) ||
        !s_watch_fd (self, link_monitor_fd (seat->link), 2 * place + 1)) {
        link_destroy (&seat->link);
        return KV_IO;
    }
    seat->check = CHECK_DUE;
    seat->watch = options.monitored;
    return KV_OK;
}

kv_status_t drive_open_seed (kv_client_t *self)
{
    self->seat_count = 1;
    if (!s_watch_fd (self, self->wake, WAKE_MARK))
        return KV_IO;
    return s_open (self, EXCHANGE_SEED, &self->endpoint);
}

/* Connects to a node the first time something is for it. An endpoint that is none, or a lack of
 * sockets, leaves its commands to their deadline. */
static void s_open_place (kv_client_t *self, uint32_t place)
{
    seat_t *seat = &self->seats[place];
    const char *text = exchange_endpoint (self->exchange, place);
    char host[KV_HOST_BYTES_MAX + 1];
    int port;
    endpoint_t endpoint = {.ipv6 = false};
    bool sound = strncmp (text, "tcp://", 6) == 0 &&
                 endpoint_split (text + 6, host, &port) == KV_OK &&
                 endpoint_make (host, port, &endpoint) == KV_OK;
    seat->given_up = !sound || s_open (self, place, &endpoint) != KV_OK;
}

static void s_open_wanted (kv_client_t *self)
{
    if (!self->direct)
        return;
    uint32_t count = exchange_place_count (self->exchange);
    if (self->seat_count < count)
        self->seat_count = count;
    for (uint32_t i = 1; i < count; i++) {
        if (!self->seats[i].link && !self->seats[i].given_up && exchange_wants (self->exchange, i))
            s_open_place (self, i);
    }
}

static void s_set_open (kv_client_t *self, uint32_t place, bool open)
{
    seat_t *seat = &self->seats[place];
    if (seat->open != open)
        exchange_set_open (self->exchange, place, open);
    seat->open = open;
}

/* Takes what has come. Leaves off early where nothing more is expected: what is left is found before
 * anyone waits for that place again. */
static void s_drain (kv_client_t *self, uint32_t place, bool fully, int64_t now_ms)
{
    seat_t *seat = &self->seats[place];
    blob_t *message;
    kv_status_t status;
    seat->check = CHECK_CLEAN;
    while ((status = link_receive (seat->link, &message)) == KV_OK) {
        exchange_reply (self->exchange, place, message, now_ms);
        if (!fully && exchange_in_flight (self->exchange, place) == 0) {
            seat->check = CHECK_LAZY;
            return;
        }
    }
    if (status != KV_END)
        s_break (self, status);
}

static void s_check (kv_client_t *self, uint32_t place, bool fully, int64_t now_ms)
{
    seat_t *seat = &self->seats[place];
    if (seat->check == CHECK_DUE || fully || !seat->open ||
        exchange_in_flight (self->exchange, place) > 0)
        s_drain (self, place, fully || seat->watch, now_ms);
    while (seat->watch) {
        link_change_t change = link_watch (seat->link);
        seat->watch = change != LINK_SAME;
        if (change != LINK_LOST)
            continue;
        s_drain (self, place, true, now_ms); // N2
        s_set_open (self, place, false);
        exchange_lost (self->exchange, place, now_ms);
    }
    if (!seat->open && link_is_open (seat->link))
        s_set_open (self, place, true);
}

static bool s_needs_check (const kv_client_t *self, uint32_t place, bool fully)
{
    const seat_t *seat = &self->seats[place];
    if (!seat->link || self->broken)
        return false;
    return seat->watch || seat->check == CHECK_DUE ||
           (seat->check == CHECK_LAZY &&
            (fully || !seat->open || exchange_in_flight (self->exchange, place) > 0));
}

static void s_send (kv_client_t *self, part_t *part)
{
    uint32_t place = part_place (part);
    seat_t *seat = &self->seats[place];
    kv_status_t status = seat->link ? link_send (seat->link, part_message (part)) : KV_BUSY;
    if (status) {
        if (status != KV_BUSY)
            s_break (self, status);
        s_set_open (self, place, false);
        exchange_unsent (self->exchange, part);
        seat->check = CHECK_DUE;
        return;
    }
    /* Sending may have swallowed the edge that told of a reply to an earlier message, also to one
     * that nobody waits for any more (H2). */
    if (seat->check == CHECK_CLEAN)
        seat->check = CHECK_DUE;
}

/* --- Waking --- */

static void s_signal (int fd)
{
    uint64_t one = 1;
    ssize_t done = write (fd, &one, sizeof one);
    (void)done; /* a counter that is full is set, too */
}

static void s_clear (int fd)
{
    uint64_t count;
    ssize_t done = read (fd, &count, sizeof count);
    (void)done; /* not set: just as good */
}

static void s_unlist (kv_client_t *self, waiter_t *waiter)
{
    if (!waiter->listed)
        return;
    waiter->listed = false;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        self->first_passenger = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else
        self->last_passenger = waiter->previous;
    if (waiter->call)
        waiter->call->waiter = NULL;
}

static void s_list (kv_client_t *self, waiter_t *waiter)
{
    waiter->listed = true;
    waiter->next = NULL;
    waiter->previous = self->last_passenger;
    if (self->last_passenger)
        self->last_passenger->next = waiter;
    else
        self->first_passenger = waiter;
    self->last_passenger = waiter;
    if (waiter->call)
        waiter->call->waiter = waiter;
}

/* H4. It is posted when the lock is free, so that it does not wake only to wait for that. */
static void s_wake (kv_client_t *self, waiter_t *waiter)
{
    s_unlist (self, waiter);
    waiter->next = self->woken;
    self->woken = waiter;
}

/* Gives the lock up, and wakes whom s_wake has named. */
static void s_unlock (kv_client_t *self)
{
    waiter_t *waiter = self->woken;
    self->woken = NULL;
    if (self->shared)
        pthread_mutex_unlock (&self->lock);
    while (waiter) {
        waiter_t *next = waiter->next; /* once posted it may be gone */
        sem_post (&waiter->wake);
        waiter = next;
    }
}

void drive_wake_all (kv_client_t *self)
{
    while (self->first_passenger)
        s_wake (self, self->first_passenger);
    s_signal (self->wake);
}

void drive_show_ready (kv_client_t *self)
{
    bool set = self->first_ready != NULL;
    if (self->ready < 0 || set == self->ready_set)
        return;
    if (set)
        s_signal (self->ready);
    else
        s_clear (self->ready);
    self->ready_set = set;
}

static void s_wake_for_callbacks (kv_client_t *self)
{
    for (waiter_t *waiter = self->first_passenger; waiter; waiter = waiter->next) {
        if (waiter->call)
            continue;
        s_wake (self, waiter);
        return;
    }
}

/* Gives what is done to those who wait for it. */
static void s_collect (kv_client_t *self)
{
    flight_t *flight;
    while ((flight = exchange_next_done (self->exchange)) != NULL) {
        call_t *call = (call_t *)flight;
        if (call->waiter)
            s_wake (self, call->waiter);
        if (call->kind != CALL_SUBMITTED)
            continue;
        call->next = NULL;
        if (self->last_ready)
            self->last_ready->next = call;
        else
            self->first_ready = call;
        self->last_ready = call;
        s_wake_for_callbacks (self);
    }
    drive_show_ready (self);
}

/* --- Turns --- */

static void s_turn (kv_client_t *self, bool fully)
{
    bool again = true;
    while (again && !self->broken) {
        part_t *part;
        int64_t now_ms = client_now_ms ();
        for (uint32_t i = 0; i < self->seat_count; i++) {
            if (s_needs_check (self, i, fully))
                s_check (self, i, fully, now_ms);
        }
        exchange_tick (self->exchange, now_ms);
        while ((part = exchange_next_part (self->exchange, now_ms)) != NULL)
            s_send (self, part);
        s_open_wanted (self);
        again = false;
        for (uint32_t i = 0; i < self->seat_count && !again; i++)
            again = s_needs_check (self, i, fully);
    }
    s_collect (self);
}

void drive_turn (kv_client_t *self)
{
    s_turn (self, false);
}

/* Marks what the epoll set has told of. */
static void s_mark (kv_client_t *self, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t mark = events[i].data.u32;
        if (mark == WAKE_MARK) {
            s_clear (self->wake);
            continue;
        }
        seat_t *seat = &self->seats[mark / 2];
        if (mark % 2)
            seat->watch = true;
        seat->check = CHECK_DUE;
    }
}

static void s_set_timer (kv_client_t *self)
{
    int64_t when_ms = exchange_next_ms (self->exchange);
    if (when_ms == self->timer_ms)
        return;
    self->timer_ms = when_ms;
    struct itimerspec spec = {.it_value = {0}};
    if (when_ms != INT64_MAX) {
        spec.it_value.tv_sec = when_ms / 1000;
        spec.it_value.tv_nsec = when_ms % 1000 * 1000000 + 1; /* all 0 would be never */
    }
    timerfd_settime (self->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* --- Entering and leaving --- */

void drive_enter (kv_client_t *self)
{
    if (!self->shared)
        return;
    atomic_fetch_add (&self->inside, 1);
    pthread_mutex_lock (&self->lock);
}

/* H2, H5 */
static void s_settle (kv_client_t *self)
{
    if (self->outer < 0)
        return;
    s_turn (self, true);
    s_set_timer (self);
}

void drive_release (kv_client_t *self)
{
    s_settle (self);
    if (!self->shared)
        return;
    if (!self->driving && self->first_passenger)
        s_wake (self, self->first_passenger); // H3
    bool earlier = self->driving && exchange_next_ms (self->exchange) < self->driver_until_ms;
    if (earlier)
        s_signal (self->wake);
    s_unlock (self);
}

void drive_leave (kv_client_t *self)
{
    drive_release (self);
    drive_exit (self);
}

void drive_exit (kv_client_t *self)
{
    if (self->shared)
        atomic_fetch_sub (&self->inside, 1); /* the last touch: kv_client_destroy waits for it */
}

/* --- Waiting --- */

/* Waits for the sockets. KV_OK, or KV_END after a signal. */
static kv_status_t s_drive (kv_client_t *self, int64_t until_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t next_ms = exchange_next_ms (self->exchange);
    if (until_ms < next_ms)
        next_ms = until_ms;
    int64_t left_ms = next_ms == INT64_MAX ? -1 : next_ms - client_now_ms ();
    if (next_ms != INT64_MAX && left_ms < 0)
        left_ms = 0;
    if (left_ms > INT32_MAX)
        left_ms = INT32_MAX;
    self->driving = true;
    self->driver_until_ms = next_ms;
    s_unlock (self);
    int count = epoll_wait (self->epoll, events, EVENTS_MAX, (int)left_ms);
    int code = errno;
    if (self->shared)
        pthread_mutex_lock (&self->lock);
    self->driving = false;
    self->driver_until_ms = INT64_MIN;
    s_mark (self, events, count);
    if (count < 0 && code != EINTR)
        s_break (self, KV_IO);
    return count < 0 && code == EINTR && self->stop_on_signal ? KV_END : KV_OK;
}

/* Sleeps until woken, or until_ms. The lock is free meanwhile. */
static void s_ride (kv_client_t *self, call_t *call, int64_t until_ms)
{
    waiter_t self_waiting = {.call = call};
    waiter_t *waiter = &self_waiting;
    sem_init (&waiter->wake, 0, 0);
    s_list (self, waiter);
    if (exchange_next_ms (self->exchange) < self->driver_until_ms)
        s_signal (self->wake);
    s_unlock (self);
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000 * 1000000)};
    int failed;
    do {
        failed = until_ms == INT64_MAX ? sem_wait (&waiter->wake)
                                       : sem_clockwait (&waiter->wake, CLOCK_MONOTONIC, &until);
    } while (failed && errno == EINTR);
    pthread_mutex_lock (&self->lock);
    if (failed && !waiter->listed)
        sem_wait (&waiter->wake); /* woken just now: the post is on its way, or was it */
    s_unlist (self, waiter);
    sem_destroy (&waiter->wake);
}

kv_status_t drive_until (kv_client_t *self, call_t *call, drive_met_t *met, int64_t until_ms)
{
    drive_turn (self);
    for (bool looked = false; !met (self, call); looked = true) {
        if (self->broken)
            return client_fail (self, self->broken, "ZeroMQ refuses its sockets' service");
        if (self->closing)
            return client_fail (self, KV_END, "the client is being destroyed");
        /* However short the time, the sockets are looked at once. */
        if ((looked || self->driving) && until_ms != INT64_MAX && client_now_ms () >= until_ms)
            return KV_END;
        if (self->driving) {
            s_ride (self, call, until_ms);
            continue;
        }
        if (s_drive (self, until_ms) == KV_END)
            return client_fail (self, KV_END, "interrupted by a signal");
        drive_turn (self);
    }
    return KV_OK;
}
