/* Goal: whatever clients, nodes and the clock do, in whatever order, the router keeps
 *   N1  every request is answered exactly once, with one result per command;
 *   N2  what one connection sends to one shard is executed in the order sent;
 *   N3  no write is executed twice; none that was reported BUSY or UNAVAILABLE, ever; one that
 *       was reported done, once;
 *   and once everything is open and answers, everything completes.
 * Method: each key names the shard it is for and a token, so a node can tell what it executes.
 * Fake nodes execute what arrives in order, answer in any order, late, twice or never, break,
 * restart, leave. Time is virtual. The seed is printed; KVDB_TEST_SEED=n runs that seed alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/router.h"
#include "schema/request.h"
#include "schema/slot.h"
#include "test/unit/schema/random.h"

#include <signal.h>
#include <time.h>

enum {
    NODES = 3,
    SHARDS = 7,
    CONNECTIONS = 4,
    STEPS = 1500,
    TOKENS_MAX = 64 * 1024,
    REQUESTS_MAX = 8 * 1024,
    COMMANDS_MAX = 12,
    KEYS_MAX = 6,
    LANE_MAX = 8 * 1024,
    REPLIES_MAX = 64 * 1024
};

typedef struct {
    uint8_t connection;
    uint8_t shard;
    bool write;
    uint8_t executed;
} token_t;

typedef enum { ASKS_KEYS, ASKS_LOCAL, ASKS_NODE_TO_LEAVE, ASKS_EVERY_NODE } kind_t;

typedef struct {
    kind_t kind;
    command_id_t id;
    uint32_t tokens[KEYS_MAX];
    uint32_t token_count;
} asked_t;

typedef struct {
    uint8_t connection;
    bool answered;
    uint32_t count;
    asked_t commands[COMMANDS_MAX];
} asked_request_t;

typedef struct {
    uint64_t tag;
    blob_t *body;
} message_in_lane_t;

typedef struct {
    uint32_t node;
    uint64_t tag;
    blob_t *frame;
} reply_on_its_way_t;

typedef struct {
    message_in_lane_t lane[LANE_MAX]; /* lane[first..last): sent and not executed */
    uint32_t first, last;
    bool broken; /* nothing can be sent to it */
} fake_node_t;

typedef struct {
    random_t random;
    shard_map_t *map;
    router_t *router;
    int64_t now_ms;
    bool calm; /* the end: nodes answer and do not break any more */
    char tags[SHARDS][8];
    token_t tokens[TOKENS_MAX];
    uint32_t token_count;
    asked_request_t requests[REQUESTS_MAX];
    uint32_t request_count;
    uint32_t answered;
    int64_t last_executed[CONNECTIONS][SHARDS]; /* the newest token */
    fake_node_t nodes[NODES];
    reply_on_its_way_t replies[REPLIES_MAX];
    uint32_t reply_count;
    uint64_t outcomes[64]; /* results by status, to see that all kinds occur */
} world_t;

static bool s_chance (world_t *world, uint32_t percent)
{
    return random_below (&world->random, 100) < percent;
}

/* ---- the nodes ------------------------------------------------------------------------------- */

static void s_execute_key (world_t *world, uint32_t node, kv_slice_t key)
{
    char text[64];
    snprintf (text, sizeof text, "%.*s", (int)key.size, (const char *)key.data);
    const char *number = strchr (text, '}');
    assert_non_null (number);
    uint32_t index = (uint32_t)strtoul (number + 1, NULL, 10);
    assert_true (index < world->token_count);
    token_t *token = &world->tokens[index];
    assert_int_equal (world->map->owners[token->shard], node);
    int64_t *last = &world->last_executed[token->connection][token->shard];
    if (token->executed == 0) {
        assert_true (*last < (int64_t)index); // N2
        *last = index;
    }
    assert_false (token->write && token->executed); // N3
    if (token->executed < UINT8_MAX)
        token->executed++;
}

