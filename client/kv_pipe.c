#include "client/kv_pipe.h"

#include "client/kv_line.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The lines of a batch's commands, for messages about them. */
typedef struct {
    uint64_t lines[PIPE_BATCH_COMMANDS];
    size_t count;
    size_t bytes;
} lines_t;

typedef struct {
    const kv_shell_t *shell;
    bool progress;
    int64_t shown_ms; /* when progress was last shown */

    int fd;
    char *buffer; /* bytes start..end of it are not yet consumed */
    size_t start, end, capacity;
    size_t searched; /* there is no newline in start..searched */
    bool at_end;
    bool skipping; /* the rest of a line that is too long */

    kv_line_t line;
    uint64_t line_number; /* of the line last read */
    kv_batch_t *batch;
    lines_t *sent;    /* ring of PIPE_IN_FLIGHT + 1: of batches in flight, then of `batch` */
    size_t first;     /* of the oldest batch in flight */
    size_t waiting;   /* batches in flight */
    size_t bytes;     /* of the batches in flight */
    size_t bytes_max; /* of a command, for the server; 0: it was not asked yet */

    uint64_t commands, replies, errors;
    uint64_t acknowledged_line; /* the last line up to which all replies are there */
} pipe_t;

static lines_t *s_lines (pipe_t *self, size_t index)
{
    return &self->sent[(self->first + index) % (PIPE_IN_FLIGHT + 1)];
}

static void s_show_progress (pipe_t *self)
{
    if (!self->progress)
        return;
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (now_ms - self->shown_ms < PIPE_PROGRESS_MS)
        return;
    self->shown_ms = now_ms;
    fprintf (self->shell->err, "\r%" PRIu64 " commands, %" PRIu64 " replies, %" PRIu64 " errors",
             self->commands, self->replies, self->errors);
    fflush (self->shell->err);
}

static void s_clear_progress (const pipe_t *self)
{
    if (self->progress && self->shown_ms)
        fputs ("\r\033[K", self->shell->err);
}

/* --- Replies --- */

static void s_count_replies (pipe_t *self, const lines_t *lines, const kv_reply_t *replies)
{
    for (size_t i = 0; i < kv_reply_count (replies); i++) {
        const kv_reply_t *reply = kv_reply_item (replies, i);
        self->replies++;
        if (kv_reply_kind (reply) != KV_REPLY_ERROR)
            continue;
        self->errors++;
        s_clear_progress (self);
        fprintf (self->shell->err, "line %" PRIu64 ": ", lines->lines[i]);
        kv_print_reply (self->shell->err, KV_FORMAT_RAW, reply);
    }
    self->acknowledged_line = lines->lines[lines->count - 1];
}

/* Takes the replies to the oldest batch; KV_END: not there after wait_ms. */
static kv_status_t s_receive (pipe_t *self, int wait_ms)
{
    kv_reply_t *replies;
    kv_status_t status = kv_receive (self->shell->client, wait_ms, NULL, &replies);
    if (status)
        return status;
    lines_t *lines = s_lines (self, 0);
    s_count_replies (self, lines, replies);
    kv_reply_destroy (&replies);
    self->bytes -= lines->bytes;
    self->first = (self->first + 1) % (PIPE_IN_FLIGHT + 1);
    self->waiting--;
    s_show_progress (self);
    return KV_OK;
}

static kv_status_t s_receive_all (pipe_t *self)
{
    kv_status_t status = KV_OK;
    while (self->waiting > 0 && status == KV_OK)
        status = s_receive (self, -1);
    return status;
}

/* --- Commands --- */

