/* client_calls - what users call: one command, pipelines, callbacks. */
#include "client/client_core.h"

#include "client/reply_tree.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static call_t *s_call_new (const kv_client_t *self, call_kind_t kind, const kv_batch_t *batch)
{
    call_t *call = calloc (1, sizeof *call);
    KV_ASSERT (call != NULL);
    call->kind = kind;
    flight_prepare (&call->flight, batch, self->deadline_ms);
    return call;
}

static void s_call_free (call_t **call_p)
{
    call_t *call = *call_p;
    *call_p = NULL;
    flight_clear (&call->flight);
    free (call);
}

/* Gives up a call that is not done. */
static void s_abandon (kv_client_t *self, call_t *call)
{
    if (call->flight.live)
        exchange_remove (self->exchange, &call->flight);
}

/* The error text for a call that ended without replies. */
static kv_status_t s_explain (kv_client_t *self, kv_status_t status)
{
    const char *endpoint = self->endpoint.text;
    switch (status) {
    case KV_UNAVAILABLE:
        return client_fail (
            self, status,
            "no connection to %s within %d ms; nothing was sent. Is the server running there?",
            endpoint, self->timeout_ms);
    case KV_TIMEOUT:
        return client_fail (self, status,
                            "no reply from %s within %d ms; what was sent may have been executed",
                            endpoint, self->timeout_ms);
    case KV_NOT_SUPPORTED:
        return client_fail (
            self, status,
            "%s does not tell where the nodes are; direct access needs the broker's "
            "address",
            endpoint);
    default:
        return client_fail (self, status, "the reply from %s cannot be used: %s", endpoint,
                            kv_status_meaning (status));
    }
}

/* Makes the replies of a call that is done. Needs no lock: nobody else has the call. */
static kv_status_t s_decode (const call_t *call, bool single, kv_reply_t **reply)
{
    const flight_t *flight = &call->flight;
    *reply = NULL;
    if (flight->status)
        return flight->status;
    if (flight->result_count)
        return reply_tree_results (flight->results, flight->result_count, flight->commands, single,
                                   reply);
    kv_slice_t body = blob_bytes (flight->reply);
    return single ? reply_tree_single (body, reply)
                  : reply_tree_batch (body, flight->commands, reply);
}

static bool s_is_done (const kv_client_t *self, const call_t *call)
{
    (void)self;
    return call->flight.done;
}

/* --- One thread waits --- */

static kv_status_t s_perform (kv_client_t *client, const kv_batch_t *batch, bool single,
                              kv_reply_t **reply)
{
    call_t *call = s_call_new (client, CALL_WAITED, batch);
    drive_enter (client);
    kv_status_t status = KV_OK;
    if (!client->shared && client->in_flight == client->in_flight_max)
        status = client_fail (client, KV_BUSY, "%zu batches are in flight; receive one first",
                              client->in_flight);
    if (status == KV_OK) {
        exchange_add (client->exchange, &call->flight, client_now_ms ());
        status = drive_until (client, call, s_is_done, INT64_MAX);
        s_abandon (client, call);
    }
    drive_release (client);
    if (status == KV_OK && (status = s_decode (call, single, reply)) != KV_OK)
        s_explain (client, status);
    drive_exit (client);
    s_call_free (&call);
    return status;
}

kv_status_t kv_call (kv_client_t *client, size_t argc, const char *const *argv, const size_t *lens,
                     kv_reply_t **reply)
{
    *reply = NULL;
    kv_batch_t *batch = client->shared ? kv_batch_new () : client->single;
    kv_batch_clear (batch);
    kv_status_t status = kv_batch_add (batch, argc, argv, lens);
    if (status)
        client_fail (client, status, "the command cannot be sent: %s", kv_status_meaning (status));
    else
        status = s_perform (client, batch, true, reply);
    if (client->shared)
        kv_batch_destroy (&batch);
    return status;
}

static kv_status_t s_fail_empty (kv_client_t *self)
{
    return client_fail (self, KV_BAD_REQUEST, "the batch is empty");
}

kv_status_t kv_execute (kv_client_t *client, const kv_batch_t *batch, kv_reply_t **replies)
{
    *replies = NULL;
    if (batch->count == 0)
        return s_fail_empty (client);
    return s_perform (client, batch, false, replies);
}