/* Keys are their own values; whatever counts, counts keys; each node holds one. */
static void s_execute_command (world_t *world, uint32_t node, const command_t *command,
                               writer_t *out)
{
    uint32_t keys = command_key_count (command);
    for (uint32_t i = 0; i < keys; i++)
        s_execute_key (world, node, command->argv[command_key_index (command, i)]);
    switch (command->spec->id) {
    case COMMAND_GET: result_bytes (out, command->argv[1]); return;
    case COMMAND_MGET:
        result_value (out);
        writer_array (out, keys);
        for (uint32_t i = 0; i < keys; i++)
            writer_bin (out, command->argv[1 + i]);
        return;
    case COMMAND_DEL:
    case COMMAND_EXISTS: result_int (out, keys); return;
    case COMMAND_DBSIZE: result_int (out, 1); return;
    default: result_text (out, "OK");
    }
}

static void s_execute_next (world_t *world, uint32_t index)
{
    fake_node_t *node = &world->nodes[index];
    message_in_lane_t *message = &node->lane[node->first++];
    request_t request;
    const char *why;
    command_t command = command_make ();
    char text[128];
    writer_t out = writer_make (SIZE_MAX);
    assert_int_equal (request_decode (blob_bytes (message->body), &request, &why), KV_OK);
    reply_begin (&out, request.id, request.command_count);
    for (uint32_t i = 0; i < request.command_count; i++) {
        assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
        assert_int_equal (command_check (&command, text, sizeof text), KV_OK);
        s_execute_command (world, index, &command, &out);
    }
    command_free (&command);
    blob_unref (&message->body);
    blob_t *frame = blob_from_writer (&out);
    uint32_t copies = world->calm ? 1 : s_chance (world, 4) ? 0 : s_chance (world, 5) ? 2 : 1;
    for (uint32_t i = 0; i < copies && world->reply_count < REPLIES_MAX; i++)
        world->replies[world->reply_count++] =
            (reply_on_its_way_t){index, message->tag, blob_ref (frame)};
    blob_unref (&frame);
}

static void s_deliver_reply (world_t *world)
{
    uint32_t at = random_below (&world->random, world->reply_count);
    reply_on_its_way_t reply = world->replies[at];
    world->replies[at] = world->replies[--world->reply_count];
    router_reply (world->router, reply.node, reply.tag, reply.frame, blob_bytes (reply.frame));
    blob_unref (&reply.frame);
}

/* The connection ends: of what is under way to the node, a first part may still be executed. */
static void s_lose (world_t *world, uint32_t index)
{
    fake_node_t *node = &world->nodes[index];
    while (node->first < node->last && s_chance (world, 50))
        s_execute_next (world, index);
    while (node->first < node->last)
        blob_unref (&node->lane[node->first++].body);
    node->first = node->last = 0;
    node->broken = false;
    if (s_chance (world, 50))
        router_node_lost (world->router, index);
    else
        router_node_left (world->router, index);
}

/* ---- the clients ----------------------------------------------------------------------------- */

static void s_write_key (world_t *world, writer_t *out, asked_t *asked, uint32_t connection,
                         uint32_t shard, bool write)
{
    char key[64];
    uint32_t index = world->token_count++;
    world->tokens[index] = (token_t){(uint8_t)connection, (uint8_t)shard, write, 0};
    asked->tokens[asked->token_count++] = index;
    snprintf (key, sizeof key, "%s%u", world->tags[shard], index);
    writer_bin (out, kv_slice_text (key));
}

