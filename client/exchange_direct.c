/* exchange_direct - the exchange's part that routes by itself: see exchange.h. */
#include "client/exchange_parts.h"

#include "schema/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLACE_NONE = UINT32_MAX };

/* A command that only a newer broker may know; it may well write. */
static const command_spec_t s_unknown = {
    .name = "", .flags = COMMAND_WRITE, .keys = KEYS_COORDINATOR, .merge = MERGE_NONE};

/* --- Routing --- */

static void s_settle (exchange_t *self, flight_t *flight, uint32_t index, kv_status_t status,
                      const char *text)
{
    if (!flight->gather)
        flight->gather = gather_new (flight->ticket, flight->commands);
    writer_reset (&self->scratch);
    result_error (&self->scratch, status, text);
    gather_settle (flight->gather, index, kv_slice (self->scratch.data, self->scratch.size));
}

static void s_route_command (exchange_t *self, flight_t *flight, uint32_t index)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    command_t *command = &self->command;
    kv_status_t status = command_check (command, text, sizeof text);
    if (status == KV_UNKNOWN_COMMAND) {
        command->spec = &s_unknown;
        status = KV_OK;
    }
    if (status == KV_OK &&
        (command->spec->keys == KEYS_NONE || command->spec->keys == KEYS_COORDINATOR))
        scatter_wait (&self->scatter, index, command, KEYLESS);
    else if (status == KV_OK)
        status = scatter_command (&self->scatter, index, command, self->map, KV_VALUE_BYTES_MAX,
                                  text, sizeof text);
    if (status)
        s_settle (self, flight, index, status, text);
}

/* NULL if there are none. */
static void *s_copy (const void *items, uint32_t count, size_t item_bytes)
{
    if (count == 0)
        return NULL;
    void *copy = malloc (count * item_bytes);
    KV_ASSERT (copy != NULL);
    memcpy (copy, items, count * item_bytes);
    return copy;
}

/* Announces every command's pieces to the gather. */
static void s_expect (flight_t *flight)
{
    for (uint32_t i = 0; i < flight->piece_count;) {
        const piece_t *piece = &flight->pieces[i];
        uint32_t pieces = 0;
        uint32_t keys = 0;
        for (; i < flight->piece_count && flight->pieces[i].command == piece->command; i++) {
            pieces++;
            keys += flight->pieces[i].key_count;
        }
        gather_expect (flight->gather, piece->command, piece->spec, pieces, keys);
    }
}

static void s_need_gather (flight_t *flight)
{
    if (flight->gather)
        return;
    flight->gather = gather_new (flight->ticket, flight->commands);
    s_expect (flight);
}

static void s_complete (exchange_t *self, flight_t *flight)
{
    KV_ASSERT (gather_is_complete (flight->gather));
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    gather_write (flight->gather, &reply);
    flight->reply = blob_from_writer (&reply);
    exchange_finish (self, flight, KV_OK);
}

static void s_route (exchange_t *self, flight_t *flight)
{
    scatter_t *scatter = &self->scatter;
    scatter_reset (scatter);
    reader_t at = reader_make (flight->body);
    for (uint32_t i = 0; i < flight->commands; i++) {
        const char *why;
        kv_status_t status = command_read (&self->command, &at, &why);
        KV_ASSERT (status == KV_OK); /* kv_batch_add has written it */
        s_route_command (self, flight, i);
    }
    flight->routed = true;
    flight->pieces = s_copy (scatter->pieces, scatter->count, sizeof *scatter->pieces);
    flight->keys = s_copy (scatter->keys, scatter->key_count, sizeof *scatter->keys);
    flight->travels = calloc (scatter->count + 1, sizeof *flight->travels);
    KV_ASSERT (flight->travels != NULL);
    flight->piece_count = flight->undone = flight->held = scatter->count;
    flight->plain =
        scatter->count == flight->commands && scatter->key_count == 0 && !flight->gather;
    for (uint32_t i = 0; i < scatter->count && flight->plain; i++)
        flight->plain = scatter->pieces[i].command == i;
    if (flight->gather)
        s_expect (flight);
    if (flight->undone == 0)
        s_complete (self, flight);
}

/* --- Planning --- */

static shard_state_t *s_shard (exchange_t *self, const piece_t *piece)
{
    return piece->shard == KEYLESS ? NULL : &self->shards[piece->shard];
}