/* --- Pipelines --- */

static kv_status_t s_check_room (kv_client_t *self)
{
    if (self->in_flight == self->in_flight_max)
        return client_fail (self, KV_BUSY, "%zu batches are in flight; receive one first",
                            self->in_flight);
    return KV_OK;
}

/* Whether the batch has left, or will without kv_send's waiting for it. */
static bool s_has_left (const kv_client_t *self, const call_t *call)
{
    return call->flight.done || !call->flight.waiting ||
           (self->direct && exchange_is_routing (self->exchange));
}

kv_status_t kv_send (kv_client_t *client, const kv_batch_t *batch, uint64_t *ticket)
{
    if (client->shared)
        return client_fail (client, KV_NOT_SUPPORTED,
                            "a shared client has no order of batches; use kv_execute or kv_submit");
    if (batch->count == 0)
        return s_fail_empty (client);
    kv_status_t status = s_check_room (client);
    if (status)
        return status;
    call_t *call = s_call_new (client, CALL_SENT, batch);
    drive_enter (client);
    exchange_add (client->exchange, &call->flight, client_now_ms ());
    status = drive_until (client, call, s_has_left, INT64_MAX);
    bool failed = call->flight.done && call->flight.status != KV_OK;
    if (status == KV_OK && failed)
        status = s_explain (client, call->flight.status);
    if (status) {
        s_abandon (client, call);
        s_call_free (&call);
    } else {
        if (ticket)
            *ticket = call->flight.ticket;
        if (client->last_sent)
            client->last_sent->next = call;
        else
            client->first_sent = call;
        client->last_sent = call;
        client->in_flight++;
    }
    drive_leave (client);
    return status;
}

static call_t *s_take_sent (kv_client_t *self)
{
    call_t *call = self->first_sent;
    self->first_sent = call->next;
    if (!self->first_sent)
        self->last_sent = NULL;
    self->in_flight--;
    return call;
}

kv_status_t kv_receive (kv_client_t *client, int wait_ms, uint64_t *ticket, kv_reply_t **replies)
{
    *replies = NULL;
    call_t *call = client->first_sent;
    if (!call)
        return client_fail (client, KV_NOT_FOUND, "no batch is in flight");
    if (ticket)
        *ticket = call->flight.ticket;
    drive_enter (client);
    kv_status_t status =
        drive_until (client, call, s_is_done, wait_ms < 0 ? INT64_MAX : client_now_ms () + wait_ms);
    if (status != KV_END) {
        s_take_sent (client);
        s_abandon (client, call);
        if (status == KV_OK && (status = s_decode (call, false, replies)) != KV_OK)
            s_explain (client, status);
        s_call_free (&call);
    }
    drive_leave (client);
    return status;
}

size_t kv_in_flight (const kv_client_t *client)
{
    if (!client->shared)
        return client->in_flight;
    kv_client_t *self = (kv_client_t *)(uintptr_t)client; /* the lock is no part of what is const */
    drive_enter (self);
    size_t count = self->in_flight;
    drive_leave (self);
    return count;
}

void kv_forget (kv_client_t *client)
{
    drive_enter (client);
    while (client->first_sent) {
        call_t *call = s_take_sent (client);
        s_abandon (client, call);
        s_call_free (&call);
    }
    drive_leave (client);
}

/* --- Callbacks --- */

kv_status_t kv_submit (kv_client_t *client, const kv_batch_t *batch, kv_callback_t *callback,
                       void *context, uint64_t *ticket)
{
    if (batch->count == 0)
        return s_fail_empty (client);
    call_t *call = s_call_new (client, CALL_SUBMITTED, batch);
    drive_enter (client);
    kv_status_t status = s_check_room (client);
    if (status == KV_OK && client->closing)
        status = client_fail (client, KV_END, "the client is being destroyed");
    if (status == KV_OK) {
        call->callback = callback;
        call->context = context;
        client->in_flight++;
        client->submitted++;
        exchange_add (client->exchange, &call->flight, client_now_ms ());
        if (ticket)
            *ticket = call->flight.ticket;
        drive_turn (client);
    } else
        s_call_free (&call);
    drive_leave (client);
    return status;
}

