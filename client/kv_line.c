#include "client/kv_line.h"

#include "schema/limits.h"

#include <stdlib.h>

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    char *out;
} scan_t;

kv_line_t kv_line_make (void)
{
    return (kv_line_t){0};
}

void kv_line_free (kv_line_t *self)
{
    free (self->argv);
    free (self->lens);
    free (self->bytes);
    *self = kv_line_make ();
}

static bool s_is_space (uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static int s_hex (uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t lower = c | 32;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The character an escape stands for; the cursor is behind the backslash, and something follows. */
static char s_escape (scan_t *scan)
{
    uint8_t c = *scan->at++;
    if (c == 'x' && scan->end - scan->at >= 2) {
        int high = s_hex (scan->at[0]);
        int low = s_hex (scan->at[1]);
        if (high >= 0 && low >= 0) {
            scan->at += 2;
            return (char)(high << 4 | low);
        }
    }
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return (char)c;
    }
}

/* Passes a quoted part, the cursor being behind the opening quote. */
static kv_status_t s_quoted (scan_t *scan, uint8_t quote, const char **why)
{
    while (scan->at < scan->end) {
        uint8_t c = *scan->at++;
        if (c == quote) {
            *why = "a closing quote is followed by white space";
            return scan->at == scan->end || s_is_space (*scan->at) ? KV_OK : KV_SYNTAX;
        }
        bool more = scan->at < scan->end;
        if (c == '\\' && more && quote == '"')
            *scan->out++ = s_escape (scan);
        else if (c == '\\' && more && *scan->at == '\'')
            *scan->out++ = (char)*scan->at++;
        else
            *scan->out++ = (char)c;
    }
    *why = "a quote is not closed";
    return KV_SYNTAX;
}

static kv_status_t s_argument (scan_t *scan, const char **why)
{
    while (scan->at < scan->end && !s_is_space (*scan->at)) {
        uint8_t c = *scan->at++;
        if (c != '"' && c != '\'') {
            *scan->out++ = (char)c;
            continue;
        }
        kv_status_t status = s_quoted (scan, c, why);
        if (status)
            return status;
    }
    return KV_OK;
}

static void s_reserve (kv_line_t *self)
{
    if (self->argc < self->capacity)
        return;
    self->capacity = self->capacity ? 2 * self->capacity : 16;
    self->argv = realloc (self->argv, self->capacity * sizeof *self->argv);
    self->lens = realloc (self->lens, self->capacity * sizeof *self->lens);
    KV_ASSERT (self->argv != NULL);
    KV_ASSERT (self->lens != NULL);
}

kv_status_t kv_line_split (kv_line_t *self, kv_slice_t line, const char **why)
{
    self->argc = 0;
    /* An argument and its NUL never take more than its characters and the space behind it. */
    if (self->bytes_capacity < line.size + 1) {
        free (self->bytes);
        self->bytes_capacity = line.size + 1;
        self->bytes = malloc (self->bytes_capacity);
        KV_ASSERT (self->bytes != NULL);
    }
    scan_t scan = {line.data, line.data + line.size, self->bytes};
    for (;;) {
        while (scan.at < scan.end && s_is_space (*scan.at))
            scan.at++;
        if (scan.at == scan.end)
            return KV_OK;
        if (self->argc == KV_COMMAND_ARGS_MAX) {
            *why = "a command has 1048576 arguments at most";
            return KV_TOO_LARGE;
        }
        s_reserve (self);
        char *start = scan.out;
        kv_status_t status = s_argument (&scan, why);
        if (status)
            return status;
        self->argv[self->argc] = start;
        self->lens[self->argc++] = (size_t)(scan.out - start);
        *scan.out++ = '\0';
    }
}
