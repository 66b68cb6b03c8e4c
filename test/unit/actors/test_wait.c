/* Goal: a wait ends when a wanted socket has something to read, also when the news of it was taken in before.
 * Method: pairs over inproc; where the wait is to end at once, its patience is far longer than a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/wait.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { PAIRS = 2, LONG_US = 60 * 1000 * 1000, SHORT_US = 1000 };

typedef struct {
    void *context;
    void *near[PAIRS], *far[PAIRS];
    wait_item_t items[PAIRS]; /* the near ends */
} fixture_t;

static int s_setup (void **state)
{
    static const char *const endpoints[PAIRS] = {"inproc://a", "inproc://b"};
    fixture_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->context = zmq_ctx_new ();
    for (int i = 0; i < PAIRS; i++) {
        self->near[i] = zmq_socket (self->context, ZMQ_PAIR);
        self->far[i] = zmq_socket (self->context, ZMQ_PAIR);
        assert_int_equal (zmq_bind (self->near[i], endpoints[i]), 0);
        assert_int_equal (zmq_connect (self->far[i], endpoints[i]), 0);
        self->items[i] = (wait_item_t){.socket = self->near[i], .wanted = true};
    }
    *state = self;
    return 0;
}

static int s_teardown (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < PAIRS; i++) {
        zmq_close (self->near[i]);
        zmq_close (self->far[i]);
    }
    zmq_ctx_term (self->context);
    free (self);
    return 0;
}

static void s_say (void *socket)
{
    assert_int_equal (zmq_send (socket, "x", 1, ZMQ_DONTWAIT), 1);
}

/* Whether there was anything. */
static bool s_hear (void *socket)
{
    char byte;
    return zmq_recv (socket, &byte, 1, ZMQ_DONTWAIT) == 1;
}

static void test_wait_ends_for_the_socket_that_has_a_message (void **state)
{
    fixture_t *self = *state;
    s_say (self->far[1]);
    wait_for (self->items, PAIRS, LONG_US);
    assert_true (self->items[1].ready);
    assert_false (self->items[0].ready);
    assert_true (s_hear (self->near[1]));
    wait_for (self->items, PAIRS, SHORT_US);
    assert_false (self->items[1].ready);
}

static void s_say_from_a_thread (void *socket)
{
    zmq_send (socket, "x", 1, 0);
}

static void test_wait_ends_when_a_message_comes_meanwhile (void **state)
{
    fixture_t *self = *state;
    void *thread = zmq_threadstart (s_say_from_a_thread, self->far[0]);
    do /* a descriptor may tell of what is no message */
        wait_for (self->items, PAIRS, LONG_US);
    while (!s_hear (self->near[0]) && self->items[0].ready);
    assert_true (self->items[0].ready);
    zmq_threadclose (thread);
}

static void test_wait_sees_what_was_taken_in_before (void **state) // T1
{
    fixture_t *self = *state;
    int events;
    size_t bytes = sizeof events;
    s_say (self->far[0]);
    assert_int_equal (zmq_getsockopt (self->near[0], ZMQ_EVENTS, &events, &bytes), 0);
    wait_for (self->items, PAIRS, LONG_US); /* the descriptor is quiet by now */
    assert_true (self->items[0].ready);
}

static void test_wait_passes_over_what_is_not_wanted (void **state)
{
    fixture_t *self = *state;
    self->items[0].wanted = false;
    s_say (self->far[0]);
    wait_for (self->items, PAIRS, 0);
    assert_false (self->items[0].ready);
    wait_for (self->items, PAIRS, SHORT_US);
    assert_false (self->items[0].ready);
    self->items[0].wanted = true;
    wait_for (self->items, PAIRS, LONG_US);
    assert_true (self->items[0].ready);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_wait_ends_for_the_socket_that_has_a_message, s_setup,
                                         s_teardown),
        cmocka_unit_test_setup_teardown (test_wait_ends_when_a_message_comes_meanwhile, s_setup,
                                         s_teardown),
        cmocka_unit_test_setup_teardown (test_wait_sees_what_was_taken_in_before, s_setup,
                                         s_teardown),
        cmocka_unit_test_setup_teardown (test_wait_passes_over_what_is_not_wanted, s_setup,
                                         s_teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
