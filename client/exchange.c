#include "client/exchange_parts.h"

#include "client/reply_tree.h"
#include "schema/request.h"

#include <stdlib.h>

/* --- Making and ending --- */

static place_t *s_place_new (const char *endpoint)
{
    place_t *place = calloc (1, sizeof *place);
    KV_ASSERT (place != NULL);
    place->endpoint = strdup (endpoint);
    KV_ASSERT (place->endpoint != NULL);
    return place;
}

exchange_t *exchange_new (const exchange_options_t *options)
{
    exchange_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->places[EXCHANGE_SEED] = s_place_new (options->seed);
    self->options.seed = self->places[EXCHANGE_SEED]->endpoint;
    self->place_count = 1;
    self->next_id = 1;
    self->plan_ms = INT64_MAX;
    self->refresh = options->direct;
    self->command = command_make ();
    self->scratch = writer_make (SIZE_MAX);
    return self;
}

static void s_part_free (part_t **part_p)
{
    part_t *part = *part_p;
    *part_p = NULL;
    blob_unref (&part->message);
    if (part->runs != &part->only)
        free (part->runs);
    free (part);
}

void exchange_destroy (exchange_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    exchange_t *self = *self_p;
    *self_p = NULL;
    KV_ASSERT (!self->first && !self->first_out);
    for (uint32_t i = 0; i < self->place_count; i++) {
        place_t *place = self->places[i];
        for (part_t *part = place->oldest; part;) {
            part_t *next = part->next;
            s_part_free (&part);
            part = next;
        }
        free (place->endpoint);
        free (place);
    }
    shard_map_destroy (&self->map);
    free (self->shards);
    scatter_free (&self->scatter);
    command_free (&self->command);
    writer_free (&self->scratch);
    free (self);
}

/* --- Places --- */

uint32_t exchange_place_count (const exchange_t *self)
{
    return self->place_count;
}

const char *exchange_endpoint (const exchange_t *self, uint32_t place)
{
    return self->places[place]->endpoint;
}

bool exchange_wants (const exchange_t *self, uint32_t place)
{
    return self->places[place]->wanted_ms != 0;
}

void exchange_set_open (exchange_t *self, uint32_t place, bool open)
{
    /* It may be another broker by now, whose epochs have begun anew. */
    if (place == EXCHANGE_SEED && open && !self->places[place]->open && self->map)
        self->map->epoch = 0;
    self->places[place]->open = open;
    if (open)
        self->places[place]->wanted_ms = 0;
    self->dirty = self->dirty || open;
}

uint32_t exchange_in_flight (const exchange_t *self, uint32_t place)
{
    return self->places[place]->part_count;
}

bool exchange_is_routing (const exchange_t *self)
{
    return self->map != NULL;
}

/* E5 */
bool exchange_is_full (exchange_t *self, uint32_t place, int64_t now_ms)
{
    if (self->options.window == 0)
        return false;
    uint32_t young = 0;
    for (const part_t *part = self->places[place]->newest; part; part = part->previous) {
        int64_t slow_ms = part->sent_ms + EXCHANGE_SLOW_MS;
        if (slow_ms <= now_ms)
            break;
        if (++young < self->options.window)
            continue;
        if (slow_ms < self->plan_ms)
            self->plan_ms = slow_ms;
        return true;
    }
    return false;
}

/* --- Parts --- */

static part_t *s_part_new (uint32_t place)
{
    part_t *part = calloc (1, sizeof *part);
    KV_ASSERT (part != NULL);
    part->place = place;
    part->runs = &part->only;
    part->run_capacity = 1;
    return part;
}

static run_t *s_add_run (part_t *part)
{
    if (part->run_count == part->run_capacity) {
        KV_ASSERT (part->run_capacity > 0);
        bool own = part->runs != &part->only;
        part->run_capacity = own ? 2 * part->run_capacity : 8;
        part->runs = realloc (own ? part->runs : NULL, part->run_capacity * sizeof *part->runs);
        KV_ASSERT (part->runs != NULL);
        if (!own)
            part->runs[0] = part->only;
    }
    return &part->runs[part->run_count++];
}