static void s_write_command (world_t *world, writer_t *out, asked_t *asked, uint32_t connection)
{
    static const command_id_t ids[] = {COMMAND_SET, COMMAND_SET,  COMMAND_GET,    COMMAND_GET,
                                       COMMAND_DEL, COMMAND_MGET, COMMAND_EXISTS, COMMAND_MSET};
    uint32_t roll = random_below (&world->random, 40);
    if (roll < 3) {
        static const command_id_t others[] = {COMMAND_PING, COMMAND_DBSIZE, COMMAND_SHUTDOWN};
        *asked = (asked_t){.id = others[roll]};
        asked->kind = roll == 0 ? ASKS_LOCAL : roll == 1 ? ASKS_EVERY_NODE : ASKS_NODE_TO_LEAVE;
        writer_array (out, asked->kind == ASKS_NODE_TO_LEAVE ? 2 : 1);
        writer_cstr (out, command_spec (asked->id)->name);
        if (asked->kind == ASKS_NODE_TO_LEAVE)
            writer_uint (out, random_below (&world->random, NODES));
        return;
    }
    *asked = (asked_t){.kind = ASKS_KEYS, .id = ids[roll % 8]};
    const command_spec_t *spec = command_spec (asked->id);
    bool pairs = asked->id == COMMAND_SET || asked->id == COMMAND_MSET;
    bool many = spec->keys == KEYS_ALL || spec->keys == KEYS_PAIRS;
    uint32_t keys = many ? 1 + random_below (&world->random, KEYS_MAX) : 1;
    uint32_t spread = s_chance (world, 30) ? 1 : SHARDS;
    uint32_t shard = random_below (&world->random, SHARDS);
    writer_array (out, 1 + keys * (pairs ? 2 : 1));
    writer_cstr (out, spec->name);
    for (uint32_t i = 0; i < keys; i++) {
        s_write_key (world, out, asked, connection,
                     (shard + random_below (&world->random, spread)) % SHARDS,
                     spec->flags == COMMAND_WRITE);
        if (pairs)
            writer_cstr (out, "value");
    }
}

static void s_ask (world_t *world)
{
    if (world->request_count == REQUESTS_MAX ||
        world->token_count + COMMANDS_MAX * KEYS_MAX > TOKENS_MAX)
        return;
    uint32_t index = world->request_count++;
    asked_request_t *request = &world->requests[index];
    uint8_t connection = (uint8_t)random_below (&world->random, CONNECTIONS);
    uint32_t count = s_chance (world, 40) ? 1 : 1 + random_below (&world->random, COMMANDS_MAX);
    bool hurried = s_chance (world, 30);
    *request = (asked_request_t){.connection = connection, .count = count};
    writer_t out = writer_make (SIZE_MAX);
    request_begin (&out, index, count, hurried);
    for (uint32_t i = 0; i < count; i++)
        s_write_command (world, &out, &request->commands[i], connection);
    if (hurried) {
        writer_map (&out, 1);
        writer_cstr (&out, "deadline_ms");
        writer_uint (&out, 1 + random_below (&world->random, 300));
    }
    router_request (world->router, kv_slice (&connection, 1), blob_from_writer (&out),
                    world->now_ms);
}

/* N3: what the client was told, against what the nodes did. Tokens of what was reported BUSY or
 * UNAVAILABLE must stay unexecuted to the end; that is checked at the end, and here. */
static void s_check_result (world_t *world, const asked_t *asked, const result_t *result)
{
    reader_t at = reader_make (result->value);
    int64_t number;
    uint32_t count;
    bool write = command_spec (asked->id)->flags == COMMAND_WRITE;
    world->outcomes[(int)result->status & 63]++;
    if (result->status == KV_BUSY || result->status == KV_UNAVAILABLE) {
        for (uint32_t i = 0; write && i < asked->token_count; i++) {
            assert_int_equal (world->tokens[asked->tokens[i]].executed, 0);
            world->tokens[asked->tokens[i]].executed = UINT8_MAX; /* it will be found out */
        }
        return;
    }
    if (result->status != KV_OK) {
        assert_int_equal (result->status,
                          asked->kind == ASKS_NODE_TO_LEAVE ? KV_TIMEOUT : KV_OUTCOME_UNKNOWN);
        assert_true (write || asked->kind == ASKS_NODE_TO_LEAVE);
        return;
    }
    for (uint32_t i = 0; i < asked->token_count; i++)
        assert_true (world->tokens[asked->tokens[i]].executed > 0);
    if (asked->id == COMMAND_DEL || asked->id == COMMAND_EXISTS) {
        assert_int_equal (reader_int (&at, &number), KV_OK);
        assert_int_equal (number, asked->token_count);
    } else if (asked->kind == ASKS_EVERY_NODE) {
        assert_int_equal (reader_int (&at, &number), KV_OK);
        assert_int_equal (number, NODES);
    } else if (asked->id == COMMAND_MGET) {
        assert_int_equal (reader_array (&at, &count), KV_OK);
        assert_int_equal (count, asked->token_count);
        for (uint32_t i = 0; i < count; i++) {
            kv_slice_t value;
            assert_int_equal (reader_bytes (&at, &value), KV_OK);
            char text[64];
            snprintf (text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
            assert_int_equal (strtoul (strchr (text, '}') + 1, NULL, 10), asked->tokens[i]);
        }
    }
}

static void s_take_answer (world_t *world, kv_slice_t envelope, kv_slice_t bytes)
{
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (bytes, &reply), KV_OK);
    assert_true (reply.id < world->request_count);
    asked_request_t *request = &world->requests[reply.id];
    assert_int_equal (envelope.size, 1);
    assert_int_equal (envelope.data[0], request->connection);
    assert_false (request->answered); // N1
    assert_int_equal (reply.count, request->count);
    request->answered = true;
    world->answered++;
    for (uint32_t i = 0; i < reply.count; i++) {
        assert_int_equal (result_next (&reply, &result), KV_OK);
        s_check_result (world, &request->commands[i], &result);
    }
}