/* Takes a call that is over out of the client's books. */
static void s_sign_off (kv_client_t *self)
{
    self->in_flight--;
    self->submitted--;
}

static void s_call_back (call_t *call, kv_status_t status)
{
    kv_reply_t *replies = NULL;
    if (status == KV_OK)
        status = s_decode (call, false, &replies);
    call->callback (call->context, call->flight.ticket, status, replies);
    s_call_free (&call);
}

static bool s_has_ready (const kv_client_t *self, const call_t *call)
{
    (void)call;
    return self->first_ready || self->submitted == 0;
}

/* Takes all callbacks that are due; the caller calls them once the lock is free. */
static call_t *s_take_ready (kv_client_t *self)
{
    call_t *first = self->first_ready;
    self->first_ready = self->last_ready = NULL;
    for (const call_t *call = first; call; call = call->next)
        s_sign_off (self);
    drive_show_ready (self);
    return first;
}

kv_status_t kv_process (kv_client_t *client, int wait_ms, size_t *called)
{
    size_t count = 0;
    drive_enter (client);
    kv_status_t status = KV_NOT_FOUND;
    if (client->submitted > 0)
        status = drive_until (client, NULL, s_has_ready,
                              wait_ms < 0 ? INT64_MAX : client_now_ms () + wait_ms);
    else
        drive_turn (client);
    call_t *call = s_take_ready (client);
    drive_leave (client);
    while (call) {
        call_t *next = call->next;
        s_call_back (call, KV_OK);
        call = next;
        count++;
    }
    if (called)
        *called = count;
    if (count > 0)
        return KV_OK;
    return status == KV_OK ? KV_NOT_FOUND : status;
}

/* Finds a call that was submitted, and takes it out of the client's books. */
static call_t *s_withdraw (kv_client_t *self, uint64_t ticket)
{
    for (call_t **link = &self->first_ready, *before = NULL; *link;
         before = *link, link = &(*link)->next) {
        call_t *call = *link;
        if (call->flight.ticket != ticket)
            continue;
        *link = call->next;
        if (self->last_ready == call)
            self->last_ready = before;
        drive_show_ready (self);
        return call;
    }
    flight_t *flight = exchange_find (self->exchange, ticket);
    if (!flight || ((call_t *)flight)->kind != CALL_SUBMITTED)
        return NULL;
    exchange_remove (self->exchange, flight);
    return (call_t *)flight;
}

kv_status_t kv_cancel (kv_client_t *client, uint64_t ticket)
{
    drive_enter (client);
    call_t *call = s_withdraw (client, ticket);
    if (call)
        s_sign_off (client);
    else
        client_fail (client, KV_NOT_FOUND, "no such batch is in flight");
    drive_leave (client);
    if (!call)
        return KV_NOT_FOUND;
    s_call_back (call, KV_END);
    return KV_OK;
}

void calls_end_all (kv_client_t *self)
{
    flight_t *flight;
    kv_forget (self);
    while (self->first_ready) {
        call_t *call = s_withdraw (self, self->first_ready->flight.ticket);
        s_sign_off (self);
        s_call_back (call, KV_END);
    }
    while ((flight = exchange_oldest (self->exchange)) != NULL) {
        exchange_remove (self->exchange, flight);
        s_sign_off (self);
        s_call_back ((call_t *)flight, KV_END);
    }
    KV_ASSERT (self->in_flight == 0 && self->submitted == 0);
}

/* --- An event loop's view --- */

static bool s_include (int outer, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl (outer, EPOLL_CTL_ADD, fd, &event) == 0;
}

int kv_fd (kv_client_t *client)
{
    drive_enter (client);
    if (client->outer < 0) {
        int outer = epoll_create1 (EPOLL_CLOEXEC);
        if (client->ready < 0)
            client->ready = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (client->timer < 0)
            client->timer = timerfd_create (CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (outer >= 0 && s_include (outer, client->epoll) && s_include (outer, client->ready) &&
            s_include (outer, client->timer))
            client->outer = outer;
        else if (outer >= 0)
            close (outer);
        drive_show_ready (client);
    }
    int fd = client->outer;
    drive_leave (client);
    return fd;
}
