/* Goal: --pipe answers for every line, keeps its bounds, and stops when the server is lost; the
 * prompt runs lines and goes on.
 * Method: lines in a temporary file or a pipe, a fake server, and the output kept in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "test/unit/client/fake_server.h"

#include "client/kv_pipe.h"
#include "client/kv_prompt.h"

typedef struct {
    fake_server_t server;
    kv_shell_t shell;
    char *out;
    char *err;
    size_t out_size;
    size_t err_size;
    kv_options_t options;
} fixture_t;

static void s_set_up (fixture_t *self, int timeout_ms)
{
    fake_server_start (&self->server, "tcp://127.0.0.1:*", NULL);
    kv_options_init (&self->options, sizeof self->options);
    self->options.port = self->server.port;
    self->options.timeout_ms = timeout_ms;
    assert_int_equal (kv_client_new (&self->options, &self->shell.client), KV_OK);
    self->shell.format = KV_FORMAT_RAW;
    self->shell.out = open_memstream (&self->out, &self->out_size);
    self->shell.err = open_memstream (&self->err, &self->err_size);
}

static void s_flush (fixture_t *self)
{
    fflush (self->shell.out);
    fflush (self->shell.err);
}

static void s_tear_down (fixture_t *self)
{
    kv_client_destroy (&self->shell.client);
    fake_server_stop (&self->server);
    fclose (self->shell.out);
    fclose (self->shell.err);
    free (self->out);
    free (self->err);
}

static FILE *s_file (const char *text)
{
    FILE *file = tmpfile ();
    assert_non_null (file);
    fputs (text, file);
    rewind (file);
    return file;
}

static int s_pipe (fixture_t *self, FILE *file)
{
    fflush (file);
    lseek (fileno (file), 0, SEEK_SET);
    int code = kv_pipe_run (&self->shell, fileno (file), false);
    fclose (file);
    s_flush (self);
    return code;
}

static void test_pipe_counts_and_names_lines (void **state)
{
    (void)state;
    fixture_t self;
    s_set_up (&self, 20000);
    FILE *file = s_file ("PING\n\nKV SET \"a\\x00\" 'b c'\r\nFAIL\nGET \"open\nKV\nNONSENSE\nPING");
    assert_int_equal (s_pipe (&self, file), KV_EXIT_ERROR);
    assert_string_equal (self.out, "6 commands, 5 replies, 3 errors\n");
    assert_non_null (strstr (self.err, "line 4: (error) BUSY the queue is full\n"));
    assert_non_null (strstr (self.err, "line 5: a quote is not closed"));
    assert_non_null (strstr (self.err, "line 7: (error) ERR unknown command\n"));
    s_tear_down (&self);
}

static void test_pipe_refuses_resp (void **state)
{
    (void)state;
    static const struct {
        const char *input;
        bool resp;
    } rows[] = {
        {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nPING\r\n", true},
        {"*10\r\n", true},
        {"*\r\nPING\n", false},
        {"*3\nPING\n", false},
        {"PING\n*1\r\nPING\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_t self;
        s_set_up (&self, 20000);
        int code = s_pipe (&self, s_file (rows[i].input));
        assert_int_equal (code == KV_EXIT_USAGE, rows[i].resp);
        assert_int_equal (strstr (self.err, "is RESP") != NULL, rows[i].resp);
        assert_int_equal (atomic_load (&self.server.commands) == 0, rows[i].resp);
        assert_int_equal (self.out_size == 0, rows[i].resp);
        s_tear_down (&self);
    }
}

static void test_pipe_empty_input_is_no_error (void **state)
{
    (void)state;
    fixture_t self;
    s_set_up (&self, 20000);
    assert_int_equal (s_pipe (&self, s_file ("")), KV_EXIT_OK);
    assert_string_equal (self.out, "0 commands, 0 replies, 0 errors\n");
    s_tear_down (&self);
}

static void test_pipe_many_lines_and_large_ones (void **state)
{
    (void)state;
    enum { LINES = 20000, LARGE = 3000000 };
    fixture_t self;
    s_set_up (&self, 20000);
    FILE *file = tmpfile ();
    assert_non_null (file);
    for (int i = 0; i < LINES; i++) {
        fprintf (file, "SET key:%d %d\n", i, i);
        if (i % 5000 == 0) {
            fputs ("SET large ", file);
            for (int j = 0; j < LARGE; j++)
                fputc ('v', file);
            fputc ('\n', file);
        }
    }
    assert_int_equal (s_pipe (&self, file), KV_EXIT_OK);
    assert_string_equal (self.out, "20004 commands, 20004 replies, 0 errors\n");
    assert_int_equal (atomic_load (&self.server.commands),
                      LINES + 4 + 1); /* once INFO: what it takes */
    s_tear_down (&self);
}

