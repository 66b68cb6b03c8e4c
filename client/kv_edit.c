#include "client/kv_edit.h"

#include "client/kv_history.h"

#include "schema/status.h"

#include <histedit.h>

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { HINT_BYTES = 512, COLUMNS_DEFAULT = 80 };

struct kv_edit {
    EditLine *edit;
    History *history;
    kv_edit_options_t options;
    const char *prompt; /* during kv_edit_read */
    sigset_t signals;   /* that are taken from signal_fd */
    int signal_fd;
    bool draws;     /* the terminal knows the escapes that hints need */
    bool cancelled; /* Ctrl-C has ended the line */
    bool blank;     /* ... and nothing was on it */
    int deadly;     /* the signal that is to end the program, or 0 */
};

static kv_edit_t *s_self (EditLine *edit)
{
    void *self = NULL;
    el_get (edit, EL_CLIENTDATA, &self);
    return self;
}

/* --- What is on screen --- */

static int s_columns (void)
{
    struct winsize size;
    bool known = ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : COLUMNS_DEFAULT;
}

/* Columns that prompt and line take; negative if that cannot be told. */
static int s_width (const kv_edit_t *self)
{
    int width = (int)strlen (self->prompt);
    const LineInfoW *line = el_wline (self->edit);
    for (const wchar_t *at = line->buffer; at < line->lastchar; at++) {
        int columns = wcwidth (*at);
        if (columns < 0)
            return -1;
        width += columns;
    }
    return width;
}

/* Shows the hint, the cursor staying where it is; true if there is one to be erased (T2). */
static bool s_show_hint (const kv_edit_t *self)
{
    const LineInfo *line = el_line (self->edit);
    if (!self->draws || line->cursor != line->lastchar)
        return false;
    char hint[HINT_BYTES];
    kv_hint (kv_slice (line->buffer, (size_t)(line->lastchar - line->buffer)), hint, sizeof hint);
    int width = hint[0] ? s_width (self) : -1;
    if (width < 0)
        return false;
    int columns = s_columns ();
    int room = columns - width % columns - 1;
    if (room <= 0)
        return false;
    printf ("\0337\033[2m%.*s\033[0m\0338", room, hint);
    fflush (stdout);
    return true;
}

static void s_erase_hint (void)
{
    fputs ("\033[K", stdout);
    fflush (stdout);
}

/* Draws prompt and line anew, on the row the cursor is in. */
static void s_redraw (const kv_edit_t *self)
{
    if (self->draws)
        fputs ("\r\033[J", stdout);
    el_set (self->edit, EL_REFRESH);
}

/* --- Waiting for a key --- */

/* Lets the shell have the terminal until it gives it back. */
static void s_stop (const kv_edit_t *self)
{
    sigset_t stop;
    sigemptyset (&stop);
    sigaddset (&stop, SIGTSTP);
    el_set (self->edit, EL_PREP_TERM, 0);
    raise (SIGTSTP);
    sigprocmask (SIG_UNBLOCK, &stop, NULL);
    sigprocmask (SIG_BLOCK, &stop, NULL);
}

/* Acts on a signal; false if it ends the line. */
static bool s_on_signal (kv_edit_t *self, int number)
{
    const LineInfo *line = el_line (self->edit);
    switch (number) {
    case SIGINT:
        self->cancelled = true;
        self->blank = line->lastchar == line->buffer;
        return false;
    case SIGTSTP: s_stop (self); /* fall through */
    case SIGCONT:
        el_set (self->edit, EL_PREP_TERM, 0); /* it has to be seen as cooked to be made raw */
        el_set (self->edit, EL_PREP_TERM, 1);
        s_redraw (self);
        return true;
    case SIGWINCH:
        el_resize (self->edit);
        s_redraw (self);
        return true;
    default: self->deadly = number; return false;
    }
}

/* Waits until there is a byte to be read; false if a signal ended the line. Each key and each
 * signal finds the screen without a hint. */
