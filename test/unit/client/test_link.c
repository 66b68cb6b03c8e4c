/* link against a server that says more than it was asked, and then is gone.
 *
 * Goal: whatever a server sends, and whenever it goes, the program that uses the library lives on, and
 * finds the server when it is back.
 * Method: a raw ZMTP peer in the server's place, and a link that nobody receives from meanwhile. */
#include "client/link.h"
#include "test/unit/actors/zmtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <poll.h>
#include <zmq.h>

enum { UNASKED = 5000, QUEUE = 1024, IDLE_MS = 3000, PATIENCE_MS = 20000, LOOK_MS = 5 };

static int s_listen (uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal (bind (fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal (listen (fd, 8), 0);
    assert_int_equal (getsockname (fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs (address.sin_port);
    return fd;
}

/* A connection of the link's, the handshake done. */
static int s_accept (int listener)
{
    for (;;) {
        int fd = accept (listener, NULL, NULL);
        assert_true (fd >= 0);
        if (zmtp_handshake (fd, NULL))
            return fd;
        close (fd); /* one that the link has given up */
    }
}

/* Whether the next thing that comes out of the link is `text`, in time. */
static bool s_hears (link_t *link, const char *text)
{
    blob_t *message;
    for (int waited_ms = 0; link_receive (link, &message) != KV_OK; waited_ms += LOOK_MS) {
        if (waited_ms > PATIENCE_MS)
            return false;
        while (link_watch (link) != LINK_SAME)
            continue;
        poll (NULL, 0, LOOK_MS);
    }
    bool same = kv_slice_equal (blob_bytes (message), kv_slice_text (text));
    blob_unref (&message);
    return same;
}

/* N4: a high-water mark for input together with heartbeats made libzmq abort here. */
static void test_server_that_leaves_while_nobody_receives (void **state)
{
    (void)state;
    uint16_t port;
    int listener = s_listen (&port);
    endpoint_t endpoint;
    assert_int_equal (endpoint_make ("127.0.0.1", port, &endpoint), KV_OK);
    void *context = zmq_ctx_new ();
    link_options_t options = {.context = context,
                              .endpoint = &endpoint,
                              .queue = QUEUE,
                              .reply_bytes_max = 1024,
                              .monitored = true};
    link_t *link;
    assert_int_equal (link_new (&options, &link), KV_OK);
    int server = s_accept (listener);
    uint8_t ping[] = "\4PING\0\0................";
    bool stands = true; /* the link may end a connection whose other side answers no heartbeat */
    for (int i = 0; i < UNASKED && stands; i++)
        stands = zmtp_frame (server, 0, "x", 1) &&
                 zmtp_frame (server, ZMTP_COMMAND, ping, sizeof ping - 1);
    close (server);
    assert_int_equal (poll (NULL, 0, IDLE_MS), 0); /* longer than the interval of heartbeats */
    blob_t *message;
    while (link_receive (link, &message) == KV_OK)
        blob_unref (&message);
    server = s_accept (listener);
    assert_true (zmtp_frame (server, 0, "back", 4));
    assert_true (s_hears (link, "back"));
    close (server);
    close (listener);
    link_destroy (&link);
    zmq_ctx_term (context);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_server_that_leaves_while_nobody_receives),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