static kv_status_t s_flush (pipe_t *self)
{
    lines_t *lines = s_lines (self, self->waiting);
    if (lines->count == 0)
        return KV_OK;
    lines->bytes = kv_batch_bytes (self->batch);
    kv_status_t status = KV_OK;
    while (self->waiting > 0 && status == KV_OK &&
           (self->waiting == PIPE_IN_FLIGHT || self->bytes + lines->bytes > PIPE_BYTES))
        status = s_receive (self, -1); // P1
    if (status)
        return status;
    status = kv_send (self->shell->client, self->batch, NULL);
    if (status)
        return status;
    self->bytes += lines->bytes;
    self->waiting++;
    s_lines (self, self->waiting)->count = 0;
    kv_batch_clear (self->batch);
    while (self->waiting > 0 && status == KV_OK)
        status = s_receive (self, 0);
    return status == KV_END ? KV_OK : status;
}

static void s_reject_line (pipe_t *self, const char *why)
{
    self->commands++;
    self->errors++; // P4
    s_clear_progress (self);
    fprintf (self->shell->err, "line %" PRIu64 ": %s; the line was not sent\n", self->line_number,
             why);
}

/* A large command travels alone, so that its message is no larger than need be. KV_OK; KV_TOO_LARGE:
 * the line was rejected. */
static kv_status_t s_check_large (pipe_t *self, size_t bytes)
{
    char why[160];
    kv_status_t status = s_flush (self);
    if (status == KV_OK && self->bytes_max == 0)
        status = kv_command_limit (self->shell, &self->bytes_max);
    if (status == KV_OK && bytes > self->bytes_max) {
        kv_command_too_large (bytes, self->bytes_max, why, sizeof why);
        s_reject_line (self, why);
        return KV_TOO_LARGE;
    }
    return status;
}

static kv_status_t s_take_line (pipe_t *self, kv_slice_t text)
{
    const char *why = NULL;
    if (kv_line_split (&self->line, text, &why) != KV_OK) {
        s_reject_line (self, why);
        return KV_OK;
    }
    size_t argc = self->line.argc;
    const char *const *argv = self->line.argv;
    const size_t *lens = self->line.lens;
    kv_command_strip (&argc, &argv, &lens);
    if (argc == 0)
        return KV_OK;
    kv_status_t status = KV_OK;
    size_t bytes = kv_command_bytes (argc, lens);
    if (bytes > KV_COMMAND_SMALL && (status = s_check_large (self, bytes)) != KV_OK)
        return status == KV_TOO_LARGE ? KV_OK : status;
    status = kv_batch_add (self->batch, argc, argv, lens);
    if (status) {
        s_reject_line (self, kv_status_meaning (status));
        return KV_OK;
    }
    self->commands++;
    lines_t *lines = s_lines (self, self->waiting);
    lines->lines[lines->count++] = self->line_number;
    bool full = lines->count == PIPE_BATCH_COMMANDS;
    return full || kv_batch_bytes (self->batch) >= PIPE_BATCH_BYTES ? s_flush (self) : KV_OK;
}

/* --- Lines --- */

static bool s_readable (int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll (&item, 1, 0) != 0;
}

static void s_make_room (pipe_t *self)
{
    if (self->start > 0) {
        memmove (self->buffer, self->buffer + self->start, self->end - self->start);
        self->searched -= self->start;
        self->end -= self->start;
        self->start = 0;
    }
    if (self->end < self->capacity)
        return;
    KV_ASSERT (self->capacity > 0);
    self->capacity *= 2;
    self->buffer = realloc (self->buffer, self->capacity);
    KV_ASSERT (self->buffer != NULL);
}

/* Reads more; before it would block, what there is gets its replies (P3). */
static kv_status_t s_read (pipe_t *self)
{
    if (!s_readable (self->fd)) {
        kv_status_t status = s_flush (self);
        if (status == KV_OK)
            status = s_receive_all (self);
        if (status)
            return status;
    }
    if (self->skipping || self->end - self->start > PIPE_LINE_BYTES_MAX) {
        if (!self->skipping) {
            self->line_number++;
            s_reject_line (self, "the line is longer than 257 MiB");
        }
        self->skipping = true;
        self->start = self->end = self->searched = 0;
    }
    s_make_room (self);
    ssize_t size = read (self->fd, self->buffer + self->end, self->capacity - self->end);
    if (size > 0)
        self->end += (size_t)size;
    else if (size == 0 || errno != EINTR)
        self->at_end = true;
    return KV_OK;
}

