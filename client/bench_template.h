/* bench_template - a batch encoded once, of which every message is a patched copy.
 *
 *   [1, id, [["GET", "key:000000000042"], ["SET", "key:000000000007", "xxx..."], ...]]
 *       ^ 8 bytes      ^ 12 digits                     ^ 12 digits
 *
 * Keys are those of redis-benchmark with -r. Pure; a template may be read by several threads. */
#ifndef KVDB_CLIENT_BENCH_TEMPLATE_H
#define KVDB_CLIENT_BENCH_TEMPLATE_H

#include "schema/slice.h"

typedef struct bench_template bench_template_t;

typedef enum { BENCH_GET, BENCH_SET, BENCH_MIXED, BENCH_TEST_COUNT } bench_test_t;

/* "get", "set", "mixed" */
const char *bench_test_name (bench_test_t test);

/* A batch of `commands` (1..65536) with values of `value_bytes`; of MIXED every second command is
 * a SET, the first one if `odd`. */
bench_template_t *bench_template_new (bench_test_t test, uint32_t commands, uint32_t value_bytes,
                                      bool odd);
void bench_template_destroy (bench_template_t **self);

/* Bytes of a message. */
size_t bench_template_bytes (const bench_template_t *self);

/* Writes a message with this id and random keys of 0..keyspace - 1; `random` is the state of the
 * generator, never 0. */
void bench_template_random (const bench_template_t *self, uint8_t *out, uint64_t id,
                            uint64_t *random, uint64_t keyspace);

/* The same with the keys `first`, `first` + 1 ..., modulo the keyspace. */
void bench_template_ordered (const bench_template_t *self, uint8_t *out, uint64_t id,
                             uint64_t first, uint64_t keyspace);

/* Checks a reply to `commands` commands: its id, and how many of them failed. False: it is not a
 * reply to so many. */
bool bench_template_check (kv_slice_t reply, uint32_t commands, uint64_t *id, uint32_t *errors);

#endif
