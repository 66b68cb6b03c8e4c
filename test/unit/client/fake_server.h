/* fake_server - a ROUTER on an ephemeral loopback port that answers as the tests need it.
 *
 * The first command of a batch decides what becomes of the whole:
 *   DROP     no reply            HOLD     the reply leaves behind that to the next batch
 *   GARBAGE  bytes that are no reply, then the right one     SHORT    one result too few
 *   BROKEN   the id, but no results                          VERSION  a reply of version 9
 *   REFUSE   one error for all   TWICE    the reply, two times
 * Each other command by itself:
 *   PING -> text PONG; ECHO x -> x; FAIL -> BUSY with details; DEADLINE -> the option, 0 if absent;
 *   COUNT -> commands received so far; KINDS -> an array of every type; anything else UNKNOWN.
 *
 * With `doubled` every reply leaves twice. One thread per server; fake_server_stop joins it. */
#ifndef KVDB_TEST_CLIENT_FAKE_SERVER_H
#define KVDB_TEST_CLIENT_FAKE_SERVER_H

#include "schema/command.h"
#include "schema/limits.h"
#include "schema/request.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

typedef struct {
    void *context;
    bool owns_context;
    char endpoint[128]; /* as bound */
    int port;           /* 0 for inproc */
    pthread_t thread;
    pthread_barrier_t bound;
    atomic_bool stop;
    atomic_uint commands;
    atomic_uint messages;
    atomic_bool doubled;
    bool refused; /* the endpoint could not be bound */
} fake_server_t;

typedef struct {
    zmq_msg_t address;
    writer_t body;
    bool full;
} fake_held_t;

static inline void fake_kinds (writer_t *out)
{
    result_value (out);
    writer_array (out, 8);
    writer_nil (out);
    writer_int (out, -7);
    writer_double (out, 2.5);
    writer_bool (out, true);
    writer_cstr (out, "text");
    writer_bin (out, kv_slice ("a\0\xff", 3));
    writer_array (out, 0);
    writer_map (out, 2);
    writer_cstr (out, "one");
    writer_int (out, 1);
    writer_bin (out, kv_slice_text ("two"));
    writer_array (out, 1);
    writer_nil (out);
}

static inline void fake_execute (fake_server_t *self, writer_t *out, const command_t *command,
                                 const request_t *request)
{
    kv_slice_t name = command->argv[0];
    atomic_fetch_add (&self->commands, 1);
    if (kv_slice_is_word (name, "FAIL"))
        result_retry (out, KV_BUSY, "BUSY the queue is full", 50);
    else if (kv_slice_is_word (name, "ECHO") && command->argc == 2)
        result_bytes (out, command->argv[1]);
    else if (kv_slice_is_word (name, "DEADLINE"))
        result_int (out, request->deadline_ms);
    else if (kv_slice_is_word (name, "COUNT"))
        result_int (out, atomic_load (&self->commands));
    else if (kv_slice_is_word (name, "KINDS"))
        fake_kinds (out);
    else if (kv_slice_is_word (name, "PING") || kv_slice_is_word (name, "HOLD") ||
             kv_slice_is_word (name, "GARBAGE") || kv_slice_is_word (name, "TWICE"))
        result_text (out, "PONG");
    else if (kv_slice_is_word (name, "SET"))
        result_text (out, "OK");
    else if (kv_slice_is_word (name, "GET"))
        result_nil (out);
    else
        result_error (out, KV_UNKNOWN_COMMAND, "ERR unknown command");
}

static inline void fake_send (void *socket, zmq_msg_t *address, const writer_t *body)
{
    zmq_msg_t copy;
    zmq_msg_init (&copy);
    zmq_msg_copy (&copy, address);
    if (zmq_msg_send (&copy, socket, ZMQ_SNDMORE) < 0)
        zmq_msg_close (&copy);
    else
        zmq_send (socket, body->data, body->size, 0);
}

/* Writes the reply to a batch whose first command is `first`. */
static inline void fake_reply (fake_server_t *self, writer_t *out, const request_t *request,
                               kv_slice_t first)
{
    bool is_short = kv_slice_is_word (first, "SHORT");
    if (kv_slice_is_word (first, "REFUSE")) {
        reply_refuse (out, request->id, KV_BAD_REQUEST, "ERR refused");
        return;
    }
    if (kv_slice_is_word (first, "VERSION") || kv_slice_is_word (first, "BROKEN")) {
        writer_array (out, 3);
        writer_uint (out, kv_slice_is_word (first, "VERSION") ? 9 : 1);
        writer_uint (out, request->id);
        writer_array (out, kv_slice_is_word (first, "VERSION") ? 0 : 5);
        return;
    }
    command_t command = command_make ();
    reader_t at = request->commands;
    const char *why;
    reply_begin (out, request->id, request->command_count - is_short);
    for (uint32_t i = is_short; i < request->command_count; i++) {
        if (command_read (&command, &at, &why) == KV_OK)
            fake_execute (self, out, &command, request);
    }
    command_free (&command);
}

