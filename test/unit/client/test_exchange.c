/* Goal: E1-E6 of client/exchange.h: every batch has one outcome, nothing that writes is executed twice,
 * what is said about the outcome is true, and commands on one shard keep their order.
 * Method: single steps with messages written by hand; then a small world of nodes that change
 * owners, break connections, refuse and are late, all by a random number whose seed is printed
 * (KVDB_TEST_SEED repeats it). Every key that is written counts how often it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/exchange.h"
#include "client/reply_tree.h"
#include "schema/limits.h"
#include "schema/request.h"
#include "schema/slot.h"

enum { NODES = 3, SHARDS = 8, TIMEOUT_MS = 1000 };

static exchange_t *s_new (bool direct, uint32_t window)
{
    exchange_options_t options = {
        .seed = "tcp://broker:1", .direct = direct, .window = window, .timeout_ms = TIMEOUT_MS};
    return exchange_new (&options);
}

static void s_add_command (kv_batch_t *batch, const char *name, const char *a, const char *b)
{
    const char *const argv[] = {name, a, b};
    assert_int_equal (kv_batch_add (batch, b ? 3 : a ? 2 : 1, argv, NULL), KV_OK);
}

/* A flight of one command on its way. */
static flight_t *s_fly (exchange_t *exchange, const char *name, const char *a, const char *b)
{
    flight_t *flight = calloc (1, sizeof *flight);
    kv_batch_t *batch = kv_batch_new ();
    s_add_command (batch, name, a, b);
    flight_prepare (flight, batch, 0);
    exchange_add (exchange, flight, 0);
    kv_batch_destroy (&batch);
    return flight;
}

static void s_land (flight_t **flight)
{
    flight_clear (*flight);
    free (*flight);
    *flight = NULL;
}

/* The next part must be there and hold so many commands; returns its id. */
static uint64_t s_expect_part (exchange_t *exchange, int64_t now_ms, uint32_t place,
                               uint32_t commands)
{
    request_t request;
    const char *why;
    part_t *part = exchange_next_part (exchange, now_ms);
    assert_non_null (part);
    assert_int_equal (part_place (part), place);
    assert_int_equal (request_decode (blob_bytes (part_message (part)), &request, &why), KV_OK);
    assert_int_equal (request.command_count, commands);
    return request.id;
}

static void s_reply_text (exchange_t *exchange, uint32_t place, uint64_t id, uint32_t count)
{
    writer_t out = writer_make (SIZE_MAX);
    char text[16];
    reply_begin (&out, id, count);
    for (uint32_t i = 0; i < count; i++) {
        snprintf (text, sizeof text, "%u", i);
        result_text (&out, text);
    }
    exchange_reply (exchange, place, blob_from_writer (&out), 0);
}

static void s_refuse (exchange_t *exchange, uint64_t id)
{
    writer_t out = writer_make (SIZE_MAX);
    reply_refuse (&out, id, KV_TOO_LARGE, "ERR too large");
    exchange_reply (exchange, 0, blob_from_writer (&out), 0);
}

/* The flight must be the next that is done; returns its only value, for the caller to destroy. */
static kv_reply_t *s_value (exchange_t *exchange, flight_t *flight)
{
    kv_reply_t *reply = NULL;
    assert_ptr_equal (exchange_next_done (exchange), flight);
    assert_int_equal (flight->status, KV_OK);
    if (flight->result_count)
        assert_int_equal (reply_tree_results (flight->results, flight->result_count,
                                              flight->commands, true, &reply),
                          KV_OK);
    else
        assert_int_equal (reply_tree_single (blob_bytes (flight->reply), &reply), KV_OK);
    return reply;
}

static void s_expect_text (exchange_t *exchange, flight_t *flight, const char *text)
{
    kv_reply_t *reply = s_value (exchange, flight);
    assert_string_equal (kv_reply_data (reply, NULL), text);
    kv_reply_destroy (&reply);
    s_land (&flight);
}