/* ---- the world -------------------------------------------------------------------------------- */

static router_local_t s_local (void *context, const command_t *command, writer_t *result,
                               uint32_t *node)
{
    (void)context;
    if (command->spec->id == COMMAND_SHUTDOWN) {
        *node = (uint32_t)(command->argv[1].data[0] - '0');
        return ROUTER_LOCAL_WAITS;
    }
    result_text (result, "PONG");
    return ROUTER_LOCAL_DONE;
}

static const char *s_node_name (void *context, uint32_t node)
{
    (void)context;
    (void)node;
    return "node";
}

static void s_send (world_t *world, const router_effect_t *effect)
{
    fake_node_t *node = &world->nodes[effect->node];
    if (!node->broken && !world->calm && s_chance (world, 1))
        node->broken = true;
    bool refused = !world->calm && s_chance (world, 1); /* only this one */
    if (node->broken || refused || node->last == LANE_MAX) {
        blob_t *body = effect->body;
        blob_unref (&body);
        router_unsent (world->router, effect->tag);
        return;
    }
    node->lane[node->last++] = (message_in_lane_t){effect->tag, effect->body};
}

static void s_fetch_effects (world_t *world)
{
    router_effect_t effect;
    while (router_next_effect (world->router, &effect)) {
        if (effect.kind == ROUTER_TO_NODE) {
            s_send (world, &effect);
            continue;
        }
        s_take_answer (world, effect.envelope, blob_bytes (effect.body));
        blob_unref (&effect.body);
    }
}

static void s_step (world_t *world)
{
    uint32_t index = random_below (&world->random, NODES);
    fake_node_t *node = &world->nodes[index];
    uint32_t roll = random_below (&world->random, 100);
    if (roll < 20)
        s_ask (world);
    else if (roll < 50)
        for (uint32_t i = 0; i < 4 && node->first < node->last; i++)
            s_execute_next (world, index);
    else if (roll < 85)
        for (uint32_t i = 0; i < 4 && world->reply_count; i++)
            s_deliver_reply (world);
    else if (roll < 87)
        router_node_hold (world->router, index);
    else if (roll < 94 && !node->broken)
        router_node_open (world->router, index);
    else if (roll < 95)
        s_lose (world, index);
    else if (roll < 98)
        router_tick (world->router, world->now_ms += random_below (&world->random, 30));
    if (roll % 4) /* sometimes effects pile up */
        s_fetch_effects (world);
    assert_true (router_is_valid (world->router));
}

/* Everything is there and answers: all that waits completes, the unanswered by its deadline. */
static void s_end (world_t *world)
{
    world->calm = true;
    s_fetch_effects (world);
    for (uint32_t node = 0; node < NODES; node++) {
        if (world->nodes[node].broken)
            s_lose (world, node);
        router_node_open (world->router, node);
    }
    s_fetch_effects (world);
    for (uint32_t node = 0; node < NODES; node++) {
        while (world->nodes[node].first < world->nodes[node].last)
            s_execute_next (world, node);
    }
    while (world->reply_count)
        s_deliver_reply (world);
    s_fetch_effects (world);
    router_tick (world->router, world->now_ms += 5100);
    s_fetch_effects (world);
    assert_true (router_is_valid (world->router));
    assert_int_equal (router_stats (world->router).waiting_requests, 0);
    assert_int_equal (router_stats (world->router).waiting_bytes, 0);
    assert_int_equal (world->answered, world->request_count); // N1
}