static inline void fake_handle (fake_server_t *self, void *socket, zmq_msg_t *address,
                                kv_slice_t body, fake_held_t *held)
{
    request_t request;
    const char *why;
    atomic_fetch_add (&self->messages, 1);
    command_t command = command_make ();
    writer_t out = writer_make (SIZE_MAX);
    if (request_decode (body, &request, &why) != KV_OK)
        abort ();
    reader_t at = request.commands;
    if (command_read (&command, &at, &why) != KV_OK)
        abort ();
    kv_slice_t first = command.argv[0];
    if (!kv_slice_is_word (first, "DROP")) {
        fake_reply (self, &out, &request, first);
        if (kv_slice_is_word (first, "HOLD") && !held->full) {
            *held = (fake_held_t){.body = out, .full = true};
            zmq_msg_init (&held->address);
            zmq_msg_copy (&held->address, address);
            command_free (&command);
            return;
        }
        writer_t garbage = {.data = (uint8_t *)"\xc1\x01", .size = 2};
        if (kv_slice_is_word (first, "GARBAGE"))
            fake_send (socket, address, &garbage);
        if (kv_slice_is_word (first, "TWICE") || atomic_load (&self->doubled))
            fake_send (socket, address, &out);
        fake_send (socket, address, &out);
    }
    if (held->full) {
        fake_send (socket, &held->address, &held->body);
        zmq_msg_close (&held->address);
        writer_free (&held->body);
        held->full = false;
    }
    writer_free (&out);
    command_free (&command);
}

static inline void fake_receive (fake_server_t *self, void *socket, fake_held_t *held)
{
    zmq_msg_t address;
    zmq_msg_t body;
    zmq_msg_init (&address);
    zmq_msg_init (&body);
    if (zmq_msg_recv (&address, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_recv (&body, socket, 0) >= 0)
        fake_handle (self, socket, &address, kv_slice (zmq_msg_data (&body), zmq_msg_size (&body)),
                     held);
    zmq_msg_close (&address);
    zmq_msg_close (&body);
}

static inline void *fake_run (void *argument)
{
    fake_server_t *self = argument;
    void *socket = zmq_socket (self->context, ZMQ_ROUTER);
    int zero = 0;
    int one = 1;
    size_t size = sizeof self->endpoint;
    zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (socket, ZMQ_IPV6, &one, sizeof one);
    self->refused = zmq_bind (socket, self->endpoint) != 0;
    if (!self->refused)
        zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size);
    pthread_barrier_wait (&self->bound);
    fake_held_t held = {.full = false};
    while (!atomic_load (&self->stop)) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        if (zmq_poll (&item, 1, 10) > 0)
            fake_receive (self, socket, &held);
    }
    if (held.full) {
        zmq_msg_close (&held.address);
        writer_free (&held.body);
    }
    zmq_close (socket);
    return NULL;
}

/* Starts at the endpoint ("tcp://127.0.0.1:*"); with a context of its own if `context` is NULL.
 * `refused` tells whether the endpoint could not be bound. */
static inline void fake_server_start (fake_server_t *self, const char *endpoint, void *context)
{
    *self = (fake_server_t){.owns_context = context == NULL};
    self->context = context ? context : zmq_ctx_new ();
    snprintf (self->endpoint, sizeof self->endpoint, "%s", endpoint);
    pthread_barrier_init (&self->bound, NULL, 2);
    if (pthread_create (&self->thread, NULL, fake_run, self) != 0)
        abort ();
    pthread_barrier_wait (&self->bound);
    const char *colon = strrchr (self->endpoint, ':');
    self->port = colon ? atoi (colon + 1) : 0;
}

static inline void fake_server_stop (fake_server_t *self)
{
    atomic_store (&self->stop, true);
    pthread_join (self->thread, NULL);
    pthread_barrier_destroy (&self->bound);
    if (self->owns_context)
        zmq_ctx_term (self->context);
}

#endif
