/* Goal: what the actor calls durable is on the disk; one sync answers all who asked before it; a full disk
 * is told once and forgotten once there is space; after a failure nothing is promised any more.
 *
 * Method: the real thread, on a folder under the system's temporary one, and on a disk in memory that
 * fails, fills up, loses power, or has its syncs held back until the test lets them go. */
#include "gate_files.h"
#include "wal_bed.h"

#include "actors/files_disk.h"
#include "actors/wal_actor.h"

#include <errno.h>
#include <unistd.h>
#include <zmq.h>

enum { WAIT_MS = 60000, ROUNDS = 40 };

/* ---- an actor and its owner ------------------------------------------------------------------------ */

typedef struct {
    bed_t *bed; /* its keeper is the actor's from s_start to s_stop */
    gate_t gate;
    wal_actor_t *actor;
    uint64_t full, durable; /* events that came */
    uint64_t segments;      /* left, as last told */
    bool failed;
    file_error_t error;
} owner_t;

static void s_start (owner_t *self)
{
    self->bed->keeper = NULL; /* one over the gate takes its place */
    wal_keeper_options_t options = {.files = &self->gate.base,
                                    .segment_bytes = self->bed->segment_bytes};
    wal_keeper_t *keeper;
    wal_segment_t current;
    wal_place_t place;
    wal_end_t end = {0};
    memcpy (options.uuid, bed_uuid, WAL_UUID_BYTES);
    assert_int_equal (
        wal_keeper_open (&options, &end, NULL, 0, &keeper, &current, &place, &self->error), KV_OK);
    self->bed->wal = wal_new (place);
    self->actor = wal_actor_new (&keeper);
    assert_non_null (self->actor);
    assert_null (keeper);
}

static owner_t *s_owner_sized (uint64_t capacity, uint64_t segment_bytes)
{
    owner_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->bed = bed_new_sized (1, capacity, segment_bytes);
    bed_stop (self->bed);
    gate_init (&self->gate, self->bed->files);
    s_start (self);
    return self;
}

static owner_t *s_owner (uint64_t capacity)
{
    return s_owner_sized (capacity, BED_SEGMENT_BYTES);
}

static void s_stop (owner_t *self)
{
    wal_actor_destroy (&self->actor);
    assert_null (self->actor);
    wal_destroy (&self->bed->wal);
}

static void s_destroy (owner_t *self)
{
    if (self->actor)
        s_stop (self);
    gate_end (&self->gate);
    bed_destroy (self->bed);
    free (self);
}

static void s_send (owner_t *self, wal_message_t message)
{
    wal_actor_send (self->actor, &message);
}

static void s_take (owner_t *self, const wal_message_t *message)
{
    switch (message->type) {
    case WAL_SEGMENT: wal_add_segment (self->bed->wal, &message->segment); return;
    case WAL_FULL: self->full++; return;
    case WAL_DURABLE:
        self->durable++;
        assert_true (message->took_us >= 0);
        wal_set_durable (self->bed->wal, message->lsn);
        self->bed->told_lsn = message->lsn;
        return;
    case WAL_RETIRED: self->segments = message->number; return;
    case WAL_FAILED:
        assert_false (self->failed); /* told once */
        self->failed = true;
        self->error = message->error;
        return;
    default: fail_msg ("message %d", message->type);
    }
}

/* One event; the thread has to say something within WAIT_MS. */
static wal_message_type_t s_await_any (owner_t *self)
{
    wal_message_t message;
    while (wal_actor_receive (self->actor, &message) != KV_OK) {
        zmq_pollitem_t item = {wal_actor_socket (self->actor), 0, ZMQ_POLLIN, 0};
        assert_int_equal (zmq_poll (&item, 1, WAIT_MS), 1);
    }
    s_take (self, &message);
    return message.type;
}

static void s_await (owner_t *self, wal_message_type_t type)
{
    while (s_await_any (self) != type)
        assert_true (type == WAL_FAILED || !self->failed);
}

static void s_make_room (owner_t *self, uint64_t bytes)
{
    while (wal_room (self->bed->wal) < bytes) {
        s_send (self, (wal_message_t){.type = WAL_PREPARE, .bytes = bytes, .prewrite = true});
        s_await (self, WAL_SEGMENT);
    }
}

