/* model_test - goal: the executor answers every sequence of commands as the plain model does.
 *
 *   model_test [--seed N] [--commands N]
 *
 * Method: batches of random commands, right and wrong ones, on few keys (so that they meet), with a
 * virtual clock that creeps, jumps ahead and jumps back; shards come and go, expired keys are removed
 * in the background at random. Each result is compared; a replica (replica.h) follows the records.
 * Every so often the whole content is compared, by SCAN, by the replica, and by store_is_valid through
 * executor_is_valid. The seed is printed and replays the run. */
#include "model_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void s_fail (const test_t *self, const char *what, kv_slice_t got)
{
    printf ("command %" PRIu64 " (%.*s): %s\n  got      ", self->done,
            (int)self->command.argv[0].size, (const char *)self->command.argv[0].data, what);
    for (size_t i = 0; i < got.size && i < 200; i++)
        printf ("%02x", got.data[i]);
    printf ("\n  expected ");
    for (size_t i = 0; i < self->expected.size && i < 200; i++)
        printf ("%02x", self->expected.data[i]);
    printf ("\n");
    fflush (stdout);
    exit (1);
}

static void s_require (const test_t *self, bool holds, const char *what, kv_slice_t got)
{
    if (!holds)
        s_fail (self, what, got);
}

/* Both are results that hold an array of keys. Nothing is returned twice without a change between. */
static void s_compare_keys (test_t *self, kv_slice_t got, kv_slice_t pattern)
{
    uint32_t head;
    uint32_t count = 0;
    int64_t code;
    reader_t at = reader_make (got);
    bool form = reader_array (&at, &head) == KV_OK && reader_int (&at, &code) == KV_OK &&
                code == KV_OK && reader_array (&at, &count) == KV_OK;
    s_require (self, form, "KEYS did not return an array", got);
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key;
        form = reader_bytes (&at, &key) == KV_OK;
        s_require (self, form && model_has (self->model, key, pattern, self->now_ms),
                   "KEYS returned a key it should not", got);
    }
    s_require (self, got.size == self->expected.size, "KEYS returned another set of keys", got);
}

static void s_compare_scan (test_t *self, kv_slice_t got)
{
    kv_slice_t pattern = kv_slice_text ("*");
    for (uint32_t i = 2; i + 1 < self->command.argc; i += 2) {
        if (kv_slice_is_word (self->command.argv[i], "MATCH"))
            pattern = self->command.argv[i + 1];
    }
    uint32_t head;
    uint32_t pair;
    uint32_t count = 0;
    int64_t code;
    kv_slice_t cursor;
    reader_t at = reader_make (got);
    bool form = reader_array (&at, &head) == KV_OK && reader_int (&at, &code) == KV_OK &&
                code == KV_OK && reader_array (&at, &pair) == KV_OK && pair == 2 &&
                reader_bytes (&at, &cursor) == KV_OK && reader_array (&at, &count) == KV_OK;
    s_require (self, form, "SCAN did not return [cursor, keys]", got);
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t key;
        form = reader_bytes (&at, &key) == KV_OK;
        s_require (self, form && model_has (self->model, key, pattern, self->now_ms),
                   "SCAN returned a key it should not", got);
    }
}

/* A result whose value is an array of pairs; the model's has the same pairs in another order, so their
 * bytes, sorted out, are the same: each pair is looked up. */
static void s_compare_all (test_t *self, kv_slice_t got)
{
    uint32_t head;
    uint32_t count = 0;
    int64_t code;
    reader_t at = reader_make (got);
    bool form = reader_array (&at, &head) == KV_OK && reader_int (&at, &code) == KV_OK &&
                code == KV_OK && reader_array (&at, &count) == KV_OK && count % 2 == 0;
    s_require (self, form, "ALL did not return pairs", got);
    for (uint32_t i = 0; i < count; i += 2) {
        kv_slice_t key;
        kv_slice_t value;
        form = reader_bytes (&at, &key) == KV_OK && reader_bytes (&at, &value) == KV_OK;
        bool same = form && model_has (self->model, key, kv_slice_text ("*"), self->now_ms) &&
                    kv_slice_equal (value, model_value (self->model, key, self->now_ms));
        s_require (self, same, "ALL returned a pair it should not", got);
    }
    s_require (self, got.size == self->expected.size, "ALL returned other pairs", got);
}

