/* slice - a borrowed run of bytes: a pointer and a length, never owned, never NUL-terminated. */
#ifndef KVDB_SCHEMA_SLICE_H
#define KVDB_SCHEMA_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;         /* bytes */
} kv_slice_t;

static inline kv_slice_t kv_slice (const void *data, size_t size)
{
    return (kv_slice_t){(const uint8_t *)data, size};
}

/* Borrows a C string without its NUL. */
static inline kv_slice_t kv_slice_text (const char *text)
{
    return kv_slice (text, strlen (text));
}

static inline bool kv_slice_equal (kv_slice_t a, kv_slice_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp (a.data, b.data, a.size) == 0);
}

/* Equal but for the case of ASCII letters; `upper` is in upper case already. */
static inline bool kv_slice_is_word (kv_slice_t a, const char *upper)
{
    for (size_t i = 0; i < a.size; i++) {
        uint8_t c = a.data[i];
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 32);
        if (upper[i] == '\0' || c != (uint8_t)upper[i])
            return false;
    }
    return upper[a.size] == '\0';
}

#endif