static void test_exchange_window_merges_what_waits (void **state)
{
    (void)state;
    exchange_t *exchange = s_new (false, 1);
    flight_t *flights[4];
    flights[0] = s_fly (exchange, "A", NULL, NULL);
    assert_null (exchange_next_part (exchange, 0)); /* the place is not open */
    exchange_set_open (exchange, 0, true);
    uint64_t first = s_expect_part (exchange, 0, 0, 1);
    for (size_t i = 1; i < 4; i++)
        flights[i] = s_fly (exchange, "B", NULL, NULL);
    assert_null (exchange_next_part (exchange, 0)); // E5
    s_reply_text (exchange, 0, first, 1);
    uint64_t second = s_expect_part (exchange, 0, 0, 3);
    s_expect_text (exchange, flights[0], "0");
    s_reply_text (exchange, 0, second, 3);
    s_reply_text (exchange, 0, second, 3); /* again: dropped */
    s_expect_text (exchange, flights[1], "0");
    s_expect_text (exchange, flights[2], "1");
    s_expect_text (exchange, flights[3], "2");
    assert_null (exchange_next_done (exchange));
    exchange_destroy (&exchange);
}

static void test_exchange_slow_part_does_not_hold_others (void **state)
{
    (void)state;
    exchange_t *exchange = s_new (false, 1);
    exchange_set_open (exchange, 0, true);
    flight_t *slow = s_fly (exchange, "SLOW", NULL, NULL);
    uint64_t first = s_expect_part (exchange, 0, 0, 1);
    flight_t *quick = s_fly (exchange, "QUICK", NULL, NULL);
    assert_null (exchange_next_part (exchange, EXCHANGE_SLOW_MS - 1));
    assert_int_equal (exchange_next_ms (exchange), EXCHANGE_SLOW_MS);
    uint64_t second = s_expect_part (exchange, EXCHANGE_SLOW_MS, 0, 1); // E5
    s_reply_text (exchange, 0, second, 1);
    s_expect_text (exchange, quick, "0");
    s_reply_text (exchange, 0, first, 1);
    s_expect_text (exchange, slow, "0");
    exchange_destroy (&exchange);
}

static void test_exchange_refusal_of_merged_requests_takes_them_apart (void **state)
{
    (void)state;
    exchange_t *exchange = s_new (false, 1);
    flight_t *good = s_fly (exchange, "A", NULL, NULL);
    flight_t *bad = s_fly (exchange, "B", NULL, NULL);
    exchange_set_open (exchange, 0, true);
    s_refuse (exchange, s_expect_part (exchange, 0, 0, 2)); // E6
    s_reply_text (exchange, 0, s_expect_part (exchange, 0, 0, 1), 1);
    s_expect_text (exchange, good, "0");
    s_refuse (exchange, s_expect_part (exchange, 0, 0, 1));
    kv_reply_t *reply = s_value (exchange, bad);
    assert_int_equal (kv_reply_code (reply), KV_TOO_LARGE);
    kv_reply_destroy (&reply);
    s_land (&bad);
    exchange_destroy (&exchange);
}

static void test_exchange_times_out_and_forgets (void **state)
{
    (void)state;
    exchange_t *exchange = s_new (false, 0);
    exchange_set_open (exchange, 0, true);
    flight_t *sent = s_fly (exchange, "A", NULL, NULL);
    uint64_t id = s_expect_part (exchange, 0, 0, 1);
    exchange_set_open (exchange, 0, false);
    flight_t *unsent = s_fly (exchange, "B", NULL, NULL);
    flight_t *removed = s_fly (exchange, "C", NULL, NULL);
    exchange_remove (exchange, removed);
    exchange_tick (exchange, TIMEOUT_MS - 1);
    assert_null (exchange_next_done (exchange));
    exchange_tick (exchange, TIMEOUT_MS);
    assert_ptr_equal (exchange_next_done (exchange), sent);
    assert_int_equal (sent->status, KV_TIMEOUT);
    assert_ptr_equal (exchange_next_done (exchange), unsent);
    assert_int_equal (unsent->status, KV_UNAVAILABLE);
    s_reply_text (exchange, 0, id, 1); // E4
    assert_null (exchange_next_done (exchange));
    s_land (&sent);
    s_land (&unsent);
    s_land (&removed);
    exchange_destroy (&exchange);
}

/* --- The world --- */

enum { KEYS = 40, IDS = 200000, QUEUE = 4096, STEPS = 4000, FLIGHTS = 64 };

typedef struct {
    blob_t *messages[QUEUE];
    uint32_t first, count;
} queue_t;