static uint32_t s_place_of (const exchange_t *self, const piece_t *piece)
{
    if (piece->shard != KEYLESS)
        return self->map->owners[piece->shard] + 1U;
    if (self->places[EXCHANGE_SEED]->open || piece->spec->keys == KEYS_COORDINATOR)
        return EXCHANGE_SEED;
    for (uint32_t i = 1; i < self->place_count; i++) {
        if (self->places[i]->open)
            return i;
    }
    return EXCHANGE_SEED;
}

static void s_plan_at (exchange_t *self, int64_t when_ms)
{
    if (when_ms < self->plan_ms)
        self->plan_ms = when_ms;
}

static bool s_is_ready (exchange_t *self, const travel_t *travel, uint32_t index, int64_t now_ms)
{
    place_t *place = self->places[index];
    if (travel->retry_ms > now_ms) {
        s_plan_at (self, travel->retry_ms);
        return false;
    }
    if (place->open)
        return place->building || !exchange_is_full (self, index, now_ms);
    if (place->wanted_ms == 0)
        place->wanted_ms = now_ms;
    if (now_ms - place->wanted_ms >= REFRESH_MS)
        self->refresh = true; /* another may be the owner by now */
    else
        s_plan_at (self, place->wanted_ms + REFRESH_MS);
    return false;
}

/* E3 */
static bool s_may_leave (exchange_t *self, const flight_t *flight, uint32_t index, uint32_t place,
                         int64_t now_ms)
{
    shard_state_t *shard = s_shard (self, &flight->pieces[index]);
    if (shard && shard->stuck_pass == self->pass)
        return false;
    bool in_order =
        !shard || shard->sent == 0 || (!shard->bounced && shard->place == (uint16_t)place);
    if (in_order && s_is_ready (self, &flight->travels[index], place, now_ms)) {
        if (shard)
            shard->bounced = false;
        return true;
    }
    if (shard)
        shard->stuck_pass = self->pass;
    return false;
}

static void s_plan_flight (exchange_t *self, flight_t *flight, int64_t now_ms)
{
    for (uint32_t i = 0; i < flight->piece_count && flight->held > 0; i++) {
        travel_t *travel = &flight->travels[i];
        const piece_t *piece = &flight->pieces[i];
        if (travel->state != TRAVEL_HELD)
            continue;
        uint32_t place = s_place_of (self, piece);
        if (!s_may_leave (self, flight, i, place, now_ms))
            continue;
        shard_state_t *shard = s_shard (self, piece);
        if (shard) {
            shard->sent++;
            shard->place = (uint16_t)place;
        }
        travel->state = TRAVEL_SENT;
        travel->place = (uint16_t)place;
        flight->held--;
        exchange_enlist (self, place, flight, i, 1, piece->raw.size);
    }
    if (flight->held == 0)
        exchange_stop_waiting (self, flight);
}

static bool s_is_overfull (const exchange_t *self)
{
    for (uint32_t i = 0; i < self->touched_count; i++) {
        const part_t *part = self->places[self->touched[i]]->building;
        if (part && (part->bytes > MERGE_BYTES_MAX || part->commands > MERGE_COMMANDS_MAX))
            return true;
    }
    return false;
}

void direct_plan (exchange_t *self, int64_t now_ms)
{
    bool apart = false;
    flight_t *next;
    if (!self->map) {
        self->refresh = true;
        return;
    }
    for (flight_t *flight = self->first_waiting; flight; flight = next) {
        next = flight->next_waiting;
        if (apart || flight->alone || s_is_overfull (self))
            exchange_seal_all (self, now_ms);
        apart = flight->alone || self->options.window == 0;
        if (!flight->routed)
            s_route (self, flight);
        if (flight->live)
            s_plan_flight (self, flight, now_ms);
    }
}

/* `read` is the index of the command that self->command holds: one that was split is read once for
 * all its pieces, which stand side by side (P2 of scatter.h). */
