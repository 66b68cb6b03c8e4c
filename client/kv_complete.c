#include "client/kv_complete.h"

#include "client/kv_help.h"
#include "client/kv_line.h"

#include "schema/command.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARTS_MAX = 32 }; /* of one argument text; further ones are passed over */

/* --- Lists of words --- */

void kv_words_add (kv_words_t *self, kv_slice_t word)
{
    for (size_t i = 0; i < self->count; i++) {
        if (kv_slice_equal (kv_slice_text (self->items[i]), word))
            return;
    }
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->items = realloc (self->items, self->capacity * sizeof *self->items);
        KV_ASSERT (self->items != NULL);
    }
    char *copy = malloc (word.size + 1);
    KV_ASSERT (copy != NULL);
    if (word.size)
        memcpy (copy, word.data, word.size);
    copy[word.size] = '\0';
    self->items[self->count++] = copy;
}

void kv_words_free (kv_words_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free (self->items[i]);
    free (self->items);
    *self = (kv_words_t){0};
}

size_t kv_words_common (const kv_words_t *self)
{
    if (self->count == 0)
        return 0;
    size_t common = strlen (self->items[0]);
    for (size_t i = 1; i < self->count; i++) {
        size_t same = 0;
        while (same < common && self->items[i][same] == self->items[0][same])
            same++;
        common = same;
    }
    return common;
}

/* --- Cutting argument texts --- */

static kv_slice_t s_skip (kv_slice_t text, size_t bytes)
{
    return kv_slice (text.data + bytes, text.size - bytes);
}

/* Takes the next piece off `text`, up to `divider` outside of brackets; false at its end. */
static bool s_cut (kv_slice_t *text, char divider, kv_slice_t *piece)
{
    while (text->size && text->data[0] == ' ')
        *text = s_skip (*text, 1);
    if (text->size == 0)
        return false;
    size_t size = 0;
    int depth = 0;
    while (size < text->size && (depth > 0 || text->data[size] != (uint8_t)divider)) {
        depth += text->data[size] == '[';
        depth -= text->data[size] == ']';
        size++;
    }
    *piece = kv_slice (text->data, size);
    *text = s_skip (*text, size < text->size ? size + 1 : size);
    return true;
}

static bool s_is_optional (kv_slice_t part)
{
    return part.size >= 2 && part.data[0] == '[';
}

/* H1: a word in capitals stands for itself. */
static bool s_is_literal (kv_slice_t word)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.data[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return word.size > 0;
}

