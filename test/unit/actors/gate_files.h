/* gate_files - fault_files for two threads: behind a lock, and with a gate that holds back syncs. A sync
 * that waits there makes durable what was written before it came, once the gate is opened. */
#ifndef KVDB_TEST_UNIT_ACTORS_GATE_FILES_H
#define KVDB_TEST_UNIT_ACTORS_GATE_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test/fault/fault_files.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    files_t base;
    files_t *under; /* borrowed */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    uint64_t waiting;            /* syncs at the gate now */
    uint64_t syncs, allocations; /* begun since the gate was made */
} gate_t;

typedef struct {
    file_t base;
    gate_t *gate;
    file_t *under;
} gated_t;

static const files_operations_t gate_operations;

static inline gate_t *gate_of (files_t *self)
{
    return (gate_t *)(void *)self;
}

static inline gated_t *gate_file (file_t *file)
{
    return (gated_t *)(void *)file;
}

static inline kv_status_t gate_open (files_t *self, const char *name, file_mode_t mode,
                                     file_t **file_p, file_error_t *error)
{
    gated_t *file = calloc (1, sizeof *file);
    assert_non_null (file);
    *file = (gated_t){.base = {&gate_operations}, .gate = gate_of (self)};
    pthread_mutex_lock (&gate_of (self)->lock);
    kv_status_t status = files_open (gate_of (self)->under, name, mode, &file->under, error);
    pthread_mutex_unlock (&gate_of (self)->lock);
    *file_p = status ? NULL : &file->base;
    if (status)
        free (file);
    return status;
}

static inline void gate_close (file_t *file)
{
    pthread_mutex_lock (&gate_file (file)->gate->lock);
    file_close (&gate_file (file)->under);
    pthread_mutex_unlock (&gate_file (file)->gate->lock);
    free (file);
}

static inline kv_status_t gate_write (file_t *file, uint64_t offset, kv_slice_t bytes,
                                      file_error_t *error)
{
    pthread_mutex_lock (&gate_file (file)->gate->lock);
    kv_status_t status = file_write (gate_file (file)->under, offset, bytes, error);
    pthread_mutex_unlock (&gate_file (file)->gate->lock);
    return status;
}

static inline kv_status_t gate_allocate (file_t *file, uint64_t bytes, file_error_t *error)
{
    pthread_mutex_lock (&gate_file (file)->gate->lock);
    gate_file (file)->gate->allocations++;
    pthread_cond_broadcast (&gate_file (file)->gate->changed);
    kv_status_t status = file_allocate (gate_file (file)->under, bytes, error);
    pthread_mutex_unlock (&gate_file (file)->gate->lock);
    return status;
}

/* What it makes durable is what was written before it began. */
static inline kv_status_t gate_sync (file_t *file, file_error_t *error)
{
    gate_t *gate = gate_file (file)->gate;
    pthread_mutex_lock (&gate->lock);
    gate->syncs++;
    if (!gate->shut) {
        kv_status_t status = file_sync (gate_file (file)->under, error);
        pthread_mutex_unlock (&gate->lock);
        return status;
    }
    uint64_t token = fault_files_sync_begin (gate_file (file)->under);
    gate->waiting++;
    pthread_cond_broadcast (&gate->changed);
    while (gate->shut)
        pthread_cond_wait (&gate->changed, &gate->lock);
    gate->waiting--;
    fault_files_sync_end (gate->under, token);
    pthread_mutex_unlock (&gate->lock);
    return KV_OK;
}

static inline kv_status_t gate_rename (files_t *self, const char *from, const char *to,
                                       file_error_t *error)
{
    pthread_mutex_lock (&gate_of (self)->lock);
    kv_status_t status = files_rename (gate_of (self)->under, from, to, error);
    pthread_mutex_unlock (&gate_of (self)->lock);
    return status;
}

static inline kv_status_t gate_remove (files_t *self, const char *name, file_error_t *error)
{
    pthread_mutex_lock (&gate_of (self)->lock);
    kv_status_t status = files_remove (gate_of (self)->under, name, error);
    pthread_mutex_unlock (&gate_of (self)->lock);
    return status;
}

static inline kv_status_t gate_sync_directory (files_t *self, file_error_t *error)
{
    pthread_mutex_lock (&gate_of (self)->lock);
    kv_status_t status = files_sync_directory (gate_of (self)->under, error);
    pthread_mutex_unlock (&gate_of (self)->lock);
    return status;
}

static const files_operations_t gate_operations = {.open = gate_open,
                                                   .close = gate_close,
                                                   .write = gate_write,
                                                   .allocate = gate_allocate,
                                                   .sync = gate_sync,
                                                   .rename = gate_rename,
                                                   .remove = gate_remove,
                                                   .sync_directory = gate_sync_directory};

static inline void gate_set_shut (gate_t *gate, bool shut)
{
    pthread_mutex_lock (&gate->lock);
    gate->shut = shut;
    pthread_cond_broadcast (&gate->changed);
    pthread_mutex_unlock (&gate->lock);
}

static inline void gate_await_sync (gate_t *gate)
{
    pthread_mutex_lock (&gate->lock);
    while (gate->waiting == 0)
        pthread_cond_wait (&gate->changed, &gate->lock);
    pthread_mutex_unlock (&gate->lock);
}

static inline uint64_t gate_syncs (gate_t *gate)
{
    pthread_mutex_lock (&gate->lock);
    uint64_t syncs = gate->syncs;
    pthread_mutex_unlock (&gate->lock);
    return syncs;
}

/* Until so many more allocations have begun. */
static inline void gate_await_allocations (gate_t *gate, uint64_t more)
{
    pthread_mutex_lock (&gate->lock);
    more += gate->allocations;
    while (gate->allocations < more)
        pthread_cond_wait (&gate->changed, &gate->lock);
    pthread_mutex_unlock (&gate->lock);
}

/* The next operation of that kind but for n - 1 fails. */
static inline void gate_fail (gate_t *gate, fault_operation_t operation, uint64_t nth, int number)
{
    pthread_mutex_lock (&gate->lock);
    fault_files_fail (gate->under, operation, nth, number, 1);
    pthread_mutex_unlock (&gate->lock);
}

static inline void gate_set_capacity (gate_t *gate, uint64_t capacity)
{
    pthread_mutex_lock (&gate->lock);
    fault_files_set_capacity (gate->under, capacity);
    pthread_mutex_unlock (&gate->lock);
}

static inline void gate_init (gate_t *gate, files_t *under)
{
    *gate = (gate_t){.base = {&gate_operations, "gate"}, .under = under};
    assert_int_equal (pthread_mutex_init (&gate->lock, NULL), 0);
    assert_int_equal (pthread_cond_init (&gate->changed, NULL), 0);
}

static inline void gate_end (gate_t *gate)
{
    pthread_cond_destroy (&gate->changed);
    pthread_mutex_destroy (&gate->lock);
}

#endif