void direct_write_run (exchange_t *self, const run_t *run, writer_t *out)
{
    const flight_t *flight = run->flight;
    uint32_t read = UINT32_MAX;
    for (uint32_t i = run->first; i < run->first + run->count; i++) {
        const piece_t *piece = &flight->pieces[i];
        if (piece->key_count > 0 && piece->command != read) {
            reader_t at = reader_make (piece->raw);
            const char *why;
            kv_status_t status = command_read (&self->command, &at, &why);
            KV_ASSERT (status == KV_OK); /* it was read when the flight was routed */
            read = piece->command;
        }
        scatter_encode (flight->keys, piece, &self->command, out);
    }
}

/* --- What becomes of pieces --- */

static void s_left_place (exchange_t *self, flight_t *flight, uint32_t index)
{
    shard_state_t *shard = s_shard (self, &flight->pieces[index]);
    KV_ASSERT (flight->travels[index].state == TRAVEL_SENT);
    if (shard) {
        KV_ASSERT (shard->sent > 0);
        shard->sent--;
    }
    flight->travels[index].state = TRAVEL_DONE;
}

static void s_bounce (exchange_t *self, flight_t *flight, uint32_t index, int64_t retry_ms)
{
    shard_state_t *shard = s_shard (self, &flight->pieces[index]);
    travel_t *travel = &flight->travels[index];
    if (shard)
        shard->bounced = true; // E3
    travel->state = TRAVEL_HELD;
    travel->retry_ms = retry_ms;
    flight->held++;
    exchange_wait (self, flight);
}

static void s_done (exchange_t *self, flight_t *flight)
{
    KV_ASSERT (flight->undone > 0);
    if (--flight->undone == 0)
        s_complete (self, flight);
}

static void s_fail (exchange_t *self, flight_t *flight, uint32_t index, kv_status_t status,
                    const char *text)
{
    if (flight->travels[index].state == TRAVEL_HELD)
        flight->held--;
    flight->travels[index].state = TRAVEL_DONE;
    s_need_gather (flight);
    gather_piece_failed (flight->gather, &flight->pieces[index], status, text, 0);
    s_done (self, flight);
}

void direct_take_back (exchange_t *self, const run_t *run)
{
    for (uint32_t i = run->first; i < run->first + run->count; i++) {
        s_left_place (self, run->flight, i);
        s_bounce (self, run->flight, i, 0);
    }
}

void direct_let_go (exchange_t *self, const run_t *run)
{
    if (!run->flight->routed)
        return;
    for (uint32_t i = run->first; i < run->first + run->count; i++) {
        if (run->flight->travels[i].state == TRAVEL_SENT)
            s_left_place (self, run->flight, i);
    }
}

void direct_lost (exchange_t *self, const run_t *run, const char *endpoint)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    flight_t *flight = run->flight;
    snprintf (
        text, sizeof text,
        "OUTCOME_UNKNOWN the connection to %s broke before it answered; the command may have been "
        "executed",
        endpoint);
    for (uint32_t i = run->first; i < run->first + run->count; i++) {
        s_left_place (self, flight, i);
        if (flight->pieces[i].spec->flags == COMMAND_READ)
            s_bounce (self, flight, i, 0);
        else
            s_fail (self, flight, i, KV_OUTCOME_UNKNOWN, text); // E2
    }
}

void direct_expire (exchange_t *self, flight_t *flight)
{
    char text[KV_ERROR_TEXT_BYTES_MAX];
    for (uint32_t i = 0; i < flight->piece_count && flight->live; i++) {
        const travel_t *travel = &flight->travels[i];
        if (travel->state == TRAVEL_DONE)
            continue;
        bool sent = travel->state == TRAVEL_SENT;
        bool unknown = sent && flight->pieces[i].spec->flags != COMMAND_READ; // E2
        uint32_t place = sent ? travel->place : s_place_of (self, &flight->pieces[i]);
        snprintf (text, sizeof text, "%s %s did not %s within %" PRId64 " ms; the command %s",
                  unknown ? "OUTCOME_UNKNOWN" : "UNAVAILABLE", self->places[place]->endpoint,
                  sent ? "answer" : "take it", self->options.timeout_ms,
                  unknown ? "may have been executed" : "had no effect");
        if (sent)
            s_left_place (self, flight, i);
        s_fail (self, flight, i, unknown ? KV_OUTCOME_UNKNOWN : KV_UNAVAILABLE, text);
    }
}

/* --- Places and owners --- */

