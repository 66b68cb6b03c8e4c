/* Goal: what the actor makes durable under its name is a snapshot that the reader accepts; whatever goes
 * wrong, the name stands for the one before, nothing is left over, and the owner hears of it once.
 *
 * Method: the real thread, on a folder under the system's temporary one, and on a disk in memory that
 * fails at each operation in turn, or loses power there. */
#include "actors/files_disk.h"
#include "actors/snapshot_actor.h"
#include "actors/snapshot_reader.h"
#include "test/fault/fault_files.h"
#include "../schema/random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <czmq.h>

enum { WAIT_MS = 60000, SHARDS = 4 };

static const char s_name[] = "node.snapshot";
static const char s_temporary[] = "node.snapshot.tmp";

typedef struct {
    char path[64];
    files_t *files;
    snapshot_actor_t *actor;
    writer_t chunk;
    uint64_t entries;       /* sent for the snapshot under way */
    uint64_t sent, written; /* bytes of its chunks; told as written */
} bed_t;

static bed_t s_bed_on (files_t *files)
{
    bed_t bed = {.files = files, .chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX)};
    bed.actor = snapshot_actor_new (files, s_name);
    assert_non_null (bed.actor);
    return bed;
}

static bed_t s_bed (void)
{
    char path[64];
    files_t *files;
    file_error_t error;
    (void)snprintf (path, sizeof path, "/tmp/kvdb-snapshot-XXXXXX");
    assert_non_null (mkdtemp (path));
    assert_int_equal (files_disk_open (path, &files, &error), KV_OK);
    bed_t bed = s_bed_on (files);
    memcpy (bed.path, path, sizeof path);
    return bed;
}

static void s_count (void *context, const char *name)
{
    (void)name;
    ++*(size_t *)context;
}

static size_t s_files (files_t *files)
{
    size_t count = 0;
    file_error_t error;
    assert_int_equal (files_list (files, s_count, &count, &error), KV_OK);
    return count;
}

static bool s_exists (files_t *files, const char *name)
{
    file_t *file;
    file_error_t error;
    kv_status_t status = files_open (files, name, FILE_READ, &file, &error);
    if (status == KV_OK)
        file_close (&file);
    else
        assert_int_equal (status, KV_NOT_FOUND);
    return status == KV_OK;
}

static void s_end (bed_t *bed)
{
    snapshot_actor_destroy (&bed->actor);
    assert_null (bed->actor);
    writer_free (&bed->chunk);
    assert_false (s_exists (bed->files, s_temporary));
    if (bed->path[0]) {
        file_error_t error;
        if (s_exists (bed->files, s_name))
            assert_int_equal (files_remove (bed->files, s_name, &error), KV_OK);
        assert_int_equal (s_files (bed->files), 0);
        assert_int_equal (rmdir (bed->path), 0);
    }
    files_destroy (&bed->files);
}

/* The next event of another kind than WRITTEN. */
static snapshot_event_t s_await (bed_t *bed)
{
    for (;;) {
        snapshot_event_t event;
        while (snapshot_actor_receive (bed->actor, &event) == KV_OK) {
            if (event.type != SNAPSHOT_WRITTEN)
                return event;
            bed->written += event.bytes;
        }
        zmq_pollitem_t item = {snapshot_actor_socket (bed->actor), 0, ZMQ_POLLIN, 0};
        assert_int_equal (zmq_poll (&item, 1, WAIT_MS), 1);
    }
}

/* Takes WRITTEN only, until there is room; false if another event came. */
static bool s_await_room (bed_t *bed)
{
    while (!snapshot_actor_has_room (bed->actor)) {
        zmq_pollitem_t item = {snapshot_actor_socket (bed->actor), 0, ZMQ_POLLIN, 0};
        assert_int_equal (zmq_poll (&item, 1, WAIT_MS), 1);
        snapshot_event_t event;
        while (snapshot_actor_receive (bed->actor, &event) == KV_OK) {
            if (event.type != SNAPSHOT_WRITTEN)
                return false;
            bed->written += event.bytes;
        }
    }
    return true;
}

static void s_send (bed_t *bed, snapshot_kind_t kind, uint32_t shard)
{
    bed->sent += bed->chunk.size;
    snapshot_actor_chunk (bed->actor, kind, shard, &bed->chunk);
    assert_int_equal (bed->chunk.size, 0);
}

/* Begins a snapshot that bears `mark`, with its shards. */
static void s_begin (bed_t *bed, uint64_t mark)
{
    snapshot_header_t header = {.start_lsn = mark, .entries = 9, .shards = SHARDS, .made_ms = 3};
    bed->entries = 0;
    bed->sent = 0;
    bed->written = 0;
    snapshot_actor_begin (bed->actor, &header);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        snapshot_chunk_begin (&bed->chunk);
        snapshot_shard_write (&bed->chunk, mark, 5);
        s_send (bed, SNAPSHOT_SHARD, shard);
    }
}

