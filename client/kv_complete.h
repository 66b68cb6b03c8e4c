/* kv_complete - what may follow in a line that is being typed: words for the Tab key, and a hint
 * at the arguments still to come. Both are read from the table of commands.
 *
 *   SET k v ex 10 |      words: nx xx get keepttl     hint: [NX|XX] [GET]
 *           ^^ an option: the group it stands in is used up, and it takes what its text names
 *
 *   H1  an argument text is parts divided by spaces: `key` is wanted, `[NX|XX]` may be given,
 *       `[key value ...]` may be given again and again. A word in capitals stands for itself, any
 *       other for a value.
 *   H2  wanted parts are taken in order, optional ones in any.
 *   H3  within quotes nothing is completed.
 *
 * Pure; owner: one thread. */
#ifndef KVDB_CLIENT_KV_COMPLETE_H
#define KVDB_CLIENT_KV_COMPLETE_H

#include "schema/slice.h"

/* A list of words, sorted by who adds them. */
typedef struct {
    char **items; /* owned, and so are the texts */
    size_t count;
    size_t capacity;
} kv_words_t;

/* Appends a copy, unless the word is there already. */
void kv_words_add (kv_words_t *self, kv_slice_t word);
void kv_words_free (kv_words_t *self);

/* How many bytes all words have in common at their beginning. */
size_t kv_words_common (const kv_words_t *self);

typedef struct {
    kv_words_t words; /* what the word under the cursor may become; kv_words_free them */
    size_t from;      /* where that word begins in the line */
    bool wants_nodes; /* the id of a node belongs here */
} kv_completion_t;

/* The words that fit at the end of `line`, which ends at the cursor. `nodes` are the ids of nodes
 * as far as they are known (NULL: not at all). Words follow the case of the letter typed first. */
void kv_complete (kv_slice_t line, const kv_words_t *nodes, kv_completion_t *out);

/* Writes what is to be shown behind `line`, with a NUL: "" if there is nothing to say. It is cut to
 * `bytes`. */
void kv_hint (kv_slice_t line, char *text, size_t bytes);

#endif