static uint32_t s_find_place (exchange_t *self, const char *endpoint)
{
    for (uint32_t i = 1; i < self->place_count; i++) {
        if (strcmp (self->places[i]->endpoint, endpoint) == 0)
            return i;
    }
    if (self->place_count == EXCHANGE_PLACES_MAX)
        return PLACE_NONE;
    place_t *place = calloc (1, sizeof *place);
    KV_ASSERT (place != NULL);
    place->endpoint = strdup (endpoint);
    KV_ASSERT (place->endpoint != NULL);
    self->places[self->place_count] = place;
    return self->place_count++;
}

/* A command for every node was cut up by the old owners; with others its pieces would count some
 * shards twice and others not at all. */
static void s_fail_everywhere (exchange_t *self)
{
    flight_t *next;
    for (flight_t *flight = self->first_waiting; flight; flight = next) {
        next = flight->next_waiting;
        for (uint32_t i = 0; i < flight->piece_count && flight->live; i++) {
            if (flight->travels[i].state == TRAVEL_HELD &&
                flight->pieces[i].spec->keys == KEYS_EVERY)
                s_fail (self, flight, i, KV_RETRY,
                        "RETRY the shards changed hands meanwhile; send the command again");
        }
    }
}

static kv_status_t s_load (exchange_t *self, const topology_t *topology)
{
    uint16_t places[KV_NODES_MAX];
    for (uint32_t i = 0; i < topology->nodes; i++) {
        uint32_t place = s_find_place (self, topology->endpoints[i]);
        if (place == PLACE_NONE)
            return KV_TOO_LARGE;
        places[i] = (uint16_t)(place - 1);
    }
    uint16_t *owners = calloc (topology->shards, sizeof *owners);
    KV_ASSERT (owners != NULL);
    bool changed = false;
    for (uint32_t i = 0; i < topology->shards; i++) {
        owners[i] = places[topology->owners[i]];
        changed = changed || (self->map && self->map->owners[i] != owners[i]);
    }
    if (!self->map) {
        self->map = shard_map_new (topology->shards, KV_NODES_MAX);
        self->shards = calloc (topology->shards, sizeof *self->shards);
        KV_ASSERT (self->shards != NULL);
    }
    shard_map_load (self->map, owners, topology->epoch);
    free (owners);
    if (changed)
        s_fail_everywhere (self);
    return KV_OK;
}

/* The number of shards of a cluster never changes: another number is another cluster's. */
static bool s_is_acceptable (const exchange_t *self, const topology_t *topology)
{
    return !self->map ||
           (topology->shards == self->map->shards && topology->epoch >= self->map->epoch);
}

/* What cannot be routed, ever, need not wait for its deadline. */
static void s_give_up (exchange_t *self)
{
    while (self->first)
        exchange_finish (self, self->first, KV_NOT_SUPPORTED);
}

void direct_topology (exchange_t *self, kv_slice_t body)
{
    reply_t reply;
    result_t result;
    topology_t topology = {0};
    self->dirty = true;
    if (reply_decode (body, &reply) != KV_OK || result_next (&reply, &result) != KV_OK)
        return;
    if (result.status == KV_NOT_SUPPORTED && !self->map) {
        s_give_up (self);
        return;
    }
    if (result.status != KV_OK || topology_read (result.value, &topology) != KV_OK)
        return;
    self->refresh = false;
    if (s_is_acceptable (self, &topology) && s_load (self, &topology) != KV_OK)
        self->refresh = self->map == NULL;
    topology_free (&topology);
}

void direct_ask (exchange_t *self, int64_t now_ms)
{
    if (!self->refresh || self->asked || !self->places[EXCHANGE_SEED]->open)
        return;
    if (!self->first && self->map)
        return; /* nobody waits for it */
    if (now_ms < self->refresh_ms) {
        s_plan_at (self, self->refresh_ms);
        return;
    }
    part_t *part = calloc (1, sizeof *part);
    KV_ASSERT (part != NULL);
    *part = (part_t){.id = self->next_id++, .place = EXCHANGE_SEED, .commands = 1, .asks = true};
    part->runs = &part->only;
    writer_t out = writer_make (SIZE_MAX);
    request_begin (&out, part->id, 1, false);
    writer_array (&out, 1);
    writer_cstr (&out, "TOPOLOGY");
    part->message = blob_from_writer (&out);
    self->asked = part;
    self->refresh_ms = now_ms + REFRESH_MS;
    exchange_launch (self, part, now_ms);
}