static void s_put (owner_t *self, size_t value_bytes)
{
    wal_segment_t sealed;
    uint64_t end_lsn;
    s_make_room (self, RECORD_HEADER_BYTES + record_effect_bytes (8, value_bytes));
    assert_true (bed_append (self->bed, value_bytes));
    assert_int_equal (wal_write (self->bed->wal, &self->error), KV_OK);
    while (wal_next_sealed (self->bed->wal, &sealed, &end_lsn))
        s_send (self, (wal_message_t){.type = WAL_SEAL, .number = sealed.number, .lsn = end_lsn});
}

static uint64_t s_ask_sync (owner_t *self)
{
    uint64_t lsn = wal_written_lsn (self->bed->wal);
    s_send (self, (wal_message_t){
                      .type = WAL_SYNC, .lsn = lsn, .number = wal_current (self->bed->wal).number});
    return lsn;
}

/* Power is lost: what is read is a first part that goes as far as was told. */
static void s_check_after_power_loss (owner_t *self, power_mode_t mode)
{
    if (self->actor)
        s_stop (self);
    fault_files_heal (self->bed->files);
    fault_files_power_loss (self->bed->files, mode);
    if (bed_recover (self->bed))
        fail_msg ("%s", self->bed->error.text);
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static void test_wal_actor_tells_durable_what_survives_power_loss (void **state)
{
    (void)state;
    for (power_mode_t mode = POWER_LOSE; mode <= POWER_TEAR; mode++) {
        owner_t *self = s_owner (0);
        for (size_t i = 0; i < ROUNDS; i++) {
            s_put (self, i * 300);
            uint64_t lsn = s_ask_sync (self);
            s_await (self, WAL_DURABLE);
            assert_int_equal (wal_durable_lsn (self->bed->wal), lsn);
        }
        s_put (self, 500); /* nobody was told of this one */
        assert_true (wal_current (self->bed->wal).number > 3);
        s_check_after_power_loss (self, mode);
        assert_true (self->bed->count >= ROUNDS);
        s_destroy (self);
    }
}

/* T1: all SYNCs that come while one is under way are answered by the next. */
static void test_wal_actor_one_sync_answers_all_that_waited (void **state)
{
    (void)state;
    owner_t *self = s_owner (0);
    s_make_room (self, BED_SEGMENT_BYTES / 2);
    s_put (self, 100);
    uint64_t before = gate_syncs (&self->gate);
    gate_set_shut (&self->gate, true);
    uint64_t first_lsn = s_ask_sync (self);
    gate_await_sync (&self->gate);
    uint64_t last_lsn = 0;
    for (int i = 0; i < ROUNDS; i++) {
        s_put (self, 100); /* written while the sync runs, and not part of it */
        last_lsn = s_ask_sync (self);
    }
    gate_set_shut (&self->gate, false);
    s_await (self, WAL_DURABLE);
    assert_int_equal (wal_durable_lsn (self->bed->wal), first_lsn);
    s_await (self, WAL_DURABLE);
    assert_int_equal (wal_durable_lsn (self->bed->wal), last_lsn);
    assert_int_equal (self->durable, 2);
    assert_int_equal (gate_syncs (&self->gate) - before, 2);
    s_check_after_power_loss (self, POWER_LOSE);
    assert_int_equal (self->bed->count, 1 + ROUNDS);
    s_destroy (self);
}

/* What was written after a sync began is not called durable by it. */
static void test_wal_actor_power_loss_under_a_sync (void **state)
{
    (void)state;
    owner_t *self = s_owner (0);
    s_make_room (self, BED_SEGMENT_BYTES / 2);
    s_put (self, 100);
    gate_set_shut (&self->gate, true);
    (void)s_ask_sync (self);
    gate_await_sync (&self->gate);
    s_put (self, 200);
    gate_set_shut (&self->gate, false);
    s_await (self, WAL_DURABLE);
    s_check_after_power_loss (self, POWER_LOSE);
    assert_int_equal (self->bed->count, 1);
    s_destroy (self);
}

/* T2: a SYNC is answered between two slices of a segment that is being prepared. */
static void test_wal_actor_sync_overtakes_preparing (void **state)
{
    (void)state;
    owner_t *self = s_owner_sized (0, 8 * WAL_SLICE_BYTES);
    s_put (self, 100);
    gate_set_shut (&self->gate, true);
    s_send (self, (wal_message_t){.type = WAL_PREPARE, .bytes = 1, .prewrite = true});
    gate_await_sync (&self->gate); /* of the first slice */
    (void)s_ask_sync (self);
    gate_set_shut (&self->gate, false);
    assert_int_equal (s_await_any (self), WAL_DURABLE);
    assert_int_equal (s_await_any (self), WAL_SEGMENT);
    s_destroy (self);
}

static void test_wal_actor_full_disk_is_told_once_and_tried_again (void **state)
{
    (void)state;
    wal_message_t message;
    owner_t *self = s_owner (2 * BED_SEGMENT_BYTES + 100);
    s_make_room (self, BED_SEGMENT_BYTES);
    s_send (self, (wal_message_t){.type = WAL_PREPARE, .bytes = BED_SEGMENT_BYTES});
    s_await (self, WAL_FULL);
    for (int i = 0; i < ROUNDS; i++) { /* what is there can be used, and is made durable */
        s_put (self, 1000);
        (void)s_ask_sync (self);
        s_await (self, WAL_DURABLE);
    }
    gate_await_allocations (&self->gate, 2); /* it tries, and has nothing new to say */
    assert_int_equal (wal_actor_receive (self->actor, &message), KV_NOT_FOUND);
    assert_int_equal (self->full, 1);
    gate_set_capacity (&self->gate, 0);
    s_await (self, WAL_SEGMENT);
    s_make_room (self, 2 * BED_SEGMENT_BYTES);
    assert_int_equal (self->full, 1);
    s_check_after_power_loss (self, POWER_LOSE);
    assert_int_equal (self->bed->count, ROUNDS);
    s_destroy (self);
}

/* Changes of the directory that were asked for. */
static uint64_t s_changes (const owner_t *self)
{
    return fault_files_count (self->bed->files, FAULT_RENAME) +
           fault_files_count (self->bed->files, FAULT_REMOVE);
}

/* T3, R20: a failed sync is for good, whatever is asked afterwards. */
static void test_wal_actor_failed_sync_is_for_good (void **state)
{
    (void)state;
    owner_t *self = s_owner (0);
    do
        s_put (self, 3000);
    while (wal_current (self->bed->wal).number < 3);
    (void)s_ask_sync (self);
    s_await (self, WAL_DURABLE);
    size_t count = self->bed->count;
    s_put (self, 100);
    gate_fail (&self->gate, FAULT_SYNC, 1, EIO);
    (void)s_ask_sync (self);
    s_await (self, WAL_FAILED);
    assert_int_equal (self->error.number, EIO);
    assert_non_null (strstr (self->error.text, "sync"));
    uint64_t syncs = gate_syncs (&self->gate);
    uint64_t changes = s_changes (self);
    (void)s_ask_sync (self);
    s_send (self, (wal_message_t){.type = WAL_PREPARE, .bytes = 1});
    s_send (self, (wal_message_t){.type = WAL_RETIRE, .lsn = self->bed->told_lsn});
    s_stop (self); /* all of it was heard */
    assert_int_equal (gate_syncs (&self->gate), syncs);
    assert_int_equal (s_changes (self), changes);
    s_check_after_power_loss (self, POWER_LOSE);
    assert_int_equal (self->bed->count, count);
    s_destroy (self);
}

/* Each operation of the thread fails once, at each of its first places. */
static void test_wal_actor_failing_operations_are_told (void **state)
{
    (void)state;
    static const fault_operation_t operations[] = {FAULT_OPEN, FAULT_ALLOCATE, FAULT_SYNC,
                                                   FAULT_RENAME, FAULT_SYNC_DIRECTORY};
    uint64_t failures = 0;
    for (size_t o = 0; o < sizeof operations / sizeof *operations; o++) {
        for (uint64_t nth = 1; nth <= 8; nth++) {
            owner_t *self = s_owner (0);
            gate_fail (&self->gate, operations[o], nth, EIO);
            for (int i = 0; i < ROUNDS && !self->failed; i++) {
                s_send (self,
                        (wal_message_t){.type = WAL_PREPARE, .bytes = 1, .prewrite = i % 2 == 0});
                while (!self->failed && wal_room (self->bed->wal) < BED_SEGMENT_BYTES / 2)
                    (void)s_await_any (self);
                if (self->failed)
                    break;
                s_put (self, 20000);
                (void)s_ask_sync (self);
                while (!self->failed &&
                       wal_durable_lsn (self->bed->wal) < wal_written_lsn (self->bed->wal))
                    (void)s_await_any (self);
            }
            failures += self->failed;
            s_check_after_power_loss (self, POWER_TEAR);
            s_destroy (self);
        }
    }
    assert_int_equal (failures, 8 * sizeof operations / sizeof *operations);
}

static void test_wal_actor_retires_what_is_asked_and_says_what_is_left (void **state)
{
    (void)state;
    owner_t *self = s_owner (0);
    while (!wal_current (self->bed->wal).number || wal_current (self->bed->wal).number < 6)
        s_put (self, 3000);
    uint64_t lsn = s_ask_sync (self);
    s_await (self, WAL_DURABLE);
    s_send (self, (wal_message_t){.type = WAL_RETIRE, .lsn = 0});
    s_await (self, WAL_RETIRED);
    uint64_t before = self->segments;
    assert_true (before >= 6);
    s_send (self, (wal_message_t){.type = WAL_RETIRE, .lsn = lsn});
    s_await (self, WAL_RETIRED);
    assert_int_equal (self->segments, before - 5);
    self->bed->start_lsn = lsn;
    self->bed->first = self->bed->count;
    s_put (self, 100);
    s_check_after_power_loss (self, POWER_LOSE);
    assert_int_equal (self->bed->count, self->bed->first);
    s_destroy (self);
}

/* The end waits for a sync under way, and begins no other. */
static void test_wal_actor_ends_under_load (void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        owner_t *self = s_owner (0);
        s_put (self, 100);
        for (int k = 0; k <= i; k++)
            (void)s_ask_sync (self);
        s_send (self, (wal_message_t){
                          .type = WAL_PREPARE, .bytes = 10 * BED_SEGMENT_BYTES, .prewrite = true});
        s_check_after_power_loss (self, POWER_TEAR);
        s_destroy (self);
    }
}

