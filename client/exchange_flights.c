/* exchange_flights - the flights of an exchange and the lists they are on: see exchange.h. */
#include "client/exchange_parts.h"

#include <stdlib.h>

void flight_prepare (flight_t *flight, const kv_batch_t *batch, uint32_t deadline_ms)
{
    *flight = (flight_t){.commands = batch->count, .fresh = true};
    writer_t *request = &flight->encoded;
    *request = writer_make (batch->commands.size + BATCH_REQUEST_BYTES_MAX);
    KV_ASSERT (writer_claim (request, request->limit) != NULL); /* one allocation */
    writer_reset (request);
    size_t at = batch_request (batch, deadline_ms, request);
    KV_ASSERT (!request->overflow);
    flight->body = kv_slice (request->data + at, batch->commands.size);
}

void flight_clear (flight_t *flight)
{
    KV_ASSERT (!flight->live);
    writer_free (&flight->encoded);
    blob_unref (&flight->request);
    blob_unref (&flight->reply);
    gather_destroy (&flight->gather);
    free (flight->pieces);
    free (flight->travels);
    free (flight->keys);
    flight->pieces = NULL;
    flight->travels = NULL;
    flight->keys = NULL;
}

void exchange_add (exchange_t *self, flight_t *flight, int64_t now_ms)
{
    KV_ASSERT (!flight->live && !flight->done); // E1
    flight->ticket = self->next_id++;           // E4
    batch_set_id (&flight->encoded, flight->ticket);
    flight->request = blob_from_writer (&flight->encoded);
    flight->expires_ms = now_ms + self->options.timeout_ms;
    flight->live = true;
    flight->previous = self->last;
    if (self->last)
        self->last->next = flight;
    else
        self->first = flight;
    self->last = flight;
    exchange_wait (self, flight);
}

void exchange_wait (exchange_t *self, flight_t *flight)
{
    self->dirty = true;
    if (flight->waiting)
        return;
    flight_t *before = self->last_waiting;
    while (before && before->ticket > flight->ticket)
        before = before->previous_waiting;
    flight->waiting = true;
    flight->previous_waiting = before;
    flight->next_waiting = before ? before->next_waiting : self->first_waiting;
    if (flight->next_waiting)
        flight->next_waiting->previous_waiting = flight;
    else
        self->last_waiting = flight;
    if (before)
        before->next_waiting = flight;
    else
        self->first_waiting = flight;
}

void exchange_stop_waiting (exchange_t *self, flight_t *flight)
{
    if (!flight->waiting)
        return;
    flight->waiting = false;
    if (flight->previous_waiting)
        flight->previous_waiting->next_waiting = flight->next_waiting;
    else
        self->first_waiting = flight->next_waiting;
    if (flight->next_waiting)
        flight->next_waiting->previous_waiting = flight->previous_waiting;
    else
        self->last_waiting = flight->previous_waiting;
}

static void s_unlink (exchange_t *self, flight_t *flight)
{
    exchange_stop_waiting (self, flight);
    KV_ASSERT (flight->live); // E1
    flight->live = false;
    if (flight->previous)
        flight->previous->next = flight->next;
    else
        self->first = flight->next;
    if (flight->next)
        flight->next->previous = flight->previous;
    else
        self->last = flight->previous;
}

/* Takes a flight out of a part. Returns whether nothing is left in it. */
static bool s_leave_part (exchange_t *self, flight_t *flight, part_t *part)
{
    bool used = part->asks;
    bool left = false;
    for (uint32_t i = 0; i < part->run_count; i++) {
        run_t *run = &part->runs[i];
        if (run->flight == flight) {
            direct_let_go (self, run);
            run->flight = NULL;
            left = true;
        }
        used = used || run->flight;
    }
    flight->parts -= left;
    return left && !used;
}

/* Takes a flight out of all it travels in; a part with nothing left in it is over. */
static void s_leave_parts (exchange_t *self, flight_t *flight)
{
    for (uint32_t i = 0; i < self->place_count && flight->parts > 0; i++) {
        for (part_t *part = self->places[i]->oldest; part && flight->parts > 0;) {
            part_t *next = part->next;
            if (s_leave_part (self, flight, part))
                exchange_end_part (self, &part);
            part = next;
        }
    }
    KV_ASSERT (flight->parts == 0);
}

void exchange_remove (exchange_t *self, flight_t *flight)
{
    s_leave_parts (self, flight);
    s_unlink (self, flight);
}

flight_t *exchange_find (const exchange_t *self, uint64_t ticket)
{
    flight_t *flight = self->last;
    while (flight && flight->ticket > ticket)
        flight = flight->previous;
    return flight && flight->ticket == ticket ? flight : NULL;
}

flight_t *exchange_oldest (const exchange_t *self)
{
    return self->first;
}

void exchange_finish (exchange_t *self, flight_t *flight, kv_status_t status)
{
    s_leave_parts (self, flight);
    s_unlink (self, flight);
    flight->status = status;
    flight->done = true;
    flight->next_done = NULL;
    if (self->last_done)
        self->last_done->next_done = flight;
    else
        self->first_done = flight;
    self->last_done = flight;
}

flight_t *exchange_next_done (exchange_t *self)
{
    flight_t *flight = self->first_done;
    if (flight) {
        self->first_done = flight->next_done;
        if (!self->first_done)
            self->last_done = NULL;
    }
    return flight;
}