/* --- Results --- */

/* Whether the server says that it did not execute the command, and that another try may succeed. */
static bool s_is_retryable (const exchange_t *self, kv_status_t status)
{
    return status == KV_MOVED || status == KV_RETRY || status == KV_LOADING ||
           (status == KV_BUSY && self->options.retry_busy);
}

/* When the piece may leave again, or -1: its user gets the error. */
static int64_t s_follow (exchange_t *self, flight_t *flight, uint32_t index, kv_slice_t details,
                         int64_t now_ms)
{
    moved_t moved;
    travel_t *travel = &flight->travels[index];
    self->refresh = true;
    if (topology_moved (details, &moved) != KV_OK || moved.shard != flight->pieces[index].shard ||
        ++travel->hops > EXCHANGE_HOPS_MAX)
        return -1;
    if (moved.endpoint[0] == '\0') {
        travel->hops--; /* a node that has just started; the deadline is bound enough */
        return now_ms + RETRY_MS;
    }
    uint32_t place = s_find_place (self, moved.endpoint);
    if (place == PLACE_NONE)
        return now_ms + RETRY_MS;
    bool newer = moved.epoch >= self->map->epochs[moved.shard];
    if (newer && place != travel->place && place - 1 != self->map->owners[moved.shard]) {
        shard_map_learn (self->map, moved.shard, place - 1, moved.epoch);
        s_fail_everywhere (self);
    }
    /* At once where the map now names another; later if two do not agree with each other. */
    bool fresh = self->map->owners[moved.shard] + 1U != travel->place && travel->hops <= 3;
    int64_t wait_ms = travel->hops < 7 ? INT64_C (1) << travel->hops : RETRY_MS_MAX;
    return fresh ? now_ms : now_ms + wait_ms;
}

static void s_result (exchange_t *self, flight_t *flight, uint32_t index, const result_t *result,
                      int64_t now_ms)
{
    int64_t retry_ms = -1;
    s_left_place (self, flight, index);
    if (result->status == KV_MOVED)
        retry_ms = s_follow (self, flight, index, result->details, now_ms);
    else if (s_is_retryable (self, result->status)) {
        uint32_t wait_ms = topology_retry_ms (result->details);
        retry_ms = now_ms + (wait_ms ? wait_ms : RETRY_MS);
    }
    if (!flight->live)
        return;
    if (retry_ms >= 0) {
        s_bounce (self, flight, index, retry_ms);
        return;
    }
    gather_piece (flight->gather, flight->keys, &flight->pieces[index], result);
    s_done (self, flight);
}

/* Reads the run's results. Returns whether one of them is to be tried again. */
static bool s_scan (const exchange_t *self, const run_t *run, reply_t reply, bool refused,
                    reader_t *end)
{
    bool again = false;
    result_t result;
    for (uint32_t i = 0; i < (refused ? 1 : run->count); i++) {
        kv_status_t status = result_next (&reply, &result);
        KV_ASSERT (status == KV_OK); /* reply_decode has checked it */
        again = again || s_is_retryable (self, result.status);
    }
    *end = reply.results;
    return again;
}

void direct_results (exchange_t *self, const run_t *run, blob_t *body, reply_t *reply, bool refused,
                     int64_t now_ms)
{
    flight_t *flight = run->flight;
    reader_t end;
    bool again = s_scan (self, run, *reply, refused, &end);
    bool whole = flight->live && flight->plain && run->count == flight->commands;
    if (whole && !again && !flight->gather) {
        direct_let_go (self, run);
        flight->undone = 0;
        flight->reply = blob_ref (body);
        flight->results = kv_slice (reply->results.at, (size_t)(end.at - reply->results.at));
        flight->result_count = refused ? 1 : run->count;
        exchange_finish (self, flight, KV_OK);
    } else if (flight->live) {
        s_need_gather (flight);
        gather_keep (flight->gather, body);
        result_t result;
        for (uint32_t i = 0; i < run->count && flight->live; i++) {
            if (i == 0 || !refused) {
                kv_status_t status = result_next (reply, &result);
                KV_ASSERT (status == KV_OK); /* as above */
            }
            s_result (self, flight, run->first + i, &result, now_ms);
        }
    }
    reply->results = end;
}
