/* Goal: the guard's table of peers holds what it should after any sequence of meetings, partings,
 * returns and losses, and reports each peer that is gone exactly once (G1); accounts outlive it (G4).
 * Method: random events against plain arrays. The descriptors are no sockets (judging by TCP_INFO is
 * tested with real ones, test_door.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/door_guard.h"
#include "test/unit/schema/random.h"

enum { FDS = 300, NAMES = 400, STEPS = 200000, FIRST_FD = 1000 };

typedef struct {
    door_guard_t *guard;
    bool open[FDS];
    int fd_of[NAMES];        /* index, or -1: not met, or gone */
    uint32_t to_tell[NAMES]; /* times it is still to be reported gone */
    size_t connections;
} model_t;

static kv_slice_t s_name (uint32_t name, char text[260])
{
    int size = snprintf (text, 260, name % 3 ? "%u" : "%0250u", name);
    return kv_slice (text, (size_t)size);
}

static void s_part (model_t *self, int index)
{
    for (uint32_t name = 0; name < NAMES; name++) {
        if (self->fd_of[name] != index)
            continue;
        self->fd_of[name] = -1;
        self->to_tell[name]++;
    }
}

static void s_accept (model_t *self, int index)
{
    if (self->open[index])
        s_part (self, index); /* the end of the one before was not told */
    self->connections += !self->open[index];
    self->open[index] = true;
    door_guard_accepted (self->guard, FIRST_FD + index);
}

static void s_disconnect (model_t *self, int index)
{
    s_part (self, index);
    self->connections -= self->open[index];
    self->open[index] = false;
    door_guard_disconnected (self->guard, FIRST_FD + index);
}

static void s_meet (model_t *self, uint32_t name, int index)
{
    char text[260];
    door_peer_t *peer = door_guard_meet (self->guard, s_name (name, text), FIRST_FD + index);
    assert_non_null (peer);
    if (self->fd_of[name] >= 0)
        return; /* known already */
    if (self->open[index])
        self->fd_of[name] = index;
    else if (self->to_tell[name] == 0)
        self->to_tell[name] = 1; /* of a connection that has ended before */
}

static void s_lose (model_t *self, uint32_t name)
{
    char text[260];
    door_peer_t *peer = door_guard_find (self->guard, s_name (name, text));
    assert_int_equal (peer != NULL, self->fd_of[name] >= 0);
    if (!peer)
        return;
    door_guard_lost (self->guard, peer);
    self->fd_of[name] = -1;
    self->to_tell[name]++;
}

/* Takes up to `most` reports and ticks them off. */
static void s_tell (model_t *self, uint32_t most)
{
    uint8_t identity[256];
    size_t bytes;
    while (most-- > 0 && door_guard_next_gone (self->guard, identity, &bytes) == KV_OK) {
        identity[bytes] = '\0';
        unsigned long name = strtoul ((const char *)identity, NULL, 10);
        assert_true (name < NAMES);
        assert_true (self->to_tell[name] > 0); // G1
        self->to_tell[name]--;
    }
}

static void s_check (model_t *self)
{
    char text[260];
    for (uint32_t name = 0; name < NAMES; name++) {
        bool there = door_guard_find (self->guard, s_name (name, text)) != NULL;
        assert_int_equal (there, self->fd_of[name] >= 0);
    }
    assert_int_equal (door_guard_stats (self->guard).connections, self->connections);
}

