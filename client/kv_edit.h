/* kv_edit - reads lines on a terminal, with libedit: editing keys, history, completion, and hints
 * shown dimmed behind the cursor.
 *
 *   T1  the terminal is in raw mode only while kv_edit_read runs, and signals that concern it are
 *       taken from a descriptor meanwhile; at any other time they do what they did before.
 *   T2  a hint stands on screen only while a key is waited for, and never wraps: libedit, which
 *       does not know of it, draws on a clean line.
 *   T3  Ctrl-C ends a line, Ctrl-Z stops the program, a new size or a return from the background
 *       draws the line anew; a signal that ends the program does so with the terminal restored.
 *
 * Owner: the main thread of kv. */
#ifndef KVDB_CLIENT_KV_EDIT_H
#define KVDB_CLIENT_KV_EDIT_H

#include "client/kv_complete.h"

typedef struct kv_edit kv_edit_t;

typedef struct {
    const char *history; /* file, or NULL; borrowed until kv_edit_destroy */
    /* Adds the ids of nodes to `out`; takes a second at most. */
    void (*nodes) (void *context, kv_words_t *out);
    void *context;
} kv_edit_options_t;

typedef enum {
    EDIT_LINE,
    EDIT_ABANDONED, /* Ctrl-C on a line with something on it */
    EDIT_CANCELLED, /* Ctrl-C on an empty line */
    EDIT_END        /* Ctrl-D on an empty line, or the terminal is gone */
} kv_edit_outcome_t;

/* True if standard input and output are a terminal that can do more than print. */
bool kv_edit_is_possible (void);

/* Sets up the terminal of standard input and output; NULL if libedit refuses. */
kv_edit_t *kv_edit_new (const kv_edit_options_t *options);
void kv_edit_destroy (kv_edit_t **self);

/* Reads a line behind `prompt`. `line`, without its newline, is valid until the next call; it is
 * added to the history unless kv_history_add refuses it. */
kv_edit_outcome_t kv_edit_read (kv_edit_t *self, const char *prompt, kv_slice_t *line);

#endif
