/* kv_history - the file that keeps typed lines from one session to the next: plain text, a line
 * each, oldest first.
 *
 *   F1  a line is appended by one write as it is entered: sessions side by side lose nothing (but
 *       for the moment of F3), and neither does one that is killed.
 *   F2  the file is made with mode 0600, and brought to it if it is ours and was wider.
 *   F3  no more than HISTORY_LINES are handed out, and no more than the last HISTORY_FILE_BYTES are
 *       looked at; a file that has grown over that is written anew, beside, and renamed.
 *   F4  what is not a line of printable UTF-8 is passed over: a damaged file costs what is damaged.
 *   F5  only a regular file is read or written: nothing waits for a pipe.
 *
 * No failure here is worth a message: the prompt works without a history. Owner: one thread. */
#ifndef KVDB_CLIENT_KV_HISTORY_H
#define KVDB_CLIENT_KV_HISTORY_H

#include "schema/slice.h"

enum {
    HISTORY_LINES = 1000,
    HISTORY_LINE_BYTES = 4096, /* longer ones are not kept: they hold values, not commands */
    HISTORY_FILE_BYTES = 1024 * 1024
};

/* Where the history belongs: `given` if it is not NULL, else in `state_home` (XDG_STATE_HOME; its
 * folders are made), else in `home`. The caller frees it; NULL if there is no such place. */
char *kv_history_path (const char *given, const char *state_home, const char *home);

/* Hands each line that is kept to `line`, oldest first; the text lives during the call. */
void kv_history_load (const char *path, void (*line) (void *context, const char *text),
                      void *context);

/* Appends a line, unless it is blank, too long, or begins with a space, as one does with what is
 * not to be kept. True: it was fit to be kept (`path` may be NULL: nowhere). */
bool kv_history_add (const char *path, kv_slice_t line);

#endif