static void test_random_events_against_arrays (void **state)
{
    (void)state;
    random_t random = random_make ("door_guard");
    model_t *self = calloc (1, sizeof *self);
    self->guard = door_guard_new (&(door_guard_options_t){.name = "test",
                                                          .max_pending_bytes = 1,
                                                          .max_output_bytes = 1,
                                                          .max_total_output_bytes = 1,
                                                          .max_connections = 1000});
    for (int name = 0; name < NAMES; name++)
        self->fd_of[name] = -1;
    for (int step = 0; step < STEPS; step++) {
        uint32_t name = random_below (&random, NAMES);
        int index = (int)random_below (&random, FDS);
        switch (random_below (&random, 12)) {
        case 0:
        case 1: s_accept (self, index); break;
        case 2: s_disconnect (self, index); break;
        case 3: s_lose (self, name); break;
        case 4: s_tell (self, random_below (&random, 20)); break;
        default: s_meet (self, name, index); break;
        }
        if (step % 1000 == 0)
            s_check (self);
    }
    for (int index = 0; index < FDS; index++)
        s_disconnect (self, index);
    s_tell (self, UINT32_MAX);
    for (int name = 0; name < NAMES; name++)
        assert_int_equal (self->to_tell[name], 0); // G1
    s_check (self);
    assert_int_equal (door_guard_stats (self->guard).peers, 0);
    door_guard_destroy (&self->guard);
    assert_null (self->guard);
    free (self);
}

static void test_claims_are_bounded_and_outlive_the_guard (void **state)
{
    (void)state;
    door_guard_t *guard = door_guard_new (&(door_guard_options_t){.name = "test",
                                                                  .max_pending_bytes = 1,
                                                                  .max_output_bytes = 100,
                                                                  .max_total_output_bytes = 250,
                                                                  .max_connections = 10});
    door_peer_t *peers[4];
    door_account_t *claims[4];
    for (int i = 0; i < 4; i++) {
        char name = (char)('a' + i);
        door_guard_accepted (guard, FIRST_FD + i);
        peers[i] = door_guard_meet (guard, kv_slice (&name, 1), FIRST_FD + i);
    }
    claims[0] = door_guard_claim (guard, peers[0], 60);
    assert_false (door_guard_fits (guard, peers[0], 41));
    assert_true (door_guard_fits (guard, peers[0], 40));
    claims[1] = door_guard_claim (guard, peers[0], 40);
    assert_true (door_guard_fits (guard, peers[1], 140)); /* more than allowed, but alone */
    claims[2] = door_guard_claim (guard, peers[1], 140);
    assert_false (door_guard_fits (guard, peers[1], 1));
    assert_false (door_guard_fits (guard, peers[2], 11)); /* the total */
    assert_true (door_guard_fits (guard, NULL, 10));
    claims[3] = door_guard_claim (guard, NULL, 10);
    assert_int_equal (door_guard_stats (guard).output_bytes, 250);
    door_account_release (claims[2], 140);
    assert_int_equal (door_guard_stats (guard).output_bytes, 110);
    door_guard_destroy (&guard);
    door_account_release (claims[0], 60); // G4
    door_account_release (claims[1], 40);
    door_account_release (claims[3], 10);
}

static void test_a_bill_is_due_in_full_once_it_is_large_enough (void **state)
{
    (void)state;
    door_guard_t *guard = door_guard_new (
        &(door_guard_options_t){.name = "test", .max_pending_bytes = 1, .max_connections = 10});
    door_guard_accepted (guard, FIRST_FD);
    door_peer_t *peer = door_guard_meet (guard, kv_slice ("a", 1), FIRST_FD);
    for (int round = 0; round < 3; round++) {
        for (size_t billed = 100; billed < DOOR_BILL_BYTES; billed += 100)
            assert_int_equal (door_guard_bill (peer, 100), 0); // G5
        assert_int_equal (door_guard_bill (peer, 100), (DOOR_BILL_BYTES / 100 + 1) * 100);
    }
    assert_int_equal (door_guard_bill (peer, DOOR_BILL_BYTES), DOOR_BILL_BYTES);
    door_guard_destroy (&guard);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_events_against_arrays),
        cmocka_unit_test (test_claims_are_bounded_and_outlive_the_guard),
        cmocka_unit_test (test_a_bill_is_due_in_full_once_it_is_large_enough),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