typedef struct {
    queue_t in, out; /* requests on their way, replies on their way */
    bool up;
    bool amnesia;        /* has just started: knows of no owners */
    bool frozen[SHARDS]; /* refuses for a moment */
} server_t;

typedef struct {
    exchange_t *exchange;
    uint64_t random;
    int64_t now_ms;
    server_t servers[NODES + 1]; /* 0: the broker */
    uint16_t owners[SHARDS];
    uint64_t epochs[SHARDS];
    uint64_t epoch;
    uint32_t next_id;
    uint8_t executed[IDS];
    uint32_t last[KEYS]; /* the last id that was executed on a key */
    flight_t *flights[FLIGHTS];
    size_t flying;
    bool refusing; /* servers refuse whole requests */
    bool lenient;  /* and go on with others, so that there is no order (see E3) */
    size_t ok, unavailable, unknown, retry;
    size_t misdirected; /* commands that came to a node that does not own their shard */
} world_t;

static uint32_t s_below (world_t *world, uint32_t most)
{
    uint64_t x = world->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    world->random = x;
    return (uint32_t)((x * UINT64_C (0x2545f4914f6cdd1d)) >> 33) % most;
}

static void s_push (queue_t *queue, blob_t *message)
{
    assert_true (queue->count < QUEUE);
    queue->messages[(queue->first + queue->count++) % QUEUE] = message;
}

static blob_t *s_pop (queue_t *queue)
{
    blob_t *message = queue->messages[queue->first];
    queue->first = (queue->first + 1) % QUEUE;
    queue->count--;
    return message;
}

static void s_empty (queue_t *queue)
{
    while (queue->count) {
        blob_t *message = s_pop (queue);
        blob_unref (&message);
    }
}

static void s_endpoint (char *out, size_t bytes, uint32_t node)
{
    snprintf (out, bytes, "tcp://node:%u", node + 1);
}

static void s_write_topology (const world_t *world, writer_t *out)
{
    result_value (out);
    writer_map (out, 4);
    writer_cstr (out, "epoch");
    writer_uint (out, world->epoch);
    writer_cstr (out, "shards");
    writer_uint (out, SHARDS);
    writer_cstr (out, "nodes");
    writer_array (out, NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        writer_map (out, 2);
        writer_cstr (out, "host");
        writer_cstr (out, "node");
        writer_cstr (out, "port");
        writer_uint (out, i + 1);
    }
    writer_cstr (out, "owners");
    writer_array (out, SHARDS);
    for (uint32_t i = 0; i < SHARDS; i++)
        writer_uint (out, world->owners[i]);
}

static void s_write_moved (const world_t *world, writer_t *out, uint32_t shard, bool known)
{
    char endpoint[64];
    writer_array (out, 3);
    writer_uint (out, KV_MOVED);
    writer_cstr (out, "MOVED");
    writer_map (out, known ? 3 : 1);
    writer_cstr (out, "shard");
    writer_uint (out, shard);
    if (!known)
        return;
    s_endpoint (endpoint, sizeof endpoint, world->owners[shard]);
    writer_cstr (out, "endpoint");
    writer_cstr (out, endpoint);
    writer_cstr (out, "epoch");
    writer_uint (out, world->epochs[shard]);
}