/* The next line without its newline, which is consumed; KV_END if there is none left. */
static kv_status_t s_next_line (pipe_t *self, kv_slice_t *line)
{
    for (;;) {
        char *from = self->buffer + self->searched;
        char *newline = memchr (from, '\n', self->end - self->searched);
        if (!newline && !self->at_end) {
            self->searched = self->end;
            kv_status_t status = s_read (self);
            if (status)
                return status;
            continue;
        }
        if (!newline && self->start == self->end)
            return KV_END;
        size_t stop = newline ? (size_t)(newline - self->buffer) : self->end;
        *line = kv_slice (self->buffer + self->start, stop - self->start);
        self->start = newline ? stop + 1 : stop;
        self->searched = self->start;
        if (self->skipping) {
            self->skipping = false;
            continue;
        }
        self->line_number++;
        return KV_OK;
    }
}

/* Whether it is the head of a command in RESP, such as "*3\r": what generators for redis-cli --pipe
 * write. Taken for lines, its lengths and values would be commands. */
static bool s_is_resp (kv_slice_t line)
{
    if (line.size < 3 || line.data[0] != '*' || line.data[line.size - 1] != '\r')
        return false;
    for (size_t i = 1; i < line.size - 1; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return false;
    }
    return true;
}

/* KV_SYNTAX: the input is none of lines. */
static kv_status_t s_run (pipe_t *self)
{
    kv_slice_t line;
    kv_status_t status;
    while ((status = s_next_line (self, &line)) == KV_OK) {
        if (self->line_number == 1 && s_is_resp (line))
            return KV_SYNTAX;
        status = s_take_line (self, line);
        if (status)
            return status;
    }
    if (status == KV_END)
        status = s_flush (self);
    return status == KV_OK ? s_receive_all (self) : status;
}

static int s_summary (pipe_t *self, kv_status_t status)
{
    const kv_shell_t *shell = self->shell;
    s_clear_progress (self);
    if (status == KV_SYNTAX) {
        fputs (
            "kv: standard input is RESP, which redis-cli --pipe reads; kv --pipe reads a command a "
            "line, as one types it: SET key \"a value\". Nothing was sent\n",
            shell->err);
        return KV_EXIT_USAGE;
    }
    if (status) {
        fprintf (shell->err,
                 "kv: stopped at line %" PRIu64 ": %s; %" PRIu64 " of %" PRIu64
                 " commands were acknowledged, all up to line %" PRIu64 "\n",
                 self->line_number, kv_client_error (shell->client), self->replies, self->commands,
                 self->acknowledged_line);
    }
    const char *format = shell->format == KV_FORMAT_JSON
                             ? "{\"commands\": %" PRIu64 ", \"replies\": %" PRIu64
                               ", \"errors\": %" PRIu64 "}\n"
                             : "%" PRIu64 " commands, %" PRIu64 " replies, %" PRIu64 " errors\n";
    fprintf (shell->out, format, self->commands, self->replies, self->errors);
    if (status)
        return KV_EXIT_NO_REPLY;
    return self->errors ? KV_EXIT_ERROR : KV_EXIT_OK;
}

int kv_pipe_run (const kv_shell_t *shell, int fd, bool progress)
{
    pipe_t self = {.shell = shell,
                   .progress = progress,
                   .fd = fd,
                   .capacity = PIPE_BATCH_BYTES,
                   .line = kv_line_make (),
                   .batch = kv_batch_new ()};
    self.buffer = calloc (1, self.capacity);
    self.sent = calloc (PIPE_IN_FLIGHT + 1, sizeof *self.sent);
    KV_ASSERT (self.buffer != NULL);
    KV_ASSERT (self.sent != NULL);
    int code = s_summary (&self, s_run (&self));
    kv_forget (shell->client);
    kv_batch_destroy (&self.batch);
    kv_line_free (&self.line);
    free (self.buffer);
    free (self.sent);
    return code;
}