/* RANDOMKEY: key, or [key, weight, random]. */
static void s_compare_random (test_t *self, const result_t *result)
{
    reader_t at = reader_make (result->value);
    kv_slice_t key;
    uint32_t count;
    uint64_t weight = model_count (self->model, self->now_ms);
    bool any = weight > 0;
    bool form = result->status == KV_OK;
    if (self->command.argc == 2)
        form = form && reader_array (&at, &count) == KV_OK && count == 3;
    if (any)
        form = form && reader_bytes (&at, &key) == KV_OK &&
               model_has (self->model, key, kv_slice_text ("*"), self->now_ms);
    else
        form = form && reader_nil (&at) == KV_OK;
    if (self->command.argc == 2)
        form = form && reader_uint (&at, &weight) == KV_OK &&
               weight == model_count (self->model, self->now_ms);
    s_require (self, form, "RANDOMKEY returned no live key", result->raw);
}

/* GETVER or OBJECT VERSION of a key whose version the model does not know. */
static void s_learn (test_t *self, const result_t *result)
{
    bool getver = self->command.spec->id == COMMAND_GETVER;
    kv_slice_t key = self->command.argv[getver ? 1 : 2];
    kv_slice_t value = {0};
    uint64_t version = 0;
    uint32_t count = 0;
    reader_t at = reader_make (result->value);
    bool form = result->status == KV_OK;
    if (getver)
        form = form && reader_array (&at, &count) == KV_OK && count == 2 &&
               reader_bytes (&at, &value) == KV_OK &&
               kv_slice_equal (value, model_value (self->model, key, self->now_ms));
    form = form && reader_uint (&at, &version) == KV_OK;
    s_require (self, form && model_learn (self->model, key, version, self->now_ms),
               "not a version that it can have", result->raw);
}

static bool s_is_positive (const result_t *result)
{
    int64_t number;
    reader_t at = reader_make (result->value);
    return result->status == KV_OK && reader_int (&at, &number) == KV_OK && number > 0;
}

static void s_compare (test_t *self, const result_t *result)
{
    kv_slice_t expected;
    writer_reset (&self->expected);
    model_kind_t kind = model_run (self->model, &self->command, self->now_ms, &self->expected);
    expected = kv_slice (self->expected.data, self->expected.size);
    switch (kind) {
    case MODEL_EXACT:
        s_require (self, kv_slice_equal (expected, result->raw), "another result", result->raw);
        break;
    case MODEL_KEYS: s_compare_keys (self, result->raw, self->command.argv[1]); break;
    case MODEL_SCAN: s_compare_scan (self, result->raw); break;
    case MODEL_ALL: s_compare_all (self, result->raw); break;
    case MODEL_RANDOM: s_compare_random (self, result); break;
    case MODEL_LEARN: s_learn (self, result); break;
    case MODEL_INT: s_require (self, s_is_positive (result), "no size", result->raw); break;
    case MODEL_ANY: {
        command_id_t id = self->command.spec->id;
        bool refused = id == COMMAND_SAVE || id == COMMAND_BGSAVE || id == COMMAND_LASTSAVE;
        s_require (self, (result->status == KV_OK) != refused || self->command.argc > 1,
                   "an error, or none", result->raw);
    }
    }
}