void exchange_enlist (exchange_t *self, uint32_t place, flight_t *flight, uint32_t first,
                      uint32_t count, size_t bytes)
{
    part_t *part = self->places[place]->building;
    if (!part) {
        part = self->places[place]->building = s_part_new (place);
        self->touched[self->touched_count++] = (uint16_t)place;
    }
    part->commands += count;
    part->bytes += bytes;
    run_t *run = part->run_count ? &part->runs[part->run_count - 1] : NULL;
    if (run && run->flight == flight && run->first + run->count == first) {
        run->count += count;
        return;
    }
    /* Runs of one flight stand side by side: planning takes one flight after the other. */
    flight->parts += !run || run->flight != flight;
    *s_add_run (part) = (run_t){flight, first, count};
}

static bool s_is_whole (const run_t *run)
{
    return run->count == run->flight->commands && (run->flight->plain || !run->flight->routed);
}

/* Puts the message together. A flight alone in it travels as it was prepared. */
static void s_encode (exchange_t *self, part_t *part)
{
    flight_t *flight = part->runs[0].flight;
    if (part->run_count == 1 && flight->fresh && s_is_whole (&part->runs[0])) {
        part->id = flight->ticket;
        part->message = blob_ref (flight->request);
        flight->fresh = false;
        return;
    }
    part->id = self->next_id++;
    writer_t out = writer_make (SIZE_MAX);
    writer_claim (&out, part->bytes + BATCH_REQUEST_BYTES_MAX);
    writer_reset (&out); /* only the room was wanted */
    request_begin (&out, part->id, part->commands, self->options.deadline_ms != 0);
    for (uint32_t i = 0; i < part->run_count; i++) {
        if (s_is_whole (&part->runs[i]))
            writer_raw (&out, part->runs[i].flight->body);
        else
            direct_write_run (self, &part->runs[i], &out);
    }
    batch_options (self->options.deadline_ms, &out);
    part->message = blob_from_writer (&out);
}

static void s_put_out (exchange_t *self, part_t *part)
{
    if (self->last_out)
        self->last_out->next_out = part;
    else
        self->first_out = part;
    self->last_out = part;
}

void exchange_launch (exchange_t *self, part_t *part, int64_t now_ms)
{
    place_t *place = self->places[part->place];
    part_t **bucket = &self->buckets[part->id % BUCKETS];
    part->next_in_bucket = *bucket;
    *bucket = part;
    part->sent_ms = now_ms;
    part->previous = place->newest;
    if (place->newest)
        place->newest->next = part;
    else
        place->oldest = part;
    place->newest = part;
    place->part_count++;
    s_put_out (self, part);
}

void exchange_seal (exchange_t *self, uint32_t place, int64_t now_ms)
{
    part_t *part = self->places[place]->building;
    self->places[place]->building = NULL;
    s_encode (self, part);
    exchange_launch (self, part, now_ms);
}

static bool s_first_of_flight (const part_t *part, uint32_t index)
{
    const flight_t *flight = part->runs[index].flight;
    return flight && (index == 0 || part->runs[index - 1].flight != flight);
}

/* Takes it out of the lists: no reply finds it any more. */
static void s_detach (exchange_t *self, part_t *part)
{
    place_t *place = self->places[part->place];
    part_t **link = &self->buckets[part->id % BUCKETS];
    while (*link != part)
        link = &(*link)->next_in_bucket;
    *link = part->next_in_bucket;
    if (part->previous)
        part->previous->next = part->next;
    else
        place->oldest = part->next;
    if (part->next)
        part->next->previous = part->previous;
    else
        place->newest = part->previous;
    place->part_count--;
    if (self->asked == part)
        self->asked = NULL;
    self->dirty = true; /* the window may have opened */
    for (uint32_t i = 0; i < part->run_count; i++) {
        if (s_first_of_flight (part, i))
            part->runs[i].flight->parts--;
    }
}

void exchange_end_part (exchange_t *self, part_t **part_p)
{
    s_detach (self, *part_p);
    s_part_free (part_p);
}

/* --- Sending --- */

void exchange_seal_all (exchange_t *self, int64_t now_ms)
{
    for (uint32_t i = 0; i < self->touched_count; i++) {
        if (self->places[self->touched[i]]->building)
            exchange_seal (self, self->touched[i], now_ms);
    }
    self->touched_count = 0;
}

