/* store - one shard's table: key -> entry, by linear hashing over cache-line buckets.
 *
 *   bucket, 64 bytes, one cache line (bucket.h):
 *     0..6    tag[7]    8 bits of the hash of each entry, so that a miss costs no entry access
 *     7       used      bit 0..6: slot taken; bit 7: slot 6 holds a pointer to an overflow bucket
 *     8..63   slot[7]   entry pointers, each with 16 more bits of the hash in its upper bits
 *
 *   entry, one allocation, 16 bytes of header (entry.h):
 *     0..7    version   position of the last write (epoch << 40 | n)
 *     8..11   value bytes (29 bits) and flags (3 bits: has_expiry, 2 spare)
 *     12..13  key bytes - 1
 *     14..15  clock: when it was last used, as the shard counts time
 *     16..    [4 bytes: index in the expiry heap, if has_expiry] key, value
 *
 * Linear hashing (Litwin, VLDB 1980) splits or merges one bucket at a time as the table grows and
 * shrinks: no step is longer than a bucket, memory never doubles, and there is no second table.
 * Buckets live in segments that never move (segments.h). Growing needs no hash of an entry's key,
 * so it does not touch the entries.
 *
 *   S1  an entry of hash h stands in bucket h mod 2^L, or h mod 2^(L+1) if h mod 2^L < split.
 *   S2  count is the number of entries; buckets = 2^L + split.
 *   S3  an overflow bucket exists only behind a full bucket.
 *   S4  every entry with has_expiry is in the expiry heap at the index it holds, and no other is.
 *
 * Scanning walks the hashes in bit-reversed order. A bucket covers one contiguous range of that
 * order, whatever the table's size, so a cursor (a place in the order) stays meaningful while
 * buckets split and merge: an entry present from the first to the last step is returned at least
 * once.
 *
 * The hash is SipHash-1-3 under a random key (Aumasson and Bernstein, 2012): outsiders cannot aim
 * at one bucket. Time and randomness are passed in. Owner: exactly one thread. */
#ifndef KVDB_NODE_STORE_H
#define KVDB_NODE_STORE_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct store store_t;
typedef struct entry entry_t;
typedef struct entry_pool entry_pool_t;

enum { STORE_SECRET_BYTES = 16 };

/* `secret` keys the hash. `pool` (entry_pool.h) is borrowed for the store's life and may be shared
 * by the stores of one thread. */
store_t *store_new (const uint8_t secret[STORE_SECRET_BYTES], entry_pool_t *pool);
void store_destroy (store_t **self_p);

/* The keyed hash of a key, for the functions below. */
uint64_t store_hash (const store_t *self, kv_slice_t key);

/* Hints for the memory system; call for a batch of keys, first all of the one, then of the other,
 * before the lookups. No effect on content. */
void store_prefetch_bucket (const store_t *self, uint64_t hash);
void store_prefetch_entry (const store_t *self, uint64_t hash);

/* The entry, or NULL. Knows nothing of time: an entry whose deadline has passed is returned too.
 * Valid until the next store_put or store_remove. */
entry_t *store_find (const store_t *self, kv_slice_t key, uint64_t hash);

/* Creates or replaces. `expires_ms` is an absolute wall-clock time, 0: never. `value` and `key` may
 * point into any entry of this store. The clock starts at 0. Returns the entry; no other has moved. */
entry_t *store_put (store_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                    int64_t expires_ms, uint64_t version);

/* Makes the value `bytes` long, keeping what fits; new bytes are undefined, for the caller to write
 * at once. The deadline and the clock stay. Returns the entry, which may have moved. */
entry_t *store_resize_value (store_t *self, entry_t *entry, size_t bytes, uint64_t version);

/* Makes room for so many entries at once, to load them: the table need not grow on the way. Costs a
 * few system calls and time in proportion to the entries that are there, so call it while the table is
 * empty or small. The room goes again, a bucket with each store_remove, if it is not used. A number that
 * comes from a file is to be checked against the file's size first. */
void store_reserve (store_t *self, size_t entries);

/* Sets or clears (0) the deadline. Returns the entry, which may have moved. */
entry_t *store_set_expiry (store_t *self, entry_t *entry, int64_t expires_ms, uint64_t version);

void store_remove (store_t *self, entry_t *entry);

/* Frees about `budget` entries (a bucket more at most), forgetting everything from the first call
 * on; returns 0 once the table is empty and back at its first size. Between the first call and that
 * answer nothing but store_drain, store_bytes and store_destroy may be called. */
size_t store_drain (store_t *self, size_t budget);

kv_slice_t entry_key (const entry_t *entry);
kv_slice_t entry_value (const entry_t *entry);
uint8_t *entry_value_data (entry_t *entry); /* the value's bytes, writable, same length */
uint64_t entry_version (const entry_t *entry);
uint16_t entry_clock (const entry_t *entry);
void entry_set_clock (entry_t *entry, uint16_t clock);
int64_t store_expires_ms (const store_t *self, const entry_t *entry);   /* 0: never */
void store_prefetch_expiry (const store_t *self, const entry_t *entry); /* a hint, for the above */

/* Visits the bucket the cursor stands in and returns the next cursor; 0 when the walk is over.
 * Start with 0. A cursor uses the low 48 bits only. `visit` must not change the store. */
typedef void (store_visit_fn) (void *context, const entry_t *entry);
uint64_t store_scan (const store_t *self, uint64_t cursor, store_visit_fn *visit, void *context);

/* The same for the next STORE_SCAN_BUCKETS buckets, whose cache misses overlap: several times faster
 * than single steps. `bucket_end` (NULL: not wanted) is told after each bucket where the walk would go
 * on behind it; 0: nowhere. */
enum { STORE_SCAN_BUCKETS = 16 };
typedef void (store_bucket_end_fn) (void *context, uint64_t cursor);
uint64_t store_scan_ahead (const store_t *self, uint64_t cursor, store_visit_fn *visit,
                           store_bucket_end_fn *bucket_end, void *context);

/* Where in the walk an entry stands: a scan from there on, or from before it, returns it. */
uint64_t store_place (const store_t *self, const entry_t *entry);

/* One bucket by its index, 0 .. store_buckets - 1, as it is at the moment: each entry is
 * in one of them, about five in each. */
size_t store_buckets (const store_t *self);
void store_visit (const store_t *self, size_t index, store_visit_fn *visit, void *context);

/* The entry whose deadline is the earliest, or NULL; its deadline. */
entry_t *store_next_to_expire (const store_t *self, int64_t *expires_ms);

size_t store_count (const store_t *self);
size_t store_expiring_count (const store_t *self);

/* Entries whose deadline is at or before now_ms; costs time in proportion to the answer. */
size_t store_due_count (const store_t *self, int64_t now_ms);
size_t store_bytes (const store_t *self); /* all memory: entries as allocated, buckets, heap */

/* What one entry takes: as allocated, its node in the heap, and its share of the buckets. */
size_t store_usage (const store_t *self, const entry_t *entry);

/* S1..S4, by a full walk; for tests and debug builds. */
bool store_is_valid (const store_t *self);

#endif
