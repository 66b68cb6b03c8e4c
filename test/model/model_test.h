/* model_test - what the files of the model test share: its state, and random commands. */
#ifndef KVDB_TEST_MODEL_TEST_H
#define KVDB_TEST_MODEL_TEST_H

#include "model.h"
#include "replica.h"

enum {
    SHARDS = 3,
    KEYS = 3000,    /* enough for tables that grow and buckets that overflow */
    HOT_KEYS = 100, /* every other key is one of these */
    BATCH_MOST = 40,
    MAX_VALUE_BYTES = 40000, /* so that values above the pool's largest class occur */
    CHECK_EVERY = 2000       /* commands between two looks at everything */
};

typedef struct {
    executor_t *executor;
    model_t *model;
    replica_t *replica;
    uint64_t random;
    int64_t now_ms;
    writer_t request, reply, expected;
    command_t command;
    uint64_t done;
    uint8_t key[600]; /* the last one written, unless it was of a wrong size */
    size_t key_bytes;
} test_t;

uint64_t test_random (test_t *self, uint64_t below);
bool test_one_in (test_t *self, uint64_t n);

/* In model_write.c: append random pieces of a command to the request. */
void test_write_key (test_t *self); /* remembered in self->key */
void test_write_value (test_t *self);
void test_write_command (test_t *self);

#endif
