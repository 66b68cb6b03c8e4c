#include "client/kv_prompt.h"

#include "client/kv_edit.h"
#include "client/kv_help.h"
#include "client/kv_line.h"

#include "schema/limits.h"

#include <errno.h>
#include <stdlib.h>

enum { ASIDE_MS = 1000, PROMPT_BYTES = KV_HOST_BYTES_MAX + 64 };

typedef struct {
    const kv_shell_t *shell;
    const kv_prompt_options_t *options;
    kv_edit_t *edit;    /* NULL: lines are read as they come */
    kv_client_t *aside; /* a second connection, of little patience; NULL until it is needed */
    bool lost;          /* the last command had no reply */
    unsigned cancels;   /* how often in a row Ctrl-C met an empty line */
    char *text;         /* a line that was read without kv_edit */
    size_t text_capacity;
    kv_line_t line;
    char prompt[PROMPT_BYTES];
} prompt_t;

/* --- Questions on the side --- */

/* Asks a word of the server that it answers at once; NULL if it does not. The caller destroys the
 * reply. */
static kv_reply_t *s_ask (prompt_t *self, const char *word)
{
    kv_options_t options = *self->options->server;
    if (options.timeout_ms > ASIDE_MS)
        options.timeout_ms = ASIDE_MS;
    options.deadline_ms = options.timeout_ms;
    kv_reply_t *reply;
    if (!self->aside && kv_client_new (&options, &self->aside) != KV_OK)
        return NULL;
    return kv_call (self->aside, 1, &word, NULL, &reply) == KV_OK ? reply : NULL;
}

static void s_nodes (void *context, kv_words_t *out)
{
    kv_reply_t *topology = s_ask (context, "TOPOLOGY");
    const kv_reply_t *nodes = topology ? kv_reply_find (topology, "nodes") : NULL;
    size_t count = nodes && kv_reply_kind (nodes) == KV_REPLY_ARRAY ? kv_reply_count (nodes) : 0;
    for (size_t i = 0; i < count && i < KV_NODES_MAX; i++) {
        const kv_reply_t *id = kv_reply_find (kv_reply_item (nodes, i), "id");
        if (id && kv_reply_kind (id) == KV_REPLY_TEXT)
            kv_words_add (out, kv_slice_text (kv_reply_data (id, NULL)));
    }
    kv_reply_destroy (&topology);
}

/* Sees whether the server is there. */
static void s_probe (prompt_t *self)
{
    kv_reply_t *pong = s_ask (self, "PING");
    self->lost = pong == NULL;
    kv_reply_destroy (&pong);
}

/* --- Running a line --- */

static int s_help (const kv_shell_t *shell, size_t argc, const char *const *argv,
                   const size_t *lens)
{
    kv_slice_t what = argc > 1 ? kv_slice (argv[1], lens[1]) : kv_slice (NULL, 0);
    if (kv_help_print (shell->out, what))
        return KV_EXIT_OK;
    fprintf (shell->err, "kv: there is no help on '%s'; HELP lists the commands\n", argv[1]);
    return KV_EXIT_USAGE;
}

/* Answers what the prompt knows itself; false if it is for the server. */
static bool s_run_here (prompt_t *self, size_t argc, const char *const *argv, const size_t *lens,
                        int *code)
{
    kv_slice_t name = kv_slice (argv[0], lens[0]);
    *code = KV_EXIT_OK;
    if (kv_slice_is_word (name, "HELP") && argc <= 2)
        *code = s_help (self->shell, argc, argv, lens);
    else if (kv_slice_is_word (name, "CLEAR") && argc == 1)
        fputs (self->edit ? "\033[H\033[2J" : "", self->shell->out);
    else
        return false;
    return true;
}

/* Runs one line; `done` is set by EXIT and QUIT. */
static int s_run_line (prompt_t *self, kv_slice_t text, bool *done)
{
    const char *why = NULL;
    if (kv_line_split (&self->line, text, &why) != KV_OK) {
        fprintf (self->shell->err, "kv: %s\n", why);
        return KV_EXIT_USAGE;
    }
    size_t argc = self->line.argc;
    const char *const *argv = self->line.argv;
    const size_t *lens = self->line.lens;
    kv_command_strip (&argc, &argv, &lens);
    if (argc == 0) {
        if (self->lost && self->options->person)
            s_probe (self);
        return KV_EXIT_OK;
    }
    kv_slice_t name = kv_slice (argv[0], lens[0]);
    *done = kv_slice_is_word (name, "EXIT") || kv_slice_is_word (name, "QUIT");
    int code = KV_EXIT_OK;
    if (*done || s_run_here (self, argc, argv, lens, &code))
        return code;
    bool status = kv_slice_is_word (name, "STATUS") && argc == 1;
    code = status ? kv_topology_run (self->shell, true)
                  : kv_command_run (self->shell, argc, argv, lens);
    if (code != KV_EXIT_INTERRUPTED && code != KV_EXIT_USAGE)
        self->lost = code == KV_EXIT_NO_REPLY;
    return code;
}

/* --- Reading lines --- */

static void s_set_prompt (prompt_t *self)
{
    snprintf (self->prompt, sizeof self->prompt, "kvdb %.*s:%d%s> ", KV_HOST_BYTES_MAX,
              self->options->server->host, self->options->server->port,
              self->lost ? " (not connected)" : "");
}

static kv_edit_outcome_t s_read_plain (prompt_t *self, kv_slice_t *line)
{
    if (self->options->person)
        fputs (self->prompt, self->shell->out);
    fflush (self->shell->out);
    errno = 0;
    ssize_t size = getline (&self->text, &self->text_capacity, self->options->in);
    if (size < 0) {
        bool signal = errno == EINTR;
        clearerr (self->options->in);
        fputs (self->options->person ? "\n" : "", self->shell->out);
        return signal ? EDIT_CANCELLED : EDIT_END;
    }
    *line = kv_slice (self->text, (size_t)size);
    return EDIT_LINE;
}

/* Reads a line and runs it; false once it is over. */
static bool s_step (prompt_t *self, int *worst)
{
    kv_slice_t line = kv_slice (NULL, 0);
    bool done = false;
    s_set_prompt (self);
    kv_edit_outcome_t outcome =
        self->edit ? kv_edit_read (self->edit, self->prompt, &line) : s_read_plain (self, &line);
    self->cancels = outcome == EDIT_CANCELLED ? self->cancels + 1 : 0;
    if (self->cancels == 2 || outcome == EDIT_END)
        return false;
    if (self->cancels == 1)
        fputs ("Ctrl-C once more, Ctrl-D or EXIT leaves\n", self->shell->err);
    if (outcome != EDIT_LINE)
        return true;
    int code = s_run_line (self, line, &done);
    *worst = code > *worst ? code : *worst;
    fflush (self->shell->out);
    return !done;
}

int kv_prompt_run (const kv_shell_t *shell, const kv_prompt_options_t *options)
{
    prompt_t self = {.shell = shell, .options = options, .line = kv_line_make ()};
    if (options->person && options->in == stdin && kv_edit_is_possible ()) {
        kv_edit_options_t edit = {options->history, s_nodes, &self};
        self.edit = kv_edit_new (&edit);
    }
    if (options->person)
        s_probe (&self);
    int worst = KV_EXIT_OK;
    while (s_step (&self, &worst))
        continue;
    kv_edit_destroy (&self.edit);
    kv_client_destroy (&self.aside);
    free (self.text);
    kv_line_free (&self.line);
    return options->person ? KV_EXIT_OK : worst;
}