static bool s_await (kv_edit_t *self)
{
    struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = self->signal_fd, .events = POLLIN}};
    for (;;) {
        bool shown = poll (ready, 2, 0) == 0 && s_show_hint (self);
        int count = poll (ready, 2, -1);
        if (shown)
            s_erase_hint ();
        struct signalfd_siginfo signal;
        if (count > 0 && ready[1].revents &&
            read (self->signal_fd, &signal, sizeof signal) == (ssize_t)sizeof signal) {
            if (!s_on_signal (self, (int)signal.ssi_signo))
                return false;
        } else if (count > 0 && ready[0].revents)
            return true;
        else if (count < 0 && errno != EINTR)
            return false;
    }
}

/* libedit's source of characters: 1 for one, 0 at the end, -1 if the line is over. Bytes that form
 * no character are dropped. */
static int s_read_char (EditLine *edit, wchar_t *character)
{
    kv_edit_t *self = s_self (edit);
    mbstate_t state = {0};
    while (s_await (self)) {
        char byte;
        if (read (STDIN_FILENO, &byte, 1) != 1)
            return 0;
        size_t size = mbrtowc (character, &byte, 1, &state);
        if (size == 0 || size == 1)
            return 1;
        if (size == (size_t)-1)
            memset (&state, 0, sizeof state);
    }
    return -1;
}

/* --- Completion --- */

static void s_print_words (const kv_words_t *words)
{
    size_t width = 0;
    for (size_t i = 0; i < words->count; i++) {
        size_t size = strlen (words->items[i]) + 2;
        width = size > width ? size : width;
    }
    size_t columns = (size_t)s_columns () / width;
    columns = columns ? columns : 1;
    for (size_t i = 0; i < words->count; i++) {
        bool last = (i + 1) % columns == 0 || i + 1 == words->count;
        printf ("%-*s%s", last ? 0 : (int)width, words->items[i], last ? "\n" : "");
    }
}

static unsigned char s_insert (EditLine *edit, const kv_completion_t *found, size_t typed)
{
    const kv_words_t *words = &found->words;
    size_t common = kv_words_common (words);
    char *text = malloc (common + 2);
    KV_ASSERT (text != NULL);
    snprintf (text, common + 2, "%.*s%s", (int)common, words->items[0],
              words->count == 1 ? " " : "");
    if (typed)
        el_deletestr (edit, (int)typed);
    int failed = el_insertstr (edit, text);
    free (text);
    return failed ? CC_ERROR : CC_REFRESH;
}

static unsigned char s_on_tab (EditLine *edit, int key)
{
    (void)key;
    kv_edit_t *self = s_self (edit);
    const LineInfo *info = el_line (edit);
    kv_slice_t line = kv_slice (info->buffer, (size_t)(info->cursor - info->buffer));
    kv_completion_t found;
    kv_complete (line, NULL, &found);
    if (found.wants_nodes && self->options.nodes) {
        kv_words_t nodes = {0};
        self->options.nodes (self->options.context, &nodes);
        kv_words_free (&found.words);
        kv_complete (line, &nodes, &found);
        kv_words_free (&nodes);
    }
    size_t typed = line.size - found.from;
    unsigned char outcome = CC_ERROR;
    if (found.words.count == 1 || kv_words_common (&found.words) > typed)
        outcome = s_insert (edit, &found, typed);
    else if (found.words.count > 1) {
        putchar ('\n');
        if (self->draws)
            fputs ("\033[J", stdout);
        s_print_words (&found.words);
        el_set (edit, EL_REFRESH);
        outcome = CC_NORM;
    }
    kv_words_free (&found.words);
    return outcome;
}

/* --- Making and ending --- */

bool kv_edit_is_possible (void)
{
    const char *terminal = getenv ("TERM");
    return isatty (STDIN_FILENO) && isatty (STDOUT_FILENO) && terminal && *terminal &&
           strcmp (terminal, "dumb") != 0;
}

static char *s_prompt (EditLine *edit)
{
    return (char *)(uintptr_t)s_self (edit)->prompt;
}

static void s_remember (void *context, const char *text)
{
    kv_edit_t *self = context;
    HistEvent event;
    history (self->history, &event, H_ENTER, text);
}