/* Keys are "k<number>", the values of writes the id of this write of this key. */
static void s_write_key (world_t *world, kv_slice_t key, kv_slice_t value)
{
    char text[32];
    snprintf (text, sizeof text, "%.*s", (int)(key.size - 1), (const char *)key.data + 1);
    uint32_t number = (uint32_t)atoi (text);
    snprintf (text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
    uint32_t id = (uint32_t)atoi (text);
    assert_true (number < KEYS && id < IDS);
    assert_int_equal (world->executed[id], 0);                // E2
    assert_true (world->last[number] < id || world->lenient); // E3
    world->executed[id] = 1;
    world->last[number] = id;
}

static void s_execute (world_t *world, uint32_t node, const command_t *command, writer_t *out)
{
    for (uint32_t i = 0; i < command_key_count (command); i++) {
        uint32_t shard = kv_shard_of (command->argv[command_key_index (command, i)], SHARDS);
        if (world->servers[node + 1].amnesia || world->owners[shard] != node) {
            s_write_moved (world, out, shard, !world->servers[node + 1].amnesia);
            world->misdirected++;
            return;
        }
        if (world->servers[node + 1].frozen[shard]) {
            result_retry (out, KV_RETRY, "RETRY", s_below (world, 10));
            return;
        }
    }
    if (s_below (world, 40) == 0) {
        result_error (out, KV_BUSY, "BUSY"); /* not tried again: see retry_busy */
        return;
    }
    if (command->spec->id == COMMAND_GET) {
        result_nil (out);
        return;
    }
    if (command->spec->id == COMMAND_DBSIZE) {
        result_int (out, 1);
        return;
    }
    for (uint32_t i = 0; i < command_key_count (command); i++) {
        uint32_t at = command_key_index (command, i);
        s_write_key (world, command->argv[at], command->argv[at + 1]);
    }
    result_text (out, "OK");
}

static void s_serve (world_t *world, uint32_t place)
{
    server_t *server = &world->servers[place];
    blob_t *message = s_pop (&server->in);
    request_t request;
    const char *why;
    writer_t out = writer_make (SIZE_MAX);
    command_t command = command_make ();
    assert_int_equal (request_decode (blob_bytes (message), &request, &why), KV_OK);
    reader_t at = request.commands;
    if (place > 0 && world->refusing && s_below (world, 60) == 0)
        reply_refuse (&out, request.id, KV_BUSY, "BUSY all of it");
    else {
        reply_begin (&out, request.id, request.command_count);
        for (uint32_t i = 0; i < request.command_count; i++) {
            assert_int_equal (command_read (&command, &at, &why), KV_OK);
            if (command.spec->id == COMMAND_TOPOLOGY)
                s_write_topology (world, &out);
            else if (place == 0)
                result_text (&out, "PONG");
            else
                s_execute (world, place - 1, &command, &out);
        }
    }
    command_free (&command);
    blob_unref (&message);
    s_push (&server->out, blob_from_writer (&out));
}

static void s_send_all (world_t *world)
{
    part_t *part;
    while ((part = exchange_next_part (world->exchange, world->now_ms)) != NULL) {
        server_t *server = &world->servers[part_place (part)];
        if (!server->up || s_below (world, 50) == 0) {
            exchange_unsent (world->exchange, part);
            continue;
        }
        s_push (&server->in, blob_ref (part_message (part)));
    }
    /* What was closed by mischance opens again. */
    for (uint32_t i = 0; i < exchange_place_count (world->exchange); i++)
        exchange_set_open (world->exchange, i, world->servers[i].up);
}

/* The connection breaks: some of what was on its way is executed all the same. */
static void s_break (world_t *world, uint32_t place)
{
    server_t *server = &world->servers[place];
    if (!server->up || place >= exchange_place_count (world->exchange))
        return;
    server->up = false;
    while (server->in.count && s_below (world, 3))
        s_serve (world, place);
    s_empty (&server->in);
    s_empty (&server->out);
    exchange_lost (world->exchange, place, world->now_ms);
}

static void s_take_off (world_t *world)
{
    size_t at = 0;
    while (world->flights[at])
        at++;
    kv_batch_t *batch = kv_batch_new ();
    for (uint32_t left = 1 + s_below (world, 6); left > 0; left--) {
        char words[9][32];
        const char *argv[9];
        size_t argc = 1;
        uint32_t kind = s_below (world, 20);
        uint32_t pairs = kind == 0 ? 2 + s_below (world, 3) : 1;
        const char *name = kind == 0 ? "MSET" : kind < 12 ? "SET" : kind == 12 ? "DBSIZE" : "GET";
        argv[0] = name;
        uint32_t key = s_below (world, KEYS - 4);
        for (uint32_t i = 0; i < pairs && kind != 12; i++) {
            snprintf (words[argc], sizeof words[0], "k%u", key + i);
            argv[argc] = words[argc];
            argc++;
            if (kind > 12)
                continue;
            snprintf (words[argc], sizeof words[0], "%u", ++world->next_id);
            argv[argc] = words[argc];
            argc++;
        }
        assert_true (world->next_id < IDS - 100);
        assert_int_equal (kv_batch_add (batch, argc, argv, NULL), KV_OK);
    }
    flight_t *flight = calloc (1, sizeof *flight);
    flight_prepare (flight, batch, 0);
    exchange_add (world->exchange, flight, world->now_ms);
    kv_batch_destroy (&batch);
    world->flights[at] = flight;
    world->flying++;
}

/* Whether what a command was answered is true of every key that it writes. */
static void s_judge (world_t *world, const command_t *command, const kv_reply_t *reply)
{
    kv_status_t code = kv_reply_code (reply);
    bool known = code != KV_OUTCOME_UNKNOWN;
    world->ok += code == KV_OK;
    world->unavailable += code == KV_UNAVAILABLE;
    world->unknown += !known;
    world->retry += code == KV_RETRY || code == KV_MOVED || code == KV_BUSY;
    if (command->spec->flags != COMMAND_WRITE) {
        assert_true (known);
        return;
    }
    for (uint32_t i = 0; i < command_key_count (command) && known; i++) {
        char text[32];
        kv_slice_t value = command->argv[command_key_index (command, i) + 1];
        snprintf (text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
        assert_int_equal (world->executed[atoi (text)], code == KV_OK);
    }
    /* What was said to be without effect must stay so. */
    for (uint32_t i = 0; i < command_key_count (command) && known; i++) {
        char text[32];
        kv_slice_t value = command->argv[command_key_index (command, i) + 1];
        snprintf (text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
        world->executed[atoi (text)] = 1;
    }
}

static void s_touch_down (world_t *world)
{
    flight_t *flight;
    while ((flight = exchange_next_done (world->exchange)) != NULL) {
        kv_reply_t *replies;
        size_t at = 0;
        while (world->flights[at] != flight) // E1
            at++;
        world->flights[at] = NULL;
        world->flying--;
        if (flight->status) {
            assert_int_equal (flight->status, KV_UNAVAILABLE); /* before the map was known */
            s_land (&flight);
            continue;
        }
        if (flight->result_count)
            assert_int_equal (reply_tree_results (flight->results, flight->result_count,
                                                  flight->commands, false, &replies),
                              KV_OK);
        else
            assert_int_equal (
                reply_tree_batch (blob_bytes (flight->reply), flight->commands, &replies), KV_OK);
        command_t command = command_make ();
        reader_t body = reader_make (flight->body);
        for (uint32_t i = 0; i < flight->commands; i++) {
            const char *why;
            assert_int_equal (command_read (&command, &body, &why), KV_OK);
            s_judge (world, &command, kv_reply_item (replies, i));
        }
        command_free (&command);
        kv_reply_destroy (&replies);
        s_land (&flight);
    }
}

/* What a server takes again, having refused it, it takes only when nothing is on its way to it: what
 * was on its way behind a refusal would overtake (see E3). */
static void s_relent (world_t *world, uint32_t place)
{
    server_t *server = &world->servers[place];
    uint32_t shard = s_below (world, SHARDS);
    if (place == 0 || server->in.count || server->out.count)
        return;
    switch (s_below (world, 3)) {
    case 0: server->amnesia = false; return;
    case 1: memset (server->frozen, 0, sizeof server->frozen); return;
    default:
        world->owners[shard] = (uint16_t)(place - 1);
        world->epochs[shard] = ++world->epoch;
        return;
    }
}

static void s_happen (world_t *world, bool mischief)
{
    uint32_t place = s_below (world, NODES + 1);
    server_t *server = &world->servers[place];
    uint32_t what = s_below (world, mischief ? 100 : 60);
    if (what < 25 && server->up && server->in.count)
        s_serve (world, place);
    else if (what < 50 && server->out.count)
        exchange_reply (world->exchange, place, s_pop (&server->out), world->now_ms);
    else if (what < 60) {
        world->now_ms += s_below (world, 10);
        exchange_tick (world->exchange, world->now_ms);
    } else if (what < 85 && world->flying < FLIGHTS)
        s_take_off (world);
    else if (what < 87)
        s_break (world, place);
    else if (what < 95)
        server->up = true;
    else if (what < 98)
        s_relent (world, place);
    else if (what < 99)
        server->frozen[s_below (world, SHARDS)] = true;
    else if (s_below (world, 4) == 0)
        server->amnesia = true;
    s_send_all (world);
    s_touch_down (world);
}

static void s_fly_one_by_one (world_t *world, uint32_t flights)
{
    for (uint32_t i = 0; i < flights; i++) {
        s_take_off (world);
        for (uint32_t step = 0; step < 100 * STEPS && world->flying; step++)
            s_happen (world, false);
        assert_int_equal (world->flying, 0); // E1
    }
}

static void s_end_world (world_t *world)
{
    for (uint32_t i = 0; i <= NODES; i++) {
        s_empty (&world->servers[i].in);
        s_empty (&world->servers[i].out);
    }
    exchange_destroy (&world->exchange);
    free (world);
}

/* The cluster is stopped and another one started in its place: its epochs are lower, and its owners
 * others. */
static void test_exchange_follows_a_broker_that_begins_anew (void **state)
{
    (void)state;
    world_t *world = calloc (1, sizeof *world);
    assert_non_null (world);
    world->random = 12345;
    world->lenient = true;
    world->exchange = s_new (true, 1);
    world->epoch = 50;
    for (uint32_t i = 0; i < SHARDS; i++) {
        world->owners[i] = (uint16_t)(i % NODES);
        world->epochs[i] = 50;
    }
    for (uint32_t i = 0; i <= NODES; i++)
        world->servers[i].up = true;
    s_fly_one_by_one (world, 20);
    assert_int_equal (world->misdirected, 0);
    for (uint32_t i = 0; i <= NODES; i++) {
        s_break (world, i);
        world->servers[i].up = true;
    }
    world->epoch = 3;
    for (uint32_t i = 0; i < SHARDS; i++) {
        world->owners[i] = (uint16_t)((i + 1) % NODES);
        world->epochs[i] = 3;
    }
    s_fly_one_by_one (world, 20);
    size_t before = world->misdirected;
    s_fly_one_by_one (world, 20);
    assert_int_equal (world->misdirected, before);
    s_end_world (world);
}

static void s_sum_up (size_t sums[4], const world_t *world)
{
    sums[0] += world->ok;
    sums[1] += world->unavailable;
    sums[2] += world->unknown;
    sums[3] += world->retry;
}

static void s_run_world (uint64_t seed, uint32_t kind, size_t sums[4])
{
    world_t *world = calloc (1, sizeof *world);
    assert_non_null (world);
    world->random = seed * 2 + 1;
    world->exchange = s_new (true, kind % 3);
    world->refusing = kind % 3 == 0 || kind == 4; /* where each flight travels alone it is final */
    world->lenient = kind == 4;
    world->epoch = 1;
    for (uint32_t i = 0; i < SHARDS; i++) {
        world->owners[i] = (uint16_t)(i % NODES);
        world->epochs[i] = 1;
    }
    for (uint32_t i = 0; i < STEPS; i++)
        s_happen (world, true);
    for (uint32_t i = 0; i <= NODES; i++) {
        world->servers[i].up = true;
        world->servers[i].amnesia = false;
        memset (world->servers[i].frozen, 0, sizeof world->servers[i].frozen);
    }
    world->lenient = true;
    for (uint32_t i = 0; i < 200 * STEPS && world->flying; i++)
        s_happen (world, false);
    assert_int_equal (world->flying, 0); // E1
    assert_true (world->ok > 0);
    s_sum_up (sums, world);
    s_end_world (world);
}

static void test_exchange_survives_a_world_of_mischief (void **state)
{
    (void)state;
    const char *text = getenv ("KVDB_TEST_SEED");
    uint64_t seed = text ? strtoull (text, NULL, 10) : (uint64_t)time (NULL);
    const char *scale = getenv ("KVDB_TEST_SCALE");
    size_t sums[4] = {0};
    int rounds = scale && strcmp (scale, "full") == 0 ? 1500 : 100;
    print_message ("seed %" PRIu64 "\n", seed);
    for (int i = 0; i < rounds; i++)
        s_run_world (seed + (uint64_t)i, (uint32_t)i % 5, sums);
    print_message ("ok %zu, unavailable %zu, unknown %zu, refused %zu\n", sums[0], sums[1], sums[2],
                   sums[3]);
    for (size_t i = 0; i < 4; i++)
        assert_true (sums[i] > 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_exchange_window_merges_what_waits),
        cmocka_unit_test (test_exchange_slow_part_does_not_hold_others),
        cmocka_unit_test (test_exchange_refusal_of_merged_requests_takes_them_apart),
        cmocka_unit_test (test_exchange_times_out_and_forgets),
        cmocka_unit_test (test_exchange_follows_a_broker_that_begins_anew),
        cmocka_unit_test (test_exchange_survives_a_world_of_mischief),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
