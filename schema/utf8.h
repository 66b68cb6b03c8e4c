/* utf8 - what is well-formed UTF-8 (RFC 3629: nothing longer than it need be, no surrogates, nothing above
 * U+10FFFF). Pure. */
#ifndef KVDB_SCHEMA_UTF8_H
#define KVDB_SCHEMA_UTF8_H

#include "schema/slice.h"

/* Bytes of the character that `at`, of one byte or more, begins with; 0: it is none. */
size_t utf8_bytes (kv_slice_t at);

/* Whether all of it is well-formed; so is nothing at all. */
bool utf8_is_text (kv_slice_t bytes);

#endif