static void s_make_tags (world_t *world)
{
    for (uint32_t i = 0; i < 1000; i++) {
        char tag[8];
        snprintf (tag, sizeof tag, "{%u}", i);
        uint32_t shard = kv_shard_of (kv_slice_text (tag), SHARDS);
        if (!world->tags[shard][0])
            memcpy (world->tags[shard], tag, sizeof tag);
    }
}

static void s_run (world_t *world, uint64_t seed)
{
    uint64_t outcomes[64];
    memcpy (outcomes, world->outcomes, sizeof outcomes);
    memset (world, 0, sizeof *world);
    memcpy (world->outcomes, outcomes, sizeof outcomes);
    world->random.state = seed;
    memset (world->last_executed, 0xff, sizeof world->last_executed);
    s_make_tags (world);
    world->map = shard_map_new (SHARDS, NODES);
    router_options_t options = {.map = world->map,
                                .max_value_bytes = 1024,
                                .queue_bytes = 20000 + random_below (&world->random, 200000),
                                .shard_queue_commands = 4 + random_below (&world->random, 100),
                                .deadline_ms = 2000,
                                .local = s_local,
                                .node_name = s_node_name};
    world->router = router_new (&options, 0);
    for (int step = 0; step < STEPS; step++)
        s_step (world);
    if (s_chance (world, 90))
        s_end (world);
    for (uint32_t node = 0; node < NODES; node++)
        while (world->nodes[node].first < world->nodes[node].last)
            blob_unref (&world->nodes[node].lane[world->nodes[node].first++].body);
    while (world->reply_count)
        blob_unref (&world->replies[--world->reply_count].frame);
    router_destroy (&world->router);
    shard_map_destroy (&world->map);
}

static uint64_t s_seed; /* of the run that is under way */

static void s_tell_seed (int number)
{
    (void)number;
    fprintf (stderr, "KVDB_TEST_SEED=%" PRIu64 " repeats this\n", s_seed);
}

static void test_router_keeps_its_promises_at_random (void **state)
{
    (void)state;
    const char *scale = getenv ("KVDB_TEST_SCALE");
    double seconds = scale && strcmp (scale, "full") == 0 ? 120 : 12;
    world_t *world = calloc (1, sizeof *world);
    assert_non_null (world);
    uint64_t seed = random_make ("router, first seed").state;
    time_t end = time (NULL) + (time_t)seconds;
    uint64_t runs = 0;
    do {
        s_seed = seed++;
        s_run (world, s_seed);
        runs++;
    } while (time (NULL) < end && !getenv ("KVDB_TEST_SEED"));
    printf ("%" PRIu64 " runs of %d steps; results: OK %" PRIu64 ", BUSY %" PRIu64
            ", UNAVAILABLE %" PRIu64 ", OUTCOME_UNKNOWN %" PRIu64 ", TIMEOUT %" PRIu64 "\n",
            runs, STEPS, world->outcomes[KV_OK], world->outcomes[KV_BUSY],
            world->outcomes[KV_UNAVAILABLE], world->outcomes[KV_OUTCOME_UNKNOWN],
            world->outcomes[KV_TIMEOUT]);
    if (runs > 100) { /* each kind of outcome has been there, or the test tests nothing */
        assert_true (world->outcomes[KV_BUSY] > runs);
        assert_true (world->outcomes[KV_UNAVAILABLE] > runs);
        assert_true (world->outcomes[KV_OUTCOME_UNKNOWN] > runs);
        assert_true (world->outcomes[KV_TIMEOUT] > 0);
    }
    s_seed = 0;
    free (world);
}

static int s_teardown (void **state)
{
    (void)state;
    if (s_seed)
        s_tell_seed (0);
    return 0;
}

int main (void)
{
    signal (SIGABRT, s_tell_seed); /* an assertion of the router's own */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (test_router_keeps_its_promises_at_random, s_teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
