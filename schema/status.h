/* status - the one table of status codes, and the assertion that guards our own invariants.
 *
 * A function that can fail returns kv_status_t and puts its results in its last parameters.
 * Faults of peers, disks, configurations and users are statuses; our own bugs are KV_ASSERTs. */
#ifndef KVDB_SCHEMA_STATUS_H
#define KVDB_SCHEMA_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/* What a shared library of ours shows to its users. */
#ifndef KV_API
#define KV_API __attribute__ ((visibility ("default")))
#endif

/* client/kvdb.h, which stands alone, declares the same: whichever of the two comes first has done so
 * for both. */
#ifndef KVDB_STATUS_DEFINED
#define KVDB_STATUS_DEFINED
typedef enum {
#define KV_STATUS(name, number, meaning) KV_##name = (number),
#include "schema/status.def"
#undef KV_STATUS
} kv_status_t;

/* The symbolic name ("BUSY"), or "UNLISTED" for a number that is not in the table. Static text. */
KV_API const char *kv_status_name (kv_status_t status);

/* One sentence on what the status means. Static text. */
KV_API const char *kv_status_meaning (kv_status_t status);
#endif

#define KV_CHECK_RESULT __attribute__ ((warn_unused_result))
#define KV_PRINTF(format_at, first) __attribute__ ((format (printf, format_at, first)))

/* Checked in release builds too: a broken invariant must never go on to damage data. */
#define KV_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect (!(condition), 0))                                                    \
            kv_assert_failed (#condition, __FILE__, __LINE__);                                     \
    } while (0)

/* Marks a place that our own logic never reaches. */
#define KV_UNREACHABLE(why) kv_assert_failed ("unreachable: " why, __FILE__, __LINE__)

/* Prints the failed condition to stderr and aborts. */
_Noreturn void kv_assert_failed (const char *condition, const char *file, int line);

#endif