static void test_pipe_stops_at_a_lost_server (void **state)
{
    (void)state;
    fixture_t self;
    s_set_up (&self, 300);
    FILE *file = tmpfile ();
    assert_non_null (file);
    for (int i = 0; i < PIPE_BATCH_COMMANDS; i++)
        fputs ("PING\n", file);
    for (int i = 0; i < 100 * PIPE_BATCH_COMMANDS; i++)
        fputs ("DROP\n", file); /* batches that are not answered */
    assert_int_equal (s_pipe (&self, file), KV_EXIT_NO_REPLY);
    assert_non_null (strstr (self.err, "kv: stopped at line "));
    assert_non_null (strstr (self.err, "512 of "));
    assert_non_null (strstr (self.err, "all up to line 512\n"));
    assert_non_null (strstr (self.out, " commands, 512 replies, 0 errors\n"));
    /* P1: what was sent ahead of the missing reply is bounded. */
    assert_true (atoi (self.out) <= (PIPE_IN_FLIGHT + 2) * PIPE_BATCH_COMMANDS);
    s_tear_down (&self);
}

static void *s_write_slowly (void *argument)
{
    int fd = *(int *)argument;
    static const char text[] = "PING\nFAIL\nPING\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        if (write (fd, text + i, 1) != 1)
            break;
        usleep (2000);
    }
    close (fd);
    return NULL;
}

static void test_pipe_slow_input_is_answered_as_it_comes (void **state)
{
    (void)state;
    fixture_t self;
    int fds[2];
    pthread_t writer;
    s_set_up (&self, 20000);
    assert_int_equal (pipe (fds), 0);
    assert_int_equal (pthread_create (&writer, NULL, s_write_slowly, &fds[1]), 0);
    assert_int_equal (kv_pipe_run (&self.shell, fds[0], false), KV_EXIT_ERROR);
    pthread_join (writer, NULL);
    close (fds[0]);
    s_flush (&self);
    assert_string_equal (self.out, "3 commands, 3 replies, 1 errors\n");
    s_tear_down (&self);
}

static void test_prompt_runs_lines_until_exit (void **state)
{
    (void)state;
    fixture_t self;
    s_set_up (&self, 20000);
    FILE *in = s_file ("ECHO 'a b'\nKV PING\n\nFAIL\nhelp get\nGET \"x\nEXIT\nPING\n");
    kv_prompt_options_t options = {.in = in, .server = &self.options};
    assert_int_equal (kv_prompt_run (&self.shell, &options), KV_EXIT_USAGE);
    s_flush (&self);
    assert_string_equal (self.out,
                         "a b\nPONG\nGET key\n    Return the value of a key  [@string]\n");
    assert_string_equal (self.err, "(error) BUSY the queue is full\nkv: a quote is not closed\n");
    fclose (in);
    s_tear_down (&self);
}

static void test_prompt_says_that_the_server_is_lost (void **state)
{
    (void)state;
    fixture_t self;
    char expected[256];
    s_set_up (&self, 200);
    int port = self.server.port;
    FILE *in = s_file ("DROP\nPING\n");
    kv_prompt_options_t options = {.in = in, .server = &self.options, .person = true};
    assert_int_equal (kv_prompt_run (&self.shell, &options), KV_EXIT_OK);
    s_flush (&self);
    snprintf (expected, sizeof expected,
              "kvdb 127.0.0.1:%d> kvdb 127.0.0.1:%d (not connected)> PONG\n"
              "kvdb 127.0.0.1:%d> \n",
              port, port, port);
    assert_string_equal (self.out, expected);
    assert_non_null (strstr (self.err, "no reply from tcp://"));
    fclose (in);
    s_tear_down (&self);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_pipe_counts_and_names_lines),
        cmocka_unit_test (test_pipe_refuses_resp),
        cmocka_unit_test (test_pipe_empty_input_is_no_error),
        cmocka_unit_test (test_pipe_many_lines_and_large_ones),
        cmocka_unit_test (test_pipe_stops_at_a_lost_server),
        cmocka_unit_test (test_pipe_slow_input_is_answered_as_it_comes),
        cmocka_unit_test (test_prompt_runs_lines_until_exit),
        cmocka_unit_test (test_prompt_says_that_the_server_is_lost),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
