/* Goal: whoever waits until all that was executed is on the disk (an epoch that opens, a node that stops)
 * does not wait for ever, whatever the flush policy is, and is not told so too early.
 *
 * Method: the real threads on a folder under the system's temporary one, under the policy never, which
 * syncs nothing that is not asked for. */
#include "server.h"

#include "actors/files_disk.h"
#include "node/persistence.h"

#include <unistd.h>
#include <zmq.h>

enum { WAIT_MS = 60000 };

typedef struct {
    server_t server;
    files_t *files;
    persistence_t *persistence;
    log_t log;
    char folder[64];
} bed_t;

static const uint8_t s_uuid[16] = "a data directory";

/* What the threads have to tell, or nothing within WAIT_MS. */
static void s_wait (bed_t *self)
{
    void *sockets[PERSISTENCE_SOCKETS];
    zmq_pollitem_t items[PERSISTENCE_SOCKETS];
    size_t count = persistence_sockets (self->persistence, sockets);
    for (size_t i = 0; i < count; i++)
        items[i] = (zmq_pollitem_t){sockets[i], 0, ZMQ_POLLIN, 0};
    assert_true (zmq_poll (items, (int)count, WAIT_MS) > 0);
    (void)persistence_tend (self->persistence, 1, 0);
    assert_string_equal (persistence_fault (self->persistence), "");
}

static void s_open (bed_t *self)
{
    char why[512];
    file_error_t error;
    snprintf (self->folder, sizeof self->folder, "/tmp/kvdb-test-XXXXXX");
    assert_non_null (mkdtemp (self->folder));
    assert_int_equal (files_disk_open (self->folder, &self->files, &error), KV_OK);
    server_start (&self->server, SERVER_SHARDS, 0);
    persistence_options_t options = {.files = self->files,
                                     .uuid = s_uuid,
                                     .policy = FLUSH_NEVER,
                                     .interval_ms = 1000,
                                     .segment_bytes = 65536,
                                     .snapshot_log_bytes = UINT64_MAX,
                                     .snapshot_interval_ms = INT64_MAX,
                                     .shards = SERVER_SHARDS,
                                     .executor = self->server.executor,
                                     .log = &self->log};
    kv_status_t status = persistence_open (&options, &self->persistence, why, sizeof why);
    while (status == KV_OK)
        status = persistence_load (self->persistence, INT64_MAX);
    assert_int_equal (status, KV_END);
    while (!persistence_has_room (self->persistence, SERVER_SHARDS * SHARD_KEPT_BYTES * 2))
        s_wait (self);
}

static void s_remove (void *context, const char *name)
{
    file_error_t error;
    bed_t *self = context;
    assert_int_equal (files_remove (self->files, name, &error), KV_OK);
}

static int s_set_up (void **state)
{
    bed_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    s_open (self);
    *state = self;
    return 0;
}

static int s_tear_down (void **state)
{
    file_error_t error;
    bed_t *self = *state;
    persistence_close (&self->persistence);
    assert_int_equal (files_list (self->files, s_remove, self, &error), KV_OK);
    files_destroy (&self->files);
    assert_int_equal (rmdir (self->folder), 0);
    executor_destroy (&self->server.executor);
    writer_free (&self->server.request);
    writer_free (&self->server.reply);
    free (self);
    return 0;
}

static void s_own (bed_t *self, uint32_t shard)
{
    assert_int_equal (executor_own (self->server.executor, shard, 1), KV_OK);
}

static void test_flush_covers_what_is_not_written_yet (void **state)
{
    bed_t *self = *state;
    s_own (self, 0);
    assert_false (persistence_flush (self->persistence)); /* nothing is in the file yet */
    assert_true (persistence_write (self->persistence));
    while (persistence_durable (self->persistence) == 0)
        s_wait (self);
    assert_true (persistence_flush (self->persistence));
}

static void test_flush_covers_what_comes_while_one_waits (void **state)
{
    bed_t *self = *state;
    s_own (self, 0);
    assert_false (persistence_flush (self->persistence));
    assert_true (persistence_write (self->persistence));
    s_own (self, 1); /* as an expiry that is found meanwhile */
    assert_true (persistence_write (self->persistence));
    while (!persistence_flush (self->persistence))
        s_wait (self);
}

static void test_finish_writes_and_flushes_all (void **state)
{
    bed_t *self = *state;
    s_own (self, 0);
    s_own (self, 1);
    persistence_finish (self->persistence);
    assert_true (persistence_durable (self->persistence) > 0);
    assert_true (persistence_flush (self->persistence));
}

#define WITH_BED(test) cmocka_unit_test_setup_teardown (test, s_set_up, s_tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_BED (test_flush_covers_what_is_not_written_yet),
        WITH_BED (test_flush_covers_what_comes_while_one_waits),
        WITH_BED (test_finish_writes_and_flushes_all),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