static void s_run (test_t *self)
{
    kv_slice_t body = kv_slice (self->request.data, self->request.size);
    writer_reset (&self->reply);
    kv_status_t status = executor_run (self->executor, body, self->now_ms, &self->reply);
    KV_ASSERT (status == KV_OK);
    request_t request;
    reply_t reply;
    const char *why;
    status = request_decode (body, &request, &why);
    KV_ASSERT (status == KV_OK);
    status = reply_decode (kv_slice (self->reply.data, self->reply.size), &reply);
    KV_ASSERT (status == KV_OK);
    KV_ASSERT (reply.count == request.command_count); // X1
    for (uint32_t i = 0; i < request.command_count; i++) {
        result_t result;
        status = command_read (&self->command, &request.commands, &why);
        KV_ASSERT (status == KV_OK);
        status = result_next (&reply, &result);
        KV_ASSERT (status == KV_OK);
        s_compare (self, &result);
        self->done++;
    }
}

static void s_run_batch (test_t *self)
{
    uint32_t count = 1 + (uint32_t)test_random (self, BATCH_MOST);
    bool options = test_one_in (self, 3);
    writer_reset (&self->request);
    request_begin (&self->request, self->done, count, options);
    for (uint32_t i = 0; i < count; i++)
        test_write_command (self);
    if (options) {
        writer_map (&self->request, 1);
        writer_cstr (&self->request, "durability");
        writer_cstr (&self->request, test_one_in (self, 2) ? "local" : "replicated");
    }
    s_run (self);
}

/* Learns a key's version, then sets the key if it has that version, or another. */
static void s_run_versions (test_t *self)
{
    writer_reset (&self->request);
    request_begin (&self->request, 1, 1, false);
    writer_array (&self->request, 2);
    writer_cstr (&self->request, "GETVER");
    test_write_key (self);
    s_run (self);
    uint64_t version = model_version (self->model, kv_slice (self->key, self->key_bytes));
    writer_reset (&self->request);
    request_begin (&self->request, 1, 1, false);
    writer_array (&self->request, 5);
    writer_cstr (&self->request, "SET");
    writer_bin (&self->request, kv_slice (self->key, self->key_bytes));
    test_write_value (self);
    writer_cstr (&self->request, "IFVER");
    writer_uint (&self->request, test_one_in (self, 3) ? version + 1 : version);
    s_run (self);
}

static void s_move_clock (test_t *self)
{
    uint64_t dice = test_random (self, 400);
    if (dice < 200) {
        self->now_ms += (int64_t)test_random (self, 50);
    } else if (dice < 396) {
        /* To a round number, so that deadlines and halves of seconds are met exactly. */
        self->now_ms += 100 + (int64_t)test_random (self, 1000);
        self->now_ms -= self->now_ms % 100;
    } else if (dice < 398) {
        self->now_ms += (int64_t)test_random (self, 10000000);
    } else {
        /* What has expired by now must not come back, so it has to be gone everywhere. */
        while (executor_tick (self->executor, self->now_ms, 1000))
            continue;
        model_purge (self->model, self->now_ms);
        self->now_ms -= (int64_t)test_random (self, 100000);
    }
}

static void s_change_owner (test_t *self)
{
    uint32_t shard = (uint32_t)test_random (self, SHARDS);
    if (test_one_in (self, 50)) {
        executor_disown (self->executor, shard);
        model_disown (self->model, shard);
    }
    shard = (uint32_t)test_random (self, SHARDS);
    kv_status_t status = executor_own (self->executor, shard, 1 + self->done);
    KV_ASSERT (status == KV_OK);
    model_own (self->model, shard);
}