/* Sends a chunk of about that many bytes. */
static void s_entries (bed_t *bed, uint64_t mark, size_t bytes)
{
    uint8_t value[1000];
    memset (value, (int)mark, sizeof value);
    snapshot_chunk_begin (&bed->chunk);
    while (bed->chunk.size < bytes) {
        uint64_t key = bed->entries++;
        snapshot_entry_t entry = {.key = kv_slice (&key, sizeof key),
                                  .value = kv_slice (value, sizeof value),
                                  .version = mark};
        snapshot_entry_write (&bed->chunk, &entry);
    }
    s_send (bed, SNAPSHOT_ENTRIES, (uint32_t)(bed->entries % SHARDS));
}

static void s_finish (bed_t *bed, uint64_t mark)
{
    snapshot_actor_finish (bed->actor, mark + 1, bed->entries);
}

/* A whole small snapshot; its last event. */
static snapshot_event_t s_small (bed_t *bed, uint64_t mark)
{
    s_begin (bed, mark);
    s_entries (bed, mark, 3000);
    s_entries (bed, mark, 1);
    s_finish (bed, mark);
    return s_await (bed);
}

/* Reads the snapshot; its mark. Each of its entries must be there once. */
static uint64_t s_read (files_t *files, uint64_t *entries)
{
    snapshot_reader_t *reader;
    file_error_t error = {0};
    kv_status_t status = snapshot_reader_open (files, s_name, &reader, &error);
    if (status)
        fail_msg ("%s", error.text);
    uint64_t mark = snapshot_reader_header (reader)->start_lsn;
    assert_true (snapshot_reader_header (reader)->shards == SHARDS);
    snapshot_chunk_t chunk;
    *entries = 0;
    while ((status = snapshot_reader_next (reader, &chunk, &error)) == KV_OK) {
        kv_slice_t at = chunk.payload;
        snapshot_entry_t entry;
        while (chunk.kind == SNAPSHOT_ENTRIES && snapshot_entry_next (&at, &entry) == KV_OK) {
            uint64_t key;
            assert_int_equal (entry.key.size, sizeof key);
            memcpy (&key, entry.key.data, sizeof key);
            assert_true (key == (*entries)++);
            assert_true (entry.version == mark && entry.value.data[500] == (uint8_t)mark);
        }
    }
    if (status != KV_END)
        fail_msg ("%s", error.text);
    assert_true (snapshot_reader_end_lsn (reader) == mark + 1);
    snapshot_reader_destroy (&reader);
    return mark;
}

static uint64_t s_mark (files_t *files)
{
    uint64_t entries;
    return s_read (files, &entries);
}

static void test_actor_makes_a_file_that_the_reader_accepts (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    for (uint64_t mark = 1; mark <= 3; mark++) { /* the later ones replace it */
        snapshot_event_t event = s_small (&bed, mark);
        assert_int_equal (event.type, SNAPSHOT_DONE);
        assert_true (bed.written == bed.sent);
        assert_true (event.bytes == SNAPSHOT_HEADER_BYTES + bed.sent + 16 + 24);
        uint64_t entries;
        assert_true (s_read (bed.files, &entries) == mark);
        assert_true (entries == bed.entries);
        assert_int_equal (s_files (bed.files), 1);
    }
    s_end (&bed);
}

static void test_actor_is_fed_as_fast_as_it_writes (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    s_begin (&bed, 1);
    bool waited = false;
    while (bed.sent < (uint64_t)SNAPSHOT_SYNC_BYTES * 2 + SNAPSHOT_AHEAD_BYTES) {
        waited = waited || !snapshot_actor_has_room (bed.actor);
        assert_true (s_await_room (&bed));
        assert_true (bed.sent - bed.written < SNAPSHOT_AHEAD_BYTES + 2 * SNAPSHOT_CHUNK_BYTES);
        s_entries (&bed, 1, SNAPSHOT_CHUNK_BYTES);
    }
    assert_true (waited); /* nothing is told before it is taken from the socket */
    s_finish (&bed, 1);
    assert_int_equal (s_await (&bed).type, SNAPSHOT_DONE);
    assert_true (bed.written == bed.sent);
    uint64_t entries;
    assert_true (s_read (bed.files, &entries) == 1);
    assert_true (entries == bed.entries);
    s_end (&bed);
}

