/* Goal: a process ends as its actor or a signal says, with the status that says it, and only after
 * the actor has returned (S1, S2).
 * Method: each case is a child process that runs a small actor; its stderr is read through a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/process.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The actors. Their last act is a line on stderr, so that a missing one shows (S2). */

static void s_bye (void)
{
    static const char line[] = "event=actor_returned\n";
    ssize_t wrote = write (STDERR_FILENO, line, sizeof line - 1);
    (void)wrote;
}

static void s_until_term (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    zstr_sendx (pipe, "READY", "tcp://127.0.0.1:7000", NULL);
    char *word = zstr_recv (pipe);
    bool asked = word && streq (word, "$TERM");
    zstr_free (&word);
    zclock_sleep (50);
    s_bye ();
    zstr_sendx (pipe, asked ? "STOPPED" : "FAILED", "it was asked to", NULL);
}

static void s_cannot_start (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    s_bye ();
    zstr_sendx (pipe, "FAILED", "the port is in use", NULL);
}

static void s_stops_by_itself (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    zstr_send (pipe, "READY");
    zstr_sendx (pipe, "STOPPED", "a client said SHUTDOWN", NULL);
    s_bye ();
}

static void s_fails_later (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    zstr_send (pipe, "READY");
    zstr_sendx (pipe, "FAILED", "the disk is gone", NULL);
    s_bye ();
}

static void s_says_nothing (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    s_bye ();
}

static void s_hangs (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    zstr_send (pipe, "READY");
    for (;;)
        zclock_sleep (1000);
}

/* Tells the identity its first peer gets. */
static void s_names_a_peer (zsock_t *pipe, void *args)
{
    (void)args;
    zsock_signal (pipe, 0);
    zsock_t *router = zsock_new_router ("inproc://first");
    zsock_t *dealer = zsock_new_dealer ("inproc://first");
    zstr_send (dealer, "hello");
    zframe_t *identity = zframe_recv (router);
    char *hex = zframe_strhex (identity);
    zstr_sendx (pipe, "READY", hex, NULL);
    zstr_sendx (pipe, "STOPPED", "", NULL);
    zstr_free (&hex);
    zframe_destroy (&identity);
    zsock_destroy (&dealer);
    zsock_destroy (&router);
}

typedef struct {
    pid_t pid;
    int output;
    char text[8192];
    size_t size;
    int status;
} child_t;

static child_t s_start (zactor_fn *actor)
{
    child_t self = {.pid = -1};
    int ends[2];
    assert_int_equal (pipe (ends), 0);
    self.pid = fork ();
    assert_true (self.pid >= 0);
    if (self.pid == 0) {
        dup2 (ends[1], STDERR_FILENO);
        close (ends[0]);
        close (ends[1]);
        process_begin ();
        log_t log = process_log (KV_LOG_INFO);
        exit (process_run (actor, NULL, &log));
    }
    close (ends[1]);
    self.output = ends[0];
    return self;
}

/* Reads until the text has come, or with NULL until the end. */
static void s_read_until (child_t *self, const char *text)
{
    struct pollfd readable = {.fd = self->output, .events = POLLIN};
    while (!text || !strstr (self->text, text)) {
        if (poll (&readable, 1, 20000) != 1)
            break;
        ssize_t got =
            read (self->output, self->text + self->size, sizeof self->text - 1 - self->size);
        if (got <= 0)
            break;
        self->size += (size_t)got;
        self->text[self->size] = '\0';
    }
    if (text && !strstr (self->text, text))
        fail_msg ("no %s in: %s", text, self->text);
}

static void s_finish (child_t *self)
{
    s_read_until (self, NULL);
    assert_int_equal (waitpid (self->pid, &self->status, 0), self->pid);
    close (self->output);
    assert_true (WIFEXITED (self->status));
    self->status = WEXITSTATUS (self->status);
}

static void s_expect (const child_t *self, const char *text)
{
    if (!strstr (self->text, text))
        fail_msg ("no %s in: %s", text, self->text);
}

static void test_signals_stop_it (void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < 3; i++) {
        child_t child = s_start (s_until_term);
        s_read_until (&child, "event=ready endpoint=tcp://127.0.0.1:7000");
        kill (child.pid, signals[i]);
        s_finish (&child);
        assert_int_equal (child.status, 0);
        s_expect (&child, "INFO event=stopping signal=");
        s_expect (&child, "event=actor_returned");
        s_expect (&child, "INFO event=stopped reason=\"it was asked to\"");
    }
}

static void test_other_signals_change_nothing (void **state)
{
    (void)state;
    child_t child = s_start (s_until_term);
    s_read_until (&child, "event=ready");
    kill (child.pid, SIGUSR1);
    kill (child.pid, SIGPIPE);
    kill (child.pid, SIGALRM);
    kill (child.pid, SIGTERM);
    s_finish (&child);
    assert_int_equal (child.status, 0);
    s_expect (&child, "event=actor_returned");
}

static void s_ends (zactor_fn *actor, int status, const char *line)
{
    child_t child = s_start (actor);
    s_finish (&child);
    assert_int_equal (child.status, status);
    s_expect (&child, line);
    s_expect (&child, "event=actor_returned"); // S2
}

static void test_it_ends_as_the_actor_says (void **state)
{
    (void)state;
    s_ends (s_cannot_start, 1, "ERROR event=failed reason=\"the port is in use\"");
    s_ends (s_stops_by_itself, 0, "INFO event=stopped reason=\"a client said SHUTDOWN\"");
    s_ends (s_fails_later, 1, "ERROR event=failed reason=\"the disk is gone\"");
    s_ends (s_says_nothing, 1, "ERROR event=failed reason=\"it ended without a word\"");
}

static void test_second_signal_ends_a_hanging_actor (void **state)
{
    (void)state;
    child_t child = s_start (s_hangs);
    s_read_until (&child, "event=ready");
    kill (child.pid, SIGTERM);
    s_read_until (&child, "event=stopping");
    kill (child.pid, SIGTERM);
    s_finish (&child);
    assert_int_equal (child.status, 128 + SIGTERM);
    s_expect (&child, "WARN event=forced_exit");
}

/* Who knows the number that libzmq gives to its next peer can end the process. */
static void test_identities_of_peers_cannot_be_foretold (void **state)
{
    (void)state;
    char first[64];
    child_t child = s_start (s_names_a_peer);
    s_finish (&child);
    const char *identity = strstr (child.text, "endpoint=00");
    assert_non_null (identity);
    snprintf (first, sizeof first, "%.19s", identity);
    child = s_start (s_names_a_peer);
    s_finish (&child);
    assert_null (strstr (child.text, first));
}

static void test_lines_bear_time_and_level (void **state)
{
    (void)state;
    child_t child = s_start (s_cannot_start);
    s_finish (&child);
    const char *line = strstr (child.text, "Z ERROR event=failed");
    assert_non_null (line);
    assert_true (line - child.text >= 23);
    int year, month, day, hour, minute, second, ms;
    assert_int_equal (sscanf (line - 23, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &year, &month, &day, &hour,
                              &minute, &second, &ms),
                      7);
    assert_true (year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_signals_stop_it),
        cmocka_unit_test (test_other_signals_change_nothing),
        cmocka_unit_test (test_it_ends_as_the_actor_says),
        cmocka_unit_test (test_second_signal_ends_a_hanging_actor),
        cmocka_unit_test (test_identities_of_peers_cannot_be_foretold),
        cmocka_unit_test (test_lines_bear_time_and_level),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
