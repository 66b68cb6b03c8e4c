/* glob - matches keys against patterns as Redis does.
 *
 *   *       any bytes, none included       [abc]   one of these      [a-z]   one in this range
 *   ?       any one byte                   [^a]    any but these     \c      c itself, also in [ ]
 *
 * A class that is not closed ends with the pattern; a backslash at the very end is itself.
 *
 * After a mismatch only the last '*' is tried again, one byte further: earlier ones need not be,
 * because they have matched as early as they could. So the work is at most pattern bytes times
 * text bytes, for any pattern; callers bound both. Pure. */
#ifndef KVDB_NODE_GLOB_H
#define KVDB_NODE_GLOB_H

#include "schema/slice.h"

bool glob_match (kv_slice_t pattern, kv_slice_t text);

#endif
