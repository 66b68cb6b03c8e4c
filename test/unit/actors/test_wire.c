/* Goal: what a wire is connected to can send it large frames, and no message that it does not take whole.
 * Method: a listener on loopback that speaks raw ZMTP (zmtp.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/wire.h"
#include "test/unit/actors/zmtp.h"

#include <stdio.h>
#include <zmq.h>

enum { PATIENCE_MS = 20000, FRAMES_MAX = 4 };

typedef struct {
    void *context;
    void *wire;
    int listener;
    int peer; /* the accepted end */
} fixture_t;

static void s_accept (fixture_t *self)
{
    self->peer = accept (self->listener, NULL, NULL);
    assert_true (self->peer >= 0);
    assert_true (zmtp_handshake (self->peer, NULL));
}

static int s_setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    self->context = zmq_ctx_new ();
    self->listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal (bind (self->listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal (listen (self->listener, 4), 0);
    assert_int_equal (getsockname (self->listener, (struct sockaddr *)&address, &bytes), 0);
    char endpoint[64];
    char why[256] = "";
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs (address.sin_port));
    kv_status_t status = wire_dealer (self->context, endpoint, &self->wire, why, sizeof why);
    assert_string_equal (why, "");
    assert_int_equal (status, KV_OK);
    s_accept (self);
    *state = self;
    return 0;
}

static int s_teardown (void **state)
{
    fixture_t *self = *state;
    close (self->peer);
    close (self->listener);
    wire_close (&self->wire, 0);
    zmq_ctx_term (self->context);
    free (self);
    return 0;
}

/* The next message has one frame, of that many bytes. */
static void s_expect (fixture_t *self, size_t bytes)
{
    zmq_pollitem_t item = {self->wire, 0, ZMQ_POLLIN, 0};
    assert_int_equal (zmq_poll (&item, 1, PATIENCE_MS), 1);
    blob_t *frames[FRAMES_MAX];
    size_t count;
    assert_int_equal (wire_receive (self->wire, frames, FRAMES_MAX, &count), KV_OK);
    assert_int_equal (count, 1);
    assert_int_equal (blob_bytes (frames[0]).size, bytes);
    blob_unref (&frames[0]);
}

static void test_large_frame_arrives_whole (void **state)
{
    enum { LARGE = 8 * 1024 * 1024 };
    fixture_t *self = *state;
    void *bytes = calloc (1, LARGE);
    assert_non_null (bytes);
    assert_true (zmtp_frame (self->peer, 0, bytes, LARGE));
    free (bytes);
    s_expect (self, LARGE);
}

static void test_message_of_too_many_frames_is_passed_over (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < FRAMES_MAX; i++)
        assert_true (zmtp_frame (self->peer, ZMTP_MORE, "x", 1));
    assert_true (zmtp_frame (self->peer, 0, "x", 1));
    assert_true (zmtp_frame (self->peer, 0, "next", 4));
    zmq_pollitem_t item = {self->wire, 0, ZMQ_POLLIN, 0};
    assert_int_equal (zmq_poll (&item, 1, PATIENCE_MS), 1);
    blob_t *frames[FRAMES_MAX];
    size_t count;
    assert_int_equal (wire_receive (self->wire, frames, FRAMES_MAX, &count), KV_OK);
    assert_int_equal (count, 0);
    s_expect (self, 4);
}

#define WIRE_TEST(name) cmocka_unit_test_setup_teardown (name, s_setup, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST (test_large_frame_arrives_whole),
        WIRE_TEST (test_message_of_too_many_frames_is_passed_over),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