static uint8_t s_upper (uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* True if `word` begins with what was typed, in any case. */
static bool s_begins (kv_slice_t word, kv_slice_t typed)
{
    if (typed.size > word.size)
        return false;
    for (size_t i = 0; i < typed.size; i++) {
        if (s_upper (word.data[i]) != s_upper (typed.data[i]))
            return false;
    }
    return true;
}

static bool s_same (kv_slice_t word, kv_slice_t typed)
{
    return word.size == typed.size && s_begins (word, typed);
}

/* --- The arguments of one command --- */

typedef struct {
    kv_slice_t parts[PARTS_MAX];
    bool used[PARTS_MAX];
    size_t count;
    kv_slice_t pending; /* what the option just given still takes: "seconds" */
} syntax_t;

static syntax_t s_syntax (const char *arguments)
{
    syntax_t self = {.count = 0};
    kv_slice_t text = kv_slice_text (arguments);
    while (self.count < PARTS_MAX && s_cut (&text, ' ', &self.parts[self.count]))
        self.count++;
    return self;
}

/* A cursor over the alternatives of a part: "EX seconds", "PX milliseconds". A repeated group is
 * one alternative, of which the dots are not a part. */
typedef struct {
    kv_slice_t rest;
    bool repeats;
} alternatives_t;

static alternatives_t s_alternatives (kv_slice_t part)
{
    alternatives_t self = {.rest = part, .repeats = false};
    if (s_is_optional (part))
        self.rest = kv_slice (part.data + 1, part.size - 2);
    static const char dots[] = " ...";
    size_t size = sizeof dots - 1;
    if (self.rest.size > size && memcmp (self.rest.data + self.rest.size - size, dots, size) == 0) {
        self.rest.size -= size;
        self.repeats = true;
    }
    return self;
}

/* The next alternative: its first word, and what follows it. */
static bool s_next (alternatives_t *self, kv_slice_t *first, kv_slice_t *more)
{
    kv_slice_t whole;
    if (!s_cut (&self->rest, '|', &whole) || !s_cut (&whole, ' ', first))
        return false;
    *more = whole;
    return true;
}

/* Gives the argument to part `at` if one of its alternatives takes it; `literal` says which kind. */
static bool s_give (syntax_t *self, size_t at, bool literal, kv_slice_t argument)
{
    alternatives_t alternatives = s_alternatives (self->parts[at]);
    kv_slice_t first;
    kv_slice_t more;
    while (s_next (&alternatives, &first, &more)) {
        if (s_is_literal (first) != literal || (literal && !s_same (first, argument)))
            continue;
        self->pending = more;
        self->used[at] = !alternatives.repeats;
        return true;
    }
    return false;
}

/* H2. False: the argument has no place. */
static bool s_accept (syntax_t *self, kv_slice_t argument)
{
    kv_slice_t taken;
    if (s_cut (&self->pending, ' ', &taken))
        return true;
    for (size_t i = 0; i < self->count; i++) {
        if (!self->used[i] && s_give (self, i, true, argument))
            return true;
        if (!self->used[i] && !s_is_optional (self->parts[i]))
            break;
    }
    for (size_t i = 0; i < self->count; i++) {
        if (!self->used[i] && s_give (self, i, false, argument))
            return true;
    }
    return false;
}

/* --- The words before the cursor --- */

static const char *s_arguments (kv_slice_t name)
{
    const command_spec_t *spec = command_find (name);
    if (spec)
        return spec->arguments;
    const kv_local_t *local;
    for (size_t i = 0; (local = kv_help_local (i)) != NULL; i++) {
        if (kv_slice_is_word (name, local->name))
            return local->arguments;
    }
    return NULL;
}

typedef struct {
    kv_line_t line;
    size_t argc; /* without a leading KV */
    const char *const *argv;
    const size_t *lens;
} typed_t;

static void s_strip (typed_t *self)
{
    self->argc = self->line.argc;
    self->argv = self->line.argv;
    self->lens = self->line.lens;
    if (self->argc > 0 && kv_slice_is_word (kv_slice (self->argv[0], self->lens[0]), "KV")) {
        self->argc--;
        self->argv++;
        self->lens++;
    }
}

static kv_slice_t s_word (const typed_t *typed, size_t n)
{
    return kv_slice (typed->argv[n], typed->lens[n]);
}

static bool s_is_space (uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* --- Completion --- */

/* Offers a word that begins with what was typed, in the case the typing suggests. */
static void s_offer (kv_completion_t *out, kv_slice_t typed, const char *word)
{
    char text[64];
    size_t size = strlen (word);
    if (!s_begins (kv_slice_text (word), typed) || size >= sizeof text)
        return;
    bool lower = typed.size > 0 && typed.data[0] >= 'a' && typed.data[0] <= 'z';
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(lower && word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
    kv_words_add (&out->words, kv_slice (text, size));
}

static int s_compare (const void *a, const void *b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

static void s_offer_commands (kv_completion_t *out, kv_slice_t typed)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        s_offer (out, typed, command_spec ((command_id_t)i)->name);
    const kv_local_t *local;
    for (size_t i = 0; (local = kv_help_local (i)) != NULL; i++)
        s_offer (out, typed, local->name);
    if (out->words.count)
        qsort (out->words.items, out->words.count, sizeof *out->words.items, s_compare);
}

static void s_offer_groups (kv_completion_t *out, kv_slice_t typed)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char group[64];
        snprintf (group, sizeof group, "@%s", command_spec ((command_id_t)i)->group);
        s_offer (out, typed, group);
    }
}

static void s_offer_nodes (kv_completion_t *out, kv_slice_t typed, const kv_words_t *nodes)
{
    out->wants_nodes = true;
    for (size_t i = 0; nodes && i < nodes->count; i++) {
        kv_slice_t id = kv_slice_text (nodes->items[i]);
        if (id.size >= typed.size && (typed.size == 0 || !memcmp (id.data, typed.data, typed.size)))
            kv_words_add (&out->words, id);
    }
}

/* Offers what stands for a word of an argument text. */
static void s_offer_for (kv_completion_t *out, kv_slice_t typed, kv_slice_t name,
                         const kv_words_t *nodes)
{
    char word[64];
    if (name.size >= sizeof word)
        return;
    memcpy (word, name.data, name.size);
    word[name.size] = '\0';
    if (s_is_literal (name))
        s_offer (out, typed, word);
    else if (strcmp (word, "command") == 0)
        s_offer_commands (out, typed);
    else if (strcmp (word, "@group") == 0)
        s_offer_groups (out, typed);
    else if (strcmp (word, "node") == 0)
        s_offer_nodes (out, typed, nodes);
}

static void s_offer_arguments (kv_completion_t *out, kv_slice_t typed, const syntax_t *syntax,
                               const kv_words_t *nodes)
{
    kv_slice_t pending = syntax->pending;
    kv_slice_t first;
    kv_slice_t more;
    if (s_cut (&pending, ' ', &first)) {
        s_offer_for (out, typed, first, nodes);
        return;
    }
    for (size_t i = 0; i < syntax->count; i++) {
        if (syntax->used[i])
            continue;
        alternatives_t alternatives = s_alternatives (syntax->parts[i]);
        while (s_next (&alternatives, &first, &more))
            s_offer_for (out, typed, first, nodes);
        if (!s_is_optional (syntax->parts[i]))
            return;
    }
}

void kv_complete (kv_slice_t line, const kv_words_t *nodes, kv_completion_t *out)
{
    *out = (kv_completion_t){.from = line.size};
    while (out->from > 0 && !s_is_space (line.data[out->from - 1]))
        out->from--;
    kv_slice_t typed = s_skip (line, out->from);
    typed_t words = {.line = kv_line_make ()};
    const char *why;
    if (kv_line_split (&words.line, kv_slice (line.data, out->from), &why) == KV_OK) { // H3
        s_strip (&words);
        const char *arguments = words.argc ? s_arguments (s_word (&words, 0)) : NULL;
        syntax_t syntax = s_syntax (arguments ? arguments : "");
        bool placed = true;
        for (size_t i = 1; i < words.argc; i++)
            placed = placed && s_accept (&syntax, s_word (&words, i));
        if (words.argc == 0)
            s_offer_commands (out, typed);
        else if (placed)
            s_offer_arguments (out, typed, &syntax, nodes);
    }
    kv_line_free (&words.line);
}

/* --- Hints --- */

/* Splits a line whose last quote may be open still; `inside`: the cursor is in its last word. */
static bool s_split_open (kv_slice_t line, kv_line_t *words, bool *inside)
{
    const char *why;
    *inside = line.size > 0 && !s_is_space (line.data[line.size - 1]);
    if (kv_line_split (words, line, &why) == KV_OK)
        return true;
    *inside = true;
    char *closed = malloc (line.size + 1);
    KV_ASSERT (closed != NULL);
    memcpy (closed, line.data, line.size);
    bool split = false;
    for (size_t i = 0; i < 2 && !split; i++) {
        closed[line.size] = "\"'"[i];
        split = kv_line_split (words, kv_slice (closed, line.size + 1), &why) == KV_OK;
    }
    free (closed);
    return split;
}

/* True if the word may yet become one that the command knows. */
static bool s_may_become (const syntax_t *syntax, kv_slice_t word)
{
    kv_completion_t completion = {0};
    s_offer_arguments (&completion, word, syntax, NULL);
    bool may = completion.words.count > 0 || completion.wants_nodes;
    kv_words_free (&completion.words);
    return may;
}

static void s_append (char *text, size_t bytes, size_t *size, kv_slice_t part)
{
    int wrote = snprintf (text + *size, bytes - *size, "%s%.*s", *size ? " " : "", (int)part.size,
                          (const char *)part.data);
    size_t left = bytes - *size - 1;
    *size += (size_t)wrote < left ? (size_t)wrote : left;
}

static void s_hint (const typed_t *typed, bool inside, char *text, size_t bytes)
{
    const char *arguments = typed->argc ? s_arguments (s_word (typed, 0)) : NULL;
    if (!arguments || bytes < 2)
        return;
    syntax_t syntax = s_syntax (arguments);
    for (size_t i = 1; i < typed->argc; i++) {
        bool unfinished = inside && i == typed->argc - 1;
        if (!s_accept (&syntax, s_word (typed, i)) &&
            !(unfinished && s_may_become (&syntax, s_word (typed, i))))
            return;
    }
    size_t size = 0;
    if (syntax.pending.size)
        s_append (text, bytes, &size, syntax.pending);
    for (size_t i = 0; i < syntax.count; i++) {
        if (!syntax.used[i])
            s_append (text, bytes, &size, syntax.parts[i]);
    }
    if (!inside || size == 0)
        return;
    size_t kept = size < bytes - 1 ? size : bytes - 2;
    memmove (text + 1, text, kept);
    text[0] = ' ';
    text[kept + 1] = '\0';
}

void kv_hint (kv_slice_t line, char *text, size_t bytes)
{
    typed_t typed = {.line = kv_line_make ()};
    bool inside;
    KV_ASSERT (bytes > 0);
    text[0] = '\0';
    if (s_split_open (line, &typed.line, &inside)) {
        s_strip (&typed);
        s_hint (&typed, inside, text, bytes);
    }
    kv_line_free (&typed.line);
}