static void test_actor_gives_buffers_back (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    s_begin (&bed, 1);
    s_entries (&bed, 1, SNAPSHOT_CHUNK_BYTES);
    assert_int_equal (bed.chunk.capacity, 0);
    while (bed.written < bed.sent) {
        zmq_pollitem_t item = {snapshot_actor_socket (bed.actor), 0, ZMQ_POLLIN, 0};
        assert_int_equal (zmq_poll (&item, 1, WAIT_MS), 1);
        snapshot_event_t event;
        assert_int_equal (snapshot_actor_receive (bed.actor, &event), KV_OK);
        assert_int_equal (event.type, SNAPSHOT_WRITTEN);
        bed.written += event.bytes;
    }
    s_entries (&bed, 1, 1);
    assert_true (bed.chunk.capacity > SNAPSHOT_CHUNK_BYTES); // C4: what came back last
    s_finish (&bed, 1);
    assert_int_equal (s_await (&bed).type, SNAPSHOT_DONE);
    s_end (&bed);
}

static void test_actor_takes_many_small_chunks (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    s_begin (&bed, 1);
    for (int i = 0; i < 5000; i++) {
        assert_true (s_await_room (&bed));
        s_entries (&bed, 1, 1 + (size_t)i % 2000);
    }
    s_finish (&bed, 1);
    assert_int_equal (s_await (&bed).type, SNAPSHOT_DONE);
    assert_true (s_mark (bed.files) == 1);
    s_end (&bed);
}

static void test_actor_forgets_what_is_aborted (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    assert_int_equal (s_small (&bed, 1).type, SNAPSHOT_DONE);
    for (int when = 0; when < 3; when++) {
        s_begin (&bed, 2);
        if (when > 0)
            s_entries (&bed, 2, 100000);
        if (when > 1)
            s_finish (&bed, 2); /* done or not: no event tells of it */
        snapshot_actor_abort (bed.actor);
        snapshot_event_t event = s_small (&bed, 3);
        assert_int_equal (event.type, SNAPSHOT_DONE);
        assert_true (s_mark (bed.files) == 3);
        assert_false (s_exists (bed.files, s_temporary));
        assert_true (bed.written == bed.sent); /* nothing of the aborted one is among it */
    }
    snapshot_actor_abort (bed.actor); /* nothing is under way */
    snapshot_event_t event;
    assert_int_equal (snapshot_actor_receive (bed.actor, &event), KV_NOT_FOUND);
    s_end (&bed);
}

static void test_actor_removes_what_is_left_over (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    assert_int_equal (s_small (&bed, 1).type, SNAPSHOT_DONE);
    snapshot_actor_destroy (&bed.actor);
    file_t *file;
    file_error_t error;
    assert_int_equal (files_open (bed.files, s_temporary, FILE_CREATE, &file, &error), KV_OK);
    file_close (&file);
    bed.actor = snapshot_actor_new (bed.files, s_name);
    assert_non_null (bed.actor);
    assert_false (s_exists (bed.files, s_temporary));
    s_begin (&bed, 2);
    s_entries (&bed, 2, 300000);
    snapshot_actor_destroy (&bed.actor); /* in the midst of it */
    assert_false (s_exists (bed.files, s_temporary));
    assert_true (s_mark (bed.files) == 1);
    s_end (&bed);
}

/* Sockets close in the background: a name of the one before may still be taken. */
static void test_actor_can_be_made_again_at_once (void **state)
{
    (void)state;
    bed_t bed = s_bed ();
    for (int i = 0; i < 500; i++) {
        snapshot_actor_destroy (&bed.actor);
        bed.actor = snapshot_actor_new (bed.files, s_name);
        assert_non_null (bed.actor);
    }
    assert_int_equal (s_small (&bed, 1).type, SNAPSHOT_DONE);
    s_end (&bed);
}

/* One snapshot while something fails. */
static void s_fail_once (fault_operation_t operation, uint64_t nth, int number)
{
    bed_t bed = s_bed_on (fault_files_new (random_make ("disk").state, 0));
    assert_int_equal (s_small (&bed, 1).type, SNAPSHOT_DONE);
    fault_files_fail (bed.files, operation, nth, number, 1);
    snapshot_event_t event = s_small (&bed, 2);
    assert_int_equal (event.type, SNAPSHOT_FAILED);
    assert_int_equal (event.error.number, number);
    assert_true (event.error.text[0] != '\0');
    s_entries (&bed, 2, 10); // C2: dropped
    s_finish (&bed, 2);
    snapshot_actor_abort (bed.actor);
    assert_false (s_exists (bed.files, s_temporary));
    if (operation != FAULT_SYNC_DIRECTORY)
        assert_true (s_mark (bed.files) == 1);
    fault_files_heal (bed.files);
    event = s_small (&bed, 3); /* and no second event for the one that failed */
    assert_int_equal (event.type, SNAPSHOT_DONE);
    assert_true (s_mark (bed.files) == 3);
    s_end (&bed);
}

