#include "client/kv_prompt.h"

#include "client/kv_line.h"

#include "schema/command.h"

#include <errno.h>
#include <stdlib.h>

/* HELP [what] from the table of commands. */
static int s_help (const kv_shell_t *shell, size_t argc, const char *const *argv,
                   const size_t *lens)
{
    writer_t help = writer_make (SIZE_MAX);
    kv_slice_t what = argc > 1 ? kv_slice (argv[1], lens[1]) : kv_slice (NULL, 0);
    int code = KV_EXIT_OK;
    kv_slice_t text;
    reader_t at;
    if (command_help (&help, what)) {
        at = reader_make (kv_slice (help.data, help.size));
        if (reader_bytes (&at, &text) == KV_OK) {
            fwrite (text.data, 1, text.size, shell->out);
            fputc ('\n', shell->out);
        }
    } else {
        fprintf (shell->err, "kv: there is no help on '%s'; HELP lists the commands\n", argv[1]);
        code = KV_EXIT_USAGE;
    }
    writer_free (&help);
    return code;
}

/* Runs one line; `done` is set by EXIT and QUIT. */
static int s_run_line (const kv_shell_t *shell, kv_line_t *line, kv_slice_t text, bool *done)
{
    const char *why = NULL;
    if (kv_line_split (line, text, &why) != KV_OK) {
        fprintf (shell->err, "kv: %s\n", why);
        return KV_EXIT_USAGE;
    }
    size_t argc = line->argc;
    const char *const *argv = line->argv;
    const size_t *lens = line->lens;
    kv_command_strip (&argc, &argv, &lens);
    if (argc == 0)
        return KV_EXIT_OK;
    kv_slice_t name = kv_slice (argv[0], lens[0]);
    if (kv_slice_is_word (name, "EXIT") || kv_slice_is_word (name, "QUIT")) {
        *done = true;
        return KV_EXIT_OK;
    }
    if (kv_slice_is_word (name, "HELP") && argc <= 2)
        return s_help (shell, argc, argv, lens);
    if (kv_slice_is_word (name, "STATUS") && argc == 1)
        return kv_topology_run (shell);
    return kv_command_run (shell, argc, argv, lens);
}

int kv_prompt_run (const kv_shell_t *shell, FILE *in, const char *prompt)
{
    kv_line_t line = kv_line_make ();
    char *text = NULL;
    size_t capacity = 0;
    int worst = KV_EXIT_OK;
    bool done = false;
    while (!done) {
        if (prompt)
            fputs (prompt, shell->out);
        fflush (shell->out);
        errno = 0;
        ssize_t size = getline (&text, &capacity, in);
        if (size < 0 && errno == EINTR) {
            clearerr (in);
            fputc ('\n', shell->out);
            continue;
        }
        if (size < 0) {
            fputs (prompt ? "\n" : "", shell->out);
            break;
        }
        int code = s_run_line (shell, &line, kv_slice (text, (size_t)size), &done);
        worst = code > worst ? code : worst;
    }
    free (text);
    kv_line_free (&line);
    return prompt ? KV_EXIT_OK : worst;
}