/* ---- a real disk ----------------------------------------------------------------------------------- */

static void s_collect (void *context, const char *name)
{
    char (*names)[FILES_NAME_BYTES_MAX + 1] = context;
    for (size_t i = 0; i < 16; i++) {
        if (!names[i][0]) {
            (void)snprintf (names[i], sizeof names[i], "%s", name);
            return;
        }
    }
}

static void test_wal_actor_on_a_real_disk (void **state)
{
    (void)state;
    char path[] = "/tmp/kvdb-wal-XXXXXX";
    file_error_t error;
    assert_non_null (mkdtemp (path));
    bed_t *bed = bed_new (1, 0);
    bed_stop (bed);
    files_destroy (&bed->files);
    assert_int_equal (files_disk_open (path, &bed->files, &error), KV_OK);
    for (size_t life = 0; life < 3; life++) {
        if (bed_recover (bed))
            fail_msg ("%s", bed->error.text);
        owner_t self = {.bed = bed};
        self.actor = wal_actor_new (&bed->keeper);
        assert_non_null (self.actor);
        for (size_t i = 0; i < ROUNDS; i++) {
            s_put (&self, i * 50);
            (void)s_ask_sync (&self);
            if (i % 2)
                s_await (&self, WAL_DURABLE);
        }
        s_stop (&self);
        assert_int_equal (bed->count, (life + 1) * ROUNDS);
    }
    assert_int_equal (bed_recover (bed), KV_OK);
    assert_int_equal (bed->count, 3 * ROUNDS);
    bed_stop (bed);
    char names[16][FILES_NAME_BYTES_MAX + 1] = {{0}};
    assert_int_equal (files_list (bed->files, s_collect, names, &error), KV_OK);
    for (size_t i = 0; i < 16 && names[i][0]; i++)
        assert_int_equal (files_remove (bed->files, names[i], &error), KV_OK);
    bed_destroy (bed);
    assert_int_equal (rmdir (path), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_wal_actor_tells_durable_what_survives_power_loss),
        cmocka_unit_test (test_wal_actor_one_sync_answers_all_that_waited),
        cmocka_unit_test (test_wal_actor_power_loss_under_a_sync),
        cmocka_unit_test (test_wal_actor_sync_overtakes_preparing),
        cmocka_unit_test (test_wal_actor_full_disk_is_told_once_and_tried_again),
        cmocka_unit_test (test_wal_actor_failed_sync_is_for_good),
        cmocka_unit_test (test_wal_actor_failing_operations_are_told),
        cmocka_unit_test (test_wal_actor_retires_what_is_asked_and_says_what_is_left),
        cmocka_unit_test (test_wal_actor_ends_under_load),
        cmocka_unit_test (test_wal_actor_on_a_real_disk),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