static void test_actor_tells_a_failure_once_and_leaves_the_snapshot_before (void **state)
{
    (void)state;
    s_fail_once (FAULT_OPEN, 1, EIO);
    s_fail_once (FAULT_OPEN, 1, ENOSPC);
    enum { WRITES = 1 + SHARDS + 2 + 1 }; /* header, chunks, end */
    for (uint64_t nth = 1; nth <= WRITES; nth++) {
        s_fail_once (FAULT_WRITE, nth, ENOSPC);
        s_fail_once (FAULT_WRITE, nth, EIO);
    }
    s_fail_once (FAULT_SYNC, 1, EIO);
    s_fail_once (FAULT_RENAME, 1, EIO);
}

static void test_actor_without_room_fails_and_recovers_with_it (void **state)
{
    (void)state;
    bed_t bed = s_bed_on (fault_files_new (1, 0));
    assert_int_equal (s_small (&bed, 1).type, SNAPSHOT_DONE);
    fault_files_set_capacity (bed.files, 100000);
    s_begin (&bed, 2);
    s_entries (&bed, 2, 200000);
    s_entries (&bed, 2, 200000);
    s_finish (&bed, 2);
    snapshot_event_t event = s_await (&bed);
    assert_int_equal (event.type, SNAPSHOT_FAILED);
    assert_int_equal (event.error.number, ENOSPC);
    assert_true (s_mark (bed.files) == 1);
    assert_int_equal (s_small (&bed, 3).type, SNAPSHOT_DONE); /* a smaller one fits */
    assert_true (s_mark (bed.files) == 3);
    s_end (&bed);
}

static void test_actor_syncs_on_the_way (void **state) // C3
{
    (void)state;
    bed_t bed = s_bed_on (fault_files_new (1, 0));
    s_begin (&bed, 1);
    while (bed.sent < (uint64_t)SNAPSHOT_SYNC_BYTES * 2 + SNAPSHOT_CHUNK_BYTES) {
        assert_true (s_await_room (&bed));
        s_entries (&bed, 1, SNAPSHOT_CHUNK_BYTES);
    }
    s_finish (&bed, 1);
    assert_int_equal (s_await (&bed).type, SNAPSHOT_DONE);
    assert_true (fault_files_count (bed.files, FAULT_SYNC) == 3);
    s_end (&bed);
}

/* C1: wherever writing stops for good and the power goes, the name stands for a whole snapshot. */
static void test_actor_survives_power_loss_anywhere (void **state)
{
    (void)state;
    random_t random = random_make ("power loss");
    static const fault_operation_t operations[] = {FAULT_OPEN, FAULT_WRITE, FAULT_SYNC,
                                                   FAULT_RENAME, FAULT_SYNC_DIRECTORY};
    size_t renewed = 0;
    size_t kept = 0;
    for (int round = 0; round < 300; round++) {
        files_t *files = fault_files_new (random_next (&random), 0);
        bed_t bed = s_bed_on (files);
        assert_int_equal (s_small (&bed, 1).type, SNAPSHOT_DONE);
        fault_operation_t operation = operations[random_below (&random, 5)];
        bool fails = random_below (&random, 5) > 0;
        if (fails) {
            fault_files_fail (files, operation, 1 + random_below (&random, 8), EIO, 0);
            fault_files_fail (files, FAULT_REMOVE, 1, EIO, 0);
        }
        snapshot_event_t event = s_small (&bed, 2);
        snapshot_actor_destroy (&bed.actor);
        fault_files_heal (files);
        fault_files_power_loss (files, random_below (&random, 2) ? POWER_TEAR : POWER_LOSE);
        uint64_t mark = s_mark (files);
        assert_true (mark == 1 || mark == 2);
        if (event.type == SNAPSHOT_DONE)
            assert_true (mark == 2);
        renewed += mark == 2;
        kept += mark == 1;
        bed.actor = snapshot_actor_new (files, s_name);
        assert_non_null (bed.actor);
        s_end (&bed);
    }
    assert_true (renewed > 30 && kept > 30);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_actor_makes_a_file_that_the_reader_accepts),
        cmocka_unit_test (test_actor_is_fed_as_fast_as_it_writes),
        cmocka_unit_test (test_actor_gives_buffers_back),
        cmocka_unit_test (test_actor_takes_many_small_chunks),
        cmocka_unit_test (test_actor_forgets_what_is_aborted),
        cmocka_unit_test (test_actor_removes_what_is_left_over),
        cmocka_unit_test (test_actor_can_be_made_again_at_once),
        cmocka_unit_test (test_actor_tells_a_failure_once_and_leaves_the_snapshot_before),
        cmocka_unit_test (test_actor_without_room_fails_and_recovers_with_it),
        cmocka_unit_test (test_actor_syncs_on_the_way),
        cmocka_unit_test (test_actor_survives_power_loss_anywhere),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