/* Whether the flight must not join what is being built. */
static bool s_keeps_apart (const exchange_t *self, const part_t *part, const flight_t *flight)
{
    return self->options.window == 0 || flight->alone || part->runs[0].flight->alone ||
           part->bytes + flight->body.size > MERGE_BYTES_MAX ||
           part->commands + flight->commands > MERGE_COMMANDS_MAX;
}

static void s_plan (exchange_t *self, int64_t now_ms)
{
    place_t *seed = self->places[EXCHANGE_SEED];
    flight_t *next;
    for (flight_t *flight = self->first_waiting; flight; flight = next) {
        next = flight->next_waiting;
        if (seed->building && s_keeps_apart (self, seed->building, flight))
            exchange_seal_all (self, now_ms);
        if (!seed->open || (!seed->building && exchange_is_full (self, EXCHANGE_SEED, now_ms)))
            break;
        exchange_enlist (self, EXCHANGE_SEED, flight, 0, flight->commands, flight->body.size);
        exchange_stop_waiting (self, flight);
    }
    exchange_seal_all (self, now_ms);
}

static void s_plan_direct (exchange_t *self, int64_t now_ms)
{
    direct_plan (self, now_ms);
    exchange_seal_all (self, now_ms);
    direct_ask (self, now_ms);
}

part_t *exchange_next_part (exchange_t *self, int64_t now_ms)
{
    if (!self->first_out && (self->dirty || now_ms >= self->plan_ms)) {
        self->dirty = false;
        self->plan_ms = INT64_MAX;
        self->pass++;
        if (self->options.direct)
            s_plan_direct (self, now_ms);
        else
            s_plan (self, now_ms);
    }
    part_t *part = self->first_out;
    if (part) {
        self->first_out = part->next_out;
        if (!self->first_out)
            self->last_out = NULL;
        part->next_out = NULL;
    }
    return part;
}

uint32_t part_place (const part_t *part)
{
    return part->place;
}

blob_t *part_message (const part_t *part)
{
    return part->message;
}

static void s_take_back (exchange_t *self, part_t *part)
{
    for (uint32_t i = 0; i < part->run_count; i++) {
        const run_t *run = &part->runs[i];
        if (self->options.direct)
            direct_take_back (self, run);
        exchange_wait (self, run->flight);
    }
    exchange_end_part (self, &part);
}

/* With it go those behind it for the same place, which must not overtake it (E3). */
void exchange_unsent (exchange_t *self, part_t *part)
{
    uint32_t place = part->place;
    self->places[place]->open = false;
    s_take_back (self, part);
    part_t *other = self->first_out;
    self->first_out = self->last_out = NULL;
    while (other) {
        part_t *next = other->next_out;
        other->next_out = NULL;
        if (other->place == place)
            s_take_back (self, other);
        else
            s_put_out (self, other);
        other = next;
    }
}

/* --- Receiving --- */

static part_t *s_find (const exchange_t *self, uint64_t id, uint32_t place)
{
    part_t *part = self->buckets[id % BUCKETS];
    while (part && part->id != id)
        part = part->next_in_bucket;
    return part && part->place == place ? part : NULL; // E4
}

/* All that travels in the part fails: its reply is none. */
static void s_fail_part (exchange_t *self, part_t *part, kv_status_t status)
{
    for (uint32_t i = 0; i < part->run_count; i++) {
        flight_t *flight = part->runs[i].flight;
        if (flight)
            direct_let_go (self, &part->runs[i]);
        if (flight && flight->live)
            exchange_finish (self, flight, status);
    }
}

/* Whether several flights travel in it; one may have several runs. */
static bool s_is_merged (const part_t *part)
{
    for (uint32_t i = 1; i < part->run_count; i++) {
        if (part->runs[i].flight != part->runs[0].flight)
            return true;
    }
    return false;
}

/* E6 */
static void s_send_apart (exchange_t *self, part_t *part)
{
    for (uint32_t i = 0; i < part->run_count; i++) {
        run_t *run = &part->runs[i];
        flight_t *flight = run->flight;
        if (!flight)
            continue;
        flight->alone = true;
        if (self->options.direct)
            direct_take_back (self, run);
        exchange_wait (self, flight);
    }
}