/* Walks all shards by SCAN; each live key comes up, exactly once as nothing changes meanwhile. */
static void s_check_scan (test_t *self)
{
    uint64_t cursor = 0;
    size_t seen = 0;
    do {
        writer_reset (&self->request);
        request_begin (&self->request, 1, 1, false);
        writer_array (&self->request, 4);
        writer_cstr (&self->request, "SCAN");
        writer_uint (&self->request, cursor);
        writer_cstr (&self->request, "COUNT");
        writer_uint (&self->request, 1 + test_random (self, 30));
        s_run (self);
        reply_t reply;
        result_t result;
        kv_status_t status = reply_decode (kv_slice (self->reply.data, self->reply.size), &reply);
        KV_ASSERT (status == KV_OK);
        status = result_next (&reply, &result);
        KV_ASSERT (status == KV_OK);
        if (result.status == KV_MOVED) {
            cursor = cursor + 1 < SHARDS ? cursor + 1 : 0;
            continue;
        }
        reader_t at = reader_make (result.value);
        uint32_t count;
        kv_slice_t text;
        char number[32] = {0};
        bool form = reader_array (&at, &count) == KV_OK && reader_bytes (&at, &text) == KV_OK &&
                    text.size < sizeof number && reader_array (&at, &count) == KV_OK;
        KV_ASSERT (form);
        memcpy (number, text.data, text.size);
        cursor = strtoull (number, NULL, 10);
        seen += count;
    } while (cursor);
    KV_ASSERT (seen == model_count (self->model, self->now_ms));
}

static test_t s_set_up (uint64_t seed)
{
    executor_options_t options = {
        .shards = SHARDS, .max_value_bytes = MAX_VALUE_BYTES, .node_id = "n1", .version = "test"};
    memcpy (options.secret, &seed, sizeof seed);
    test_t self = {.random = seed, .now_ms = INT64_C (1700000000000)};
    self.executor = executor_new (&options);
    self.model = model_new (SHARDS, MAX_VALUE_BYTES);
    self.replica = replica_new (SHARDS);
    executor_set_sink (self.executor, replica_sink (self.replica));
    self.request = writer_make (SIZE_MAX);
    self.reply = writer_make (SIZE_MAX);
    self.expected = writer_make (SIZE_MAX);
    self.command = command_make ();
    for (uint32_t i = 0; i < SHARDS; i++) {
        kv_status_t status = executor_own (self.executor, i, 1);
        KV_ASSERT (status == KV_OK);
        model_own (self.model, i);
    }
    return self;
}

static void s_tear_down (test_t *self)
{
    executor_destroy (&self->executor);
    model_destroy (&self->model);
    replica_destroy (&self->replica);
    writer_free (&self->request);
    writer_free (&self->reply);
    writer_free (&self->expected);
    command_free (&self->command);
}

int main (int argc, char **argv)
{
    uint64_t seed = 1;
    uint64_t commands = 30000;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp (argv[i], "--seed") == 0)
            seed = strtoull (argv[i + 1], NULL, 10);
        else if (strcmp (argv[i], "--commands") == 0)
            commands = strtoull (argv[i + 1], NULL, 10);
    }
    const char *scale = getenv ("KVDB_TEST_SCALE");
    if (scale && strcmp (scale, "full") == 0 && commands < 1000000)
        commands = 1000000;
    printf ("model_test --seed %" PRIu64 " --commands %" PRIu64 "\n", seed, commands);
    fflush (stdout);
    test_t test = s_set_up (seed);
    uint64_t check_at = CHECK_EVERY;
    while (test.done < commands) {
        s_move_clock (&test);
        if (test_one_in (&test, 10))
            (void)executor_tick (test.executor, test.now_ms, test_random (&test, 20));
        if (test_one_in (&test, 10))
            s_change_owner (&test);
        s_run_batch (&test);
        if (test_one_in (&test, 3))
            s_run_versions (&test);
        if (test.done >= check_at) {
            s_check_scan (&test);
            KV_ASSERT (executor_is_valid (test.executor)); // S1..S4, P1..P3
            replica_check (test.replica);
            check_at = test.done + CHECK_EVERY;
        }
    }
    printf ("ok, %" PRIu64 " records of several effects\n",
            replica_compound_records (test.replica));
    KV_ASSERT (replica_compound_records (test.replica) > 0);
    s_tear_down (&test);
    return 0;
}