static void s_open_history (kv_edit_t *self)
{
    HistEvent event;
    self->history = history_init ();
    KV_ASSERT (self->history != NULL);
    history (self->history, &event, H_SETSIZE, HISTORY_LINES);
    history (self->history, &event, H_SETUNIQUE, 1);
    if (self->options.history)
        kv_history_load (self->options.history, s_remember, self);
    el_set (self->edit, EL_HIST, history, self->history);
}

/* Keys that terminals send and libedit does not know of itself. */
static void s_bind (EditLine *edit)
{
    static const char *const keys[][2] = {
        {"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"},
        {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},
        {"\\e[1~", "ed-move-to-beg"}, {"\\e[4~", "ed-move-to-end"},
        {"\\e[1;5C", "em-next-word"}, {"\\e[1;5D", "ed-prev-word"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        el_set (edit, EL_BIND, keys[i][0], keys[i][1], NULL);
}

static void s_block (kv_edit_t *self)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
    sigemptyset (&self->signals);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset (&self->signals, numbers[i]);
    self->signal_fd = signalfd (-1, &self->signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

kv_edit_t *kv_edit_new (const kv_edit_options_t *options)
{
    setlocale (LC_CTYPE, "");
    if (MB_CUR_MAX == 1)
        setlocale (LC_CTYPE, "C.UTF-8");
    kv_edit_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->prompt = "";
    s_block (self);
    self->edit = el_init ("kv", stdin, stdout, stderr);
    if (!self->edit || self->signal_fd < 0) {
        kv_edit_destroy (&self);
        return NULL;
    }
    const char *erase = NULL;
    el_set (self->edit, EL_CLIENTDATA, self);
    el_set (self->edit, EL_PROMPT, s_prompt);
    el_set (self->edit, EL_EDITOR, "emacs");
    el_set (self->edit, EL_GETCFN, s_read_char);
    s_open_history (self);
    s_bind (self->edit);
    el_wset (self->edit, EL_ADDFN, L"kv-complete", L"Complete the word", s_on_tab);
    el_source (self->edit, NULL); /* ~/.editrc: the user's own keys */
    el_set (self->edit, EL_BIND, "^I", "kv-complete", NULL);
    el_get (self->edit, EL_GETTC, "ce", &erase, NULL);
    self->draws = erase && strcmp (erase, "\033[K") == 0;
    return self;
}

void kv_edit_destroy (kv_edit_t **edit)
{
    if (!edit || !*edit)
        return;
    kv_edit_t *self = *edit;
    if (self->edit)
        el_end (self->edit);
    if (self->history)
        history_end (self->history);
    if (self->signal_fd >= 0)
        close (self->signal_fd);
    free (self);
    *edit = NULL;
}

/* --- Reading --- */

kv_edit_outcome_t kv_edit_read (kv_edit_t *self, const char *prompt, kv_slice_t *line)
{
    sigset_t before;
    int count = 0;
    self->prompt = prompt;
    self->cancelled = false;
    sigprocmask (SIG_BLOCK, &self->signals, &before); // T1
    el_resize (self->edit);
    /* libedit shows the prompt before it makes the terminal raw: a Ctrl-D typed in between is the line
     * discipline's, and arrives as a NUL. */
    el_set (self->edit, EL_PREP_TERM, 1);
    const char *text = el_gets (self->edit, &count);
    sigprocmask (SIG_SETMASK, &before, NULL);
    if (self->deadly)
        raise (self->deadly); // T3
    if (self->cancelled) {
        puts ("^C");
        return self->blank ? EDIT_CANCELLED : EDIT_ABANDONED;
    }
    if (!text || count <= 0) {
        putchar ('\n');
        return EDIT_END;
    }
    size_t size = (size_t)count;
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    *line = kv_slice (text, size);
    if (kv_history_add (self->options.history, *line)) {
        char *copy = strndup (text, size);
        KV_ASSERT (copy != NULL);
        s_remember (self, copy);
        free (copy);
    }
    return EDIT_LINE;
}