static void s_hand_out (exchange_t *self, part_t *part, blob_t *body, reply_t *reply,
                        int64_t now_ms)
{
    bool refused = reply->count != part->commands;
    const reply_t only = *reply;
    for (uint32_t i = 0; i < part->run_count; i++) {
        const run_t *run = &part->runs[i];
        flight_t *flight = run->flight;
        if (refused)
            *reply = only; /* the same for every run */
        if (flight && self->options.direct) {
            direct_results (self, run, body, reply, refused, now_ms);
            continue;
        }
        const uint8_t *start = reply->results.at;
        result_t result;
        uint32_t count = refused ? 1 : run->count;
        for (uint32_t n = 0; n < count; n++) {
            kv_status_t status = result_next (reply, &result);
            KV_ASSERT (status == KV_OK); /* reply_decode has checked it */
        }
        if (!flight)
            continue;
        flight->reply = blob_ref (body);
        flight->results = kv_slice (start, (size_t)(reply->results.at - start));
        flight->result_count = count;
        exchange_finish (self, flight, KV_OK);
    }
}

static void s_take (exchange_t *self, part_t *part, blob_t *body, int64_t now_ms)
{
    /* Via the broker a flight that travelled alone reads its reply itself. */
    if (!self->options.direct && part->run_count == 1) {
        part->runs[0].flight->reply = blob_ref (body);
        exchange_finish (self, part->runs[0].flight, KV_OK);
        return;
    }
    reply_t reply;
    kv_status_t status = reply_decode (blob_bytes (body), &reply);
    if (status != KV_OK && status != KV_BAD_VERSION)
        status = KV_CORRUPT;
    if (status == KV_OK && reply.count != part->commands && reply.count != 1)
        status = KV_CORRUPT;
    if (status)
        s_fail_part (self, part, status);
    else if (reply.count != part->commands && s_is_merged (part))
        s_send_apart (self, part);
    else
        s_hand_out (self, part, body, &reply, now_ms);
}

void exchange_reply (exchange_t *self, uint32_t place, blob_t *reply, int64_t now_ms)
{
    uint64_t id;
    part_t *part = NULL;
    if (reply_tree_id (blob_bytes (reply), &id))
        part = s_find (self, id, place);
    if (part) {
        s_detach (self, part);
        if (part->asks)
            direct_topology (self, blob_bytes (reply));
        else
            s_take (self, part, reply, now_ms);
        s_part_free (&part);
    }
    blob_unref (&reply);
}

void exchange_lost (exchange_t *self, uint32_t index, int64_t now_ms)
{
    place_t *place = self->places[index];
    KV_ASSERT (!self->first_out);
    KV_ASSERT (self->options.direct);
    place->open = false;
    self->refresh = true;
    if (self->refresh_ms < now_ms)
        self->refresh_ms = now_ms;
    while (place->oldest) {
        part_t *part = place->oldest;
        s_detach (self, part);
        KV_ASSERT (place->oldest != part);
        for (uint32_t i = 0; i < part->run_count; i++) {
            const run_t *run = &part->runs[i];
            if (run->flight && run->flight->live)
                direct_lost (self, run, place->endpoint);
        }
        s_part_free (&part);
    }
}

/* --- Time --- */

void exchange_tick (exchange_t *self, int64_t now_ms)
{
    if (self->asked && now_ms - self->asked->sent_ms >= ASK_MS) {
        part_t *asked = self->asked;
        exchange_end_part (self, &asked);
    }
    while (self->first && self->first->expires_ms <= now_ms) {
        flight_t *flight = self->first;
        if (flight->routed)
            direct_expire (self, flight);
        else
            exchange_finish (self, flight, flight->waiting ? KV_UNAVAILABLE : KV_TIMEOUT);
    }
}

int64_t exchange_next_ms (const exchange_t *self)
{
    int64_t next_ms = self->plan_ms;
    if (self->dirty)
        return 0;
    if (self->first && self->first->expires_ms < next_ms)
        next_ms = self->first->expires_ms;
    if (self->asked && self->asked->sent_ms + ASK_MS < next_ms)
        next_ms = self->asked->sent_ms + ASK_MS;
    return next_ms;
}
