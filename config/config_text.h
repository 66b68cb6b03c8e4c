/* config_text - memory that never fails, a growing text, UTF-8, and the nearest of several names.
 *
 * Private to config/. Allocation aborts when memory is out; all sizes are bounded by the callers. */
#ifndef KVDB_CONFIG_TEXT_H
#define KVDB_CONFIG_TEXT_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct {
    char *data;      /* owned; ends with a NUL once anything was added */
    size_t size;     /* without the NUL */
    size_t capacity; /* bytes allocated */
} config_text_t;

/* A value shortened and made printable for a message. */
typedef struct {
    char text[96];
} config_shown_t;

/* The best of the offered names so far. */
typedef struct {
    kv_slice_t wanted;
    const char *best; /* borrowed from the offers; NULL: none is near */
    size_t distance;
} config_nearest_t;

/* `count` zeroed elements; the caller frees them. */
void *config_alloc (size_t count, size_t bytes);

/* The array with room for `count` elements instead of `old_count`; the new ones are zeroed. */
void *config_grow (void *array, size_t old_count, size_t count, size_t bytes);

/* A copy with a NUL; the caller frees it. */
char *config_copy (kv_slice_t bytes);

void config_text_add (config_text_t *self, kv_slice_t bytes);
void config_text_addf (config_text_t *self, const char *format, ...) KV_PRINTF (2, 3);

/* Appends bytes so that the text stays one printable line: what is not printable becomes \xHH. */
void config_text_escape (config_text_t *self, kv_slice_t bytes);

/* Hands the text over ("" if nothing was added); the caller frees it. */
char *config_text_take (config_text_t *self);

config_shown_t config_shown (kv_slice_t bytes);

/* Length in bytes of the UTF-8 character at `at` (at least one byte is left), or 0 if it is not a
 * well-formed one; RFC 3629. */
size_t config_utf8 (const uint8_t *at, size_t left, uint32_t *code);

/* True for C0 and C1 control characters and DEL. */
static inline bool config_is_control (uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* The ASCII letter in lower case; anything else as it is. */
static inline int config_lower (int c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Offers a name to the search. Distance is that of Damerau and Levenshtein (adjacent letters may
 * be swapped once), without regard to case; a name that contains the wanted one is near too. */
config_nearest_t config_nearest (kv_slice_t wanted);
void config_nearest_offer (config_nearest_t *self, const char *name, const char *show_as);

#endif
